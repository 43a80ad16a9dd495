//! The driver: one task per connection that moves datagrams, time and news between the system and the machine.
//!
//! Each round receives a batch from every socket that has one, lets time pass, takes what the machine wants sent, and
//! sends it. Rounds repeat while there is anything to do, up to a limit, so that other tasks get their turn. Nothing waits for
//! a tick: the task sleeps until a socket is ready, the machine's timer expires, or a handle changed something.

// Machines are given the time; here is where it comes from.
#![allow(clippy::disallowed_methods)]

mod endpoint;
mod timer;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::mem;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use peerline_connection::{ConnectionState, may_teach};
use peerline_dtls::{Certificate, CryptoProvider};
use peerline_udp::{Inbox, Outbox};
use peerline_wire::{FiveTuple, Transport};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use crate::configuration::Network;
use crate::endpoint::Member;
use crate::error::Error;
use crate::ice_servers;
use crate::ice_servers::Named;
use crate::ice_tcp;
use crate::link::Link;
use crate::mdns::{self, Announced};
use crate::shared::{Phase, Shared, State, Wakes};
use crate::sockets::Refresh;
use crate::watch;

pub(crate) use endpoint::{keep_bindings, serve};
pub(crate) use timer::Armed;
use timer::FAR;

/// Rounds before other tasks get their turn.
const ROUNDS: usize = 16;

/// How much is taken from the machine before it is sent: what so many system calls can send. What the network has not taken
/// stays in the machine, where congestion control and priorities see it.
const BATCH: usize = 2;

/// How many bytes over TCP are taken from the machine at a time.
const TCP_BATCH: usize = 128 * 1024;

/// How long closing may take when sockets do not accept the goodbye.
const CLOSING_TIME: Duration = Duration::from_secs(1);

thread_local! {
    /// Scratch to receive into: one a thread, not one a connection. It is only used within one call.
    static INBOX: RefCell<Inbox> = RefCell::new(Inbox::new());

    /// An outbox that nobody uses just now.
    static OUTBOX: Cell<Option<Box<Outbox>>> = const { Cell::new(None) };

    /// Room for those who are to be woken after a look at a machine.
    static WAKES: Cell<Wakes> = Cell::default();
}

/// The present.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What the wall clock shows at an instant.
pub(crate) fn wall_clock() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}

/// A certificate for one connection, valid from now.
pub(crate) fn new_certificate(provider: &CryptoProvider) -> Result<Certificate, Error> {
    Certificate::generate(provider, SystemTime::now()).map_err(Error::Certificate)
}

/// Runs a connection until it is closed. The driver is there from now on: a runtime that goes before it runs ends it as well.
pub(crate) fn run(shared: Arc<Shared>, network: Network) -> impl Future<Output = ()> + Send {
    let mut driver = Driver {
        link: Link::new(&network, &shared),
        shared,
        network,
        outbox: None,
        names: None,
        announced: Vec::new(),
        servers: None,
        tcp: None,
        search: Weak::new(),
        timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        armed: None,
        introduced: false,
        gathered: false,
        peer_listens: false,
    };
    poll_fn(move |cx| driver.poll(cx))
}

/// Lends this thread's inbox.
pub(crate) fn with_inbox<T>(receive: impl FnOnce(&mut Inbox) -> T) -> T {
    INBOX.with_borrow_mut(receive)
}

/// An outbox to be [returned](return_outbox) by the same thread.
pub(crate) fn borrow_outbox() -> Box<Outbox> {
    OUTBOX.take().unwrap_or_default()
}

/// Only an empty one serves again.
pub(crate) fn return_outbox(outbox: Box<Outbox>) {
    OUTBOX.set(Some(outbox).filter(|outbox| outbox.is_empty()));
}

/// Takes what a connection wants sent, and shows each datagram over UDP to `watch`; true if there may be more. What goes over
/// streams, to servers or to the peer, is written there.
pub(crate) fn collect(
    state: &mut State,
    now: Instant,
    outbox: &mut Outbox,
    mut watch: impl FnMut(&FiveTuple, &[u8]),
) -> bool {
    let State {
        connection,
        streams,
        tcp,
        ..
    } = state;
    let mut more = true;
    let mut streamed = 0;
    while more && !outbox.fills(BATCH) {
        more = outbox.push(|out| {
            let start = out.len();
            let transmit = loop {
                if streamed >= TCP_BATCH {
                    return None;
                }
                let transmit = connection.poll_transmit(now, out)?;
                if transmit.five_tuple.transport == Transport::Udp {
                    break transmit;
                }
                let message = out.get(start..).unwrap_or_default();
                streamed += message.len();
                let is_peers = tcp.as_ref().is_some_and(|tcp| tcp.write(&transmit.five_tuple, message));
                if let Some(streams) = streams
                    && !is_peers
                {
                    streams.write(&transmit.five_tuple, message);
                }
                out.truncate(start);
            };
            watch(&transmit.five_tuple, out.get(start..).unwrap_or_default());
            Some(transmit)
        });
    }
    if let Some(tcp) = tcp
        && streamed > 0
    {
        tcp.flush();
    }
    more || streamed >= TCP_BATCH
}

/// What a connection that rests keeps is small: what it needs while it works, it borrows from the thread.
struct Driver {
    shared: Arc<Shared>,
    network: Network,
    link: Link,
    /// What a full socket has not taken, or, while the driver runs, what it is about to send.
    outbox: Option<Box<Outbox>>,
    /// Names being resolved, if any; dropped with the driver.
    names: Option<JoinSet<(String, Option<IpAddr>)>>,
    /// Names of ours, if addresses are hidden.
    announced: Vec<Announced>,
    /// Those who look for ICE servers, and speak with them.
    servers: Option<ice_servers::Tasks>,
    /// Candidates over TCP, and connections.
    tcp: Option<Box<ice_tcp::Local>>,
    /// The one that goes on, if any does.
    search: Weak<ice_servers::Search>,
    timer: Pin<Box<Sleep>>,
    armed: Option<Armed>,
    /// The endpoint, if there is one, knows the connection's ICE sessions.
    introduced: bool,
    /// There are sockets, or were.
    gathered: bool,
    /// The peer can be connected to over TCP.
    peer_listens: bool,
}

/// What a look at the machine found.
struct Step {
    deadline: Option<Instant>,
    /// The machine has more to send than the outbox should hold.
    more: bool,
    gather: bool,
    gather_tcp: bool,
    network_changed: bool,
    names: Vec<String>,
    tcp: Vec<ice_tcp::Job>,
    phase: Phase,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The machine has something to do, even if nothing has come.
        let mut due = true;
        for _ in 0..ROUNDS {
            due |= self.receive(cx);
            due |= self.poll_names(cx);
            if !mem::take(&mut due) {
                return Poll::Pending;
            }
            let step = self.advance(cx);
            if step.gather_tcp && step.phase == Phase::Running {
                self.gather_tcp();
                due = true;
            }
            if step.gather && step.phase == Phase::Running {
                self.gather();
                due = true;
            }
            if step.network_changed && step.phase == Phase::Running {
                self.follow_network();
                due = true;
            }
            for name in step.names {
                self.names.get_or_insert_default().spawn(async move {
                    let addr = mdns::resolve(&name).await;
                    (name, addr)
                });
                due = true;
            }
            if !step.tcp.is_empty() {
                self.tcp.get_or_insert_default().begin(&self.shared, step.tcp);
                due = true;
            }
            let sent = self.send(cx);
            due |= sent && step.more;
            if let Phase::Closing(since) = step.phase
                && ((sent && !step.more) || now() >= since + CLOSING_TIME)
            {
                return Poll::Ready(());
            }
            due |= self.poll_timer(cx, step.deadline);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes what has come; true if there was anything.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let Self { shared, link, .. } = self;
        let is_shared = link.member().is_some();
        let mut taught: Vec<FiveTuple> = Vec::new();
        let progress = link.receive(cx, |datagrams| {
            let mut state = shared.lock();
            let now = now();
            for datagram in datagrams {
                // Many from one path teach no more than one.
                if is_shared && may_teach(&datagram.payload) && taught.last() != Some(&datagram.five_tuple) {
                    taught.push(datagram.five_tuple);
                }
                state.connection.handle_datagram(now, datagram);
            }
        });
        if let Some(member) = link.member().filter(|_| !taught.is_empty()) {
            let state = shared.lock();
            for path in &taught {
                member.learn(&state.connection, path);
            }
        }
        progress
    }

    /// Names that have been resolved, or could not be.
    fn poll_names(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(names) = &mut self.names else { return false };
        let mut progress = false;
        while let Poll::Ready(Some(result)) = names.poll_join_next(cx) {
            if let Ok((name, addr)) = result {
                self.shared.lock().connection.handle_resolved(now(), &name, addr);
                progress = true;
            }
        }
        if names.is_empty() {
            self.names = None;
        }
        progress
    }

    /// Lets time pass for the machine, takes what it wants sent and reads its events.
    fn advance(&mut self, cx: &Context<'_>) -> Step {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let now = now();
        state.on_driven(now);
        if state.connection.poll_timeout().is_some_and(|deadline| deadline <= now) {
            state.connection.handle_timeout(now);
        }
        let member = self.link.member();
        let outbox = self.outbox.get_or_insert_with(borrow_outbox);
        let more = collect(state, now, outbox, |path, payload| {
            if let Some(member) = member {
                member.on_transmit(path, payload);
            }
        });
        state.sending = more;
        let mut wakes = WAKES.take();
        state.digest(&mut wakes);
        if let Some(member) = member
            && (mem::take(&mut state.transport_changed) || !mem::replace(&mut self.introduced, true))
        {
            member.refresh(&state.connection);
        }
        state.unblock_senders(&mut wakes);
        // The peer's goodbye ends it as well: nothing can follow.
        if state.phase == Phase::Running && state.connection.connection_state() == ConnectionState::Closed {
            state.phase = Phase::Closing(now);
        }
        let mut deadline = state.connection.poll_timeout();
        if let Phase::Closing(since) = state.phase {
            deadline = Some(since + CLOSING_TIME);
        }
        state.alarm = self.armed.map(|armed| armed.deadline).into_iter().chain(deadline).min();
        // What is far away is the endpoint's to look after, if there is one.
        if let Some(member) = member {
            deadline = deadline.filter(|&deadline| deadline < now + FAR || !member.watch(state, now, deadline));
        }
        // From here on every change wakes this task again.
        match &mut state.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        let step = Step {
            deadline,
            more,
            gather: mem::take(&mut state.gather),
            gather_tcp: mem::take(&mut state.gather_tcp),
            network_changed: mem::take(&mut state.network_changed),
            names: mem::take(&mut state.names),
            tcp: state.tcp.as_mut().map(|tcp| tcp.take_jobs()).unwrap_or_default(),
            phase: state.phase,
        };
        drop(guard);
        wakes.wake(&self.shared);
        WAKES.set(wakes);
        step
    }

    /// Sends what is in the outbox; false if some of it has to wait for a socket.
    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(outbox) = &mut self.outbox else { return true };
        while !outbox.flush(|local| self.link.socket(local)) {
            if !self.link.poll_writable(cx, outbox.blocked()) {
                self.shared.lock().sending = true;
                return false;
            }
        }
        self.outbox.take().into_iter().for_each(return_outbox);
        true
    }

    /// Gets ready to receive, and offers the addresses of this host.
    fn gather(&mut self) {
        let now = now();
        // There may be others by now.
        let mut state = self.shared.lock();
        if let Some(servers) = &state.ice_servers {
            (self.network.ice_servers, self.network.turn_tls) = (servers.named.clone(), servers.tls.clone());
            let named = &self.network.ice_servers;
            let is_named = |url: &str| named.iter().any(|server| server.text == url);
            state.connection.keep_ice_servers(now, is_named);
        }
        let is_discarded = mem::take(&mut state.servers_discarded);
        if is_discarded {
            state.streams = None;
        }
        drop(state);
        if is_discarded {
            self.search.upgrade().iter().for_each(|search| search.supersede());
            // With its connection a server's allocation ends.
            self.servers = None;
        }
        let refresh = match mem::replace(&mut self.gathered, true) {
            false => self.link.gather(&self.network, now),
            true => self.link.refresh(&self.network, now),
        };
        self.adopt(now, &refresh);
        self.refresh_tcp(now);
        if self.network.continual_gathering {
            watch::join(&self.shared);
        }
        self.seek_servers(self.network.ice_servers.clone());
    }

    /// Offers addresses to connect from over TCP. Until the peer names one to connect to, they would only make both sides keep
    /// candidates that serve nothing.
    fn gather_tcp(&mut self) {
        self.peer_listens = true;
        if self.gathered {
            let now = now();
            self.refresh_tcp(now);
            if self.search.upgrade().is_none() {
                self.shared.lock().connection.finish_gathering(now);
            }
        }
    }

    /// Tells the connection of sockets that have come or gone.
    fn adopt(&self, now: Instant, refresh: &Refresh) {
        let mut state = self.shared.lock();
        for &address in &refresh.new {
            // What comes to another address than these, on a wildcard socket, ICE takes for a stranger's.
            state.connection.add_local_address(now, address, Transport::Udp);
        }
        for &address in &refresh.new_for_relays {
            state.connection.add_relay_base(now, address);
        }
        for &address in &refresh.gone {
            state.connection.remove_local_address(now, address);
        }
        state.has_sockets = self.link.has_sockets();
    }

    /// Announces the names that stand for addresses, before anybody is told of them.
    fn announce_names(&mut self, now: Instant) {
        let state = self.shared.lock();
        let names = state.connection.local_names();
        let names: Vec<(String, IpAddr)> = names.map(|(name, address)| (name.to_owned(), address)).collect();
        drop(state);
        self.announced
            .retain(|known| names.iter().any(|(name, _)| known.is(name)));
        for (name, address) in names {
            if !self.announced.iter().any(|known| known.is(&name)) {
                self.announced.extend(mdns::announce(now, &name, address));
            }
        }
    }

    /// Offers over TCP what interfaces there are now.
    fn refresh_tcp(&mut self, now: Instant) {
        let hub = self.link.member().map(Member::hub);
        let wanted = ice_tcp::wanted(&self.network, hub, self.peer_listens, now);
        let is_shared = hub.is_some();
        if !wanted.is_empty() || self.tcp.is_some() {
            let tcp = self.tcp.get_or_insert_default();
            tcp.refresh(&self.shared, &self.network, &wanted, is_shared, now);
        }
        self.announce_names(now);
    }

    /// Has ICE servers looked for. Gathering ends with that.
    fn seek_servers(&mut self, servers: Vec<Named>) {
        // A lite agent has host candidates alone (RFC 8445 §5.2).
        if servers.is_empty() || self.network.ice_lite {
            return self.shared.lock().connection.finish_gathering(now());
        }
        let endpoint = self
            .link
            .member()
            .map(|member| (member.hub_arc(), self.link.shared_addresses()));
        let tls = self.network.turn_tls.as_ref();
        let tasks = self.servers.get_or_insert_default();
        self.search = ice_servers::seek(&self.shared, servers, tls, endpoint.as_ref(), tasks);
    }

    /// Interfaces have come or gone: so do addresses, sockets, and connections to servers.
    fn follow_network(&mut self) {
        let now = now();
        let refresh = self.link.refresh(&self.network, now);
        self.adopt(now, &refresh);
        let mut state = self.shared.lock();
        // The way to the peer may be another one with the same addresses.
        state.connection.network_changed(now);
        let gone = |ip: IpAddr| refresh.gone.iter().any(|gone| gone.ip() == ip);
        let kept = state
            .streams
            .as_deref()
            .map(|streams| streams.keep(gone))
            .unwrap_or_default();
        drop(state);
        self.refresh_tcp(now);
        if let Some(search) = self.search.upgrade() {
            return search.outdate();
        }
        // Connections that are lost are made anew. Those spoken with over UDP are looked for where there is a new network: their
        // names may not have been found in the old one, or lead elsewhere. ICE asks each once from each socket.
        let is_lost = |server: &&Named| match server.is_stream() {
            true => !kept.contains(&server.text),
            false => !refresh.new.is_empty(),
        };
        let lost = self.network.ice_servers.iter().filter(is_lost).cloned().collect();
        self.seek_servers(lost);
    }

    /// Sets the timer; true if the deadline has come.
    fn poll_timer(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        loop {
            if let Some(deadline) = deadline
                && self.armed.is_none_or(|armed| !armed.serves(deadline))
            {
                let now = now();
                if deadline <= now {
                    return true;
                }
                let armed = Armed::new(now, deadline);
                self.timer.as_mut().reset(armed.mark.into());
                self.armed = Some(armed);
            }
            if self.armed.is_none() || self.timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            // For this deadline, or for an earlier one, which has become a later one since.
            self.armed = None;
        }
    }
}

impl Drop for Driver {
    /// Also when the runtime shuts down: whoever waits is told.
    fn drop(&mut self) {
        watch::leave(&self.shared);
        self.shared.end();
    }
}
