//! Where one frame ends and the next begins, and the bytes of the one in between: what all video formats share.

use super::{Detail, Frame, PayloadError};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// A frame being put together. After a gap nothing is taken until a frame certainly starts: with a packet that says so,
/// or behind the end of a frame that was skipped.
#[derive(Debug)]
pub(super) struct Assembly {
    state: State,
    data: Data,
    limit: usize,
    /// Of the last packet, taken or not.
    last_timestamp: Option<u32>,
    /// Packets were lost since the last frame that was given out.
    follows_gap: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Packets are missing here: what comes next is in the middle of a frame, for all we know.
    Lost,
    /// In a frame whose beginning is missing.
    Skipping { timestamp: u32 },
    /// The next packet is the first of its frame.
    Boundary,
    /// In a frame that is whole so far.
    Inside { timestamp: u32 },
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the first of its frame.
    First,
    /// It continues the frame.
    Later,
    /// It is of no use: the beginning of its frame is missing.
    Skip,
}

impl Assembly {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            state: State::Lost,
            data: Data::Empty,
            limit,
            last_timestamp: None,
            follows_gap: false,
        }
    }

    /// True if a frame is in progress that a packet with this timestamp is not part of: its marker bit was never set.
    ///
    /// RFC 3550 §5.1: several consecutive packets have equal timestamps if they belong to the same frame.
    pub(super) fn ends_before(&self, timestamp: u32) -> bool {
        matches!(self.state, State::Inside { timestamp: current } if current != timestamp)
    }

    /// Where the packet belongs. `certain_start`: nothing of its frame can precede it, by what it says itself.
    pub(super) fn enter(&mut self, timestamp: u32, marker: bool, certain_start: bool) -> Place {
        let continues_last = self.last_timestamp.replace(timestamp) == Some(timestamp);
        let first = match self.state {
            State::Inside { .. } => return Place::Later,
            State::Boundary => true,
            State::Lost => certain_start && !continues_last,
            State::Skipping { timestamp: skipped } => skipped != timestamp,
        };
        if first {
            self.state = State::Inside { timestamp };
            return Place::First;
        }
        self.skip(timestamp, marker);
        Place::Skip
    }

    /// Drops the frame in progress, and the rest of it with this timestamp: the packet at hand is no good.
    pub(super) fn give_up(&mut self, timestamp: u32, marker: bool) {
        self.data = Data::Empty;
        self.follows_gap = true;
        self.last_timestamp = Some(timestamp);
        self.skip(timestamp, marker);
    }

    /// Drops the frame in progress, though the next packet begins another one: its end is wrong.
    pub(super) fn drop_frame(&mut self) {
        self.data = Data::Empty;
        self.follows_gap = true;
        self.state = State::Boundary;
    }

    fn skip(&mut self, timestamp: u32, marker: bool) {
        self.follows_gap = true;
        self.state = if marker {
            State::Boundary
        } else {
            State::Skipping { timestamp }
        };
    }

    pub(super) fn gap(&mut self) {
        self.data = Data::Empty;
        self.follows_gap = true;
        self.state = State::Lost;
    }

    /// Appends a slice of a packet: kept as it is while it is the only one, else copied.
    pub(super) fn push(&mut self, slice: Bytes) -> Result<(), PayloadError> {
        self.check_room(slice.len())?;
        match &mut self.data {
            Data::Empty => self.data = Data::One(slice),
            Data::One(first) => {
                let mut many = BytesMut::with_capacity(2 * (first.len() + slice.len()));
                many.extend_from_slice(first);
                many.extend_from_slice(&slice);
                self.data = Data::Many(many);
            }
            Data::Many(many) => many.extend_from_slice(&slice),
        }
        Ok(())
    }

    /// Appends a copy.
    pub(super) fn extend(&mut self, bytes: &[u8]) -> Result<(), PayloadError> {
        self.check_room(bytes.len())?;
        match &mut self.data {
            Data::Many(many) => many.extend_from_slice(bytes),
            Data::Empty => self.data = Data::Many(BytesMut::from(bytes)),
            Data::One(first) => {
                let mut many = BytesMut::from(&first[..]);
                many.extend_from_slice(bytes);
                self.data = Data::Many(many);
            }
        }
        Ok(())
    }

    fn check_room(&self, len: usize) -> Result<(), PayloadError> {
        if len > self.limit - self.data.len() {
            return Err(PayloadError::FrameTooLarge);
        }
        Ok(())
    }

    /// Gives out the frame in progress.
    pub(super) fn finish(&mut self, keyframe: bool, detail: Detail, out: &mut VecDeque<Frame>) {
        let State::Inside { timestamp } = self.state else {
            return;
        };
        self.state = State::Boundary;
        let data = match std::mem::take(&mut self.data) {
            Data::Empty => return,
            Data::One(slice) => slice,
            Data::Many(many) => many.freeze(),
        };
        let follows_gap = std::mem::take(&mut self.follows_gap);
        out.push_back(Frame {
            data,
            timestamp,
            keyframe,
            follows_gap,
            detail,
        });
    }
}

/// What a depacketizer of video adds to its [`Assembly`]: [`push`] is the rest.
pub(super) trait Reassemble {
    fn assembly(&mut self) -> &mut Assembly;

    /// Finds the packet's place in the [`Assembly`], and appends what it brings. The payload is not empty.
    fn take(&mut self, payload: Bytes, timestamp: u32, marker: bool) -> Result<Place, PayloadError>;

    /// The frame in progress has had its last packet: whether it is a key frame, and its detail. An error if it lacks
    /// its end.
    fn end(&mut self) -> Result<(bool, Detail), PayloadError>;

    /// Forgets what is unfinished.
    fn reset(&mut self);
}

/// [`Depacketizer::push`](super::Depacketizer::push).
pub(super) fn push(
    this: &mut impl Reassemble,
    payload: Bytes,
    timestamp: u32,
    marker: bool,
    out: &mut VecDeque<Frame>,
) -> Result<(), PayloadError> {
    if payload.is_empty() {
        return Ok(());
    }
    let mut previous = Ok(());
    if this.assembly().ends_before(timestamp) {
        previous = finish(this, out).inspect_err(|_| {
            this.reset();
            this.assembly().drop_frame();
        });
    }
    let taken = this.take(payload, timestamp, marker).and_then(|place| {
        if marker && place != Place::Skip {
            finish(this, out)
        } else {
            Ok(())
        }
    });
    if taken.is_err() {
        this.reset();
        this.assembly().give_up(timestamp, marker);
    }
    previous.and(taken)
}

fn finish(this: &mut impl Reassemble, out: &mut VecDeque<Frame>) -> Result<(), PayloadError> {
    let (keyframe, detail) = this.end()?;
    this.assembly().finish(keyframe, detail, out);
    Ok(())
}

/// [`Depacketizer::gap`](super::Depacketizer::gap).
pub(super) fn gap(this: &mut impl Reassemble) {
    this.reset();
    this.assembly().gap();
}

/// Implements [`Depacketizer`](super::Depacketizer) for what is [`Reassemble`].
macro_rules! depacketizer {
    ($name:ty) => {
        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl Depacketizer for $name {
            fn push(
                &mut self,
                payload: Bytes,
                timestamp: u32,
                marker: bool,
                out: &mut VecDeque<Frame>,
            ) -> Result<(), PayloadError> {
                super::assembly::push(self, payload, timestamp, marker, out)
            }

            fn gap(&mut self) {
                super::assembly::gap(self);
            }
        }
    };
}
pub(super) use depacketizer;

#[derive(Debug, Default)]
enum Data {
    #[default]
    Empty,
    One(Bytes),
    Many(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(slice) => slice.len(),
            Self::Many(many) => many.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_gap_frames_start_where_they_certainly_do() {
        let mut assembly = Assembly::new(100);
        // Nothing is known of what came before the first packet.
        assert_eq!(assembly.enter(1, false, false), Place::Skip);
        assert_eq!(
            assembly.enter(1, false, true),
            Place::Skip,
            "the frame's beginning has been skipped"
        );
        assert_eq!(assembly.enter(2, false, false), Place::First);
        assert_eq!(assembly.enter(2, false, false), Place::Later);
        assembly.gap();
        assert_eq!(
            assembly.enter(2, false, true),
            Place::Skip,
            "the lost packets were of this frame"
        );
        assembly.gap();
        assert_eq!(assembly.enter(3, false, true), Place::First);
        assembly.gap();
        assert_eq!(assembly.enter(4, true, false), Place::Skip);
        assert_eq!(assembly.enter(4, false, false), Place::First, "behind a marker");
        assert!(!assembly.ends_before(4));
        assert!(assembly.ends_before(5));
    }

    #[test]
    fn a_frame_stays_below_the_limit() {
        let mut assembly = Assembly::new(100);
        assert_eq!(assembly.enter(1, false, true), Place::First);
        assert_eq!(assembly.push(Bytes::from(vec![0; 60])), Ok(()));
        assert_eq!(assembly.extend(&[0; 41]), Err(PayloadError::FrameTooLarge));
        assert_eq!(assembly.push(Bytes::from(vec![0; 40])), Ok(()));
        assert_eq!(assembly.push(Bytes::from(vec![0; 1])), Err(PayloadError::FrameTooLarge));
    }

    #[test]
    fn a_frame_of_one_packet_is_not_copied() {
        let (slice, mut out) = (Bytes::from(vec![1, 2, 3]), VecDeque::new());
        let mut assembly = Assembly::new(100);
        assembly.enter(1, true, true);
        assembly.push(slice.clone()).unwrap();
        assembly.finish(false, Detail::None, &mut out);
        assert_eq!(out[0].data.as_ptr(), slice.as_ptr());
        assert!(!out[0].follows_gap);
    }
}
