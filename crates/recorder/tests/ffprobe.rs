//! What the recorder writes, as ffprobe and ffmpeg see it: the right format, codec, number of frames and duration, and pictures
//! and sound that decode without a complaint.

use peerline_recorder::{
    Codec, Frame, PlayedFrame, Player, PlayerOptions, Recorder, RecorderOptions, Report, Track, VideoFile,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A folder of a test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("peerline-recorder-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The frames of one of the samples that ffmpeg made.
fn sample(name: &str) -> (Codec, Vec<PlayedFrame>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../rtp/tests/files")
        .join(name);
    let mut player = Player::open(path, PlayerOptions::default()).expect(name);
    let frames = std::iter::from_fn(|| player.next_frame().expect(name)).collect();
    (player.codec(), frames)
}

/// As it comes from the network: a timestamp that begins shortly before it wraps, and a time that jitters.
fn received(frame: &PlayedFrame, start: Duration) -> Frame {
    let jitter = Duration::from_micros(frame.time.as_micros() as u64 * 7919 % 15_000);
    Frame {
        timestamp: frame.timestamp.wrapping_sub(20_000),
        keyframe: frame.keyframe,
        time: start + frame.time + jitter,
        sampled: None,
        data: frame.data.clone(),
    }
}

fn record(folder: &Folder, name: &str, options: RecorderOptions) -> Report {
    let (codec, frames) = sample(name);
    let mut recorder = Recorder::new(&folder.0, options).expect("a folder");
    let track = recorder.add("stream", &[Track::new(name, codec)])[0];
    for frame in &frames {
        recorder
            .write(track, received(frame, Duration::from_secs(100)))
            .expect("a file");
    }
    let report = recorder.finish().expect("a file").remove(0);
    assert_eq!((report.frames, report.dropped), (frames.len() as u64, 0), "{name}");
    report
}

/// The lines `key=value` that ffprobe prints.
fn ffprobe(path: &Path, entries: &str) -> String {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-of",
            "default=noprint_wrappers=1",
            "-show_entries",
            entries,
        ])
        .arg(path)
        .output()
        .expect("ffprobe: apt-get install ffmpeg");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{}: {complaints}",
        path.display()
    );
    String::from_utf8(output.stdout).expect("text")
}

/// Decodes all of it.
fn ffmpeg_decodes(path: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(path)
        .args([
            "-fps_mode",
            "passthrough",
            "-enc_time_base",
            "1:1000",
            "-f",
            "null",
            "-",
        ])
        .output()
        .expect("ffmpeg: apt-get install ffmpeg");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{}: {complaints}",
        path.display()
    );
}

fn value<'a>(lines: &'a str, key: &str) -> &'a str {
    let value = lines.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("{key} in {lines}"))
}

fn seconds(lines: &str) -> f64 {
    value(lines, "duration")
        .parse()
        .unwrap_or_else(|_| panic!("a duration in {lines}"))
}

#[test]
fn pictures_in_webm_and_ivf() {
    let folder = Folder::new("pictures");
    for (name, codec) in [("vp8.ivf", "vp8"), ("vp9.ivf", "vp9"), ("av1.ivf", "av1")] {
        for (video, format) in [(VideoFile::WebM, "matroska,webm"), (VideoFile::Ivf, "ivf")] {
            let report = record(
                &folder,
                name,
                RecorderOptions {
                    video,
                    ..RecorderOptions::default()
                },
            );
            assert_eq!(report.duration, Duration::from_secs(1), "{name}");
            let path = report.path.expect("a file");
            let found = ffprobe(
                &path,
                "format=format_name,duration:stream=codec_name,width,height,nb_read_frames",
            );
            println!("{}:\n{found}", path.display());
            assert_eq!(value(&found, "format_name"), format);
            assert_eq!(value(&found, "codec_name"), codec);
            assert_eq!((value(&found, "width"), value(&found, "height")), ("64", "48"));
            assert_eq!(value(&found, "nb_read_frames"), "15");
            assert_eq!(seconds(&found), 1.0, "{found}");
            ffmpeg_decodes(&path);
        }
    }
}

#[test]
fn byte_streams() {
    let folder = Folder::new("byte-streams");
    for (name, codec) in [("h264.h264", "h264"), ("h265.h265", "hevc")] {
        let report = record(&folder, name, RecorderOptions::default());
        let path = report.path.expect("a file");
        let found = ffprobe(&path, "format=format_name:stream=codec_name,nb_read_frames");
        assert_eq!(value(&found, "codec_name"), codec);
        assert_eq!(value(&found, "nb_read_frames"), "15");
        ffmpeg_decodes(&path);
    }
}

#[test]
fn sound() {
    let folder = Folder::new("sound");
    for (name, format, codec, duration) in [
        // A second, and what the encoder's delay makes of it.
        ("opus.ogg", "ogg", "opus", 1.02),
        ("mulaw.wav", "wav", "pcm_mulaw", 0.2),
        ("alaw.wav", "wav", "pcm_alaw", 0.2),
        ("pcm.wav", "wav", "pcm_mulaw", 0.2),
        ("g722.wav", "wav", "adpcm_g722", 0.2),
    ] {
        let report = record(&folder, name, RecorderOptions::default());
        assert_eq!(report.duration.as_secs_f64(), duration, "{name}");
        let path = report.path.expect("a file");
        let found = ffprobe(&path, "format=format_name,duration:stream=codec_name");
        assert_eq!(
            (value(&found, "format_name"), value(&found, "codec_name")),
            (format, codec)
        );
        assert!((seconds(&found) - duration).abs() < 0.001, "{found}");
        ffmpeg_decodes(&path);
    }
}

/// What was lost is filled in: the duration is that of the call, not of what came.
#[test]
fn sound_with_holes() {
    let folder = Folder::new("holes");
    for name in ["opus.ogg", "mulaw.wav", "g722.wav"] {
        let (codec, frames) = sample(name);
        let mut recorder = Recorder::new(&folder.0, RecorderOptions::default()).expect("a folder");
        let track = recorder.add("stream", &[Track::new(name, codec)])[0];
        let last = frames.len() - 1;
        for (index, frame) in frames.iter().enumerate() {
            // Lost, and in the second half delayed by ten seconds of silence.
            let pause = if index * 2 > last { 10 } else { 0 };
            if index % 3 != 1 || index == last {
                let mut frame = received(frame, Duration::from_secs(pause));
                frame.timestamp = frame.timestamp.wrapping_add(pause as u32 * codec.clock_rate());
                recorder.write(track, frame).expect("a file");
            }
        }
        let report = recorder.finish().expect("a file").remove(0);
        let expected = 10.0 + if codec == Codec::Opus { 1.02 } else { 0.2 };
        assert!((report.duration.as_secs_f64() - expected).abs() < 0.001, "{report:?}");
        let path = report.path.expect("a file");
        let found = ffprobe(&path, "format=duration");
        assert!((seconds(&found) - expected).abs() < 0.001, "{found}");
        ffmpeg_decodes(&path);
    }
}

/// Sound begins half a second before the first keyframe; both lie on one time line.
#[test]
fn a_stream_in_one_webm() {
    let folder = Folder::new("stream");
    for name in ["vp8.ivf", "vp9.ivf", "av1.ivf"] {
        let (video_codec, pictures) = sample(name);
        let (audio_codec, packets) = sample("opus.ogg");
        let mut recorder = Recorder::new(&folder.0, RecorderOptions::default()).expect("a folder");
        let tracks = [Track::new("camera", video_codec), Track::new("microphone", audio_codec)];
        let ids = recorder.add("alice", &tracks);
        let late = Duration::from_millis(500);
        let mut frames: Vec<_> = packets
            .iter()
            .map(|frame| (ids[1], received(frame, Duration::ZERO)))
            .collect();
        frames.extend(pictures.iter().map(|frame| (ids[0], received(frame, late))));
        frames.sort_by_key(|(_, frame)| frame.time);
        assert!(recorder.wants_keyframe(ids[0]) && !recorder.wants_keyframe(ids[1]));
        for (track, frame) in frames {
            recorder.write(track, frame).expect("a file");
        }
        assert!(!recorder.wants_keyframe(ids[0]));
        let reports = recorder.finish().expect("a file");
        assert!(reports.iter().all(|report| report.dropped == 0), "{reports:?}");
        assert_eq!(reports[0].path, reports[1].path);
        assert_eq!(reports[1].duration, Duration::from_millis(1020));
        assert_eq!(reports[0].duration, Duration::from_millis(1500));

        let path = reports[0].path.as_deref().expect("a file");
        assert!(
            path.file_name()
                .is_some_and(|file| file.to_string_lossy().starts_with("alice"))
        );
        let found = ffprobe(path, "format=nb_streams,duration");
        assert_eq!((value(&found, "nb_streams"), seconds(&found)), ("2", 1.5), "{found}");
        let entries = "stream=codec_name,start_time,nb_read_frames";
        let streams = ffprobe(path, entries);
        let lines: Vec<_> = streams.lines().collect();
        let codec = video_codec.encoding_name().to_lowercase();
        assert_eq!(lines[..2], ["codec_name=opus", "start_time=0.000000"], "{streams}");
        assert_eq!(
            lines[3..],
            [
                &format!("codec_name={codec}"),
                "start_time=0.500000",
                "nb_read_frames=15"
            ],
            "{streams}"
        );
        ffmpeg_decodes(path);
    }
}

/// Sound takes 300 ms longer than pictures do, and its first report comes late: what was sampled together is shown together.
#[test]
fn sound_and_pictures_are_put_together_by_the_reports() {
    let folder = Folder::new("reports");
    let options = PlayerOptions {
        repeat: true,
        ..PlayerOptions::default()
    };
    let mut frames = Vec::new();
    let mut recorder = Recorder::new(&folder.0, RecorderOptions::default()).expect("a folder");
    let tracks = [Track::new("camera", Codec::Vp8), Track::new("microphone", Codec::Opus)];
    let ids = recorder.add("alice", &tracks);
    for (id, name, way, first_report) in [(ids[0], "vp8.ivf", 50, 1000), (ids[1], "opus.ogg", 350, 2500)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../rtp/tests/files")
            .join(name);
        let mut player = Player::open(path, options).expect(name);
        while let Some(frame) = player.next_frame().expect(name)
            && frame.time < Duration::from_secs(4)
        {
            let mut received = received(&frame, Duration::from_secs(100) + Duration::from_millis(way));
            let reported = frame.time >= Duration::from_millis(first_report);
            received.sampled = reported.then(|| Duration::from_secs(1_700_000_000) + frame.time);
            frames.push((id, received));
        }
    }
    frames.sort_by_key(|(_, frame)| frame.time);
    for (id, frame) in frames {
        recorder.write(id, frame).expect("a file");
    }
    let reports = recorder.finish().expect("a file");
    assert!(reports.iter().all(|report| report.dropped == 0), "{reports:?}");
    let path = reports[0].path.as_deref().expect("a file");
    let found = ffprobe(path, "format=duration");
    assert!((seconds(&found) - 4.0).abs() < 0.03, "{found}");
    let streams = ffprobe(path, "stream=start_time");
    assert_eq!(streams, "start_time=0.000000\nstart_time=0.000000\n");
    ffmpeg_decodes(path);
}

/// A recording that nobody finished (the process was killed) is read up to where it came.
#[test]
fn files_that_were_never_finished() {
    let folder = Folder::new("unfinished");
    for name in ["vp8.ivf", "opus.ogg", "mulaw.wav"] {
        let (codec, frames) = sample(name);
        let mut recorder = Recorder::new(&folder.0, RecorderOptions::default()).expect("a folder");
        let track = recorder.add("stream", &[Track::new(name, codec)])[0];
        for frame in &frames {
            recorder.write(track, received(frame, Duration::ZERO)).expect("a file");
        }
        let path = recorder
            .reports()
            .next()
            .and_then(|report| report.path.clone())
            .expect("a file");
        drop(recorder);
        let found = ffprobe(&path, "stream=codec_name,nb_read_packets,nb_read_frames");
        println!("{found}");
        assert!(
            value(&found, "nb_read_frames")
                .parse::<u32>()
                .is_ok_and(|frames| frames > 0),
            "{found}"
        );
    }
}
