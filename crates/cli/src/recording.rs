//! Tracks that come, written to files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use peerline::{IncomingFrame, RtpCodec, RtpCodecParameters, RtpReceiver, TrackEvent, TransceiverId};
use peerline_recorder::{Codec, Frame, Recorder, RecorderOptions, Report, Track, TrackId};
use tokio::sync::mpsc;

use crate::host::{now, say};

/// Where recordings go.
pub(crate) struct Archive {
    folder: PathBuf,
    visitors: AtomicU32,
}

impl Archive {
    pub(crate) fn new(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            visitors: AtomicU32::new(0),
        })
    }
}

/// The recording of one peer.
pub(crate) struct Recording {
    archive: Arc<Archive>,
    recorded: HashSet<TransceiverId>,
    /// To the thread that writes.
    frames: Option<mpsc::Sender<Arrived>>,
}

/// A frame of a track.
struct Arrived {
    track: TransceiverId,
    codec: RtpCodec,
    frame: IncomingFrame,
}

/// Frames that wait for the disk; more are dropped.
const MAX_WAITING: usize = 1024;

impl Recording {
    pub(crate) fn new(archive: &Arc<Archive>) -> Self {
        Self {
            archive: Arc::clone(archive),
            recorded: HashSet::new(),
            frames: None,
        }
    }

    /// Records a track as well.
    pub(crate) fn add(&mut self, track: TrackEvent) {
        // Tracks are told of again when they come back.
        if self.recorded.insert(track.transceiver.id()) {
            tokio::spawn(receive(track, self.frames()));
        }
    }

    fn frames(&mut self) -> mpsc::Sender<Arrived> {
        let archive = &self.archive;
        let frames = self.frames.get_or_insert_with(|| {
            let (sender, frames) = mpsc::channel(MAX_WAITING);
            let number = archive.visitors.fetch_add(1, Ordering::Relaxed) + 1;
            let folder = archive.folder.clone();
            // Its end is waited for when the program ends, so that files are whole.
            tokio::task::spawn_blocking(move || match write(&folder, number, frames) {
                Ok(reports) => reports.iter().for_each(tell),
                Err(error) => say(&format!("the recording failed: {error}")),
            });
            sender
        });
        frames.clone()
    }
}

/// Passes a track's frames to the thread that writes, until it ends.
async fn receive(track: TrackEvent, frames: mpsc::Sender<Arrived>) {
    let TrackEvent {
        transceiver, receiver, ..
    } = track;
    let track = transceiver.id();
    while let Some(frame) = receiver.recv_frame().await {
        let codecs = codecs_of(&receiver);
        let Some(codec) = codecs
            .into_iter()
            .find(|codec| codec.payload_type == frame.payload_type)
        else {
            continue;
        };
        let codec = codec.codec;
        if frames.try_send(Arrived { track, codec, frame }).is_err() {
            tracing::warn!("the disk is too slow: a frame was dropped");
        }
    }
}

/// Writes what comes until nothing can come any more.
fn write(folder: &Path, number: u32, mut frames: mpsc::Receiver<Arrived>) -> std::io::Result<Vec<Report>> {
    let mut recorder = Recorder::new(folder, RecorderOptions::default())?;
    let mut tracks: Vec<(TransceiverId, Option<TrackId>)> = Vec::new();
    let begun: Instant = now();
    while let Some(Arrived { track, codec, frame }) = frames.blocking_recv() {
        let known = tracks.iter().find(|(other, _)| *other == track).map(|(_, id)| *id);
        let id = known.unwrap_or_else(|| {
            let name = codec.mime_type.split('/').nth(1).unwrap_or_default();
            let id = Codec::from_encoding_name(name).map(|known| {
                let kind = codec.mime_type.split('/').next().unwrap_or_default();
                let name = format!("peer-{number}-{kind}");
                let mut track = Track::new(&name, known);
                track.clock_rate = codec.clock_rate;
                recorder.add(&name, &[track])[0]
            });
            if id.is_none() {
                say(&format!("there is no file for {}: it is not recorded", codec.mime_type));
            }
            tracks.push((track, id));
            id
        });
        let Some(id) = id else { continue };
        recorder.write(
            id,
            Frame {
                timestamp: frame.timestamp,
                keyframe: frame.keyframe,
                time: frame.received.saturating_duration_since(begun),
                data: frame.payload,
            },
        )?;
    }
    recorder.finish()
}

fn tell(report: &Report) {
    if let Some(path) = &report.path {
        let (frames, seconds) = (report.frames, report.duration.as_secs_f64());
        say(&format!(
            "{}: {frames} frames, {seconds:.1} s, {} bytes",
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
