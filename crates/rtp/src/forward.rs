//! For forwarders: [`Rewriter`] makes one continuous stream of packets of several, one after the other: a publisher that comes
//! back, layers of simulcast between which a viewer is switched.
//!
//! Losses and reordering stay as they are, so that the viewer can ask for what is missing. Where a stream takes the place of
//! another, its first packet follows the last one of that at once, with a timestamp as much later as the packet came later.

use crate::Serial16;
use crate::payload::{Format, PayloadError, vp8, vp9};
use bytes::{Bytes, BytesMut};
use std::time::{Duration, Instant};

/// Gives the packets of whatever stream is forwarded the numbers of one stream.
///
/// ```
/// use peerline_rtp::Serial16;
/// use peerline_rtp::forward::{Numbers, Rewriter};
/// use std::time::{Duration, Instant};
///
/// # #[allow(clippy::disallowed_methods)]
/// let now = Instant::now();
/// let mut rewriter = Rewriter::new(Serial16(500), 7000);
/// assert_eq!(rewriter.rewrite(now, 17, 90_000), Some(Numbers { sequence_number: Serial16(500), timestamp: 7000 }));
/// assert_eq!(rewriter.rewrite(now, 18, 90_000), Some(Numbers { sequence_number: Serial16(501), timestamp: 7000 }));
///
/// // Another publisher, 40 ms later, with numbers of its own.
/// rewriter.switch(90_000);
/// let later = now + Duration::from_millis(40);
/// assert_eq!(rewriter.rewrite(later, 41_000, 5), Some(Numbers { sequence_number: Serial16(502), timestamp: 10_600 }));
/// ```
#[derive(Clone, Debug)]
pub struct Rewriter {
    /// The number and the timestamp that come next, if nothing was forwarded yet.
    first: (u64, u32),
    last: Option<Last>,
    source: Option<Source>,
    clock_rate: u32,
}

/// What is sent in the place of a packet's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Numbers {
    /// The sequence number.
    pub sequence_number: Serial16,
    /// The timestamp.
    pub timestamp: u32,
}

/// The latest packet that was forwarded.
#[derive(Clone, Copy, Debug)]
struct Last {
    sequence_number: u64,
    timestamp: u32,
    at: Instant,
}

/// How the numbers of the present stream become ours.
#[derive(Clone, Copy, Debug)]
struct Source {
    /// The first packet that was taken, and the number that it was given.
    begins: u64,
    becomes: u64,
    /// The highest that was taken.
    highest: u64,
    /// What is added to timestamps.
    offset: u32,
}

/// A stream whose numbers leap by more has begun anew: who counts the lost packets would ask for thousands.
const MAX_LEAP: u64 = 2_000;

impl Rewriter {
    /// A stream that begins with these numbers, which should be random.
    #[must_use]
    pub fn new(first: Serial16, timestamp: u32) -> Self {
        Self {
            first: (first.0.into(), timestamp),
            last: None,
            source: None,
            clock_rate: 90_000,
        }
    }

    /// The next packet is of another stream, and the first of it: of video, it begins a key frame. Its timestamps count
    /// `clock_rate` a second.
    pub fn switch(&mut self, clock_rate: u32) {
        self.source = None;
        self.clock_rate = clock_rate;
    }

    /// One number is left out: the last picture was cut short where another stream takes its place. Its receiver would take what
    /// follows without a gap for a sign that the picture is whole.
    pub fn leave_gap(&mut self) {
        if let Some(last) = &mut self.last {
            last.sequence_number += 1;
        }
    }

    /// The numbers for a packet that came at `now`, with the sequence number extended by how often it has wrapped. `None` for one
    /// that is to be left out: it is older than the first of its stream.
    pub fn rewrite(&mut self, now: Instant, sequence_number: u64, timestamp: u32) -> Option<Numbers> {
        if self
            .source
            .is_some_and(|source| sequence_number.saturating_sub(source.highest) > MAX_LEAP)
        {
            self.source = None;
        }
        let source = match &mut self.source {
            Some(source) => source,
            None => {
                let source = self.begin(now, sequence_number, timestamp);
                self.source.insert(source)
            }
        };
        let since = sequence_number.checked_sub(source.begins)?;
        source.highest = source.highest.max(sequence_number);
        let number = source.becomes + since;
        let timestamp = timestamp.wrapping_add(source.offset);
        if self.last.is_none_or(|last| last.sequence_number <= number) {
            self.last = Some(Last {
                sequence_number: number,
                timestamp,
                at: now,
            });
        }
        Some(Numbers {
            sequence_number: Serial16(number as u16),
            timestamp,
        })
    }

    fn begin(&self, now: Instant, sequence_number: u64, timestamp: u32) -> Source {
        let (becomes, becomes_at) = match self.last {
            None => self.first,
            Some(last) => {
                let elapsed = now.saturating_duration_since(last.at).max(Duration::from_millis(1));
                let ticks = elapsed.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000;
                // Only the lowest bits count: timestamps wrap.
                (last.sequence_number + 1, last.timestamp.wrapping_add(ticks as u32))
            }
        };
        Source {
            begins: sequence_number,
            becomes,
            highest: sequence_number,
            offset: becomes_at.wrapping_sub(timestamp),
        }
    }
}

/// Gives the pictures of whatever stream is forwarded the running numbers of one stream: VP8 and VP9 have such in each payload
/// (picture id and TL0PICIDX). The first stream keeps its own, and no payload of it is copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct PictureRewriter {
    /// What is added to the numbers of the present stream.
    offsets: Option<(u16, u8)>,
    /// The latest that were sent.
    last: Option<(u16, u8)>,
}

/// Picture ids have 15 bits, or the lowest 7 of these.
const PICTURE_IDS: u16 = 0x7fff;

impl PictureRewriter {
    /// The next payload is of another stream.
    pub fn switch(&mut self) {
        self.offsets = None;
    }

    /// The payload with the numbers that are to be sent; itself if they are its own, or there are none.
    #[must_use]
    pub fn rewrite(&mut self, format: Format, payload: &Bytes) -> Bytes {
        let Ok(Some((picture_id, tl0_pic_idx))) = numbers(format, payload) else {
            return payload.clone();
        };
        let (ids, indices) = *self.offsets.get_or_insert_with(|| match self.last {
            None => (0, 0),
            Some((id, index)) => (
                id.wrapping_add(1).wrapping_sub(picture_id) & PICTURE_IDS,
                index.wrapping_add(1).wrapping_sub(tl0_pic_idx),
            ),
        });
        let new = (
            picture_id.wrapping_add(ids) & PICTURE_IDS,
            tl0_pic_idx.wrapping_add(indices),
        );
        if self
            .last
            .is_none_or(|(last, _)| new.0.wrapping_sub(last) & PICTURE_IDS < PICTURE_IDS / 2)
        {
            self.last = Some(new);
        }
        if (ids, indices) == (0, 0) {
            return payload.clone();
        }
        let mut rewritten = BytesMut::from(&payload[..]);
        let outcome = match format {
            Format::Vp9(_) => vp9::rewrite(&mut rewritten, Some(new.0), Some(new.1)),
            _ => vp8::rewrite(&mut rewritten, Some(new.0), Some(new.1)),
        };
        debug_assert!(outcome.is_ok(), "its descriptor was parsed");
        rewritten.freeze()
    }
}

/// Picture id and TL0PICIDX, which is 0 if there is none; `None` for payloads without a picture id.
fn numbers(format: Format, payload: &[u8]) -> Result<Option<(u16, u8)>, PayloadError> {
    Ok(match format {
        Format::Vp8 => {
            let (descriptor, _) = vp8::Descriptor::parse(payload)?;
            descriptor
                .picture_id
                .map(|id| (id.number(), descriptor.tl0_pic_idx.unwrap_or(0)))
        }
        Format::Vp9(_) => {
            let (descriptor, _) = vp9::Descriptor::parse(payload)?;
            descriptor
                .picture_id
                .map(|id| (id.number(), descriptor.tl0_pic_idx.unwrap_or(0)))
        }
        Format::Opus | Format::Pcmu | Format::Pcma | Format::G722 => None,
        Format::H264(_) | Format::H265 | Format::Av1 => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::vp8::{Descriptor, PictureId};
    use proptest::prelude::*;

    #[allow(clippy::disallowed_methods)]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn losses_and_disorder_stay() {
        let (mut rewriter, now) = (Rewriter::new(Serial16(65_534), 0), now());
        let mut number = |sequence_number| {
            rewriter
                .rewrite(now, sequence_number, 0)
                .map(|numbers| numbers.sequence_number.0)
        };
        assert_eq!(number(100), Some(65_534));
        assert_eq!(number(103), Some(1));
        assert_eq!(number(101), Some(65_535));
        assert_eq!(number(99), None, "from before the beginning");
        assert_eq!(number(102), Some(0));
    }

    #[test]
    fn a_publisher_that_comes_back_goes_on_where_it_was() {
        let (mut rewriter, now) = (Rewriter::new(Serial16(10), 1000), now());
        rewriter.rewrite(now, 500, 77);
        rewriter.rewrite(now, 502, 3077);
        rewriter.switch(90_000);
        let later = now + Duration::from_secs(2);
        let numbers = rewriter.rewrite(later, 9, u32::MAX).unwrap();
        assert_eq!((numbers.sequence_number.0, numbers.timestamp), (13, 4000 + 180_000));
        // The late packet of the former publisher is of this one now, and older than its first.
        assert_eq!(rewriter.rewrite(later, 8, u32::MAX - 3000), None);
        let numbers = rewriter.rewrite(later, 10, 2999).unwrap();
        assert_eq!((numbers.sequence_number.0, numbers.timestamp), (14, 4000 + 183_000));
    }

    #[test]
    fn a_picture_that_was_cut_is_followed_by_a_gap() {
        let (mut rewriter, now) = (Rewriter::new(Serial16(65_533), 0), now());
        rewriter.leave_gap();
        rewriter.rewrite(now, 500, 77);
        rewriter.rewrite(now, 501, 77);
        rewriter.leave_gap();
        rewriter.switch(90_000);
        let first = rewriter.rewrite(now, 9, 5).unwrap();
        assert_eq!(first.sequence_number.0, 0, "65,535 is left out");
    }

    #[test]
    fn a_leap_is_closed() {
        let (mut rewriter, now) = (Rewriter::new(Serial16(10), 0), now());
        rewriter.rewrite(now, 500, 0);
        assert_eq!(
            rewriter.rewrite(now, 500 + MAX_LEAP, 0).unwrap().sequence_number.0,
            10 + 2000
        );
        assert_eq!(rewriter.rewrite(now, 50_000, 0).unwrap().sequence_number.0, 2011);
    }

    fn vp8(id: PictureId, tl0: u8) -> Bytes {
        let descriptor = Descriptor {
            partition_start: true,
            picture_id: Some(id),
            tl0_pic_idx: Some(tl0),
            ..Descriptor::default()
        };
        let mut payload = Vec::new();
        descriptor.write(&mut payload);
        payload.push(0);
        payload.into()
    }

    #[test]
    fn pictures_are_numbered_on() {
        let mut pictures = PictureRewriter::default();
        let first = vp8(PictureId::Long(32_766), 255);
        let same = pictures.rewrite(Format::Vp8, &first);
        assert_eq!(same.as_ptr(), first.as_ptr(), "not copied");
        let _ = pictures.rewrite(Format::Vp8, &vp8(PictureId::Long(32_767), 0));
        pictures.switch();
        for (id, tl0, expected) in [
            (4000, 9, vp8(PictureId::Long(0), 1)),
            (4001, 9, vp8(PictureId::Long(1), 1)),
        ] {
            assert_eq!(pictures.rewrite(Format::Vp8, &vp8(PictureId::Long(id), tl0)), expected);
        }
        pictures.switch();
        assert_eq!(
            pictures.rewrite(Format::Vp8, &vp8(PictureId::Short(99), 0)),
            vp8(PictureId::Short(2), 2)
        );
        let h264 = Bytes::from_static(&[0x65, 1]);
        assert_eq!(pictures.rewrite(Format::H265, &h264), h264);
    }

    proptest! {
        /// Whatever streams come, what goes out is in order where they are, without a gap where one takes the place of another.
        #[test]
        fn what_goes_out_is_one_stream(streams in prop::collection::vec((any::<u32>(), any::<u32>(), 1u64..50), 1..8)) {
            let (mut rewriter, now) = (Rewriter::new(Serial16(65_500), 0), now());
            let mut expected = Serial16(65_500);
            for (first, timestamp, packets) in streams {
                rewriter.switch(48_000);
                for index in 0..packets {
                    let numbers = rewriter.rewrite(now, u64::from(first) + index, timestamp).unwrap();
                    prop_assert_eq!(numbers.sequence_number, expected);
                    expected = expected.next();
                }
            }
        }

        #[test]
        fn garbage_is_forwarded_as_it_is(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20)) {
            let mut pictures = PictureRewriter::default();
            for payload in payloads {
                let payload = Bytes::from(payload);
                for format in [Format::Vp8, Format::Vp9(vp9::Mode::Flexible), Format::Opus] {
                    prop_assert_eq!(pictures.rewrite(format, &payload).len(), payload.len());
                    pictures.switch();
                }
            }
        }
    }
}
