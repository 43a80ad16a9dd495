//! Tracks that come, written to files: sound and pictures of one stream into one, where a file can have both.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use peerline::{IncomingFrame, RtpCodec, RtpCodecParameters, RtpReceiver, TrackEvent, TransceiverId};
use peerline_recorder::{Codec, Frame, Recorder, RecorderOptions, Report, Track, TrackId};
use tokio::sync::mpsc;

use crate::host::now;
use crate::progress::{Board, Line, say};

/// Where recordings go.
pub(crate) struct Archive {
    folder: PathBuf,
    /// Each track gets a file of its own.
    separate: bool,
    peers: AtomicU32,
    board: Board,
}

impl Archive {
    pub(crate) fn new(folder: &Path, separate: bool) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            separate,
            peers: AtomicU32::new(0),
            board: Board::default(),
        })
    }
}

/// The recording of one peer.
pub(crate) struct Recording {
    archive: Arc<Archive>,
    recorded: HashSet<TransceiverId>,
    /// To the thread that writes.
    writer: Option<mpsc::Sender<Arrived>>,
}

/// What the thread that writes is told.
enum Arrived {
    /// There is a track, which has no frames yet.
    Track { track: TransceiverId, stream: String },
    Frame {
        track: TransceiverId,
        codec: RtpCodec,
        frame: IncomingFrame,
    },
}

/// Frames that wait for the disk; more are dropped.
const MAX_WAITING: usize = 1024;
/// How long the frames of a stream wait until each of its tracks has one: only then their codecs are known.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most frames that do so.
const MAX_EARLY: usize = 2000;

impl Recording {
    pub(crate) fn new(archive: &Arc<Archive>) -> Self {
        Self {
            archive: Arc::clone(archive),
            recorded: HashSet::new(),
            writer: None,
        }
    }

    /// Records a track as well.
    pub(crate) fn add(&mut self, track: TrackEvent) {
        // Tracks are told of again when they come back.
        if self.recorded.insert(track.transceiver.id()) {
            tokio::spawn(receive(track, self.writer()));
        }
    }

    fn writer(&mut self) -> mpsc::Sender<Arrived> {
        let archive = &self.archive;
        let writer = self.writer.get_or_insert_with(|| {
            let (sender, arrived) = mpsc::channel(MAX_WAITING);
            let number = archive.peers.fetch_add(1, Ordering::Relaxed) + 1;
            let archive = Arc::clone(archive);
            // Its end is waited for when the program ends, so that files are whole.
            tokio::task::spawn_blocking(move || {
                match Desk::new(&archive, number).and_then(|desk| desk.write(arrived)) {
                    Ok(reports) => reports.iter().for_each(tell),
                    Err(error) => say(&format!("the recording failed: {error}")),
                }
            });
            sender
        });
        writer.clone()
    }
}

/// Passes a track's frames to the thread that writes, until it ends.
async fn receive(track: TrackEvent, writer: mpsc::Sender<Arrived>) {
    let TrackEvent {
        transceiver,
        receiver,
        streams,
        ..
    } = track;
    let track = transceiver.id();
    let stream = streams.into_iter().next().unwrap_or_default();
    if writer.send(Arrived::Track { track, stream }).await.is_err() {
        return;
    }
    while let Some(frame) = receiver.recv_frame().await {
        let codecs = codecs_of(&receiver);
        let Some(codec) = codecs
            .into_iter()
            .find(|codec| codec.payload_type == frame.payload_type)
        else {
            continue;
        };
        let codec = codec.codec;
        if writer.try_send(Arrived::Frame { track, codec, frame }).is_err() {
            tracing::warn!("the disk is too slow: a frame was dropped");
        }
    }
}

/// Where one peer's frames become files.
struct Desk<'a> {
    archive: &'a Archive,
    number: u32,
    recorder: Recorder,
    begun: Instant,
    streams: HashMap<String, Stream>,
    /// The stream of each track.
    tracks: HashMap<TransceiverId, String>,
    /// The files' tracks. One that changes its codec becomes another.
    written: HashMap<(TransceiverId, String), Option<TrackId>>,
}

/// Tracks that belong together.
#[derive(Default)]
struct Stream {
    tracks: Vec<TransceiverId>,
    /// What came before it was known what all tracks are; `None` after that.
    early: Option<Vec<(TransceiverId, RtpCodec, IncomingFrame)>>,
}

impl<'a> Desk<'a> {
    fn new(archive: &'a Archive, number: u32) -> std::io::Result<Self> {
        Ok(Self {
            archive,
            number,
            recorder: Recorder::new(&archive.folder, RecorderOptions::default())?,
            begun: now(),
            streams: HashMap::new(),
            tracks: HashMap::new(),
            written: HashMap::new(),
        })
    }

    /// Writes what comes until nothing can come any more.
    fn write(mut self, mut arrived: mpsc::Receiver<Arrived>) -> std::io::Result<Vec<Report>> {
        let mut told = self.begun;
        while let Some(arrived) = arrived.blocking_recv() {
            match arrived {
                Arrived::Track { track, stream } => self.add(track, stream),
                Arrived::Frame { track, codec, frame } => self.take(track, codec, frame)?,
            }
            if now().saturating_duration_since(told) >= Line::TICK {
                told = now();
                self.archive.board.show(self.number, self.recorder.reports());
            }
        }
        for name in self.streams.keys().cloned().collect::<Vec<_>>() {
            self.settle(&name)?;
        }
        self.archive.board.remove(self.number);
        self.recorder.finish()
    }

    fn add(&mut self, track: TransceiverId, name: String) {
        let stream = self.streams.entry(name.clone()).or_insert_with(|| Stream {
            tracks: Vec::new(),
            early: Some(Vec::new()),
        });
        stream.tracks.push(track);
        self.tracks.insert(track, name);
    }

    fn take(&mut self, track: TransceiverId, codec: RtpCodec, frame: IncomingFrame) -> std::io::Result<()> {
        let name = self.tracks.get(&track).cloned().unwrap_or_default();
        let Some(early) = self.streams.get_mut(&name).and_then(|stream| stream.early.as_mut()) else {
            return self.record(track, &codec, frame);
        };
        early.push((track, codec, frame));
        let waited = early[early.len() - 1]
            .2
            .received
            .saturating_duration_since(early[0].2.received);
        let is_full = early.len() >= MAX_EARLY || waited > PATIENCE;
        if is_full || self.is_complete(&name) {
            self.settle(&name)?;
        }
        Ok(())
    }

    /// Whether each track of a stream has a frame.
    fn is_complete(&self, name: &str) -> bool {
        self.streams.get(name).is_some_and(|stream| {
            let early = stream.early.as_deref().unwrap_or_default();
            stream
                .tracks
                .iter()
                .all(|track| early.iter().any(|(other, ..)| other == track))
        })
    }

    /// The tracks of a stream are those that have brought something by now.
    fn settle(&mut self, name: &str) -> std::io::Result<()> {
        let Some(early) = self.streams.get_mut(name).and_then(|stream| stream.early.take()) else {
            return Ok(());
        };
        let mut present: Vec<(TransceiverId, RtpCodec)> = Vec::new();
        for (track, codec, _) in &early {
            if !present.iter().any(|(other, _)| other == track) {
                present.push((*track, codec.clone()));
            }
        }
        if !self.archive.separate {
            self.add_tracks(&present);
        }
        for (track, codec, frame) in early {
            self.record(track, &codec, frame)?;
        }
        Ok(())
    }

    /// Adds tracks that belong together.
    fn add_tracks(&mut self, tracks: &[(TransceiverId, RtpCodec)]) {
        let mut known = Vec::new();
        for (track, codec) in tracks {
            let place = (*track, codec.mime_type.clone());
            let (kind, name) = codec.mime_type.split_once('/').unwrap_or_default();
            match Codec::from_encoding_name(name) {
                Some(format) => {
                    let mut track = Track::new(&format!("peer-{}-{kind}", self.number), format);
                    track.clock_rate = codec.clock_rate;
                    known.push((place, track));
                }
                None => {
                    say(&format!("there is no file for {}: it is not recorded", codec.mime_type));
                    self.written.insert(place, None);
                }
            }
        }
        let (places, tracks): (Vec<_>, Vec<_>) = known.into_iter().unzip();
        let ids = self.recorder.add(&format!("peer-{}", self.number), &tracks);
        self.written.extend(places.into_iter().zip(ids.into_iter().map(Some)));
    }

    fn record(&mut self, track: TransceiverId, codec: &RtpCodec, frame: IncomingFrame) -> std::io::Result<()> {
        let place = (track, codec.mime_type.clone());
        if !self.written.contains_key(&place) {
            self.add_tracks(&[(track, codec.clone())]);
        }
        let Some(id) = self.written.get(&place).copied().flatten() else {
            return Ok(());
        };
        self.recorder.write(
            id,
            Frame {
                timestamp: frame.timestamp,
                keyframe: frame.keyframe,
                time: frame.received.saturating_duration_since(self.begun),
                sampled: frame.sampled,
                data: frame.payload,
            },
        )
    }
}

fn tell(report: &Report) {
    if let Some(path) = &report.path {
        let (frames, seconds) = (report.frames, report.duration.as_secs_f64());
        let codec = report.codec.encoding_name();
        say(&format!(
            "{}: {frames} frames of {codec}, {seconds:.1} s, {} bytes",
            path.display(),
            report.bytes
        ));
    }
}

/// What a receiver was agreed to receive.
pub(crate) fn codecs_of(receiver: &RtpReceiver) -> Vec<RtpCodecParameters> {
    receiver
        .parameters()
        .map(|parameters| parameters.codecs)
        .unwrap_or_default()
}
