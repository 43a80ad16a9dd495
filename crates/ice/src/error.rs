//! What a command refuses.

use std::fmt;

/// Why a remote candidate was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddCandidateError {
    /// No check may be sent there: the address is unspecified, multicast or broadcast, or the port is zero.
    Unreachable,
    /// [`Limits::max_remote_candidates`](crate::Limits::max_remote_candidates) is reached.
    TooMany,
    /// The agent is closed.
    Closed,
}

impl fmt::Display for AddCandidateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "no datagram can be sent to the candidate's address",
            Self::TooMany => "too many remote candidates",
            Self::Closed => "the agent is closed",
        })
    }
}

impl std::error::Error for AddCandidateError {}
