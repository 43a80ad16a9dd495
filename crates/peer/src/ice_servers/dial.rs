//! [`dial`]: a connection to one of a server's addresses, by TCP and TLS, the addresses racing each other (RFC 8305).

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long a name, a connection and a TLS handshake may take, each.
pub(super) const PATIENCE: Duration = Duration::from_millis(9500);

/// How long after an address the next one is tried beside it: the Connection Attempt Delay (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 6;

/// A connection to a server, and its ends.
pub(super) struct Line {
    pub(super) stream: Box<dyn Stream>,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// TCP, or TLS over it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Whom a server has to prove to be, and who is believed.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) name: ServerName<'static>,
    pub(super) config: Arc<ClientConfig>,
}

/// Connects to the address whose connection is the first to be ready, TLS included: an address that accepts connections and says
/// nothing is as good as one that does not.
pub(super) async fn dial(addresses: Vec<SocketAddr>, tls: Option<Tls>) -> Result<Line, String> {
    let attempt = |address| connect(address, tls.clone());
    race(addresses, ATTEMPT_DELAY, attempt)
        .await
        .unwrap_or_else(|| Err("its name has no address".to_owned()))
}

/// Tries one address after the other, each beside those before when they take long: the first success, or the last failure; `None`
/// without addresses.
pub(super) async fn race<T, E, F>(
    addresses: Vec<SocketAddr>,
    delay: Duration,
    mut attempt: impl FnMut(SocketAddr) -> F,
) -> Option<Result<T, E>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let mut attempts = JoinSet::new();
    let mut addresses = addresses.into_iter();
    let mut last = None;
    loop {
        let next = addresses.next();
        let is_last = next.is_none();
        next.into_iter()
            .for_each(|address| drop(attempts.spawn(attempt(address))));
        let patience = if is_last { Duration::MAX } else { delay };
        // Whoever fails makes room for the next at once.
        match timeout(patience, attempts.join_next()).await {
            Ok(Some(Ok(Ok(success)))) => return Some(Ok(success)),
            Ok(Some(Ok(Err(error)))) => last = Some(Err(error)),
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) if is_last => return last,
            Ok(None) => {}
        }
    }
}

async fn connect(address: SocketAddr, tls: Option<Tls>) -> Result<Line, String> {
    let connected = timeout(PATIENCE, TcpStream::connect(address)).await;
    let stream = connected
        .map_err(|_| "no connection to it in time".to_owned())?
        .map_err(no_connection)?;
    let (local, remote) = (
        stream.local_addr().map_err(no_connection)?,
        stream.peer_addr().map_err(no_connection)?,
    );
    // Checks are small, and nothing is to wait for more.
    stream.set_nodelay(true).map_err(no_connection)?;
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(Tls { name, config }) => {
            let handshake = timeout(PATIENCE, TlsConnector::from(config).connect(name, stream)).await;
            let handshake = handshake.map_err(|_| "no TLS handshake with it in time".to_owned())?;
            Box::new(handshake.map_err(|error| format!("no TLS handshake with it: {error}"))?)
        }
    };
    Ok(Line { stream, local, remote })
}

fn no_connection(error: impl Display) -> String {
    format!("no connection to it: {error}")
}

/// The families taking turns, IPv6 first (RFC 8305 §4), and not all of a long list.
pub(super) fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let family = |is_ipv6: bool| {
        addresses
            .iter()
            .copied()
            .filter(move |address| address.is_ipv6() == is_ipv6)
    };
    let (mut v6, mut v4) = (family(true), family(false));
    let mut all = Vec::new();
    loop {
        let (one, other) = (v6.next(), v4.next());
        if one.is_none() && other.is_none() {
            all.truncate(MAX_ADDRESSES);
            return all;
        }
        all.extend(one.into_iter().chain(other));
    }
}

/// Trusts whom browsers trust.
pub(super) fn public_roots() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = peerline_dtls::default_provider();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS");
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    });
    Arc::clone(config)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (1..=count)
            .map(|port| SocketAddr::from(([192, 0, 2, 1], port)))
            .collect()
    }

    #[test]
    fn families_take_turns() {
        let addresses =
            ["192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1", "192.0.2.3:1"].map(|text| text.parse().unwrap());
        let texts: Vec<String> = interleave(&addresses).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]);
    }

    #[tokio::test]
    async fn one_that_fails_or_hangs_does_not_hold_up_the_next() {
        // The second answers, while the first never does.
        let attempt = |address: SocketAddr| async move {
            match address.port() {
                1 => pending().await,
                2 => Err("refused"),
                port => Ok(port),
            }
        };
        let soon = Duration::from_millis(1);
        assert_eq!(race(addresses(4), soon, attempt).await, Some(Ok(3)));
        // Failures do not wait for the delay.
        let attempt = |address: SocketAddr| async move { if address.port() < 4 { Err("refused") } else { Ok(()) } };
        assert_eq!(race(addresses(4), Duration::MAX, attempt).await, Some(Ok(())));
        assert_eq!(race(addresses(3), Duration::MAX, attempt).await, Some(Err("refused")));
        assert_eq!(race(Vec::new(), soon, attempt).await, None);
    }

    /// It accepts connections and says nothing, for ever.
    #[tokio::test]
    async fn a_server_without_tls_does_not_hold_up_one_that_has_it() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rude = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let places = [&silent, &rude].map(|listener| listener.local_addr().unwrap());
        let tls = Tls {
            name: ServerName::try_from("localhost").unwrap(),
            config: public_roots(),
        };
        let dialling = tokio::spawn(dial(places.to_vec(), Some(tls)));
        let (_open, _) = silent.accept().await.unwrap();
        // The other one is greeted while that one is waited for.
        let (mut greeted, _) = rude.accept().await.unwrap();
        let mut hello = [0; 1];
        greeted.read_exact(&mut hello).await.unwrap();
        assert_eq!(hello, [22], "a handshake record (RFC 8446 §5.1)");
        dialling.abort();
    }
}
