//! Audio and video of one stream to one WebM.
//!
//! ```text
//!            ┌─────────┐  the first keyframe   ┌──────┐
//!  frames ──▶│ Waiting │──────────────────────▶│ Open │  one file for both
//!            └────┬────┘                       └──────┘
//!                 │  too long, or the end      ┌───────┐
//!                 └───────────────────────────▶│ Split │  a file for each
//!                                              └───────┘
//! ```
//!
//! The header of a WebM needs the size of the pictures, so sound that comes earlier is kept until a keyframe does.

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

/// The most frames that wait for the first picture: ten seconds of packets of 10 ms.
const MAX_WAITING: usize = 1000;
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
    Waiting(VecDeque<Frame>),
    Open(Box<Open>),
    Split(Box<[TrackFile; 2]>),
    Finished,
}

impl StreamFile {
    pub(crate) fn new(folder: &Path, name: &str, options: RecorderOptions, audio: &Track, video: &Track) -> Self {
        Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            options,
            tracks: [audio.clone(), video.clone()],
            reports: [Report::new(audio), Report::new(video)],
            state: State::Waiting(VecDeque::new()),
        }
    }

    pub(crate) fn report(&self, kind: Kind) -> &Report {
        match &self.state {
            State::Split(files) => files[index(kind)].report(),
            State::Waiting(_) | State::Open(_) | State::Finished => &self.reports[index(kind)],
        }
    }

    pub(crate) fn write(&mut self, kind: Kind, frame: Frame) -> io::Result<()> {
        match (&mut self.state, kind) {
            (State::Waiting(waiting), Kind::Audio) => {
                waiting.push_back(frame);
                let (first, last) = (&waiting[0], &waiting[waiting.len() - 1]);
                let waited = last.time.saturating_sub(first.time);
                if waited > self.options.wait_for_video || waiting.len() >= MAX_WAITING {
                    self.split()?;
                }
                Ok(())
            }
            (State::Waiting(_), Kind::Video) => self.open(&frame),
            (State::Open(open), _) => open.write(index(kind), frame, &mut self.reports[index(kind)]),
            (State::Split(files), _) => files[index(kind)].write(&frame),
            (State::Finished, _) => Ok(()),
        }
    }

    /// Begins the file, if this is a keyframe.
    fn open(&mut self, first: &Frame) -> io::Result<()> {
        let track = video_track(self.tracks[VIDEO].codec, &first.data).filter(|_| first.keyframe);
        let (Some(video), State::Waiting(waiting)) = (track, &mut self.state) else {
            self.reports[VIDEO].dropped += 1;
            return Ok(());
        };
        let waiting = std::mem::take(waiting);
        let (path, file) = name::create(&self.folder, &self.name, "webm")?;
        let writer = webm::Writer::new(
            BufWriter::new(file),
            vec![webm::Track::Opus(ogg_opus::Head::default()), video],
        )?;
        for report in &mut self.reports {
            report.path = Some(path.clone());
        }
        let start = waiting.front().map_or(first.time, |frame| frame.time.min(first.time));
        let mut open = Box::new(Open {
            writer,
            start,
            timelines: [&self.tracks[AUDIO], &self.tracks[VIDEO]].map(|track| Timeline::new(track.clock_rate)),
            codec: self.tracks[VIDEO].codec,
            pace: Pace::default(),
            held: Default::default(),
        });
        for frame in waiting {
            open.write(AUDIO, frame, &mut self.reports[AUDIO])?;
        }
        open.write(VIDEO, first.clone(), &mut self.reports[VIDEO])?;
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
        let outcome = waiting.iter().try_for_each(|frame| files[AUDIO].write(frame));
        self.state = State::Split(files);
        outcome
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.split_if_waiting()?;
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

    fn split_if_waiting(&mut self) -> io::Result<()> {
        if matches!(self.state, State::Waiting(_)) {
            self.split()
        } else {
            Ok(())
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
    start: Duration,
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

impl Open {
    fn write(&mut self, track: usize, frame: Frame, report: &mut Report) -> io::Result<()> {
        let timeline = &mut self.timelines[track];
        let data = match track {
            AUDIO => Some(frame.data).filter(|data| opus::duration(data).is_some()),
            _ => stored(self.codec, Container::WebM, &frame.data),
        };
        let position = data.and_then(|data| {
            let position = timeline.place(frame.timestamp, frame.time.saturating_sub(self.start))?;
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
