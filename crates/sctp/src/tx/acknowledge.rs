//! What a SACK says about what is outstanding (RFC 9260 §6.2.1, §7.2.4).

use std::time::{Duration, Instant};

use peerline_wire::Serial32;

use super::abandon::Abandoned;
use super::congestion::delivery::Stamp;
use super::departures::{Departure, DepartureId};
use super::missing::{Indications, NewlyAcked, indicate};
use super::outstanding::{Outstanding, State};
use super::send_queue::MESSAGE_OVERHEAD;
use crate::wire::{GapBlock, Sack};

/// What a SACK changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Bytes acknowledged for the first time.
    pub(crate) newly_acked: usize,
    /// The cumulative TSN moved.
    pub(crate) advanced: bool,
    /// Of what was acknowledged, what left last.
    pub(super) newest: Option<DepartureId>,
    /// The same, as it was when it left.
    pub(crate) stamp: Option<Stamp>,
    /// Its round trip, if it was sent once.
    pub(crate) rtt: Option<Duration>,
    /// What was found lost.
    pub(crate) losses: Losses,
    /// Messages given up.
    pub(crate) abandoned: Abandoned,
}

/// What was found lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    /// DATA chunks.
    pub(crate) chunks: u64,
    pub(crate) bytes: usize,
    /// The packet that left last of those lost, as it was when it left.
    pub(crate) newest: Option<Stamp>,
}

/// A SACK that no receiver of ours can have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImpossibleSack;

impl Outstanding {
    /// Processes a SACK. `recovering`: the controller is in Fast Recovery.
    pub(crate) fn on_sack(
        &mut self,
        now: Instant,
        sack: &Sack<'_>,
        recovering: bool,
    ) -> Result<Changes, ImpossibleSack> {
        if sack.duplicates().len() > 0 {
            self.rack.on_duplicate(now);
        }
        self.acknowledge(now, sack.cumulative_tsn, sack.gap_blocks(), recovering)
    }

    /// Processes a cumulative TSN without gap blocks, as SHUTDOWN carries it.
    pub(crate) fn on_cumulative(&mut self, now: Instant, tsn: Serial32) -> Result<Changes, ImpossibleSack> {
        let mut changes = self.advance(tsn)?;
        self.trim_gaps();
        // The TSN after the cumulative one is missing by definition.
        let next = self.cumulative.next();
        if let Some((start, end)) = self.gaps.first().copied().filter(|(start, _)| *start == next) {
            self.gaps.remove(0);
            self.mark_reneged(now, start, end);
        }
        self.measure(now, &mut changes);
        Ok(changes)
    }

    pub(super) fn acknowledge(
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
        let mut changes = self.advance(cumulative)?;
        self.trim_gaps();
        let (highest, indications) = self.apply_gaps(now, blocks, &mut changes)?;
        self.measure(now, &mut changes);
        if !self.rack.has_seen_reordering() {
            // §7.2.4: "If an endpoint is in Fast Recovery and a SACK chunk arrives that advances the Cumulative TSN Ack
            // Point, the miss indications are incremented for all TSNs reported missing in the SACK chunk."
            let all = highest.filter(|highest| recovering && changes.advanced && indications[0] != Some(*highest));
            for tsn in indications.into_iter().chain([all]).flatten() {
                self.indicate_missing(now, tsn, &mut changes);
            }
        }
        self.detect_losses(now, recovering, &mut changes);
        Ok(changes)
    }

    fn advance(&mut self, cumulative: Serial32) -> Result<Changes, ImpossibleSack> {
        let count = usize::try_from(self.cumulative.distance_to(cumulative)).unwrap_or(0);
        if count > self.sent.len() {
            return Err(ImpossibleSack);
        }
        let mut changes = Changes {
            advanced: count > 0,
            ..Changes::default()
        };
        // What was sent before something known to have arrived comes late, unless it was sent again.
        let overtaken = self.gaps.last().map_or(0, |&(_, end)| self.cumulative.distance_to(end));
        for (index, sent) in self.sent.drain(..count).enumerate() {
            self.held -= sent.payload.len();
            match sent.state {
                State::InFlight => {
                    self.flight -= sent.size();
                    self.flight_chunks -= 1;
                }
                State::Lost => {}
                State::Acked => {
                    self.held_acked -= sent.payload.len() + MESSAGE_OVERHEAD;
                    continue;
                }
                State::Abandoned => continue,
            }
            changes.newly_acked += sent.size();
            changes.newest = changes.newest.max(Some(sent.departure));
            if (index as i32) < overtaken && sent.retransmits == 0 {
                self.rack.on_reordering();
            }
        }
        self.cumulative = self.cumulative.add(count as u32);
        self.advanced = self.advanced.saturating_sub(count);
        if self.scanned.precedes(self.cumulative.next()) {
            self.scanned = self.cumulative.next();
        }
        Ok(changes)
    }

    /// The round trip and the stamp of what was acknowledged.
    fn measure(&mut self, now: Instant, changes: &mut Changes) {
        let Some(id) = changes.newest else { return };
        let Some(departure) = self.departures.get(id) else {
            return;
        };
        self.rack.on_acknowledged(now, id, departure);
        changes.stamp = Some(departure.stamp);
        // Karn's rule: what is sent twice measures nothing.
        changes.rtt = (!departure.again).then(|| now.saturating_duration_since(departure.stamp.left));
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
        difference(self.cumulative, &old, &new, |start, end| {
            self.mark_reneged(now, start, end);
        });
        let overtaken = old.last().map(|&(_, end)| end);
        let mut indications = NewlyAcked::new(self.packet);
        difference(self.cumulative, &new, &old, |start, end| {
            let late = overtaken.is_some_and(|highest| start.precedes(highest));
            self.mark_acked(start, end, late, changes, &mut indications);
        });
        let highest = new.last().map(|&(_, end)| end);
        self.gaps = new;
        self.gaps_scratch = old;
        Ok((highest, indications.finish()))
    }

    /// `late`: something that was sent later had arrived before.
    fn mark_acked(
        &mut self,
        start: Serial32,
        end: Serial32,
        late: bool,
        changes: &mut Changes,
        indications: &mut NewlyAcked,
    ) {
        let (Some(first), Some(last)) = (self.index(start), self.index(end)) else {
            return;
        };
        for index in first..=last {
            let tsn = self.tsn(index);
            let sent = &mut self.sent[index];
            let size = sent.size();
            match sent.state {
                State::InFlight => {
                    self.flight -= size;
                    self.flight_chunks -= 1;
                }
                State::Lost => {}
                State::Acked | State::Abandoned => continue,
            }
            sent.state = State::Acked;
            self.held_acked += sent.payload.len() + MESSAGE_OVERHEAD;
            changes.newly_acked += size;
            changes.newest = changes.newest.max(Some(sent.departure));
            if late && sent.retransmits == 0 {
                self.rack.on_reordering();
            }
            indications.add(tsn, size);
        }
    }

    /// The peer has thrown away what it had. That is in flight as if it left now: what leaves later and arrives shows
    /// whether it is lost. (An acknowledgement that comes late looks the same.)
    fn mark_reneged(&mut self, now: Instant, start: Serial32, end: Serial32) {
        let (Some(first), Some(last)) = (self.index(start), self.index(end)) else {
            return;
        };
        let most = 2 * self.sent.len();
        for index in first..=last {
            let tsn = self.tsn(index);
            let sent = &mut self.sent[index];
            if sent.state != State::Acked {
                continue;
            }
            sent.state = State::InFlight;
            self.held_acked -= sent.payload.len() + MESSAGE_OVERHEAD;
            sent.retransmits = sent.retransmits.max(1);
            // For a peer that goes back and forth, T3 will see to it.
            sent.departure = if self.departures.len() < most {
                self.departures.take_back(now, tsn)
            } else {
                DepartureId::NONE
            };
            self.flight += sent.size();
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
                self.find_lost(now, index, changes);
            }
            self.scanned = self.scanned.next();
        }
    }

    /// RFC 8985 §6.2 step 5: finds lost what left before something acknowledged and has had its time. What is looked at is
    /// never looked at again, but for the first that still has time.
    fn detect_losses(&mut self, now: Instant, recovering: bool, changes: &mut Changes) {
        self.rack.deadline = None;
        let Some(newest) = self.rack.newest() else { return };
        while let Some((id, &departure)) = self.departures.front() {
            let last = departure.first.add(departure.count - 1);
            if self.cumulative.precedes(last) {
                if id >= newest && !self.has_arrived(id, &departure) {
                    break;
                }
                let lost_at = self.rack.lost_at(departure.stamp.left, recovering);
                if lost_at > now && !self.has_arrived(id, &departure) {
                    self.rack.deadline = Some(lost_at);
                    break;
                }
                for offset in 0..departure.count {
                    if let Some(index) = self.in_flight_since(id, departure.first.add(offset)) {
                        self.find_lost(now, index, changes);
                    }
                }
            }
            self.departures.pop();
        }
    }

    /// True if nothing that left then is in flight since.
    fn has_arrived(&self, id: DepartureId, departure: &Departure) -> bool {
        !(0..departure.count).any(|offset| self.in_flight_since(id, departure.first.add(offset)).is_some())
    }

    /// The index of a TSN that is in flight since then.
    fn in_flight_since(&self, id: DepartureId, tsn: Serial32) -> Option<usize> {
        let index = self.index(tsn)?;
        let sent = &self.sent[index];
        ((sent.state, sent.departure) == (State::InFlight, id)).then_some(index)
    }

    fn find_lost(&mut self, now: Instant, index: usize, changes: &mut Changes) {
        let sent = &self.sent[index];
        let losses = &mut changes.losses;
        losses.chunks += 1;
        losses.bytes += sent.size();
        if let Some(departure) = self.departures.get(sent.departure) {
            losses.newest = Some(departure.stamp);
        }
        self.lose(now, index, &mut changes.abandoned);
    }

    /// The time of something that left before what has been acknowledged is over.
    pub(crate) fn on_reordering_timeout(&mut self, now: Instant, recovering: bool) -> Changes {
        let mut changes = Changes::default();
        self.detect_losses(now, recovering, &mut changes);
        changes
    }
}

/// Calls `f` for each range of `a` that `b` does not cover. Both are in order, disjoint, ends included, after `base`.
pub(super) fn difference(
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
