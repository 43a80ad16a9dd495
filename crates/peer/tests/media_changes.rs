//! A call that changes while it goes on: tracks are replaced, removed and added, directions change, and all of it ends.

mod common;

use std::time::Duration;

use common::media::{camera, listened_to, microphone, next_track, picture, play, sound, watch};
use common::{negotiate, peer, soon};
use peerline::{
    DtlsTransportState, IceConnectionState, IceRole, MediaFrame, MediaKind, PeerConnection, PeerEvent,
    RtpEncodingParameters, RtpTransceiver, SourceEvent, StatsKind, TransceiverDirection, TransceiverInit,
};

const FRAME: Duration = Duration::from_millis(33);

/// The next event for which `find` has something.
async fn next<T>(peer: &PeerConnection, what: &str, mut find: impl FnMut(PeerEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = find(peer.next_event().await.expect("the connection lives")) {
                return found;
            }
        }
    };
    soon(what, found).await
}

#[tokio::test]
async fn a_replaced_track_goes_on_as_the_same_one() {
    let (first, second) = (camera(), camera());
    let (alice, _bob, track) = watch(&first).await;
    let before = play(&first, &track.receiver, picture, FRAME, 10).await;
    // Their times were ahead of the clock.
    tokio::time::sleep(FRAME * 10).await;
    let sender = alice.senders().remove(0);
    sender.replace_track(Some(&second.track())).unwrap();
    assert_eq!(sender.track(), Some(second.track()));
    assert_eq!((first.demand().senders, second.demand().senders), (0, 1));
    assert_eq!(first.write_frame(&MediaFrame::new(picture(0))), 0);
    let after = play(&second, &track.receiver, picture, FRAME, 10).await;
    assert_eq!(before[9].ssrc, after[0].ssrc);
    // Time goes on, though the second source's clock is another: less than a minute has passed since.
    let apart = after[0].timestamp.wrapping_sub(before[9].timestamp);
    assert!(apart > 0 && apart < 60 * 90_000, "{apart}");

    sender.replace_track(None).unwrap();
    assert_eq!((sender.track(), second.demand().senders), (None, 0));
    assert_eq!(second.write_frame(&MediaFrame::new(picture(0))), 0);
    let error = sender.replace_track(Some(&microphone().track())).unwrap_err();
    assert_eq!(error.name(), "TypeError");
}

#[tokio::test]
async fn a_removed_track_is_mute_until_another_comes() {
    let source = camera();
    let (alice, bob, track) = watch(&source).await;
    play(&source, &track.receiver, picture, FRAME, 3).await;
    assert!(!track.receiver.track().muted());
    let sender = alice.senders().remove(0);
    alice.remove_track(&sender).unwrap();
    assert_eq!((sender.track(), source.demand().senders), (None, 0));
    assert_eq!(bob.remove_track(&sender).unwrap_err().name(), "InvalidAccessError");
    negotiate(&alice, &bob).await;
    let muted = next(&bob, "it is mute", |event| match event {
        PeerEvent::TrackMuted(transceiver) => Some(transceiver),
        _ => None,
    });
    assert_eq!(muted.await, track.transceiver);
    assert!(track.receiver.track().muted() && !track.receiver.track().has_ended());
    assert!(track.receiver.track().streams().is_empty());

    // The same transceiver sends again.
    let transceiver = alice.transceivers().remove(0);
    transceiver.set_direction(TransceiverDirection::SendOnly).unwrap();
    sender.replace_track(Some(&source.track())).unwrap();
    negotiate(&alice, &bob).await;
    let again = next_track(&bob).await;
    assert_eq!(again.transceiver, track.transceiver);
    listened_to(&source).await;
    play(&source, &again.receiver, picture, FRAME, 3).await;
    let unmuted = next(&bob, "it is not mute", |event| match event {
        PeerEvent::TrackUnmuted(transceiver) => Some(transceiver),
        _ => None,
    });
    assert_eq!(unmuted.await, track.transceiver);
}

#[tokio::test]
async fn directions_change_and_transceivers_stop() {
    let source = camera();
    let (alice, bob, track) = watch(&source).await;
    let ours = alice.transceivers().remove(0);
    assert_eq!(ours.current_direction(), Some(TransceiverDirection::SendOnly));
    assert_eq!(
        track.transceiver.current_direction(),
        Some(TransceiverDirection::RecvOnly)
    );

    // The other peer holds the call.
    track.transceiver.set_direction(TransceiverDirection::Inactive).unwrap();
    negotiate(&bob, &alice).await;
    assert_eq!(ours.current_direction(), Some(TransceiverDirection::Inactive));
    assert_eq!(source.demand().senders, 0);
    track.transceiver.set_direction(TransceiverDirection::RecvOnly).unwrap();
    negotiate(&bob, &alice).await;
    listened_to(&source).await;
    play(&source, &track.receiver, picture, FRAME, 5).await;

    let sender = ours.sender();
    ours.stop().unwrap();
    assert_eq!(ours.direction(), TransceiverDirection::Stopped);
    assert_eq!(source.demand().senders, 0);
    negotiate(&alice, &bob).await;
    let ended = next(&bob, "it has ended", |event| match event {
        PeerEvent::TrackEnded(transceiver) => Some(transceiver),
        _ => None,
    });
    assert_eq!(ended.await, track.transceiver);
    assert!(soon("no more frames", track.receiver.recv_frame()).await.is_none());
    while let Some(event) = soon("no more wishes", sender.next_event()).await {
        assert!(matches!(event, peerline::SenderEvent::KeyframeRequest { .. }));
    }
    soon("the end", track.receiver.track().ended()).await;
    assert!(alice.transceivers().is_empty() && bob.transceivers().is_empty());
    assert_eq!(
        track.transceiver.current_direction(),
        Some(TransceiverDirection::Stopped)
    );
    ours.stop().unwrap();
    let refused = ours.set_direction(TransceiverDirection::SendRecv).unwrap_err();
    assert_eq!(refused.name(), "InvalidAccessError");
}

#[tokio::test]
async fn ten_renegotiations_in_a_call() {
    let first = camera();
    let (alice, bob, track) = watch(&first).await;
    let mut others = Vec::new();
    for round in 0..10 {
        let (offerer, answerer) = if round % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
        let source = if round % 3 == 0 { microphone() } else { camera() };
        offerer.add_track(&source.track(), &["more"]).unwrap();
        next(offerer, "negotiation is needed", |event| {
            matches!(event, PeerEvent::NegotiationNeeded).then_some(())
        })
        .await;
        negotiate(offerer, answerer).await;
        let added = next_track(answerer).await;
        listened_to(&source).await;
        others.push((source, added));
        // All that were there before go on.
        play(&first, &track.receiver, picture, FRAME, 2).await;
        for (source, track) in &others {
            let (make, interval): (fn(u32) -> _, _) = match source.track().kind() {
                MediaKind::Video => (picture, FRAME),
                MediaKind::Audio => (sound, Duration::from_millis(20)),
            };
            let frames = play(source, &track.receiver, make, interval, 2).await;
            assert_eq!(frames[0].payload, make(0));
        }
    }
    // A transceiver that only received sends as well: there are as many as the peer that has more of a kind needs.
    assert_eq!(alice.transceivers().len(), bob.transceivers().len());
}

fn layers() -> Vec<RtpEncodingParameters> {
    let layer = |rid: &str| RtpEncodingParameters {
        rid: rid.into(),
        ..RtpEncodingParameters::default()
    };
    ["q", "h", "f"].map(layer).into()
}

#[tokio::test]
async fn layers_of_simulcast_have_their_own_frames_and_requests() {
    let (alice, bob) = (peer().await, peer().await);
    let source = camera();
    let init = TransceiverInit {
        send_encodings: layers(),
        ..TransceiverInit::default()
    };
    let transceiver = alice.add_transceiver(source.track(), init).unwrap();
    negotiate(&alice, &bob).await;
    let track = next_track(&bob).await;
    listened_to(&source).await;
    let demand = source.demand();
    let wanted: Vec<_> = demand
        .encodings
        .iter()
        .map(|encoding| (&*encoding.rid, encoding.active, encoding.scale_resolution_down_by))
        .collect();
    assert_eq!(
        wanted,
        [("q", true, Some(4.0)), ("h", true, Some(2.0)), ("f", true, Some(1.0))]
    );
    for number in 0..20 {
        for rid in ["q", "h", "f"] {
            let frame = MediaFrame::at(FRAME * number, picture(number)).with_rid(rid);
            assert_eq!(source.write_frame(&frame), 1);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut received = [0; 3];
    while received != [20; 3] {
        let frame = soon("a frame", track.receiver.recv_frame()).await.unwrap();
        let layer = ["q", "h", "f"].iter().position(|rid| frame.rid.as_deref() == Some(rid));
        let count = &mut received[layer.expect("a layer")];
        assert_eq!(frame.payload, picture(*count));
        *count += 1;
    }
    while tokio::time::timeout(Duration::from_millis(400), source.next_event())
        .await
        .is_ok()
    {}
    track.receiver.request_keyframe(Some("h"));
    let event = soon("a request", source.next_event()).await;
    assert_eq!(event, SourceEvent::KeyframeRequest { rid: Some("h".into()) });

    let sender = transceiver.sender();
    let mut parameters = sender.parameters().unwrap();
    parameters.encodings[2].active = false;
    sender.set_parameters(parameters).unwrap();
    let SourceEvent::Demand(demand) = soon("a layer less", source.next_event()).await else {
        panic!("it is news");
    };
    let active: Vec<_> = demand.encodings.iter().map(|encoding| encoding.active).collect();
    assert_eq!(active, [true, true, false]);
    let written = ["h", "f"].map(|rid| source.write_frame(&MediaFrame::new(picture(30)).with_rid(rid)));
    assert_eq!(written, [1, 0]);
}

#[tokio::test]
async fn keys_that_are_pressed_are_heard() {
    let (alice, bob) = (peer().await, peer().await);
    let source = microphone();
    let sender = alice.add_track(&source.track(), &[]).unwrap();
    let dtmf = sender.dtmf().expect("it is audio");
    assert!(!dtmf.can_insert_dtmf());
    assert_eq!(dtmf.insert_dtmf("1").unwrap_err().name(), "InvalidStateError");
    negotiate(&alice, &bob).await;
    let track = next_track(&bob).await;
    listened_to(&source).await;
    play(&source, &track.receiver, sound, Duration::from_millis(20), 3).await;
    assert!(dtmf.can_insert_dtmf());
    assert_eq!(dtmf.insert_dtmf("1x").unwrap_err().name(), "InvalidCharacterError");
    dtmf.insert_dtmf_with("1#a", Duration::from_millis(60), Duration::from_millis(30))
        .unwrap();
    assert!(dtmf.tone_buffer().ends_with("#A"), "{}", dtmf.tone_buffer());
    for expected in ['1', '#', 'A'] {
        let heard = next(&bob, "a tone", |event| match event {
            PeerEvent::DtmfTone { transceiver, tone } => Some((transceiver, tone)),
            _ => None,
        });
        let (transceiver, tone) = heard.await;
        assert_eq!((transceiver, tone.tone), (track.transceiver.clone(), expected));
        assert!(tone.duration >= Duration::from_millis(50), "{:?}", tone.duration);
        assert_eq!(soon("its beginning", dtmf.next_tone()).await, Some(expected));
    }
    assert_eq!(soon("their end", dtmf.next_tone()).await, None);
    assert_eq!(dtmf.tone_buffer(), "");
    let video = alice
        .add_transceiver(MediaKind::Video, TransceiverInit::default())
        .unwrap();
    assert!(video.sender().dtmf().is_none());
}

#[tokio::test]
async fn what_nobody_holds_is_freed() {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let source = camera();
    let (alice, bob, track) = watch(&source).await;
    assert_eq!(alive(), 2);
    // Any handle keeps a connection; a source does not.
    let sender = alice.senders().remove(0);
    drop(alice);
    play(&source, &track.receiver, picture, FRAME, 3).await;
    drop((bob, track.transceiver));
    play(&source, &track.receiver, picture, FRAME, 3).await;
    drop(sender);
    soon("the end", track.receiver.track().ended()).await;
    drop(track.receiver);
    assert_eq!(source.demand().senders, 0);
    let freed = async {
        while alive() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("both tasks end", freed).await;
}

#[tokio::test]
async fn a_track_that_nobody_reads_is_not_kept() {
    let source = camera();
    let (_alice, bob, track) = watch(&source).await;
    drop(track);
    for number in 0..20 {
        source.write_frame(&MediaFrame::new(picture(number)));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let receiver = bob.receivers().remove(0);
    assert!(receiver.try_recv_frame().is_none());
    // Who takes it later begins with a keyframe, which the source is asked for.
    let begun = async {
        loop {
            match source.next_event().await {
                SourceEvent::KeyframeRequest { .. } => source.write_frame(&MediaFrame::new(picture(0))),
                SourceEvent::Demand(_) => continue,
            };
        }
    };
    let first = async {
        loop {
            let frame = receiver.recv_frame().await.expect("the track goes on");
            if frame.keyframe {
                return;
            }
        }
    };
    tokio::select! {
        () = begun => {}
        () = soon("a keyframe", first) => {}
    }
}

#[tokio::test]
async fn senders_and_receivers_have_statistics_and_transports() {
    let source = camera();
    let (alice, bob, track) = watch(&source).await;
    assert!(bob.sctp().is_none());
    play(&source, &track.receiver, picture, FRAME, 30).await;
    let sender = alice.senders().remove(0);
    let sent = sender.stats();
    let outbound = sent.stats.iter().find_map(|stats| match &stats.kind {
        StatsKind::OutboundRtp(stats) => Some(stats),
        _ => None,
    });
    let outbound = outbound.expect("it sends");
    assert_eq!(outbound.frames_sent, Some(30));
    for id in [&outbound.codec_id, &outbound.media_source_id] {
        assert!(sent.get(id.as_ref().expect("an id")).is_some(), "{id:?}");
    }
    assert!(sent.transport().is_some() && sent.selected_candidate_pair().is_some());
    let received = track.receiver.stats();
    let inbound = received.stats.iter().find_map(|stats| match &stats.kind {
        StatsKind::InboundRtp(stats) => Some(stats),
        _ => None,
    });
    let inbound = inbound.expect("it receives");
    assert_eq!((inbound.ssrc, inbound.frames_received), (outbound.ssrc, Some(30)));
    assert!(
        !received
            .stats
            .iter()
            .any(|stats| matches!(stats.kind, StatsKind::OutboundRtp(_)))
    );

    let transport = sender.transport().expect("it is negotiated");
    assert_eq!(transport.state(), DtlsTransportState::Connected);
    assert_eq!(transport.remote_certificates().len(), 1);
    let ice = transport.ice_transport();
    assert!(matches!(
        ice.state(),
        IceConnectionState::Connected | IceConnectionState::Completed
    ));
    let pair = ice.selected_candidate_pair().expect("a path");
    assert!(ice.local_candidates().contains(&pair.local));
    let other = track.receiver.transport().expect("it is negotiated").ice_transport();
    let roles = [ice.role(), other.role()];
    assert_eq!(roles, [Some(IceRole::Controlling), Some(IceRole::Controlled)]);
    assert_eq!(Some(ice.local_parameters()), other.remote_parameters());
    let transceivers: Vec<RtpTransceiver> = bob.transceivers();
    assert_eq!(transceivers, [track.transceiver]);

    let channel = alice.create_data_channel("chat", Default::default()).unwrap();
    negotiate(&alice, &bob).await;
    soon("it opens", channel.opened()).await.unwrap();
    let sctp = alice.sctp().expect("it is negotiated");
    assert_eq!(sctp.state(), peerline::SctpTransportState::Connected);
    assert_eq!(sctp.max_message_size(), 256 * 1024);
    assert!(sctp.max_channels().is_some());
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn statistics_are_the_json_of_browsers() {
    let source = camera();
    let (alice, bob, track) = watch(&source).await;
    play(&source, &track.receiver, picture, FRAME, 10).await;
    for (peer, kind, members) in [
        (
            &alice,
            "outbound-rtp",
            ["packetsSent", "framesSent", "retransmittedPacketsSent", "mediaSourceId"],
        ),
        (
            &bob,
            "inbound-rtp",
            ["packetsReceived", "framesReceived", "packetsLost", "trackIdentifier"],
        ),
    ] {
        let report = serde_json::to_value(peer.stats()).unwrap();
        let objects = report.as_array().unwrap();
        let found = objects.iter().find(|object| object["type"] == kind).expect(kind);
        for member in members {
            assert!(!found[member].is_null(), "{kind}: {member}");
        }
        let codec = objects
            .iter()
            .find(|object| object["id"] == found["codecId"])
            .expect("a codec");
        assert_eq!(codec["mimeType"], "video/VP8");
        assert_eq!(codec["type"], "codec");
        for kind in [
            "transport",
            "candidate-pair",
            "certificate",
            "peer-connection",
            "local-candidate",
        ] {
            assert!(objects.iter().any(|object| object["type"] == kind), "{kind}");
        }
    }
}
