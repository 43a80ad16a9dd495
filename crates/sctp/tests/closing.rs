//! Shutting down, aborting, and peers that fall silent.

mod common;
use common::*;
use peerline_sctp::wire::{CauseCode, ChunkType, Packet};

#[test]
fn shutdown_delivers_everything_first_whatever_is_lost() {
    for both in [false, true] {
        for lost in every_loss(2, 9) {
            let mut pair = connected(1);
            let before = pair.datagrams_sent();
            pair = pair.lose(lost.iter().map(|index| before + index));
            let now = pair.now();
            pair.a
                .send(now, StreamId(1), message(3_000, 1), SendOptions::default())
                .unwrap();
            pair.b
                .send(now, StreamId(1), message(2_000, 2), SendOptions::default())
                .unwrap();
            pair.a.shutdown(now);
            assert_eq!(
                pair.a.send(now, StreamId(1), message(1, 1), SendOptions::default()),
                Err(SendError::Closed)
            );
            assert_eq!(pair.a.reset_stream(StreamId(1)), Err(ResetError::Closed));
            if both {
                pair.b.shutdown(now);
            }
            pair.expect(&format!("the end, both: {both}, lost: {lost:?}"), 60 * SECOND, |pair| {
                pair.a.is_closed() && pair.b.is_closed()
            });
            for events in [pair.take_events_a(), pair.take_events_b()] {
                assert_eq!(
                    events.last(),
                    Some(&Event::Closed(CloseReason::Shutdown)),
                    "{both} {lost:?} {events:?}"
                );
            }
            // What had arrived can be read after the end.
            assert_eq!(drain(&mut pair.b, 1), [message(3_000, 1)]);
            assert_eq!(drain(&mut pair.a, 1), [message(2_000, 2)]);
            assert_eq!((pair.a.poll_timeout(), pair.b.poll_timeout()), (None, None));
        }
    }
}

#[test]
fn shutdown_before_the_handshake_is_done() {
    let mut pair = common::pair_with(2, |_| {});
    let now = pair.now();
    pair.a.shutdown(now);
    assert_eq!(events(&mut pair.a.0), [Event::Closed(CloseReason::Shutdown)]);
    pair.a.connect(now);
    assert_eq!(packets(&mut pair.a, now).len(), 0, "what has ended cannot begin");

    let mut pair = common::pair_with(2, |_| {}).links(&Link::delay(10 * MS));
    pair.a.connect(now);
    pair.run_for(21 * MS);
    let now = pair.now();
    pair.a.shutdown(now);
    pair.expect("the end", 10 * SECOND, |pair| pair.a.is_closed() && pair.b.is_closed());
    assert_eq!(
        pair.take_events_a(),
        [Event::Connected, Event::Closed(CloseReason::Shutdown)]
    );
}

#[test]
fn abort_tells_the_reason_at_once() {
    for who in 0..2 {
        let mut pair = connected(3);
        let now = pair.now();
        pair.a
            .send(now, StreamId(1), message(100_000, 1), SendOptions::default())
            .unwrap();
        let reason = "Close called, mit Gruß".repeat(100);
        if who == 0 { &mut pair.a } else { &mut pair.b }.abort(now, &reason);
        pair.run_for(SECOND);
        let (here, there) = (pair.take_events_a(), pair.take_events_b());
        let (here, there) = if who == 0 { (here, there) } else { (there, here) };
        assert_eq!(here.last(), Some(&Event::Closed(CloseReason::Aborted)));
        let Some(Event::Closed(CloseReason::AbortedByPeer { cause, reason: told })) = there.last() else {
            panic!("{there:?}")
        };
        assert_eq!(*cause, Some(CauseCode::USER_INITIATED));
        assert!(
            told.starts_with("Close called, mit Gruß") && told.len() <= 260,
            "{told}"
        );
        assert!(pair.a.is_closed() && pair.b.is_closed());
        assert_eq!(pair.a.buffered_amount(StreamId(1)), 0);
    }
}

#[test]
fn abort_before_anything_is_an_end_without_a_packet() {
    let mut a = Association::new(config(4, 0));
    let now = peerline_sim::epoch();
    a.connect(now);
    a.abort(now, "never mind");
    assert!(packets(&mut a, now).is_empty());
    assert_eq!(events(&mut a), [Event::Closed(CloseReason::Aborted)]);
    a.abort(now, "again");
    assert_eq!(events(&mut a), []);
}

#[test]
fn a_peer_that_vanishes_with_data_in_flight_is_given_up() {
    let mut pair = connected_with(5, &Link::delay(10 * MS), |config| {
        config.max_retransmits = 4;
        config.rto_max = SECOND;
    });
    pair.a_to_b.link.loss = 1.0;
    let now = pair.now();
    send(&mut pair.a, now, 1, "hello?");
    pair.run_for(20 * SECOND);
    assert_eq!(
        pair.take_events_a().last(),
        Some(&Event::Closed(CloseReason::TooManyRetransmissions))
    );
    assert!(!pair.b.is_closed());
}

#[test]
fn a_silent_peer_is_asked_and_given_up() {
    let mut pair = connected_with(6, &Link::delay(10 * MS), |config| {
        config.heartbeat_interval = 5 * SECOND;
        config.max_retransmits = 4;
        config.rto_max = SECOND;
    });
    pair.run_for(60 * SECOND);
    assert!(
        pair.a.is_connected() && pair.b.is_connected(),
        "heartbeats are answered"
    );
    assert!(pair.a.stats().packets_sent < 60);
    assert_eq!(pair.a.stats().smoothed_rtt, Some(20 * MS));
    pair.a_to_b.link.loss = 1.0;
    pair.run_for(20 * SECOND);
    for events in [pair.take_events_a(), pair.take_events_b()] {
        assert_eq!(events, [Event::Closed(CloseReason::TooManyRetransmissions)]);
    }
}

#[test]
fn a_shutdown_complete_that_was_lost_is_sent_again() {
    let mut pair = connected(7);
    let now = pair.now();
    pair.a.shutdown(now);
    let shutdown = packets(&mut pair.a, now);
    deliver(&mut pair.b.0, now, &shutdown);
    let ack = packets(&mut pair.b, now);
    deliver(&mut pair.a.0, now, &ack);
    assert!(pair.a.is_closed());
    packets(&mut pair.a, now);
    // Lost. `b` repeats its SHUTDOWN ACK to an association that is gone.
    let later = pair.b.poll_timeout().unwrap();
    pair.b.handle_timeout(later);
    let ack = packets(&mut pair.b, later);
    deliver(&mut pair.a.0, later, &ack);
    let complete = packets(&mut pair.a, later);
    assert_eq!(complete.len(), 1);
    deliver(&mut pair.b.0, later, &complete);
    assert!(pair.b.is_closed());
    assert_eq!(events(&mut pair.b.0), [Event::Closed(CloseReason::Shutdown)]);
}

#[test]
fn a_message_that_expires_meanwhile_does_not_hold_up_a_shutdown() {
    let mut pair = connected_with(1, &Link::delay(50 * MS), |config| {
        config.receive_window = 2_000;
        config.heartbeat_interval = Duration::ZERO;
    });
    pair.run_for(SECOND);
    let now = pair.now();
    // The window takes one at a time, and the acknowledgement comes too late for the other.
    let reliability = Reliability::MaxLifetime(30 * MS);
    for options in [
        SendOptions::default(),
        SendOptions {
            ordered: true,
            reliability,
        },
    ] {
        pair.a.send(now, StreamId(1), message(1_000, 1), options).unwrap();
    }
    pair.a.shutdown(now);
    let data = packets(&mut pair.a.0, now);
    deliver(&mut pair.b.0, now, &data);
    let later = now + 250 * MS;
    pair.b.0.handle_timeout(later);
    let sack = packets(&mut pair.b.0, later);
    deliver(&mut pair.a.0, later, &sack);
    let sent = packets(&mut pair.a.0, later);
    assert_eq!(pair.a.stats().messages_abandoned, 1);
    assert_eq!((data.len(), sack.len(), sent.len()), (1, 1, 1));
    let chunk = Packet::decode(&sent[0]).unwrap().chunks().next().unwrap().unwrap();
    assert_eq!(chunk.kind, ChunkType::SHUTDOWN);
}
