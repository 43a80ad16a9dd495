//! HyStart++ (RFC 9406): leaving slow start when the round trip grows, before something is lost.

use std::time::Duration;

use super::Acknowledged;

#[derive(Debug, Default)]
pub(crate) struct HyStart {
    /// lastRoundMinRTT and currentRoundMinRTT.
    last: Option<Duration>,
    current: Option<Duration>,
    /// rttSampleCount.
    samples: u32,
    /// Conservative Slow Start: cssBaselineMinRtt, and the rounds in it.
    conservative: Option<(Duration, u32)>,
}

/// What slow start does with an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    Bytes(usize),
    /// Congestion avoidance begins.
    Over,
}

impl HyStart {
    /// How much the window grows in slow start.
    pub(crate) fn on_acknowledged(&mut self, acknowledged: &Acknowledged) -> Growth {
        // §4.2: "lastRoundMinRTT = currentRoundMinRTT, currentRoundMinRTT = infinity, rttSampleCount = 0"
        if acknowledged.round_ended {
            self.last = self.current.take().or(self.last);
            self.samples = 0;
            if let Some((_, rounds)) = &mut self.conservative {
                *rounds += 1;
                if *rounds >= CSS_ROUNDS {
                    return Growth::Over;
                }
            }
        }
        if let Some(rtt) = acknowledged.rtt {
            self.current = Some(self.current.map_or(rtt, |current| current.min(rtt)));
            self.samples += 1;
        }
        if let (Some(current), Some(last)) = (self.current, self.last)
            && self.samples >= N_RTT_SAMPLE
        {
            match self.conservative {
                // "RttThresh = max(MIN_RTT_THRESH, min(lastRoundMinRTT / MIN_RTT_DIVISOR, MAX_RTT_THRESH))"
                None if current >= last + (last / 8).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH) => {
                    self.conservative = Some((current, 0));
                }
                // "If currentRoundMinRTT < cssBaselineMinRtt", the delay was not the queue's.
                Some((baseline, _)) if current < baseline => self.conservative = None,
                _ => {}
            }
        }
        let divisor = if self.conservative.is_some() {
            CSS_GROWTH_DIVISOR
        } else {
            1
        };
        Growth::Bytes(acknowledged.bytes / divisor)
    }
}

const N_RTT_SAMPLE: u32 = 8;
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const CSS_GROWTH_DIVISOR: usize = 4;
const CSS_ROUNDS: u32 = 5;
