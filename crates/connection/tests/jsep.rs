//! Offers and answers: real ones from browsers, bad ones from anywhere.

mod common;

use std::time::Instant;

use common::config;
use peerline_connection::{
    Connection, DataChannelInit, Error, IceCandidate, OfferOptions, SdpFault, SdpType, SessionDescription,
    SignalingState,
};
use peerline_sdp::Section as _;
use peerline_sim::epoch;
use proptest::prelude::*;

/// What browsers offered and answered, with its source beside it.
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdp/tests/samples");

fn connection() -> (Connection, Instant) {
    (Connection::new(epoch(), config(1, 0)), epoch())
}

fn samples(ending: &str) -> Vec<(String, String)> {
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(SAMPLES).expect("the samples are there") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.ends_with(ending) {
            samples.push((name, std::fs::read_to_string(path).expect("text")));
        }
    }
    assert!(samples.len() > 20, "{} samples end with {ending}", samples.len());
    samples
}

fn sample(name: &str) -> String {
    let (_, text) = samples(".sdp")
        .into_iter()
        .find(|(file, _)| file == name)
        .expect("the sample is there");
    text
}

/// The `m=` lines' media and ports, and the `a=mid` of each.
fn sections(sdp: &str) -> Vec<(String, String)> {
    let parsed = peerline_sdp::SessionDescription::parse(sdp).expect("it parses");
    let describe =
        |media: &peerline_sdp::MediaDescription| (media.kind().to_owned(), media.mid().unwrap_or("").to_owned());
    parsed.media.iter().map(describe).collect()
}

#[test]
fn every_offer_of_a_browser_is_answered() {
    let mut with_data = 0;
    for (name, text) in samples("-offer.sdp") {
        let (mut peer, now) = connection();
        peer.set_remote_description(now, SessionDescription::offer(&*text))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(peer.signaling_state(), SignalingState::HaveRemoteOffer);
        let answer = peer.create_answer().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            sections(&answer.sdp),
            sections(&text),
            "{name}: the same sections in the same order"
        );
        let parsed = peerline_sdp::SessionDescription::parse(&answer.sdp).expect("it parses");
        parsed
            .check()
            .unwrap_or_else(|error| panic!("{name}: our answer: {error}"));
        let offered = peerline_sdp::SessionDescription::parse(&text).expect("it parses");
        for (media, offered) in parsed.media.iter().zip(&offered.media) {
            assert_eq!(media.is_rejected(), offered.is_rejected(), "{name}: all is accepted");
            if media.is_data_channel() {
                with_data += 1;
            }
            if !media.is_rejected() {
                let mid = media.mid().expect("a mid");
                assert!(parsed.bundle_groups().any(|group| group.contains(mid)), "{name}");
                assert!(media.has_attribute("setup"), "{name}");
            }
        }
        assert!(answer.sdp.contains("a=setup:active\r\n"), "{name}");
        peer.set_local_description(now, answer).expect("it is ours");
        assert_eq!(peer.signaling_state(), SignalingState::Stable);
    }
    assert!(with_data > 10, "{with_data} offers had data channels");
}

#[test]
fn a_browsers_answer_to_data_channels_is_taken() {
    for name in ["chromium-156.0.8078.79-dc-answer.sdp", "firefox-153.7.0-dc-answer.sdp"] {
        let (mut peer, now) = connection();
        peer.create_data_channel(now, "chat", DataChannelInit::default())
            .expect("a channel");
        let offer = peer.create_offer(OfferOptions::default()).expect("an offer");
        peer.set_local_description(now, offer).expect("it is ours");
        peer.set_remote_description(now, SessionDescription::answer(sample(name)))
            .expect(name);
        assert_eq!(peer.signaling_state(), SignalingState::Stable);
    }
}

/// Firefox 153, offerer and so DTLS server at first, answers an ICE restart with `a=setup:active`, and goes on as server.
#[test]
fn an_answer_to_an_ice_restart_may_name_the_other_role() {
    let (mut peer, now) = connection();
    let offer = sample("firefox-153.7.0-dc-offer.sdp");
    peer.set_remote_description(now, SessionDescription::offer(&*offer))
        .expect("an offer");
    peer.set_local_description(now, None).expect("an answer");

    let restart = peer.create_offer(OfferOptions { ice_restart: true }).expect("an offer");
    peer.set_local_description(now, restart).expect("it is ours");
    let answer = offer
        .replace("a=setup:actpass", "a=setup:active")
        .replace("a=ice-ufrag:", "a=ice-ufrag:new");
    peer.set_remote_description(now, SessionDescription::answer(&*answer))
        .expect("the role is ignored");
    assert_eq!(peer.signaling_state(), SignalingState::Stable);

    let again = peer.create_offer(OfferOptions::default()).expect("an offer");
    peer.set_local_description(now, again).expect("it is ours");
    let other_key = answer.replace("sha-256 8A:06:", "sha-256 8A:07:");
    assert_ne!(other_key, answer);
    let refusal = peer.set_remote_description(now, SessionDescription::answer(other_key));
    assert_eq!(refusal, Err(Error::SdpSemantics(SdpFault::ChangedFingerprint)));
    assert_eq!(peer.signaling_state(), SignalingState::HaveLocalOffer);
}

#[test]
fn an_offer_says_what_jsep_wants() {
    let (mut peer, now) = connection();
    let empty = peer.create_offer(OfferOptions::default()).expect("an offer of nothing");
    assert!(!empty.sdp.contains("m="), "{}", empty.sdp);
    peer.create_data_channel(now, "chat", DataChannelInit::default())
        .expect("a channel");
    let offer = peer.create_offer(OfferOptions::default()).expect("an offer");
    for line in [
        "v=0",
        "s=-",
        "t=0 0",
        "a=ice-options:trickle ice2 renomination sped googspedv1",
        "a=group:BUNDLE 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=setup:actpass",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
    ] {
        assert!(
            offer.sdp.split("\r\n").any(|found| found == line),
            "{line} in\n{}",
            offer.sdp
        );
    }
}

#[test]
fn the_draft_form_of_data_channels_is_answered_in_kind() {
    let offer = sample("chromium-156.0.8078.79-dc-offer.sdp")
        .replace("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000")
        .replace("a=sctp-port:5000", "a=sctpmap:5000 webrtc-datachannel 1024");
    let (mut peer, now) = connection();
    peer.set_remote_description(now, SessionDescription::offer(offer))
        .expect("it is understood");
    let answer = peer.create_answer().expect("an answer").sdp;
    assert!(answer.contains("m=application 9 DTLS/SCTP 5000\r\n"), "{answer}");
    assert!(
        answer.contains("a=sctpmap:5000 webrtc-datachannel 65535\r\n"),
        "{answer}"
    );
}

#[test]
fn setup_is_answered_as_rfc_8842_says() {
    let offer = sample("chromium-156.0.8078.79-dc-offer.sdp");
    for (offered, answered) in [("actpass", "active"), ("active", "passive"), ("passive", "active")] {
        let (mut peer, now) = connection();
        let offer = offer.replace("a=setup:actpass", &format!("a=setup:{offered}"));
        peer.set_remote_description(now, SessionDescription::offer(offer))
            .expect("it fits");
        let answer = peer.create_answer().expect("an answer").sdp;
        assert!(
            answer.contains(&format!("a=setup:{answered}\r\n")),
            "{offered} is answered by {answered}"
        );
    }
}

#[test]
fn bad_offers_are_refused_with_the_reason_and_change_nothing() {
    let good = sample("chromium-156.0.8078.79-dc-offer.sdp");
    let without = |prefix: &str| {
        good.split_inclusive("\r\n")
            .filter(|line| !line.starts_with(prefix))
            .collect::<String>()
    };
    let line_with = |prefix: &str| {
        good.lines()
            .find(|line| line.starts_with(prefix))
            .expect("it is there")
            .to_owned()
    };
    let semantics = Error::SdpSemantics;
    for (text, fault) in [
        (without("a=ice-ufrag"), semantics(SdpFault::MissingIceCredentials)),
        (without("a=ice-pwd"), semantics(SdpFault::MissingIceCredentials)),
        (without("a=fingerprint"), semantics(SdpFault::MissingFingerprint)),
        (
            good.replace(
                &line_with("a=fingerprint"),
                "a=fingerprint:sha-1 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13",
            ),
            semantics(SdpFault::MissingFingerprint),
        ),
        (
            good.replace("a=setup:actpass", "a=setup:holdconn"),
            semantics(SdpFault::BadSetup),
        ),
        (
            good.replace("a=group:BUNDLE 0", "a=group:BUNDLE 7"),
            semantics(SdpFault::BadBundleGroup),
        ),
        (
            format!("{good}{}", &good[good.find("m=").expect("a section")..]),
            semantics(SdpFault::DuplicateMid),
        ),
    ] {
        let (mut peer, now) = connection();
        let refused = peer.set_remote_description(now, SessionDescription::offer(&*text));
        assert_eq!(refused, Err(fault), "{text}");
        assert_eq!(peer.signaling_state(), SignalingState::Stable);
        assert_eq!(peer.remote_description(), None);
        peer.set_remote_description(now, SessionDescription::offer(&*good))
            .expect("it still takes a good one");
    }
    let (mut peer, now) = connection();
    let error = peer
        .set_remote_description(now, SessionDescription::offer("v=0\r\nrubbish\r\n"))
        .expect_err("rubbish");
    assert!(error.to_string().contains("line 2"), "{error}");
    assert_eq!(error.name(), "OperationError");
    // A million sections are too many, and are refused without much ado.
    let many = (0..1000).fold(good.clone(), |text, mid| {
        text + &format!("m=audio 0 RTP/AVP 0\r\na=mid:x{mid}\r\n")
    });
    let refused = peer.set_remote_description(now, SessionDescription::offer(many));
    assert_eq!(refused, Err(semantics(SdpFault::TooManyMediaSections)));
}

#[test]
fn bad_answers_are_refused() {
    let (mut peer, now) = connection();
    peer.create_data_channel(now, "chat", DataChannelInit::default())
        .expect("a channel");
    peer.set_local_description(now, None).expect("an offer");
    let good = sample("chromium-156.0.8078.79-dc-answer.sdp");
    let refusal = |peer: &mut Connection, text: String| {
        peer.set_remote_description(now, SessionDescription::answer(text))
            .expect_err("it is bad")
    };
    assert_eq!(
        refusal(&mut peer, good.replace("a=setup:active", "a=setup:actpass")),
        Error::SdpSemantics(SdpFault::BadSetup)
    );
    assert_eq!(
        refusal(
            &mut peer,
            good[..good.find("m=").expect("a section")].replace("a=group:BUNDLE 0\r\n", "")
        ),
        Error::SdpSemantics(SdpFault::MismatchedMediaSections)
    );
    assert_eq!(peer.signaling_state(), SignalingState::HaveLocalOffer);
    peer.set_remote_description(now, SessionDescription::answer(good))
        .expect("the good one still fits");
}

#[test]
fn only_what_was_created_can_be_set() {
    let (mut peer, now) = connection();
    peer.create_data_channel(now, "chat", DataChannelInit::default())
        .expect("a channel");
    let offer = peer.create_offer(OfferOptions::default()).expect("an offer");
    let changed = SessionDescription::offer(offer.sdp.replace("a=max-message-size:262144", "a=max-message-size:1"));
    let refused = peer.set_local_description(now, changed);
    assert_eq!(refused, Err(Error::ModifiedDescription(SdpType::Offer)));
    assert!(refused.expect_err("refused").to_string().contains("createOffer"));
    let answer = peer.set_local_description(now, SessionDescription::answer(""));
    assert!(
        matches!(
            answer,
            Err(Error::WrongSignalingState {
                state: SignalingState::Stable,
                ..
            })
        ),
        "{answer:?}"
    );
    peer.set_local_description(now, offer).expect("unchanged it is taken");
}

#[test]
fn candidates_are_checked() {
    let (mut peer, now) = connection();
    let candidate = |text: &str| IceCandidate {
        candidate: text.into(),
        sdp_mid: Some("0".into()),
        ..IceCandidate::default()
    };
    let good = "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host";
    assert_eq!(
        peer.add_ice_candidate(now, Some(candidate(good))),
        Err(Error::NoRemoteDescription)
    );
    let offer = sample("chromium-156.0.8078.79-dc-offer.sdp");
    peer.set_remote_description(now, SessionDescription::offer(offer))
        .expect("it fits");
    peer.add_ice_candidate(now, Some(candidate(good))).expect("it is one");
    peer.add_ice_candidate(now, Some(candidate("")))
        .expect("the end of candidates of a section");
    peer.add_ice_candidate(now, None).expect("the end of candidates");
    for odd in [
        "candidate:1 2 udp 2122260222 192.0.2.7 50001 typ host",
        "candidate:1 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active",
        "candidate:1 1 sctp 2122260223 192.0.2.7 50000 typ host",
        "candidate:1 1 udp 2122260223 0.0.0.0 50000 typ host",
        "candidate:1 1 udp 2122260223 e0d5e5a2-98d5-4ffc-b4fa-2a0d2f0c6a1c.local 50000 typ host",
    ] {
        peer.add_ice_candidate(now, Some(candidate(odd)))
            .unwrap_or_else(|error| panic!("{odd}: {error}"));
    }
    let bad = peer.add_ice_candidate(now, Some(candidate("candidate:1 1 udp x 192.0.2.7 50000 typ host")));
    assert!(matches!(bad, Err(Error::CandidateSyntax(_))), "{bad:?}");
    let lost = IceCandidate {
        sdp_mid: Some("nowhere".into()),
        ..candidate(good)
    };
    assert_eq!(peer.add_ice_candidate(now, Some(lost)), Err(Error::UnknownMediaSection));
    let stale = IceCandidate {
        username_fragment: Some("stale".into()),
        ..candidate(good)
    };
    assert_eq!(
        peer.add_ice_candidate(now, Some(stale)),
        Err(Error::UnknownUsernameFragment)
    );
}

#[test]
fn candidates_of_a_rejected_transport_are_left_out() {
    let offer = sample("chromium-156.0.8078.79-avdc-offer.sdp");
    let remote_candidates = |offer: String| {
        let (mut peer, now) = connection();
        peer.add_local_address(
            now,
            "192.0.2.1:1".parse().expect("an address"),
            peerline_wire::Transport::Udp,
        );
        peer.set_remote_description(now, SessionDescription::offer(offer))
            .expect("it fits");
        peer.set_local_description(now, None).expect("an answer");
        let trickled = IceCandidate {
            candidate: "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host".into(),
            sdp_m_line_index: Some(2),
            ..IceCandidate::default()
        };
        peer.add_ice_candidate(now, Some(trickled)).expect("it is one");
        let report = peer.stats(now);
        report
            .stats
            .iter()
            .filter(|stats| stats.id.contains("192.0.2.7"))
            .count()
    };
    assert_eq!(
        remote_candidates(offer.clone()),
        1,
        "data is bundled with audio: one transport"
    );
    let apart: String = offer
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("a=group:BUNDLE"))
        .collect();
    assert_eq!(
        remote_candidates(apart),
        0,
        "data has a transport of its own, and is rejected"
    );
}

#[test]
fn channels_are_checked() {
    let (mut peer, now) = connection();
    let mut refusal = |label: &str, init| {
        peer.create_data_channel(now, label, init)
            .expect_err("refused")
            .to_string()
    };
    let both = DataChannelInit {
        max_retransmits: Some(1),
        max_packet_life_time: Some(1),
        ..DataChannelInit::default()
    };
    assert_eq!(
        refusal("x", both),
        "TypeError: give maxRetransmits or maxPacketLifeTime, not both"
    );
    let no_id = DataChannelInit {
        negotiated: true,
        ..DataChannelInit::default()
    };
    assert_eq!(
        refusal("x", no_id),
        "TypeError: a negotiated channel needs an id, the same on both sides"
    );
    let reserved = DataChannelInit {
        negotiated: true,
        id: Some(65_535),
        ..DataChannelInit::default()
    };
    assert!(refusal("x", reserved).starts_with("TypeError: the id is beyond"));
    assert!(refusal(&"x".repeat(65_536), DataChannelInit::default()).starts_with("TypeError: the label"));
}

proptest! {
    /// Of descriptions the text alone is kept, so whatever goes from an offer into an answer has to be readable again.
    #[test]
    fn the_answer_to_any_offer_reads_as_it_was_meant(
        mid in "[!-~é\t]{1,5}",
        other in "[ -~é\t\r]{1,5}",
        protocol in "[!-~]{1,8}",
        format in "[ -~é\t\r]{1,8}",
    ) {
        let fingerprint = "0F:".repeat(31) + "0F";
        let offer = format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mid}\r\n\
             m=audio 9 {protocol} {format}\r\nc=IN IP4 0.0.0.0\r\na=mid:{other}\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n\
             a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
             a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=sctp-port:5000\r\n"
        );
        let (mut peer, now) = connection();
        if peer.set_remote_description(now, SessionDescription::offer(offer)).is_ok() {
            let answer = peer.create_answer().expect("an answer");
            let parsed = peerline_sdp::SessionDescription::parse(&answer.sdp).expect("it parses");
            prop_assert_eq!(parsed.to_string(), answer.sdp);
        }
    }
}

#[test]
fn the_peers_description_tells_whether_it_takes_candidates_one_by_one() {
    let (mut offerer, now) = connection();
    offerer
        .create_data_channel(now, "", DataChannelInit::default())
        .expect("a channel");
    let offer = offerer.create_offer(OfferOptions::default()).expect("an offer");
    let told = |sdp: &str| {
        let (mut peer, now) = connection();
        assert_eq!(peer.can_trickle_ice_candidates(), None, "nobody has said anything");
        peer.set_remote_description(now, SessionDescription::offer(sdp))
            .expect("the offer fits");
        let told = peer.can_trickle_ice_candidates();
        peer.set_local_description(now, None).expect("an answer");
        assert_eq!(peer.can_trickle_ice_candidates(), told, "the answer changes nothing");
        told
    };
    assert_eq!(told(&offer.sdp), Some(true));
    let without: String = offer
        .sdp
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("a=ice-options"))
        .collect();
    assert_eq!(told(&without), Some(false));
    assert_eq!(told(&without.replace("m=", "a=ice-options:ice2\r\nm=")), Some(false));
    assert_eq!(
        told(&without.replace("m=", "a=ice-options:ice2 trickle\r\nm=")),
        Some(true)
    );
    // For one section, as Chromium says it.
    assert_eq!(told(&format!("{without}a=ice-options:trickle\r\n")), Some(true));

    // What is taken back was never said.
    let (mut peer, now) = connection();
    peer.set_remote_description(now, offer).expect("the offer fits");
    peer.set_remote_description(now, SessionDescription::rollback())
        .expect("it is taken back");
    assert_eq!(peer.can_trickle_ice_candidates(), None);
}
