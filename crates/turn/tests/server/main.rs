//! The server under requests made by hand: what is wrong with them, and what abuse comes to.

mod allocations;
mod authentication;
#[path = "../common/mod.rs"]
mod common;
mod limits;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use peerline_sim::{Machine, epoch};
use peerline_stun::attribute::{
    Data, ErrorCode, Nonce, Realm, RequestedTransport, Username, XorPeerAddress, XorRelayedAddress,
};
use peerline_stun::{ChannelNumber, Class, Key, Message, MessageBuilder, Method, TransactionId};
use peerline_turn::server::{self, Limits};
use peerline_wire::{Datagram, FiveTuple};

use common::*;

/// What is added to a message.
type Form<'f> = &'f dyn Fn(&mut MessageBuilder<'_>);

/// A server, and clients whose messages the test writes.
struct Lab {
    end: ServerEnd,
    now: Instant,
    next_id: u64,
}

/// A client as its requests show it.
#[derive(Clone)]
struct Who {
    path: FiveTuple,
    username: String,
    key: Key,
    nonce: Vec<u8>,
}

impl Lab {
    fn new(config: server::Config) -> Self {
        Self {
            end: ServerEnd::new(config),
            now: epoch(),
            next_id: 0,
        }
    }

    fn id(&mut self) -> TransactionId {
        self.next_id += 1;
        let mut id = [0; 12];
        id[4..].copy_from_slice(&self.next_id.to_be_bytes());
        TransactionId(id)
    }

    /// What the server sends, by the path it is sent on.
    fn sent(&mut self) -> Vec<(FiveTuple, Vec<u8>)> {
        let mut sent = Vec::new();
        let mut out = Vec::new();
        while let Some(transmit) = self.end.poll_transmit(self.now, &mut out) {
            sent.push((transmit.five_tuple, std::mem::take(&mut out)));
        }
        sent
    }

    /// The only answer to this message.
    fn answer(&mut self, path: FiveTuple, bytes: &[u8]) -> Option<Vec<u8>> {
        let payload = BytesMut::from(bytes);
        let datagram = Datagram {
            five_tuple: path,
            ecn: None,
            payload,
        };
        self.end.handle_datagram(self.now, datagram);
        let mut sent = self.sent();
        assert!(sent.len() <= 1);
        let (to, answer) = sent.pop()?;
        assert_eq!(to, path);
        Some(answer)
    }

    /// A client at this port that knows the nonce.
    fn client(&mut self, port: u16) -> Who {
        let mut path = path().reversed();
        path.remote.set_port(port);
        self.client_at(path)
    }

    fn client_at(&mut self, path: FiveTuple) -> Who {
        let mut out = Vec::new();
        MessageBuilder::request(&mut out, Method::ALLOCATE, self.id()).attribute(RequestedTransport::UDP);
        let answer = self.answer(path, &out).expect("a challenge");
        let message = Message::parse(&answer).expect("a message");
        let Ok(Some(Nonce(nonce))) = message.get() else {
            panic!("a nonce")
        };
        Who {
            path,
            username: USER.to_owned(),
            key: Key::long_term_md5(USER, REALM, PASSWORD),
            nonce: nonce.to_vec(),
        }
    }

    fn request(&mut self, who: &Who, method: Method, fill: impl FnOnce(&mut MessageBuilder<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let mut request = MessageBuilder::request(&mut out, method, self.id());
        fill(&mut request);
        request
            .attribute(Username(&who.username))
            .attribute(Realm(REALM))
            .attribute(Nonce(&who.nonce))
            .integrity(&who.key);
        out
    }

    /// Asks, and says what came of it.
    fn ask(
        &mut self,
        who: &Who,
        method: Method,
        fill: impl FnOnce(&mut MessageBuilder<'_>),
    ) -> Result<Vec<u8>, ErrorCode> {
        let request = self.request(who, method, fill);
        let answer = self.answer(who.path, &request).expect("an answer");
        outcome(&answer)
    }

    fn allocate(&mut self, who: &Who) -> Result<SocketAddr, ErrorCode> {
        let answer = self.ask(who, Method::ALLOCATE, |request| {
            request.attribute(RequestedTransport::UDP);
        })?;
        let Ok(Some(XorRelayedAddress(relayed))) = Message::parse(&answer).expect("a message").get() else {
            panic!("a relayed address")
        };
        Ok(relayed)
    }

    fn permit(&mut self, who: &Who, peer: &str) -> Result<(), ErrorCode> {
        let peer = addr(peer);
        let asked = self.ask(who, Method::CREATE_PERMISSION, |request| {
            request.attribute(XorPeerAddress(peer));
        });
        asked.map(|_| ())
    }

    fn bind(&mut self, who: &Who, number: u16, peer: &str) -> Result<(), ErrorCode> {
        let peer = addr(peer);
        let asked = self.ask(who, Method::CHANNEL_BIND, |request| {
            request.attribute(ChannelNumber(number)).attribute(XorPeerAddress(peer));
        });
        asked.map(|_| ())
    }

    /// What peers are sent because of this message.
    fn relayed(&mut self, who: &Who, bytes: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        assert_eq!(self.answer(who.path, bytes), None);
        self.end.work(self.now);
        let delivered = std::mem::take(&mut self.end.delivered);
        delivered.into_iter().map(|(_, to, payload)| (to, payload)).collect()
    }
}

fn outcome(answer: &[u8]) -> Result<Vec<u8>, ErrorCode> {
    let message = Message::parse(answer).expect("a message");
    match message.class() {
        Class::SuccessResponse => Ok(answer.to_vec()),
        _ => Err(message.error().expect("an error").code),
    }
}

fn send_indication(peer: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    MessageBuilder::indication(&mut out, Method::SEND, TransactionId([9; 12]))
        .attribute(XorPeerAddress(addr(peer)))
        .attribute(Data(data));
    out
}

fn quiet(limits: Limits) -> server::Config {
    server::Config {
        limits,
        ..server_config(1)
    }
}
