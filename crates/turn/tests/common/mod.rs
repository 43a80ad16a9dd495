//! What the tests share.
#![allow(dead_code, unused_imports, missing_docs, unreachable_pub)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_sim::epoch;
use peerline_stun::attribute::{ErrorCode, Nonce, Realm};
use peerline_stun::{Key, Message, MessageBuilder};
use peerline_turn::Credentials;
use peerline_turn::client::{Client, Config, Event};
use peerline_wire::{Datagram, FiveTuple, Transport};

pub const REALM: &str = "example.org";
pub const USER: &str = "alice";
pub const PASSWORD: &str = "wonderland";

pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub fn credentials() -> Credentials {
    Credentials::new(USER, PASSWORD)
}

pub fn path() -> FiveTuple {
    FiveTuple::udp(addr("198.51.100.7:5000"), addr("192.0.2.1:3478"))
}

pub fn tcp_path() -> FiveTuple {
    FiveTuple {
        transport: Transport::Tcp,
        ..path()
    }
}

pub fn config() -> Config {
    Config::new(path(), credentials())
}

/// A client whose server is played by the test.
pub struct Puppet {
    pub client: Client,
    pub now: Instant,
    pub key: Key,
}

impl Puppet {
    pub fn new(config: Config) -> Self {
        Self {
            client: Client::new(config),
            now: epoch(),
            key: Key::long_term_md5(USER, REALM, PASSWORD),
        }
    }

    /// What the client sends now.
    pub fn sent(&mut self) -> Vec<Vec<u8>> {
        self.client.handle_timeout(self.now);
        let mut sent = Vec::new();
        let mut out = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(self.now, &mut out) {
            assert_eq!(transmit.len, out.len());
            sent.push(std::mem::take(&mut out));
        }
        assert!(self.client.poll_timeout().is_none_or(|at| at > self.now));
        sent
    }

    /// The one request that the client sends now.
    pub fn request(&mut self) -> Vec<u8> {
        let mut sent = self.sent();
        assert_eq!(
            sent.len(),
            1,
            "{:?}",
            sent.iter().map(|bytes| Message::parse(bytes)).collect::<Vec<_>>()
        );
        sent.remove(0)
    }

    pub fn receive(&mut self, bytes: &[u8]) -> Option<Datagram> {
        let five_tuple = self.client.five_tuple();
        let payload = BytesMut::from(bytes);
        let datagram = Datagram {
            five_tuple,
            ecn: None,
            payload,
        };
        self.client.handle_datagram(self.now, datagram)
    }

    pub fn challenge(&mut self, request: &[u8], code: ErrorCode, nonce: &str) {
        let mut out = Vec::new();
        MessageBuilder::error(&mut out, &Message::parse(request).expect("a request"), code)
            .attribute(Realm(REALM))
            .attribute(Nonce(nonce.as_bytes()));
        self.receive(&out);
    }

    /// A success response with what `fill` adds, authentic.
    pub fn succeed(&mut self, request: &[u8], fill: impl FnOnce(&mut MessageBuilder<'_>)) {
        let mut out = Vec::new();
        let mut response = MessageBuilder::success(&mut out, &Message::parse(request).expect("a request"));
        fill(&mut response);
        response.integrity(&self.key);
        self.receive(&out);
    }

    /// An error response, authentic.
    pub fn fail(&mut self, request: &[u8], code: ErrorCode) {
        let mut out = Vec::new();
        MessageBuilder::error(&mut out, &Message::parse(request).expect("a request"), code).integrity(&self.key);
        self.receive(&out);
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    pub fn pass(&mut self, duration: Duration) {
        self.now += duration;
    }
}

mod ends;
pub use ends::*;
