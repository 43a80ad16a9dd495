//! What the tests share: certificates, configurations, and a client and a server joined by simulated links.
#![allow(dead_code)] // Each test file uses its part.

pub(crate) mod attacked;
pub(crate) mod deterministic;
pub(crate) mod plaintext;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use peerline_dtls::{Certificate, Config, Connection, Event, HashAlgorithm, ProtocolVersion, Role};
use peerline_sim::{Link, Pair, one_path};

one_path! { pub(crate) struct Dtls(Connection) -> Event; }

/// Certificates of both sides, by kind of key.
pub(crate) struct Certificates {
    pub(crate) p256: Arc<Certificate>,
    pub(crate) p256_other: Arc<Certificate>,
    pub(crate) p256_v1: Arc<Certificate>,
    pub(crate) p384: Arc<Certificate>,
    pub(crate) rsa: Arc<Certificate>,
    pub(crate) ed25519: Arc<Certificate>,
}

/// The PEM files were made with `openssl req -x509` (and `openssl x509 -req` for version 1), for these tests alone.
pub(crate) static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| {
    let provider = rustls::crypto::ring::default_provider();
    let day = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * 86_400);
    let generate = || Arc::new(Certificate::generate(&provider, day).expect("a certificate"));
    let pem = |text: &str| Arc::new(Certificate::from_pem(&provider, text.as_bytes()).expect("a certificate"));
    Certificates {
        p256: generate(),
        p256_other: generate(),
        p256_v1: pem(include_str!("../vectors/p256-v1.pem")),
        p384: pem(include_str!("../vectors/p384.pem")),
        rsa: pem(include_str!("../vectors/rsa-2048.pem")),
        ed25519: pem(include_str!("../vectors/ed25519.pem")),
    }
});

/// A configuration with this certificate that trusts that one, for DTLS 1.2.
pub(crate) fn config(own: &Arc<Certificate>, peer: &Arc<Certificate>) -> Config {
    Config {
        max_version: ProtocolVersion::DTLS_1_2,
        remote_fingerprints: vec![peer.fingerprint(HashAlgorithm::Sha256)],
        ..Config::new(Arc::clone(own))
    }
}

/// What client and server are told by default.
pub(crate) fn configs() -> [Config; 2] {
    let Certificates { p256, p256_other, .. } = &*CERTIFICATES;
    [config(p256, p256_other), config(p256_other, p256)]
}

/// The same for either version, with DTLS 1.3.
pub(crate) fn configs13() -> [Config; 2] {
    configs().map(|config| Config {
        max_version: ProtocolVersion::DTLS_1_3,
        ..config
    })
}

/// A client (`a`) and a server (`b`), 10 ms apart.
pub(crate) fn pair([client, server]: [Config; 2]) -> Pair<Dtls> {
    let client = Dtls(Connection::new(client, Role::Client));
    let server = Dtls(Connection::new(server, Role::Server));
    Pair::new(0, client, server).links(&Link::delay(Duration::from_millis(10)))
}

/// A pair after its handshake, its events taken.
pub(crate) fn connected(configs: [Config; 2]) -> Pair<Dtls> {
    let mut pair = pair(configs);
    connect(&mut pair, Duration::from_secs(1));
    pair
}

/// Lets both connect.
pub(crate) fn connect(pair: &mut Pair<Dtls>, limit: Duration) {
    pair.expect("both to connect", limit, |pair| {
        pair.a.is_connected() && pair.b.is_connected()
    });
    assert_eq!(pair.take_events_a(), [Event::Connected]);
    assert_eq!(pair.take_events_b(), [Event::Connected]);
}

/// One record around `payload`.
pub(crate) fn seal(from: &mut Connection, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let fill = |out: &mut Vec<u8>| {
        out.extend_from_slice(payload);
        Some(payload.len())
    };
    let len = from.enclose(&mut out, fill).expect("it is connected");
    assert_eq!(len, payload.len() + from.overhead());
    assert_eq!(len, out.len());
    out
}

/// Data gets through, both ways.
pub(crate) fn assert_healthy(pair: &mut Pair<Dtls>) {
    let now = pair.now();
    for i in 0..2 {
        let (from, to) = if i == 0 {
            (&mut pair.a, &mut pair.b)
        } else {
            (&mut pair.b, &mut pair.a)
        };
        let datagram = seal(from, b"still here");
        while to.recv().is_some() {}
        peerline_dtls::Connection::handle_datagram(to, now, datagram[..].into());
        assert_eq!(to.recv().as_deref(), Some(&b"still here"[..]));
        assert_eq!(to.recv(), None);
    }
}

/// The lines of a vector file: a keyword, and bytes in hexadecimal (the keyword may be missing).
pub(crate) fn vector(text: &str) -> Vec<(&str, Vec<u8>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (keyword, hex) = line.split_once(' ').unwrap_or(("", line));
            let digits: Vec<_> = hex.chars().map(|c| c.to_digit(16).expect("a digit") as u8).collect();
            (keyword, digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        })
        .collect()
}
