//! Which frames go to which file, without other programs.

use bytes::Bytes;
use peerline_recorder::{Codec, Frame, Player, PlayerOptions, Recorder, RecorderOptions, Track, TrackId};
use proptest::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("peerline-recorder-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("the folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("ASCII"))
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const OPUS: &[u8] = &[31 << 3, 1, 2, 3];
/// 16 by 16 pixels, as far as anyone looks here.
const VP8: &[u8] = &[0x10, 0, 0, 0x9d, 1, 0x2a, 16, 0, 16, 0, 0, 0];
const VP8_DELTA: &[u8] = &[0x11, 0, 0, 1];

fn recorder(folder: &Folder) -> Recorder {
    Recorder::new(&folder.0, RecorderOptions::default()).expect("a folder")
}

fn write(recorder: &mut Recorder, track: TrackId, milliseconds: u32, codec: Codec, data: &'static [u8]) {
    let frame = Frame {
        timestamp: milliseconds * (codec.clock_rate() / 1000),
        keyframe: data != VP8_DELTA,
        time: Duration::from_millis(milliseconds.into()),
        sampled: None,
        data: Bytes::from_static(data),
    };
    recorder.write(track, frame).expect("a file");
}

fn call() -> [Track; 2] {
    [Track::new("mic", Codec::Opus), Track::new("cam", Codec::Vp8)]
}

#[test]
fn names_of_peers_stay_in_the_folder_and_files_are_not_overwritten() {
    let folder = Folder::new("names");
    for _ in 0..2 {
        let mut recorder = recorder(&folder);
        for name in ["../../evil", "voice"] {
            let track = recorder.add("", &[Track::new(name, Codec::Opus)])[0];
            write(&mut recorder, track, 0, Codec::Opus, OPUS);
        }
        recorder.finish().expect("files");
    }
    assert_eq!(
        folder.files(),
        ["_._.._evil-2.ogg", "_._.._evil.ogg", "voice-2.ogg", "voice.ogg"]
    );
}

#[test]
fn no_file_without_a_frame_that_can_be_played() {
    let folder = Folder::new("nothing");
    let mut recorder = recorder(&folder);
    let tracks = recorder.add("a", &[Track::new("cam", Codec::Vp8)]);
    write(&mut recorder, tracks[0], 0, Codec::Vp8, VP8_DELTA);
    write(&mut recorder, tracks[0], 33, Codec::Vp8, b"");
    assert!(recorder.wants_keyframe(tracks[0]));
    let report = recorder.finish().expect("no file").remove(0);
    assert_eq!((report.path, report.dropped), (None, 2));
    assert_eq!(folder.files(), [""; 0]);
}

/// Sound whose pictures do not come is recorded all the same, and so are pictures that come after all.
#[test]
fn sound_waits_for_pictures_only_so_long() {
    let folder = Folder::new("split");
    let mut recorder = recorder(&folder);
    let tracks = recorder.add("alice", &call());
    for packet in 0..300 {
        write(&mut recorder, tracks[0], packet * 20, Codec::Opus, OPUS);
    }
    write(&mut recorder, tracks[1], 6000, Codec::Vp8, VP8);
    let reports = recorder.finish().expect("files");
    assert_eq!(folder.files(), ["cam.webm", "mic.ogg"]);
    assert_eq!((reports[0].frames, reports[0].duration), (300, Duration::from_secs(6)));
    assert_eq!((reports[1].frames, reports[1].dropped), (1, 0));
}

#[test]
fn a_call_that_ends_before_its_first_picture_is_recorded() {
    let folder = Folder::new("short");
    let mut recorder = recorder(&folder);
    let tracks = recorder.add("alice", &call());
    write(&mut recorder, tracks[1], 0, Codec::Vp8, VP8_DELTA);
    write(&mut recorder, tracks[0], 0, Codec::Opus, OPUS);
    let reports = recorder.finish().expect("files");
    assert_eq!(folder.files(), ["mic.ogg"]);
    assert_eq!((reports[0].frames, reports[1].frames), (1, 0));
}

#[test]
fn what_webm_cannot_hold_gets_files_of_its_own() {
    let folder = Folder::new("own");
    let mut recorder = recorder(&folder);
    let tracks = [Track::new("a", Codec::Pcma), Track::new("v", Codec::H264)];
    let ids = recorder.add("alice", &tracks);
    write(&mut recorder, ids[0], 0, Codec::Pcma, OPUS);
    write(&mut recorder, ids[1], 0, Codec::H264, &[0, 0, 0, 1, 0x65, 0x88]);
    // Two of a kind: nobody knows which belongs to the sound.
    let tracks = [
        Track::new("m", Codec::Opus),
        Track::new("x", Codec::Vp8),
        Track::new("y", Codec::Vp8),
    ];
    for (id, (codec, data)) in
        recorder
            .add("bob", &tracks)
            .into_iter()
            .zip([(Codec::Opus, OPUS), (Codec::Vp8, VP8), (Codec::Vp8, VP8)])
    {
        write(&mut recorder, id, 0, codec, data);
    }
    recorder.finish().expect("files");
    assert_eq!(folder.files(), ["a.wav", "m.ogg", "v.h264", "x.webm", "y.webm"]);
}

/// What was recorded is played again, frame by frame.
#[test]
fn recorded_and_played_again() {
    let folder = Folder::new("again");
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../rtp/tests/files");
    let options = RecorderOptions {
        video: peerline_recorder::VideoFile::Ivf,
        ..RecorderOptions::default()
    };
    for name in [
        "vp8.ivf",
        "vp9.ivf",
        "av1.ivf",
        "h264.h264",
        "h265.h265",
        "opus.ogg",
        "alaw.wav",
        "mulaw.wav",
        "g722.wav",
    ] {
        let read = |path| {
            let mut player = Player::open(path, PlayerOptions::default()).expect(name);
            let frames: Vec<_> = std::iter::from_fn(|| player.next_frame().expect(name)).collect();
            (player.codec(), frames)
        };
        let (codec, frames) = read(samples.join(name));
        let mut recorder = Recorder::new(&folder.0, options).expect("a folder");
        let track = recorder.add("s", &[Track::new(name, codec)])[0];
        for frame in &frames {
            let (timestamp, time) = (frame.timestamp.wrapping_sub(1), frame.time);
            recorder
                .write(
                    track,
                    Frame {
                        timestamp,
                        keyframe: frame.keyframe,
                        time,
                        sampled: None,
                        data: frame.data.clone(),
                    },
                )
                .expect(name);
        }
        let report = recorder.finish().expect(name).remove(0);
        let (again_codec, again) = read(report.path.expect("a file"));
        assert_eq!(again_codec, codec);
        let same = |a: &[peerline_recorder::PlayedFrame], b: &[peerline_recorder::PlayedFrame]| {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.data == b.data && a.timestamp == b.timestamp && a.keyframe == b.keyframe)
        };
        assert!(same(&frames, &again), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a peer sends, at whatever times: counted, never a fault of the file, and memory and files stay small.
    #[test]
    fn any_frames_are_recorded_or_counted(
        frames in prop::collection::vec((0..4_usize, any::<u32>(), any::<bool>(), 0..20_000_u64, prop::option::of(any::<u64>()), prop::collection::vec(any::<u8>(), 0..40), 0..4_u8), 0..60),
    ) {
        let folder = Folder::new("any");
        let mut recorder = recorder(&folder);
        let mut ids = recorder.add("alice", &call());
        ids.extend(recorder.add("bob", &[Track::new("a", Codec::Av1), Track::new("p", Codec::Pcmu)]));
        let total = frames.len() as u64;
        for (track, timestamp, keyframe, time, sampled, mut data, kind) in frames {
            match kind {
                0 => data.splice(0..0, VP8.iter().copied()).for_each(drop),
                1 => data.splice(0..0, [31 << 3]).for_each(drop),
                _ => {}
            }
            let time = Duration::from_millis(time);
            let sampled = sampled.map(Duration::from_nanos);
            recorder.write(ids[track], Frame { timestamp, keyframe, time, sampled, data: data.into() }).unwrap();
        }
        let reports = recorder.finish().unwrap();
        prop_assert_eq!(reports.iter().map(|report| report.frames + report.dropped).sum::<u64>(), total);
        for entry in std::fs::read_dir(&folder.0).unwrap() {
            prop_assert!(entry.unwrap().metadata().unwrap().len() < 20_000_000);
        }
    }
}
