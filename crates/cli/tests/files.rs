//! `peerline play` and `peerline record`: files to whoever connects, and from them.

mod common;

use std::process::Command;
use std::time::Duration;

use common::{Folder, SDP, Server, complete_offer, fixture, peer, soon};
use peerline::{
    MediaFrame, MediaKind, PeerConnection, SessionDescription, TrackSource, TransceiverDirection, TransceiverInit,
};
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
        let receivers = [MediaKind::Video, MediaKind::Audio].map(|kind| {
            let init = TransceiverInit {
                direction: TransceiverDirection::RecvOnly,
                ..TransceiverInit::default()
            };
            pc.add_transceiver(kind, init).expect("a transceiver").receiver()
        });
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
    }
}

#[tokio::test]
async fn what_comes_is_recorded() {
    let folder = Folder::new("record");
    let mut server = Server::run(&["record", folder.text()]);
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
