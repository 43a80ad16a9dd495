//! [`Client`]: one allocation at a TURN server (RFC 8656 §7 to §12, RFC 6062 §4).

mod auth;
mod channel;
mod config;
mod context;
mod data;
mod event;
mod permission;
mod request;
mod response;
mod stats;
mod transaction;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use peerline_stun::attribute::ConnectionId;
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

pub use config::{Config, Families, Limits, Port, Timings};
pub use event::{Allocated, CloseReason, Event, Failure, Retry};
pub use stats::Stats;

use crate::{CommandError, Credentials};
use auth::Auth;
use channel::Channels;
use context::Context;
use permission::Permissions;
use transaction::{Attempt, Job, Transaction};

/// One allocation at a TURN server, without I/O.
///
/// It begins to allocate when it is first polled, and keeps the allocation, its permissions and channels until
/// [`close`](Self::close). What the driver does: gives it what comes from the server, sends what it wants sent, and calls it
/// when its timeout is due. Over TCP and TLS the driver connects first, cuts what it reads with
/// [`framing::split`](crate::framing::split), and writes what is sent as it is.
///
/// - The verbs: [`handle_datagram`](Self::handle_datagram), [`handle_timeout`](Self::handle_timeout),
///   [`poll_transmit`](Self::poll_transmit), [`poll_timeout`](Self::poll_timeout), [`poll_event`](Self::poll_event).
/// - Data: what [`handle_datagram`](Self::handle_datagram) returns, and [`enclose`](Self::enclose).
/// - Commands: [`create_permission`](Self::create_permission), [`remove_permission`](Self::remove_permission),
///   [`bind_channel`](Self::bind_channel), [`set_credentials`](Self::set_credentials), [`close`](Self::close), and for
///   TCP to peers [`connect`](Self::connect) and [`bind_connection`](Self::bind_connection).
/// - Getters, whose values change with any verb: [`relayed`](Self::relayed), [`mapped`](Self::mapped),
///   [`is_permitted`](Self::is_permitted), [`sends_to`](Self::sends_to), [`has_channel`](Self::has_channel), [`is_closed`](Self::is_closed),
///   [`stats`](Self::stats).
#[derive(Debug)]
pub struct Client {
    config: Config,
    ctx: Context,
    auth: Auth,
    state: State,
    permissions: Permissions,
    channels: Channels,
    transactions: Vec<Transaction>,
    /// What is asked for as soon as a transaction may begin.
    todo: VecDeque<Attempt>,
    /// DONT-FRAGMENT is understood, as far as we know.
    dont_fragment: bool,
    /// What is asked for, as far as the server has it.
    families: Families,
}

#[derive(Debug)]
enum State {
    Allocating,
    Allocated(Allocation),
    /// The end is asked for; then this is reported.
    Closing(CloseReason),
    Closed,
}

#[derive(Debug)]
struct Allocation {
    ipv4: Option<SocketAddr>,
    ipv6: Option<SocketAddr>,
    mapped: SocketAddr,
    expires: Instant,
    /// `None` while asked.
    refresh: Option<Instant>,
}

impl Allocation {
    /// The relayed address of the peer's family.
    fn relayed(&self, peer: IpAddr) -> Option<SocketAddr> {
        if peer.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

impl Client {
    /// A client that is about to allocate.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            ctx: Context::new(config.rng_seed, config.limits, config.timings),
            auth: Auth::new(config.credentials.clone()),
            state: State::Allocating,
            permissions: Permissions::default(),
            channels: Channels::default(),
            transactions: Vec::new(),
            todo: VecDeque::from([Attempt::first(Job::Allocate)]),
            dont_fragment: config.dont_fragment,
            families: config.families,
            config,
        }
    }

    /// A datagram of the server, or a message cut out of the stream from it.
    ///
    /// Returns the datagram of a peer that was in it, as if it had come to the relayed address itself: `local` is the relayed
    /// address, `remote` the peer, and the payload the same bytes, not copied. What is not of this allocation is counted and
    /// dropped; ask [`accepts`](Self::accepts) if a socket is shared.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) -> Option<Datagram> {
        let now = self.ctx.advance(now);
        let received = self.on_datagram(now, datagram);
        if let Some(datagram) = &received {
            self.ctx.stats.datagrams_received += 1;
            self.ctx.stats.bytes_received += datagram.payload.len() as u64;
        }
        received
    }

    /// True if datagrams on this path are for this client.
    #[must_use]
    pub fn accepts(&self, five_tuple: &FiveTuple) -> bool {
        let ours = &self.config.five_tuple;
        *five_tuple == *ours
            || self
                .transactions
                .iter()
                .any(|waiting| waiting.five_tuple == *five_tuple)
    }

    /// Time has passed: gives up what was not answered, and an allocation that has expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.ctx.advance(now);
        while let Some(index) = self
            .transactions
            .iter()
            .position(|waiting| waiting.has_timed_out(now, &self.ctx.timings))
        {
            let transaction = self.transactions.swap_remove(index);
            let failure = match transaction.violated {
                true => Failure::BadResponse,
                false => Failure::TimedOut,
            };
            self.on_failure(now, transaction.attempt.job, failure, "");
        }
        if let State::Allocated(allocation) = &self.state
            && allocation.expires <= now
        {
            self.finish(CloseReason::TimedOut);
        }
    }

    /// Appends one message for the server to `out`. Over a stream it is written as it is.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let now = self.ctx.advance(now);
        let due = |waiting: &Transaction| waiting.is_due(now, &self.ctx.timings);
        let index = match self.transactions.iter().position(due) {
            Some(index) => index,
            None => self.begin_transaction(now)?,
        };
        let transaction = self.transactions.get_mut(index)?;
        self.ctx.stats.requests_sent += 1;
        Some(transaction.send(now, &self.ctx.timings, out))
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_transmit`](Self::poll_transmit) are wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        // Before the first call there is no time at which anything could be due: the first poll begins.
        let now = self.ctx.now()?;
        let expires = match &self.state {
            State::Allocated(allocation) => Some(allocation.expires),
            State::Allocating | State::Closing(_) | State::Closed => None,
        };
        let sent = self
            .transactions
            .iter()
            .map(|waiting| waiting.next.unwrap_or(now))
            .min();
        [expires, sent, self.next_job_at(now)].into_iter().flatten().min()
    }

    /// The next piece of news.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.ctx.pop()
    }

    /// Lets peers at this address send to the relayed address, and be sent to, until
    /// [`remove_permission`](Self::remove_permission). May be called at any time, and again without effect.
    ///
    /// # Errors
    /// [`CommandError`] if there are too many, or it is over.
    pub fn create_permission(&mut self, now: Instant, peer: IpAddr) -> Result<(), CommandError> {
        let now = self.ctx.advance(now);
        self.check_open()?;
        if !self.permissions.contains(peer) && self.permissions.len() >= self.ctx.limits.max_permissions {
            return Err(CommandError::TooMany);
        }
        self.permissions.add(peer, now);
        Ok(())
    }

    /// Lets the permission for this address and the channels to it expire, within ten minutes: there is no way to have them
    /// end at once. Nothing more is sent there.
    pub fn remove_permission(&mut self, peer: IpAddr) {
        self.permissions.remove(peer);
        self.channels.forget(peer);
    }

    /// Binds a channel for the peer, and keeps it bound, so that each datagram costs four bytes more instead of 36. This
    /// comes with a permission. Otherwise channels are bound for peers that are sent to often
    /// ([`Timings::channel_after`]).
    ///
    /// # Errors
    /// [`CommandError`] if there are too many, or it is over.
    pub fn bind_channel(&mut self, now: Instant, peer: SocketAddr) -> Result<(), CommandError> {
        self.create_permission(now, peer.ip())?;
        let now = self.ctx.advance(now);
        if !self.channels.bind(peer, now, self.ctx.limits.max_channels) {
            return Err(CommandError::TooMany);
        }
        Ok(())
    }

    /// Uses other credentials from now on, beginning with a refresh at once. The allocation stays, if the server lets it.
    ///
    /// "All requests after the initial Allocate must use the same username as that used to create the allocation" (RFC 8656
    /// §5): a new password for the same name always may do, another name only at a server that knows the user behind both,
    /// as [`Server`](crate::Server) does with credentials of limited time. A server that refuses (441, 401) keeps the
    /// allocation too: then [`Event::CredentialsRefused`] tells it, and the earlier credentials are used again, which most
    /// servers accept for an existing allocation even past their time.
    pub fn set_credentials(&mut self, now: Instant, credentials: Credentials) {
        self.auth.replace(credentials);
        self.refresh(now);
    }

    /// Asks the server at once whether the allocation is still there, which otherwise shows when it is refreshed or a permission
    /// is: when peers are silent, for one.
    pub fn refresh(&mut self, now: Instant) {
        let now = self.ctx.advance(now);
        if let State::Allocated(allocation) = &mut self.state
            && allocation.refresh.is_some()
        {
            allocation.refresh = Some(now);
        }
    }

    /// Asks the server to connect to a peer by TCP (RFC 6062 §4.3); [`Event::Connected`] or
    /// [`Event::ConnectRefused`] follows, within about 40 s.
    ///
    /// # Errors
    /// [`CommandError`] if the allocation is not of TCP, too many are being made, or it is over.
    pub fn connect(&mut self, now: Instant, peer: SocketAddr) -> Result<(), CommandError> {
        self.enqueue_connection(now, Job::Connect(peer))
    }

    /// On this path, a new connection to the same server, data of this peer's connection are to flow (RFC 6062 §4.3, §4.4):
    /// [`Event::ConnectionBound`] or [`Event::ConnectionBindRefused`] follows. Until then what comes on it is given to
    /// [`handle_datagram`](Self::handle_datagram), message by message; thereafter nothing of it.
    ///
    /// # Errors
    /// [`CommandError`] if the allocation is not of TCP, too many are being made, or it is over.
    pub fn bind_connection(
        &mut self,
        now: Instant,
        five_tuple: FiveTuple,
        connection: ConnectionId,
    ) -> Result<(), CommandError> {
        if five_tuple.transport != Transport::Tcp {
            return Err(CommandError::WrongTransport);
        }
        self.enqueue_connection(now, Job::ConnectionBind(five_tuple, connection))
    }

    /// Ends the allocation at the server, then [`Event::Closed`] follows: also one that is being asked for, with an answer still
    /// under way. Whoever cannot wait may drop the client once [`poll_transmit`](Self::poll_transmit) has returned `None`.
    pub fn close(&mut self, now: Instant) {
        self.ctx.advance(now);
        match self.state {
            State::Allocated(_) => self.delete(CloseReason::Closed),
            State::Allocating if self.may_have_been_given() => self.delete(CloseReason::Closed),
            State::Allocating => self.finish(CloseReason::Closed),
            State::Closing(_) | State::Closed => {}
        }
    }

    /// True if the server may have made an allocation that we know nothing of yet: it was asked with credentials.
    fn may_have_been_given(&self) -> bool {
        let is_asked = |waiting: &Transaction| waiting.attempt.job == Job::Allocate && waiting.signer.is_some();
        self.transactions.iter().any(is_asked)
    }

    /// The relayed addresses, IPv4 first; none before [`Event::Allocated`] and after the end.
    pub fn relayed(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        let (ipv4, ipv6) = match &self.state {
            State::Allocated(allocation) => (allocation.ipv4, allocation.ipv6),
            State::Allocating | State::Closing(_) | State::Closed => (None, None),
        };
        ipv4.into_iter().chain(ipv6)
    }

    /// Our address as the server sees it.
    #[must_use]
    pub fn mapped(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Allocated(allocation) => Some(allocation.mapped),
            State::Allocating | State::Closing(_) | State::Closed => None,
        }
    }

    /// The path to the server.
    #[must_use]
    pub fn five_tuple(&self) -> FiveTuple {
        self.config.five_tuple
    }

    /// True if [`enclose`](Self::enclose) sends to peers at this address: there is a permission, or one is asked for.
    #[must_use]
    pub fn sends_to(&self, peer: IpAddr) -> bool {
        self.is_permitted(peer) || self.permissions.is_asked(peer)
    }

    /// True if the server has given a permission for this address.
    #[must_use]
    pub fn is_permitted(&self, peer: IpAddr) -> bool {
        self.ctx
            .now()
            .is_some_and(|now| self.permissions.is_installed(peer, now))
    }

    /// True if datagrams to this peer go over a channel.
    #[must_use]
    pub fn has_channel(&self, peer: SocketAddr) -> bool {
        self.ctx
            .now()
            .is_some_and(|now| self.channels.bound(peer, now).is_some())
    }

    /// True once [`Event::Closed`] was reported or waits to be.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.ctx.stats
    }

    fn check_open(&self) -> Result<(), CommandError> {
        match self.state {
            State::Allocating | State::Allocated(_) => Ok(()),
            State::Closing(_) | State::Closed => Err(CommandError::Closed),
        }
    }

    fn enqueue_connection(&mut self, now: Instant, job: Job) -> Result<(), CommandError> {
        self.ctx.advance(now);
        self.check_open()?;
        if !self.is_tcp_allocation() {
            return Err(CommandError::WrongTransport);
        }
        let is_connection = |attempt: &Attempt| matches!(attempt.job, Job::Connect(_) | Job::ConnectionBind(..));
        let waiting = self.todo.iter().filter(|attempt| is_connection(attempt)).count();
        if waiting >= self.ctx.limits.max_connections {
            return Err(CommandError::TooMany);
        }
        // "Connect requests with the same XOR-PEER-ADDRESS parameter MUST NOT be sent simultaneously" (RFC 6062 §4.3).
        let under_way = self.transactions.iter().map(|waiting| &waiting.attempt);
        if !under_way.chain(&self.todo).any(|attempt| attempt.job == job) {
            self.todo.push_back(Attempt::first(job));
        }
        Ok(())
    }

    fn forget_all(&mut self) {
        self.todo.clear();
        self.transactions.clear();
        self.permissions.clear();
        self.channels.clear();
    }

    /// Gives the allocation back to the server, then ends.
    fn delete(&mut self, reason: CloseReason) {
        self.forget_all();
        self.todo.push_back(Attempt::first(Job::Delete));
        self.state = State::Closing(reason);
    }

    /// The end: nothing is sent any more.
    fn finish(&mut self, reason: CloseReason) {
        if !self.is_closed() {
            self.forget_all();
            self.state = State::Closed;
            self.ctx.push(Event::Closed(reason));
        }
    }
}
