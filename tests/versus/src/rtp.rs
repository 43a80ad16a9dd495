//! Whole peers without I/O, in memory: ICE, DTLS, SRTP and one stream of video, packet by packet.

mod peerline;
#[cfg(feature = "peers")]
pub(crate) mod rtc;
#[cfg(feature = "peers")]
mod str0m;

pub(crate) use self::peerline::Peerline;
#[cfg(feature = "peers")]
pub(crate) use self::{rtc::Rtc, str0m::Str0m};

use crate::srtp::Profile;

/// What a datagram of 1,200 bytes has room for, with header extensions and a tag of 16 bytes.
pub(crate) const PAYLOAD: usize = 1_150;

/// How two of a stack protect RTP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// By the AEAD that they agree on: AES-128-GCM, or AES-256-GCM.
    Gcm,
    /// By AES_CM_128_HMAC_SHA1_80.
    AesCm,
}

impl Protection {
    /// The least that it can be.
    pub(crate) fn profile(self) -> Profile {
        match self {
            Self::Gcm => Profile::Gcm128,
            Self::AesCm => Profile::AesCm80,
        }
    }
}
