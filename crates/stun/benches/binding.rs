//! A Binding request as ICE sends it, beside what it cannot do without: HMAC-SHA1 and CRC-32 over as many bytes.
//! `cargo bench -p peerline-stun`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use peerline_stun::attribute::{IceControlling, Priority, Username};
use peerline_stun::{Key, Message, MessageBuilder, Method, TransactionId};
use sha1::Sha1;

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

fn build(out: &mut Vec<u8>, key: &Key) -> Option<usize> {
    MessageBuilder::request(out, Method::BINDING, TransactionId(black_box(*b"random bytes")))
        .attribute(Username(black_box("evtjh6vY:gZ3kq0Lm")))
        .attribute(Priority(black_box(1_845_494_271)))
        .attribute(IceControlling(black_box(0x932f_f9b1_5126_3b36)))
        .integrity(key)
        .fingerprint()
        .finish()
}

fn request() -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out, &Key::short_term(PASSWORD));
    out
}

fn floor(c: &mut Criterion) {
    let mut group = c.benchmark_group("floor");
    let request = request();
    let keyed = Hmac::<Sha1>::new_from_slice(PASSWORD.as_bytes()).expect("HMAC takes keys of any length");
    // MESSAGE-INTEGRITY covers all but itself and the FINGERPRINT, which covers all but itself.
    let (covered, fingerprinted) = (&request[..request.len() - 32], &request[..request.len() - 8]);
    group.bench_function("keyed HMAC-SHA1", |b| {
        b.iter(|| keyed.clone().chain_update(black_box(covered)).finalize());
    });
    group.bench_function("CRC-32", |b| b.iter(|| crc32fast::hash(black_box(fingerprinted))));
    group.finish();
}

fn binding(c: &mut Criterion) {
    let mut group = c.benchmark_group("binding request");
    let key = Key::short_term(PASSWORD);
    let mut out = Vec::with_capacity(256);
    group.bench_function("build", |b| {
        b.iter(|| {
            out.clear();
            build(&mut out, black_box(&key))
        });
    });
    let request = request();
    group.bench_function("parse and verify", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&request)).expect("it was just built");
            message.verify_fingerprint().is_ok() && message.verify(black_box(&key)).is_ok()
        });
    });
    group.bench_function("parse", |b| b.iter(|| Message::parse(black_box(&request)).is_ok()));
    group.bench_function("read three attributes", |b| {
        let message = Message::parse(&request).expect("it was just built");
        b.iter(|| {
            let message = black_box(&message);
            (
                message.get::<Username<'_>>(),
                message.get::<Priority>(),
                message.get::<IceControlling>(),
            )
        });
    });
    group.finish();
}

fn key(c: &mut Criterion) {
    c.bench_function("key of a credential", |b| {
        b.iter(|| Key::short_term(black_box(PASSWORD)));
    });
}

criterion_group!(benches, floor, binding, key);
criterion_main!(benches);
