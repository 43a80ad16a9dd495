//! [`TransceiverId`]: which transceiver of a connection.

/// A transceiver of a connection: a sender and a receiver that share a media section (`RTCRtpTransceiver`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransceiverId(pub(crate) u32);
