//! The sockets of an endpoint, and who is reached through them: datagrams find their connections, and those that rest are looked after.

use std::future::pending;
use std::iter::once;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use peerline_connection::{RouteId, Router, may_teach};
use peerline_udp::{Batch, Outbox, Socket};
use peerline_wire::{Datagram, FiveTuple};

use crate::alarms::Alarms;
use crate::bindings::Bindings;
use crate::configuration::Network;
use crate::driver::Armed;
use crate::shared::{Shared, State, Wakes, Watch, wake_driver};
use crate::{driver, interfaces};

/// How many resting connections are looked after before what that sends leaves, and what has come is received.
const ALARMS: usize = 128;

/// Datagrams up to this size are no work to wake a resting connection's task for: heartbeats, acknowledgements, a few words.
const BRIEF: usize = 128;

/// The sockets, and who is reached through them.
pub(crate) struct Hub {
    pub(super) sockets: Vec<Socket>,
    router: Mutex<Router<Arc<Shared>>>,
    pub(super) alarms: Alarms<(RouteId, Arc<Shared>)>,
    pub(crate) bindings: Bindings,
    /// Where somebody listens for TCP.
    listeners: Mutex<Vec<SocketAddr>>,
    pub(super) overflows: AtomicU64,
}

/// Neighbours in a batch that belong to one connection.
pub(crate) struct Run {
    id: RouteId,
    shared: Arc<Shared>,
    path: FiveTuple,
    /// They are STUN.
    are_checks: bool,
    first: Datagram,
    others: Vec<Datagram>,
}

impl Hub {
    pub(super) fn new(sockets: Vec<Socket>) -> Self {
        Self {
            sockets,
            router: Mutex::new(Router::new()),
            alarms: Alarms::new(),
            bindings: Bindings::default(),
            listeners: Mutex::default(),
            overflows: AtomicU64::new(0),
        }
    }

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
        Self::offered(self.sockets.iter().map(Socket::local_addr), network, now)
    }

    /// The addresses at which a connection can be connected to.
    pub(crate) fn tcp_addresses(&self, network: &Network, now: Instant) -> Vec<SocketAddr> {
        let listeners = self.listeners().clone();
        Self::offered(listeners.into_iter(), network, now)
    }

    pub(super) fn listeners(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is bound to a wildcard is reached at the addresses of the host.
    fn offered(all: impl Iterator<Item = SocketAddr>, network: &Network, now: Instant) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for bound in all {
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

    /// Hands each datagram to whom it belongs. `runs` is room for them, empty before and after.
    pub(crate) fn deliver(&self, batch: Batch<'_>, runs: &mut Vec<Run>, outbox: &mut Outbox) {
        let mut router = self.router();
        for datagram in batch {
            let are_checks = may_teach(&datagram.payload);
            if are_checks && self.bindings.take(driver::now(), &datagram) {
                continue;
            }
            let follows = |run: &&mut Run| run.are_checks == are_checks && run.path == datagram.five_tuple;
            let last = runs.last_mut().filter(follows);
            // What is not STUN goes where its neighbour of that kind went; of STUN, each datagram says whom it is for.
            let (id, shared) = match &last {
                Some(run) if !are_checks => (run.id, None),
                _ => match router.route(&datagram.five_tuple, &datagram.payload) {
                    Some((id, shared)) => (id, Some(shared)),
                    None => continue,
                },
            };
            match (last.filter(|run| run.id == id), shared) {
                (Some(run), _) => run.others.push(datagram),
                (None, Some(shared)) => runs.push(Run {
                    id,
                    shared: Arc::clone(shared),
                    path: datagram.five_tuple,
                    are_checks,
                    first: datagram,
                    others: Vec::new(),
                }),
                (None, None) => {}
            }
        }
        drop(router);
        for run in runs.drain(..) {
            let Some(run) = self.answer(run, outbox) else { continue };
            let (waker, dropped) = run.shared.inlet.push(once(run.first).chain(run.others));
            self.overflows.fetch_add(dropped as u64, Ordering::Relaxed);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes checks for a connection that rests, or another brief datagram, without waking its task: resting connections get
    /// little else. Gives back what has to go to the task.
    fn answer(&self, run: Run, outbox: &mut Outbox) -> Option<Run> {
        let is_brief = run.others.is_empty() && run.first.payload.len() <= BRIEF;
        if !run.are_checks && !is_brief {
            return Some(run);
        }
        // Nobody waits here until somebody is done with another connection.
        let Some(mut state) = run.shared.try_lock() else {
            return Some(run);
        };
        // What came before comes first.
        if !state.is_resting() || !run.shared.inlet.is_empty() {
            drop(state);
            return Some(run);
        }
        let now = driver::now();
        for datagram in once(run.first).chain(run.others) {
            state.connection.handle_datagram(now, datagram);
        }
        if run.are_checks {
            self.router().learn(run.id, &state.connection, &run.path);
        }
        self.tend(run.id, &run.shared, state, now, outbox);
        None
    }

    /// Lets time pass for connections that rest and whose time has come; true if there may be more of them. Wakes the tasks of
    /// those that do not rest.
    pub(crate) fn look(&self, now: Instant, outbox: &mut Outbox) -> bool {
        let due = self.alarms.take_due(now, ALARMS);
        let more = due.len() == ALARMS;
        for (alarm, (id, shared)) in due {
            let mut state = shared.lock();
            // Its task may just have set another one.
            if state.watch.is_none_or(|watch| watch.alarm != alarm) {
                continue;
            }
            (state.watch, state.alarm) = (None, None);
            if !state.is_resting() || !shared.inlet.is_empty() {
                wake_driver(state);
                continue;
            }
            if state.connection.poll_timeout().is_some_and(|deadline| deadline <= now) {
                state.connection.handle_timeout(now);
            }
            self.tend(id, &shared, state, now, outbox);
        }
        more
    }

    /// Takes what a resting connection wants sent, passes its news on, and looks again when it is time. Its task is woken only for
    /// what nobody else can do.
    fn tend(
        &self,
        id: RouteId,
        shared: &Arc<Shared>,
        mut state: MutexGuard<'_, State>,
        now: Instant,
        outbox: &mut Outbox,
    ) {
        let more = driver::collect(&mut state, now, outbox, |path, payload| {
            self.on_transmit(id, path, payload);
        });
        let mut wakes = Wakes::default();
        state.digest(&mut wakes);
        let deadline = state.connection.poll_timeout();
        // An alarm that would come too early by far is set anew: to look in vain, at what is in no cache, is more work.
        let is_early = |deadline| state.watch.is_some_and(|watch| watch.armed.is_early_for(deadline));
        let is_watched = match (state.alarm, deadline) {
            (_, None) => true,
            (Some(alarm), Some(deadline)) if alarm > deadline => false,
            (Some(_), Some(deadline)) if !is_early(deadline) => true,
            (_, Some(deadline)) => {
                state.alarm = Some(deadline);
                self.set_watch(id, shared, &mut state, now, deadline)
            }
        };
        if more || !is_watched || state.needs_driver() {
            wake_driver(state);
        } else {
            drop(state);
        }
        wakes.wake(shared);
    }

    /// Will look at a connection at this time, or a little later; false if it cannot.
    pub(super) fn watch(
        &self,
        id: RouteId,
        shared: &Arc<Shared>,
        state: &mut State,
        now: Instant,
        deadline: Instant,
    ) -> bool {
        let is_watched = state.watch.is_some_and(|watch| watch.armed.serves(deadline));
        is_watched || self.set_watch(id, shared, state, now, deadline)
    }

    fn set_watch(&self, id: RouteId, shared: &Arc<Shared>, state: &mut State, now: Instant, deadline: Instant) -> bool {
        let armed = Armed::new(now, deadline);
        let before = state.watch.map(|watch| watch.alarm);
        let alarm = self.alarms.set(before, armed.mark, (id, Arc::clone(shared)));
        state.watch = alarm.map(|alarm| Watch { armed, alarm });
        state.watch.is_some()
    }

    /// Whoever looks after alarms sleeps until then.
    pub(crate) fn sleep(&self, waker: &Waker) -> Option<Instant> {
        self.alarms.sleep(waker)
    }

    /// Nobody looks after alarms any more.
    pub(crate) fn abandon(&self) {
        for (_, shared) in self.alarms.abandon() {
            let mut state = shared.lock();
            state.watch = None;
            wake_driver(state);
        }
    }

    /// Keeps what servers have told of the sockets true. Says when to look again.
    pub(crate) fn look_after_bindings(&self, now: Instant) -> Option<Instant> {
        let is_used = !self.router().is_empty();
        let mut outbox = driver::borrow_outbox();
        let deadline = self.bindings.look(now, is_used, &mut outbox);
        self.send(outbox);
        deadline
    }

    /// Sends for connections that rest. What a full socket does not take is lost, as it may be on the way.
    pub(crate) fn send(&self, mut outbox: Box<Outbox>) {
        outbox.flush(|local| self.socket(local));
        driver::return_outbox(outbox);
    }

    /// A connection sends this.
    pub(super) fn on_transmit(&self, id: RouteId, path: &FiveTuple, payload: &[u8]) {
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

    pub(super) fn router(&self) -> MutexGuard<'_, Router<Arc<Shared>>> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use peerline_connection::Connection;

    use super::*;
    use crate::Configuration;
    use crate::endpoint::{Endpoint, Member};

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
            shared: Arc::clone(&member.shared),
            path: datagram.five_tuple,
            are_checks: true,
            first: datagram,
            others: Vec::new(),
        }
    }

    #[tokio::test]
    async fn only_who_rests_is_answered_for() {
        let (_endpoint, member) = resting();
        let is_left_to_its_task = || member.hub().answer(check(&member), &mut Outbox::new()).is_some();
        assert!(!is_left_to_its_task());

        // Who sends has datagrams that come before any other.
        let shared = &member.shared;
        shared.lock().sending = true;
        assert!(is_left_to_its_task());
        shared.lock().sending = false;
        assert!(!is_left_to_its_task());

        member.shared.inlet.push(vec![datagram(1)]);
        assert!(is_left_to_its_task());
        assert_eq!(member.receive(&Context::from_waker(Waker::noop())).unwrap().len(), 1);
        assert!(!is_left_to_its_task());
    }

    #[tokio::test]
    async fn only_brief_datagrams_do_without_the_task() {
        let (_endpoint, member) = resting();
        let is_left_to_its_task = |len, others| {
            let run = Run {
                are_checks: false,
                first: datagram(len),
                others,
                ..check(&member)
            };
            member.hub().answer(run, &mut Outbox::new()).is_some()
        };
        assert!(!is_left_to_its_task(BRIEF, Vec::new()));
        assert!(is_left_to_its_task(BRIEF + 1, Vec::new()));
        assert!(is_left_to_its_task(BRIEF, vec![datagram(1)]));
        assert!(member.shared.lock().driver.is_some(), "its task sleeps on");
    }

    #[tokio::test]
    async fn only_who_rests_is_looked_after() {
        let (_endpoint, member) = resting();
        let now = driver::now();
        let look = || {
            assert!(member.watch(&mut member.shared.lock(), now, now));
            assert!(!member.hub().look(now, &mut Outbox::new()));
            let state = member.shared.lock();
            assert!(state.watch.is_none(), "this connection has no deadline");
            state.driver.is_some()
        };
        assert!(look(), "its task sleeps on");
        member.shared.lock().sending = true;
        assert!(!look(), "its task was woken");
    }

    #[tokio::test]
    async fn whose_task_ends_is_not_looked_after_any_more() {
        let (endpoint, member) = resting();
        let now = driver::now();
        assert!(member.watch(&mut member.shared.lock(), now, now));
        let shared = Arc::downgrade(&member.shared);
        drop(member);
        assert!(shared.upgrade().is_none());
        assert!(endpoint.0.hub.alarms.take_due(now, 1).is_empty());
    }

    #[test]
    fn when_the_endpoints_runtime_is_gone_connections_look_after_themselves() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (_endpoint, member) = runtime.block_on(async { resting() });
        let deadline = driver::now() + std::time::Duration::from_secs(30);
        let watch = || member.watch(&mut member.shared.lock(), driver::now(), deadline);
        assert!(watch());
        drop(runtime);
        assert!(member.shared.lock().driver.is_none(), "its task was woken");
        assert!(!watch());
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
        let in_use = member.shared.lock();
        let (answered, answer) = std::sync::mpsc::channel();
        std::thread::spawn(move || answered.send(hub.answer(run, &mut Outbox::new()).is_some()));
        let left_to_its_task = answer.recv_timeout(std::time::Duration::from_secs(60));
        drop(in_use);
        assert_eq!(left_to_its_task, Ok(true));
    }
}
