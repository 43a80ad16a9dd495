//! Our DTLS on a socket of the loopback interface.

// A driver asks for the time.
#![allow(clippy::disallowed_methods)]

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_dtls::{Config, Connection, Event, Role};

/// A connection, its socket, and what has passed between them.
pub struct DtlsOverUdp {
    /// The connection.
    pub dtls: Connection,
    /// What it has told.
    pub events: Vec<Event>,
    /// What it has decrypted.
    pub received: Vec<Vec<u8>>,
    /// The sizes of the datagrams that it sent, lost ones included.
    pub sent_sizes: Vec<usize>,
    /// The sizes of the datagrams that came, lost ones included.
    pub received_sizes: Vec<usize>,
    /// The datagram to lose, if any.
    pub loss: Option<Loss>,
    socket: UdpSocket,
    has_peer: bool,
}

/// One datagram that does not arrive, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// One of ours.
    Sent(usize),
    /// One of the peer's.
    Received(usize),
}

/// How long anything may take: a few of OpenSSL's retransmission timeouts, which start at 1 s.
const PATIENCE: Duration = Duration::from_secs(15);

impl DtlsOverUdp {
    /// A client of that address.
    #[must_use]
    pub fn client(config: Config, server: SocketAddr) -> Self {
        let mut client = Self::new(config, Role::Client);
        client.socket.connect(server).expect("a local address");
        client.has_peer = true;
        client
    }

    /// A server of the first that sends it anything.
    #[must_use]
    pub fn server(config: Config) -> Self {
        Self::new(config, Role::Server)
    }

    fn new(config: Config, role: Role) -> Self {
        Self {
            dtls: Connection::new(config, role),
            events: Vec::new(),
            received: Vec::new(),
            sent_sizes: Vec::new(),
            received_sizes: Vec::new(),
            loss: None,
            socket: UdpSocket::bind("127.0.0.1:0").expect("the loopback interface"),
            has_peer: false,
        }
    }

    /// Where the server can be reached.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// Sends one record of application data.
    pub fn send(&mut self, payload: &[u8]) {
        let mut datagram = Vec::new();
        let sent = self.dtls.enclose(&mut datagram, |out| {
            out.extend_from_slice(payload);
            Some(payload.len())
        });
        assert!(sent.is_some(), "not connected");
        self.transmit(&datagram);
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.dtls.close(Instant::now());
    }

    /// Drives the connection until `done`. True if it came to that in time.
    pub fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        let mut scratch = vec![0; 65_536];
        loop {
            self.flush();
            if done(self) {
                return true;
            }
            let now = Instant::now();
            if now >= end {
                return false;
            }
            // `done` may look at more than this connection, so it is asked every few milliseconds.
            let wait = self
                .dtls
                .poll_timeout()
                .map_or(Duration::MAX, |at| at.saturating_duration_since(now));
            let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(10));
            self.socket.set_read_timeout(Some(wait)).expect("not zero");
            match self.socket.recv_from(&mut scratch) {
                Ok((len, from)) => self.on_datagram(&scratch[..len], from),
                // A peer that has gone shows as a refused connection.
                Err(error) => assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused
                    ),
                    "{error}"
                ),
            }
            if self.dtls.poll_timeout().is_some_and(|at| at <= Instant::now()) {
                self.dtls.handle_timeout(Instant::now());
            }
        }
    }

    fn on_datagram(&mut self, datagram: &[u8], from: SocketAddr) {
        if !self.has_peer {
            self.socket.connect(from).expect("a local address");
            self.has_peer = true;
        }
        self.received_sizes.push(datagram.len());
        if self.loss != Some(Loss::Received(self.received_sizes.len() - 1)) {
            self.dtls.handle_datagram(Instant::now(), BytesMut::from(datagram));
        }
    }

    fn flush(&mut self) {
        let mut datagram = Vec::new();
        while self.dtls.poll_transmit(Instant::now(), &mut datagram).is_some() {
            self.transmit(&datagram);
            datagram.clear();
        }
        while let Some(event) = self.dtls.poll_event() {
            self.events.push(event);
        }
        while let Some(payload) = self.dtls.recv() {
            self.received.push(payload.to_vec());
        }
    }

    fn transmit(&mut self, datagram: &[u8]) {
        self.sent_sizes.push(datagram.len());
        if self.loss != Some(Loss::Sent(self.sent_sizes.len() - 1)) {
            // The peer may have gone.
            let _ = self.socket.send(datagram);
        }
    }
}
