//! Stream reconfiguration (RFC 6525): resets from either side, requests repeated, refused and strange, numbers used again.

mod common;
use common::*;
use peerline_sctp::wire::{
    AddStreams, Chunk, Header, IncomingReset, OutgoingReset, Packet, ReConfig, ReconfigParameter, ReconfigResult,
    StreamList, write_checksum, write_header,
};
use peerline_wire::Serial32;

#[test]
fn a_reset_follows_what_was_sent_and_the_number_can_be_used_again() {
    for loss in [0.0, 0.2] {
        for_each_seed(0..6, |seed| {
            let link = Link {
                delay: 10 * MS,
                loss,
                ..Link::default()
            };
            let mut pair = connected_with(seed, &link, |_| {});
            let stream = StreamId(4);
            for round in 0..5 {
                let now = pair.now();
                for index in 0..10 {
                    send(&mut pair.a, now, 4, &format!("{round} {index}"));
                }
                pair.a.reset_stream(stream).unwrap();
                assert_eq!(pair.a.reset_stream(stream), Err(ResetError::Resetting));
                let refused = pair.a.send(now, stream, message(1, 1), SendOptions::default());
                assert_eq!(refused, Err(SendError::Resetting));
                // Nothing is read until long after, and still no message gets behind the reset.
                pair.expect("the reset", 60 * SECOND, |pair| {
                    pair.events_a()
                        .contains(&Event::OutgoingStreamReset(stream, ResetResult::Performed))
                });
                pair.take_events_a();
                let now = pair.now();
                send(&mut pair.a, now, 4, "the next life");
                let all = 11 * (round + 1);
                pair.expect("the next life", 60 * SECOND, |pair| {
                    pair.b.stats().messages_received == all
                });
                assert_eq!(pair.take_events_b(), [Event::Readable(stream)]);
                let expected: Vec<_> = (0..10).map(|index| format!("{round} {index}")).collect();
                assert_eq!(texts(&mut pair.b, 4), expected);
                pair.run_for(MS);
                assert_eq!(
                    pair.take_events_b(),
                    [Event::IncomingStreamReset(stream), Event::Readable(stream)]
                );
                assert_eq!(texts(&mut pair.b, 4), ["the next life"]);
                let now = pair.now();
                pair.a.reset_stream(stream).unwrap();
                pair.expect("the second reset", 60 * SECOND, |pair| {
                    pair.events_a()
                        .contains(&Event::OutgoingStreamReset(stream, ResetResult::Performed))
                });
                pair.take_events_a();
                assert_eq!(pair.take_events_b(), [Event::IncomingStreamReset(stream)]);
                assert!(pair.now() > now);
            }
        });
    }
}

#[test]
fn nothing_read_after_a_reset_before_its_event_is_taken() {
    let mut pair = connected(1);
    let now = pair.now();
    send(&mut pair.a, now, 1, "old");
    pair.a.reset_stream(StreamId(1)).unwrap();
    let mut performed = false;
    for _ in 0..10 {
        let sent = packets(&mut pair.a, now);
        deliver(&mut pair.b.0, now, &sent);
        let sent = packets(&mut pair.b, now);
        deliver(&mut pair.a.0, now, &sent);
        performed |= events(&mut pair.a.0).contains(&Event::OutgoingStreamReset(StreamId(1), ResetResult::Performed));
    }
    assert!(performed);
    send(&mut pair.a, now, 1, "new");
    let sent = packets(&mut pair.a, now);
    deliver(&mut pair.b.0, now, &sent);
    // All at once, and no event taken: only what came before the reset can be read.
    assert_eq!(texts(&mut pair.b, 1), ["old"]);
    assert_eq!(texts(&mut pair.b, 1), Vec::<String>::new());
    assert_eq!(
        events(&mut pair.b.0),
        [
            Event::Readable(StreamId(1)),
            Event::IncomingStreamReset(StreamId(1)),
            Event::Readable(StreamId(1))
        ]
    );
    assert_eq!(texts(&mut pair.b, 1), ["new"]);
}

#[test]
fn both_sides_reset_at_once() {
    let mut pair = connected(2);
    let now = pair.now();
    for stream in 0..50 {
        send(&mut pair.a, now, stream, "x");
        send(&mut pair.b, now, stream, "y");
        pair.a.reset_stream(StreamId(stream)).unwrap();
        pair.b.reset_stream(StreamId(stream)).unwrap();
    }
    pair.run_for(5 * SECOND);
    for sctp in [&mut pair.a, &mut pair.b] {
        for stream in 0..50 {
            assert_eq!(texts(sctp, stream).len(), 1);
        }
    }
    pair.run_for(MS);
    for events in [pair.take_events_a(), pair.take_events_b()] {
        let out = |event: &&Event| matches!(event, Event::OutgoingStreamReset(_, ResetResult::Performed));
        let incoming = |event: &&Event| matches!(event, Event::IncomingStreamReset(_));
        assert_eq!(
            (
                events.iter().filter(out).count(),
                events.iter().filter(incoming).count()
            ),
            (50, 50)
        );
    }
}

#[test]
fn many_streams_need_few_requests() {
    let mut pair = connected(3);
    for stream in 0..1000 {
        pair.a.reset_stream(StreamId(stream)).unwrap();
    }
    pair.run_for(2 * SECOND);
    assert_eq!(pair.take_events_a().len(), 1000);
    assert_eq!(
        pair.take_events_b().len(),
        1000,
        "also for streams that were never used"
    );
    assert!(pair.a.stats().packets_sent < 20);
}

#[test]
fn a_reset_waits_for_missing_data_and_is_answered_when_it_has_come() {
    let mut pair = connected_with(4, &Link::delay(10 * MS), |_| {});
    let sent = pair.a_to_b.stats().sent;
    pair.a_to_b.link = Link::delay(10 * MS).dropping(move |index| index == sent);
    let now = pair.now();
    // The DATA is lost, the request arrives.
    pair.a
        .send(now, StreamId(1), message(1_100, 1), SendOptions::default())
        .unwrap();
    pair.exchange();
    pair.a.reset_stream(StreamId(1)).unwrap();
    pair.run_for(25 * MS);
    assert!(pair.take_events_b().is_empty());
    pair.take_events_a();
    pair.expect("the reset", 5 * SECOND, |pair| !pair.events_a().is_empty());
    assert_eq!(
        pair.take_events_a()[..],
        [Event::OutgoingStreamReset(StreamId(1), ResetResult::Performed)]
    );
    assert_eq!(drain(&mut pair.b, 1).len(), 1);
}

#[test]
fn a_peer_without_the_extension_cannot_reset() {
    // As if the parameter were unknown to it: the extension is taken out of its INIT ACK by a middleman.
    let mut a = Association::new(config(5, 0));
    let mut b = Association::new(config(5, 1));
    let now = peerline_sim::epoch();
    a.connect(now);
    deliver(&mut b, now, &packets(&mut a, now));
    let mut ack = packets(&mut b, now).remove(0);
    let at = ack
        .windows(6)
        .position(|window| window == [0x80, 0x08, 0, 8, 130, 192])
        .unwrap();
    ack[at + 4] = 192;
    write_checksum(&mut ack);
    deliver(&mut a, now, &[ack]);
    deliver(&mut b, now, &packets(&mut a, now));
    deliver(&mut a, now, &packets(&mut b, now));
    assert!(a.is_connected());
    assert_eq!(a.reset_stream(StreamId(1)), Err(ResetError::NotSupported));
    assert_eq!(b.reset_stream(StreamId(1)), Ok(()));
}

// --- requests by hand

/// A connected association and what is needed to speak to it as its peer.
struct Peer {
    association: Association,
    header: Header,
    /// The next request number, and the last TSN.
    request: u32,
    last_tsn: Serial32,
    now: Instant,
}

/// `b` of a pair, with `a` replaced by this test. `a`'s initial TSN numbers its requests.
fn peer(change: impl Fn(&mut Config)) -> Peer {
    let now = peerline_sim::epoch();
    let mut config_b = config(6, 1);
    change(&mut config_b);
    let mut a = Association::new(config(6, 0));
    let mut association = Association::new(config_b);
    a.connect(now);
    let init = packets(&mut a, now);
    let Ok(Chunk::Init(sent)) = Chunk::decode(Packet::decode(&init[0]).unwrap().chunks().next().unwrap().unwrap())
    else {
        panic!()
    };
    let initial_tsn = sent.initial_tsn;
    deliver(&mut association, now, &init);
    deliver(&mut a, now, &packets(&mut association, now));
    let echo = packets(&mut a, now);
    let header = Packet::decode(&echo[0]).unwrap().header;
    deliver(&mut association, now, &echo);
    packets(&mut association, now);
    events(&mut association);
    Peer {
        association,
        header,
        request: initial_tsn.0,
        last_tsn: initial_tsn.sub(1),
        now,
    }
}

impl Peer {
    /// Sends a request, and returns the result in the answer to it.
    fn ask(&mut self, parameter: &ReconfigParameter<'_>) -> Option<ReconfigResult> {
        let mut packet = Vec::new();
        write_header(&mut packet, self.header);
        ReConfig::write(&mut packet, parameter);
        write_checksum(&mut packet);
        deliver(&mut self.association, self.now, &[packet]);
        let answers = packets(&mut self.association, self.now);
        let answers = answers
            .iter()
            .flat_map(|packet| Packet::decode(packet).unwrap().chunks());
        let mut results = answers.filter_map(|raw| match Chunk::decode(raw.unwrap()).unwrap() {
            Chunk::ReConfig(re_config) => re_config.parameters().find_map(|parameter| match parameter.unwrap() {
                ReconfigParameter::Response(response) => Some(response.result),
                _ => None,
            }),
            _ => None,
        });
        results.next()
    }

    fn reset(&mut self, request: u32, streams: &[u8]) -> Option<ReconfigResult> {
        let streams = StreamList::decode(streams).unwrap();
        let request = Serial32(request);
        let (response, last_tsn) = (Serial32(0), self.last_tsn);
        self.ask(&ReconfigParameter::OutgoingReset(OutgoingReset {
            request,
            response,
            last_tsn,
            streams,
        }))
    }
}

#[test]
fn requests_are_answered_by_their_number() {
    let mut peer = peer(|config| config.incoming_streams = 10);
    let first = peer.request;
    assert_eq!(peer.reset(first, &[0, 1]), Some(ReconfigResult::PERFORMED));
    assert_eq!(events(&mut peer.association), [Event::IncomingStreamReset(StreamId(1))]);
    // Repeated: the same answer, and nothing happens.
    assert_eq!(peer.reset(first, &[0, 1]), Some(ReconfigResult::PERFORMED));
    assert_eq!(events(&mut peer.association), []);
    // From the past, from the future.
    assert_eq!(
        peer.reset(first.wrapping_sub(1), &[0, 1]),
        Some(ReconfigResult::BAD_SEQUENCE_NUMBER)
    );
    assert_eq!(
        peer.reset(first.wrapping_add(2), &[0, 1]),
        Some(ReconfigResult::BAD_SEQUENCE_NUMBER)
    );
    // A stream that does not exist.
    assert_eq!(
        peer.reset(first.wrapping_add(1), &[0, 1, 0, 10]),
        Some(ReconfigResult::WRONG_SSN)
    );
    assert_eq!(events(&mut peer.association), []);
    // All streams: those that hold state.
    assert_eq!(peer.reset(first.wrapping_add(2), &[]), Some(ReconfigResult::PERFORMED));
    assert!(!peer.association.is_closed());
}

#[test]
fn a_reset_that_waits_for_data_is_in_progress_and_may_be_replaced() {
    let mut peer = peer(|_| {});
    let first = peer.request;
    peer.last_tsn = peer.last_tsn.add(5);
    for _ in 0..3 {
        assert_eq!(peer.reset(first, &[0, 1]), Some(ReconfigResult::IN_PROGRESS));
    }
    for step in 1..100 {
        assert_eq!(
            peer.reset(first.wrapping_add(step), &[0, 2]),
            Some(ReconfigResult::IN_PROGRESS)
        );
    }
    assert_eq!(events(&mut peer.association), []);
}

#[test]
fn more_streams_and_new_tsns_are_denied() {
    let mut peer = peer(|_| {});
    let first = peer.request;
    let request = |step| Serial32(first.wrapping_add(step));
    let add = |step| AddStreams {
        request: request(step),
        count: 100,
    };
    assert_eq!(
        peer.ask(&ReconfigParameter::AddOutgoingStreams(add(0))),
        Some(ReconfigResult::DENIED)
    );
    assert_eq!(
        peer.ask(&ReconfigParameter::AddIncomingStreams(add(1))),
        Some(ReconfigResult::DENIED)
    );
    assert_eq!(
        peer.ask(&ReconfigParameter::SsnTsnReset(request(2))),
        Some(ReconfigResult::DENIED)
    );
    assert_eq!(
        peer.ask(&ReconfigParameter::SsnTsnReset(request(2))),
        Some(ReconfigResult::DENIED)
    );
}

#[test]
fn the_peer_may_ask_for_a_reset_of_our_streams() {
    let mut peer = peer(|config| config.outgoing_streams = 10);
    let first = peer.request;
    let ask = |peer: &mut Peer, step, streams: &[u8]| {
        let streams = StreamList::decode(streams).unwrap();
        peer.ask(&ReconfigParameter::IncomingReset(IncomingReset {
            request: Serial32(first.wrapping_add(step)),
            streams,
        }))
    };
    assert_eq!(
        ask(&mut peer, 0, &[0, 3]),
        Some(ReconfigResult::NOTHING_TO_DO),
        "never used"
    );
    assert_eq!(ask(&mut peer, 1, &[0, 77]), Some(ReconfigResult::WRONG_SSN));
    let now = peer.now;
    send(&mut peer.association, now, 3, "something");
    assert_eq!(ask(&mut peer, 2, &[0, 3]), Some(ReconfigResult::IN_PROGRESS));
    let refused = peer
        .association
        .send(now, StreamId(3), message(1, 1), SendOptions::default());
    assert_eq!(refused, Err(SendError::Resetting));
    assert_eq!(ask(&mut peer, 2, &[0, 3]), Some(ReconfigResult::IN_PROGRESS));
}

#[test]
fn a_stream_number_repeated_a_thousand_times_is_one_event() {
    let mut peer = peer(|_| {});
    for step in 0..100 {
        let streams = [0, 9].repeat(500);
        let request = peer.request.wrapping_add(step);
        assert_eq!(peer.reset(request, &streams), Some(ReconfigResult::PERFORMED));
    }
    assert_eq!(events(&mut peer.association), [Event::IncomingStreamReset(StreamId(9))]);
}
