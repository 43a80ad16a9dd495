//! The laws that every machine obeys, for a whole connection.

mod common;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use common::{Peer, config};
use peerline_connection::{Connection, ConnectionState, DataChannelInit, Event};
use peerline_sim::laws::{Hostile, Laws};
use peerline_sim::only_path;
use peerline_wire::Transport;
use rand::RngExt;

/// Two peers that have exchanged everything by signalling. They share one address, which is all that the laws' pair knows.
fn peers(now: Instant, seed: u64) -> (Peer, Peer) {
    let mut peers = [0, 1].map(|who| Connection::new(now, config(seed, who)));
    for peer in &mut peers {
        peer.add_local_address(now, address(), Transport::Udp);
        peer.finish_gathering(now);
    }
    let [offerer, answerer] = &mut peers;
    let init = DataChannelInit {
        negotiated: true,
        id: Some(0),
        ..DataChannelInit::default()
    };
    offerer
        .create_data_channel(now, "laws", init.clone())
        .expect("a channel");
    answerer.create_data_channel(now, "laws", init).expect("a channel");
    offerer.set_local_description(now, None).expect("an offer");
    answerer
        .set_remote_description(now, offerer.local_description().expect("it was set"))
        .expect("it fits");
    answerer.set_local_description(now, None).expect("an answer");
    offerer
        .set_remote_description(now, answerer.local_description().expect("it was set"))
        .expect("it fits");
    let [offerer, answerer] = peers;
    (Peer(offerer), Peer(answerer))
}

fn address() -> SocketAddr {
    only_path().local
}

#[test]
fn a_connection_obeys_the_laws() {
    // Handshakes use the provider's own randomness, so two runs never have the same bytes.
    Laws::new(peers)
        .mtu(1452)
        .nondeterministic()
        .seeds(0..6)
        .established(|peer| peer.connection_state() == ConnectionState::Connected)
        .closed(|event| {
            matches!(
                event,
                Event::ConnectionStateChange(ConnectionState::Closed | ConnectionState::Failed)
            )
        })
        .hostile(Hostile::ALL, Hostile::ALL)
        .commands(|now, rng, peer| {
            let channel = peer.channels().next();
            if let Some(id) = channel.filter(|_| rng.random_bool(0.3)) {
                drop(peer.send(now, id, Bytes::from(vec![7; rng.random_range(0..5000)])));
            }
        })
        .check();
}

#[test]
fn a_connection_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Connection>();
}
