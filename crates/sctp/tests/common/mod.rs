//! What the tests share: two associations joined by a link, and an application at each end.
#![allow(dead_code, unused_imports, unreachable_pub)]

pub mod attacked;

pub use std::collections::{BTreeMap, VecDeque};
pub use std::time::{Duration, Instant};

pub use bytes::{Bytes, BytesMut};
pub use peerline_sctp::{
    Association, CloseReason, Config, Event, Message, Ppid, Reliability, ResetError, ResetResult, SendError,
    SendOptions, Stats, StreamId,
};
pub use peerline_sim::{Link, Pair, every_loss, for_each_seed, one_path, rng, seed_bytes};
pub use rand::{Rng, RngExt};

one_path! { pub struct Sctp(Association) -> Event; }

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
pub const UNORDERED: SendOptions = SendOptions {
    ordered: false,
    reliability: Reliability::Reliable,
};

pub fn config(seed: u64, who: u64) -> Config {
    Config {
        rng_seed: seed_bytes(seed, who),
        max_send_message_size: 1 << 20,
        ..Config::default()
    }
}

pub fn association(config: Config) -> Sctp {
    Sctp(Association::new(config))
}

/// Two associations that have not begun.
pub fn pair_with(seed: u64, change: impl Fn(&mut Config)) -> Pair<Sctp> {
    let make = |who| {
        let mut config = config(seed, who);
        change(&mut config);
        association(config)
    };
    Pair::new(seed, make(0), make(1))
}

/// Two associations that both connect over `link`, and have.
pub fn connected_with(seed: u64, link: &Link, change: impl Fn(&mut Config)) -> Pair<Sctp> {
    let mut pair = pair_with(seed, change).links(link);
    let now = pair.now();
    pair.a.connect(now);
    pair.b.connect(now);
    pair.expect("both to connect", 200 * SECOND, |pair| {
        pair.a.is_connected() && pair.b.is_connected()
    });
    pair.take_events_a();
    pair.take_events_b();
    pair
}

pub fn connected(seed: u64) -> Pair<Sctp> {
    connected_with(seed, &Link::delay(10 * MS), |_| {})
}

pub fn message(len: usize, salt: u64) -> Message {
    let mut payload = vec![0; len];
    rng(salt).fill_bytes(&mut payload);
    Message::new(Ppid::BINARY, payload)
}

pub fn send(sctp: &mut Association, now: Instant, stream: u16, text: &str) {
    send_with(sctp, now, stream, text, SendOptions::default());
}

pub fn send_with(sctp: &mut Association, now: Instant, stream: u16, text: &str, options: SendOptions) {
    sctp.send(
        now,
        StreamId(stream),
        Message::new(Ppid::STRING, text.to_owned()),
        options,
    )
    .unwrap();
}

pub fn recv_text(sctp: &mut Association, stream: u16) -> Option<String> {
    sctp.recv(StreamId(stream))
        .map(|message| String::from_utf8(message.payload.to_vec()).unwrap())
}

pub fn drain(sctp: &mut Association, stream: u16) -> Vec<Message> {
    std::iter::from_fn(|| sctp.recv(StreamId(stream))).collect()
}

pub fn texts(sctp: &mut Association, stream: u16) -> Vec<String> {
    std::iter::from_fn(|| recv_text(sctp, stream)).collect()
}

/// What seeds from 1 on make of something, side by side. A table of one run alone changes with its luck: other packets are lost
/// whenever packets have another size.
pub fn for_seeds<T: Send>(count: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let run = &run;
    std::thread::scope(|scope| {
        let runs: Vec<_> = (1..=count).map(|seed| scope.spawn(move || run(seed))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    })
}

pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// Everything an association wants to send now.
pub fn packets(sctp: &mut Association, now: Instant) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| {
        let mut out = Vec::new();
        sctp.poll_transmit(now, &mut out)?;
        Some(out)
    })
    .collect()
}

pub fn events(sctp: &mut Association) -> Vec<Event> {
    std::iter::from_fn(|| sctp.poll_event()).collect()
}

/// Hands packets over at once.
pub fn deliver(sctp: &mut Association, now: Instant, packets: &[Vec<u8>]) {
    packets
        .iter()
        .for_each(|packet| sctp.handle_datagram(now, BytesMut::from(&packet[..])));
}
