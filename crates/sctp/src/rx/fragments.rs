//! Fragments become messages: by their TSNs if they came in DATA (RFC 9260 §6.9), by their own numbers if they came in
//! I-DATA (RFC 8260 §2.2.3). Both are neighbours in one map.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use peerline_wire::{Serial16, Serial32};

use super::buffers::Buffers;
use crate::wire::{Data, FragmentPlace, IData};
use crate::{Message, Ppid, StreamId};

/// One fragment as it came, in DATA or I-DATA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) immediate: bool,
    pub(crate) unordered: bool,
    pub(crate) beginning: bool,
    pub(crate) ending: bool,
    pub(crate) tsn: Serial32,
    pub(crate) stream: StreamId,
    pub(crate) number: Number,
    /// The fragment's place in its message; for DATA the TSN tells.
    pub(crate) fsn: Option<u32>,
    /// With I-DATA, only the first fragment says it.
    pub(crate) ppid: Ppid,
    pub(crate) payload: &'a [u8],
}

/// A message's number on its stream: SSN or MID.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Ssn(Serial16),
    Mid(Serial32),
}

impl Number {
    /// Messages are counted in 64 bits, so that their numbers have an order; the low bits are those on the wire. Counting
    /// begins one turn of the wheel ahead, so that nothing before it is negative.
    pub(crate) const START: u64 = 1 << 32;

    /// The number in 64 bits, the one nearest to `reference`.
    pub(crate) fn extend(self, reference: u64) -> u64 {
        let distance = match self {
            Self::Ssn(ssn) => Serial16(reference as u16).distance_to(ssn).into(),
            Self::Mid(mid) => Serial32(reference as u32).distance_to(mid).into(),
        };
        reference.saturating_add_signed(distance)
    }
}

impl<'a> From<&Data<'a>> for Fragment<'a> {
    fn from(data: &Data<'a>) -> Self {
        Self {
            immediate: data.immediate,
            unordered: data.unordered,
            beginning: data.beginning,
            ending: data.ending,
            tsn: data.tsn,
            stream: data.stream,
            number: Number::Ssn(data.ssn),
            fsn: None,
            ppid: data.ppid,
            payload: data.payload,
        }
    }
}

impl<'a> From<&IData<'a>> for Fragment<'a> {
    fn from(data: &IData<'a>) -> Self {
        let (fsn, ppid) = match data.place {
            FragmentPlace::First(ppid) => (0, ppid),
            FragmentPlace::Later(fsn) => (fsn.0, Ppid(0)),
        };
        Self {
            immediate: data.immediate,
            unordered: data.unordered,
            beginning: matches!(data.place, FragmentPlace::First(_)),
            ending: data.ending,
            tsn: data.tsn,
            stream: data.stream,
            number: Number::Mid(data.mid),
            fsn: Some(fsn),
            ppid,
            payload: data.payload,
        }
    }
}

/// Which message a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MessageId {
    pub(crate) stream: StreamId,
    pub(crate) unordered: bool,
    /// Its number in 64 bits. 0 for unordered messages in DATA, which have none.
    pub(crate) number: u64,
}

/// Where a fragment stands: neighbours differ by one in `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// With I-DATA, each message counts its own fragments. `None` for DATA, where one count, the TSN, is for all.
    pub(crate) message: Option<MessageId>,
    /// The FSN, or the TSN in 64 bits.
    pub(crate) index: u64,
}

impl Place {
    fn next(self) -> Self {
        Self {
            index: self.index + 1,
            ..self
        }
    }
}

/// A fragment of which the payload has been taken out of its datagram.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) place: Place,
    pub(crate) message: MessageId,
    pub(crate) ppid: Ppid,
    pub(crate) beginning: bool,
    pub(crate) ending: bool,
    /// Every TSN before it has arrived.
    pub(crate) in_order: bool,
    pub(crate) payload: Bytes,
    pub(crate) cost: usize,
}

/// The fragments of messages that are not whole.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    /// Neighbouring fragments of one message, by the place of the first.
    runs: BTreeMap<Place, Run>,
    allocated: usize,
    buffers: Buffers,
}

/// Fragments of one message without a gap between them. Kept in their order, so that a message of many fragments costs
/// one lookup a fragment.
#[derive(Debug)]
struct Run {
    message: MessageId,
    ppid: Ppid,
    /// The first fragment is the message's first.
    begins: bool,
    /// The last fragment is the message's last.
    ends: bool,
    fragments: VecDeque<Bytes>,
    bytes: usize,
    cost: usize,
}

/// Why the association cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A message larger than the limit.
    TooLarge,
    /// Fragments that cannot be of one message: one where another is, one behind the last, neighbours of two.
    Inconsistent,
}

impl Fragments {
    /// Bytes allocated.
    pub(crate) fn allocated(&self) -> usize {
        self.allocated
    }

    /// Gives back the room of messages which have been read.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.buffers.clear();
    }

    /// Adds a fragment to the run it continues, or begins a new one, and joins it to the run it completes. Returns the
    /// message if it is whole now.
    pub(crate) fn add(&mut self, piece: Piece, max_message: usize) -> Result<Option<(MessageId, Message)>, Violation> {
        let Some(first) = self.insert(piece)? else {
            return Ok(None);
        };
        let Some(run) = self.runs.get(&first) else {
            return Ok(None);
        };
        if run.bytes > max_message {
            return Err(Violation::TooLarge);
        }
        if !(run.begins && run.ends) {
            return Ok(None);
        }
        let Some(run) = self.runs.remove(&first) else {
            return Ok(None);
        };
        self.allocated -= run.cost;
        if first.message.is_some() {
            // Fragments with numbers beyond the last belong to nothing.
            self.forget_messages(run.message, run.message);
        }
        Ok(Some((run.message, run.into_message(&mut self.buffers))))
    }

    /// Returns the place under which the fragment's run is kept; `None` if nothing can ever come of the fragment.
    fn insert(&mut self, piece: Piece) -> Result<Option<Place>, Violation> {
        let place = piece.place;
        let before = self.runs.range(..=place).next_back();
        let before = before.filter(|(first, _)| first.message == place.message);
        let continued = match before {
            Some((first, run)) if run.next_index(*first) > place.index => {
                debug_assert!(place.message.is_some(), "a TSN is new once, {first:?}");
                return Err(Violation::Inconsistent);
            }
            Some((&first, run)) if run.next_index(first) == place.index => {
                // What follows an unfinished message continues it, and what continues a message is of the same stream.
                if piece.beginning != run.ends || !(run.ends || run.message == piece.message) {
                    return Err(Violation::Inconsistent);
                }
                (!piece.beginning).then_some(first)
            }
            _ => None,
        };
        if place.message.is_some() && piece.beginning != (place.index == 0) {
            // RFC 8260 §2.1: the first fragment has the B bit and "the FSN is implicitly considered to be 0". (A count of
            // fragments that wraps would need a message of more bytes than `max_message_size` can have here.)
            return Err(Violation::Inconsistent);
        }
        if place.message.is_none() && continued.is_none() && !piece.beginning && piece.in_order {
            // The beginning has been given up by a FORWARD TSN; so is the rest.
            self.forget_orphan(place.index + 1);
            return Ok(None);
        }
        self.allocated += piece.cost;
        let first = match continued {
            Some(first) => first,
            None => {
                self.runs.insert(place, Run::new(&piece));
                place
            }
        };
        let after = self.runs.remove(&place.next());
        let Some(run) = self.runs.get_mut(&first) else {
            return Ok(None);
        };
        run.push(piece);
        let Some(after) = after else { return Ok(Some(first)) };
        if run.ends != after.begins || !(run.ends || after.message == run.message) {
            return Err(Violation::Inconsistent);
        }
        if run.ends {
            self.runs.insert(place.next(), after);
        } else {
            run.join(after);
        }
        Ok(Some(first))
    }

    /// The peer has given up every TSN up to `cumulative`, and with them what came in DATA (RFC 3758 §3.6).
    pub(crate) fn forget_tsns(&mut self, cumulative: u64) {
        while let Some(entry) = self.runs.first_entry()
            && entry.key().message.is_none()
            && entry.key().index <= cumulative
        {
            self.allocated -= entry.remove().cost;
        }
        self.forget_orphan(cumulative + 1);
    }

    /// Drops the run that begins at a TSN, if it lacks a beginning which will not come any more.
    fn forget_orphan(&mut self, index: u64) {
        let place = Place { message: None, index };
        if self.runs.get(&place).is_some_and(|run| !run.begins)
            && let Some(run) = self.runs.remove(&place)
        {
            self.allocated -= run.cost;
        }
    }

    /// Drops what there is in I-DATA of the messages from `first` to `last`.
    pub(crate) fn forget_messages(&mut self, first: MessageId, last: MessageId) {
        let from = Place {
            message: Some(first),
            index: 0,
        };
        while let Some((&place, _)) = self.runs.range(from..).next()
            && place.message <= Some(last)
            && let Some(run) = self.runs.remove(&place)
        {
            self.allocated -= run.cost;
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Run {
    fn new(piece: &Piece) -> Self {
        Self {
            message: piece.message,
            ppid: piece.ppid,
            begins: piece.beginning,
            ends: false,
            fragments: VecDeque::new(),
            bytes: 0,
            cost: 0,
        }
    }

    fn next_index(&self, first: Place) -> u64 {
        first.index + self.fragments.len() as u64
    }

    fn push(&mut self, piece: Piece) {
        self.bytes += piece.payload.len();
        self.cost += piece.cost;
        self.ends = piece.ending;
        self.fragments.push_back(piece.payload);
    }

    /// Appends what follows; the shorter is moved to the longer.
    fn join(&mut self, mut after: Self) {
        self.bytes += after.bytes;
        self.cost += after.cost;
        self.ends = after.ends;
        if self.fragments.len() >= after.fragments.len() {
            self.fragments.append(&mut after.fragments);
        } else {
            for fragment in self.fragments.drain(..).rev() {
                after.fragments.push_front(fragment);
            }
            self.fragments = after.fragments;
        }
    }

    /// One allocation for the message, so that it keeps no datagram alive.
    fn into_message(self, buffers: &mut Buffers) -> Message {
        let mut payload = buffers.take(self.bytes);
        self.fragments
            .iter()
            .for_each(|fragment| payload.extend_from_slice(fragment));
        let payload = payload.freeze();
        buffers.keep(&payload);
        Message {
            ppid: self.ppid,
            payload,
        }
    }
}
