//! CUBIC (RFC 9438), with HyStart++ (RFC 9406) for slow start.

use std::time::{Duration, Instant};

use super::hystart::{Growth, HyStart};
use super::new_reno::{is_used, is_used_in_slow_start, pace, threshold_after_idle, used, window_after_idle};
use super::{Acknowledged, Controller, Loss};

/// Windows are counted in packets here, as the RFC's formulas have them.
#[derive(Debug)]
pub(crate) struct Cubic {
    packet: usize,
    initial_window: usize,
    window: f64,
    threshold: f64,
    /// W_max: the window before the last reduction.
    max: f64,
    epoch: Option<Epoch>,
    hystart: HyStart,
    /// When something was last acknowledged.
    acknowledged_at: Option<Instant>,
}

/// Congestion avoidance since the last reduction.
#[derive(Debug)]
struct Epoch {
    start: Instant,
    /// Where the curve is flat: W_max, or the window at the start if that is larger.
    origin: f64,
    /// K: seconds until the window is there.
    k: f64,
    /// W_est: what Reno's window would be.
    estimate: f64,
}

impl Cubic {
    pub(crate) fn new(packet: usize, initial_window: usize) -> Self {
        Self {
            packet,
            initial_window,
            window: initial_window as f64 / packet as f64,
            threshold: f64::INFINITY,
            max: 0.0,
            epoch: None,
            hystart: HyStart::default(),
            acknowledged_at: None,
        }
    }

    /// §4.2–§4.5.
    fn avoid(&mut self, acknowledged: &Acknowledged) {
        let Acknowledged { now, smoothed, .. } = *acknowledged;
        let packets = acknowledged.bytes as f64 / self.packet as f64;
        let window = self.window;
        let origin = self.max.max(window);
        let epoch = self.epoch.get_or_insert_with(|| Epoch {
            start: now,
            origin,
            // "K = cubic_root((W_max - cwnd_epoch) / C)"
            k: cubic_root((origin - window) / C),
            estimate: window,
        });
        let t = now.saturating_duration_since(epoch.start).as_secs_f64();
        // "W_cubic(t) = C * (t - K)^3 + W_max"
        let cubic = |t: f64| C * (t - epoch.k).powi(3) + epoch.origin;
        // §4.3: "W_est = W_est + α_cubic * (segments_acked / cwnd)"; α is 1 once W_est is what the window was before.
        let alpha = if epoch.estimate < epoch.origin { ALPHA } else { 1.0 };
        epoch.estimate += alpha * packets / window;
        if cubic(t) < epoch.estimate {
            self.window = window.max(epoch.estimate);
            return;
        }
        // §4.2: the target is what the window should be a round trip later, within bounds.
        let rtt = smoothed.unwrap_or_default().as_secs_f64();
        let target = cubic(t + rtt).clamp(window, 1.5 * window);
        // §4.4, §4.5: "cwnd is incremented by (target - cwnd) / cwnd" for each packet.
        self.window += (target - window) / window * packets;
    }

    /// §4.6, §4.7.
    fn reduce(&mut self, used: f64) {
        self.epoch = None;
        // Fast convergence: "if (cwnd < W_max) W_max = W_max * (1 + β_cubic) / 2 […] else W_max = cwnd".
        self.max = if self.window < self.max {
            self.window * (1.0 + BETA) / 2.0
        } else {
            self.window
        };
        self.threshold = (used * BETA).max(2.0);
    }

    fn bytes(&self, packets: f64) -> usize {
        (packets * self.packet as f64) as usize
    }
}

impl Controller for Cubic {
    fn window(&self) -> usize {
        self.bytes(self.window)
    }

    fn pacing_rate(&self, smoothed: Duration) -> Option<u64> {
        Some(pace(self.window(), self.window < self.threshold, smoothed))
    }

    fn reduces_on_loss(&self) -> bool {
        true
    }

    fn on_acknowledged(&mut self, acknowledged: &Acknowledged) {
        let now = acknowledged.now;
        let before = self.acknowledged_at.replace(now);
        if acknowledged.recovering {
            return;
        }
        if self.window < self.threshold {
            let growth = self.hystart.on_acknowledged(acknowledged);
            if !is_used_in_slow_start(self.window(), acknowledged) {
                return;
            }
            match growth {
                Growth::Bytes(bytes) => {
                    self.window += (bytes as f64 / self.packet as f64).min(L);
                }
                Growth::Over => self.threshold = self.window,
            }
        } else if is_used(self.window(), self.packet, acknowledged) {
            self.avoid(acknowledged);
        } else if let (Some(epoch), Some(before)) = (&mut self.epoch, before) {
            // §5.8: time in which the application had too little to send does not count.
            epoch.start += now.saturating_duration_since(before);
        }
    }

    fn on_loss(&mut self, loss: &Loss) {
        if loss.first {
            self.reduce(used(self.window(), loss.peak) as f64 / self.packet as f64);
            self.window = self.threshold;
        }
    }

    /// §4.8.
    fn on_timeout(&mut self) {
        self.reduce(self.window);
        self.window = 1.0;
        // "W_max is set to the window size at the beginning of the current congestion avoidance stage."
        self.max = 0.0;
        self.hystart = HyStart::default();
    }

    fn on_idle(&mut self, timeouts: u32) {
        let threshold = if self.threshold.is_finite() {
            self.bytes(self.threshold)
        } else {
            usize::MAX
        };
        let threshold = threshold_after_idle(threshold, self.window());
        if threshold < usize::MAX {
            self.threshold = threshold as f64 / self.packet as f64;
        }
        self.window = window_after_idle(self.window(), timeouts, self.initial_window) as f64 / self.packet as f64;
        self.epoch = None;
    }
}

/// By Newton's method: the same on every machine.
fn cubic_root(x: f64) -> f64 {
    let mut root = x.max(1.0);
    for _ in 0..60 {
        root -= (root - x / (root * root)) / 3.0;
    }
    root
}

/// β_cubic and C of RFC 9438 §4.6 and §5.1.
const BETA: f64 = 0.7;
const C: f64 = 0.4;
/// §4.3: "α_cubic = 3 * (1 - β_cubic) / (1 + β_cubic)".
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// Packets that one acknowledgement may add in slow start.
const L: f64 = 64.0;

#[cfg(test)]
mod tests {
    use super::super::tests::{PACKET, ack, loss, now};
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn packets(cc: &Cubic) -> usize {
        cc.window() / PACKET
    }

    /// Acknowledges a window a round trip of 100 ms, for so long.
    fn run(cc: &mut Cubic, from: Instant, time: Duration) -> Instant {
        let mut at = from;
        while at < from + time {
            for _ in 0..10 {
                at += 10 * MS;
                cc.on_acknowledged(&Acknowledged {
                    now: at,
                    smoothed: Some(100 * MS),
                    ..ack(cc.window() / 10, cc.window())
                });
            }
        }
        at
    }

    #[test]
    fn the_window_follows_the_cubic_function() {
        let mut cc = Cubic::new(PACKET, 1000 * PACKET);
        cc.on_loss(&loss(1000 * PACKET));
        assert_eq!(packets(&cc), 700, "β is 0.7");
        // K = cubic_root(300 / 0.4) = 9.09 s.
        let at = run(&mut cc, now(), Duration::from_secs(3));
        let expected = 0.4 * (3.0f64 - 9.086).powi(3) + 1000.0;
        assert!(
            (packets(&cc) as f64 - expected).abs() < 10.0,
            "{} {expected}",
            packets(&cc)
        );
        let at = run(&mut cc, at, Duration::from_secs(6));
        assert!(
            (995..=1001).contains(&packets(&cc)),
            "a plateau at W_max: {}",
            packets(&cc)
        );
        run(&mut cc, at, Duration::from_secs(6));
        let expected = 0.4 * (15.0f64 - 9.086).powi(3) + 1000.0;
        assert!(
            (packets(&cc) as f64 - expected).abs() < 20.0,
            "{} {expected}",
            packets(&cc)
        );
    }

    #[test]
    fn on_short_paths_it_grows_as_reno_does() {
        let mut cc = Cubic::new(PACKET, 20 * PACKET);
        cc.on_loss(&loss(20 * PACKET));
        assert_eq!(packets(&cc), 14);
        // Ten round trips of 1 ms: time for α = 0.53 a round trip, not for the cubic function.
        let mut at = now();
        for _ in 0..10 {
            at += MS;
            cc.on_acknowledged(&Acknowledged {
                now: at,
                smoothed: Some(MS),
                ..ack(cc.window(), cc.window())
            });
        }
        assert!((18.8..19.5).contains(&cc.window), "{}", cc.window);
    }

    #[test]
    fn a_flow_that_loses_again_early_makes_room() {
        let mut cc = Cubic::new(PACKET, 100 * PACKET);
        cc.on_loss(&loss(100 * PACKET));
        cc.on_loss(&loss(70 * PACKET));
        assert_eq!(cc.max, 70.0 * 0.85);
        assert_eq!(packets(&cc), 49);
    }

    #[test]
    fn slow_start_ends_when_the_round_trip_grows() {
        let mut cc = Cubic::new(PACKET, 10 * PACKET);
        let mut rounds = 0;
        while cc.window < cc.threshold {
            // A queue builds up from the fifth round on.
            let rtt = 50 * MS + 10 * MS * u32::saturating_sub(rounds, 4);
            for sample in 0..10 {
                let window = cc.window();
                cc.on_acknowledged(&Acknowledged {
                    rtt: Some(rtt),
                    round_ended: sample == 0,
                    ..ack(PACKET, window)
                });
            }
            rounds += 1;
            assert!(rounds < 20);
        }
        assert_eq!(
            rounds,
            5 + 6,
            "it is noticed in the sixth round, and five rounds of CSS follow"
        );
        assert!((10 + 60..10 + 90).contains(&packets(&cc)), "{}", packets(&cc));
    }

    #[test]
    fn slow_start_goes_on_when_the_delay_was_not_the_queue() {
        let mut cc = Cubic::new(PACKET, 10 * PACKET);
        for round in 0..30 {
            let rtt = if round == 5 { 80 * MS } else { 50 * MS };
            for sample in 0..10 {
                let window = cc.window();
                cc.on_acknowledged(&Acknowledged {
                    rtt: Some(rtt),
                    round_ended: sample == 0,
                    ..ack(PACKET, window)
                });
            }
        }
        assert!(cc.window < cc.threshold);
        assert!(packets(&cc) > 290, "{}", packets(&cc));
    }

    #[test]
    fn one_packet_after_a_timeout_and_half_a_window_after_silence() {
        let mut cc = Cubic::new(PACKET, 10 * PACKET);
        cc.on_timeout();
        assert_eq!((packets(&cc), cc.threshold), (1, 7.0));
        let mut cc = Cubic::new(PACKET, 10 * PACKET);
        cc.window = 100.0;
        cc.on_idle(1);
        assert_eq!(packets(&cc), 50);
        cc.on_idle(50);
        assert_eq!(packets(&cc), 10);
    }

    #[test]
    fn cubic_roots() {
        for x in [0.0, 1e-6, 0.5, 1.0, 27.0, 1e9] {
            let root = cubic_root(x);
            assert!((root.powi(3) - x).abs() <= 1e-9 * x.max(1.0), "{x} {root}");
        }
    }
}
