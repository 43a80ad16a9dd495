//! IVF: the simple container of libvpx and libaom for frames of VP8, VP9 and AV1. There is no standard; the format is what
//! `ivfenc.c` of libvpx writes. All numbers are little-endian:
//!
//! ```text
//!  file header, 32 bytes                          frame header, 12 bytes
//!   0  "DKIF"                                      0  size of the frame that follows (32 bits)
//!   4  version, 0 (16 bits)                        4  timestamp in units of the time base (64 bits)
//!   6  length of this header (16 bits)
//!   8  FourCC
//!  12  width, height (16 bits each)
//!  16  time base: denominator, numerator (32 bits each)
//!  24  length (32 bits)
//!  28  unused
//! ```
//!
//! libvpx writes the number of frames as length; ffmpeg writes and reads the duration in units of the time base. These are the
//! same where a frame lasts one unit, and players look at the latter only.

use super::Error;
use super::source::{Source, u16_le, u32_le, u64_le};
use bytes::Bytes;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

/// The largest frame that is read, in bytes: far more than an encoder makes of a picture.
pub const MAX_FRAME_LEN: usize = 32 * 1024 * 1024;

const HEADER_LEN: u16 = 32;
const LENGTH_AT: u64 = 24;

/// A codec's four letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// VP8 (RFC 6386).
    pub const VP8: Self = Self(*b"VP80");
    /// VP9.
    pub const VP9: Self = Self(*b"VP90");
    /// AV1; a frame is a temporal unit.
    pub const AV1: Self = Self(*b"AV01");
}

/// What the file header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The codec of all frames.
    pub codec: FourCc,
    /// The width of the first picture, in pixels.
    pub width: u16,
    /// The height of the first picture, in pixels.
    pub height: u16,
    /// A unit of timestamps is `numerator / denominator` seconds.
    pub numerator: u32,
    /// See `numerator`. Never 0 in a header that was read.
    pub denominator: u32,
    /// How long the file is, in units of the time base or in frames, as the writer meant it; 0 if it could not say.
    pub length: u32,
}

/// VP8 of no size, with timestamps of RTP's 90 kHz.
impl Default for Header {
    fn default() -> Self {
        Self {
            codec: FourCc::VP8,
            width: 0,
            height: 0,
            numerator: 1,
            denominator: 90_000,
            length: 0,
        }
    }
}

impl Header {
    /// When a frame with this timestamp is shown, from the start of the time line.
    pub fn time(&self, timestamp: u64) -> Duration {
        super::time(timestamp, self.numerator, self.denominator)
    }
}

/// One frame of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it is shown, in units of the header's time base.
    pub timestamp: u64,
    /// The encoded frame (for AV1, a temporal unit).
    pub data: Bytes,
}

/// Reads frames.
pub struct Reader<R> {
    source: Source<R>,
    header: Header,
}

impl<R: Read> Reader<R> {
    /// Reads the file header.
    ///
    /// # Errors
    /// If it is not one of IVF version 0, or its time base has a zero.
    pub fn new(inner: R) -> Result<Self, Error> {
        let mut source = Source::new(inner);
        let bytes = source.array::<32>("an IVF file header of 32 bytes")?;
        let invalid = |offset, expected| Err(Error::Invalid { offset, expected });
        if !bytes.starts_with(b"DKIF") {
            return invalid(0, "an IVF file: the letters DKIF");
        }
        if u16_le(&bytes, 4) != 0 {
            return invalid(4, "IVF version 0");
        }
        let Some(more) = u16_le(&bytes, 6).checked_sub(HEADER_LEN) else {
            return invalid(6, "a file header of at least 32 bytes");
        };
        let (denominator, numerator) = (u32_le(&bytes, 16), u32_le(&bytes, 20));
        if denominator == 0 || numerator == 0 {
            return invalid(16, "a time base without a zero");
        }
        source.skip(more.into(), "the IVF file header")?;
        let header = Header {
            codec: FourCc([bytes[8], bytes[9], bytes[10], bytes[11]]),
            width: u16_le(&bytes, 12),
            height: u16_le(&bytes, 14),
            numerator,
            denominator,
            length: u32_le(&bytes, 24),
        };
        Ok(Self { source, header })
    }

    /// The file header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next frame; `None` at the end of the file. (The header's length is not trusted.)
    ///
    /// # Errors
    /// If the file ends within a frame, or a frame is larger than [`MAX_FRAME_LEN`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let offset = self.source.offset();
        let Some(header) = self.source.array_or_end::<12>("an IVF frame header of 12 bytes")? else {
            return Ok(None);
        };
        let size = u32_le(&header, 0);
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        if len > MAX_FRAME_LEN {
            return Err(Error::TooLarge {
                offset,
                what: "an IVF frame",
                size: size.into(),
                limit: MAX_FRAME_LEN as u64,
            });
        }
        let data = self.source.bytes(len, "an IVF frame")?;
        Ok(Some(Frame {
            timestamp: u64_le(&header, 4),
            data: data.into(),
        }))
    }

    /// What is left of the input.
    pub fn into_inner(self) -> R {
        self.source.into_inner()
    }
}

/// Writes frames.
pub struct Writer<W> {
    inner: W,
    frame_count: u32,
    last_timestamp: u64,
    /// Between the last two frames that differ; a single one lasts one unit.
    last_duration: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the file header.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn new(mut inner: W, header: &Header) -> io::Result<Self> {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(b"DKIF");
        bytes[6..8].copy_from_slice(&HEADER_LEN.to_le_bytes());
        bytes[8..12].copy_from_slice(&header.codec.0);
        bytes[12..14].copy_from_slice(&header.width.to_le_bytes());
        bytes[14..16].copy_from_slice(&header.height.to_le_bytes());
        bytes[16..20].copy_from_slice(&header.denominator.to_le_bytes());
        bytes[20..24].copy_from_slice(&header.numerator.to_le_bytes());
        bytes[24..28].copy_from_slice(&header.length.to_le_bytes());
        inner.write_all(&bytes)?;
        Ok(Self {
            inner,
            frame_count: 0,
            last_timestamp: 0,
            last_duration: 1,
        })
    }

    /// Appends one frame, shown at `timestamp` in units of the header's time base.
    ///
    /// # Errors
    /// Of `inner`; [`io::ErrorKind::InvalidInput`] for a frame larger than [`MAX_FRAME_LEN`].
    pub fn write_frame(&mut self, timestamp: u64, frame: &[u8]) -> io::Result<()> {
        let size = u32::try_from(frame.len()).ok().filter(|_| frame.len() <= MAX_FRAME_LEN);
        let size = size.ok_or(io::ErrorKind::InvalidInput)?;
        let mut header = [0; 12];
        header[..4].copy_from_slice(&size.to_le_bytes());
        header[4..].copy_from_slice(&timestamp.to_le_bytes());
        self.inner.write_all(&header)?;
        self.inner.write_all(frame)?;
        if self.frame_count > 0 && timestamp > self.last_timestamp {
            self.last_duration = timestamp - self.last_timestamp;
        }
        self.last_timestamp = timestamp;
        self.frame_count = self.frame_count.saturating_add(1);
        Ok(())
    }

    /// How many frames have been written.
    pub fn frame_count(&self) -> u32 {
        self.frame_count
    }

    /// Flushes and gives the output back, its header as it was given.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.flush()?;
        Ok(self.inner)
    }
}

impl<W: Write + Seek> Writer<W> {
    /// The same, once the end of the last frame (shown as long as the one before) stands in the header as its length, for a
    /// file that began at the output's start.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn finish_header(mut self) -> io::Result<W> {
        self.inner.seek(SeekFrom::Start(LENGTH_AT))?;
        let end = match self.frame_count {
            0 => 0,
            _ => self.last_timestamp.saturating_add(self.last_duration),
        };
        let length = u32::try_from(end).unwrap_or(u32::MAX);
        self.inner.write_all(&length.to_le_bytes())?;
        self.inner.seek(SeekFrom::End(0))?;
        self.finish()
    }
}
