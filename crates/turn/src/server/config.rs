//! [`Config`]: what a server offers, to whom and how much.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::PeerFilter;

/// How a [`Server`](crate::Server) is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The realm: the domain of who runs the server (RFC 8489 §9.2.4), of at most 127 characters.
    pub realm: String,
    /// What is told as SOFTWARE to those who have proved who they are: nothing if `None`, the default.
    pub software: Option<String>,
    /// Which addresses are relayed to. Public ones by default.
    pub filter: PeerFilter,
    /// Which families of relayed addresses there are. IPv4 by default.
    pub families: Families,
    /// Whether TCP to peers is offered (RFC 6062). False by default.
    pub tcp_relays: bool,
    /// Whether the driver can set DF on single datagrams (RFC 8656 §14). False by default: then clients that ask for it are
    /// told.
    pub dont_fragment: bool,
    /// Whether keys made with SHA-256, and integrity by it, are offered (RFC 8489 §9.2.4). True by default; clients that
    /// do not know it go on with MD5 and SHA-1.
    pub sha256: bool,
    /// Whether channels may have the numbers 0x5000 to 0x7FFF, which RFC 8656 reserves: clients from before it may take them
    /// (RFC 5766 §11), and coturn's does. True by default.
    pub rfc5766_channels: bool,
    /// What an allocation may relay, each way. Without limit by default.
    pub bandwidth: Option<Bandwidth>,
    /// Where clients are sent that this server has no place for. Nowhere by default.
    pub redirect: Option<Redirect>,
    /// The addresses by which clients find out how their NAT behaves (RFC 5780). None by default.
    pub nat_discovery: Option<NatDiscovery>,
    /// What all randomness comes from: the key of nonces, tokens. It has to be unpredictable outside of tests. Zeros by
    /// default.
    pub rng_seed: [u8; 32],
    /// One moment by both clocks, for credentials that end at a time of day.
    pub wall_clock: (Instant, SystemTime),
    /// What nobody can make grow beyond.
    pub limits: Limits,
    /// How long everything takes.
    pub timings: Timings,
}

impl Config {
    /// A server of this realm, with what is default.
    #[must_use]
    pub fn new(realm: impl Into<String>, wall_clock: (Instant, SystemTime)) -> Self {
        Self {
            realm: realm.into(),
            software: None,
            filter: PeerFilter::default(),
            families: Families::default(),
            tcp_relays: false,
            dont_fragment: false,
            sha256: true,
            rfc5766_channels: true,
            bandwidth: None,
            redirect: None,
            nat_discovery: None,
            rng_seed: [0; 32],
            wall_clock,
            limits: Limits::default(),
            timings: Timings::default(),
        }
    }
}

/// The families of relayed addresses that a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
}

impl Default for Families {
    fn default() -> Self {
        Self {
            ipv4: true,
            ipv6: false,
        }
    }
}

/// Another server for those who want to allocate: a 300 with ALTERNATE-SERVER (RFC 8489 §10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// Where it is: "The address family MUST be identical to that of the source IP address of the request" (RFC 8489 §14.15), so
    /// clients of another family are not sent anywhere.
    pub to: Vec<SocketAddr>,
    /// The name in its certificate, for clients by TLS (ALTERNATE-DOMAIN, RFC 8489 §14.16): theirs if `None`, the default.
    pub domain: Option<String>,
    /// How many allocations this server takes before: 0 sends everybody away, and is the default. Who comes while it is shut down
    /// is sent there, too.
    pub from_allocations: usize,
}

/// Two addresses, with two ports, of this server for discovering how NATs behave (RFC 5780 §6). The driver receives and sends UDP
/// on all four combinations of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatDiscovery {
    /// One address and port.
    pub primary: SocketAddr,
    /// Another address of the same family, and another port.
    pub alternate: SocketAddr,
}

impl NatDiscovery {
    /// Where the driver listens: the combinations of two addresses and two ports.
    #[must_use]
    pub fn addresses(&self) -> [SocketAddr; 4] {
        let Self { primary, alternate } = *self;
        let with_port = |address: SocketAddr, port| SocketAddr::new(address.ip(), port);
        [
            primary,
            with_port(primary, alternate.port()),
            with_port(alternate, primary.port()),
            alternate,
        ]
    }

    /// The address where the request came to, with what the request wants to be changed; `None` if it came to none of the four.
    pub(super) fn change(&self, local: SocketAddr, change_ip: bool, change_port: bool) -> Option<SocketAddr> {
        if !self.addresses().contains(&local) {
            return None;
        }
        let at_primary_ip = (local.ip() == self.primary.ip()) != change_ip;
        let at_primary_port = (local.port() == self.primary.port()) != change_port;
        let of = |is_primary| if is_primary { self.primary } else { self.alternate };
        Some(SocketAddr::new(of(at_primary_ip).ip(), of(at_primary_port).port()))
    }
}

/// What an allocation may relay, each way: a token bucket. What is over is dropped, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// Bytes of payload a second, on average.
    pub bytes_per_second: u64,
    /// Bytes at once after a pause.
    pub burst: u64,
}

/// What nobody can make grow beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Allocations: 10,000. Beyond, 508.
    pub max_allocations: usize,
    /// Allocations of one user: 100. Beyond, 486.
    pub max_allocations_per_user: usize,
    /// Addresses with a permission in one allocation: 250. Beyond, 508.
    pub max_permissions: usize,
    /// Channels of one allocation: 250. Beyond, 508.
    pub max_channels: usize,
    /// Ports set aside by EVEN-PORT: 100. Beyond, 508.
    pub max_reservations: usize,
    /// TCP connections to and from peers of one allocation (RFC 6062): 32. Beyond, 447 or closed.
    pub max_connections: usize,
    /// Datagrams waiting for [`poll_transmit`](crate::Server::poll_transmit), and as many for
    /// [`poll_relayed`](crate::Server::poll_relayed): 4,096. Beyond, they are dropped as if lost.
    pub max_queued: usize,
    /// Pieces of news for the log waiting to be polled: 1,000. Beyond, they are counted only.
    pub max_log: usize,
    /// How much more is sent to those who have not proved where they are than they sent.
    pub strangers: Option<Strangers>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_allocations: 10_000,
            max_allocations_per_user: 100,
            max_permissions: 250,
            max_channels: 250,
            max_reservations: 100,
            max_connections: 32,
            max_queued: 4_096,
            max_log: 1_000,
            strangers: Some(Strangers::default()),
        }
    }
}

/// How much more is sent to an address over UDP than came from it, while no request from there was authenticated: whoever
/// forges a victim's address gets that much amplification and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strangers {
    /// Bytes at once after a pause: 8,000, some fifty challenges.
    pub burst: u32,
    /// Bytes a second: 2,000.
    pub bytes_per_second: u32,
    /// How many addresses are told apart: 16,384, of 16 bytes each. Others share with one of these.
    pub addresses: usize,
}

impl Default for Strangers {
    fn default() -> Self {
        Self {
            burst: 8_000,
            bytes_per_second: 2_000,
            addresses: 16_384,
        }
    }
}

/// How long everything takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How long an allocation lasts without a refresh, if the client does not ask for more: 10 minutes (RFC 8656 §3.2).
    pub default_lifetime: Duration,
    /// How long at most: one hour (RFC 8656 §7.2).
    pub max_lifetime: Duration,
    /// How long a permission lasts: 5 minutes (RFC 8656 §9).
    pub permission_lifetime: Duration,
    /// How long a channel stays bound: 10 minutes (RFC 8656 §12).
    pub channel_lifetime: Duration,
    /// How long a nonce is good: one hour (RFC 8656 §5).
    pub nonce_lifetime: Duration,
    /// How long a port is set aside: 30 seconds (RFC 8656 §7.2).
    pub reservation: Duration,
    /// How long the driver may take to open sockets: 10 seconds.
    pub opening: Duration,
    /// How long the driver may take to connect to a peer, and a client to take the connection: 30 seconds (RFC 6062 §5.2).
    pub connection: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            default_lifetime: seconds(600),
            max_lifetime: seconds(3_600),
            permission_lifetime: seconds(300),
            channel_lifetime: seconds(600),
            nonce_lifetime: seconds(3_600),
            reservation: seconds(30),
            opening: seconds(10),
            connection: seconds(30),
        }
    }
}
