//! What an association costs: two of them in memory, without DTLS or a network. `cargo bench -p peerline-sctp`.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use peerline_sctp::{Association, Config, Message, Ppid, SendOptions, StreamId};

fn main() {
    for (size, zero_checksum) in [(65_536, true), (65_536, false), (1_000, true), (100, true)] {
        let (messages, bytes, took) = bulk(size, zero_checksum, Duration::from_secs(1));
        let seconds = took.as_secs_f64();
        println!(
            "messages of {size:>6} bytes, {}: {:>8.0} Mbit/s, {:>9.0} messages/s, both ends on one core",
            if zero_checksum { "no checksum" } else { "CRC-32C    " },
            bytes as f64 * 8.0 / seconds / 1e6,
            messages as f64 / seconds
        );
    }
}

// The only clock here: what is measured is real time, and the associations are given it.
#[allow(clippy::disallowed_methods)]
fn bulk(size: usize, zero_checksum: bool, limit: Duration) -> (u64, u64, Duration) {
    let start = Instant::now();
    let config = |seed| Config {
        rng_seed: [seed; 32],
        zero_checksum,
        ..Config::default()
    };
    let (mut a, mut b) = (Association::new(config(1)), Association::new(config(2)));
    a.connect(start);
    let stream = StreamId(1);
    let message = Message::new(Ppid::BINARY, Bytes::from(vec![7; size]));
    let (mut out, mut count, mut bytes) = (Vec::new(), 0, 0);
    loop {
        let now = Instant::now();
        let elapsed = now - start;
        if elapsed > limit {
            return (count, bytes, elapsed);
        }
        while a.buffered_amount(stream) < 1 << 20 {
            a.send(now, stream, message.clone(), SendOptions::default())
                .expect("there is room");
        }
        carry(&mut a, &mut b, now, &mut out);
        while b.poll_event().is_some() {}
        while let Some(message) = b.recv(stream) {
            count += 1;
            bytes += message.payload.len() as u64;
        }
        carry(&mut b, &mut a, now, &mut out);
        while a.poll_event().is_some() {}
    }
}

/// A batch of up to 64 packets, as a driver with segmentation offload would carry it: one buffer, one copy.
fn carry(from: &mut Association, to: &mut Association, now: Instant, out: &mut Vec<u8>) {
    out.clear();
    let lengths: Vec<usize> = std::iter::from_fn(|| from.poll_transmit(now, out)).take(64).collect();
    let mut batch = BytesMut::from(&out[..]);
    for length in lengths {
        to.handle_datagram(now, batch.split_to(length));
    }
}
