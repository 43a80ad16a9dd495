//! What a client counts.

/// Counters of a client, from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests sent, those sent again included.
    pub requests_sent: u64,
    /// Responses that ended a transaction.
    pub responses_received: u64,
    /// Datagrams for peers sent to the server.
    pub datagrams_sent: u64,
    /// Their payload in bytes.
    pub bytes_sent: u64,
    /// Datagrams of peers received from the server.
    pub datagrams_received: u64,
    /// Their payload in bytes.
    pub bytes_received: u64,
    /// What came and was neither STUN nor ChannelData, or had another path.
    pub malformed: u64,
    /// Responses to nothing that was asked, or asked long ago.
    pub unexpected: u64,
    /// Responses whose integrity is wrong or missing.
    pub unauthenticated: u64,
    /// Data of peers that have no permission, or on channels that are not bound.
    pub unpermitted: u64,
    /// Datagrams for peers that were not sent: no permission yet, or no longer.
    pub unsent: u64,
}
