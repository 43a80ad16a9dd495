//! What can be wrong with a key or a packet.

use std::fmt;

/// A key, a salt or keying material does not have the length that its profile asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyLengthError;

impl fmt::Display for KeyLengthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key does not have the profile's length")
    }
}

impl std::error::Error for KeyLengthError {}

/// Why a packet was not protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProtectError {
    /// It is no RTP or RTCP packet of version 2: its header, CSRCs or header extension reach past its end. Or its header
    /// extension has a form that [`Config::cryptex`](crate::Config::cryptex) cannot encrypt.
    Malformed,
    /// It is longer than 65,535 bytes.
    TooLong,
    /// A packet of this index was protected before. Two packets encrypted alike give each other away.
    Repeated,
    /// It is older than the replay window.
    TooOld,
    /// 2^48 SRTP packets or 2^31 SRTCP packets of this SSRC were protected with this key (RFC 3711 §9.2).
    KeyExpired,
    /// There are as many SSRCs as [`Config::max_streams`](crate::Config::max_streams) and
    /// [`Config::max_retired`](crate::Config::max_retired) allow.
    TooManyStreams,
}

impl fmt::Display for ProtectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the packet is malformed",
            Self::TooLong => "the packet is too long",
            Self::Repeated => "a packet of this index was protected before",
            Self::TooOld => "the packet is older than the replay window",
            Self::KeyExpired => "the key has protected as many packets as it may",
            Self::TooManyStreams => "there are too many SSRCs",
        })
    }
}

impl std::error::Error for ProtectError {}

/// Why a packet was refused. In all cases nothing remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnprotectError {
    /// It is no SRTP or SRTCP packet: shorter than header and tag, or its CSRCs or header extension reach past its end.
    Malformed,
    /// It was received before.
    Replayed,
    /// It is older than the replay window, so it may have been received before.
    TooOld,
    /// It did not come from the peer, or not unharmed.
    Forged,
    /// It would be beyond the last packet that a key may protect (RFC 3711 §9.2).
    KeyExpired,
    /// Its SSRC is new, and there are as many as [`Config::max_streams`](crate::Config::max_streams) and
    /// [`Config::max_retired`](crate::Config::max_retired) allow.
    TooManyStreams,
}

impl fmt::Display for UnprotectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the packet is malformed",
            Self::Replayed => "the packet was received before",
            Self::TooOld => "the packet is older than the replay window",
            Self::Forged => "the packet is not authentic",
            Self::KeyExpired => "the packet is beyond the life of the key",
            Self::TooManyStreams => "there are too many SSRCs",
        })
    }
}

impl std::error::Error for UnprotectError {}

/// The state to resume from lies behind what has been protected or received already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResumeError {
    /// A stream never goes back: its packets would be encrypted as others were, or received again.
    Behind,
    /// There are as many SSRCs as [`Config::max_streams`](crate::Config::max_streams) and
    /// [`Config::max_retired`](crate::Config::max_retired) allow.
    TooManyStreams,
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Behind => "the stream is ahead of this already",
            Self::TooManyStreams => "there are too many SSRCs",
        })
    }
}

impl std::error::Error for ResumeError {}
