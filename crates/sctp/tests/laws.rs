//! The laws that every machine obeys.

mod common;
use common::*;
use peerline_sim::laws::{Hostile, Laws};

fn make(now: Instant, seed: u64) -> (Sctp, Sctp) {
    // Checksums on: what has none is at the mercy of whoever flips bits, which under DTLS is nobody.
    let make = |who| {
        association(Config {
            zero_checksum: false,
            receive_window: 100_000,
            ..config(seed, who)
        })
    };
    let (mut a, mut b) = (make(0), make(1));
    a.connect(now);
    b.connect(now);
    (a, b)
}

#[test]
fn laws() {
    Laws::new(make)
        .mtu(Config::default().max_mtu)
        .established(|sctp: &Sctp| sctp.is_connected())
        .closed(|event| matches!(event, Event::Closed(_)))
        .commands(|now, rng, sctp| {
            let stream = StreamId(rng.random_range(0..4));
            match rng.random_range(0..10) {
                0 => drop(sctp.reset_stream(stream)),
                1 => sctp.set_priority(stream, rng.random_range(0..1000)),
                2 => sctp.set_buffered_amount_low_threshold(stream, rng.random_range(0..5000)),
                3 => sctp.connect(now),
                _ => {
                    let len = if rng.random_bool(0.2) { 20_000 } else { 300 };
                    let reliability = match rng.random_range(0..4) {
                        0 => Reliability::MaxRetransmits(rng.random_range(0..3)),
                        1 => Reliability::MaxLifetime(rng.random_range(0..300) * MS),
                        _ => Reliability::Reliable,
                    };
                    let options = SendOptions {
                        ordered: rng.random(),
                        reliability,
                    };
                    let _ = sctp.send(now, stream, message(rng.random_range(1..len), 1), options);
                }
            }
        })
        .payload(
            |event| match event {
                Event::Readable(stream) => Some(stream.0.into()),
                _ => None,
            },
            |sctp, stream| sctp.recv(StreamId(stream as u16)).is_some(),
        )
        .invariant(|sctp| {
            assert!(sctp.receive_buffer() <= 100_000 + 20_000);
            assert!((0..4).all(|stream| sctp.buffered_amount(StreamId(stream)) <= 16 << 20));
        })
        .hostile(Hostile::ALL, Hostile::ALL)
        .seeds(0..30)
        .check();
}

#[test]
fn associations_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Association>();
}
