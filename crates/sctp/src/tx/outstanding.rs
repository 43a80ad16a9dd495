//! What has been sent and not been acknowledged: a queue indexed by TSN, never searched and never sorted.
//!
//! A fragment in the queue is in flight, or acknowledged by a gap block, or lost and waiting to be sent again, or
//! abandoned (RFC 3758) and waiting for the peer to be told.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use peerline_wire::{Serial16, Serial32};

use super::abandon::Abandoned;
use super::congestion::Flight;
use super::congestion::delivery::Stamp;
use super::departures::{DepartureId, Departures};
use super::missing::Indications;
use super::rack::Rack;
use super::send_queue::{Fragment, Limit, MESSAGE_OVERHEAD};
use crate::wire::{Data, FragmentPlace, IData};
use crate::{Ppid, StreamId};

#[derive(Debug)]
pub(crate) struct Outstanding {
    /// The Cumulative TSN Ack Point; `sent[0]` is the TSN after it.
    pub(super) cumulative: Serial32,
    pub(super) sent: VecDeque<Sent>,
    /// What the newest SACK acknowledged beyond the cumulative TSN, in order, ends included.
    pub(super) gaps: Vec<(Serial32, Serial32)>,
    pub(super) gaps_scratch: Vec<(Serial32, Serial32)>,
    /// Bytes and number of DATA chunks in flight.
    pub(super) flight: usize,
    pub(super) flight_chunks: usize,
    /// Bytes of payload held.
    pub(super) held: usize,
    /// The memory that what is acknowledged behind gaps stands for.
    pub(super) held_acked: usize,
    /// What is to be sent again, in order. May list fragments that were acknowledged or abandoned meanwhile.
    pub(super) lost: VecDeque<Serial32>,
    /// The three highest miss indications, the highest first: each speaks of everything before a TSN.
    pub(super) indications: Indications,
    /// Everything before it has been looked at for losses.
    pub(super) scanned: Serial32,
    /// How many fragments at the front are abandoned: Advanced.Peer.Ack.Point less the Cumulative TSN Ack Point.
    pub(super) advanced: usize,
    /// When what is in flight left.
    pub(super) departures: Departures,
    pub(crate) rack: Rack,
    pub(super) forward_tsn: bool,
    /// Bytes of DATA chunks in a full packet.
    pub(super) packet: usize,
}

#[derive(Debug)]
pub(super) struct Sent {
    pub(super) payload: Bytes,
    pub(super) limit: Limit,
    pub(super) ppid: Ppid,
    pub(super) retransmits: u32,
    pub(super) stream: StreamId,
    pub(super) number: Serial32,
    pub(super) fsn: u32,
    pub(super) interleaved: bool,
    /// When it left last.
    pub(super) departure: DepartureId,
    pub(super) unordered: bool,
    pub(super) beginning: bool,
    pub(super) ending: bool,
    pub(super) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    InFlight,
    Acked,
    Lost,
    Abandoned,
}

/// A fragment that leaves.
#[derive(Debug)]
pub(crate) struct Leaving<'a> {
    pub(crate) tsn: Serial32,
    sent: &'a Sent,
}

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
            held_acked: 0,
            lost: VecDeque::new(),
            indications: [None; 3],
            scanned: initial_tsn,
            advanced: 0,
            departures: Departures::default(),
            rack: Rack::new(),
            forward_tsn,
            packet,
        }
    }

    /// Gives back the room that packets took which are acknowledged.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.sent.shrink_to_fit();
        self.lost.shrink_to_fit();
        self.gaps.shrink_to_fit();
        self.gaps_scratch.shrink_to_fit();
        self.departures.shrink_to_fit();
    }

    pub(crate) fn next_tsn(&self) -> Serial32 {
        self.cumulative.add(self.sent.len() as u32).next()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Bytes of DATA chunks in a full packet.
    pub(crate) fn packet(&self) -> usize {
        self.packet
    }

    /// The Cumulative TSN Ack Point.
    pub(crate) fn cumulative(&self) -> Serial32 {
        self.cumulative
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.flight
    }

    pub(crate) fn flight(&self) -> Flight {
        Flight {
            now: self.flight,
            cumulative: self.cumulative,
            highest: self.next_tsn().sub(1),
        }
    }

    pub(crate) fn chunks_in_flight(&self) -> usize {
        self.flight_chunks
    }

    /// The memory that what is not acknowledged stands for, in bytes. What is acknowledged behind a gap, which has to be kept
    /// in case the peer throws it away, does not count up to `free` bytes: a single loss would fill a small send buffer.
    pub(crate) fn cost(&self, free: usize) -> usize {
        let all = self.held + self.sent.len() * MESSAGE_OVERHEAD;
        all - self.held_acked.min(free)
    }

    /// True if something waits to be sent again.
    pub(crate) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    pub(super) fn index(&self, tsn: Serial32) -> Option<usize> {
        let index = self.cumulative.next().distance_to(tsn);
        usize::try_from(index).ok().filter(|&index| index < self.sent.len())
    }

    pub(super) fn tsn(&self, index: usize) -> Serial32 {
        self.cumulative.next().add(index as u32)
    }

    /// A fragment leaves for the first time. Returns the chunk to write.
    pub(crate) fn push(&mut self, stamp: &Stamp, fragment: Fragment) -> Leaving<'_> {
        let tsn = self.next_tsn();
        let departure = self.departures.push(stamp, tsn, false);
        self.flight_chunks += 1;
        self.held += fragment.payload.len();
        self.sent.push_back(Sent {
            departure,
            ..Sent::new(fragment)
        });
        let sent = &self.sent[self.sent.len() - 1];
        self.flight += sent.size();
        Leaving { tsn, sent }
    }

    /// The next fragment to send again if its payload fits `room` bytes. It counts as sent.
    pub(crate) fn retransmit(&mut self, stamp: &Stamp, room: usize, abandoned: &mut Abandoned) -> Option<Leaving<'_>> {
        let index = loop {
            let &tsn = self.lost.front()?;
            match self.index(tsn) {
                Some(index) if self.sent[index].state == State::Lost => {
                    // A fragment that was marked in time may have waited until its time was over.
                    if self.forward_tsn && self.sent[index].has_expired(stamp.left) {
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
        sent.departure = self.departures.push(stamp, tsn, true);
        self.flight += sent.size();
        self.flight_chunks += 1;
        let sent = &self.sent[index];
        Some(Leaving { tsn, sent })
    }

    /// Sends again the fragment in flight that was sent for the first time last, as a probe (RFC 8985 §7.3): it stays in
    /// flight. `None` if its payload exceeds `room`, or it may not be sent again.
    pub(crate) fn probe(&mut self, stamp: &Stamp, room: usize) -> Option<Leaving<'_>> {
        let index = self.sent.iter().rposition(|sent| sent.state == State::InFlight)?;
        let tsn = self.tsn(index);
        let sent = &mut self.sent[index];
        let limited = matches!(sent.limit, Limit::Retransmits(limit) if sent.retransmits >= limit);
        if limited || sent.has_expired(stamp.left) || sent.payload.len() > room {
            return None;
        }
        sent.retransmits += 1;
        sent.departure = self.departures.push(stamp, tsn, true);
        let sent = &self.sent[index];
        Some(Leaving { tsn, sent })
    }

    /// True if a TSN that has been sent is acknowledged.
    pub(crate) fn is_acked(&self, tsn: Serial32) -> bool {
        self.index(tsn)
            .is_none_or(|index| self.sent[index].state == State::Acked)
    }

    /// T3-rtx has expired: everything in flight is lost (§6.3.3 E3).
    pub(crate) fn on_timeout(&mut self, now: Instant) -> Abandoned {
        let mut abandoned = Abandoned::default();
        self.lost.clear();
        self.departures.clear();
        self.rack.on_timeout();
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

    pub(super) fn lose(&mut self, now: Instant, index: usize, abandoned: &mut Abandoned) {
        let tsn = self.tsn(index);
        let sent = &mut self.sent[index];
        let exhausted = matches!(sent.limit, Limit::Retransmits(limit) if sent.retransmits >= limit);
        if self.forward_tsn && (exhausted || sent.has_expired(now)) {
            self.abandon(index, abandoned);
            return;
        }
        sent.state = State::Lost;
        self.flight -= sent.size();
        self.flight_chunks -= 1;
        self.lost.push_back(tsn);
    }
}

impl Leaving<'_> {
    /// How many times it has been sent again.
    pub(crate) fn retransmits(&self) -> u32 {
        self.sent.retransmits
    }

    /// Appends the fragment's chunk: DATA or I-DATA.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let Self { tsn, sent } = *self;
        if sent.interleaved {
            let place = if sent.beginning {
                FragmentPlace::First(sent.ppid)
            } else {
                FragmentPlace::Later(Serial32(sent.fsn))
            };
            let data = IData {
                immediate: false,
                unordered: sent.unordered,
                ending: sent.ending,
                tsn,
                stream: sent.stream,
                mid: sent.number,
                place,
                payload: &sent.payload,
            };
            return data.encode(out);
        }
        let data = Data {
            immediate: false,
            unordered: sent.unordered,
            beginning: sent.beginning,
            ending: sent.ending,
            tsn,
            stream: sent.stream,
            ssn: Serial16(if sent.unordered { 0 } else { sent.number.0 as u16 }),
            ppid: sent.ppid,
            payload: &sent.payload,
        };
        data.encode(out);
    }
}

impl Sent {
    pub(super) fn new(fragment: Fragment) -> Self {
        Self {
            payload: fragment.payload,
            limit: fragment.limit,
            ppid: fragment.ppid,
            retransmits: 0,
            stream: fragment.stream,
            number: fragment.number,
            fsn: fragment.fsn,
            interleaved: fragment.interleaved,
            departure: DepartureId::NONE,
            unordered: fragment.unordered,
            beginning: fragment.beginning,
            ending: fragment.ending,
            state: State::InFlight,
        }
    }

    /// The bytes its chunk counts for: header, payload and padding.
    pub(super) fn size(&self) -> usize {
        data_header_len(self.interleaved) + self.payload.len().next_multiple_of(4)
    }

    /// What tells its message from the others in flight.
    pub(super) fn message(&self) -> (StreamId, bool, Serial32) {
        (self.stream, self.unordered, self.number)
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        matches!(self.limit, Limit::Time(end) if now >= end)
    }
}

/// Bytes of a DATA or an I-DATA chunk before its payload.
pub(crate) fn data_header_len(interleaved: bool) -> usize {
    if interleaved {
        IData::HEADER_LEN
    } else {
        Data::HEADER_LEN
    }
}

#[cfg(test)]
#[path = "outstanding_tests.rs"]
mod tests;
