//! The bodies of the fuzz targets. They assert that whatever decodes encodes back to the same, and that no bytes make
//! a connection panic, send more than its MTU, spin, or keep more than its configuration allows.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use peerline_wire::{Reader, Writer};

use crate::wire::ParseError;
use crate::wire::ack::Ack;
use crate::wire::alert::Alert;
use crate::wire::connection_id::{ConnectionId, NewConnectionId, RequestConnectionId};
use crate::wire::handshake::{
    self as messages, CertificateRequest, CertificateVerify, ClientHello, ClientKeyExchange, Finished, Fragment,
    HandshakeType, HelloVerifyRequest, ServerHello, ServerKeyExchange, dtls13,
};
use crate::wire::record::{ContentType, Record};
use crate::wire::routability::RoutabilityMessage;
use crate::wire::unified::{Ciphertext, UnifiedHeader};
use crate::{Certificate, Config, Connection, HashAlgorithm, NamedGroup, ProtocolVersion, Role};

/// A datagram of records, and the handshake messages, alerts and extensions in them.
pub fn record(bytes: &[u8]) {
    let mut datagram = BytesMut::from(bytes);
    while let Ok(record) = Ciphertext::split_off(&mut datagram) {
        let mut header = Vec::new();
        let decoded = UnifiedHeader::decode(&mut Reader::new(&record.bytes), 0).expect("it was split off");
        decoded.encode(&mut Writer::new(&mut header));
        assert_eq!(record.bytes[..record.payload], header[..], "a unified header survives");
        // What is inside looks like anything.
        same(&record.bytes[record.payload..], Ack::decode, |ack, w| ack.encode(w));
        fragments(&record.bytes[record.payload..]);
    }
    let bytes = &bytes[bytes.len() - datagram.len()..];
    while let Ok(record) = Record::split_off(&mut datagram) {
        let mut header = Vec::new();
        record.header.encode(&mut Writer::new(&mut header));
        let at = bytes.len() - datagram.len() - record.payload.len() - header.len();
        assert_eq!(bytes[at..at + header.len()], header[..], "a record header survives");
        match record.header.content_type {
            ContentType::ALERT => same(&record.payload, Alert::decode, |alert, w| alert.encode(w)),
            ContentType::ACK => same(&record.payload, Ack::decode, |ack, w| ack.encode(w)),
            ContentType::HANDSHAKE => fragments(&record.payload),
            ContentType::RETURN_ROUTABILITY_CHECK => {
                same(&record.payload, RoutabilityMessage::decode, |message, w| {
                    message.encode(w);
                });
            }
            _ => {}
        }
    }
}

fn fragments(payload: &[u8]) {
    let mut r = Reader::new(payload);
    while let Ok(fragment) = Fragment::decode(&mut r) {
        let mut encoded = Vec::new();
        fragment.encode(&mut Writer::new(&mut encoded));
        assert!(payload.ends_with(&[&encoded, r.peek()].concat()), "a fragment survives");
        message(fragment.header.kind, fragment.body);
    }
}

fn message(kind: HandshakeType, body: &[u8]) {
    match kind {
        HandshakeType::CLIENT_HELLO => same(body, ClientHello::decode, |m, w| m.encode(w)),
        HandshakeType::SERVER_HELLO => same(body, ServerHello::decode, |m, w| m.encode(w)),
        HandshakeType::HELLO_VERIFY_REQUEST => same(body, HelloVerifyRequest::decode, |m, w| m.encode(w)),
        HandshakeType::CERTIFICATE => {
            same(body, messages::Certificate::decode, |m, w| m.encode(w));
            same(body, dtls13::Certificate::decode, |m, w| m.encode(w));
        }
        HandshakeType::SERVER_KEY_EXCHANGE => same(body, ServerKeyExchange::decode, |m, w| m.encode(w)),
        HandshakeType::CERTIFICATE_REQUEST => {
            same(body, CertificateRequest::decode, |m, w| m.encode(w));
            same(body, dtls13::CertificateRequest::decode, |m, w| m.encode(w));
        }
        HandshakeType::ENCRYPTED_EXTENSIONS => same(body, dtls13::EncryptedExtensions::decode, |m, w| m.encode(w)),
        HandshakeType::KEY_UPDATE => same(body, dtls13::KeyUpdate::decode, |m, w| m.encode(w)),
        HandshakeType::NEW_CONNECTION_ID => same(body, NewConnectionId::decode, |m, w| m.encode(w)),
        HandshakeType::REQUEST_CONNECTION_ID => same(body, RequestConnectionId::decode, |m, w| m.encode(w)),
        HandshakeType::CERTIFICATE_VERIFY => same(body, CertificateVerify::decode, |m, w| m.encode(w)),
        HandshakeType::CLIENT_KEY_EXCHANGE => same(body, ClientKeyExchange::decode, |m, w| m.encode(w)),
        HandshakeType::FINISHED => same(body, Finished::decode, |m, w| m.encode(w)),
        _ => {}
    }
}

/// What decodes must encode to the same bytes; but an empty list of extensions may be left out.
fn same<T>(bytes: &[u8], decode: fn(&[u8]) -> Result<T, ParseError>, encode: fn(&T, &mut Writer<'_>)) {
    let Ok(value) = decode(bytes) else { return };
    let mut encoded = Vec::new();
    encode(&value, &mut Writer::new(&mut encoded));
    assert!(
        encoded == bytes || [&encoded[..], &[0, 0]].concat() == bytes,
        "a message survives"
    );
}

/// A conversation of either version between a client and a server into which the bytes are thrown. They are a list of steps: a byte that
/// says what happens (a datagram to the client, or to the server; their own datagrams are exchanged; time passes), and
/// for a datagram its length in 16 bits and its contents.
pub fn handshake(bytes: &[u8]) {
    for version in [ProtocolVersion::DTLS_1_2, ProtocolVersion::DTLS_1_3] {
        converse(version, bytes);
    }
}

fn converse(version: ProtocolVersion, bytes: &[u8]) {
    let mut now = start();
    let mut pair = [Role::Client, Role::Server].map(|role| Connection::new(config(version, role), role));
    let mut r = Reader::new(bytes);
    // Enough to get anywhere, and no more than a fuzzer has time for.
    for _ in 0..256 {
        let Ok(step) = r.u8() else { break };
        match step % 4 {
            to @ 0..=1 => {
                let len = r.u16().map_or(0, usize::from).min(r.remaining());
                let datagram = r.bytes(len).unwrap_or_default();
                pair[usize::from(to)].handle_datagram(now, datagram.into());
            }
            2 => {
                let [client, server] = &mut pair;
                exchange(now, client, server);
                exchange(now, server, client);
            }
            _ => {
                now += Duration::from_millis(50 * u64::from(step));
                for connection in &mut pair {
                    connection.handle_timeout(now);
                    while !transmit(now, connection).is_empty() {}
                    assert!(connection.poll_timeout().is_none_or(|next| next > now), "it spins");
                }
            }
        }
        for connection in &mut pair {
            let limits = Config::new(certificate(Role::Client));
            let messages = (usize::from(limits.max_messages_ahead) + 1) * (limits.max_handshake_message + 1024);
            assert!(connection.kept() <= messages + (limits.max_early_records + limits.max_unread_records) * 65_535);
            while connection.poll_event().is_some() {}
            while connection.recv().is_some() {}
        }
    }
}

fn exchange(now: Instant, from: &mut Connection, to: &mut Connection) {
    loop {
        let datagram = transmit(now, from);
        if datagram.is_empty() {
            break;
        }
        to.handle_datagram(now, datagram[..].into());
    }
}

fn transmit(now: Instant, connection: &mut Connection) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let len = connection.poll_transmit(now, &mut out);
    assert!(out.starts_with(b"before"));
    assert_eq!(out.len() - 6, len.unwrap_or(0), "it appends what it says");
    assert!(
        len.is_none_or(|len| (1..=Config::MIN_MTU * 4).contains(&len)),
        "it keeps to the MTU"
    );
    out.split_off(6)
}

fn config(version: ProtocolVersion, role: Role) -> Config {
    let peer = certificate(if role == Role::Client {
        Role::Server
    } else {
        Role::Client
    });
    Config {
        remote_fingerprints: vec![peer.fingerprint(HashAlgorithm::Sha256)],
        mtu: Config::MIN_MTU * 4,
        max_version: version,
        connection_id: ConnectionId::new(b"known"),
        // A share of the hybrid group takes a fuzzer's time.
        groups: vec![NamedGroup::X25519, NamedGroup::SECP256R1],
        ..Config::new(certificate(role))
    }
}

fn certificate(role: Role) -> Arc<Certificate> {
    static CERTIFICATES: OnceLock<[Arc<Certificate>; 2]> = OnceLock::new();
    let [client, server] = CERTIFICATES.get_or_init(|| {
        let provider = rustls::crypto::ring::default_provider();
        [(); 2].map(|()| Arc::new(Certificate::generate(&provider, SystemTime::UNIX_EPOCH).expect("randomness")))
    });
    Arc::clone(if role == Role::Client { client } else { server })
}

/// Some instant: there is no other way to come by one.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}
