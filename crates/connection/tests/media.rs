//! Audio and video between two connections, as far as signalling goes.

mod common;

use std::time::Instant;

use common::config;
use peerline_connection::{
    Connection, Event, MediaKind, OfferOptions, SessionDescription, SignalingState, Track, TransceiverDirection,
    TransceiverInit,
};
use peerline_sim::epoch;

fn pair() -> (Connection, Connection, Instant) {
    let now = epoch();
    (
        Connection::new(now, config(1, 0)),
        Connection::new(now, config(1, 1)),
        now,
    )
}

fn track(id: &str, kind: MediaKind) -> Track {
    Track { id: id.into(), kind }
}

fn events(peer: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| peer.poll_event()).collect()
}

/// One exchange; the texts of both descriptions.
fn exchange(now: Instant, offerer: &mut Connection, answerer: &mut Connection) -> (String, String) {
    let offer = offerer.create_offer(OfferOptions::default()).expect("an offer");
    offerer.set_local_description(now, offer.clone()).expect("it is ours");
    answerer
        .set_remote_description(now, offer.clone())
        .expect("the offer fits");
    let answer = answerer.create_answer().expect("an answer");
    answerer.set_local_description(now, answer.clone()).expect("it is ours");
    offerer
        .set_remote_description(now, answer.clone())
        .unwrap_or_else(|error| panic!("{error}\n{}\n{}", offer.sdp, answer.sdp));
    assert_eq!(offerer.signaling_state(), SignalingState::Stable);
    assert_eq!(answerer.signaling_state(), SignalingState::Stable);
    (offer.sdp, answer.sdp)
}

#[test]
fn a_call_with_audio_and_video() {
    let (mut alice, mut bob, now) = pair();
    let streams = ["stream".to_owned()];
    alice
        .add_track(now, track("voice", MediaKind::Audio), &streams)
        .expect("it is added");
    alice
        .add_track(now, track("camera", MediaKind::Video), &streams)
        .expect("it is added");
    assert_eq!(events(&mut alice), [Event::NegotiationNeeded]);
    let (offer, answer) = exchange(now, &mut alice, &mut bob);
    println!("{offer}\n{answer}");
    let told: Vec<_> = events(&mut bob)
        .into_iter()
        .filter(|event| matches!(event, Event::Track { .. }))
        .collect();
    let received: Vec<_> = bob.transceivers().map(|transceiver| transceiver.id()).collect();
    let expected: Vec<_> = received
        .iter()
        .map(|id| Event::Track {
            transceiver: *id,
            streams: streams.to_vec(),
        })
        .collect();
    assert_eq!(told, expected);
    for (near, far) in alice.transceivers().zip(bob.transceivers()) {
        assert_eq!(near.mid(), far.mid());
        assert_eq!(near.current_direction(), Some(TransceiverDirection::SendOnly));
        assert_eq!(far.current_direction(), Some(TransceiverDirection::RecvOnly));
        assert_eq!(near.sender_track().expect("a track").id, far.receiver_track_id());
    }
    assert!(!events(&mut alice).contains(&Event::NegotiationNeeded));

    // Bob sends too, through the same sections.
    for (id, name, kind) in [
        (received[0], "reply", MediaKind::Audio),
        (received[1], "picture", MediaKind::Video),
    ] {
        let used = bob.add_track(now, track(name, kind), &[]).expect("it is added");
        assert_eq!(used, id);
    }
    assert!(events(&mut bob).contains(&Event::NegotiationNeeded));
    exchange(now, &mut bob, &mut alice);
    for transceiver in alice.transceivers().chain(bob.transceivers()) {
        assert_eq!(transceiver.current_direction(), Some(TransceiverDirection::SendRecv));
    }
    for peer in [&mut alice, &mut bob] {
        assert!(!events(peer).contains(&Event::NegotiationNeeded));
        let ids: Vec<_> = peer.transceivers().map(|transceiver| transceiver.id()).collect();
        for id in ids {
            let sent = peer.send_parameters(id).expect("it is there");
            let received = peer.receive_parameters(id).expect("it is there");
            let numbers = |codecs: &[peerline_connection::RtpCodecParameters]| {
                codecs.iter().map(|codec| codec.payload_type).collect::<Vec<_>>()
            };
            assert!(!sent.codecs.is_empty());
            assert_eq!(numbers(&sent.codecs), numbers(&received.codecs));
            assert_eq!(sent.header_extensions, received.header_extensions);
        }
    }
}

#[test]
fn a_section_can_be_stopped_and_its_place_taken() {
    let (mut alice, mut bob, now) = pair();
    let audio = alice
        .add_transceiver(now, MediaKind::Audio, TransceiverInit::default())
        .expect("it is added");
    alice
        .add_transceiver(now, MediaKind::Video, TransceiverInit::default())
        .expect("it is added");
    exchange(now, &mut alice, &mut bob);
    alice.stop_transceiver(now, audio).expect("it is there");
    exchange(now, &mut alice, &mut bob);
    for peer in [&alice, &bob] {
        assert_eq!(peer.transceivers().count(), 1, "the stopped one is gone");
    }
    bob.add_track(now, track("screen", MediaKind::Video), &[])
        .expect("it is added");
    bob.add_track(now, track("second", MediaKind::Video), &[])
        .expect("it is added");
    let (offer, _) = exchange(now, &mut bob, &mut alice);
    let parsed = peerline_sdp::SessionDescription::parse(&offer).expect("it parses");
    let mids: Vec<_> = parsed.media.iter().map(|media| media.mid().expect("a mid")).collect();
    assert_eq!(mids, ["2", "1"], "the first section's place is taken, under a new mid");
}

#[test]
fn an_offer_that_meets_another_is_taken_back() {
    let (mut alice, mut bob, now) = pair();
    alice
        .add_track(now, track("a", MediaKind::Audio), &[])
        .expect("it is added");
    bob.add_track(now, track("b", MediaKind::Audio), &[])
        .expect("it is added");
    bob.add_transceiver(now, MediaKind::Video, TransceiverInit::default())
        .expect("it is added");
    bob.set_local_description(now, None).expect("an offer");
    // Alice's wins.
    exchange(now, &mut alice, &mut bob);
    let directions = |peer: &Connection| {
        let all = peer.transceivers();
        all.map(|transceiver| transceiver.current_direction())
            .collect::<Vec<_>>()
    };
    assert_eq!(directions(&alice), [Some(TransceiverDirection::SendRecv)]);
    assert_eq!(directions(&bob), [Some(TransceiverDirection::SendRecv), None]);
    assert!(events(&mut bob).contains(&Event::NegotiationNeeded));
    exchange(now, &mut bob, &mut alice);
    assert_eq!(
        alice.remote_description().map(|description| description.sdp),
        bob.current_local_description()
            .map(|description| SessionDescription::offer(description.sdp).sdp)
    );
    assert!(!events(&mut bob).contains(&Event::NegotiationNeeded));
}
