//! The laws that every machine obeys, checked under random calls, random networks and hostile input.
//!
//! 1. *Consistent after every call.* Polls may come in any order or not at all.
//! 2. *Input never fails.* Garbage, replays and forgeries are counted and dropped; they neither panic nor end a healthy
//!    connection.
//! 3. *Output appends.* Exactly one datagram after what `out` holds, or `None` and `out` untouched; never over the MTU.
//! 4. *Time is given.* A backwards `now` counts as the latest seen.
//! 5. *No spinning.* After `handle_timeout(now)` and `poll_transmit(now)` until `None`, `poll_timeout()` is later than
//!    `now`, or `None`.
//! 6. *Events are news, payload is pulled.* `Readable` fires when a queue becomes non-empty, and again only after
//!    `recv` returned `None`.
//! 7. *Bounded.* Whatever a peer can make grow has a limit. (No generic check can see this: give
//!    [`Laws::invariant`] an assertion, and test each limit on its own.)
//! 8. *Deterministic.* The same seed and calls give the same bytes and events.
//!
//! [`Laws`] says what a machine can promise; [`Laws::check`] tries to break it:
//!
//! ```text
//! one_path! { struct Dtls(Connection) -> Event; }
//!
//! Laws::new(|now, seed| (client(now, seed), server(now, seed)))
//!     .mtu(1200)
//!     .established(|dtls| dtls.is_connected())        // reached in the end, and never lost again
//!     .closed(|event| matches!(event, Event::Closed(_)))
//!     .hostile(Hostile { forgeries: false, ..Hostile::ALL }, Hostile::ALL)   // a handshake is not authenticated
//!     .commands(|now, rng, dtls| …)                    // what an application might do at any moment
//!     .payload(|event| matches!(event, Event::Readable).then_some(0), |dtls, _| dtls.recv().is_some())
//!     .check();
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_wire::{Datagram, FiveTuple, Transmit};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::machine::{Machine, only_path};
use crate::time::{NameOnPanic, epoch, rng};

/// What an attacker sends, beside what the network loses and reorders.
#[derive(Clone, Copy, Debug)]
pub struct Hostile {
    /// Random bytes, and random bytes behind the first byte of a real datagram.
    pub garbage: bool,
    /// Datagrams that were sent before, again.
    pub replays: bool,
    /// Datagrams that were sent before, changed: bits flipped, truncated, extended, one half of each of two.
    pub forgeries: bool,
}

impl Hostile {
    /// Everything.
    pub const ALL: Self = Self {
        garbage: true,
        replays: true,
        forgeries: true,
    };
    /// Nothing.
    pub const NONE: Self = Self {
        garbage: false,
        replays: false,
        forgeries: false,
    };
}

/// What a kind of machine promises. See the [module](self).
pub struct Laws<'t, M: Machine> {
    make: Box<dyn Fn(Instant, u64) -> (M, M) + 't>,
    commands: Commands<'t, M>,
    established: Option<Is<'t, M>>,
    invariant: Box<dyn Fn(&M) + 't>,
    closed: Is<'t, M::Event>,
    readable: Readable<'t, M>,
    recv: Recv<'t, M>,
    hostile: [Hostile; 2],
    mtu: usize,
    steps: usize,
    seeds: Range<u64>,
    loss: f64,
    deterministic: bool,
    limit: Duration,
}

type Is<'t, T> = Box<dyn Fn(&T) -> bool + 't>;
type Commands<'t, M> = Box<dyn Fn(Instant, &mut StdRng, &mut M) + 't>;
type Readable<'t, M> = Box<dyn Fn(&<M as Machine>::Event) -> Option<u64> + 't>;
type Recv<'t, M> = Box<dyn Fn(&mut M, u64) -> bool + 't>;

impl<'t, M: Machine> Laws<'t, M> {
    /// The laws for the two machines that `make` makes from a time and a seed. It must use no other source of
    /// randomness. If the machines have to be told to connect, `make` tells them.
    #[must_use]
    pub fn new(make: impl Fn(Instant, u64) -> (M, M) + 't) -> Self {
        Self {
            make: Box::new(make),
            commands: Box::new(|_, _, _| ()),
            established: None,
            invariant: Box::new(|_| ()),
            closed: Box::new(|_| false),
            readable: Box::new(|_| None),
            recv: Box::new(|_, _| false),
            hostile: [Hostile::ALL; 2],
            mtu: 1200,
            steps: 300,
            seeds: 0..20,
            loss: 0.1,
            deterministic: true,
            limit: Duration::from_secs(120),
        }
    }

    /// The longest datagram a machine may send, in bytes; 1200 unless told.
    #[must_use]
    pub fn mtu(mut self, mtu: usize) -> Self {
        self.mtu = mtu;
        self
    }

    /// Something an application might do at any moment, chosen with the generator. It must not close the machine.
    #[must_use]
    pub fn commands(mut self, commands: impl Fn(Instant, &mut StdRng, &mut M) + 't) -> Self {
        self.commands = Box::new(commands);
        self
    }

    /// True once a machine is connected. Both get there once the network is fair, and stay there.
    #[must_use]
    pub fn established(mut self, established: impl Fn(&M) -> bool + 't) -> Self {
        self.established = Some(Box::new(established));
        self
    }

    /// An assertion that holds after every call: panic if it does not (limits on memory, counters that agree).
    #[must_use]
    pub fn invariant(mut self, invariant: impl Fn(&M) + 't) -> Self {
        self.invariant = Box::new(invariant);
        self
    }

    /// True for the event that ends a connection: it must not appear.
    #[must_use]
    pub fn closed(mut self, closed: impl Fn(&M::Event) -> bool + 't) -> Self {
        self.closed = Box::new(closed);
        self
    }

    /// Law 6. `readable` says which queue an event announces, if it announces one (a stream's number; 0 if there is
    /// one queue only); `recv` takes one message from that queue and says whether there was one.
    #[must_use]
    pub fn payload(
        mut self,
        readable: impl Fn(&M::Event) -> Option<u64> + 't,
        recv: impl Fn(&mut M, u64) -> bool + 't,
    ) -> Self {
        self.readable = Box::new(readable);
        self.recv = Box::new(recv);
        self
    }

    /// What the machines withstand: before both are established, and after. Everything unless told.
    #[must_use]
    pub fn hostile(mut self, before: Hostile, after: Hostile) -> Self {
        self.hostile = [before, after];
        self
    }

    /// The share of datagrams lost while the network is unfair; 0.1 unless told.
    #[must_use]
    pub fn loss(mut self, loss: f64) -> Self {
        self.loss = loss;
        self
    }

    /// How many random calls a case makes, before and again after the connection is established; 300 unless told.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// The seeds to try; `0..20` unless told. The seed that fails is printed: put it here alone to see it again.
    #[must_use]
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// How much virtual time the machines have to become established once the network is fair; 120 s unless told.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// For machines whose cryptography is random whatever the seed: law 8 is not checked.
    #[must_use]
    pub fn nondeterministic(mut self) -> Self {
        self.deterministic = false;
        self
    }

    /// Checks all of it.
    ///
    /// # Panics
    /// If a law is broken, naming the law, the time and the seed.
    pub fn check(&self) {
        for seed in self.seeds.clone() {
            let _named = NameOnPanic("the laws' seed", &seed);
            let first = Trial::new(self, seed).run();
            if !self.deterministic {
                continue;
            }
            for (times, law) in [
                (Times::AsDrawn, "law 8: two runs"),
                (Times::Forward, "law 4: runs with and without backwards times"),
            ] {
                let again = Trial {
                    times,
                    ..Trial::new(self, seed)
                }
                .run();
                let parts = first.iter().zip(&again).position(|(one, other)| one != other);
                assert!(
                    parts.is_none() && first.len() == again.len(),
                    "{law} differ at output {parts:?}"
                );
            }
        }
    }
}

/// Which times the machines are given where an earlier one than before was drawn.
#[derive(Clone, Copy)]
enum Times {
    /// The earlier one.
    AsDrawn,
    /// The latest that the machine has seen: by law 4 it makes no difference.
    Forward,
}

/// One seed's run.
struct Trial<'a, 't, M: Machine> {
    laws: &'a Laws<'t, M>,
    rng: StdRng,
    now: Instant,
    times: Times,
    ends: [End<M>; 2],
    established: bool,
    /// A hash of each output and event, in order.
    transcript: Vec<u64>,
}

struct End<M> {
    machine: M,
    /// The latest time it was given by a verb: it may know a later one from a command, never an earlier one.
    newest: Option<Instant>,
    /// On the way to this end.
    inbound: Vec<Datagram>,
    /// What was ever sent to this end (a sample): for replays and forgeries.
    seen: Vec<Datagram>,
    /// Queues of which `Readable` was reported, and `recv` has not returned `None` since.
    announced: BTreeSet<u64>,
    /// Queues that were read to their end, and when the next `Readable` may come.
    drained: BTreeSet<u64>,
}

const KEPT: usize = 64;

impl<'a, 't, M: Machine> Trial<'a, 't, M> {
    fn new(laws: &'a Laws<'t, M>, seed: u64) -> Self {
        let now = epoch();
        let (a, b) = (laws.make)(now, seed);
        let end = |machine| End {
            machine,
            newest: None,
            inbound: Vec::new(),
            seen: Vec::new(),
            announced: BTreeSet::new(),
            drained: BTreeSet::new(),
        };
        let ends = [end(a), end(b)];
        let times = Times::AsDrawn;
        Self {
            laws,
            rng: rng(seed),
            now,
            times,
            ends,
            established: false,
            transcript: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<u64> {
        for _ in 0..self.laws.steps {
            self.unfair_step();
        }
        self.be_fair();
        for _ in 0..self.laws.steps {
            self.unfair_step();
        }
        self.be_fair();
        self.transcript
    }

    /// One random call, or one random event in the network.
    fn unfair_step(&mut self) {
        let who = self.rng.random_range(0..2);
        match self.rng.random_range(0..100) {
            0..25 => self.deliver(who),
            25..50 => {
                for _ in 0..self.rng.random_range(0..6) {
                    let now = self.time_given(who);
                    if !self.transmit(who, now) {
                        break;
                    }
                }
            }
            50..62 => {
                let longest = if self.rng.random_bool(0.1) { 400 } else { 30 };
                self.now += Duration::from_millis(self.rng.random_range(0..=longest));
            }
            62..70 => {
                let now = self.time_given(who);
                self.ends[who].machine.handle_timeout(now);
            }
            70..76 => self.attack(who),
            76..82 => self.rest(who),
            82..88 => {
                let limit = if self.rng.random() { usize::MAX } else { 1 };
                self.events(who, limit);
            }
            88..94 => (self.laws.commands)(self.now, &mut self.rng, &mut self.ends[who].machine),
            94..98 => self.read(who),
            _ => {
                let _ = self.ends[who].machine.poll_timeout();
            }
        }
        (self.laws.invariant)(&self.ends[who].machine);
        self.watch();
    }

    /// Now; sometimes an earlier time (law 4).
    fn time_given(&mut self, who: usize) -> Instant {
        let earlier = self.rng.random_bool(0.1);
        let by = Duration::from_millis(self.rng.random_range(0..5_000));
        let drawn = if earlier { self.now - by } else { self.now };
        let newest = self.ends[who].newest.map_or(drawn, |newest| newest.max(drawn));
        self.ends[who].newest = Some(newest);
        match self.times {
            Times::AsDrawn => drawn,
            Times::Forward => newest,
        }
    }

    /// Now, and the machine knows it.
    fn now_given(&mut self, who: usize) -> Instant {
        self.ends[who].newest = Some(self.now);
        self.now
    }

    /// A network that delivers everything, and applications that read everything, until both ends are established
    /// and quiet for a while.
    fn be_fair(&mut self) {
        let end = self.now + self.laws.limit;
        let mut settled = None;
        loop {
            for who in [0, 1] {
                self.rest(who);
                self.events(who, usize::MAX);
                self.read_all(who);
                self.rest(who);
                (self.laws.invariant)(&self.ends[who].machine);
            }
            self.watch();
            let up = |end: &End<M>| self.laws.established.as_ref().is_none_or(|up| up(&end.machine));
            if self.ends.iter().all(up) {
                // A little longer, for what was queued meanwhile.
                let settled = *settled.get_or_insert(self.now + Duration::from_secs(3));
                if self.now >= settled {
                    break;
                }
            }
            assert!(
                self.now < end,
                "not established after {:?} of fair network",
                self.laws.limit
            );
            // Arrivals after 10 ms; timeouts exactly when they are due.
            let timeouts = self.ends.iter().filter_map(|end| end.machine.poll_timeout());
            let step = self.now + Duration::from_millis(10);
            self.now = timeouts.filter(|at| *at > self.now).chain([step]).min().unwrap_or(step);
            if self.now == step {
                for who in [0, 1] {
                    for datagram in std::mem::take(&mut self.ends[who].inbound) {
                        let now = self.now_given(who);
                        self.ends[who].machine.handle_datagram(now, datagram);
                    }
                }
            }
        }
        self.established = self.laws.established.is_some();
    }

    /// What was established stays so.
    fn watch(&self) {
        if !self.established {
            return;
        }
        if let Some(up) = &self.laws.established {
            assert!(
                self.ends.iter().all(|end| up(&end.machine)),
                "law 2: a healthy connection ended {}",
                self.at()
            );
        }
    }

    fn deliver(&mut self, who: usize) {
        let waiting = self.ends[who].inbound.len();
        if waiting == 0 {
            return;
        }
        // Mostly in order.
        let index = if self.rng.random_bool(0.8) {
            0
        } else {
            self.rng.random_range(0..waiting)
        };
        let datagram = self.ends[who].inbound.remove(index);
        if self.rng.random_bool(self.laws.loss) {
            return;
        }
        let now = self.time_given(who);
        if self.rng.random_bool(0.05) {
            self.ends[who].machine.handle_datagram(now, datagram.clone());
        }
        self.ends[who].machine.handle_datagram(now, datagram);
    }

    /// One `poll_transmit`, with whatever bytes in front; law 3.
    fn transmit(&mut self, who: usize, now: Instant) -> bool {
        let before: Vec<u8> = (0..self.rng.random_range(0..20)).map(|_| self.rng.random()).collect();
        let mut out = before.clone();
        let transmit = self.ends[who].machine.poll_transmit(now, &mut out);
        let at = self.at();
        assert!(out.starts_with(&before), "law 3: bytes in front were changed {at}");
        let appended = &out[before.len()..];
        let Some(Transmit { five_tuple, ecn, len }) = transmit else {
            assert!(
                appended.is_empty(),
                "law 3: nothing to send, but {} bytes appended {at}",
                appended.len()
            );
            return false;
        };
        assert_eq!(appended.len(), len, "law 3: the length is what was appended {at}");
        assert!(len > 0, "law 3: an empty datagram {at}");
        assert!(
            len <= self.laws.mtu,
            "law 3: {len} bytes, over the MTU of {} {at}",
            self.laws.mtu
        );
        self.note(&(who, five_tuple, appended));
        let datagram = Datagram {
            five_tuple: five_tuple.reversed(),
            ecn,
            payload: BytesMut::from(appended),
        };
        let other = &mut self.ends[1 - who];
        if other.seen.len() < KEPT {
            other.seen.push(datagram.clone());
        } else {
            let index = self.rng.random_range(0..KEPT);
            other.seen[index] = datagram.clone();
        }
        other.inbound.push(datagram);
        true
    }

    /// Law 5.
    fn rest(&mut self, who: usize) {
        let now = self.now_given(who);
        self.ends[who].machine.handle_timeout(now);
        let mut count = 0;
        while self.transmit(who, now) {
            count += 1;
            assert!(count < 100_000, "law 5: sends without end {}", self.at());
        }
        let timeout = self.ends[who].machine.poll_timeout();
        let early = timeout.and_then(|at| self.now.checked_duration_since(at));
        assert!(
            early.is_none(),
            "law 5: at rest {}, but the timeout is {early:?} in the past",
            self.at()
        );
    }

    fn events(&mut self, who: usize, limit: usize) {
        for _ in 0..limit {
            let Some(event) = self.ends[who].machine.poll_event() else {
                return;
            };
            self.note(&(who, format!("{event:?}")));
            assert!(!(self.laws.closed)(&event), "law 2: {event:?} {}", self.at());
            if let Some(queue) = (self.laws.readable)(&event) {
                let end = &mut self.ends[who];
                let news = end.announced.insert(queue);
                end.drained.remove(&queue);
                assert!(
                    news,
                    "law 6: {event:?} again, though nothing was read to the end {}",
                    self.at()
                );
            }
        }
    }

    /// Reads some of what was announced; law 6.
    fn read(&mut self, who: usize) {
        self.events(who, usize::MAX);
        let end = &mut self.ends[who];
        let mut left: BTreeMap<u64, u32> = end.announced.iter().map(|&queue| (queue, 3)).collect();
        if self.rng.random() {
            left.values_mut().for_each(|count| *count = u32::MAX);
        }
        for (queue, count) in left {
            for _ in 0..count {
                if !(self.laws.recv)(&mut end.machine, queue) {
                    end.announced.remove(&queue);
                    end.drained.insert(queue);
                    break;
                }
            }
        }
    }

    fn read_all(&mut self, who: usize) {
        let end = &mut self.ends[who];
        for queue in std::mem::take(&mut end.announced) {
            while (self.laws.recv)(&mut end.machine, queue) {}
            end.drained.insert(queue);
        }
        // A queue that was read to its end and not announced since is empty, unless the news waits to be polled.
        self.events(who, usize::MAX);
        let end = &mut self.ends[who];
        for &queue in &end.drained {
            let message = (self.laws.recv)(&mut end.machine, queue);
            assert!(!message, "law 6: queue {queue} has a message that no event announced");
        }
    }

    fn attack(&mut self, who: usize) {
        let Hostile {
            garbage,
            replays,
            forgeries,
        } = self.laws.hostile[usize::from(self.established)];
        let Some(mut datagram) = (match self.rng.random_range(0..3) {
            0 if garbage => Some(self.garbage(who)),
            1 if replays => self.pick(who),
            2 if forgeries => self.forgery(who),
            _ => None,
        }) else {
            return;
        };
        if self.rng.random_bool(0.1) {
            // From a stranger.
            datagram.five_tuple.remote.set_port(self.rng.random());
        }
        let now = self.time_given(who);
        self.ends[who].machine.handle_datagram(now, datagram);
    }

    fn pick(&mut self, who: usize) -> Option<Datagram> {
        let seen = &self.ends[who].seen;
        if seen.is_empty() {
            None
        } else {
            Some(seen[self.rng.random_range(0..seen.len())].clone())
        }
    }

    /// The path this end's peer uses, as this end names it.
    fn path(&mut self, who: usize) -> FiveTuple {
        if let Some(datagram) = self.pick(who) {
            return datagram.five_tuple;
        }
        self.pick(1 - who)
            .map_or_else(only_path, |datagram| datagram.five_tuple.reversed())
    }

    fn garbage(&mut self, who: usize) -> Datagram {
        let len = match self.rng.random_range(0..4) {
            0 => 0,
            1 => self.rng.random_range(0..30),
            2 => self.rng.random_range(0..1500),
            _ => self.rng.random_range(0..65_000),
        };
        let mut payload: BytesMut = (0..len).map(|_| self.rng.random::<u8>()).collect();
        if let Some(real) = self.pick(who) {
            let kept = self.rng.random_range(0..=13).min(len).min(real.payload.len());
            payload[..kept].copy_from_slice(&real.payload[..kept]);
        }
        Datagram {
            five_tuple: self.path(who),
            ecn: None,
            payload,
        }
    }

    fn forgery(&mut self, who: usize) -> Option<Datagram> {
        let mut datagram = self.pick(who)?;
        let payload = &mut datagram.payload;
        let len = payload.len();
        match self.rng.random_range(0..4) {
            0 => {
                for _ in 0..self.rng.random_range(1..8) {
                    payload[self.rng.random_range(0..len)] ^= 1 << self.rng.random_range(0..8);
                }
            }
            1 => payload.truncate(self.rng.random_range(0..len)),
            2 => {
                let more = self.rng.random_range(1..100);
                payload.extend((0..more).map(|_| self.rng.random::<u8>()));
            }
            _ => {
                let other = self.pick(who)?;
                let at = self.rng.random_range(0..=len.min(other.payload.len()));
                datagram.payload.truncate(at);
                datagram.payload.extend_from_slice(&other.payload[at..]);
                if self.ends[who].seen.iter().any(|seen| seen.payload == datagram.payload) {
                    return None; // Whole: that would be a replay.
                }
            }
        }
        Some(datagram)
    }

    fn note(&mut self, what: &impl Hash) {
        let mut hasher = DefaultHasher::new();
        (self.now - epoch(), what).hash(&mut hasher);
        self.transcript.push(hasher.finish());
    }

    fn at(&self) -> String {
        format!("(at {:?})", self.now - epoch())
    }
}
