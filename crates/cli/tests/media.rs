//! Audio and video through the program: the echo peer, publishers and viewers.

mod common;

use std::time::Duration;

use common::media::{Camera, Microphone, expect_frames};
use common::{Server, WsCall, caller, complete_offer, expect_echo, soon};
use peerline::SessionDescription;

#[tokio::test]
async fn tracks_are_echoed_beside_channels() {
    let server = Server::start();
    let mut call = WsCall::new(&server).await;
    let (camera, microphone) = (Camera::start(), Microphone::start());
    call.pc.add_track(&camera.track(), &["me"]).expect("a track");
    call.pc.add_track(&microphone.track(), &["me"]).expect("a track");
    let receivers = call.pc.receivers();
    call.connect().await;
    for receiver in &receivers {
        expect_frames(receiver, 40).await;
    }
    expect_echo(&call.channel).await;

    // The page's second `m=` lines come while the call is up: so does whatever is added now.
    assert_eq!(receivers.len(), 2);
}

#[tokio::test]
async fn whip_echoes_tracks_as_well() {
    let server = Server::start();
    let (pc, channel) = caller().await;
    let camera = Camera::start();
    pc.add_track(&camera.track(), &["me"]).expect("a track");
    let receivers = pc.receivers();
    let reply = server.post_offer(&complete_offer(&pc).await).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    pc.set_remote_description(SessionDescription::answer(reply.body))
        .expect("an answer");
    soon("connecting", channel.opened()).await.expect("an open channel");
    expect_frames(&receivers[0], 40).await;

    // A keyframe that the viewer of the echo needs is asked of the sender of the picture.
    let before = camera.requests();
    receivers[0].request_keyframe(None);
    soon("a request", async {
        while camera.requests() == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn statistics_come_in_their_channel() {
    let server = Server::start();
    let call = WsCall::start(&server).await;
    let init = peerline::DataChannelInit {
        protocol: "stats".into(),
        ..peerline::DataChannelInit::default()
    };
    let channel = call.pc.create_data_channel("statistics", init).expect("a channel");
    for _ in 0..2 {
        let message = soon("statistics", channel.recv()).await.expect("an open channel");
        let peerline::Message::Text(text) = message else {
            panic!("binary")
        };
        let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let kinds: Vec<_> = report
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["type"].as_str())
            .collect();
        assert!(kinds.contains(&Some("candidate-pair")), "{kinds:?}");
    }
}
