//! Where virtual time begins, and where randomness comes from.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The instant at which virtual time begins: the same for the whole process, and far enough from the beginning of the
/// system's clock that a test may subtract hours.
#[must_use]
pub fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    // An `Instant` can only be had from the clock. It is read once, and nothing compares it with the clock again.
    #[allow(clippy::disallowed_methods)]
    *EPOCH.get_or_init(|| Instant::now() + Duration::from_secs(24 * 60 * 60))
}

/// A generator of random numbers for `seed`.
#[must_use]
pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// 32 bytes for a machine's `Config::rng_seed`. `who` tells the machines of one test apart.
#[must_use]
pub fn seed_bytes(seed: u64, who: u64) -> [u8; 32] {
    rng(seed ^ who.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).random()
}

/// Runs `test` with each seed, and says which one failed.
///
/// # Panics
/// As `test` does; the seed is printed after its message.
pub fn for_each_seed(seeds: Range<u64>, mut test: impl FnMut(u64)) {
    for seed in seeds {
        let _named = NameOnPanic("seed", &seed);
        test(seed);
    }
}

/// Prints what was being tried when a panic passes by.
pub(crate) struct NameOnPanic<'a>(pub(crate) &'static str, pub(crate) &'a dyn std::fmt::Debug);

impl Drop for NameOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with {} {:?}", self.0, self.1);
        }
    }
}

/// Every choice of at most `most` of the first `among` datagrams, the empty one first. Give each to [`Pair::lose`]:
/// there the datagrams of both directions are counted together, in the order in which they are sent.
///
/// ```
/// let choices: Vec<Vec<u64>> = peerline_sim::every_loss(2, 3).collect();
/// assert_eq!(choices, [vec![], vec![0], vec![0, 1], vec![0, 2], vec![1], vec![1, 2], vec![2]]);
/// ```
///
/// [`Pair::lose`]: crate::Pair::lose
pub fn every_loss(most: usize, among: u64) -> impl Iterator<Item = Vec<u64>> {
    // In lexicographic order: extend the last choice if it may grow, else move its last member on.
    std::iter::successors(Some(Vec::new()), move |last: &Vec<u64>| {
        let mut next = last.clone();
        let follower = last.last().map_or(0, |&member| member + 1);
        if last.len() < most && follower < among {
            next.push(follower);
            return Some(next);
        }
        while let Some(member) = next.pop() {
            if member + 1 < among {
                next.push(member + 1);
                return Some(next);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_lists_each_choice_once() {
        let choices: std::collections::BTreeSet<_> = every_loss(2, 10).collect();
        assert_eq!(choices.len(), 1 + 10 + 45);
        assert_eq!(every_loss(2, 10).count(), choices.len());
        assert_eq!(every_loss(0, 10).count(), 1);
        assert_eq!(every_loss(3, 0).count(), 1);
    }

    #[test]
    fn seeds_differ_by_who_asks() {
        assert_ne!(seed_bytes(1, 0), seed_bytes(1, 1));
        assert_eq!(seed_bytes(1, 0), seed_bytes(1, 0));
    }

    #[test]
    #[should_panic(expected = "at 3")]
    fn a_failing_seed_passes_its_panic_on() {
        for_each_seed(0..9, |seed| assert!(seed < 3, "at {seed}"));
    }
}
