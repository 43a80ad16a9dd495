//! What comes from a page: frames, counted, compared and given to ffmpeg.

use crate::session::within;
use peerline::{IncomingFrame, RtpReceiver};
use peerline_recorder::{Codec, Frame, Recorder, RecorderOptions, Track, VideoFile};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Receives `count` frames.
pub(crate) async fn frames(receiver: &RtpReceiver, count: usize) -> Vec<IncomingFrame> {
    let mut frames = Vec::with_capacity(count);
    within("frames from the page", async {
        while frames.len() < count {
            frames.push(receiver.recv_frame().await.expect("the track goes on"));
        }
    })
    .await;
    frames
}

/// Nothing is missing between these frames, their timestamps grow, and pictures begin with a keyframe.
pub(crate) fn assert_gapless(frames: &[IncomingFrame]) {
    assert!(frames[0].keyframe, "{:?}", frames[0]);
    for pair in frames.windows(2) {
        assert!(!pair[1].follows_gap, "{pair:?}");
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!((1..1 << 31).contains(&step), "{pair:?}");
        assert_eq!(pair[0].ssrc, pair[1].ssrc);
        assert_eq!(pair[0].payload_type, pair[1].payload_type);
    }
}

/// The codec of received frames.
pub(crate) fn codec_of(receiver: &RtpReceiver, frame: &IncomingFrame) -> String {
    let parameters = receiver.parameters().expect("the transceiver lives");
    let mut codecs = parameters.codecs.iter();
    let codec = codecs.find(|codec| codec.payload_type == frame.payload_type);
    codec.expect("it was negotiated").codec.mime_type.clone()
}

/// A folder that is gone after the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("peerline-browser-media-{}-{count}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Records the frames of one track into a file in `folder`.
pub(crate) fn record(folder: &Folder, mime_type: &str, frames: &[IncomingFrame]) -> PathBuf {
    let name = mime_type.split_once('/').expect("a MIME type").1;
    let codec = Codec::from_encoding_name(name).expect("there is a file for it");
    let options = RecorderOptions {
        video: VideoFile::Ivf,
        ..RecorderOptions::default()
    };
    let mut recorder = Recorder::new(&folder.0, options).expect("a folder");
    let track = recorder.add("page", &[Track::new(name, codec)])[0];
    for frame in frames {
        recorder.write(track, to_be_recorded(frame)).expect("a file");
    }
    let report = recorder.finish().expect("a file").remove(0);
    assert_eq!((report.frames, report.dropped), (frames.len() as u64, 0), "{report:?}");
    report.path.expect("frames were written")
}

pub(crate) fn to_be_recorded(frame: &IncomingFrame) -> Frame {
    Frame {
        timestamp: frame.timestamp,
        keyframe: frame.keyframe,
        time: frame.sampled.unwrap_or_default(),
        sampled: frame.sampled,
        data: frame.payload.clone(),
    }
}

/// The numbers in the pictures of a recording, as ffmpeg decodes them: it must not complain.
pub(crate) fn numbers(file: &Path) -> Vec<u8> {
    // Nine rows of stripes or colours become two, and five columns: the bits, and the colour.
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-err_detect", "explode", "-i"])
        .arg(file)
        .args([
            "-fps_mode",
            "passthrough",
            // Two pictures may be a millisecond apart.
            "-enc_time_base",
            "1:90000",
            "-vf",
            "scale=5:2:flags=area",
            "-pix_fmt",
            "rgb24",
            "-f",
            "rawvideo",
            "-",
        ])
        .output()
        .expect("ffmpeg: apt-get install ffmpeg");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{}: {complaints}",
        file.display()
    );
    let (pictures, rest) = output.stdout.as_chunks::<30>();
    assert!(rest.is_empty());
    pictures.iter().map(number).collect()
}

/// The number of a picture of 5 × 2 pixels.
fn number(picture: &[u8; 30]) -> u8 {
    let (pixels, _) = picture.as_chunks::<3>();
    let bits = pixels[..5].iter().zip(0..);
    let number = bits.map(|(pixel, bit)| u8::from(pixel.iter().map(|&part| u32::from(part)).sum::<u32>() > 384) << bit);
    let number = number.sum();
    let colour = pixels[7];
    let brightest = (0..3).max_by_key(|&part| colour[part]);
    assert_eq!(brightest, Some(usize::from(number % 3)), "{picture:?}");
    number
}

/// How loud the loudest sample of a file is, as ffmpeg decodes it, in dB below full scale.
pub(crate) fn peak(file: &Path) -> f64 {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-ac", "1", "-f", "s16le", "-"])
        .output()
        .expect("ffmpeg: apt-get install ffmpeg");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{}: {complaints}",
        file.display()
    );
    let (samples, _) = output.stdout.as_chunks::<2>();
    let loudest = samples.iter().map(|sample| i16::from_le_bytes(*sample).unsigned_abs());
    20.0 * (f64::from(loudest.max().unwrap_or(0)) / 32768.0).log10()
}

/// The duration that ffprobe reads in a file.
pub(crate) fn duration(file: &Path) -> Duration {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0", "-show_entries", "format=duration"])
        .arg(file)
        .output()
        .expect("ffprobe: apt-get install ffmpeg");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{}: {complaints}",
        file.display()
    );
    let text = String::from_utf8_lossy(&output.stdout);
    Duration::from_secs_f64(text.trim().parse().expect("seconds"))
}
