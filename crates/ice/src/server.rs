//! Connectivity checks as a STUN server (RFC 8445 §7.3): who is answered, and what a check of the peer teaches.

use std::collections::VecDeque;
use std::time::Instant;

use peerline_stun::attribute::{
    ErrorAttribute, ErrorCode, IceControlled, IceControlling, Nomination, Priority, UseCandidate, Username,
    XorMappedAddress,
};
use peerline_stun::{Attribute, Class, Integrity, Key, Message, MessageBuilder, Method, TransactionId};
use peerline_wire::{FiveTuple, Transmit};

use crate::check::KNOWN;
use crate::context::Context;
use crate::pair::PairState;
use crate::session::{Learned, RemoteSide, Session};
use crate::{Role, TcpType};

/// What an authenticated check says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerCheck {
    priority: u32,
    use_candidate: bool,
    /// The number of the nomination; 0 for none.
    nomination: u32,
}

/// A check that came before the remote credentials were known.
#[derive(Clone, Debug)]
pub(crate) struct EarlyCheck {
    pub(crate) path: FiveTuple,
    pub(crate) check: PeerCheck,
    /// The sender's username fragment, after the colon.
    pub(crate) ufrag: String,
}

/// Responses waiting to be polled.
#[derive(Debug, Default)]
pub(crate) struct Responses {
    queue: VecDeque<(FiveTuple, Response)>,
}

/// A response, or what it takes to write one at the last moment: the request may have brought something to be answered with it.
#[derive(Debug)]
enum Response {
    Written(Vec<u8>),
    Success {
        id: TransactionId,
        integrity: Integrity,
        key: Box<Key>,
    },
}

impl Responses {
    fn is_full(&self, ctx: &Context) -> bool {
        self.queue.len() >= ctx.limits().max_responses
    }

    fn push(&mut self, path: FiveTuple, write: impl FnOnce(&mut Vec<u8>)) {
        /// As long as most are: header, XOR-MAPPED-ADDRESS for IPv6, MESSAGE-INTEGRITY, FINGERPRINT.
        const LEN: usize = 20 + 24 + 24 + 8;
        let mut bytes = Vec::with_capacity(LEN);
        write(&mut bytes);
        self.enqueue(path, Response::Written(bytes));
    }

    fn enqueue(&mut self, path: FiveTuple, response: Response) {
        // Mostly it is one.
        if self.queue.is_empty() {
            self.queue.reserve_exact(1);
        }
        self.queue.push_back((path, response));
    }

    fn push_success(&mut self, ctx: &Context, path: FiveTuple, request: &Message<'_>, integrity: Integrity, key: &Key) {
        if ctx.embedding.is_some() {
            let (id, key) = (request.transaction_id(), Box::new(key.clone()));
            return self.enqueue(path, Response::Success { id, integrity, key });
        }
        self.push(path, |out| {
            MessageBuilder::success(out, request)
                .attribute(XorMappedAddress(path.remote))
                .integrity_as(integrity, key)
                .fingerprint();
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn pop(&mut self, ctx: &mut Context, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let (five_tuple, response) = self.queue.pop_front()?;
        // Mostly there is nothing to answer, and nothing is kept for it.
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        let start = out.len();
        match response {
            Response::Written(bytes) => out.extend_from_slice(&bytes),
            Response::Success { id, integrity, key } => {
                let mut message = MessageBuilder::new(out, Class::SuccessResponse, Method::BINDING, id);
                message.attribute(XorMappedAddress(five_tuple.remote));
                if let Some(embedding) = &mut ctx.embedding {
                    embedding.write(&mut message, now, five_tuple);
                }
                message.integrity_as(integrity, &key).fingerprint();
            }
        }
        Some(Transmit {
            five_tuple,
            ecn: None,
            len: out.len() - start,
        })
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A refusal of a request that proved nothing. It may go to a forged address, so it is never longer than what came: no
/// reason phrase, and nothing at all if the request was shorter still.
fn refuse_stranger(
    ctx: &mut Context,
    responses: &mut Responses,
    path: FiveTuple,
    request: &Message<'_>,
    code: ErrorCode,
) -> Learned {
    /// Header, ERROR-CODE without phrase, FINGERPRINT.
    const LEN: usize = 20 + 8 + 8;
    ctx.drops.unauthenticated_requests += 1;
    if request.bytes().len() >= LEN {
        responses.push(path, |out| {
            MessageBuilder::new(out, Class::ErrorResponse, Method::BINDING, request.transaction_id())
                .attribute(ErrorAttribute { code, reason: "" })
                .fingerprint();
        });
    }
    Learned::Nothing
}

/// Answers a Binding request, and hands what it teaches to its session: that whose username fragment it names.
pub(crate) fn handle_request<'s>(
    ctx: &mut Context,
    responses: &mut Responses,
    sessions: impl IntoIterator<Item = &'s mut Session>,
    now: Instant,
    path: FiveTuple,
    request: &Message<'_>,
) -> Learned {
    if responses.is_full(ctx) {
        ctx.drops.unanswered_requests += 1;
        return Learned::Nothing;
    }
    // "If the message does not contain both a MESSAGE-INTEGRITY [...] and a USERNAME attribute [...] the server MUST reject
    // the request with an error response [400]" (RFC 8489 §9.1.3).
    let Ok(Some(Username(username))) = request.get::<Username<'_>>() else {
        return refuse_stranger(ctx, responses, path, request, ErrorCode::BAD_REQUEST);
    };
    // "[...] the username to be valid if it consists of two values separated by a colon, where the first value is equal to
    // the username fragment generated by the agent" (RFC 8445 §7.3); else "the server MUST reject the request with [401]".
    let Some((ours, theirs)) = username.split_once(':') else {
        return refuse_stranger(ctx, responses, path, request, ErrorCode::UNAUTHENTICATED);
    };
    let Some(session) = sessions.into_iter().find(|session| session.credentials.ufrag == ours) else {
        return refuse_stranger(ctx, responses, path, request, ErrorCode::UNAUTHENTICATED);
    };
    let integrity = match request.verify(&session.key) {
        Ok(integrity) => integrity,
        Err(peerline_stun::IntegrityError::Missing) => {
            return refuse_stranger(ctx, responses, path, request, ErrorCode::BAD_REQUEST);
        }
        Err(_) => return refuse_stranger(ctx, responses, path, request, ErrorCode::UNAUTHENTICATED),
    };

    // From here on it is the peer.
    let role = ctx.role;
    match accept(ctx, request) {
        Ok(check) => {
            // Of another fork, nothing is taken.
            let is_known = |remote: &RemoteSide| remote.credentials.ufrag == theirs;
            if let Some(embedding) = &mut ctx.embedding
                && session.remote.as_ref().is_none_or(is_known)
            {
                embedding.take_in(request, path);
            }
            responses.push_success(ctx, path, request, integrity, &session.key);
            match session.handle_check(ctx, now, path, check, theirs) {
                Learned::Nothing if ctx.role == role => Learned::Nothing,
                _ => Learned::News,
            }
        }
        Err(code) => {
            ctx.drops.refused_requests += u64::from(code != ErrorCode::ROLE_CONFLICT);
            responses.push(path, |out| refuse(out, request, code, integrity, &session.key));
            Learned::Nothing
        }
    }
}

fn refuse(out: &mut Vec<u8>, request: &Message<'_>, code: ErrorCode, integrity: Integrity, key: &Key) {
    let mut response = match code {
        ErrorCode::UNKNOWN_ATTRIBUTE => MessageBuilder::unknown_attributes(out, request, KNOWN),
        _ => MessageBuilder::error(out, request, code),
    };
    response.integrity_as(integrity, key).fingerprint();
}

/// Whether an authenticated request is a proper check.
fn accept(ctx: &mut Context, request: &Message<'_>) -> Result<PeerCheck, ErrorCode> {
    // "If the request contains one or more unknown comprehension-required attributes, the server replies with an error
    // response with an error code of 420" (RFC 8489 §6.3.1).
    if request.unknown_required(KNOWN).next().is_some() {
        return Err(ErrorCode::UNKNOWN_ATTRIBUTE);
    }
    // "The PRIORITY attribute MUST be included in a Binding request" (RFC 8445 §7.1.1).
    let Ok(Some(Priority(priority))) = request.get::<Priority>() else {
        return Err(ErrorCode::BAD_REQUEST);
    };
    repair_role(ctx, request)?;
    let nomination = request
        .get::<Nomination>()
        .ok()
        .flatten()
        .map_or(0, |Nomination(number)| number);
    Ok(PeerCheck {
        priority,
        use_candidate: request.contains(UseCandidate::TYPE) || nomination > 0,
        nomination,
    })
}

/// Detects and repairs role conflicts (RFC 8445 §7.3.1.1). A lite agent has no part in it (§7.3.1).
fn repair_role(ctx: &mut Context, request: &Message<'_>) -> Result<(), ErrorCode> {
    let theirs = match ctx.role {
        Role::Controlling => request
            .get::<IceControlling>()
            .ok()
            .flatten()
            .map(|IceControlling(value)| value),
        Role::Controlled => request
            .get::<IceControlled>()
            .ok()
            .flatten()
            .map(|IceControlled(value)| value),
    };
    let Some(theirs) = theirs.filter(|_| !ctx.lite) else {
        return Ok(());
    };
    // The larger tiebreaker controls, whichever role both have: who has it keeps "controlling" and answers 487, or leaves
    // "controlled" and accepts; who has not does the reverse.
    let due = if ctx.tie_breaker >= theirs {
        Role::Controlling
    } else {
        Role::Controlled
    };
    if due == ctx.role {
        return Err(ErrorCode::ROLE_CONFLICT);
    }
    ctx.switch_role(due);
    Ok(())
}

impl Session {
    /// Learns from an authenticated and answered check (RFC 8445 §7.3.1.3 to §7.3.1.5, §7.3.2).
    pub(crate) fn handle_check(
        &mut self,
        ctx: &mut Context,
        now: Instant,
        path: FiveTuple,
        check: PeerCheck,
        ufrag: &str,
    ) -> Learned {
        let Some(remote) = &self.remote else {
            self.remember(ctx, path, check, ufrag);
            return Learned::News;
        };
        // Another fork, or a generation of the peer that we have not been told of: with this session's password it could
        // not be checked. But the peer has our answer and may send data there from now on: a browser that restarts ICE
        // tries its new sockets with our old credentials, long before our answer tells it the new ones.
        if remote.credentials.ufrag != ufrag {
            self.remember(ctx, path, check, ufrag);
            return Learned::News;
        }
        self.sync_role(ctx);
        let known = self.list.find(&path);
        let was_valid = known.is_some_and(|pair| pair.state == PairState::Succeeded);
        let id = match known {
            Some(pair) => pair.id,
            None if self.is_over() => return Learned::Nothing,
            None => {
                let Some(local) = self.find_local(path.transport, path.local) else {
                    return Learned::Nothing;
                };
                let tcp_type = self.locals.get(local).and_then(|local| local.candidate.tcp_type);
                let remote = self
                    .remotes
                    .discover(&path, tcp_type.map(TcpType::opposite), check.priority);
                let Some(id) = self.insert_pair(ctx, path, local, remote, true) else {
                    return Learned::Nothing;
                };
                id
            }
        };
        self.list.touch(id, |pair| {
            pair.peer_checked = true;
            pair.hear(now);
            pair.counters.requests_received += 1;
            pair.counters.responses_sent += 1;
        });
        if check.nomination > 0 {
            self.list.touch(id, |pair| pair.nomination = check.nomination);
        }
        if !was_valid || check.use_candidate {
            self.doubt_for(ctx, now, id);
        }
        match (ctx.lite, self.is_over()) {
            (_, true) => {}
            (true, _) => self.handle_check_as_lite(ctx, now, id, check),
            (false, _) => {
                self.trigger_check(ctx, id);
                self.ask_along(now, id);
                if check.use_candidate && ctx.role == Role::Controlled {
                    self.handle_use_candidate(ctx, now, id);
                }
            }
        }
        match check.use_candidate {
            true => Learned::News,
            false => self.learned_by_hearing(id),
        }
    }

    /// Keeps a check for when the remote credentials come. Bounded; the latest of each path counts, and a nomination is
    /// not forgotten.
    fn remember(&mut self, ctx: &Context, path: FiveTuple, check: PeerCheck, ufrag: &str) {
        if let Some(known) = self.early.iter_mut().find(|early| early.path == path) {
            let use_candidate = known.check.use_candidate && known.ufrag == ufrag || check.use_candidate;
            known.check = PeerCheck { use_candidate, ..check };
            ufrag.clone_into(&mut known.ufrag);
        } else if self.early.len() < ctx.limits().max_early_checks {
            self.early.push(EarlyCheck {
                path,
                check,
                ufrag: ufrag.to_owned(),
            });
        }
    }

    /// RFC 8445 §7.3.1.4
    fn trigger_check(&mut self, ctx: &Context, id: crate::PairId) {
        /// How often a check is begun anew because the peer checks, too. Two agents that hear each other's requests and never
        /// a response would cause checks without end.
        const MAX_REPEATED: u8 = 4;
        let Some(pair) = self.list.get(id) else { return };
        let (state, repeated) = (pair.state, pair.repeated);
        match state {
            // "If the state of that pair is Succeeded, nothing further is done."
            PairState::Succeeded => return,
            PairState::InProgress | PairState::Failed if repeated >= MAX_REPEATED => return,
            PairState::InProgress => self.cancel_checks(ctx, id),
            PairState::Waiting | PairState::Frozen | PairState::Failed => {}
        }
        self.list.touch(id, |pair| {
            pair.repeated += u8::from(matches!(state, PairState::InProgress | PairState::Failed));
        });
        self.list.trigger(id);
    }

    /// "If the controlled agent receives a Binding request with the USE-CANDIDATE attribute set, [...] this candidate pair
    /// is [...] placed into the valid list [...]. The agent sets the nominated flag for that pair to true" (RFC 8445 §7.3.2).
    fn handle_check_as_lite(&mut self, ctx: &Context, now: Instant, id: crate::PairId, check: PeerCheck) {
        self.list.touch(id, |pair| pair.consent_at = Some(now));
        if check.use_candidate {
            self.list.touch(id, |pair| pair.use_candidate_at = Some(now));
            self.list.set_state(id, PairState::Succeeded);
            self.accept_nomination(ctx, now, id);
        }
    }
}
