//! Names in `.local` for addresses of this host, by which they are hidden from pages and servers that signal, and found by who is
//! in the same network (draft-ietf-mmusic-mdns-ice-candidates §3.1, RFC 6762).
//!
//! One socket a family and process, with one thread, begun by the first name. It is deaf where no name is told: it joins the group on
//! the interfaces that have names, and leaves with the last.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use if_addrs::{IfAddr, Interface};
use socket_pktinfo::PktInfoUdpSocket;
use socket2::Domain;

use super::names::{Names, PORT, Query};
use crate::{driver, interfaces};

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// "[...] one second apart" (RFC 6762 §8.3).
const AGAIN: Duration = Duration::from_secs(1);

/// A name that is told for as long as this lives, and then taken back.
#[derive(Debug)]
pub(crate) struct Announced {
    responder: &'static Responder,
    name: String,
    place: Place,
}

#[derive(Debug)]
struct Responder {
    v4: Option<PktInfoUdpSocket>,
    v6: Option<PktInfoUdpSocket>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    names: Names,
    /// Where there are names, and how many. Who sends has the lock: which interface a socket sends on is its state.
    places: Vec<(Place, usize)>,
}

/// An interface.
#[derive(Clone, Debug)]
struct Place {
    index: u32,
    addresses: Vec<IfAddr>,
}

/// Tells everybody on an address's interface that it has this name; again a second later. `None` if the address is of no
/// interface, or there is no socket.
pub(crate) fn announce(now: Instant, name: &str, address: IpAddr) -> Option<Announced> {
    static RESPONDER: OnceLock<Responder> = OnceLock::new();
    let mut is_first = false;
    let responder = RESPONDER.get_or_init(|| {
        is_first = true;
        Responder::new()
    });
    if is_first {
        responder.start();
    }
    let place = Place::of(address, &interfaces::all(now))?;
    let announced = Announced {
        responder,
        name: name.to_owned(),
        place,
    };
    let mut inner = responder.lock();
    responder.enter(&mut inner, &announced.place);
    let payload = inner.names.insert(now, name, address, announced.place.index)?;
    responder.tell_all(&announced.place, &payload);
    drop(inner);
    let (name, place) = (announced.name.clone(), announced.place.clone());
    tokio::spawn(async move {
        tokio::time::sleep(AGAIN).await;
        let mut inner = responder.lock();
        if let Some(payload) = inner.names.announce(driver::now(), &name) {
            responder.tell_all(&place, &payload);
        }
    });
    Some(announced)
}

impl Announced {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let mut inner = self.responder.lock();
        if let Some(payload) = inner.names.remove(&self.name) {
            self.responder.tell_all(&self.place, &payload);
        }
        self.responder.leave(&mut inner, &self.place);
    }
}

impl Responder {
    fn new() -> Self {
        Self {
            v4: bind(Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).ok(),
            v6: bind(Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))).ok(),
            inner: Mutex::default(),
        }
    }

    /// Listens from now on. Without a thread nobody is answered, but what is announced is heard.
    fn start(&'static self) {
        for socket in [&self.v4, &self.v6].into_iter().flatten() {
            let thread = std::thread::Builder::new().name("peerline-mdns".into());
            let _ = thread.spawn(move || self.serve(socket));
        }
    }

    #[allow(clippy::disallowed_methods, reason = "a thread of its own that does nothing else")]
    fn serve(&self, socket: &PktInfoUdpSocket) {
        // "[...] up to 9000 bytes" (RFC 6762 §17).
        let (mut buffer, mut errors) = (vec![0; 9000], 0);
        loop {
            let Ok((len, info)) = socket.recv(&mut buffer) else {
                // One may be an empty datagram; a system that has nothing but errors is not asked all the time.
                errors = 100.min(errors + 1);
                std::thread::sleep(Duration::from_millis(errors));
                continue;
            };
            errors = 0;
            let (Ok(interface), payload) = (u32::try_from(info.if_index), buffer.get(..len).unwrap_or_default()) else {
                continue;
            };
            let query = Query {
                payload,
                interface,
                from: info.addr_src,
            };
            self.answer(socket, query);
        }
    }

    fn answer(&self, socket: &PktInfoUdpSocket, query: Query<'_>) {
        let mut inner = self.lock();
        if inner.names.is_empty() {
            return;
        }
        let mut places = inner.places.iter().map(|(place, _)| place);
        let Some(place) = places.find(|place| place.index == query.interface).cloned() else {
            return;
        };
        // "[...] the source address [...] MUST be on-link" (RFC 6762 §11): nobody else is told, nor has others told.
        if !place.is_on_link(query.from.ip()) {
            return;
        }
        let Some(answer) = inner.names.answer(driver::now(), query) else {
            return;
        };
        match answer.to {
            Some(to) => drop(socket.send_to(&answer.payload, &to.into())),
            None => self.tell_all(&place, &answer.payload),
        }
    }

    /// Sends on an interface, to the groups of both families; within the lock. That it cannot is no news: the name is not found
    /// then.
    fn tell_all(&self, place: &Place, payload: &[u8]) {
        if let (Some(socket), Some(address)) = (&self.v4, place.v4()) {
            let to = SocketAddr::from((GROUP_V4, PORT));
            let sent = socket.set_multicast_if_v4(&address);
            let _ = sent.and_then(|()| socket.send_to(payload, &to.into()));
        }
        if let (Some(socket), true) = (&self.v6, place.has_v6()) {
            let to = SocketAddrV6::new(GROUP_V6, PORT, 0, place.index);
            let sent = socket.set_multicast_if_v6(place.index);
            let _ = sent.and_then(|()| socket.send_to(payload, &to.into()));
        }
    }

    fn enter(&self, inner: &mut Inner, place: &Place) {
        if let Some((_, count)) = inner.places.iter_mut().find(|(known, _)| known.index == place.index) {
            *count += 1;
            return;
        }
        inner.places.push((place.clone(), 1));
        if let (Some(socket), Some(address)) = (&self.v4, place.v4()) {
            let _ = socket.join_multicast_v4(&GROUP_V4, &address);
        }
        if let (Some(socket), true) = (&self.v6, place.has_v6()) {
            let _ = socket.join_multicast_v6(&GROUP_V6, place.index);
        }
    }

    fn leave(&self, inner: &mut Inner, place: &Place) {
        let Some(index) = inner.places.iter().position(|(known, _)| known.index == place.index) else {
            return;
        };
        if let Some((_, count)) = inner.places.get_mut(index)
            && *count > 1
        {
            *count -= 1;
            return;
        }
        let (place, _) = inner.places.swap_remove(index);
        if let (Some(socket), Some(address)) = (&self.v4, place.v4()) {
            let _ = socket.leave_multicast_v4(&GROUP_V4, &address);
        }
        if let (Some(socket), true) = (&self.v6, place.has_v6()) {
            let _ = socket.leave_multicast_v6(&GROUP_V6, place.index);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The interface that has this address.
    fn of(address: IpAddr, interfaces: &[Interface]) -> Option<Self> {
        let own = interfaces.iter().find(|interface| interface.ip() == address)?;
        let index = own.index?;
        let same = interfaces.iter().filter(|interface| interface.index == Some(index));
        Some(Self {
            index,
            addresses: same.map(|interface| interface.addr.clone()).collect(),
        })
    }

    fn v4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|address| match address {
            IfAddr::V4(v4) => Some(v4.ip),
            IfAddr::V6(_) => None,
        })
    }

    fn has_v6(&self) -> bool {
        self.addresses.iter().any(|address| matches!(address, IfAddr::V6(_)))
    }

    /// Whether this is an address of the link.
    fn is_on_link(&self, ip: IpAddr) -> bool {
        let is_alike = |address: &IfAddr| match (address, ip) {
            (IfAddr::V4(own), IpAddr::V4(ip)) => {
                let mask = own.netmask.to_bits();
                own.ip.to_bits() & mask == ip.to_bits() & mask
            }
            (IfAddr::V6(own), IpAddr::V6(ip)) => {
                let mask = own.netmask.to_bits();
                ip.is_unicast_link_local() || own.ip.to_bits() & mask == ip.to_bits() & mask
            }
            (IfAddr::V4(_), IpAddr::V6(_)) | (IfAddr::V6(_), IpAddr::V4(_)) => false,
        };
        self.addresses.iter().any(is_alike)
    }
}

/// A socket that others on this host may have as well, and that hears what they say: avahi, browsers, and our own resolver.
fn bind(domain: Domain, address: SocketAddr) -> io::Result<PktInfoUdpSocket> {
    let socket = PktInfoUdpSocket::new(domain)?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    // "All Multicast DNS responses [...] SHOULD be sent with IP TTL set to 255" (RFC 6762 §11).
    if domain == Domain::IPV4 {
        socket.set_multicast_loop_v4(true)?;
        socket.set_multicast_ttl_v4(255)?;
    } else {
        // Its options are the socket's.
        socket2::SockRef::from(&socket.try_clone_std()?).set_only_v6(true)?;
        socket.set_multicast_loop_v6(true)?;
        socket.set_multicast_hops_v6(255)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}
