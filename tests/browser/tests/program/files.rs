//! `peerline play` and `peerline record` with browsers.

use crate::streams::watch;
use crate::{Program, program};
use peerline_browser_tests::{Browser, Page, Setup};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const FILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clips/vp8.ivf");
const SOUND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/rtp/tests/files/opus.ogg");

/// Files of each kind, and what browsers call what is in them.
const FILMS: [(&str, &str); 4] = [
    (FILM, "video/VP8"),
    (concat!(env!("CARGO_MANIFEST_DIR"), "/clips/vp9.ivf"), "video/VP9"),
    (concat!(env!("CARGO_MANIFEST_DIR"), "/clips/av1.ivf"), "video/AV1"),
    (concat!(env!("CARGO_MANIFEST_DIR"), "/clips/h264.h264"), "video/H264"),
];
const SOUNDS: [(&str, &str); 4] = [
    (SOUND, "audio/opus"),
    (concat!(env!("CARGO_MANIFEST_DIR"), "/clips/g722.wav"), "audio/G722"),
    (
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/rtp/tests/files/alaw.wav"),
        "audio/PCMA",
    ),
    (
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/rtp/tests/files/pcm.wav"),
        "audio/PCMU",
    ),
];

/// Pictures are decoded, their numbers read back, and sound is heard; of each kind of file, and at last on the program's own page.
fn is_played(browser: Browser) {
    let page = Page::open(browser, Setup::OpenAddresses, "streams.html");
    let mut programs = Vec::new();
    for ((film, picture), (sound, voice)) in FILMS.into_iter().zip(SOUNDS) {
        if browser == Browser::Firefox && picture == "video/H264" {
            // It is a download there.
            continue;
        }
        let program = Program::run(&["play", film, sound, "--loop"]);
        let arguments = [json!(picture), program.endpoint("whep/play")];
        assert_eq!(page.call("streams.play", &arguments), 201);
        programs.push((program, picture, voice));
    }
    for (_, picture, voice) in &programs {
        page.wait_for(&format!(
            "streams.get('{picture}').arrivals.video && streams.get('{picture}').arrivals.audio && true"
        ));
        let seen = watch(&page, picture, 30);
        assert_eq!(seen["codecs"], json!([voice, picture]));
        assert!(seen["distinct"].as_u64() >= Some(20), "of 32: {seen}");
        assert!(seen["energy"].as_f64() > Some(0.0), "{seen}");
    }
    page.eval("Promise.all([...streams.sessions.values()].map((session) => session.end()))");

    page.navigate(&programs[0].0.url);
    page.wait_for("document.querySelector('#remote').videoWidth === 160");
    // Red, green and blue, again and again.
    page.call(
        "() => { const context = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true }); window.colours = []; \
         const remote = document.querySelector('#remote'); \
         const look = () => { context.drawImage(remote, 80, 72, 1, 1, 0, 0, 1, 1); \
            const colour = [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)]; \
            window.colours.push(colour.indexOf(Math.max(...colour))); remote.requestVideoFrameCallback(look); }; look(); }",
        &[],
    );
    page.wait_for("[0, 1, 2].every((colour) => window.colours.filter((seen) => seen === colour).length >= 5)");
    page.wait_for("/160 × 96.*VP8/.test(document.querySelector('#remote-info').textContent)");
    page.wait_for("document.querySelector('#remote').srcObject.getAudioTracks().length === 1");
}

#[test]
fn chromium_decodes_a_file_that_is_played() {
    is_played(Browser::Chromium);
}

#[test]
fn firefox_decodes_a_file_that_is_played() {
    is_played(Browser::Firefox);
}

/// The program publishes to itself; who joins its stream in either browser begins at once, and sees the film.
#[test]
fn a_file_is_published_and_both_browsers_join() {
    let server = Program::start();
    let publisher = Publisher(
        Command::new(program())
            .args([
                "play",
                FILM,
                SOUND,
                "--loop",
                "--to",
                &format!("{}whip/film", server.url),
            ])
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts"),
    );
    for browser in [Browser::Chromium, Browser::Firefox] {
        let page = Page::open(browser, Setup::OpenAddresses, "streams.html");
        for name in ["early", "late"] {
            assert_eq!(
                page.call("streams.play", &[json!(name), server.endpoint("whep/film")]),
                201
            );
            watch(&page, name, 30);
        }
        // The scene that the other was sent has not harmed this one.
        let seen = watch(&page, "early", 30);
        assert!(seen["distinct"].as_u64() >= Some(20), "of 32: {seen}");
    }
    drop(publisher);
}

struct Publisher(Child);

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a browser sends becomes one file, with pictures that ffmpeg decodes, and sound that begins with them.
fn is_recorded(browser: Browser) {
    let folder = Folder::new();
    let program = Program::run(&["record", folder.0.to_str().expect("UTF-8")]);
    let page = Page::open(browser, Setup::OpenAddresses, "streams.html");
    let arguments = [json!("me"), program.endpoint("whip/record")];
    assert_eq!(page.call("streams.publish", &arguments), 201);
    let published = page.eval(
        "(async () => { const begun = performance.now(); await new Promise((done) => setTimeout(done, 3000)); \
         await streams.get('me').end(); return performance.now() - begun; })()",
    );

    // The camera and the microphone, on the program's own page.
    page.navigate(&program.url);
    page.wait_for("document.querySelector('#status').textContent === 'connected'");
    let sent = page.eval(
        "(async () => { document.querySelector('#source').value = 'camera'; document.querySelector('#start').click(); \
         while (!document.querySelector('#local').videoWidth) await new Promise((done) => setTimeout(done, 20)); \
         const begun = performance.now(); await new Promise((done) => setTimeout(done, 3000)); \
         document.querySelector('#hangup').click(); return performance.now() - begun; })()",
    );
    program.interrupt();
    let files: Vec<PathBuf> = std::fs::read_dir(&folder.0)
        .expect("a folder")
        .map(|file| file.expect("a file").path())
        .collect();
    assert_eq!(files.len(), 2, "{files:?}");
    assert_recorded(&folder.0.join("peer-1.webm"), &published);
    assert_recorded(&folder.0.join("peer-2.webm"), &sent);
}

/// ffmpeg decodes the file, which is as long as it is to be, in milliseconds; sound and pictures begin and end together.
fn assert_recorded(file: &Path, length: &Value) {
    let length = length.as_f64().expect("milliseconds") / 1000.0;
    let duration = probe(file, "format=duration")[0];
    assert!((duration - length).abs() < 1.0, "{duration} s of {length} s");
    let starts = probe(file, "stream=start_time");
    // The camera and the microphone of a page do not begin at once, but both lie on one time line.
    assert!(
        starts.len() == 2 && starts.iter().all(|start| *start < 1.0),
        "{starts:?}"
    );
    let ends = ["a:0", "v:0"].map(|stream| last_packet(file, stream));
    assert!((ends[0] - ends[1]).abs() < 0.5, "{ends:?}");
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(file)
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
    let complaints = String::from_utf8_lossy(&decoded.stderr);
    assert!(decoded.status.success() && complaints.is_empty(), "{complaints}");
}

#[test]
fn chromium_is_recorded() {
    is_recorded(Browser::Chromium);
}

#[test]
fn firefox_is_recorded() {
    is_recorded(Browser::Firefox);
}

/// Numbers that ffprobe prints.
fn probe(file: &Path, entries: &str) -> Vec<f64> {
    ffprobe(file, &["-show_entries", entries])
}

/// When the last packet of a stream is shown.
fn last_packet(file: &Path, stream: &str) -> f64 {
    let times = ffprobe(file, &["-select_streams", stream, "-show_entries", "packet=pts_time"]);
    times.last().copied().expect("packets")
}

fn ffprobe(file: &Path, arguments: &[&str]) -> Vec<f64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0"])
        .args(arguments)
        .arg(file)
        .output()
        .expect("ffprobe: apt-get install ffmpeg");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    let text = String::from_utf8(output.stdout).expect("text");
    let number = |line: &str| line.trim_end_matches(',').parse().expect("a number");
    text.lines().filter(|line| !line.is_empty()).map(number).collect()
}

/// A folder that is gone after the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("peerline-browser-program-{}-{count}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
