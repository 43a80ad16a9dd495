//! ICE over TCP (RFC 6544): connections are made and taken, datagrams framed (RFC 4571), and kept while they wait to be written.
//! Which connections are wanted is ICE's to say.

mod listener;
mod wire;

use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use peerline_connection::{TcpType, framing};
use peerline_wire::{Datagram, FiveTuple};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::configuration::{IceTcp, Network};
use crate::endpoint::Hub;
use crate::interfaces;
use crate::shared::{Phase, Shared};

use listener::share;
pub(crate) use listener::{bind, serve};
use wire::Wire;

/// How many connections may have come, and wait for the driver.
const MAX_ARRIVALS: usize = 32;

/// The connections over TCP of one peer.
#[derive(Default)]
pub(crate) struct Connections {
    wires: HashMap<FiveTuple, Arc<Wire>>,
    /// What is to be begun by the driver, to whom tasks belong.
    jobs: Vec<Job>,
}

/// What the driver begins.
pub(crate) enum Job {
    /// ICE wants this connection.
    Connect(FiveTuple, Arc<Wire>),
    /// This one has come, with what was read.
    Serve(FiveTuple, Arc<Wire>, BytesMut),
}

impl Connections {
    /// ICE wants a connection.
    pub(crate) fn connect(&mut self, path: FiveTuple) {
        let wire = Arc::new(Wire::default());
        self.wires.insert(path, Arc::clone(&wire));
        self.jobs.push(Job::Connect(path, wire));
    }

    /// Somebody has connected to us. False if there are too many.
    fn accept(&mut self, path: FiveTuple, stream: TcpStream, read: BytesMut) -> bool {
        if self.jobs.len() >= MAX_ARRIVALS {
            return false;
        }
        let wire = Arc::new(Wire::over(stream));
        self.wires.insert(path, Arc::clone(&wire));
        self.jobs.push(Job::Serve(path, wire, read));
        true
    }

    /// ICE does not want a connection any more.
    pub(crate) fn close(&mut self, path: &FiveTuple) {
        if let Some(wire) = self.wires.remove(path) {
            wire.close();
        }
    }

    pub(crate) fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    pub(crate) fn take_jobs(&mut self) -> Vec<Job> {
        mem::take(&mut self.jobs)
    }

    /// Takes one datagram, to be [flushed](Self::flush); false if there is no such connection.
    pub(crate) fn write(&self, path: &FiveTuple, datagram: &[u8]) -> bool {
        let wire = self.wires.get(path);
        wire.is_some_and(|wire| {
            wire.put(datagram);
            true
        })
    }

    /// Writes what waits, as far as the system takes it.
    pub(crate) fn flush(&self) {
        self.wires.values().for_each(|wire| wire.flush());
    }

    /// A wire has ended by itself: true if ICE is to be told.
    fn forget(&mut self, path: &FiveTuple, wire: &Arc<Wire>) -> bool {
        let is_known = self.wires.get(path).is_some_and(|known| Arc::ptr_eq(known, wire));
        if is_known {
            self.wires.remove(path);
        }
        is_known
    }
}

impl Job {
    /// Carries datagrams between ICE and the other side until one of them ends it.
    pub(crate) async fn run(self, shared: Arc<Shared>) {
        let (path, wire, read) = match self {
            Self::Serve(path, wire, read) => {
                shared.update(|state, now| state.connection.tcp_accepted(now, &path));
                (path, wire, read)
            }
            Self::Connect(path, wire) => {
                let connected = tokio::select! {
                    stream = connect(&path) => stream.ok(),
                    () = wire.closed() => None,
                };
                let Some(stream) = connected else {
                    return shared.end_tcp(&path, &wire);
                };
                let _ = wire.stream.set(stream);
                shared.update(|state, now| state.connection.tcp_connected(now, &path));
                (path, wire, BytesMut::new())
            }
        };
        wire.converse(&shared, path, read).await;
        shared.end_tcp(&path, &wire);
    }
}

impl Shared {
    /// A connection is over.
    fn end_tcp(&self, path: &FiveTuple, wire: &Arc<Wire>) {
        self.update(|state, now| {
            if state.tcp.as_mut().is_some_and(|tcp| tcp.forget(path, wire)) {
                state.connection.tcp_closed(now, path);
            }
        });
    }

    /// Hands over the datagrams that are whole.
    fn deliver_framed(&self, five_tuple: FiveTuple, buffer: &mut BytesMut) {
        self.update(|state, now| {
            while let Some(payload) = framing::split(buffer) {
                let datagram = Datagram {
                    five_tuple,
                    ecn: None,
                    payload,
                };
                state.connection.handle_datagram(now, datagram);
            }
        });
    }

    /// A stranger has named this connection.
    fn welcome_tcp(&self, path: FiveTuple, stream: TcpStream, read: BytesMut) {
        self.update(|state, _| {
            if state.phase == Phase::Running {
                state.tcp.get_or_insert_default().accept(path, stream, read);
            }
        });
    }
}

/// The port of candidates that have none, since they are where connections begin (RFC 6544 §4.5).
const DISCARD: u16 = 9;

/// From the interface of the local candidate: from a port that the system chooses, or, if both sides open the connection, from the
/// one that is listened at.
async fn connect(path: &FiveTuple) -> io::Result<TcpStream> {
    let socket = match path.local {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    let mut local = path.local;
    if local.port() == DISCARD {
        local.set_port(0);
    } else {
        #[cfg(unix)]
        {
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
        }
    }
    socket.bind(local)?;
    let stream = socket.connect(path.remote).await?;
    // Checks are small, and nothing is to wait for more.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What a connection offers over TCP, and the tasks that carry it; dropped with the driver.
#[derive(Default)]
pub(crate) struct Local {
    tasks: JoinSet<()>,
    offered: Vec<Offered>,
}

/// What ICE was told of.
struct Offered {
    address: SocketAddr,
    tcp_type: TcpType,
    /// Whoever listens there for this connection alone.
    listener: Option<AbortHandle>,
}

impl Local {
    /// Begins what ICE wants, or serves what has come.
    pub(crate) fn begin(&mut self, shared: &Arc<Shared>, jobs: Vec<Job>) {
        while self.tasks.try_join_next().is_some() {}
        for job in jobs {
            self.tasks.spawn(job.run(Arc::clone(shared)));
        }
    }

    /// Follows the interfaces: tells ICE of what is [wanted] now and was not, and of what is not any more. Listeners are the
    /// endpoint's, if there is one.
    pub(crate) fn refresh(
        &mut self,
        shared: &Arc<Shared>,
        network: &Network,
        wanted: &[(SocketAddr, TcpType)],
        is_shared: bool,
        now: Instant,
    ) {
        let is_wanted = |offered: &Offered| {
            wanted
                .iter()
                .any(|&(address, tcp_type)| offered.serves(address, tcp_type))
        };
        let (kept, gone): (Vec<_>, Vec<_>) = mem::take(&mut self.offered).into_iter().partition(is_wanted);
        self.offered = kept;
        let before = self.offered.len();
        for &(address, tcp_type) in wanted {
            if !self.offered.iter().any(|offered| offered.serves(address, tcp_type)) {
                let ports = network.port_range.as_ref();
                let needs_listener = tcp_type != TcpType::Active && !is_shared;
                let offered = match needs_listener {
                    true => self.listen(shared, address, tcp_type, ports),
                    false => Some(Offered::new(address, tcp_type, None)),
                };
                self.offered.extend(offered);
            }
        }
        let mut state = shared.lock();
        for Offered {
            address,
            tcp_type,
            listener,
        } in gone
        {
            listener.iter().for_each(AbortHandle::abort);
            state.connection.remove_tcp_address(now, address, tcp_type);
        }
        for Offered { address, tcp_type, .. } in self.offered.iter().skip(before) {
            state.connection.add_tcp_address(now, *address, *tcp_type);
        }
    }

    /// Listens for one connection. `None` if no port is free: other addresses may have one.
    fn listen(
        &mut self,
        shared: &Arc<Shared>,
        address: SocketAddr,
        tcp_type: TcpType,
        ports: Option<&RangeInclusive<u16>>,
    ) -> Option<Offered> {
        let listener = bind(address, ports).ok()?;
        if tcp_type == TcpType::SimultaneousOpen {
            share(&listener).ok()?;
        }
        let mut bound = address;
        bound.set_port(listener.local_addr().ok()?.port());
        let shared = Arc::clone(shared);
        let find = move |_: &FiveTuple, check: &[u8]| {
            let is_named = shared.lock().connection.is_named_by(check);
            is_named.then(|| Arc::clone(&shared))
        };
        let task = self.tasks.spawn(serve(listener, find));
        Some(Offered::new(bound, tcp_type, Some(task)))
    }
}

impl Offered {
    fn new(address: SocketAddr, tcp_type: TcpType, listener: Option<AbortHandle>) -> Self {
        Self {
            address,
            tcp_type,
            listener,
        }
    }

    /// Whether it is what is wanted, at a port of its own where the port does not matter.
    fn serves(&self, mut address: SocketAddr, tcp_type: TcpType) -> bool {
        if address.port() == 0 {
            address.set_port(self.address.port());
        }
        self.tcp_type == tcp_type && self.address == address
    }
}

/// The addresses to offer, with port 0 where a port is to be found. Those to connect from wait until the peer listens.
pub(crate) fn wanted(
    network: &Network,
    hub: Option<&Hub>,
    peer_listens: bool,
    now: Instant,
) -> Vec<(SocketAddr, TcpType)> {
    if network.ice_tcp == IceTcp::Off {
        return Vec::new();
    }
    if let Some(hub) = hub {
        let addresses = hub.tcp_addresses(network, now).into_iter();
        return addresses.map(|address| (address, TcpType::Passive)).collect();
    }
    let addresses = interfaces::addresses(network, now, |_| true);
    let each = |tcp_type| addresses.iter().map(move |&address| (address, tcp_type));
    let active = each(TcpType::Active).filter(|_| peer_listens && network.ice_tcp.connects());
    let passive = each(TcpType::Passive).filter(|_| network.ice_tcp.listens());
    let simultaneous = each(TcpType::SimultaneousOpen).filter(|_| network.ice_tcp.opens_simultaneously());
    active.chain(passive).chain(simultaneous).collect()
}

#[cfg(test)]
mod tests {
    use peerline_wire::Transport;

    use super::*;

    /// Whoever is first: one connects to a listener, or both to each other.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_connection_begins_where_its_side_listens() {
        let any = "127.0.0.1:0".parse().unwrap();
        let listeners = [bind(any, None).unwrap(), bind(any, None).unwrap()];
        listeners.iter().for_each(|listener| share(listener).unwrap());
        let [local, remote] = [0, 1].map(|index| listeners[index].local_addr().unwrap());
        assert!(bind(local, None).is_err(), "others do not listen there");
        let path = FiveTuple {
            local,
            remote,
            transport: Transport::Tcp,
        };
        let (made, taken) = tokio::join!(connect(&path), listeners[1].accept());
        assert_eq!(made.unwrap().local_addr().unwrap(), local);
        assert_eq!(taken.unwrap().1, local);
    }
}
