//! [`Pair`]: two machines, a link each way, and virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_wire::{Datagram, Ecn, FiveTuple};

use crate::link::{Link, LinkStats, Wire};
use crate::machine::Machine;
use crate::time::epoch;

/// The way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From `a` to `b`.
    AToB,
    /// From `b` to `a`.
    BToA,
}

/// A datagram as the tap sees it: when it is sent, before the link may lose it.
#[derive(Clone, Copy, Debug)]
pub struct Tapped<'a> {
    /// Since the beginning of virtual time.
    pub at: Duration,
    /// Which way.
    pub direction: Direction,
    /// Its number, counted over both directions: what [`Pair::lose`] takes.
    pub index: u64,
    /// The path as the sender names it.
    pub five_tuple: FiveTuple,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// Two machines joined by a link each way. Time passes only in [`step`](Self::step) and what calls it.
///
/// Addresses are not looked at: whatever `a` sends reaches `b`, with its five-tuple reversed. For hosts with several
/// addresses there is [`Network`](crate::Network).
pub struct Pair<A: Machine, B: Machine = A> {
    /// One end.
    pub a: A,
    /// The other end.
    pub b: B,
    /// The link from `a` to `b`.
    pub a_to_b: Wire,
    /// The link from `b` to `a`.
    pub b_to_a: Wire,
    now: Instant,
    events_a: Vec<A::Event>,
    events_b: Vec<B::Event>,
    /// By arrival, then by the order of sending.
    in_flight: BTreeMap<(Instant, u64), Arriving>,
    arrivals: u64,
    sent: u64,
    lose: BTreeSet<u64>,
    tap: Option<Tap>,
}

type Tap = Box<dyn FnMut(Tapped<'_>)>;

struct Arriving {
    direction: Direction,
    five_tuple: FiveTuple,
    ecn: Option<Ecn>,
    payload: BytesMut,
}

impl<A: Machine, B: Machine> Pair<A, B> {
    /// Two machines joined by perfect links, at [`epoch`]. The luck of links set later follows from `seed`.
    #[must_use]
    pub fn new(seed: u64, a: A, b: B) -> Self {
        Self {
            a,
            b,
            a_to_b: Wire::new(Link::default(), seed.wrapping_mul(2)),
            b_to_a: Wire::new(Link::default(), seed.wrapping_mul(2).wrapping_add(1)),
            now: epoch(),
            events_a: Vec::new(),
            events_b: Vec::new(),
            in_flight: BTreeMap::new(),
            arrivals: 0,
            sent: 0,
            lose: BTreeSet::new(),
            tap: None,
        }
    }

    /// The same link both ways. For different ones set `pair.a_to_b.link` and `pair.b_to_a.link`, at any time.
    #[must_use]
    pub fn links(mut self, link: &Link) -> Self {
        self.a_to_b.link = link.clone();
        self.b_to_a.link = link.clone();
        self
    }

    /// Loses the datagrams with these numbers, counted over both directions in the order of sending from zero. See
    /// [`every_loss`](crate::every_loss).
    #[must_use]
    pub fn lose(mut self, indices: impl IntoIterator<Item = u64>) -> Self {
        self.lose = indices.into_iter().collect();
        self
    }

    /// Shows every datagram that is sent to `tap`, the lost ones too.
    #[must_use]
    pub fn tap(mut self, tap: impl FnMut(Tapped<'_>) + 'static) -> Self {
        self.tap = Some(Box::new(tap));
        self
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How much time has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - epoch()
    }

    /// How many datagrams both have sent, the lost ones included.
    #[must_use]
    pub fn datagrams_sent(&self) -> u64 {
        self.sent
    }

    /// What happened on the link from `a` to `b`, and on the one back.
    #[must_use]
    pub fn stats(&self) -> (LinkStats, LinkStats) {
        (self.a_to_b.stats(), self.b_to_a.stats())
    }

    /// What `a` has reported since the last call.
    pub fn take_events_a(&mut self) -> Vec<A::Event> {
        self.collect_events();
        std::mem::take(&mut self.events_a)
    }

    /// What `b` has reported since the last call.
    pub fn take_events_b(&mut self) -> Vec<B::Event> {
        self.collect_events();
        std::mem::take(&mut self.events_b)
    }

    /// What `a` has reported, without taking it.
    #[must_use]
    pub fn events_a(&self) -> &[A::Event] {
        &self.events_a
    }

    /// What `b` has reported, without taking it.
    #[must_use]
    pub fn events_b(&self) -> &[B::Event] {
        &self.events_b
    }

    /// Lets time run until `done` holds; `false` if it does not within `limit`, or nothing would ever happen again.
    #[must_use = "false means that it did not happen"]
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.exchange();
            if done(self) {
                return true;
            }
            // `done` may have given the machines commands.
            self.exchange();
            if !self.step(end) {
                return done(self);
            }
        }
    }

    /// Like [`run_until`](Self::run_until).
    ///
    /// # Panics
    /// If it does not happen: with `what`, the time, and the counters of the links.
    pub fn expect(&mut self, what: &str, limit: Duration, done: impl FnMut(&mut Self) -> bool) {
        let happened = self.run_until(limit, done);
        assert!(
            happened,
            "waited for {what}, at {:?}\na: {:?}\nb: {:?}\na to b: {:?}\nb to a: {:?}",
            self.elapsed(),
            self.events_a,
            self.events_b,
            self.a_to_b.stats(),
            self.b_to_a.stats()
        );
    }

    /// Lets this much time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.exchange();
        while self.step(end) {}
        self.now = end;
        self.fire();
        self.exchange();
    }

    /// Advances to the next arrival or timeout, but not beyond `end`, and lets both machines react. `false`, and the
    /// time unchanged, if nothing is due until then.
    ///
    /// # Panics
    /// If a machine keeps asking for a time that has come (law 5: no spinning).
    pub fn step(&mut self, end: Instant) -> bool {
        let arrival = self.in_flight.first_key_value().map(|(&(at, _), _)| at);
        let timeouts = [self.a.poll_timeout(), self.b.poll_timeout()];
        let Some(next) = timeouts.into_iter().chain([arrival]).flatten().min() else {
            return false;
        };
        if next > end {
            return false;
        }
        self.now = self.now.max(next);
        while let Some(entry) = self.in_flight.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let Arriving {
                direction,
                five_tuple,
                ecn,
                payload,
            } = entry.remove();
            let datagram = Datagram {
                five_tuple: five_tuple.reversed(),
                ecn,
                payload,
            };
            match direction {
                Direction::AToB => self.b.handle_datagram(self.now, datagram),
                Direction::BToA => self.a.handle_datagram(self.now, datagram),
            }
        }
        self.fire();
        self.exchange();
        let now = self.now;
        for (name, timeout) in [("a", self.a.poll_timeout()), ("b", self.b.poll_timeout())] {
            assert!(
                timeout.is_none_or(|at| at > now),
                "law 5: {name} spins at {:?}",
                self.elapsed()
            );
        }
        true
    }

    /// Sends what the machines want to send now, without letting time pass. Call it after giving commands only if the
    /// datagrams must leave before [`step`](Self::step).
    pub fn exchange(&mut self) {
        self.transmit(Direction::AToB);
        self.transmit(Direction::BToA);
        self.collect_events();
    }

    fn fire(&mut self) {
        if self.a.poll_timeout().is_some_and(|at| at <= self.now) {
            self.a.handle_timeout(self.now);
        }
        if self.b.poll_timeout().is_some_and(|at| at <= self.now) {
            self.b.handle_timeout(self.now);
        }
    }

    fn transmit(&mut self, direction: Direction) {
        let mut out = Vec::new();
        for count in 0.. {
            assert!(
                count < 1_000_000,
                "{direction:?}: a machine sends without end at {:?}",
                self.elapsed()
            );
            out.clear();
            let polled = match direction {
                Direction::AToB => self.a.poll_transmit(self.now, &mut out),
                Direction::BToA => self.b.poll_transmit(self.now, &mut out),
            };
            let Some(transmit) = polled else { break };
            assert_eq!(transmit.len, out.len(), "law 3: the length is what was appended");
            let index = self.sent;
            self.sent += 1;
            if let Some(tap) = &mut self.tap {
                let at = self.now - epoch();
                tap(Tapped {
                    at,
                    direction,
                    index,
                    five_tuple: transmit.five_tuple,
                    payload: &out,
                });
            }
            let wire = match direction {
                Direction::AToB => &mut self.a_to_b,
                Direction::BToA => &mut self.b_to_a,
            };
            if self.lose.contains(&index) {
                wire.lose(&out);
                continue;
            }
            for (at, payload) in wire.send(self.now, &out) {
                let arriving = Arriving {
                    direction,
                    five_tuple: transmit.five_tuple,
                    ecn: transmit.ecn,
                    payload,
                };
                self.in_flight.insert((at, self.arrivals), arriving);
                self.arrivals += 1;
            }
        }
    }

    fn collect_events(&mut self) {
        self.events_a.extend(std::iter::from_fn(|| self.a.poll_event()));
        self.events_b.extend(std::iter::from_fn(|| self.b.poll_event()));
    }
}
