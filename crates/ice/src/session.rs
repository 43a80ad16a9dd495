//! [`Session`]: one ICE session, which is all that a restart replaces (RFC 8445 §9): credentials, candidates, checklist,
//! nomination, consent.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use peerline_stun::{Key, TransactionId};
use peerline_wire::{FiveTuple, Transmit, Transport};

use crate::candidate::{Reach, is_connectable, plain, reach};
use crate::check::Transactions;
use crate::checklist::Checklist;
use crate::consent::Consent;
use crate::context::Context;
use crate::gather::Source;
use crate::nomination::Nomination;
use crate::pair::{Foundation, Pair, PairId, PairState};
use crate::remote::{Added, RemoteId, Remotes};
use crate::server::EarlyCheck;
use crate::{
    AddCandidateError, Candidate, CandidateAddress, CandidateKind, CandidatePair, CandidatePairStats, Credentials,
    Event, PairCounters, Role, State, TcpType,
};

/// What a message has taught a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// No more than that the peer is there, if that.
    Nothing,
    /// Something that is to be carried through (`Session::settle`).
    News,
}

#[derive(Debug)]
pub(crate) struct Session {
    /// Counts sessions, so that pairs of different ones have different names.
    id: u32,
    pub(crate) credentials: Credentials,
    pub(crate) key: Key,
    pub(crate) remote: Option<RemoteSide>,
    pub(crate) remote_lite: bool,
    /// Relayed candidates alone are told and checked.
    pub(crate) relay_only: bool,
    pub(crate) locals: Vec<Announced>,
    pub(crate) remotes: Remotes,
    pub(crate) list: Checklist,
    pub(crate) transactions: Transactions,
    pub(crate) nomination: Nomination,
    /// The nominated pair in use.
    pub(crate) selected: Option<PairId>,
    pub(crate) consent: Consent,
    /// Checks that came before the remote credentials.
    pub(crate) early: Vec<EarlyCheck>,
    /// How often we have nominated a pair, counted for NOMINATION.
    pub(crate) nominations: u32,
    /// The selected pair does not work any more, and no other is nominated yet.
    pub(crate) adrift: Option<Adrift>,
    /// When all other paths are tried again, while the one in use does not work.
    pub(crate) search_at: Option<Instant>,
    /// Since when the selected pair is in use.
    pub(crate) settled_at: Option<Instant>,
    /// Pairs are formed although one is selected.
    pub(crate) reopened: bool,
    /// How many local candidates there have been.
    announced: u32,
    end_of_candidates: bool,
    /// The PAC timer (RFC 8863), until it fires.
    patience_until: Option<Instant>,
    /// True once there has been anything to check.
    begun: bool,
    /// True if there was a session before that had begun.
    restarted: bool,
    /// Consent is lost, or nomination has failed: only a restart helps.
    lost: bool,
    /// A later session carries the data: nothing is sent any more but responses, for a short while.
    retired: bool,
    last_pair: u32,
    /// How many pairs checks of the peer have revealed while none was valid.
    discovered: usize,
}

/// A local candidate.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) candidate: Candidate,
    /// Its base: the socket that it is reached by, or the address on a server.
    pub(crate) address: SocketAddr,
    /// The local preference in its priority.
    pub(crate) preference: u16,
    /// The number of its foundation.
    pub(crate) foundation: u32,
    /// Where it comes from, if not from this host.
    pub(crate) source: Option<Box<Source>>,
}

impl Local {
    /// True if this is its base.
    pub(crate) fn is_at(&self, transport: Transport, address: SocketAddr) -> bool {
        self.candidate.transport == transport && plain(self.address) == plain(address)
    }
}

/// A local candidate in a session.
#[derive(Debug)]
pub(crate) struct Announced {
    pub(crate) local: Arc<Local>,
    /// How many there have been, with it.
    pub(crate) number: u32,
    /// Its socket, or its allocation, is no more.
    pub(crate) gone: bool,
}

impl Deref for Announced {
    type Target = Local;

    fn deref(&self) -> &Local {
        &self.local
    }
}

/// What is left when the selected pair is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adrift {
    /// When the peer was last heard there.
    pub(crate) heard_at: Instant,
    /// Until when another pair may take its place: when its consent would have expired.
    pub(crate) until: Instant,
}

/// The peer's credentials, made ready.
#[derive(Debug)]
pub(crate) struct RemoteSide {
    pub(crate) credentials: Credentials,
    pub(crate) key: Key,
    /// "The username [...] is formed by concatenating the username fragment provided by the peer with the username
    /// fragment of the ICE agent sending the request, separated by a colon" (RFC 8445 §7.2.2).
    pub(crate) username: String,
}

impl Session {
    pub(crate) fn new(ctx: &mut Context, id: u32, credentials: Option<Credentials>, restarted: bool) -> Self {
        let credentials = credentials
            .filter(Credentials::is_usable)
            .unwrap_or_else(|| Credentials::random(&mut ctx.rng()));
        Self {
            id,
            key: Key::short_term(&credentials.pwd),
            credentials,
            remote: None,
            remote_lite: false,
            relay_only: ctx.relay_only,
            locals: Vec::new(),
            remotes: Remotes::default(),
            list: Checklist::new(ctx.role, ctx.limits().max_pairs),
            transactions: Transactions::default(),
            nomination: Nomination::default(),
            selected: None,
            consent: Consent::default(),
            early: Vec::new(),
            nominations: 0,
            adrift: None,
            search_at: None,
            settled_at: None,
            reopened: false,
            announced: 0,
            end_of_candidates: false,
            patience_until: None,
            begun: false,
            restarted,
            lost: false,
            retired: false,
            last_pair: 0,
            discovered: 0,
        }
    }

    /// "completed" asks for more than RFC 8445's Completed: both sides are done with candidates, too (W3C webrtc-pc §5.6.4).
    pub(crate) fn state(&self, ctx: &Context) -> State {
        let has_path = self.sending().is_some();
        match (&self.remote, has_path) {
            _ if self.lost => State::Failed,
            (_, true) if self.consent.is_missed() => State::Disconnected,
            (_, true) if self.selected.is_some() && self.end_of_candidates && ctx.gathered => State::Completed,
            (_, true) => State::Connected,
            // The same for one who looks for another path: the application need not know of a short search.
            _ if self.adrift.is_some() && self.consent.is_missed() => State::Disconnected,
            _ if self.adrift.is_some() => State::Connected,
            (None, _) => {
                if self.restarted {
                    State::Checking
                } else {
                    State::New
                }
            }
            (Some(_), _) if self.is_exhausted(ctx) => State::Failed,
            (Some(_), _) => {
                if self.begun || self.restarted {
                    State::Checking
                } else {
                    State::New
                }
            }
        }
    }

    /// "While the timer is still running, the ICE agent MUST NOT update a checklist state from Running to Failed, even if
    /// there are no pairs left in the checklist to check" (RFC 8863 §4). The timer is "an end-of-candidates fallback" (§5).
    fn is_exhausted(&self, ctx: &Context) -> bool {
        self.patience_until.is_none() && self.list.unresolved() == 0 && !ctx.lite
    }

    /// True while checks are sent and their success matters.
    pub(crate) fn is_running(&self) -> bool {
        !self.is_over() && self.remote.is_some()
    }

    /// True if only a restart helps.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// True once the session only answers.
    pub(crate) fn is_over(&self) -> bool {
        self.lost || self.retired
    }

    pub(crate) fn retire(mut self) -> Self {
        self.retired = true;
        self
    }

    /// The pair that data would take in this session. "An ICE agent MAY send data on any valid pair before selected pairs
    /// have been produced" (RFC 8445 §12.1).
    pub(crate) fn sending(&self) -> Option<&Pair> {
        let chosen = self
            .selected
            .or(self.nomination.pair())
            .and_then(|id| self.list.get(id));
        chosen.or_else(|| self.list.best_valid())
    }

    /// The same pair, for changes that no index depends on.
    pub(crate) fn sending_mut(&mut self) -> Option<&mut Pair> {
        let id = self.sending()?.id;
        self.list.get_mut(id)
    }

    pub(crate) fn is_signalled_complete(&self) -> bool {
        self.end_of_candidates
    }

    // Commands.

    pub(crate) fn set_remote_credentials(&mut self, ctx: &mut Context, now: Instant, credentials: Credentials) {
        let same = self
            .remote
            .as_ref()
            .is_some_and(|remote| remote.credentials == credentials);
        if same || !credentials.is_usable() {
            return;
        }
        let replaced = self.remote.is_some();
        self.remote = Some(RemoteSide {
            key: Key::short_term(&credentials.pwd),
            username: format!("{}:{}", credentials.ufrag, self.credentials.ufrag),
            credentials,
        });
        // Another answerer (a fork) or another try (a provisional answer): what was checked with the old credentials has
        // to be checked again.
        if replaced && self.selected.is_none() {
            self.transactions.clear();
            self.nomination = Nomination::default();
            for id in self.list.iter().map(|pair| pair.id).collect::<Vec<_>>() {
                self.list.set_state(id, PairState::Waiting);
            }
        }
        self.patience_until = Some(now + ctx.timings().patience);
        self.pair_all(ctx);
        // "Once the answer is received, it MUST proceed with the remaining steps required" (RFC 8445 §7.3).
        for early in std::mem::take(&mut self.early) {
            self.handle_check(ctx, now, early.path, early.check, &early.ufrag);
        }
    }

    pub(crate) fn set_remote_lite(&mut self, ctx: &mut Context, lite: bool) {
        self.remote_lite = lite;
        self.pair_all(ctx);
    }

    pub(crate) fn end_of_candidates(&mut self) {
        self.end_of_candidates = true;
    }

    pub(crate) fn add_local(&mut self, ctx: &mut Context, now: Instant, local: Arc<Local>) {
        self.announced += 1;
        let local = Announced {
            local,
            number: self.announced,
            gone: false,
        };
        let index = match self.locals.iter().position(|local| local.gone) {
            Some(index) => {
                self.locals[index] = local;
                index
            }
            None => {
                // Sockets are few, and come one at a time.
                self.locals.reserve_exact(1);
                self.locals.push(local);
                self.locals.len() - 1
            }
        };
        self.reopen_for_news(ctx, now);
        for remote in self.remotes.ids() {
            self.pair_up(ctx, index, remote);
        }
        self.reopened = false;
    }

    pub(crate) fn add_remote(
        &mut self,
        ctx: &mut Context,
        now: Instant,
        candidate: Candidate,
    ) -> Result<(), AddCandidateError> {
        // Other components are ignored, as RFC 8839 §5.1 has it for what is not understood: browsers offer component 2 when the
        // peer may not multiplex RTCP. So is a candidate over TCP that does not say who connects.
        let is_whole = (candidate.transport == Transport::Tcp) == candidate.tcp_type.is_some();
        if !is_whole || candidate.component != crate::candidate::COMPONENT {
            return Ok(());
        }
        if let Some(tcp_type) = candidate.tcp_type {
            ctx.on_remote_tcp_type(tcp_type);
        }
        match &candidate.address {
            &CandidateAddress::Ip(address) => self.add_remote_at(ctx, now, candidate, address),
            // Whoever connects from there shows its address by that.
            CandidateAddress::Name(..) if candidate.tcp_type == Some(TcpType::Active) => Ok(()),
            CandidateAddress::Name(name, _) => {
                // Only names that stay on the link: anything else would have the peer choose what we look up.
                if !name.to_ascii_lowercase().ends_with(".local") {
                    return Ok(());
                }
                let name = name.clone();
                if self
                    .remotes
                    .add_name(ctx.limits().max_remote_candidates, &name, candidate)?
                {
                    ctx.push(Event::ResolveName(name));
                }
                Ok(())
            }
        }
    }

    pub(crate) fn handle_resolved(&mut self, ctx: &mut Context, now: Instant, name: &str, address: Option<IpAddr>) {
        for (candidate, address) in self.remotes.resolve(name, address) {
            // A name that leads nowhere useful is no one's fault here.
            let _ = self.add_remote_at(ctx, now, candidate, address);
        }
    }

    fn add_remote_at(
        &mut self,
        ctx: &mut Context,
        now: Instant,
        candidate: Candidate,
        address: SocketAddr,
    ) -> Result<(), AddCandidateError> {
        let (priority, transport) = (candidate.priority, candidate.transport);
        if self.selected.is_some() {
            self.remotes.make_room(ctx.limits().max_remote_candidates);
        }
        let id = match self
            .remotes
            .add(ctx.limits().max_remote_candidates, candidate, address)?
        {
            Added::Redundant => return Ok(()),
            Added::New(id) => id,
            Added::Better(id) => {
                for path in (0..self.locals.len())
                    .filter_map(|local| self.path(local, transport, address))
                    .collect::<Vec<_>>()
                {
                    if let Some(pair) = self.list.find(&path).map(|pair| pair.id) {
                        self.list.update(pair, |pair| pair.remote_priority = priority);
                    }
                }
                id
            }
        };
        self.reopen_for_news(ctx, now);
        for local in 0..self.locals.len() {
            self.pair_up(ctx, local, id);
        }
        self.reopened = false;
        Ok(())
    }

    // Pairs.

    /// Which local candidate has this base.
    pub(crate) fn find_local(&self, transport: Transport, address: SocketAddr) -> Option<usize> {
        self.locals
            .iter()
            .position(|local| !local.gone && local.is_at(transport, address))
    }

    /// The path from a local candidate's base to a remote address of the same transport.
    fn path(&self, local: usize, transport: Transport, remote: SocketAddr) -> Option<FiveTuple> {
        let local = self.locals.get(local).filter(|local| !local.gone)?;
        (local.candidate.transport == transport).then(|| path_between(transport, local.address, remote))
    }

    pub(crate) fn pair_all(&mut self, ctx: &mut Context) {
        for remote in self.remotes.ids() {
            for local in 0..self.locals.len() {
                self.pair_up(ctx, local, remote);
            }
        }
    }

    /// Pairs two candidates that may reach each other (RFC 8445 §6.1.2.2), unless they are paired.
    fn pair_up(&mut self, ctx: &mut Context, local: usize, remote: RemoteId) {
        // A concluded checklist takes no more pairs: "the agent MUST NOT nominate another pair [...] within the ICE
        // session" (§8.1.1), unless it is reopened. A lite agent forms pairs only if its peer is lite as well (§8.2).
        let concluded = self.selected.is_some() && !ctx.lite && !self.reopened;
        if concluded || self.lost || ctx.lite && !self.remote_lite {
            return;
        }
        let Some((our, their)) = self.locals.get(local).zip(self.remotes.get(remote)) else {
            return;
        };
        let (base, address, transport) = (our.address, their.address, their.candidate.transport);
        if transport == Transport::Tcp {
            match (our.candidate.tcp_type, their.candidate.tcp_type) {
                (Some(TcpType::Active), Some(TcpType::Passive))
                | (Some(TcpType::SimultaneousOpen), Some(TcpType::SimultaneousOpen))
                    if is_connectable(address) && !ctx.lite => {}
                // "When the agent prunes the check list, it MUST also remove any pair for which the local candidate is a passive
                // TCP candidate" (RFC 6544 §6.2): it is the peer who connects, and what comes of that is a pair of its own.
                (Some(TcpType::Passive), Some(TcpType::Active)) => {
                    self.begun = true;
                    return;
                }
                _ => return,
            }
        }
        // "[...] the same IP address version", and "IPv6 link-local addresses MUST NOT be paired with other than link-local
        // addresses".
        let is_link_local = |address: SocketAddr| address.is_ipv6() && reach(address.ip()) == Reach::Link;
        if base.is_ipv4() != address.is_ipv4() || is_link_local(base) != is_link_local(address) {
            return;
        }
        let Some(path) = self.path(local, transport, address) else {
            return;
        };
        if self.list.find(&path).is_none()
            && let Some(id) = self.insert_pair(ctx, path, local, remote, false)
            && ctx.lite
        {
            self.accept_between_lites(ctx, id);
        }
    }

    /// Puts a new pair into the checklist. `None` if that is full of better ones.
    pub(crate) fn insert_pair(
        &mut self,
        ctx: &Context,
        path: FiveTuple,
        local: usize,
        remote: RemoteId,
        peer_checked: bool,
    ) -> Option<PairId> {
        // Translators may answer each check from yet another address, and each would be a candidate to check: that has to
        // end, and must not keep what was signalled waiting.
        if peer_checked && self.list.best_valid().is_none() {
            if self.discovered >= ctx.limits().max_unproved {
                self.remotes.forget_unpaired(remote);
                return None;
            }
            self.discovered += 1;
        }
        let (our, their) = (self.locals.get(local)?, self.remotes.get(remote)?);
        self.last_pair = self.last_pair.wrapping_add(1);
        let id = PairId(u64::from(self.id) << 32 | u64::from(self.last_pair));
        let pair = Box::new(Pair {
            id,
            path,
            local,
            remote,
            foundation: Foundation {
                local: our.foundation,
                remote: their.foundation,
            },
            local_priority: our.candidate.priority,
            remote_priority: their.candidate.priority,
            reflexive_priority: Candidate::priority_over(
                our.candidate.transport,
                CandidateKind::PeerReflexive,
                our.preference,
            ),
            state: PairState::Frozen,
            queued: false,
            repeated: 0,
            mapped: None,
            nominated: false,
            nominate_on_success: false,
            use_candidate_at: None,
            nomination: 0,
            peer_checked,
            consent_at: None,
            alive_at: None,
            unanswered_since: None,
            run: 0,
            counters: PairCounters::default(),
        });
        let Ok(evicted) = self.list.insert(pair) else {
            self.remotes.forget_unpaired(remote);
            return None;
        };
        self.begun = true;
        self.remotes.hold(remote);
        if let Some(evicted) = evicted {
            self.forget(&evicted);
        }
        Some(id)
    }

    /// After a pair has been removed from the list.
    pub(crate) fn forget(&mut self, pair: &Pair) {
        self.transactions.forget_pair(pair.id);
        self.remotes.release(pair.remote);
    }

    /// Ends the session: nothing is sent any more, requests are still answered.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
        self.selected = None;
        self.adrift = None;
        self.search_at = None;
        self.nomination = Nomination::default();
        self.consent = Consent::default();
        self.transactions.clear();
        for id in self.list.iter().map(|pair| pair.id).collect::<Vec<_>>() {
            self.list.untrigger(id);
            self.list.update(id, |pair| {
                pair.nominated = false;
                pair.state = PairState::Failed;
            });
        }
    }

    // Time.

    /// What time alone changes.
    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context, now: Instant) {
        if self.patience_until.is_some_and(|until| now >= until) {
            self.patience_until = None;
        }
        self.expire_checks(ctx, now);
        self.expire_consent(ctx, now);
        self.end_search(ctx, now);
    }

    /// Carries every change through: who nominates, what, and whose consent is kept.
    pub(crate) fn settle(&mut self, ctx: &mut Context, now: Instant) {
        self.sync_role(ctx);
        self.roam(ctx, now);
        self.consider_nomination(ctx, now);
        self.follow_consent(ctx, now);
    }

    pub(crate) fn sync_role(&mut self, ctx: &Context) {
        self.list.set_role(ctx.role);
        if ctx.role == Role::Controlled {
            self.nomination.cancel();
        }
    }

    /// The next moment at which something is due, but for new checks, which the agent paces.
    pub(crate) fn poll_timeout(&self, ctx: &Context) -> Option<Instant> {
        [
            self.transactions.next_due(),
            self.patience_until.filter(|_| self.is_running() && !ctx.lite),
            self.nomination_deadline(ctx),
            self.consent_deadline(ctx),
            self.roaming_deadline(ctx),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Sends what does not wait for the pace of checks: it goes where the peer has already answered, or repeats.
    pub(crate) fn poll_transmit(&mut self, ctx: &mut Context, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.nominate(ctx, now, out)
            .or_else(|| self.ask_for_consent(ctx, now, out))
            .or_else(|| self.retransmit(ctx, now, out))
    }

    /// The pair that the triggered-check queue has next.
    pub(crate) fn next_triggered(&self) -> Option<PairId> {
        self.list.next_triggered().filter(|_| self.is_running())
    }

    /// The pair for the next ordinary check.
    pub(crate) fn next_ordinary(&self) -> Option<PairId> {
        self.list.next_ordinary().filter(|_| self.is_running())
    }

    /// True if this transaction was begun here.
    pub(crate) fn owns(&self, id: TransactionId) -> bool {
        self.transactions.contains(id) || self.consent.contains(id)
    }

    // Statistics.

    pub(crate) fn describe(&self, pair: &Pair, role: Role) -> Option<CandidatePair> {
        let local = pair
            .mapped
            .as_deref()
            .or(self.locals.get(pair.local).map(|local| &local.candidate))?;
        Some(CandidatePair {
            id: pair.id,
            local: local.clone(),
            remote: self.remotes.get(pair.remote)?.candidate.clone(),
            five_tuple: pair.path,
            priority: pair.valid_priority(role),
            nominated: pair.nominated,
        })
    }

    pub(crate) fn stats(&self, role: Role) -> impl Iterator<Item = CandidatePairStats> {
        let sending = self.sending().map(|pair| pair.id);
        self.list.iter().filter_map(move |pair| {
            let described = self.describe(pair, role)?;
            let selected = sending == Some(pair.id);
            Some(CandidatePairStats {
                pair: described,
                state: pair.state,
                selected,
                counters: pair.counters,
            })
        })
    }
}

/// The path from a base to an address, in the one form that tables know. Link-local addresses are on the link of the base:
/// they are signalled without a scope.
pub(crate) fn path_between(transport: Transport, local: SocketAddr, remote: SocketAddr) -> FiveTuple {
    let mut remote = plain(remote);
    if let (SocketAddr::V6(local), SocketAddr::V6(remote)) = (local, &mut remote)
        && remote.ip().is_unicast_link_local()
    {
        remote.set_scope_id(local.scope_id());
    }
    FiveTuple {
        local,
        remote,
        transport,
    }
}
