//! Files that are played: what they are, and the pace and order in which their frames are sent.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use peerline::{ConnectionState, MediaClock, MediaFrame, MediaKind, PeerConnection, SourceEvent, TrackSource};
use peerline_recorder::{Kind, PlayError, PlayedFrame, Player, PlayerOptions};

use crate::host::now;
use crate::progress::{Line, rate, say, time};

/// What the stream of a film's tracks is called.
pub(crate) const STREAM: &str = "film";

/// How long a connection stays after the last frame: what was lost is still sent again.
const LINGER: Duration = Duration::from_millis(500);
/// A frame that is later than this is not sent any more.
const TOO_LATE: Duration = Duration::from_secs(1);

/// Files that are played together: one with sound, one with pictures, or one of them.
pub(crate) struct Program {
    files: Vec<PathBuf>,
    options: PlayerOptions,
    audience: Arc<Audience>,
}

/// Who watches, and what they got, all together.
#[derive(Default)]
struct Audience {
    viewers: AtomicUsize,
    bytes: AtomicU64,
    /// How far the one is who has come last, in milliseconds.
    position: AtomicU64,
}

impl Program {
    /// Files that can be played, checked by opening them.
    pub(crate) fn new(files: Vec<PathBuf>, repeat: bool) -> Result<Self, String> {
        let options = PlayerOptions {
            repeat,
            ..PlayerOptions::default()
        };
        let program = Self {
            files,
            options,
            audience: Arc::default(),
        };
        let mut kinds = Vec::new();
        for film in program.open(MediaClock::start())? {
            if kinds.contains(&film.source.track().kind()) {
                return Err("play one file with sound and one with pictures, or one of them".into());
            }
            kinds.push(film.source.track().kind());
        }
        Ok(program)
    }

    /// Those who are shown it together.
    pub(crate) fn screening(&self) -> Screening {
        Screening(Arc::new(Shared {
            begun: OnceLock::new(),
            playing: AtomicUsize::new(0),
            audience: Arc::clone(&self.audience),
        }))
    }

    /// Shows who watches, and how far they are, for as long as there are any.
    pub(crate) async fn show_progress(&self) {
        let mut line = None;
        let mut before = 0;
        let mut ticks = tokio::time::interval(Line::TICK);
        loop {
            let last = now();
            ticks.tick().await;
            let bytes = self.audience.bytes.load(Ordering::Relaxed);
            let bits = (bytes - before) as f64 * 8.0 / last.elapsed().as_secs_f64().max(0.001);
            before = bytes;
            let position = Duration::from_millis(self.audience.position.load(Ordering::Relaxed));
            match self.audience.viewers.load(Ordering::Relaxed) {
                0 => line = None,
                viewers => {
                    let plural = if viewers == 1 { "" } else { "s" };
                    let text = format!("{}, {viewers} viewer{plural}, {}", time(position), rate(bits));
                    line.get_or_insert_with(Line::new).show(&text);
                }
            }
        }
    }

    /// Each file, at its beginning.
    pub(crate) fn open(&self, clock: MediaClock) -> Result<Vec<Film>, String> {
        let open = |file: &PathBuf| Film::open(file, self.options, clock);
        self.files.iter().map(open).collect()
    }
}

/// A file, and the source of the track that carries it.
pub(crate) struct Film {
    pub(crate) source: TrackSource,
    pub(crate) mime_type: String,
    name: String,
    player: Player,
}

impl Film {
    fn open(file: &Path, options: PlayerOptions, clock: MediaClock) -> Result<Self, String> {
        let name = file.display().to_string();
        let player = Player::open(file, options).map_err(|error| format!("{name}: {error}"))?;
        let (kind, top) = match player.kind() {
            Kind::Audio => (MediaKind::Audio, "audio"),
            Kind::Video => (MediaKind::Video, "video"),
        };
        let mime_type = format!("{top}/{}", player.codec().encoding_name());
        let source = TrackSource::new(kind).with_mime_type(&mime_type).with_clock(clock);
        Ok(Self {
            source,
            mime_type,
            name,
            player,
        })
    }
}

/// Films that one connection is shown together.
#[derive(Clone)]
pub(crate) struct Screening(Arc<Shared>);

struct Shared {
    /// When the other side could first see or hear something, by the clock: all files begin there.
    begun: OnceLock<Duration>,
    /// Films under way.
    playing: AtomicUsize,
    audience: Arc<Audience>,
}

/// Somebody who watches, for as long as this is kept.
struct Viewer(Arc<Audience>);

impl Viewer {
    fn new(audience: &Arc<Audience>) -> Self {
        audience.viewers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(audience))
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Screening {
    /// Counts a film that will be [played](Self::play). Do this for all before the first ends.
    pub(crate) fn announce(&self) {
        self.0.playing.fetch_add(1, Ordering::Relaxed);
    }

    /// True once no film is under way.
    pub(crate) fn is_over(&self) -> bool {
        self.0.playing.load(Ordering::Relaxed) == 0
    }

    /// Plays a film that was announced, to its end or that of the connection. The last one closes the connection, which says
    /// goodbye to the other side: its tracks have ended, as those of a source that ends have.
    pub(crate) async fn play(self, pc: PeerConnection, film: Film) -> Result<(), String> {
        let name = film.name.clone();
        let outcome = self.send(&pc, film).await;
        if self.0.playing.fetch_sub(1, Ordering::Relaxed) == 1 {
            tokio::time::sleep(LINGER).await;
            pc.close();
        }
        match outcome {
            Ok(frames) => say(&format!("played {frames} frames of {name}")),
            Err(error) => return Err(format!("{name}: {error}")),
        }
        Ok(())
    }

    /// Sends the frames, each when it is due; how many.
    async fn send(&self, pc: &PeerConnection, film: Film) -> Result<u64, PlayError> {
        let Film { source, mut player, .. } = film;
        let is_over = || pc.connection_state() == ConnectionState::Closed;
        while pc.connection_state() != ConnectionState::Connected || source.demand().senders == 0 {
            if is_over() {
                return Ok(0);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The first of its files counts who watches.
        let mut viewer = None;
        let begun = *self.0.begun.get_or_init(|| {
            viewer = Some(Viewer::new(&self.0.audience));
            source.clock().elapsed()
        });
        let mut scene = Scene::default();
        let mut rate = Rate::default();
        let mut frames = 0;
        // Somebody cannot go on without a keyframe.
        let mut wanted = false;
        while let Some(frame) = player.next_frame()? {
            let time = begun + frame.time;
            let due = source.clock().instant_of(time);
            if now().saturating_duration_since(due) > TOO_LATE {
                wanted = true;
                scene.add(time, &frame);
                continue;
            }
            wanted |= wait(&source, due).await;
            if is_over() {
                break;
            }
            if wanted && !frame.keyframe && source.track().kind() == MediaKind::Video {
                scene.replay(&source, time).await;
            }
            wanted = false;
            let taken = source.write_frame(&MediaFrame::at(time, frame.data.clone()));
            scene.add(time, &frame);
            if let Some(most) = rate.add(&frame) {
                wish_for(pc, &source, most);
            }
            frames += 1;
            let Audience { bytes, position, .. } = &*self.0.audience;
            bytes.fetch_add((taken * frame.data.len()) as u64, Ordering::Relaxed);
            position.store(frame.time.as_millis() as u64, Ordering::Relaxed);
        }
        Ok(frames)
    }
}

/// Waits until `due`; whether a keyframe was asked for meanwhile.
async fn wait(source: &TrackSource, due: Instant) -> bool {
    let mut wanted = false;
    loop {
        tokio::select! {
            biased;
            // What was asked for before the frame is due is asked for before it is sent, however late that is.
            event = source.next_event() => wanted |= matches!(event, SourceEvent::KeyframeRequest { .. }),
            () = tokio::time::sleep_until(due.into()) => return wanted,
        }
    }
}

/// Tells the senders of a film's track what they are to be able to send: it has the rate that it has.
fn wish_for(pc: &PeerConnection, source: &TrackSource, bitrate: u64) {
    let track = source.track();
    for transceiver in pc.transceivers() {
        let sender = transceiver.sender();
        if sender.track().as_ref() == Some(&track) {
            sender.set_desired_bitrate(Some(bitrate));
        }
    }
}

/// How much a film takes in a second.
#[derive(Default)]
struct Rate {
    second: u64,
    bytes: u64,
    /// In bits, in the second with the most of them.
    most: u64,
}

impl Rate {
    /// Takes a frame; how many bits a second are needed, if that is more than before: a quarter more than the frames' own, for what is
    /// around them.
    fn add(&mut self, frame: &PlayedFrame) -> Option<u64> {
        if frame.time.as_secs() != self.second {
            self.second = frame.time.as_secs();
            self.bytes = 0;
        }
        self.bytes += frame.data.len() as u64;
        let needed = self.bytes * 8 / 4 * 5;
        let grows = needed > self.most;
        self.most = self.most.max(needed);
        grows.then_some(needed)
    }
}

/// What was sent since the last keyframe. Nothing is encoded here, so who cannot go on, or joins in the middle (of a stream that
/// a server forwards), is sent all of it once more, between two frames: a decoder is then where the film is.
#[derive(Default)]
struct Scene {
    frames: VecDeque<bytes::Bytes>,
    bytes: usize,
    /// Of the last frame.
    time: Duration,
}

impl Scene {
    /// A longer scene is not sent again: who waits sees the next one.
    const MAX_FRAMES: usize = 300;
    const MAX_BYTES: usize = 2 << 20;
    /// So much is sent at once, and then nothing for a while: buffers on the way overflow otherwise.
    const BURST: usize = 48 * 1024;
    const PAUSE: Duration = Duration::from_millis(4);

    fn add(&mut self, time: Duration, frame: &PlayedFrame) {
        self.time = time;
        if frame.keyframe {
            self.frames.clear();
            self.bytes = 0;
        } else if self.frames.is_empty() {
            // Its keyframe was not kept.
            return;
        }
        self.frames.push_back(frame.data.clone());
        self.bytes += frame.data.len();
        if self.frames.len() > Self::MAX_FRAMES || self.bytes > Self::MAX_BYTES {
            self.frames.clear();
        }
    }

    /// Sends it once more, with times between the last frame's and `next`.
    async fn replay(&self, source: &TrackSource, next: Duration) {
        let parts = u32::try_from(self.frames.len() + 1).expect("MAX_FRAMES");
        let step = next.saturating_sub(self.time) / parts;
        // Frames of one timestamp would be one frame.
        if step < Duration::from_micros(12) {
            return;
        }
        let (mut time, mut burst) = (self.time, 0);
        for data in &self.frames {
            time += step;
            burst += data.len();
            source.write_frame(&MediaFrame::at(time, data.clone()));
            if burst >= Self::BURST {
                burst = 0;
                tokio::time::sleep(Self::PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize, keyframe: bool) -> PlayedFrame {
        PlayedFrame {
            data: vec![0; len].into(),
            time: Duration::ZERO,
            duration: Duration::ZERO,
            timestamp: 0,
            keyframe,
        }
    }

    #[test]
    fn a_film_needs_what_its_busiest_second_takes() {
        let mut rate = Rate::default();
        let mut add = |millis, len| {
            let time = Duration::from_millis(millis);
            rate.add(&PlayedFrame {
                time,
                ..frame(len, false)
            })
        };
        assert_eq!(add(0, 1000), Some(10_000));
        assert_eq!(add(500, 100), Some(11_000));
        assert_eq!(add(1000, 1000), None);
        assert_eq!(add(1900, 1000), Some(20_000));
        assert_eq!(add(2000, 10), None);
    }

    #[test]
    fn a_scene_begins_with_its_keyframe_and_is_bounded() {
        let mut scene = Scene::default();
        scene.add(Duration::ZERO, &frame(10, false));
        assert!(scene.frames.is_empty());
        for (len, keyframe) in [(20, true), (1, false), (30, true), (2, false), (3, false)] {
            scene.add(Duration::ZERO, &frame(len, keyframe));
        }
        let lengths: Vec<_> = scene.frames.iter().map(bytes::Bytes::len).collect();
        assert_eq!(lengths, [30, 2, 3]);
        for _ in 0..2 * Scene::MAX_FRAMES {
            scene.add(Duration::ZERO, &frame(1, false));
            assert!(scene.frames.len() <= Scene::MAX_FRAMES);
        }
        assert!(scene.frames.is_empty(), "it is too long");
        scene.add(Duration::ZERO, &frame(Scene::MAX_BYTES, true));
        assert_eq!(scene.frames.len(), 1);
        scene.add(Duration::ZERO, &frame(1, false));
        assert!(scene.frames.is_empty(), "it is too large");
    }
}
