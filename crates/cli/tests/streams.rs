//! `POST /whip/STREAM` and `POST /whep/STREAM`: one publisher, many viewers.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::media::{Camera, Microphone, expect_frames};
use common::viewer::receive;
use common::{Reply, SDP, SDP_FRAGMENT, Server, complete_offer, peer, soon};
use peerline::{
    MediaFrame, MediaKind, PeerConnection, RtpEncodingParameters, RtpReceiver, SessionDescription,
    TransceiverDirection, TransceiverInit,
};
use serde_json::Value;
use tokio::sync::oneshot;

/// Somebody's session with the program.
struct Session {
    pc: PeerConnection,
    location: String,
    reply: Reply,
    /// What a publisher sends.
    sources: Option<(Camera, Microphone)>,
}

async fn post(server: &Server, path: &str, offer: &str) -> Reply {
    server.request("POST", path, &[("Content-Type", SDP)], offer).await
}

async fn connect(server: &Server, path: &str, pc: PeerConnection) -> Session {
    let reply = post(server, path, &complete_offer(&pc).await).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    pc.set_remote_description(SessionDescription::answer(reply.body.clone()))
        .expect("an answer");
    Session {
        pc,
        location: reply.header("location").expect("a location").to_owned(),
        reply,
        sources: None,
    }
}

/// Who is going to publish a picture and sound.
async fn performer() -> (PeerConnection, (Camera, Microphone)) {
    let sources = (Camera::start(), Microphone::start());
    let pc = peer().await;
    for track in [sources.1.track(), sources.0.track()] {
        let init = TransceiverInit {
            direction: TransceiverDirection::SendOnly,
            streams: vec!["me".into()],
            ..TransceiverInit::default()
        };
        pc.add_transceiver(track, init).expect("a transceiver");
    }
    (pc, sources)
}

async fn publish(server: &Server, stream: &str) -> Session {
    let (pc, sources) = performer().await;
    let session = connect(server, &format!("/whip/{stream}"), pc).await;
    assert!(session.reply.body.contains("a=recvonly"), "{}", session.reply.body);
    Session {
        sources: Some(sources),
        ..session
    }
}

/// A viewer, and its sound and picture.
async fn view(server: &Server, path: &str) -> (Session, RtpReceiver, RtpReceiver) {
    let pc = peer().await;
    let [audio, video] = [MediaKind::Audio, MediaKind::Video].map(|kind| receive(&pc, kind));
    let session = connect(server, path, pc).await;
    assert!(session.reply.body.contains("a=sendonly"), "{}", session.reply.body);
    assert!(session.reply.body.contains("a=msid:"), "{}", session.reply.body);
    (session, audio, video)
}

#[tokio::test]
async fn one_publisher_and_three_viewers() {
    let server = Server::start();
    let publisher = publish(&server, "film").await;
    let mut viewers = Vec::new();
    for _ in 0..3 {
        viewers.push(view(&server, "/whep/film").await);
    }
    let mut last = Vec::new();
    for (_, audio, video) in &viewers {
        expect_frames(audio, 20).await;
        let frames = expect_frames(video, 30).await;
        last.push((frames[29].ssrc, frames[29].timestamp));
    }
    // Viewers get SSRCs of their own, and one stream each.
    assert!(last[0].0 != last[1].0 && last[1].0 != last[2].0);

    // The publisher ends, and another comes: viewers stay, and see one stream go on.
    let ended = server.request("DELETE", &publisher.location, &[], "").await;
    assert_eq!(ended.status, 200, "{ended:?}");
    let refused = {
        let pc = peer().await;
        receive(&pc, MediaKind::Video);
        soon("the end of the publisher", async {
            loop {
                let reply = post(&server, "/whep/film", &complete_offer(&pc).await).await;
                if reply.status == 409 {
                    return reply;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    };
    assert_eq!(refused.header("retry-after"), Some("2"), "{refused:?}");
    for (_, audio, video) in &viewers {
        // What was under way still arrives.
        for receiver in [audio, video] {
            let quiet = Duration::from_millis(200);
            while tokio::time::timeout(quiet, receiver.recv_frame()).await.is_ok() {}
        }
    }
    let _again = publish(&server, "film").await;
    for ((_, audio, video), (ssrc, timestamp)) in viewers.iter().zip(last) {
        expect_frames(audio, 20).await;
        let frames = expect_frames(video, 30).await;
        assert_eq!(frames[0].ssrc, ssrc, "the same stream");
        let later = frames[0].timestamp.wrapping_sub(timestamp);
        assert!(later < 90_000 * 20, "{later} ticks later");
        assert!(!frames[1..].iter().any(|frame| frame.follows_gap), "nothing is missing");
    }
}

/// A publisher whose host is gone says nothing of it: after some silence another takes its place.
#[tokio::test]
async fn one_who_publishes_no_more_gives_way() {
    let server = Arc::new(Server::start());
    let (published, is_published) = oneshot::channel();
    let (vanish, vanished) = oneshot::channel::<()>();
    let host = std::thread::spawn({
        let server = Arc::clone(&server);
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            let publisher = runtime.block_on(async {
                let publisher = publish(&server, "film").await;
                published.send(()).expect("somebody waits");
                vanished.await.expect("it is told");
                publisher
            });
            // Sockets and tasks first: there is nothing left to say goodbye with.
            drop(runtime);
            drop(publisher);
        }
    });
    is_published.await.expect("it publishes");
    let (_viewer, audio, video) = view(&server, "/whep/film").await;
    let heard = expect_frames(&audio, 20).await[19].ssrc;
    let seen = expect_frames(&video, 30).await[29].ssrc;
    vanish.send(()).expect("it lives");
    host.join().expect("it has vanished");

    let (pc, _sources) = performer().await;
    let offer = complete_offer(&pc).await;
    let taken = post(&server, "/whip/film", &offer).await;
    assert_eq!(taken.status, 409, "{taken:?}");
    assert_eq!(taken.header("retry-after"), Some("2"), "{taken:?}");
    let reply = soon("the end of patience", async {
        loop {
            let reply = post(&server, "/whip/film", &offer).await;
            if reply.status != 409 {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_eq!(reply.status, 201, "{reply:?}");
    pc.set_remote_description(SessionDescription::answer(reply.body))
        .expect("an answer");
    // What the first had sent may not have been read yet.
    for (receiver, ssrc) in [(&audio, heard), (&video, seen)] {
        while tokio::time::timeout(Duration::ZERO, receiver.recv_frame())
            .await
            .is_ok()
        {}
        for _ in 0..30 {
            let frame = soon("a frame", receiver.recv_frame()).await.expect("the track goes on");
            assert_eq!(frame.ssrc, ssrc, "the same stream");
        }
    }
}

#[tokio::test]
async fn a_new_viewer_gets_a_keyframe_and_many_ask_as_one() {
    let server = Server::start();
    let publisher = publish(&server, "film").await;
    let (_first, _, video) = view(&server, "/whep/film").await;
    expect_frames(&video, 10).await;
    let camera = &publisher.sources.as_ref().expect("it sends").0;
    let before = camera.requests();
    for _ in 0..50 {
        video.request_keyframe(None);
    }
    let (_second, _, other) = view(&server, "/whep/film").await;
    expect_frames(&other, 10).await;
    let requests = camera.requests() - before;
    assert!((1..=8).contains(&requests), "{requests} requests");
}

#[tokio::test]
async fn each_viewer_has_its_layer() {
    let server = Server::start();
    let pc = peer().await;
    let camera = peerline::TrackSource::new(MediaKind::Video).with_mime_type("video/VP8");
    let init = TransceiverInit {
        direction: TransceiverDirection::SendOnly,
        streams: vec!["me".into()],
        send_encodings: ["low", "high"]
            .map(|rid| RtpEncodingParameters {
                rid: rid.into(),
                ..RtpEncodingParameters::default()
            })
            .into(),
    };
    pc.add_transceiver(camera.track(), init).expect("a transceiver");
    let film = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        for number in 0u32.. {
            ticks.tick().await;
            for (rid, size) in [("low", 300), ("high", 2000)] {
                // Every tenth is a keyframe.
                let mut frame = vec![u8::from(number % 10 != 0) | 0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0];
                frame.resize(size, 0);
                camera.write_frame(&MediaFrame::new(frame).with_rid(rid));
            }
        }
    });
    let _publisher = connect(&server, "/whip/layers", pc).await;

    let (best, _, video) = view(&server, "/whep/layers").await;
    let (_small, _, small) = view(&server, "/whep/layers?layer=low").await;
    let until = |receiver: RtpReceiver, size: usize| async move {
        soon("frames of the layer", async {
            let mut last = None;
            loop {
                let frame: peerline::IncomingFrame = receiver.recv_frame().await.expect("the track goes on");
                assert!(!frame.follows_gap, "a switch leaves no gap");
                if let Some(before) = last {
                    assert!(frame.timestamp.wrapping_sub(before) < 90_000, "time goes on");
                }
                last = Some(frame.timestamp);
                if frame.payload.len() == size {
                    return;
                }
            }
        })
        .await;
    };
    until(small.clone(), 300).await;
    until(video.clone(), 2000).await;

    let layer = format!("{}/layer", best.location);
    let link = best.reply.header("link").expect("the extension is announced");
    assert!(
        link.contains(&layer) && link.contains("urn:ietf:params:whep:ext:core:layer"),
        "{link}"
    );
    let json = [("Content-Type", "application/json")];
    let chosen = server.request("POST", &layer, &json, r#"{"encodingId":"low"}"#).await;
    assert_eq!(chosen.status, 200, "{chosen:?}");
    until(video.clone(), 300).await;
    let layers: Value = serde_json::from_str(&server.request("GET", &layer, &[], "").await.body).expect("JSON");
    assert_eq!(layers["layers"], serde_json::json!(["high", "low"]), "{layers}");
    assert_eq!(layers["present"], "low", "{layers}");
    let unknown = server.request("POST", &layer, &json, r#"{"encodingId":"huge"}"#).await;
    assert_eq!(unknown.status, 422, "{unknown:?}");
    let back = server.request("POST", &layer, &json, r#"{"encodingId":null}"#).await;
    assert_eq!(back.status, 200, "{back:?}");
    until(video.clone(), 2000).await;
    film.abort();
}

#[tokio::test]
async fn what_is_refused() {
    let server = Server::start();
    let _publisher = publish(&server, "mine").await;
    let (_viewer, _, video) = view(&server, "/whep/mine").await;
    expect_frames(&video, 1).await;
    let offer = |directions: &'static [(MediaKind, TransceiverDirection)]| async move {
        let pc = peer().await;
        for (kind, direction) in directions {
            let init = TransceiverInit {
                direction: *direction,
                ..TransceiverInit::default()
            };
            pc.add_transceiver(*kind, init).expect("a transceiver");
        }
        complete_offer(&pc).await
    };
    use MediaKind::{Audio, Video};
    use TransceiverDirection::{RecvOnly, SendOnly};
    let send = offer(&[(Video, SendOnly)]).await;
    let receive = offer(&[(Video, RecvOnly)]).await;
    let two = offer(&[(Audio, SendOnly), (Audio, SendOnly)]).await;
    for (path, offer, status, reason) in [
        ("/whip/mine", &send, 409, "already"),
        ("/whip/other", &receive, 422, "publish"),
        ("/whip/other", &two, 422, "one audio"),
        ("/whip/with%20space", &send, 400, "name"),
        ("/whep/mine", &send, 422, "play"),
        ("/whep/nothing", &receive, 409, "nobody"),
    ] {
        let reply = post(&server, path, offer).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        assert!(reply.error().contains(reason), "{path}: {}", reply.body);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    }
    let no_vp8 = receive
        .lines()
        .map(|line| format!("{}\r\n", line.replace("VP8/90000", "VP0/90000")))
        .collect::<String>();
    let reply = post(&server, "/whep/mine", &no_vp8).await;
    assert_eq!(reply.status, 422, "{reply:?}");
    assert!(reply.error().contains("VP8"), "{}", reply.body);

    let head = server.request("HEAD", "/whep/mine", &[], "").await;
    assert_eq!((head.status, head.header("content-type")), (200, Some(SDP)), "{head:?}");
    assert_eq!(server.request("GET", "/whep/mine", &[], "").await.status, 204);
    let options = server.request("OPTIONS", "/whep/mine", &[], "").await;
    assert_eq!(options.header("accept-post"), Some(SDP), "{options:?}");
}

#[tokio::test]
async fn sessions_trickle_and_end() {
    let server = Server::start();
    let publisher = publish(&server, "film").await;
    let (viewer, _, video) = view(&server, "/whep/film").await;
    expect_frames(&video, 3).await;
    let etag = viewer.reply.header("etag").expect("an entity-tag");
    let ufrag = |description: &str| {
        let line = description.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
        line.expect("credentials").to_owned()
    };
    let own = viewer.pc.local_description().expect("an offer").sdp;
    let fragment = format!("a=ice-ufrag:{}\r\na=end-of-candidates\r\n", ufrag(&own));
    let headers = [("Content-Type", SDP_FRAGMENT), ("If-Match", etag)];
    let reply = server.request("PATCH", &viewer.location, &headers, &fragment).await;
    assert_eq!(reply.status, 204, "{reply:?}");

    for location in [&viewer.location, &publisher.location] {
        assert_eq!(server.request("GET", location, &[], "").await.status, 204);
        assert_eq!(server.request("DELETE", location, &[], "").await.status, 200);
        assert_eq!(server.request("DELETE", location, &[], "").await.status, 404);
    }
    soon("the end of the track", async {
        while video.recv_frame().await.is_some() {}
    })
    .await;
}

#[tokio::test]
async fn a_token_is_asked_for() {
    let server = Server::start_with(&["--token", "open sesame"]);
    let pc = peer().await;
    receive(&pc, MediaKind::Video);
    let offer = complete_offer(&pc).await;
    for (authorization, status) in [
        (None, 401),
        (Some("Bearer open"), 401),
        (Some("Basic open sesame"), 401),
        (Some("bearer open sesame"), 409),
    ] {
        let mut headers = vec![("Content-Type", SDP)];
        headers.extend(authorization.map(|value| ("Authorization", value)));
        let reply = server.request("POST", "/whep/film", &headers, &offer).await;
        assert_eq!(reply.status, status, "{authorization:?}: {reply:?}");
        let challenge = (status == 401).then_some("Bearer");
        assert_eq!(reply.header("www-authenticate"), challenge, "{reply:?}");
    }
    // Preflights carry no token, and the echo peer is open.
    let asked = [
        ("Origin", "http://elsewhere.example"),
        ("Access-Control-Request-Method", "POST"),
    ];
    assert_eq!(server.request("OPTIONS", "/whep/film", &asked, "").await.status, 200);
    assert_eq!(server.request("GET", "/whip/echo", &[], "").await.status, 204);
}
