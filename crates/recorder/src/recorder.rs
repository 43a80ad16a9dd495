//! The recorder: which track goes to which file.

use crate::codec::{Codec, Kind};
use crate::stream_file::StreamFile;
use crate::track_file::TrackFile;
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecorderOptions {
    /// What VP8, VP9 and AV1 are written to. Default: WebM.
    pub video: VideoFile,
    /// How long the sound of a stream waits for its first picture, before each gets a file of its own. Default: 5 s.
    pub wait_for_video: Duration,
    /// How long sound and pictures wait for the sender's reports, which tell what belongs together, before they are put together
    /// as they came. Browsers report on sound after 2.5 s. Default: 5 s.
    pub wait_for_reports: Duration,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            video: VideoFile::WebM,
            wait_for_video: Duration::from_secs(5),
            wait_for_reports: Duration::from_secs(5),
        }
    }
}

/// A file for VP8, VP9 and AV1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoFile {
    /// WebM, with the Opus of the same stream.
    WebM,
    /// IVF, which has no sound: each track has a file.
    Ivf,
}

/// A track to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// What its file is called; letters that are not fit for that are replaced.
    pub name: String,
    /// What its frames are.
    pub codec: Codec,
    /// Units of its RTP timestamps in a second.
    pub clock_rate: u32,
}

impl Track {
    /// A track with the usual clock rate of its codec.
    pub fn new(name: &str, codec: Codec) -> Self {
        Self {
            name: name.to_owned(),
            codec,
            clock_rate: codec.clock_rate(),
        }
    }
}

/// A track of one recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrackId(usize);

/// An encoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Whether decoding can begin here; of sound, always.
    pub keyframe: bool,
    /// When it came, on any clock that all tracks share.
    pub time: Duration,
    /// When it was sampled, by the sender's wall clock, once its reports tell (RFC 3550 §6.4.1): by this, sound and pictures of a
    /// stream are put together.
    pub sampled: Option<Duration>,
    /// The frame, as its [`Codec`] says.
    pub data: Bytes,
}

/// What has become of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The track's name.
    pub name: String,
    /// What its frames are.
    pub codec: Codec,
    /// The file; `None` as long as nothing could be written.
    pub path: Option<PathBuf>,
    /// Frames written.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames left out: before the first keyframe, older than the one before, or broken.
    pub dropped: u64,
    /// From the beginning of the file to the end of its last frame.
    pub duration: Duration,
}

impl Report {
    pub(crate) fn new(track: &Track) -> Self {
        Self {
            name: track.name.clone(),
            codec: track.codec,
            path: None,
            frames: 0,
            bytes: 0,
            dropped: 0,
            duration: Duration::ZERO,
        }
    }

    pub(crate) fn count(&mut self, data: &[u8]) {
        self.frames += 1;
        self.bytes += data.len() as u64;
    }
}

/// Writes the frames of tracks to files in one folder.
///
/// Opus goes to `.ogg`, PCMU, PCMA and G.722 to `.wav`, H.264 and H.265 to `.h264` and `.h265` (byte streams, which have no times),
/// VP8, VP9 and AV1 to `.webm` or `.ivf`. One Opus and one such video track of a stream share a `.webm`, on one time line: that of
/// the sound, with which the pictures go as the sender's reports say, also where its clocks drift apart.
/// A file begins with the first frame, of video the first keyframe. Gaps in sound are filled: in Ogg with packets that ask
/// for concealment, in WAV with silence.
///
/// Getters: [`reports`](Self::reports), [`wants_keyframe`](Self::wants_keyframe). Commands: [`add`](Self::add),
/// [`write`](Self::write), [`finish`](Self::finish); without that last one files have no duration and index, but can be played.
pub struct Recorder {
    folder: PathBuf,
    options: RecorderOptions,
    files: Vec<Recording>,
    routes: Vec<Route>,
}

enum Recording {
    Track(Box<TrackFile>),
    Stream(Box<StreamFile>),
}

/// Where a track's frames go.
#[derive(Clone, Copy)]
struct Route {
    file: usize,
    kind: Kind,
}

impl Recorder {
    /// A recorder without tracks. Creates the folder if it is not there.
    ///
    /// # Errors
    /// If that fails.
    pub fn new(folder: impl AsRef<Path>, options: RecorderOptions) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let folder = folder.as_ref().to_owned();
        Ok(Self {
            folder,
            options,
            files: Vec::new(),
            routes: Vec::new(),
        })
    }

    /// Adds the tracks of one stream. Files are named after their track; one for two tracks, after the stream.
    pub fn add(&mut self, stream: &str, tracks: &[Track]) -> Vec<TrackId> {
        let together = self.together(tracks);
        if let Some((audio, video)) = together {
            let file = StreamFile::new(&self.folder, stream, self.options, &tracks[audio], &tracks[video]);
            self.files.push(Recording::Stream(Box::new(file)));
        }
        let shared = self.files.len().saturating_sub(1);
        let add = |(index, track): (usize, &Track)| {
            let kind = track.codec.kind();
            let file = if together.is_some_and(|(audio, video)| index == audio || index == video) {
                shared
            } else {
                let file = TrackFile::new(&self.folder, track, self.options.video);
                self.files.push(Recording::Track(Box::new(file)));
                self.files.len() - 1
            };
            self.routes.push(Route { file, kind });
            TrackId(self.routes.len() - 1)
        };
        tracks.iter().enumerate().map(add).collect()
    }

    /// The audio and the video track that share a WebM: the only ones of a stream that fit.
    fn together(&self, tracks: &[Track]) -> Option<(usize, usize)> {
        let only = |kind| {
            let fits = |(_, track): &(usize, &Track)| track.codec.fits_webm() && track.codec.kind() == kind;
            let mut fitting = tracks.iter().enumerate().filter(fits).map(|(index, _)| index);
            fitting.next().filter(|_| fitting.next().is_none())
        };
        match self.options.video {
            VideoFile::WebM => only(Kind::Audio).zip(only(Kind::Video)),
            VideoFile::Ivf => None,
        }
    }

    /// Appends a frame of a track, in the order in which they are decoded. Frames that cannot be used are counted.
    ///
    /// # Errors
    /// Those of the file, such as a full disk.
    pub fn write(&mut self, track: TrackId, frame: Frame) -> io::Result<()> {
        let Route { file, kind } = self.routes[track.0];
        match &mut self.files[file] {
            Recording::Track(file) => file.write(&frame),
            Recording::Stream(file) => file.write(kind, frame),
        }
    }

    /// Whether a video track waits for its first keyframe: ask its sender for one.
    pub fn wants_keyframe(&self, track: TrackId) -> bool {
        let Route { file, kind } = self.routes[track.0];
        match (&self.files[file], kind) {
            (_, Kind::Audio) => false,
            (Recording::Track(file), Kind::Video) => file.report().frames == 0,
            (Recording::Stream(file), Kind::Video) => file.wants_keyframe(),
        }
    }

    /// What has become of each track so far, in the order in which they were added.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.routes.iter().map(|route| match &self.files[route.file] {
            Recording::Track(file) => file.report(),
            Recording::Stream(file) => file.report(route.kind),
        })
    }

    /// Completes all files, and tells what is in them. All are tried.
    ///
    /// # Errors
    /// The first of a file.
    pub fn finish(mut self) -> io::Result<Vec<Report>> {
        let mut outcome = Ok(());
        for file in &mut self.files {
            outcome = outcome.and(match file {
                Recording::Track(file) => file.finish(),
                Recording::Stream(file) => file.finish(),
            });
        }
        outcome.map(|()| self.reports().cloned().collect())
    }
}
