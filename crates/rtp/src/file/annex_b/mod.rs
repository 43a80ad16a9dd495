//! The byte stream format of H.264 and H.265 (annex B of both): NAL units with start codes between them, and nothing else: no
//! times, no frames. [`NalUnits`] cuts a stream into NAL units; [`Reader`] groups these into access units, a picture each,
//! and reads the frame rate from the sequence parameter set, where it is told.

mod h264;
mod h265;
mod nal;

pub use nal::{NalUnits, nal_units};

use super::Error;
use bytes::{Bytes, BytesMut};
use std::io::{self, Read, Write};
use std::time::Duration;

/// The largest NAL unit, and the largest access unit, that is read, in bytes.
pub const MAX_LEN: usize = 32 * 1024 * 1024;

/// What comes before each NAL unit that this module writes.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Whose NAL units they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264, AVC.
    H264,
    /// H.265, HEVC.
    H265,
}

impl Codec {
    /// Tells by the NAL unit that begins a stream: a parameter set, a delimiter or supplemental information, whose first
    /// bytes differ. `None` for anything else, such as a stream that begins within a picture.
    pub fn detect(first: &[u8]) -> Option<Self> {
        let &[first, second, ..] = first else { return None };
        // H.265: forbidden bit, six bits of type, six of layer 0, three of temporal layer 1. As an H.264 header, the same
        // first byte would be of an unspecified type, a partition, an SEI with nal_ref_idc (which must be 0), or a prefix.
        if second == 1 && matches!(first, 0x40 | 0x42 | 0x44 | 0x46 | 0x4e) {
            return Some(Self::H265);
        }
        let (reference, kind) = (first >> 5, first & 0x1f);
        match kind {
            7 | 8 if (1..4).contains(&reference) => Some(Self::H264),
            6 | 9 if reference == 0 => Some(Self::H264),
            5 if (1..4).contains(&reference) => Some(Self::H264),
            _ => None,
        }
    }

    /// Whether a picture can be decoded from this NAL unit on: IDR in H.264 (type 5), IRAP in H.265 (types 16 to 23).
    pub fn is_random_access(self, nal: &[u8]) -> bool {
        match self {
            Self::H264 => h264::is_idr(nal),
            Self::H265 => h265::is_irap(nal),
        }
    }
}

/// Pictures a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    /// `numerator / denominator` pictures a second; neither is 0 in what was read.
    pub numerator: u32,
    /// See `numerator`.
    pub denominator: u32,
}

impl FrameRate {
    /// So many pictures a second.
    pub const fn new(pictures: u32) -> Self {
        Self {
            numerator: pictures,
            denominator: 1,
        }
    }

    /// When the picture with this index begins.
    pub fn time(self, index: u64) -> Duration {
        super::time(index, self.denominator, self.numerator)
    }

    /// What no picture is shown at is none: with a zero, or above 1,000 pictures a second.
    fn checked(numerator: u32, denominator: u32) -> Option<Self> {
        let sane = numerator != 0 && denominator != 0 && u64::from(numerator) <= 1000 * u64::from(denominator);
        sane.then_some(Self { numerator, denominator })
    }
}

/// The NAL units of one picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// They, each after a start code of four bytes.
    pub data: Bytes,
    /// Whether decoding can begin here.
    pub keyframe: bool,
}

/// Reads access units, in the order in which they are decoded.
pub struct Reader<R> {
    nals: NalUnits<R>,
    codec: Codec,
    /// The NAL unit that showed that the access unit before is complete.
    next: Option<Bytes>,
    /// The first access unit, read ahead for the frame rate.
    ready: Option<AccessUnit>,
    frame_rate: Option<FrameRate>,
}

impl<R: Read> Reader<R> {
    /// Reads the first access unit, and tells by it whether this is H.264 or H.265.
    ///
    /// # Errors
    /// If this is no byte stream, or its first NAL unit is none that begins a stream.
    pub fn new(inner: R) -> Result<Self, Error> {
        Self::begin(inner, None)
    }

    /// The same for a stream that is known to be of one of them.
    ///
    /// # Errors
    /// If this is no byte stream.
    pub fn with_codec(inner: R, codec: Codec) -> Result<Self, Error> {
        Self::begin(inner, Some(codec))
    }

    fn begin(inner: R, codec: Option<Codec>) -> Result<Self, Error> {
        let mut nals = NalUnits::new(inner);
        let Some(first) = nals.next_nal()? else {
            return Err(Error::Truncated {
                offset: nals.offset(),
                expected: "the first NAL unit",
            });
        };
        let unknown = Error::Invalid {
            offset: 0,
            expected: "a parameter set, a delimiter or an IDR picture of H.264 or H.265 as the first NAL unit",
        };
        let codec = codec.or_else(|| Codec::detect(&first)).ok_or(unknown)?;
        let mut reader = Self {
            nals,
            codec,
            next: Some(first),
            ready: None,
            frame_rate: None,
        };
        reader.ready = reader.read_access_unit()?;
        Ok(reader)
    }

    /// H.264 or H.265.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The frame rate that the last sequence parameter set gave; `None` if it gave none.
    pub fn frame_rate(&self) -> Option<FrameRate> {
        self.frame_rate
    }

    /// The next access unit; `None` at the end of the file.
    ///
    /// # Errors
    /// If it is larger than [`MAX_LEN`], or reading fails.
    pub fn next_access_unit(&mut self) -> Result<Option<AccessUnit>, Error> {
        match self.ready.take() {
            Some(ready) => Ok(Some(ready)),
            None => self.read_access_unit(),
        }
    }

    fn read_access_unit(&mut self) -> Result<Option<AccessUnit>, Error> {
        let mut data = BytesMut::new();
        let mut keyframe = false;
        // The last slice of this picture.
        let mut picture = None;
        loop {
            let nal = match self.next.take() {
                Some(nal) => nal,
                None => match self.nals.next_nal()? {
                    Some(nal) => nal,
                    None => break,
                },
            };
            let part = match self.codec {
                Codec::H264 => h264::part(&nal),
                Codec::H265 => h265::part(&nal),
            };
            if picture.is_some_and(|picture| part.begins_after(picture)) {
                self.next = Some(nal);
                break;
            }
            if let Part::Slice(slice) = part {
                keyframe |= self.codec.is_random_access(&nal);
                picture = Some(slice);
            }
            self.read_timing(&nal);
            if data.len() + START_CODE.len() + nal.len() > MAX_LEN {
                return Err(Error::TooLarge {
                    offset: self.nals.offset(),
                    what: "a picture",
                    size: (data.len() + nal.len()) as u64,
                    limit: MAX_LEN as u64,
                });
            }
            data.extend_from_slice(&START_CODE);
            data.extend_from_slice(&nal);
        }
        Ok((!data.is_empty()).then(|| AccessUnit {
            data: data.freeze(),
            keyframe,
        }))
    }

    fn read_timing(&mut self, nal: &[u8]) {
        let frame_rate = match self.codec {
            Codec::H264 => h264::frame_rate(nal),
            Codec::H265 => h265::frame_rate(nal),
        };
        self.frame_rate = frame_rate.or(self.frame_rate);
    }
}

/// What a NAL unit is to an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// What stands before a picture: after its slices it begins the next access unit.
    Before,
    /// A slice, or what belongs to one.
    Slice(Slice),
    /// Of the access unit before.
    Other,
}

impl Part {
    /// Whether it begins an access unit, if the one before has a `last` slice already.
    fn begins_after(self, last: Slice) -> bool {
        match self {
            Self::Before => true,
            Self::Slice(slice) => slice.first || slice.idr != last.idr || slice.reference != last.reference,
            Self::Other => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slice {
    /// The first of a picture.
    first: bool,
    /// H.264: of an IDR picture.
    idr: bool,
    /// H.264: of a picture that others refer to.
    reference: bool,
}

/// Writes a byte stream.
pub struct Writer<W> {
    inner: W,
    access_units: u64,
}

impl<W: Write> Writer<W> {
    /// Nothing is written yet: a byte stream has no header.
    pub fn new(inner: W) -> Self {
        Self { inner, access_units: 0 }
    }

    /// Appends an access unit: NAL units with start codes, as [`AccessUnit::data`] has them.
    ///
    /// # Errors
    /// Of `inner`; [`io::ErrorKind::InvalidInput`] if no start code comes first.
    pub fn write_access_unit(&mut self, data: &[u8]) -> io::Result<()> {
        if !data.starts_with(&START_CODE) && !data.starts_with(&START_CODE[1..]) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.inner.write_all(data)?;
        self.access_units += 1;
        Ok(())
    }

    /// Appends one NAL unit, without a start code.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn write_nal(&mut self, nal: &[u8]) -> io::Result<()> {
        self.inner.write_all(&START_CODE)?;
        self.inner.write_all(nal)
    }

    /// How many access units have been written as such.
    pub fn access_units(&self) -> u64 {
        self.access_units
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.flush()?;
        Ok(self.inner)
    }
}
