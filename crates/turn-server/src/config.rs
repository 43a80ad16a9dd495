//! [`Config`]: where a server listens, what peers see of it, and how much of everything there may be.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use peerline_turn::server;
use rand::TryRng;
use rand::rngs::SysRng;
use rustls::ServerConfig as TlsConfig;

/// How a [`TurnServer`](crate::TurnServer) is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The protocol: realm, filter, quotas. What [`server::Config::new`] makes, but with a random seed and the time; its `families`
    /// are those of the relay addresses.
    pub turn: server::Config,
    /// Where to listen, by UDP and TCP on the same port; port 0 takes a free one. Nowhere by default. An address of IPv6 is for
    /// IPv6 alone.
    pub listen: Vec<SocketAddr>,
    /// Where to listen for TLS. Nowhere by default.
    pub listen_tls: Vec<SocketAddr>,
    /// The certificate for TLS, and how it is spoken. Needed if `listen_tls` is not empty.
    pub tls: Option<Arc<TlsConfig>>,
    /// Which addresses of this host relays have, at most one of each family. Empty by default: the addresses of `listen`, or those
    /// with which this host reaches the Internet where they are wildcards.
    pub relay_addresses: Vec<IpAddr>,
    /// What peers see in place of the relay address of the same family, behind a 1:1 NAT that keeps ports. Empty by default.
    pub external_addresses: Vec<IpAddr>,
    /// The ports of relays: 49,152 to 65,535 by default (RFC 8656 §7.2).
    pub relay_ports: RangeInclusive<u16>,
    /// How many streams there may be, and how long they may take.
    pub streams: StreamLimits,
}

impl Config {
    /// A server of this realm that listens nowhere yet.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn new(realm: impl Into<String>) -> Self {
        let mut turn = server::Config::new(realm, both_clocks());
        SysRng
            .try_fill_bytes(&mut turn.rng_seed)
            .expect("the system has randomness");
        Self {
            turn,
            listen: Vec::new(),
            listen_tls: Vec::new(),
            tls: None,
            relay_addresses: Vec::new(),
            external_addresses: Vec::new(),
            relay_ports: 49_152..=65_535,
            streams: StreamLimits::default(),
        }
    }
}

#[allow(clippy::disallowed_methods)]
fn both_clocks() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}

/// How many streams there may be, and how long they may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections by TCP and TLS: 20,000. Beyond, they are closed as they come.
    pub max_connections: usize,
    /// Connections from one address, or one /64 of IPv6: 200, for those who share an address.
    pub max_connections_per_address: usize,
    /// How long a TLS handshake may take: 10 seconds.
    pub handshake: Duration,
    /// How long a connection may stay without an allocation: 30 seconds.
    pub idle: Duration,
    /// How long a client may take nothing of what waits for it: 30 seconds.
    pub stall: Duration,
    /// What waits for one connection, in bytes: 256 KiB. More is lost, as on a path of datagrams.
    pub max_waiting: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_connections_per_address: 200,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            max_waiting: 256 * 1024,
        }
    }
}

/// Why a server cannot begin.
#[derive(Debug)]
pub enum BindError {
    /// There is no address to listen on.
    NoAddress,
    /// An address to listen on, or to relay from, that the system refuses.
    Address(SocketAddr, io::Error),
    /// Addresses for TLS, but no certificate.
    NoCertificate,
    /// Two relay addresses, or two external ones, of the same family.
    TwoOfOneFamily(IpAddr, IpAddr),
    /// The addresses for NAT behaviour discovery are not two of one family with two ports.
    NatDiscovery,
    /// A wildcard where one address is needed: to relay from, to be seen by peers, to discover NATs by.
    Wildcard,
    /// An external address for a family without relay address.
    NoRelay(IpAddr),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("there is no address to listen on"),
            Self::Address(address, error) => write!(f, "{address} cannot be used: {error}"),
            Self::NoCertificate => f.write_str("TLS takes a certificate and its key"),
            Self::TwoOfOneFamily(one, other) => {
                write!(f, "{one} and {other} are of one family: there may be one of each")
            }
            Self::NatDiscovery => {
                f.write_str("NAT discovery takes two different addresses of one family, with two different ports")
            }
            Self::Wildcard => f.write_str("a wildcard is no address to relay from, or to be seen by others"),
            Self::NoRelay(address) => write!(
                f,
                "{address} stands for no address to relay from: there is none of its family"
            ),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address(_, error) => Some(error),
            Self::NoAddress
            | Self::NoCertificate
            | Self::TwoOfOneFamily(..)
            | Self::NatDiscovery
            | Self::Wildcard
            | Self::NoRelay(_) => None,
        }
    }
}
