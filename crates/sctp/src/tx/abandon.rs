//! Messages that are given up: partial reliability (RFC 3758).

use bytes::Bytes;
use peerline_wire::Serial32;

use super::outstanding::{Outstanding, Sent, State};
use super::send_queue::{Fragment, MESSAGE_OVERHEAD};
use crate::StreamId;
use crate::wire::SkippedMessages;

/// Messages given up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Abandoned {
    pub(crate) messages: u64,
    /// The streams of those that had not been sent entirely: the rest must be dropped from the send queue.
    pub(crate) unfinished: Vec<StreamId>,
}

impl Outstanding {
    /// Gives up the message of a fragment.
    ///
    /// RFC 3758 §3.5 A3: "When a TSN is 'abandoned', if it is part of a fragmented message, all other TSN's within that
    /// fragmented message MUST be abandoned at the same time."
    pub(super) fn abandon(&mut self, index: usize, abandoned: &mut Abandoned) {
        abandoned.messages += 1;
        let message = self.sent[index].message();
        let of_message = |sent: &Sent| sent.message() == message;
        // Fragments of other messages may lie between.
        let first = (0..=index)
            .rev()
            .find(|&i| self.sent[i].beginning && of_message(&self.sent[i]));
        let last = (index..self.sent.len()).find(|&i| self.sent[i].ending && of_message(&self.sent[i]));
        for index in first.unwrap_or(0)..=last.unwrap_or(self.sent.len() - 1) {
            if of_message(&self.sent[index]) {
                self.abandon_one(index);
            }
        }
        if last.is_some() {
            return;
        }
        // The rest has not been sent and never will be. A TSN that stands for it is abandoned as well, since all that was
        // sent may have been acknowledged, and then only a TSN after it can tell the peer to forget it.
        abandoned.unfinished.push(message.0);
        let rest = Sent {
            payload: Bytes::new(),
            limit: self.sent[index].limit,
            ending: true,
            beginning: false,
            state: State::Abandoned,
            retransmits: 0,
            ..self.sent[index]
        };
        self.sent.push_back(rest);
    }

    fn abandon_one(&mut self, index: usize) {
        let sent = &mut self.sent[index];
        if sent.state == State::InFlight {
            self.flight -= sent.size();
            self.flight_chunks -= 1;
        }
        if sent.state == State::Acked {
            self.held_acked -= sent.payload.len() + MESSAGE_OVERHEAD;
        }
        sent.state = State::Abandoned;
        self.held -= sent.payload.len();
        sent.payload = Bytes::new();
    }

    /// Gives up a message of which the rest has not been sent. If everything sent of it has been acknowledged and left the
    /// queue, `message` describes it.
    pub(crate) fn abandon_unfinished(&mut self, message: Fragment) -> Abandoned {
        let mut abandoned = Abandoned::default();
        let id = (message.stream, message.unordered, message.number);
        match self.sent.iter().rposition(|sent| sent.message() == id) {
            Some(index) if !self.sent[index].ending => self.abandon(index, &mut abandoned),
            _ => {
                abandoned.messages = 1;
                abandoned.unfinished.push(message.stream);
                self.sent.push_back(Sent {
                    state: State::Abandoned,
                    ..Sent::new(message)
                });
            }
        }
        abandoned
    }

    /// Moves Advanced.Peer.Ack.Point over what is abandoned (RFC 3758 §3.5 C2). True if it moved.
    pub(crate) fn advance_over_abandoned(&mut self) -> bool {
        let before = self.advanced;
        while self
            .sent
            .get(self.advanced)
            .is_some_and(|sent| sent.state == State::Abandoned)
        {
            self.advanced += 1;
        }
        self.advanced > before
    }

    /// True if the peer has yet to be told of abandoned TSNs.
    pub(crate) fn owes_forward_tsn(&self) -> bool {
        self.advanced > 0
    }

    /// What a FORWARD TSN or an I-FORWARD-TSN says, naming at most `max`: the TSN, and the highest abandoned number of each
    /// stream's ordered messages, and of its unordered ones if they are numbered (C4). If there are more, it stops short of
    /// them.
    pub(crate) fn forward_tsn(&self, max: usize) -> (Serial32, Vec<SkippedMessages>) {
        let mut skipped = std::collections::BTreeMap::new();
        let mut count = 0;
        for sent in self.sent.range(..self.advanced) {
            if sent.interleaved || !sent.unordered {
                let key = (sent.stream, sent.unordered);
                if skipped.len() >= max && !skipped.contains_key(&key) {
                    break;
                }
                skipped.insert(key, sent.number);
            }
            count += 1;
        }
        let skipped = skipped
            .into_iter()
            .map(|((stream, unordered), mid)| SkippedMessages { stream, unordered, mid })
            .collect();
        (self.cumulative.add(count), skipped)
    }
}
