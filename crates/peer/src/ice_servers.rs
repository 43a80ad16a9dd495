//! ICE servers: their names are looked up, and TURN servers connected to by TCP and TLS. What is said to them is ICE's.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::BytesMut;
use peerline_connection::{
    CandidateError, IceServer, IceServerError, IceServerUrl, ResolvedServer, ServerTransport, TurnCredentials,
};
use peerline_turn::framing;
use peerline_wire::{Datagram, FiveTuple, Transport};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::bindings::Answer;
use crate::driver;
use crate::endpoint::Hub;
use crate::shared::Shared;

/// How long a name, a connection and a TLS handshake may take, each.
const PATIENCE: Duration = Duration::from_millis(9500);

/// How long after an address the next one is tried beside it: the Connection Attempt Delay (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 6;

/// How many bytes wait for a stream at most. More are lost, as they would be on a path of datagrams.
const MAX_WAITING: usize = 1 << 20;

/// How long the first pause is before a server is connected to again. It doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// How many failures in a row are one too many: those before have taken two minutes.
const MAX_FAILURES: u32 = 8;

/// A connection that has lasted as long is no failure.
const LASTING: Duration = Duration::from_secs(30);

/// A server as the configuration names it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// As the user wrote it.
    pub(crate) text: String,
    url: IceServerUrl,
    credentials: Option<TurnCredentials>,
}

/// The servers of a configuration, and whom to trust among them.
#[derive(Debug)]
pub(crate) struct IceServers {
    pub(crate) named: Vec<Named>,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Named {
    /// All servers of a configuration.
    pub(crate) fn all(servers: &[IceServer]) -> Result<Vec<Self>, IceServerError> {
        let mut all = Vec::new();
        for server in servers {
            for (text, url) in server.urls.iter().zip(server.parse()?) {
                let credentials = (server.username.as_ref()).zip(server.credential.as_ref());
                let credentials = credentials.filter(|_| url.is_turn);
                all.push(Self {
                    text: text.clone(),
                    url,
                    credentials: credentials.map(|(name, password)| TurnCredentials::new(name, password)),
                });
            }
        }
        Ok(all)
    }

    /// True if it is spoken with over a connection.
    pub(crate) fn is_stream(&self) -> bool {
        self.url.is_turn && matches!(self.url.transport, ServerTransport::Tcp | ServerTransport::Tls)
    }

    /// True if it is asked for relayed addresses over UDP.
    pub(crate) fn is_relay_by_udp(&self) -> bool {
        self.url.is_turn && self.url.transport == ServerTransport::Udp
    }

    fn at(&self, address: SocketAddr) -> ResolvedServer {
        ResolvedServer {
            url: self.text.clone(),
            address,
            credentials: self.credentials.clone(),
        }
    }

    /// Its addresses, the families taking turns, IPv6 first (RFC 8305 §4).
    async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        if let Ok(ip) = self.url.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, self.url.port)]);
        }
        let lookup = tokio::net::lookup_host((self.url.host.as_str(), self.url.port));
        let found = timeout(PATIENCE, lookup).await;
        let found = found.map_err(|_| "its name was not found in time".to_owned())?;
        let found: Vec<SocketAddr> = found
            .map_err(|error| format!("its name was not found: {error}"))?
            .collect();
        Ok(interleave(&found))
    }

    /// Connects to the first address that answers (RFC 8305 §5).
    async fn connect(&self) -> Result<TcpStream, String> {
        let mut attempts = JoinSet::new();
        let mut last = "its name has no address".to_owned();
        for address in self.addresses().await? {
            attempts.spawn(timeout(PATIENCE, TcpStream::connect(address)));
            while let Ok(Some(result)) = timeout(ATTEMPT_DELAY, attempts.join_next()).await {
                match connected(result) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
        }
        while let Some(result) = attempts.join_next().await {
            match connected(result) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

type Attempt = Result<Result<io::Result<TcpStream>, tokio::time::error::Elapsed>, tokio::task::JoinError>;

fn connected(attempt: Attempt) -> Result<TcpStream, String> {
    match attempt {
        Ok(Ok(Ok(stream))) => Ok(stream),
        Ok(Ok(Err(error))) => Err(format!("no connection to it: {error}")),
        Ok(Err(_)) | Err(_) => Err("no connection to it in time".to_owned()),
    }
}

fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
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

/// The tasks that look for servers and speak with them: dropped with the driver.
pub(crate) type Tasks = JoinSet<()>;

/// Says that gathering may end, once everybody who has this has dropped it.
pub(crate) struct Search {
    shared: Arc<Shared>,
    /// The network has changed meanwhile.
    outdated: AtomicBool,
}

impl Search {
    fn new(shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            outdated: AtomicBool::new(false),
        })
    }

    /// The network has changed: once this has ended, what is lacking is looked for again.
    pub(crate) fn outdate(&self) {
        self.outdated.store(true, Ordering::Relaxed);
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.shared.update(|state, now| {
            state.connection.finish_gathering(now);
            state.network_changed |= *self.outdated.get_mut();
        });
    }
}

/// An endpoint, and the addresses of its sockets that a connection offers.
type EndpointSockets = (Arc<Hub>, Vec<SocketAddr>);

/// Looks for these servers; gathering is finished when each is found or given up, and with that the search is over. STUN servers
/// are asked by the `endpoint`, if there is one.
pub(crate) fn seek(
    shared: &Arc<Shared>,
    servers: Vec<Named>,
    tls: Option<&Arc<ClientConfig>>,
    endpoint: Option<&EndpointSockets>,
    tasks: &mut Tasks,
) -> Weak<Search> {
    let search = Search::new(shared);
    let current = Arc::downgrade(&search);
    // Those that are done.
    while tasks.try_join_next().is_some() {}
    for server in servers {
        let (search, tls) = (Arc::clone(&search), tls.cloned());
        let endpoint = endpoint.filter(|_| !server.url.is_turn).cloned();
        tasks.spawn(async move {
            let shared = Arc::clone(&search.shared);
            let result = match server.url.transport {
                ServerTransport::Udp => match introduce(&shared, &server, endpoint).await {
                    Ok(heard) => {
                        drop(search);
                        return follow_all(&shared, heard).await;
                    }
                    Err(text) => Err(text),
                },
                ServerTransport::Dtls => Err("DTLS to servers is not spoken: use ?transport=tcp".to_owned()),
                ServerTransport::Tcp | ServerTransport::Tls if !server.url.is_turn => {
                    Err("over a stream, a STUN server tells nothing of use: use stun:".to_owned())
                }
                ServerTransport::Tcp | ServerTransport::Tls if is_spoken_with(&shared, &server) => Ok(()),
                ServerTransport::Tcp | ServerTransport::Tls => accompany(&server, tls.as_ref(), search).await,
            };
            if let Err(text) = result {
                shared.update(|state, now| state.connection.ice_server_failed(now, &server.text, &text));
            }
        });
    }
    current
}

/// What a server has said to a socket of an endpoint, and may say otherwise.
struct Heard {
    base: SocketAddr,
    server: SocketAddr,
    answer: watch::Receiver<Answer>,
}

/// Has ICE ask a server from each socket, or the endpoint for it, and tells what that has heard.
async fn introduce(
    shared: &Arc<Shared>,
    server: &Named,
    endpoint: Option<EndpointSockets>,
) -> Result<Vec<Heard>, String> {
    let mut addresses = server.addresses().await?;
    if addresses.is_empty() {
        return Err("its name has no address".to_owned());
    }
    // Of each family the first: others lead to the same server.
    let mut families = Vec::new();
    addresses.retain(|address| {
        let is_first = !families.contains(&address.is_ipv4());
        families.push(address.is_ipv4());
        is_first
    });
    let Some((hub, bases)) = endpoint else {
        for address in addresses {
            shared.update(|state, now| state.connection.add_ice_server(now, server.at(address)));
        }
        return Ok(Vec::new());
    };
    let mut answers = JoinSet::new();
    for (&base, &address) in bases
        .iter()
        .flat_map(|base| addresses.iter().map(move |address| (base, address)))
    {
        if let Some(answer) = hub.bindings.ask(driver::now(), base, server.at(address)) {
            answers.spawn(take_answer(
                Arc::clone(shared),
                server.text.clone(),
                base,
                address,
                answer,
            ));
        }
    }
    let mut heard = Vec::new();
    while let Some(answered) = answers.join_next().await {
        heard.extend(answered.ok().flatten());
    }
    Ok(heard)
}

/// The endpoint asks on, so that translators keep what they have: where one does not, since it was started anew, for one, the
/// connection has another candidate.
async fn follow_all(shared: &Arc<Shared>, heard: Vec<Heard>) {
    let mut following = JoinSet::new();
    for Heard { base, server, answer } in heard {
        let shared = Arc::clone(shared);
        following.spawn(follow(answer, move |mapped| {
            shared.update(|state, now| state.connection.add_reflexive_address(now, base, server, mapped));
        }));
    }
    while following.join_next().await.is_some() {}
}

/// Tells each address that is heard from now on, until there will be none.
async fn follow(mut answer: watch::Receiver<Answer>, tell: impl Fn(SocketAddr)) {
    while answer.changed().await.is_ok() {
        let answer = answer.borrow_and_update().clone();
        if let Some(Ok(mapped)) = answer {
            tell(mapped);
        }
    }
}

/// Waits for what a server says to a socket of an endpoint. `None` if it says nothing of use.
async fn take_answer(
    shared: Arc<Shared>,
    url: String,
    base: SocketAddr,
    server: SocketAddr,
    mut answer: watch::Receiver<Answer>,
) -> Option<Heard> {
    let said = answer.wait_for(Option::is_some).await;
    let said = said.ok().and_then(|said| said.clone());
    let heard = matches!(said, Some(Ok(_))).then_some(Heard { base, server, answer });
    shared.update(|state, now| match said {
        Some(Ok(mapped)) => state.connection.add_reflexive_address(now, base, server, mapped),
        // Another connection may have another name for it.
        Some(Err(error)) => state.connection.candidate_failed(now, CandidateError { url, ..error }),
        None => state
            .connection
            .ice_server_failed(now, &url, "the endpoint's socket is gone"),
    });
    heard
}

/// True if there is a connection with this server. What it gave goes on with the credentials that are known now.
fn is_spoken_with(shared: &Shared, server: &Named) -> bool {
    shared.update(|state, now| {
        let path = state.streams.as_ref().and_then(|streams| streams.path_to(&server.text));
        if let Some(path) = path {
            state
                .connection
                .add_ice_stream(now, path.local, &server.at(path.remote));
        }
        path.is_some()
    })
}

/// Speaks with a server, over one connection after another when what it gave is lost with one.
async fn accompany(server: &Named, tls: Option<&Arc<ClientConfig>>, search: Arc<Search>) -> Result<(), String> {
    let shared = Arc::clone(&search.shared);
    let mut current = Some(search);
    let mut failures = 0;
    loop {
        // A new candidate is gathered with each.
        let search = current.take().unwrap_or_else(|| Search::new(&shared));
        let begun = driver::now();
        match converse_once(server, tls, search).await {
            Ok(false) => return Ok(()),
            Ok(true) if begun.elapsed() >= LASTING => failures = 1,
            Err(text) if failures == 0 || failures >= MAX_FAILURES => return Err(text),
            Ok(true) | Err(_) => failures += 1,
        }
        if failures > MAX_FAILURES {
            return Err("its connections do not last".to_owned());
        }
        tokio::time::sleep(FIRST_PAUSE * (1 << (failures - 1))).await;
        // Interfaces may have changed meanwhile: whoever follows them has been quicker.
        if is_spoken_with(&shared, server) {
            return Ok(());
        }
    }
}

/// Over one connection; true if a relayed address is lost with it.
async fn converse_once(server: &Named, tls: Option<&Arc<ClientConfig>>, search: Arc<Search>) -> Result<bool, String> {
    let stream = server.connect().await?;
    let (local, remote) = ends(&stream)?;
    if server.url.transport == ServerTransport::Tcp {
        return Ok(converse(stream, local, server.at(remote), search).await);
    }
    let name = ServerName::try_from(server.url.host.clone()).map_err(|_| "its name fits no certificate".to_owned())?;
    let connector = TlsConnector::from(tls.cloned().unwrap_or_else(public_roots));
    let handshake = timeout(PATIENCE, connector.connect(name, stream)).await;
    let handshake = handshake.map_err(|_| "no TLS handshake with it in time".to_owned())?;
    let stream = handshake.map_err(|error| format!("no TLS handshake with it: {error}"))?;
    Ok(converse(stream, local, server.at(remote), search).await)
}

fn ends(stream: &TcpStream) -> Result<(SocketAddr, SocketAddr), String> {
    let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
    // Checks are small, and nothing is to wait for more.
    let ends = ends.and_then(|ends| stream.set_nodelay(true).map(|()| ends));
    ends.map_err(|error| format!("no connection to it: {error}"))
}

/// Trusts whom browsers trust.
fn public_roots() -> Arc<ClientConfig> {
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

/// Carries messages between ICE and a server until one of them ends it; true if a relayed address is lost with that.
async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    local: SocketAddr,
    server: ResolvedServer,
    search: Arc<Search>,
) -> bool {
    let shared = Arc::clone(&search.shared);
    let five_tuple = FiveTuple {
        local,
        remote: server.address,
        transport: Transport::Tcp,
    };
    let outlet = Arc::new(Outlet::default());
    shared.update(|state, now| {
        state
            .streams
            .get_or_insert_default()
            .0
            .insert(five_tuple, (server.url.clone(), Arc::clone(&outlet)));
        state.connection.add_ice_stream(now, local, &server);
    });
    // From here on ICE knows that a candidate may come of it.
    drop(search);
    let mut buffer = BytesMut::new();
    loop {
        let waiting = outlet.take();
        if !waiting.is_empty() {
            if stream.write_all(&waiting).await.is_err() || stream.flush().await.is_err() {
                break;
            }
            continue;
        }
        if outlet.closed.load(Ordering::Relaxed) {
            break;
        }
        buffer.reserve(16 * 1024);
        tokio::select! {
            read = stream.read_buf(&mut buffer) => {
                if !matches!(read, Ok(1..)) || !deliver(&shared, five_tuple, &mut buffer) {
                    break;
                }
            }
            () = outlet.filled.notified() => {}
        }
    }
    shared.update(|state, now| {
        if let Some(streams) = &mut state.streams {
            streams.0.remove(&five_tuple);
        }
        // Where the interface is gone, whoever follows interfaces connects from another.
        state.connection.ice_stream_closed(now, local, server.address) && !outlet.closed.load(Ordering::Relaxed)
    })
}

/// Hands over the messages that are whole; false if what comes is none.
fn deliver(shared: &Shared, five_tuple: FiveTuple, buffer: &mut BytesMut) -> bool {
    shared.update(|state, now| {
        loop {
            match framing::split(buffer) {
                Ok(Some(payload)) => state.connection.handle_datagram(
                    now,
                    Datagram {
                        five_tuple,
                        ecn: None,
                        payload,
                    },
                ),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    })
}

/// What is to be written to servers.
#[derive(Debug, Default)]
pub(crate) struct Streams(HashMap<FiveTuple, (String, Arc<Outlet>)>);

impl Streams {
    /// Takes one message for a server. Lost, if too much waits there.
    pub(crate) fn write(&self, five_tuple: &FiveTuple, message: &[u8]) {
        if let Some((_, outlet)) = self.0.get(five_tuple) {
            outlet.put(message);
        }
    }

    /// The connection with a server, by its name in the configuration.
    fn path_to(&self, url: &str) -> Option<FiveTuple> {
        let mut streams = self.0.iter().filter(|(_, (known, _))| known == url);
        streams.next().map(|(path, _)| *path)
    }

    /// Closes the connections from addresses that are gone: nobody tells them. Says with which servers there are others, by the
    /// names that the configuration has for them.
    pub(crate) fn keep(&self, gone: impl Fn(IpAddr) -> bool) -> Vec<String> {
        let mut kept = Vec::new();
        for (five_tuple, (url, outlet)) in &self.0 {
            if gone(five_tuple.local.ip()) {
                outlet.closed.store(true, Ordering::Relaxed);
                outlet.filled.notify_one();
            } else {
                kept.push(url.clone());
            }
        }
        kept
    }
}

/// What is to be written to one server.
#[derive(Debug, Default)]
struct Outlet {
    waiting: Mutex<Vec<u8>>,
    /// There is something, or nothing will be any more.
    filled: Notify,
    closed: AtomicBool,
}

impl Outlet {
    fn put(&self, message: &[u8]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() + message.len() <= MAX_WAITING {
            waiting.extend_from_slice(message);
            self.filled.notify_one();
        }
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_mapping_is_told_and_no_answer_is_not() {
        let (sender, receiver) = watch::channel(Some(Ok("203.0.113.7:1".parse().unwrap())));
        let told = Arc::new(std::sync::Mutex::new(Vec::new()));
        let tell = {
            let told = Arc::clone(&told);
            move |mapped: SocketAddr| told.lock().unwrap().push(mapped.port())
        };
        let following = tokio::spawn(follow(receiver, tell));
        for (answer, count) in [(Some(2), 1), (None, 1), (Some(3), 2)] {
            tokio::task::yield_now().await;
            sender.send_replace(answer.map(|port| Ok(SocketAddr::from(([203, 0, 113, 7], port)))));
            while told.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        }
        drop(sender);
        following.await.unwrap();
        assert_eq!(*told.lock().unwrap(), [2, 3]);
    }

    #[test]
    fn families_take_turns() {
        let addresses =
            ["192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1", "192.0.2.3:1"].map(|text| text.parse().unwrap());
        let texts: Vec<String> = interleave(&addresses).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]);
    }

    #[test]
    fn a_stream_that_takes_nothing_holds_little() {
        let outlet = Outlet::default();
        for _ in 0..3000 {
            outlet.put(&[0; 1000]);
        }
        assert!(outlet.take().len() <= MAX_WAITING);
        outlet.put(b"more");
        assert_eq!(outlet.take(), b"more");
    }
}
