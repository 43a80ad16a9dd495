//! What a connection costs: pairs of them in memory, without sockets. `cargo bench -p peerline-connection`.
//!
//! Words after `--` choose: `memory`, `setup`, `idle`, `messages`, `packets`, `fanout`; a number says how many pairs, messages or
//! packets, for a profiler that wants few, and a second one how many packets fan out at a time.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use peerline_connection::{
    Certificate, Config, Connection, DataChannelInit, DataChannelState, Event, MediaKind, OfferOptions, OutgoingPacket,
    ReceiveMode, Track, TransceiverId, default_provider,
};
use peerline_wire::{Datagram, FiveTuple, Transport};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse().ok());
    let (count, at_a_time) = (numbers.next(), numbers.next());
    let words: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| word.starts_with(char::is_alphabetic))
        .collect();
    let wanted = |name| words.is_empty() || words.contains(&name);
    // First, while the heap has nothing to reuse.
    if wanted("memory") {
        memory(count.unwrap_or(1000));
    }
    if wanted("setup") {
        setup(count.unwrap_or(2000));
    }
    if wanted("idle") {
        idle(count.unwrap_or(200));
    }
    if wanted("messages") {
        messages(count.unwrap_or(200_000));
    }
    if wanted("packets") {
        packets(count.unwrap_or(500_000));
    }
    if wanted("fanout") {
        for at_a_time in at_a_time.map_or(vec![1, 10], |at_a_time| vec![at_a_time]) {
            fan_out(count.unwrap_or(10_000), at_a_time);
        }
    }
}

/// RTP packets of 1,200 bytes one way, ten each millisecond of virtual time: 96 Mbit/s.
fn packets(count: u32) {
    let mut pair = Pair::connected(start(), 0);
    let [from, to] = pair.call();
    pair.ends[1].connection.set_receive_mode(to, ReceiveMode::Packets);
    let payload_type = pair.ends[0].payload_type(from);
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let begun = real_time();
    let (mut sent, mut received) = (0, 0);
    while sent < count {
        let end = pair.now + Duration::from_millis(1);
        for _ in 0..10 {
            sent += 1;
            let packet = OutgoingPacket {
                payload: payload.clone(),
                payload_type,
                timestamp: sent * 9,
                ..OutgoingPacket::default()
            };
            let now = pair.now;
            pair.ends[0]
                .connection
                .send_packet(now, from, packet)
                .expect("it is sent");
        }
        pair.run_for(end - pair.now);
        while pair.ends[1].connection.recv_packet(to).is_some() {
            received += 1;
        }
    }
    assert_eq!(sent, received);
    let each = begun.elapsed() / count;
    println!("packets of 1,200 bytes: {each:?} each, both ends on one core");
}

/// Packets of 1,200 bytes to fifty viewers each, as one who forwards them does, so many at a time; what the viewers do is not counted.
fn fan_out(count: u32, at_a_time: u32) {
    let mut viewers: Vec<_> = (0..50)
        .map(|seed| {
            let mut pair = Pair::connected(start(), seed);
            let [from, _] = pair.call();
            let payload_type = pair.ends[0].payload_type(from);
            (pair, from, payload_type)
        })
        .collect();
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let mut out = Vec::new();
    let begun = real_time();
    let mut now = viewers[0].0.now;
    for burst in 0..count / at_a_time {
        now += Duration::from_micros(100) * at_a_time;
        for (pair, transceiver, payload_type) in &mut viewers {
            let connection = &mut pair.ends[0].connection;
            for number in 0..at_a_time {
                let packet = OutgoingPacket {
                    payload: payload.clone(),
                    payload_type: *payload_type,
                    timestamp: (burst * at_a_time + number) * 9,
                    ..OutgoingPacket::default()
                };
                connection.send_packet(now, *transceiver, packet).expect("it is sent");
            }
            while connection.poll_transmit(now, &mut out).is_some() {}
            out.clear();
            if connection.poll_timeout().is_some_and(|at| at <= now) {
                connection.handle_timeout(now);
            }
        }
    }
    let each = begun.elapsed() / (50 * count);
    println!("fan-out, {at_a_time} at a time: {each:?} a packet that leaves");
}

/// With header, header extension and tag it makes a packet of 1,200 bytes.
const PAYLOAD: usize = 1_160;

/// From nothing to a channel open at both ends; the certificates are there already.
fn setup(count: u32) {
    drop(Pair::connected(start(), 0));
    let begun = real_time();
    for seed in 1..=count {
        drop(Pair::connected(start(), seed));
    }
    let each = begun.elapsed() / count;
    println!("set-up: {each:?} a pair, both ends on one core");
}

/// A minute of virtual time in which nothing happens but consent checks (RFC 7675 §5.1: one in about five seconds).
fn idle(count: u32) {
    let mut pairs: Vec<Pair> = (0..count).map(|seed| Pair::connected(start(), seed)).collect();
    let begun = real_time();
    let mut datagrams = 0;
    for pair in &mut pairs {
        datagrams += pair.run_for(Duration::from_secs(60));
    }
    let each = begun.elapsed() / (2 * count);
    let share = each.as_secs_f64() / 60.0 * 10_000.0 * 100.0;
    println!(
        "idle: {each:?} a connection and minute, {} ns a datagram, {share:.2} % of a core for 10,000 connections",
        begun.elapsed().as_nanos() / u128::from(datagrams)
    );
}

/// Messages of 100 bytes one way, a hundred at a time.
fn messages(count: u32) {
    let mut pair = Pair::connected(start(), 0);
    let [from, to] = pair
        .ends
        .each_ref()
        .map(|end| end.connection.channels().next().expect("a channel"));
    let payload = Bytes::from_static(&[7; 100]);
    let begun = real_time();
    let (mut sent, mut received, mut datagrams) = (0, 0, 0);
    while received < count {
        for _ in 0..100 {
            sent += u32::from(pair.ends[0].connection.send(pair.now, from, payload.clone()).is_ok());
        }
        datagrams += pair.exchange();
        while pair.ends[1].connection.recv(pair.now, to).is_some() {
            received += 1;
        }
        if received < sent {
            pair.step(pair.now + Duration::from_secs(1));
        }
    }
    let took = begun.elapsed();
    println!(
        "messages of 100 bytes: {:.0} a second, {} ns a datagram, both ends on one core",
        f64::from(received) / took.as_secs_f64(),
        took.as_nanos() / u128::from(datagrams)
    );
}

/// What an idle pair keeps.
fn memory(count: u32) {
    let mut pairs: Vec<Pair> = Vec::with_capacity(count as usize + 20);
    let mut add = |from: u32, to: u32| {
        for seed in from..to {
            let mut pair = Pair::connected(start(), seed);
            pair.run_for(Duration::from_secs(20));
            pair.out = Vec::new();
            pairs.push(pair);
        }
    };
    add(0, 20);
    let before = resident_kib();
    add(20, 20 + count);
    let each = (resident_kib() - before) / f64::from(count);
    println!(
        "memory: {each:.1} KiB a pair, of which {:.1} KiB are the two structs themselves",
        2.0 * size_of::<Connection>() as f64 / 1024.0
    );
}

/// Two connections and the wire between them, which takes no time.
struct Pair {
    ends: [End; 2],
    now: Instant,
    out: Vec<u8>,
}

struct End {
    connection: Connection,
    address: SocketAddr,
}

impl End {
    /// The codec that is sent.
    fn payload_type(&mut self, transceiver: TransceiverId) -> u8 {
        let parameters = self.connection.send_parameters(transceiver).expect("a sender");
        parameters.codecs[0].payload_type
    }
}

impl Pair {
    /// With a channel that is open at both ends.
    fn connected(now: Instant, seed: u32) -> Self {
        let end = |who: usize| {
            let mut rng_seed = [who as u8; 32];
            rng_seed[..4].copy_from_slice(&seed.to_be_bytes());
            let config = Config {
                rng_seed,
                ..Config::new(certificates()[who].clone())
            };
            End {
                connection: Connection::new(now, config),
                address: ([192, 0, 2, who as u8 + 1], 5000).into(),
            }
        };
        let mut pair = Self {
            ends: [end(0), end(1)],
            now,
            out: Vec::new(),
        };
        pair.connect();
        pair
    }

    fn connect(&mut self) {
        let now = self.now;
        let [alice, bob] = self.ends.each_mut().map(|end| &mut end.connection);
        let channel = alice
            .create_data_channel(now, "bench", DataChannelInit::default())
            .expect("a channel");
        let offer = alice.create_offer(OfferOptions::default()).expect("an offer");
        alice.set_local_description(now, offer.clone()).expect("our offer");
        bob.set_remote_description(now, offer).expect("an offer");
        let answer = bob.create_answer().expect("an answer");
        bob.set_local_description(now, answer.clone()).expect("our answer");
        alice.set_remote_description(now, answer).expect("an answer");
        for _ in 0..1000 {
            let both = self.ends.each_ref().map(|end| {
                let connection = &end.connection;
                connection
                    .channels()
                    .any(|id| connection.channel(id).map(|c| c.ready_state()) == Some(DataChannelState::Open))
            });
            if both == [true; 2] {
                self.exchange();
                return;
            }
            if self.exchange() == 0 {
                self.step(self.now + Duration::from_secs(1));
            }
        }
        panic!("the channel {channel:?} does not open");
    }

    /// Adds a picture that the first end sends; the transceivers of both.
    fn call(&mut self) -> [TransceiverId; 2] {
        let now = self.now;
        let [alice, bob] = self.ends.each_mut().map(|end| &mut end.connection);
        let camera = Track {
            id: "camera".into(),
            kind: MediaKind::Video,
        };
        let from = alice.add_track(now, camera, &[]).expect("a track");
        let offer = alice.create_offer(OfferOptions::default()).expect("an offer");
        alice.set_local_description(now, offer.clone()).expect("our offer");
        bob.set_remote_description(now, offer).expect("an offer");
        let answer = bob.create_answer().expect("an answer");
        bob.set_local_description(now, answer.clone()).expect("our answer");
        alice.set_remote_description(now, answer).expect("an answer");
        let to = bob.transceivers().next().expect("a transceiver").id();
        self.run_for(Duration::from_secs(1));
        [from, to]
    }

    /// Lets virtual time pass; how many datagrams were carried.
    fn run_for(&mut self, time: Duration) -> u32 {
        let end = self.now + time;
        let mut carried = 0;
        while self.now < end {
            self.step(end);
            carried += self.exchange();
        }
        carried
    }

    /// To the next deadline, or to `end`.
    fn step(&mut self, end: Instant) {
        let due = self.ends.iter().filter_map(|end| end.connection.poll_timeout()).min();
        self.now = due.map_or(end, |due| due.clamp(self.now, end));
        for end in &mut self.ends {
            end.connection.handle_timeout(self.now);
        }
    }

    /// Carries datagrams and candidates until both ends are quiet; how many datagrams.
    fn exchange(&mut self) -> u32 {
        let mut carried = 0;
        loop {
            let before = carried;
            for from in 0..2 {
                carried += self.carry(from);
            }
            if carried == before {
                return carried;
            }
        }
    }

    fn carry(&mut self, from: usize) -> u32 {
        let Self { ends, now, out } = self;
        let [a, b] = ends;
        let (from, to) = if from == 0 { (a, b) } else { (b, a) };
        let mut carried = 0;
        while let Some(event) = from.connection.poll_event() {
            match event {
                Event::Gather => {
                    from.connection.add_local_address(*now, from.address, Transport::Udp);
                    from.connection.finish_gathering(*now);
                }
                Event::IceCandidate(candidate) => {
                    to.connection.add_ice_candidate(*now, candidate).expect("a candidate");
                }
                _ => {}
            }
        }
        while let Some(transmit) = from.connection.poll_transmit(*now, out) {
            carried += 1;
            let datagram = Datagram {
                five_tuple: FiveTuple::udp(transmit.five_tuple.remote, transmit.five_tuple.local),
                ecn: transmit.ecn,
                payload: BytesMut::from(&out[..transmit.len]),
            };
            out.clear();
            to.connection.handle_datagram(*now, datagram);
        }
        carried
    }
}

fn certificates() -> &'static [Arc<Certificate>; 2] {
    static CERTIFICATES: OnceLock<[Arc<Certificate>; 2]> = OnceLock::new();
    CERTIFICATES.get_or_init(|| {
        let day = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        [(); 2].map(|()| Arc::new(Certificate::generate(&default_provider(), day).expect("a certificate")))
    })
}

/// Where virtual time begins.
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(real_time)
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn real_time() -> Instant {
    Instant::now()
}

/// Memory resident now, in KiB; 0 where there is no `/proc`.
fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|value| value.trim().strip_suffix("kB")?.trim().parse().ok())
        .unwrap_or(0.0)
}
