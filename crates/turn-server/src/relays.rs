//! [`Relays`]: sockets for peers, found by name and by address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;

use peerline_turn::server::{OpenRelay, RelayId, RelayPort};
use peerline_udp::Socket;
use peerline_wire::Transport;
use rand::RngExt;
use socket2::{Domain, Protocol, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;

use crate::ready::{Bell, Key, Ready};
use crate::{BindError, Config};

/// How many ports are tried before a relay is given up.
const ATTEMPTS: usize = 100;

/// The address of one family that relays have.
#[derive(Clone, Copy, Debug)]
struct Place {
    bound: IpAddr,
    /// What peers see.
    seen: IpAddr,
    /// Peers at this address are other relays or nobody: the filter does not let clients reach the host itself.
    only_relays: bool,
}

/// All relays.
pub(crate) struct Relays {
    places: Vec<Place>,
    ports: RangeInclusive<u16>,
    open: HashMap<RelayId, Relay>,
    /// By what peers see.
    by_seen: HashMap<SocketAddr, RelayId>,
    by_bound: HashMap<SocketAddr, RelayId>,
}

struct Relay {
    bound: SocketAddr,
    seen: SocketAddr,
    kind: Kind,
}

enum Kind {
    Udp(Socket),
    /// Who accepts connections (RFC 6062), once it does.
    Tcp(Option<AbortHandle>),
}

/// A relay that was opened: what peers see, and where connections to it come, if it is for TCP.
pub(crate) struct Opened {
    pub(crate) relay: RelayId,
    pub(crate) seen: SocketAddr,
    pub(crate) listener: Option<TcpListener>,
}

impl Relays {
    /// Says which addresses relays have, and tells the machine: which families there are, and that relays may reach each other.
    pub(crate) fn new(config: &mut Config) -> Result<Self, BindError> {
        let bound = match config.relay_addresses.is_empty() {
            true => addresses_of(&config.listen),
            false => config.relay_addresses.clone(),
        };
        one_of_each(&bound)?;
        one_of_each(&config.external_addresses)?;
        let mut places = Vec::new();
        for bound in bound {
            UdpSocket::bind((bound, 0)).map_err(|error| BindError::Address((bound, 0).into(), error))?;
            let mut external = config.external_addresses.iter().copied();
            let seen = external.find(|ip| ip.is_ipv4() == bound.is_ipv4()).unwrap_or(bound);
            let only_relays = config
                .turn
                .filter
                .check(seen)
                .is_err_and(|why| why != peerline_turn::Refusal::Denied);
            if only_relays {
                config.turn.filter = config.turn.filter.clone().allow(seen.into());
            }
            places.push(Place {
                bound,
                seen,
                only_relays,
            });
        }
        let has_family = |ipv4: bool| places.iter().any(|place| place.bound.is_ipv4() == ipv4);
        let missing = |ip: &&IpAddr| !has_family(ip.is_ipv4());
        if let Some(&external) = config.external_addresses.iter().find(missing) {
            return Err(BindError::NoRelay(external));
        }
        config.turn.families.ipv4 = has_family(true);
        config.turn.families.ipv6 = has_family(false);
        Ok(Self {
            places,
            ports: config.relay_ports.clone(),
            open: HashMap::new(),
            by_seen: HashMap::new(),
            by_bound: HashMap::new(),
        })
    }

    /// Opens what is asked for: one relay, or two with neighbouring ports.
    pub(crate) fn open(&mut self, wish: OpenRelay, ready: &Arc<Ready>) -> io::Result<Vec<Opened>> {
        let place = self.places.iter().find(|place| place.bound.is_ipv4() == wish.ipv4);
        let place = *place.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..ATTEMPTS {
            // "It is RECOMMENDED that a TURN server implement a randomized port assignment algorithm" (RFC 8656 §7.2).
            let port = rand::rng().random_range(self.ports.clone());
            let opened = match wish.port {
                RelayPort::Any => self.bind(wish.relay, &wish, place, port, ready).map(|one| vec![one]),
                RelayPort::Even => self
                    .bind(wish.relay, &wish, place, port & !1, ready)
                    .map(|one| vec![one]),
                RelayPort::EvenWithNext(next) => self.bind_two(next, &wish, place, port & !1, ready),
            };
            match opened {
                Ok(opened) => return Ok(opened),
                // Other ports would meet the same: no descriptors are left, or no such address.
                Err(error) if !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
                    return Err(error);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn bind_two(
        &mut self,
        next: RelayId,
        wish: &OpenRelay,
        place: Place,
        port: u16,
        ready: &Arc<Ready>,
    ) -> io::Result<Vec<Opened>> {
        let first = self.bind(wish.relay, wish, place, port, ready)?;
        match self.bind(next, wish, place, port | 1, ready) {
            Ok(second) => Ok(vec![first, second]),
            Err(error) => {
                self.close(wish.relay);
                Err(error)
            }
        }
    }

    fn bind(
        &mut self,
        relay: RelayId,
        wish: &OpenRelay,
        place: Place,
        port: u16,
        ready: &Arc<Ready>,
    ) -> io::Result<Opened> {
        if !self.ports.contains(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (bound, seen) = (SocketAddr::new(place.bound, port), SocketAddr::new(place.seen, port));
        let (kind, listener) = match wish.transport {
            Transport::Udp => (Kind::Udp(Socket::bind(bound)?), None),
            Transport::Tcp => {
                let socket = reusable(bound)?;
                socket.listen(16)?;
                let listener = TcpListener::from_std(socket.into())?;
                (Kind::Tcp(None), Some(listener))
            }
        };
        if let Kind::Udp(_) = kind {
            Bell::hang(Key::Relay(relay), ready);
        }
        self.open.insert(relay, Relay { bound, seen, kind });
        self.by_bound.insert(bound, relay);
        self.by_seen.insert(seen, relay);
        Ok(Opened { relay, seen, listener })
    }

    /// This task accepts connections to a relay: it ends with it.
    pub(crate) fn accepts(&mut self, relay: RelayId, task: AbortHandle) {
        if let Some(relay) = self.open.get_mut(&relay) {
            relay.kind = Kind::Tcp(Some(task));
        }
    }

    pub(crate) fn close(&mut self, relay: RelayId) {
        let Some(closed) = self.open.remove(&relay) else {
            return;
        };
        self.by_bound.remove(&closed.bound);
        self.by_seen.remove(&closed.seen);
        if let Kind::Tcp(Some(task)) = closed.kind {
            task.abort();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// The socket of a relay for UDP.
    pub(crate) fn socket(&self, relay: RelayId) -> Option<&Socket> {
        match &self.open.get(&relay)?.kind {
            Kind::Udp(socket) => Some(socket),
            Kind::Tcp(_) => None,
        }
    }

    pub(crate) fn socket_at(&self, bound: SocketAddr) -> Option<&Socket> {
        self.socket(*self.by_bound.get(&bound)?)
    }

    /// From where, and where to, a relay sends what is for this peer; `None` if that is on this host and no relay.
    pub(crate) fn path(&self, relay: RelayId, peer: SocketAddr) -> Option<(SocketAddr, SocketAddr)> {
        let from = self.open.get(&relay)?.bound;
        let Some(place) = self.places.iter().find(|place| place.seen == peer.ip()) else {
            return Some((from, peer));
        };
        match self.by_seen.get(&peer).and_then(|other| self.open.get(other)) {
            // No NAT needs to send it back.
            Some(other) => Some((from, other.bound)),
            None if place.only_relays => None,
            None => Some((from, peer)),
        }
    }

    /// As who a sender is known: another relay by what peers see of it.
    pub(crate) fn sender(&self, from: SocketAddr) -> SocketAddr {
        if self.places.iter().all(|place| place.bound == place.seen) {
            return from;
        }
        let relay = self.by_bound.get(&from).and_then(|relay| self.open.get(relay));
        relay.map_or(from, |relay| relay.seen)
    }
}

/// Connects to a peer from the address of a relay (RFC 6062 §5.2).
pub(crate) async fn connect(from: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = reusable(from)?;
    let stream = TcpSocket::from_std_stream(socket.into()).connect(peer).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A socket that listens, and others that connect, have the address of the relay.
fn reusable(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn one_of_each(addresses: &[IpAddr]) -> Result<(), BindError> {
    if addresses.iter().any(IpAddr::is_unspecified) {
        return Err(BindError::Wildcard);
    }
    for (index, one) in addresses.iter().enumerate() {
        let same = |other: &&IpAddr| other.is_ipv4() == one.is_ipv4();
        if let Some(other) = addresses.iter().take(index).find(same) {
            return Err(BindError::TwoOfOneFamily(*other, *one));
        }
    }
    Ok(())
}

/// The first address of each family; in place of a wildcard, that with which this host reaches others.
fn addresses_of(listen: &[SocketAddr]) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in listen {
        let ip = match address.ip() {
            ip if !ip.is_unspecified() => Some(ip),
            ip => outbound_address(ip),
        };
        let is_new = |ip: &IpAddr| !found.iter().any(|other| other.is_ipv4() == ip.is_ipv4());
        found.extend(ip.filter(is_new));
    }
    found
}

/// The address of this host from where it would send to the Internet; the loopback address without any. Nothing is sent.
fn outbound_address(wildcard: IpAddr) -> Option<IpAddr> {
    let far = match wildcard {
        IpAddr::V4(_) => "192.0.2.1",
        IpAddr::V6(_) => "2001:db8::1",
    };
    let socket = UdpSocket::bind((wildcard, 0)).ok()?;
    let routed = socket.connect((far, 9)).and_then(|()| socket.local_addr());
    match (routed, wildcard) {
        (Ok(address), _) => Some(address.ip()),
        (Err(_), IpAddr::V4(_)) => Some(std::net::Ipv4Addr::LOCALHOST.into()),
        (Err(_), IpAddr::V6(_)) => None,
    }
}
