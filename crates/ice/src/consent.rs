//! Consent freshness (RFC 7675): whether the peer still wants what we send, asked on the pair that carries data.

use std::ops::Range;
use std::time::Instant;

use rand::RngExt;
use rand::rngs::StdRng;

use peerline_stun::attribute::ErrorCode;
use peerline_stun::{Class, Message, TransactionId};
use peerline_wire::{FiveTuple, Transmit};

use crate::Timings;
use crate::check::{Says, concede_role, write_request};
use crate::context::Context;
use crate::pair::{Pair, PairId, PairState};
use crate::session::{Learned, Session};

/// The consent checks of the pair that carries data.
#[derive(Debug, Default)]
pub(crate) struct Consent {
    pair: Option<PairId>,
    /// When to ask next. It counts from the moment the last request left.
    next: Option<Instant>,
    /// When to ask at the earliest: the shortest interval that could have been drawn.
    earliest: Option<Instant>,
    /// The last request, until its response has come.
    asked: Option<Asked>,
    /// Earlier requests without a response yet, oldest first: few peers leave any. "All outstanding STUN consent transactions for a
    /// candidate pair MUST be discarded when consent expires" (§5.1).
    unanswered: Vec<Asked>,
    /// True while the peer has not been heard for [`disconnected_after`](crate::Timings::disconnected_after).
    missed: bool,
    /// The path is doubted: the peer is asked out of turn.
    doubt: Option<Doubt>,
}

/// Whether the path still works, as long as there is no answer.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// Since when nothing has been heard that would dispel it.
    since: Instant,
    /// When the first question left, and how many have.
    asked: Option<(Instant, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    id: TransactionId,
    at: Instant,
    path: FiveTuple,
    says: Says,
}

/// How often the peer is asked in the time that an answer may take.
const QUESTIONS: u32 = 3;

impl Consent {
    /// Requests are a second apart or more, but for the first of a doubt, and useless after 30 s.
    const MAX_UNANSWERED: usize = 31;

    /// "To prevent synchronization of consent checks, each interval MUST be randomized from between 0.8 and 1.2 times the basic
    /// period" (§5.1). What is drawn is the later half: the peer's check, whose time it has drawn itself, takes ours along from the
    /// beginning of the earlier one on ([`ask_along`](Session::ask_along)).
    fn wait(&mut self, timings: &Timings, rng: &mut StdRng, now: Instant) {
        const EARLIEST: f64 = 0.8;
        const DRAWN: Range<f64> = 1.0..1.2;
        let after = |share| now + timings.consent_interval.mul_f64(share);
        self.earliest = Some(after(EARLIEST));
        self.next = Some(after(rng.random_range(DRAWN)));
    }

    pub(crate) fn contains(&self, id: TransactionId) -> bool {
        self.find(id).is_some()
    }

    fn remember(&mut self, asked: Asked) {
        if let Some(before) = self.asked.replace(asked) {
            if self.unanswered.len() >= Self::MAX_UNANSWERED {
                self.unanswered.remove(0);
            }
            self.unanswered.push(before);
        }
    }

    /// Its response has come.
    fn forget(&mut self, id: TransactionId) {
        self.asked.take_if(|asked| asked.id == id);
        if !self.unanswered.is_empty() {
            self.unanswered.retain(|asked| asked.id != id);
            self.unanswered.shrink_to_fit();
        }
    }

    fn find(&self, id: TransactionId) -> Option<Asked> {
        self.asked
            .iter()
            .chain(&self.unanswered)
            .find(|asked| asked.id == id)
            .copied()
    }

    /// True while the peer is silent.
    pub(crate) fn is_missed(&self) -> bool {
        self.missed
    }

    /// True while the peer is asked out of turn.
    pub(crate) fn is_asking(&self) -> bool {
        self.doubt.is_some()
    }
}

impl Session {
    /// Keeps the consent of the pair that carries data, and knows whether its peer is silent.
    pub(crate) fn follow_consent(&mut self, ctx: &mut Context, now: Instant) {
        let pair = self.sending().map(|pair| pair.id);
        if self.consent.pair != pair {
            self.consent = Consent {
                pair,
                ..Consent::default()
            };
            // A lite agent sends no checks: those of the peer are its consent.
            if pair.is_some() && !ctx.lite {
                let mut rng = ctx.rng();
                self.consent.wait(ctx.timings(), &mut rng, now);
                // It takes the place of one that is gone: perhaps it does not work either, and the peer, which may have nothing to
                // answer, is to learn of it.
                if self.adrift.is_some() {
                    self.doubt(ctx, now);
                }
            }
        }
        let alive_at = self.heard_at();
        self.consent.missed = alive_at.is_some_and(|at| now >= at + ctx.timings().disconnected_after);
        if let Some(doubt) = self.consent.doubt
            && alive_at.is_some_and(|at| at > doubt.since)
        {
            self.consent.doubt = None;
            let mut rng = ctx.rng();
            self.consent.wait(ctx.timings(), &mut rng, now);
        }
    }

    /// Asks the peer at once whether the path in use still works; false, and nothing changed, if that is being done.
    pub(crate) fn doubt(&mut self, ctx: &Context, now: Instant) -> bool {
        if ctx.lite || self.consent.doubt.is_some() || self.consent.pair.is_none() {
            return false;
        }
        self.consent.doubt = Some(Doubt {
            // What is heard from now on dispels it.
            since: self.heard_at().map_or(now, |at| at.min(now)),
            asked: None,
        });
        self.consent.next = Some(now);
        true
    }

    /// When the peer was last heard: on the pair that carries data, or on the one that is gone, whose place it has just taken.
    fn heard_at(&self) -> Option<Instant> {
        let alive_at = self.sending().and_then(|pair| pair.alive_at);
        alive_at.max(self.adrift.map(|adrift| adrift.heard_at))
    }

    /// From when on the path in use counts as one that does not work.
    pub(crate) fn doubted_from(&self, ctx: &Context) -> Option<Instant> {
        let pair = self.sending()?;
        let asked = self.consent.doubt.and_then(|doubt| doubt.asked);
        let round_trip = pair.counters.current_round_trip_time.unwrap_or_default();
        let patience = ctx.timings().doubt_patience + round_trip.min(ctx.timings().rto) * 3 / 2;
        let silent = pair.alive_at.map(|at| at + ctx.timings().disconnected_after);
        asked.map(|(at, _)| at + patience).into_iter().chain(silent).min()
    }

    pub(crate) fn consent_deadline(&self, ctx: &Context) -> Option<Instant> {
        let Some(pair) = self.sending() else {
            let silence = self.adrift.filter(|_| !self.consent.missed);
            return silence.map(|adrift| adrift.heard_at + ctx.timings().disconnected_after);
        };
        let expiry = pair.consent_at.map(|at| at + ctx.timings().consent_expiry);
        let silence = self
            .heard_at()
            .filter(|_| !self.consent.missed)
            .map(|at| at + ctx.timings().disconnected_after);
        [self.consent.next, expiry, silence, self.end_of_flow(ctx)]
            .into_iter()
            .flatten()
            .min()
    }

    /// "Each STUN binding request for consent MUST use a new STUN transaction identifier" and "is transmitted once only"
    /// (§5.1).
    pub(crate) fn ask_for_consent(&mut self, ctx: &mut Context, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.consent.next.filter(|&at| now >= at)?;
        let mut rng = ctx.rng();
        match &mut self.consent.doubt {
            None => self.consent.wait(ctx.timings(), &mut rng, now),
            Some(doubt) => {
                let (_, times) = doubt.asked.get_or_insert((now, 0));
                *times += 1;
                let wait = if *times < QUESTIONS {
                    ctx.timings().doubt_patience / QUESTIONS
                } else {
                    ctx.timings().search_interval
                };
                self.consent.next = Some(now + wait);
            }
        }
        let pair = self.list.get(self.consent.pair?)?;
        let (id, path, priority) = (pair.id, pair.path, pair.reflexive_priority);
        // A translator may have given us another address, and the peer not know yet that we use that one.
        let nominate = self.consent.is_asking() && self.selected == Some(id);
        let says = self.says(ctx, priority, nominate);
        // Whatever handshake there was is over by now.
        ctx.embedding.take_if(|embedding| embedding.ended);
        let transaction = TransactionId(rng.random());
        let len = write_request(self.remote.as_ref()?, says, transaction, out, |_| {})?;
        self.consent.remember(Asked {
            id: transaction,
            at: now,
            path,
            says,
        });
        self.list.touch(id, |pair| pair.counters.consent_requests_sent += 1);
        Some(Transmit {
            five_tuple: path,
            ecn: None,
            len,
        })
    }

    /// The peer asks on this pair. If we may ask by now, we do, too: one datagram takes along the other, and neither side has to look
    /// at the connection again for ours. The interval stays one of those that may be drawn (§5.1), and is as random as the peer's.
    pub(crate) fn ask_along(&mut self, now: Instant, id: PairId) {
        let may_ask = self.consent.doubt.is_none() && self.consent.earliest.is_some_and(|at| now >= at);
        if may_ask && self.consent.pair == Some(id) {
            self.consent.next = Some(now);
        }
    }

    /// Processes a response whose transaction is one of the consent checks. `None` if it was not authenticated.
    pub(crate) fn handle_consent_response(
        &mut self,
        ctx: &mut Context,
        now: Instant,
        path: FiveTuple,
        response: &Message<'_>,
    ) -> Option<Learned> {
        let remote = self.remote.as_ref()?;
        let transaction = response.transaction_id();
        // "[...] a matching, authenticated, non-error STUN binding response from the remote peer's transport address."
        let asked = self.consent.find(transaction).filter(|asked| asked.path == path)?;
        response.verify(&remote.key).ok()?;
        self.consent.forget(transaction);
        let Some(id) = self.consent.pair else {
            return Some(Learned::Nothing);
        };
        let round_trip = now.saturating_duration_since(asked.at);
        self.list.touch(id, |pair| {
            pair.hear(now);
            pair.counters.responses_received += 1;
            pair.counters.total_round_trip_time += round_trip;
            pair.counters.current_round_trip_time = Some(round_trip);
        });
        if response.class() == Class::SuccessResponse {
            self.list.touch(id, |pair| pair.consent_at = Some(now));
            return Some(self.learned_by_hearing(id));
        }
        match response.error().map(|error| error.code) {
            Some(ErrorCode::ROLE_CONFLICT) => {
                concede_role(ctx, asked.says);
                self.sync_role(ctx);
            }
            // "Consent [...] is immediately revoked by [...] receipt of a valid and authenticated STUN response with error
            // code Forbidden (403)" (§5.2).
            Some(ErrorCode::FORBIDDEN) => self.lose_consent(id),
            _ => {}
        }
        Some(Learned::News)
    }

    /// What it teaches that the peer has just been heard on this pair: nothing while that is the pair in use, and neither silent nor
    /// doubted. Deadlines move; whoever has been told of earlier ones finds nothing to do then.
    pub(crate) fn learned_by_hearing(&self, id: PairId) -> Learned {
        let is_at_rest = self.selected == Some(id)
            && self.consent.pair == Some(id)
            && self.settled_at.is_some()
            && self.search_at.is_none()
            && !self.consent.is_missed()
            && !self.consent.is_asking();
        if is_at_rest { Learned::Nothing } else { Learned::News }
    }

    /// "Consent expires after 30 seconds" (§5.1).
    pub(crate) fn expire_consent(&mut self, ctx: &Context, now: Instant) {
        let expired = |pair: &&Pair| {
            pair.consent_at
                .is_some_and(|at| now >= at + ctx.timings().consent_expiry)
        };
        while let Some(id) = self.sending().filter(expired).map(|pair| pair.id) {
            self.lose_consent(id);
        }
    }

    /// "After consent is lost, the same ICE credentials MUST NOT be used on the affected 5-tuple again" (§5.1): for the
    /// selected pair this is the end of the session, else another valid pair may go on.
    fn lose_consent(&mut self, id: PairId) {
        if self.selected == Some(id) || self.nomination.pair() == Some(id) {
            return self.lose();
        }
        self.list.untrigger(id);
        self.list.set_state(id, PairState::Failed);
        self.transactions.forget_pair(id);
        if self.list.best_valid().is_none() && self.list.unresolved() == 0 {
            self.lose();
        }
    }
}
