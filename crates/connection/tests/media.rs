//! Audio and video between two connections, as far as signalling goes.

mod common;

use std::time::{Duration, Instant};

use common::{Lab, config};
use peerline_connection::{
    Connection, ConnectionState, DataChannelInit, Error, Event, MediaFault, MediaKind, OfferOptions,
    RtpEncodingParameters, RtpSendParameters, SdpFault, SessionDescription, SignalingState, Track,
    TransceiverDirection, TransceiverInit,
};
use peerline_sdp::Section as _;
use peerline_sim::{Link, epoch};

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
    exchange(now, &mut alice, &mut bob);
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

fn sections(sdp: &str) -> Vec<peerline_sdp::MediaDescription> {
    let parsed = peerline_sdp::SessionDescription::parse(sdp).expect("it parses");
    parsed.check().expect("all attributes are in order");
    parsed.media
}

/// An offer as another stack might write it: each section is its `m=` line's media and formats, and further lines.
fn offer_of(sections: &[(&str, &str)]) -> SessionDescription {
    let fingerprint = "0F:".repeat(31) + "0F";
    let mids: Vec<_> = (0..sections.len()).map(|mid| mid.to_string()).collect();
    let mut text = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n",
        mids.join(" ")
    );
    for (mid, (media, lines)) in sections.iter().enumerate() {
        let (kind, formats) = media.split_once(' ').expect("a kind and formats");
        text += &format!("m={kind} 9 UDP/TLS/RTP/SAVPF {formats}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=rtcp-mux\r\n");
        for line in lines.split_whitespace() {
            text += &format!("a={}\r\n", line.replace('_', " "));
        }
    }
    SessionDescription::offer(text)
}

fn answer_of(peer: &mut Connection, now: Instant, offer: SessionDescription) -> String {
    peer.set_remote_description(now, offer).expect("the offer fits");
    let answer = peer.create_answer().expect("an answer");
    peer.set_local_description(now, answer.clone()).expect("it is ours");
    answer.sdp
}

fn answer(peer: &mut Connection, now: Instant, offer: SessionDescription) -> Vec<peerline_sdp::MediaDescription> {
    sections(&answer_of(peer, now, offer))
}

fn maps(media: &peerline_sdp::MediaDescription) -> Vec<String> {
    media.attribute_values("rtpmap").map(str::to_owned).collect()
}

#[test]
fn a_number_that_stands_for_something_else_here_is_answered_by_another() {
    let (mut alice, mut bob, now) = pair();
    bob.add_transceiver(now, MediaKind::Video, TransceiverInit::default())
        .expect("it is added");
    // 96 is VP8, and 9 is the mid, for both.
    exchange(now, &mut bob, &mut alice);
    let mids = alice.remote_description().expect("one was set").sdp;
    assert!(mids.contains("a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"));
    let again = sections(&mids)[0]
        .attribute_values("fingerprint")
        .next()
        .expect("a fingerprint")
        .to_owned();
    let offer = offer_of(&[
        (
            "video 96 97",
            "sendrecv rtpmap:96_VP8/90000 rtpmap:97_rtx/90000 fmtp:97_apt=96",
        ),
        (
            "video 96 98 99 100",
            "sendrecv rtpmap:96_VP9/90000 rtpmap:98_rtx/90000 fmtp:98_apt=96 rtpmap:99_AV1/90000 rtpmap:100_VP8/90000 \
             extmap:9_urn:3gpp:video-orientation extmap:12_urn:ietf:params:rtp-hdrext:sdes:mid",
        ),
    ]);
    let fingerprint = format!("sha-256 {}0F", "0F:".repeat(31));
    let offer = SessionDescription::offer(offer.sdp.replace(&fingerprint, &again));
    let answer = answer(&mut alice, now, offer);
    assert_eq!(maps(&answer[0]), ["96 VP8/90000", "97 rtx/90000"]);
    // 98 and 99 were VP9 of the profile 0 and its retransmissions, 45 was AV1, 100 VP9 of the profile 2.
    assert_eq!(
        maps(&answer[1]),
        ["98 VP9/90000", "99 rtx/90000", "45 AV1/90000", "96 VP8/90000"]
    );
    let extensions: Vec<_> = answer[1].attribute_values("extmap").collect();
    assert_eq!(extensions, ["12 urn:ietf:params:rtp-hdrext:sdes:mid"]);
    // What is sent has the peer's numbers.
    let ids: Vec<_> = alice.transceivers().map(|own| own.id()).collect();
    alice
        .set_direction(now, ids[1], TransceiverDirection::SendRecv)
        .expect("it is there");
    let received = alice.receive_parameters(ids[1]).expect("it is there");
    let numbers: Vec<_> = received.codecs.iter().map(|codec| codec.payload_type).collect();
    assert_eq!(numbers, [98, 99, 45, 96]);
}

/// Firefox calls VP8 120 in the sections that it offers: another offer of ours does not change that to 96.
#[test]
fn a_section_keeps_its_numbers_when_we_offer_again() {
    let (mut alice, mut bob, now) = pair();
    alice
        .add_transceiver(now, MediaKind::Video, TransceiverInit::default())
        .expect("it is added");
    exchange(now, &mut alice, &mut bob);
    let sdp = alice.remote_description().expect("one was set").sdp;
    let theirs = sections(&sdp)[0]
        .attribute_values("fingerprint")
        .next()
        .expect("a fingerprint")
        .to_owned();
    let offer = offer_of(&[
        (
            "video 96 97",
            "sendrecv rtpmap:96_VP8/90000 rtpmap:97_rtx/90000 fmtp:97_apt=96",
        ),
        (
            "video 120 121",
            "sendrecv rtpmap:120_VP8/90000 rtpmap:121_rtx/90000 fmtp:121_apt=120",
        ),
    ]);
    let fingerprint = format!("sha-256 {}0F", "0F:".repeat(31));
    let offer = SessionDescription::offer(offer.sdp.replace(&fingerprint, &theirs));
    let answered = answer(&mut alice, now, offer);
    assert_eq!(maps(&answered[1]), ["120 VP8/90000", "121 rtx/90000"]);
    let again = alice.create_offer(OfferOptions::default()).expect("an offer").sdp;
    let again = sections(&again);
    assert_eq!(maps(&again[0])[..2], ["96 VP8/90000", "97 rtx/90000"]);
    assert_eq!(maps(&again[1])[..2], ["120 VP8/90000", "121 rtx/90000"]);
}

/// Where offers cross, Chromium refuses one that gives another meaning to an id of its own, which it is about to take back.
#[test]
fn first_offers_have_the_extension_ids_of_chromium() {
    let ids = |kind| {
        let (mut alice, _, now) = pair();
        alice
            .add_transceiver(now, kind, TransceiverInit::default())
            .expect("it is added");
        let offer = alice.create_offer(OfferOptions::default()).expect("an offer").sdp;
        let section = sections(&offer).remove(0);
        let mut ids: Vec<_> = section.attribute_values("extmap").map(str::to_owned).collect();
        ids.sort();
        ids
    };
    let audio = [
        "1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        "3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "4 urn:ietf:params:rtp-hdrext:sdes:mid",
    ];
    assert_eq!(ids(MediaKind::Audio), audio);
    let video = [
        "10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        "2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        "3 urn:3gpp:video-orientation",
        "4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        "9 urn:ietf:params:rtp-hdrext:sdes:mid",
    ];
    assert_eq!(ids(MediaKind::Video), video);
}

#[test]
fn what_is_sent_has_the_numbers_of_the_peer() {
    let (mut alice, _, now) = pair();
    alice
        .add_track(now, track("camera", MediaKind::Video), &[])
        .expect("it is added");
    let offer = offer_of(&[(
        "video 120 121 122 123",
        "recvonly rtpmap:120_H264/90000 fmtp:120_profile-level-id=42c02a;packetization-mode=1 rtpmap:121_rtx/90000 \
         fmtp:121_apt=120 rtpmap:122_vp8/90000 rtpmap:123_rtx/90000 fmtp:123_apt=122 rtcp-fb:*_nack rtcp-fb:122_nack_pli",
    )]);
    let answer = answer(&mut alice, now, offer);
    assert!(
        answer[0]
            .attribute_values("fmtp")
            .any(|fmtp| { fmtp == "120 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42c01f" })
    );
    let id = alice.transceivers().next().expect("one").id();
    let sent = alice.send_parameters(id).expect("it is there");
    let codecs: Vec<_> = sent
        .codecs
        .iter()
        .map(|codec| {
            (
                codec.payload_type,
                codec.codec.mime_type.as_str(),
                codec.rtcp_feedback.len(),
            )
        })
        .collect();
    assert_eq!(
        codecs,
        [
            (120, "video/H264", 1),
            (121, "video/rtx", 0),
            (122, "video/VP8", 2),
            (123, "video/rtx", 0)
        ]
    );
}

#[test]
fn preferences_choose_and_order() {
    let (mut alice, mut bob, now) = pair();
    let id = alice
        .add_transceiver(now, MediaKind::Video, TransceiverInit::default())
        .expect("it is added");
    let codecs = alice.capabilities(MediaKind::Video).codecs;
    let named = |names: &[&str]| -> Vec<_> {
        let of = |name: &&str| {
            let mime_type = format!("video/{name}");
            codecs.iter().filter(move |codec| codec.mime_type == mime_type)
        };
        names.iter().flat_map(of).cloned().collect()
    };
    alice
        .set_codec_preferences(id, &named(&["AV1", "VP8"]))
        .expect("they are capabilities");
    let (offer, _) = exchange(now, &mut alice, &mut bob);
    assert_eq!(
        maps(&sections(&offer)[0]),
        ["45 AV1/90000", "96 VP8/90000"],
        "without rtx"
    );
    // The answerer's own order counts in its answer.
    let far = bob.transceivers().next().expect("one").id();
    bob.set_codec_preferences(far, &named(&["VP8", "rtx", "AV1"]))
        .expect("they are capabilities");
    alice.set_codec_preferences(id, &[]).expect("the default");
    let (offer, answer) = exchange(now, &mut alice, &mut bob);
    assert_eq!(
        maps(&sections(&offer)[0])[..3],
        ["45 AV1/90000", "46 rtx/90000", "96 VP8/90000"]
    );
    assert_eq!(
        maps(&sections(&answer)[0]),
        ["96 VP8/90000", "97 rtx/90000", "45 AV1/90000", "46 rtx/90000"]
    );
    for (bad, name) in [
        (named(&["rtx"]), "InvalidModificationError"),
        (alice.capabilities(MediaKind::Audio).codecs, "InvalidModificationError"),
    ] {
        assert_eq!(alice.set_codec_preferences(id, &bad).expect_err("refused").name(), name);
    }
}

#[test]
fn simulcast_is_offered_taken_and_paused() {
    let (mut alice, mut bob, now) = pair();
    let encoding = |rid: &str| RtpEncodingParameters {
        rid: rid.into(),
        ..RtpEncodingParameters::default()
    };
    let init = TransceiverInit {
        direction: TransceiverDirection::SendOnly,
        send_encodings: vec![encoding("h"), encoding("m"), encoding("l")],
        ..TransceiverInit::default()
    };
    let id = alice.add_transceiver(now, MediaKind::Video, init).expect("it is added");
    let (offer, answer) = exchange(now, &mut alice, &mut bob);
    assert!(
        offer.contains("a=simulcast:send h;m;l\r\n") && !offer.contains("a=ssrc:"),
        "{offer}"
    );
    assert!(answer.contains("a=rid:h recv\r\na=rid:m recv\r\na=rid:l recv\r\na=simulcast:recv h;m;l\r\n"));
    let scales: Vec<_> = alice
        .send_parameters(id)
        .expect("it is there")
        .encodings
        .iter()
        .map(|encoding| encoding.scale_resolution_down_by)
        .collect();
    assert_eq!(scales, [Some(4.0), Some(2.0), Some(1.0)]);

    // An offer of the receiver keeps the layers that it has.
    bob.create_data_channel(now, "chat", DataChannelInit::default())
        .expect("a channel");
    let (offer, answer) = exchange(now, &mut bob, &mut alice);
    assert!(offer.contains("a=simulcast:recv h;m;l\r\n"), "{offer}");
    assert!(answer.contains("a=simulcast:send h;m;l\r\n"), "{answer}");

    // A peer that takes fewer, or none.
    let offer = alice.create_offer(OfferOptions::default()).expect("an offer");
    alice.set_local_description(now, offer.clone()).expect("it is ours");
    bob.set_remote_description(now, offer).expect("it fits");
    let answer = bob.create_answer().expect("an answer");
    bob.set_local_description(now, answer.clone()).expect("it is ours");
    let fewer = answer
        .sdp
        .replace("a=rid:m recv\r\n", "")
        .replace("recv h;m;l", "recv ~h;m;l");
    alice
        .set_remote_description(now, SessionDescription::answer(fewer))
        .expect("it fits");
    let rids = |peer: &mut Connection| -> Vec<String> {
        let parameters = peer.send_parameters(id).expect("it is there");
        parameters.encodings.into_iter().map(|encoding| encoding.rid).collect()
    };
    assert_eq!(rids(&mut alice), ["h", "l"]);
    let offer = alice.create_offer(OfferOptions::default()).expect("an offer");
    assert!(offer.sdp.contains("a=simulcast:send h;l\r\n"));
    alice.set_local_description(now, offer).expect("it is ours");
    let none: String = answer
        .sdp
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("a=rid") && !line.starts_with("a=simulcast"))
        .collect();
    alice
        .set_remote_description(now, SessionDescription::answer(none))
        .expect("it fits");
    assert_eq!(rids(&mut alice), ["h"]);
}

#[test]
fn a_receiver_asks_for_simulcast() {
    let (mut alice, _, now) = pair();
    alice
        .add_track(now, track("camera", MediaKind::Video), &[])
        .expect("it is added");
    let offer = offer_of(&[(
        "video 96",
        "recvonly rtpmap:96_VP8/90000 rid:a_recv rid:b_recv simulcast:recv_a;b \
         extmap:1_urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    )]);
    let answer = answer(&mut alice, now, offer);
    assert_eq!(answer[0].attribute_value("simulcast"), Some("send a;b"));
    let id = alice.transceivers().next().expect("one").id();
    let rids: Vec<_> = alice
        .send_parameters(id)
        .expect("it is there")
        .encodings
        .into_iter()
        .map(|encoding| (encoding.rid, encoding.scale_resolution_down_by))
        .collect();
    assert_eq!(rids, [("a".to_owned(), Some(2.0)), ("b".to_owned(), Some(1.0))]);
}

#[test]
fn a_rollback_removes_what_the_offer_made() {
    let (mut alice, _, now) = pair();
    let offer = offer_of(&[("audio 0", "sendrecv msid:s_t1"), ("audio 8", "sendrecv msid:s_t2")]);
    alice.set_remote_description(now, offer).expect("it fits");
    let ids: Vec<_> = alice.transceivers().map(|own| own.id()).collect();
    // A track in the second one: it stays, bound to nothing.
    alice
        .add_track(now, track("voice", MediaKind::Audio), &[])
        .expect("it is added");
    events(&mut alice);
    alice
        .set_remote_description(now, SessionDescription::rollback())
        .expect("it is taken back");
    let left: Vec<_> = alice
        .transceivers()
        .map(|own| (own.id(), own.mid().is_some()))
        .collect();
    assert_eq!(left, [(ids[0], false)], "addTrack took the first");
    let told = events(&mut alice);
    assert!(told.contains(&Event::TrackMuted(ids[1])) && told.contains(&Event::TrackEnded(ids[1])));
    assert!(told.contains(&Event::NegotiationNeeded));
    let offer = alice.create_offer(OfferOptions::default()).expect("an offer");
    assert_eq!(sections(&offer.sdp).len(), 1);
}

#[test]
fn an_offer_that_replaces_another_keeps_what_both_name() {
    let (mut alice, _, now) = pair();
    let both = offer_of(&[("audio 0", "sendrecv"), ("audio 8", "sendrecv")]);
    alice.set_remote_description(now, both).expect("it fits");
    let ids: Vec<_> = alice.transceivers().map(|own| own.id()).collect();
    alice
        .set_direction(now, ids[0], TransceiverDirection::Inactive)
        .expect("it is there");
    alice
        .set_remote_description(now, offer_of(&[("audio 0", "sendrecv")]))
        .expect("it fits");
    let left: Vec<_> = alice.transceivers().map(|own| (own.id(), own.direction())).collect();
    assert_eq!(left, [(ids[0], TransceiverDirection::Inactive)]);
}

#[test]
fn there_is_one_transport() {
    let (mut alice, _, now) = pair();
    let offer = offer_of(&[("audio 0", "sendrecv"), ("video 96", "sendrecv rtpmap:96_VP8/90000")]);
    let ports = |text: String| -> Vec<u16> {
        let mut peer = Connection::new(now, config(2, 0));
        let sections = answer(&mut peer, now, SessionDescription::offer(text));
        sections.iter().map(|media| media.port()).collect()
    };
    assert_eq!(ports(offer.sdp.clone()), [9, 9]);
    let unbundled = offer.sdp.replace("a=group:BUNDLE 0 1\r\n", "");
    assert_eq!(ports(unbundled), [9, 0], "the first is taken");
    let apart = offer.sdp.replace("BUNDLE 0 1", "BUNDLE 1");
    assert_eq!(ports(apart), [9, 0], "the first is in no group");
    let only = offer
        .sdp
        .replace("m=video 9", "m=video 0")
        .replace("a=mid:1\r\n", "a=mid:1\r\na=bundle-only\r\n");
    assert_eq!(ports(only), [9, 9], "bundle-only is no rejection");
    let unknown = offer
        .sdp
        .replace("m=audio 9 UDP/TLS/RTP/SAVPF 0", "m=audio 9 UDP/TLS/RTP/SAVPF 77");
    assert_eq!(ports(unknown), [0, 9], "the group's next speaks for it");
    let no_mux = offer.sdp.replace("a=rtcp-mux\r\n", "");
    assert_eq!(ports(no_mux), [0, 0]);

    // An answer that does not bundle cannot be.
    alice
        .add_transceiver(now, MediaKind::Audio, TransceiverInit::default())
        .expect("it is added");
    alice
        .add_transceiver(now, MediaKind::Video, TransceiverInit::default())
        .expect("it is added");
    alice.set_local_description(now, None).expect("an offer");
    let sdp = offer.sdp.replace("a=setup:actpass", "a=setup:active");
    let mut refused = |text: String| alice.set_remote_description(now, SessionDescription::answer(text));
    assert_eq!(
        refused(sdp.replace("a=group:BUNDLE 0 1\r\n", "")),
        Err(Error::SdpSemantics(SdpFault::NotBundled))
    );
    assert_eq!(
        refused(sdp.replace("a=rtcp-mux\r\n", "")),
        Err(Error::SdpSemantics(SdpFault::MissingRtcpMux))
    );
    assert_eq!(refused(sdp), Ok(()));
}

#[test]
fn what_a_description_must_not_do_is_refused() {
    let (mut alice, _, now) = pair();
    let video = ("video 96", "sendrecv rtpmap:96_VP8/90000");
    let offer = offer_of(&[("audio 0", "sendrecv"), video]);
    answer(&mut alice, now, offer.clone());
    let state = |peer: &Connection| {
        let all = peer.transceivers();
        let all = all.map(|own| (own.id(), own.mid().map(str::to_owned), own.current_direction()));
        all.collect::<Vec<_>>()
    };
    let before = state(&alice);
    let mut refused = |text: SessionDescription, fault| {
        assert_eq!(alice.set_remote_description(now, text), Err(Error::SdpSemantics(fault)));
        assert_eq!(state(&alice), before);
    };
    refused(
        offer_of(&[video, ("audio 0", "sendrecv")]),
        SdpFault::ReorderedMediaSections,
    );
    refused(offer_of(&[("audio 0", "sendrecv")]), SdpFault::ReorderedMediaSections);
    let changed = |from: &str, to: &str| SessionDescription::offer(offer.sdp.replace(from, to));
    refused(changed("a=mid:1", "a=mid:7"), SdpFault::BadBundleGroup);
    refused(
        SessionDescription::offer(
            offer
                .sdp
                .replace("a=mid:1", "a=mid:7")
                .replace("BUNDLE 0 1", "BUNDLE 0 7"),
        ),
        SdpFault::ReorderedMediaSections,
    );
    refused(changed("BUNDLE 0 1", "BUNDLE 0 1 0"), SdpFault::BadBundleGroup);
    refused(
        changed("t=0 0\r\n", &("t=0 0\r\n".to_owned() + &"a=x\r\n".repeat(2000))),
        SdpFault::TooManyLines,
    );
    refused(changed("0F:0F", "0F:10"), SdpFault::ChangedFingerprint);
}

#[test]
fn an_answer_does_not_widen_what_was_offered() {
    let (mut alice, mut bob, now) = pair();
    let init = TransceiverInit {
        direction: TransceiverDirection::SendOnly,
        ..TransceiverInit::default()
    };
    let id = alice.add_transceiver(now, MediaKind::Audio, init).expect("it is added");
    let offer = alice.create_offer(OfferOptions::default()).expect("an offer");
    alice.set_local_description(now, offer.clone()).expect("it is ours");
    let answer = answer_of(&mut bob, now, offer).replace("a=recvonly", "a=sendrecv");
    alice
        .set_remote_description(now, SessionDescription::answer(answer))
        .expect("it fits");
    let own = alice.transceiver(id).expect("it is there");
    assert_eq!(own.current_direction(), Some(TransceiverDirection::SendOnly));
}

#[test]
fn a_section_without_a_mid_is_known_by_its_place() {
    let (mut alice, _, now) = pair();
    alice
        .add_track(now, track("voice", MediaKind::Audio), &[])
        .expect("it is added");
    let offer = offer_of(&[("audio 0", "sendrecv")]);
    let bare = offer.sdp.replace("a=group:BUNDLE 0\r\n", "").replace("a=mid:0\r\n", "");
    let sections = answer(&mut alice, now, SessionDescription::offer(bare.clone()));
    assert_eq!((sections[0].mid(), sections[0].port()), (None, 9));
    let own = alice.transceivers().next().expect("one");
    assert!(own.mid().is_some());
    assert_eq!(own.current_direction(), Some(TransceiverDirection::SendRecv));
    let id = own.id();
    alice
        .set_direction(now, id, TransceiverDirection::SendOnly)
        .expect("it is there");
    alice.set_local_description(now, None).expect("an offer");
    let reply = bare
        .replace("a=setup:actpass", "a=setup:passive")
        .replace("sendrecv", "recvonly");
    alice
        .set_remote_description(now, SessionDescription::answer(reply))
        .expect("it fits");
    let own = alice.transceiver(id).expect("it is there");
    assert_eq!(own.current_direction(), Some(TransceiverDirection::SendOnly));
    assert_eq!(alice.transceivers().count(), 1);
}

#[test]
fn a_codec_that_the_peer_takes_away_ends_what_used_it() {
    let (mut alice, _, now) = pair();
    alice
        .add_track(now, track("camera", MediaKind::Video), &[])
        .expect("it is added");
    let both = offer_of(&[("video 96 98", "sendrecv rtpmap:96_VP8/90000 rtpmap:98_AV1/90000")]);
    answer(&mut alice, now, both);
    let id = alice.transceivers().next().expect("one").id();
    let mut parameters = alice.send_parameters(id).expect("it is there");
    parameters.encodings[0].codec = Some(parameters.codecs[1].codec.clone());
    alice
        .set_send_parameters(now, id, parameters)
        .expect("it was negotiated");
    let one = offer_of(&[("video 96", "sendrecv rtpmap:96_VP8/90000")]);
    answer(&mut alice, now, one);
    let parameters = alice.send_parameters(id).expect("it is there");
    assert_eq!(parameters.encodings[0].codec, None);
    assert_eq!(parameters.codecs.len(), 1);
    // And then all that is known here: the section is rejected.
    let none = offer_of(&[("video 96", "sendrecv rtpmap:96_theora/90000")]);
    let rejected = answer(&mut alice, now, none);
    assert!(rejected[0].is_rejected());
    assert_eq!(alice.transceivers().count(), 0);
}

type Change<'a> = &'a dyn Fn(&mut RtpSendParameters);

#[test]
fn parameters_are_set_once_after_reading() {
    let (mut alice, mut bob, now) = pair();
    let id = alice
        .add_track(now, track("camera", MediaKind::Video), &[])
        .expect("it is added");
    exchange(now, &mut alice, &mut bob);
    let read = alice.send_parameters(id).expect("it is there");
    assert_eq!(
        alice.send_parameters(id).expect("it is there"),
        read,
        "the same until it is set"
    );
    let refusal = |alice: &mut Connection, change: Change<'_>| {
        let mut parameters = alice.send_parameters(id).expect("it is there");
        change(&mut parameters);
        alice
            .set_send_parameters(now, id, parameters)
            .expect_err("refused")
            .name()
    };
    let changes: [(&str, Change<'_>); 8] = [
        ("InvalidModificationError", &|own| own.encodings.clear()),
        ("InvalidModificationError", &|own| own.encodings[0].rid = "x".into()),
        ("InvalidModificationError", &|own| own.codecs.reverse()),
        ("InvalidModificationError", &|own| own.transaction_id += 1),
        ("InvalidModificationError", &|own| own.rtcp.cname.clear()),
        ("InvalidModificationError", &|own| {
            own.encodings[0].codec = Some(own.codecs[1].codec.clone());
        }),
        ("RangeError", &|own| {
            own.encodings[0].scale_resolution_down_by = Some(0.5);
        }),
        ("RangeError", &|own| own.encodings[0].max_framerate = Some(f64::NAN)),
    ];
    for (name, change) in changes {
        assert_eq!(refusal(&mut alice, change), name);
    }
    let mut parameters = alice.send_parameters(id).expect("it is there");
    parameters.encodings[0].max_bitrate = Some(100_000);
    alice
        .set_send_parameters(now, id, parameters.clone())
        .expect("it is in order");
    let again = alice.set_send_parameters(now, id, parameters).expect_err("refused");
    assert_eq!(again, Error::Media(MediaFault::ParametersNotRead));
    let read = alice.send_parameters(id).expect("it is there");
    assert_eq!(read.encodings[0].max_bitrate, Some(100_000));
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let (mut alice, _, now) = pair();
    let id = alice
        .add_track(now, track("voice", MediaKind::Audio), &[])
        .expect("it is added");
    let encoding = |rid: &str, scale: Option<f64>| RtpEncodingParameters {
        rid: rid.into(),
        scale_resolution_down_by: scale,
        ..RtpEncodingParameters::default()
    };
    let mut refusal = |send_encodings: Vec<RtpEncodingParameters>| {
        let init = TransceiverInit {
            send_encodings,
            ..TransceiverInit::default()
        };
        let error = alice.add_transceiver(now, MediaKind::Video, init).expect_err("refused");
        assert_eq!(alice.transceivers().count(), 1);
        error.name()
    };
    assert_eq!(refusal(vec![encoding("a b", None), encoding("c", None)]), "TypeError");
    assert_eq!(refusal(vec![encoding("a", None), encoding("", None)]), "TypeError");
    assert_eq!(refusal(vec![encoding("a", None), encoding("a", None)]), "TypeError");
    assert_eq!(refusal(vec![encoding("", Some(0.9))]), "RangeError");
    let twice = alice.add_track(now, track("voice", MediaKind::Audio), &[]);
    assert_eq!(twice.expect_err("refused").name(), "InvalidAccessError");
    let bad = alice.add_track(now, track("other", MediaKind::Audio), &["a b".into()]);
    assert_eq!(bad.expect_err("refused").name(), "TypeError");
    let other = alice.replace_track(now, id, Some(track("camera", MediaKind::Video)));
    assert_eq!(other.expect_err("refused").name(), "TypeError");
    let stopped = alice.set_direction(now, id, TransceiverDirection::Stopped);
    assert_eq!(stopped.expect_err("refused").name(), "TypeError");
    alice.stop_transceiver(now, id).expect("it is there");
    for refused in [
        alice.set_direction(now, id, TransceiverDirection::Inactive),
        alice.replace_track(now, id, None),
    ] {
        assert_eq!(refused.expect_err("refused").name(), "InvalidStateError");
    }
    alice.close(now);
    let closed = alice.add_transceiver(now, MediaKind::Video, TransceiverInit::default());
    assert_eq!(closed.expect_err("refused"), Error::Closed);
}

#[test]
fn media_alone_connects_and_data_joins_later() {
    let mut lab = Lab::new(1, Link::delay(Duration::from_millis(5)));
    lab.with_peer(0, |peer, now| {
        peer.add_track(now, track("voice", MediaKind::Audio), &[])
    })
    .expect("it is added");
    lab.offer(0, OfferOptions::default());
    lab.expect("both to be connected", |lab| {
        (0..2).all(|who| lab.peer(who).connection_state() == ConnectionState::Connected)
    });
    let channel = lab.open(1, "chat", DataChannelInit::default());
    lab.offer(1, OfferOptions::default());
    lab.expect_event(1, &Event::ChannelOpen(channel));
    // And back: the section whose candidates were told is stopped, and ICE begins anew.
    lab.with_peer(0, |peer, now| {
        let id = peer.transceivers().next().expect("one").id();
        peer.stop_transceiver(now, id).expect("it is there");
    });
    lab.offer(0, OfferOptions { ice_restart: true });
    lab.run_for(Duration::from_secs(2));
    assert_eq!(lab.peer(0).transceivers().count(), 0);
    lab.send(1, channel, "still here");
    let far = lab.expect_incoming(0);
    assert_eq!(lab.expect_message(0, far), "still here".into());
}

#[test]
fn a_call_without_trickling_connects() {
    let mut lab = Lab::new(2, Link::delay(Duration::from_millis(5)));
    lab.trickle = false;
    lab.with_peer(0, |peer, now| {
        peer.add_track(now, track("voice", MediaKind::Audio), &[])
            .expect("it is added");
        peer.set_local_description(now, None).expect("an offer");
    });
    lab.run_for(Duration::from_millis(10));
    lab.signal_description(0);
    lab.expect("both to be connected", |lab| {
        (0..2).all(|who| lab.peer(who).connection_state() == ConnectionState::Connected)
    });
}

/// "The "a=msid" line or lines MUST stay the same … regardless of changes to the transceiver's direction or track" (RFC 8829
/// §5.2.2), and so do the SSRCs, as Chromium's do: it shows nothing of a stream that is named again after it was not.
#[test]
fn what_was_sent_stays_named_while_it_is_not_sent() {
    let (mut alice, mut bob, now) = pair();
    let names = |sdp: &str| -> Vec<String> {
        let lines = sdp.lines();
        let named = lines.filter(|line| line.starts_with("a=msid:") || line.starts_with("a=ssrc"));
        named.map(str::to_owned).collect()
    };
    let init = TransceiverInit {
        direction: TransceiverDirection::SendOnly,
        streams: vec!["stream".into()],
        ..TransceiverInit::default()
    };
    let id = alice
        .add_transceiver(now, track("camera", MediaKind::Video), init)
        .expect("it is added");
    let (offer, answer) = exchange(now, &mut alice, &mut bob);
    let first = names(&offer);
    assert_eq!(first.len(), 6, "{offer}");
    assert_eq!(names(&answer), [""; 0]);
    for direction in [
        TransceiverDirection::Inactive,
        TransceiverDirection::RecvOnly,
        TransceiverDirection::SendOnly,
    ] {
        alice.set_direction(now, id, direction).expect("it is not stopped");
        let (offer, _) = exchange(now, &mut alice, &mut bob);
        assert_eq!(names(&offer), first);
        alice
            .set_direction(now, id, TransceiverDirection::Inactive)
            .expect("it is not stopped");
        let (_, answer) = exchange(now, &mut bob, &mut alice);
        assert_eq!(names(&answer), first);
    }
    alice.stop_transceiver(now, id).expect("it lives");
    let (offer, _) = exchange(now, &mut alice, &mut bob);
    assert_eq!(names(&offer), [""; 0]);
}

/// Lip synchronization (RFC 5888 §7): what belongs together is told by `a=msid`.
#[test]
fn groups_that_are_not_known_are_let_pass() {
    let (mut alice, mut bob, now) = pair();
    for kind in [MediaKind::Audio, MediaKind::Video] {
        alice
            .add_transceiver(now, kind, TransceiverInit::default())
            .expect("it is added");
    }
    alice.set_local_description(now, None).expect("an offer");
    let mut offer = alice.local_description().expect("it was set");
    offer.sdp = offer.sdp.replace("a=group:BUNDLE", "a=group:LS 0 1\r\na=group:BUNDLE");
    bob.set_remote_description(now, offer).expect("the offer fits");
    bob.set_local_description(now, None).expect("an answer");
    let answer = bob.local_description().expect("it was set");
    assert!(
        answer.sdp.contains("a=group:BUNDLE 0 1") && !answer.sdp.contains("a=group:LS"),
        "{}",
        answer.sdp
    );
    alice.set_remote_description(now, answer).expect("the answer fits");
    assert!(
        alice
            .transceivers()
            .all(|transceiver| transceiver.current_direction().is_some())
    );
}
