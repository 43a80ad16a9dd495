//! The bodies of the fuzz targets.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use peerline_stun::attribute::{Nonce, Realm, Username};
use peerline_stun::{Key, Message, MessageBuilder, RawAttribute};
use peerline_wire::{Datagram, FiveTuple};

use crate::server::{Event, StaticUsers};
use crate::{Client, Credentials, Server, client, framing, server};

/// A stream, however it is cut, yields the same messages, and nothing is lost between them.
///
/// # Panics
/// If not.
pub fn stream(bytes: &[u8]) {
    let [step, bytes @ ..] = bytes else { return };
    let read = |step: usize| {
        let (mut buffer, mut messages, mut broken) = (BytesMut::new(), Vec::new(), false);
        for part in bytes.chunks(step) {
            buffer.extend_from_slice(part);
            while !broken {
                match framing::split(&mut buffer) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(framing::FramingError) => broken = true,
                }
            }
        }
        (messages, broken, buffer)
    };
    let (messages, broken, rest) = read(usize::from(*step) + 1);
    assert_eq!(
        (&messages, broken, &rest),
        (&read(bytes.len().max(1)).0, read(bytes.len().max(1)).1, &rest)
    );
    let mut again = messages.concat();
    again.extend_from_slice(&rest);
    assert_eq!(again, bytes);
}

/// What a server may send to a client that has an allocation: messages behind each other's lengths. Where one answers a
/// request, the request's transaction is put into it, and the integrity.
///
/// # Panics
/// If the client does.
pub fn client(bytes: &[u8]) {
    let key = Key::long_term_md5("u", "r", "p");
    let path = FiveTuple::udp(address("198.51.100.7:5000"), address("192.0.2.1:3478"));
    let mut config = client::Config::new(path, Credentials::new("u", "p"));
    config.families = client::Families::Both;
    let mut client = Client::new(config);
    let (mut now, mut out) = (now(), Vec::new());
    let peer = address("9.9.9.9:7");
    let _ = client.bind_channel(now, peer);
    let mut asked = Vec::new();
    let mut rest = BytesMut::from(bytes);
    for _ in 0..100 {
        while client.poll_transmit(now, &mut out).is_some() {
            asked = std::mem::take(&mut out);
        }
        let Some(message) = next_message(&mut rest) else { break };
        let payload = answer(&message, &asked, &key);
        let datagram = Datagram {
            five_tuple: path,
            ecn: None,
            payload: BytesMut::from(&payload[..]),
        };
        if let Some(received) = client.handle_datagram(now, datagram) {
            assert!(received.payload.len() <= payload.len());
        }
        while client.poll_event().is_some() {}
        let _ = client.enclose(&mut out, peer, |out| {
            out.push(1);
            Some(1)
        });
        out.clear();
        now += Duration::from_secs(17);
        client.handle_timeout(now);
        while client.poll_transmit(now, &mut out).is_some() {
            asked = std::mem::take(&mut out);
        }
        assert!(client.poll_timeout().is_none_or(|at| at > now));
    }
}

/// What a client with credentials may send to a server: messages behind each other's lengths; requests are given the
/// credentials and the integrity.
///
/// # Panics
/// If the server does.
pub fn server(bytes: &[u8]) {
    let key = Key::long_term_md5("u", "r", "p");
    let path = FiveTuple::udp(address("192.0.2.1:3478"), address("198.51.100.7:5000"));
    let mut now = now();
    let mut config = server::Config::new("r", (now, SystemTime::UNIX_EPOCH));
    (config.tcp_relays, config.dont_fragment) = (true, true);
    config.families.ipv6 = true;
    let mut server = Server::new(config, StaticUsers::new([Credentials::new("u", "p")]));
    let (mut out, mut nonce) = (Vec::new(), Vec::new());
    let mut relays = Vec::new();
    let mut rest = BytesMut::from(bytes);
    for _ in 0..100 {
        let Some(message) = next_message(&mut rest) else { break };
        let payload = authentic(&message, &nonce, &key);
        server.handle_datagram(
            now,
            Datagram {
                five_tuple: path,
                ecn: None,
                payload: BytesMut::from(&payload[..]),
            },
        );
        while let Some(event) = server.poll_event() {
            match event {
                Event::OpenRelay(open) => {
                    relays.push(open.relay);
                    let address = if open.ipv4 {
                        "203.0.113.5:50000"
                    } else {
                        "[2001:db8::5]:50000"
                    };
                    server.relay_opened(now, open.relay, address_of(address, relays.len()));
                }
                Event::CloseRelay(relay) => relays.retain(|&other| other != relay),
                Event::Connect { connection, .. } => server.peer_connected(now, connection),
                Event::Join { .. } | Event::CloseConnection(_) | Event::Log(_) => {}
            }
        }
        for &relay in &relays {
            server.handle_relayed(now, relay, address("9.9.9.9:7"), None, BytesMut::from(&b"echo"[..]));
        }
        while server.poll_transmit(now, &mut out).is_some() {
            if let Ok(message) = Message::parse(&out)
                && let Ok(Some(Nonce(given))) = message.get()
            {
                nonce = given.to_vec();
            }
            out.clear();
        }
        while server.poll_relayed(now, &mut out).is_some() {
            out.clear();
        }
        now += Duration::from_secs(17);
        server.handle_timeout(now);
        assert!(server.poll_timeout().is_none_or(|at| at > now));
    }
    server.shut_down(now);
    assert_eq!((server.stats().allocations, server.poll_timeout()), (0, None));
}

/// Cuts at the messages' lengths; what is none comes whole.
fn next_message(rest: &mut BytesMut) -> Option<BytesMut> {
    match framing::split(rest) {
        Ok(Some(message)) => Some(message),
        Ok(None) | Err(framing::FramingError) => (!rest.is_empty()).then(|| rest.split()),
    }
}

/// The message as an authentic response to what was asked last, if it is a response.
fn answer(bytes: &[u8], asked: &[u8], key: &Key) -> Vec<u8> {
    let (Ok(message), Ok(asked)) = (Message::parse(bytes), Message::parse(asked)) else {
        return bytes.to_vec();
    };
    if !message.class().is_response() {
        return bytes.to_vec();
    }
    let mut out = Vec::new();
    let mut builder = MessageBuilder::new(&mut out, message.class(), asked.method(), asked.transaction_id());
    copy_attributes(&message, &mut builder);
    builder.integrity(key);
    out
}

/// The message as an authentic request, if it is a request.
fn authentic(bytes: &[u8], nonce: &[u8], key: &Key) -> Vec<u8> {
    let Ok(message) = Message::parse(bytes) else {
        return bytes.to_vec();
    };
    if message.class() != peerline_stun::Class::Request {
        return bytes.to_vec();
    }
    let mut out = Vec::new();
    let mut builder = MessageBuilder::new(&mut out, message.class(), message.method(), message.transaction_id());
    copy_attributes(&message, &mut builder);
    builder
        .attribute(Username("u"))
        .attribute(Realm("r"))
        .attribute(Nonce(nonce));
    builder.integrity(key);
    out
}

fn copy_attributes(message: &Message<'_>, builder: &mut MessageBuilder<'_>) {
    use peerline_stun::AttributeType as Type;
    const CHECKS: [Type; 3] = [
        Type::MESSAGE_INTEGRITY,
        Type::MESSAGE_INTEGRITY_SHA256,
        Type::FINGERPRINT,
    ];
    for RawAttribute { kind, value } in message.raw_attributes() {
        if !CHECKS.contains(&kind) {
            builder.raw(RawAttribute { kind, value });
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The address with another port.
fn address_of(text: &str, count: usize) -> SocketAddr {
    let mut address = address(text);
    address.set_port(address.port().wrapping_add(count as u16).max(1));
    address
}

/// An `Instant` can only be had from the clock. Nothing depends on which.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}
