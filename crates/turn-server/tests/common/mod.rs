//! A client of the server on a socket of the loopback interface.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::disallowed_methods)]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_turn::client::{self, Event};
use peerline_turn::server::StaticUsers;
use peerline_turn::{Client, Credentials, framing};
use peerline_turn_server::{Config, TurnServer};
use peerline_wire::{Datagram, FiveTuple, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn alice() -> Credentials {
    Credentials::new("alice", "wonderland")
}

/// A server on the loopback interface, with what `adjust` changes.
pub fn server(adjust: impl FnOnce(&mut Config)) -> TurnServer {
    let mut config = Config::new("example.org");
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    adjust(&mut config);
    TurnServer::bind(config, StaticUsers::new([alice()])).expect("it begins")
}

pub struct TurnClient {
    pub client: Client,
    socket: Socket,
    read: BytesMut,
    pub events: Vec<Event>,
    pub received: Vec<(SocketAddr, Vec<u8>)>,
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl TurnClient {
    pub async fn by_udp(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server).await.unwrap();
        let path = FiveTuple::udp(socket.local_addr().unwrap(), server);
        Self::new(path, Socket::Udp(socket))
    }

    pub async fn by_tcp(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        let path = FiveTuple {
            local: stream.local_addr().unwrap(),
            remote: server,
            transport: Transport::Tcp,
        };
        Self::new(path, Socket::Tcp(stream))
    }

    fn new(path: FiveTuple, socket: Socket) -> Self {
        let mut config = client::Config::new(path, alice());
        config.rng_seed[..2].copy_from_slice(&path.local.port().to_be_bytes());
        Self {
            client: Client::new(config),
            socket,
            read: BytesMut::new(),
            events: Vec::new(),
            received: Vec::new(),
        }
    }

    /// With an allocation; what the server refuses is in the events.
    pub async fn allocated(mut self) -> Self {
        self.run_until(|this| !this.events.is_empty()).await;
        self
    }

    pub fn relayed(&self) -> Option<SocketAddr> {
        self.client.relayed().next()
    }

    /// May hear and be heard by a peer.
    pub async fn permit(&mut self, peer: IpAddr) {
        self.client.create_permission(Instant::now(), peer).expect("it is open");
        self.run_until(|this| this.client.is_permitted(peer)).await;
    }

    pub async fn send(&mut self, peer: SocketAddr, payload: &[u8]) {
        let mut out = Vec::new();
        let sent = self.client.enclose(&mut out, peer, |out| {
            out.extend_from_slice(payload);
            Some(payload.len())
        });
        assert!(sent.is_some(), "it is permitted");
        self.write(&out).await;
    }

    pub async fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let running = async {
            while !done(self) {
                self.turn().await;
            }
        };
        timeout(PATIENCE, running).await.expect("it takes too long");
    }

    async fn turn(&mut self) {
        let now = Instant::now();
        self.client.handle_timeout(now);
        let mut out = Vec::new();
        while self.client.poll_transmit(now, &mut out).is_some() {
            self.write(&out).await;
            out.clear();
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
        let mut buffer = vec![0; 65_536];
        let read = async {
            match &mut self.socket {
                Socket::Udp(socket) => socket.recv(&mut buffer).await,
                Socket::Tcp(stream) => stream.read(&mut buffer).await,
            }
        };
        let Ok(Ok(len)) = timeout(Duration::from_millis(20), read).await else {
            return;
        };
        self.read.extend_from_slice(&buffer[..len]);
        loop {
            let message = match self.socket {
                Socket::Udp(_) if self.read.is_empty() => break,
                Socket::Udp(_) => self.read.split(),
                Socket::Tcp(_) => match framing::split(&mut self.read).expect("a good stream") {
                    Some(message) => message,
                    None => break,
                },
            };
            let datagram = Datagram {
                five_tuple: self.client.five_tuple(),
                ecn: None,
                payload: message,
            };
            if let Some(data) = self.client.handle_datagram(Instant::now(), datagram) {
                self.received.push((data.five_tuple.remote, data.payload.to_vec()));
            }
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    async fn write(&mut self, bytes: &[u8]) {
        match &mut self.socket {
            Socket::Udp(socket) => drop(socket.send(bytes).await),
            Socket::Tcp(stream) => stream.write_all(bytes).await.expect("an open stream"),
        }
    }
}

/// Two clients reach each other through their relays: somebody is served.
pub async fn meet(server: SocketAddr) {
    let mut one = TurnClient::by_udp(server).await.allocated().await;
    let mut other = TurnClient::by_tcp(server).await.allocated().await;
    let addresses = [&one, &other].map(|client| client.relayed().expect("an allocation"));
    let ip = addresses[0].ip();
    one.permit(ip).await;
    other.permit(ip).await;
    one.send(addresses[1], b"how do you do?").await;
    other.run_until(|other| !other.received.is_empty()).await;
    assert_eq!(other.received, [(addresses[0], b"how do you do?".to_vec())]);
    other.send(addresses[0], b"how do you do?").await;
    one.run_until(|one| !one.received.is_empty()).await;
    assert_eq!(one.received, [(addresses[1], b"how do you do?".to_vec())]);
}
