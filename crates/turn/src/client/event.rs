//! [`Event`]: what a client reports.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerline_stun::attribute::{ConnectionId, ErrorCode, Icmp};
use peerline_wire::FiveTuple;

/// News.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server has given relayed addresses. Once.
    Allocated(Allocated),
    /// Peers at this address may send to the relayed address, and are sent to. Once for each
    /// [`create_permission`](crate::Client::create_permission); refreshed silently.
    PermissionCreated(IpAddr),
    /// They may not, or no longer; nothing is sent there.
    PermissionRefused {
        /// The peers' address.
        peer: IpAddr,
        /// Why.
        failure: Failure,
    },
    /// From now on datagrams for this peer cost four bytes more, instead of 36. Once for each peer.
    ChannelBound(SocketAddr),
    /// They go on as indications.
    ChannelRefused {
        /// The peer.
        peer: SocketAddr,
        /// Why.
        failure: Failure,
    },
    /// The server does not take the credentials of [`set_credentials`](crate::Client::set_credentials) for this allocation:
    /// the earlier ones are used again.
    CredentialsRefused(ErrorCode),
    /// A router or the peer's host said that a datagram did not arrive (RFC 8656 §11.6). Port 0 is an unknown one. It is
    /// not authenticated: a hint at most.
    PeerUnreachable {
        /// Where it was sent to.
        peer: SocketAddr,
        /// Why it was dropped.
        icmp: Icmp,
    },
    /// A peer connects to the relayed address (RFC 6062 §4.4). To take it, connect to the server once more, and tell
    /// [`bind_connection`](crate::Client::bind_connection).
    ConnectionAttempt {
        /// The connection's name.
        connection: ConnectionId,
        /// The peer.
        peer: SocketAddr,
    },
    /// The server has connected to this peer (RFC 6062 §4.3). Go on as with [`ConnectionAttempt`](Self::ConnectionAttempt).
    Connected {
        /// The connection's name.
        connection: ConnectionId,
        /// The peer.
        peer: SocketAddr,
    },
    /// It has not.
    ConnectRefused {
        /// The peer.
        peer: SocketAddr,
        /// Why. After 447 the same may be tried again in ten seconds (RFC 6062 §4.3).
        failure: Failure,
    },
    /// Whatever comes and goes on this path from now on, is the peer's, as it is (RFC 6062 §4.5).
    ConnectionBound(FiveTuple),
    /// This path is to be closed.
    ConnectionBindRefused {
        /// The path given to [`bind_connection`](crate::Client::bind_connection).
        five_tuple: FiveTuple,
        /// Why.
        failure: Failure,
    },
    /// It is over. The last event.
    Closed(CloseReason),
}

/// What the server has given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// The relayed addresses: one, or one of each family.
    pub relayed: Vec<SocketAddr>,
    /// Our address as the server sees it: server-reflexive, if the path is UDP.
    pub mapped: SocketAddr,
    /// How long it lasts without a refresh; refreshed in time silently.
    pub lifetime: Duration,
    /// Names the port after ours, if it was to be reserved: for [`Port::Reserved`](super::Port::Reserved) of another client.
    pub reservation_token: Option<[u8; 8]>,
    /// Why there is no address of the second family, if there is none.
    pub missing_family: Option<ErrorCode>,
    /// False if DONT-FRAGMENT was asked for in vain.
    pub dont_fragment: bool,
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server said so.
    Refused(ErrorCode),
    /// No answer came.
    TimedOut,
    /// The answer made no sense.
    BadResponse,
}

/// Why an allocation is over, or was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// [`close`](crate::Client::close) was called.
    Closed,
    /// The server refused to allocate.
    Refused {
        /// Why. 401: the credentials are wrong.
        code: ErrorCode,
        /// The same for people, as the server put it; at most 763 bytes.
        reason: Box<str>,
    },
    /// The server names another one (300, RFC 8489 §10). Ask that one, with the same transport and credentials, unless it
    /// has been asked in the last five minutes.
    TryAlternate {
        /// Where.
        server: SocketAddr,
        /// The name in that one's certificate, if it is another.
        domain: Option<Box<str>>,
    },
    /// No answer came, or none that was authentic.
    TimedOut,
    /// The server answered with something that makes no sense.
    BadResponse,
    /// The server knows nothing of this allocation any more: it was started anew, or let it expire.
    Lost,
}

/// What to do next; see [`CloseReason::retry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing with this server, until something has changed.
    Never,
    /// A new client on a socket of another port; three times at most (RFC 8656 §7.4).
    FreshPort,
    /// A new client at this server.
    At(SocketAddr),
    /// A new client on another transport (TCP after UDP), or at another server.
    Otherwise,
    /// The same, not earlier than after this time.
    After(Duration),
}

impl CloseReason {
    /// What RFC 8656 §7.4 recommends to do next.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Closed => Retry::Never,
            Self::Refused { code, .. } => match *code {
                ErrorCode::ALLOCATION_MISMATCH => Retry::FreshPort,
                // "the client SHOULD wait at least 1 minute before trying to create any more allocations"
                ErrorCode::ALLOCATION_QUOTA_REACHED | ErrorCode::INSUFFICIENT_CAPACITY | ErrorCode::SERVER_ERROR => {
                    Retry::After(Duration::from_secs(60))
                }
                _ => Retry::Never,
            },
            Self::TryAlternate { server, .. } => Retry::At(*server),
            Self::TimedOut | Self::BadResponse => Retry::Otherwise,
            Self::Lost => Retry::FreshPort,
        }
    }
}
