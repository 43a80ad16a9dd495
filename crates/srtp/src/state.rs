//! [`StreamState`]: where a stream is, to be told to somebody else.

/// How far one SSRC has come in one direction, for a receiver that joins late (RFC 3711 §3.3.1: it "MUST be given the
/// current ROC value using out-of-band signaling") or for another process that goes on with the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StreamState {
    /// The synchronization source.
    pub ssrc: u32,
    /// The rollover counter: how often the sequence number has wrapped.
    pub roc: u32,
    /// The newest sequence number; none before the first SRTP packet, or to take any that comes next.
    pub sequence_number: Option<u16>,
    /// The newest SRTCP index, of 31 bits; none before the first SRTCP packet.
    pub rtcp_index: Option<u32>,
}
