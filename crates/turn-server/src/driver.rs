//! [`Driver`]: the task that owns the machine and all UDP sockets.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use peerline_stun::attribute::ConnectionId;
use peerline_turn::Server;
use peerline_turn::server::{Event, Log, OpenRelay, RelayId};
use peerline_udp::{Inbox, Outbox, Socket};
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep_until};

use crate::ready::{Bell, Key, Ready};
use crate::relays::{self, Opened, Relays};
use crate::streams::{Outlet, Reception};
use crate::{Stats, listeners, now};

/// How many batches one socket may have read before others have their turn.
const BATCHES: usize = 2;

/// How many inputs of streams are taken before sockets have their turn.
const INPUTS: usize = 256;

/// How many datagrams wait before they are sent, and others are read.
const GATHERED: usize = 256;

/// What may wait in an outbox for a socket that is full, in bytes; then what comes is the machine's to drop.
const BACKLOG: usize = 1 << 20;

/// How often streams without allocation are looked for, at the least.
const SWEEP: Duration = Duration::from_secs(1);

/// What others tell the driver.
#[derive(Debug)]
pub(crate) enum Input {
    /// A client has connected.
    Opened(FiveTuple, Arc<Outlet>),
    /// A message of it.
    Message(Datagram),
    /// It has gone, or was joined with a peer's connection.
    Closed(FiveTuple),
    /// A peer has connected to a relay (RFC 6062).
    Accepted(RelayId, TcpStream),
    /// We have connected to a peer, or not.
    Connected(ConnectionId, std::io::Result<TcpStream>),
    /// A connection to or from a peer is over.
    ConnectionClosed(ConnectionId),
    /// Somebody wants to know what was counted.
    Stats(oneshot::Sender<Stats>),
    /// It is to end, after this time at the latest.
    ShutDown(Duration, oneshot::Sender<()>),
}

/// The task that owns the machine and all UDP sockets.
pub(crate) struct Driver {
    machine: Server,
    listeners: Vec<Socket>,
    relays: Relays,
    ready: Arc<Ready>,
    /// The sockets whose turn it is.
    turn: Vec<Arc<Bell>>,
    inbox: Inbox,
    outboxes: Outboxes,
    streams: HashMap<FiveTuple, Arc<Outlet>>,
    /// Connections to and from peers that wait for their client.
    peers: HashMap<u32, TcpStream>,
    /// Clients that were joined with such a connection.
    joined: HashMap<u32, Arc<Outlet>>,
    inputs: mpsc::Receiver<Input>,
    reception: Reception,
    log: mpsc::Sender<Log>,
    timer: Pin<Box<Sleep>>,
    sweep: Instant,
    ending: Option<(Instant, oneshot::Sender<()>)>,
    idle: u64,
    /// Acceptors, and with them all streams.
    tasks: JoinSet<()>,
}

/// What leaves.
#[derive(Default)]
struct Outboxes {
    to_clients: Outbox,
    to_peers: Outbox,
    stream_overflows: u64,
    host_refused: u64,
}

impl Driver {
    pub(crate) fn new(
        machine: Server,
        listeners: Vec<Socket>,
        relays: Relays,
        inputs: mpsc::Receiver<Input>,
        log: mpsc::Sender<Log>,
        reception: Reception,
    ) -> Self {
        let ready = Arc::new(Ready::default());
        for index in 0..listeners.len() {
            Bell::hang(Key::Listener(index), &ready);
        }
        Self {
            machine,
            listeners,
            relays,
            ready,
            turn: Vec::new(),
            inbox: Inbox::new(),
            outboxes: Outboxes::default(),
            streams: HashMap::new(),
            peers: HashMap::new(),
            joined: HashMap::new(),
            inputs,
            reception,
            log,
            timer: Box::pin(sleep_until(tokio::time::Instant::now())),
            sweep: now(),
            ending: None,
            idle: 0,
            tasks: JoinSet::new(),
        }
    }

    /// Runs beside it, and ends with it.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        if let Some((_, done)) = self.ending.take() {
            // Streams write their last words; then they go with their tasks.
            self.streams.values().for_each(|outlet| outlet.close());
            let _ = done.send(());
        }
    }

    /// Ready when it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = now();
        self.receive(now, cx);
        self.take_inputs(now, cx);
        self.settle(now);
        if self.is_over(now) {
            return Poll::Ready(());
        }
        self.await_room(cx);
        self.await_time(now, cx);
        Poll::Pending
    }

    /// Reads from the sockets that have something.
    fn receive(&mut self, now: Instant, cx: &Context<'_>) {
        let mut turn = std::mem::take(&mut self.turn);
        self.ready.take(&mut turn, cx);
        for bell in turn.drain(..) {
            self.receive_from(now, bell);
            if self.outboxes.gathered() >= GATHERED {
                self.send(now);
            }
        }
        self.turn = turn;
    }

    fn receive_from(&mut self, now: Instant, bell: Arc<Bell>) {
        for _ in 0..BATCHES {
            let socket = match bell.key {
                Key::Listener(index) => self.listeners.get(index),
                Key::Relay(relay) => self.relays.socket(relay),
            };
            // A relay may have been closed since.
            let Some(socket) = socket else { return };
            if bell.is_silent(socket) {
                return;
            }
            let Ok(batch) = self.inbox.recv(socket) else {
                continue;
            };
            match bell.key {
                Key::Listener(_) => {
                    for datagram in batch {
                        self.machine.handle_datagram(now, datagram);
                    }
                }
                Key::Relay(relay) => {
                    for Datagram {
                        five_tuple,
                        ecn,
                        payload,
                    } in batch
                    {
                        let peer = self.relays.sender(five_tuple.remote);
                        self.machine.handle_relayed(now, relay, peer, ecn, payload);
                    }
                }
            }
            self.outboxes
                .gather(now, &mut self.machine, &self.relays, &self.streams);
        }
        // There may be more: after the others.
        bell.ring();
    }

    fn take_inputs(&mut self, now: Instant, cx: &mut Context<'_>) {
        for _ in 0..INPUTS {
            let Poll::Ready(Some(input)) = self.inputs.poll_recv(cx) else {
                return;
            };
            self.on_input(now, input);
        }
        cx.waker().wake_by_ref();
    }

    fn on_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Opened(client, outlet) => {
                self.streams.insert(client, outlet);
            }
            Input::Message(datagram) => {
                self.machine.handle_datagram(now, datagram);
                self.outboxes
                    .gather(now, &mut self.machine, &self.relays, &self.streams);
            }
            Input::Closed(client) => {
                self.streams.remove(&client);
                self.machine.client_closed(now, client);
            }
            Input::Accepted(relay, stream) => {
                let peer = stream.peer_addr().ok();
                let connection = peer.and_then(|peer| self.machine.peer_accepted(now, relay, peer));
                if let Some(connection) = connection {
                    self.peers.insert(connection.0, stream);
                }
            }
            Input::Connected(connection, Ok(stream)) => {
                self.peers.insert(connection.0, stream);
                self.machine.peer_connected(now, connection);
            }
            Input::Connected(connection, Err(_)) => self.machine.peer_connect_failed(now, connection),
            Input::ConnectionClosed(connection) => {
                self.joined.remove(&connection.0);
                self.machine.connection_closed(now, connection);
            }
            Input::Stats(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.stats());
            }
            Input::ShutDown(grace, done) => {
                self.machine.refuse_new();
                self.ending = Some((now + grace, done));
            }
        }
    }

    /// Does what is due and what the machine asks for, and sends what there is.
    fn settle(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
        loop {
            self.send(now);
            let mut is_quiet = true;
            while let Some(event) = self.machine.poll_event() {
                is_quiet = false;
                self.on_event(now, event);
            }
            if is_quiet {
                break;
            }
        }
        if now >= self.sweep {
            self.sweep = now + SWEEP.min(self.reception.limits.idle / 4).max(Duration::from_millis(10));
            self.close_idle(now);
        }
    }

    fn send(&mut self, now: Instant) {
        self.outboxes
            .gather(now, &mut self.machine, &self.relays, &self.streams);
        let Outboxes {
            to_clients, to_peers, ..
        } = &mut self.outboxes;
        if !to_clients.is_empty() {
            to_clients.flush(|local| listeners::find(&self.listeners, local));
        }
        if !to_peers.is_empty() {
            to_peers.flush(|local| self.relays.socket_at(local));
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::OpenRelay(wish) => self.open(now, wish),
            Event::CloseRelay(relay) => self.relays.close(relay),
            Event::Connect {
                connection,
                relay,
                peer,
            } => self.connect(now, connection, relay, peer),
            Event::Join { connection, client } => match (self.peers.remove(&connection.0), self.streams.get(&client)) {
                (Some(peer), Some(outlet)) => {
                    self.joined.insert(connection.0, Arc::clone(outlet));
                    outlet.join(connection, peer);
                }
                (None, outlet) => {
                    self.machine.connection_closed(now, connection);
                    outlet.into_iter().for_each(|outlet| outlet.close());
                }
                (Some(_), None) => self.machine.connection_closed(now, connection),
            },
            Event::CloseConnection(connection) => {
                self.peers.remove(&connection.0);
                if let Some(outlet) = self.joined.remove(&connection.0) {
                    outlet.close();
                }
            }
            Event::Log(news) => {
                // Nobody listens, or too slowly: it is counted where it was made.
                let _ = self.log.try_send(news);
            }
        }
    }

    fn open(&mut self, now: Instant, wish: OpenRelay) {
        let Ok(opened) = self.relays.open(wish, &self.ready) else {
            return self.machine.relay_failed(now, wish.relay);
        };
        for Opened { relay, seen, listener } in opened {
            if let Some(listener) = listener {
                let inputs = self.reception.inputs.clone();
                let task = self.tasks.spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        if inputs.send(Input::Accepted(relay, stream)).await.is_err() {
                            return;
                        }
                    }
                });
                self.relays.accepts(relay, task);
            }
            self.machine.relay_opened(now, relay, seen);
        }
    }

    fn connect(&mut self, now: Instant, connection: ConnectionId, relay: RelayId, peer: std::net::SocketAddr) {
        let Some((from, to)) = self.relays.path(relay, peer) else {
            self.outboxes.host_refused += 1;
            return self.machine.peer_connect_failed(now, connection);
        };
        let inputs = self.reception.inputs.clone();
        // The machine gives it up after a while, and then has no use for it.
        self.tasks.spawn(async move {
            let outcome = relays::connect(from, to).await;
            let _ = inputs.send(Input::Connected(connection, outcome)).await;
        });
    }

    /// Closes streams that have had no allocation for long: half-open ones, and whoever just sits there.
    fn close_idle(&mut self, now: Instant) {
        for (client, outlet) in &self.streams {
            if outlet.idle(now, self.machine.has_allocation(client)) >= self.reception.limits.idle {
                outlet.close();
                self.idle += 1;
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }

    fn is_over(&mut self, now: Instant) -> bool {
        let Some((end, _)) = &self.ending else {
            return false;
        };
        if self.machine.stats().allocations > 0 && now < *end {
            return false;
        }
        self.machine.shut_down(now);
        self.settle(now);
        true
    }

    /// Asks to be woken when a socket that was full has room.
    fn await_room(&self, cx: &mut Context<'_>) {
        let clients = self.outboxes.to_clients.blocked().iter();
        let clients = clients.filter_map(|&local| listeners::find(&self.listeners, local));
        let peers = self.outboxes.to_peers.blocked().iter();
        let peers = peers.filter_map(|&local| self.relays.socket_at(local));
        for socket in clients.chain(peers) {
            if socket.poll_send_ready(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    fn await_time(&mut self, now: Instant, cx: &mut Context<'_>) {
        let end = self.ending.as_ref().map(|&(end, _)| end);
        let due = [self.machine.poll_timeout(), end].into_iter().flatten();
        let due = due.fold(self.sweep, Instant::min).max(now);
        let due = tokio::time::Instant::from_std(due);
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    fn stats(&self) -> Stats {
        let (connections, connections_refused, handshakes_failed) = self.reception.admission.counts();
        let (clients, peers) = (self.outboxes.to_clients.counters(), self.outboxes.to_peers.counters());
        Stats {
            turn: self.machine.stats(),
            relays: self.relays.len() as u64,
            connections,
            connections_refused,
            connections_idle: self.idle,
            handshakes_failed,
            datagrams_sent: clients.sent + peers.sent,
            send_calls: clients.calls + peers.calls,
            datagrams_dropped: clients.dropped + peers.dropped,
            stream_overflows: self.outboxes.stream_overflows,
            host_refused: self.outboxes.host_refused,
        }
    }
}

impl Outboxes {
    fn gathered(&self) -> usize {
        self.to_clients.len() + self.to_peers.len()
    }

    /// Takes what the machine has to send: into the outboxes, and for streams into their outlets.
    fn gather(
        &mut self,
        now: Instant,
        machine: &mut Server,
        relays: &Relays,
        streams: &HashMap<FiveTuple, Arc<Outlet>>,
    ) {
        let mut more = true;
        while more && self.to_clients.bytes() < BACKLOG {
            self.to_clients.push(|out| {
                let start = out.len();
                let Some(transmit) = machine.poll_transmit(now, out) else {
                    more = false;
                    return None;
                };
                if transmit.five_tuple.transport == Transport::Udp {
                    return Some(transmit);
                }
                let message = out.get(start..).unwrap_or_default();
                let taken = streams
                    .get(&transmit.five_tuple)
                    .is_some_and(|outlet| outlet.put(message));
                self.stream_overflows += u64::from(!taken);
                out.truncate(start);
                None
            });
        }
        let mut more = true;
        while more && self.to_peers.bytes() < BACKLOG {
            self.to_peers.push(|out| {
                let start = out.len();
                let Some(transmit) = machine.poll_relayed(now, out) else {
                    more = false;
                    return None;
                };
                let Some((from, to)) = relays.path(transmit.relay, transmit.peer) else {
                    self.host_refused += 1;
                    out.truncate(start);
                    return None;
                };
                Some(Transmit {
                    five_tuple: FiveTuple::udp(from, to),
                    ecn: transmit.ecn,
                    len: transmit.len,
                })
            });
        }
    }
}
