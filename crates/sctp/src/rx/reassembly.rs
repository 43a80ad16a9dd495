//! Whole messages come in order, and wait on their stream until they are read (RFC 9260 §6.5, §6.6). Everything kept is
//! counted in the bytes it occupies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::fragments::{Fragment, Fragments, MessageId, Number, Piece, Place, Violation};
use crate::few::Few;
use crate::wire::{SkippedMessages, SkippedStream};
use crate::{Event, Message, StreamId};

#[derive(Debug)]
pub(crate) struct Reassembly {
    fragments: Fragments,
    /// Boxed: a node of the tree has room for eleven, and most associations use one or two.
    streams: Few<u16, Box<IncomingStream>>,
    /// Bytes allocated for whole messages.
    allocated: usize,
    /// Messages that can be read, on all streams.
    readable: usize,
    /// Streams that have been reset behind messages that nobody has read.
    reset_behind: BTreeSet<StreamId>,
    max_message: usize,
}

#[derive(Debug)]
struct IncomingStream {
    /// The number of the next ordered message, in 64 bits.
    next: u64,
    /// The highest number of an unordered message in I-DATA, in 64 bits.
    highest_unordered: u64,
    /// Unordered messages in I-DATA with lower numbers have been given up, or are whole.
    first_unordered: u64,
    /// Whole messages that wait for earlier ones, by number.
    early: BTreeMap<u64, Whole>,
    ready: VecDeque<Entry>,
    /// `Event::Readable` has been raised since `recv` last returned `None`.
    announced: bool,
    /// `Event::Readable` has not been taken yet.
    queued: bool,
}

#[derive(Debug)]
struct Whole {
    message: Message,
    cost: usize,
}

#[derive(Debug)]
enum Entry {
    Message(Whole),
    /// The peer reset the stream here.
    Reset,
}

/// What the peer has given up on a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skipped {
    pub(crate) stream: StreamId,
    pub(crate) unordered: bool,
    /// The last message given up.
    pub(crate) number: Number,
}

impl From<SkippedStream> for Skipped {
    fn from(skipped: SkippedStream) -> Self {
        Self {
            stream: skipped.stream,
            unordered: false,
            number: Number::Ssn(skipped.ssn),
        }
    }
}

impl From<SkippedMessages> for Skipped {
    fn from(skipped: SkippedMessages) -> Self {
        Self {
            stream: skipped.stream,
            unordered: skipped.unordered,
            number: Number::Mid(skipped.mid),
        }
    }
}

/// What a fragment costs beside its allocation, in bytes: a bound for the bookkeeping.
const OVERHEAD: usize = 128;

/// Payloads below this, and those of less than half of their datagram, are copied out of it, lest a few bytes keep a
/// datagram alive, or a batch of them.
const COPY_BELOW: usize = 512;

impl Reassembly {
    pub(crate) fn new(max_message: usize) -> Self {
        Self {
            fragments: Fragments::default(),
            streams: Few::default(),
            allocated: 0,
            readable: 0,
            reset_behind: BTreeSet::new(),
            max_message,
        }
    }

    /// Bytes allocated.
    pub(crate) fn allocated(&self) -> usize {
        self.allocated + self.fragments.allocated()
    }

    pub(crate) fn has_readable(&self) -> bool {
        self.readable > 0
    }

    /// Takes a fragment of which the TSN, `tsn` in 64 bits, is new. `in_order`: all before it has arrived. `datagram` is
    /// what the fragment's payload is a part of. Returns how many messages became readable.
    pub(crate) fn push(
        &mut self,
        tsn: u64,
        in_order: bool,
        fragment: &Fragment<'_>,
        datagram: &Bytes,
        events: &mut VecDeque<Event>,
    ) -> Result<u64, Violation> {
        let size = fragment.payload.len();
        if size > self.max_message {
            return Err(Violation::TooLarge);
        }
        let stream = self.streams.get_or_default(fragment.stream.0);
        let message = stream.identify(fragment);
        if fragment.fsn.is_some() && stream.has_had(message) {
            return Ok(0);
        }
        let (payload, cost) = if size < COPY_BELOW || size < datagram.len() / 2 {
            (Bytes::copy_from_slice(fragment.payload), size + OVERHEAD)
        } else {
            (datagram.slice_ref(fragment.payload), datagram.len() + OVERHEAD)
        };
        if fragment.beginning && fragment.ending {
            let whole = Message {
                ppid: fragment.ppid,
                payload,
            };
            return Ok(self.put_in_order(message, Whole { message: whole, cost }, events));
        }
        let place = match fragment.fsn {
            Some(fsn) => Place {
                message: Some(message),
                index: fsn.into(),
            },
            None => Place {
                message: None,
                index: tsn,
            },
        };
        let piece = Piece {
            place,
            message,
            ppid: fragment.ppid,
            beginning: fragment.beginning,
            ending: fragment.ending,
            in_order,
            payload,
            cost,
        };
        let Some((id, message)) = self.fragments.add(piece, self.max_message)? else {
            return Ok(0);
        };
        let cost = message.payload.len() + OVERHEAD;
        Ok(self.put_in_order(id, Whole { message, cost }, events))
    }

    fn put_in_order(&mut self, id: MessageId, whole: Whole, events: &mut VecDeque<Event>) -> u64 {
        let stream = self.streams.get_or_default(id.stream.0);
        if !id.unordered && stream.has_had(id) {
            // A sequence number used before: the peer is confused, and the message of no use.
            return 0;
        }
        self.allocated += whole.cost;
        if id.unordered {
            stream.ready.push_back(Entry::Message(whole));
            self.readable += 1;
            stream.announce(id.stream, events);
            return 1;
        }
        if id.number > stream.next {
            stream.early.insert(id.number, whole);
            return 0;
        }
        stream.ready.push_back(Entry::Message(whole));
        stream.next += 1;
        let count = 1 + stream.release_in_order();
        self.readable += count;
        stream.announce(id.stream, events);
        count as u64
    }

    /// The peer has given up everything up to a TSN: partial messages go, and messages that waited for them come
    /// (RFC 3758 §3.6, RFC 8260 §2.3.1). Returns how many became readable.
    pub(crate) fn forward(
        &mut self,
        cumulative: u64,
        skipped: impl Iterator<Item = Skipped>,
        events: &mut VecDeque<Event>,
    ) -> u64 {
        self.fragments.forget_tsns(cumulative);
        let mut released = 0;
        for Skipped {
            stream: id,
            unordered,
            number,
        } in skipped
        {
            let stream = self.streams.get_or_default(id.0);
            let last = MessageId {
                stream: id,
                unordered,
                number: number.extend(stream.reference(unordered)),
            };
            self.fragments.forget_messages(MessageId { number: 0, ..last }, last);
            if unordered {
                stream.highest_unordered = stream.highest_unordered.max(last.number);
                stream.first_unordered = stream.first_unordered.max(last.number.saturating_add(1));
                continue;
            }
            // Within half the space, so that a stale FORWARD TSN does not turn the stream back.
            if last.number < stream.next {
                continue;
            }
            let mut count = 0;
            while let Some(entry) = stream.early.first_entry()
                && *entry.key() <= last.number
            {
                stream.ready.push_back(Entry::Message(entry.remove()));
                count += 1;
            }
            stream.next = last.number.saturating_add(1);
            count += stream.release_in_order();
            if count > 0 {
                stream.announce(id, events);
            }
            self.readable += count;
            released += count as u64;
        }
        released
    }

    /// The peer has reset a stream, and all it sent before has arrived (RFC 6525 §5.2.2 E3).
    pub(crate) fn reset(&mut self, id: StreamId, events: &mut VecDeque<Event>) {
        let of_stream = |unordered, number| MessageId {
            stream: id,
            unordered,
            number,
        };
        self.fragments
            .forget_messages(of_stream(false, 0), of_stream(true, u64::MAX));
        let stream = self.streams.get_or_default(id.0);
        // RFC 8260 §2.3.2: "the two counters (one for the ordered messages, one for the unordered messages) used for the
        // MIDs MUST be reset to 0."
        stream.begin_anew();
        // What still waits for an earlier message waits in vain.
        self.allocated -= std::mem::take(&mut stream.early)
            .values()
            .map(|whole| whole.cost)
            .sum::<usize>();
        match stream.ready.back() {
            Some(Entry::Reset) => return,
            Some(Entry::Message(_)) => drop(self.reset_behind.insert(id)),
            None => events.push_back(Event::IncomingStreamReset(id)),
        }
        stream.ready.push_back(Entry::Reset);
    }

    /// The peer starts anew: partial messages go, all sequence numbers return to zero; what can be read stays.
    pub(crate) fn restart(&mut self) {
        self.fragments.clear();
        for stream in self.streams.values_mut() {
            self.allocated -= std::mem::take(&mut stream.early)
                .values()
                .map(|whole| whole.cost)
                .sum::<usize>();
            stream.begin_anew();
        }
        self.streams
            .retain(|_, stream| !stream.ready.is_empty() || stream.announced);
    }

    pub(crate) fn recv(&mut self, id: StreamId, events: &mut VecDeque<Event>) -> Option<Message> {
        let stream = self.streams.get_mut(&id.0)?;
        let Some(Entry::Message(_)) = stream.ready.front() else {
            stream.announced = false;
            return None;
        };
        let Some(Entry::Message(whole)) = stream.ready.pop_front() else {
            return None;
        };
        self.allocated -= whole.cost;
        self.readable -= 1;
        if matches!(stream.ready.front(), Some(Entry::Reset)) {
            events.push_back(Event::IncomingStreamReset(id));
        }
        if stream.ready.is_empty() && stream.ready.capacity() > 64 {
            stream.ready.shrink_to(16);
        }
        Some(whole.message)
    }

    /// `Event::Readable` has been taken.
    pub(crate) fn readable_taken(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id.0) {
            stream.queued = false;
        }
    }

    /// `Event::IncomingStreamReset` has been taken: what came after the reset may be read now.
    pub(crate) fn reset_taken(&mut self, id: StreamId, events: &mut VecDeque<Event>) {
        self.reset_behind.remove(&id);
        let Some(stream) = self.streams.get_mut(&id.0) else {
            return;
        };
        if matches!(stream.ready.front(), Some(Entry::Reset)) {
            stream.ready.pop_front();
        }
        if stream.ready.is_empty() {
            if stream.is_fresh() && stream.early.is_empty() && !stream.queued && !stream.announced {
                self.streams.remove(&id.0);
            }
        } else {
            stream.announce(id, events);
        }
    }

    /// A stream that has been reset behind messages that nobody has read, and their sizes. Each is told once.
    pub(crate) fn next_reset_behind(&mut self) -> Option<(StreamId, impl Iterator<Item = usize>)> {
        let id = self.reset_behind.pop_first()?;
        let ready = self.streams.get(&id.0).into_iter().flat_map(|stream| &stream.ready);
        let sizes = ready.map_while(|entry| match entry {
            Entry::Message(whole) => Some(whole.message.payload.len()),
            Entry::Reset => None,
        });
        Some((id, sizes))
    }

    /// As if `recv` had returned `None`: the next message is news.
    pub(crate) fn announce_anew(&mut self, id: StreamId, events: &mut VecDeque<Event>) {
        if let Some(stream) = self.streams.get_mut(&id.0) {
            stream.announced = false;
            stream.announce(id, events);
        }
    }

    /// Gives back the room that messages took which have been read.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.fragments.shrink_to_fit();
        for stream in self.streams.values_mut() {
            stream.ready.shrink_to_fit();
        }
    }

    /// Streams that hold state.
    pub(crate) fn streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.streams.keys().map(|&id| StreamId(id))
    }
}

impl Default for IncomingStream {
    fn default() -> Self {
        Self {
            next: Number::START,
            highest_unordered: Number::START,
            first_unordered: Number::START,
            early: BTreeMap::new(),
            ready: VecDeque::new(),
            announced: false,
            queued: false,
        }
    }
}

impl IncomingStream {
    /// The message that a fragment is of.
    fn identify(&mut self, fragment: &Fragment<'_>) -> MessageId {
        let unordered = fragment.unordered;
        let number = match fragment.number {
            // RFC 9260 §3.3.1: "there is no Stream Sequence Number assigned".
            Number::Ssn(_) if unordered => 0,
            number => number.extend(self.reference(unordered)),
        };
        if unordered {
            self.highest_unordered = self.highest_unordered.max(number);
        }
        MessageId {
            stream: fragment.stream,
            unordered,
            number,
        }
    }

    fn reference(&self, unordered: bool) -> u64 {
        if unordered { self.highest_unordered } else { self.next }
    }

    /// True if a message with this number has come or been given up, and no fragment of it can matter any more. (A sender
    /// has one message at a time under way on a stream, so what comes before one given up has come or been given up too.)
    fn has_had(&self, id: MessageId) -> bool {
        if id.unordered {
            id.number < self.first_unordered
        } else {
            id.number < self.next || self.early.contains_key(&id.number)
        }
    }

    fn begin_anew(&mut self) {
        self.next = Number::START;
        self.highest_unordered = Number::START;
        self.first_unordered = Number::START;
    }

    fn is_fresh(&self) -> bool {
        (self.next, self.highest_unordered) == (Number::START, Number::START)
    }

    fn release_in_order(&mut self) -> usize {
        let mut count = 0;
        while let Some(whole) = self.early.remove(&self.next) {
            self.ready.push_back(Entry::Message(whole));
            self.next += 1;
            count += 1;
        }
        count
    }

    fn announce(&mut self, id: StreamId, events: &mut VecDeque<Event>) {
        // What stands behind a reset is announced once the reset has been taken.
        if !self.announced && matches!(self.ready.front(), Some(Entry::Message(_))) {
            self.announced = true;
            if !self.queued {
                self.queued = true;
                events.push_back(Event::Readable(id));
            }
        }
    }
}

#[cfg(test)]
#[path = "reassembly_tests.rs"]
mod tests;
