//! Finding losses: by time, by probes, and not where there are none; and what silence does to the window.

mod common;
use common::attacked::attacked;
use common::*;
use peerline_sctp::CongestionControl;
use peerline_sctp::wire::{Chunk, Packet, Sack};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const CONTROLLERS: [CongestionControl; 3] = [
    CongestionControl::NewReno,
    CongestionControl::Cubic,
    CongestionControl::ModelBased,
];
const RTT: Duration = Duration::from_millis(40);

/// Two associations that know their round trip.
fn warm(control: CongestionControl) -> Pair<Sctp> {
    let mut pair = connected_with(1, &Link::delay(RTT / 2), |config| config.congestion_control = control);
    for _ in 0..10 {
        deliver_all(&mut pair, 10);
        pair.run_for(RTT);
    }
    pair
}

/// Sends so many messages of a packet each. Returns how long it takes until all have arrived.
fn deliver_all(pair: &mut Pair<Sctp>, count: usize) -> Duration {
    let (now, start) = (pair.now(), pair.elapsed());
    for _ in 0..count {
        pair.a
            .send(now, StreamId(1), message(1_100, 2), SendOptions::default())
            .unwrap();
    }
    let mut received = 0;
    pair.expect("all messages", 60 * SECOND, |pair| {
        received += drain(&mut pair.b, 1).len();
        received == count
    });
    pair.elapsed() - start
}

/// Loses packets from `a` by the TSNs in them: `lost` is given each TSN, and how many have been seen with DATA.
fn losing(pair: Pair<Sctp>, mut lost: impl FnMut(u32, usize) -> bool + 'static) -> Pair<Sctp> {
    let lose = Arc::new(AtomicBool::new(false));
    let is_lost = Arc::clone(&lose);
    let mut seen = 0;
    let mut pair =
        pair.tap(move |tapped| {
            let datagram = Bytes::copy_from_slice(tapped.payload);
            let tsn = Packet::decode(&datagram).unwrap().chunks().find_map(|raw| {
                match Chunk::decode(raw.unwrap()).unwrap() {
                    Chunk::Data(data) => Some(data.tsn.0),
                    Chunk::IData(data) => Some(data.tsn.0),
                    _ => None,
                }
            });
            lose.store(tsn.is_some_and(|tsn| lost(tsn, seen)), Ordering::Relaxed);
            seen += usize::from(tsn.is_some());
        });
    pair.a_to_b.link = pair
        .a_to_b
        .link
        .clone()
        .dropping(move |_| is_lost.load(Ordering::Relaxed));
    pair
}

#[test]
fn a_retransmission_that_is_lost_is_found_without_a_timeout() {
    for control in CONTROLLERS {
        let mut unlucky = None;
        let mut left = 3;
        let mut pair = losing(warm(control), move |tsn, index| {
            if index == 3 {
                unlucky = Some(tsn);
            }
            let lost = unlucky == Some(tsn) && left > 0;
            left -= u32::from(lost);
            lost
        });
        let before = pair.a.stats();
        let took = deliver_all(&mut pair, 1000);
        let stats = pair.a.stats();
        assert_eq!(stats.timeouts, before.timeouts, "{control:?}");
        assert_eq!(stats.retransmissions - before.retransmissions, 3, "{control:?}");
        assert!(took < 2 * SECOND, "{control:?}: {took:?}");
    }
}

#[test]
fn a_lost_tail_is_recovered_by_a_probe() {
    for control in CONTROLLERS {
        for lost in 1..=3 {
            let mut pair = losing(warm(control), move |_, index| (10 - lost..10).contains(&index));
            let before = pair.a.stats();
            let took = deliver_all(&mut pair, 10);
            let stats = pair.a.stats();
            assert_eq!(pair.a_to_b.stats().lost, lost as u64, "{control:?}");
            assert_eq!(stats.timeouts, before.timeouts, "{control:?}, {lost} lost");
            // One round trip until the last acknowledgement, two until the probe leaves, one until it has shown what is
            // missing, one more if that is several packets, and half of one. T3-rtx would expire only after seven.
            assert!(took <= RTT * 11 / 2, "{control:?}, {lost} lost: {took:?}");
            let again = stats.retransmissions - before.retransmissions;
            assert!(again <= lost as u64 + 1, "{control:?}, {lost} lost: {again}");
        }
    }
}

#[test]
fn reordering_within_a_quarter_of_the_round_trip_is_no_loss() {
    for control in CONTROLLERS {
        let mut pair = warm(control);
        let mut in_flight: BTreeMap<(Instant, u64), Vec<u8>> = BTreeMap::new();
        let (mut now, mut sent, mut received) = (pair.now(), 0, 0);
        let before = pair.a.stats();
        let end = now + 5 * SECOND;
        while now < end {
            while pair.a.buffered_amount(StreamId(1)) < 1 << 20 {
                let message = message(1_100, 2);
                pair.a.send(now, StreamId(1), message, SendOptions::default()).unwrap();
            }
            // Every seventh of 20 packets a millisecond is overtaken by a hundred.
            for _ in 0..20 {
                let mut packet = Vec::new();
                if pair.a.poll_transmit(now, &mut packet).is_none() {
                    break;
                }
                sent += 1;
                let late = if sent % 7 == 0 { RTT / 8 } else { Duration::ZERO };
                in_flight.insert((now + RTT / 2 + late, sent), packet);
            }
            now += MS;
            while let Some(entry) = in_flight.first_entry().filter(|entry| entry.key().0 <= now) {
                deliver(&mut pair.b, now, &[entry.remove()]);
                received += drain(&mut pair.b, 1).len();
            }
            let answers = packets(&mut pair.b, now);
            deliver(&mut pair.a, now, &answers);
            pair.a.handle_timeout(now);
            pair.b.handle_timeout(now);
        }
        let stats = pair.a.stats();
        assert!(received > 5_000, "{control:?}: {received}");
        // Three packets that overtook another were taken for its loss until the first proved late.
        let again = stats.retransmissions - before.retransmissions;
        assert!(again < 50, "{control:?}: {again} of {received}");
        assert_eq!(stats.timeouts, before.timeouts, "{control:?}");
    }
}

#[test]
fn a_window_decays_when_idle() {
    for control in CONTROLLERS {
        let mut pair = warm(control);
        deliver_all(&mut pair, 1000);
        pair.run_for(RTT);
        let grown = pair.a.stats().congestion_window;
        assert!(grown > 100_000, "{control:?}: {grown}");
        // A retransmission timeout halves it.
        pair.run_for(pair.a.stats().rto + 30 * MS);
        deliver_all(&mut pair, 1);
        let halved = pair.a.stats().congestion_window;
        assert!(
            (grown / 2..=grown / 2 + 2_400).contains(&halved),
            "{control:?}: {grown} {halved}"
        );
        // A long silence takes it back to where it began, and no further.
        pair.run_for(60 * SECOND);
        deliver_all(&mut pair, 1);
        let initial = pair.a.stats().congestion_window;
        assert!((11_000..=14_200).contains(&initial), "{control:?}: {initial}");
    }
}

#[test]
fn a_probe_that_does_not_fit_beside_a_sack_follows_it() {
    let mut target = attacked(|config| config.max_mtu = 0);
    // It knows the round trip, and then nothing is acknowledged any more.
    for count in [1, 4] {
        for _ in 0..count {
            let now = target.now;
            target
                .association
                .send(now, StreamId(1), message(1_160, 1), SendOptions::default())
                .unwrap();
        }
        packets(&mut target.association, target.now);
        target.now += RTT;
        if count == 1 {
            let tsn = target.last_sent.add(1);
            target.write(|out| Sack::write(out, tsn, 1 << 20, [].into_iter(), [].into_iter()));
        }
    }
    // What comes from the peer is acknowledged with the probe, when a SACK leaves for it in any case.
    let data = target.data(0, 1, b"x");
    target.send(&[Chunk::Data(data)]);
    assert!(packets(&mut target.association, target.now).is_empty());
    target.now = target.association.poll_timeout().unwrap();
    target.association.handle_timeout(target.now);
    let sent: Vec<_> = packets(&mut target.association, target.now)
        .iter()
        .map(Vec::len)
        .collect();
    assert_eq!(sent, [12 + 16, 1_188]);
}
