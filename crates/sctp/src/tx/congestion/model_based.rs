//! A controller with a model of the path, its bottleneck's rate and its round trip, after BBRv3
//! (draft-ietf-ccwg-bbr): it sends at the rate and keeps about the product of both in flight. Loss bounds it only where it
//! is more than two percent of a round's packets, so that a path that loses by chance is filled all the same.
//!
//! Where it differs from the draft:
//! - what is lost while a queue stands, which the round trip shows, is taken for the queue's overflow, and what may be in
//!   flight falls by a fifth; where no queue stands, up to two percent, and what chance may add to that, are let pass, also
//!   by the short-term bounds. So it gives way to flows that fill queues, and not to noise;
//! - while the round trip shows no queue at all, a round may lose eight percent before Startup ends or the short-term bounds
//!   fall: these follow what is delivered, which on a path that loses by chance is always less than what is sent, so that each
//!   round would be slower than the last;
//! - too much loss lowers the bound on what is in flight by a factor, and while a queue stands the bound grows by a packet a
//!   round trip, as Reno's window does: flows that share a bottleneck come to share it evenly. No headroom is needed then;
//! - a round trip that is within a sixteenth of the shortest shows that the queue is all but empty, so that no PROBE_RTT is
//!   needed to show it;
//! - round trips under two milliseconds count as two: there the model must not be finer than timers and batches are.

use std::time::{Duration, Instant};

use super::delivery::{Sample, bytes_in, rate};
use super::new_reno::window_after_idle;
use super::{Acknowledged, Controller, Loss};

#[derive(Debug)]
pub(crate) struct ModelBased {
    packet: usize,
    initial_window: usize,
    phase: Phase,
    window: usize,
    pacing_rate: Option<u64>,

    // --- the model
    /// The highest delivery rate in the last cycle of probing and in this one: BBR.max_bw.
    rates: [u64; 2],
    /// BBR.min_rtt, and when a round trip last came near it.
    min_rtt: Option<Duration>,
    min_rtt_at: Option<Instant>,
    latest_rtt: Option<Duration>,
    /// The most that may be in flight without too much loss: BBR.inflight_hi, or longterm.
    inflight_hi: usize,
    /// What the current round of losses leaves: BBR.bw_lo and BBR.inflight_lo, or shortterm.
    rate_lo: Option<u64>,
    inflight_lo: Option<usize>,
    aggregation: Aggregation,

    // --- this round
    /// BBR.bw_latest and BBR.inflight_latest.
    rate_latest: u64,
    inflight_latest: usize,
    /// Bytes lost, and how many times something was found lost.
    lost: usize,
    losses: u32,
    delivered_before: u64,

    // --- is the pipe full?
    full: Full,

    // --- probing
    cycle: Cycle,
    /// When PROBE_RTT may end.
    probe_rtt_until: Option<Instant>,
    /// The window before PROBE_RTT or a timeout.
    prior_window: usize,
    random: u32,
}

/// BBR.state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The rate doubles each round trip until deliveries do not follow.
    Startup,
    /// The queue that this made drains.
    Drain,
    /// PROBE_BW: less is sent than arrives, so that the queue drains and others find room.
    Down,
    /// As much is sent as arrives.
    Cruise,
    /// A round trip to fill the pipe before more is tried.
    Refill,
    /// More is sent, to see whether more arrives.
    Up,
    /// The queue is emptied so that the round trip of the path itself shows.
    ProbeRtt,
}

impl Phase {
    /// BBR.pacing_gain, in percent.
    fn pacing_gain(self) -> u64 {
        match self {
            Self::Startup => 277,
            Self::Drain => 50,
            Self::Down => 90,
            Self::Cruise | Self::Refill | Self::ProbeRtt => 100,
            Self::Up => 125,
        }
    }

    /// BBR.cwnd_gain, in percent.
    fn window_gain(self) -> u64 {
        match self {
            Self::Startup | Self::Drain | Self::Down | Self::Cruise | Self::Refill => 200,
            Self::Up => 225,
            Self::ProbeRtt => 50,
        }
    }
}

/// Whether more is delivered the more is sent.
#[derive(Debug, Default)]
struct Full {
    /// BBR.full_bw_reached: Startup has ended.
    reached: bool,
    rate: u64,
    rounds: u32,
}

/// How much more than the rate promises is acknowledged at once, since acknowledgements come in batches.
#[derive(Debug, Default)]
struct Aggregation {
    start: Option<Instant>,
    bytes: usize,
    /// The most extra bytes in the last rounds, and in these.
    extra: [usize; 2],
    rounds: u32,
}

/// Where probing for bandwidth stands.
#[derive(Debug)]
struct Cycle {
    start: Option<Instant>,
    /// BBR.bw_probe_wait.
    wait: Duration,
    /// BBR.rounds_since_bw_probe.
    rounds: u64,
    /// What is lost now was sent while probing: it says something about `inflight_hi`.
    probed: bool,
    /// Samples of this cycle have not been taken into account yet.
    ending: bool,
    /// BBR.bw_probe_up_rounds: `inflight_hi` grows twice as fast each round.
    up_rounds: u32,
    up_acked: usize,
}

impl ModelBased {
    pub(crate) fn new(packet: usize, initial_window: usize, seed: u32) -> Self {
        Self {
            packet,
            initial_window,
            phase: Phase::Startup,
            window: initial_window,
            pacing_rate: None,
            rates: [0; 2],
            min_rtt: None,
            min_rtt_at: None,
            latest_rtt: None,
            inflight_hi: usize::MAX,
            rate_lo: None,
            inflight_lo: None,
            aggregation: Aggregation::default(),
            rate_latest: 0,
            inflight_latest: 0,
            lost: 0,
            losses: 0,
            delivered_before: 0,
            full: Full::default(),
            cycle: Cycle {
                start: None,
                wait: PROBE_WAIT,
                rounds: 0,
                probed: false,
                ending: false,
                up_rounds: 0,
                up_acked: 0,
            },
            probe_rtt_until: None,
            prior_window: 0,
            random: seed | 1,
        }
    }

    // --- what the model says

    fn max_rate(&self) -> u64 {
        self.rates[0].max(self.rates[1])
    }

    /// BBR.bw.
    fn rate(&self) -> u64 {
        self.rate_lo.map_or(self.max_rate(), |low| low.min(self.max_rate()))
    }

    /// BBRInflight: what fills the pipe, times a gain in percent.
    fn inflight(&self, rate: u64, gain: u64) -> usize {
        let Some(min_rtt) = self.min_rtt.filter(|_| rate > 0) else {
            return self.initial_window;
        };
        let product = bytes_in(rate, min_rtt.max(SHORTEST)).saturating_mul(gain) / 100;
        (product as usize).max(self.least())
    }

    /// BBRMinPipeCwnd, and what leaves at one tick of the pace: less would leave the pipe empty between.
    fn least(&self) -> usize {
        4 * self.packet
    }

    fn target_inflight(&self) -> usize {
        self.inflight(self.rate(), 100).min(self.window)
    }

    /// The round trip shows that a queue stands, of a quarter of what fills the pipe.
    fn queue_stands(&self) -> bool {
        match (self.min_rtt, self.latest_rtt) {
            (Some(min), Some(latest)) => latest > min + min / 4,
            _ => false,
        }
    }

    // --- learning

    fn learn_rate(&mut self, sample: &Sample) {
        if sample.rate >= self.max_rate() || !sample.app_limited {
            self.rates[1] = self.rates[1].max(sample.rate);
        }
        self.rate_latest = self.rate_latest.max(sample.rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered as usize);
    }

    fn learn_round_trip(&mut self, now: Instant, rtt: Duration) {
        self.latest_rtt = Some(rtt);
        let stale = self
            .min_rtt_at
            .is_none_or(|at| now.saturating_duration_since(at) > MIN_RTT_LIFE);
        let near = self.min_rtt.is_some_and(|min| rtt <= min + min / 16);
        if self.min_rtt.is_none_or(|min| rtt < min) || stale && self.phase == Phase::ProbeRtt {
            self.min_rtt = Some(rtt);
            self.min_rtt_at = Some(now);
        } else if near {
            self.min_rtt_at = Some(now);
        }
    }

    /// BBRUpdateACKAggregation.
    fn learn_aggregation(&mut self, acknowledged: &Acknowledged) {
        let Acknowledged { now, bytes, .. } = *acknowledged;
        let rate = self.rate();
        let aggregation = &mut self.aggregation;
        let start = *aggregation.start.get_or_insert(now);
        let expected = bytes_in(rate, now.saturating_duration_since(start)) as usize;
        if aggregation.bytes <= expected {
            aggregation.start = Some(now);
            aggregation.bytes = bytes;
        } else {
            aggregation.bytes += bytes;
            let extra = (aggregation.bytes - expected).min(self.window);
            aggregation.extra[1] = aggregation.extra[1].max(extra);
        }
        if acknowledged.round_ended {
            aggregation.rounds += 1;
            let window = if self.full.reached { 5 } else { 1 };
            if aggregation.rounds >= window {
                aggregation.rounds = 0;
                aggregation.extra = [aggregation.extra[1], 0];
            }
        }
    }

    fn extra(&self) -> usize {
        self.aggregation.extra[0].max(self.aggregation.extra[1])
    }

    /// The round trip shows a queue, if only a short one: of a sixteenth of what fills the pipe, or of what timers and batches
    /// make.
    fn queue_shows(&self) -> bool {
        match (self.min_rtt, self.latest_rtt) {
            (Some(min), Some(latest)) => latest > min + (min / 16).max(SHORTEST),
            _ => false,
        }
    }

    /// A round has lost more than chance takes.
    fn lost_too_much(&self, delivered: u64) -> bool {
        let delivered = delivered.saturating_sub(self.delivered_before) as usize;
        let share = if self.queue_shows() {
            LOSS_THRESHOLD
        } else {
            LOSS_WITHOUT_QUEUE
        };
        self.is_more_than_chance(share, self.lost, delivered + self.lost)
    }

    /// More than this share, and more by twice the deviation that chance makes of that.
    fn is_more_than_chance(&self, share: f64, lost: usize, of: usize) -> bool {
        let (lost, of) = (lost as f64 / self.packet as f64, of as f64 / self.packet as f64);
        let allowed = share * of;
        lost > allowed + 2.0 * allowed.sqrt()
    }

    /// BBRAdaptLowerBoundsFromCongestion, once a round.
    fn adapt_lower_bounds(&mut self, delivered: u64) {
        if matches!(self.phase, Phase::Startup | Phase::Refill | Phase::Up) || !self.lost_too_much(delivered) {
            return;
        }
        let rate = self.rate_lo.unwrap_or(self.max_rate());
        self.rate_lo = Some(self.rate_latest.max(rate / 10 * 7));
        let inflight = self.inflight_lo.unwrap_or(self.window);
        self.inflight_lo = Some(self.inflight_latest.max(inflight / 10 * 7));
    }

    fn forget_lower_bounds(&mut self) {
        self.rate_lo = None;
        self.inflight_lo = None;
    }

    // --- Startup and Drain

    /// BBRCheckFullBWReached: three rounds without a quarter more; two where there is a queue already, which others wait in.
    fn stopped_growing(&mut self, acknowledged: &Acknowledged, sample: &Sample) -> bool {
        if sample.app_limited {
            return false;
        }
        if sample.rate >= self.full.rate / 4 * 5 {
            self.full.rate = sample.rate;
            self.full.rounds = 0;
            return false;
        }
        if acknowledged.round_ended {
            self.full.rounds += 1;
        }
        self.full.rounds >= if self.full.reached && self.queue_stands() { 2 } else { 3 }
    }

    fn check_startup(&mut self, acknowledged: &Acknowledged, sample: &Sample) {
        let full = self.stopped_growing(acknowledged, sample);
        let lossy = acknowledged.round_ended && self.losses >= 6 && self.lost_too_much(acknowledged.delivered);
        if lossy {
            self.inflight_hi = self.inflight(self.max_rate(), 100).max(self.inflight_latest);
        }
        if full || lossy {
            self.full.reached = true;
            self.phase = Phase::Drain;
        }
    }

    // --- PROBE_BW

    fn go_down(&mut self, now: Instant) {
        self.cycle.start = Some(now);
        // Two to three seconds, so that flows do not probe in step.
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.cycle.wait = PROBE_WAIT + Duration::from_millis(u64::from(self.random >> 16) % 1000);
        self.cycle.rounds = u64::from(self.random >> 31);
        self.cycle.ending = true;
        self.phase = Phase::Down;
    }

    fn refill(&mut self) {
        self.forget_lower_bounds();
        self.cycle.up_rounds = 0;
        self.cycle.up_acked = 0;
        self.cycle.probed = false;
        self.phase = Phase::Refill;
    }

    fn go_up(&mut self, now: Instant) {
        self.cycle.start = Some(now);
        self.cycle.probed = true;
        self.full.rate = self.rate_latest;
        self.full.rounds = 0;
        self.phase = Phase::Up;
    }

    /// BBRUpdateProbeBWCyclePhase.
    fn cycle(&mut self, acknowledged: &Acknowledged, sample: &Sample) {
        let Acknowledged {
            now,
            in_flight,
            round_ended,
            ..
        } = *acknowledged;
        if round_ended {
            self.cycle.rounds += 1;
        }
        match self.phase {
            Phase::Down | Phase::Cruise if self.is_time_to_probe(now) => self.refill(),
            Phase::Down => {
                if round_ended && std::mem::take(&mut self.cycle.ending) && !sample.app_limited {
                    // What probing showed has come in: the rate of the cycle before is forgotten.
                    self.rates = [self.rates[1].max(self.rate_latest), 0];
                }
                if in_flight <= self.inflight_hi && in_flight <= self.inflight(self.max_rate(), 100) {
                    self.phase = Phase::Cruise;
                }
            }
            Phase::Refill if round_ended => self.go_up(now),
            Phase::Up => {
                if self.raise_bound(acknowledged) {
                    // As long as the bound is what holds back the rate, that does not grow says nothing.
                    self.full.rate = sample.rate;
                    self.full.rounds = 0;
                }
                if self.stopped_growing(acknowledged, sample) {
                    self.go_down(now);
                }
            }
            Phase::Cruise | Phase::Refill | Phase::Startup | Phase::Drain | Phase::ProbeRtt => {}
        }
    }

    /// BBRCheckTimeToProbeBW: after two or three seconds, or where Reno's window would have grown as much.
    fn is_time_to_probe(&self, now: Instant) -> bool {
        let waited = self
            .cycle
            .start
            .is_none_or(|start| now.saturating_duration_since(start) > self.cycle.wait);
        let packets = (self.target_inflight() / self.packet) as u64;
        waited || self.cycle.rounds >= packets.clamp(1, 63)
    }

    /// BBRProbeInflightHiUpward: slowly at first, then twice as fast each round. False if the bound binds nothing.
    fn raise_bound(&mut self, acknowledged: &Acknowledged) -> bool {
        if self.inflight_hi == usize::MAX || acknowledged.peak + self.packet < self.inflight_hi {
            return false;
        }
        self.cycle.up_acked += acknowledged.bytes;
        let doublings = if self.queue_stands() {
            0
        } else {
            self.cycle.up_rounds.min(30)
        };
        let step = (self.window >> doublings).max(self.packet);
        if self.cycle.up_acked >= step {
            self.inflight_hi += self.cycle.up_acked / step * self.packet;
            self.cycle.up_acked %= step;
        }
        if acknowledged.round_ended {
            self.cycle.up_rounds += 1;
        }
        true
    }

    // --- PROBE_RTT

    fn check_probe_rtt(&mut self, acknowledged: &Acknowledged) {
        let Acknowledged { now, in_flight, .. } = *acknowledged;
        let stale = self
            .min_rtt_at
            .is_some_and(|at| now.saturating_duration_since(at) > MIN_RTT_LIFE);
        if self.phase != Phase::ProbeRtt {
            if stale && self.full.reached {
                self.prior_window = self.window;
                self.probe_rtt_until = None;
                self.phase = Phase::ProbeRtt;
            }
            return;
        }
        match self.probe_rtt_until {
            None if in_flight <= self.inflight(self.rate(), 50) => {
                self.probe_rtt_until = Some(now + PROBE_RTT.max(acknowledged.smoothed.unwrap_or_default()));
            }
            Some(until) if now >= until => {
                self.min_rtt_at = Some(now);
                self.window = self.window.max(self.prior_window);
                self.forget_lower_bounds();
                self.go_down(now);
                self.phase = Phase::Cruise;
            }
            _ => {}
        }
    }

    // --- what follows

    fn set_pacing_rate(&mut self, smoothed: Duration) {
        let model = if self.max_rate() > 0 {
            self.rate()
        } else {
            rate(self.initial_window as u64, smoothed)
        };
        let rate = model.saturating_mul(self.phase.pacing_gain()) / 100;
        if self.full.reached || self.pacing_rate.is_none_or(|current| rate > current) {
            self.pacing_rate = Some(rate.max(1));
        }
    }

    /// BBRSetCwnd.
    fn set_window(&mut self, acknowledged: &Acknowledged) {
        let bytes = acknowledged.bytes;
        let most = self.inflight(self.rate(), self.phase.window_gain()) + self.extra() + 3 * self.tick();
        if self.full.reached {
            self.window = (self.window + bytes).min(most);
        } else if self.window < most || acknowledged.delivered < self.initial_window as u64 {
            self.window += bytes;
        }
        let bound = match self.phase {
            Phase::Startup | Phase::Drain => usize::MAX,
            Phase::Down | Phase::Refill | Phase::Up => self.inflight_hi,
            Phase::Cruise => self.inflight_hi,
            Phase::ProbeRtt => self
                .inflight_hi
                .min(self.inflight(self.rate(), Phase::ProbeRtt.window_gain())),
        };
        let bound = self.inflight_lo.map_or(bound, |low| low.min(bound));
        self.window = self.window.min(bound).max(self.least());
    }

    /// What leaves in a tick of the pace.
    fn tick(&self) -> usize {
        let tick = bytes_in(self.pacing_rate.unwrap_or(0), Duration::from_millis(1));
        (tick as usize).max(2 * self.packet)
    }
}

impl Controller for ModelBased {
    fn window(&self) -> usize {
        self.window
    }

    fn pacing_rate(&self, smoothed: Duration) -> Option<u64> {
        self.pacing_rate
            .or_else(|| Some(rate(self.initial_window as u64, smoothed) / 100 * Phase::Startup.pacing_gain()))
    }

    fn reduces_on_loss(&self) -> bool {
        false
    }

    fn on_acknowledged(&mut self, acknowledged: &Acknowledged) {
        let now = acknowledged.now;
        if let Some(rtt) = acknowledged.rtt {
            self.learn_round_trip(now, rtt);
        }
        if let Some(sample) = &acknowledged.sample {
            if self.min_rtt.is_none_or(|min| sample.interval >= min) {
                self.learn_rate(sample);
            }
            if acknowledged.round_ended {
                self.adapt_lower_bounds(acknowledged.delivered);
            }
            self.learn_aggregation(acknowledged);
            match self.phase {
                Phase::Startup => self.check_startup(acknowledged, sample),
                Phase::Drain => {
                    if acknowledged.in_flight <= self.inflight(self.max_rate(), 100) {
                        self.go_down(now);
                    }
                }
                _ => {
                    self.cycle(acknowledged, sample);
                }
            }
            if acknowledged.round_ended {
                (self.rate_latest, self.inflight_latest) = (sample.rate, sample.delivered as usize);
                (self.lost, self.losses) = (0, 0);
                self.delivered_before = acknowledged.delivered;
            }
        }
        self.check_probe_rtt(acknowledged);
        self.set_pacing_rate(acknowledged.smoothed.unwrap_or(SHORTEST));
        self.set_window(acknowledged);
    }

    /// BBRHandleLostPacket and BBRHandleInflightTooHigh.
    fn on_loss(&mut self, loss: &Loss) {
        self.lost += loss.bytes;
        self.losses += 1;
        // Of what was sent while probing, more has been lost than by chance.
        let too_much =
            self.cycle.probed && self.is_more_than_chance(LOSS_THRESHOLD, loss.lost as usize, loss.in_flight_then);
        let overflowed = loss.first && self.queue_stands();
        if !too_much && !overflowed {
            return;
        }
        self.cycle.probed = false;
        let most = loss.in_flight_then.saturating_sub(loss.bytes).min(self.inflight_hi);
        let kept = if overflowed { most / 5 * 4 } else { most / 20 * 17 };
        self.inflight_hi = kept.max(self.target_inflight() / 10 * 7);
        if self.phase == Phase::Up {
            self.go_down(loss.now);
        }
    }

    /// The rate is still what it was; the window has to find out what is in flight.
    fn on_timeout(&mut self) {
        self.prior_window = self.prior_window.max(self.window);
        self.window = self.packet;
        self.forget_lower_bounds();
    }

    fn on_idle(&mut self, timeouts: u32) {
        self.window = window_after_idle(self.window, timeouts, self.initial_window);
    }
}

/// BBRLossThresh.
const LOSS_THRESHOLD: f64 = 0.02;
/// What a round may lose while the round trip shows no queue.
const LOSS_WITHOUT_QUEUE: f64 = 0.08;
const SHORTEST: Duration = Duration::from_millis(2);
const PROBE_WAIT: Duration = Duration::from_secs(2);
/// How long the shortest round trip stands: MinRTTFilterLen.
const MIN_RTT_LIFE: Duration = Duration::from_secs(10);
/// ProbeRTTDuration.
const PROBE_RTT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::super::tests::{PACKET, ack, loss, now};
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const RTT: Duration = Duration::from_millis(50);
    /// A hundred packets a round trip.
    const RATE: u64 = 2_000_000;

    fn controller() -> ModelBased {
        ModelBased::new(PACKET, 10 * PACKET, 1)
    }

    /// One acknowledgement a round, of what a path of `RATE` delivers of the window.
    fn round(cc: &mut ModelBased, at: Instant, rtt: Duration) {
        let rate = RATE.min(rate(cc.window() as u64, rtt));
        let delivered = bytes_in(rate, rtt);
        cc.on_acknowledged(&Acknowledged {
            now: at,
            rtt: Some(rtt),
            smoothed: Some(rtt),
            sample: Some(Sample {
                rate,
                interval: rtt,
                delivered,
                app_limited: false,
            }),
            round_ended: true,
            delivered: cc.delivered_before + delivered,
            in_flight: delivered as usize,
            ..ack(delivered as usize, cc.window())
        });
    }

    /// A controller that knows its path, and the time.
    fn warm() -> (ModelBased, Instant) {
        let (mut cc, mut at) = (controller(), now());
        while cc.phase != Phase::Cruise {
            at += RTT;
            round(&mut cc, at, RTT);
            assert!(at < now() + 20 * RTT, "{cc:?}");
        }
        (cc, at)
    }

    #[test]
    fn startup_doubles_until_the_rate_is_found() {
        let (mut cc, mut at) = (controller(), now());
        for window in [20, 40, 80, 160] {
            at += RTT;
            round(&mut cc, at, RTT);
            assert_eq!((cc.window() / PACKET, cc.phase), (window, Phase::Startup));
        }
        let (cc, at) = warm();
        assert!(at <= now() + 12 * RTT, "three rounds without growth end it");
        assert_eq!(cc.rate(), RATE);
        assert_eq!(cc.pacing_rate(RTT), Some(RATE));
        // Twice what fills the pipe, and what leaves in three ticks of the pace.
        assert!((200..=215).contains(&(cc.window() / PACKET)), "{}", cc.window());
    }

    #[test]
    fn it_probes_every_two_or_three_seconds() {
        let (mut cc, mut at) = warm();
        let (mut last, mut probes) = (at, Vec::new());
        for _ in 0..400 {
            at += RTT;
            let before = cc.phase;
            round(&mut cc, at, RTT);
            if (before, cc.phase) == (Phase::Refill, Phase::Up) {
                assert_eq!(cc.pacing_rate(RTT), Some(RATE / 4 * 5));
                probes.push(at - last);
                last = at;
            }
        }
        assert!((5..=9).contains(&probes.len()), "{probes:?}");
        assert!(
            probes.iter().all(|time| (1500 * MS..3600 * MS).contains(time)),
            "{probes:?}"
        );
    }

    #[test]
    fn what_chance_loses_changes_nothing() {
        let (mut cc, mut at) = warm();
        let window = cc.window();
        for _ in 0..20 {
            at += RTT;
            cc.on_loss(&Loss {
                now: at,
                lost: 2 * PACKET as u64,
                in_flight_then: 100 * PACKET,
                ..loss(100 * PACKET)
            });
            round(&mut cc, at, RTT);
        }
        assert_eq!((cc.rate(), cc.inflight_hi), (RATE, usize::MAX));
        assert!(cc.window() + 10 * PACKET >= window, "{} {window}", cc.window());
        let too_much = |lost: usize, of: usize| cc.is_more_than_chance(LOSS_THRESHOLD, lost * PACKET, of * PACKET);
        assert!(!too_much(4, 100) && too_much(5, 100) && too_much(30, 1000));
    }

    #[test]
    fn a_path_that_loses_does_not_get_slower_with_each_round() {
        for (rtt, is_kept) in [(RTT, true), (RTT + RTT / 8, false)] {
            let (mut cc, mut at) = warm();
            round(&mut cc, at, rtt);
            for _ in 0..10 {
                at += RTT;
                // Ten of two hundred packets, and what is delivered is less by as many.
                let delivered = bytes_in(cc.rate(), 2 * RTT) / 20 * 19;
                cc.lost = (delivered / 19) as usize;
                cc.on_acknowledged(&Acknowledged {
                    now: at,
                    rtt: Some(rtt),
                    smoothed: Some(rtt),
                    sample: Some(Sample {
                        rate: cc.rate() / 20 * 19,
                        interval: 2 * RTT,
                        delivered,
                        app_limited: false,
                    }),
                    round_ended: true,
                    delivered: cc.delivered_before + delivered,
                    ..ack(delivered as usize, cc.window())
                });
            }
            assert_eq!(cc.rate() == RATE, is_kept, "{rtt:?}: {}", cc.rate());
        }
    }

    #[test]
    fn what_is_lost_while_a_queue_stands_lowers_what_may_be_in_flight() {
        let (mut cc, at) = warm();
        round(&mut cc, at + RTT, RTT * 3 / 2);
        let lost = Loss {
            now: at + RTT,
            bytes: 0,
            ..loss(150 * PACKET)
        };
        cc.on_loss(&lost);
        assert_eq!(cc.inflight_hi, 120 * PACKET, "by a fifth");
        cc.on_loss(&Loss { first: false, ..lost });
        assert_eq!(cc.inflight_hi, 120 * PACKET, "once a recovery");
        round(&mut cc, at + 2 * RTT, RTT);
        assert_eq!(cc.window(), 120 * PACKET);
    }

    #[test]
    fn a_timeout_leaves_one_packet_and_the_rate() {
        let (mut cc, at) = warm();
        cc.on_timeout();
        assert_eq!(cc.window(), PACKET);
        round(&mut cc, at + RTT, RTT);
        assert!((4..200).contains(&(cc.window() / PACKET)));
        assert_eq!(cc.rate(), RATE);
    }

    #[test]
    fn short_paths_count_as_two_milliseconds() {
        let (mut cc, mut at) = (controller(), now());
        for _ in 0..40 {
            at += MS / 10;
            round(&mut cc, at, MS / 10);
        }
        let filled = bytes_in(cc.rate(), 2 * MS) as usize;
        assert!(cc.window() >= 2 * filled, "{} {filled}", cc.window());
    }
}
