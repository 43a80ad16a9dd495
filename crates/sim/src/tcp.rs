//! [`Tcp`]: connections over a [`Network`](crate::Network) that carry messages whole, in order and once, as far as machines that
//! use TCP can tell the difference.
//!
//! It is no model of TCP's congestion control: of what the network loses every segment is sent again, at an interval that doubles.
//! What it has in common with TCP is what matters to those who look for a path: a handshake that takes a round trip and that gateways
//! know ([`Transport::Tcp`]), a refusal where nobody listens, both sides connecting at once, and an end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

/// The first interval at which what was not acknowledged is sent again.
const RTO: Duration = Duration::from_millis(300);

/// How often a segment is sent before the connection counts as broken.
const MAX_TRANSMISSIONS: u32 = 8;

/// A host's connections.
#[derive(Debug, Default)]
pub struct Tcp {
    listeners: BTreeSet<SocketAddr>,
    connections: BTreeMap<FiveTuple, Connection>,
    outgoing: VecDeque<(FiveTuple, Vec<u8>)>,
    events: VecDeque<TcpEvent>,
    ports: u16,
}

/// What has happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpEvent {
    /// The one that [`connect`](Tcp::connect) began is there.
    Connected(FiveTuple),
    /// One has come to a listener.
    Accepted(FiveTuple),
    /// A message has come.
    Received(FiveTuple, BytesMut),
    /// The other side has ended or refused it, or it is broken.
    Closed(FiveTuple),
}

#[derive(Debug)]
struct Connection {
    is_open: bool,
    /// What is not acknowledged, with the first segment's number.
    unacknowledged: VecDeque<Vec<u8>>,
    first: u32,
    /// The number of the segment that comes next.
    expected: u32,
    transmissions: u32,
    resend_at: Instant,
}

/// The kinds of segments; all begin with one of these and a number.
const SYN: u8 = 1;
const DATA: u8 = 2;
const ACK: u8 = 3;
const RESET: u8 = 4;

impl Tcp {
    /// Takes connections to this address from now on.
    pub fn listen(&mut self, address: SocketAddr) {
        self.listeners.insert(address);
    }

    /// Begins a connection from a port of its own, or from this one if it is not 0.
    pub fn connect(&mut self, now: Instant, mut local: SocketAddr, remote: SocketAddr) -> FiveTuple {
        if local.port() == 0 {
            self.ports += 1;
            local.set_port(50_000 + self.ports);
        }
        let path = FiveTuple {
            local,
            remote,
            transport: Transport::Tcp,
        };
        self.connections.entry(path).or_insert_with(|| Connection::new(now));
        self.send_first(path);
        path
    }

    /// Sends a message. Lost, if there is no such connection.
    pub fn send(&mut self, now: Instant, path: &FiveTuple, message: &[u8]) {
        let Some(connection) = self.connections.get_mut(path) else {
            return;
        };
        if connection.unacknowledged.is_empty() {
            (connection.transmissions, connection.resend_at) = (1, now + RTO);
        }
        let number = connection.first.wrapping_add(connection.unacknowledged.len() as u32);
        let segment = segment(DATA, number, message);
        connection.unacknowledged.push_back(segment.clone());
        self.outgoing.push_back((*path, segment));
    }

    /// Ends a connection, or the attempt at one.
    pub fn close(&mut self, path: &FiveTuple) {
        if self.connections.remove(path).is_some() {
            self.outgoing.push_back((*path, segment(RESET, 0, &[])));
        }
    }

    /// A host that has restarted: its connections are gone, and nobody is told.
    pub fn forget_all(&mut self) {
        self.connections.clear();
    }

    /// Those that are there, and those that have been begun.
    pub fn connections(&self) -> impl Iterator<Item = &FiveTuple> {
        self.connections.keys()
    }

    /// True if the address is gone from this host: what has it is broken at once.
    pub fn lose_address(&mut self, ip: IpAddr) {
        let lost: Vec<FiveTuple> = self
            .connections
            .keys()
            .copied()
            .filter(|path| path.local.ip() == ip)
            .collect();
        for path in lost {
            self.connections.remove(&path);
            self.events.push_back(TcpEvent::Closed(path));
        }
    }

    /// A datagram with [`Transport::Tcp`] has come.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        let (path, mut payload) = (datagram.five_tuple, datagram.payload);
        if payload.len() < 5 {
            return;
        }
        let (kind, number) = (payload.get_u8(), payload.get_u32());
        if kind == RESET {
            if self.connections.remove(&path).is_some() {
                self.events.push_back(TcpEvent::Closed(path));
            }
            return;
        }
        let Some(connection) = self.connections.get_mut(&path) else {
            if kind == SYN && self.listeners.contains(&path.local) {
                let connection = Connection {
                    is_open: true,
                    expected: 1,
                    ..Connection::new(now)
                };
                self.connections.insert(path, connection);
                self.events.push_back(TcpEvent::Accepted(path));
                self.outgoing.push_back((path, segment(ACK, 1, &[])));
                self.send_first(path);
            } else if kind != ACK {
                self.outgoing.push_back((path, segment(RESET, 0, &[])));
            }
            return;
        };
        match kind {
            ACK => self.acknowledge(now, &path, number),
            _ if number == connection.expected => {
                connection.expected = number.wrapping_add(1);
                let acknowledgement = segment(ACK, connection.expected, &[]);
                self.outgoing.push_back((path, acknowledgement));
                self.open(path);
                if kind == DATA {
                    self.events.push_back(TcpEvent::Received(path, payload));
                }
            }
            // It has come before, or one before it has not.
            _ => self.outgoing.push_back((path, segment(ACK, connection.expected, &[]))),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |connection: &Connection| connection.resend_at <= now && !connection.unacknowledged.is_empty();
        let due: Vec<FiveTuple> = self
            .connections
            .iter()
            .filter(|(_, it)| due(it))
            .map(|(path, _)| *path)
            .collect();
        for path in due {
            let Some(connection) = self.connections.get_mut(&path) else {
                continue;
            };
            if connection.transmissions >= MAX_TRANSMISSIONS {
                self.connections.remove(&path);
                self.events.push_back(TcpEvent::Closed(path));
                continue;
            }
            connection.resend_at = now + RTO * (1 << connection.transmissions);
            connection.transmissions += 1;
            for segment in &connection.unacknowledged {
                self.outgoing.push_back((path, segment.clone()));
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.connections.values().filter(|it| !it.unacknowledged.is_empty());
        waiting.map(|it| it.resend_at).min()
    }

    /// Appends a segment to `out`, or leaves it.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let (five_tuple, segment) = self.outgoing.pop_front()?;
        out.extend_from_slice(&segment);
        Some(Transmit {
            five_tuple,
            ecn: None,
            len: segment.len(),
        })
    }

    /// The next piece of news.
    pub fn poll_event(&mut self) -> Option<TcpEvent> {
        self.events.pop_front()
    }

    /// Sends what has not been acknowledged.
    fn send_first(&mut self, path: FiveTuple) {
        let segments = self
            .connections
            .get(&path)
            .into_iter()
            .flat_map(|it| &it.unacknowledged);
        self.outgoing.extend(segments.map(|segment| (path, segment.clone())));
    }

    /// Everything before this number has come to the other side.
    fn acknowledge(&mut self, now: Instant, path: &FiveTuple, number: u32) {
        let Some(connection) = self.connections.get_mut(path) else {
            return;
        };
        let acknowledged = number.wrapping_sub(connection.first) as usize;
        if acknowledged == 0 || acknowledged > connection.unacknowledged.len() {
            return;
        }
        connection.unacknowledged.drain(..acknowledged);
        connection.first = number;
        (connection.transmissions, connection.resend_at) = (1, now + RTO);
        self.open(*path);
    }

    fn open(&mut self, path: FiveTuple) {
        let Some(connection) = self.connections.get_mut(&path) else {
            return;
        };
        if !std::mem::replace(&mut connection.is_open, true) {
            self.events.push_back(TcpEvent::Connected(path));
        }
    }
}

impl Connection {
    /// One of which nothing but the beginning has been sent.
    fn new(now: Instant) -> Self {
        Self {
            is_open: false,
            unacknowledged: VecDeque::from([segment(SYN, 0, &[])]),
            first: 0,
            expected: 0,
            transmissions: 1,
            resend_at: now + RTO,
        }
    }
}

fn segment(kind: u8, number: u32, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![kind];
    segment.extend_from_slice(&number.to_be_bytes());
    segment.extend_from_slice(payload);
    segment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gateway, Link, Machine, Network};

    impl Machine for Tcp {
        type Event = TcpEvent;
        fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
            Self::handle_datagram(self, now, datagram);
        }
        fn handle_timeout(&mut self, now: Instant) {
            Self::handle_timeout(self, now);
        }
        fn poll_transmit(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
            Self::poll_transmit(self, out)
        }
        fn poll_timeout(&self) -> Option<Instant> {
            Self::poll_timeout(self)
        }
        fn poll_event(&mut self) -> Option<TcpEvent> {
            Self::poll_event(self)
        }
    }

    const SERVER: &str = "192.0.2.2:2000";

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn messages_arrive_once_and_in_order_whatever_is_lost() {
        let link = Link {
            loss: 0.3,
            reorder: 0.2,
            duplicate: 0.2,
            ..Link::delay(Duration::from_millis(20))
        };
        let mut net = Network::new(7, link);
        let [client, server] =
            ["192.0.2.1", "192.0.2.2"].map(|ip| net.add(Tcp::default(), [ip.parse().expect("an IP")]));
        net.host_mut(server).listen(addr(SERVER));
        let now = net.now();
        let path = net.host_mut(client).connect(now, addr("192.0.2.1:0"), addr(SERVER));
        for number in 0..50 {
            net.host_mut(client).send(now, &path, &[number]);
            net.run_for(Duration::from_millis(10));
        }
        net.run_for(Duration::from_secs(60));
        assert_eq!(net.take_events(client), [TcpEvent::Connected(path)]);
        let mut expected = vec![TcpEvent::Accepted(path.reversed())];
        expected.extend((0..50).map(|number| TcpEvent::Received(path.reversed(), BytesMut::from(&[number][..]))));
        assert_eq!(net.take_events(server), expected);
        net.host_mut(server).close(&path.reversed());
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.take_events(client), [TcpEvent::Closed(path)]);
    }

    #[test]
    fn who_does_not_listen_refuses_and_who_does_not_answer_is_given_up() {
        let mut net = Network::new(7, Link::delay(Duration::from_millis(20)));
        let firewall = net.add_gateway(Gateway::firewall(true), []);
        let client = net.add(Tcp::default(), [addr("192.0.2.1:1").ip()]);
        net.add(Tcp::default(), [addr(SERVER).ip()]);
        net.add_behind(firewall, Tcp::default(), [addr("192.0.2.3:1").ip()]);
        let (now, local) = (net.now(), addr("192.0.2.1:0"));
        let refused = net.host_mut(client).connect(now, local, addr(SERVER));
        let unheard = net.host_mut(client).connect(now, local, addr("192.0.2.3:3000"));
        net.run_for(Duration::from_millis(50));
        assert_eq!(net.take_events(client), [TcpEvent::Closed(refused)]);
        net.run_for(Duration::from_secs(200));
        assert_eq!(net.take_events(client), [TcpEvent::Closed(unheard)]);
    }

    #[test]
    fn two_who_connect_at_once_share_a_connection() {
        let mut net = Network::new(7, Link::delay(Duration::from_millis(20)));
        let walls = [0, 1].map(|_| net.add_gateway(Gateway::firewall(true), []));
        let (one, other) = (addr("192.0.2.1:1000"), addr(SERVER));
        let hosts = [(walls[0], one), (walls[1], other)]
            .map(|(wall, address)| net.add_behind(wall, Tcp::default(), [address.ip()]));
        let now = net.now();
        let path = net.host_mut(hosts[0]).connect(now, one, other);
        assert_eq!(net.host_mut(hosts[1]).connect(now, other, one), path.reversed());
        net.run_for(Duration::from_secs(1));
        net.host_mut(hosts[0]).send(now, &path, b"hello");
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.take_events(hosts[0]), [TcpEvent::Connected(path)]);
        let hello = TcpEvent::Received(path.reversed(), BytesMut::from(&b"hello"[..]));
        assert_eq!(net.take_events(hosts[1]), [TcpEvent::Connected(path.reversed()), hello]);
    }
}
