//! [`Stats`]: what a server counts.

use super::Traffic;

/// Counters of a server from its beginning, and what there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Allocations there are now, those being made included.
    pub allocations: u64,
    /// Allocations made.
    pub allocations_made: u64,
    /// Binding requests answered.
    pub bindings: u64,
    /// Requests of TURN that were authentic.
    pub requests: u64,
    /// Challenges sent: 401 and 438.
    pub challenges: u64,
    /// Requests with wrong credentials.
    pub wrong_credentials: u64,
    /// Authentic requests refused.
    pub refused: u64,
    /// Addresses of peers refused by the filter.
    pub peers_refused: u64,
    /// What was relayed.
    pub relayed: Traffic,
    /// What came and was neither STUN nor ChannelData.
    pub malformed: u64,
    /// Data, either way, without allocation, permission or channel.
    pub unpermitted: u64,
    /// Responses not sent, to those who have not proved where they are.
    pub withheld: u64,
    /// Datagrams and responses dropped since too many waited to be sent.
    pub overflowed: u64,
    /// News for the log that was not kept.
    pub log_lost: u64,
}
