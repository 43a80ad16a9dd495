//! `peerline play --to` and `peerline record --from`: the program as a client of WHIP and WHEP servers.

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::viewer::{receive, view};
use common::{Folder, Run, SDP, Server, complete_offer, fixture, peer, soon, until};
use peerline::MediaKind;
use peerline_recorder::{Player, PlayerOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn is_live(server: &Server, stream: &str) -> bool {
    let pc = peer().await;
    receive(&pc, MediaKind::Video);
    let offer = complete_offer(&pc).await;
    let path = format!("/whep/{stream}");
    let reply = server.request("POST", &path, &[("Content-Type", SDP)], &offer).await;
    reply.status == 201
}

fn frames(file: &str) -> Vec<peerline::Bytes> {
    let mut player = Player::open(file, PlayerOptions::default()).expect("a good file");
    std::iter::from_fn(|| player.next_frame().expect("a good file"))
        .map(|frame| frame.data)
        .collect()
}

#[tokio::test]
async fn a_file_is_published_and_who_joins_late_begins_with_its_keyframe() {
    let (film, sound) = (fixture("vp8.ivf"), fixture("opus.ogg"));
    let server = Server::start();
    let server_url = format!("http://{}/whip/film", server.address);
    let publisher = Run::start(&["play", &film, &sound, "--loop", "--to", &server_url]);
    let pictures = frames(&film);
    let sounds = frames(&sound);
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let (pc, [audio, video]) = view(&server, "film").await;
        let first = soon("a picture", video.recv_frame()).await.expect("the track goes on");
        assert!(first.keyframe, "decoding can begin");
        // All that led to the present is there, and nothing is missing from then on.
        let number = |payload: &[u8]| {
            pictures
                .iter()
                .position(|picture| picture[..] == payload[..])
                .expect("of the file")
        };
        let mut before = number(&first.payload);
        for _ in 0..20 {
            let frame = soon("a picture", video.recv_frame()).await.expect("the track goes on");
            let picture = number(&frame.payload);
            // The next one; or the scene again, for another viewer.
            let again = frame.keyframe && picture <= before;
            let next = (before + 1) % pictures.len();
            assert!(picture == next || again, "{picture} after {before}");
            before = picture;
        }
        let heard = soon("sound", audio.recv_frame()).await.expect("the track goes on");
        assert!(sounds.contains(&heard.payload));
        viewers.push((pc, video));
    }

    // Ctrl-C ends the session before the program.
    publisher.signal("INT");
    let (success, output) = publisher.ended().await;
    assert!(success, "{output}");
    assert!(output.contains(&format!("Playing to {server_url}")), "{output}");
    assert!(output.contains(", 1 viewer, "), "{output}");
    assert!(!is_live(&server, "film").await, "it was ended");
}

#[tokio::test]
async fn a_file_that_ends_ends_the_session_and_the_program() {
    let server = Server::start();
    let url = format!("http://{}/whip/film", server.address);
    let sound = fixture("opus.ogg");
    let publisher = Run::start(&["play", &sound, "--to", &url]);
    let (_pc, [audio, _]) = view(&server, "film").await;
    soon("sound", audio.recv_frame()).await.expect("the track goes on");
    let (success, output) = publisher.ended().await;
    assert!(success, "{output}");
    assert!(output.contains("played 51 frames"), "{output}");
    assert!(!is_live(&server, "film").await, "it was ended");
}

#[tokio::test]
async fn a_stream_is_recorded_from_its_server() {
    let folder = Folder::new("record-from");
    let server = Server::start();
    let from = format!("http://{}/whep/film", server.address);
    // Nobody publishes yet: it asks again.
    let recorder = Run::start(&["record", folder.text(), "--from", &from]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (film, sound) = (fixture("vp8.ivf"), fixture("opus.ogg"));
    let to = format!("http://{}/whip/film", server.address);
    let publisher = Run::start(&["play", &film, &sound, "--loop", "--to", &to]);
    until("recordings", || {
        let files = std::fs::read_dir(&folder.0)
            .map(|files| files.count())
            .unwrap_or_default();
        (files > 0).then_some(()).ok_or_else(|| "no file".into())
    })
    .await;
    // Progress is first told after a second, by a task that may have to wait for the processor.
    tokio::time::sleep(Duration::from_secs(5)).await;
    recorder.signal("INT");
    let (success, output) = recorder.ended().await;
    assert!(success, "{output}");
    for line in [
        "409",
        "trying again in 2 s",
        &format!("Recording {from}"),
        "peer-1.webm: 0:0",
        " frames of VP8, ",
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
    assert!(is_live(&server, "film").await, "only the recorder has gone");
    publisher.signal("TERM");
    assert!(publisher.ended().await.0);
}

/// A server that answers each request with the next of `replies`, and keeps what it was asked.
async fn answering(replies: Vec<String>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        for reply in replies {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let request = read_request(&mut stream).await;
            kept.lock().expect("no panic").push(request);
            stream.write_all(reply.as_bytes()).await.expect("it reads");
        }
    });
    (address, asked)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
            let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
            if body.len() >= length {
                return text;
            }
        }
        let mut part = [0; 4096];
        let read = soon("a request", stream.read(&mut part)).await.expect("it is sent");
        assert!(read > 0, "cut off: {text}");
        bytes.extend_from_slice(&part[..read]);
    }
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

#[tokio::test]
async fn redirections_are_followed_with_the_offer_and_the_token() {
    let server = Server::start_with(&["--token", "open-sesame"]);
    let there = format!("Location: http://{}/whip/film\r\n", server.address);
    let (address, asked) = answering(vec![
        reply("308 Permanent Redirect", "Location: ../other\r\n", ""),
        reply("307 Temporary Redirect", &there, ""),
    ])
    .await;
    let url = format!("http://{address}/some/where");
    let sound = fixture("opus.ogg");
    let publisher = Run::start(&["play", &sound, "--loop", "--to", &url, "--token", "open-sesame"]);
    let heard = until("the session at the end of the way", || {
        let asked = asked.lock().expect("no panic");
        (asked.len() == 2).then_some(()).ok_or_else(|| format!("{asked:?}"))
    });
    heard.await;
    let head = server.request("HEAD", "/whep/film", &[("Authorization", "Bearer open-sesame")], "");
    assert_eq!(head.await.status, 200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    publisher.signal("INT");
    let (success, output) = publisher.ended().await;
    assert!(success, "{output}");
    let asked = asked.lock().expect("no panic");
    for (request, path) in asked.iter().zip(["/some/where", "/other"]) {
        assert!(request.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{request}");
        let lower = request.to_lowercase();
        assert!(lower.contains("\r\nauthorization: bearer open-sesame\r\n"), "{request}");
        assert!(lower.contains("\r\ncontent-type: application/sdp\r\n"), "{request}");
        assert!(request.contains("\r\na=sendonly\r\n"), "{request}");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_said() {
    let sound = fixture("opus.ogg");
    let server = Server::start_with(&["--token", "open-sesame"]);
    let protected = format!("http://{}/whip/film", server.address);
    let nowhere = format!("http://{}/nothing", server.address);
    let problem = r#"{"type":"about:blank","title":"Conflict","detail":"the studio is taken"}"#;
    let problem = reply("409 Conflict", "Content-Type: application/problem+json\r\n", problem);
    let (taken, _) = answering(vec![problem]).await;
    let (silent, _) = answering(vec![reply("201 Created", "", "v=0\r\n")]).await;
    let (broken, asked) = answering(vec![
        reply("201 Created", "Location: session?1\r\n", "v=1\r\n"),
        reply("200 OK", "", ""),
    ])
    .await;
    let (round, _) = answering(vec![reply("307 Temporary Redirect", "Location: /\r\n", ""); 10]).await;
    let (old, _) = answering(vec![reply("302 Found", "Location: /\r\n", "<html>Moved</html>")]).await;
    for (url, expected) in [
        (
            protected.as_str(),
            "401 Unauthorized: this needs the header Authorization",
        ),
        (&nowhere, "404 Not Found: there is no /nothing"),
        (
            &format!("http://{taken}/live"),
            "refuses: 409 Conflict: the studio is taken",
        ),
        (&format!("http://{silent}/live"), "no Location"),
        (&format!("http://{broken}/live"), "answers what cannot be used"),
        (&format!("http://{round}/"), "again and again"),
        (&format!("http://{old}/"), "refuses: 302 Found"),
        ("http://127.0.0.1:1/whip/film", "cannot be reached: "),
        ("example.org/whip/film", "give one that begins with http:// or https://"),
    ] {
        let (success, output) = Run::start(&["play", &sound, "--to", url]).ended().await;
        assert!(!success && output.contains(expected), "{url}: {expected}: {output}");
    }
    // What could not be used was ended nevertheless.
    let asked = asked.lock().expect("no panic").clone();
    assert!(asked[1].starts_with("DELETE /session?1 HTTP/1.1\r\n"), "{asked:?}");

    let (success, output) = Run::start(&["play", &sound, "--to", &protected, "--listen", "127.0.0.1:0"])
        .ended()
        .await;
    assert!(!success && output.contains("--listen"), "{output}");
}
