//! A record that fills a datagram of 1,200 bytes, sealed and opened, beside the AEAD alone: AES-128-GCM over as many bytes,
//! in place. `cargo bench -p peerline-dtls`, and again with `--features aws-lc-rs` for the other provider.

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::aead;
#[cfg(not(feature = "aws-lc-rs"))]
use ring::aead;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use peerline_dtls::{
    Certificate, CipherSuite, Config, Connection, HashAlgorithm, ProtocolVersion, Role, default_provider,
};

const DATAGRAM: usize = 1_200;
/// What an AES-GCM record adds: header, explicit nonce, tag.
const OVERHEAD: usize = 13 + 8 + TAG;
const TAG: usize = 16;

/// Always the same: what is sealed here is no secret.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn floor(c: &mut Criterion) {
    let mut group = c.benchmark_group("floor");
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).expect("a key has 16 bytes"));
    let mut sealed = [7; DATAGRAM - OVERHEAD + TAG];
    let aad = || Aad::from(black_box([3; 13]));
    let seal = |sealed: &mut [u8]| {
        let (text, tag) = sealed.split_at_mut(DATAGRAM - OVERHEAD);
        let made = key.seal_in_place_separate_tag(nonce(), aad(), black_box(text));
        tag.copy_from_slice(made.expect("it is short enough").as_ref());
    };
    group.bench_function("AES-128-GCM seal", |b| b.iter(|| seal(&mut sealed)));
    group.bench_function("AES-128-GCM seal and open", |b| {
        b.iter(|| {
            seal(&mut sealed);
            key.open_in_place(nonce(), aad(), black_box(&mut sealed))
                .expect("it was just sealed")
                .len()
        });
    });
    group.finish();
}

fn records(c: &mut Criterion) {
    for (version, name) in [(ProtocolVersion::DTLS_1_2, "1.2"), (ProtocolVersion::DTLS_1_3, "1.3")] {
        records_of(version, name, c);
    }
}

fn records_of(version: ProtocolVersion, name: &str, c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("record of 1,200 bytes, DTLS {name}"));
    let payload = vec![7; DATAGRAM];
    let mut out = Vec::with_capacity(2 * DATAGRAM);
    let seal = |sender: &mut Connection, out: &mut Vec<u8>| {
        out.clear();
        let payload = &payload[sender.overhead()..];
        sender
            .enclose(out, |out| {
                out.extend_from_slice(black_box(payload));
                Some(payload.len())
            })
            .expect("it is connected")
    };
    // New connections each time, since keys last for so many records only.
    group.bench_function("enclose", |b| {
        let (_, mut sender, _) = connected(version);
        b.iter(|| seal(&mut sender, &mut out));
    });

    // A datagram is cut from a buffer that many share, as a driver does that receives in batches.
    let mut received = BytesMut::new();
    group.bench_function("enclose, carry and receive", |b| {
        let (now, mut sender, mut receiver) = connected(version);
        b.iter(|| {
            let len = seal(&mut sender, &mut out);
            received.extend_from_slice(&out);
            receiver.handle_datagram(now, received.split());
            let payload = receiver.recv().expect("a record gives its payload");
            assert_eq!((len, payload.len() + receiver.overhead()), (DATAGRAM, DATAGRAM));
        });
        assert_eq!(receiver.stats().records_forged, 0);
    });
    group.finish();
}

/// A client and a server that have agreed on AES-128-GCM, and the time they live in.
// The only clock here: certificates begin somewhere.
#[allow(clippy::disallowed_methods)]
fn connected(version: ProtocolVersion) -> (Instant, Connection, Connection) {
    let (now, today) = (Instant::now(), SystemTime::now());
    let certificate = || Arc::new(Certificate::generate(&default_provider(), today).expect("a certificate"));
    let (alice, bob) = (certificate(), certificate());
    let config = |own: &Arc<Certificate>, peer: &Certificate| Config {
        remote_fingerprints: vec![peer.fingerprint(HashAlgorithm::Sha256)],
        max_version: version,
        // Keys are not updated: nothing but data is carried here.
        max_records_per_key: u64::MAX,
        ..Config::new(own.clone())
    };
    let mut client = Connection::new(config(&alice, &bob), Role::Client);
    let mut server = Connection::new(config(&bob, &alice), Role::Server);
    let carry = |from: &mut Connection, to: &mut Connection| {
        let mut out = Vec::new();
        while from.poll_transmit(now, &mut out).is_some() {
            to.handle_datagram(now, std::mem::take(&mut out).as_slice().into());
        }
    };
    while !(client.is_connected() && server.is_connected()) {
        carry(&mut client, &mut server);
        carry(&mut server, &mut client);
    }
    let suites = [
        CipherSuite::ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::AES_128_GCM_SHA256,
    ];
    assert!(client.cipher_suite().is_some_and(|suite| suites.contains(&suite)));
    (now, client, server)
}

criterion_group!(benches, floor, records);
criterion_main!(benches);
