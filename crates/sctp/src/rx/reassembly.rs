//! Fragments become messages, messages come in order, and wait on their stream until they are read (RFC 9260 §6.5, §6.6,
//! §6.9). Everything kept is counted in the bytes it occupies.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use peerline_wire::Serial16;

use crate::wire::{Data, SkippedStream};
use crate::{Event, Message, Ppid, StreamId};

#[derive(Debug)]
pub(crate) struct Reassembly {
    /// Neighbouring fragments of messages that are not whole, by the TSN of the first.
    runs: BTreeMap<u64, Run>,
    streams: BTreeMap<u16, IncomingStream>,
    /// Bytes allocated for everything above.
    allocated: usize,
    /// Messages that can be read, on all streams.
    readable: usize,
    max_message: usize,
}

/// Fragments of one message with consecutive TSNs. Kept in their order, so that a message of many fragments costs one
/// lookup a fragment.
#[derive(Debug)]
struct Run {
    stream: StreamId,
    ssn: Serial16,
    ppid: Ppid,
    unordered: bool,
    /// The first fragment is the message's first.
    begins: bool,
    /// The last fragment is the message's last.
    ends: bool,
    fragments: VecDeque<Bytes>,
    bytes: usize,
    cost: usize,
}

#[derive(Debug, Default)]
struct IncomingStream {
    next_ssn: Serial16,
    /// Whole messages that wait for earlier ones, by sequence number.
    early: BTreeMap<u16, Whole>,
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

/// Why the association cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A message larger than the limit.
    TooLarge,
    /// Consecutive TSNs that cannot be one message nor two.
    Inconsistent,
}

/// What a fragment costs beside its allocation, in bytes: a bound for the bookkeeping.
const OVERHEAD: usize = 128;

/// Payloads below this are copied out of their datagram, lest a few bytes keep a datagram alive, or a batch of them.
const COPY_BELOW: usize = 512;

impl Reassembly {
    pub(crate) fn new(max_message: usize) -> Self {
        Self {
            runs: BTreeMap::new(),
            streams: BTreeMap::new(),
            allocated: 0,
            readable: 0,
            max_message,
        }
    }

    /// Bytes allocated.
    pub(crate) fn allocated(&self) -> usize {
        self.allocated
    }

    pub(crate) fn has_readable(&self) -> bool {
        self.readable > 0
    }

    /// Takes a fragment of which the TSN, `tsn` in 64 bits, is new. `in_order`: all before it has arrived. `datagram` is
    /// what `data.payload` is a part of. Returns how many messages became readable.
    pub(crate) fn push(
        &mut self,
        tsn: u64,
        in_order: bool,
        data: &Data<'_>,
        datagram: &Bytes,
        events: &mut VecDeque<Event>,
    ) -> Result<u64, Violation> {
        let size = data.payload.len();
        if size > self.max_message {
            return Err(Violation::TooLarge);
        }
        let (payload, cost) = if size < COPY_BELOW {
            (Bytes::copy_from_slice(data.payload), size + OVERHEAD)
        } else {
            (datagram.slice_ref(data.payload), datagram.len() + OVERHEAD)
        };
        if data.beginning && data.ending {
            self.allocated += cost;
            let whole = Whole {
                message: Message {
                    ppid: data.ppid,
                    payload,
                },
                cost,
            };
            return Ok(self.put_in_order(data.stream, data.ssn, data.unordered, whole, events));
        }
        let Some(first) = self.add_to_run(tsn, in_order, data, payload, cost)? else {
            return Ok(0);
        };
        let Some(run) = self.runs.get(&first) else { return Ok(0) };
        if run.bytes > self.max_message {
            return Err(Violation::TooLarge);
        }
        if !(run.begins && run.ends) {
            return Ok(0);
        }
        let Some(run) = self.runs.remove(&first) else {
            return Ok(0);
        };
        let (stream, ssn, unordered) = (run.stream, run.ssn, run.unordered);
        self.allocated -= run.cost;
        let whole = run.into_whole();
        self.allocated += whole.cost;
        Ok(self.put_in_order(stream, ssn, unordered, whole, events))
    }

    /// Adds a fragment to the run it continues, or begins a new one, and joins it to the run it completes. Returns the TSN
    /// under which the run is now kept; `None` if nothing can ever come of the fragment.
    fn add_to_run(
        &mut self,
        tsn: u64,
        in_order: bool,
        data: &Data<'_>,
        payload: Bytes,
        cost: usize,
    ) -> Result<Option<u64>, Violation> {
        let before = self.runs.range(..tsn).next_back().map(|(&first, _)| first);
        let before = before.filter(|first| self.runs[first].next_tsn(*first) == tsn);
        if let Some(first) = before {
            // What follows an unfinished message continues it, and what continues a message is of the same stream.
            let run = &self.runs[&first];
            if data.beginning != run.ends || !(run.ends || run.continued_by(data)) {
                return Err(Violation::Inconsistent);
            }
        }
        let continued = before.filter(|_| !data.beginning);
        if continued.is_none() && !data.beginning && in_order {
            // The beginning has been given up by a FORWARD TSN; so is the rest.
            self.forget_orphan(tsn + 1);
            return Ok(None);
        }
        self.allocated += cost;
        let first = match continued {
            Some(first) => first,
            None => {
                self.runs.insert(tsn, Run::new(data));
                tsn
            }
        };
        let after = self.runs.remove(&(tsn + 1));
        let Some(run) = self.runs.get_mut(&first) else {
            return Ok(None);
        };
        run.bytes += payload.len();
        run.cost += cost;
        run.fragments.push_back(payload);
        run.ends = data.ending;
        let Some(mut after) = after else { return Ok(Some(first)) };
        if run.ends != after.begins || !(run.ends || after.continued_by(data)) {
            return Err(Violation::Inconsistent);
        }
        if run.ends {
            self.runs.insert(tsn + 1, after);
            return Ok(Some(first));
        }
        run.bytes += after.bytes;
        run.cost += after.cost;
        run.ends = after.ends;
        if run.fragments.len() >= after.fragments.len() {
            run.fragments.append(&mut after.fragments);
        } else {
            for fragment in run.fragments.drain(..).rev() {
                after.fragments.push_front(fragment);
            }
            run.fragments = after.fragments;
        }
        Ok(Some(first))
    }

    /// Drops the run that begins at `tsn`, if it lacks a beginning which will not come any more.
    fn forget_orphan(&mut self, tsn: u64) {
        if self.runs.get(&tsn).is_some_and(|run| !run.begins)
            && let Some(run) = self.runs.remove(&tsn)
        {
            self.allocated -= run.cost;
        }
    }

    fn put_in_order(
        &mut self,
        id: StreamId,
        ssn: Serial16,
        unordered: bool,
        whole: Whole,
        events: &mut VecDeque<Event>,
    ) -> u64 {
        let stream = self.streams.entry(id.0).or_default();
        if unordered {
            stream.ready.push_back(Entry::Message(whole));
            self.readable += 1;
            stream.announce(id, events);
            return 1;
        }
        let distance = stream.next_ssn.distance_to(ssn);
        if distance < 0 || stream.early.contains_key(&ssn.0) {
            // A sequence number used before: the peer is confused, and the message of no use.
            self.allocated -= whole.cost;
            return 0;
        }
        if distance > 0 {
            stream.early.insert(ssn.0, whole);
            return 0;
        }
        stream.ready.push_back(Entry::Message(whole));
        stream.next_ssn = ssn.next();
        let count = 1 + stream.release_in_order();
        self.readable += count;
        stream.announce(id, events);
        count as u64
    }

    /// The peer has given up everything up to a TSN: partial messages go, and messages that waited for them come
    /// (RFC 3758 §3.6). Returns how many became readable.
    pub(crate) fn forward(
        &mut self,
        cumulative: u64,
        skipped: impl Iterator<Item = SkippedStream>,
        events: &mut VecDeque<Event>,
    ) -> u64 {
        while let Some(entry) = self.runs.first_entry()
            && *entry.key() <= cumulative
        {
            self.allocated -= entry.remove().cost;
        }
        self.forget_orphan(cumulative + 1);
        let mut released = 0;
        for SkippedStream { stream: id, ssn } in skipped {
            let stream = self.streams.entry(id.0).or_default();
            // Within half the space, so that a stale FORWARD TSN does not turn the stream back.
            if stream.next_ssn.distance_to(ssn) < 0 {
                continue;
            }
            let mut count = 0;
            while let Some(next) = stream.first_early()
                && !ssn.precedes(next)
                && let Some(whole) = stream.early.remove(&next.0)
            {
                stream.ready.push_back(Entry::Message(whole));
                count += 1;
            }
            stream.next_ssn = ssn.next();
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
        let stream = self.streams.entry(id.0).or_default();
        stream.next_ssn = Serial16(0);
        // What still waits for an earlier message waits in vain.
        self.allocated -= std::mem::take(&mut stream.early)
            .values()
            .map(|whole| whole.cost)
            .sum::<usize>();
        match stream.ready.back() {
            Some(Entry::Reset) => return,
            Some(Entry::Message(_)) => {}
            None => events.push_back(Event::IncomingStreamReset(id)),
        }
        stream.ready.push_back(Entry::Reset);
    }

    /// The peer starts anew: partial messages go, all sequence numbers return to zero; what can be read stays.
    pub(crate) fn restart(&mut self) {
        self.allocated -= std::mem::take(&mut self.runs)
            .values()
            .map(|run| run.cost)
            .sum::<usize>();
        for stream in self.streams.values_mut() {
            self.allocated -= std::mem::take(&mut stream.early)
                .values()
                .map(|whole| whole.cost)
                .sum::<usize>();
            stream.next_ssn = Serial16(0);
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
        let Some(stream) = self.streams.get_mut(&id.0) else {
            return;
        };
        if matches!(stream.ready.front(), Some(Entry::Reset)) {
            stream.ready.pop_front();
        }
        stream.announced = false;
        if stream.ready.is_empty() {
            if stream.next_ssn == Serial16(0) && stream.early.is_empty() && !stream.queued {
                self.streams.remove(&id.0);
            }
        } else {
            stream.announce(id, events);
        }
    }

    /// Streams that hold state.
    pub(crate) fn streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.streams.keys().map(|&id| StreamId(id))
    }
}

impl Run {
    fn new(data: &Data<'_>) -> Self {
        Self {
            stream: data.stream,
            ssn: data.ssn,
            ppid: data.ppid,
            unordered: data.unordered,
            begins: data.beginning,
            ends: false,
            fragments: VecDeque::new(),
            bytes: 0,
            cost: 0,
        }
    }

    fn next_tsn(&self, first: u64) -> u64 {
        first + self.fragments.len() as u64
    }

    fn continued_by(&self, data: &Data<'_>) -> bool {
        self.stream == data.stream && self.unordered == data.unordered && (self.unordered || self.ssn == data.ssn)
    }

    /// One allocation for the message, so that it keeps no datagram alive.
    fn into_whole(self) -> Whole {
        let mut payload = BytesMut::with_capacity(self.bytes);
        self.fragments
            .iter()
            .for_each(|fragment| payload.extend_from_slice(fragment));
        let cost = payload.capacity() + OVERHEAD;
        Whole {
            message: Message {
                ppid: self.ppid,
                payload: payload.freeze(),
            },
            cost,
        }
    }
}

impl IncomingStream {
    fn release_in_order(&mut self) -> usize {
        let mut count = 0;
        while let Some(whole) = self.early.remove(&self.next_ssn.0) {
            self.ready.push_back(Entry::Message(whole));
            self.next_ssn = self.next_ssn.next();
            count += 1;
        }
        count
    }

    /// The first sequence number that waits, in the order of serial numbers.
    fn first_early(&self) -> Option<Serial16> {
        let next = self.next_ssn.0;
        let first = self.early.range(next..).next().or_else(|| self.early.iter().next());
        first.map(|(&ssn, _)| Serial16(ssn))
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
