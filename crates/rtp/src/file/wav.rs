//! WAV: RIFF with the chunks `fmt ` and `data` (Microsoft's "Multimedia Programming Interface and Data Specifications 1.0";
//! the registered format tags are RFC 2361's). Linear PCM, A-law and µ-law (G.711, so RTP's PCMA and PCMU as they are), and G.722.
//! All numbers are little-endian.

use super::Error;
use super::source::{Source, u16_le, u32_le};
use bytes::Bytes;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

/// The most that [`Reader::read`] returns, in bytes.
pub const MAX_READ_LEN: usize = 1024 * 1024;

/// The size of a chunk whose writer could not say, and did not come back.
const UNKNOWN: u32 = u32::MAX;
/// The format tag WAVE_FORMAT_EXTENSIBLE: the real one stands in the first two bytes of a GUID.
const EXTENSIBLE: u16 = 0xfffe;
/// Of `fmt `, as much as WAVE_FORMAT_EXTENSIBLE has.
const MAX_FORMAT_LEN: usize = 40;

/// How a sample is written: the format tag of `fmt `.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encoding(pub u16);

impl Encoding {
    /// Linear: signed and little-endian, but for 8 bits, which are unsigned.
    pub const PCM: Self = Self(1);
    /// A-law (G.711), RTP's PCMA.
    pub const ALAW: Self = Self(6);
    /// µ-law (G.711), RTP's PCMU.
    pub const MULAW: Self = Self(7);
    /// G.722 at 64 kbit/s, RTP's G722. The number is ffmpeg's, which takes what has one of RFC 2361's for G.726.
    pub const G722: Self = Self(0x028f);
}

/// What `fmt ` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// How a sample is written.
    pub encoding: Encoding,
    /// 1 to 64. Their samples take turns.
    pub channels: u16,
    /// Samples a second and channel.
    pub sample_rate: u32,
    /// 8 for A-law and µ-law; 8, 16, 24 or 32 for PCM; 4 for G.722.
    pub bits_per_sample: u16,
}

impl Format {
    /// µ-law as RTP's PCMU has it: mono at 8 kHz.
    pub const PCMU: Self = Self {
        encoding: Encoding::MULAW,
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 8,
    };
    /// A-law as RTP's PCMA has it: mono at 8 kHz.
    pub const PCMA: Self = Self {
        encoding: Encoding::ALAW,
        ..Self::PCMU
    };
    /// G.722 as RTP has it: mono at 16 kHz, whatever the clock rate in SDP says (RFC 3551 §4.5.2).
    pub const G722: Self = Self {
        encoding: Encoding::G722,
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 4,
    };

    /// The bytes of one sample of every channel; of G.722, one byte, which has two samples.
    pub fn block_len(&self) -> usize {
        usize::from(self.channels) * usize::from(self.bits_per_sample).div_ceil(8)
    }

    fn samples_a_block(&self) -> u32 {
        if self.encoding == Encoding::G722 { 2 } else { 1 }
    }

    /// How long so many blocks sound.
    pub fn time(&self, blocks: u64) -> Duration {
        super::time(blocks, self.samples_a_block(), self.sample_rate)
    }

    /// Whether this file can be one of ours: readers and writers ask the same.
    fn is_supported(&self) -> bool {
        let bits = match self.encoding {
            Encoding::PCM => matches!(self.bits_per_sample, 8 | 16 | 24 | 32),
            Encoding::ALAW | Encoding::MULAW => self.bits_per_sample == 8,
            Encoding::G722 => *self == Self::G722,
            Encoding(_) => false,
        };
        bits && (1..=64).contains(&self.channels) && (1..=1_000_000).contains(&self.sample_rate)
    }
}

/// Reads samples, as bytes.
pub struct Reader<R> {
    source: Source<R>,
    format: Format,
    /// What `data` has left; `None` to the end of the file.
    left: Option<u64>,
}

impl<R: Read> Reader<R> {
    /// Reads up to the samples; chunks other than `fmt ` and `data` are skipped.
    ///
    /// # Errors
    /// If this is no WAV file, has no format before its samples, or one other than [`Format`] describes.
    pub fn new(inner: R) -> Result<Self, Error> {
        let mut source = Source::new(inner);
        let riff = source.array::<12>("a RIFF header of 12 bytes")?;
        if !riff.starts_with(b"RIFF") || &riff[8..] != b"WAVE" {
            return Err(Error::Invalid {
                offset: 0,
                expected: "a WAV file: the letters RIFF, a size, and WAVE",
            });
        }
        let mut format = None;
        loop {
            let offset = source.offset();
            let chunk = source.array::<8>("the header of a chunk, of which \"data\" is still to come")?;
            let size = u32_le(&chunk, 4);
            match (&chunk[..4], format) {
                (b"data", Some(format)) => {
                    // ffmpeg writes the first to a pipe, sox the second.
                    let left = (size != UNKNOWN && size != 0x7fff_f000).then_some(u64::from(size));
                    return Ok(Self { source, format, left });
                }
                (b"data", None) => {
                    return Err(Error::Invalid {
                        offset,
                        expected: "the chunk \"fmt \" before \"data\"",
                    });
                }
                (b"fmt ", _) => format = Some(read_format(&mut source, size)?),
                _ => source.skip(u64::from(size) + u64::from(size & 1), "a chunk to be skipped")?,
            }
        }
    }

    /// How samples are written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The next `blocks` of samples (one of each channel), fewer at the end, but whole ones; `None` after it. At most
    /// [`MAX_READ_LEN`] bytes come at once.
    ///
    /// # Errors
    /// If the file ends before `data` does.
    pub fn read(&mut self, blocks: usize) -> Result<Option<Bytes>, Error> {
        let block_len = self.format.block_len();
        let wanted = blocks.clamp(1, MAX_READ_LEN / block_len) * block_len;
        let Some(left) = &mut self.left else {
            return self.read_to_end(wanted, block_len);
        };
        let len = usize::try_from(*left).unwrap_or(usize::MAX).min(wanted) / block_len * block_len;
        if len == 0 {
            return Ok(None);
        }
        *left -= len as u64;
        Ok(Some(
            self.source.bytes(len, "the samples that \"data\" promises")?.into(),
        ))
    }

    fn read_to_end(&mut self, wanted: usize, block_len: usize) -> Result<Option<Bytes>, Error> {
        let mut samples = vec![0; wanted];
        let len = self.source.fill(&mut samples)? / block_len * block_len;
        samples.truncate(len);
        Ok((len != 0).then(|| samples.into()))
    }
}

fn read_format<R: Read>(source: &mut Source<R>, size: u32) -> Result<Format, Error> {
    let offset = source.offset();
    let len = usize::try_from(size).unwrap_or(usize::MAX).min(MAX_FORMAT_LEN);
    let bytes = source.bytes(len, "the chunk \"fmt \"")?;
    source.skip(u64::from(size) - len as u64 + u64::from(size & 1), "the chunk \"fmt \"")?;
    if len < 16 {
        return Err(Error::Invalid {
            offset,
            expected: "at least 16 bytes in the chunk \"fmt \"",
        });
    }
    let encoding = match u16_le(&bytes, 0) {
        EXTENSIBLE if len >= 26 => u16_le(&bytes, 24),
        tag => tag,
    };
    let format = Format {
        encoding: Encoding(encoding),
        channels: u16_le(&bytes, 2),
        sample_rate: u32_le(&bytes, 4),
        bits_per_sample: u16_le(&bytes, 14),
    };
    if !format.is_supported() || usize::from(u16_le(&bytes, 12)) != format.block_len() {
        let expected = "PCM of 8, 16, 24 or 32 bits, A-law or µ-law, with 1 to 64 channels, or G.722 in mono at 16 kHz";
        return Err(Error::Invalid { offset, expected });
    }
    Ok(format)
}

/// Writes samples, given as bytes.
pub struct Writer<W> {
    inner: W,
    format: Format,
    data_len: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the headers, with sizes left open.
    ///
    /// # Errors
    /// Of `inner`; [`io::ErrorKind::InvalidInput`] for a format that [`Reader`] would not take.
    pub fn new(mut inner: W, format: Format) -> io::Result<Self> {
        if !format.is_supported() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        inner.write_all(&header(format, UNKNOWN, UNKNOWN, UNKNOWN))?;
        Ok(Self {
            inner,
            format,
            data_len: 0,
        })
    }

    /// Appends samples, as [`Format`] says.
    ///
    /// # Errors
    /// Of `inner`; [`io::ErrorKind::InvalidInput`] if this is not a whole number of blocks.
    pub fn write(&mut self, samples: &[u8]) -> io::Result<()> {
        if !samples.len().is_multiple_of(self.format.block_len()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.inner.write_all(samples)?;
        self.data_len += samples.len() as u64;
        Ok(())
    }

    /// How many blocks (one sample of each channel) have been written.
    pub fn blocks(&self) -> u64 {
        self.data_len / self.format.block_len() as u64
    }

    /// Completes the file, its sizes left open, as for a stream, and gives the output back.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn finish(mut self) -> io::Result<W> {
        self.pad()?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    /// A chunk has an even number of bytes, of which its size does not count the last.
    fn pad(&mut self) -> io::Result<()> {
        if self.data_len.is_multiple_of(2) {
            Ok(())
        } else {
            self.inner.write_all(&[0])
        }
    }
}

impl<W: Write + Seek> Writer<W> {
    /// The same, with the sizes in the headers, for a file that began at the output's start. More than 4 GiB do not fit
    /// there: then the sizes stay open.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn finish_header(mut self) -> io::Result<W> {
        self.pad()?;
        self.inner.seek(SeekFrom::Start(0))?;
        let data_len = u32::try_from(self.data_len).unwrap_or(UNKNOWN);
        let samples = self.blocks() * u64::from(self.format.samples_a_block());
        let samples = u32::try_from(samples).unwrap_or(UNKNOWN);
        let open = header(self.format, UNKNOWN, UNKNOWN, UNKNOWN).len() as u64;
        let riff_len = u32::try_from(open - 8 + self.data_len + self.data_len % 2).unwrap_or(UNKNOWN);
        self.inner
            .write_all(&header(self.format, riff_len, samples, data_len))?;
        self.inner.seek(SeekFrom::End(0))?;
        self.inner.flush()?;
        Ok(self.inner)
    }
}

/// Everything before the samples; as long for any sizes.
fn header(format: Format, riff_len: u32, samples: u32, data_len: u32) -> Vec<u8> {
    let block_len = format.block_len();
    let mut bytes = Vec::with_capacity(58);
    bytes.extend(b"RIFF");
    bytes.extend(riff_len.to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    let pcm = format.encoding == Encoding::PCM;
    bytes.extend(if pcm { 16_u32 } else { 18 }.to_le_bytes());
    bytes.extend(format.encoding.0.to_le_bytes());
    bytes.extend(format.channels.to_le_bytes());
    bytes.extend(format.sample_rate.to_le_bytes());
    // At most 1,000,000 × 64 × 4, and 64 × 4: see `is_supported`.
    bytes.extend((format.sample_rate / format.samples_a_block() * block_len as u32).to_le_bytes());
    bytes.extend((block_len as u16).to_le_bytes());
    bytes.extend(format.bits_per_sample.to_le_bytes());
    if !pcm {
        // All but PCM have the length of an extension, here none, and the number of samples.
        bytes.extend(0_u16.to_le_bytes());
        bytes.extend(b"fact");
        bytes.extend(4_u32.to_le_bytes());
        bytes.extend(samples.to_le_bytes());
    }
    bytes.extend(b"data");
    bytes.extend(data_len.to_le_bytes());
    bytes
}
