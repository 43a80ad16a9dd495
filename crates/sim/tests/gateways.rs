//! Gateways translate and filter as RFC 4787 describes.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use peerline_sim::{Dependence, Gateway, GatewayId, HostId, Link, Network, many_paths};
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent};

/// Sends what it is told to, and keeps whence something came.
#[derive(Default)]
struct Postbox {
    outbox: Vec<FiveTuple>,
    inbox: Vec<FiveTuple>,
}

impl Postbox {
    #[allow(clippy::needless_pass_by_value)] // The verbs take datagrams owned.
    fn handle_datagram(&mut self, _now: Instant, datagram: Datagram) {
        self.inbox.push(datagram.five_tuple);
    }
    fn handle_timeout(&mut self, _now: Instant) {}
    fn poll_transmit(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let five_tuple = self.outbox.pop()?;
        out.push(0);
        Some(Transmit {
            five_tuple,
            ecn: None,
            len: 1,
        })
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn poll_event(&mut self) -> Option<()> {
        None
    }
}

many_paths! { #[derive(Default)] struct Host(Postbox) -> (); }

const INSIDE: &str = "192.168.0.2:5000";
const OUTSIDE: &str = "203.0.113.1";
const ALPHA: &str = "198.51.100.1:3478";
const BETA: &str = "198.51.100.2:3478";

/// A home behind a gateway, and two servers.
struct World {
    net: Network<Host>,
    home: GatewayId,
    host: HostId,
    alpha: HostId,
    beta: HostId,
}

impl World {
    fn new(gateway: Gateway) -> Self {
        let mut net = Network::new(0, Link::delay(Duration::from_millis(10)));
        let home = net.add_gateway(gateway, [ip(OUTSIDE)]);
        let host = net.add_behind(home, Host::default(), [address(INSIDE).ip()]);
        let alpha = net.add(Host::default(), [address(ALPHA).ip()]);
        let beta = net.add(Host::default(), [address(BETA).ip()]);
        Self {
            net,
            home,
            host,
            alpha,
            beta,
        }
    }

    /// Sends a datagram; whether `to` got it, and from where.
    fn send(&mut self, from: HostId, local: &str, to: HostId, remote: &str) -> Option<SocketAddr> {
        send(&mut self.net, from, to, FiveTuple::udp(address(local), address(remote)))
    }

    /// What the servers see of a datagram from the inside.
    fn mapped(&mut self, local: &str, remote: &str) -> SocketAddr {
        let to = if address(remote).ip() == address(ALPHA).ip() {
            self.alpha
        } else {
            self.beta
        };
        self.send(self.host, local, to, remote).expect("it comes out")
    }
}

fn send(net: &mut Network<Host>, from: HostId, to: HostId, five_tuple: FiveTuple) -> Option<SocketAddr> {
    net.host_mut(to).inbox.clear();
    net.host_mut(from).outbox.push(five_tuple);
    net.run_for(Duration::from_millis(20));
    net.host(to).inbox.first().map(|path| path.remote)
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn a_mapping_is_used_again_as_far_as_it_depends_on_nothing_else() {
    let other_port = "198.51.100.1:3479";
    for (mapping, same_port, same_host) in [
        (EndpointIndependent, true, true),
        (AddressDependent, true, false),
        (AddressAndPortDependent, false, false),
    ] {
        let mut world = World::new(Gateway::nat(mapping, EndpointIndependent));
        let first = world.mapped(INSIDE, ALPHA);
        assert_eq!(first, address("203.0.113.1:5000"), "the port is kept");
        assert_eq!(world.mapped(INSIDE, ALPHA), first);
        assert_eq!(world.mapped(INSIDE, other_port) == first, same_port, "{mapping:?}");
        assert_eq!(world.mapped(INSIDE, BETA) == first, same_host, "{mapping:?}");
    }
}

#[test]
fn a_filter_lets_in_whom_the_inside_has_sent_to() {
    for (filtering, other_port, stranger) in [
        (EndpointIndependent, true, true),
        (AddressDependent, true, false),
        (AddressAndPortDependent, false, false),
    ] {
        let mut world = World::new(Gateway::nat(EndpointIndependent, filtering));
        let outside = "203.0.113.1:5000";
        let (alpha, beta, host) = (world.alpha, world.beta, world.host);
        assert_eq!(world.send(alpha, ALPHA, host, outside), None, "nothing was asked for");
        world.mapped(INSIDE, ALPHA);
        assert_eq!(world.send(alpha, ALPHA, host, outside), Some(address(ALPHA)));
        let from_other_port = world.send(alpha, "198.51.100.1:9", host, outside);
        assert_eq!(from_other_port.is_some(), other_port, "{filtering:?}");
        assert_eq!(
            world.send(beta, BETA, host, outside).is_some(),
            stranger,
            "{filtering:?}"
        );
        assert!(world.net.refused() > 0);
    }
}

#[test]
fn what_the_inside_no_longer_uses_is_forgotten() {
    let mut world = World::new(Gateway {
        idle: Duration::from_secs(120),
        ..Gateway::default()
    });
    let (alpha, host) = (world.alpha, world.host);
    world.mapped(INSIDE, ALPHA);
    world.net.run_for(Duration::from_secs(119));
    assert!(world.send(alpha, ALPHA, host, "203.0.113.1:5000").is_some());
    // "Outbound refresh" alone: what comes in keeps nothing alive (RFC 4787 §4.3).
    world.net.run_for(Duration::from_secs(2));
    assert!(world.send(alpha, ALPHA, host, "203.0.113.1:5000").is_none());
}

#[test]
fn ports_are_kept_if_they_are_free_and_the_gateway_keeps_ports() {
    for (keeps, expected) in [(true, 5000), (false, 40_000)] {
        let mut world = World::new(Gateway {
            port_preservation: keeps,
            ..Gateway::default()
        });
        let neighbour = world.net.add_behind(world.home, Host::default(), [ip("192.168.0.3")]);
        assert_eq!(world.mapped(INSIDE, ALPHA).port(), expected);
        let alpha = world.alpha;
        let other = world
            .send(neighbour, "192.168.0.3:5000", alpha, ALPHA)
            .expect("it comes out");
        assert!(other.port() >= 40_000 && other.port() != expected, "{other}");
    }
}

#[test]
fn neighbours_meet_at_home_and_by_hairpinning_if_there_is_any() {
    for hairpinning in [true, false] {
        let mut world = World::new(Gateway {
            hairpinning,
            ..Gateway::default()
        });
        let neighbour = world.net.add_behind(world.home, Host::default(), [ip("192.168.0.3")]);
        let (host, alpha) = (world.host, world.alpha);
        let direct = world.send(neighbour, "192.168.0.3:5001", host, INSIDE);
        assert_eq!(direct, Some(address("192.168.0.3:5001")));
        world.mapped(INSIDE, ALPHA);
        world.send(neighbour, "192.168.0.3:5001", alpha, ALPHA);
        let around = world.send(neighbour, "192.168.0.3:5001", host, "203.0.113.1:5000");
        // "External source IP address and port" (REQ-9a).
        assert_eq!(around, hairpinning.then(|| address("203.0.113.1:5001")));
    }
}

#[test]
fn homes_with_the_same_addresses_reach_each_other_by_punching_holes() {
    let mut world = World::new(Gateway::nat(EndpointIndependent, AddressAndPortDependent));
    let strict = Gateway::nat(EndpointIndependent, AddressAndPortDependent);
    let other_home = world.net.add_gateway(strict, [ip("203.0.113.2")]);
    let other = world
        .net
        .add_behind(other_home, Host::default(), [address(INSIDE).ip()]);
    let host = world.host;
    assert_eq!(world.send(other, INSIDE, host, "203.0.113.1:5000"), None);
    let punched = world.send(host, INSIDE, other, "203.0.113.2:5000");
    assert_eq!(punched, Some(address("203.0.113.1:5000")));
    assert_eq!(
        world.send(other, INSIDE, host, "203.0.113.1:5000"),
        Some(address("203.0.113.2:5000"))
    );
}

#[test]
fn gateways_stand_behind_gateways() {
    let mut net = Network::new(0, Link::default());
    let provider = net.add_gateway(
        Gateway {
            port_preservation: false,
            ..Gateway::default()
        },
        [ip(OUTSIDE)],
    );
    let home = net.add_gateway_behind(provider, Gateway::default(), [ip("100.64.0.7")]);
    let host = net.add_behind(home, Host::default(), [ip("192.168.0.2")]);
    let server = net.add(Host::default(), [ip("198.51.100.1")]);
    let out = send(&mut net, host, server, FiveTuple::udp(address(INSIDE), address(ALPHA)));
    assert_eq!(out, Some(address("203.0.113.1:40000")));
    let back = FiveTuple::udp(address(ALPHA), address("203.0.113.1:40000"));
    assert_eq!(send(&mut net, server, host, back), Some(address(ALPHA)));
    assert_eq!(net.host(host).inbox[0].local, address(INSIDE));
}

#[test]
fn a_firewall_passes_addresses_as_they_are_and_udp_if_it_likes_to() {
    for udp in [true, false] {
        let mut net = Network::new(0, Link::default());
        let office = net.add_gateway(Gateway::firewall(udp), []);
        let host = net.add_behind(office, Host::default(), [ip("2001:db8::2")]);
        let server = net.add(Host::default(), [ip("2001:db8:1::1")]);
        let out = FiveTuple::udp(address("[2001:db8::2]:5000"), address("[2001:db8:1::1]:3478"));
        assert_eq!(
            send(&mut net, server, host, out.reversed()),
            None,
            "nothing was asked for"
        );
        assert_eq!(send(&mut net, host, server, out), udp.then_some(out.local));
        assert_eq!(send(&mut net, server, host, out.reversed()), udp.then_some(out.remote));
        let tcp = FiveTuple {
            transport: Transport::Tcp,
            ..out
        };
        assert_eq!(send(&mut net, host, server, tcp), Some(out.local));
    }
}

#[test]
fn hosts_move_and_gateways_restart() {
    let mut world = World::new(Gateway::default());
    let (alpha, host) = (world.alpha, world.host);
    world.mapped(INSIDE, ALPHA);
    world.net.restart_gateway(world.home, [ip("203.0.113.9")]);
    assert_eq!(world.send(alpha, ALPHA, host, "203.0.113.1:5000"), None);
    assert_eq!(world.mapped(INSIDE, ALPHA), address("203.0.113.9:5000"));
    world.net.move_host(host, None, [ip("203.0.113.77")]);
    assert_eq!(world.mapped("203.0.113.77:5000", ALPHA), address("203.0.113.77:5000"));
    assert_eq!(world.send(host, INSIDE, alpha, ALPHA), None, "it has left that address");
}
