//! [`Prober`]: short trains of padding, faster than the estimate, by which it is seen whether the path takes more than the application
//! sends.
//!
//! An estimate follows what is sent and no more than a little above it ([`rate`](super::rate)). Where the application has more to send
//! once the path takes it, such as a better layer, only more packets tell whether it does; the draft leaves that to probes (§5.5), and
//! they are done here as libwebrtc does them: a train of 15 ms at twice the estimate, and at once another if that has passed, up to what
//! the application wants. A train that does not pass is followed by a rest, so that what is spent in vain is less than a hundredth.

use std::time::{Duration, Instant};

use super::PacketReport;

/// Sends trains, and measures how they come.
#[derive(Clone, Debug, Default)]
pub(in crate::media) struct Prober {
    /// What the application would send, in bits a second.
    desired: u64,
    rests_until: Option<Instant>,
    train: Option<Train>,
}

/// One train, from its first packet to the report on its last.
#[derive(Clone, Debug)]
struct Train {
    bitrate: u64,
    /// Bytes that are still to leave, and those that have.
    left: usize,
    sent: usize,
    /// When the first and the latest packet left.
    began: Option<Instant>,
    last: Instant,
    /// Nothing leaves before.
    resume: Option<Instant>,
    heard: Heard,
}

/// What the peer tells of the packets that left meanwhile, media and padding.
#[derive(Clone, Debug, Default)]
struct Heard {
    came: Vec<(Instant, i64, usize)>,
    lost: usize,
    whole: bool,
}

/// "min_probe_duration" and "min_probe_packets_sent" of libwebrtc.
const DURATION: Duration = Duration::from_millis(15);
const MIN_PACKETS: usize = 5;
/// No train is longer, in bytes, whatever its rate.
const MAX_TRAIN: usize = 256 << 10;
/// What is asked of the path at a time: twice the estimate, and no more than a little above what is wanted.
const STEP: u64 = 2;
const ABOVE_DESIRED: f64 = 1.2;
/// The application sends so little of what it may that the estimate cannot grow by itself.
const LIMITED: f64 = 0.8;
/// After a train that did not pass.
const REST: Duration = Duration::from_secs(5);
/// A train that is not told of within this is lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// A train of which less comes says nothing.
const MIN_CAME: f64 = 0.8;
/// What arrives more slowly than this part of what left has filled the path; then the path takes this part of what arrived.
const FILLED: f64 = 0.9;
const UTILIZATION: f64 = 0.95;
/// A train that found this part of its rate is followed by a faster one.
const PASSED: f64 = 0.7;

impl Prober {
    pub(in crate::media) fn set_desired(&mut self, desired: u64) {
        self.desired = desired;
    }

    /// Packets take another path.
    pub(in crate::media) fn path_changed(&mut self) {
        self.train = None;
        self.rests_until = None;
    }

    /// Begins a train if there is a reason: the estimate is `target`, and what arrives `throughput`.
    pub(super) fn consider(&mut self, now: Instant, target: u64, throughput: Option<u64>, is_calm: bool) {
        if self.train.as_ref().is_some_and(|train| train.is_lost(now)) {
            self.rest(now);
        }
        let is_limited = throughput.is_some_and(|arrived| (arrived as f64) < LIMITED * target as f64);
        let rests = self.rests_until.is_some_and(|until| now < until);
        if self.train.is_some() || rests || target >= self.desired || !is_limited || !is_calm {
            return;
        }
        let most = (self.desired as f64 * ABOVE_DESIRED) as u64;
        let bitrate = (target * STEP).min(most).max(1);
        self.train = Some(Train {
            bitrate,
            left: ((bitrate as f64 / 8.0 * DURATION.as_secs_f64()) as usize).min(MAX_TRAIN),
            sent: 0,
            began: None,
            last: now,
            resume: None,
            heard: Heard::default(),
        });
    }

    /// True if a packet of padding may leave now.
    pub(in crate::media) fn is_due(&self) -> bool {
        let train = self.train.as_ref();
        train.is_some_and(|train| train.left > 0 && train.resume.is_none())
    }

    /// When the next may leave.
    pub(in crate::media) fn poll_timeout(&self) -> Option<Instant> {
        self.train.as_ref()?.resume
    }

    /// Time has come: if nothing leaves then, there is no path, and no timer either.
    pub(in crate::media) fn handle_timeout(&mut self, now: Instant) {
        if let Some(train) = &mut self.train
            && train.resume.is_some_and(|resume| resume <= now)
        {
            train.resume = None;
        }
    }

    /// A packet of padding has left.
    pub(in crate::media) fn on_sent(&mut self, now: Instant, bytes: usize) {
        let Some(train) = &mut self.train else { return };
        if train.began.is_none() {
            train.left = train.left.max(MIN_PACKETS * bytes);
        }
        let began = *train.began.get_or_insert(now);
        train.last = now;
        train.sent += bytes;
        train.left = train.left.saturating_sub(bytes);
        if train.left > 0 {
            let at = began + Duration::from_secs_f64(train.sent as f64 * 8.0 / train.bitrate as f64);
            train.resume = Some(at).filter(|at| *at > now);
        }
    }

    /// None can be sent: there is no stream for it.
    pub(in crate::media) fn give_up(&mut self, now: Instant) {
        self.rest(now);
    }

    /// Takes the peer's word on one packet.
    pub(super) fn on_packet(&mut self, packet: &PacketReport) {
        let Some(train) = &mut self.train else { return };
        if train.began.is_none_or(|began| packet.sent < began) {
            return;
        }
        if train.left == 0 && packet.sent >= train.last {
            train.heard.whole = true;
        }
        if packet.sent > train.last {
            return;
        }
        match packet.arrival {
            Some(arrival) => train.heard.came.push((packet.sent, arrival, packet.bytes)),
            None => train.heard.lost += 1,
        }
    }

    /// What the train has shown that the path takes, in bits a second, once all of it has been told of.
    pub(super) fn outcome(&mut self, now: Instant) -> Option<u64> {
        let train = self.train.as_ref().filter(|train| train.heard.whole)?;
        let found = train.heard.bitrate();
        if found.is_some_and(|found| found as f64 >= PASSED * train.bitrate as f64) {
            self.train = None;
        } else {
            self.rest(now);
        }
        found
    }

    fn rest(&mut self, now: Instant) {
        self.train = None;
        self.rests_until = Some(now + REST);
    }
}

impl Train {
    fn is_lost(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > PATIENCE
    }
}

impl Heard {
    fn bitrate(&self) -> Option<u64> {
        let count = self.came.len();
        if (count as f64) < MIN_CAME * (count + self.lost) as f64 {
            return None;
        }
        let (first, last) = (self.came.first()?, self.came.last()?);
        let bytes: usize = self.came.iter().map(|(.., bytes)| bytes).sum();
        // From the first packet to the last: of one of them, the time does not count.
        let sent = last.0.saturating_duration_since(first.0).as_secs_f64();
        let arrivals = || self.came.iter().map(|(_, arrival, _)| *arrival);
        let took = arrivals().max()?.saturating_sub(arrivals().min()?) as f64 / 1e6;
        if sent <= 0.0 || took <= 0.0 {
            return None;
        }
        let left = (bytes - last.2) as f64 * 8.0 / sent;
        let arrived = (bytes - first.2) as f64 * 8.0 / took;
        Some(match arrived < FILLED * left {
            true => UTILIZATION * arrived,
            false => left.min(arrived),
        } as u64)
    }
}
