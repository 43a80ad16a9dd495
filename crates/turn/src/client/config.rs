//! [`Config`]: what a client asks for.

use std::time::Duration;

use peerline_stun::attribute::RequestedTransport;
use peerline_wire::FiveTuple;

use crate::Credentials;

/// How a [`Client`](crate::Client) is made: one allocation at one server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path to the server. [`Transport::Tcp`](peerline_wire::Transport::Tcp) stands for TLS as well: both are reliable,
    /// and need [`framing`](crate::framing).
    pub five_tuple: FiveTuple,
    /// Who asks.
    pub credentials: Credentials,
    /// Which families of relayed addresses. IPv4 by default, as without any attribute (RFC 8656 §7.1).
    pub families: Families,
    /// What the server speaks with peers: UDP by default, or TCP (RFC 6062), for which `five_tuple` has to be TCP.
    pub requested_transport: RequestedTransport,
    /// A port that is even, or an even one with the next reserved, or the one that was (RFC 8656 §7.1). Any by default.
    pub port: Port,
    /// True to have the server set DF on what it sends to peers, in Send indications (RFC 8656 §7.1, §11.1). A server that
    /// knows no DONT-FRAGMENT is asked again without. False by default.
    pub dont_fragment: bool,
    /// How long the allocation is to last between refreshes: the server's default if `None`, the default.
    pub lifetime: Option<Duration>,
    /// What all randomness comes from: transaction ids. It has to be unpredictable outside of tests. Zeros by default.
    pub rng_seed: [u8; 32],
    /// What nobody can make grow beyond.
    pub limits: Limits,
    /// How long everything takes.
    pub timings: Timings,
}

impl Config {
    /// An allocation of an IPv4 address for UDP, with what is default.
    #[must_use]
    pub fn new(five_tuple: FiveTuple, credentials: Credentials) -> Self {
        Self {
            five_tuple,
            credentials,
            families: Families::Ipv4,
            requested_transport: RequestedTransport::UDP,
            port: Port::Any,
            dont_fragment: false,
            lifetime: None,
            rng_seed: [0; 32],
            limits: Limits::default(),
            timings: Timings::default(),
        }
    }
}

/// The families of relayed addresses to ask for (RFC 8656 §7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// IPv4: no attribute.
    #[default]
    Ipv4,
    /// IPv6: REQUESTED-ADDRESS-FAMILY.
    Ipv6,
    /// Both, or the one that the server has: ADDITIONAL-ADDRESS-FAMILY. A server that refuses the pair, since it has no IPv4, is asked
    /// for each alone.
    Both,
}

/// The relayed port to ask for (RFC 8656 §7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Port {
    /// Any.
    #[default]
    Any,
    /// An even one: EVEN-PORT.
    Even,
    /// An even one with the next one reserved for half a minute: EVEN-PORT with its R bit.
    EvenReservingNext,
    /// One that was reserved: RESERVATION-TOKEN, as [`Allocated::reservation_token`](super::Allocated) told it.
    Reserved([u8; 8]),
}

/// What nobody can make grow beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Addresses with a permission, installed or asked for: 200, as many as candidates that ICE takes from a peer.
    pub max_permissions: usize,
    /// Peers with a channel: 200. Numbers are never used twice, and there are 4,096.
    pub max_channels: usize,
    /// Transactions at a time: 16. What else is to be asked for waits.
    pub max_transactions: usize,
    /// Connections being made, of RFC 6062: 32.
    pub max_connections: usize,
    /// Events waiting to be polled: 1,000. Beyond, the oldest makes room.
    pub max_events: usize,
    /// Bytes of a realm, a nonce and a list of algorithms: 800, which leaves requests below the MTU. A server that sends
    /// more has answered badly.
    pub max_challenge: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_permissions: 200,
            max_channels: 200,
            max_transactions: 16,
            max_connections: 32,
            max_events: 1_000,
            max_challenge: 800,
        }
    }
}

/// How long everything takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How long until a request is sent again at first; doubles each time. 500 ms (RFC 8489 §6.2.1).
    pub rto: Duration,
    /// Rc: how often a request is sent over UDP. 7 (RFC 8489 §6.2.1).
    pub max_sent: u32,
    /// Rm: how many `rto` after the last sending a response is waited for. 16 (RFC 8489 §6.2.1).
    pub last_wait: u32,
    /// Ti: how long a response is waited for over TCP and TLS, where nothing is sent twice. 39.5 s (RFC 8489 §6.2.2).
    pub reliable_timeout: Duration,
    /// How long before its end an allocation is refreshed: one minute (RFC 8656 §8), but no later than at half its time.
    pub refresh_margin: Duration,
    /// How long a permission lasts: 5 minutes (RFC 8656 §9).
    pub permission_lifetime: Duration,
    /// When it is refreshed: after 4 minutes, a minute before its end.
    pub permission_refresh: Duration,
    /// How long a channel stays bound: 10 minutes (RFC 8656 §12).
    pub channel_lifetime: Duration,
    /// When it is bound again: after 9 minutes, a minute before its end.
    pub channel_refresh: Duration,
    /// How many datagrams go to a peer as Send indications, of 36 bytes more each, until a channel is bound for it: 4.
    /// `None` for none: channels are bound by [`bind_channel`](crate::Client::bind_channel) alone.
    pub channel_after: Option<u32>,
}

impl Default for Timings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            rto: Duration::from_millis(500),
            max_sent: 7,
            last_wait: 16,
            reliable_timeout: Duration::from_millis(39_500),
            refresh_margin: seconds(60),
            permission_lifetime: seconds(300),
            permission_refresh: seconds(240),
            channel_lifetime: seconds(600),
            channel_refresh: seconds(540),
            channel_after: Some(4),
        }
    }
}
