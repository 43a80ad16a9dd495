//! Connectivity checks as a STUN client (RFC 8445 §7.2): requests, their retransmission, and what responses do to pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerline_stun::attribute::{
    ErrorCode, IceControlled, IceControlling, Nomination, Priority, UseCandidate, Username, XorMappedAddress,
};
use peerline_stun::{Class, Message, MessageBuilder, Method, TransactionId};
use peerline_wire::{FiveTuple, Transmit, Transport};

use crate::candidate::{COMPONENT, plain};
use crate::context::Context;
use crate::pair::{PairId, PairState};
use crate::session::{Announced, Learned, RemoteSide, Session};
use crate::{Candidate, CandidateAddress, CandidateKind, Role, Timings};

/// A Binding request that awaits its response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    pub(crate) pair: PairId,
    path: FiveTuple,
    /// What it says; a retransmission says the same.
    says: Says,
    first_sent: Instant,
    transmissions: u32,
    rto: Duration,
    /// When it is to be retransmitted or, once it is cancelled or has been sent often enough, to be given up.
    due: Instant,
    /// "Cancellation means that the agent will not retransmit the Binding requests [...], will not treat the lack of
    /// response to be a failure, but will wait the duration of the transaction timeout for a response" (§7.3.1.4).
    cancelled: bool,
}

/// What a check tells the peer beside credentials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Says {
    pub(crate) role: Role,
    pub(crate) tie_breaker: u64,
    pub(crate) priority: u32,
    pub(crate) use_candidate: bool,
    /// The number of the nomination, for a peer that knows such.
    pub(crate) nomination: Option<u32>,
}

impl Check {
    /// "[...] retransmissions of the STUN connectivity check messages are not needed, since TCP takes care of reliable delivery"
    /// (RFC 6544 §7.1).
    fn is_last(&self, timings: &Timings) -> bool {
        self.cancelled || self.path.transport == Transport::Tcp || self.transmissions >= timings.max_transmissions
    }

    /// "[...] retransmissions continue until a response is received, or until a total of Rc requests have been sent. [...] If,
    /// after the last request, a duration equal to Rm times the RTO has passed without a response", it has failed
    /// (RFC 8489 §6.2.1). The time-out doubles with each transmission.
    fn wait_after_transmission(&self, timings: &Timings) -> Duration {
        if self.path.transport == Transport::Tcp {
            return timings.reliable_timeout;
        }
        if self.is_last(timings) {
            return self.rto * timings.last_wait;
        }
        self.rto * (1 << self.transmissions.saturating_sub(1).min(16))
    }

    /// How long the whole transaction takes: 79 RTO by default.
    fn duration(&self, timings: &Timings) -> Duration {
        if self.path.transport == Transport::Tcp {
            return timings.reliable_timeout;
        }
        let doublings = (1 << timings.max_transmissions.saturating_sub(1).min(16)) - 1;
        self.rto * (timings.last_wait + doublings)
    }
}

/// The checks in progress, by transaction and by time.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    by_id: BTreeMap<TransactionId, Check>,
    by_due: BTreeSet<(Instant, TransactionId)>,
}

impl Transactions {
    /// The most that are kept of one pair: peers may cause a new check with each of theirs.
    const MAX_OF_PAIR: usize = 4;

    /// The same while checks carry a flight: their responses may.
    const MAX_THAT_CARRY: usize = 8;

    pub(crate) fn contains(&self, id: TransactionId) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.by_due.first().map(|&(due, _)| due)
    }

    fn insert(&mut self, id: TransactionId, check: Check, most: usize) {
        let mut of_pair: Vec<_> = self
            .by_id
            .iter()
            .filter(|(_, other)| other.pair == check.pair)
            .map(|(&id, c)| (c.first_sent, id))
            .collect();
        if of_pair.len() >= most {
            of_pair.sort_unstable();
            of_pair.first().map(|&(_, oldest)| self.remove(oldest));
        }
        self.by_due.insert((check.due, id));
        self.by_id.insert(id, check);
    }

    fn remove(&mut self, id: TransactionId) -> Option<Check> {
        let check = self.by_id.remove(&id)?;
        self.by_due.remove(&(check.due, id));
        Some(check)
    }

    fn change(&mut self, id: TransactionId, change: impl FnOnce(&mut Check)) {
        if let Some(mut check) = self.remove(id) {
            change(&mut check);
            self.by_due.insert((check.due, id));
            self.by_id.insert(id, check);
        }
    }

    /// Forgets the checks of a pair that `which` holds for.
    fn forget(&mut self, pair: PairId, which: impl Fn(&Check) -> bool) {
        self.by_id.retain(|_, check| check.pair != pair || !which(check));
        self.by_due.retain(|(_, id)| self.by_id.contains_key(id));
    }

    /// Forgets the checks of a pair.
    pub(crate) fn forget_pair(&mut self, pair: PairId) {
        self.forget(pair, |_| true);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// See [`Check::cancelled`].
    fn cancel(&mut self, pair: PairId, timings: &Timings, which: impl Fn(&Check) -> bool) {
        let of_pair = self
            .by_id
            .iter()
            .filter(|(_, check)| check.pair == pair && !check.cancelled && which(check));
        let ids: Vec<TransactionId> = of_pair.map(|(&id, _)| id).collect();
        for id in ids {
            self.change(id, |check| {
                check.cancelled = true;
                check.due = check.first_sent + check.duration(timings);
            });
        }
    }

    /// The first check that is to be retransmitted by now.
    fn next_retransmission(&self, now: Instant, timings: &Timings) -> Option<TransactionId> {
        let due = self
            .by_due
            .iter()
            .take_while(|&&(due, _)| due <= now)
            .map(|&(_, id)| id);
        due.into_iter()
            .find(|id| self.by_id.get(id).is_some_and(|check| !check.is_last(timings)))
    }

    /// The checks that are to be given up by now.
    fn take_expired(&mut self, now: Instant, timings: &Timings) -> Vec<Check> {
        let due = self
            .by_due
            .iter()
            .take_while(|&&(due, _)| due <= now)
            .map(|&(_, id)| id);
        let expired = |id: &TransactionId| self.by_id.get(id).is_some_and(|check| check.is_last(timings));
        let ids: Vec<TransactionId> = due.filter(expired).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }
}

impl Session {
    /// Sends a check on a pair: the triggered or ordinary check of §6.1.4.2, or the nominating one of §8.1.1.
    pub(crate) fn start_check(
        &mut self,
        ctx: &mut Context,
        now: Instant,
        id: PairId,
        nominate: bool,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let rto = self.rto(ctx);
        let pair = self.list.get(id)?;
        let (path, valid) = (pair.path, pair.state == PairState::Succeeded);
        let says = self.says(ctx, pair.reflexive_priority, nominate);
        let transaction = ctx.transaction_id();
        let embedding = &mut ctx.embedding;
        let len = write_request(self.remote.as_ref()?, says, transaction, out, |message| {
            if let Some(embedding) = embedding {
                embedding.write(message, now, path);
            }
        })?;

        self.list.untrigger(id);
        if !valid {
            self.list.set_state(id, PairState::InProgress);
        }
        self.list.touch(id, |pair| pair.counters.requests_sent += 1);
        let mut check = Check {
            pair: id,
            path,
            says,
            first_sent: now,
            transmissions: 1,
            rto,
            due: now,
            cancelled: false,
        };
        check.due = now + check.wait_after_transmission(ctx.timings());
        let most = match ctx.embedding {
            Some(_) => Transactions::MAX_THAT_CARRY,
            None => Transactions::MAX_OF_PAIR,
        };
        self.transactions.insert(transaction, check, most);
        Some(Transmit {
            five_tuple: path,
            ecn: None,
            len,
        })
    }

    /// What a request says, with this as its PRIORITY.
    pub(crate) fn says(&self, ctx: &Context, priority: u32, nominate: bool) -> Says {
        let use_candidate = nominate && ctx.role == Role::Controlling;
        Says {
            role: ctx.role,
            tie_breaker: ctx.tie_breaker,
            priority,
            use_candidate,
            nomination: Some(self.nominations).filter(|_| use_candidate && ctx.renomination),
        }
    }

    /// Sends the next retransmission that is due.
    pub(crate) fn retransmit(&mut self, ctx: &mut Context, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let timings = &ctx.timings().clone();
        let embedding = &mut ctx.embedding;
        let id = self.transactions.next_retransmission(now, timings)?;
        let &Check { pair, path, says, .. } = self.transactions.by_id.get(&id)?;
        let written = self.remote.as_ref().and_then(|remote| {
            write_request(remote, says, id, out, |message| {
                if let Some(embedding) = embedding {
                    embedding.write(message, now, path);
                }
            })
        });
        self.transactions.change(id, |check| {
            check.transmissions += 1;
            check.due = now + check.wait_after_transmission(timings);
        });
        self.list.touch(pair, |pair| pair.counters.retransmissions_sent += 1);
        Some(Transmit {
            five_tuple: path,
            ecn: None,
            len: written?,
        })
    }

    /// "RTO = MAX (500ms, Ta * N * (Num-Waiting + Num-In-Progress))" (§14.3). N counts checklists here, as in RFC 5245
    /// §16: the aim is that each check is sent once before any is repeated, and with N checks for N the time-out of a
    /// hundred pairs would be minutes. "Agents MAY calculate the RTO value using other mechanisms [...], MUST NOT use an
    /// RTO value smaller than 500 ms."
    fn rto(&self, ctx: &Context) -> Duration {
        let timings = ctx.timings();
        let checks = u32::try_from(self.list.unresolved()).unwrap_or(u32::MAX);
        ctx.ta().saturating_mul(checks).min(timings.max_rto).max(timings.rto)
    }

    /// Gives up the checks whose time is over (§7.2.5.2.3).
    pub(crate) fn expire_checks(&mut self, ctx: &Context, now: Instant) {
        for check in self.transactions.take_expired(now, ctx.timings()) {
            if check.says.use_candidate && self.is_alive(ctx, now, check.pair) {
                self.nominate_again(check.pair);
            } else if !check.cancelled {
                self.fail_check(&check);
            }
        }
    }

    /// Processes a response whose transaction is one of this session's checks (§7.2.5). `None` if it was not authenticated, and
    /// so changed nothing.
    pub(crate) fn handle_response(
        &mut self,
        ctx: &mut Context,
        now: Instant,
        path: FiveTuple,
        response: &Message<'_>,
    ) -> Option<Learned> {
        let remote = self.remote.as_ref()?;
        // "If the response does not contain [MESSAGE-INTEGRITY] or the value [does not match], the response MUST be
        // discarded, as if it had never been received" (RFC 8489 §9.1.4): retransmissions go on.
        response.verify(&remote.key).ok()?;
        // "If the addresses are not symmetric, the agent MUST set the candidate pair state to Failed" (§7.2.5.2.1). It will
        // have failed when no other response comes; at once, anybody who sees a response could fail the pair by repeating
        // it from elsewhere.
        let id = response.transaction_id();
        self.transactions.by_id.get(&id).filter(|check| check.path == path)?;
        let check = self.transactions.remove(id)?;
        if let Some(embedding) = &mut ctx.embedding {
            embedding.take_in(response, path);
        }
        self.list.touch(check.pair, |pair| {
            let counters = &mut pair.counters;
            counters.responses_received += 1;
            // The response to a retransmitted request does not tell to which transmission it belongs.
            if check.transmissions == 1 {
                let round_trip = now.saturating_duration_since(check.first_sent);
                counters.total_round_trip_time += round_trip;
                counters.current_round_trip_time = Some(round_trip);
            }
        });

        match (response.class(), response.error().map(|error| error.code)) {
            (Class::SuccessResponse, _) => match response.get::<XorMappedAddress>() {
                Ok(Some(XorMappedAddress(mapped))) if response.unknown_required(KNOWN).next().is_none() => {
                    self.succeed(ctx, now, &check, mapped);
                }
                _ => self.fail_check(&check),
            },
            (_, Some(ErrorCode::ROLE_CONFLICT)) => self.repair_role(ctx, &check),
            _ => self.fail_check(&check),
        }
        Some(Learned::News)
    }

    /// §7.2.5.3
    fn succeed(&mut self, ctx: &mut Context, now: Instant, check: &Check, mapped: SocketAddr) {
        let Some(pair) = self.list.get(check.pair) else { return };
        let reflexive = self.discover_local(pair.local, check.says.priority, mapped);
        self.list.untrigger(check.pair);
        self.list.update(check.pair, |pair| {
            pair.mapped = reflexive.map(Box::new);
            pair.consent_at = Some(now);
            pair.hear(now);
        });
        self.list.set_state(check.pair, PairState::Succeeded);
        // Other checks of the pair have nothing to add, but for one that nominates, and for what responses may carry.
        let carries = ctx.embedding.is_some();
        if carries {
            let ordinary = |other: &Check| !other.says.use_candidate;
            self.transactions.cancel(check.pair, ctx.timings(), ordinary);
        }
        self.transactions
            .forget(check.pair, |other| match other.says.use_candidate {
                true => check.says.use_candidate,
                false => !carries,
            });
        self.nomination.first_valid_at.get_or_insert(now);
        self.update_nominated_flag(ctx, now, check.pair, check.says.use_candidate);
    }

    /// "If the transport address does not match any of the local candidates that the agent knows about, the mapped address
    /// represents a new candidate: a peer-reflexive candidate" (§7.2.5.3.1). One that a server has revealed is known.
    fn discover_local(&self, base: usize, priority: u32, mapped: SocketAddr) -> Option<Candidate> {
        let base = self.locals.get(base)?;
        let transport = base.candidate.transport;
        if self.find_local(transport, mapped).is_some() {
            return None;
        }
        let revealed = |local: &&Announced| {
            !local.gone
                && local.is_at(transport, base.address)
                && local.candidate.socket_addr().map(plain) == Some(plain(mapped))
        };
        if let Some(known) = self.locals.iter().find(revealed) {
            return Some(known.candidate.clone());
        }
        Some(Candidate {
            foundation: format!("prflx{}", base.foundation),
            component: COMPONENT,
            transport,
            priority,
            address: CandidateAddress::Ip(mapped),
            kind: CandidateKind::PeerReflexive,
            related: Some(base.address),
            tcp_type: base.candidate.tcp_type,
        })
    }

    /// "Once the agent has switched its role, the agent MUST add the candidate pair whose check generated the 487 error
    /// response to the triggered-check queue [...] The agent MUST change the tiebreaker value" (§7.2.5.1).
    fn repair_role(&mut self, ctx: &mut Context, check: &Check) {
        concede_role(ctx, check.says);
        self.sync_role(ctx);
        self.list.trigger(check.pair);
    }

    /// §7.2.5.2
    fn fail_check(&mut self, check: &Check) {
        if check.says.use_candidate {
            return self.fail_nomination(check.pair);
        }
        if self
            .list
            .get(check.pair)
            .is_some_and(|pair| pair.state == PairState::InProgress)
        {
            self.list.set_state(check.pair, PairState::Failed);
            self.transactions.forget_pair(check.pair);
        }
    }

    /// Cancels the checks of an In-Progress pair, for a triggered one to take their place (§7.3.1.4).
    pub(crate) fn cancel_checks(&mut self, ctx: &Context, pair: PairId) {
        self.transactions.cancel(pair, ctx.timings(), |_| true);
    }
}

/// The comprehension-required attributes of ICE and of Binding responses.
pub(crate) const KNOWN: &[peerline_stun::AttributeType] = {
    use peerline_stun::AttributeType as T;
    &[
        T::USERNAME,
        T::PRIORITY,
        T::USE_CANDIDATE,
        T::XOR_MAPPED_ADDRESS,
        T::MAPPED_ADDRESS,
        T::ERROR_CODE,
        T::UNKNOWN_ATTRIBUTES,
    ]
};

/// Switches to the role that a 487 leaves us, unless that has happened since the request was made (§7.2.5.1).
pub(crate) fn concede_role(ctx: &mut Context, said: Says) {
    if ctx.role == said.role {
        ctx.switch_role(said.role.other());
        ctx.tie_breaker = rand::RngExt::random(&mut ctx.rng());
    }
}

/// Appends a check or consent request (§7.2.2, §7.2.4). `None`, and `out` untouched, if its USERNAME would be too long.
/// `add` adds what goes with it.
pub(crate) fn write_request(
    remote: &RemoteSide,
    says: Says,
    id: TransactionId,
    out: &mut Vec<u8>,
    add: impl FnOnce(&mut MessageBuilder<'_>),
) -> Option<usize> {
    let mut message = MessageBuilder::request(out, Method::BINDING, id);
    message
        .attribute(Username(&remote.username))
        .attribute(Priority(says.priority));
    match says.role {
        Role::Controlling => message.attribute(IceControlling(says.tie_breaker)),
        Role::Controlled => message.attribute(IceControlled(says.tie_breaker)),
    };
    if says.use_candidate {
        message.attribute(UseCandidate);
    }
    if let Some(nomination) = says.nomination {
        message.attribute(Nomination(nomination));
    }
    add(&mut message);
    message.integrity(&remote.key).fingerprint().finish()
}
