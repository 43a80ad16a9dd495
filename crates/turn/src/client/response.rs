//! What the server's responses change (RFC 8489 §9.2.5; RFC 8656 §7.3, §7.4, §8.3, §10.3, §12.3; RFC 6062 §4.3).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerline_stun::attribute::{
    AddressErrorCode, AlternateDomain, AlternateServer, ConnectionId, DontFragment, ErrorCode, Lifetime,
    ReservationToken, UnknownAttributes, XorMappedAddress, XorRelayedAddress,
};
use peerline_stun::{Attribute, AttributeType, Class, Message};
use peerline_wire::{FiveTuple, Transport};

use super::auth::BadChallenge;
use super::transaction::{Attempt, Job, Transaction};
use super::{Allocated, Allocation, Client, CloseReason, Event, Failure, Families, Port, State};

impl Client {
    pub(super) fn on_response(&mut self, now: Instant, five_tuple: FiveTuple, message: &Message<'_>) {
        let found = self.transactions.iter().position(|waiting| {
            waiting.id == message.transaction_id()
                && waiting.attempt.job.method() == message.method()
                && waiting.five_tuple == five_tuple
                && waiting.sent > 0
        });
        let Some(index) = found else {
            self.ctx.stats.unexpected += 1;
            return;
        };
        let code = match message.class() {
            Class::ErrorResponse => message.error().map(|error| error.code),
            Class::SuccessResponse | Class::Request | Class::Indication => None,
        };
        let is_challenge = matches!(code, Some(ErrorCode::UNAUTHENTICATED | ErrorCode::STALE_NONCE));
        if !is_challenge && !self.is_authentic(index, message, code) {
            return self.on_violation(now, index, five_tuple);
        }
        let transaction = self.transactions.swap_remove(index);
        self.ctx.stats.responses_received += 1;
        if is_challenge {
            return self.on_challenge(now, transaction, message);
        }
        // "If the response contains unknown comprehension-required attributes, the client MUST discard the response and
        // immediately consider the transaction as failed." (RFC 8489 §6.3.3, §6.3.4)
        if message.unknown_required(KNOWN).next().is_some() {
            return self.on_failure(now, transaction.attempt.job, Failure::BadResponse, "");
        }
        if message.class() == Class::SuccessResponse {
            self.auth.accepted(transaction.generation);
            return self.on_success(now, transaction.attempt.job, message);
        }
        match code {
            None => self.on_failure(now, transaction.attempt.job, Failure::BadResponse, ""),
            Some(ErrorCode::WRONG_CREDENTIALS)
                if self.back_to_credentials(&transaction, ErrorCode::WRONG_CREDENTIALS) =>
            {
                self.try_again(now, transaction.attempt);
            }
            Some(ErrorCode::UNKNOWN_ATTRIBUTE) if self.drops_dont_fragment(&transaction, message) => {
                self.dont_fragment = false;
                self.try_again(now, transaction.attempt);
            }
            Some(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)
                if transaction.attempt.job == Job::Allocate && self.asks_for_one_family() =>
            {
                self.todo.push_front(Attempt::first(Job::Allocate));
            }
            Some(ErrorCode::TRY_ALTERNATE) if transaction.attempt.job == Job::Allocate => self.on_alternate(message),
            Some(code) => {
                let reason = message.error().map_or("", |error| error.reason);
                // A server that has lost the allocation has lost its nonce as well. coturn then first gives another one, and says
                // 400, not 437, to the request with that; of ours, which were good before, nothing else makes a bad one.
                let is_about_it = !matches!(transaction.attempt.job, Job::Allocate | Job::ConnectionBind(..));
                let is_forgotten = is_about_it && code == ErrorCode::BAD_REQUEST && transaction.attempt.challenges > 0;
                let code = if is_forgotten {
                    ErrorCode::ALLOCATION_MISMATCH
                } else {
                    code
                };
                self.on_failure(now, transaction.attempt.job, Failure::Refused(code), reason);
            }
        }
    }

    /// What answers a request without integrity need not have any: nothing is known yet that could be proved. Nor does what
    /// says that new credentials are not those of the allocation, as coturn does: it can take us back to the earlier ones, no
    /// more, and a forged 401 could as well.
    fn is_authentic(&self, index: usize, message: &Message<'_>, code: Option<ErrorCode>) -> bool {
        let Some(Transaction { signer, generation, .. }) = self.transactions.get(index) else {
            return false;
        };
        signer.as_ref().is_none_or(|signer| signer.accepts(message))
            || code == Some(ErrorCode::WRONG_CREDENTIALS) && self.auth.is_on_trial(*generation)
    }

    fn on_violation(&mut self, now: Instant, index: usize, five_tuple: FiveTuple) {
        self.ctx.stats.unauthenticated += 1;
        // "If the request was sent over a reliable transport, the response MUST be discarded, and the layer MUST immediately
        // end the transaction"; else it MUST be discarded "as if it had never been received" (RFC 8489 §9.2.5).
        if five_tuple.transport == Transport::Tcp {
            let transaction = self.transactions.swap_remove(index);
            self.on_failure(now, transaction.attempt.job, Failure::BadResponse, "");
        } else if let Some(waiting) = self.transactions.get_mut(index) {
            waiting.violated = true;
        }
    }

    /// 401 and 438 (RFC 8489 §9.2.5).
    fn on_challenge(&mut self, now: Instant, transaction: Transaction, message: &Message<'_>) {
        let code = message.error().map_or(ErrorCode::UNAUTHENTICATED, |error| error.code);
        let reason = message.error().map_or("", |error| error.reason);
        let Transaction {
            attempt,
            signer,
            generation,
            ..
        } = &transaction;
        let job = attempt.job.clone();
        let realm_changed = match self.auth.meet(message, self.ctx.limits.max_challenge) {
            Ok(changed) => changed,
            // A server that finally refuses need not give another nonce.
            Err(BadChallenge) if signer.is_some() && code == ErrorCode::UNAUTHENTICATED => false,
            Err(BadChallenge) => return self.on_failure(now, job, Failure::BadResponse, ""),
        };
        if attempt.challenges >= Attempt::MAX_CHALLENGES {
            return self.on_failure(now, job, Failure::Refused(code), reason);
        }
        // "The client MUST NOT perform this retry if it is not changing the USERNAME, USERHASH, REALM, or its associated
        // password from the previous attempt."
        let may_retry = code == ErrorCode::STALE_NONCE
            || signer.is_none()
            || realm_changed
            || *generation != self.auth.generation()
            || self.back_to_credentials(&transaction, code);
        if may_retry {
            self.try_again(now, transaction.attempt);
        } else {
            self.on_failure(now, job, Failure::Refused(code), reason);
        }
    }

    /// The server does not take the latest credentials for this allocation: back to those that it took.
    fn back_to_credentials(&mut self, transaction: &Transaction, code: ErrorCode) -> bool {
        if transaction.generation != self.auth.generation() {
            return transaction.signer.is_some();
        }
        let reverted = self.auth.revert();
        if reverted {
            self.ctx.push(Event::CredentialsRefused(code));
        }
        reverted
    }

    /// "If the client included a DONT-FRAGMENT attribute in the request and the server rejected the request with a 420 [...]
    /// and listed the DONT-FRAGMENT attribute [...] the client [...] MAY choose to retry the Allocate request without"
    /// (RFC 8656 §7.4).
    fn drops_dont_fragment(&self, transaction: &Transaction, message: &Message<'_>) -> bool {
        let Ok(Some(unknown)) = message.get::<UnknownAttributes<'_>>() else {
            return false;
        };
        self.dont_fragment
            && transaction.attempt.job == Job::Allocate
            && unknown.iter().any(|kind| kind == DontFragment::TYPE)
    }

    /// "If the REQUESTED-ADDRESS-FAMILY attribute is absent and the server does not support the IPv4 address family, the server MUST
    /// include [...] 440" (RFC 8656 §7.2): also where both were asked for, so IPv6 alone is next. A server that means IPv6 by it has
    /// IPv4. "[...] the client MUST NOT retry the request" (§7.4): none of these is the same as one before.
    fn asks_for_one_family(&mut self) -> bool {
        let next = match (self.config.families, self.families) {
            (Families::Both, Families::Both) => Families::Ipv6,
            (Families::Both, Families::Ipv6) => Families::Ipv4,
            (Families::Both, Families::Ipv4) | (Families::Ipv4 | Families::Ipv6, _) => return false,
        };
        self.families = next;
        true
    }

    fn try_again(&mut self, now: Instant, attempt: Attempt) {
        let again = Attempt {
            challenges: attempt.challenges + 1,
            job: attempt.job,
        };
        if again.challenges > Attempt::MAX_CHALLENGES {
            return self.on_failure(now, again.job, Failure::BadResponse, "");
        }
        self.todo.push_front(again);
    }

    /// RFC 8489 §10
    fn on_alternate(&mut self, message: &Message<'_>) {
        let servers = || {
            message
                .get_all::<AlternateServer>()
                .flatten()
                .map(|AlternateServer(server)| server)
        };
        let ours = self.config.five_tuple.remote;
        let server = servers()
            .find(|server| server.is_ipv4() == ours.is_ipv4())
            .or_else(|| servers().next());
        let domain = message.get::<AlternateDomain<'_>>().ok().flatten();
        self.finish(match server {
            Some(server) => CloseReason::TryAlternate {
                server,
                domain: domain.map(|AlternateDomain(name)| name.into()),
            },
            None => CloseReason::BadResponse,
        });
    }

    fn on_success(&mut self, now: Instant, job: Job, message: &Message<'_>) {
        match job {
            Job::Allocate => self.on_allocated(now, message),
            Job::Refresh => self.on_refreshed(now, message),
            Job::Delete => self.on_deleted(),
            Job::CreatePermission(peers) => {
                for peer in peers {
                    if self.permissions.installed(peer, now, &self.ctx.timings) {
                        self.ctx.push(Event::PermissionCreated(peer));
                    }
                }
            }
            Job::ChannelBind(peer) => {
                // "It also updates its data structures to record that the corresponding permission has been installed or
                // refreshed." (§12.3) That has a time of its own here; only the first counts, so that data may flow.
                if !self.permissions.is_installed(peer.ip(), now)
                    && self.permissions.installed(peer.ip(), now, &self.ctx.timings)
                {
                    self.ctx.push(Event::PermissionCreated(peer.ip()));
                }
                if self.channels.installed(peer, now, &self.ctx.timings) {
                    self.ctx.push(Event::ChannelBound(peer));
                }
            }
            Job::Connect(peer) => match message.get::<ConnectionId>() {
                Ok(Some(connection)) => self.ctx.push(Event::Connected { connection, peer }),
                Ok(None) | Err(_) => self.on_failure(now, Job::Connect(peer), Failure::BadResponse, ""),
            },
            Job::ConnectionBind(five_tuple, _) => self.ctx.push(Event::ConnectionBound(five_tuple)),
        }
    }

    /// RFC 8656 §7.3
    fn on_allocated(&mut self, now: Instant, message: &Message<'_>) {
        let relayed: Vec<SocketAddr> = message
            .get_all::<XorRelayedAddress>()
            .flatten()
            .map(|XorRelayedAddress(address)| address)
            // coturn tells as much of a family that it has refused before on the same path.
            .filter(|address| !address.ip().is_unspecified() || address.port() != 0)
            .take(3)
            .collect();
        let mapped = message.get::<XorMappedAddress>().ok().flatten();
        let lifetime = message.get::<Lifetime>().ok().flatten().map(lifetime);
        let (Some(XorMappedAddress(mapped)), Some(lifetime)) = (mapped, lifetime) else {
            return self.delete(CloseReason::BadResponse);
        };
        let of_family = |ipv4: bool| relayed.iter().copied().find(|address| address.is_ipv4() == ipv4);
        let (ipv4, ipv6) = (of_family(true), of_family(false));
        // "[...] it MUST check that the mapped address and the relayed transport address or addresses are part of an address
        // family or families that the client [...] is prepared to handle. If [...] not [...] the client MUST delete the
        // allocation".
        let is_wanted = match (self.families, self.config.port) {
            (Families::Both, _) | (_, Port::Reserved(_)) => ipv4.is_some() || ipv6.is_some(),
            (Families::Ipv4, _) => ipv4.is_some() && ipv6.is_none(),
            (Families::Ipv6, _) => ipv6.is_some() && ipv4.is_none(),
        };
        let once_each = relayed.len() == usize::from(ipv4.is_some()) + usize::from(ipv6.is_some());
        if !is_wanted || !once_each || relayed.iter().any(|address| address.port() == 0) {
            return self.delete(CloseReason::BadResponse);
        }
        let missing = message.get::<AddressErrorCode<'_>>().ok().flatten();
        let refused = (self.families != self.config.families).then_some(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
        let token = message.get::<ReservationToken>().ok().flatten();
        self.state = State::Allocated(Allocation {
            ipv4,
            ipv6,
            mapped,
            expires: now + lifetime,
            refresh: Some(now + self.refresh_after(lifetime)),
        });
        self.ctx.push(Event::Allocated(Allocated {
            relayed: ipv4.into_iter().chain(ipv6).collect(),
            mapped,
            lifetime,
            reservation_token: token.map(|ReservationToken(token)| token),
            missing_family: missing.map(|missing| missing.code).or(refused),
            dont_fragment: self.dont_fragment,
        }));
    }

    fn on_refreshed(&mut self, now: Instant, message: &Message<'_>) {
        let lifetime = message
            .get::<Lifetime>()
            .ok()
            .flatten()
            .map_or(DEFAULT_LIFETIME, lifetime);
        let refresh = now + self.refresh_after(lifetime);
        if let State::Allocated(allocation) = &mut self.state {
            allocation.expires = now + lifetime;
            allocation.refresh = Some(refresh);
        }
    }

    fn on_deleted(&mut self) {
        if let State::Closing(reason) = &self.state {
            self.finish(reason.clone());
        }
    }

    fn refresh_after(&self, lifetime: Duration) -> Duration {
        lifetime
            .saturating_sub(self.ctx.timings.refresh_margin)
            .max(lifetime / 2)
    }

    pub(super) fn on_failure(&mut self, now: Instant, job: Job, failure: Failure, reason: &str) {
        let is_lost = failure == Failure::Refused(ErrorCode::ALLOCATION_MISMATCH);
        match job {
            Job::Allocate => self.finish(close_reason(failure, reason)),
            // "If the client receives a 437 (Allocation Mismatch) error response to a request to delete the allocation, then
            // [...] it should consider its request as having effectively succeeded." (§8.3) Nor is there more to do if
            // it was refused or not answered.
            Job::Delete => self.on_deleted(),
            // A connection is bound by another path: what is wrong with it says nothing of the allocation.
            Job::ConnectionBind(five_tuple, _) => self.ctx.push(Event::ConnectionBindRefused { five_tuple, failure }),
            // "A client receiving a 437 error response to a request other than Allocate MUST assume that the allocation no
            // longer exists." (§5)
            Job::Refresh | Job::CreatePermission(_) | Job::ChannelBind(_) | Job::Connect(_) if is_lost => {
                self.finish(CloseReason::Lost);
            }
            Job::Refresh => match (failure, &mut self.state) {
                // Tried until the allocation expires.
                (Failure::TimedOut, State::Allocated(allocation)) => allocation.refresh = Some(now),
                _ => self.finish(close_reason(failure, reason)),
            },
            Job::CreatePermission(peers) if peers.len() > 1 => {
                // One of them will have been the reason.
                peers.into_iter().for_each(|peer| self.permissions.ask_alone(peer, now));
            }
            Job::CreatePermission(peers) => {
                for peer in peers {
                    if failure == Failure::TimedOut && self.permissions.is_installed(peer, now) {
                        self.permissions.ask_alone(peer, now);
                        continue;
                    }
                    if self.permissions.contains(peer) {
                        self.permissions.remove(peer);
                        self.channels.forget(peer);
                        self.ctx.push(Event::PermissionRefused { peer, failure });
                    }
                }
            }
            Job::ChannelBind(peer) => {
                self.channels.refused(peer);
                self.ctx.push(Event::ChannelRefused { peer, failure });
            }
            Job::Connect(peer) => self.ctx.push(Event::ConnectRefused { peer, failure }),
        }
    }
}

fn close_reason(failure: Failure, reason: &str) -> CloseReason {
    match failure {
        Failure::Refused(code) => CloseReason::Refused {
            code,
            reason: reason.into(),
        },
        Failure::TimedOut => CloseReason::TimedOut,
        Failure::BadResponse => CloseReason::BadResponse,
    }
}

fn lifetime(Lifetime(seconds): Lifetime) -> Duration {
    // A day is enough, and keeps times in range; less than a second would be refreshed without end.
    Duration::from_secs(seconds.clamp(1, 24 * 60 * 60).into())
}

/// "The default allocation lifetime value [...] 600 seconds = 10 minutes" (RFC 8656 §3.2), where a server does not say.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

/// The attributes of responses that we understand, of those that must be.
const KNOWN: &[AttributeType] = &[
    AttributeType::MAPPED_ADDRESS,
    AttributeType::USERNAME,
    AttributeType::ERROR_CODE,
    AttributeType::UNKNOWN_ATTRIBUTES,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::PASSWORD_ALGORITHM,
    AttributeType::USERHASH,
    AttributeType::XOR_MAPPED_ADDRESS,
    AttributeType::CHANNEL_NUMBER,
    AttributeType::LIFETIME,
    AttributeType::XOR_PEER_ADDRESS,
    AttributeType::XOR_RELAYED_ADDRESS,
    AttributeType::REQUESTED_ADDRESS_FAMILY,
    AttributeType::REQUESTED_TRANSPORT,
    AttributeType::RESERVATION_TOKEN,
    AttributeType::CONNECTION_ID,
];
