//! Roaming: another path takes the place of one that does not work any more, within the session.
//!
//! RFC 8445 leaves a session whose selected pair dies to a restart, which needs signalling and somebody who asks for it. But both
//! sides still have all candidates and credentials, and a host that changes networks has new ones. So
//!
//! - the path in use is *doubted* if it is silent while it should not be, if the peer uses another one, or if the network has
//!   changed: then the peer is asked at once (`consent`), and if it does not answer, all other paths are tried, again and
//!   again, until one of them works or consent expires;
//! - a path whose socket is gone leaves the session *adrift*, which is the same without asking;
//! - the controlling side nominates what works: with USE-CANDIDATE, which libwebrtc follows, and with NOMINATION, if both know
//!   it (draft-thatcher-ice-renomination). The controlled side meanwhile sends its data on a path that works.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerline_wire::{FiveTuple, Transport};

use crate::Role;
use crate::candidate::plain;
use crate::context::Context;
use crate::pair::{Pair, PairId, PairState};
use crate::session::{Adrift, Announced, Local, Session};

/// A path that was heard so recently is not doubted because the peer uses another one.
const QUIET: Duration = Duration::from_millis(200);

impl Session {
    /// The peer has begun to check this pair, or nominates it: if it is not the one in use, that one may not work any more.
    pub(crate) fn doubt_for(&mut self, ctx: &Context, now: Instant, id: PairId) {
        if self.selected.is_some_and(|selected| selected != id) {
            self.doubt(ctx, now);
        }
    }

    /// The peer sends data on this pair: if it is not the one in use, and that one is silent, that one may not work any more.
    pub(crate) fn doubt_for_data(&mut self, ctx: &Context, now: Instant, id: PairId) {
        let Some(selected) = self.selected.filter(|&selected| selected != id) else {
            return;
        };
        let alive_at = self.list.get(selected).and_then(|pair| pair.alive_at);
        if alive_at.is_none_or(|at| now >= at + QUIET) {
            self.doubt(ctx, now);
        }
    }

    /// When a steady flow of data has been silent for too long.
    pub(crate) fn end_of_flow(&self, ctx: &Context) -> Option<Instant> {
        let pair = self.sending()?;
        let steady = pair.run >= Pair::STEADY && !self.consent.is_asking() && !ctx.lite;
        pair.alive_at
            .filter(|_| steady)
            .map(|at| at + ctx.timings().doubt_after)
    }

    /// Looks for another path while the one in use does not work, and takes it.
    pub(crate) fn roam(&mut self, ctx: &mut Context, now: Instant) {
        if !self.is_running() || ctx.lite {
            return;
        }
        if self.end_of_flow(ctx).is_some_and(|at| now >= at)
            && let Some(id) = self.sending().map(|pair| pair.id)
        {
            self.list.touch(id, |pair| pair.run = 0);
            self.doubt(ctx, now);
        }
        if self.selected.is_some() {
            self.settled_at.get_or_insert(now);
        }
        let doubted = self.selected.is_some() && self.doubted_from(ctx).is_some_and(|at| now >= at);
        let searching = doubted || self.adrift.is_some() && self.sending().is_none();
        if !searching {
            self.search_at = None;
            return self.consider_better(ctx, now);
        }
        if self.search_at.is_none_or(|at| now >= at) {
            self.search_at = Some(now + ctx.timings().search_interval);
            self.search(ctx);
        }
        if doubted && let Some(other) = self.heard_elsewhere() {
            self.abandon(ctx, now, other);
        }
    }

    pub(crate) fn roaming_deadline(&self, ctx: &Context) -> Option<Instant> {
        if !self.is_running() || ctx.lite {
            return None;
        }
        let doubted = self.doubted_from(ctx).filter(|_| self.selected.is_some());
        let end = self
            .adrift
            .filter(|_| self.sending().is_none())
            .map(|adrift| adrift.until);
        self.search_at.or(doubted).into_iter().chain(end).min()
    }

    /// Tries all paths but the one in use, the best first.
    fn search(&mut self, ctx: &mut Context) {
        self.reopened = true;
        self.pair_all(ctx);
        self.reopened = false;
        let in_use = self.sending().map(|pair| (pair.id, pair.alive_at));
        let mut others: Vec<(u64, PairId, PairState)> = self
            .list
            .iter()
            .filter(|pair| in_use.is_none_or(|(id, alive_at)| pair.id != id && !is_heard_since(pair, alive_at)))
            .map(|pair| (pair.priority(ctx.role), pair.id, pair.state))
            .collect();
        others.sort_unstable_by_key(|&(priority, id, _)| Reverse((priority, id)));
        for (_, id, state) in others {
            match state {
                // It was valid when another one was chosen, and nobody knows about now.
                PairState::Succeeded => self.list.set_state(id, PairState::Waiting),
                PairState::InProgress => self.cancel_checks(ctx, id),
                PairState::Waiting | PairState::Frozen | PairState::Failed => {}
            }
            self.list.touch(id, |pair| pair.repeated = 0);
            self.list.trigger(id);
        }
    }

    /// The best of the other valid pairs that has been heard since the one in use was.
    fn heard_elsewhere(&self) -> Option<PairId> {
        let in_use = self.sending()?;
        let heard = |pair: &&Pair| pair.id != in_use.id && is_heard_since(pair, in_use.alive_at);
        self.list.valid().find(heard).map(|pair| pair.id)
    }

    /// Leaves the selected pair, which does not answer, for another.
    fn abandon(&mut self, ctx: &Context, now: Instant, other: PairId) {
        let Some(id) = self.selected else { return };
        self.set_adrift(ctx, now);
        self.list.set_state(id, PairState::Failed);
        self.transactions.forget_pair(id);
        if ctx.role == Role::Controlling {
            self.choose(other);
        } else if self
            .list
            .get(other)
            .is_some_and(|pair| pair.nominated || pair.use_candidate_at.is_some())
        {
            self.accept_nomination(ctx, now, other);
        }
    }

    /// From now on no pair is selected. What is valid carries data, and what is found is nominated anew.
    pub(crate) fn set_adrift(&mut self, ctx: &Context, now: Instant) {
        let Some(pair) = self.selected.take().and_then(|id| self.list.get(id)) else {
            return;
        };
        let (id, heard_at) = (pair.id, pair.alive_at.unwrap_or(now));
        let until = pair.consent_at.unwrap_or(now) + ctx.timings().consent_expiry;
        // A lite agent waits for the peer.
        self.adrift = Some(Adrift { heard_at, until }).filter(|_| !ctx.lite);
        self.settled_at = None;
        self.nomination.cancel();
        self.nomination.first_valid_at = Some(now);
        self.list.update(id, |pair| pair.nominated = false);
    }

    /// "Both ICE agents [...] know renomination": a better pair than the selected one is used as soon as it is found.
    fn consider_better(&mut self, ctx: &Context, now: Instant) {
        if !ctx.renomination || ctx.role != Role::Controlling || self.nomination.pair().is_some() {
            return;
        }
        let Some(selected) = self.selected.and_then(|id| self.list.get(id)) else {
            return;
        };
        let better = |pair: &&Pair| {
            pair.valid_priority(ctx.role) > selected.valid_priority(ctx.role) && self.is_heard(ctx, now, pair.id)
        };
        let better = self.list.valid().find(better).map(|pair| pair.id);
        if let Some(id) = better {
            self.choose(id);
        }
    }

    /// A candidate that comes long after the others tells of a network that has changed, and is to be tried.
    pub(crate) fn reopen_for_news(&mut self, ctx: &Context, now: Instant) {
        let late = |at: Instant| now >= at + ctx.timings().late_candidates;
        self.reopened = self.selected.is_some() && (self.settled_at.is_some_and(late) || self.consent.is_asking());
    }

    /// Forgets the candidates with these bases, and their pairs.
    pub(crate) fn remove_locals(&mut self, ctx: &Context, now: Instant, transport: Transport, gone: &[SocketAddr]) {
        let is_gone = |at: Transport, address: SocketAddr| {
            at == transport && gone.iter().any(|&gone| plain(gone) == plain(address))
        };
        self.remove_paths(ctx, now, |path| is_gone(path.transport, path.local));
        let locals = self.locals.iter_mut();
        for local in locals.filter(|local| is_gone(local.candidate.transport, local.address)) {
            local.gone = true;
        }
    }

    /// These are no candidates any more; their bases go on.
    pub(crate) fn withdraw(&mut self, candidates: &[Arc<Local>]) {
        let is_one = |local: &&mut Announced| candidates.iter().any(|gone| Arc::ptr_eq(gone, &local.local));
        self.locals
            .iter_mut()
            .filter(is_one)
            .for_each(|local| local.gone = true);
    }

    /// Forgets the pairs of these paths.
    pub(crate) fn remove_paths(&mut self, ctx: &Context, now: Instant, is_gone: impl Fn(&FiveTuple) -> bool) {
        let selected = self.selected.and_then(|id| self.list.get(id));
        if selected.is_some_and(|pair| is_gone(&pair.path)) {
            self.set_adrift(ctx, now);
        }
        let chosen = self.nomination.pair().and_then(|id| self.list.get(id));
        if chosen.is_some_and(|pair| is_gone(&pair.path)) {
            self.nomination.cancel();
        }
        let lost: Vec<PairId> = self
            .list
            .iter()
            .filter(|pair| is_gone(&pair.path))
            .map(|pair| pair.id)
            .collect();
        for id in lost {
            if let Some(pair) = self.list.remove(id) {
                self.forget(&pair);
            }
        }
        self.early.retain(|early| !is_gone(&early.path));
    }

    /// No other path has been found for as long as consent would have lasted.
    pub(crate) fn end_search(&mut self, ctx: &Context, now: Instant) {
        let over = self.adrift.is_some_and(|adrift| now >= adrift.until);
        if over && self.sending().is_none() && !ctx.lite {
            self.lose();
        }
    }
}

/// True for a valid pair that has been heard after that.
fn is_heard_since(pair: &Pair, at: Option<Instant>) -> bool {
    pair.state == PairState::Succeeded && pair.alive_at > at
}
