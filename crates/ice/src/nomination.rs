//! Nomination and the end of a checklist (RFC 8445 §8): when the controlling side settles on a pair, and what the
//! controlled side makes of USE-CANDIDATE.

use std::time::{Duration, Instant};

use peerline_wire::{Transmit, Transport};

use crate::context::Context;
use crate::pair::{Pair, PairId, PairState};
use crate::session::Session;
use crate::{CandidateKind, Role};

/// How far the controlling side has got.
#[derive(Debug, Default)]
pub(crate) struct Nomination {
    pub(crate) first_valid_at: Option<Instant>,
    choice: Option<Choice>,
}

/// The one pair that was picked.
#[derive(Clone, Copy, Debug)]
struct Choice {
    pair: PairId,
    /// True once the check with USE-CANDIDATE has left.
    sent: bool,
}

impl Nomination {
    /// The pair being nominated.
    pub(crate) fn pair(&self) -> Option<PairId> {
        self.choice.map(|choice| choice.pair)
    }

    /// After a role switch it is the peer who nominates.
    pub(crate) fn cancel(&mut self) {
        self.choice = None;
    }
}

/// How long the selected pair keeps its place against a nomination of lower priority after its own last USE-CANDIDATE.
/// "The three-second delay handles cases when aggressive nomination is used, and the selected pairs can quickly change"
/// (§8.3.1): an aggressive peer repeats USE-CANDIDATE in that time on the pair it uses.
const RENOMINATION: Duration = Duration::from_secs(3);

impl Session {
    /// Picks a pair if it is time. "The criteria for stopping the connectivity checks and for picking a pair for nomination
    /// are outside the scope of this specification" (§8.1.1). Here it is the best valid pair,
    ///
    /// - at once, if no pair under way would be better, and it joins two host candidates, or no candidate is missing;
    /// - else once the first valid pair has been waiting for [`nomination_patience`](crate::Timings::nomination_patience), or, if the
    ///   best is one over TCP, for [`tcp_nomination_patience`](crate::Timings::tcp_nomination_patience).
    pub(crate) fn consider_nomination(&mut self, ctx: &Context, now: Instant) {
        if self.may_nominate(ctx)
            && let Some(pair) = self.list.best_valid()
            && (self.is_unbeatable(ctx, pair) || self.nomination_deadline(ctx).is_some_and(|deadline| now >= deadline))
        {
            let id = pair.id;
            self.choose(id);
        }
    }

    /// Nominates this pair with the next datagram.
    pub(crate) fn choose(&mut self, pair: PairId) {
        self.nominations = self.nominations.wrapping_add(1).max(1);
        self.nomination.choice = Some(Choice { pair, sent: false });
    }

    fn may_nominate(&self, ctx: &Context) -> bool {
        ctx.role == Role::Controlling
            && !ctx.lite
            && self.is_running()
            && self.selected.is_none()
            && self.nomination.choice.is_none()
    }

    fn is_unbeatable(&self, ctx: &Context, pair: &Pair) -> bool {
        let remote_kind = self.remotes.get(pair.remote).map(|remote| remote.candidate.kind);
        let direct = pair.mapped.is_none() && remote_kind == Some(CandidateKind::Host);
        let all_known = self.is_signalled_complete() && ctx.gathered;
        !self.list.may_improve_on(pair.valid_priority(ctx.role)) && (direct || all_known)
    }

    /// When the best valid pair is nominated at the latest. It is in the past while the nominating check waits to be
    /// polled.
    pub(crate) fn nomination_deadline(&self, ctx: &Context) -> Option<Instant> {
        let first_valid_at = self.nomination.first_valid_at?;
        if self.nomination.choice.is_some_and(|choice| !choice.sent) {
            return Some(first_valid_at);
        }
        let best = self.list.best_valid().filter(|_| self.may_nominate(ctx))?;
        let patience = match best.path.transport {
            Transport::Udp => ctx.timings().nomination_patience,
            Transport::Tcp => ctx.timings().tcp_nomination_patience,
        };
        Some(first_valid_at + patience)
    }

    /// "[...] it repeats the connectivity check that produced this valid pair [...], this time with the USE-CANDIDATE
    /// attribute" (§8.1.1). It does not wait for Ta: the peer has just answered there.
    pub(crate) fn nominate(&mut self, ctx: &mut Context, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let choice = self.nomination.choice.filter(|choice| !choice.sent)?;
        self.nomination.choice = Some(Choice { sent: true, ..choice });
        let transmit = self.start_check(ctx, now, choice.pair, true, out);
        if transmit.is_none() {
            self.nomination.choice = None;
        }
        transmit
    }

    /// "If the request fails [...], the agent MUST remove the candidate pair from the valid list, set the candidate pair
    /// state to Failed, and set the checklist state to Failed" (§7.2.5.3.4).
    pub(crate) fn fail_nomination(&mut self, pair: PairId) {
        if self.nomination.pair() != Some(pair) {
            return;
        }
        if self.selected.is_some() || self.adrift.is_some() {
            // There was another before, or there may be another yet.
            self.nomination.cancel();
            return self.list.set_state(pair, PairState::Failed);
        }
        self.lose();
    }

    /// All transmissions of the nominating check, or their responses, were lost, on a path where the peer is heard or its consent
    /// is fresh: it is the network that is bad, and not the pair.
    pub(crate) fn nominate_again(&mut self, pair: PairId) {
        if let Some(choice) = self.nomination.choice.as_mut().filter(|choice| choice.pair == pair) {
            choice.sent = false;
        }
    }

    /// True while the peer consents to this pair, or has been heard there of late.
    pub(crate) fn is_alive(&self, ctx: &Context, now: Instant, pair: PairId) -> bool {
        let is_fresh = self.list.get(pair).is_some_and(|pair| self.is_fresh(ctx, now, pair));
        is_fresh || self.is_heard(ctx, now, pair)
    }

    /// True if the peer has been heard of late on this pair.
    pub(crate) fn is_heard(&self, ctx: &Context, now: Instant, pair: PairId) -> bool {
        let alive_at = self.list.get(pair).and_then(|pair| pair.alive_at);
        alive_at.is_some_and(|at| now < at + ctx.timings().disconnected_after)
    }

    /// After a check of a pair has succeeded (§7.2.5.3.4). `nominating` says whether it carried USE-CANDIDATE.
    pub(crate) fn update_nominated_flag(&mut self, ctx: &Context, now: Instant, id: PairId, nominating: bool) {
        let Some(pair) = self.list.get(id) else { return };
        match ctx.role {
            Role::Controlling if nominating => self.select(id),
            Role::Controlled if pair.nominate_on_success => self.accept_nomination(ctx, now, id),
            Role::Controlling | Role::Controlled => {}
        }
    }

    /// USE-CANDIDATE has come on a pair, to a controlled full agent (§7.3.1.5).
    pub(crate) fn handle_use_candidate(&mut self, ctx: &Context, now: Instant, id: PairId) {
        self.list.touch(id, |pair| pair.use_candidate_at = Some(now));
        let Some(pair) = self.list.get(id) else { return };
        let valid = pair.state == PairState::Succeeded;
        if valid && self.is_fresh(ctx, now, pair) {
            return self.accept_nomination(ctx, now, id);
        }
        // "[...] once the check is sent and if it generates a successful response, and generates a valid pair, the agent
        // sets the nominated flag of the pair to true." Should the check fail, the pair has failed and no more: the RFC's
        // failed checklist presumes a peer that nominates one pair only, and aggressive ones nominate them all.
        self.list.touch(id, |pair| pair.nominate_on_success = true);
        if valid {
            self.list.trigger(id);
        }
    }

    /// Consent given long ago does not allow data now (RFC 7675 §5.1): an old valid pair has to be checked again.
    fn is_fresh(&self, ctx: &Context, now: Instant, pair: &Pair) -> bool {
        ctx.lite
            || pair
                .consent_at
                .is_some_and(|at| now < at + ctx.timings().consent_expiry)
    }

    /// "If more than one candidate pair is nominated by the controlling agent [...], the agents MUST produce the selected
    /// pairs and use the pairs with the highest priority" (§8.1.1). Where the peer has moved on, it is followed down, too.
    pub(crate) fn accept_nomination(&mut self, ctx: &Context, now: Instant, id: PairId) {
        let (Some(new), current) = (
            self.list.get(id),
            self.selected.and_then(|current| self.list.get(current)),
        ) else {
            return;
        };
        let wins = current.is_none_or(|current| {
            // The same number on another path: translators have given the peer another address.
            if new.nomination > 0 && current.nomination > 0 {
                return new.nomination >= current.nomination;
            }
            let moved_on = current.use_candidate_at.is_none_or(|at| now >= at + RENOMINATION);
            new.valid_priority(ctx.role) > current.valid_priority(ctx.role) || moved_on || self.consent.is_missed()
        });
        if wins {
            return self.select(id);
        }
        self.list.update(id, |pair| pair.nominated = true);
    }

    /// Nominates the pair between two lite agents: there are no checks, so the best there is (§8.2.2 leaves the choice to
    /// RFC 6724, whose outcome the priorities express).
    pub(crate) fn accept_between_lites(&mut self, ctx: &Context, id: PairId) {
        self.list.set_state(id, PairState::Succeeded);
        let best = self.list.best_valid().map(|pair| pair.id);
        if best == Some(id) && self.selected != best && ctx.lite {
            self.deselect();
            self.select(id);
        }
    }

    fn deselect(&mut self) {
        if let Some(id) = self.selected.take() {
            self.list.update(id, |pair| pair.nominated = false);
        }
    }

    /// Concludes the checklist with this pair (§8.1.2).
    fn select(&mut self, id: PairId) {
        self.list.update(id, |pair| {
            pair.nominated = true;
            pair.nominate_on_success = false;
        });
        if self.selected.replace(id) == Some(id) {
            return;
        }
        self.nomination.cancel();
        self.adrift = None;
        self.settled_at = None;
        for removed in self.list.conclude() {
            self.forget(&removed);
        }
        self.transactions.clear();
    }
}
