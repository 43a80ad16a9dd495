//! [`Link`]: what one direction of a path does to datagrams; [`Wire`]: a link at work.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::time::rng;

/// One direction of a path. The default is perfect: no delay, no loss, no limit.
///
/// Probabilities are between 0 and 1 and are drawn for each datagram on its own.
#[derive(Clone)]
pub struct Link {
    /// Propagation delay of every datagram.
    pub delay: Duration,
    /// Additional delay, uniform between zero and this. Jitter alone does not reorder: a datagram never arrives before
    /// the one sent before it.
    pub jitter: Duration,
    /// The probability that a datagram is lost.
    pub loss: f64,
    /// The probability that a datagram is held back, by up to three times (`delay` + `jitter` + 1 ms), while later ones pass.
    pub reorder: f64,
    /// The probability that a datagram arrives twice; the copy is delayed as if reordered.
    pub duplicate: f64,
    /// The probability that one to three bits of a datagram are flipped.
    pub corrupt: f64,
    /// Bits per second. `None` is unlimited.
    pub rate: Option<u64>,
    /// How many bytes wait while the link is busy; more are lost. Matters only with a `rate`.
    pub queue: usize,
    /// The longest datagram that passes, in bytes of payload; longer ones are lost.
    pub mtu: usize,
    /// A script: the nth datagram (from zero) is lost if this says so.
    pub drop: Option<Arc<dyn Fn(u64) -> bool + Send + Sync>>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            reorder: 0.0,
            duplicate: 0.0,
            corrupt: 0.0,
            rate: None,
            queue: 128 * 1024,
            mtu: 65_535,
            drop: None,
        }
    }
}

impl Link {
    /// A link with this delay and nothing else.
    #[must_use]
    pub fn delay(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }

    /// The same link, losing the datagrams for which `drop` holds (the first has index zero).
    #[must_use]
    pub fn dropping(mut self, drop: impl Fn(u64) -> bool + Send + Sync + 'static) -> Self {
        self.drop = Some(Arc::new(drop));
        self
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            delay,
            jitter,
            loss,
            reorder,
            duplicate,
            corrupt,
            rate,
            queue,
            mtu,
            drop,
        } = self;
        write!(
            f,
            "Link {{ {delay:?} +{jitter:?}, loss {loss}, reorder {reorder}, duplicate {duplicate}, corrupt {corrupt}, \
             {rate:?} bit/s, queue {queue}, mtu {mtu}, scripted {} }}",
            drop.is_some()
        )
    }
}

/// What has happened on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Datagrams handed to the link.
    pub sent: u64,
    /// Bytes handed to the link.
    pub bytes_sent: u64,
    /// Datagrams that will arrive or have, copies included.
    pub delivered: u64,
    /// Bytes that will arrive or have, copies included.
    pub bytes_delivered: u64,
    /// Datagrams lost by chance or by script.
    pub lost: u64,
    /// Datagrams lost because the queue was full.
    pub overflowed: u64,
    /// Datagrams lost because they were longer than the MTU.
    pub too_long: u64,
    /// Datagrams that were held back.
    pub reordered: u64,
    /// Datagrams that arrive twice.
    pub duplicated: u64,
    /// Datagrams with flipped bits.
    pub corrupted: u64,
}

/// A [`Link`] at work: it takes datagrams and says when which bytes arrive.
#[derive(Debug)]
pub struct Wire {
    /// What the link does; may be changed at any time.
    pub link: Link,
    stats: LinkStats,
    rng: StdRng,
    /// When the last bit of what is queued leaves.
    busy_until: Option<Instant>,
    /// When the newest datagram that was not held back arrives.
    newest_arrival: Option<Instant>,
}

impl Wire {
    /// A link whose chances follow from `seed`.
    #[must_use]
    pub fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            stats: LinkStats::default(),
            rng: rng(seed),
            busy_until: None,
            newest_arrival: None,
        }
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Sends a datagram. Gives each copy that arrives (none, one or two) with the time of its arrival.
    pub fn send(&mut self, now: Instant, payload: &[u8]) -> impl Iterator<Item = (Instant, BytesMut)> + use<> {
        let copies = self.arrivals(now, payload);
        for (_, payload) in copies.iter().flatten() {
            self.stats.delivered += 1;
            self.stats.bytes_delivered += payload.len() as u64;
        }
        copies.into_iter().flatten()
    }

    /// Loses a datagram, whatever the link would have done with it.
    pub(crate) fn lose(&mut self, payload: &[u8]) {
        self.stats.sent += 1;
        self.stats.bytes_sent += payload.len() as u64;
        self.stats.lost += 1;
    }

    fn arrivals(&mut self, now: Instant, payload: &[u8]) -> [Option<(Instant, BytesMut)>; 2] {
        let index = self.stats.sent;
        self.stats.sent += 1;
        self.stats.bytes_sent += payload.len() as u64;
        if payload.len() > self.link.mtu {
            self.stats.too_long += 1;
            return [None, None];
        }
        // The draws are made for every datagram, so that losing one by script does not change the luck of the rest.
        let lost = self.chance(self.link.loss);
        let held_back = self.chance(self.link.reorder);
        let doubled = self.chance(self.link.duplicate);
        let damaged = self.chance(self.link.corrupt);
        let jitter = self.link.jitter.mul_f64(self.rng.random());
        let (hold, copy_hold) = (self.hold(), self.hold());

        let Some(leaves) = self.serialize(now, payload.len()) else {
            self.stats.overflowed += 1;
            return [None, None];
        };
        if lost || self.link.drop.as_ref().is_some_and(|drop| drop(index)) {
            self.stats.lost += 1;
            return [None, None];
        }
        let mut payload = BytesMut::from(payload);
        if damaged && !payload.is_empty() {
            self.stats.corrupted += 1;
            self.flip_bits(&mut payload);
        }
        let mut arrives = leaves + self.link.delay + jitter;
        if held_back {
            self.stats.reordered += 1;
            arrives += hold;
        } else {
            arrives = self.newest_arrival.map_or(arrives, |newest| newest.max(arrives));
            self.newest_arrival = Some(arrives);
        }
        let copy = doubled.then(|| {
            self.stats.duplicated += 1;
            (arrives + copy_hold, payload.clone())
        });
        [Some((arrives, payload)), copy]
    }

    /// When a datagram of `len` bytes has left, or `None` if the queue is full.
    fn serialize(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.link.rate else { return Some(now) };
        let rate = rate.max(1) as f64;
        let starts = self.busy_until.map_or(now, |busy| busy.max(now));
        let queued = starts.duration_since(now).as_secs_f64() * rate / 8.0;
        if queued > 0.0 && queued + len as f64 > self.link.queue as f64 {
            return None;
        }
        let leaves = starts + Duration::from_secs_f64(len as f64 * 8.0 / rate);
        self.busy_until = Some(leaves);
        Some(leaves)
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.rng.random::<f64>() < probability
    }

    /// How long a datagram is held back that others overtake.
    fn hold(&mut self) -> Duration {
        let longest = (self.link.delay + self.link.jitter + Duration::from_millis(1)) * 3;
        longest.mul_f64(self.rng.random())
    }

    fn flip_bits(&mut self, payload: &mut [u8]) {
        for _ in 0..self.rng.random_range(1..=3) {
            let at = self.rng.random_range(0..payload.len());
            payload[at] ^= 1 << self.rng.random_range(0..8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::epoch;

    fn send_many(link: Link, seed: u64, count: u32, every: Duration) -> (Vec<(Duration, BytesMut)>, LinkStats) {
        let mut wire = Wire::new(link, seed);
        let mut arrived = Vec::new();
        for index in 0..count {
            let mut payload = [0; 100];
            payload[..4].copy_from_slice(&index.to_be_bytes());
            arrived.extend(
                wire.send(epoch() + every * index, &payload)
                    .map(|(at, payload)| (at - epoch(), payload)),
            );
        }
        (arrived, wire.stats())
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_perfect_link_delivers_at_once_and_in_order() {
        let (arrived, stats) = send_many(Link::default(), 0, 10, MS);
        assert_eq!(arrived.len(), 10);
        assert_eq!((stats.delivered, stats.lost, stats.bytes_delivered), (10, 0, 1000));
        assert!(
            arrived
                .iter()
                .enumerate()
                .all(|(index, (at, _))| *at == MS * index as u32)
        );
    }

    #[test]
    fn loss_duplication_and_corruption_happen_as_often_as_asked() {
        let link = Link {
            loss: 0.1,
            duplicate: 0.2,
            corrupt: 0.3,
            reorder: 0.05,
            ..Link::default()
        };
        let (arrived, stats) = send_many(link, 1, 10_000, MS);
        assert_eq!(arrived.len() as u64, stats.delivered);
        assert!((900..1100).contains(&stats.lost), "{stats:?}");
        assert!((1650..1950).contains(&stats.duplicated), "{stats:?}");
        assert!((2500..2900).contains(&stats.corrupted), "{stats:?}");
        assert!((380..520).contains(&stats.reordered), "{stats:?}");
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jittery = Link {
            delay: 10 * MS,
            jitter: 50 * MS,
            ..Link::default()
        };
        let (arrived, _) = send_many(jittery.clone(), 2, 500, MS);
        assert!(arrived.is_sorted_by_key(|(at, _)| *at));
        assert!(arrived.iter().enumerate().all(|(index, (at, _))| {
            let (sent, at) = (MS * index as u32, *at);
            at >= sent + 10 * MS && at <= sent + 60 * MS
        }));
        let (arrived, _) = send_many(
            Link {
                reorder: 0.3,
                ..jittery
            },
            2,
            500,
            MS,
        );
        assert!(!arrived.is_sorted_by_key(|(at, _)| *at));
    }

    #[test]
    fn the_rate_is_kept_and_the_queue_overflows() {
        // 100 bytes a millisecond into 400 kbit/s = 50 bytes a millisecond.
        let link = Link {
            rate: Some(400_000),
            queue: 1000,
            ..Link::default()
        };
        let (arrived, stats) = send_many(link, 3, 1000, MS);
        let (last, _) = arrived.last().expect("some arrive");
        let rate = stats.bytes_delivered as f64 / last.as_secs_f64();
        assert!((49_000.0..51_000.0).contains(&rate), "{rate} bytes a second");
        assert!(stats.overflowed > 450, "{stats:?}");
        assert!(
            *last < Duration::from_millis(1000 + 20 + 2),
            "no more than the queue waits: {last:?}"
        );
    }

    #[test]
    fn datagrams_over_the_mtu_are_lost() {
        let (arrived, stats) = send_many(
            Link {
                mtu: 99,
                ..Link::default()
            },
            4,
            3,
            MS,
        );
        assert!(arrived.is_empty());
        assert_eq!(stats.too_long, 3);
    }

    #[test]
    fn a_script_loses_the_datagrams_it_names() {
        let (arrived, stats) = send_many(Link::default().dropping(|index| index == 1 || index == 3), 5, 5, MS);
        let left: Vec<u8> = arrived.iter().map(|(_, payload)| payload[3]).collect();
        assert_eq!(left, [0, 2, 4]);
        assert_eq!(stats.lost, 2);
    }

    #[test]
    fn the_same_seed_gives_the_same_luck() {
        let link = || Link {
            delay: MS,
            jitter: 20 * MS,
            loss: 0.2,
            reorder: 0.2,
            duplicate: 0.2,
            corrupt: 0.2,
            rate: Some(1_000_000),
            ..Link::default()
        };
        assert_eq!(send_many(link(), 6, 200, MS), send_many(link(), 6, 200, MS));
        assert_ne!(send_many(link(), 6, 200, MS), send_many(link(), 7, 200, MS));
    }
}
