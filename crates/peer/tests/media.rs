//! Audio and video between two connections over loopback: what arrives is what was sent.

mod common;

use std::time::Duration;

use common::media::{camera, listened_to, microphone, next_track, picture, play, sound, watch};
use common::{negotiate, peer, soon};
use peerline::{
    Bytes, MediaFrame, MediaKind, OutgoingPacket, PeerConnection, PeerEvent, ReceiveMode, SourceEvent,
    TransceiverDirection, TransceiverInit,
};

#[tokio::test]
async fn sound_and_pictures_go_both_ways() {
    let (alice, bob) = (peer().await, peer().await);
    let sources = [camera(), microphone()];
    for source in &sources {
        alice.add_track(&source.track(), &["home"]).unwrap();
    }
    let answers = [camera(), microphone()];
    negotiate_with(&alice, &bob, || {
        for source in &answers {
            bob.add_track(&source.track(), &[]).unwrap();
        }
    })
    .await;
    let mut ways = Vec::new();
    for (from, to, streams) in [(&sources, &bob, vec!["home".to_owned()]), (&answers, &alice, vec![])] {
        let tracks = [next_track(to).await, next_track(to).await];
        for track in tracks {
            assert_eq!(track.streams, streams);
            assert_eq!(track.receiver.track().streams(), streams);
            let source = from.iter().find(|own| own.track().kind() == track.receiver.kind());
            ways.push((source.expect("its source"), track));
        }
    }
    assert_eq!(ways.len(), 4);
    let mut tasks = Vec::new();
    for (source, track) in ways {
        let source = source.clone();
        tasks.push(tokio::spawn(async move {
            listened_to(&source).await;
            let video = source.track().kind() == MediaKind::Video;
            let (make, interval): (fn(u32) -> Bytes, _) = match video {
                true => (picture, Duration::from_millis(33)),
                false => (sound, Duration::from_millis(20)),
            };
            let frames = play(&source, &track.receiver, make, interval, 60).await;
            for (number, frame) in (0..).zip(&frames) {
                assert!(frame.payload == make(number), "{number}");
                assert_eq!(frame.keyframe, !video || number.is_multiple_of(30));
                assert!(!frame.follows_gap);
            }
            assert!(!track.receiver.track().muted());
        }));
    }
    for task in tasks {
        soon("a way", task).await.unwrap();
    }
    // The peer has told what came of it: each source knows its part of what the path takes.
    let told = sources.each_ref().map(|source| source.demand().bitrate);
    assert!(
        matches!(told, [Some(pictures), Some(sound)] if sound > 0 && pictures > sound),
        "{told:?}"
    );
}

/// As [`negotiate`], with something done once the answerer knows the offer.
async fn negotiate_with(offerer: &PeerConnection, answerer: &PeerConnection, before_answer: impl FnOnce()) {
    offerer.set_local_description(None).unwrap();
    soon("the offerer's candidates", offerer.gathering_complete()).await;
    answerer
        .set_remote_description(offerer.local_description().unwrap())
        .unwrap();
    before_answer();
    answerer.set_local_description(None).unwrap();
    soon("the answerer's candidates", answerer.gathering_complete()).await;
    offerer
        .set_remote_description(answerer.local_description().unwrap())
        .unwrap();
}

#[tokio::test]
async fn packets_go_to_many_without_another_copy() {
    let source = camera();
    let mut viewers = Vec::new();
    for _ in 0..3 {
        viewers.push(watch(&source).await);
    }
    let listening = async {
        while source.demand().senders < 3 {
            source.next_event().await;
        }
    };
    soon("three listen", listening).await;
    for (.., track) in &viewers {
        track.receiver.set_mode(ReceiveMode::Packets);
    }
    let packets: Vec<_> = (0..100u16)
        .map(|number| OutgoingPacket {
            payload: vec![0x10, number as u8].into(),
            marker: true,
            sequence_number: Some(number * 2),
            timestamp: u32::from(number) * 3000,
            ..OutgoingPacket::default()
        })
        .collect();
    for batch in packets.chunks(7) {
        assert_eq!(source.write_packets(batch), 3);
    }
    for (.., track) in &viewers {
        let mut received = Vec::new();
        while received.len() < 100 {
            let count = soon("packets", track.receiver.recv_packets(&mut received)).await;
            assert!(count > 0);
        }
        for (number, packet) in (0..).zip(&received) {
            assert_eq!(packet.sequence_number as u16, number * 2);
            assert_eq!(packet.timestamp, u32::from(number) * 3000);
            assert_eq!(packet.payload[..], [0x10, number as u8]);
        }
    }
}

#[tokio::test]
async fn a_source_hears_that_keyframes_are_wanted_and_who_listens() {
    let source = camera();
    let (alice, _bob, track) = watch(&source).await;
    // The first viewer needs one to begin with.
    let first = soon("a request", source.next_event()).await;
    assert_eq!(first, SourceEvent::KeyframeRequest { rid: None });
    play(&source, &track.receiver, picture, Duration::from_millis(33), 5).await;
    track.receiver.request_keyframe(None);
    let asked = async {
        loop {
            if let SourceEvent::KeyframeRequest { .. } = source.next_event().await {
                return;
            }
        }
    };
    soon("a keyframe is asked for", asked).await;
    let sender = alice.senders().remove(0);
    let event = soon("the sender knows it as well", sender.next_event()).await;
    assert_eq!(event, Some(peerline::SenderEvent::KeyframeRequest { rid: None }));

    let mut parameters = sender.parameters().unwrap();
    parameters.encodings[0].max_bitrate = Some(300_000);
    sender.set_parameters(parameters).unwrap();
    let SourceEvent::Demand(demand) = soon("a limit", source.next_event()).await else {
        panic!("the limit is news");
    };
    assert_eq!(demand.encodings[0].max_bitrate, Some(300_000));
    assert_eq!(
        demand.encodings[0].codec.as_ref().map(|codec| &*codec.mime_type),
        Some("video/VP8")
    );
    drop((alice, sender));
    let SourceEvent::Demand(demand) = soon("nobody listens", source.next_event()).await else {
        panic!("the end is news");
    };
    assert_eq!(demand.senders, 0);
    assert_eq!(source.write_frame(&MediaFrame::new(picture(0))), 0);
    soon("the track ends", track.receiver.track().ended()).await;
}

#[tokio::test]
async fn an_application_feeds_its_sender_itself() {
    let (alice, bob) = (peer().await, peer().await);
    let init = TransceiverInit {
        direction: TransceiverDirection::SendOnly,
        ..TransceiverInit::default()
    };
    let transceiver = alice.add_transceiver(MediaKind::Video, init).unwrap();
    let sender = transceiver.sender();
    assert!(sender.track().is_none() && sender.codecs().is_empty());
    negotiate(&alice, &bob).await;
    let track = next_track(&bob).await;
    assert_eq!(track.transceiver.direction(), TransceiverDirection::RecvOnly);
    assert_eq!(track.transceiver.mid(), transceiver.mid());
    track.receiver.set_mode(ReceiveMode::Packets);
    let payload_type = sender.codecs()[0].payload_type;
    let packet = |number: u16| OutgoingPacket {
        payload: vec![0x10, number as u8].into(),
        payload_type,
        sequence_number: Some(number),
        ..OutgoingPacket::default()
    };
    let connected = async {
        while sender.send_packet(packet(0)).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("it sends", connected).await;
    // The second 1 is refused.
    assert_eq!(sender.send_packets([1, 1, 2].map(packet)), 2);
    for number in 0..3 {
        let packet = soon("a packet", track.receiver.recv_packet()).await.unwrap();
        assert_eq!(packet.payload[..], [0x10, number]);
    }
}

#[tokio::test]
async fn the_other_peer_is_told_how_much_it_may_send() {
    let source = camera();
    let (alice, bob, track) = watch(&source).await;
    play(&source, &track.receiver, picture, Duration::from_millis(10), 5).await;
    bob.set_max_receive_bitrate(100_000);
    soon("an estimate", async {
        loop {
            let event = alice.next_event().await.expect("it lives");
            if matches!(event, PeerEvent::BandwidthEstimate(100_000)) {
                return;
            }
        }
    })
    .await;
    bob.set_max_receive_bitrate(None);
}
