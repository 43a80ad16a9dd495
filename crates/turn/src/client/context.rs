//! [`Context`]: time, randomness, news and counters of a client.

use std::collections::VecDeque;
use std::time::Instant;

use peerline_stun::TransactionId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Event, Limits, Stats, Timings};

#[derive(Debug)]
pub(super) struct Context {
    /// The latest time we were given.
    now: Option<Instant>,
    rng: StdRng,
    events: VecDeque<Event>,
    pub(super) limits: Limits,
    pub(super) timings: Timings,
    pub(super) stats: Stats,
}

impl Context {
    pub(super) fn new(rng_seed: [u8; 32], limits: Limits, timings: Timings) -> Self {
        Self {
            now: None,
            rng: StdRng::from_seed(rng_seed),
            events: VecDeque::new(),
            limits,
            timings,
            stats: Stats::default(),
        }
    }

    /// A time we are given: the latest counts.
    pub(super) fn advance(&mut self, now: Instant) -> Instant {
        *self.now.insert(self.now.map_or(now, |latest| latest.max(now)))
    }

    /// The latest time we were given; `None` before the first.
    pub(super) fn now(&self) -> Option<Instant> {
        self.now
    }

    pub(super) fn transaction_id(&mut self) -> TransactionId {
        TransactionId(self.rng.random())
    }

    pub(super) fn push(&mut self, event: Event) {
        if self.events.len() >= self.limits.max_events.max(1) {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
