//! WebM (the subset of Matroska, RFC 9559, for VP8, VP9, AV1 and Opus), written as it comes: Segment and Clusters have no
//! size, so a file that was never finished is read all the same. Its elements are encoded by the crate `webm-iterable`.
//!
//! ```text
//!  EBML header · Segment ─ SeekHead    room is left, filled at the end
//!                        ─ Info        with a Duration, filled at the end
//!                        ─ Tracks
//!                        ─ Cluster ─ Timestamp · SimpleBlock · SimpleBlock …
//!                        ─ Cluster …   a new one with each keyframe, or after five seconds
//!                        ─ Cues        where keyframes are
//! ```

use peerline_rtp::file::ogg_opus;
use std::io::{self, Seek, SeekFrom, Write};
use webm_iterable::errors::TagWriterError;
use webm_iterable::matroska_spec::{Master, MatroskaSpec as Element, SimpleBlock};
use webm_iterable::{WebmWriter, WriteOptions};

/// Times are milliseconds.
const TIMESTAMP_SCALE_NS: u64 = 1_000_000;
/// Sound without pictures has a new Cluster so often.
const CLUSTER_MS: u64 = 5000;
/// Fewer than the 32,767 that a block's time may be after its Cluster's.
const MAX_CLUSTER_MS: u64 = 30_000;
/// What the SeekHead takes, at most.
const SEEK_HEAD_LEN: usize = 96;
/// A Duration's identifier, size and value; a Void stands there until it is known.
const DURATION_LEN: u64 = 11;
/// Decoding Opus anywhere begins so much before: 80 ms (RFC 7845 §4.6).
const OPUS_PRE_ROLL_NS: u64 = 80_000_000;
/// The most places that are remembered for Cues: 20 bytes each.
const MAX_CUES: usize = 100_000;

/// A track of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Track {
    /// VP8.
    Vp8 {
        /// The first picture's, in pixels.
        width: u32,
        /// The first picture's, in pixels.
        height: u32,
    },
    /// VP9.
    Vp9 {
        /// The first picture's, in pixels.
        width: u32,
        /// The first picture's, in pixels.
        height: u32,
    },
    /// AV1; blocks are temporal units without delimiters.
    Av1 {
        /// The first picture's, in pixels.
        width: u32,
        /// The first picture's, in pixels.
        height: u32,
        /// The AV1CodecConfigurationRecord.
        configuration: Vec<u8>,
    },
    /// Opus.
    Opus(ogg_opus::Head),
}

impl Track {
    fn is_video(&self) -> bool {
        !matches!(self, Self::Opus(_))
    }
}

/// Writes one file, of at most 126 tracks.
pub struct Writer<W: Write> {
    elements: WebmWriter<Position<W>>,
    /// Where the Segment's content begins: positions within it count from there.
    segment: u64,
    info: u64,
    tracks_at: u64,
    duration_at: u64,
    tracks: Vec<Track>,
    cluster: Option<Cluster>,
    cues: Vec<Cue>,
    /// The end of the last block that ends last, in milliseconds.
    end: u64,
}

struct Cluster {
    timestamp: u64,
    /// What was written last: blocks are in the order of their times.
    last: u64,
}

struct Cue {
    time: u64,
    track: u64,
    cluster: u64,
}

impl<W: Write> Writer<W> {
    /// Writes everything before the first block.
    ///
    /// # Errors
    /// Of `inner`; [`io::ErrorKind::InvalidInput`] without tracks, or with more than 126.
    pub fn new(inner: W, tracks: Vec<Track>) -> io::Result<Self> {
        if tracks.is_empty() || tracks.len() > 126 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut elements = WebmWriter::new(Position { inner, position: 0 });
        let mut write = |element: &Element| {
            elements.write(element).map_err(error)?;
            Ok::<_, io::Error>(elements.get_ref().position)
        };
        let segment = write(&ebml_header())? + 12;
        elements
            .write_advanced(
                &Element::Segment(Master::Start),
                WriteOptions::is_unknown_sized_element(),
            )
            .map_err(error)?;
        let mut write = |element: &Element| {
            elements.write(element).map_err(error)?;
            Ok::<_, io::Error>(elements.get_ref().position)
        };
        let info = write(&void(SEEK_HEAD_LEN))?;
        let tracks_at = write(&Element::Info(Master::Full(vec![
            Element::TimestampScale(TIMESTAMP_SCALE_NS),
            Element::MuxingApp(concat!("peerline ", env!("CARGO_PKG_VERSION")).to_owned()),
            Element::WritingApp(concat!("peerline ", env!("CARGO_PKG_VERSION")).to_owned()),
            void(DURATION_LEN as usize),
        ])))?;
        let entries = tracks
            .iter()
            .zip(1..)
            .map(|(track, number)| track_entry(track, number))
            .collect();
        write(&Element::Tracks(Master::Full(entries)))?;
        let duration_at = tracks_at - DURATION_LEN;
        let (cluster, cues, end) = (None, Vec::new(), 0);
        Ok(Self {
            elements,
            segment,
            info,
            tracks_at,
            duration_at,
            tracks,
            cluster,
            cues,
            end,
        })
    }

    /// Appends a frame of the track with this index, shown at `time`, for `duration` as far as is known, in milliseconds.
    /// Times must not decrease; one that does is raised.
    ///
    /// # Errors
    /// Of the output; [`io::ErrorKind::InvalidInput`] if there is no such track.
    pub fn write_frame(
        &mut self,
        track: usize,
        time: u64,
        duration: u64,
        keyframe: bool,
        frame: &[u8],
    ) -> io::Result<()> {
        let video = self.tracks.get(track).ok_or(io::ErrorKind::InvalidInput)?.is_video();
        let time = self.cluster.as_ref().map_or(time, |cluster| cluster.last.max(time));
        let first = track as u64 + 1;
        // Seeking leads to the beginning of a Cluster: to a keyframe, where there are pictures.
        let cue = if self.tracks.iter().any(Track::is_video) {
            video && keyframe
        } else {
            true
        };
        let begins = match &self.cluster {
            None => true,
            Some(cluster) => {
                let age = time - cluster.timestamp;
                age > MAX_CLUSTER_MS || cue && (video || age >= CLUSTER_MS)
            }
        };
        if begins {
            self.begin_cluster(time, cue.then_some(first))?;
        }
        let Some(cluster) = &mut self.cluster else {
            unreachable!("begun above")
        };
        cluster.last = time;
        let relative = i16::try_from(time - cluster.timestamp).expect("below MAX_CLUSTER_MS");
        let block = SimpleBlock::new_uncheked(frame, first, relative, false, None, false, keyframe);
        self.elements.write(&Element::from(block)).map_err(error)?;
        self.end = self.end.max(time.saturating_add(duration));
        Ok(())
    }

    fn begin_cluster(&mut self, timestamp: u64, cue: Option<u64>) -> io::Result<()> {
        self.end_cluster()?;
        let cluster = self.elements.get_ref().position - self.segment;
        if let Some(track) = cue
            && self.cues.len() < MAX_CUES
        {
            self.cues.push(Cue {
                time: timestamp,
                track,
                cluster,
            });
        }
        let unknown = WriteOptions::is_unknown_sized_element();
        self.elements
            .write_advanced(&Element::Cluster(Master::Start), unknown)
            .map_err(error)?;
        self.elements.write(&Element::Timestamp(timestamp)).map_err(error)?;
        self.cluster = Some(Cluster {
            timestamp,
            last: timestamp,
        });
        Ok(())
    }

    fn end_cluster(&mut self) -> io::Result<()> {
        match self.cluster.take() {
            Some(_) => self.elements.write(&Element::Cluster(Master::End)).map_err(error),
            None => Ok(()),
        }
    }

    /// When the last frame ends, in milliseconds.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// How many bytes have been written.
    pub fn position(&self) -> u64 {
        self.elements.get_ref().position
    }

    /// Completes the file as a stream, without duration and index, and gives the output back.
    ///
    /// # Errors
    /// Of the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_cluster()?;
        let mut inner = self.elements.into_inner().map_err(error)?.inner;
        inner.flush()?;
        Ok(inner)
    }
}

impl<W: Write + Seek> Writer<W> {
    /// The same with duration and index, for a file that began at the output's start. Segment and Clusters stay without
    /// sizes: none may have one while those within have not.
    ///
    /// # Errors
    /// Of the output.
    pub fn finish_header(mut self) -> io::Result<W> {
        self.end_cluster()?;
        let cues_at = self.position();
        if !self.cues.is_empty() {
            let cues = Element::Cues(Master::Full(self.cues.iter().map(cue_point).collect()));
            self.elements.write(&cues).map_err(error)?;
        }
        let mut seeks = vec![
            seek(0x1549_a966, self.info - self.segment),
            seek(0x1654_ae6b, self.tracks_at - self.segment),
        ];
        if !self.cues.is_empty() {
            seeks.push(seek(0x1c53_bb6b, cues_at - self.segment));
        }
        let mut head = in_segment(&[Element::SeekHead(Master::Full(seeks))])?;
        let room = in_segment(&[void(SEEK_HEAD_LEN - head.len())])?;
        head.extend(room);
        let duration = [&[0x44, 0x89, 0x88][..], &(self.end as f64).to_be_bytes()].concat();
        let (segment, duration_at) = (self.segment, self.duration_at);

        let mut inner = self.elements.into_inner().map_err(error)?.inner;
        for (at, bytes) in [(segment, head), (duration_at, duration)] {
            inner.seek(SeekFrom::Start(at))?;
            inner.write_all(&bytes)?;
        }
        inner.seek(SeekFrom::End(0))?;
        inner.flush()?;
        Ok(inner)
    }
}

fn ebml_header() -> Element {
    Element::Ebml(Master::Full(vec![
        Element::EbmlVersion(1),
        Element::EbmlReadVersion(1),
        Element::EbmlMaxIdLength(4),
        Element::EbmlMaxSizeLength(8),
        Element::DocType("webm".to_owned()),
        Element::DocTypeVersion(4),
        Element::DocTypeReadVersion(2),
    ]))
}

fn track_entry(track: &Track, number: u64) -> Element {
    let mut entry = vec![
        Element::TrackNumber(number),
        Element::TrackUID(number),
        Element::FlagLacing(0),
        Element::Language("und".to_owned()),
    ];
    let video = |width: &u32, height: &u32| {
        let size = vec![
            Element::PixelWidth((*width).into()),
            Element::PixelHeight((*height).into()),
        ];
        [Element::TrackType(1), Element::Video(Master::Full(size))]
    };
    match track {
        Track::Vp8 { width, height } => {
            entry.push(Element::CodecID("V_VP8".to_owned()));
            entry.extend(video(width, height));
        }
        Track::Vp9 { width, height } => {
            entry.push(Element::CodecID("V_VP9".to_owned()));
            entry.extend(video(width, height));
        }
        Track::Av1 {
            width,
            height,
            configuration,
        } => {
            entry.push(Element::CodecID("V_AV1".to_owned()));
            entry.push(Element::CodecPrivate(configuration.clone()));
            entry.extend(video(width, height));
        }
        Track::Opus(head) => {
            let mut private = Vec::new();
            head.write(&mut private);
            entry.push(Element::CodecID("A_OPUS".to_owned()));
            entry.push(Element::CodecPrivate(private));
            entry.push(Element::CodecDelay(u64::from(head.pre_skip) * 1_000_000 / 48));
            entry.push(Element::SeekPreRoll(OPUS_PRE_ROLL_NS));
            entry.push(Element::TrackType(2));
            entry.push(Element::Audio(Master::Full(vec![
                Element::SamplingFrequency(48_000.0),
                Element::Channels(head.channels.into()),
            ])));
        }
    }
    Element::TrackEntry(Master::Full(entry))
}

fn cue_point(cue: &Cue) -> Element {
    let positions = vec![Element::CueTrack(cue.track), Element::CueClusterPosition(cue.cluster)];
    let positions = Element::CueTrackPositions(Master::Full(positions));
    Element::CuePoint(Master::Full(vec![Element::CueTime(cue.time), positions]))
}

fn seek(id: u32, position: u64) -> Element {
    let id = Element::SeekID(id.to_be_bytes().to_vec());
    Element::Seek(Master::Full(vec![id, Element::SeekPosition(position)]))
}

/// Room of `len` bytes, of which there must be 2 to 128: an identifier of one byte and a size of one.
fn void(len: usize) -> Element {
    Element::Void(vec![0; len - 2])
}

/// Elements of a Segment, encoded without it.
fn in_segment(elements: &[Element]) -> io::Result<Vec<u8>> {
    let mut writer = WebmWriter::new(Vec::new());
    let unknown = WriteOptions::is_unknown_sized_element();
    writer
        .write_advanced(&Element::Segment(Master::Start), unknown)
        .map_err(error)?;
    for element in elements {
        writer.write(element).map_err(error)?;
    }
    let bytes = writer.into_inner().map_err(error)?;
    Ok(bytes[12..].to_vec())
}

fn error(error: TagWriterError) -> io::Error {
    match error {
        TagWriterError::WriteError { source } => source,
        other => io::Error::other(other),
    }
}

/// Counts bytes, and keeps the flush that follows each element away from the output's buffer.
struct Position<W> {
    inner: W,
    position: u64,
}

impl<W: Write> Write for Position<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
