//! What an association costs: two of them in memory and virtual time, at the two ends of a path of 10 Gbit/s that keeps so
//! much in flight, beside the bare copies and checksums. `cargo bench -p peerline-sctp`.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use peerline_sctp::{Association, Config, Message, Ppid, SendError, SendOptions, StreamId};

/// The sizes of messages, in bytes, and how many bytes are in flight.
const SIZES: [usize; 2] = [64 << 10, 100];
const IN_FLIGHT: [(&str, usize); 2] = [("128 KiB in flight", 128 << 10), ("8 MiB in flight", 8 << 20)];

const STREAM: StreamId = StreamId(1);
/// SCTP packets a batch, as with segmentation offload.
const BATCH: usize = 64;
/// The path's rate, in bytes a second.
const RATE: f64 = 10e9 / 8.0;

/// The two copies of each byte between two applications (into a packet, and from the network into a datagram), and the
/// checksum at both ends.
fn floor(c: &mut Criterion) {
    let mut group = c.benchmark_group("floor, 64 KiB");
    let message = Bytes::from(vec![7; 64 << 10]);
    group.throughput(Throughput::Bytes(message.len() as u64));
    let mut out = Vec::with_capacity(message.len());
    group.bench_function("two copies", |b| {
        b.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&message));
            BytesMut::from(&out[..])
        });
    });
    group.bench_function("CRC-32C twice", |b| {
        b.iter(|| {
            let sum = |packet: &[u8]| crc_fast::crc32_iscsi(black_box(packet));
            message.chunks(1_160).map(|packet| sum(packet) ^ sum(packet)).max()
        });
    });
    group.finish();
}

fn messages(c: &mut Criterion) {
    for (checksum, zero_checksum) in [("zero checksum", true), ("CRC-32C", false)] {
        for size in SIZES {
            let mut group = c.benchmark_group(format!("{size} bytes, {checksum}"));
            group.throughput(Throughput::Bytes(size as u64));
            for (name, in_flight) in IN_FLIGHT {
                let mut pair = Pair::new(size, zero_checksum, in_flight);
                group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| pair.next_message()));
            }
            group.finish();
        }
    }
}

/// A sender that always has something to say, a receiver, and the path between them.
struct Pair {
    now: Instant,
    /// Half a round trip.
    delay: Duration,
    message: Message,
    sender: End,
    receiver: End,
}

struct End {
    association: Association,
    /// What is under way to it.
    arriving: VecDeque<Batch>,
    out: Vec<u8>,
}

/// Packets end to end.
struct Batch {
    arrival: Instant,
    packets: BytesMut,
    lengths: Vec<usize>,
}

impl Pair {
    /// Connected, and sending until nothing changes any more.
    fn new(size: usize, zero_checksum: bool, in_flight: usize) -> Self {
        let end = |seed| {
            End::new(Config {
                rng_seed: [seed; 32],
                zero_checksum,
                receive_window: 64 << 20,
                // Enough that some always waits.
                send_buffer: 4 * in_flight,
                ..Config::default()
            })
        };
        let mut pair = Self {
            now: peerline_sim::epoch(),
            delay: Duration::from_secs_f64(in_flight as f64 / RATE / 2.0),
            message: Message::new(Ppid::BINARY, Bytes::from(vec![7; size])),
            sender: end(1),
            receiver: end(2),
        };
        pair.sender.association.connect(pair.now);
        for _ in 0..100 * in_flight / size {
            pair.next_message();
        }
        pair
    }

    /// Until the receiver's application has taken a message.
    fn next_message(&mut self) -> usize {
        loop {
            if let Some(message) = self.receiver.association.recv(STREAM) {
                return message.payload.len();
            }
            self.tick();
        }
    }

    /// As long as the path takes for one batch.
    fn tick(&mut self) {
        self.now += Duration::from_secs_f64((BATCH * 1_188) as f64 / RATE);
        let arrival = self.now + self.delay;
        self.sender.fill(self.now, &self.message);
        self.sender.step(self.now, arrival, &mut self.receiver.arriving);
        self.receiver.step(self.now, arrival, &mut self.sender.arriving);
    }
}

impl End {
    fn new(config: Config) -> Self {
        Self {
            association: Association::new(config),
            arriving: VecDeque::new(),
            out: Vec::new(),
        }
    }

    /// Sends until the buffer is full.
    fn fill(&mut self, now: Instant, message: &Message) {
        while self.association.is_connected() {
            let sent = self
                .association
                .send(now, STREAM, message.clone(), SendOptions::default());
            match sent {
                Ok(()) => {}
                Err(SendError::BufferFull) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Takes what has arrived, and sends a batch, as a driver does.
    fn step(&mut self, now: Instant, arrival: Instant, other: &mut VecDeque<Batch>) {
        let arrived = self.arriving.partition_point(|batch| batch.arrival <= now);
        for Batch {
            mut packets, lengths, ..
        } in self.arriving.drain(..arrived)
        {
            for length in lengths {
                self.association.handle_datagram(now, packets.split_to(length));
            }
        }
        if self.association.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.association.handle_timeout(now);
        }
        while self.association.poll_event().is_some() {}
        self.out.clear();
        let polled = std::iter::from_fn(|| self.association.poll_transmit(now, &mut self.out));
        let lengths: Vec<usize> = polled.take(BATCH).collect();
        if !lengths.is_empty() {
            other.push_back(Batch {
                arrival,
                packets: BytesMut::from(&self.out[..]),
                lengths,
            });
        }
    }
}

criterion_group!(benches, floor, messages);
criterion_main!(benches);
