//! One track to one file.

use crate::av1::{self, Container};
use crate::codec::{Codec, Kind};
use crate::picture;
use crate::recorder::{Frame, Report, Track, VideoFile};
use crate::timeline::Timeline;
use crate::{name, webm};
use bytes::Bytes;
use peerline_rtp::file::{annex_b, ivf, ogg_opus, wav};
use peerline_rtp::payload::opus;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) type Output = BufWriter<File>;

/// The longest pause between two pictures that is taken for the last one's duration.
const MAX_LAST_PICTURE: Duration = Duration::from_secs(1);

pub(crate) struct TrackFile {
    folder: PathBuf,
    track: Track,
    video: VideoFile,
    /// When the first frame came: where the file begins.
    start: Duration,
    timeline: Timeline,
    writer: Option<Writer>,
    pace: Pace,
    report: Report,
}

enum Writer {
    Ivf(ivf::Writer<Output>),
    WebM(webm::Writer<Output>),
    ByteStream(annex_b::Writer<Output>),
    Ogg(ogg_opus::Writer<Output>),
    /// With the byte that is silence.
    Wav(wav::Writer<Output>, u8),
}

impl TrackFile {
    pub(crate) fn new(folder: &Path, track: &Track, video: VideoFile) -> Self {
        Self {
            folder: folder.to_owned(),
            track: track.clone(),
            video,
            start: Duration::ZERO,
            timeline: Timeline::new(track.clock_rate),
            writer: None,
            pace: Pace::default(),
            report: Report::new(track),
        }
    }

    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    /// Counts frames that were left out before this file was decided upon.
    pub(crate) fn add_dropped(&mut self, frames: u64) {
        self.report.dropped += frames;
    }

    pub(crate) fn write(&mut self, frame: &Frame) -> io::Result<()> {
        if self.writer.is_none() {
            self.writer = self.create(frame)?;
            self.start = frame.time;
        }
        let Some(writer) = &mut self.writer else {
            self.report.dropped += 1;
            return Ok(());
        };
        let Some(position) = self
            .timeline
            .place(frame.timestamp, frame.time.saturating_sub(self.start))
        else {
            self.report.dropped += 1;
            return Ok(());
        };
        let end = match writer {
            Writer::Ogg(writer) => write_opus(writer, self.timeline.convert(position, opus::CLOCK_RATE), &frame.data)?,
            Writer::Wav(writer, silence) => {
                write_samples(writer, *silence, self.timeline.convert(position, 8000), &frame.data)?
            }
            Writer::ByteStream(writer) => {
                write_access_unit(writer, &frame.data)?.then(|| self.pace.end(self.timeline.time(position)))
            }
            Writer::Ivf(writer) => stored(self.track.codec, Container::Ivf, &frame.data)
                .map(|data| writer.write_frame(position, &data))
                .transpose()?
                .map(|()| self.pace.end(self.timeline.time(position))),
            Writer::WebM(writer) => match stored(self.track.codec, Container::WebM, &frame.data) {
                Some(data) => {
                    let time = self.timeline.time(position);
                    let end = self.pace.end(time);
                    let duration = milliseconds(end) - milliseconds(time);
                    writer.write_frame(0, milliseconds(time), duration, frame.keyframe, &data)?;
                    Some(end)
                }
                None => None,
            },
        };
        match end {
            Some(end) => {
                self.report.count(&frame.data);
                self.report.duration = end;
            }
            None => self.report.dropped += 1,
        }
        Ok(())
    }

    /// The file, if it can begin with this frame.
    fn create(&mut self, frame: &Frame) -> io::Result<Option<Writer>> {
        let (codec, data) = (self.track.codec, &frame.data);
        if codec.kind() == Kind::Video && !frame.keyframe {
            return Ok(None);
        }
        let writer = match codec {
            Codec::Opus => {
                let Some(head) = opus_head(data) else { return Ok(None) };
                let serial = u32::from_le_bytes(*b"peer");
                Writer::Ogg(ogg_opus::Writer::new(
                    self.open("ogg")?,
                    serial,
                    &head,
                    &ogg_opus::Tags::default(),
                )?)
            }
            // Zero, as G.711 writes it.
            Codec::Pcmu => Writer::Wav(wav::Writer::new(self.open("wav")?, wav::Format::PCMU)?, 0xff),
            Codec::Pcma => Writer::Wav(wav::Writer::new(self.open("wav")?, wav::Format::PCMA)?, 0xd5),
            // Repeated, it is decoded to zero.
            Codec::G722 => Writer::Wav(wav::Writer::new(self.open("wav")?, wav::Format::G722)?, 0xfc),
            Codec::H264 => Writer::ByteStream(annex_b::Writer::new(self.open("h264")?)),
            Codec::H265 => Writer::ByteStream(annex_b::Writer::new(self.open("h265")?)),
            Codec::Vp8 | Codec::Vp9 | Codec::Av1 => {
                let Some(track) = video_track(codec, data) else {
                    return Ok(None);
                };
                match self.video {
                    VideoFile::WebM => Writer::WebM(webm::Writer::new(self.open("webm")?, vec![track])?),
                    VideoFile::Ivf => {
                        let Some(header) = self.ivf_header(data) else {
                            return Ok(None);
                        };
                        Writer::Ivf(ivf::Writer::new(self.open("ivf")?, &header)?)
                    }
                }
            }
        };
        Ok(Some(writer))
    }

    fn ivf_header(&self, keyframe: &[u8]) -> Option<ivf::Header> {
        let codec = match self.track.codec {
            Codec::Vp8 => ivf::FourCc::VP8,
            Codec::Vp9 => ivf::FourCc::VP9,
            Codec::Av1 => ivf::FourCc::AV1,
            Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::H264 | Codec::H265 => return None,
        };
        let size = picture::size(self.track.codec, keyframe)?;
        Some(ivf::Header {
            codec,
            width: size.width.try_into().unwrap_or(u16::MAX),
            height: size.height.try_into().unwrap_or(u16::MAX),
            numerator: 1,
            denominator: self.timeline.clock_rate(),
            length: 0,
        })
    }

    fn open(&mut self, extension: &str) -> io::Result<Output> {
        let (path, file) = name::create(&self.folder, &self.track.name, extension)?;
        self.report.path = Some(path);
        Ok(BufWriter::new(file))
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self.writer.take() {
            None => Ok(()),
            Some(Writer::Ivf(writer)) => writer.finish_header().map(drop),
            Some(Writer::WebM(writer)) => writer.finish_header().map(drop),
            Some(Writer::ByteStream(writer)) => writer.finish().map(drop),
            Some(Writer::Ogg(writer)) => writer.finish().map(drop),
            Some(Writer::Wav(writer, _)) => writer.finish_header().map(drop),
        }
    }
}

/// When pictures end: a picture is shown until the next, and the last one as long as the one before.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<Duration>,
    duration: Duration,
}

impl Pace {
    /// The end, so far, of a picture that begins at `time`.
    pub(crate) fn end(&mut self, time: Duration) -> Duration {
        if let Some(last) = self.last {
            let since = time.saturating_sub(last);
            // Several frames of one picture have the same time.
            if !since.is_zero() {
                self.duration = since.min(MAX_LAST_PICTURE);
            }
        }
        self.last = Some(time);
        time + self.duration
    }
}

/// If this is an Opus packet. Stereo, as in SDP (`opus/48000/2`): to that any packet can be decoded, whatever comes later.
pub(crate) fn opus_head(packet: &[u8]) -> Option<ogg_opus::Head> {
    opus::duration(packet).map(|_| ogg_opus::Head::default())
}

/// The WebM track that begins with this keyframe.
pub(crate) fn video_track(codec: Codec, keyframe: &[u8]) -> Option<webm::Track> {
    let picture::Size { width, height } = picture::size(codec, keyframe)?;
    match codec {
        Codec::Vp8 => Some(webm::Track::Vp8 { width, height }),
        Codec::Vp9 => Some(webm::Track::Vp9 { width, height }),
        Codec::Av1 => {
            let configuration = av1::sequence_header(keyframe)?.configuration;
            Some(webm::Track::Av1 {
                width,
                height,
                configuration,
            })
        }
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::H264 | Codec::H265 => None,
    }
}

/// A frame as a file wants it; `None` if it is broken, or empty.
pub(crate) fn stored(codec: Codec, container: Container, frame: &Bytes) -> Option<Bytes> {
    match codec {
        _ if frame.is_empty() => None,
        Codec::Av1 => {
            let mut unit = Vec::with_capacity(frame.len() + 16);
            av1::write(frame, container, &mut unit)?;
            Some(unit.into())
        }
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265 => {
            Some(frame.clone())
        }
    }
}

/// Rounded.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from((time.as_nanos() + 500_000) / 1_000_000).unwrap_or(u64::MAX)
}

/// Fills what is missing before `position`, then appends the packet. Tells the end; `None` if it is no Opus, or all of it
/// lies before what is written.
fn write_opus(writer: &mut ogg_opus::Writer<Output>, position: u64, packet: &[u8]) -> io::Result<Option<Duration>> {
    let Some(samples) = opus::duration(packet).filter(|_| packet.len() <= ogg_opus::MAX_PACKET_LEN) else {
        return Ok(None);
    };
    let written = writer.position();
    if written > 0 && position + u64::from(samples) <= written {
        return Ok(None);
    }
    writer.write_gap(position.saturating_sub(written))?;
    writer.write_packet(packet)?;
    Ok(Some(writer.time()))
}

/// The same for sound of 8,000 bytes a second, with silence in between.
fn write_samples(
    writer: &mut wav::Writer<Output>,
    silence: u8,
    position: u64,
    samples: &[u8],
) -> io::Result<Option<Duration>> {
    let written = writer.blocks();
    if samples.is_empty() || position + samples.len() as u64 <= written {
        return Ok(None);
    }
    let mut missing = position.saturating_sub(written);
    while missing > 0 {
        let piece = missing.min(4096);
        writer.write(&[silence; 4096][..piece as usize])?;
        missing -= piece;
    }
    writer.write(samples)?;
    Ok(Some(wav::Format::PCMU.time(writer.blocks())))
}

/// False if this does not begin with a start code.
fn write_access_unit(writer: &mut annex_b::Writer<Output>, data: &[u8]) -> io::Result<bool> {
    match writer.write_access_unit(data) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(false),
        outcome => outcome.map(|()| true),
    }
}
