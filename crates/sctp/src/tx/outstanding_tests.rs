//! Acknowledgements against a plain model, losses, and what is given up.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Ppid;
use crate::tx::acknowledge::{Changes, ImpossibleSack, difference};
use crate::tx::congestion::delivery::Delivery;
use crate::wire::{GapBlock, SkippedMessages};

const PACKET: usize = 1176;

/// A queue whose TSNs wrap after ten.
fn outstanding() -> Outstanding {
    Outstanding::new(FIRST, true, PACKET)
}

const FIRST: Serial32 = Serial32(u32::MAX - 9);

fn now() -> Instant {
    peerline_sim::epoch()
}

fn stamp() -> Stamp {
    Delivery::new().stamp(now(), 0)
}

fn fragment(len: usize, limit: Limit, beginning: bool, ending: bool) -> Fragment {
    Fragment {
        stream: StreamId(1),
        number: Serial32(7),
        fsn: 0,
        interleaved: false,
        ppid: Ppid::BINARY,
        unordered: false,
        beginning,
        ending,
        limit,
        payload: Bytes::from(vec![0; len]),
    }
}

fn send(outstanding: &mut Outstanding, count: usize, limit: Limit) {
    for _ in 0..count {
        outstanding.push(&stamp(), fragment(1160, limit, true, true));
    }
}

/// A SACK: the cumulative TSN as a count of fragments, and blocks.
fn sack(outstanding: &mut Outstanding, cumulative: u32, blocks: &[(u16, u16)]) -> Changes {
    let blocks = blocks.iter().map(|&(start, end)| GapBlock { start, end });
    let recovering = false;
    outstanding
        .acknowledge(now(), FIRST.sub(1).add(cumulative), blocks, recovering)
        .unwrap()
}

fn retransmitted(outstanding: &mut Outstanding) -> Vec<u32> {
    let mut abandoned = Abandoned::default();
    std::iter::from_fn(|| {
        let data = outstanding.retransmit(&stamp(), PACKET, &mut abandoned)?;
        Some(FIRST.distance_to(data.tsn) as u32)
    })
    .collect()
}

#[test]
fn three_indications_make_a_loss_and_it_is_found_once() {
    let mut outstanding = outstanding();
    send(&mut outstanding, 20, Limit::Never);
    // The first fragment and the fifth are missing.
    assert_eq!(sack(&mut outstanding, 0, &[(2, 2)]).losses.chunks, 0);
    assert_eq!(sack(&mut outstanding, 0, &[(2, 3)]).losses.chunks, 0);
    assert_eq!(sack(&mut outstanding, 0, &[(2, 4)]).losses.chunks, 1);
    assert_eq!(sack(&mut outstanding, 0, &[(2, 4), (6, 6)]).losses.chunks, 0);
    assert_eq!(sack(&mut outstanding, 0, &[(2, 4), (6, 7)]).losses.chunks, 0);
    assert_eq!(sack(&mut outstanding, 0, &[(2, 4), (6, 8)]).losses.chunks, 1);
    assert_eq!(retransmitted(&mut outstanding), [0, 4]);
    // Not again, however often it is missed.
    for end in 9..20 {
        assert_eq!(sack(&mut outstanding, 0, &[(2, 4), (6, end)]).losses.chunks, 0);
    }
    assert_eq!(retransmitted(&mut outstanding), [0u32; 0]);
    assert_eq!(sack(&mut outstanding, 20, &[]).newly_acked, 3 * 1176);
    assert!(outstanding.is_empty() && outstanding.in_flight() == 0 && outstanding.held == 0);
}

#[test]
fn one_sack_for_a_batch_of_packets_speaks_for_each() {
    let mut outstanding = outstanding();
    send(&mut outstanding, 20, Limit::Never);
    assert_eq!(sack(&mut outstanding, 0, &[(2, 3)]).losses.chunks, 0, "two packets");
    let mut outstanding = self::outstanding();
    send(&mut outstanding, 20, Limit::Never);
    assert_eq!(
        sack(&mut outstanding, 0, &[(2, 3), (5, 10)]).losses.chunks,
        2,
        "two missing, six behind them"
    );
}

#[test]
fn repeated_sacks_are_not_indications() {
    let mut outstanding = outstanding();
    send(&mut outstanding, 5, Limit::Never);
    for _ in 0..10 {
        assert_eq!(sack(&mut outstanding, 0, &[(2, 2)]).losses.chunks, 0);
    }
}

#[test]
fn what_a_receiver_takes_back_is_in_flight_again() {
    let mut outstanding = outstanding();
    send(&mut outstanding, 5, Limit::Never);
    sack(&mut outstanding, 1, &[(2, 3)]);
    assert_eq!(outstanding.in_flight(), 2 * 1176);
    sack(&mut outstanding, 1, &[(3, 3)]);
    assert_eq!(outstanding.in_flight(), 3 * 1176);
    outstanding.on_timeout(now());
    assert_eq!(retransmitted(&mut outstanding), [1, 2, 4]);
}

#[test]
fn what_a_shutdown_contradicts_is_in_flight_again() {
    let mut outstanding = outstanding();
    send(&mut outstanding, 5, Limit::Never);
    sack(&mut outstanding, 0, &[(3, 5)]);
    // Had the third arrived, the cumulative TSN would be behind it.
    outstanding.on_cumulative(now(), FIRST.add(1)).unwrap();
    assert_eq!(outstanding.in_flight(), 3 * 1176);
    outstanding.on_timeout(now());
    assert_eq!(retransmitted(&mut outstanding), [2, 3, 4]);
}

#[test]
fn an_old_sack_changes_nothing_and_an_impossible_one_is_an_error() {
    let mut outstanding = outstanding();
    send(&mut outstanding, 5, Limit::Never);
    sack(&mut outstanding, 3, &[]);
    let changes = sack(&mut outstanding, 1, &[(2, 4)]);
    assert_eq!(
        (changes.newly_acked, changes.advanced, outstanding.in_flight()),
        (0, false, 2 * 1176)
    );
    let beyond = outstanding.acknowledge(now(), FIRST.add(5), std::iter::empty(), false);
    assert_eq!(beyond.unwrap_err(), ImpossibleSack);
    let block = GapBlock { start: 2, end: 3 };
    let beyond = outstanding.acknowledge(now(), FIRST.add(2), std::iter::once(block), false);
    assert_eq!(beyond.unwrap_err(), ImpossibleSack);
}

#[test]
fn the_round_trip_is_that_of_a_fragment_sent_once() {
    let mut outstanding = outstanding();
    let later = |ms| now() + Duration::from_millis(ms);
    send(&mut outstanding, 3, Limit::Never);
    let acknowledge = |outstanding: &mut Outstanding, at, count| {
        outstanding
            .acknowledge(at, FIRST.sub(1).add(count), std::iter::empty(), false)
            .unwrap()
            .rtt
    };
    assert_eq!(
        acknowledge(&mut outstanding, later(30), 1),
        Some(Duration::from_millis(30))
    );
    assert_eq!(
        acknowledge(&mut outstanding, later(40), 2),
        Some(Duration::from_millis(40))
    );
    send(&mut outstanding, 1, Limit::Never);
    outstanding.on_timeout(now());
    retransmitted(&mut outstanding);
    assert_eq!(acknowledge(&mut outstanding, later(50), 4), None, "Karn's rule");
}

#[test]
fn a_message_is_abandoned_as_a_whole() {
    let mut outstanding = outstanding();
    send(&mut outstanding, 1, Limit::Never);
    for index in 0..3 {
        outstanding.push(&stamp(), fragment(1160, Limit::Retransmits(0), index == 0, index == 2));
    }
    send(&mut outstanding, 1, Limit::Never);
    // The middle fragment is lost, the others have arrived.
    sack(&mut outstanding, 1, &[(3, 3)]);
    sack(&mut outstanding, 2, &[(2, 2)]);
    let abandoned = outstanding.on_timeout(now());
    assert_eq!((abandoned.messages, &abandoned.unfinished[..]), (1, &[][..]));
    assert!(outstanding.advance_over_abandoned());
    let (tsn, skipped) = outstanding.forward_tsn(10);
    assert_eq!(tsn, FIRST.add(3));
    assert_eq!(
        skipped,
        [SkippedMessages {
            stream: StreamId(1),
            unordered: false,
            mid: Serial32(7)
        }]
    );
    assert_eq!(retransmitted(&mut outstanding), [4]);
    sack(&mut outstanding, 5, &[]);
    assert!(!outstanding.owes_forward_tsn() && outstanding.is_empty());
}

#[test]
fn an_unfinished_message_gets_a_tsn_for_the_rest() {
    // Everything sent of it is still there.
    let mut outstanding = outstanding();
    outstanding.push(&stamp(), fragment(1160, Limit::Retransmits(0), true, false));
    let abandoned = outstanding.on_timeout(now());
    assert_eq!(abandoned.unfinished, [StreamId(1)]);
    outstanding.advance_over_abandoned();
    assert_eq!(outstanding.forward_tsn(10).0, FIRST.add(1));
    assert_eq!(outstanding.next_tsn(), FIRST.add(2));

    // Everything sent of it has been acknowledged and forgotten.
    let mut outstanding = self::outstanding();
    outstanding.push(&stamp(), fragment(1160, Limit::Time(now()), true, false));
    sack(&mut outstanding, 1, &[]);
    let abandoned = outstanding.abandon_unfinished(fragment(0, Limit::Time(now()), false, true));
    assert_eq!(abandoned.unfinished, [StreamId(1)]);
    outstanding.advance_over_abandoned();
    assert_eq!(
        outstanding.forward_tsn(10),
        (
            FIRST.add(1),
            vec![SkippedMessages {
                stream: StreamId(1),
                unordered: false,
                mid: Serial32(7)
            }]
        )
    );
    sack(&mut outstanding, 2, &[]);
    assert!(outstanding.is_empty());
}

#[test]
fn without_partial_reliability_nothing_is_given_up() {
    let mut outstanding = Outstanding::new(FIRST, false, PACKET);
    send(&mut outstanding, 2, Limit::Retransmits(0));
    assert_eq!(outstanding.on_timeout(now()).messages, 0);
    assert_eq!(retransmitted(&mut outstanding), [0, 1]);
}

#[test]
fn a_forward_tsn_stops_short_of_too_many_streams() {
    let mut outstanding = outstanding();
    for stream in 0..5 {
        let fragment = fragment(10, Limit::Retransmits(0), true, true);
        outstanding.push(
            &stamp(),
            Fragment {
                stream: StreamId(stream),
                ..fragment
            },
        );
    }
    outstanding.on_timeout(now());
    outstanding.advance_over_abandoned();
    let (tsn, skipped) = outstanding.forward_tsn(3);
    assert_eq!((tsn, skipped.len()), (FIRST.add(2), 3));
}

proptest! {
    /// Random honest SACKs: the queue agrees with a set of what has arrived.
    #[test]
    fn agrees_with_a_set(arrivals in proptest::collection::vec(0u32..40, 1..80)) {
        let mut outstanding = outstanding();
        send(&mut outstanding, 40, Limit::Never);
        let mut arrived = BTreeSet::new();
        let mut acked = 0;
        for tsn in arrivals {
            arrived.insert(tsn);
            let cumulative = (0..).find(|tsn| !arrived.contains(tsn)).unwrap_or(0);
            let mut blocks: Vec<(u16, u16)> = Vec::new();
            for &tsn in arrived.range(cumulative..) {
                let offset = (tsn - cumulative + 1) as u16;
                match blocks.last_mut() {
                    Some((_, end)) if *end + 1 == offset => *end = offset,
                    _ => blocks.push((offset, offset)),
                }
            }
            acked += sack(&mut outstanding, cumulative, &blocks).newly_acked;
            prop_assert_eq!(acked, arrived.len() * 1176);
            retransmitted(&mut outstanding);
            prop_assert_eq!(outstanding.in_flight(), (40 - arrived.len()) * 1176);
            prop_assert_eq!(outstanding.chunks_in_flight(), 40 - arrived.len());
        }
    }

    #[test]
    fn difference_is_that_of_sets(a in ranges(), b in ranges()) {
        let mut found = BTreeSet::new();
        difference(FIRST, &a, &b, |start, end| found.extend(numbers(&[(start, end)])));
        let expected: BTreeSet<_> = numbers(&a).difference(&numbers(&b)).copied().collect();
        prop_assert_eq!(found, expected);
    }
}

fn ranges() -> impl Strategy<Value = Vec<(Serial32, Serial32)>> {
    proptest::collection::vec((1u32..5, 0u32..5), 0..8).prop_map(|steps| {
        let mut at = 0;
        let mut ranges = Vec::new();
        for (gap, length) in steps {
            ranges.push((FIRST.add(at + gap), FIRST.add(at + gap + length)));
            at += gap + length + 1;
        }
        ranges
    })
}

fn numbers(ranges: &[(Serial32, Serial32)]) -> BTreeSet<u32> {
    ranges
        .iter()
        .flat_map(|&(start, end)| FIRST.distance_to(start) as u32..=FIRST.distance_to(end) as u32)
        .collect()
}
