//! What an agent counts, under the names of W3C webrtc-stats where it has one.

use std::time::{Duration, Instant};

use peerline_wire::FiveTuple;

use crate::{Candidate, PairId, PairState};

/// The pair that carries data, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidatePair {
    /// Names the pair in this agent's statistics.
    pub id: PairId,
    /// Our candidate: peer-reflexive if the peer sees us at an address that we did not know.
    pub local: Candidate,
    /// The peer's candidate. If it was signalled by name, the name is still its address.
    pub remote: Candidate,
    /// Where datagrams go: from the base of the local candidate to the remote one.
    pub five_tuple: FiveTuple,
    /// RFC 8445 §6.1.2.3.
    pub priority: u64,
    /// True once the controlling side has settled on it; until then another may follow.
    pub nominated: bool,
}

/// `RTCIceCandidatePairStats`, as far as ICE knows it. Packets and bytes are those of data, not of checks.
#[derive(Clone, Debug)]
pub struct CandidatePairStats {
    /// The pair.
    pub pair: CandidatePair,
    /// Where its checks have got to.
    pub state: PairState,
    /// True for the pair that carries data.
    pub selected: bool,
    /// What was counted.
    pub counters: PairCounters,
}

/// The counters of a candidate pair, under their W3C names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairCounters {
    /// Datagrams of data sent.
    pub packets_sent: u64,
    /// Datagrams of data received.
    pub packets_received: u64,
    /// Bytes of data sent, without headers below the payload.
    pub bytes_sent: u64,
    /// Bytes of data received.
    pub bytes_received: u64,
    /// When data was last received.
    pub last_packet_received: Option<Instant>,
    /// The sum of the round-trip times of all responses.
    pub total_round_trip_time: Duration,
    /// The latest round-trip time.
    pub current_round_trip_time: Option<Duration>,
    /// Checks received, retransmissions included.
    pub requests_received: u64,
    /// Checks sent, without retransmissions and without those for consent.
    pub requests_sent: u64,
    /// Responses received.
    pub responses_received: u64,
    /// Responses sent.
    pub responses_sent: u64,
    /// Retransmissions of checks.
    pub retransmissions_sent: u64,
    /// Checks for consent sent (RFC 7675).
    pub consent_requests_sent: u64,
}

/// What was dropped, and why. None of it changes anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DropCounters {
    /// Not a STUN message, or with a wrong or missing FINGERPRINT, or of a method other than Binding.
    pub malformed: u64,
    /// Sent to an address that is not ours.
    pub unknown_local_address: u64,
    /// Requests without credentials or with wrong ones.
    pub unauthenticated_requests: u64,
    /// Authenticated requests that were refused: unknown attributes, no PRIORITY.
    pub refused_requests: u64,
    /// Responses to no request of ours, or too late.
    pub unmatched_responses: u64,
    /// Responses with a wrong or missing MESSAGE-INTEGRITY, or from where the request was not sent to.
    pub unauthenticated_responses: u64,
    /// Requests that were not answered because too many responses are waiting.
    pub unanswered_requests: u64,
}
