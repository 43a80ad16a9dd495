//! A message of 1 GiB on one channel, and pings on another.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Lab, config};
use peerline_connection::{Config, DataChannelInit, Message, OfferOptions};
use peerline_sim::Link;

const MS: Duration = Duration::from_millis(1);

/// The round trips of pings, ten a second, from a second after a message of 1 GiB has begun.
fn pings(rate: u64, round_trip: Duration, count: usize) -> Vec<Duration> {
    let link = Link {
        rate: Some(rate),
        // A router that would hold a quarter of a second.
        queue: usize::try_from(rate / 8 / 4).expect("fits"),
        ..Link::delay(round_trip / 2)
    };
    let configs = [0, 1].map(|who| Config {
        max_message_size: 1 << 30,
        send_buffer: 2 << 30,
        receive_window: 2 << 30,
        ..config(7, who)
    });
    let mut lab = Lab::with(7, link, configs);
    let bulk = lab.open(0, "bulk", DataChannelInit::default());
    lab.offer(0, OfferOptions::default());
    lab.expect_incoming(1);
    lab.events = [Vec::new(), Vec::new()];
    let near = lab.open(0, "ping", DataChannelInit::default());
    let far = lab.expect_incoming(1);
    // Zeroed pages that nobody has touched take no memory.
    lab.send(0, bulk, Message::Binary(Bytes::from(vec![0; 1 << 30])));
    lab.run_for(Duration::from_secs(1));
    let mut trips = Vec::new();
    for _ in 0..count {
        let start = lab.now();
        lab.send(0, near, "ping");
        assert_eq!(lab.expect_message(1, far), Message::from("ping"));
        lab.send(1, far, "pong");
        assert_eq!(lab.expect_message(0, near), Message::from("pong"));
        let trip = lab.now() - start;
        trips.push(trip);
        lab.run_for(100 * MS - trip.min(100 * MS));
    }
    let left = lab.peer(0).channel(bulk).expect("open").buffered_amount();
    assert!(
        (1 << 29..(1 << 30) - 1_000_000).contains(&left),
        "it is under way: {left}"
    );
    trips
}

#[test]
fn a_gigabyte_on_one_channel_does_not_delay_a_ping_on_another() {
    for (rate, round_trip) in [
        (10_000_000, 20 * MS),
        (10_000_000, 50 * MS),
        (100_000_000, 20 * MS),
        (100_000_000, 50 * MS),
    ] {
        let trips = pings(rate, round_trip, 20);
        let slowest = trips.iter().max().expect("pings");
        assert!(*slowest < 2 * round_trip, "{rate} bit/s, {round_trip:?}: {trips:?}");
    }
}
