//! [`Event`]: what a server wants done, and what it has to tell.

use std::net::{IpAddr, SocketAddr};

use peerline_stun::attribute::{ConnectionId, ErrorCode};
use peerline_wire::{FiveTuple, Transport};

use super::RelayId;
use crate::Refusal;

/// What the driver has to do, and news for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Open a socket for peers, then call [`relay_opened`](crate::Server::relay_opened) or
    /// [`relay_failed`](crate::Server::relay_failed).
    OpenRelay(OpenRelay),
    /// Close this socket; nothing it receives is of use any more. If it is still being opened, close it then.
    CloseRelay(RelayId),
    /// Connect to a peer by TCP, from the address of this relay, then call
    /// [`peer_connected`](crate::Server::peer_connected) or [`peer_connect_failed`](crate::Server::peer_connect_failed)
    /// (RFC 6062 §5.2). What the peer sends meanwhile waits in the socket.
    Connect {
        /// What to call it.
        connection: ConnectionId,
        /// From where.
        relay: RelayId,
        /// Where to.
        peer: SocketAddr,
    },
    /// From now on what comes from the client on this path goes to the peer of this connection as it is, and the reverse
    /// (RFC 6062 §5.4), behind the response that waits to be sent on it. When either is closed, close the other, and call
    /// [`connection_closed`](crate::Server::connection_closed).
    Join {
        /// The connection to or from the peer.
        connection: ConnectionId,
        /// The connection of the client.
        client: FiveTuple,
    },
    /// Close this connection to or from a peer, and that of the client joined with it.
    CloseConnection(ConnectionId),
    /// News for the log: nothing has to be done.
    Log(Log),
}

/// A socket for peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRelay {
    /// What to call it.
    pub relay: RelayId,
    /// UDP, or TCP to listen (RFC 6062).
    pub transport: Transport,
    /// True for an IPv4 address, false for one of IPv6 (and of IPv6 alone).
    pub ipv4: bool,
    /// Which port. "It is RECOMMENDED that a TURN server implement a randomized port assignment algorithm" (RFC 8656 §7.2),
    /// from 49,152 to 65,535.
    pub port: RelayPort,
}

/// Which port to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayPort {
    /// Any.
    Any,
    /// An even one.
    Even,
    /// An even one, with the one after it for this other relay: both are opened, or neither is.
    EvenWithNext(RelayId),
}

/// News.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Log {
    /// An allocation was made.
    Allocated {
        /// Whose.
        client: FiveTuple,
        /// The user.
        user: String,
        /// What peers see.
        relayed: Vec<SocketAddr>,
    },
    /// An allocation is over.
    Released {
        /// Whose.
        client: FiveTuple,
        /// The user.
        user: String,
        /// Why.
        reason: ReleaseReason,
        /// What it relayed.
        traffic: Traffic,
    },
    /// A request was refused.
    Refused {
        /// Whose.
        client: FiveTuple,
        /// The user; `None` if it was not proved who it is.
        user: Option<String>,
        /// What the client was told.
        code: ErrorCode,
        /// Why.
        reason: RefusalReason,
    },
}

/// Why an allocation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseReason {
    /// The client said so.
    Deleted,
    /// It was not refreshed.
    Expired,
    /// The connection of the client was closed.
    Disconnected,
    /// No socket could be opened.
    Failed,
    /// The server is shut down.
    Shutdown,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The name is unknown, its time is over, or the password is wrong.
    WrongCredentials,
    /// The name belongs to another user than the allocation.
    OtherUser,
    /// A peer's address is not relayed to.
    Peer(IpAddr, Refusal),
    /// The user has as many allocations as one may.
    UserQuota,
    /// The server has as many allocations, permissions, channels or reservations as it may.
    Full,
    /// The server is being shut down.
    ShuttingDown,
    /// There is another server for it.
    Redirected,
    /// The request makes no sense, or asks for what there is not.
    Malformed,
}

impl std::fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::WrongCredentials => "unknown user, wrong password or expired credentials",
            Self::OtherUser => "the allocation belongs to another user",
            Self::Peer(peer, refusal) => return write!(f, "peer {peer} is not relayed to: {refusal}"),
            Self::UserQuota => "the user has as many allocations as one may",
            Self::Full => "a limit of the server is reached",
            Self::ShuttingDown => "the server is being shut down",
            Self::Redirected => "there is another server for it",
            Self::Malformed => "the request makes no sense, or asks for what there is not",
        })
    }
}

impl std::fmt::Display for ReleaseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Deleted => "the client ended it",
            Self::Expired => "it was not refreshed",
            Self::Disconnected => "the connection of the client was closed",
            Self::Failed => "no socket could be opened",
            Self::Shutdown => "the server is shut down",
        })
    }
}

/// What an allocation relayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams from the client to peers.
    pub sent: u64,
    /// Their payload in bytes.
    pub sent_bytes: u64,
    /// Datagrams from peers to the client.
    pub received: u64,
    /// Their payload in bytes.
    pub received_bytes: u64,
    /// Datagrams dropped for the limit of bandwidth.
    pub over_bandwidth: u64,
}
