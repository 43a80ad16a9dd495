//! ICE over TCP (RFC 6544): connections are made and taken, datagrams framed (RFC 4571), and kept while they wait to be written.
//! Which connections are wanted is ICE's to say.
//!
//! Who connects to a listener is a stranger. Strangers are few, and have little time: the first thing that one of them says has to be a
//! connectivity check that names a connection. To that it is then handed over, which closes it unless the check is authentic.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use peerline_connection::{TcpType, framing, may_teach};
use peerline_wire::{Datagram, FiveTuple, Transport};
use socket2::{Domain, Protocol, Type};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::configuration::{IceTcp, Network};
use crate::endpoint::Hub;
use crate::interfaces;
use crate::shared::{Phase, Shared};

/// How many bytes wait for a connection at most, beside those that the system holds. Datagrams beyond are lost, as they would be
/// on a path that is too slow: whoever sends them has to learn that.
const MAX_BACKLOG: usize = 256 * 1024;

/// How many strangers a listener hears out at a time. Of more, the one that has taken longest goes.
const MAX_STRANGERS: usize = 256;

/// How long a stranger may take to say whom it wants.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// The longest check: with all that other stacks put into theirs, and a datagram of DTLS.
const MAX_CHECK: usize = 2048;

/// How many connections may have come, and wait for the driver.
const MAX_ARRIVALS: usize = 32;

/// How many connections wait to be accepted.
const LISTEN_BACKLOG: i32 = 1024;

/// How much is read at once.
const READ: usize = 16 * 1024;

/// How often a connection is read from before others get their turn.
const READS: usize = 8;

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
        let wire = Arc::new(Wire {
            stream: stream.into(),
            ..Wire::default()
        });
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

/// One connection, and what waits to be written to it.
#[derive(Default)]
pub(crate) struct Wire {
    /// Once it is open.
    stream: OnceLock<TcpStream>,
    /// Whole frames, but for the first, of which some may have been written.
    backlog: Mutex<BytesMut>,
    /// More waits than the system took, or nothing will any more.
    changed: Notify,
    is_closed: AtomicBool,
}

impl Wire {
    fn backlog(&self) -> MutexGuard<'_, BytesMut> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, datagram: &[u8]) {
        let Some(header) = framing::header(datagram.len()) else {
            return;
        };
        let mut backlog = self.backlog();
        if backlog.len() + header.len() + datagram.len() <= MAX_BACKLOG {
            backlog.extend_from_slice(&header);
            backlog.extend_from_slice(datagram);
        }
    }

    /// Writes what waits, as far as the system takes it; who reads sees to the rest, and to errors.
    fn flush(&self) {
        let Some(stream) = self.stream.get() else { return };
        let mut backlog = self.backlog();
        while !backlog.is_empty() {
            match stream.try_write(&backlog) {
                Ok(written) => backlog.advance(written),
                Err(_) => return self.changed.notify_one(),
            }
        }
        // What a burst has needed, a resting connection does not.
        if backlog.capacity() > READ {
            *backlog = BytesMut::new();
        }
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Waits for its end.
    async fn closed(&self) {
        while !self.is_closed.load(Ordering::Relaxed) {
            self.changed.notified().await;
        }
    }

    /// Carries datagrams until either side ends it.
    async fn converse(&self, shared: &Shared, path: FiveTuple, mut read: BytesMut) {
        let Some(stream) = self.stream.get() else { return };
        if !read.is_empty() {
            shared.deliver_framed(path, &mut read);
        }
        loop {
            if self.is_closed.load(Ordering::Relaxed) {
                return self.flush();
            }
            let interest = if self.backlog().is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = tokio::select! {
                ready = stream.ready(interest) => ready,
                () = self.changed.notified() => continue,
            };
            let Ok(ready) = ready else { return };
            if ready.is_writable() {
                self.flush();
            }
            if ready.is_readable() && receive(stream, &mut read, |read| shared.deliver_framed(path, read)).is_err() {
                return;
            }
            // Between two batches, or for minutes, nothing is kept.
            if read.is_empty() {
                read = BytesMut::new();
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Takes what has come; an error if nothing will any more.
fn receive(stream: &TcpStream, buffer: &mut BytesMut, mut deliver: impl FnMut(&mut BytesMut)) -> io::Result<()> {
    for _ in 0..READS {
        buffer.reserve(READ);
        match stream.try_read_buf(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => deliver(buffer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Listens at one address; of these ports, if its own is 0.
pub(crate) fn bind(mut address: SocketAddr, ports: Option<&RangeInclusive<u16>>) -> io::Result<TcpListener> {
    let Some(ports) = ports.filter(|_| address.port() == 0) else {
        return listen(address);
    };
    for port in ports.clone() {
        address.set_port(port);
        match listen(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // What is left of connections of the program before does not keep the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Lets connections be made from the port of a listener, by who says the same. Not before it listens: two listeners would get a port.
fn share(listener: &TcpListener) -> io::Result<()> {
    #[cfg(unix)]
    socket2::SockRef::from(listener).set_reuse_port(true)?;
    #[cfg(not(unix))]
    let _ = listener;
    Ok(())
}

/// Takes connections until it is dropped. `find` tells whose one is by the check that it begins with.
pub(crate) async fn serve(
    listener: TcpListener,
    find: impl Fn(&FiveTuple, &[u8]) -> Option<Arc<Shared>> + Clone + Send + 'static,
) {
    let mut strangers = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = listener.accept().await;
        while strangers.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            // No descriptors are left, for one: others are to be closed meanwhile.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if strangers.is_empty() {
            oldest.clear();
        }
        while strangers.len() >= MAX_STRANGERS {
            let Some(stranger) = oldest.pop_front() else { break };
            stranger.abort();
            strangers.join_next().await;
        }
        // Those that are done are among them.
        if oldest.len() >= 2 * MAX_STRANGERS {
            oldest.retain(|stranger| !stranger.is_finished());
        }
        oldest.push_back(strangers.spawn(introduce(stream, find.clone())));
    }
}

/// Hears whom a stranger wants, and hands it over.
async fn introduce(mut stream: TcpStream, find: impl Fn(&FiveTuple, &[u8]) -> Option<Arc<Shared>>) {
    let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
    let Ok((local, remote)) = ends else { return };
    let path = FiveTuple {
        local,
        remote,
        transport: Transport::Tcp,
    };
    let mut read = BytesMut::with_capacity(MAX_CHECK);
    let check = timeout(INTRODUCTION, read_check(&mut stream, &mut read)).await;
    let Ok(Some(check)) = check else { return };
    let named = read.get(framing::HEADER_LEN..framing::HEADER_LEN + check);
    let named = named
        .filter(|check| may_teach(check))
        .and_then(|check| find(&path, check));
    if let Some(shared) = named
        && stream.set_nodelay(true).is_ok()
    {
        shared.welcome_tcp(path, stream, read);
    }
}

/// Reads until the first datagram is whole, and says how long it is; `None` if it is no check.
async fn read_check(stream: &mut TcpStream, read: &mut BytesMut) -> Option<usize> {
    loop {
        if let Some(len) = framing::announced_len(read) {
            if !(20..=MAX_CHECK).contains(&len) {
                return None;
            }
            if read.len() >= framing::HEADER_LEN + len {
                return Some(len);
            }
        }
        read.reserve(MAX_CHECK);
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn streams() -> (TcpStream, TcpStream) {
        let listener = bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    /// Nobody reads: what waits is bounded, and what comes out in the end is whole.
    #[tokio::test]
    async fn a_wire_that_takes_nothing_holds_little_and_loses_whole_datagrams() {
        let (client, mut server) = streams().await;
        let wire = Wire {
            stream: client.into(),
            ..Wire::default()
        };
        // More than the system holds by far.
        for number in 0..40_000_u32 {
            wire.put(&[number.to_be_bytes().repeat(300), vec![7; number as usize % 9]].concat());
            wire.flush();
        }
        assert!(wire.backlog().len() <= MAX_BACKLOG);
        let (mut read, mut last, mut count) = (BytesMut::new(), None, 0);
        while count == 0 || !wire.backlog().is_empty() {
            server.read_buf(&mut read).await.unwrap();
            while let Some(datagram) = framing::split(&mut read) {
                let number = u32::from_be_bytes(datagram[..4].try_into().unwrap());
                assert_eq!(datagram.len(), 1200 + number as usize % 9);
                assert!(datagram[..1200].chunks(4).all(|chunk| chunk == number.to_be_bytes()));
                assert!(last.replace(number) < Some(number));
                count += 1;
            }
            wire.flush();
        }
        assert!(count < 40_000);
    }

    #[tokio::test]
    async fn who_says_nothing_or_nonsense_is_nobody() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0, 0],
            &[0xff, 0xff, 0, 1],
            &[0, 19, 0, 1],
            &[8, 1, 0, 1],
        ] {
            let (client, mut server) = streams().await;
            client.try_write(bytes).unwrap();
            drop(client);
            assert_eq!(read_check(&mut server, &mut BytesMut::new()).await, None, "{bytes:?}");
        }
        let (client, mut server) = streams().await;
        let mut check = vec![0, 20];
        check.resize(22, 1);
        for byte in &check {
            client.try_write(&[*byte]).unwrap();
        }
        assert_eq!(read_check(&mut server, &mut BytesMut::new()).await, Some(20));
    }

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

    #[tokio::test]
    async fn ports_come_from_the_range_until_all_are_in_use() {
        let any = "127.0.0.1:0".parse().unwrap();
        let port = bind(any, None).unwrap().local_addr().unwrap().port();
        let first = bind(any, Some(&(port..=port))).unwrap();
        assert_eq!(first.local_addr().unwrap().port(), port);
        let second = bind(any, Some(&(port..=port)));
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
