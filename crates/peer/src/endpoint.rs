//! [`Endpoint`]: one UDP port for many connections.
//!
//! A task for each socket receives in batches and finds out whose each datagram is ([`Router`]). Runs of datagrams go into
//! the connections' inlets; a connection's own task decrypts and answers, and sends directly on the shared socket. So
//! the work that takes time spreads over all threads, and what the endpoint does for a datagram is a table look-up. Checks
//! for connections that rest it answers itself: to wake a task for each would be most of the work of ten thousand.

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;

use peerline_connection::{Connection, RouteId, Router, may_teach};
use peerline_udp::{Batch, Socket};
use peerline_wire::{Datagram, FiveTuple};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::configuration::Network;
use crate::error::Error;
use crate::shared::{Shared, Wakes, wake_driver};
use crate::{driver, interfaces};

/// What may wait for one connection's task, in bytes of memory: as much as a socket of its own would hold.
const INLET_SIZE: usize = 4 << 20;

/// What a waiting datagram takes beside its payload.
const OVERHEAD: usize = 128;

/// How many datagrams a connection's task takes at once: as many as a batch from a socket of its own may hold. Between two
/// portions handles get at the connection, and what has come is answered.
const PORTION: usize = 512;

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

/// Keeps the receiving tasks going. They hold the [`Hub`] alone, so nothing keeps itself alive.
struct Lease {
    hub: Arc<Hub>,
    tasks: Vec<AbortHandle>,
}

/// The sockets, and who is reached through them.
pub(crate) struct Hub {
    sockets: Vec<Socket>,
    router: Mutex<Router<Arc<Inlet>>>,
    overflows: AtomicU64,
}

/// Where datagrams for one connection go.
struct Inlet {
    shared: Arc<Shared>,
    /// What has come and was not yet taken by the connection's task.
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    datagrams: VecDeque<Datagram>,
    bytes: usize,
    waker: Option<Waker>,
}

/// Neighbours in a batch that belong to one connection.
struct Run {
    id: RouteId,
    inlet: Arc<Inlet>,
    path: FiveTuple,
    /// A single datagram of STUN.
    is_check: bool,
    datagrams: Vec<Datagram>,
}

/// One connection's share in an endpoint; dropped with its driver.
pub(crate) struct Member {
    endpoint: Endpoint,
    id: RouteId,
    inlet: Arc<Inlet>,
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
        let hub = Arc::new(Hub {
            sockets,
            router: Mutex::new(Router::new()),
            overflows: AtomicU64::new(0),
        });
        let tasks = (0..addresses.len())
            .map(|index| runtime.spawn(driver::serve(Arc::clone(&hub), index)).abort_handle())
            .collect();
        Ok(Self(Arc::new(Lease { hub, tasks })))
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
        let inlet = Arc::new(Inlet {
            shared: Arc::clone(shared),
            queue: Mutex::default(),
        });
        let id = self.0.hub.router().insert(Arc::clone(&inlet));
        Member {
            endpoint: self.clone(),
            id,
            inlet,
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
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Hub {
    pub(crate) fn socket_at(&self, index: usize) -> Option<&Socket> {
        self.sockets.get(index)
    }

    /// The socket from which datagrams with this local address leave.
    pub(crate) fn socket(&self, local: SocketAddr) -> Option<&Socket> {
        let exact = self.sockets.iter().find(|socket| socket.local_addr() == local);
        exact.or_else(|| {
            self.sockets.iter().find(|socket| {
                let bound = socket.local_addr();
                bound.ip().is_unspecified() && bound.is_ipv4() == local.is_ipv4() && bound.port() == local.port()
            })
        })
    }

    /// The addresses that a connection offers.
    pub(crate) fn addresses(&self, network: &Network, now: Instant) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for bound in self.sockets.iter().map(Socket::local_addr) {
            if !bound.ip().is_unspecified() {
                addresses.push(bound);
                continue;
            }
            for mut host in interfaces::addresses(network, now, |ip| ip.is_ipv4() == bound.is_ipv4()) {
                host.set_port(bound.port());
                addresses.push(host);
            }
        }
        addresses.truncate(network.max_local_addresses);
        addresses
    }

    /// Hands each datagram to whom it belongs.
    pub(crate) fn deliver(&self, batch: Batch<'_>) {
        let mut runs: Vec<Run> = Vec::new();
        let mut router = self.router();
        for datagram in batch {
            let is_check = may_teach(&datagram.payload);
            // What is not STUN goes where its neighbour of that kind went.
            let follows = |run: &&mut Run| !run.is_check && !is_check && run.path == datagram.five_tuple;
            if let Some(run) = runs.last_mut().filter(follows) {
                run.datagrams.push(datagram);
            } else if let Some((id, inlet)) = router.route(&datagram.five_tuple, &datagram.payload) {
                runs.push(Run {
                    id,
                    inlet: Arc::clone(inlet),
                    path: datagram.five_tuple,
                    is_check,
                    datagrams: vec![datagram],
                });
            }
        }
        drop(router);
        for run in runs {
            let Some(run) = self.answer(run) else { continue };
            let (waker, dropped) = run.inlet.push(run.datagrams);
            self.overflows.fetch_add(dropped as u64, Ordering::Relaxed);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Answers a check for a connection that sleeps, without waking its task: that is all that resting connections get. Gives
    /// back what has to go to the task.
    fn answer(&self, run: Run) -> Option<Run> {
        if !run.is_check {
            return Some(run);
        }
        let shared = Arc::clone(&run.inlet.shared);
        // Nobody waits here until somebody is done with another connection.
        let Some(mut state) = shared.try_lock() else {
            return Some(run);
        };
        // What came before comes first.
        if !state.is_resting() || !run.inlet.is_empty() {
            return Some(run);
        }
        let Run {
            id, path, datagrams, ..
        } = run;
        let now = driver::now();
        for datagram in datagrams {
            state.connection.handle_datagram(now, datagram);
        }
        self.router().learn(id, &state.connection, &path);
        let mut outbox = driver::borrow_outbox();
        let more = driver::collect(&mut state.connection, now, &mut outbox, |path, payload| {
            self.on_transmit(id, path, payload);
        });
        let mut wakes = Wakes::default();
        state.digest(&mut wakes);
        if more || state.needs_driver() {
            wake_driver(state);
        } else {
            drop(state);
        }
        wakes.wake(&shared);
        // What a full socket does not take is lost, as it may be on the way.
        outbox.flush(|local| self.socket(local));
        driver::return_outbox(outbox);
        None
    }

    /// A connection sends this.
    fn on_transmit(&self, id: RouteId, path: &FiveTuple, payload: &[u8]) {
        if may_teach(payload) {
            self.router().on_transmit(id, path, payload);
        }
    }

    /// Ready when the socket for `local` has room, or is gone.
    pub(crate) async fn writable(hub: Arc<Self>, local: SocketAddr) {
        if let Some(socket) = hub.socket(local)
            && socket.writable().await.is_err()
        {
            // The endpoint's runtime is gone, if not the connection's: nobody will tell any more.
            pending::<()>().await;
        }
    }

    fn router(&self) -> MutexGuard<'_, Router<Arc<Inlet>>> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inlet {
    /// Takes the run, or drops what there is no room for; the task to wake, and how many were dropped.
    fn push(&self, run: Vec<Datagram>) -> (Option<Waker>, usize) {
        let mut queue = self.lock();
        let mut dropped = 0;
        for datagram in run {
            let bytes = queue.bytes + size(&datagram);
            if bytes <= INLET_SIZE {
                queue.bytes = bytes;
                queue.datagrams.push_back(datagram);
            } else {
                dropped += 1;
            }
        }
        (queue.waker.take(), dropped)
    }

    fn is_empty(&self) -> bool {
        self.lock().datagrams.is_empty()
    }

    /// What has waited longest; if nothing waits, the task is woken when something comes.
    fn take(&self, cx: &Context<'_>) -> Option<VecDeque<Datagram>> {
        let mut queue = self.lock();
        if queue.datagrams.is_empty() {
            match &mut queue.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return None;
        }
        if queue.datagrams.len() > PORTION {
            let portion: VecDeque<_> = queue.datagrams.drain(..PORTION).collect();
            queue.bytes -= portion.iter().map(size).sum::<usize>();
            return Some(portion);
        }
        queue.bytes = 0;
        Some(mem::take(&mut queue.datagrams))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a datagram takes while it waits.
fn size(datagram: &Datagram) -> usize {
    datagram.payload.len() + OVERHEAD
}

impl Member {
    pub(crate) fn hub(&self) -> &Hub {
        &self.endpoint.0.hub
    }

    pub(crate) fn hub_arc(&self) -> Arc<Hub> {
        Arc::clone(&self.endpoint.0.hub)
    }

    /// What has come for the connection.
    pub(crate) fn receive(&self, cx: &Context<'_>) -> Option<VecDeque<Datagram>> {
        self.inlet.take(cx)
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
        let inlet = self.hub().router().remove(self.id);
        // Datagrams are freed without the lock.
        drop(inlet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Configuration;

    /// An endpoint, and a connection in it whose driver sleeps.
    fn resting() -> (Endpoint, Member) {
        let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = Configuration::default().connection().unwrap();
        let shared = Shared::new(Connection::new(driver::now(), config), 0);
        shared.lock().driver = Some(Waker::noop().clone());
        let member = endpoint.join(&shared);
        (endpoint, member)
    }

    fn datagram(len: usize) -> Datagram {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        Datagram {
            five_tuple: FiveTuple::udp(address, address),
            ecn: None,
            payload: vec![0; len].as_slice().into(),
        }
    }

    fn check(member: &Member) -> Run {
        let datagram = datagram(20);
        Run {
            id: member.id,
            inlet: Arc::clone(&member.inlet),
            path: datagram.five_tuple,
            is_check: true,
            datagrams: vec![datagram],
        }
    }

    #[tokio::test]
    async fn only_who_rests_is_answered_for() {
        let (_endpoint, member) = resting();
        let is_left_to_its_task = || member.hub().answer(check(&member)).is_some();
        assert!(!is_left_to_its_task());

        // Who sends has datagrams that come before any other.
        let shared = &member.inlet.shared;
        shared.lock().sending = true;
        assert!(is_left_to_its_task());
        shared.lock().sending = false;
        assert!(!is_left_to_its_task());

        member.inlet.push(vec![datagram(1)]);
        assert!(is_left_to_its_task());
        assert_eq!(member.receive(&Context::from_waker(Waker::noop())).unwrap().len(), 1);
        assert!(!is_left_to_its_task());
    }

    #[tokio::test]
    async fn what_waits_is_bounded_and_taken_in_portions() {
        let (_endpoint, member) = resting();
        let inlet = &member.inlet;
        let many = INLET_SIZE / (1 + OVERHEAD);
        let numbered = |range: std::ops::Range<usize>| -> Vec<_> {
            range
                .map(|number| Datagram {
                    payload: [number as u8].as_slice().into(),
                    ..datagram(1)
                })
                .collect()
        };
        let (_, dropped) = inlet.push(numbered(0..many + 3));
        assert_eq!(dropped, 3);
        let cx = Context::from_waker(Waker::noop());
        let mut taken = Vec::new();
        while let Some(portion) = inlet.take(&cx) {
            assert!(portion.len() <= PORTION);
            taken.extend(portion.into_iter().map(|datagram| datagram.payload[0]));
            // What was taken leaves room.
            if taken.len() == PORTION {
                assert_eq!(inlet.push(numbered(many..many + PORTION + 1)).1, 1);
            }
        }
        let expected: Vec<u8> = (0..many + PORTION).map(|number| number as u8).collect();
        assert_eq!(taken, expected);
        assert_eq!(inlet.lock().bytes, 0);
        assert_eq!(inlet.push(numbered(0..many)).1, 0);
    }

    /// To be told that there is room, and to find none, would go on for as long as the socket is full.
    #[tokio::test]
    async fn when_the_endpoints_runtime_is_gone_nobody_is_told_of_room() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let endpoint = {
            let _inside = runtime.enter();
            Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap()
        };
        let local = endpoint.local_addrs().next().unwrap();
        // Another thread, as this one has a runtime.
        std::thread::spawn(move || drop(runtime)).join().unwrap();
        let mut told = Box::pin(Hub::writable(Arc::clone(&endpoint.0.hub), local));
        assert!(told.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    /// Whatever holds up one connection, the datagrams of all others are still handed out.
    #[tokio::test]
    async fn nobody_waits_for_a_connection_that_is_in_use() {
        let (_endpoint, member) = resting();
        let (hub, run) = (member.hub_arc(), check(&member));
        let in_use = member.inlet.shared.lock();
        let (answered, answer) = std::sync::mpsc::channel();
        std::thread::spawn(move || answered.send(hub.answer(run).is_some()));
        let left_to_its_task = answer.recv_timeout(std::time::Duration::from_secs(60));
        drop(in_use);
        assert_eq!(left_to_its_task, Ok(true));
    }
}
