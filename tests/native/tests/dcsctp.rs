//! SCTP with dcsctp, Chromium's: packets in memory, in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dcsctp::api as theirs;
use dcsctp::api::{DcSctpSocket, Options, SocketEvent, SocketTime};
use peerline_sctp::{
    Association, CloseReason, Config, Event, Message, Ppid, Reliability, ResetResult, SendOptions, StreamId,
};

/// One of ours and one of theirs.
struct Pair {
    ours: Association,
    theirs: Box<dyn DcSctpSocket>,
    epoch: Instant,
    now: Instant,
    /// When it arrives, whether it is for us, and the packet.
    network: VecDeque<(Instant, bool, Vec<u8>)>,
    /// How many of a thousand packets get lost.
    loss: u64,
    random: u64,
    our_events: Vec<Event>,
    their_events: Vec<SocketEvent>,
    our_messages: Vec<Message>,
    their_messages: Vec<theirs::Message>,
    /// Data chunks of ours and theirs with a checksum of zero.
    unchecked: [u64; 2],
}

const DELAY: Duration = Duration::from_millis(5);
// Virtual time. Theirs needs minutes at 10 % loss if chance is unkind: it doubles its timeout up to a minute.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Who asks for the association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Us,
    Them,
    Both,
}

impl Pair {
    fn new(options: &Options) -> Self {
        Self::with(options, true)
    }

    // The time has to begin somewhere; from there on it is virtual.
    #[allow(clippy::disallowed_methods)]
    fn with(options: &Options, interleaving: bool) -> Self {
        let epoch = Instant::now();
        let config = Config {
            rng_seed: [3; 32],
            max_send_message_size: 262_144,
            interleaving,
            ..Config::default()
        };
        Self {
            ours: Association::new(config),
            theirs: dcsctp::new_socket("theirs", options),
            epoch,
            now: epoch,
            network: VecDeque::new(),
            loss: 0,
            random: 1,
            our_events: Vec::new(),
            their_events: Vec::new(),
            our_messages: Vec::new(),
            their_messages: Vec::new(),
            unchecked: [0; 2],
        }
    }

    fn connected(options: &Options, caller: Caller) -> Self {
        Self::new(options).connect(caller)
    }

    fn connect(self, caller: Caller) -> Self {
        let mut pair = self;
        if caller != Caller::Them {
            pair.ours.connect(pair.now);
        }
        if caller != Caller::Us {
            pair.theirs.connect();
        }
        pair.expect("both to be connected", |pair| {
            pair.ours.is_connected() && pair.theirs.state() == theirs::SocketState::Connected
        });
        assert_eq!(pair.our_events, [Event::Connected]);
        assert!(
            matches!(pair.their_events[..], [SocketEvent::OnConnected()]),
            "{:?}",
            pair.their_events
        );
        pair.our_events.clear();
        pair.their_events.clear();
        pair
    }

    fn expect(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + PATIENCE;
        loop {
            self.settle();
            if done(self) {
                return self.settle();
            }
            assert!(
                self.now < end,
                "expected {what}; ours {:?} {:?}; theirs {:?}",
                self.our_events,
                self.ours.stats(),
                self.their_events
            );
            self.step(end);
        }
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.settle();
            self.step(end);
        }
        self.settle();
    }

    /// To the next moment at which something happens.
    fn step(&mut self, end: Instant) {
        self.settle();
        let their_timeout = self.theirs.poll_timeout();
        let their_timeout =
            (their_timeout != SocketTime::infinite_future()).then(|| self.epoch + (their_timeout - SocketTime::zero()));
        let arrival = self.network.front().map(|(at, ..)| *at);
        let next = [self.ours.poll_timeout(), their_timeout, arrival]
            .into_iter()
            .flatten()
            .min();
        self.now = next.unwrap_or(end).min(end).max(self.now);
        self.theirs.advance_time(SocketTime::zero() + (self.now - self.epoch));
        if self.ours.poll_timeout().is_some_and(|at| at <= self.now) {
            self.ours.handle_timeout(self.now);
        }
        while self.network.front().is_some_and(|(at, ..)| *at <= self.now) {
            let (_, for_us, packet) = self.network.pop_front().expect("just seen");
            if for_us {
                self.ours.handle_datagram(self.now, packet[..].into());
            } else {
                self.theirs.handle_input(&packet);
            }
        }
    }

    fn settle(&mut self) {
        let mut packet = Vec::new();
        while self.ours.poll_transmit(self.now, &mut packet).is_some() {
            self.transmit(false, std::mem::take(&mut packet));
        }
        while let Some(event) = self.theirs.poll_event() {
            match event {
                SocketEvent::SendPacket(packet) => self.transmit(true, packet),
                // It complains of what comes after the end.
                SocketEvent::OnError(kind, text) => assert!(
                    self.theirs.state() == theirs::SocketState::Closed,
                    "dcsctp complains: {kind:?}, {text}"
                ),
                event => self.their_events.push(event),
            }
        }
        while let Some(event) = self.ours.poll_event() {
            if let Event::Readable(stream) = event {
                while let Some(message) = self.ours.recv(stream) {
                    self.our_messages.push(message);
                }
            } else {
                self.our_events.push(event);
            }
        }
        while let Some(message) = self.theirs.get_next_message() {
            self.their_messages.push(message);
        }
    }

    fn transmit(&mut self, for_us: bool, packet: Vec<u8>) {
        self.unchecked[usize::from(for_us)] += u64::from(packet[8..12] == [0; 4]);
        // Knuth's MMIX generator.
        self.random = self
            .random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        if (self.random >> 33) % 1000 >= self.loss {
            self.network.push_back((self.now + DELAY, for_us, packet));
        }
    }

    fn we_send(&mut self, stream: u16, payload: Vec<u8>, options: SendOptions) {
        let message = Message::new(Ppid::BINARY, payload);
        self.ours
            .send(self.now, StreamId(stream), message, options)
            .expect("the message is taken");
    }

    fn they_send(&mut self, stream: u16, payload: Vec<u8>, options: &theirs::SendOptions) {
        let message = theirs::Message::new(theirs::StreamId(stream), theirs::PpId(Ppid::BINARY.0), payload);
        self.theirs.send(message, options).expect("the message is taken");
    }

    /// A message each way.
    fn exchange(&mut self) {
        let (ours, theirs) = (self.our_messages.len(), self.their_messages.len());
        self.we_send(1, b"from us".to_vec(), SendOptions::default());
        self.they_send(1, b"from them".to_vec(), &theirs::SendOptions::default());
        self.expect("a message each way", |pair| {
            pair.our_messages.len() > ours && pair.their_messages.len() > theirs
        });
        assert_eq!(self.our_messages[ours].payload, &b"from them"[..]);
        assert_eq!(self.their_messages[theirs].payload, b"from us");
        assert_eq!(self.their_messages[theirs].ppid.0, Ppid::BINARY.0);
    }
}

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + seed * 7 + i / 251) as u8).collect()
}

/// As Chromium sets it up.
fn options() -> Options {
    Options {
        zero_checksum_alternate_error_detection_method:
            theirs::ZERO_CHECKSUM_ALTERNATE_ERROR_DETECTION_METHOD_LOWER_LAYER_DTLS,
        ..Options::default()
    }
}

#[test]
fn either_side_or_both_connect() {
    for caller in [Caller::Us, Caller::Them, Caller::Both] {
        for loss in [0, 100, 300] {
            let mut pair = Pair::new(&options());
            pair.loss = loss;
            if caller != Caller::Them {
                pair.ours.connect(pair.now);
            }
            if caller != Caller::Us {
                pair.theirs.connect();
            }
            pair.expect("both to be connected", |pair| {
                pair.ours.is_connected() && pair.theirs.state() == theirs::SocketState::Connected
            });
            pair.loss = 0;
            pair.exchange();
        }
    }
}

#[test]
fn checksums_are_left_out_if_both_agree() {
    let mut pair = Pair::connected(&options(), Caller::Both);
    pair.exchange();
    assert!(pair.unchecked.iter().all(|count| *count > 0), "{:?}", pair.unchecked);
    assert!(pair.theirs.get_metrics().expect("connected").uses_zero_checksum);

    let mut pair = Pair::connected(&Options::default(), Caller::Both);
    pair.exchange();
    assert_eq!(pair.unchecked, [0; 2]);
}

#[test]
fn a_peer_that_would_interleave_does_without() {
    let interleaving = Options {
        enable_message_interleaving: true,
        ..options()
    };
    for caller in [Caller::Us, Caller::Them, Caller::Both] {
        let mut pair = Pair::with(&interleaving, false).connect(caller);
        pair.exchange();
        assert!(!pair.theirs.get_metrics().expect("connected").uses_message_interleaving);
    }
}

/// As Chromium sets it up with its field trial WebRTC-DataChannelMessageInterleaving.
fn interleaving() -> Options {
    Options {
        enable_message_interleaving: true,
        ..options()
    }
}

#[test]
fn messages_are_interleaved_if_both_agree() {
    for caller in [Caller::Us, Caller::Them, Caller::Both] {
        let mut pair = Pair::connected(&interleaving(), caller);
        pair.exchange();
        assert!(pair.theirs.get_metrics().expect("connected").uses_message_interleaving);
        // One of ours and one of theirs that take a while, and small ones that do not wait for them.
        pair.we_send(3, pattern(1, 262_144), SendOptions::default());
        pair.they_send(3, pattern(2, 262_144), &theirs::SendOptions::default());
        pair.run_for(2 * DELAY);
        pair.exchange();
        pair.expect("the large ones", |pair| {
            pair.our_messages.len() == 3 && pair.their_messages.len() == 3
        });
        assert_eq!(pair.our_messages[2].payload, pattern(2, 262_144));
        assert_eq!(pair.their_messages[2].payload, pattern(1, 262_144));
    }
}

#[test]
fn interleaved_messages_of_many_streams_while_packets_get_lost() {
    for loss in [0, 30, 150] {
        let mut pair = Pair::connected(&interleaving(), Caller::Both);
        pair.loss = loss;
        const COUNT: usize = 40;
        let size = |i: usize| if i.is_multiple_of(3) { 30_000 + i } else { 100 + i };
        for i in 0..COUNT {
            let (stream, ordered) = ((i % 7) as u16, i % 2 == 0);
            let options = SendOptions {
                ordered,
                ..SendOptions::default()
            };
            pair.we_send(stream, pattern(i, size(i)), options);
            let options = theirs::SendOptions {
                unordered: !ordered,
                ..theirs::SendOptions::default()
            };
            pair.they_send(stream, pattern(i, size(i)), &options);
        }
        pair.expect("all messages", |pair| {
            pair.our_messages.len() == COUNT && pair.their_messages.len() == COUNT
        });
        for i in 0..COUNT {
            let expected = pattern(i, size(i));
            assert!(pair.our_messages.iter().any(|message| message.payload == expected));
            assert!(pair.their_messages.iter().any(|message| message.payload == expected));
        }
    }
}

#[test]
fn messages_of_every_size_both_ways() {
    for loss in [0, 100] {
        let mut pair = Pair::connected(&options(), Caller::Both);
        pair.loss = loss;
        let sizes = [
            1, 2, 3, 4, 1_000, 1_159, 1_160, 1_163, 1_164, 1_200, 5_000, 65_536, 262_144,
        ];
        for (seed, len) in sizes.into_iter().enumerate() {
            pair.we_send(3, pattern(seed, len), SendOptions::default());
            pair.they_send(3, pattern(seed, len), &theirs::SendOptions::default());
        }
        pair.expect("all messages", |pair| {
            pair.our_messages.len() == sizes.len() && pair.their_messages.len() == sizes.len()
        });
        for (seed, len) in sizes.into_iter().enumerate() {
            assert_eq!(
                pair.our_messages[seed].payload,
                pattern(seed, len),
                "{len} bytes from them"
            );
            assert_eq!(
                pair.their_messages[seed].payload,
                pattern(seed, len),
                "{len} bytes from us"
            );
        }
    }
}

#[test]
fn megabytes_both_ways_while_packets_get_lost() {
    for (loss, count) in [(0, 64), (20, 32), (100, 8)] {
        let mut pair = Pair::connected(&options(), Caller::Both);
        pair.loss = loss;
        let mut sent = [0; 2];
        pair.expect("all messages", |pair| {
            while sent[0] < count && pair.ours.buffered_amount(StreamId(5)) < 500_000 {
                pair.we_send(5, pattern(sent[0], 65_536), SendOptions::default());
                sent[0] += 1;
            }
            while sent[1] < count && pair.theirs.buffered_amount(theirs::StreamId(5)) < 500_000 {
                pair.they_send(5, pattern(sent[1], 65_536), &theirs::SendOptions::default());
                sent[1] += 1;
            }
            pair.our_messages.len() == count && pair.their_messages.len() == count
        });
        for seed in 0..count {
            assert!(pair.our_messages[seed].payload == pattern(seed, 65_536));
            assert!(pair.their_messages[seed].payload == pattern(seed, 65_536));
        }
    }
}

#[test]
fn larger_packets_are_tried_and_used() {
    let mut pair = Pair::connected(&options(), Caller::Us);
    for seed in 0..3 {
        pair.exchange();
        pair.we_send(5, pattern(seed, 262_144), SendOptions::default());
        pair.expect("the message", |pair| pair.their_messages.len() == 2 * (seed + 1));
    }
    // It knows no PAD, and answers the HEARTBEAT before it (RFC 9260 §3.2).
    assert_eq!(pair.ours.stats().mtu, Config::default().max_mtu);
}

#[test]
fn what_is_given_up_is_skipped() {
    for (ordered, options) in [
        (true, options()),
        (false, options()),
        (true, interleaving()),
        (false, interleaving()),
    ] {
        let mut pair = Pair::connected(&options, Caller::Both);
        pair.loss = 200;
        const COUNT: usize = 200;
        for i in 0..COUNT {
            // Of one fragment and of three, in turn.
            let payload = pattern(i, if i % 2 == 0 { 100 } else { 3_000 });
            let limited = SendOptions {
                ordered,
                reliability: Reliability::MaxRetransmits(0),
            };
            pair.we_send(1, payload.clone(), limited);
            let limited = theirs::SendOptions {
                unordered: !ordered,
                max_retransmissions: Some(0),
                ..theirs::SendOptions::default()
            };
            pair.they_send(1, payload, &limited);
            pair.run_for(Duration::from_millis(10));
        }
        pair.loss = 0;
        pair.we_send(
            1,
            b"end".to_vec(),
            SendOptions {
                ordered,
                ..SendOptions::default()
            },
        );
        let unlimited = theirs::SendOptions {
            unordered: !ordered,
            ..theirs::SendOptions::default()
        };
        pair.they_send(1, b"end".to_vec(), &unlimited);
        pair.expect("the last message each way", |pair| {
            pair.our_messages.iter().any(|message| &message.payload[..] == b"end")
                && pair.their_messages.iter().any(|message| message.payload == b"end")
        });
        pair.run_for(Duration::from_secs(5));
        let ours: Vec<&[u8]> = pair.our_messages.iter().map(|message| &message.payload[..]).collect();
        let theirs: Vec<&[u8]> = pair.their_messages.iter().map(|message| &message.payload[..]).collect();
        for received in [ours, theirs] {
            assert!((COUNT / 4..COUNT).contains(&received.len()), "{} came", received.len());
            let mut last = None;
            for message in received.iter().filter(|message| **message != b"end") {
                let i = (0..COUNT)
                    .find(|i| pattern(*i, message.len()) == *message && (i % 2 == 0) == (message.len() == 100));
                let i = i.expect("what was sent");
                assert!(!ordered || last < Some(i), "out of order");
                last = Some(i);
            }
        }
        pair.exchange();
    }
}

#[test]
fn streams_are_reset_from_either_side_and_used_again() {
    reset_and_use_again(&options());
    reset_and_use_again(&interleaving());
}

fn reset_and_use_again(options: &Options) {
    let mut pair = Pair::connected(options, Caller::Both);
    for round in 0..3 {
        pair.exchange();
        pair.ours.reset_stream(StreamId(1)).expect("connected");
        pair.theirs.reset_streams(&[theirs::StreamId(1)]).expect("connected");
        if round == 1 {
            pair.loss = 300;
        }
        pair.expect("both streams to be reset", |pair| {
            let performed = Event::OutgoingStreamReset(StreamId(1), ResetResult::Performed);
            let [mut they_heard, mut they_performed] = [false; 2];
            for event in &pair.their_events {
                they_heard |=
                    matches!(event, SocketEvent::OnIncomingStreamReset(ids) if ids[..] == [theirs::StreamId(1)]);
                they_performed |=
                    matches!(event, SocketEvent::OnStreamsResetPerformed(ids) if ids[..] == [theirs::StreamId(1)]);
            }
            they_heard
                && they_performed
                && pair.our_events.contains(&performed)
                && pair.our_events.contains(&Event::IncomingStreamReset(StreamId(1)))
        });
        pair.loss = 0;
        pair.our_events.clear();
        pair.their_events.clear();
    }
    pair.exchange();
}

#[test]
fn shutdown_from_either_side_delivers_first() {
    for ours in [true, false] {
        let mut pair = Pair::connected(&options(), Caller::Both);
        pair.we_send(1, pattern(1, 100_000), SendOptions::default());
        pair.they_send(1, pattern(2, 100_000), &theirs::SendOptions::default());
        if ours {
            pair.ours.shutdown(pair.now);
        } else {
            pair.theirs.shutdown();
        }
        pair.expect("both to be closed", |pair| {
            pair.ours.is_closed() && pair.theirs.state() == theirs::SocketState::Closed
        });
        assert_eq!(pair.our_events.last(), Some(&Event::Closed(CloseReason::Shutdown)));
        assert!(
            matches!(pair.their_events.last(), Some(SocketEvent::OnClosed())),
            "{:?}",
            pair.their_events
        );
        assert_eq!((pair.our_messages.len(), pair.their_messages.len()), (1, 1));
    }
}

#[test]
fn abort_from_either_side_is_heard() {
    let mut pair = Pair::connected(&options(), Caller::Both);
    pair.ours.abort(pair.now, "enough");
    pair.expect("theirs to be closed", |pair| {
        pair.theirs.state() == theirs::SocketState::Closed
    });
    let heard = matches!(&pair.their_events[..], [SocketEvent::OnAborted(_, reason)] if reason.contains("enough"));
    assert!(heard, "{:?}", pair.their_events);

    let mut pair = Pair::connected(&options(), Caller::Both);
    pair.theirs.close();
    pair.expect("ours to be closed", |pair| pair.ours.is_closed());
    let heard = matches!(pair.our_events[..], [Event::Closed(CloseReason::AbortedByPeer { .. })]);
    assert!(heard, "{:?}", pair.our_events);
}

#[test]
fn an_idle_association_lives() {
    let mut pair = Pair::connected(&options(), Caller::Both);
    pair.run_for(Duration::from_secs(600));
    assert!(pair.our_events.is_empty() && pair.their_events.is_empty());
    pair.exchange();
}
