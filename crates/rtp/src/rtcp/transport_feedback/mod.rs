//! [`TransportFeedback`]: when each packet of a transport came (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|  FMT=15 |    PT=205     |           length              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     SSRC of packet sender                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                      SSRC of media source                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      base sequence number     |      packet status count      |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                 reference time                | fb pkt. count |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |          packet chunk         |         packet chunk …        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  recv delta   |  recv delta … |          zero padding         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

mod chunk;
mod read;
mod write;

use std::time::Duration;

use peerline_wire::Serial16;

pub use write::Written;

use super::{Entries, ParseError};
use crate::Ssrc;

/// The two sources, base, count and reference time.
const FIXED_LEN: usize = 16;

/// When each packet of a transport came, by its [`TransportSequence`](crate::extension::TransportSequence).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    /// Who received the packets.
    pub sender: Ssrc,
    /// Any stream of the transport.
    pub media: Ssrc,
    /// The first packet that is reported on.
    pub base_sequence_number: Serial16,
    /// How many are reported on, from the base on.
    pub packet_status_count: u16,
    /// One more with each feedback packet; it wraps.
    pub feedback_count: u8,
    /// In units of 64 ms: 24 bits.
    reference_time: u32,
    /// As many as the statuses take.
    chunks: &'a [u8],
    /// As many as the statuses take, or none.
    deltas: Option<&'a [u8]>,
}

/// Whether and when a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reception {
    /// It has not come.
    NotReceived,
    /// It came; the sender had not asked when
    /// ([`FeedbackRequest::include_timestamps`](crate::extension::FeedbackRequest::include_timestamps)).
    Untimed,
    /// It came then.
    At(ArrivalTime),
}

impl Reception {
    /// When the packet came, if it did and that is told.
    #[must_use]
    pub fn time(self) -> Option<ArrivalTime> {
        match self {
            Self::At(time) => Some(time),
            Self::NotReceived | Self::Untimed => None,
        }
    }
}

/// When a packet came, by its receiver's clock: in units of 250 µs since a time that the receiver chose. It wraps after 12.4
/// days, as the feedback's reference time does, and has no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArrivalTime(pub u32);

impl ArrivalTime {
    /// The time so long after the receiver's epoch, rounded down.
    #[must_use]
    pub fn from_duration(since_epoch: Duration) -> Self {
        Self((since_epoch.as_micros() / 250) as u32)
    }

    /// Microseconds from `earlier` to this time, negative if it came after; right if less than 6 days lie between them.
    #[must_use]
    pub fn micros_since(self, earlier: Self) -> i64 {
        i64::from(self.0.wrapping_sub(earlier.0) as i32) * 250
    }
}

impl TransportFeedback<'_> {
    /// When the reference is, which no packet came much before.
    #[must_use]
    pub fn reference_time(&self) -> ArrivalTime {
        ArrivalTime(self.reference_time << 8)
    }
}

#[cfg(test)]
mod tests;
