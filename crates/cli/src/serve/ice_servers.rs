//! The STUN and TURN servers of the program: for browsers, as `GET /ice-servers`, and for our own peers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{ConnectInfo, Request};
use axum::http::header;
use axum::routing::get;
use axum::{Json, Router};
use peerline::{ExternalAddress, IceServer};
use peerline_turn::Credentials;
use peerline_turn::server::TimeLimitedUsers;
use peerline_turn_server::{Config, TurnServer};
use rand::RngExt;

use crate::ice_servers::Named;
use crate::turn;

/// The port of STUN and TURN (RFC 8489 §18.6).
const PORT: u16 = 3478;

/// How long the credentials of a page serve to begin: an allocation then goes on.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Allocations for pages at one address, however many credentials these ask for: one for each way to the server, for some calls in
/// each of some dozen rooms of a house.
const PER_USER: usize = 100;

/// What is said of servers on the command line.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// A STUN or TURN server for the page and for our peers: `stun:HOST:PORT`, or `turn:NAME:SECRET@HOST:PORT?transport=tcp`, or
    /// turns: for TLS; port and transport may be left out. May be repeated.
    #[arg(long, value_name = "URL")]
    ice_server: Vec<Named>,
    /// Be a STUN and TURN server, too, by UDP and TCP: at the address of --listen and port 3478, or where it says.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true)]
    turn: Option<Option<SocketAddr>>,
    /// Where to be one by TLS.
    #[arg(long, value_name = "ADDRESS", requires_all = ["turn", "turn_tls_cert", "turn_tls_key"])]
    turn_tls: Option<SocketAddr>,
    /// The certificate for that, with those that lead to its authority: a PEM file.
    #[arg(long, value_name = "FILE", requires = "turn_tls")]
    turn_tls_cert: Option<PathBuf>,
    /// The certificate's key: a PEM file.
    #[arg(long, value_name = "FILE", requires = "turn_tls")]
    turn_tls_key: Option<PathBuf>,
}

/// The servers that the program knows, and the one that it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct IceServers(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    external: Vec<IceServer>,
    built_in: Option<BuiltIn>,
}

/// The server in this process.
#[derive(Debug)]
struct BuiltIn {
    server: TurnServer,
    /// What it shares with those who make credentials: this program alone.
    secret: [u8; 32],
}

impl IceServers {
    /// Begins to be a server, if that is wished. `listen` is where the page is.
    /// Its relays are known by the external addresses, if there are any.
    pub(crate) fn new(
        options: &Options,
        listen: SocketAddr,
        external: &[ExternalAddress],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let address = options
            .turn
            .map(|at| at.unwrap_or_else(|| SocketAddr::new(listen.ip(), PORT)));
        let built_in = address
            .map(|address| BuiltIn::new(address, options, external))
            .transpose()?;
        let external = options.ice_server.iter().map(|named| named.0.clone()).collect();
        Ok(Self(Arc::new(Known { external, built_in })))
    }

    /// `GET /ice-servers`, as `RTCConfiguration.iceServers` takes them: with credentials of an hour. Whoever reaches this program may
    /// ask, and as often as he likes: what the credentials are good for is counted by the address that asked.
    pub(crate) fn router(&self) -> Router {
        let servers = self.clone();
        let answer = move |request: Request| {
            let host = request.headers().get(header::HOST);
            let host = host.and_then(|host| host.to_str().ok());
            let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
            let servers = servers.for_page(host.unwrap_or_default(), from.map(|from| from.ip()));
            std::future::ready(([(header::CACHE_CONTROL, "no-store")], Json(servers)))
        };
        Router::new().route("/ice-servers", get(answer))
    }

    /// Those for a page at an address that was asked for at this host.
    fn for_page(&self, host: &str, from: Option<IpAddr>) -> Vec<IceServer> {
        let built_in = self.0.built_in.as_ref().map(|built_in| built_in.for_page(host, from));
        built_in.into_iter().chain(self.0.external.iter().cloned()).collect()
    }

    /// Those for a peer in this process.
    pub(crate) fn for_peer(&self) -> Vec<IceServer> {
        let built_in = self.0.built_in.as_ref().map(BuiltIn::for_peer);
        built_in.into_iter().chain(self.0.external.iter().cloned()).collect()
    }

    /// Where the server in this process is, for who reads.
    pub(crate) fn describe(&self) -> Option<String> {
        let server = &self.0.built_in.as_ref()?.server;
        let plain = server.addresses().iter().map(|address| format!("turn:{address}"));
        let tls = server.tls_addresses().iter().map(|address| format!("turns:{address}"));
        Some(plain.chain(tls).collect::<Vec<_>>().join(", "))
    }

    /// Writes the log of the server in this process; for ever if there is none.
    pub(crate) async fn log(&self) {
        if let Some(built_in) = &self.0.built_in {
            turn::log(&built_in.server).await;
        }
        std::future::pending::<()>().await;
    }
}

impl BuiltIn {
    fn new(
        address: SocketAddr,
        options: &Options,
        external: &[ExternalAddress],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let secret: [u8; 32] = rand::rng().random();
        // Clients never show it, but it is a part of what they prove to know.
        let mut config = Config::new("peerline");
        config.listen = vec![address];
        config.turn.limits.max_allocations_per_user = PER_USER;
        // Relays on the loopback interface are seen by this host alone.
        let is_seen_as = |external: &&ExternalAddress| {
            external.address.is_ipv4() == address.is_ipv4() && !address.ip().is_loopback()
        };
        let seen_as = external.iter().find(is_seen_as).map(|external| external.address);
        config.external_addresses = seen_as.into_iter().collect();
        if let (Some(at), Some(certificate), Some(key)) =
            (options.turn_tls, &options.turn_tls_cert, &options.turn_tls_key)
        {
            config.listen_tls = vec![at];
            config.tls = Some(turn::load_certificate(certificate, key)?);
        }
        turn::raise_descriptors();
        let users = TimeLimitedUsers::new([secret.to_vec()]);
        let server = TurnServer::bind(config, users).map_err(|error| {
            format!(
                "no TURN server can be at {address}: {}\n  or name another address: --turn=ADDRESS:PORT",
                turn::explain(&error)
            )
        })?;
        Ok(Self { server, secret })
    }

    fn server(&self, urls: Vec<String>, user: &str) -> IceServer {
        let credentials = Credentials::time_limited(&self.secret, user, wall_clock() + LIFETIME);
        let Credentials { username, password } = credentials;
        IceServer {
            urls,
            username: Some(username),
            credential: Some(password),
        }
    }

    /// At a wildcard, it is where the page is: by the name that the page was asked for.
    fn for_page(&self, host: &str, from: Option<IpAddr>) -> IceServer {
        let mut urls = Vec::new();
        for address in self.server.addresses() {
            let (host, port) = (host_for(address.ip(), host), address.port());
            urls.push(format!("turn:{host}:{port}"));
            urls.push(format!("turn:{host}:{port}?transport=tcp"));
        }
        for address in self.server.tls_addresses() {
            // By the name, which is in the certificate.
            urls.push(format!("turns:{}:{}?transport=tcp", host_of(host), address.port()));
        }
        self.server(urls, &user_at(from))
    }

    fn for_peer(&self) -> IceServer {
        let url = |address: &SocketAddr| format!("turn:{}", SocketAddr::new(reachable(address.ip()), address.port()));
        self.server(self.server.addresses().iter().map(url).collect(), &user_at(None))
    }
}

/// Who asks from there: all at one address are one user of the server, and of IPv6 all in a network, which one host may have. Who
/// comes from this very host may be a proxy that speaks for many, or the program itself: each time another user.
fn user_at(from: Option<IpAddr>) -> String {
    match from.map(|ip| ip.to_canonical()).filter(|ip| !ip.is_loopback()) {
        Some(IpAddr::V4(ip)) => format!("{:08x}", ip.to_bits()),
        Some(IpAddr::V6(ip)) => format!("{:016x}", ip.to_bits() >> 64),
        None => format!("{:032x}", rand::rng().random::<u128>()),
    }
}

/// The name or address in a `Host` header.
fn host_of(header: &str) -> &str {
    match header.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => header,
    }
}

/// How a page reaches a server that listens there.
fn host_for(listens: IpAddr, header: &str) -> String {
    match (host_of(header), listens) {
        // The name may lead to the other family, where nobody listens.
        ("" | "localhost", _) => bracketed(reachable(listens)),
        (host, listens) if listens.is_unspecified() => host.to_owned(),
        (_, listens) => bracketed(listens),
    }
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// An address that leads from this host to who listens there.
fn reachable(listens: IpAddr) -> IpAddr {
    match listens {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// The program is a driver: it may ask for the time.
#[allow(clippy::disallowed_methods)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_of_a_host_that_it_reaches() {
        for (listens, header, expected) in [
            ("0.0.0.0", "192.168.1.5:8080", "192.168.1.5"),
            ("0.0.0.0", "example.org", "example.org"),
            ("0.0.0.0", "localhost:8080", "127.0.0.1"),
            ("::", "[2001:db8::1]:8080", "[2001:db8::1]"),
            ("::", "[2001:db8::1]", "[2001:db8::1]"),
            ("::1", "localhost:8080", "[::1]"),
            ("127.0.0.1", "localhost:8080", "127.0.0.1"),
            ("192.0.2.1", "example.org:8080", "192.0.2.1"),
            ("0.0.0.0", "", "127.0.0.1"),
        ] {
            assert_eq!(
                host_for(listens.parse().unwrap(), header),
                expected,
                "{listens} {header}"
            );
        }
    }

    #[tokio::test]
    async fn each_address_has_credentials_of_its_own_for_an_hour() {
        let options = Options {
            turn: Some(Some("127.0.0.1:0".parse().unwrap())),
            ice_server: vec!["stun:example.org".parse().unwrap()],
            ..Options::default()
        };
        let servers = IceServers::new(&options, "127.0.0.1:8080".parse().unwrap(), &[]).unwrap();
        let page = |from: Option<&str>| servers.for_page("localhost:8080", from.map(|from| from.parse().unwrap()));
        let user = |from: &str| {
            let name = page(Some(from))[0].username.clone().unwrap();
            name.split_once(':').expect("a time and a name").1.to_owned()
        };
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            // A proxy, perhaps.
            ("127.0.0.1", "127.0.0.1", false),
        ] {
            assert_eq!(user(one) == user(other), is_same, "{one} {other}");
        }
        let [one, other] = [page(None), page(None)];
        assert_eq!(one[1], IceServer::stun("stun:example.org"));
        assert_ne!(one[0].username, other[0].username);
        assert_eq!(one[0].parse().expect("URLs").len(), 2);
        let end = Credentials::new(one[0].username.clone().unwrap(), "")
            .end()
            .expect("a time");
        let left = end.duration_since(wall_clock()).unwrap();
        assert!((3500..=3601).contains(&left.as_secs()), "{left:?}");
        let own = servers.for_peer();
        assert!(own[0].urls[0].starts_with("turn:127.0.0.1:"), "{own:?}");
    }
}
