//! What a SACK says about what is outstanding (RFC 9260 §6.2.1, §7.2.4).

use std::time::{Duration, Instant};

use peerline_wire::Serial32;

use super::abandon::Abandoned;
use super::missing::{Indications, NewlyAcked, indicate};
use super::outstanding::{Outstanding, State};
use crate::wire::{GapBlock, Sack};

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
        self.acknowledge(now, sack.cumulative_tsn, sack.gap_blocks(), recovering)
    }

    /// Processes a cumulative TSN without gap blocks, as SHUTDOWN carries it.
    pub(crate) fn on_cumulative(&mut self, now: Instant, tsn: Serial32) -> Result<Changes, ImpossibleSack> {
        let changes = self.advance(now, tsn)?;
        self.trim_gaps();
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
