//! Audio and video of one stream to one WebM.
//!
//! ```text
//!            ┌─────────┐  a keyframe, and reports     ┌──────┐
//!  frames ──▶│ Waiting │─────────────────────────────▶│ Open │  one file for both
//!            └────┬────┘  of both, or none for long   └──────┘
//!                 │  no keyframe for long, or the end ┌───────┐
//!                 └──────────────────────────────────▶│ Split │  a file for each
//!                                                     └───────┘
//! ```
//!
//! The header of a WebM needs the size of the pictures, so sound that comes earlier is kept until a keyframe does. Which of them
//! belong together is told by the sender's reports (RFC 3550 §6.4.1), so both are kept until there is one of each.

use crate::av1::Container;
use crate::codec::Kind;
use crate::recorder::{Frame, RecorderOptions, Report, Track};
use crate::timeline::Timeline;
use crate::track_file::{Output, Pace, TrackFile, milliseconds, stored, video_track};
use crate::{name, webm};
use bytes::Bytes;
use peerline_rtp::file::ogg_opus;
use peerline_rtp::payload::opus;
use std::collections::VecDeque;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most frames that wait: ten seconds of packets of 10 ms, and of 60 pictures.
const MAX_WAITING: usize = 1600;
/// The most bytes that do so.
const MAX_WAITING_BYTES: usize = 32 << 20;
/// A wall clock that goes so differently from ours is not believed.
const MAX_DRIFT: Duration = Duration::from_secs(10);
/// The longest that a frame waits for one of the other track which belongs before it.
const MAX_HELD_MS: u64 = 1000;
/// The most frames of one track that do so.
const MAX_HELD: usize = 1000;

const AUDIO: usize = 0;
const VIDEO: usize = 1;

pub(crate) struct StreamFile {
    folder: PathBuf,
    name: String,
    options: RecorderOptions,
    tracks: [Track; 2],
    reports: [Report; 2],
    state: State,
}

enum State {
    Waiting(Waiting),
    Open(Box<Open>),
    Split(Box<[TrackFile; 2]>),
    Finished,
}

/// Frames before anything is written, of pictures from the first keyframe.
#[derive(Default)]
struct Waiting {
    frames: VecDeque<(usize, Frame)>,
    bytes: usize,
    /// A keyframe is among them.
    begins: bool,
    /// The sender's wall clock, by the last frame of each track for which it is known.
    clocks: [Option<WallClock>; 2],
}

/// How timestamps of a track stand to the sender's wall clock, and that to ours.
#[derive(Clone, Copy)]
struct WallClock {
    timestamp: u32,
    sampled: Duration,
    arrived: Duration,
}

impl StreamFile {
    pub(crate) fn new(folder: &Path, name: &str, options: RecorderOptions, audio: &Track, video: &Track) -> Self {
        Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            options,
            tracks: [audio.clone(), video.clone()],
            reports: [Report::new(audio), Report::new(video)],
            state: State::Waiting(Waiting::default()),
        }
    }

    pub(crate) fn report(&self, kind: Kind) -> &Report {
        match &self.state {
            State::Split(files) => files[index(kind)].report(),
            State::Waiting(_) | State::Open(_) | State::Finished => &self.reports[index(kind)],
        }
    }

    /// Whether a keyframe has yet to come.
    pub(crate) fn wants_keyframe(&self) -> bool {
        match &self.state {
            State::Waiting(waiting) => !waiting.begins,
            State::Open(_) | State::Split(_) | State::Finished => self.report(Kind::Video).frames == 0,
        }
    }

    pub(crate) fn write(&mut self, kind: Kind, frame: Frame) -> io::Result<()> {
        let track = index(kind);
        match &mut self.state {
            State::Waiting(waiting) => {
                let begins = kind == Kind::Video
                    && frame.keyframe
                    && video_track(self.tracks[VIDEO].codec, &frame.data).is_some();
                if kind == Kind::Video && !waiting.begins && !begins {
                    self.reports[VIDEO].dropped += 1;
                    return Ok(());
                }
                waiting.begins |= begins;
                waiting.add(track, frame);
                self.decide()
            }
            State::Open(open) => open.write(track, frame, &mut self.reports[track]),
            State::Split(files) => files[track].write(&frame),
            State::Finished => Ok(()),
        }
    }

    /// Ends the waiting, if that has been long enough.
    fn decide(&mut self) -> io::Result<()> {
        let State::Waiting(waiting) = &self.state else {
            return Ok(());
        };
        let waited = waiting.span();
        let is_full = waiting.frames.len() >= MAX_WAITING || waiting.bytes >= MAX_WAITING_BYTES;
        let is_told = waiting.clocks.iter().all(Option::is_some);
        if waiting.begins && (is_told || is_full || waited > self.options.wait_for_reports) {
            self.open()
        } else if !waiting.begins && (is_full || waited > self.options.wait_for_video) {
            self.split()
        } else {
            Ok(())
        }
    }

    /// Begins the file with what has waited, a keyframe among it.
    fn open(&mut self) -> io::Result<()> {
        let State::Waiting(waiting) = &mut self.state else {
            return Ok(());
        };
        let Waiting { frames, clocks, .. } = std::mem::take(waiting);
        let first = frames.iter().find(|(track, _)| *track == VIDEO);
        let Some(video) = first.and_then(|(_, frame)| video_track(self.tracks[VIDEO].codec, &frame.data)) else {
            return Ok(());
        };
        let (path, file) = name::create(&self.folder, &self.name, "webm")?;
        let writer = webm::Writer::new(
            BufWriter::new(file),
            vec![webm::Track::Opus(ogg_opus::Head::default()), video],
        )?;
        for report in &mut self.reports {
            report.path = Some(path.clone());
        }
        let mut open = Box::new(Open {
            writer,
            start: Duration::ZERO,
            timelines: [&self.tracks[AUDIO], &self.tracks[VIDEO]].map(|track| Timeline::new(track.clock_rate)),
            // Both or none.
            sound: None,
            clocks: clocks[AUDIO].zip(clocks[VIDEO]).map(|(audio, video)| [audio, video]),
            codec: self.tracks[VIDEO].codec,
            pace: Pace::default(),
            held: Default::default(),
        });
        let times = frames.iter().map(|(track, frame)| open.time(*track, frame));
        open.start = times.min().unwrap_or_default();
        for (track, frame) in frames {
            open.write(track, frame, &mut self.reports[track])?;
        }
        self.state = State::Open(open);
        Ok(())
    }

    fn split(&mut self) -> io::Result<()> {
        let State::Waiting(waiting) = std::mem::replace(&mut self.state, State::Finished) else {
            return Ok(());
        };
        let file = |index: usize| {
            let mut file = TrackFile::new(&self.folder, &self.tracks[index], self.options.video);
            file.add_dropped(self.reports[index].dropped);
            file
        };
        let mut files = Box::new([file(AUDIO), file(VIDEO)]);
        let mut frames = waiting.frames.iter();
        let outcome = frames.try_for_each(|(track, frame)| files[*track].write(frame));
        self.state = State::Split(files);
        outcome
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match &self.state {
            State::Waiting(waiting) if waiting.begins => self.open()?,
            State::Waiting(_) => self.split()?,
            State::Open(_) | State::Split(_) | State::Finished => {}
        }
        match &mut self.state {
            State::Split(files) => {
                let [audio, video] = &mut **files;
                audio.finish().and(video.finish())
            }
            State::Open(_) => match std::mem::replace(&mut self.state, State::Finished) {
                State::Open(open) => open.finish(),
                State::Waiting(_) | State::Split(_) | State::Finished => Ok(()),
            },
            State::Waiting(_) | State::Finished => Ok(()),
        }
    }
}

fn index(kind: Kind) -> usize {
    match kind {
        Kind::Audio => AUDIO,
        Kind::Video => VIDEO,
    }
}

/// The file with both tracks: blocks leave in the order of their times.
struct Open {
    writer: webm::Writer<Output>,
    /// When it begins: by the sender's wall clock if that is known, else by ours.
    start: Duration,
    /// Of each track, if that is known of both.
    clocks: Option<[WallClock; 2]>,
    /// When the last sound was sampled, and where it lies: pictures go with the sound.
    sound: Option<(Duration, Duration)>,
    timelines: [Timeline; 2],
    codec: crate::Codec,
    pace: Pace,
    held: [VecDeque<Block>; 2],
}

struct Block {
    time: u64,
    duration: u64,
    keyframe: bool,
    data: Bytes,
}

impl Waiting {
    fn add(&mut self, track: usize, frame: Frame) {
        self.bytes += frame.data.len();
        if let Some(clock) = WallClock::of(&frame) {
            self.clocks[track] = Some(clock);
        }
        self.frames.push_back((track, frame));
    }

    fn span(&self) -> Duration {
        let ends = self.frames.front().zip(self.frames.back());
        ends.map_or(Duration::ZERO, |((_, first), (_, last))| {
            last.time.saturating_sub(first.time)
        })
    }
}

impl WallClock {
    fn of(frame: &Frame) -> Option<Self> {
        frame.sampled.map(|sampled| Self {
            timestamp: frame.timestamp,
            sampled,
            arrived: frame.time,
        })
    }

    /// When the frame was sampled, as it says or by its timestamp; by its arrival if either cannot be.
    fn time(&mut self, frame: &Frame, clock_rate: u32) -> Duration {
        let arrived = self.after(frame.time.as_nanos() as i128 - self.arrived.as_nanos() as i128);
        let told = frame.sampled.unwrap_or_else(|| {
            let ticks = frame.timestamp.wrapping_sub(self.timestamp).cast_signed();
            self.after(i128::from(ticks) * 1_000_000_000 / i128::from(clock_rate))
        });
        if told.abs_diff(arrived) > MAX_DRIFT {
            return arrived;
        }
        *self = Self::of(frame).unwrap_or(*self);
        told
    }

    /// So many nanoseconds later, or earlier.
    fn after(&self, nanoseconds: i128) -> Duration {
        let nanoseconds = self.sampled.as_nanos() as i128 + nanoseconds;
        Duration::from_nanos(u64::try_from(nanoseconds.max(0)).unwrap_or(u64::MAX))
    }
}

impl Open {
    fn write(&mut self, track: usize, frame: Frame, report: &mut Report) -> io::Result<()> {
        let sampled = self.time(track, &frame);
        let time = match (track, self.sound) {
            (VIDEO, Some((sound, place))) => place.saturating_add(sampled).saturating_sub(sound),
            _ => sampled.saturating_sub(self.start),
        };
        let is_led = track == VIDEO && self.clocks.is_some();
        let timeline = &mut self.timelines[track];
        let data = match track {
            AUDIO => Some(frame.data).filter(|data| opus::duration(data).is_some()),
            _ => stored(self.codec, Container::WebM, &frame.data),
        };
        let position = data.and_then(|data| {
            let position = match is_led {
                true => timeline.place_exactly(frame.timestamp, time),
                false => timeline.place(frame.timestamp, time),
            }?;
            Some((data, timeline.time(position)))
        });
        let Some((data, time)) = position else {
            report.dropped += 1;
            return Ok(());
        };
        let end = match (track, opus::duration(&data)) {
            (AUDIO, Some(samples)) => {
                time + Duration::from_nanos(u64::from(samples) * 1_000_000_000 / u64::from(opus::CLOCK_RATE))
            }
            _ => self.pace.end(time),
        };
        if track == AUDIO && self.clocks.is_some() {
            self.sound = Some((sampled, time));
        }
        report.count(&data);
        report.duration = report.duration.max(end);
        let (time, end) = (milliseconds(time), milliseconds(end));
        let block = Block {
            time,
            duration: end.saturating_sub(time),
            keyframe: frame.keyframe,
            data,
        };
        self.held[track].push_back(block);
        self.drain(false)
    }

    /// When the frame was sampled, by the sender's wall clock if that is known of both tracks, else when it came.
    fn time(&mut self, track: usize, frame: &Frame) -> Duration {
        let clock_rate = self.timelines[track].clock_rate();
        match &mut self.clocks {
            Some(clocks) => clocks[track].time(frame, clock_rate),
            None => frame.time,
        }
    }

    /// Writes what nothing can come before any more: what is older than a frame of the other track, or has waited too long.
    fn drain(&mut self, all: bool) -> io::Result<()> {
        loop {
            let track = match [self.held[AUDIO].front(), self.held[VIDEO].front()] {
                [None, None] => return Ok(()),
                [Some(audio), Some(video)] => {
                    if audio.time < video.time {
                        AUDIO
                    } else {
                        VIDEO
                    }
                }
                [Some(_), None] if all || self.waits_too_long(AUDIO) => AUDIO,
                [None, Some(_)] if all || self.waits_too_long(VIDEO) => VIDEO,
                [Some(_), None] | [None, Some(_)] => return Ok(()),
            };
            let Some(block) = self.held[track].pop_front() else {
                return Ok(());
            };
            self.writer
                .write_frame(track, block.time, block.duration, block.keyframe, &block.data)?;
        }
    }

    fn waits_too_long(&self, track: usize) -> bool {
        let held = &self.held[track];
        let span = held
            .back()
            .zip(held.front())
            .map_or(0, |(last, first)| last.time.saturating_sub(first.time));
        span > MAX_HELD_MS || held.len() > MAX_HELD
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.drain(true)?;
        self.writer.finish_header().map(drop)
    }
}
