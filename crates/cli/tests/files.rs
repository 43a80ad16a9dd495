//! `peerline play` and `peerline record`: files to whoever connects, and from them.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::viewer::receive;
use common::{Folder, Run, SDP, Server, complete_offer, fixture, peer, soon};
use peerline::{MediaFrame, MediaKind, PeerConnection, SessionDescription, TrackSource};
use peerline_recorder::{Player, PlayerOptions};

async fn connect(server: &Server, path: &str, pc: &PeerConnection) -> String {
    let offer = complete_offer(pc).await;
    let reply = server.request("POST", path, &[("Content-Type", SDP)], &offer).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    pc.set_remote_description(SessionDescription::answer(reply.body.clone()))
        .expect("an answer");
    reply.header("location").expect("a location").to_owned()
}

#[tokio::test]
async fn a_file_is_played_to_whoever_connects() {
    let (film, sound) = (fixture("vp8.ivf"), fixture("opus.ogg"));
    let server = Server::run(&["play", &film, &sound]);
    // Each from its beginning.
    for _ in 0..2 {
        let pc = peer().await;
        let receivers = [MediaKind::Video, MediaKind::Audio].map(|kind| receive(&pc, kind));
        connect(&server, "/whep/play", &pc).await;
        for (receiver, file) in receivers.iter().zip([&film, &sound]) {
            let mut player = Player::open(file, PlayerOptions::default()).expect("a good file");
            let mut first = None;
            while let Some(sent) = player.next_frame().expect("a good file") {
                let frame = soon(file, receiver.recv_frame()).await.expect("the track goes on");
                assert_eq!(frame.payload, sent.data, "{file} at {:?}", sent.time);
                let first = *first.get_or_insert(frame.timestamp);
                let late = frame.timestamp.wrapping_sub(first).abs_diff(sent.timestamp);
                assert!(late <= 2, "{file} at {:?}: {late} ticks", sent.time);
            }
        }
        // The tracks end with their files.
        for receiver in &receivers {
            soon("the end of the track", async {
                while receiver.recv_frame().await.is_some() {}
            })
            .await;
        }
    }
}

#[tokio::test]
async fn what_comes_is_recorded_track_by_track() {
    let folder = Folder::new("record");
    let mut server = Server::run(&["record", folder.text(), "--separate"]);
    let pc = peer().await;
    let mut films = Vec::new();
    for (kind, mime_type, name) in [
        (MediaKind::Video, "video/VP8", "vp8.ivf"),
        (MediaKind::Audio, "audio/opus", "opus.ogg"),
    ] {
        let source = TrackSource::new(kind).with_mime_type(mime_type);
        pc.add_track(&source.track(), &["me"]).expect("a track");
        films.push((
            source,
            Player::open(fixture(name), PlayerOptions::default()).expect("a good file"),
        ));
    }
    let location = connect(&server, "/whip/record", &pc).await;
    soon("connecting", async {
        while pc.connection_state() != peerline::ConnectionState::Connected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let films = films.into_iter().map(|(source, mut player)| {
        tokio::spawn(async move {
            let begun = source.clock().elapsed();
            while let Some(frame) = player.next_frame().expect("a good file") {
                let time = begun + frame.time;
                tokio::time::sleep_until(source.clock().instant_of(time).into()).await;
                assert_eq!(source.write_frame(&MediaFrame::at(time, frame.data)), 1, "it is sent");
            }
            source
        })
    });
    let films: Vec<_> = films.collect();
    for film in films {
        film.await.expect("it is played");
    }
    // What was sent last is on its way.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.request("DELETE", &location, &[], "").await.status, 200);
    server.signal("TERM");
    assert!(server.process.wait().expect("it ends").success());

    for (name, codec, frames) in [("peer-1-video.webm", "vp8", 15), ("peer-1-audio.ogg", "opus", 51)] {
        let path = folder.0.join(name);
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-count_frames", "-of", "default=noprint_wrappers=1"])
            .args(["-show_entries", "stream=codec_name,nb_read_frames:format=duration"])
            .arg(&path)
            .output()
            .expect("ffprobe: apt-get install ffmpeg");
        let text = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{name}: {complaints}");
        assert!(text.contains(&format!("codec_name={codec}\n")), "{name}: {text}");
        let value = |key: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).expect(key);
            line.parse().expect("a number")
        };
        assert!(
            (value("nb_read_frames=") - f64::from(frames)).abs() <= 1.0,
            "{name}: {text}"
        );
        assert!((0.5..2.0).contains(&value("duration=")), "{name}: {text}");
    }
}

/// Flashes and beeps of a tenth of a second, together, each second: published by the program, recorded by it, and still together.
#[tokio::test]
async fn pictures_and_sound_are_recorded_in_sync() {
    let folder = Folder::new("sync");
    std::fs::create_dir_all(&folder.0).expect("a folder");
    let [film, sound, recorded] = ["film.ivf", "sound.ogg", "recorded"].map(|name| folder.0.join(name));
    let [film, sound, recorded] = [&film, &sound, &recorded].map(|path| path.to_str().expect("UTF-8"));
    let flash = "color=s=64x48:r=25:d=6,geq=lum='if(lt(mod(T,1),0.1),235,16)':cb=128:cr=128";
    ffmpeg(&["-f", "lavfi", "-i", flash, "-c:v", "libvpx", "-g", "50", film]);
    let beep = "aevalsrc='if(lt(mod(t,1),0.1),0.5*sin(6283*t),0)':s=48000:d=6";
    ffmpeg(&["-f", "lavfi", "-i", beep, "-c:a", "libopus", sound]);

    let mut server = Server::run(&["record", recorded]);
    let url = format!("http://{}/whip/record", server.address);
    let (success, output) = Run::start(&["play", film, sound, "--to", &url]).ended().await;
    assert!(success, "{output}");
    server.signal("TERM");
    assert!(server.process.wait().expect("it ends").success());

    let files = std::fs::read_dir(recorded)
        .expect("a folder")
        .map(|file| file.expect("a file").path());
    let files: Vec<_> = files.collect();
    assert_eq!(files, [Path::new(recorded).join("peer-1.webm")], "one file for both");
    let file = files[0].to_str().expect("UTF-8");
    let duration: f64 = String::from_utf8(ffprobe(&["-show_entries", "format=duration", file]))
        .expect("text")
        .trim()
        .parse()
        .expect("seconds");
    assert!((duration - 6.0).abs() < 0.1, "{duration} s");

    let times = String::from_utf8(ffprobe(&[
        "-select_streams",
        "v",
        "-show_entries",
        "frame=pts_time",
        file,
    ]));
    let times = times.expect("text");
    let times = times
        .lines()
        .map(|line| line.trim_end_matches(',').parse::<f64>().expect("seconds"));
    let grey = [
        "-vf",
        "scale=1:1:flags=area",
        "-pix_fmt",
        "gray",
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-",
    ];
    let pictures = ffmpeg(&[&["-i", file][..], &grey].concat());
    let flashes = onsets(times.zip(pictures.iter().map(|&grey| grey > 128)));
    let raw = [
        "-af",
        "aresample=async=1:first_pts=0",
        "-ac",
        "1",
        "-ar",
        "8000",
        "-f",
        "s16le",
        "-",
    ];
    let samples = ffmpeg(&[&["-i", file][..], &raw].concat());
    let loud = samples
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&sample| i16::from_le_bytes(sample).unsigned_abs() > 3000);
    let beeps = onsets((0..).map(|sample| f64::from(sample) / 8000.0).zip(loud));
    assert!(
        flashes.len() >= 5 && flashes.len() == beeps.len(),
        "{flashes:?} {beeps:?}"
    );
    for (flash, beep) in flashes.iter().zip(&beeps) {
        assert!((flash - beep).abs() < 0.05, "{flashes:?} {beeps:?}");
    }
}

/// When something began, by the end of what it was before: half a second of nothing.
fn onsets(signal: impl Iterator<Item = (f64, bool)>) -> Vec<f64> {
    let mut onsets = Vec::new();
    let mut last = -1.0;
    for (time, _) in signal.filter(|(_, on)| *on) {
        if time - last > 0.5 {
            onsets.push(time);
        }
        last = time;
    }
    onsets
}

fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    run("ffmpeg", &["-v", "error", "-y"], arguments)
}

fn ffprobe(arguments: &[&str]) -> Vec<u8> {
    run("ffprobe", &["-v", "error", "-of", "csv=p=0"], arguments)
}

fn run(program: &str, options: &[&str], arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(options).args(arguments).output();
    let output = output.unwrap_or_else(|_| panic!("{program}: apt-get install ffmpeg"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{arguments:?}: {complaints}"
    );
    output.stdout
}
