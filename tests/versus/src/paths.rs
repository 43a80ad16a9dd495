//! How long it takes to connect over each kind of path, in virtual time: two whole peers without I/O, translators and a TURN server,
//! none of which computes.
//!
//! Each two hosts are as far from each other as the round trip says, the server from itself not at all. Signalling takes no time,
//! and candidates trickle: so what counts is what goes over these paths alone, from the offer to a channel that is open at both ends.

mod host;
mod server;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use peerline_connection::{Config, Event, OfferOptions};
use peerline_sim::{Dependence, Gateway, HostId, Link, Machine, Network};
use peerline_wire::{Datagram, Transmit};

use self::host::Host;
use self::server::Server;
use crate::Result;
use crate::connection::Peerline;
use crate::measurement::Figure;

/// What lies between the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// Nothing: both have public addresses.
    Direct,
    /// Each is behind a translator, and asks a STUN server where it is.
    Reflexive,
    /// UDP passes nowhere, and both take connections.
    IceTcp,
    /// Both use a TURN server, the same, and nothing else.
    Relayed(ServerBy),
}

/// How a TURN server is spoken with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ServerBy {
    Udp,
    Tcp,
    Tls,
}

/// More than anything here takes, also where all goes wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// Milliseconds, with round trips of 50 ms (`rtt-50`) and of 200 ms (`rtt-200`).
pub(crate) fn measure(way: Way) -> Result<Vec<Figure>> {
    let figure = |(key, rtt)| {
        let took = connect(way, Duration::from_millis(rtt), |_| ())?;
        Ok((key, took.as_secs_f64() * 1e3))
    };
    [("rtt-50", 50), ("rtt-200", 200)].into_iter().map(figure).collect()
}

/// How long it takes.
fn connect(way: Way, rtt: Duration, change: impl Fn(&mut Config)) -> Result<Duration> {
    let mut world = World::new(way, rtt, change)?;
    world.negotiate()?;
    let end = world.network.now() + PATIENCE;
    loop {
        world.network.exchange();
        if world.signal()? {
            continue;
        }
        if world.hosts.iter().all(|&host| world.network.host(host).is_open()) {
            return Ok(world.network.elapsed());
        }
        if !world.network.step(end) {
            return Err(format!("{way:?}: not connected").into());
        }
    }
}

/// Who lives in this network.
enum Node {
    Host(Box<Host>),
    Server(Box<Server>),
}

/// Two peers, a server, and signalling between the peers that takes no time.
struct World {
    network: Network<Node>,
    hosts: [HostId; 2],
}

impl World {
    fn new(way: Way, rtt: Duration, change: impl Fn(&mut Config)) -> Result<Self> {
        let mut network = Network::new(7, Link::delay(rtt / 2));
        let server = server::ADDRESS.ip();
        network.add(Node::Server(Box::new(Server::new())), [server]);
        network.set_link(server, server, Link::default());
        let mut hosts = Vec::new();
        for who in [0, 1] {
            let mut config = <Peerline>::config(who)?;
            change(&mut config);
            let inside = SocketAddr::from(([192, 168, who as u8, 2], 5000));
            let outside = IpAddr::from([203, 0, 113, who as u8 + 1]);
            hosts.push(match way {
                Way::Direct | Way::IceTcp | Way::Relayed(_) => {
                    let address = SocketAddr::new(outside, inside.port());
                    let host = Host::new(network.now(), way, address, config);
                    network.add(Node::Host(Box::new(host)), [outside])
                }
                Way::Reflexive => {
                    let gateway = Gateway::nat(Dependence::EndpointIndependent, Dependence::AddressAndPortDependent);
                    let gateway = network.add_gateway(gateway, [outside]);
                    let host = Host::new(network.now(), way, inside, config);
                    network.add_behind(gateway, Node::Host(Box::new(host)), [inside.ip()])
                }
            });
        }
        let hosts = [hosts[0], hosts[1]];
        Ok(Self { network, hosts })
    }

    fn host(&mut self, who: usize) -> &mut Host {
        self.network.host_mut(self.hosts[who]).as_host()
    }

    /// Offer and answer, without candidates.
    fn negotiate(&mut self) -> Result<()> {
        let now = self.network.now();
        let offerer = self.host(0);
        offerer.open(now)?;
        let offer = offerer.connection.create_offer(OfferOptions::default())?;
        offerer.connection.set_local_description(now, offer.clone())?;
        let answerer = self.host(1);
        answerer.connection.set_remote_description(now, offer)?;
        let answer = answerer.connection.create_answer()?;
        answerer.connection.set_local_description(now, answer.clone())?;
        Ok(self.host(0).connection.set_remote_description(now, answer)?)
    }

    /// Passes candidates on; false if there are none.
    fn signal(&mut self) -> Result<bool> {
        let mut any = false;
        for who in [0, 1] {
            let now = self.network.now();
            for event in self.network.take_events(self.hosts[who]) {
                if let Event::IceCandidate(candidate) = event {
                    self.host(1 - who).connection.add_ice_candidate(now, candidate)?;
                    any = true;
                }
            }
        }
        Ok(any)
    }
}

impl Node {
    fn as_host(&mut self) -> &mut Host {
        match self {
            Self::Host(host) => host,
            Self::Server(_) => unreachable!("it is a host"),
        }
    }

    fn is_open(&self) -> bool {
        match self {
            Self::Host(host) => host.is_open(),
            Self::Server(_) => unreachable!("it is a host"),
        }
    }
}

impl Machine for Node {
    type Event = Event;
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        match self {
            Self::Host(host) => host.handle_datagram(now, datagram),
            Self::Server(server) => server.handle_datagram(now, datagram),
        }
    }
    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Host(host) => host.handle_timeout(now),
            Self::Server(server) => server.handle_timeout(now),
        }
    }
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        match self {
            Self::Host(host) => host.poll_transmit(now, out),
            Self::Server(server) => server.poll_transmit(now, out),
        }
    }
    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Host(host) => host.poll_timeout(),
            Self::Server(server) => server.poll_timeout(),
        }
    }
    fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Host(host) => host.news.pop_front(),
            Self::Server(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Round trips, as the protocols need them. ICE and DTLS 1.3 go at once (SPED), SCTP's handshake is signalled (SNAP): two, as the
    /// channel's first message comes behind the client's Finished. Before that, a STUN server's answer is one, a connection over TCP
    /// one, one of TLS 1.3 two; an allocation is two, since the first request has no nonce, and makes a round trip between the peers
    /// as long as two. The permission is asked for right before the first check, and not waited for.
    #[rustfmt::skip]
    const WAYS: [(Way, u32); 6] = [
        (Way::Direct,                     2),
        (Way::Reflexive,              1 + 2),
        (Way::IceTcp,                 1 + 2),
        (Way::Relayed(ServerBy::Udp),     2 + 2 * 2),
        (Way::Relayed(ServerBy::Tcp), 1 + 2 + 2 * 2),
        (Way::Relayed(ServerBy::Tls), 2 + 2 + 2 * 2),
    ];

    /// The flights of DTLS are more than one check carries: the rest follows at 5 ms, twice.
    const PACE: Duration = Duration::from_millis(10);

    #[test]
    fn no_way_takes_longer_than_its_round_trips() {
        for (way, round_trips) in WAYS {
            for rtt in [50, 200].map(Duration::from_millis) {
                let took = connect(way, rtt, |_| ()).expect("a connection");
                assert!(took <= round_trips * rtt + PACE, "{way:?} with {rtt:?}: {took:?}");
            }
        }
    }

    /// As with a browser: DTLS comes after ICE, and SCTP's handshake after DTLS. Each adds a round trip between the peers.
    #[test]
    fn without_extensions_it_is_two_round_trips_more() {
        for (way, round_trips) in WAYS {
            let more = if matches!(way, Way::Relayed(_)) { 2 * 2 } else { 2 };
            let plain = |config: &mut Config| (config.sped, config.snap) = (false, false);
            let rtt = Duration::from_millis(200);
            let took = connect(way, rtt, plain).expect("a connection");
            assert_eq!(took, (round_trips + more) * rtt, "{way:?}");
        }
    }
}
