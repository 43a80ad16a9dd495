//! Messages that are given up: partial reliability (RFC 3758).

use bytes::Bytes;
use peerline_wire::Serial32;

use super::departures::DepartureId;
use super::outstanding::{Outstanding, Sent, State};
use super::send_queue::Fragment;
use crate::wire::SkippedStream;

/// Messages given up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Abandoned {
    pub(crate) messages: u64,
    /// The last of them had not been sent entirely: the rest must be dropped from the send queue.
    pub(crate) unfinished: bool,
}

impl Outstanding {
    /// Gives up the message of a fragment.
    ///
    /// RFC 3758 §3.5 A3: "When a TSN is 'abandoned', if it is part of a fragmented message, all other TSN's within that
    /// fragmented message MUST be abandoned at the same time."
    pub(super) fn abandon(&mut self, index: usize, abandoned: &mut Abandoned) {
        abandoned.messages += 1;
        let mut first = index;
        while first > 0 && !self.sent[first].beginning {
            first -= 1;
        }
        let mut last = index;
        while last + 1 < self.sent.len() && !self.sent[last].ending {
            last += 1;
        }
        for index in first..=last {
            self.abandon_one(index);
        }
        if self.sent[last].ending {
            return;
        }
        // The rest has not been sent and never will be. A TSN that stands for it is abandoned as well, since all that was
        // sent may have been acknowledged, and then only a TSN after it can tell the peer to forget it.
        abandoned.unfinished = true;
        let rest = Sent {
            payload: Bytes::new(),
            limit: self.sent[last].limit,
            ending: true,
            beginning: false,
            state: State::Abandoned,
            retransmits: 0,
            ..self.sent[last]
        };
        self.sent.push_back(rest);
    }

    fn abandon_one(&mut self, index: usize) {
        let sent = &mut self.sent[index];
        if sent.state == State::InFlight {
            self.flight -= Self::size(&sent.payload);
            self.flight_chunks -= 1;
        }
        sent.state = State::Abandoned;
        self.held -= sent.payload.len();
        sent.payload = Bytes::new();
    }

    /// Gives up the message at the end of the queue, of which the rest has not been sent. If everything sent of it has
    /// been acknowledged and left the queue, `message` describes it.
    pub(crate) fn abandon_unfinished(&mut self, message: &Fragment) -> Abandoned {
        let mut abandoned = Abandoned::default();
        match self.sent.back() {
            Some(last) if !last.ending => {
                let index = self.sent.len() - 1;
                self.abandon(index, &mut abandoned);
            }
            _ => {
                abandoned = Abandoned {
                    messages: 1,
                    unfinished: true,
                };
                self.sent.push_back(Sent {
                    payload: Bytes::new(),
                    limit: message.limit,
                    ppid: message.ppid,
                    retransmits: 0,
                    stream: message.stream,
                    ssn: message.ssn,
                    departure: DepartureId::NONE,
                    unordered: message.unordered,
                    beginning: false,
                    ending: true,
                    state: State::Abandoned,
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

    /// What a FORWARD TSN says, naming at most `max_streams`: the TSN, and the highest abandoned sequence number of each
    /// stream with ordered messages (C4). If there are more streams, it stops short of them.
    pub(crate) fn forward_tsn(&self, max_streams: usize) -> (Serial32, Vec<SkippedStream>) {
        let mut skipped = std::collections::BTreeMap::new();
        let mut count = 0;
        for sent in self.sent.range(..self.advanced) {
            if !sent.unordered {
                if skipped.len() >= max_streams && !skipped.contains_key(&sent.stream) {
                    break;
                }
                skipped.insert(sent.stream, sent.ssn);
            }
            count += 1;
        }
        let skipped = skipped
            .into_iter()
            .map(|(stream, ssn)| SkippedStream { stream, ssn })
            .collect();
        (self.cumulative.add(count), skipped)
    }
}
