//! The player: a file's frames with their times.

use crate::codec::{Codec, Kind};
use crate::{g711, picture};
use bytes::Bytes;
use peerline_rtp::file::annex_b::{self, FrameRate};
use peerline_rtp::file::{self, ivf, ogg_opus, wav};
use peerline_rtp::payload::opus;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::Duration;

/// How to play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayerOptions {
    /// Whether the file begins anew after its end. Default: no.
    pub repeat: bool,
    /// Of a byte stream of H.264 or H.265. Default: what its parameter set says, else 25 pictures a second, as ffmpeg assumes.
    pub frame_rate: Option<FrameRate>,
}

/// What WebRTC's G.711 and G.722 have in a packet: 20 ms.
const WAV_SAMPLES: usize = 160;
const DEFAULT_FRAME_RATE: FrameRate = FrameRate::new(25);
/// A single picture is shown so long.
const STILL: Duration = Duration::from_millis(40);

/// A frame to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayedFrame {
    /// The frame, as its [`Codec`] says.
    pub data: Bytes,
    /// When it is due, since the first. Grows on when the file begins anew.
    pub time: Duration,
    /// How long it lasts.
    pub duration: Duration,
    /// The same time in the codec's clock, beginning with 0 and wrapping: add the stream's random offset.
    pub timestamp: u32,
    /// Whether decoding can begin here.
    pub keyframe: bool,
}

/// Why a file cannot be played.
#[derive(Debug)]
pub enum PlayError {
    /// The file is broken, or cannot be read.
    File(file::Error),
    /// The file is good, but WebRTC has no codec for it.
    Unsupported {
        /// What it is.
        found: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
}

impl fmt::Display for PlayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "{error}"),
            Self::Unsupported { found, advice } => write!(f, "{found}; {advice}"),
        }
    }
}

impl std::error::Error for PlayError {}

impl From<file::Error> for PlayError {
    fn from(error: file::Error) -> Self {
        Self::File(error)
    }
}

impl From<io::Error> for PlayError {
    fn from(error: io::Error) -> Self {
        Self::File(error.into())
    }
}

/// What opens the file, at first and each time that it begins anew.
type Open = Box<dyn FnMut() -> io::Result<Input> + Send>;
type Input = Box<dyn Read + Send>;

/// Reads a file of whatever format, told by its content: IVF, Ogg/Opus, WAV, or a byte stream of H.264 or H.265.
///
/// Getters: [`codec`](Self::codec), [`clock_rate`](Self::clock_rate). The frames come from [`next_frame`](Self::next_frame),
/// as fast as they are asked for: it is the caller who waits until [`PlayedFrame::time`].
pub struct Player {
    open: Open,
    options: PlayerOptions,
    source: Source,
    /// When the file began, this time.
    start: Duration,
    /// When the last frame ends.
    end: Duration,
    /// Whether this pass gave a frame: a file without any is not begun anew for ever.
    played: bool,
}

impl Player {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is broken at its beginning, or is none that can be sent.
    pub fn open(path: impl AsRef<Path>, options: PlayerOptions) -> Result<Self, PlayError> {
        let path = path.as_ref().to_owned();
        Self::with(move || Ok(Box::new(BufReader::new(File::open(&path)?))), options)
    }

    /// The same with anything that can be opened more than once.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with(
        mut open: impl FnMut() -> io::Result<Box<dyn Read + Send>> + Send + 'static,
        options: PlayerOptions,
    ) -> Result<Self, PlayError> {
        let source = Source::new(open()?, options)?;
        let (start, end) = (Duration::ZERO, Duration::ZERO);
        Ok(Self {
            open: Box::new(open),
            options,
            source,
            start,
            end,
            played: false,
        })
    }

    /// What the frames are: negotiate this one.
    pub fn codec(&self) -> Codec {
        match &self.source {
            Source::Ivf { codec, .. } => *codec,
            Source::Ogg { .. } => Codec::Opus,
            Source::Wav { codec, .. } => *codec,
            Source::ByteStream { reader, .. } => match reader.codec() {
                annex_b::Codec::H264 => Codec::H264,
                annex_b::Codec::H265 => Codec::H265,
            },
        }
    }

    /// Units of [`PlayedFrame::timestamp`] in a second.
    pub fn clock_rate(&self) -> u32 {
        self.codec().clock_rate()
    }

    /// Whether the file has sound or pictures.
    pub fn kind(&self) -> Kind {
        self.codec().kind()
    }

    /// The next frame; `None` at the end, unless the file is repeated.
    ///
    /// # Errors
    /// If the file is broken or cut off here, or has become another one.
    pub fn next_frame(&mut self) -> Result<Option<PlayedFrame>, PlayError> {
        loop {
            if let Some(frame) = self.source.next_frame()? {
                return Ok(Some(self.place(frame)));
            }
            if !(self.options.repeat && self.played) {
                return Ok(None);
            }
            let codec = self.codec();
            self.source = Source::new((self.open)()?, self.options)?;
            (self.start, self.played) = (self.end, false);
            if self.codec() != codec {
                return Err(PlayError::Unsupported {
                    found: "the file has become one of another codec",
                    advice: "leave it as it is while it is played",
                });
            }
        }
    }

    fn place(&mut self, frame: SourceFrame) -> PlayedFrame {
        let time = self.start.saturating_add(frame.time);
        self.end = self.end.max(time.saturating_add(frame.duration));
        self.played = true;
        // Rounded: times are whole ticks but for what their nanoseconds lost.
        let ticks = (time.as_nanos() * u128::from(self.clock_rate()) + 500_000_000) / 1_000_000_000;
        PlayedFrame {
            keyframe: picture::is_keyframe(self.codec(), &frame.data),
            data: frame.data,
            time,
            duration: frame.duration,
            timestamp: ticks as u32,
        }
    }
}

/// A frame with its time since the beginning of the file.
struct SourceFrame {
    data: Bytes,
    time: Duration,
    duration: Duration,
}

/// The file, once its format is known.
enum Source {
    Ivf {
        reader: ivf::Reader<Input>,
        codec: Codec,
        /// The timestamp of the first frame.
        first: u64,
        /// A frame lasts until the next, which is therefore read before.
        next: Option<ivf::Frame>,
        /// The duration of the frame before.
        duration: Duration,
    },
    Ogg {
        reader: Box<ogg_opus::Reader<Input>>,
        /// Samples given out.
        samples: u64,
    },
    Wav {
        reader: wav::Reader<Input>,
        codec: Codec,
        /// Samples given out.
        samples: u64,
    },
    ByteStream {
        reader: Box<annex_b::Reader<Input>>,
        rate: Option<FrameRate>,
        /// Pictures given out.
        pictures: u64,
    },
}

impl Source {
    fn new(mut input: Input, options: PlayerOptions) -> Result<Self, PlayError> {
        let mut magic = Vec::new();
        (&mut input).take(4).read_to_end(&mut magic)?;
        let input: Input = Box::new(io::Cursor::new(magic.clone()).chain(input));
        match &magic[..] {
            b"DKIF" => Self::ivf(input),
            b"OggS" => Self::ogg(input),
            b"RIFF" => Self::wav(input),
            [0, 0, 0 | 1, ..] => {
                let reader = Box::new(annex_b::Reader::new(input)?);
                Ok(Self::ByteStream {
                    reader,
                    rate: options.frame_rate,
                    pictures: 0,
                })
            }
            _ => Err(PlayError::Unsupported {
                found: "neither IVF, Ogg, WAV, nor a byte stream of H.264 or H.265",
                advice: "convert it, for example with ffmpeg -i FILE -c:v libvpx video.ivf -c:a libopus audio.ogg",
            }),
        }
    }

    fn ivf(input: Input) -> Result<Self, PlayError> {
        let mut reader = ivf::Reader::new(input)?;
        let codec = match reader.header().codec {
            ivf::FourCc::VP8 => Codec::Vp8,
            ivf::FourCc::VP9 => Codec::Vp9,
            ivf::FourCc::AV1 => Codec::Av1,
            ivf::FourCc(_) => {
                return Err(PlayError::Unsupported {
                    found: "an IVF file of another codec than VP8, VP9 and AV1",
                    advice: "encode it again, for example with ffmpeg -i FILE -c:v libvpx video.ivf",
                });
            }
        };
        let next = reader.next_frame()?;
        let first = next.as_ref().map_or(0, |frame| frame.timestamp);
        Ok(Self::Ivf {
            reader,
            codec,
            first,
            next,
            duration: STILL,
        })
    }

    fn ogg(input: Input) -> Result<Self, PlayError> {
        let reader = Box::new(ogg_opus::Reader::new(input)?);
        if reader.head().mapping_family != 0 {
            return Err(PlayError::Unsupported {
                found: "Opus with more than two channels",
                advice: "mix it down, for example with ffmpeg -i FILE -ac 2 -c:a libopus audio.ogg",
            });
        }
        Ok(Self::Ogg { reader, samples: 0 })
    }

    fn wav(input: Input) -> Result<Self, PlayError> {
        let reader = wav::Reader::new(input)?;
        let format = reader.format();
        let codec = match (format.encoding, format.bits_per_sample) {
            (wav::Encoding::MULAW, _) => Some(Codec::Pcmu),
            (wav::Encoding::ALAW, _) => Some(Codec::Pcma),
            (wav::Encoding::PCM, 16) => Some(Codec::Pcmu),
            (wav::Encoding::G722, _) => Some(Codec::G722),
            (wav::Encoding(_), _) => None,
        };
        match codec {
            Some(codec) if format == wav::Format::G722 || format.sample_rate == 8000 && format.channels == 1 => {
                Ok(Self::Wav {
                    reader,
                    codec,
                    samples: 0,
                })
            }
            _ => Err(PlayError::Unsupported {
                found: "a WAV file other than G.722, or A-law, µ-law or PCM of 16 bits, mono at 8 kHz, as G.711 needs it",
                advice: "convert it, for example with ffmpeg -i FILE -ar 8000 -ac 1 sound.wav, or to Opus with -c:a libopus sound.ogg",
            }),
        }
    }

    fn next_frame(&mut self) -> Result<Option<SourceFrame>, PlayError> {
        match self {
            Self::Ivf {
                reader,
                first,
                next,
                duration,
                ..
            } => {
                let Some(frame) = next.take() else { return Ok(None) };
                let header = *reader.header();
                let time_of = |frame: &ivf::Frame| header.time(frame.timestamp.saturating_sub(*first));
                let time = time_of(&frame);
                *next = reader.next_frame()?;
                if let Some(next) = next {
                    *duration = time_of(next).saturating_sub(time);
                }
                Ok(Some(SourceFrame {
                    data: frame.data,
                    time,
                    duration: *duration,
                }))
            }
            Self::Ogg { reader, samples } => {
                let Some(packet) = reader.next_packet()? else {
                    return Ok(None);
                };
                Ok(Some(take(
                    samples,
                    packet.samples.into(),
                    opus::CLOCK_RATE,
                    packet.data,
                )))
            }
            Self::Wav { reader, codec, samples } => {
                let Some(data) = reader.read(WAV_SAMPLES)? else {
                    return Ok(None);
                };
                let data = if reader.format().encoding == wav::Encoding::PCM {
                    compressed(&data)
                } else {
                    data
                };
                Ok(Some(take(samples, data.len() as u64, codec.clock_rate(), data)))
            }
            Self::ByteStream { reader, rate, pictures } => {
                let Some(unit) = reader.next_access_unit()? else {
                    return Ok(None);
                };
                // What the first parameter set says is kept: times must not jump.
                let rate = *rate.get_or_insert(reader.frame_rate().unwrap_or(DEFAULT_FRAME_RATE));
                let time = rate.time(*pictures);
                *pictures += 1;
                Ok(Some(SourceFrame {
                    data: unit.data,
                    time,
                    duration: rate.time(*pictures) - time,
                }))
            }
        }
    }
}

/// A frame of so many samples after those that were given out.
fn take(samples: &mut u64, count: u64, rate: u32, data: Bytes) -> SourceFrame {
    let time_of = |samples: u64| {
        let nanoseconds = u128::from(samples) * 1_000_000_000 / u128::from(rate);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    };
    let time = time_of(*samples);
    *samples += count;
    SourceFrame {
        data,
        time,
        duration: time_of(*samples) - time,
    }
}

/// µ-law of samples of 16 bits.
fn compressed(samples: &[u8]) -> Bytes {
    let (samples, _) = samples.as_chunks::<2>();
    samples
        .iter()
        .map(|&sample| g711::mulaw(i16::from_le_bytes(sample)))
        .collect()
}
