//! [`RateControl`]: the bitrate that delay allows (draft-ietf-rmcat-gcc-02 §5.5).

use std::time::{Duration, Instant};

use super::Bounds;
use super::overuse::Usage;

/// Additive or multiplicative increase, multiplicative decrease.
#[derive(Clone, Debug)]
pub(super) struct RateControl {
    bounds: Bounds,
    bitrate: f64,
    state: State,
    updated: Instant,
    decreased: Option<Instant>,
    /// What arrived whenever it was too much.
    ceiling: Option<Ceiling>,
}

/// ```text
/// | signal | Hold     | Increase | Decrease |
/// | over   | Decrease | Decrease |          |
/// | normal | Increase |          | Hold     |
/// | under  |          | Hold     | Hold     |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
}

/// An average of what arrived at each decrease, and how it varies, both relative.
#[derive(Clone, Copy, Debug)]
struct Ceiling {
    mean: f64,
    /// Of the deviation's square by the mean.
    variance: f64,
}

/// "beta: 0.85" (§5.6).
const DECREASE: f64 = 0.85;
/// "eta = 1.08^min(time_since_last_update_ms / 1000, 1.0)" (§5.5).
const INCREASE: f64 = 1.08;
/// The same before anything has been too much. The draft leaves it to probes to find the rate quickly.
const FIRST_INCREASE: f64 = 1.6;
/// "The rate … should never exceed 1.5 * R_hat(i)": what the application does not send proves nothing (§5.5).
const HEADROOM: f64 = 1.5;
const MIN_HEADROOM: f64 = 10_000.0;
/// What an increase adds near the ceiling: half a packet in each response time, "alpha = 0.5 * min(time_since_last_update_ms /
/// response_time_ms, 1.0)", of a frame in 30 a second, in packets of 1,200 bytes (§5.5).
const PACKET_BITS: f64 = 1_200.0 * 8.0;
const FRAME_RATE: f64 = 30.0;
const RESPONSE: Duration = Duration::from_millis(100);
/// "A moving average with … smoothing factor 0.95" (§5.5).
const SMOOTHING: f64 = 0.95;
/// The same to drain a queue that stands, and how often.
const DRAIN: f64 = 0.95;
const DRAIN_PAUSE: Duration = Duration::from_secs(1);
/// Decreases are so far apart at least, so that each is seen to work.
const DECREASE_PAUSES: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_millis(300);

impl RateControl {
    pub(super) fn new(now: Instant, bounds: Bounds) -> Self {
        Self {
            bounds,
            bitrate: bounds.start as f64,
            state: State::Hold,
            updated: now,
            decreased: None,
            ceiling: None,
        }
    }

    pub(super) fn bitrate(&self) -> u64 {
        self.bitrate as u64
    }

    /// So much has passed: where something was too much, the path has changed.
    pub(super) fn raise(&mut self, found: u64) {
        let found = found as f64;
        if let Some(ceiling) = &mut self.ceiling
            && found > ceiling.mean
            && !ceiling.is_near(found)
        {
            ceiling.mean = f64::INFINITY;
        }
        self.bitrate = self.bitrate.max(found).min(self.bounds.max as f64);
    }

    /// Takes a verdict, with what arrived lately, in bits a second.
    pub(super) fn on_usage(&mut self, now: Instant, usage: Usage, throughput: Option<u64>, round_trip: Duration) {
        let since = now.saturating_duration_since(self.updated).min(Duration::from_secs(1));
        self.updated = now;
        let throughput = throughput.map(|bitrate| bitrate as f64);
        match usage {
            Usage::Over => self.decrease(now, throughput, round_trip),
            Usage::Under => self.state = State::Hold,
            Usage::Standing => self.drain(now, throughput),
            Usage::Normal => match self.state {
                State::Hold => self.state = State::Increase,
                State::Increase => self.increase(since, throughput, round_trip),
            },
        }
        self.bitrate = self.bitrate.clamp(self.bounds.min as f64, self.bounds.max as f64);
    }

    fn decrease(&mut self, now: Instant, throughput: Option<f64>, round_trip: Duration) {
        let pause = round_trip.clamp(*DECREASE_PAUSES.start(), *DECREASE_PAUSES.end());
        if self
            .decreased
            .is_some_and(|before| now.saturating_duration_since(before) < pause)
        {
            return;
        }
        self.decreased = Some(now);
        self.state = State::Hold;
        if let Some(arrived) = throughput {
            self.ceiling = Some(match self.ceiling {
                Some(ceiling) if ceiling.is_near(arrived) => ceiling.moved(arrived),
                Some(_) | None => Ceiling::at(arrived),
            });
        }
        let arrived = throughput.unwrap_or(self.bitrate);
        self.bitrate = self.bitrate.min(DECREASE * arrived);
    }

    /// Sends a little less than arrives, until the queue is gone or is the path's own.
    fn drain(&mut self, now: Instant, throughput: Option<f64>) {
        self.state = State::Hold;
        if let Some(arrived) = throughput
            && self
                .decreased
                .is_none_or(|before| now.saturating_duration_since(before) >= DRAIN_PAUSE)
        {
            self.decreased = Some(now);
            self.bitrate = self.bitrate.min(DRAIN * arrived);
        }
    }

    fn increase(&mut self, since: Duration, throughput: Option<f64>, round_trip: Duration) {
        if let (Some(ceiling), Some(arrived)) = (self.ceiling, throughput)
            && arrived > ceiling.mean
            && !ceiling.is_near(arrived)
        {
            // "the receive bitrate … goes above three standard deviations of the average": the path has changed (§5.5). The
            // increase stays that of the draft, since something was too much once.
            self.ceiling = Some(Ceiling {
                mean: f64::INFINITY,
                ..ceiling
            });
        }
        let raised = match self.ceiling {
            Some(ceiling) if ceiling.is_near(throughput.unwrap_or(self.bitrate)) => {
                let frame = self.bitrate / FRAME_RATE;
                let packet = frame / (frame / PACKET_BITS).ceil();
                let responses = since.as_secs_f64() / (RESPONSE + round_trip).as_secs_f64();
                self.bitrate + (0.5 * packet * responses).max(1_000.0 * since.as_secs_f64())
            }
            Some(_) => self.bitrate * INCREASE.powf(since.as_secs_f64()),
            // Who forwards sends what comes, be the estimate what it may: what has arrived without a queue, the path has taken.
            None => (self.bitrate * FIRST_INCREASE.powf(since.as_secs_f64())).max(throughput.unwrap_or(0.0)),
        };
        let most = throughput.map_or(f64::INFINITY, |arrived| HEADROOM * arrived + MIN_HEADROOM);
        self.bitrate = raised.min(most).max(self.bitrate);
    }
}

impl Ceiling {
    fn at(arrived: f64) -> Self {
        Self {
            mean: arrived,
            variance: 0.4 * 1000.0,
        }
    }

    /// "close to convergence": within three standard deviations (§5.5).
    fn is_near(self, arrived: f64) -> bool {
        if !self.mean.is_finite() {
            return false;
        }
        let deviation = (self.variance * self.mean).sqrt();
        (arrived - self.mean).abs() <= 3.0 * deviation
    }

    fn moved(self, arrived: f64) -> Self {
        let mean = SMOOTHING * self.mean + (1.0 - SMOOTHING) * arrived;
        let error = arrived - mean;
        let variance = SMOOTHING * self.variance + (1.0 - SMOOTHING) * error * error / mean.max(1.0);
        Self {
            mean,
            variance: variance.clamp(0.4 * 1000.0, 2.5 * 1000.0),
        }
    }
}
