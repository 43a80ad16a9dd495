//! Whole peers without I/O, in memory: ICE, DTLS, SRTP and one stream of video, packet by packet.

mod peerline;
#[cfg(feature = "peers")]
mod rtc;
#[cfg(feature = "peers")]
mod str0m;

pub(crate) use self::peerline::Peerline;
#[cfg(feature = "peers")]
pub(crate) use self::{rtc::Rtc, str0m::Str0m};

/// What a datagram of 1,200 bytes has room for, with header extensions and a tag of 16 bytes.
pub(crate) const PAYLOAD: usize = 1_150;
