//! Keys that are pressed (RFC 4733), sent and received.

use std::time::Duration;

/// A key that was pressed at the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtmfTone {
    /// `0` to `9`, `*`, `#`, `A` to `D`.
    pub tone: char,
    /// For how long.
    pub duration: Duration,
}
