//! Our TURN client and server on the sockets of the loopback interface, with threads.

// Sockets wait in real time.
#![allow(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use peerline_stun::attribute::ConnectionId;
use peerline_turn::server::{self, OpenRelay, RelayId, RelayPort, Stats, Users};
use peerline_turn::{Client, Credentials, Server, client, framing};
use peerline_wire::{Datagram, FiveTuple, Transport};

/// Our client on a socket.
pub struct TurnClient {
    /// The machine.
    pub client: Client,
    socket: Socket,
    read: BytesMut,
    out: Vec<u8>,
    /// The connection being bound (RFC 6062).
    data: Option<(FiveTuple, TcpStream)>,
    /// What it reported.
    pub events: Vec<client::Event>,
    /// What peers sent: from, what.
    pub received: Vec<(SocketAddr, Vec<u8>)>,
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl TurnClient {
    /// A client of this server, with what `adjust` changes.
    pub fn new(
        server: SocketAddr,
        transport: Transport,
        credentials: Credentials,
        adjust: impl FnOnce(&mut client::Config),
    ) -> Self {
        let (socket, local) = match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
                socket.connect(server).expect("a path");
                socket.set_read_timeout(Some(POLL)).expect("a timeout");
                let local = socket.local_addr();
                (Socket::Udp(socket), local)
            }
            Transport::Tcp => {
                let stream = TcpStream::connect(server).expect("a connection");
                stream.set_read_timeout(Some(POLL)).expect("a timeout");
                stream.set_nodelay(true).expect("an option");
                let local = stream.local_addr();
                (Socket::Tcp(stream), local)
            }
        };
        let five_tuple = FiveTuple {
            local: local.expect("an address"),
            remote: server,
            transport,
        };
        let mut config = client::Config::new(five_tuple, credentials);
        config.rng_seed = seed();
        adjust(&mut config);
        Self {
            client: Client::new(config),
            socket,
            read: BytesMut::new(),
            out: Vec::new(),
            data: None,
            events: Vec::new(),
            received: Vec::new(),
        }
    }

    /// Sends to a peer; false if it may not.
    pub fn send(&mut self, peer: SocketAddr, payload: &[u8]) -> bool {
        self.out.clear();
        let sent = self.client.enclose(&mut self.out, peer, |out| {
            out.extend_from_slice(payload);
            Some(payload.len())
        });
        if let Some(transmit) = sent {
            self.write(&transmit.five_tuple);
        }
        sent.is_some()
    }

    /// Takes a connection to or from a peer: its bytes are those of the stream (RFC 6062 §4.3).
    pub fn take_connection(&mut self, connection: ConnectionId) -> TcpStream {
        let server = self.client.five_tuple().remote;
        let mut stream = TcpStream::connect(server).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
        let five_tuple = FiveTuple {
            local: stream.local_addr().expect("an address"),
            remote: server,
            transport: Transport::Tcp,
        };
        self.client
            .bind_connection(Instant::now(), five_tuple, connection)
            .expect("it is open");
        self.data = Some((five_tuple, stream.try_clone().expect("a stream")));
        let mut read = BytesMut::new();
        while !self.events.contains(&client::Event::ConnectionBound(five_tuple)) {
            self.turn();
            // One byte after the other: behind the response there are data.
            while framing::split(&mut read.clone()).expect("a good stream").is_none() {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a response");
                read.extend_from_slice(&byte);
            }
            let datagram = Datagram {
                five_tuple,
                ecn: None,
                payload: read.split(),
            };
            self.client.handle_datagram(Instant::now(), datagram);
            self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
        }
        self.data = None;
        stream
    }

    /// Runs until `done` holds.
    ///
    /// # Panics
    /// If it does not within 20 s.
    pub fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(
                Instant::now() < end,
                "waited for {what}: {:?} {:?}",
                self.events,
                self.client.stats()
            );
            self.turn();
        }
    }

    /// Sends what waits, and receives for a moment.
    fn turn(&mut self) {
        let now = Instant::now();
        self.client.handle_timeout(now);
        self.out.clear();
        while let Some(transmit) = self.client.poll_transmit(now, &mut self.out) {
            self.write(&transmit.five_tuple);
            self.out.clear();
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
        let mut buffer = [0; 65_536];
        let read = match &mut self.socket {
            Socket::Udp(socket) => socket.recv(&mut buffer),
            Socket::Tcp(stream) => stream.read(&mut buffer),
        };
        let len = match read {
            Ok(len) => len,
            Err(error) if is_passing(error.kind()) => return,
            Err(error) => panic!("{error}"),
        };
        self.read.extend_from_slice(&buffer[..len]);
        loop {
            let message = match self.socket {
                Socket::Udp(_) if self.read.is_empty() => return,
                Socket::Udp(_) => self.read.split(),
                Socket::Tcp(_) => match framing::split(&mut self.read).expect("a good stream") {
                    Some(message) => message,
                    None => return,
                },
            };
            self.handle(message);
        }
    }

    fn handle(&mut self, payload: BytesMut) {
        let five_tuple = self.client.five_tuple();
        let datagram = Datagram {
            five_tuple,
            ecn: None,
            payload,
        };
        if let Some(datagram) = self.client.handle_datagram(Instant::now(), datagram) {
            self.received
                .push((datagram.five_tuple.remote, datagram.payload.to_vec()));
        }
    }

    fn write(&mut self, path: &FiveTuple) {
        if let Some((five_tuple, stream)) = &mut self.data
            && five_tuple == path
        {
            return stream.write_all(&self.out).expect("an open stream");
        }
        match &mut self.socket {
            Socket::Udp(socket) => {
                let _ = socket.send(&self.out);
            }
            Socket::Tcp(stream) => stream.write_all(&self.out).expect("an open stream"),
        }
    }
}

/// A timeout, or a server that does not listen yet.
fn is_passing(error: ErrorKind) -> bool {
    matches!(
        error,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused
    )
}

/// How long a socket is waited for at once.
const POLL: Duration = Duration::from_millis(20);

/// Our server on UDP and TCP sockets of one port.
pub struct TurnServer {
    /// Where it listens.
    pub address: SocketAddr,
    inputs: Sender<Input>,
    thread: Option<JoinHandle<(Stats, Vec<server::Log>)>>,
}

enum Input {
    Client(Datagram),
    Closed(FiveTuple),
    Connected(FiveTuple, TcpStream, Joined),
    Relayed(RelayId, SocketAddr, BytesMut),
    Accepted(RelayId, TcpStream),
    Stop,
}

/// The peer's side, once a client's connection is joined with it.
type Joined = Arc<OnceLock<TcpStream>>;

impl TurnServer {
    /// One for these users, with what `adjust` changes.
    pub fn start(realm: &str, users: impl Users + 'static, adjust: impl FnOnce(&mut server::Config)) -> Self {
        let (inputs, received) = mpsc::channel();
        let (listener, socket, address) = listeners();
        let mut config = server::Config::new(realm, (Instant::now(), SystemTime::now()));
        config.rng_seed = seed();
        adjust(&mut config);
        let server = Server::new(config, users);
        read_udp(
            socket.try_clone().expect("a socket"),
            inputs.clone(),
            Arc::default(),
            move |from, payload| {
                Input::Client(Datagram {
                    five_tuple: FiveTuple::udp(address, from),
                    ecn: None,
                    payload,
                })
            },
        );
        accept(listener, inputs.clone());
        let driver = Driver {
            server,
            socket,
            inputs: inputs.clone(),
            streams: HashMap::new(),
            relays: HashMap::new(),
            peers: HashMap::new(),
            logs: Vec::new(),
            next_port: 49_152 + u16::from_be_bytes([seed()[0], seed()[1]]) % 8_000 * 2,
        };
        let thread = Some(thread::spawn(move || driver.run(&received)));
        Self {
            address,
            inputs,
            thread,
        }
    }

    /// Stops it; what it counted, and its log.
    pub fn stop(mut self) -> (Stats, Vec<server::Log>) {
        self.inputs.send(Input::Stop).expect("it runs");
        self.thread.take().expect("once").join().expect("no panic")
    }
}

/// TCP and UDP on one port.
fn listeners() -> (TcpListener, UdpSocket, SocketAddr) {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        if let Ok(socket) = UdpSocket::bind(address) {
            return (listener, socket, address);
        }
    }
}

struct Driver {
    server: Server,
    socket: UdpSocket,
    inputs: Sender<Input>,
    streams: HashMap<FiveTuple, (TcpStream, Joined)>,
    relays: HashMap<RelayId, Relay>,
    peers: HashMap<u32, TcpStream>,
    logs: Vec<server::Log>,
    next_port: u16,
}

struct Relay {
    /// `None` for TCP, where a thread accepts.
    socket: Option<UdpSocket>,
    closed: Arc<AtomicBool>,
}

impl Driver {
    fn run(mut self, received: &Receiver<Input>) -> (Stats, Vec<server::Log>) {
        loop {
            let now = Instant::now();
            let wait = self
                .server
                .poll_timeout()
                .map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now));
            match received.recv_timeout(wait.min(Duration::from_secs(1))) {
                Ok(Input::Stop) => return (self.server.stats(), self.logs),
                Ok(input) => self.handle(input),
                Err(_) => {}
            }
            self.server.handle_timeout(Instant::now());
            self.send();
        }
    }

    fn handle(&mut self, input: Input) {
        let now = Instant::now();
        match input {
            Input::Client(datagram) => self.server.handle_datagram(now, datagram),
            Input::Closed(client) => {
                self.streams.remove(&client);
                self.server.client_closed(now, client);
            }
            Input::Connected(client, stream, joined) => {
                self.streams.insert(client, (stream, joined));
            }
            Input::Relayed(relay, peer, payload) => self.server.handle_relayed(now, relay, peer, None, payload),
            Input::Accepted(relay, stream) => {
                let peer = stream.peer_addr().expect("a peer");
                if let Some(connection) = self.server.peer_accepted(now, relay, peer) {
                    self.peers.insert(connection.0, stream);
                }
            }
            Input::Stop => {}
        }
    }

    fn send(&mut self) {
        let now = Instant::now();
        let mut out = Vec::new();
        loop {
            while let Some(event) = self.server.poll_event() {
                self.obey(event);
            }
            let Some(transmit) = self.server.poll_transmit(now, &mut out) else {
                break;
            };
            match transmit.five_tuple.transport {
                Transport::Udp => {
                    let _ = self.socket.send_to(&out, transmit.five_tuple.remote);
                }
                Transport::Tcp => {
                    if let Some((stream, _)) = self.streams.get_mut(&transmit.five_tuple) {
                        let _ = stream.write_all(&out);
                    }
                }
            }
            out.clear();
        }
        while let Some(transmit) = self.server.poll_relayed(now, &mut out) {
            if let Some(Relay {
                socket: Some(socket), ..
            }) = self.relays.get(&transmit.relay)
            {
                let _ = socket.send_to(&out, transmit.peer);
            }
            out.clear();
        }
    }

    fn obey(&mut self, event: server::Event) {
        match event {
            server::Event::OpenRelay(open) => self.open(open),
            server::Event::CloseRelay(relay) => {
                if let Some(relay) = self.relays.remove(&relay) {
                    relay.closed.store(true, Ordering::Relaxed);
                }
            }
            server::Event::Connect { connection, peer, .. } => match TcpStream::connect(peer) {
                Ok(stream) => {
                    self.peers.insert(connection.0, stream);
                    self.server.peer_connected(Instant::now(), connection);
                }
                Err(_) => self.server.peer_connect_failed(Instant::now(), connection),
            },
            server::Event::Join { connection, client } => self.join(connection, client),
            server::Event::CloseConnection(connection) => {
                self.peers.remove(&connection.0);
            }
            server::Event::Log(log) => self.logs.push(log),
        }
    }

    fn open(&mut self, open: OpenRelay) {
        if open.transport == Transport::Tcp {
            return self.listen(open.relay);
        }
        let ip: IpAddr = if open.ipv4 {
            Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        for _ in 0..100 {
            self.next_port = self.next_port.checked_add(2).unwrap_or(49_152);
            let Ok(socket) = UdpSocket::bind((ip, self.next_port)) else {
                continue;
            };
            let RelayPort::EvenWithNext(next) = open.port else {
                return self.opened(open.relay, socket);
            };
            if let Ok(second) = UdpSocket::bind((ip, self.next_port + 1)) {
                self.opened(open.relay, socket);
                return self.opened(next, second);
            }
        }
        self.server.relay_failed(Instant::now(), open.relay);
    }

    fn opened(&mut self, relay: RelayId, socket: UdpSocket) {
        let address = socket.local_addr().expect("an address");
        let closed = Arc::<AtomicBool>::default();
        let reader = socket.try_clone().expect("a socket");
        read_udp(
            reader,
            self.inputs.clone(),
            Arc::clone(&closed),
            move |from, payload| Input::Relayed(relay, from, payload),
        );
        let socket = Some(socket);
        self.relays.insert(relay, Relay { socket, closed });
        self.server.relay_opened(Instant::now(), relay, address);
    }

    fn listen(&mut self, relay: RelayId) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (closed, inputs) = (Arc::<AtomicBool>::default(), self.inputs.clone());
        let over = Arc::clone(&closed);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) || inputs.send(Input::Accepted(relay, stream)).is_err() {
                    return;
                }
            }
        });
        self.relays.insert(relay, Relay { socket: None, closed });
        self.server.relay_opened(Instant::now(), relay, address);
    }

    /// From now on the bytes of one are the other's.
    fn join(&mut self, connection: ConnectionId, client: FiveTuple) {
        let (Some(peer), Some((stream, joined))) = (self.peers.get(&connection.0), self.streams.get(&client)) else {
            return;
        };
        let _ = joined.set(peer.try_clone().expect("a stream"));
        let (mut from, mut to) = (
            peer.try_clone().expect("a stream"),
            stream.try_clone().expect("a stream"),
        );
        // The response goes first.
        let mut out = Vec::new();
        while let Some(transmit) = self.server.poll_transmit(Instant::now(), &mut out) {
            if let Some((stream, _)) = self.streams.get_mut(&transmit.five_tuple) {
                let _ = stream.write_all(&out);
            }
            out.clear();
        }
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    }
}

fn read_udp(
    socket: UdpSocket,
    inputs: Sender<Input>,
    closed: Arc<AtomicBool>,
    input: impl Fn(SocketAddr, BytesMut) -> Input + Send + 'static,
) {
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a timeout");
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while !closed.load(Ordering::Relaxed) {
            // An error is a timeout, or a peer that is gone.
            if let Ok((len, from)) = socket.recv_from(&mut buffer)
                && inputs.send(input(from, BytesMut::from(&buffer[..len]))).is_err()
            {
                return;
            }
        }
    });
}

fn accept(listener: TcpListener, inputs: Sender<Input>) {
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let five_tuple = FiveTuple {
                local: stream.local_addr().expect("an address"),
                remote: stream.peer_addr().expect("an address"),
                transport: Transport::Tcp,
            };
            let _ = stream.set_nodelay(true);
            let joined = Joined::default();
            let reader = stream.try_clone().expect("a stream");
            if inputs
                .send(Input::Connected(five_tuple, stream, Arc::clone(&joined)))
                .is_err()
            {
                return;
            }
            let inputs = inputs.clone();
            thread::spawn(move || {
                read_tcp(reader, five_tuple, &inputs, &joined);
                let _ = inputs.send(Input::Closed(five_tuple));
            });
        }
    });
}

fn read_tcp(mut stream: TcpStream, five_tuple: FiveTuple, inputs: &Sender<Input>, joined: &Joined) {
    let (mut read, mut buffer) = (BytesMut::new(), [0; 65_536]);
    loop {
        let len = match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(len) => len,
        };
        if let Some(mut peer) = joined.get() {
            if peer.write_all(&buffer[..len]).is_err() {
                break;
            }
            continue;
        }
        read.extend_from_slice(&buffer[..len]);
        while let Ok(Some(payload)) = framing::split(&mut read) {
            let datagram = Datagram {
                five_tuple,
                ecn: None,
                payload,
            };
            if inputs.send(Input::Client(datagram)).is_err() {
                return;
            }
        }
    }
    if let Some(peer) = joined.get() {
        let _ = peer.shutdown(std::net::Shutdown::Both);
    }
}

/// Different each time: ports and transactions of earlier runs are not to be met again.
fn seed() -> [u8; 32] {
    use sha2::Digest;
    let time = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    sha2::Sha256::digest(format!("{time:?} {:?} {}", thread::current().id(), std::process::id())).into()
}
