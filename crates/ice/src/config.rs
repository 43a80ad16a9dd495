//! [`Config`]: what an agent is told when it is made.

use std::sync::Arc;
use std::time::Duration;

use crate::{Credentials, ExternalAddress, Role};

/// How an [`Agent`](crate::Agent) is made.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The role to begin with: the side that sent the offer controls, unless only the other one is a full implementation
    /// (RFC 8445 §6.1.1). [`Agent::set_role`](crate::Agent::set_role) sets it later, and conflicts are repaired on the way.
    /// Controlled by default.
    pub role: Role,
    /// True to be a lite implementation (RFC 8445 §2.5): host candidates only, checks are answered and never sent. False
    /// by default.
    pub lite: bool,
    /// The credentials of the first session; random ones if `None`, the default, or if they are empty or longer than
    /// [`Credentials::MAX_LEN`].
    pub local_credentials: Option<Credentials>,
    /// Which candidates are used. All by default.
    pub transport_policy: TransportPolicy,
    /// How peers know our addresses, where a translator maps each to another (1:1 NAT). None by default.
    pub external_addresses: Arc<[ExternalAddress]>,
    /// Tell no address of this host: host candidates have names (`….local`), one for each address, by which multicast DNS finds
    /// them, and others do not tell their base (draft-ietf-mmusic-mdns-ice-candidates). Loopback and external addresses are told
    /// as they are, and a lite agent hides nothing. Whoever sets this announces [`Agent::local_names`](crate::Agent::local_names).
    /// False by default.
    pub hide_addresses: bool,
    /// Carry DTLS in checks, for peers that know of it (SPED, draft-hancke-webrtc-sped): see
    /// [`Agent::wants_flight`](crate::Agent::wants_flight). False by default.
    pub embedding: bool,
    /// What all randomness comes from: credentials, transaction ids, the tiebreaker, the spread of consent checks. It has to
    /// be unpredictable outside of tests (RFC 7675 §8). Zeros by default.
    pub rng_seed: [u8; 32],
    /// What a peer cannot make grow beyond.
    pub limits: Limits,
    /// How long everything takes.
    pub timings: Timings,
}

/// `RTCIceTransportPolicy` (W3C webrtc-pc §4.2.4): which candidates are told to the peer and checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TransportPolicy {
    /// All.
    #[default]
    All,
    /// Those relayed by a server alone: the peer learns no address of ours.
    Relay,
}

/// What a peer cannot make grow beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Candidate pairs in a checklist: 100, "a limit [...] of 100 by default" (RFC 8445 §6.1.2.5). The least useful goes first.
    pub max_pairs: usize,
    /// Remote candidates that were signalled, those whose name is still being resolved included: 200. Peer-reflexive ones
    /// come with a pair each, and are limited by `max_pairs`.
    pub max_remote_candidates: usize,
    /// Candidates that checks of the peer reveal while no pair has been found valid: 16. So many connections over TCP may have
    /// come on which nobody has proved anything yet.
    pub max_unproved: usize,
    /// Paths from which checks came before the remote credentials were known: 16.
    pub max_early_checks: usize,
    /// Connections over TCP, those that are being opened included: 32. More are neither asked for nor taken.
    pub max_connections: usize,
    /// Responses waiting to be polled: 32. Requests beyond are dropped, as if lost.
    pub max_responses: usize,
    /// Restarts begun and not yet concluded whose earlier sessions are kept for a rollback: 3.
    pub max_restarts: usize,
    /// Events waiting to be polled: 1,000. Beyond, the oldest of the same kind makes room.
    pub max_events: usize,
}

impl Limits {
    /// The defaults, which hardly anybody changes.
    pub(crate) const STANDARD: Self = Self {
        max_pairs: 100,
        max_remote_candidates: 200,
        max_unproved: 16,
        max_early_checks: 16,
        max_connections: 32,
        max_responses: 32,
        max_restarts: 3,
        max_events: 1000,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// How long everything takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Ta, the pace of connectivity checks that we propose to the peer: 20 ms. The higher proposal counts, and who makes none
    /// has proposed 50 ms (RFC 8445 §14.2). The first check does not wait. Less than 5 ms is forbidden.
    pub ta: Duration,
    /// The shortest retransmission time-out: 500 ms, and never less (RFC 8445 §14.3).
    pub rto: Duration,
    /// The longest first retransmission time-out, however many checks are in progress: 1 s. Without it, a list of a hundred
    /// hopeless pairs would take minutes to fail.
    pub max_rto: Duration,
    /// Rc, how often a request is sent in all: 7 (RFC 8489 §6.2.1).
    pub max_transmissions: u32,
    /// Rm, how many times the first time-out to wait after the last transmission: 16 (RFC 8489 §6.2.1).
    pub last_wait: u32,
    /// How long a server may take to answer before it is given up, and gathering is complete without it: 9.5 s. RFC 8489's
    /// 39.5 s are too long for somebody who waits for candidates; this is what browsers have.
    pub server_patience: Duration,
    /// How often a server is asked again while its candidates may still be checked, so that translators keep them: 15 s
    /// (RFC 8445 §11).
    pub server_keepalive: Duration,
    /// The PAC timer: how long an agent waits for peer-reflexive candidates before it fails for want of pairs: 39.5 s
    /// (RFC 8863 §4).
    pub patience: Duration,
    /// How long the controlling side waits, from the first valid pair on, for a better one to become valid: 150 ms. It does
    /// not wait if no better one is conceivable.
    pub nomination_patience: Duration,
    /// The same while the best valid pair is one over TCP: 1 s, so that the loss of a datagram does not decide against UDP. Data
    /// need not wait for it.
    pub tcp_nomination_patience: Duration,
    /// Ti: how long a connection over TCP, and a response over it, may take: 39.5 s (RFC 8489 §6.2.2).
    pub reliable_timeout: Duration,
    /// How long a connection that has come over TCP stays without an authenticated check: 10 s.
    pub unproved_patience: Duration,
    /// The period of consent checks: 5 s (RFC 7675 §5.1). The peer is asked after 100 to 120 % of it, or from 80 % on when it asks.
    pub consent_interval: Duration,
    /// How long consent lasts after a response: 30 s (RFC 7675 §5.1). The state is then `Failed`.
    pub consent_expiry: Duration,
    /// How long the peer has to be silent for the state to become `Disconnected`: 7 s, so that a consent check has gone
    /// unanswered.
    pub disconnected_after: Duration,
    /// How long the path in use may give no sign of life, while there should be one, before the peer is asked whether it still
    /// works: 1 s. There should be one if data is sent, or was coming steadily.
    pub doubt_after: Duration,
    /// How long the answer to that may take before other paths are tried, with one and a half round trips on top: 300 ms, in
    /// which it is asked three times.
    pub doubt_patience: Duration,
    /// How often all other paths are tried while the one in use gives no answer or is gone: 1 s.
    pub search_interval: Duration,
    /// How long after a pair was settled on a candidate is no longer a late one of those times, but tells of a network that has
    /// changed, and is tried: 10 s.
    pub late_candidates: Duration,
    /// How long a session goes on answering after a restart has replaced it: 3 s (RFC 8445 §8.3.1).
    pub retirement: Duration,
}

impl Timings {
    /// The defaults, which hardly anybody changes.
    pub(crate) const STANDARD: Self = Self {
        ta: Duration::from_millis(20),
        rto: Duration::from_millis(500),
        max_rto: Duration::from_secs(1),
        max_transmissions: 7,
        last_wait: 16,
        server_patience: Duration::from_millis(9500),
        server_keepalive: Duration::from_secs(15),
        patience: Duration::from_millis(39_500),
        nomination_patience: Duration::from_millis(150),
        tcp_nomination_patience: Duration::from_secs(1),
        reliable_timeout: Duration::from_millis(39_500),
        unproved_patience: Duration::from_secs(10),
        consent_interval: Duration::from_secs(5),
        consent_expiry: Duration::from_secs(30),
        disconnected_after: Duration::from_secs(7),
        doubt_after: Duration::from_secs(1),
        doubt_patience: Duration::from_millis(300),
        search_interval: Duration::from_secs(1),
        late_candidates: Duration::from_secs(10),
        retirement: Duration::from_secs(3),
    };
}

impl Default for Timings {
    fn default() -> Self {
        Self::STANDARD
    }
}
