//! What a connection counts.

/// Counters since the connection was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams taken in.
    pub datagrams_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Datagrams appended by `poll_transmit` and `enclose`.
    pub datagrams_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Flights sent again, because the timer fired or the peer repeated its own.
    pub retransmissions: u64,
    /// Records, or ends of datagrams, that are not DTLS.
    pub records_malformed: u64,
    /// Protected records that came before, or too late to tell.
    pub records_replayed: u64,
    /// Protected records that did not decrypt.
    pub records_forged: u64,
    /// Records that have no place where they came, or were too many to keep.
    pub records_unexpected: u64,
    /// Handshake fragments that were malformed, too long or too far ahead.
    pub fragments_dropped: u64,
    /// Alerts that did not end the connection.
    pub alerts_ignored: u64,
    /// Records dropped because nobody called `recv`.
    pub unread_dropped: u64,
}

impl Stats {
    pub(crate) fn count_sent(&mut self, len: usize) {
        self.datagrams_sent += 1;
        self.bytes_sent += len as u64;
    }
}
