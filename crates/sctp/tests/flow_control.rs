//! The receive window: a reader that stalls stops the sender, and loses nothing.

mod common;
use common::*;

#[test]
fn a_stalled_reader_stops_the_sender_and_a_window_update_wakes_it() {
    for size in [100usize, 3_000, 60_000] {
        let mut pair = connected_with(1, &Link::delay(5 * MS), |config| {
            config.receive_window = 150_000;
            // Packets of one size, so that the figures below are exact.
            config.max_mtu = config.mtu;
        });
        let now = pair.now();
        let count = 1_500_000 / size;
        for index in 0..count {
            pair.a
                .send(now, StreamId(1), message(size, index as u64), SendOptions::default())
                .unwrap();
        }
        pair.run_for(60 * SECOND);
        let stalled = pair.b.receive_buffer();
        // One packet may overshoot the window.
        assert!((120_000..153_000).contains(&stalled), "{size}: {stalled}");
        assert!(!pair.a.is_closed(), "zero-window probes do not count as errors");
        let delivered = pair.b.stats().data_chunks_received;
        pair.run_for(60 * SECOND);
        let probes = pair.b.stats().data_chunks_received - delivered;
        assert!(probes < 12, "{size}: probes are few, not {probes}");

        // The reader wakes up, and reads in time: the rest comes without waiting for a probe.
        let mut received = 0;
        let start = pair.elapsed();
        pair.expect("the rest", 300 * SECOND, |pair| {
            for read in drain(&mut pair.b, 1) {
                assert_eq!(read, message(size, received));
                received += 1;
            }
            received == count as u64
        });
        let took = pair.elapsed() - start;
        assert!(took < 2 * SECOND, "{size}: {took:?}");
        assert_eq!(pair.b.receive_buffer(), 0);
    }
}

#[test]
fn a_slow_reader_gets_everything_in_order() {
    let link = Link {
        delay: 5 * MS,
        loss: 0.02,
        ..Link::default()
    };
    let mut pair = connected_with(2, &link, |config| config.receive_window = 50_000);
    let now = pair.now();
    for index in 0..400 {
        pair.a
            .send(
                now,
                StreamId(index as u16 % 4),
                message(2_000, index),
                SendOptions::default(),
            )
            .unwrap();
    }
    let mut received = [0u64; 4];
    let mut total = 0;
    while total < 400 {
        pair.run_for(50 * MS);
        for stream in 0..4 {
            if let Some(read) = pair.b.recv(StreamId(stream)) {
                let index = u64::from(stream) + 4 * received[usize::from(stream)];
                assert_eq!(read, message(2_000, index));
                received[usize::from(stream)] += 1;
                total += 1;
            }
        }
        assert!(pair.b.receive_buffer() < 53_000);
        assert!(pair.elapsed() < 600 * SECOND, "{total}");
    }
}

#[test]
fn one_unread_stream_does_not_stop_a_window_that_has_room() {
    let mut pair = connected_with(3, &Link::delay(5 * MS), |config| config.receive_window = 100_000);
    let now = pair.now();
    pair.a
        .send(now, StreamId(1), message(40_000, 1), SendOptions::default())
        .unwrap();
    for index in 0..100 {
        pair.a
            .send(now, StreamId(2), message(10_000, index), SendOptions::default())
            .unwrap();
    }
    let mut received = 0;
    pair.expect("stream 2", 60 * SECOND, |pair| {
        received += drain(&mut pair.b, 2).len();
        received == 100
    });
    assert_eq!(drain(&mut pair.b, 1).len(), 1);
}

#[test]
fn a_message_larger_than_the_window_arrives_all_the_same() {
    let mut pair = connected_with(4, &Link::delay(5 * MS), |config| config.receive_window = 30_000);
    let now = pair.now();
    pair.a
        .send(now, StreamId(1), message(200_000, 1), SendOptions::default())
        .unwrap();
    pair.expect("the message", 600 * SECOND, |pair| {
        drain(&mut pair.b, 1) == [message(200_000, 1)]
    });
}

#[test]
fn the_sender_keeps_no_more_than_its_buffer() {
    let mut pair = connected_with(5, &Link::delay(5 * MS), |config| config.send_buffer = 100_000);
    pair.a_to_b.link.loss = 1.0;
    let now = pair.now();
    let mut taken = 0;
    while pair
        .a
        .send(now, StreamId(1), message(1_000, 1), SendOptions::default())
        .is_ok()
    {
        taken += 1;
    }
    assert!((85..=100).contains(&taken), "{taken}");
    // Sending does not make room, only acknowledgements do.
    pair.run_for(SECOND);
    let now = pair.now();
    let refused = pair.a.send(now, StreamId(2), message(1_000, 1), SendOptions::default());
    assert_eq!(refused, Err(SendError::BufferFull));
    pair.a_to_b.link.loss = 0.0;
    pair.expect("room", 20 * SECOND, |pair| {
        let now = pair.now();
        pair.a
            .send(now, StreamId(2), message(50_000, 1), SendOptions::default())
            .is_ok()
    });
}
