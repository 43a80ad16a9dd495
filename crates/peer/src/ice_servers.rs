//! ICE servers: their names are looked up, and TURN servers connected to by TCP and TLS. What is said to them is ICE's.

mod dial;
mod follow;
mod streams;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::BytesMut;
use peerline_connection::{IceServer, IceServerError, IceServerUrl, ResolvedServer, ServerTransport, TurnCredentials};
use peerline_turn::framing;
use peerline_wire::{Datagram, FiveTuple, Transport};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::driver;
use crate::endpoint::Hub;
use crate::shared::Shared;
use dial::{Line, PATIENCE, Tls, interleave};
use follow::Heard;
pub(crate) use streams::{Alternate, Streams};

/// How long the first pause is before a server is connected to again. It doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// How many failures in a row are one too many: those before have taken two minutes.
const MAX_FAILURES: u32 = 8;

/// A server may send us to another, and that one to a third: no further.
const MAX_ASKED: usize = 3;

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

    /// Connects to it, or to the one that it has named in its place.
    async fn dial(&self, tls: Option<&Arc<ClientConfig>>, alternate: Option<&Alternate>) -> Result<Line, String> {
        let addresses = match alternate {
            Some(alternate) => vec![alternate.server],
            None => self.addresses().await?,
        };
        let domain = alternate.and_then(|alternate| alternate.domain.as_deref());
        let tls = match self.url.transport {
            ServerTransport::Tls => Some(Tls {
                name: self.certificate_name(domain)?,
                config: tls.cloned().unwrap_or_else(dial::public_roots),
            }),
            ServerTransport::Tcp | ServerTransport::Udp | ServerTransport::Dtls => None,
        };
        dial::dial(addresses, tls).await
    }

    /// "If the attribute is found, the domain MUST be used to validate the certificate [...]. The certificate MUST contain an
    /// identifier of type DNS-ID [...]. If the attribute is not found, the same domain that was used for the original request MUST be
    /// used" (RFC 8489 §10).
    fn certificate_name(&self, alternate: Option<&str>) -> Result<ServerName<'static>, String> {
        let Some(domain) = alternate else {
            return ServerName::try_from(self.url.host.clone()).map_err(|_| "its name fits no certificate".to_owned());
        };
        match ServerName::try_from(domain.to_owned()) {
            Ok(name @ ServerName::DnsName(_)) => Ok(name),
            Ok(_) | Err(_) => Err("it names another server, whose name fits no certificate".to_owned()),
        }
    }
}

/// The tasks that look for servers and speak with them: dropped with the driver.
#[derive(Default)]
pub(crate) struct Tasks {
    tasks: JoinSet<()>,
    /// The one that follows what servers say to the sockets of an endpoint.
    follower: Option<mpsc::UnboundedSender<Heard>>,
}

impl Tasks {
    fn follower(&mut self, shared: &Arc<Shared>) -> mpsc::UnboundedSender<Heard> {
        let Self { tasks, follower } = self;
        let start = || {
            let (follower, heard) = mpsc::unbounded_channel();
            tasks.spawn(follow::follow_all(Arc::clone(shared), heard));
            follower
        };
        follower.get_or_insert_with(start).clone()
    }
}

/// Says that gathering may end, once everybody who has this has dropped it.
pub(crate) struct Search {
    shared: Arc<Shared>,
    /// The network has changed meanwhile.
    outdated: AtomicBool,
    /// Other servers are looked for in place of these: the end is theirs to say.
    superseded: AtomicBool,
}

impl Search {
    fn new(shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            outdated: AtomicBool::new(false),
            superseded: AtomicBool::new(false),
        })
    }

    /// The network has changed: once this has ended, what is lacking is looked for again.
    pub(crate) fn outdate(&self) {
        self.outdated.store(true, Ordering::Relaxed);
    }

    /// What it leads to counts no more.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, Ordering::Relaxed);
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        if *self.superseded.get_mut() {
            return;
        }
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
    while tasks.tasks.try_join_next().is_some() {}
    for server in servers {
        let (search, tls) = (Arc::clone(&search), tls.cloned());
        let endpoint = endpoint.filter(|_| !server.url.is_turn).cloned();
        let endpoint = endpoint.map(|endpoint| (endpoint, tasks.follower(shared)));
        tasks.tasks.spawn(async move {
            let shared = Arc::clone(&search.shared);
            let result = match server.url.transport {
                ServerTransport::Udp => introduce(&shared, &server, endpoint).await,
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

/// Has ICE ask a server from each socket, or the endpoint for it.
async fn introduce(
    shared: &Arc<Shared>,
    server: &Named,
    endpoint: Option<(EndpointSockets, mpsc::UnboundedSender<Heard>)>,
) -> Result<(), String> {
    let addresses = server.addresses().await?;
    if addresses.is_empty() {
        return Err("its name has no address".to_owned());
    }
    if let Some((sockets, follower)) = endpoint {
        follow::ask(shared, server, sockets, &addresses, &follower).await;
        return Ok(());
    }
    // Of each family one after the other, until one answers.
    shared.update(|state, now| {
        for address in addresses {
            state.connection.add_ice_server(now, server.at(address));
        }
    });
    Ok(())
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

/// How a connection with a server has ended.
enum Ended {
    /// Nothing was lost with it.
    Over,
    /// A relayed address was.
    Lost,
    /// The server has named another one.
    Elsewhere(Alternate),
}

/// Speaks with a server, over one connection after another when what it gave is lost with one.
async fn accompany(server: &Named, tls: Option<&Arc<ClientConfig>>, search: Arc<Search>) -> Result<(), String> {
    let shared = Arc::clone(&search.shared);
    let mut server = server.clone();
    let mut current = Some(search);
    let mut failures = 0;
    loop {
        // A new candidate is gathered with each.
        let search = current.take().unwrap_or_else(|| Search::new(&shared));
        let begun = driver::now();
        match converse_once(&shared, &server, tls, search).await {
            Ok(false) => return Ok(()),
            Ok(true) if begun.elapsed() >= LASTING => failures = 1,
            Err(text) if failures == 0 || failures >= MAX_FAILURES => return Err(text),
            Ok(true) | Err(_) => failures += 1,
        }
        if failures > MAX_FAILURES {
            return Err("its connections do not last".to_owned());
        }
        tokio::time::sleep(FIRST_PAUSE * (1 << (failures - 1))).await;
        // The configuration may be another one by now, which has it no more, or has other credentials for it.
        let Some(configured) = still_configured(&shared, server) else {
            return Ok(());
        };
        server = configured;
        // Interfaces may have changed meanwhile: whoever follows them has been quicker.
        if is_spoken_with(&shared, &server) {
            return Ok(());
        }
    }
}

/// The server as the configuration has it now.
fn still_configured(shared: &Shared, server: Named) -> Option<Named> {
    let state = shared.lock();
    let Some(servers) = &state.ice_servers else {
        return Some(server);
    };
    let mut named = servers.named.iter();
    named.find(|known| known.text == server.text).cloned()
}

/// Over one connection, or several if servers name others in their place; true if a relayed address is lost with it.
async fn converse_once(
    shared: &Shared,
    server: &Named,
    tls: Option<&Arc<ClientConfig>>,
    search: Arc<Search>,
) -> Result<bool, String> {
    let mut search = Some(search);
    let mut asked = Vec::new();
    let mut alternate: Option<Alternate> = None;
    loop {
        let line = server.dial(tls, alternate.as_ref()).await?;
        // Interfaces may have changed meanwhile, as above. ICE waits for the answer of another server by itself.
        if search.is_none() && is_spoken_with(shared, server) {
            return Ok(false);
        }
        asked.push(line.remote);
        let resolved = server.at(line.remote);
        let next = match converse(shared, line, resolved, search.take()).await {
            Ended::Over => return Ok(false),
            Ended::Lost => return Ok(true),
            Ended::Elsewhere(next) => next,
        };
        // "If the client has been redirected to a server to which it has already sent this request within the last five minutes, it
        // MUST ignore the redirection and consider the transaction to have failed" (RFC 8489 §10).
        if asked.contains(&next.server) || asked.len() >= MAX_ASKED {
            return Err("servers send us from one to the other".to_owned());
        }
        let domain = next.domain.or_else(|| alternate?.domain);
        alternate = Some(Alternate { domain, ..next });
    }
}

/// Carries messages between ICE and a server until one of them ends it.
async fn converse(shared: &Shared, line: Line, server: ResolvedServer, search: Option<Arc<Search>>) -> Ended {
    let Line { mut stream, local, .. } = line;
    let five_tuple = FiveTuple {
        local,
        remote: server.address,
        transport: Transport::Tcp,
    };
    let outlet = shared.update(|state, now| {
        let streams = state.streams.get_or_insert_default();
        let outlet = streams.insert(five_tuple, server.url.clone());
        state.connection.add_ice_stream(now, local, &server);
        outlet
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
        if outlet.is_closed() {
            break;
        }
        buffer.reserve(16 * 1024);
        tokio::select! {
            read = stream.read_buf(&mut buffer) => {
                if !matches!(read, Ok(1..)) || !deliver(shared, five_tuple, &mut buffer) {
                    break;
                }
            }
            () = outlet.filled.notified() => {}
        }
    }
    shared.update(|state, now| {
        if let Some(streams) = &mut state.streams {
            streams.remove(&five_tuple);
        }
        let is_loss = state.connection.ice_stream_closed(now, local, server.address);
        match outlet.take_alternate() {
            Some(alternate) => Ended::Elsewhere(alternate),
            // Where the interface is gone, whoever follows interfaces connects from another.
            None if is_loss && !outlet.is_closed() => Ended::Lost,
            None => Ended::Over,
        }
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
