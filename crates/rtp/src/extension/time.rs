//! When a packet was sent, when it was captured, and when it is to be shown.

use std::time::Duration;

use super::{Extension, ExtensionError, exactly};
use crate::NtpTime;

/// When the packet left its sender: 24 bits, 6 of seconds and 18 of their fraction; it wraps each 64 s.
/// <http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AbsSendTime(pub u32);

impl AbsSendTime {
    /// The span from an earlier packet's time to this one, around the wrap.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let units = u64::from(self.0.wrapping_sub(earlier.0) & 0x00ff_ffff);
        Duration::from_nanos((units * 1_000_000_000) >> 18)
    }
}

impl From<NtpTime> for AbsSendTime {
    fn from(time: NtpTime) -> Self {
        Self((time.0 >> 14) as u32 & 0x00ff_ffff)
    }
}

impl Extension<'_> for AbsSendTime {
    const URI: &'static str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";

    fn parse(value: &[u8]) -> Result<Self, ExtensionError> {
        let [a, b, c] = exactly(value)?;
        Ok(Self(u32::from_be_bytes([0, a, b, c])))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes()[1..]);
    }
}

/// When the packet's first sample was captured, by its first sender's clock; mixers and forwarders keep it.
/// <http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AbsCaptureTime {
    /// By the clock of the first sender.
    pub timestamp: NtpTime,
    /// How far, in units of 2^-32 s, the first sender's clock is ahead of that of whoever sends the packet now, as the latter
    /// estimates it.
    pub clock_offset: Option<i64>,
}

impl Extension<'_> for AbsCaptureTime {
    const URI: &'static str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

    fn parse(value: &[u8]) -> Result<Self, ExtensionError> {
        let (timestamp, offset) = value.split_first_chunk().ok_or(ExtensionError::WrongLength)?;
        let clock_offset = match offset {
            [] => None,
            offset => Some(i64::from_be_bytes(exactly(offset)?)),
        };
        let timestamp = NtpTime(u64::from_be_bytes(*timestamp));
        Ok(Self {
            timestamp,
            clock_offset,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.0.to_be_bytes());
        if let Some(offset) = self.clock_offset {
            out.extend_from_slice(&offset.to_be_bytes());
        }
    }
}

/// How long the receiver should, and may, delay a frame, from capture to display. Both 0 asks for the least delay that there
/// is. <http://www.webrtc.org/experiments/rtp-hdrext/playout-delay>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlayoutDelay {
    /// In units of 10 ms, 12 bits; more is written as 4,095.
    pub min: u16,
    /// In units of 10 ms, 12 bits; more is written as 4,095.
    pub max: u16,
}

impl Extension<'_> for PlayoutDelay {
    const URI: &'static str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

    fn parse(value: &[u8]) -> Result<Self, ExtensionError> {
        let [a, b, c] = exactly(value)?;
        let (min, max) = (u16::from_be_bytes([a, b]) >> 4, u16::from_be_bytes([b & 0x0f, c]));
        // "min delay <= max delay": what contradicts itself is ignored.
        if min > max {
            return Err(ExtensionError::OutOfRange);
        }
        Ok(Self { min, max })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (min, max) = (u32::from(self.min.min(4095)), u32::from(self.max.min(4095)));
        out.extend_from_slice(&(min << 12 | max).to_be_bytes()[1..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn send_times_are_the_middle_of_an_ntp_time() {
        let time = AbsSendTime::from(NtpTime(0x1234_567b_8000_0000));
        assert_eq!(time, AbsSendTime(0x3b << 18 | 1 << 17));
        assert_eq!(
            AbsSendTime(1 << 17).since(AbsSendTime(0x00ff_ffff - (1 << 17) + 1)),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn a_capture_time_may_have_an_offset() {
        let mut value = vec![0, 0, 0, 1, 0x80, 0, 0, 0];
        let timestamp = NtpTime(0x1_8000_0000);
        assert_eq!(
            AbsCaptureTime::parse(&value),
            Ok(AbsCaptureTime {
                timestamp,
                clock_offset: None
            })
        );
        value.extend([0xff; 8]);
        assert_eq!(
            AbsCaptureTime::parse(&value),
            Ok(AbsCaptureTime {
                timestamp,
                clock_offset: Some(-1)
            })
        );
        assert_eq!(AbsCaptureTime::parse(&value[..9]), Err(ExtensionError::WrongLength));
    }

    #[test]
    fn a_delay_has_twelve_bits() {
        let mut out = Vec::new();
        PlayoutDelay { min: 0x123, max: 9999 }.write(&mut out);
        assert_eq!(out, [0x12, 0x3f, 0xff]);
        assert_eq!(PlayoutDelay::parse(&out), Ok(PlayoutDelay { min: 0x123, max: 0xfff }));
        assert_eq!(PlayoutDelay::parse(&[0, 0x20, 1]), Err(ExtensionError::OutOfRange));
    }
}
