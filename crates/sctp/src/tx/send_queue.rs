//! What waits to be sent for the first time: a queue a stream, and the state of outgoing streams.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use peerline_wire::Serial32;

use super::admission::{Admission, Ticket};
use super::scheduler::{Scheduler, Share, Turn};
use crate::cookie::Agreement;
use crate::few::Few;
use crate::{Event, Message, Ppid, Reliability, SendOptions, StreamId};

/// What each message costs beside its payload, in bytes: a bound for the bookkeeping.
pub(crate) const MESSAGE_OVERHEAD: usize = 96;

#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    /// Boxed: a node of the tree has room for eleven, and most associations use one or two.
    streams: Few<u16, Box<OutgoingStream>>,
    scheduler: Scheduler,
    /// Fragments go out as I-DATA (RFC 8260).
    interleaving: bool,
    /// The peer can be told that a message has been given up in the middle (RFC 3758).
    abandons: bool,
    /// Without interleaving, the stream whose first message has been sent in part. Fragments of a message have consecutive
    /// TSNs, so nothing else can be sent before it is whole (RFC 9260 §6.9).
    current: Option<u16>,
    /// With interleaving, how many messages may be under way.
    admission: Admission,
    /// The streams whose first message may not begin yet, by virtual time.
    held: BinaryHeap<Reverse<(u64, u16)>>,
    /// Messages waiting, and their payload.
    messages: usize,
    bytes: usize,
    /// The streams that wait for a reset and have nothing more to send.
    resets_ready: VecDeque<StreamId>,
}

#[derive(Debug)]
pub(crate) struct OutgoingStream {
    messages: VecDeque<Waiting>,
    buffered: usize,
    low_threshold: usize,
    /// `Event::BufferedAmountLow` has not been taken yet.
    low_announced: bool,
    /// The numbers, SSN or MID, of the next ordered and the next unordered message.
    next: [Serial32; 2],
    share: Share,
    /// With interleaving: the first message may be sent.
    ticket: Option<Ticket>,
    pub(crate) reset: Reset,
}

/// Where the reset of an outgoing stream stands (RFC 6525 §5.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reset {
    #[default]
    None,
    /// To be requested once the queue is empty.
    Wanted,
    /// Requested.
    Requested,
}

impl Default for OutgoingStream {
    fn default() -> Self {
        Self {
            messages: VecDeque::new(),
            buffered: 0,
            low_threshold: 0,
            low_announced: false,
            next: [Serial32(0); 2],
            share: Share::NORMAL,
            ticket: None,
            reset: Reset::None,
        }
    }
}

#[derive(Debug)]
struct Waiting {
    /// What has not been sent.
    payload: Bytes,
    ppid: Ppid,
    unordered: bool,
    limit: Limit,
    /// Fragments sent.
    fragments: u32,
}

impl Waiting {
    fn is_started(&self) -> bool {
        self.fragments > 0
    }

    /// Its time has come.
    fn has_expired(&self, now: Instant) -> bool {
        matches!(self.limit, Limit::Time(end) if now >= end)
    }
}

/// When to give a message up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Never,
    Retransmits(u32),
    Time(Instant),
}

/// Room for payload in a packet that is being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// What is left, in bytes.
    pub(crate) all: usize,
    /// What is left of the size that full fragments make.
    pub(crate) even: usize,
    /// What a full fragment has: it fits the smallest path.
    pub(crate) full: usize,
    /// The stream of which a message began in this packet and goes on.
    pub(crate) began: Option<StreamId>,
}

impl Room {
    /// A fragment of a message that has to be cut is not smaller than this, unless it is the last.
    const CRUMB: usize = 12;

    /// How much of a message to put here of which `rest` bytes are left. `is_whole_here`: none of it is in another packet.
    fn size_for(self, rest: usize, is_whole_here: bool) -> Option<usize> {
        // A packet grows for messages that are whole in it. Those that take several packets make them all of one size, the end
        // of one message and the beginning of the next together: only so do they leave in one batch.
        let room = if is_whole_here { self.all } else { self.even }.min(self.full);
        let even = self.even.min(self.full) & !3;
        // What would fit an empty packet is cut only if that fills the half of one.
        let least = if rest > self.full { Self::CRUMB } else { self.full / 2 };
        if rest <= room {
            Some(rest)
        } else {
            Some(even).filter(|&even| even >= least)
        }
    }
}

/// One fragment that is to be sent for the first time.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    pub(crate) stream: StreamId,
    /// The message's number among the ordered, or the unordered, of its stream: its MID, and an ordered one's SSN is the
    /// lower half.
    pub(crate) number: Serial32,
    /// The fragment's number in its message.
    pub(crate) fsn: u32,
    /// It goes out as I-DATA.
    pub(crate) interleaved: bool,
    pub(crate) ppid: Ppid,
    pub(crate) unordered: bool,
    pub(crate) beginning: bool,
    pub(crate) ending: bool,
    pub(crate) limit: Limit,
    pub(crate) payload: Bytes,
}

impl SendQueue {
    pub(crate) fn push(&mut self, now: Instant, stream: StreamId, message: Message, options: SendOptions) {
        let limit = match options.reliability {
            Reliability::Reliable => Limit::Never,
            Reliability::MaxRetransmits(count) => Limit::Retransmits(count),
            Reliability::MaxLifetime(lifetime) => now.checked_add(lifetime).map_or(Limit::Never, Limit::Time),
        };
        let state = self.streams.get_or_default(stream.0);
        self.messages += 1;
        self.bytes += message.payload.len();
        state.buffered += message.payload.len();
        state.messages.push_back(Waiting {
            payload: message.payload,
            ppid: message.ppid,
            unordered: !options.ordered,
            limit,
            fragments: 0,
        });
        if state.messages.len() == 1 {
            self.schedule(stream.0, Turn::WasIdle);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// The memory the queue stands for, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.bytes + self.messages * MESSAGE_OVERHEAD
    }

    /// The handshake has told what the peer can do.
    pub(crate) fn adopt(&mut self, agreement: &Agreement) {
        self.interleaving = agreement.peer_can.interleaving;
        self.abandons = agreement.peer_can.forward_tsn;
        self.admission = Admission::new(agreement.peer_window as usize);
        self.scheduler.clear();
        self.held.clear();
        if self.interleaving {
            self.current = None;
        }
        let mut busy = Vec::new();
        for (&id, stream) in self.streams.iter_mut() {
            stream.share.leave();
            stream.ticket = None;
            if !stream.messages.is_empty() && self.current != Some(id) {
                busy.push(id);
            }
        }
        busy.into_iter().for_each(|id| self.schedule(id, Turn::WasIdle));
    }

    /// A stream has a message to send, which had none, or another, or the rest of one.
    fn schedule(&mut self, id: u16, turn: Turn) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if self.interleaving && stream.ticket.is_none() {
            let size = stream.messages.front().map_or(0, |message| message.payload.len());
            stream.ticket = self.admission.admit(size);
            if stream.ticket.is_none() {
                self.held.push(Reverse((stream.share.virtual_time(), id)));
                return;
            }
        }
        self.scheduler.add(id, &mut stream.share, turn);
    }

    /// The stream whose turn it is.
    fn first(&self) -> Option<u16> {
        self.current.or_else(|| self.scheduler.first())
    }

    /// The size of the next fragment; `None` if nothing is to be sent, or nothing that fits well.
    ///
    /// Messages whose time has come are dropped here. One that is in flight in part is not sent on: it is for
    /// [`expired`](Self::expired).
    pub(crate) fn peek(&mut self, now: Instant, room: Room, news: &mut News<'_>) -> Option<usize> {
        let abandons = self.abandons;
        let message = self.peek_message(now, news)?;
        if abandons && message.has_expired(now) {
            return None;
        }
        let (rest, is_started) = (message.payload.len(), message.is_started());
        let began_here = room.began.is_some_and(|stream| self.first() == Some(stream.0));
        room.size_for(rest, !is_started || began_here)
    }

    /// The message whose turn it is. Those whose time has come are dropped, unless they have been begun.
    fn peek_message(&mut self, now: Instant, news: &mut News<'_>) -> Option<&Waiting> {
        loop {
            let id = self.first()?;
            let message = self.streams.get(&id).and_then(|stream| stream.messages.front());
            match message {
                Some(message) if !message.is_started() && message.has_expired(now) => {
                    *news.abandoned += 1;
                    self.drop_front(id, news);
                }
                Some(_) => break,
                // What was queued has been dropped.
                None => self.take_turn(id),
            }
        }
        let id = self.first()?;
        self.streams.get(&id)?.messages.front()
    }

    /// The first stream loses its place.
    fn take_turn(&mut self, id: u16) {
        if self.current.take().is_none() {
            let share = self.streams.get_mut(&id).map(|stream| &mut stream.share);
            self.scheduler.remove_first(share);
        }
    }

    /// Takes the fragment that `peek` announced.
    pub(crate) fn take(&mut self, size: usize, news: &mut News<'_>) -> Option<Fragment> {
        let id = self.first()?;
        self.take_turn(id);
        let stream = self.streams.get_mut(&id)?;
        let message = stream.messages.front_mut()?;
        let payload = message.payload.split_to(size.min(message.payload.len()));
        let fragment = Fragment {
            stream: StreamId(id),
            number: stream.next[usize::from(message.unordered)],
            fsn: message.fragments,
            interleaved: self.interleaving,
            ppid: message.ppid,
            unordered: message.unordered,
            beginning: !message.is_started(),
            ending: message.payload.is_empty(),
            limit: message.limit,
            payload,
        };
        message.fragments += 1;
        self.bytes -= fragment.payload.len();
        stream.share.charge(fragment.payload.len());
        if fragment.ending {
            stream.pop_front();
            *news.sent += 1;
            self.messages -= 1;
            self.after_message(id);
        } else if self.interleaving {
            self.schedule(id, Turn::Continues);
        } else {
            self.current = Some(id);
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return Some(fragment);
        };
        stream.consume(StreamId(id), fragment.payload.len(), news);
        Some(fragment)
    }

    /// The message of which a stream has fragments in flight has been given up: what is left of it is dropped.
    pub(crate) fn drop_started(&mut self, stream: StreamId, news: &mut News<'_>) {
        let state = self.streams.get(&stream.0);
        let message = state.and_then(|state| state.messages.front());
        if message.is_some_and(Waiting::is_started) {
            self.drop_front(stream.0, news);
        }
    }

    /// The message whose turn it is, as its last fragment would look, if it has been sent in part and its time has come.
    pub(crate) fn expired(&mut self, now: Instant, news: &mut News<'_>) -> Option<Fragment> {
        let abandons = self.abandons;
        let message = self.peek_message(now, news)?;
        if !abandons || !message.has_expired(now) {
            return None;
        }
        let id = self.first()?;
        let stream = self.streams.get(&id)?;
        let message = stream.messages.front()?;
        Some(Fragment {
            stream: StreamId(id),
            number: stream.next[usize::from(message.unordered)],
            fsn: message.fragments,
            interleaved: self.interleaving,
            ppid: message.ppid,
            unordered: message.unordered,
            beginning: false,
            ending: true,
            limit: message.limit,
            payload: Bytes::new(),
        })
    }

    /// Drops the first message of a stream that has one.
    fn drop_front(&mut self, id: u16, news: &mut News<'_>) {
        if self.first() == Some(id) {
            self.take_turn(id);
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Some(message) = stream.pop_front() else {
            return;
        };
        self.messages -= 1;
        self.bytes -= message.payload.len();
        stream.consume(StreamId(id), message.payload.len(), news);
        self.after_message(id);
    }

    /// A message has left a stream: is there another, or is it time for a reset?
    fn after_message(&mut self, id: u16) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let ticket = stream.ticket.take();
        if stream.messages.is_empty() {
            if stream.reset == Reset::Wanted {
                self.resets_ready.push_back(StreamId(id));
            }
        } else {
            self.schedule(id, Turn::Continues);
        }
        if let Some(ticket) = ticket {
            self.admission.release(ticket);
            self.readmit();
        }
    }

    /// Messages may have become admissible: the one that has waited longest goes first.
    fn readmit(&mut self) {
        while let Some(&Reverse((_, id))) = self.held.peek() {
            if let Some(stream) = self.streams.get_mut(&id)
                && stream.ticket.is_none()
                && let Some(message) = stream.messages.front()
            {
                stream.ticket = self.admission.admit(message.payload.len());
                if stream.ticket.is_none() {
                    return;
                }
                self.scheduler.add(id, &mut stream.share, Turn::Continues);
            }
            self.held.pop();
        }
    }

    /// Drops what is queued on streams from `count` on, which the peer does not accept.
    pub(crate) fn truncate_streams(&mut self, count: u16, news: &mut News<'_>) {
        for (&id, stream) in self.streams.iter_mut().filter(|(id, _)| **id >= count) {
            *news.abandoned += stream.messages.len() as u64;
            self.messages -= stream.messages.len();
            self.bytes -= stream.buffered;
            stream.messages.clear();
            stream.consume(StreamId(id), stream.buffered, news);
        }
    }

    /// Forgets every message and every sequence number; thresholds and priorities stay.
    pub(crate) fn restart(&mut self) {
        self.scheduler.clear();
        self.held.clear();
        self.admission = Admission::default();
        self.current = None;
        (self.messages, self.bytes) = (0, 0);
        self.resets_ready.clear();
        for stream in self.streams.values_mut() {
            stream.messages.clear();
            stream.buffered = 0;
            stream.low_announced = false;
            stream.next = [Serial32(0); 2];
            stream.ticket = None;
            stream.share.leave();
            stream.reset = Reset::None;
        }
    }

    // --- resets

    pub(crate) fn reset_state(&self, stream: StreamId) -> Reset {
        self.streams.get(&stream.0).map_or(Reset::None, |stream| stream.reset)
    }

    pub(crate) fn want_reset(&mut self, stream: StreamId) {
        let state = self.streams.get_or_default(stream.0);
        if state.reset == Reset::None {
            state.reset = Reset::Wanted;
            if state.messages.is_empty() {
                self.resets_ready.push_back(stream);
            }
        }
    }

    /// True if `take_resets` would take some.
    pub(crate) fn has_resets(&self) -> bool {
        !self.resets_ready.is_empty()
    }

    /// Takes up to `limit` streams that wait for a reset and have nothing more to send.
    pub(crate) fn take_resets(&mut self, limit: usize) -> Vec<StreamId> {
        let count = limit.min(self.resets_ready.len());
        let taken: Vec<_> = self.resets_ready.drain(..count).collect();
        for stream in &taken {
            self.streams.get_or_default(stream.0).reset = Reset::Requested;
        }
        taken
    }

    /// The reset of a stream has ended. A stream that was reset has no state left.
    pub(crate) fn finish_reset(&mut self, stream: StreamId, performed: bool) {
        if performed {
            self.streams.remove(&stream.0);
        } else if let Some(state) = self.streams.get_mut(&stream.0) {
            state.reset = Reset::None;
        }
    }

    /// Gives back the room that messages took which are gone.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.scheduler.shrink_to_fit();
        self.held.shrink_to_fit();
        self.resets_ready.shrink_to_fit();
        for stream in self.streams.values_mut() {
            stream.messages.shrink_to_fit();
        }
    }

    /// Streams that hold state.
    pub(crate) fn streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.streams.keys().map(|&id| StreamId(id))
    }

    // --- what the application asks

    pub(crate) fn set_priority(&mut self, stream: StreamId, priority: u16) {
        self.streams.get_or_default(stream.0).share.set_weight(priority);
    }

    pub(crate) fn buffered(&self, stream: StreamId) -> usize {
        self.streams.get(&stream.0).map_or(0, |stream| stream.buffered)
    }

    pub(crate) fn set_low_threshold(&mut self, stream: StreamId, threshold: usize) {
        self.streams.get_or_default(stream.0).low_threshold = threshold;
    }

    pub(crate) fn low_threshold(&self, stream: StreamId) -> usize {
        self.streams.get(&stream.0).map_or(0, |stream| stream.low_threshold)
    }

    /// `Event::BufferedAmountLow` has been taken: the next crossing is news again.
    pub(crate) fn low_taken(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get_mut(&stream.0) {
            state.low_announced = false;
        }
    }
}

/// Where the queue reports what happens.
pub(crate) struct News<'a> {
    pub(crate) events: &'a mut VecDeque<Event>,
    pub(crate) sent: &'a mut u64,
    pub(crate) abandoned: &'a mut u64,
}

impl OutgoingStream {
    /// Takes the first message out; one that has been begun has used its number.
    fn pop_front(&mut self) -> Option<Waiting> {
        let message = self.messages.pop_front()?;
        if message.is_started() {
            let next = &mut self.next[usize::from(message.unordered)];
            *next = next.next();
        }
        Some(message)
    }

    fn consume(&mut self, id: StreamId, bytes: usize, news: &mut News<'_>) {
        let before = self.buffered;
        self.buffered -= bytes;
        if before > self.low_threshold && self.buffered <= self.low_threshold && !self.low_announced {
            self.low_announced = true;
            news.events.push_back(Event::BufferedAmountLow(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_packet_is_filled_to_an_even_size() {
        // In a packet that may grow by 200 bytes.
        let size = |left: usize, rest, is_whole_here| {
            let room = Room {
                all: left + 200,
                even: left,
                full: 1_000,
                began: None,
            };
            room.size_for(rest, is_whole_here)
        };
        // A whole message may take all the room, the end of one that began elsewhere may not.
        assert_eq!((size(100, 300, true), size(100, 300, false)), (Some(300), None));
        assert_eq!(
            (size(100, 100, false), size(1_000, 1_000, false)),
            (Some(100), Some(1_000))
        );
        // What has to be cut fills a packet, with little if need be.
        assert_eq!(
            (size(1_000, 1_001, true), size(36, 1_001, true)),
            (Some(1_000), Some(36))
        );
        assert_eq!((size(8, 1_001, true), size(0, 5_000, false)), (None, None));
        // What need not be cut is not cut for little.
        assert_eq!((size(499, 900, true), size(500, 900, true)), (None, Some(500)));
        assert_eq!(
            size(503, 900, true),
            Some(500),
            "what follows begins at a multiple of four"
        );
    }
}
