//! Networks that change under a connection, in virtual time: data channels go on.

mod common;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::Lab;
use peerline_connection::{ChannelId, ConnectionState, Event, Message};
use peerline_sim::Link;
use peerline_wire::Transport;

const SECOND: Duration = Duration::from_secs(1);

/// The addresses that a peer's path in use begins at.
fn in_use(lab: &Lab, who: usize) -> SocketAddr {
    let pair = lab.peer(who).selected_ice_candidate_pair().expect("a path");
    let text = pair.local.candidate;
    let mut words = text.split(' ').skip(4);
    let (ip, port) = (words.next().expect("an address"), words.next().expect("a port"));
    SocketAddr::new(ip.parse().expect("an address"), port.parse().expect("a port"))
}

/// The network interface of the path in use goes down, and the driver says so.
fn unplug(lab: &mut Lab, who: usize) {
    let address = in_use(lab, who);
    lab.network.remove_address(lab.hosts[who], address.ip());
    lab.with_peer(who, |peer, now| peer.remove_local_address(now, address));
}

fn plug(lab: &mut Lab, who: usize, address: &str) {
    let address: SocketAddr = address.parse().expect("an address");
    lab.network.add_address(lab.hosts[who], address.ip());
    lab.with_peer(who, |peer, now| {
        peer.add_local_address(now, address, Transport::Udp);
        peer.finish_gathering(now);
    });
}

/// How long it takes until a message sent now arrives.
fn crossing(lab: &mut Lab, from: usize, [near, far]: [ChannelId; 2]) -> Duration {
    let (begin, text) = (lab.now(), format!("{:?}", lab.now()));
    lab.send(from, near, Message::from(text.as_str()));
    while lab.expect_message(1 - from, far) != Message::from(text.as_str()) {}
    lab.now() - begin
}

#[test]
fn a_transfer_goes_on_over_the_other_interface() {
    for who in [0, 1] {
        let (mut lab, [near, far]) = Lab::connected(11, Link::delay(Duration::from_millis(20)));
        lab.run_for(20 * SECOND);
        let total = 64;
        for _ in 0..total {
            lab.send(0, near, Message::from(vec![7; 100_000]));
        }
        lab.run_for(Duration::from_millis(100));
        unplug(&mut lab, who);
        let mut times = vec![lab.now()];
        for _ in 0..total {
            assert_eq!(lab.expect_message(1, far), Message::from(vec![7; 100_000]));
            times.push(lab.now());
        }
        let pause = times.windows(2).map(|pair| pair[1] - pair[0]).max().expect("messages");
        assert!(pause < SECOND, "{who}: nothing came for {pause:?}");
        assert!((0..2).all(|peer| lab.peer(peer).connection_state() == ConnectionState::Connected));
        let told = lab.events.concat();
        assert!(
            !told
                .iter()
                .any(|event| matches!(event, Event::ConnectionStateChange(_))),
            "{told:?}"
        );
    }
}

#[test]
fn a_message_goes_within_a_second_of_a_new_network() {
    for who in [0, 1] {
        let (mut lab, [near, far]) = Lab::connected(12, Link::delay(Duration::from_millis(20)));
        unplug(&mut lab, who);
        lab.run_for(SECOND);
        unplug(&mut lab, who);
        // Sent into the void, again and again, ever more rarely.
        lab.send(1 - who, [far, near][who], Message::from("while away"));
        lab.run_for(15 * SECOND);
        assert_eq!(lab.peer(who).connection_state(), ConnectionState::Disconnected);
        plug(&mut lab, who, "192.0.2.77:7777");
        let begin = lab.now();
        assert_eq!(lab.expect_message(who, [near, far][who]), Message::from("while away"));
        let took = lab.now() - begin;
        assert!(took < SECOND, "{who}: {took:?}");
        assert!(crossing(&mut lab, 0, [near, far]) < SECOND);
        assert!(crossing(&mut lab, 1, [far, near]) < SECOND);
        assert_eq!(in_use(&lab, who).ip(), IpAddr::from([192, 0, 2, 77]));
        assert!((0..2).all(|peer| lab.peer(peer).connection_state() == ConnectionState::Connected));
    }
}
