//! Connection IDs (RFC 9146, RFC 9147 §9), and peers that move or seem to (RFC 9853), in both versions.

mod common;

use std::time::{Duration, Instant};

use common::{configs, configs13, connect, connected, pair, seal};
use peerline_dtls::{
    Config, Connection, ConnectionId, ConnectionIdError, ConnectionIdUsage, Event, PathId, ProtocolVersion,
    RoutabilityCheck,
};
use peerline_sim::Pair;

use common::Dtls;

const CLIENT: &[u8] = b"to the client";
const SERVER: &[u8] = b"srv";
const PATIENCE: Duration = Duration::from_secs(1);

fn id(bytes: &[u8]) -> ConnectionId {
    ConnectionId::new(bytes).expect("it is short")
}

/// Both versions, with what client and server are to be called.
fn both_versions(ids: [Option<&[u8]>; 2]) -> [[Config; 2]; 2] {
    [configs(), configs13()].map(|configs| {
        let mut ids = ids.into_iter();
        configs.map(|config| Config {
            connection_id: ids.next().flatten().map(id),
            ..config
        })
    })
}

fn with_check(kind: RoutabilityCheck) -> [[Config; 2]; 2] {
    both_versions([Some(CLIENT), Some(SERVER)]).map(|configs| {
        configs.map(|config| Config {
            routability_check: kind,
            ..config
        })
    })
}

#[test]
fn each_side_writes_what_the_other_wants() {
    let longest = [9; 255];
    let lengths: [[&[u8]; 2]; 5] = [
        [CLIENT, SERVER],
        [b"", SERVER],
        [CLIENT, b""],
        [b"", b""],
        [&longest, b"1"],
    ];
    for ids in lengths {
        for configs in both_versions(ids.map(Some)) {
            let mut pair = connected(configs);
            assert!(pair.a.checks_paths() && pair.b.checks_paths());
            assert_eq!(pair.a.remote_connection_id(), Some(ids[1]));
            assert_eq!(pair.b.remote_connection_id(), Some(ids[0]));
            for (from, to, id) in [(0, 1, ids[1]), (1, 0, ids[0])] {
                let sides = [&mut pair.a, &mut pair.b];
                let datagram = seal(sides[from], b"hello");
                let expected = Some(id).filter(|id| !id.is_empty());
                assert_eq!(
                    ConnectionId::of_datagram(&datagram, id.len()).filter(|id| !id.is_empty()),
                    expected
                );
                let now = peerline_sim::epoch();
                sides[to].handle_datagram(now, datagram[..].into());
                assert_eq!(sides[to].recv().as_deref(), Some(&b"hello"[..]));
            }
        }
    }
}

#[test]
fn both_have_to_want_them() {
    for ids in [[Some(CLIENT), None], [None, Some(SERVER)]] {
        for configs in both_versions(ids) {
            let mut pair = connected(configs);
            assert_eq!(
                (pair.a.remote_connection_id(), pair.b.remote_connection_id()),
                (None, None)
            );
            assert!(!pair.a.checks_paths() && !pair.b.checks_paths());
            common::assert_healthy(&mut pair);
        }
    }
}

#[test]
fn a_handshake_with_them_survives_loss_and_cookies() {
    for configs in both_versions([Some(CLIENT), Some(SERVER)]) {
        let configs = configs.map(|config| Config {
            hello_verify_request: true,
            mtu: 300,
            ..config
        });
        for first in 0..12 {
            for second in first + 1..13 {
                let mut pair = pair(configs.clone()).lose([first, second]);
                connect(&mut pair, Duration::from_secs(20));
                assert_eq!(pair.a.remote_connection_id(), Some(SERVER));
                common::assert_healthy(&mut pair);
            }
        }
    }
}

/// What `change` makes of a record is dropped, and the record itself is taken.
fn is_dropped(pair: &mut Pair<Dtls>, change: impl FnOnce(&[u8]) -> Vec<u8>) {
    let now = pair.now();
    let datagram = seal(&mut pair.a, b"hello");
    let before = pair.b.stats();
    pair.b.handle_datagram(now, change(&datagram)[..].into());
    assert_eq!(pair.b.recv(), None);
    let after = pair.b.stats();
    assert_eq!(after.records_replayed, before.records_replayed);
    assert!(pair.b.is_connected());
    pair.b.handle_datagram(now, datagram[..].into());
    assert_eq!(pair.b.recv().as_deref(), Some(&b"hello"[..]));
}

/// Where the connection ID stands.
fn place(configs: &[Config; 2]) -> usize {
    match configs[0].max_version {
        ProtocolVersion::DTLS_1_2 => 11,
        _ => 1,
    }
}

#[test]
fn records_for_others_are_dropped() {
    for configs in both_versions([Some(CLIENT), Some(SERVER)]) {
        let (at, is_12) = (place(&configs), place(&configs) > 1);
        let mut pair = connected(configs);
        let replaced =
            |new: &'static [u8]| move |datagram: &[u8]| [&datagram[..at], new, &datagram[at + SERVER.len()..]].concat();
        // Another's, shorter, longer, none.
        for other in [&b"sir"[..], b"sr", b"srvv", b""] {
            is_dropped(&mut pair, replaced(other));
        }
        // Without one, in the form of records that have none.
        is_dropped(&mut pair, |datagram| {
            let mut bytes = replaced(b"")(datagram);
            bytes[0] = if is_12 { 23 } else { bytes[0] & !0x10 };
            bytes
        });
        // In plaintext, and under keys of another epoch.
        for epoch in [0, 2, 3] {
            is_dropped(&mut pair, |datagram| {
                let mut bytes = datagram.to_vec();
                match is_12 {
                    true => bytes[4] = epoch,
                    false => bytes[0] = (bytes[0] & !3) | (epoch + 1) & 3,
                }
                if is_12 || bytes[0] & 3 != 3 { bytes } else { Vec::new() }
            });
        }
    }
}

#[test]
fn a_connection_id_that_was_not_negotiated_is_refused() {
    for configs in both_versions([None, Some(SERVER)]) {
        let (at, is_12) = (place(&configs), place(&configs) > 1);
        let mut pair = connected(configs);
        is_dropped(&mut pair, |datagram| {
            let mut bytes = [&datagram[..at], SERVER, &datagram[at..]].concat();
            bytes[0] = if is_12 { 25 } else { bytes[0] | 0x10 };
            bytes
        });
    }
}

/// Packets between two sides that know their paths. `a` is reached by what `b` calls its path.
struct Mobile {
    pair: Pair<Dtls>,
    now: Instant,
    /// By which path what the client sends comes to the server; what the server sends by any other is lost.
    address: PathId,
    /// By which path the client sees the server, whatever the server calls it.
    to_other: usize,
}

impl Mobile {
    fn new(configs: [Config; 2]) -> Self {
        let mut pair = connected(configs);
        // The last acknowledgements.
        pair.run_for(Duration::from_secs(2));
        let now = pair.now();
        Self {
            pair,
            now,
            address: PathId(0),
            to_other: 0,
        }
    }

    fn client_says(&mut self, text: &[u8]) -> Vec<u8> {
        seal(&mut self.pair.a, text)
    }

    /// The client's messages of the check arrive, and the server's where the client is.
    fn settle(&mut self) {
        let mut out = Vec::new();
        loop {
            let mut quiet = true;
            while let Some((path, len)) = self.pair.b.poll_path_transmit(self.now, &mut out) {
                quiet = false;
                let datagram = out.split_off(0);
                assert_eq!(len, datagram.len());
                match path == self.address {
                    true => self
                        .pair
                        .a
                        .handle_datagram_from(self.now, PathId(0), datagram[..].into()),
                    false => self.to_other += len,
                }
            }
            while let Some((path, _)) = self.pair.a.poll_path_transmit(self.now, &mut out) {
                quiet = false;
                assert_eq!(path, PathId(0));
                let datagram = out.split_off(0);
                self.pair
                    .b
                    .handle_datagram_from(self.now, self.address, datagram[..].into());
            }
            if quiet {
                return;
            }
        }
    }

    /// Time passes up to the next timer of the server's. It does not spin.
    fn wait(&mut self) {
        let due = self.pair.b.poll_timeout().expect("a timer");
        assert!(due > self.now);
        self.now = due;
        self.pair.b.handle_timeout(self.now);
    }

    fn server_events(&mut self) -> Vec<Event> {
        while self.pair.b.recv().is_some() {}
        std::iter::from_fn(|| self.pair.b.poll_event())
            .filter(|event| *event != Event::Readable)
            .collect()
    }
}

#[test]
fn a_peer_behind_a_new_address_is_followed_once_it_answers_there() {
    for kind in [RoutabilityCheck::Basic, RoutabilityCheck::Enhanced] {
        for configs in with_check(kind) {
            let mut mobile = Mobile::new(configs);
            mobile.address = PathId(7);
            let datagram = mobile.client_says(b"from elsewhere");
            mobile
                .pair
                .b
                .handle_datagram_from(mobile.now, PathId(7), datagram[..].into());
            assert_eq!(mobile.pair.b.recv().as_deref(), Some(&b"from elsewhere"[..]));
            assert_eq!(mobile.pair.b.path(), PathId(0));
            let start = mobile.now;
            mobile.settle();
            while mobile.pair.b.path() == PathId(0) && mobile.now < start + PATIENCE * 3 {
                mobile.wait();
                mobile.settle();
            }
            assert_eq!(mobile.pair.b.path(), PathId(7));
            assert_eq!(mobile.server_events(), [Event::PathChanged(PathId(7))]);
            let waited = mobile.now - start;
            assert_eq!(waited >= PATIENCE, kind == RoutabilityCheck::Enhanced, "{waited:?}");
            assert_eq!(mobile.pair.b.poll_timeout(), None);
            assert_eq!(mobile.pair.a.path(), PathId(0));
        }
    }
}

#[test]
fn a_path_that_the_peer_has_left_is_given_up_at_once() {
    for configs in with_check(RoutabilityCheck::Enhanced) {
        let mut mobile = Mobile::new(configs);
        // The client goes by another of its interfaces, and still hears what comes by the first.
        mobile.pair.a.set_path(PathId(1));
        let (now, datagram) = (mobile.now, mobile.client_says(b"from elsewhere"));
        let server = PathId(5);
        mobile.pair.b.handle_datagram_from(now, server, datagram[..].into());
        let mut out = Vec::new();
        for (asked, heard) in [(PathId(0), PathId(0)), (server, PathId(1))] {
            let (path, _) = mobile.pair.b.poll_path_transmit(now, &mut out).expect("a challenge");
            assert_eq!(path, asked);
            mobile
                .pair
                .a
                .handle_datagram_from(now, heard, out.split_off(0)[..].into());
            let (path, _) = mobile.pair.a.poll_path_transmit(now, &mut out).expect("an answer");
            assert_eq!(path, heard);
            mobile
                .pair
                .b
                .handle_datagram_from(now, asked, out.split_off(0)[..].into());
        }
        assert_eq!(mobile.pair.b.path(), server);
    }
}

#[test]
fn someone_who_repeats_packets_from_elsewhere_moves_nothing() {
    for kind in [RoutabilityCheck::Basic, RoutabilityCheck::Enhanced] {
        for configs in with_check(kind) {
            let mut mobile = Mobile::new(configs);
            let mut stolen = 0;
            for _ in 0..20 {
                // It is faster than the original, which is dropped as a replay.
                let datagram = mobile.client_says(b"!");
                stolen += datagram.len();
                mobile
                    .pair
                    .b
                    .handle_datagram_from(mobile.now, PathId(9), datagram[..].into());
                mobile
                    .pair
                    .b
                    .handle_datagram_from(mobile.now, PathId(0), datagram[..].into());
                for _ in 0..3 {
                    mobile.settle();
                    if mobile.pair.b.poll_timeout().is_some() {
                        mobile.wait();
                    }
                    assert!(mobile.to_other <= stolen * 3);
                }
                assert_eq!(mobile.pair.b.path(), PathId(0));
            }
            assert_eq!(mobile.server_events(), []);
            // The path in use answers: with Enhanced, nothing at all went to the other.
            assert_eq!(mobile.to_other == 0, kind == RoutabilityCheck::Enhanced);
        }
    }
}

#[test]
fn what_is_late_or_repeated_or_forged_starts_no_check() {
    for configs in with_check(RoutabilityCheck::Basic) {
        let mut mobile = Mobile::new(configs);
        let (late, last) = (mobile.client_says(b"late"), mobile.client_says(b"last"));
        let mut forged = mobile.client_says(b"forged");
        *forged.last_mut().expect("a tag") ^= 1;
        let now = mobile.now;
        mobile.pair.b.handle_datagram_from(now, PathId(0), last[..].into());
        for datagram in [&late, &last, &late, &forged] {
            mobile.pair.b.handle_datagram_from(now, PathId(9), datagram[..].into());
        }
        assert_eq!(mobile.pair.b.recv().as_deref(), Some(&b"last"[..]));
        assert_eq!(mobile.pair.b.recv().as_deref(), Some(&b"late"[..]));
        assert_eq!(mobile.pair.b.poll_path_transmit(now, &mut Vec::new()), None);
        assert_eq!(mobile.pair.b.poll_timeout(), None);
    }
}

#[test]
fn an_answer_by_another_path_or_to_another_question_counts_for_nothing() {
    for configs in with_check(RoutabilityCheck::Basic) {
        let mut mobile = Mobile::new(configs);
        let (now, datagram) = (mobile.now, mobile.client_says(b"!"));
        mobile.pair.b.handle_datagram_from(now, PathId(9), datagram[..].into());
        let mut out = Vec::new();
        let (path, _) = mobile.pair.b.poll_path_transmit(now, &mut out).expect("a challenge");
        assert_eq!(path, PathId(9));
        // The attacker passes it on, and the client's answer comes by the client's path.
        mobile
            .pair
            .a
            .handle_datagram_from(now, PathId(0), out.split_off(0)[..].into());
        mobile.pair.a.poll_path_transmit(now, &mut out).expect("an answer");
        mobile
            .pair
            .b
            .handle_datagram_from(now, PathId(0), out.split_off(0)[..].into());
        assert_eq!((mobile.pair.b.path(), mobile.server_events()), (PathId(0), vec![]));
        assert_eq!(mobile.pair.b.stats().records_unexpected, 1);
    }
}

#[test]
fn challenges_are_answered_once_each_and_few_are_kept() {
    for configs in with_check(RoutabilityCheck::Basic) {
        let mut mobile = Mobile::new(configs);
        let now = mobile.now;
        let mut challenges = Vec::new();
        for path in 1..=20 {
            let datagram = mobile.client_says(b"!");
            mobile
                .pair
                .b
                .handle_datagram_from(now, PathId(path), datagram[..].into());
            let mut out = Vec::new();
            while mobile.pair.b.poll_path_transmit(now, &mut out).is_some() {
                challenges.push(out.split_off(0));
            }
            mobile.now = now + PATIENCE * path as u32;
            mobile.pair.b.handle_timeout(mobile.now);
        }
        let unanswered = challenges.len();
        assert!(unanswered >= 1);
        for challenge in challenges.iter().chain(&challenges) {
            mobile.pair.a.handle_datagram_from(now, PathId(0), challenge[..].into());
        }
        let mut answers = 0;
        while mobile.pair.a.poll_path_transmit(now, &mut Vec::new()).is_some() {
            answers += 1;
        }
        assert_eq!(answers, unanswered.min(8));
    }
}

#[test]
fn without_the_check_the_application_is_told_and_decides() {
    for configs in with_check(RoutabilityCheck::Off) {
        let mut mobile = Mobile::new(configs);
        assert!(!mobile.pair.b.checks_paths());
        let now = mobile.now;
        for _ in 0..3 {
            let datagram = mobile.client_says(b"!");
            mobile.pair.b.handle_datagram_from(now, PathId(4), datagram[..].into());
        }
        assert_eq!(mobile.server_events(), [Event::PathSeen(PathId(4))]);
        assert_eq!(mobile.pair.b.path(), PathId(0));
        assert_eq!(mobile.pair.b.poll_path_transmit(now, &mut Vec::new()), None);
        mobile.pair.b.set_path(PathId(4));
        assert_eq!(mobile.pair.b.path(), PathId(4));
    }
}

fn connected13(ids: [Option<&[u8]>; 2]) -> Pair<Dtls> {
    let [_, configs] = both_versions(ids);
    let mut pair = connected(configs);
    pair.run_for(Duration::from_secs(2));
    pair
}

#[test]
fn more_connection_ids_are_given_asked_for_and_used_on_other_paths() {
    let mut pair = connected13([Some(CLIENT), Some(SERVER)]);
    let now = pair.now();
    assert_eq!(pair.a.request_connection_ids(now, 2), Ok(()));
    assert_eq!(pair.a.request_connection_ids(now, 2), Err(ConnectionIdError::Busy));
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.take_events_b(), [Event::ConnectionIdsWanted(2)]);
    assert_eq!(
        pair.a.request_connection_ids(now, 2),
        Err(ConnectionIdError::Busy),
        "it is not answered yet"
    );
    let now = pair.now();
    let spare = [id(b"one"), id(b"two")];
    assert_eq!(
        pair.b
            .offer_connection_ids(now, &[id(b"four")], ConnectionIdUsage::SPARE),
        Err(ConnectionIdError::BadLength)
    );
    assert_eq!(
        pair.b.offer_connection_ids(now, &[], ConnectionIdUsage::IMMEDIATE),
        Err(ConnectionIdError::BadLength)
    );
    assert_eq!(
        pair.b.offer_connection_ids(now, &spare, ConnectionIdUsage::SPARE),
        Ok(())
    );
    assert_eq!(
        pair.b.offer_connection_ids(now, &spare, ConnectionIdUsage::SPARE),
        Err(ConnectionIdError::Busy)
    );
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.a.remote_connection_id(), Some(SERVER));
    common::assert_healthy(&mut pair);
    for expected in [&b"one"[..], b"two", b"two"] {
        let next = PathId(pair.a.path().0 + 1);
        pair.a.set_path(next);
        assert_eq!(pair.a.remote_connection_id(), Some(expected));
        common::assert_healthy(&mut pair);
    }
    let now = pair.now();
    assert_eq!(
        pair.a
            .offer_connection_ids(now, &[id(b"at once, pal!")], ConnectionIdUsage::IMMEDIATE),
        Ok(())
    );
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.b.remote_connection_id(), Some(&b"at once, pal!"[..]));
    common::assert_healthy(&mut pair);
    // It may ask again now.
    let now = pair.now();
    assert_eq!(pair.a.request_connection_ids(now, 1), Ok(()));
}

#[test]
fn the_last_few_connection_ids_are_recognised_and_few_are_kept_in_reserve() {
    let mut pair = connected13([Some(CLIENT), Some(SERVER)]);
    for round in 0..4u8 {
        let ids: Vec<_> = (0..15).map(|i| id(&[round, i, 0])).collect();
        let now = pair.now();
        assert_eq!(
            pair.b.offer_connection_ids(now, &ids, ConnectionIdUsage::IMMEDIATE),
            Ok(())
        );
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.a.remote_connection_id(), Some(&[round, 0, 0][..]));
        common::assert_healthy(&mut pair);
    }
    for path in 1..=20 {
        pair.a.set_path(PathId(path));
    }
    assert_eq!(pair.a.remote_connection_id(), Some(&[3, 8, 0][..]));
    common::assert_healthy(&mut pair);
}

#[test]
fn there_are_no_more_where_there_are_none() {
    let now = peerline_sim::epoch();
    let of = |pair: &mut Pair<Dtls>| {
        let server: &mut Connection = &mut pair.b;
        let offered = server.offer_connection_ids(now, &[], ConnectionIdUsage::SPARE);
        (offered, server.request_connection_ids(now, 1))
    };
    let (none, unconnected) = (
        Err(ConnectionIdError::NotNegotiated),
        Err(ConnectionIdError::NotConnected),
    );
    assert_eq!(of(&mut connected13([None, None])), (none, none));
    assert_eq!(of(&mut connected13([Some(b""), Some(b"")])), (none, none));
    assert_eq!(of(&mut connected13([Some(CLIENT), Some(b"")])), (none, Ok(())));
    assert_eq!(of(&mut connected13([Some(b""), Some(SERVER)])), (Ok(()), none));
    let [of_12, of_13] = both_versions([Some(CLIENT), Some(SERVER)]);
    assert_eq!(of(&mut connected(of_12)), (unconnected, unconnected));
    assert_eq!(of(&mut pair(of_13)), (unconnected, unconnected));
}
