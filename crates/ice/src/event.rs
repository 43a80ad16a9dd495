//! [`Event`]: what an agent reports, and the states it reports.

use std::fmt;
use std::net::SocketAddr;

use peerline_wire::FiveTuple;

use crate::Candidate;

/// What has happened in an [`Agent`](crate::Agent).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A local candidate to tell the peer about, with the credentials in use now (RFC 8838 §4.1).
    LocalCandidate(Candidate),
    /// A server has not given a candidate.
    CandidateError(CandidateError),
    /// The state of gathering has changed; `Complete` is the time to tell the peer that no candidate will follow.
    GatheringStateChange(GatheringState),
    /// The state of the agent has changed.
    StateChange(State),
    /// Data now goes this way, or nowhere. [`Agent::selected_pair`](crate::Agent::selected_pair) says more.
    SelectedPairChange(Option<FiveTuple>),
    /// A remote candidate has this `.local` name: answer with [`Agent::handle_resolved`](crate::Agent::handle_resolved).
    ResolveName(String),
    /// The peer has named an address that can be connected to over TCP, the first one: from now on addresses to connect from are of
    /// use ([`Agent::add_tcp_address`](crate::Agent::add_tcp_address)). Told once. Whoever adds those earlier tells the peer what
    /// it has no use for: it learns them from the checks that come.
    TcpAddressesWanted,
    /// A connection is wanted from the IP address of the local side, and any port unless the candidate is one for simultaneous
    /// open, to the remote side (RFC 6544 §7.1): answer with [`Agent::tcp_connected`](crate::Agent::tcp_connected) or
    /// [`Agent::tcp_closed`](crate::Agent::tcp_closed).
    TcpConnect(FiveTuple),
    /// A connection is of no use any more, or not wanted at all: close it, or stop opening it. The agent has forgotten it.
    TcpClose(FiveTuple),
    /// A TURN server that is spoken with over a stream names another one in its place (RFC 8489 §10): close the connection on `path`,
    /// connect to that one by the same transport, unless it has been asked in the last five minutes, and tell it with
    /// [`Agent::add_stream`](crate::Agent::add_stream) under the same URL; or else tell
    /// [`Agent::server_failed`](crate::Agent::server_failed). Gathering goes on until then.
    ServerRedirect {
        /// The connection to the server that does not serve.
        path: FiveTuple,
        /// Where the other one is.
        server: SocketAddr,
        /// The name that its certificate has to have, if that is another than this one's.
        domain: Option<Box<str>>,
    },
    /// A role conflict, or a lite peer, has changed the role (RFC 8445 §7.3.1.1, §6.1.1).
    RoleChange(Role),
}

/// `RTCPeerConnectionIceErrorEvent` (W3C webrtc-pc §4.8.2): a server has refused, or stayed silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateError {
    /// The socket that it was asked from.
    pub address: Option<SocketAddr>,
    /// The server, as the user named it.
    pub url: String,
    /// The STUN error code, or [`UNREACHABLE`](Self::UNREACHABLE).
    pub code: u16,
    /// The reason in words: the server's, or ours.
    pub text: String,
}

impl CandidateError {
    /// "701 [...] outside the STUN error code range", for a server that did not answer.
    pub const UNREACHABLE: u16 = 701;
}

/// Who decides on the pair to use (RFC 8445 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// This side nominates.
    Controlling,
    /// The peer does.
    #[default]
    Controlled,
}

impl Role {
    /// The role of the other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Controlling => Self::Controlled,
            Self::Controlled => Self::Controlling,
        }
    }
}

/// `RTCIceTransportState` (W3C webrtc-pc §5.6.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Waiting for the remote credentials and a candidate.
    #[default]
    New,
    /// Checking pairs, none is valid yet.
    Checking,
    /// Data can be sent; a better path may still be found.
    Connected,
    /// A pair is nominated, and neither side has more candidates.
    Completed,
    /// The peer has been silent for a few seconds. Goes away by itself, or becomes `Failed`.
    Disconnected,
    /// No pair works, or consent has expired. An ICE restart is the way out.
    Failed,
    /// Closed by [`Agent::close`](crate::Agent::close).
    Closed,
}

impl State {
    /// The W3C name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Checking => "checking",
            Self::Connected => "connected",
            Self::Completed => "completed",
            Self::Disconnected => "disconnected",
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `RTCIceGathererState` (W3C webrtc-pc §5.6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GatheringState {
    /// Not begun.
    #[default]
    New,
    /// Candidates are being gathered.
    Gathering,
    /// No further candidate is expected.
    Complete,
}

impl GatheringState {
    /// The W3C name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Gathering => "gathering",
            Self::Complete => "complete",
        }
    }
}

impl fmt::Display for GatheringState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
