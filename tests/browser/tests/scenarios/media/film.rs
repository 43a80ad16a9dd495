//! Films and sounds of the folder `clips` (and of the tests of `peerline-rtp`), played into tracks.

use peerline::{MediaClock, MediaFrame, MediaKind, RtpCodec, RtpTransceiver, SourceEvent, TrackSource};
use peerline_recorder::{PlayedFrame, Player, PlayerOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// A file, and the codec as SDP calls it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clip {
    file: &'static str,
    pub(crate) mime_type: &'static str,
}

impl Clip {
    pub(crate) const VP8: Self = Self::new("clips/vp8.ivf", "video/VP8");
    /// Half as large.
    pub(crate) const VP8_HALF: Self = Self::new("clips/vp8-half.ivf", "video/VP8");
    pub(crate) const VP9: Self = Self::new("clips/vp9.ivf", "video/VP9");
    pub(crate) const AV1: Self = Self::new("clips/av1.ivf", "video/AV1");
    pub(crate) const H264: Self = Self::new("clips/h264.h264", "video/H264");
    pub(crate) const OPUS: Self = Self::new("../../crates/rtp/tests/files/opus.ogg", "audio/opus");
    /// Opus in redundant packets.
    pub(crate) const RED: Self = Self::new("../../crates/rtp/tests/files/opus.ogg", "audio/red");
    pub(crate) const PCMU: Self = Self::new("../../crates/rtp/tests/files/mulaw.wav", "audio/PCMU");
    pub(crate) const PCMA: Self = Self::new("../../crates/rtp/tests/files/alaw.wav", "audio/PCMA");
    pub(crate) const G722: Self = Self::new("clips/g722.wav", "audio/G722");

    const fn new(file: &'static str, mime_type: &'static str) -> Self {
        Self { file, mime_type }
    }

    pub(crate) fn kind(self) -> MediaKind {
        match self.mime_type.starts_with("video/") {
            true => MediaKind::Video,
            false => MediaKind::Audio,
        }
    }

    /// The encoding's name, as the pages take it.
    pub(crate) fn codec(self) -> &'static str {
        self.mime_type.split_once('/').expect("a MIME type").1
    }

    pub(crate) fn frames(self) -> Vec<PlayedFrame> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.file);
        let mut player = Player::open(path, PlayerOptions::default()).expect("the clip is there");
        std::iter::from_fn(|| player.next_frame().expect("the clip is whole")).collect()
    }
}

/// A clip that is played into a track again and again; at each request for a keyframe it goes on from the next one.
pub(crate) struct Film {
    pub(crate) clip: Clip,
    pub(crate) source: TrackSource,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    taken: AtomicU64,
    keyframe_requests: AtomicU64,
    withholds: AtomicBool,
}

impl Film {
    pub(crate) fn play(clip: Clip) -> Self {
        Self::play_with(clip, MediaClock::start())
    }

    pub(crate) fn play_with(clip: Clip, clock: MediaClock) -> Self {
        let source = TrackSource::new(clip.kind());
        let source = match clip.codec() {
            // The transceiver prefers RED: the source need not know.
            "red" => source.with_mime_type(Clip::OPUS.mime_type),
            _ => source.with_mime_type(clip.mime_type),
        };
        let source = source.with_clock(clock);
        let counts = Arc::<Counts>::default();
        let task = tokio::spawn(play(clip.frames(), source.clone(), counts.clone()));
        Self {
            clip,
            source,
            counts,
            task,
        }
    }

    /// Frames that a sender took.
    pub(crate) fn taken(&self) -> u64 {
        self.counts.taken.load(Ordering::Relaxed)
    }

    /// Whether it leaves out all keyframes, whoever asks.
    pub(crate) fn withhold_keyframes(&self, withhold: bool) {
        self.counts.withholds.store(withhold, Ordering::Relaxed);
    }

    /// Requests for keyframes that came to the source.
    pub(crate) fn keyframe_requests(&self) -> u64 {
        self.counts.keyframe_requests.load(Ordering::Relaxed)
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(frames: Vec<PlayedFrame>, source: TrackSource, counts: Arc<Counts>) {
    let mut due = Instant::now();
    let mut next = 0;
    loop {
        tokio::select! {
            event = source.next_event() => if let SourceEvent::KeyframeRequest { .. } = event {
                counts.keyframe_requests.fetch_add(1, Ordering::Relaxed);
                if counts.withholds.load(Ordering::Relaxed) {
                    continue;
                }
                let keyframe = frames[next..].iter().position(|frame| frame.keyframe);
                next = keyframe.map_or(0, |ahead| next + ahead);
            },
            () = sleep_until(due) => {
                let frame = &frames[next];
                let withheld = frame.keyframe && counts.withholds.load(Ordering::Relaxed);
                if !withheld && source.write_frame(&MediaFrame::new(frame.data.clone())) > 0 {
                    counts.taken.fetch_add(1, Ordering::Relaxed);
                }
                next = (next + 1) % frames.len();
                // A machine that was busy does not catch up.
                due = (due + frame.duration).max(Instant::now() - Duration::from_millis(50));
            }
        }
    }
}

/// Lets `transceiver` use the codec of this MIME type only, and what accompanies it.
pub(crate) fn prefer(pc: &peerline::PeerConnection, transceiver: &RtpTransceiver, names: &[&str]) {
    let all = pc.capabilities(transceiver.kind()).codecs;
    let named = |name: &str| {
        let is_so = |codec: &&RtpCodec| {
            codec
                .mime_type
                .split_once('/')
                .is_some_and(|(_, own)| own.eq_ignore_ascii_case(name))
        };
        all.iter().filter(is_so).cloned().collect::<Vec<_>>()
    };
    let auxiliary = ["rtx", "telephone-event"];
    let codecs: Vec<_> = names.iter().chain(&auxiliary).flat_map(|name| named(name)).collect();
    transceiver
        .set_codec_preferences(&codecs)
        .expect("they are capabilities");
}
