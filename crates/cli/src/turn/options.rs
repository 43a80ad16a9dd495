//! [`Options`]: what the server is told, on the command line or in a file of the same names.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use peerline_turn::server::{Bandwidth, NatDiscovery, Redirect, StaticUsers, TimeLimitedUsers};
use peerline_turn::{Cidr, PeerFilter};
use peerline_turn_server::Config;
use serde::{Deserialize, Deserializer};

use super::tls;
use super::users::User;
use super::{AnyUsers, Failure};

/// The port of TURN by TLS (RFC 8656 §3.1).
const TLS_PORT: u16 = 5349;

/// What the server is told.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Options {
    /// An address to listen on by UDP and TCP; may be repeated. 127.0.0.1:3478 if there is none: others do not reach that.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(deserialize_with = "one_or_more")]
    listen: Vec<SocketAddr>,
    /// An address to listen on by TLS; may be repeated. With a certificate, port 5349 of the same addresses if there is none.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(deserialize_with = "one_or_more")]
    listen_tls: Vec<SocketAddr>,
    /// The realm: the domain of who runs the server, and a part of what clients prove to know.
    #[arg(long, value_name = "NAME")]
    realm: Option<String>,
    /// A user and the password; may be repeated.
    #[arg(long, value_name = "NAME:SECRET")]
    #[serde(deserialize_with = "one_or_more")]
    user: Vec<User>,
    /// The secret shared with a web service that makes credentials of limited time (TURN REST API); may be repeated.
    #[arg(long, value_name = "SECRET", env = "PEERLINE_REST_SECRET", hide_env_values = true)]
    #[serde(deserialize_with = "one_or_more")]
    rest_secret: Vec<String>,
    /// Addresses to relay to though they are not public, such as 10.0.0.0/8; may be repeated.
    #[arg(long, value_name = "CIDR")]
    #[serde(deserialize_with = "one_or_more")]
    allow_peer: Vec<Block>,
    /// Addresses never to relay to; may be repeated. The longest prefix decides.
    #[arg(long, value_name = "CIDR")]
    #[serde(deserialize_with = "one_or_more")]
    deny_peer: Vec<Block>,
    /// The certificate for TLS, with those that lead to its authority: a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key: a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The address to relay from, one of each family; may be repeated. That of --listen if there is none.
    #[arg(long, value_name = "IP")]
    #[serde(deserialize_with = "one_or_more")]
    relay_address: Vec<IpAddr>,
    /// What peers see of it behind a 1:1 NAT; may be repeated.
    #[arg(long, value_name = "IP")]
    #[serde(deserialize_with = "one_or_more")]
    external_address: Vec<IpAddr>,
    /// The ports to relay from: 49152-65535 if nothing is said.
    #[arg(long, value_name = "FIRST-LAST")]
    relay_ports: Option<Ports>,
    /// Relay to peers by TCP, too (RFC 6062).
    #[arg(long)]
    tcp_relays: bool,
    /// Allocations at most: 10,000 if nothing is said.
    #[arg(long, value_name = "COUNT")]
    total_quota: Option<usize>,
    /// Allocations of one user at most: 100 if nothing is said.
    #[arg(long, value_name = "COUNT")]
    user_quota: Option<usize>,
    /// What one allocation may relay each way, in bytes a second. As much as it likes if nothing is said.
    #[arg(long, value_name = "BYTES")]
    bandwidth: Option<u64>,
    /// Connections by TCP and TLS from one address at most: 200 if nothing is said.
    #[arg(long, value_name = "COUNT")]
    connections_per_address: Option<usize>,
    /// Another address and port of this machine, for clients that find out how their NAT behaves (RFC 5780).
    #[arg(long, value_name = "ADDRESS")]
    alternate_address: Option<SocketAddr>,
    /// Another server, to which clients are sent that find no place here (ALTERNATE-SERVER); may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(deserialize_with = "one_or_more")]
    redirect: Vec<SocketAddr>,
    /// The name in the certificates of those, for clients by TLS (ALTERNATE-DOMAIN): that of this one's if nothing is said.
    #[arg(long, value_name = "NAME", requires = "redirect")]
    redirect_domain: Option<String>,
    /// How many allocations are made before clients are sent there: 0 if nothing is said.
    #[arg(long, value_name = "COUNT", requires = "redirect")]
    redirect_from: Option<usize>,
    /// Where Prometheus finds counters, at /metrics.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) metrics: Option<SocketAddr>,
    /// How long clients may go on when the program is asked to end, in seconds: 5 if nothing is said.
    #[arg(long, value_name = "SECONDS")]
    pub(super) grace: Option<u64>,
}

impl Options {
    /// What a file says: TOML with the names of the options, one value or a list where an option may be repeated.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("the configuration {} cannot be read: {error}", path.display()))?;
        let options = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(options)
    }

    /// These, and what they do not say from the file: the command line comes first.
    pub(super) fn or(self, file: Self) -> Self {
        fn list<T>(ours: Vec<T>, theirs: Vec<T>) -> Vec<T> {
            if ours.is_empty() { theirs } else { ours }
        }
        Self {
            listen: list(self.listen, file.listen),
            listen_tls: list(self.listen_tls, file.listen_tls),
            realm: self.realm.or(file.realm),
            user: list(self.user, file.user),
            rest_secret: list(self.rest_secret, file.rest_secret),
            allow_peer: list(self.allow_peer, file.allow_peer),
            deny_peer: list(self.deny_peer, file.deny_peer),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            relay_address: list(self.relay_address, file.relay_address),
            external_address: list(self.external_address, file.external_address),
            relay_ports: self.relay_ports.or(file.relay_ports),
            tcp_relays: self.tcp_relays || file.tcp_relays,
            total_quota: self.total_quota.or(file.total_quota),
            user_quota: self.user_quota.or(file.user_quota),
            bandwidth: self.bandwidth.or(file.bandwidth),
            connections_per_address: self.connections_per_address.or(file.connections_per_address),
            alternate_address: self.alternate_address.or(file.alternate_address),
            redirect: list(self.redirect, file.redirect),
            redirect_domain: self.redirect_domain.or(file.redirect_domain),
            redirect_from: self.redirect_from.or(file.redirect_from),
            metrics: self.metrics.or(file.metrics),
            grace: self.grace.or(file.grace),
        }
    }

    pub(super) fn users(&self) -> Result<AnyUsers, Failure> {
        if self.user.is_empty() && self.rest_secret.is_empty() {
            return Err("nobody could use this server\n  \
                name users with --user NAME:SECRET, or the secret of who makes credentials with --rest-secret SECRET"
                .into());
        }
        if self.rest_secret.iter().any(String::is_empty) {
            return Err("an empty --rest-secret would let everybody in\n  choose a long random one".into());
        }
        let users = StaticUsers::new(self.user.iter().map(|user| user.0.clone()));
        let limited = TimeLimitedUsers::new(self.rest_secret.iter().map(|secret| secret.clone().into_bytes()));
        Ok(Box::new((users, limited)))
    }

    /// How the server is made.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let realm = self.realm.clone().filter(|realm| !realm.is_empty());
        let realm =
            realm.ok_or("the server needs a realm\n  name your domain with --realm, such as --realm example.org")?;
        if realm.chars().count() > 127 {
            return Err("a realm has at most 127 characters".into());
        }
        let mut config = Config::new(realm);
        config.listen = match self.listen.is_empty() {
            true => vec![SocketAddr::from(([127, 0, 0, 1], 3478))],
            false => self.listen.clone(),
        };
        config.listen_tls = self.listen_tls.clone();
        // A file may have one without the other.
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                config.tls = Some(tls::load(certificate, key)?);
                if config.listen_tls.is_empty() {
                    let at_tls = config
                        .listen
                        .iter()
                        .map(|address| SocketAddr::new(address.ip(), TLS_PORT));
                    config.listen_tls = at_tls.collect();
                }
            }
            (None, None) => {}
            (Some(_), None) => return Err("a certificate for TLS needs its key: name it with --tls-key".into()),
            (None, Some(_)) => return Err("a key for TLS needs its certificate: name it with --tls-cert".into()),
        }
        config.relay_addresses = self.relay_address.clone();
        config.external_addresses = self.external_address.clone();
        if let Some(Ports(ports)) = &self.relay_ports {
            config.relay_ports = ports.clone();
        }
        config.streams.max_connections_per_address = self
            .connections_per_address
            .unwrap_or(config.streams.max_connections_per_address);
        let primary = config.listen.first().copied();
        let turn = &mut config.turn;
        turn.software = Some(concat!("peerline ", env!("CARGO_PKG_VERSION")).to_owned());
        turn.filter = self.filter();
        turn.tcp_relays = self.tcp_relays;
        turn.limits.max_allocations = self.total_quota.unwrap_or(turn.limits.max_allocations);
        turn.limits.max_allocations_per_user = self.user_quota.unwrap_or(turn.limits.max_allocations_per_user);
        turn.bandwidth = self.bandwidth.map(|bytes_per_second| Bandwidth {
            bytes_per_second,
            burst: bytes_per_second.max(64 * 1024),
        });
        turn.nat_discovery = self
            .alternate_address
            .zip(primary)
            .map(|(alternate, primary)| NatDiscovery { primary, alternate });
        turn.redirect = (!self.redirect.is_empty()).then(|| Redirect {
            to: self.redirect.clone(),
            domain: self.redirect_domain.clone(),
            from_allocations: self.redirect_from.unwrap_or_default(),
        });
        Ok(config)
    }

    fn filter(&self) -> PeerFilter {
        let allowed = self
            .allow_peer
            .iter()
            .fold(PeerFilter::new(), |filter, block| filter.allow(block.0));
        self.deny_peer
            .iter()
            .fold(allowed, |filter, block| filter.deny(block.0))
    }
}

/// A block of addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block(Cidr);

impl FromStr for Block {
    type Err = peerline_turn::CidrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// `FIRST-LAST`.
#[derive(Clone, Debug)]
pub(crate) struct Ports(RangeInclusive<u16>);

impl FromStr for Ports {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let range = text.split_once('-').and_then(|(first, last)| {
            let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
            (*range.start() > 0 && range.start() < range.end()).then_some(range)
        });
        range
            .map(Self)
            .ok_or("a range of ports is FIRST-LAST, such as 49152-65535")
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(&String::deserialize(deserializer)?)
    }
}

/// One value, or a list of them, each as on the command line.
fn one_or_more<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text, or a list of texts")]
    enum Texts {
        One(String),
        More(Vec<String>),
    }
    match Texts::deserialize(deserializer)? {
        Texts::One(text) => Ok(vec![parsed(&text)?]),
        Texts::More(texts) => texts.iter().map(|text| parsed(text)).collect(),
    }
}

fn parsed<T: FromStr<Err: Display>, E: serde::de::Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(|error| E::custom(format!("{text:?}: {error}")))
}
