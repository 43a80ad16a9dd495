//! What a page sends is recorded, and ffprobe reads it.

use super::film::Clip;
use super::{open, page_adds, tracks, video, watch};
use crate::session::Side;
use peerline::MediaKind;
use peerline_browser_tests::Browser;
use peerline_recorder::{Codec, Recorder, RecorderOptions, Track};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

crate::scenarios! {
    pictures_and_sound_are_recorded
    each_codec_is_recorded
}

const LENGTH: Duration = Duration::from_secs(4);

async fn pictures_and_sound_are_recorded(browser: Browser) {
    let mut session = open(browser).await;
    page_adds(&session, Clip::VP8, "sendonly");
    page_adds(&session, Clip::OPUS, "sendonly");
    session.connect(Side::Page).await;
    let tracks = tracks(&mut session, 2).await;
    let folder = watch::Folder::new();
    let mut recorder = Recorder::new(&folder.0, RecorderOptions::default()).expect("a folder");
    let codecs = tracks.iter().map(|track| match track.receiver.kind() {
        MediaKind::Video => Track::new("pictures", Codec::Vp8),
        MediaKind::Audio => Track::new("sound", Codec::Opus),
    });
    let ids = recorder.add("call", &codecs.collect::<Vec<_>>());
    let start = std::time::Instant::now();
    let deadline = Instant::now() + LENGTH;
    loop {
        let (id, frame) = tokio::select! {
            frame = timeout_at(deadline, tracks[0].receiver.recv_frame()) => (ids[0], frame),
            frame = timeout_at(deadline, tracks[1].receiver.recv_frame()) => (ids[1], frame),
        };
        let Ok(frame) = frame else { break };
        let frame = frame.expect("the tracks go on");
        let mut recorded = watch::to_be_recorded(&frame);
        recorded.time = frame.received.saturating_duration_since(start);
        recorder.write(id, recorded).expect("a file");
    }
    let reports = recorder.finish().expect("a file");
    for report in &reports {
        assert_eq!(report.dropped, 0, "{report:?}");
    }
    let file = reports[0].path.as_deref().expect("frames have come");
    assert!(file.ends_with("call.webm"), "{reports:?}");
    let duration = watch::duration(file);
    let bounds = LENGTH - Duration::from_millis(800)..LENGTH + Duration::from_millis(300);
    assert!(bounds.contains(&duration), "{duration:?}: {reports:?}");
    assert!(watch::numbers(file).len() as u64 >= reports[0].frames, "{reports:?}");
}

/// A file of each codec lasts as long as what the page sent.
async fn each_codec_is_recorded(browser: Browser) {
    let mut session = open(browser).await;
    for clip in video::codecs(browser) {
        page_adds(&session, *clip, "sendonly");
    }
    session.connect(Side::Page).await;
    for (track, clip) in tracks(&mut session, video::codecs(browser).len())
        .await
        .iter()
        .zip(video::codecs(browser))
    {
        let frames = watch::frames(&track.receiver, 60).await;
        let folder = watch::Folder::new();
        let mut recorder = Recorder::new(&folder.0, RecorderOptions::default()).expect("a folder");
        let codec = Codec::from_encoding_name(clip.codec()).expect("there is a file for it");
        let id = recorder.add("call", &[Track::new("pictures", codec)])[0];
        for frame in &frames {
            let mut recorded = watch::to_be_recorded(frame);
            recorded.time = frame.received.saturating_duration_since(frames[0].received);
            recorder.write(id, recorded).expect("a file");
        }
        let report = recorder.finish().expect("a file").remove(0);
        assert_eq!((report.frames, report.dropped), (60, 0), "{clip:?}: {report:?}");
        let file = report.path.expect("frames have come");
        assert_eq!(watch::numbers(&file).len(), 60, "{clip:?}: each frame is a picture");
        if codec == Codec::H264 {
            // A byte stream has no times.
            continue;
        }
        let ticks = frames[59].timestamp.wrapping_sub(frames[0].timestamp);
        let expected = f64::from(ticks) / 90_000.0;
        let duration = watch::duration(&file).as_secs_f64();
        // The last picture is shown for a while.
        assert!(
            (expected - 0.01..expected + 0.1).contains(&duration),
            "{clip:?}: {duration} s in a file of {expected} s"
        );
    }
}
