//! [`Reception`]: what a receiver reports of one stream (RFC 3550 §6.4.1 and §A.3, §A.8).

use std::time::Instant;

/// What has arrived of one stream, as its reports say it.
#[derive(Clone, Debug, Default)]
pub(super) struct Reception {
    first: Option<u64>,
    highest: u64,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    /// "An estimate of the statistical variance of the RTP data packet interarrival time, measured in timestamp units": in 16ths.
    jitter: u64,
    /// When the latest packet came, its timestamp, and how fast its clock is.
    latest: Option<(Instant, u32, u32)>,
}

/// One interval's loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// In 256ths of what was expected since the report before.
    pub(super) fraction: u8,
    /// Since the beginning; negative where duplicates came.
    pub(super) cumulative: i64,
}

impl Reception {
    /// A packet has come: `number` is its extended sequence number.
    pub(super) fn on_packet(&mut self, now: Instant, number: u64, timestamp: u32, clock_rate: u32) {
        self.received += 1;
        if self.first.is_none() {
            self.first = Some(number);
            self.highest = number;
        }
        // Packets of one frame share a timestamp and leave together: only the first of them tells of jitter.
        if let Some((before, previous, rate)) = self.latest
            && previous != timestamp
            // Between two clocks there is nothing to measure.
            && rate == clock_rate
            && number > self.highest
        {
            let passed = now.saturating_duration_since(before).as_secs_f64() * f64::from(clock_rate);
            let sent = f64::from(timestamp.wrapping_sub(previous).cast_signed());
            let difference = (passed - sent).abs().min(f64::from(u32::MAX)) as u64;
            // "J(i) = J(i-1) + (|D(i-1,i)| - J(i-1))/16"
            self.jitter = self.jitter + difference - (self.jitter + 8) / 16;
        }
        if number >= self.highest {
            self.highest = number;
            self.latest = Some((now, timestamp, clock_rate));
        }
    }

    /// The extended highest sequence number, modulo 2^32, as reports have it.
    pub(super) fn extended_highest(&self) -> u32 {
        // The first cycle is 0 on the wire.
        (self.highest as u32).wrapping_sub(1 << 16)
    }

    /// In units of the timestamp.
    pub(super) fn jitter(&self) -> u32 {
        (self.jitter / 16).min(u64::from(u32::MAX)) as u32
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Packets that were expected but did not come; negative where duplicates came.
    pub(super) fn lost(&self) -> i64 {
        self.expected() as i64 - self.received as i64
    }

    /// True if something has come since the report before.
    pub(super) fn has_news(&self) -> bool {
        self.received != self.received_prior
    }

    /// The loss since the report before; begins the next interval.
    pub(super) fn report(&mut self) -> Loss {
        let expected = self.expected();
        let interval = expected - self.expected_prior.min(expected);
        let received = self.received - self.received_prior;
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost = interval.saturating_sub(received);
        Loss {
            fraction: (lost << 8).checked_div(interval).unwrap_or(0).min(255) as u8,
            cumulative: expected as i64 - self.received as i64,
        }
    }

    fn expected(&self) -> u64 {
        self.first.map_or(0, |first| self.highest.saturating_sub(first) + 1)
    }

    /// When the latest packet came, and its timestamp.
    pub(super) fn latest_packet(&self) -> Option<(Instant, u32)> {
        self.latest.map(|(at, timestamp, _)| (at, timestamp))
    }

    /// When the latest packet came.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.latest.map(|(at, ..)| at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn losses_are_counted_by_interval_and_in_all() {
        let now = crate::media::tests::start();
        let mut reception = Reception::default();
        for number in [65_536 + 10, 65_536 + 11, 65_536 + 13] {
            reception.on_packet(now, number, 0, 90_000);
        }
        assert_eq!(
            reception.report(),
            Loss {
                fraction: 64,
                cumulative: 1
            }
        );
        reception.on_packet(now, 65_536 + 14, 0, 90_000);
        assert_eq!(
            reception.report(),
            Loss {
                fraction: 0,
                cumulative: 1
            }
        );
        assert_eq!(reception.extended_highest(), 14);
        // A retransmission fills the gap.
        reception.on_packet(now, 65_536 + 12, 0, 90_000);
        assert_eq!(
            reception.report(),
            Loss {
                fraction: 0,
                cumulative: 0
            }
        );
    }

    #[test]
    fn jitter_is_how_much_spacing_varies() {
        let start = crate::media::tests::start();
        let mut steady = Reception::default();
        let mut shaky = Reception::default();
        for packet in 0..200u64 {
            let at = start + Duration::from_millis(20 * packet);
            steady.on_packet(at, 65_536 + packet, (packet * 960) as u32, 48_000);
            let late = Duration::from_millis(10 * (packet % 2));
            shaky.on_packet(at + late, 65_536 + packet, (packet * 960) as u32, 48_000);
        }
        assert_eq!(steady.jitter(), 0);
        // Each step is 10 ms off: 480 ticks.
        assert!((450..=480).contains(&shaky.jitter()), "{}", shaky.jitter());
    }
}
