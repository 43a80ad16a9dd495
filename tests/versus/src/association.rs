//! SCTP alone, in memory.

mod peerline;
#[cfg(feature = "peers")]
mod rtc_sctp;
#[cfg(feature = "peers")]
mod sctp_proto;

pub(crate) use self::peerline::{Peerline, PeerlineZeroChecksum};
#[cfg(feature = "peers")]
pub(crate) use self::{rtc_sctp::RtcSctp, sctp_proto::SctpProto};
