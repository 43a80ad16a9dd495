//! Peers that break the rules of RFC 8832: one channel suffers for it, the association does not.

use std::collections::BTreeSet;
use std::time::Duration;

use peerline_sctp::datachannel::{ChannelError, ChannelId, ChannelInit, Channels, Config, Event, Message, Role, State};
use peerline_sctp::{Association, Ppid, ResetError, SendOptions, StreamId};
use peerline_sim::{Link, Pair, one_path, seed_bytes};

use crate::{LIMIT, Peer, config, peer, read_all, state};

one_path! { struct Raw(Association) -> peerline_sctp::Event; }

/// An association of which a test says every message, and our channels as DTLS client: its numbers are odd.
fn against(config: Config) -> Pair<Raw, Peer> {
    let raw = peerline_sctp::Config {
        rng_seed: seed_bytes(1, 2),
        ..peerline_sctp::Config::default()
    };
    let mut pair = Pair::new(0, Raw(Association::new(raw)), peer(config)).links(&Link::delay(Duration::from_millis(5)));
    let now = pair.now();
    pair.b.set_role(now, Role::Client);
    pair.a.connect(now);
    pair.b.connect(now);
    pair.expect("the association", LIMIT, |pair| {
        pair.a.is_connected() && pair.b.association().is_connected()
    });
    pair.run_for(Duration::from_millis(300));
    pair.take_events_a();
    pair.take_events_b();
    pair
}

fn say(pair: &mut Pair<Raw, Peer>, stream: u16, ppid: Ppid, payload: &[u8]) {
    let now = pair.now();
    let message = peerline_sctp::Message::new(ppid, payload.to_vec());
    pair.a
        .send(now, StreamId(stream), message, SendOptions::default())
        .expect("the association takes it");
}

/// DATA_CHANNEL_OPEN, reliable and ordered.
fn open(label: &[u8]) -> Vec<u8> {
    let len = u16::try_from(label.len()).expect("a short label");
    [&[3, 0, 1, 0, 0, 0, 0, 0][..], &len.to_be_bytes(), &[0, 0], label].concat()
}

fn incoming(events: &[Event]) -> Vec<ChannelId> {
    let incoming = events.iter().filter_map(|event| match event {
        Event::Incoming(id) => Some(*id),
        _ => None,
    });
    incoming.collect()
}

/// The channels still work: a new one opens and echoes.
fn assert_alive(pair: &mut Pair<Raw, Peer>, stream: u16) {
    say(pair, stream, Ppid::DCEP, &open(b"alive"));
    say(pair, stream, Ppid::STRING, b"ping");
    pair.take_events_b();
    let mut id = None;
    pair.expect("an honest channel", LIMIT, |pair| {
        id = id.or_else(|| incoming(pair.events_b()).pop());
        id.is_some_and(|id| pair.b.recv(id) == Some("ping".into()))
    });
    let now = pair.now();
    pair.b.send(now, id.expect("it came"), "pong").expect("it is open");
    pair.expect("the answer", LIMIT, |pair| {
        std::iter::from_fn(|| pair.a.recv(StreamId(stream))).any(|message| message.payload == b"pong"[..])
    });
    assert!(pair.b.association().is_connected());
}

fn assert_refused(pair: &mut Pair<Raw, Peer>, stream: u16, why: &str) {
    pair.take_events_a();
    pair.expect(why, LIMIT, |pair| {
        pair.events_a()
            .contains(&peerline_sctp::Event::IncomingStreamReset(StreamId(stream)))
    });
    assert_eq!(incoming(&pair.take_events_b()), [], "{why}");
    assert_eq!(pair.a.recv(StreamId(stream)), None, "no ACK: {why}");
    // The peer concludes the closing, and the number is free.
    pair.a.reset_stream(StreamId(stream)).expect("it can be reset");
    pair.expect(why, LIMIT, |pair| pair.b.streams_in_use() == 0);
}

#[test]
fn an_open_that_breaks_a_rule_is_answered_with_a_reset_and_no_acknowledgement() {
    let mut pair = against(config(1, 0));
    let unknown_type = [&[3, 0x7f][..], &open(b"x")[2..]].concat();
    let trailing = [&open(b"x")[..], b"y"].concat();
    for (why, stream, ppid, payload) in [
        ("our parity", 2, Ppid::DCEP, &open(b"x")[..]),
        ("an unknown channel type", 1, Ppid::DCEP, &unknown_type),
        ("a label that is not UTF-8", 3, Ppid::DCEP, &open(b"\xff")),
        ("a truncated OPEN", 5, Ppid::DCEP, &open(b"xyz")[..13]),
        ("trailing bytes", 7, Ppid::DCEP, &trailing),
        ("an ACK of nothing", 9, Ppid::DCEP, &[2]),
        ("an unknown control message", 11, Ppid::DCEP, &[0xff, 1, 2]),
    ] {
        say(&mut pair, stream, ppid, payload);
        assert_refused(&mut pair, stream, why);
    }
    assert_eq!(pair.b.stats().refused, 7);
    assert_alive(&mut pair, 1);
}

#[test]
fn a_second_open_closes_the_channel_it_names() {
    let mut pair = against(config(2, 0));
    let now = pair.now();
    let ours = pair.b.open(now, ChannelInit::new("ours")).expect("a channel");
    let agreed = ChannelInit {
        negotiated: Some(4),
        ..ChannelInit::default()
    };
    let agreed = pair.b.open(now, agreed).expect("a channel");
    say(&mut pair, 1, Ppid::DCEP, &open(b"theirs"));
    pair.run_for(Duration::from_secs(1));
    let theirs = incoming(&pair.take_events_b())[0];
    for (stream, id) in [(0, ours), (4, agreed), (1, theirs)] {
        say(&mut pair, stream, Ppid::DCEP, &open(b"again"));
        pair.expect("the error", LIMIT, |pair| {
            // Control messages are found by reading.
            assert_eq!(pair.b.recv(id), None);
            pair.events_b()
                .contains(&Event::Error(id, ChannelError::ProtocolViolation))
        });
        assert_eq!(state(&pair.b, id), Some(State::Closing));
        pair.expect("the reset", LIMIT, |pair| {
            pair.events_a()
                .contains(&peerline_sctp::Event::IncomingStreamReset(StreamId(stream)))
                || pair.a.recv(StreamId(stream)).is_some()
        });
    }
    assert_alive(&mut pair, 21);
}

#[test]
fn text_that_is_not_utf_8_closes_its_channel_alone() {
    let mut pair = against(config(3, 0));
    for stream in [1, 3] {
        say(&mut pair, stream, Ppid::DCEP, &open(b"text"));
    }
    pair.run_for(Duration::from_millis(100));
    let ids = incoming(&pair.take_events_b());
    say(&mut pair, 1, Ppid::STRING, b"good");
    say(&mut pair, 1, Ppid::STRING, b"b\xc3\x28d");
    say(&mut pair, 1, Ppid::STRING, b"never seen");
    pair.run_for(Duration::from_millis(300));
    assert_eq!(read_all(&mut pair.b, ids[0]), ["good".into()]);
    let events = pair.take_events_b();
    assert!(
        events.contains(&Event::Error(ids[0], ChannelError::InvalidText)),
        "{events:?}"
    );
    assert_eq!(
        (state(&pair.b, ids[0]), state(&pair.b, ids[1])),
        (Some(State::Closing), Some(State::Open))
    );
    assert_alive(&mut pair, 5);
}

#[test]
fn unknown_and_deprecated_ppids_are_dropped_and_empty_ones_are_empty_whatever_their_byte() {
    let mut pair = against(config(4, 0));
    say(&mut pair, 1, Ppid::DCEP, &open(b"x"));
    for (ppid, payload) in [
        (Ppid(0), b"?"),
        (Ppid::BINARY_PARTIAL, b"?"),
        (Ppid::STRING_PARTIAL, b"?"),
        (Ppid(0xffff_ffff), b"?"),
        (Ppid::STRING_EMPTY, b"!"),
        (Ppid::BINARY_EMPTY, b"\0"),
        (Ppid::BINARY, b"b"),
    ] {
        say(&mut pair, 1, ppid, payload);
    }
    pair.run_for(Duration::from_millis(300));
    let id = incoming(&pair.take_events_b())[0];
    assert_eq!(
        read_all(&mut pair.b, id),
        [Message::from(""), vec![].into(), vec![b'b'].into()]
    );
    assert_eq!(pair.b.stats().discarded, 4);
    let stats = pair.b.channel(id).expect("it exists").stats();
    assert_eq!((stats.messages_received, stats.bytes_received), (3, 1));
}

#[test]
fn messages_before_the_open_wait_for_it() {
    let mut pair = against(config(5, 0));
    say(&mut pair, 1, Ppid::STRING, b"early");
    say(&mut pair, 1, Ppid::BINARY, b"bird");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.take_events_b(), []);
    say(&mut pair, 1, Ppid::DCEP, &open(b"x"));
    say(&mut pair, 1, Ppid::STRING, b"worm");
    pair.run_for(Duration::from_secs(1));
    let events = pair.take_events_b();
    let id = incoming(&events)[0];
    assert_eq!(events, [Event::Incoming(id), Event::Readable(id)]);
    assert_eq!(
        read_all(&mut pair.b, id),
        ["early".into(), b"bird".to_vec().into(), "worm".into()]
    );
}

#[test]
fn messages_for_no_channel_are_kept_within_bounds() {
    let mut pair = against(Config {
        max_early: 100_000,
        ..config(6, 0)
    });
    for round in 0..40 {
        for stream in 0..50 {
            if pair.a.buffered_amount(StreamId(stream)) < 100_000 {
                let message = peerline_sctp::Message::new(Ppid::BINARY, vec![0; 10_000]);
                let now = pair.now();
                // Refused streams are being reset.
                let _ = pair.a.send(now, StreamId(stream), message, SendOptions::default());
            }
        }
        pair.run_for(Duration::from_millis(50));
        assert!(pair.b.streams_in_use() <= 50, "round {round}");
    }
    pair.run_for(Duration::from_secs(5));
    assert!(pair.b.stats().refused > 30, "{:?}", pair.b.stats());
    assert!(pair.b.stats().discarded > 100, "{:?}", pair.b.stats());
    assert_eq!(pair.take_events_b(), [], "the application hears nothing of it");
    assert_alive(&mut pair, 101);
}

#[test]
fn a_reset_of_a_stream_that_nobody_uses_is_answered_and_forgotten() {
    let mut pair = against(config(7, 0));
    for stream in [0, 1, 65_534] {
        pair.a.reset_stream(StreamId(stream)).expect("it can be asked for");
    }
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.b.streams_in_use(), 0);
    assert_eq!(pair.take_events_b(), []);
    assert_alive(&mut pair, 1);
}

#[test]
fn as_many_opens_as_there_are_numbers_end_at_the_limit() {
    let mut pair = against(Config {
        max_channels: 100,
        ..config(8, 0)
    });
    let mut asked = BTreeSet::new();
    for chunk in (0..32_767_u16).collect::<Vec<_>>().chunks(4096) {
        for &index in chunk {
            let stream = index * 2 + 1;
            say(&mut pair, stream, Ppid::DCEP, &open(b"flood"));
            asked.insert(stream);
        }
        pair.run_for(Duration::from_secs(2));
    }
    pair.expect("all to be refused", Duration::from_secs(600), |pair| {
        pair.b.stats().refused == 32_767 - 100
    });
    assert_eq!((pair.b.iter().count(), asked.len()), (100, 32_767));
    assert_eq!(incoming(&pair.take_events_b()).len(), 100);
    let now = pair.now();
    assert!(pair.b.open(now, ChannelInit::default()).is_err());

    // The peer concludes the closings; then all is as before.
    let refused: Vec<u16> = asked.iter().copied().skip(100).collect();
    for chunk in refused.chunks(2048) {
        for &stream in chunk {
            match pair.a.reset_stream(StreamId(stream)) {
                Ok(()) | Err(ResetError::Resetting) => {}
                Err(error) => panic!("stream {stream}: {error}"),
            }
        }
        pair.run_for(Duration::from_secs(1));
    }
    pair.expect("the numbers to be free", Duration::from_secs(600), |pair| {
        pair.b.streams_in_use() == 100
    });
    let ids: Vec<ChannelId> = pair.b.iter().map(|(id, _)| id).collect();
    let now = pair.now();
    for id in ids {
        pair.b.close(now, id);
    }
    for &stream in asked.iter().take(100) {
        pair.a.reset_stream(StreamId(stream)).expect("it can be reset");
    }
    pair.expect("all to be closed", LIMIT, |pair| pair.b.streams_in_use() == 0);
    let closed: Vec<ChannelId> = pair.b.iter().map(|(id, _)| id).collect();
    assert!(closed.into_iter().all(|id| pair.b.remove(id)));
    assert_alive(&mut pair, 1);
}

#[test]
fn the_names_of_the_peers_channels_are_bounded() {
    let mut pair = against(Config {
        max_names: 300_000,
        ..config(9, 0)
    });
    pair.a.set_max_send_message_size(262_144);
    for index in 0..20 {
        say(&mut pair, index * 2 + 1, Ppid::DCEP, &open(&[b'x'; 65_535]));
    }
    pair.expect("the rest to be refused", LIMIT, |pair| pair.b.stats().refused == 16);
    assert_eq!(pair.b.iter().count(), 4);
    // A channel that is removed makes room for another.
    let first = pair.b.iter().next().map(|(id, _)| id).expect("four");
    pair.a.reset_stream(StreamId(1)).expect("it can be reset");
    pair.expect("it to be closed", LIMIT, |pair| {
        state(&pair.b, first) == Some(State::Closed)
    });
    assert!(pair.b.remove(first));
    say(&mut pair, 201, Ppid::DCEP, &open(&[b'x'; 65_535]));
    pair.run_for(Duration::from_secs(1));
    assert_eq!((pair.b.iter().count(), pair.b.stats().refused), (4, 16));
    assert_alive(&mut pair, 101);
}

#[test]
fn a_channel_that_the_peer_refuses_says_so() {
    let mut pair = against(config(10, 0));
    let now = pair.now();
    let ours = pair.b.open(now, ChannelInit::new("unwanted")).expect("a channel");
    pair.b.send(now, ours, "hello?").expect("it is open");
    pair.run_for(Duration::from_millis(100));
    pair.a.reset_stream(StreamId(0)).expect("it can be reset");
    while pair.a.recv(StreamId(0)).is_some() {}
    pair.expect("the end", LIMIT, |pair| state(&pair.b, ours) == Some(State::Closed));
    let end = [
        Event::Error(ours, ChannelError::Refused),
        Event::Closing(ours),
        Event::Closed(ours),
    ];
    assert!(pair.take_events_b().ends_with(&end));
}

#[test]
fn numbers_beyond_what_the_peer_accepts_cannot_be_used() {
    let few = peerline_sctp::Config {
        rng_seed: seed_bytes(2, 2),
        incoming_streams: 10,
        outgoing_streams: 10,
        ..peerline_sctp::Config::default()
    };
    let mut channels = Channels::new(config(11, 0));
    let now = peerline_sim::epoch();
    let init = ChannelInit {
        negotiated: Some(100),
        ..ChannelInit::default()
    };
    let out_of_range = channels.open(now, init.clone()).expect("not known yet");
    let mut pair = Pair::new(0, Raw(Association::new(few)), Peer(channels));
    pair.b.set_role(now, Role::Client);
    pair.a.connect(now);
    pair.b.connect(now);
    pair.expect("the association", LIMIT, |pair| pair.b.association().is_connected());
    let events = pair.take_events_b();
    assert!(
        events.contains(&Event::Error(out_of_range, ChannelError::CannotOpen)),
        "{events:?}"
    );
    assert!(events.contains(&Event::Closed(out_of_range)));
    let now = pair.now();
    assert!(pair.b.open(now, init).is_err());
    let opened = (0..9)
        .filter(|_| pair.b.open(now, ChannelInit::default()).is_ok())
        .count();
    assert_eq!(opened, 5, "0, 2, 4, 6, 8");
}

#[test]
fn unordered_channels_send_ordered_until_the_peer_has_answered() {
    let mut pair = against(config(12, 0));
    let now = pair.now();
    let init = ChannelInit {
        ordered: false,
        ..ChannelInit::new("loose")
    };
    let ours = pair.b.open(now, init).expect("a channel");
    let mut seen = Vec::new();
    let mut lose_one_then_send = |pair: &mut Pair<Raw, Peer>, texts: &[&str], wait: u64| {
        let now = pair.now();
        for (index, text) in texts.iter().enumerate() {
            pair.b.send(now, ours, *text).expect("it is open");
            // The packet with the first of them is lost.
            pair.b_to_a.link.loss = if index == 0 { 1.0 } else { 0.0 };
            pair.exchange();
        }
        pair.run_for(Duration::from_millis(wait));
        seen.extend(std::iter::from_fn(|| pair.a.recv(StreamId(0))).map(|message| message.payload));
        std::mem::take(&mut seen)
    };
    // Were these unordered, they would overtake the OPEN, which is lost.
    assert_eq!(lose_one_then_send(&mut pair, &["one", "two"], 10), [&b""[..]; 0]);
    assert_eq!(lose_one_then_send(&mut pair, &[], 2000).len(), 3);
    say(&mut pair, 0, Ppid::DCEP, &[2]);
    pair.run_for(Duration::from_millis(300));
    assert_eq!(
        lose_one_then_send(&mut pair, &["three", "four"], 10),
        [&b"four"[..]],
        "nothing holds it back"
    );
    assert_eq!(lose_one_then_send(&mut pair, &[], 2000), [&b"three"[..]]);
}

#[test]
fn what_was_read_does_not_count_against_what_may_be_kept() {
    let mut pair = against(Config {
        max_early: 1000,
        ..config(13, 0)
    });
    for index in 0..10 {
        let stream = index * 2 + 1;
        pair.take_events_b();
        say(&mut pair, stream, Ppid::BINARY, &[7; 900]);
        pair.run_for(Duration::from_millis(100));
        assert_eq!(pair.take_events_b(), []);
        say(&mut pair, stream, Ppid::DCEP, &open(b"x"));
        pair.run_for(Duration::from_millis(100));
        let id = incoming(&pair.take_events_b())[0];
        // Every other way in which kept messages go.
        match index % 3 {
            0 => assert_eq!(read_all(&mut pair.b, id), [vec![7; 900].into()]),
            1 => {
                let now = pair.now();
                pair.b.close(now, id);
            }
            _ => {
                pair.a.reset_stream(StreamId(stream)).expect("it can be reset");
                pair.run_for(Duration::from_millis(100));
                assert_eq!(state(&pair.b, id), Some(State::Open), "not all is read");
                assert_eq!(read_all(&mut pair.b, id), [vec![7; 900].into()]);
                pair.expect("the end", LIMIT, |pair| state(&pair.b, id) == Some(State::Closed));
            }
        }
    }
    assert_eq!(pair.b.stats().refused, 0);
    // Nor does what was refused.
    for (stream, refused) in [(101, 1), (103, 2)] {
        say(&mut pair, stream, Ppid::BINARY, &[7; 900]);
        pair.run_for(Duration::from_millis(100));
        assert_eq!(pair.b.stats().refused, refused - 1);
        say(&mut pair, stream, Ppid::DCEP, &[0]);
        pair.run_for(Duration::from_millis(100));
        assert_eq!(pair.b.stats().refused, refused);
    }
    // Nor what made a channel fail before it was there.
    for stream in [105, 107] {
        say(&mut pair, stream, Ppid::STRING, b"\xff");
        say(&mut pair, stream, Ppid::BINARY, &[7; 800]);
        say(&mut pair, stream, Ppid::DCEP, &open(b"x"));
        pair.run_for(Duration::from_millis(100));
        let events = pair.take_events_b();
        let id = incoming(&events)[0];
        assert!(
            events.contains(&Event::Error(id, ChannelError::InvalidText)),
            "{events:?}"
        );
        assert_eq!(pair.b.stats().refused, 2);
    }
}
