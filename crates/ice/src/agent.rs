//! [`Agent`]: the public type, and how its sessions share sockets, pace and news.

mod connections;
mod data;
mod embedding;
mod gathering;
mod restart;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerline_stun::{Class, Message, Method};
use peerline_wire::{Datagram, FiveTuple, Transmit};

use crate::context::Context;
use crate::gather::Gatherer;
use crate::pacer::Pacer;
use crate::pair::{PairId, PairState};
use crate::relays::Relays;
use crate::server::{self, Responses};
use crate::servers::Servers;
use crate::session::{Learned, Session};
use crate::{
    AddCandidateError, Candidate, CandidatePair, CandidatePairStats, Config, Credentials, DropCounters, Event,
    GatheringState, Role, State, TransportPolicy,
};

/// An ICE agent with one data stream of one component (RFC 8445).
///
/// - *Getters* change with every other call: [`state`](Self::state), [`gathering_state`](Self::gathering_state),
///   [`role`](Self::role), [`local_credentials`](Self::local_credentials), [`selected_pair`](Self::selected_pair),
///   [`accepts`](Self::accepts), [`candidate_pairs`](Self::candidate_pairs) and their like.
/// - *Commands*: [`gather`](Self::gather), [`add_local_address`](Self::add_local_address),
///   [`remove_local_address`](Self::remove_local_address), [`add_server`](Self::add_server),
///   [`finish_gathering`](Self::finish_gathering), [`network_changed`](Self::network_changed) for this side, and over TCP
///   [`add_tcp_address`](Self::add_tcp_address), [`tcp_accepted`](Self::tcp_accepted) and their like; [`set_remote_credentials`](Self::set_remote_credentials),
///   [`add_remote_candidate`](Self::add_remote_candidate), [`end_of_candidates`](Self::end_of_candidates) for the other;
///   [`restart`](Self::restart), [`rollback_restart`](Self::rollback_restart), [`close`](Self::close).
/// - *The five verbs*: [`handle_datagram`](Self::handle_datagram), [`handle_timeout`](Self::handle_timeout),
///   [`poll_transmit`](Self::poll_transmit), [`poll_timeout`](Self::poll_timeout), [`poll_event`](Self::poll_event).
///   Poll after every call that takes the time.
/// - *Data*: [`enclose`](Self::enclose) sends it, [`handle_data`](Self::handle_data) admits it.
#[derive(Debug)]
pub struct Agent {
    ctx: Context,
    gatherer: Gatherer,
    /// Most agents on a server, or between neighbours, ask nobody.
    servers: Option<Box<Servers>>,
    relays: Option<Box<Relays>>,
    /// The session in use and, while a restart is under way, those it may replace or be rolled back to; newest last.
    sessions: Vec<Session>,
    sessions_made: u32,
    /// The last session that carried data, and until when it answers.
    retired: Option<Box<(Session, Instant)>>,
    responses: Responses,
    pacer: Pacer,
    /// The latest time given.
    latest: Option<Instant>,
    quiet: Option<Quiet>,
    closed: bool,
    reported_state: State,
    reported_path: Option<FiveTuple>,
}

/// There was nothing to send, and until a deadline, if there is one, there will not be, unless something happens. Who sends data asks
/// before each datagram of it.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    until: Option<Instant>,
}

impl Agent {
    /// An agent that has not begun.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut ctx = Context::new(&config);
        let session = Session::new(&mut ctx, 0, config.local_credentials, false);
        Self {
            ctx,
            gatherer: Gatherer::new(config.external_addresses, config.hide_addresses && !config.lite),
            servers: None,
            relays: None,
            sessions: vec![session],
            sessions_made: 1,
            retired: None,
            responses: Responses::default(),
            pacer: Pacer::default(),
            latest: None,
            quiet: None,
            closed: false,
            reported_state: State::New,
            reported_path: None,
        }
    }

    // Getters.

    /// The role now.
    #[must_use]
    pub fn role(&self) -> Role {
        self.ctx.role
    }

    /// The credentials to tell the peer: those of the latest restart.
    #[must_use]
    pub fn local_credentials(&self) -> &Credentials {
        &self.current().credentials
    }

    /// Credentials for a [`restart`](Self::restart), for those who have to tell the peer of them first.
    #[must_use]
    pub fn new_credentials(&mut self) -> Credentials {
        Credentials::random(&mut self.ctx.rng())
    }

    /// The peer's credentials that belong to ours, once known.
    #[must_use]
    pub fn remote_credentials(&self) -> Option<&Credentials> {
        self.current().remote.as_ref().map(|remote| &remote.credentials)
    }

    /// The state now. During a restart it is that of the earlier session for as long as that one carries data.
    #[must_use]
    pub fn state(&self) -> State {
        if self.closed {
            return State::Closed;
        }
        let current = self.current().state(&self.ctx);
        let earlier = self
            .sessions
            .iter()
            .rev()
            .skip(1)
            .map(|session| session.state(&self.ctx));
        match current {
            State::New | State::Checking | State::Failed => {
                // "An ICE restart [...] begun in the completed state [causes] a transition to connected. If [...] begun in
                // the transient disconnected state, it causes instead a transition to checking" (W3C webrtc-pc §5.6.4).
                let carries = earlier
                    .clone()
                    .any(|state| matches!(state, State::Connected | State::Completed));
                let silent = earlier.clone().any(|state| state == State::Disconnected);
                match (carries, silent) {
                    (true, _) => State::Connected,
                    (false, true) => State::Checking,
                    (false, false) => current,
                }
            }
            _ => current,
        }
    }

    /// The state of gathering now.
    #[must_use]
    pub fn gathering_state(&self) -> GatheringState {
        self.gatherer.state()
    }

    /// The pair that carries data now: the nominated one, or the best valid one before that (RFC 8445 §12.1).
    #[must_use]
    pub fn selected_pair(&self) -> Option<CandidatePair> {
        let session = self.carrier().and_then(|index| self.sessions.get(index))?;
        session.describe(session.sending()?, self.ctx.role)
    }

    /// The pairs of all sessions in use, for statistics.
    pub fn candidate_pairs(&self) -> impl Iterator<Item = CandidatePairStats> {
        let carrier = self.carrier();
        self.sessions.iter().enumerate().flat_map(move |(index, session)| {
            session.stats(self.ctx.role).map(move |mut stats| {
                stats.selected &= carrier == Some(index);
                stats
            })
        })
    }

    /// The local candidates announced with the credentials in use now.
    pub fn local_candidates(&self) -> impl Iterator<Item = &Candidate> {
        let locals = self.current().locals.iter().filter(|local| !local.gone);
        locals.map(|local| &local.candidate)
    }

    /// The names that candidates have in place of addresses of this host, and for which: to be announced by multicast DNS
    /// ([`Config::hide_addresses`]). Those of one address are the same.
    pub fn local_names(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.gatherer.names()
    }

    /// The local candidates that were announced after the first `count` with the credentials in use now, in their order, each with
    /// how many that makes: for those who tell the peer at times of their own.
    #[must_use]
    pub fn local_candidates_after(&self, count: u32) -> Vec<(u32, Candidate)> {
        let locals = self.current().locals.iter();
        let new = locals.filter(|local| !local.gone && local.number > count);
        let mut new: Vec<_> = new.map(|local| (local.number, local.candidate.clone())).collect();
        new.sort_unstable_by_key(|&(number, _)| number);
        new
    }

    /// The remote candidates known for them, peer-reflexive ones included.
    pub fn remote_candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.current().remotes.iter().map(|remote| &remote.candidate)
    }

    /// What was dropped so far.
    #[must_use]
    pub fn drop_counters(&self) -> DropCounters {
        self.ctx.drops
    }

    /// The username fragments that the peer's checks may name: those of every session that still answers.
    pub fn local_ufrags(&self) -> impl Iterator<Item = &str> + Clone {
        let retired = self.retired.iter().map(|retired| &retired.0);
        self.sessions
            .iter()
            .chain(retired)
            .map(|session| session.credentials.ufrag.as_str())
    }

    fn current(&self) -> &Session {
        self.sessions
            .last()
            .expect("there is always a session: restarts add one, roll-backs leave one")
    }

    fn current_mut(&mut self) -> (&mut Context, &mut Session) {
        (
            &mut self.ctx,
            self.sessions.last_mut().expect("there is always a session"),
        )
    }

    // Commands for this side.

    /// Sets the role: JSEP may learn it only after the agent was made. Conflicts are repaired in any case (RFC 8445
    /// §7.3.1.1).
    pub fn set_role(&mut self, role: Role) {
        self.ctx.role = role;
        self.settle_now();
    }

    /// Ends everything: nothing is sent any more but goodbyes to servers, and nothing answered.
    pub fn close(&mut self, now: Instant) {
        let now = self.clock(now);
        self.closed = true;
        self.retired = None;
        self.servers = None;
        if let Some(relays) = &mut self.relays {
            relays.close(now);
        }
        self.responses.clear();
        self.ctx.connections = None;
        self.settle_now();
    }

    // Commands for the other side.

    /// The peer's username fragment and password have come: checks begin, and those that came before are made good. Ignored
    /// if either is empty or longer than [`Credentials::MAX_LEN`].
    pub fn set_remote_credentials(&mut self, now: Instant, credentials: Credentials) {
        let now = self.clock(now);
        if !self.closed {
            let (ctx, session) = self.current_mut();
            session.set_remote_credentials(ctx, now, credentials);
        }
        self.settle_now();
    }

    /// Whether the peer is a lite implementation (`a=ice-lite`): then a full agent controls (RFC 8445 §6.1.1).
    pub fn set_remote_lite(&mut self, lite: bool) {
        if lite && !self.ctx.lite {
            self.ctx.switch_role(Role::Controlling);
        }
        let (ctx, session) = self.current_mut();
        session.set_remote_lite(ctx, lite);
        self.settle_now();
    }

    /// Whether both sides have said that they know renomination (`a=ice-options:renomination`,
    /// draft-thatcher-ice-renomination): the controlling side then moves to better pairs that are found later, and the
    /// controlled one follows the nomination with the highest number. Without it, another pair is nominated only when the one
    /// in use does not work any more.
    pub fn set_renomination(&mut self, renomination: bool) {
        self.ctx.renomination = renomination;
        self.settle_now();
    }

    /// Which candidates are used from now on: where gathering has begun, with the next [`restart`](Self::restart). "[...] no action
    /// will be taken until the next gathering phase" (RFC 8829 §4.1.18).
    pub fn set_transport_policy(&mut self, policy: TransportPolicy) {
        self.ctx.relay_only = policy == TransportPolicy::Relay;
        if self.gatherer.state() == GatheringState::New && self.current().locals.is_empty() {
            let (ctx, session) = self.current_mut();
            session.relay_only = ctx.relay_only;
        }
    }

    /// The same, as it is set.
    #[must_use]
    pub fn transport_policy(&self) -> TransportPolicy {
        match self.ctx.relay_only {
            true => TransportPolicy::Relay,
            false => TransportPolicy::All,
        }
    }

    /// True while all sessions use relayed candidates alone.
    fn hides_behind_relays(&self) -> bool {
        let retired = self.retired.as_ref().map(|retired| &retired.0);
        self.sessions.iter().chain(retired).all(|session| session.relay_only)
    }

    /// The pace of checks that we propose, to be told the peer (`a=ice-pacing`); a lite agent makes none.
    #[must_use]
    pub fn pacing(&self) -> Option<Duration> {
        (!self.ctx.lite).then_some(self.ctx.timings().ta)
    }

    /// The pace of checks that the peer proposes (`a=ice-pacing`). Without it, it is 50 ms (RFC 8445 §14.2).
    pub fn set_remote_pacing(&mut self, pacing: Option<Duration>) {
        self.ctx.set_remote_ta(pacing);
    }

    /// Takes a candidate of the peer. Candidates of another component, with a domain name, or over TCP without a type are
    /// ignored; one with a `.local` name is asked for with [`Event::ResolveName`]. No connection is made to the ports of
    /// well-known services, which a peer might have us knock at: those below 1024, but for 80 and 443 of public addresses.
    ///
    /// # Errors
    /// See [`AddCandidateError`]; the agent goes on as before.
    pub fn add_remote_candidate(&mut self, now: Instant, candidate: Candidate) -> Result<(), AddCandidateError> {
        let now = self.clock(now);
        if self.closed {
            return Err(AddCandidateError::Closed);
        }
        let (ctx, session) = self.current_mut();
        let result = session.add_remote(ctx, now, candidate);
        self.settle_now();
        result
    }

    /// The peer has no more candidates (RFC 8838 §14).
    pub fn end_of_candidates(&mut self, now: Instant) {
        self.clock(now);
        self.current_mut().1.end_of_candidates();
        self.settle_now();
    }

    /// The answer to [`Event::ResolveName`]: the address, or `None` if the name has none.
    pub fn handle_resolved(&mut self, now: Instant, name: &str, addr: Option<IpAddr>) {
        let now = self.clock(now);
        if !self.closed {
            // A restart may have asked for the same name again.
            for session in &mut self.sessions {
                session.handle_resolved(&mut self.ctx, now, name, addr);
            }
        }
        self.settle_now();
    }

    // The five verbs.

    /// A datagram has come that looks like STUN ([`peerline_stun::is_stun`]).
    #[allow(
        clippy::needless_pass_by_value,
        reason = "the same verb in every machine: some decrypt in place"
    )]
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        let now = self.clock(now);
        if self.closed {
            return;
        }
        if self.handle_server(now, &datagram) {
            return self.settle(now);
        }
        let Some(datagram) = self.unwrap_relayed(now, datagram) else {
            return;
        };
        // "The FINGERPRINT mechanism MUST be used for connectivity checks" (RFC 8445 §7.2.4).
        let message = match Message::parse(&datagram.payload) {
            Ok(message) if message.verify_fingerprint().is_ok() && message.method() == Method::BINDING => message,
            _ => {
                self.ctx.drops.malformed += 1;
                return;
            }
        };
        let Some(path) = self.canonical(&datagram.five_tuple) else {
            self.ctx.drops.unknown_local_address += 1;
            return;
        };
        let learned = match message.class() {
            // A keep-alive (RFC 8445 §11), which has kept what it was sent for alive by coming here.
            Class::Indication => return,
            Class::Request => {
                let retired = self.retired.iter_mut().map(|retired| &mut retired.0);
                let sessions = self.sessions.iter_mut().rev().chain(retired);
                server::handle_request(&mut self.ctx, &mut self.responses, sessions, now, path, &message)
            }
            Class::SuccessResponse | Class::ErrorResponse => self.handle_response(now, path, &message),
        };
        self.quiet = None;
        // The messages that keep consent teach nothing else, and they are most of what idle peers send.
        if learned == Learned::News {
            self.settle(now);
        }
    }

    fn handle_response(&mut self, now: Instant, path: FiveTuple, response: &Message<'_>) -> Learned {
        let id = response.transaction_id();
        let Some(session) = self.sessions.iter_mut().find(|session| session.owns(id)) else {
            self.ctx.drops.unmatched_responses += 1;
            return Learned::Nothing;
        };
        let learned = if session.transactions.contains(id) {
            session.handle_response(&mut self.ctx, now, path, response)
        } else {
            session.handle_consent_response(&mut self.ctx, now, path, response)
        };
        if learned.is_none() {
            self.ctx.drops.unauthenticated_responses += 1;
        }
        learned.unwrap_or(Learned::Nothing)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock(now);
        if self.closed {
            return;
        }
        for session in &mut self.sessions {
            session.handle_timeout(&mut self.ctx, now);
        }
        self.retired.take_if(|retired| now >= retired.1);
        if let Some(embedding) = &mut self.ctx.embedding {
            embedding.repeat(now);
        }
        self.expire_servers(now);
        self.settle(now);
    }

    /// Appends the next datagram to send to `out`, if there is one.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.is_quiet(now) {
            return None;
        }
        let now = self.clock(now);
        let start = out.len();
        loop {
            let Some(transmit) = self.poll_direct(now, out) else {
                let until = self.next_deadline();
                self.quiet = Some(Quiet { until });
                return None;
            };
            // What does not go through a server yet is held there, or lost.
            if let Some(transmit) = self.forward(now, transmit, start, out) {
                return Some(transmit);
            }
        }
    }

    /// True if [`poll_transmit`](Self::poll_transmit) has been asked, and has nothing to send yet.
    pub fn is_quiet(&mut self, now: Instant) -> bool {
        let now = self.clock(now);
        self.quiet
            .is_some_and(|quiet| quiet.until.is_none_or(|until| now < until))
    }

    /// The next datagram, as if relayed addresses were sockets of ours.
    fn poll_direct(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.closed {
            return self.poll_servers(now, out);
        }
        // A consent check that goes along with a response goes ahead: it is longer, and of what one system call sends to a peer only
        // the last may be shorter.
        if !self.responses.is_empty() {
            let Self { ctx, sessions, .. } = self;
            let mut sessions = sessions.iter_mut();
            let along = sessions.find_map(|session| session.ask_for_consent(ctx, now, out));
            return along.or_else(|| self.responses.pop(ctx, now, out));
        }
        // "Lite implementations do not generate connectivity checks" (RFC 8445 §6.2).
        if self.ctx.lite {
            return None;
        }
        if let Some(transmit) = self.poll_servers(now, out) {
            return Some(transmit);
        }
        let Self { ctx, sessions, .. } = self;
        let unpaced = sessions
            .iter_mut()
            .rev()
            .find_map(|session| session.poll_transmit(ctx, now, out));
        unpaced.or_else(|| self.poll_check(now, out))
    }

    /// Sends the next new check, if it is time for one.
    fn poll_check(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        loop {
            let is_time = |from: Option<Instant>| from.is_none_or(|from| now >= from);
            let next = |check: fn(&Session) -> Option<PairId>| {
                self.sessions
                    .iter()
                    .enumerate()
                    .rev()
                    .find_map(|(index, session)| Some((index, check(session)?)))
            };
            let triggered = next(Session::next_triggered).filter(|_| is_time(self.pacer.triggered_from));
            let ordinary = || next(Session::next_ordinary).filter(|_| is_time(self.pacer.ordinary_from));
            let carrier = || self.next_carrier().filter(|_| is_time(self.carrier_from()));
            let checked = triggered.or_else(ordinary);
            let (index, pair) = checked.or_else(carrier)?;
            let session = self.sessions.get_mut(index)?;
            if session.lacks_connection(&self.ctx, pair) {
                // "If performance of the transaction requires establishment of a TCP connection, then the connection gets opened
                // when the transaction is performed" (RFC 6544 §4.1), at the same pace.
                session.await_connection(&mut self.ctx, now, pair);
                self.pacer.on_check_sent(now, self.ctx.ta());
                continue;
            }
            if checked.is_none() {
                // It takes the place of those before it, as a triggered one does.
                session.cancel_checks(&self.ctx, pair);
            }
            if let Some(transmit) = session.start_check(&mut self.ctx, now, pair, false, out) {
                if checked.is_none() {
                    return Some(transmit);
                }
                self.pacer.on_check_sent(now, self.ctx.ta());
                return Some(transmit);
            }
            // It cannot be written: never try it again.
            session.list.untrigger(pair);
            session.list.set_state(pair, PairState::Failed);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_transmit`](Self::poll_transmit) have something to do again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.quiet {
            Some(quiet) => quiet.until,
            None => self.next_deadline(),
        }
    }

    /// The next piece of news.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.ctx.pop()
    }

    // Inside.

    /// "A backwards `now` counts as the latest seen."
    fn clock(&mut self, now: Instant) -> Instant {
        *self.latest.insert(self.latest.map_or(now, |latest| latest.max(now)))
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let retired = self.retired.as_ref().map(|retired| retired.1);
        let sessions = self
            .sessions
            .iter()
            .filter_map(|session| session.poll_timeout(&self.ctx));
        let has = |check: fn(&Session) -> Option<PairId>| {
            !self.ctx.lite && self.sessions.iter().any(|session| check(session).is_some())
        };
        let triggered = has(Session::next_triggered)
            .then_some(self.pacer.triggered_from.or(self.latest))
            .flatten();
        let ordinary = has(Session::next_ordinary)
            .then_some(self.pacer.ordinary_from.or(self.latest))
            .flatten();
        let carrier = match self.next_carrier() {
            Some(_) => self.carrier_from().or(self.latest),
            None => self.repeat_at(),
        };
        let servers = self.servers_deadline();
        let connections = self.ctx.connections.as_ref().and_then(|all| all.poll_timeout());
        sessions
            .chain(retired)
            .chain(connections)
            .chain(triggered)
            .chain(ordinary)
            .chain(carrier)
            .chain(servers)
            .min()
    }

    fn settle_now(&mut self) {
        if let Some(now) = self.latest {
            self.settle(now);
        }
    }

    /// Carries every change through, and reports what is new.
    fn settle(&mut self, now: Instant) {
        self.quiet = None;
        if !self.closed {
            for session in &mut self.sessions {
                session.settle(&mut self.ctx, now);
            }
            self.retire(now);
            self.settle_connections(now);
            self.settle_gathering();
        }
        let path = self
            .carrier()
            .and_then(|index| Some(self.sessions.get(index)?.sending()?.path));
        if std::mem::replace(&mut self.reported_path, path) != path {
            self.ctx.push(Event::SelectedPairChange(path));
        }
        let state = self.state();
        if std::mem::replace(&mut self.reported_state, state) != state {
            self.ctx.push(Event::StateChange(state));
            if state == State::Disconnected
                && let Some(relays) = &mut self.relays
            {
                relays.doubt(now);
            }
        }
    }
}
