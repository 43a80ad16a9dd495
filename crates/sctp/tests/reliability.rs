//! Partial reliability (RFC 3758): what is given up, when, and that nothing else suffers.

mod common;
use common::*;

fn limited(reliability: Reliability, ordered: bool) -> SendOptions {
    SendOptions { ordered, reliability }
}

#[test]
fn no_retransmissions_and_everything_else_in_order() {
    for_each_seed(0..6, |seed| {
        let link = Link {
            delay: 20 * MS,
            loss: 0.1,
            ..Link::default()
        };
        let mut pair = connected_with(seed, &link, |_| {});
        let mut sent = 0;
        let mut received: Vec<u32> = Vec::new();
        for _ in 0..200 {
            let now = pair.now();
            for _ in 0..3 {
                let mut payload = vec![0; 600];
                payload[..4].copy_from_slice(&u32::to_be_bytes(sent));
                let options = limited(Reliability::MaxRetransmits(0), true);
                pair.a
                    .send(now, StreamId(5), Message::new(Ppid::BINARY, payload), options)
                    .unwrap();
                sent += 1;
            }
            pair.run_for(20 * MS);
            let new = drain(&mut pair.b, 5);
            received.extend(
                new.iter()
                    .map(|message| u32::from_be_bytes(message.payload[..4].try_into().unwrap())),
            );
        }
        // What follows reliably on another stream shows that the association is well.
        let now = pair.now();
        send(&mut pair.a, now, 6, "end");
        pair.expect("the end", 60 * SECOND, |pair| !drain(&mut pair.b, 6).is_empty());
        pair.run_for(10 * SECOND);
        let new = drain(&mut pair.b, 5);
        received.extend(
            new.iter()
                .map(|message| u32::from_be_bytes(message.payload[..4].try_into().unwrap())),
        );
        assert!(received.is_sorted_by(|a, b| a < b), "in order and once");
        let abandoned = pair.a.stats().messages_abandoned as usize;
        assert!(abandoned > 20, "{:?}", pair.a.stats());
        assert!(
            received.len() >= 600 - abandoned && received.len() < 600,
            "{} of 600, {abandoned}",
            received.len()
        );
        assert_eq!(pair.b.receive_buffer(), 0, "nothing is stranded");
        assert_eq!(pair.a.stats().unacked_data, 0);
    });
}

#[test]
fn unordered_fragments_of_abandoned_messages_are_forgotten() {
    for_each_seed(0..6, |seed| {
        let link = Link {
            delay: 20 * MS,
            loss: 0.05,
            reorder: 0.1,
            ..Link::default()
        };
        let mut pair = connected_with(seed, &link, |_| {});
        let mut received = 0;
        for round in 0..60 {
            let now = pair.now();
            let options = limited(Reliability::MaxRetransmits(round % 2), round % 3 == 0);
            pair.a
                .send(now, StreamId(7), message(20_000, round.into()), options)
                .unwrap();
            pair.run_for(100 * MS);
            received += drain(&mut pair.b, 7).len();
        }
        pair.run_for(60 * SECOND);
        received += drain(&mut pair.b, 7).len();
        let stats = pair.a.stats();
        assert!(stats.messages_abandoned > 0 && received > 0, "{stats:?}");
        assert!(
            received + stats.messages_abandoned as usize >= 60,
            "{received} {stats:?}"
        );
        assert_eq!(pair.b.receive_buffer(), 0, "nothing is stranded");
        assert_eq!((stats.unacked_data, pair.a.poll_timeout().is_some()), (0, true));
    });
}

#[test]
fn what_is_late_is_not_sent() {
    let mut pair = connected_with(
        1,
        &Link {
            delay: 10 * MS,
            rate: Some(1_000_000),
            ..Link::default()
        },
        |_| {},
    );
    let now = pair.now();
    let options = limited(Reliability::MaxLifetime(300 * MS), true);
    // Five times what the link carries meanwhile.
    for index in 0..200 {
        pair.a.send(now, StreamId(1), message(1_000, index), options).unwrap();
    }
    send(&mut pair.a, now, 1, "last");
    let mut received = Vec::new();
    pair.expect("the last", 10 * SECOND, |pair| {
        received.extend(drain(&mut pair.b, 1));
        received.last().is_some_and(|message| &message.payload[..] == b"last")
    });
    assert!((20..120).contains(&received.len()), "{}", received.len());
    assert!(pair.elapsed() < 2 * SECOND, "{:?}", pair.elapsed());
    assert_eq!(received.len() as u64 + pair.a.stats().messages_abandoned, 201);
}

#[test]
fn a_message_that_expires_half_sent_is_withdrawn() {
    for ordered in [false, true] {
        let mut pair = connected_with(
            2,
            &Link {
                delay: 10 * MS,
                rate: Some(1_000_000),
                ..Link::default()
            },
            |_| {},
        );
        let now = pair.now();
        pair.a
            .send(
                now,
                StreamId(1),
                message(200_000, 1),
                limited(Reliability::MaxLifetime(500 * MS), ordered),
            )
            .unwrap();
        send(&mut pair.a, now, 1, "after");
        pair.expect("what follows", 10 * SECOND, |pair| !drain(&mut pair.b, 1).is_empty());
        assert!(pair.elapsed() < 2 * SECOND, "{:?}", pair.elapsed());
        pair.run_for(5 * SECOND);
        assert_eq!((pair.b.receive_buffer(), pair.a.stats().messages_abandoned), (0, 1));
        assert_eq!(
            (pair.a.buffered_amount(StreamId(1)), pair.a.stats().unacked_data),
            (0, 0)
        );
    }
}

#[test]
fn a_message_that_expires_before_a_closed_window_is_forgotten_by_both() {
    let mut pair = connected_with(3, &Link::delay(MS), |config| config.receive_window = 20_000);
    let now = pair.now();
    for _ in 0..12 {
        pair.a
            .send(now, StreamId(2), message(1_000, 2), SendOptions::default())
            .unwrap();
    }
    pair.run_for(50 * MS);
    // The reader stalls, so that the window closes in the middle of the message.
    let now = pair.now();
    pair.a
        .send(
            now,
            StreamId(1),
            message(100_000, 1),
            limited(Reliability::MaxLifetime(100 * MS), true),
        )
        .unwrap();
    pair.run_for(2 * SECOND);
    assert_eq!(drain(&mut pair.b, 2).len(), 12);
    pair.run_for(10 * SECOND);
    assert_eq!(pair.a.stats().messages_abandoned, 1);
    assert_eq!(pair.b.receive_buffer(), 0, "its beginning is forgotten");
    let now = pair.now();
    send(&mut pair.a, now, 1, "next");
    pair.run_for(SECOND);
    assert_eq!(texts(&mut pair.b, 1), ["next"]);
}

#[test]
fn limited_retransmissions_are_made() {
    // Each packet's first copy is lost: one retransmission brings everything.
    let mut pair = connected_with(4, &Link::delay(10 * MS), |_| {});
    let sent = pair.a_to_b.stats().sent;
    pair.a_to_b.link = Link::delay(10 * MS).dropping(move |index| index == sent);
    let now = pair.now();
    let options = limited(Reliability::MaxRetransmits(1), false);
    pair.a.send(now, StreamId(1), message(100, 1), options).unwrap();
    pair.run_for(2 * SECOND);
    assert_eq!(drain(&mut pair.b, 1).len(), 1);
    assert_eq!(pair.a.stats().messages_abandoned, 0);
}
