//! [`Stats`]: counters, and the few figures that W3C's `RTCSctpTransportStats` asks for.

use std::time::Duration;

/// What an association has counted since it was made. Counters only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// SCTP packets sent.
    pub packets_sent: u64,
    /// SCTP packets received, those dropped included.
    pub packets_received: u64,
    /// Bytes of SCTP packets sent.
    pub bytes_sent: u64,
    /// Bytes of SCTP packets received.
    pub bytes_received: u64,
    /// Messages of which the last fragment has been sent.
    pub messages_sent: u64,
    /// Messages reassembled and put in order.
    pub messages_received: u64,
    /// Messages given up by their [`Reliability`](crate::Reliability), and those for streams the peer does not accept.
    pub messages_abandoned: u64,
    /// DATA chunks sent, retransmissions included.
    pub data_chunks_sent: u64,
    /// DATA chunks sent again.
    pub retransmissions: u64,
    /// DATA chunks found missing by later acknowledgements.
    pub fast_retransmits: u64,
    /// Expiries of T3-rtx.
    pub timeouts: u64,
    /// DATA chunks received.
    pub data_chunks_received: u64,
    /// DATA chunks received that had been received before.
    pub duplicates_received: u64,
    /// DATA chunks dropped because a limit was reached; the peer sends them again.
    pub data_chunks_refused: u64,
    /// Packets dropped for a wrong checksum.
    pub bad_checksums: u64,
    /// Packets dropped for a wrong port or verification tag.
    pub bad_tags: u64,
    /// Packets or chunks dropped because they could not be parsed or made no sense in the state.
    pub malformed: u64,
    /// Cookies refused: forged, of another association, or stale.
    pub cookies_refused: u64,
    /// The smoothed round-trip time, once measured.
    pub smoothed_rtt: Option<Duration>,
    /// The retransmission timeout.
    pub rto: Duration,
    /// The congestion window, in bytes.
    pub congestion_window: usize,
    /// The peer's receive window, less what is in flight, in bytes.
    pub receiver_window: usize,
    /// Bytes sent and not acknowledged.
    pub bytes_in_flight: usize,
    /// DATA chunks sent and not acknowledged.
    pub unacked_data: usize,
    /// The largest SCTP packet that the path is known to take, in bytes (RFC 8899: PLPMTU).
    pub mtu: usize,
}
