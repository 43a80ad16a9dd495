//! Why a command was not taken.

use std::fmt;

/// Why a [`Client`](crate::Client) did not take a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// [`client::Limits`](crate::client::Limits) allow no more of these.
    TooMany,
    /// Connections are for allocations of TCP, and need a path over TCP.
    WrongTransport,
    /// The client is closed, or about to be.
    Closed,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "the client's limits allow no more permissions, channels or connections",
            Self::WrongTransport => "only an allocation of TCP, over TCP, has connections",
            Self::Closed => "the client is closed",
        })
    }
}

impl std::error::Error for CommandError {}
