//! Path MTU discovery (RFC 8899): larger packets where the path takes them, and a way back where it does not any more.

mod common;
use common::*;
use peerline_sctp::wire::{ChunkType, Packet};
use std::cell::RefCell;
use std::rc::Rc;

/// Keeps the queue of stream 1 filled with messages of `size` bytes for a while; returns what arrives.
fn bulk(pair: &mut Pair<Sctp>, size: usize, time: Duration) -> usize {
    let end = pair.now() + time;
    let mut received = 0;
    while pair.now() < end {
        let now = pair.now();
        while pair.a.buffered_amount(StreamId(1)) < 200_000 {
            pair.a
                .send(now, StreamId(1), message(size, 1), SendOptions::default())
                .unwrap();
        }
        pair.run_for(10 * MS);
        received += drain(&mut pair.b, 1)
            .iter()
            .map(|message| message.payload.len())
            .sum::<usize>();
    }
    received
}

fn path(mtu: usize) -> Link {
    Link {
        mtu,
        rate: Some(4_000_000),
        ..Link::delay(10 * MS)
    }
}

type Seen = Rc<RefCell<Vec<(usize, Vec<ChunkType>)>>>;

/// Two associations on a path, and what is put on it: sizes and chunks of the packets.
fn on_path(mtu: usize, max_mtu: usize) -> (Pair<Sctp>, Seen) {
    let seen = Seen::default();
    let tapped = seen.clone();
    let pair = connected_with(1, &path(mtu), |config| config.max_mtu = max_mtu).tap(move |packet| {
        let chunks = Packet::decode(packet.payload).unwrap().chunks();
        let kinds = chunks.map(|chunk| chunk.unwrap().kind).collect();
        tapped.borrow_mut().push((packet.payload.len(), kinds));
    });
    (pair, seen)
}

fn probes(seen: &Seen) -> Vec<usize> {
    let is_probe = |kinds: &[ChunkType]| kinds == [ChunkType::HEARTBEAT, ChunkType::PAD];
    let seen = seen.borrow();
    seen.iter()
        .filter(|(_, kinds)| is_probe(kinds))
        .map(|(size, _)| *size)
        .collect()
}

fn largest_with_data(seen: &Seen) -> usize {
    let seen = seen.borrow();
    let with_data = seen.iter().filter(|(_, kinds)| kinds.contains(&ChunkType::I_DATA));
    with_data.map(|(size, _)| *size).max().unwrap()
}

#[test]
fn a_path_that_takes_more_gets_more() {
    let (mut pair, seen) = on_path(1412, 1412);
    bulk(&mut pair, 100, SECOND);
    assert_eq!(probes(&seen), [1412]);
    assert_eq!(pair.a.stats().mtu, 1412);
    seen.borrow_mut().clear();
    bulk(&mut pair, 100, SECOND);
    assert!((1300..=1412).contains(&largest_with_data(&seen)));
    // Nobody who only listens tries anything.
    assert_eq!(pair.b.stats().mtu, 1188);
}

#[test]
fn a_path_that_takes_no_more_costs_a_few_probes() {
    let (mut pair, seen) = on_path(1188, 1412);
    let received = bulk(&mut pair, 5_000, 300 * SECOND);
    let tried = probes(&seen);
    assert!(tried.len() <= 12 && tried[0] == 1412, "{tried:?}");
    assert_eq!(largest_with_data(&seen), 1188);
    let stats = pair.a.stats();
    assert_eq!(
        (stats.mtu, stats.retransmissions, stats.timeouts),
        (1188, 0, 0),
        "no loss but probes"
    );
    assert!(received as f64 * 8.0 / 300.0 > 3_400_000.0, "{received}");
}

#[test]
fn a_size_between_is_found() {
    let (mut pair, seen) = on_path(1300, 1412);
    bulk(&mut pair, 100, 200 * SECOND);
    let found = pair.a.stats().mtu;
    assert!((1300 - 36..=1300).contains(&found), "{found} {:?}", probes(&seen));
    assert!((found - 140..=found).contains(&largest_with_data(&seen)));
    assert_eq!(pair.a.stats().timeouts, 0);
}

#[test]
fn jumbo_packets_carry_several_fragments() {
    let (mut pair, seen) = on_path(9000, 9000);
    bulk(&mut pair, 65_536, SECOND);
    assert_eq!(probes(&seen), [1412, 9000]);
    seen.borrow_mut().clear();
    bulk(&mut pair, 65_536, SECOND);
    let full = seen.borrow().iter().filter(|(_, kinds)| kinds.len() >= 7).count();
    assert!(full > 20, "{full} packets of seven fragments and more");
    assert!(pair.b.stats().data_chunks_refused == 0 && pair.a.stats().retransmissions == 0);
}

#[test]
fn packets_of_large_messages_are_of_one_size() {
    for (mtu, size, even) in [
        (1412, 65_536, 1188),
        (1412, 2_000, 1188),
        (9000, 65_536, 12 + 7 * 1176),
        // These are whole in a packet, and it grows for them.
        (1412, 1_300, 12 + 1176 + 20 + 144),
    ] {
        let (mut pair, seen) = on_path(mtu, mtu);
        bulk(&mut pair, size, SECOND);
        seen.borrow_mut().clear();
        bulk(&mut pair, size, SECOND);
        let with_data = seen
            .borrow()
            .iter()
            .filter(|(_, kinds)| kinds.contains(&ChunkType::I_DATA))
            .count();
        let of_the_size = seen.borrow().iter().filter(|(len, _)| *len == even).count();
        assert!(
            with_data > 50 && of_the_size * 100 > with_data * 97,
            "{size}: {of_the_size} of {with_data}"
        );
    }
}

#[test]
fn what_was_in_flight_when_the_path_became_smaller_gets_through() {
    for size in [100, 1_000, 65_536] {
        let (mut pair, _seen) = on_path(9000, 9000);
        bulk(&mut pair, size, SECOND);
        assert_eq!(pair.a.stats().mtu, 9000);
        let in_flight = pair.a.stats().bytes_in_flight;
        assert!(in_flight > 8_000, "{in_flight}");
        // As to 1,280 bytes over DTLS, UDP and IPv6: nothing tells the sender.
        pair = pair.links(&path(1188));
        let received = bulk(&mut pair, size, 20 * SECOND);
        let stats = pair.a.stats();
        assert!(stats.mtu < 1200 && stats.timeouts <= 2, "{stats:?}");
        assert!(received as f64 * 8.0 / 20.0 > 2_600_000.0, "{size} {received}");
        // And when it takes more again, that is found.
        pair = pair.links(&path(9000));
        pair.run_for(600 * SECOND);
        bulk(&mut pair, size, 10 * SECOND);
        assert_eq!(pair.a.stats().mtu, 9000);
    }
}

#[test]
fn an_idle_association_tries_nothing() {
    let (mut pair, seen) = on_path(1412, 1412);
    for _ in 0..10 {
        let now = pair.now();
        send(&mut pair.a, now, 1, "hello");
        pair.run_for(20 * SECOND);
    }
    assert_eq!(probes(&seen), []);
    assert_eq!(drain(&mut pair.b, 1).len(), 10);
}

#[test]
fn it_can_be_switched_off() {
    let (mut pair, seen) = on_path(9000, 0);
    bulk(&mut pair, 5_000, SECOND);
    assert_eq!((probes(&seen), largest_with_data(&seen)), (vec![], 1188));
}
