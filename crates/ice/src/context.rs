//! [`Context`]: what an agent's sessions share. Role and tiebreaker outlive a restart (RFC 8445 §9); so do the limits, the
//! randomness and the news.

use std::collections::VecDeque;
use std::mem::{self, discriminant};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use peerline_stun::TransactionId;

use crate::connections::Connections;
use crate::embedding::Embedding;
use crate::stats::DropCounters;
use crate::{Config, Event, Limits, Role, TcpType, Timings, TransportPolicy};

/// "ICE agents SHOULD use a default Ta value, 50 ms" (RFC 8445 §14.2).
const DEFAULT_TA: u16 = 50;

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) lite: bool,
    /// What the next session is to use: relayed candidates alone.
    pub(crate) relay_only: bool,
    /// Both sides know NOMINATION (draft-thatcher-ice-renomination).
    pub(crate) renomination: bool,
    /// The pace that the peer has asked for, in milliseconds.
    remote_ta: u16,
    /// Limits and timings, unless they are those of everybody else.
    tuning: Option<Box<(Limits, Timings)>>,
    /// What randomness comes from: see [`rng`](Self::rng).
    seed: [u8; 32],
    pub(crate) role: Role,
    pub(crate) tie_breaker: u64,
    /// True while no local candidate is expected.
    pub(crate) gathered: bool,
    /// The peer can be connected to over TCP, and that has been told.
    peer_listens: bool,
    pub(crate) drops: DropCounters,
    /// DTLS in checks, until the handshake is long over.
    pub(crate) embedding: Option<Box<Embedding>>,
    /// Connections over TCP, if there are any.
    pub(crate) connections: Option<Box<Connections>>,
    events: VecDeque<Event>,
}

impl Context {
    pub(crate) fn new(config: &Config) -> Self {
        let mut ctx = Self {
            lite: config.lite,
            relay_only: config.transport_policy == TransportPolicy::Relay,
            renomination: false,
            remote_ta: DEFAULT_TA,
            tuning: Some((config.limits, config.timings))
                .filter(|tuning| *tuning != (Limits::STANDARD, Timings::STANDARD))
                .map(Box::new),
            seed: config.rng_seed,
            role: config.role,
            tie_breaker: 0,
            gathered: false,
            peer_listens: false,
            drops: DropCounters::default(),
            embedding: config.embedding.then(Box::default),
            connections: None,
            events: VecDeque::new(),
        };
        ctx.tie_breaker = ctx.rng().random();
        ctx
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.tuning.as_ref().map_or(&Limits::STANDARD, |tuning| &tuning.0)
    }

    pub(crate) fn timings(&self) -> &Timings {
        self.tuning.as_ref().map_or(&Timings::STANDARD, |tuning| &tuning.1)
    }

    /// The pace of checks: "Both agents MUST use the higher value of the proposed values" (RFC 8445 §14.2).
    pub(crate) fn ta(&self) -> Duration {
        self.timings().ta.max(Duration::from_millis(self.remote_ta.into()))
    }

    /// The peer asks for this pace; "If an agent does not propose a value, the default value is used for that agent".
    pub(crate) fn set_remote_ta(&mut self, ta: Option<Duration>) {
        let proposed = ta.map(|ta| u16::try_from(ta.as_millis()).unwrap_or(u16::MAX));
        self.remote_ta = proposed.unwrap_or(DEFAULT_TA);
    }

    /// A generator for what is drawn now; the next one is another. What is kept between two is the seed alone: a generator is ten
    /// times as large, and a resting agent draws every few seconds.
    pub(crate) fn rng(&mut self) -> StdRng {
        let mut rng = StdRng::from_seed(self.seed);
        rng.fill_bytes(&mut self.seed);
        rng
    }

    /// "The transaction ID MUST be uniformly and randomly chosen from the interval 0 .. 2**96-1" (RFC 8489 §5).
    pub(crate) fn transaction_id(&mut self) -> TransactionId {
        TransactionId(self.rng().random())
    }

    /// Changes the role because of a conflict or a lite peer.
    pub(crate) fn switch_role(&mut self, role: Role) {
        if self.role != role {
            self.role = role;
            self.push(Event::RoleChange(role));
        }
    }

    /// The peer has named a candidate over TCP of this type. A lite agent connects to none (RFC 6544 §4.4).
    pub(crate) fn on_remote_tcp_type(&mut self, tcp_type: TcpType) {
        let listens = tcp_type != TcpType::Active && !self.lite;
        if listens && !mem::replace(&mut self.peer_listens, true) {
            self.push(Event::TcpAddressesWanted);
        }
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.events.len() >= self.limits().max_events.max(1) {
            let kind = discriminant(&event);
            let oldest = self
                .events
                .iter()
                .position(|queued| discriminant(queued) == kind)
                .unwrap_or(0);
            self.events.remove(oldest);
        }
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        Some(event)
    }
}
