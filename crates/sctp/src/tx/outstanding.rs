//! What has been sent and not been acknowledged: a queue indexed by TSN, never searched and never sorted.
//!
//! A fragment in the queue is in flight, or acknowledged by a gap block, or lost and waiting to be sent again, or
//! abandoned (RFC 3758) and waiting for the peer to be told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use peerline_wire::{Serial16, Serial32};

use super::missing::{Indications, NewlyAcked, indicate};
use super::send_queue::{Fragment, Limit};
use crate::wire::{Data, GapBlock, Sack, SkippedStream};
use crate::{Ppid, StreamId};

#[derive(Debug)]
pub(crate) struct Outstanding {
    /// The Cumulative TSN Ack Point; `sent[0]` is the TSN after it.
    cumulative: Serial32,
    sent: VecDeque<Sent>,
    /// What the newest SACK acknowledged beyond the cumulative TSN, in order, ends included.
    gaps: Vec<(Serial32, Serial32)>,
    gaps_scratch: Vec<(Serial32, Serial32)>,
    /// Bytes and number of DATA chunks in flight.
    flight: usize,
    flight_chunks: usize,
    /// Bytes of payload held.
    held: usize,
    /// What is to be sent again, in order. May list fragments that were acknowledged or abandoned meanwhile.
    lost: VecDeque<Serial32>,
    /// The three highest miss indications, the highest first: each speaks of everything before a TSN.
    indications: Indications,
    /// Everything before it has been looked at for losses.
    scanned: Serial32,
    /// How many fragments at the front are abandoned: Advanced.Peer.Ack.Point less the Cumulative TSN Ack Point.
    advanced: usize,
    /// The fragment whose round trip is being measured, and when it left.
    probe: Option<(Serial32, Instant)>,
    forward_tsn: bool,
    /// Bytes of DATA chunks in a full packet.
    packet: usize,
}

#[derive(Debug)]
struct Sent {
    payload: Bytes,
    limit: Limit,
    ppid: Ppid,
    retransmits: u32,
    stream: StreamId,
    ssn: Serial16,
    unordered: bool,
    beginning: bool,
    ending: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Acked,
    Lost,
    Abandoned,
}

/// What a SACK changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Bytes acknowledged for the first time.
    pub(crate) newly_acked: usize,
    /// The cumulative TSN moved.
    pub(crate) advanced: bool,
    /// A measured round trip.
    pub(crate) rtt: Option<Duration>,
    /// DATA chunks found lost.
    pub(crate) lost: u64,
    /// Messages given up.
    pub(crate) abandoned: Abandoned,
}

/// Messages given up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Abandoned {
    pub(crate) messages: u64,
    /// The last of them had not been sent entirely: the rest must be dropped from the send queue.
    pub(crate) unfinished: bool,
}

/// A SACK that no receiver of ours can have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImpossibleSack;

impl Outstanding {
    pub(crate) fn new(initial_tsn: Serial32, forward_tsn: bool, packet: usize) -> Self {
        Self {
            cumulative: initial_tsn.sub(1),
            sent: VecDeque::new(),
            gaps: Vec::new(),
            gaps_scratch: Vec::new(),
            flight: 0,
            flight_chunks: 0,
            held: 0,
            lost: VecDeque::new(),
            indications: [None; 3],
            scanned: initial_tsn,
            advanced: 0,
            probe: None,
            forward_tsn,
            packet,
        }
    }

    /// The bytes a DATA chunk counts for: its header, payload and padding.
    fn size(payload: &Bytes) -> usize {
        Data::HEADER_LEN + payload.len().next_multiple_of(4)
    }

    pub(crate) fn next_tsn(&self) -> Serial32 {
        self.cumulative.add(self.sent.len() as u32).next()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// The Cumulative TSN Ack Point.
    pub(crate) fn cumulative(&self) -> Serial32 {
        self.cumulative
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.flight
    }

    pub(crate) fn chunks_in_flight(&self) -> usize {
        self.flight_chunks
    }

    /// The memory the queue stands for, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.held + self.sent.len() * super::send_queue::MESSAGE_OVERHEAD
    }

    /// True if something waits to be sent again.
    pub(crate) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    fn index(&self, tsn: Serial32) -> Option<usize> {
        let index = self.cumulative.next().distance_to(tsn);
        usize::try_from(index).ok().filter(|&index| index < self.sent.len())
    }

    fn tsn(&self, index: usize) -> Serial32 {
        self.cumulative.next().add(index as u32)
    }

    /// A fragment leaves for the first time. Returns the chunk to write.
    pub(crate) fn push(&mut self, now: Instant, fragment: Fragment) -> Data<'_> {
        let tsn = self.next_tsn();
        self.probe.get_or_insert((tsn, now));
        self.flight += Self::size(&fragment.payload);
        self.flight_chunks += 1;
        self.held += fragment.payload.len();
        self.sent.push_back(Sent {
            payload: fragment.payload,
            limit: fragment.limit,
            ppid: fragment.ppid,
            retransmits: 0,
            stream: fragment.stream,
            ssn: fragment.ssn,
            unordered: fragment.unordered,
            beginning: fragment.beginning,
            ending: fragment.ending,
            state: State::InFlight,
        });
        let sent = &self.sent[self.sent.len() - 1];
        sent.data(tsn)
    }

    /// The next fragment to send again if its payload fits `room` bytes. It counts as sent.
    pub(crate) fn retransmit(&mut self, now: Instant, room: usize, abandoned: &mut Abandoned) -> Option<Data<'_>> {
        let index = loop {
            let &tsn = self.lost.front()?;
            match self.index(tsn) {
                Some(index) if self.sent[index].state == State::Lost => {
                    // A fragment that was marked in time may have waited until its time was over.
                    if self.forward_tsn && self.sent[index].has_expired(now) {
                        self.abandon(index, abandoned);
                    } else {
                        break index;
                    }
                }
                _ => {
                    self.lost.pop_front();
                }
            }
        };
        if self.sent[index].payload.len() > room {
            return None;
        }
        self.lost.pop_front();
        let tsn = self.tsn(index);
        let sent = &mut self.sent[index];
        sent.state = State::InFlight;
        sent.retransmits += 1;
        self.flight += Self::size(&sent.payload);
        self.flight_chunks += 1;
        Some(self.sent[index].data(tsn))
    }

    // --- acknowledgements

    /// Processes a SACK. `recovering`: the controller is in Fast Recovery.
    pub(crate) fn on_sack(
        &mut self,
        now: Instant,
        sack: &Sack<'_>,
        recovering: bool,
    ) -> Result<Changes, ImpossibleSack> {
        self.acknowledge(now, sack.cumulative_tsn, sack.gap_blocks(), recovering)
    }

    /// Processes a cumulative TSN without gap blocks, as SHUTDOWN carries it.
    pub(crate) fn on_cumulative(&mut self, now: Instant, tsn: Serial32) -> Result<Changes, ImpossibleSack> {
        let changes = self.advance(now, tsn)?;
        self.trim_gaps();
        Ok(changes)
    }

    fn acknowledge(
        &mut self,
        now: Instant,
        cumulative: Serial32,
        blocks: impl Iterator<Item = GapBlock>,
        recovering: bool,
    ) -> Result<Changes, ImpossibleSack> {
        // RFC 9260 §6.2.1 D i: "If Cumulative TSN Ack is less than the Cumulative TSN Ack Point, then drop the SACK
        // chunk. […] a SACK chunk whose Cumulative TSN Ack is less than the Cumulative TSN Ack Point indicates an
        // out-of-order SACK chunk."
        if cumulative.precedes(self.cumulative) {
            return Ok(Changes::default());
        }
        let mut changes = self.advance(now, cumulative)?;
        self.trim_gaps();
        let (highest, indications) = self.apply_gaps(now, blocks, &mut changes)?;
        // §7.2.4: "If an endpoint is in Fast Recovery and a SACK chunk arrives that advances the Cumulative TSN Ack Point,
        // the miss indications are incremented for all TSNs reported missing in the SACK chunk."
        let all = highest.filter(|highest| recovering && changes.advanced && indications[0] != Some(*highest));
        for tsn in indications.into_iter().chain([all]).flatten() {
            self.indicate_missing(now, tsn, &mut changes);
        }
        Ok(changes)
    }

    fn advance(&mut self, now: Instant, cumulative: Serial32) -> Result<Changes, ImpossibleSack> {
        let count = usize::try_from(self.cumulative.distance_to(cumulative)).unwrap_or(0);
        if count > self.sent.len() {
            return Err(ImpossibleSack);
        }
        let mut changes = Changes {
            advanced: count > 0,
            ..Changes::default()
        };
        for sent in self.sent.drain(..count) {
            self.held -= sent.payload.len();
            match sent.state {
                State::InFlight => {
                    self.flight -= Self::size(&sent.payload);
                    self.flight_chunks -= 1;
                    changes.newly_acked += Self::size(&sent.payload);
                }
                State::Lost => changes.newly_acked += Self::size(&sent.payload),
                State::Acked | State::Abandoned => {}
            }
        }
        if let Some((tsn, left)) = self.probe
            && self.cumulative.precedes(tsn)
            && !cumulative.precedes(tsn)
        {
            self.probe = None;
            changes.rtt = now.checked_duration_since(left);
        }
        self.cumulative = self.cumulative.add(count as u32);
        self.advanced = self.advanced.saturating_sub(count);
        if self.scanned.precedes(self.cumulative.next()) {
            self.scanned = self.cumulative.next();
        }
        Ok(changes)
    }

    fn trim_gaps(&mut self) {
        let cumulative = self.cumulative;
        self.gaps.retain_mut(|(start, end)| {
            if !cumulative.precedes(*start) {
                *start = cumulative.next();
            }
            cumulative.precedes(*end)
        });
    }

    /// Marks what the gap blocks add and unmarks what they take back, at a cost of the blocks and the difference, not of
    /// what they cover. Returns the highest TSN acknowledged, and the miss indications.
    fn apply_gaps(
        &mut self,
        now: Instant,
        blocks: impl Iterator<Item = GapBlock>,
        changes: &mut Changes,
    ) -> Result<(Option<Serial32>, Indications), ImpossibleSack> {
        let mut new = std::mem::take(&mut self.gaps_scratch);
        new.clear();
        let mut floor = 2;
        for block in blocks {
            // The TSN after the cumulative one is missing by definition, and blocks must not touch. What breaks order is
            // dropped; what has never been sent is a lie.
            if u32::from(block.start) < floor || block.end < block.start {
                continue;
            }
            if usize::from(block.end) > self.sent.len() {
                self.gaps_scratch = new;
                return Err(ImpossibleSack);
            }
            floor = u32::from(block.end) + 1;
            new.push((
                self.cumulative.add(block.start.into()),
                self.cumulative.add(block.end.into()),
            ));
        }
        let old = std::mem::take(&mut self.gaps);
        // What was acknowledged before and is not any more: the peer has thrown it away (§6.2: it "might renege").
        difference(self.cumulative, &old, &new, |start, end| self.mark_reneged(start, end));
        let mut indications = NewlyAcked::new(self.packet);
        difference(self.cumulative, &new, &old, |start, end| {
            self.mark_acked(now, start, end, changes, &mut indications);
        });
        let highest = new.last().map(|&(_, end)| end);
        self.gaps = new;
        self.gaps_scratch = old;
        Ok((highest, indications.finish()))
    }

    fn mark_acked(
        &mut self,
        now: Instant,
        start: Serial32,
        end: Serial32,
        changes: &mut Changes,
        indications: &mut NewlyAcked,
    ) {
        let (Some(first), Some(last)) = (self.index(start), self.index(end)) else {
            return;
        };
        if let Some((tsn, left)) = self.probe
            && self.index(tsn).is_some_and(|index| (first..=last).contains(&index))
        {
            self.probe = None;
            changes.rtt = now.checked_duration_since(left);
        }
        for index in first..=last {
            let tsn = self.tsn(index);
            let sent = &mut self.sent[index];
            let size = Self::size(&sent.payload);
            match sent.state {
                State::InFlight => {
                    self.flight -= size;
                    self.flight_chunks -= 1;
                }
                State::Lost => {}
                State::Acked | State::Abandoned => continue,
            }
            sent.state = State::Acked;
            changes.newly_acked += size;
            indications.add(tsn, size);
        }
    }

    fn mark_reneged(&mut self, start: Serial32, end: Serial32) {
        let (Some(first), Some(last)) = (self.index(start), self.index(end)) else {
            return;
        };
        for sent in self
            .sent
            .range_mut(first..=last)
            .filter(|sent| sent.state == State::Acked)
        {
            sent.state = State::InFlight;
            // It may not be found missing again: T3 will see to it.
            sent.retransmits = sent.retransmits.max(1);
            self.flight += Self::size(&sent.payload);
            self.flight_chunks += 1;
        }
    }

    /// A miss indication for everything before `tsn`. What has three of them is lost: that is, what lies before the third
    /// highest TSN indicated, so that no fragment needs a counter.
    fn indicate_missing(&mut self, now: Instant, tsn: Serial32, changes: &mut Changes) {
        // What lies behind the cumulative TSN says nothing any more.
        let cumulative = self.cumulative;
        for known in &mut self.indications {
            *known = known.filter(|known| cumulative.precedes(*known));
        }
        indicate(&mut self.indications, tsn);
        let Some(third) = self.indications[2] else {
            return;
        };
        while self.scanned.precedes(third) {
            if let Some(index) = self.index(self.scanned)
                // What has been retransmitted waits for T3 (§7.2.4: "ineligible for a subsequent Fast Retransmit").
                && (self.sent[index].state, self.sent[index].retransmits) == (State::InFlight, 0)
            {
                changes.lost += 1;
                self.lose(now, index, &mut changes.abandoned);
            }
            self.scanned = self.scanned.next();
        }
    }

    /// T3-rtx has expired: everything in flight is lost (§6.3.3 E3).
    pub(crate) fn on_timeout(&mut self, now: Instant) -> Abandoned {
        let mut abandoned = Abandoned::default();
        self.lost.clear();
        self.probe = None;
        for index in 0..self.sent.len() {
            match self.sent[index].state {
                State::InFlight => self.lose(now, index, &mut abandoned),
                State::Lost => {
                    let tsn = self.tsn(index);
                    self.lost.push_back(tsn);
                }
                State::Acked | State::Abandoned => {}
            }
        }
        self.scanned = self.next_tsn();
        abandoned
    }

    fn lose(&mut self, now: Instant, index: usize, abandoned: &mut Abandoned) {
        let tsn = self.tsn(index);
        // Karn's rule: what is sent twice measures nothing.
        self.probe = self.probe.filter(|&(probe, _)| probe != tsn);
        let sent = &mut self.sent[index];
        let exhausted = matches!(sent.limit, Limit::Retransmits(limit) if sent.retransmits >= limit);
        if self.forward_tsn && (exhausted || sent.has_expired(now)) {
            self.abandon(index, abandoned);
            return;
        }
        sent.state = State::Lost;
        self.flight -= Self::size(&sent.payload);
        self.flight_chunks -= 1;
        self.lost.push_back(tsn);
    }

    // --- partial reliability (RFC 3758)

    /// Gives up the message of a fragment.
    ///
    /// RFC 3758 §3.5 A3: "When a TSN is 'abandoned', if it is part of a fragmented message, all other TSN's within that
    /// fragmented message MUST be abandoned at the same time."
    fn abandon(&mut self, index: usize, abandoned: &mut Abandoned) {
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
        let tsn = self.tsn(index);
        self.probe = self.probe.filter(|&(probe, _)| probe != tsn);
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

impl Sent {
    fn data(&self, tsn: Serial32) -> Data<'_> {
        Data {
            immediate: false,
            unordered: self.unordered,
            beginning: self.beginning,
            ending: self.ending,
            tsn,
            stream: self.stream,
            ssn: self.ssn,
            ppid: self.ppid,
            payload: &self.payload,
        }
    }

    fn has_expired(&self, now: Instant) -> bool {
        matches!(self.limit, Limit::Time(end) if now >= end)
    }
}

/// Calls `f` for each range of `a` that `b` does not cover. Both are in order, disjoint, ends included, after `base`.
fn difference(
    base: Serial32,
    a: &[(Serial32, Serial32)],
    b: &[(Serial32, Serial32)],
    mut f: impl FnMut(Serial32, Serial32),
) {
    let offset = |tsn: Serial32| base.distance_to(tsn);
    let mut b = b.iter().peekable();
    for &(start, end) in a {
        let (mut start, end) = (offset(start), offset(end));
        while start <= end {
            let Some(&&(hole_start, hole_end)) = b.peek() else {
                f(base.add(start as u32), base.add(end as u32));
                break;
            };
            let (hole_start, hole_end) = (offset(hole_start), offset(hole_end));
            if hole_end < start {
                b.next();
            } else if hole_start > end {
                f(base.add(start as u32), base.add(end as u32));
                break;
            } else {
                if hole_start > start {
                    f(base.add(start as u32), base.add(hole_start as u32 - 1));
                }
                start = hole_end + 1;
            }
        }
    }
}

#[cfg(test)]
#[path = "outstanding_tests.rs"]
mod tests;
