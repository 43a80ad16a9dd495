//! Token buckets in given time: what an allocation may relay, and what strangers may be sent.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ahash::RandomState;

use super::config::{Bandwidth, Strangers};

/// A bucket of bytes that fills by the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    bytes: u64,
    filled_at: Instant,
}

impl Bucket {
    pub(super) fn full(now: Instant, limit: Bandwidth) -> Self {
        Self {
            bytes: limit.burst,
            filled_at: now,
        }
    }

    /// Takes this many bytes; false if there are not so many.
    pub(super) fn take(&mut self, now: Instant, limit: Bandwidth, bytes: u64) -> bool {
        self.fill(now, limit);
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => false,
        }
    }

    /// Adds what the time since has brought, and forgets no part of a byte.
    fn fill(&mut self, now: Instant, limit: Bandwidth) {
        let passed = now.saturating_duration_since(self.filled_at).as_nanos();
        let rate = u128::from(limit.bytes_per_second);
        let brought = passed.saturating_mul(rate) / NANOS;
        if brought == 0 {
            return;
        }
        let room = u128::from(limit.burst.saturating_sub(self.bytes));
        if brought >= room {
            self.bytes = self.bytes.max(limit.burst);
            self.filled_at = now;
        } else {
            // Less than `room`, which is 64 bits.
            self.bytes += brought as u64;
            self.filled_at += Duration::from_nanos((brought * NANOS).div_ceil(rate) as u64);
        }
    }
}

const NANOS: u128 = 1_000_000_000;

/// How much more may be sent to each address than came from it. A table of a fixed size: addresses that fall on the same
/// place, by a hash that nobody outside can foresee, share it.
pub(super) struct StrangerTable {
    limit: Strangers,
    places: Vec<Bucket>,
    hasher: RandomState,
}

impl StrangerTable {
    pub(super) fn new(limit: Strangers, now: Instant, hasher: RandomState) -> Self {
        let places = vec![Bucket::full(now, bandwidth(limit)); limit.addresses.max(1)];
        Self { limit, places, hasher }
    }

    /// Takes what a response to this address is longer than its request; false if that is too much.
    pub(super) fn take(&mut self, now: Instant, address: IpAddr, excess: usize) -> bool {
        let limit = bandwidth(self.limit);
        self.place(address).take(now, limit, excess as u64)
    }

    /// A request from there was authentic: whoever is there, receives what we send.
    pub(super) fn forgive(&mut self, now: Instant, address: IpAddr) {
        let full = Bucket::full(now, bandwidth(self.limit));
        *self.place(address) = full;
    }

    fn place(&mut self, address: IpAddr) -> &mut Bucket {
        let network = match address {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            // A network of 64 bits has one owner.
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64 | 1 << 63,
        };
        let index = self.hasher.hash_one(network) % self.places.len() as u64;
        &mut self.places[index as usize]
    }
}

fn bandwidth(limit: Strangers) -> Bandwidth {
    Bandwidth {
        bytes_per_second: limit.bytes_per_second.into(),
        burst: limit.burst.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerline_sim::epoch;

    #[test]
    fn what_is_taken_is_the_rate_and_one_burst() {
        let limit = Bandwidth {
            bytes_per_second: 1_000_003,
            burst: 10_000,
        };
        for step in [1, 333, 1_000, 7_919, 50_000] {
            let (mut bucket, mut taken) = (Bucket::full(epoch(), limit), 0);
            let mut now = epoch();
            while now < epoch() + Duration::from_secs(2) {
                while bucket.take(now, limit, 100) {
                    taken += 100;
                }
                now += Duration::from_micros(step);
            }
            let least = if step < 9_000 { 2_009_000 - step } else { 0 };
            assert!((least..=2_010_206).contains(&taken), "{step}: {taken}");
        }
    }

    #[test]
    fn a_rate_of_nothing_gives_the_burst_once() {
        let limit = Bandwidth {
            bytes_per_second: 0,
            burst: 10,
        };
        let mut bucket = Bucket::full(epoch(), limit);
        assert!(bucket.take(epoch(), limit, 10));
        assert!(!bucket.take(epoch() + Duration::from_secs(1_000_000), limit, 1));
        assert!(bucket.take(epoch(), limit, 0));
    }
}
