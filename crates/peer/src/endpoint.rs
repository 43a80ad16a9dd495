//! [`Endpoint`]: one UDP port for many connections.
//!
//! A task for each socket receives in batches and finds out whose each datagram is ([`Router`]); that of the first looks after
//! alarms, too: two tasks for one stream of events would keep waking each other's threads. Runs of datagrams go into
//! the connections' inlets; a connection's own task decrypts and answers, and sends directly on the shared socket. So
//! the work that takes time spreads over all threads, and what the endpoint does for a datagram is a table look-up. Connections
//! that rest it looks after itself: it takes the checks and other brief datagrams that come for them, answers them, and lets
//! their timers expire ([`Alarms`]). To wake a task for each would be most of the work of ten thousand, and what it sends for many
//! leaves with one system call.

mod hub;

use std::collections::VecDeque;
use std::fmt;
use std::iter::once;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use std::time::Instant;

use peerline_connection::{Connection, RouteId};
use peerline_udp::Socket;
use peerline_wire::{Datagram, FiveTuple};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::error::Error;
use crate::shared::{Shared, State};
use crate::{driver, ice_tcp};

pub(crate) use hub::{Hub, Run};

/// One UDP port, or one on each of several addresses, for any number of connections: for servers behind a firewall that opens a
/// single port, and for many connections in one process, which need neither a descriptor nor a buffer of the kernel each.
///
/// It is a handle: clones are the same endpoint. It stays bound for as long as a handle or a connection that uses it lives.
///
/// ```
/// use peerline::{Configuration, Endpoint, PeerConnection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), peerline::Error> {
/// let endpoint = Endpoint::bind("0.0.0.0:0".parse().unwrap())?;
/// let configuration = Configuration { endpoint: Some(endpoint.clone()), ..Configuration::default() };
/// let one = PeerConnection::new(configuration.clone()).await?;
/// let other = PeerConnection::new(configuration).await?;
/// # Ok(())
/// # }
/// ```
///
/// Datagrams are told apart by the addresses between which they travel, and connectivity checks by the name that ICE gives each
/// connection. So two connections cannot have the same ports on *both* sides: of two between the same two endpoints, the
/// newer one works, and connections of one endpoint cannot meet each other. An endpoint serves both roles, full ICE and
/// ICE-lite.
///
/// STUN servers are asked once from each of its sockets, for all connections, and again for as long as it has any. Relayed
/// addresses are each connection's own, and asked for from sockets of its own: a TURN server has one allocation for each pair of
/// addresses that speak (RFC 8656 §2.2), and one for all would share its quota, its channels and its end. ICE-lite connections
/// have neither; for a server behind a 1:1 NAT there are
/// [`external_addresses`](crate::Configuration::external_addresses).
#[derive(Clone)]
pub struct Endpoint(Arc<Lease>);

/// What an [`Endpoint`] counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Connections that use it now.
    pub connections: usize,
    /// Connectivity checks that name none of its connections, or are malformed.
    pub unknown_checks: u64,
    /// Other datagrams that belong to none of its connections.
    pub unknown_datagrams: u64,
    /// Datagrams dropped since a connection's task did not keep up.
    pub overflows: u64,
}

/// Keeps the tasks going. They hold the [`Hub`] alone, so nothing keeps itself alive.
struct Lease {
    hub: Arc<Hub>,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// One connection's share in an endpoint; dropped with its driver.
pub(crate) struct Member {
    endpoint: Endpoint,
    id: RouteId,
    shared: Arc<Shared>,
}

impl Endpoint {
    /// Binds to one address. Port 0: the system chooses. With an unspecified IP address (`0.0.0.0` or `::`), connections offer
    /// the addresses of the host's interfaces as their [`Configuration`](crate::Configuration) says, IPv4 or IPv6 alone;
    /// any other address is offered as it is.
    ///
    /// # Errors
    /// [`Error::NoRuntime`] outside of a tokio runtime; [`Error::Bind`] if the address is not ours or is in use.
    ///
    /// # Panics
    /// If the runtime was built without I/O.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        Self::bind_all(&[address])
    }

    /// Binds to each of these addresses; all or none.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    /// As [`bind`](Self::bind).
    pub fn bind_all(addresses: &[SocketAddr]) -> Result<Self, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let sockets = addresses
            .iter()
            .map(|&address| {
                Socket::bind(address).map_err(|error| Error::Bind {
                    address,
                    kind: error.kind(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let hub = Arc::new(Hub::new(sockets));
        let tasks = (0..addresses.len())
            .map(|index| runtime.spawn(driver::serve(Arc::clone(&hub), index)).abort_handle())
            .chain(once(
                runtime.spawn(driver::keep_bindings(Arc::clone(&hub))).abort_handle(),
            ))
            .collect();
        let tasks = Mutex::new(tasks);
        Ok(Self(Arc::new(Lease { hub, tasks })))
    }

    /// Listens for connections over TCP as well, for other peers in networks that let no UDP pass: those of the endpoint's
    /// connections that gather from now on offer it (RFC 6544, passive candidates), unless they are
    /// [told not to](crate::Configuration::ice_tcp). The address may be the one of UDP; with port 0 the system chooses. Says where
    /// it listens.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    /// As [`bind`](Self::bind).
    pub fn listen_tcp(&self, address: SocketAddr) -> Result<SocketAddr, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let bound = ice_tcp::bind(address, None).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (local, listener) = bound.map_err(|error| Error::Bind {
            address,
            kind: error.kind(),
        })?;
        let hub = Arc::clone(&self.0.hub);
        let task = runtime.spawn(ice_tcp::serve(listener, move |path, check| {
            let mut router = hub.router();
            router.route(path, check).map(|(_, shared)| Arc::clone(shared))
        }));
        let Lease { hub, tasks } = &*self.0;
        tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(task.abort_handle());
        hub.listeners().push(local);
        Ok(local)
    }

    /// The addresses it is bound to, with their ports, in the order given.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.hub.sockets.iter().map(Socket::local_addr)
    }

    /// What it counted so far.
    #[must_use]
    pub fn stats(&self) -> EndpointStats {
        let hub = &self.0.hub;
        let router = hub.router();
        EndpointStats {
            connections: router.len(),
            unknown_checks: router.drops().unknown_ufrags,
            unknown_datagrams: router.drops().unknown_paths,
            overflows: hub.overflows.load(Ordering::Relaxed),
        }
    }

    /// Makes room for a connection.
    pub(crate) fn join(&self, shared: &Arc<Shared>) -> Member {
        let id = self.0.hub.router().insert(Arc::clone(shared));
        Member {
            endpoint: self.clone(),
            id,
            shared: Arc::clone(shared),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("local_addrs", &self.local_addrs().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Member {
    pub(crate) fn hub(&self) -> &Hub {
        &self.endpoint.0.hub
    }

    pub(crate) fn hub_arc(&self) -> Arc<Hub> {
        Arc::clone(&self.endpoint.0.hub)
    }

    /// Has the endpoint look at the connection at this time, or a little later; false if it cannot.
    pub(crate) fn watch(&self, state: &mut State, now: Instant, deadline: Instant) -> bool {
        self.hub().watch(self.id, &self.shared, state, now, deadline)
    }

    /// What has come for the connection.
    pub(crate) fn receive(&self, cx: &Context<'_>) -> Option<VecDeque<Datagram>> {
        self.shared.inlet.take(cx)
    }

    /// The connection's ICE sessions may have changed.
    pub(crate) fn refresh(&self, connection: &Connection) {
        self.hub().router().refresh(self.id, connection);
    }

    /// The connection has taken a datagram of STUN from there.
    pub(crate) fn learn(&self, connection: &Connection, path: &FiveTuple) {
        self.hub().router().learn(self.id, connection, path);
    }

    /// The connection sends this.
    pub(crate) fn on_transmit(&self, path: &FiveTuple, payload: &[u8]) {
        self.hub().on_transmit(self.id, path, payload);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let watch = self.shared.lock().watch.take();
        let watched = watch.and_then(|watch| self.hub().alarms.remove(watch.alarm));
        drop(watched);
        let member = self.hub().router().remove(self.id);
        // Whatever is freed with it is freed without the lock.
        drop(member);
    }
}
