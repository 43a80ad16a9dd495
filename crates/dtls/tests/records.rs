//! Records as nobody honest would write them, after the handshake and during it, of either version: alerts in the clear, nothing at
//! all, and more than a record holds.

mod common;

use std::time::Duration;

use common::plaintext::{record, record_in};
use common::{Dtls, assert_healthy, configs, configs13, connected, pair};
use peerline_dtls::wire::record::ContentType;
use peerline_dtls::{Config, Connection};
use peerline_sim::Pair;

fn both_versions() -> [[Config; 2]; 2] {
    [configs(), configs13()]
}

fn tell_both(pair: &mut Pair<Dtls>, datagram: &[u8]) {
    let now = pair.now();
    for side in [&mut pair.a, &mut pair.b] {
        Connection::handle_datagram(side, now, datagram.into());
    }
}

/// Nothing happened, and nothing comes of it later.
fn assert_unmoved(pair: &mut Pair<Dtls>, what: &str) {
    pair.run_for(Duration::from_secs(5));
    assert_eq!([pair.a.poll_event(), pair.b.poll_event()], [None; 2], "{what}");
    assert_eq!([pair.a.recv(), pair.b.recv()], [None, None], "{what}");
    assert_healthy(pair);
}

#[test]
fn alerts_in_the_clear_after_the_handshake_end_nothing() {
    for configs in both_versions() {
        let mut pair = connected(configs);
        let sent = pair.datagrams_sent();
        for alert in (0..=3).flat_map(|level| (0..=255).map(move |description| [level, description])) {
            tell_both(&mut pair, &record(ContentType::ALERT, &alert));
        }
        for side in [&pair.a, &pair.b] {
            let stats = side.stats();
            assert!(stats.alerts_ignored + stats.records_unexpected >= 1024, "{stats:?}");
        }
        pair.run_for(Duration::from_secs(5));
        // A 1.3 client's last flight is acknowledged, and nobody is answered.
        assert!(pair.datagrams_sent() <= sent + 1);
        assert_unmoved(&mut pair, "alerts");
    }
}

/// RFC 8446 §5.1: "Implementations MUST NOT send zero-length fragments of Handshake types"; of alerts neither. Those
/// of application data they may send, once they are protected.
#[test]
fn records_of_no_length_are_nothing() {
    let nothings = || {
        let plain = (0..=63).flat_map(|kind| (0..5).map(move |epoch| record_in(epoch, ContentType(kind), &[])));
        // Unified headers (RFC 9147 §4) with a length of zero.
        let unified = (0x20..0x40).map(|first| vec![first, 0, 0, 0, 0]);
        plain.chain(unified)
    };
    for configs in both_versions() {
        // During the handshake, before each of its datagrams.
        for moment in 0..8 {
            let mut pair = pair(configs.clone());
            pair.run_for(Duration::from_millis(5 * moment));
            nothings().for_each(|datagram| tell_both(&mut pair, &datagram));
            common::connect(&mut pair, Duration::from_secs(1));
            assert_healthy(&mut pair);
        }
        let mut pair = connected(configs);
        nothings().for_each(|datagram| tell_both(&mut pair, &datagram));
        assert_unmoved(&mut pair, "records of no length");
    }
}

/// RFC 8446 §5.1: "The length MUST NOT exceed 2^14 bytes", and 2^14 + 256 where it is protected (§5.2); by 1.2, 2^14 + 2048.
#[test]
fn oversized_records_are_dropped() {
    const MOST: usize = 1 << 14;
    let oversized = || {
        let lengths = [MOST + 1, MOST + 257, MOST + 2049, 65_000];
        let kinds = [20, 21, 22, 23, 24, 25, 26].map(ContentType);
        let plain = lengths.into_iter().flat_map(move |len| {
            let of = move |kind| [0, 1, 3].map(|epoch| record_in(epoch, kind, &vec![0; len]));
            kinds.into_iter().flat_map(of)
        });
        let unified = lengths.into_iter().flat_map(|len| {
            let header = move |first: u8| [&[first, 0, 0][..], &(len as u16).to_be_bytes()].concat();
            (0x2c..0x30).map(move |first| [header(first), vec![0; len]].concat())
        });
        // A length beyond the datagram's end.
        let cut = record(ContentType::HANDSHAKE, &[0; 100])[..60].to_vec();
        plain.chain(unified).chain([cut])
    };
    for configs in both_versions() {
        for moment in 0..8 {
            let mut pair = pair(configs.clone());
            pair.run_for(Duration::from_millis(5 * moment));
            oversized().for_each(|datagram| tell_both(&mut pair, &datagram));
            common::connect(&mut pair, Duration::from_secs(1));
            assert_healthy(&mut pair);
        }
        let mut pair = connected(configs);
        let before = [pair.a.stats(), pair.b.stats()].map(|stats| stats.records_malformed);
        oversized().for_each(|datagram| tell_both(&mut pair, &datagram));
        for (side, before) in [&pair.a, &pair.b].into_iter().zip(before) {
            assert!(side.stats().records_malformed > before, "{:?}", side.stats());
        }
        assert_unmoved(&mut pair, "oversized records");
    }
}
