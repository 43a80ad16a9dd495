//! [`Server`]: a TURN and STUN server (RFC 8656, RFC 6062, RFC 8489 §12).

mod allocate;
mod allocation;
mod auth;
mod binding;
mod bucket;
mod config;
mod connect;
mod event;
mod nonce;
mod outbox;
mod permission;
mod relay;
mod slab;
mod stats;
mod users;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ahash::RandomState;
use bytes::BytesMut;
use peerline_stun::attribute::{ConnectionId, ErrorCode, Icmp, SecurityFeatures};
use peerline_stun::{AttributeType, Class, Message, Method, is_stun};
use peerline_wire::{Datagram, Ecn, FiveTuple, Transmit};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use config::{Bandwidth, Config, Families, Limits, NatDiscovery, Redirect, Strangers, Timings};
pub use event::{Event, Log, OpenRelay, RefusalReason, RelayPort, ReleaseReason, Traffic};
pub use stats::Stats;
pub use users::{StaticUsers, TimeLimitedUsers, Users};

use allocation::Allocation;
use auth::{Refused, Request};
use bucket::StrangerTable;
use connect::Connection;
use nonce::Nonces;
use outbox::Outbox;
use relay::Relay;
use slab::{Slab, Slot};

/// A TURN and STUN server, without I/O, for any number of clients on any number of sockets.
///
/// The driver gives it what clients send ([`handle_datagram`](Self::handle_datagram)) and what peers send to relayed addresses
/// ([`handle_relayed`](Self::handle_relayed)), sends what it wants sent to either ([`poll_transmit`](Self::poll_transmit),
/// [`poll_relayed`](Self::poll_relayed)), does what [`Event`]s ask for, and calls it when its timeout is due.
///
/// - The verbs: [`handle_datagram`](Self::handle_datagram), [`handle_timeout`](Self::handle_timeout),
///   [`poll_transmit`](Self::poll_transmit), [`poll_timeout`](Self::poll_timeout), [`poll_event`](Self::poll_event).
/// - The same for sockets of relays: [`handle_relayed`](Self::handle_relayed), [`handle_icmp`](Self::handle_icmp),
///   [`poll_relayed`](Self::poll_relayed).
/// - What the driver has done: [`relay_opened`](Self::relay_opened), [`relay_failed`](Self::relay_failed),
///   [`client_closed`](Self::client_closed), and for TCP to peers [`peer_connected`](Self::peer_connected),
///   [`peer_connect_failed`](Self::peer_connect_failed), [`peer_accepted`](Self::peer_accepted),
///   [`connection_closed`](Self::connection_closed).
/// - Shutting down: [`refuse_new`](Self::refuse_new), [`shut_down`](Self::shut_down).
/// - Getters: [`stats`](Self::stats), [`has_allocation`](Self::has_allocation).
pub struct Server {
    config: Config,
    users: Box<dyn Users>,
    /// The latest time we were given.
    now: Instant,
    rng: StdRng,
    hasher: RandomState,
    nonces: Nonces,
    strangers: Option<StrangerTable>,
    allocations: Slab<Allocation>,
    by_client: HashMap<FiveTuple, Slot, RandomState>,
    relays: Slab<Relay>,
    allocations_of: HashMap<String, usize, RandomState>,
    /// Ports set aside, by their names.
    reservations: BTreeMap<[u8; 8], (RelayId, Instant)>,
    connections: BTreeMap<u32, Connection>,
    timers: BTreeSet<(Instant, Timer)>,
    outbox: Outbox,
    commands: VecDeque<Event>,
    log: VecDeque<Log>,
    refuses_new: bool,
    stats: Stats,
}

/// Names a socket for peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayId(Slot);

/// A datagram to a peer: the last `len` bytes of the buffer that was passed to [`Server::poll_relayed`].
#[must_use = "the bytes appended are a datagram that has to be sent"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayTransmit {
    /// The socket to send it from.
    pub relay: RelayId,
    /// Where to.
    pub peer: SocketAddr,
    /// The ECN codepoint to send it with.
    pub ecn: Option<Ecn>,
    /// True to set DF (RFC 8656 §14).
    pub dont_fragment: bool,
    /// How many bytes were appended; a datagram may be empty.
    pub len: usize,
}

/// What ends at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Allocation(Slot),
    Reservation([u8; 8]),
    Connection(u32),
}

impl Server {
    /// A server for these users.
    #[must_use]
    pub fn new(config: Config, users: impl Users + 'static) -> Self {
        let mut rng = StdRng::from_seed(config.rng_seed);
        let now = config.wall_clock.0;
        let hasher = RandomState::with_seeds(rng.random(), rng.random(), rng.random(), rng.random());
        let features = match config.sha256 {
            true => SecurityFeatures::PASSWORD_ALGORITHMS,
            false => SecurityFeatures::NONE,
        };
        let strangers = config.limits.strangers;
        Self {
            users: Box::new(users),
            now,
            nonces: Nonces::new(rng.random(), features, config.timings.nonce_lifetime, now),
            strangers: strangers.map(|limit| StrangerTable::new(limit, now, hasher.clone())),
            rng,
            allocations: Slab::default(),
            by_client: HashMap::with_hasher(hasher.clone()),
            relays: Slab::default(),
            allocations_of: HashMap::with_hasher(hasher.clone()),
            hasher,
            reservations: BTreeMap::new(),
            connections: BTreeMap::new(),
            timers: BTreeSet::new(),
            outbox: Outbox::default(),
            commands: VecDeque::new(),
            log: VecDeque::new(),
            refuses_new: false,
            stats: Stats::default(),
            config,
        }
    }

    /// A datagram of a client, or a message cut out of the stream from it ([`framing::split`](crate::framing::split)).
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        let now = self.advance(now);
        if !is_stun(&datagram.payload) {
            return self.on_channel_data(now, datagram);
        }
        let Datagram {
            five_tuple,
            ecn,
            payload,
        } = datagram;
        let Ok(message) = Message::parse(&payload) else {
            self.stats.malformed += 1;
            return;
        };
        if message.contains(AttributeType::FINGERPRINT) && message.verify_fingerprint().is_err() {
            self.stats.malformed += 1;
            return;
        }
        match (message.class(), message.method()) {
            (Class::Request, Method::BINDING) => self.on_binding(now, five_tuple, &message),
            (Class::Request, _) => self.on_request(now, five_tuple, &message),
            (Class::Indication, Method::SEND) => {
                if let Some(upstream) = self.on_send_indication(now, &five_tuple, &message) {
                    self.send_to_peer(now, ecn, payload, &upstream);
                }
            }
            // A Binding indication keeps a NAT open.
            (Class::Indication, _) => {}
            (Class::SuccessResponse | Class::ErrorResponse, _) => self.stats.malformed += 1,
        }
    }

    /// Time has passed: ends what has expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        while let Some(&(at, timer)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            match timer {
                Timer::Allocation(slot) => self.on_expired(slot),
                Timer::Reservation(token) => self.on_reservation_expired(token),
                Timer::Connection(connection) => self.on_connection_expired(connection),
            }
        }
    }

    /// Appends one message for a client to `out`. Over a stream it is written as it is.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.advance(now);
        self.outbox.pop_to_client(out)
    }

    /// Appends one datagram for a peer to `out`.
    pub fn poll_relayed(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<RelayTransmit> {
        self.advance(now);
        let datagram = self.outbox.pop_to_peer()?;
        out.extend_from_slice(&datagram.payload);
        Some(RelayTransmit {
            relay: datagram.relay,
            peer: datagram.peer,
            ecn: datagram.ecn,
            dont_fragment: datagram.dont_fragment,
            len: datagram.payload.len(),
        })
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// What the driver has to do next, else news for the log.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.commands
            .pop_front()
            .or_else(|| self.log.pop_front().map(Event::Log))
    }

    /// A datagram of a peer to a relayed address.
    pub fn handle_relayed(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: SocketAddr,
        ecn: Option<Ecn>,
        payload: BytesMut,
    ) {
        let now = self.advance(now);
        self.on_relayed(now, relay, peer, ecn, payload);
    }

    /// What a router said about a datagram sent from a relayed address: types 3 and 11 of ICMPv4, 1 to 3 of ICMPv6 are of
    /// interest (RFC 8656 §11.5).
    pub fn handle_icmp(&mut self, now: Instant, relay: RelayId, peer: SocketAddr, icmp: Icmp) {
        let now = self.advance(now);
        self.on_icmp(now, relay, peer, icmp);
    }

    /// The socket of a relay is open. `address` is what peers see: behind a 1:1 NAT the one outside.
    pub fn relay_opened(&mut self, now: Instant, relay: RelayId, address: SocketAddr) {
        let now = self.advance(now);
        self.on_relay_opened(now, relay, address);
    }

    /// It cannot be opened.
    pub fn relay_failed(&mut self, now: Instant, relay: RelayId) {
        let now = self.advance(now);
        self.on_relay_failed(now, relay);
    }

    /// The control connection of a client was closed: its allocation is over. (For one joined with a peer's, call
    /// [`connection_closed`](Self::connection_closed).)
    pub fn client_closed(&mut self, now: Instant, client: FiveTuple) {
        self.advance(now);
        if let Some(&slot) = self.by_client.get(&client) {
            self.release(slot, ReleaseReason::Disconnected);
        }
    }

    /// The connection of [`Event::Connect`] is made.
    pub fn peer_connected(&mut self, now: Instant, connection: ConnectionId) {
        let now = self.advance(now);
        self.on_peer_connected(now, connection);
    }

    /// It is not.
    pub fn peer_connect_failed(&mut self, now: Instant, connection: ConnectionId) {
        self.advance(now);
        self.on_peer_connect_failed(connection);
    }

    /// A peer has connected to the address of a relay for TCP (RFC 6062 §5.3). What to call the connection; `None` if it is
    /// to be closed at once. What the peer sends waits in the socket until [`Event::Join`].
    pub fn peer_accepted(&mut self, now: Instant, relay: RelayId, peer: SocketAddr) -> Option<ConnectionId> {
        let now = self.advance(now);
        self.on_peer_accepted(now, relay, peer)
    }

    /// A connection to or from a peer is closed, and that of the client joined with it.
    pub fn connection_closed(&mut self, now: Instant, connection: ConnectionId) {
        self.advance(now);
        self.forget_connection(connection);
    }

    /// From now on no allocation is made (508): those there are go on.
    pub fn refuse_new(&mut self) {
        self.refuses_new = true;
    }

    /// Ends everything: [`Event::CloseRelay`] for each socket follows.
    pub fn shut_down(&mut self, now: Instant) {
        self.advance(now);
        self.refuses_new = true;
        let slots: Vec<Slot> = self.allocations.slots().collect();
        for slot in slots {
            self.release(slot, ReleaseReason::Shutdown);
        }
        while let Some((&token, _)) = self.reservations.first_key_value() {
            self.on_reservation_expired(token);
        }
    }

    /// What was counted, and how many allocations there are.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            allocations: self.allocations.len() as u64,
            ..self.stats
        }
    }

    /// Whether this client has an allocation, or one in the making: without one, a driver need not keep its connection for long.
    #[must_use]
    pub fn has_allocation(&self, client: &FiveTuple) -> bool {
        self.by_client.contains_key(client)
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn log(&mut self, news: Log) {
        if self.log.len() >= self.config.limits.max_log {
            self.stats.log_lost += 1;
        } else {
            self.log.push_back(news);
        }
    }

    fn on_request(&mut self, now: Instant, client: FiveTuple, message: &Message<'_>) {
        let request = Request::of(message);
        let Some(mut identity) = self.authenticate(now, client, message) else {
            return;
        };
        if message.unknown_required(self.known()).next().is_some() {
            return self.refuse_unknown(client, &identity, message, self.known());
        }
        let slot = self.by_client.get(&client).copied();
        let outcome = match (message.method(), slot) {
            (Method::ALLOCATE, _) => self.on_allocate(now, client, &identity, message, slot),
            (Method::CONNECTION_BIND, _) => self.on_connection_bind(client, &identity, message),
            (_, None) => Err(Refused::MISMATCH),
            (method, Some(slot)) => self.own(slot, &mut identity).and_then(|()| match method {
                Method::REFRESH => self.on_refresh(now, slot, &identity, message),
                Method::CREATE_PERMISSION => self.on_create_permission(now, slot, &identity, message),
                Method::CHANNEL_BIND => self.on_channel_bind(now, slot, &identity, message),
                Method::CONNECT => self.on_connect(now, slot, message),
                _ => Err(Refused::BAD_REQUEST),
            }),
        };
        if let Err(refused) = outcome {
            self.refuse(client, &identity, &request, refused);
        }
    }

    /// "[...] the request does not use the same username as used to create the allocation, then the request MUST be rejected
    /// with a 441 (Wrong Credentials) error" (RFC 8656 §5), "to prevent attackers from hijacking the client's allocation". That
    /// is met by the user behind the names too: credentials of limited time have another name each time, and those that
    /// come with a request are the allocation's from then on.
    fn own(&mut self, slot: Slot, identity: &mut allocation::Identity) -> Result<(), Refused> {
        let allocation = self.allocations.get_mut(slot).ok_or(Refused::MISMATCH)?;
        if allocation.identity.user != identity.user {
            let code = ErrorCode::WRONG_CREDENTIALS;
            return Err(Refused::new(code, RefusalReason::OtherUser));
        }
        if allocation.phase != allocation::Phase::Open {
            return Err(Refused::MISMATCH);
        }
        allocation.identity = identity.clone();
        Ok(())
    }

    fn check_peer(&self, peer: IpAddr) -> Result<(), Refused> {
        let code = ErrorCode::FORBIDDEN;
        let filtered = self.config.filter.check(peer);
        filtered.map_err(|refusal| Refused::new(code, RefusalReason::Peer(peer, refusal)))
    }
}

/// The attributes of requests that we understand, of those that must be; DONT-FRAGMENT last.
const KNOWN: &[AttributeType] = &[
    AttributeType::USERNAME,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::PASSWORD_ALGORITHM,
    AttributeType::CHANNEL_NUMBER,
    AttributeType::LIFETIME,
    AttributeType::XOR_PEER_ADDRESS,
    AttributeType::DATA,
    AttributeType::REQUESTED_ADDRESS_FAMILY,
    AttributeType::EVEN_PORT,
    AttributeType::REQUESTED_TRANSPORT,
    AttributeType::RESERVATION_TOKEN,
    AttributeType::CONNECTION_ID,
    AttributeType::DONT_FRAGMENT,
];
