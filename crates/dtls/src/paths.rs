//! [`Paths`]: by which path the peer is reached, and the proof that it can be (RFC 9146 §6, RFC 9853).
//!
//! ```text
//!            a record, newer than all before, comes by another path
//!                                   |
//!   Enhanced: PATH_CHALLENGE by the path in use -- PATH_RESPONSE --> nothing changes: someone else repeats what we get
//!                                   | PATH_DROP, or no answer in time
//!                     PATH_CHALLENGE by the other path  -- no answer in time --> nothing changes
//!                                   | PATH_RESPONSE by the same path
//!                           the path is changed
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::RoutabilityCheck;
use crate::wire::ack::RecordNumber;
use crate::wire::routability::{RoutabilityMessage, RoutabilityMessageType};

/// A way to the peer, as whoever owns the sockets numbers them: an address of this side's and one of the peer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathId(pub u64);

/// The path in use, and what is found out about another.
#[derive(Default)]
pub(crate) struct Paths {
    /// By which everything else goes.
    pub(crate) current: PathId,
    /// The one that this side has left last: what is asked there is told so.
    left: Option<PathId>,
    /// The newest record.
    newest: Option<RecordNumber>,
    /// The other one by which the newest record came, if that cannot be checked.
    pub(crate) seen: Option<PathId>,
    check: Option<Box<Check>>,
    answers: VecDeque<(PathId, RoutabilityMessage)>,
}

/// A check that goes on.
struct Check {
    /// The path that may take the place of the current one.
    candidate: PathId,
    /// The path that is tried: that one, or the current one.
    tried: PathId,
    /// What was sent there.
    cookies: Vec<[u8; 8]>,
    next: Instant,
    end: Instant,
    /// How many bytes came by the candidate, and went there.
    received: usize,
    sent: usize,
}

/// What a message of the check has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Nothing,
    /// The candidate is the path now.
    Changed,
    /// It is nothing that was asked for.
    Invalid,
}

impl Paths {
    /// How many challenges a path is given.
    const CHALLENGES: u32 = 3;
    /// How many answers wait to be sent.
    const MAX_ANSWERS: usize = 8;
    /// How many times as much may go by a path that is not proved as came by it (RFC 9147 §5.1, RFC 9853 §5).
    const AMPLIFICATION: usize = 3;

    /// A record is the peer's. True if no newer one came before: none that was repeated or late moves a path (RFC 9146 §6).
    pub(crate) fn is_newest(&mut self, number: RecordNumber) -> bool {
        let is_newest = self.newest.is_none_or(|newest| newest < number);
        if is_newest {
            self.newest = Some(number);
        }
        is_newest
    }

    /// The peer's newest record came by another path, in a datagram of so many bytes.
    pub(crate) fn on_other(
        &mut self,
        now: Instant,
        path: PathId,
        len: usize,
        kind: RoutabilityCheck,
        patience: Duration,
    ) {
        match &mut self.check {
            Some(check) if check.candidate == path => check.received = check.received.saturating_add(len),
            // RFC 9853 §5: one check at a time. Whatever else comes starts another once this one is over.
            Some(_) => {}
            None => {
                let tried = match kind {
                    RoutabilityCheck::Off => return,
                    RoutabilityCheck::Basic => path,
                    RoutabilityCheck::Enhanced => self.current,
                };
                self.check = Some(Box::new(Check {
                    candidate: path,
                    tried,
                    cookies: Vec::new(),
                    next: now,
                    end: now + patience,
                    received: len,
                    sent: 0,
                }));
            }
        }
    }

    /// A message of the check has come by this path.
    pub(crate) fn on_message(
        &mut self,
        now: Instant,
        path: PathId,
        message: RoutabilityMessage,
        patience: Duration,
    ) -> Outcome {
        let RoutabilityMessage { message_type, cookie } = message;
        if message_type == RoutabilityMessageType::PATH_CHALLENGE {
            return self.answer(path, cookie);
        }
        let Some(check) = &mut self.check else {
            return Outcome::Invalid;
        };
        if path != check.tried || !check.cookies.contains(&cookie) {
            return Outcome::Invalid;
        }
        match (message_type, check.tried == check.candidate) {
            (RoutabilityMessageType::PATH_RESPONSE, true) => {
                let candidate = check.candidate;
                self.change(candidate);
                Outcome::Changed
            }
            // RFC 9853 §5.2: "the initiator MUST continue using the previously valid address".
            (RoutabilityMessageType::PATH_RESPONSE, false) => {
                self.check = None;
                Outcome::Nothing
            }
            (RoutabilityMessageType::PATH_DROP, false) => {
                check.try_candidate(now, patience);
                Outcome::Nothing
            }
            // "implementations MUST be able to parse and gracefully ignore messages with an unknown msg_type".
            _ => Outcome::Invalid,
        }
    }

    /// RFC 9853 §5.4: exactly one answer to a challenge, by the path by which it came.
    fn answer(&mut self, path: PathId, cookie: [u8; 8]) -> Outcome {
        if self.answers.len() == Self::MAX_ANSWERS {
            return Outcome::Invalid;
        }
        let message_type = match self.left == Some(path) {
            true => RoutabilityMessageType::PATH_DROP,
            false => RoutabilityMessageType::PATH_RESPONSE,
        };
        self.answers
            .push_back((path, RoutabilityMessage { message_type, cookie }));
        Outcome::Nothing
    }

    /// From now on everything goes by this path.
    pub(crate) fn change(&mut self, path: PathId) {
        self.check = None;
        self.seen = None;
        if path != self.current {
            self.left = Some(self.current).filter(|left| *left != path);
            self.current = path;
        }
    }

    /// The next message and the path it goes by. `cookie` makes a random one, `record_len` says how long a record with a message is.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        patience: Duration,
        record_len: usize,
        cookie: impl FnOnce() -> Option<[u8; 8]>,
    ) -> Option<(PathId, RoutabilityMessage)> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let check = self.check.as_mut().filter(|check| check.next <= now)?;
        check.next = check.next.max(now) + patience / Self::CHALLENGES;
        if check.cookies.len() as u32 >= Self::CHALLENGES {
            return None;
        }
        if check.tried == check.candidate {
            let sent = check.sent.saturating_add(record_len);
            if sent > check.received.saturating_mul(Self::AMPLIFICATION) {
                return None;
            }
            check.sent = sent;
        }
        let cookie = cookie()?;
        check.cookies.push(cookie);
        let message_type = RoutabilityMessageType::PATH_CHALLENGE;
        Some((check.tried, RoutabilityMessage { message_type, cookie }))
    }

    /// When something is to be done.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.check.as_ref().map(|check| check.next.min(check.end))
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, patience: Duration) {
        if let Some(check) = self.check.as_mut().filter(|check| check.end <= now) {
            match check.tried == check.candidate {
                true => self.check = None,
                // RFC 9853 §5.2: the path in use is dead, it seems.
                false => check.try_candidate(now, patience),
            }
        }
    }
}

impl Check {
    fn try_candidate(&mut self, now: Instant, patience: Duration) {
        self.tried = self.candidate;
        self.cookies.clear();
        self.next = now;
        self.end = now + patience;
    }
}
