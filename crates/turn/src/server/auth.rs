//! Who asks (RFC 8489 §9.2.4), and how they are answered.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use peerline_stun::attribute::{
    AlternateDomain, AlternateServer, ErrorAttribute, ErrorCode, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm,
    Software, Username,
};
use peerline_stun::{Algorithm, AttributeType, Class, Integrity, Key, Message, MessageBuilder};
use peerline_wire::{FiveTuple, Transport};

use super::allocation::Identity;
use super::event::{Log, RefusalReason};
use super::{KNOWN, Server};

/// The algorithms for keys that we offer, the one we prefer first.
const ALGORITHMS: [PasswordAlgorithm<'static>; 2] = [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5];

/// A request is not authentic.
enum Stranger {
    /// 401 or 438, with what is needed to do better.
    Challenge(ErrorCode),
    /// 400.
    BadRequest,
    /// 401, since the credentials are wrong.
    WrongCredentials,
}

/// Why an authentic request is refused.
pub(super) struct Refused {
    pub(super) code: ErrorCode,
    pub(super) reason: RefusalReason,
}

impl Refused {
    pub(super) const BAD_REQUEST: Self = Self::new(ErrorCode::BAD_REQUEST, RefusalReason::Malformed);
    pub(super) const MISMATCH: Self = Self::new(ErrorCode::ALLOCATION_MISMATCH, RefusalReason::Malformed);
    pub(super) const FULL: Self = Self::new(ErrorCode::INSUFFICIENT_CAPACITY, RefusalReason::Full);

    pub(super) const fn new(code: ErrorCode, reason: RefusalReason) -> Self {
        Self { code, reason }
    }

    pub(super) const fn malformed(code: ErrorCode) -> Self {
        Self::new(code, RefusalReason::Malformed)
    }
}

impl Server {
    /// Who sent this request; if nobody we know, they are answered here.
    pub(super) fn authenticate(&mut self, now: Instant, client: FiveTuple, request: &Message<'_>) -> Option<Identity> {
        match self.identify(now, &client, request) {
            Ok(identity) => {
                if let Some(strangers) = &mut self.strangers {
                    strangers.forgive(now, client.remote.ip());
                }
                self.stats.requests += 1;
                Some(identity)
            }
            Err(stranger) => {
                self.answer_stranger(now, client, request, &stranger);
                None
            }
        }
    }

    /// "[...] it performs the checks listed below in the order specified" (RFC 8489 §9.2.4).
    fn identify(&mut self, now: Instant, client: &FiveTuple, request: &Message<'_>) -> Result<Identity, Stranger> {
        let is_protected = request.contains(AttributeType::MESSAGE_INTEGRITY)
            || request.contains(AttributeType::MESSAGE_INTEGRITY_SHA256);
        if !is_protected {
            return Err(Stranger::Challenge(ErrorCode::UNAUTHENTICATED));
        }
        let (Ok(Some(Realm(realm))), Ok(Some(Nonce(nonce)))) = (request.get::<Realm<'_>>(), request.get::<Nonce<'_>>())
        else {
            return Err(Stranger::BadRequest);
        };
        let Ok(Some(Username(username))) = request.get::<Username<'_>>() else {
            // We do not offer USERHASH.
            return Err(match request.contains(AttributeType::USERHASH) {
                true => Stranger::Challenge(ErrorCode::UNAUTHENTICATED),
                false => Stranger::BadRequest,
            });
        };
        let algorithm = self.algorithm_of(request)?;
        if realm != self.config.realm {
            return Err(Stranger::Challenge(ErrorCode::UNAUTHENTICATED));
        }
        let identity = self.verified(now, client, request, username, algorithm)?;
        // A client binds a connection with what it has from its control connection (RFC 6062 §4.3), which coturn's takes to mean
        // the nonce too.
        let control = || {
            self.allocations
                .get(self.slot_of_connection(request)?)
                .map(|found| found.client)
        };
        if !self.nonces.is_valid(now, client, nonce)
            && !control().is_some_and(|control| self.nonces.is_valid(now, &control, nonce))
        {
            return Err(Stranger::Challenge(ErrorCode::STALE_NONCE));
        }
        Ok(identity)
    }

    /// "If the request contains neither the PASSWORD-ALGORITHMS nor the PASSWORD-ALGORITHM algorithm, then the request is
    /// processed as though PASSWORD-ALGORITHM were MD5", else both must be there, and be what we offered.
    fn algorithm_of(&self, request: &Message<'_>) -> Result<Option<Algorithm>, Stranger> {
        let kinds = [AttributeType::PASSWORD_ALGORITHMS, AttributeType::PASSWORD_ALGORITHM];
        if !self.config.sha256 || !kinds.iter().any(|&kind| request.contains(kind)) {
            return Ok(None);
        }
        match (
            request.get::<PasswordAlgorithms<'_>>(),
            request.get::<PasswordAlgorithm<'_>>(),
        ) {
            (Ok(Some(list)), Ok(Some(chosen)))
                if list == PasswordAlgorithms::new(&ALGORITHMS) && ALGORITHMS.contains(&chosen) =>
            {
                Ok(Some(chosen.algorithm))
            }
            _ => Err(Stranger::BadRequest),
        }
    }

    /// The name and the integrity. The credentials of an allocation are kept with it: a name whose time is over goes on.
    fn verified(
        &mut self,
        now: Instant,
        client: &FiveTuple,
        request: &Message<'_>,
        username: &str,
        algorithm: Option<Algorithm>,
    ) -> Result<Identity, Stranger> {
        let key_algorithm = algorithm.unwrap_or(Algorithm::MD5);
        // "Any response generated by the server MUST include the MESSAGE-INTEGRITY-SHA256 attribute [...] unless the request
        // was processed as though PASSWORD-ALGORITHM was MD5".
        let answer_with = |found| if algorithm.is_some() { Integrity::Sha256 } else { found };
        let slot = self
            .by_client
            .get(client)
            .copied()
            .or_else(|| self.slot_of_connection(request));
        let known = slot.and_then(|slot| self.allocations.get(slot));
        if let Some(known) = known.map(|allocation| &allocation.identity)
            && known.username == username
            && known.algorithm == key_algorithm
            && let Ok(found) = request.verify(&known.key)
        {
            return Ok(Identity {
                integrity: answer_with(found),
                ..known.clone()
            });
        }
        let mut right = None;
        let wall_clock = self.wall_clock(now);
        let realm = &self.config.realm;
        let user = self.users.identify(username, wall_clock, &mut |password| {
            let Some(key) = Key::long_term(key_algorithm, username, realm, password) else {
                return false;
            };
            right = request.verify(&key).ok().map(|found| (key, found));
            right.is_some()
        });
        let (Some(user), Some((key, found))) = (user, right) else {
            return Err(Stranger::WrongCredentials);
        };
        Ok(Identity {
            user,
            username: username.to_owned(),
            algorithm: key_algorithm,
            key,
            integrity: answer_with(found),
        })
    }

    fn wall_clock(&self, now: Instant) -> SystemTime {
        let (instant, time) = self.config.wall_clock;
        match now.checked_duration_since(instant) {
            Some(after) => time.checked_add(after),
            None => time.checked_sub(instant - now),
        }
        .unwrap_or(time)
    }

    /// Over UDP the address may be forged. So who proves nothing is told as little as it takes: no SOFTWARE, the phrase if it
    /// fits into what the request was long, and no more in a while than [`Strangers`](super::Strangers) say.
    fn answer_stranger(&mut self, now: Instant, client: FiveTuple, request: &Message<'_>, stranger: &Stranger) {
        let code = match stranger {
            Stranger::Challenge(code) => *code,
            Stranger::BadRequest => ErrorCode::BAD_REQUEST,
            Stranger::WrongCredentials => ErrorCode::UNAUTHENTICATED,
        };
        match stranger {
            Stranger::Challenge(_) => self.stats.challenges += 1,
            Stranger::BadRequest => self.stats.malformed += 1,
            Stranger::WrongCredentials => {
                self.stats.wrong_credentials += 1;
                let reason = RefusalReason::WrongCredentials;
                self.log(Log::Refused {
                    client,
                    user: None,
                    code,
                    reason,
                });
            }
        }
        let nonce = self.nonces.issue(now, &client);
        let (realm, offers_sha256) = (self.config.realm.as_str(), self.config.sha256);
        let write = |out: &mut Vec<u8>, reason| {
            let mut response =
                MessageBuilder::new(out, Class::ErrorResponse, request.method(), request.transaction_id());
            response.attribute(ErrorAttribute { code, reason });
            if code != ErrorCode::BAD_REQUEST {
                response.attribute(Realm(realm)).attribute(Nonce(&nonce));
                if offers_sha256 {
                    response.attribute(PasswordAlgorithms::new(&ALGORITHMS));
                }
            }
            if request.contains(AttributeType::FINGERPRINT) {
                response.fingerprint();
            }
        };
        let mut bytes = Vec::with_capacity(256);
        write(&mut bytes, code.reason());
        if bytes.len() > request.bytes().len() && client.transport == Transport::Udp {
            bytes.clear();
            write(&mut bytes, "");
        }
        self.send_to_stranger(now, client, request, &bytes);
    }

    /// Sends a response that goes to whoever the source address belongs to.
    pub(super) fn send_to_stranger(&mut self, now: Instant, client: FiveTuple, request: &Message<'_>, response: &[u8]) {
        let excess = response.len().saturating_sub(request.bytes().len());
        let may = match (&mut self.strangers, client.transport) {
            (Some(strangers), Transport::Udp) => strangers.take(now, client.remote.ip(), excess),
            // The handshake of TCP has proved the address.
            (Some(_) | None, _) => true,
        };
        if !may {
            self.stats.withheld += 1;
        } else if self.has_room_for_response() {
            self.outbox.respond(client, |out| out.extend_from_slice(response));
        }
    }

    pub(super) fn has_room_for_response(&mut self) -> bool {
        let has_room = self.outbox.waiting_for_clients() < self.config.limits.max_queued;
        self.stats.overflowed += u64::from(!has_room);
        has_room
    }

    /// The success response to an authentic request, with what `fill` adds.
    pub(super) fn succeed(
        &mut self,
        client: FiveTuple,
        identity: &Identity,
        request: &Request,
        fill: impl FnOnce(&mut MessageBuilder<'_>),
    ) {
        if !self.has_room_for_response() {
            return;
        }
        let software = self.config.software.as_deref();
        self.outbox.respond(client, |out| {
            let mut response = MessageBuilder::new(out, Class::SuccessResponse, request.method, request.transaction_id);
            fill(&mut response);
            seal(&mut response, software, identity);
        });
    }

    /// The error response to an authentic request.
    pub(super) fn refuse(
        &mut self,
        client: FiveTuple,
        identity: &Identity,
        request: &Request,
        Refused { code, reason }: Refused,
    ) {
        self.stats.refused += 1;
        self.stats.peers_refused += u64::from(matches!(reason, RefusalReason::Peer(..)));
        self.log(Log::Refused {
            client,
            user: Some(identity.user.clone()),
            code,
            reason,
        });
        if !self.has_room_for_response() {
            return;
        }
        let software = self.config.software.as_deref();
        let redirect = self.config.redirect.as_ref();
        let redirect = redirect.filter(|_| code == ErrorCode::TRY_ALTERNATE);
        self.outbox.respond(client, |out| {
            let mut response = MessageBuilder::new(out, Class::ErrorResponse, request.method, request.transaction_id);
            response.attribute(ErrorAttribute::new(code));
            if let Some(redirect) = redirect {
                let same_family = |to: &&SocketAddr| to.is_ipv4() == client.remote.is_ipv4();
                for &to in redirect.to.iter().filter(same_family) {
                    response.attribute(AlternateServer(to));
                }
                if let Some(domain) = &redirect.domain {
                    response.attribute(AlternateDomain(domain));
                }
            }
            seal(&mut response, software, identity);
        });
    }

    /// 420 (RFC 8489 §6.3.1).
    pub(super) fn refuse_unknown(
        &mut self,
        client: FiveTuple,
        identity: &Identity,
        message: &Message<'_>,
        known: &[AttributeType],
    ) {
        self.stats.refused += 1;
        if !self.has_room_for_response() {
            return;
        }
        let software = self.config.software.as_deref();
        self.outbox.respond(client, |out| {
            let mut response = MessageBuilder::unknown_attributes(out, message, known);
            seal(&mut response, software, identity);
        });
    }

    /// The attributes that we understand; DONT-FRAGMENT, the last of them, only if the driver can.
    pub(super) fn known(&self) -> &'static [AttributeType] {
        match self.config.dont_fragment {
            true => KNOWN,
            false => &KNOWN[..KNOWN.len() - 1],
        }
    }
}

/// What a response needs of its request.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) method: peerline_stun::Method,
    pub(super) transaction_id: peerline_stun::TransactionId,
}

impl Request {
    pub(super) fn of(message: &Message<'_>) -> Self {
        Self {
            method: message.method(),
            transaction_id: message.transaction_id(),
        }
    }
}

fn seal(response: &mut MessageBuilder<'_>, software: Option<&str>, identity: &Identity) {
    if let Some(software) = software {
        response.attribute(Software(software));
    }
    response.integrity_as(identity.integrity, &identity.key).fingerprint();
}
