//! What waits to be sent for the first time: a queue a stream, and the state of outgoing streams.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use peerline_wire::Serial16;

use super::scheduler::{Scheduler, Share};
use crate::{Event, Message, Ppid, Reliability, SendOptions, StreamId};

/// What each message costs beside its payload, in bytes: a bound for the bookkeeping.
pub(crate) const MESSAGE_OVERHEAD: usize = 96;

#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    streams: BTreeMap<u16, OutgoingStream>,
    scheduler: Scheduler,
    /// The stream whose first message has been sent in part. Fragments of a message have consecutive TSNs, so nothing
    /// else can be sent before it is whole (RFC 9260 §6.9).
    current: Option<u16>,
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
    next_ssn: Serial16,
    share: Share,
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
            next_ssn: Serial16(0),
            share: Share::NORMAL,
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
    /// A fragment has been sent.
    started: bool,
}

/// When to give a message up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Never,
    Retransmits(u32),
    Time(Instant),
}

/// One fragment that is to be sent for the first time.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    pub(crate) stream: StreamId,
    pub(crate) ssn: Serial16,
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
        let state = self.streams.entry(stream.0).or_default();
        self.messages += 1;
        self.bytes += message.payload.len();
        state.buffered += message.payload.len();
        if state.messages.is_empty() {
            self.scheduler.add(stream.0, &mut state.share);
        }
        state.messages.push_back(Waiting {
            payload: message.payload,
            ppid: message.ppid,
            unordered: !options.ordered,
            limit,
            started: false,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// The memory the queue stands for, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.bytes + self.messages * MESSAGE_OVERHEAD
    }

    /// The size of the next fragment, given room for `room` bytes of payload in this packet and `full` in an empty one;
    /// `None` if nothing is to be sent, or nothing that fits well.
    ///
    /// Messages whose time has come are dropped here, those in flight in part excepted: `Outstanding` gives them up.
    pub(crate) fn peek(&mut self, now: Instant, room: usize, full: usize, news: &mut News<'_>) -> Option<usize> {
        loop {
            let id = match self.current {
                Some(id) => id,
                None => *self.current.insert(self.scheduler.next()?),
            };
            let Some(stream) = self.streams.get_mut(&id) else {
                self.current = None;
                continue;
            };
            let Some(message) = stream.messages.front() else {
                self.current = None;
                continue;
            };
            if !message.started && matches!(message.limit, Limit::Time(end) if now >= end) {
                *news.abandoned += 1;
                self.drop_front(id, news);
                continue;
            }
            let rest = message.payload.len();
            // A fragment fills what is left of a packet, unless that is only a crumb.
            return if rest <= room {
                Some(rest)
            } else if room >= full / 2 {
                Some(room & !3)
            } else {
                None
            };
        }
    }

    /// Takes the fragment that `peek` announced.
    pub(crate) fn take(&mut self, size: usize, news: &mut News<'_>) -> Option<Fragment> {
        let id = self.current?;
        let stream = self.streams.get_mut(&id)?;
        let message = stream.messages.front_mut()?;
        let payload = message.payload.split_to(size.min(message.payload.len()));
        let fragment = Fragment {
            stream: StreamId(id),
            ssn: if message.unordered {
                Serial16(0)
            } else {
                stream.next_ssn
            },
            ppid: message.ppid,
            unordered: message.unordered,
            beginning: !message.started,
            ending: message.payload.is_empty(),
            limit: message.limit,
            payload,
        };
        message.started = true;
        self.bytes -= fragment.payload.len();
        stream.share.charge(fragment.payload.len());
        if fragment.ending {
            if !fragment.unordered {
                stream.next_ssn = stream.next_ssn.next();
            }
            *news.sent += 1;
            stream.messages.pop_front();
            self.messages -= 1;
            self.current = None;
            self.after_message(id);
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return Some(fragment);
        };
        stream.consume(StreamId(id), fragment.payload.len(), news);
        Some(fragment)
    }

    /// The message of which fragments are in flight has been given up: what is left of it is dropped.
    pub(crate) fn drop_current(&mut self, news: &mut News<'_>) {
        if let Some(id) = self.current
            && let Some(stream) = self.streams.get_mut(&id)
            && let Some(message) = stream.messages.front()
            && message.started
        {
            if !message.unordered {
                stream.next_ssn = stream.next_ssn.next();
            }
            self.drop_front(id, news);
        }
    }

    /// The message being sent, as its last fragment would look, if it has been sent in part and its time has come.
    pub(crate) fn expired_current(&self, now: Instant) -> Option<Fragment> {
        let id = self.current?;
        let stream = self.streams.get(&id)?;
        let message = stream.messages.front().filter(|message| message.started)?;
        matches!(message.limit, Limit::Time(end) if now >= end).then(|| Fragment {
            stream: StreamId(id),
            ssn: if message.unordered {
                Serial16(0)
            } else {
                stream.next_ssn
            },
            ppid: message.ppid,
            unordered: message.unordered,
            beginning: false,
            ending: true,
            limit: message.limit,
            payload: Bytes::new(),
        })
    }

    fn drop_front(&mut self, id: u16, news: &mut News<'_>) {
        self.current = None;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Some(message) = stream.messages.pop_front() else {
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
        if !stream.messages.is_empty() {
            self.scheduler.add(id, &mut stream.share);
        } else if stream.reset == Reset::Wanted {
            self.resets_ready.push_back(StreamId(id));
        }
    }

    /// Drops what is queued on streams from `count` on, which the peer does not accept.
    pub(crate) fn truncate_streams(&mut self, count: u16, news: &mut News<'_>) {
        for (&id, stream) in self.streams.range_mut(count..) {
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
        self.current = None;
        (self.messages, self.bytes) = (0, 0);
        self.resets_ready.clear();
        for stream in self.streams.values_mut() {
            stream.messages.clear();
            stream.buffered = 0;
            stream.low_announced = false;
            stream.next_ssn = Serial16(0);
            stream.reset = Reset::None;
        }
    }

    // --- resets

    pub(crate) fn reset_state(&self, stream: StreamId) -> Reset {
        self.streams.get(&stream.0).map_or(Reset::None, |stream| stream.reset)
    }

    pub(crate) fn want_reset(&mut self, stream: StreamId) {
        let state = self.streams.entry(stream.0).or_default();
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
            self.streams.entry(stream.0).or_default().reset = Reset::Requested;
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

    /// Streams that hold state.
    pub(crate) fn streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.streams.keys().map(|&id| StreamId(id))
    }

    // --- what the application asks

    pub(crate) fn set_priority(&mut self, stream: StreamId, priority: u16) {
        self.streams.entry(stream.0).or_default().share.set_weight(priority);
    }

    pub(crate) fn buffered(&self, stream: StreamId) -> usize {
        self.streams.get(&stream.0).map_or(0, |stream| stream.buffered)
    }

    pub(crate) fn set_low_threshold(&mut self, stream: StreamId, threshold: usize) {
        self.streams.entry(stream.0).or_default().low_threshold = threshold;
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
    fn consume(&mut self, id: StreamId, bytes: usize, news: &mut News<'_>) {
        let before = self.buffered;
        self.buffered -= bytes;
        if before > self.low_threshold && self.buffered <= self.low_threshold && !self.low_announced {
            self.low_announced = true;
            news.events.push_back(Event::BufferedAmountLow(id));
        }
    }
}
