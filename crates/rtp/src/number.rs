//! The numbers that name a stream and its format.

use std::fmt;

/// Names a synchronization source, or a contributing one (RFC 3550 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Says what format a payload has: 7 bits (RFC 3550 §5.1); a greater number loses its high bit when it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadType(pub u8);

impl PayloadType {
    /// PCM, μ-law, 8,000 Hz (RFC 3551 §6).
    pub const PCMU: Self = Self(0);
    /// PCM, A-law, 8,000 Hz (RFC 3551 §6).
    pub const PCMA: Self = Self(8);
    /// G.722, with a clock of 8,000 Hz though it samples at 16,000 Hz (RFC 3551 §4.5.2, §6).
    pub const G722: Self = Self(9);
    /// Comfort noise (RFC 3389).
    pub const CN: Self = Self(13);

    /// True if RTP and RTCP on one port can be told apart with this type. 64 to 95 would look like RTCP packet types 192
    /// to 223 behind the marker bit, and from 128 on there is no type.
    ///
    /// > RTP payload types in the range 64-95 MUST NOT be used (RFC 5761 §4)
    #[must_use]
    pub fn fits_beside_rtcp(self) -> bool {
        matches!(self.0, 0..=63 | 96..=127)
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
