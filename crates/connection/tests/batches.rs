//! What leaves together, while a connection is being set up: the driver sends each batch with as few system calls as it can.

mod common;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use common::config;
use peerline_connection::{Config, Connection, DataChannelInit, DataChannelState, OfferOptions};
use peerline_sim::epoch;
use peerline_wire::{Datagram, FiveTuple, Transport};

const ADDRESSES: [&str; 2] = ["192.0.2.1:5000", "192.0.2.2:5000"];

/// All that a connection wants to send now.
fn batch(from: &mut Connection, now: Instant) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| {
        let mut out = Vec::new();
        from.poll_transmit(now, &mut out).map(|_| out)
    })
    .collect()
}

/// The batches with which two connect, in turns and in no time, until the channel is open at both ends.
fn batches_of_a_set_up(change: impl Fn(&mut Config)) -> Vec<Vec<Vec<u8>>> {
    let now = epoch();
    let addresses: [SocketAddr; 2] = ADDRESSES.map(|address| address.parse().unwrap());
    let mut ends = [0, 1].map(|who| {
        let mut config = config(1, who);
        change(&mut config);
        Connection::new(now, config)
    });
    let [offerer, answerer] = &mut ends;
    offerer
        .create_data_channel(now, "chat", DataChannelInit::default())
        .unwrap();
    let offer = offerer.create_offer(OfferOptions::default()).unwrap();
    offerer.set_local_description(now, offer).unwrap();
    offerer.add_local_address(now, addresses[0], Transport::Udp);
    offerer.finish_gathering(now);
    answerer
        .set_remote_description(now, offerer.local_description().unwrap())
        .unwrap();
    let answer = answerer.create_answer().unwrap();
    answerer.set_local_description(now, answer).unwrap();
    answerer.add_local_address(now, addresses[1], Transport::Udp);
    answerer.finish_gathering(now);
    let answer = answerer.local_description().unwrap();

    let mut batches = Vec::new();
    // The first check overtakes the answer.
    let mut answer = Some(answer);
    for turn in 0..40 {
        let who = 1 - turn % 2;
        let sent = batch(&mut ends[who], now);
        let path = FiveTuple::udp(addresses[1 - who], addresses[who]);
        for payload in &sent {
            let datagram = Datagram {
                five_tuple: path,
                ecn: None,
                payload: BytesMut::from(&payload[..]),
            };
            ends[1 - who].handle_datagram(now, datagram);
        }
        if let Some(answer) = answer.take() {
            ends[0].set_remote_description(now, answer).unwrap();
        }
        batches.push(sent);
        let is_open = |end: &Connection| {
            let mut channels = end.channels();
            channels.any(|id| end.channel(id).unwrap().ready_state() == DataChannelState::Open)
        };
        if ends.iter().all(is_open) {
            return batches;
        }
    }
    panic!("the channel does not open: {batches:?}");
}

/// RFC 7983 §7.
fn kind(datagram: &[u8]) -> &'static str {
    match datagram {
        [0, 1, ..] => "request",
        [1, 1, ..] => "response",
        [22, _, _, _, _, _, _, _, _, _, _, _, _, 1, ..] => "ClientHello",
        [20 | 22, ..] => "handshake",
        // DTLS 1.3: epoch 2 is the handshake's.
        [first @ 0x20..0x40, ..] if first & 3 == 2 => "handshake",
        [23 | 0x20..0x40, ..] => "data",
        _ => "other",
    }
}

fn kinds(batches: &[Vec<Vec<u8>>]) -> Vec<Vec<&'static str>> {
    let batches = batches.iter();
    batches
        .map(|batch| batch.iter().map(|datagram| kind(datagram)).collect())
        .collect()
}

/// Ten datagrams fewer, and two round trips.
#[test]
fn a_set_up_with_snap_and_sped() {
    let batches = batches_of_a_set_up(|_| {});
    assert_eq!(
        kinds(&batches),
        [
            // It carries half of the ClientHello.
            vec!["request"],
            vec!["response", "request"],
            // And this the other half.
            vec!["response"],
            vec!["handshake", "handshake", "handshake", "request"],
            vec!["handshake", "response"],
            vec!["data", "data"],
        ]
    );
}

#[test]
fn a_set_up_takes_sixteen_datagrams_and_handshakes_go_ahead_of_ice() {
    let batches = batches_of_a_set_up(|config| (config.snap, config.sped) = (false, false));
    assert_eq!(
        kinds(&batches),
        [
            vec!["request"],
            vec!["response", "request"],
            // Whoever has not validated the path yet may drop a ClientHello: the response goes ahead.
            // The share of the hybrid group makes it two.
            vec!["response", "ClientHello", "ClientHello"],
            vec!["handshake", "handshake", "request"],
            // INIT goes with the last flight; INIT ACK with its acknowledgement, without an INIT that would cross the peer's; then
            // COOKIE ECHO with the channel's OPEN; COOKIE ACK with its ACK.
            vec!["handshake", "response", "data"],
            vec!["data", "data"],
            vec!["data"],
            vec!["data"],
        ]
    );
    // Segmentation takes runs in which only the last is shorter.
    for batch in [&batches[3][..], &batches[4][..2]] {
        assert!(batch.is_sorted_by_key(|datagram| std::cmp::Reverse(datagram.len())));
    }
}
