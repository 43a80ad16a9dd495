//! Audio and video in what browsers offered and answered.

mod common;

use std::collections::BTreeMap;

use common::config;
use peerline_connection::{
    Connection, DataChannelInit, Event, MediaKind, OfferOptions, RtcpFeedback, RtpHeaderExtensionParameters,
    SessionDescription, SignalingState, TransceiverDirection, TransceiverId, TransceiverInit,
};
use peerline_sdp::attribute::{Direction, ExtMap, Fmtp, RtcpFb, RtpMap, Simulcast};
use peerline_sdp::{MediaDescription, Section as _};
use peerline_sim::{epoch, for_each_seed, rng};
use rand::RngExt;
use rand::rngs::StdRng;

/// What browsers offered and answered, with its source beside it.
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdp/tests/samples");

const CASES: u64 = 1500;

fn sample(name: &str) -> String {
    std::fs::read_to_string(format!("{SAMPLES}/{name}.sdp")).expect("the sample is there")
}

fn offers() -> Vec<(String, String)> {
    let mut names: Vec<String> = std::fs::read_dir(SAMPLES)
        .expect("the samples are there")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter_map(|name| Some(name.strip_suffix(".sdp")?.to_owned()))
        .filter(|name| name.ends_with("-offer"))
        .collect();
    names.sort();
    assert!(names.len() > 40, "{} offers", names.len());
    names
        .into_iter()
        .map(|name| {
            let text = sample(&name);
            (name, text)
        })
        .collect()
}

fn parse(text: &str) -> peerline_sdp::SessionDescription {
    let parsed = peerline_sdp::SessionDescription::parse(text).expect("it parses");
    parsed.check().expect("all attributes are in order");
    parsed
}

fn maps(media: &MediaDescription) -> BTreeMap<u8, RtpMap> {
    media
        .attributes::<RtpMap>()
        .map(|map| map.expect("it is in order"))
        .map(|map| (map.payload_type.get(), map))
        .collect()
}

fn all<T: peerline_sdp::attribute::AttributeValue>(media: &MediaDescription) -> Vec<T> {
    media.attributes().collect::<Result<_, _>>().expect("they are in order")
}

/// RFC 3264 §6.1, RFC 8285 §6, RFC 4585 §4.2, RFC 8853 §5.3.2: what an answer may say to an offer.
fn check_section(
    name: &str,
    offer: &MediaDescription,
    answer: &MediaDescription,
    offered: Direction,
    answered: Direction,
) {
    assert_eq!(offer.mid(), answer.mid(), "{name}");
    assert_eq!(offer.protocol(), answer.protocol(), "{name}");
    assert!(answer.has_attribute("rtcp-mux"), "{name}");
    assert_eq!(
        offer.has_attribute("rtcp-rsize"),
        answer.has_attribute("rtcp-rsize"),
        "{name}"
    );
    assert_eq!(
        offer.has_attribute("extmap-allow-mixed"),
        answer.has_attribute("extmap-allow-mixed"),
        "{name}"
    );
    assert_eq!(
        answered.intersection(offered.reversed()),
        answered,
        "{name}: no more than was offered"
    );
    let (theirs, ours) = (maps(offer), maps(answer));
    for (number, map) in &ours {
        let their = theirs
            .get(number)
            .unwrap_or_else(|| panic!("{name}: {number} was not offered"));
        assert!(
            map.is(&their.encoding) && map.clock_rate == their.clock_rate,
            "{name}: {number}"
        );
        assert_eq!(
            map.channels.unwrap_or(1),
            their.channels.unwrap_or(1),
            "{name}: {number}"
        );
    }
    let formats: Vec<_> = answer
        .formats()
        .map(|format| format.parse::<u8>().expect("a number"))
        .collect();
    let order: Vec<_> = offer
        .formats()
        .map(|format| format.parse::<u8>().expect("a number"))
        .filter(|number| formats.contains(number))
        .collect();
    assert_eq!(formats, order, "{name}: in the order of the offer");
    let their_fmtps: Vec<Fmtp> = all(offer);
    for fmtp in all::<Fmtp>(answer) {
        let number: u8 = fmtp.format.parse().expect("a number");
        if let Some(apt) = fmtp.parameter("apt") {
            assert!(ours.contains_key(&apt.parse().expect("a number")), "{name}: {fmtp}");
            assert!(
                their_fmtps
                    .iter()
                    .any(|own| own.format == fmtp.format && own.text == fmtp.text),
                "{name}: {fmtp}"
            );
        }
        if ours[&number].is("H264") {
            let their = their_fmtps
                .iter()
                .find(|own| own.format == fmtp.format)
                .expect("it has parameters");
            let profile = |fmtp: &Fmtp| fmtp.parameter("profile-level-id").expect("a profile")[..4].to_owned();
            assert_eq!(profile(&fmtp), profile(their), "{name}");
            assert_eq!(
                fmtp.parameter("packetization-mode").unwrap_or("0"),
                their.parameter("packetization-mode").unwrap_or("0"),
                "{name}"
            );
        }
    }
    let feedback: Vec<RtcpFb> = all(offer);
    for line in all::<RtcpFb>(answer) {
        let number = line.payload_type.expect("ours are for one each");
        let was_offered = |own: &RtcpFb| own.is(number, &line.kind, line.parameter.as_deref());
        assert!(feedback.iter().any(was_offered), "{name}: {line}");
    }
    let extensions: Vec<ExtMap> = all(offer);
    for line in all::<ExtMap>(answer) {
        let their = extensions
            .iter()
            .find(|own| own.uri == line.uri)
            .expect("it was offered");
        assert_eq!(their.id, line.id, "{name}: {line}");
        let direction = their.direction.unwrap_or_default().reversed();
        assert_eq!(line.direction.unwrap_or_default(), direction, "{name}: {line}");
    }
    assert!(
        !names_transport_numbers(answer) || all::<RtcpFb>(answer).iter().any(|line| line.kind == "transport-cc"),
        "{name}: packets are numbered for who tells of the numbers"
    );
    let simulcast = |media: &MediaDescription| media.attribute::<Simulcast>().expect("it is in order");
    match (simulcast(offer), simulcast(answer)) {
        (Some(offer), Some(answer)) => {
            let rids = |streams: &[Vec<peerline_sdp::attribute::SimulcastStream>]| -> Vec<String> {
                streams.iter().flatten().map(|stream| stream.rid.clone()).collect()
            };
            assert_eq!(rids(&offer.send), rids(&answer.recv), "{name}");
        }
        (None, None) => {}
        (Some(_), None) => assert!(!answered.receives(), "{name}: simulcast is taken"),
        (None, Some(_)) => panic!("{name}: no simulcast was offered"),
    }
}

fn names_transport_numbers(media: &MediaDescription) -> bool {
    let extensions: Vec<ExtMap> = all(media);
    extensions.iter().any(|line| line.uri.contains("transport-wide-cc"))
}

/// The text without what it says of `transport-cc` in the sections whose codecs have `feedback`.
fn without_transport_cc(text: &str, feedback: &str) -> String {
    let mut sections: Vec<String> = text.split("m=").map(str::to_owned).collect();
    for section in sections.iter_mut().filter(|section| section.contains(feedback)) {
        let lines = section.split_inclusive('\n');
        *section = lines.filter(|line| !line.contains(" transport-cc")).collect();
    }
    sections.join("m=")
}

/// A peer that tells of no packets, but how much it takes (`goog-remb`), still names the extension that numbers them: it is neither
/// answered, nor sent, nor expected, in the sections where that is so.
#[test]
fn packets_are_numbered_for_who_tells_of_the_numbers() {
    let now = epoch();
    for browser in ["chromium-156.0.8078.79", "firefox-153.7.0"] {
        let offer = sample(&format!("{browser}-av-offer"));
        // With both kinds of media as they are, with REMB alone, and with nothing at all.
        for (feedback, numbered) in [
            ("none", [true, true]),
            ("goog-remb", [true, false]),
            ("", [false, false]),
        ] {
            let text = without_transport_cc(&offer, feedback);
            assert!(parse(&text).media.iter().all(names_transport_numbers), "{text}");
            let mut peer = Connection::new(now, config(1, 0));
            for (id, kind) in [("a", MediaKind::Audio), ("v", MediaKind::Video)] {
                let track = peerline_connection::Track { id: id.into(), kind };
                peer.add_track(now, track, &[]).expect("it is added");
            }
            peer.set_remote_description(now, SessionDescription::offer(&*text))
                .expect("it fits");
            let answer = peer.create_answer().expect("an answer");
            peer.set_local_description(now, answer.clone()).expect("it is ours");
            let answer = parse(&answer.sdp);
            let named: Vec<bool> = answer.media.iter().map(names_transport_numbers).collect();
            assert_eq!(named, numbered, "{browser}, {feedback}");
            let remb = all::<RtcpFb>(&answer.media[1]);
            assert!(remb.iter().any(|line| line.kind == "goog-remb"), "{browser}");
            assert_eq!(numbers_packets(&mut peer), [numbered; 2], "{browser}, {feedback}");
            // Nor are they offered from then on: "only … those that are present in the most recent answer" (RFC 8829 §5.2.2).
            let again = peer.create_offer(OfferOptions::default()).expect("an offer");
            let named: Vec<bool> = parse(&again.sdp).media.iter().map(names_transport_numbers).collect();
            assert_eq!(named, numbered, "{browser}, {feedback}");
        }
    }
    // The same where the peer answers, and where we could not tell ourselves.
    let text = sample("chromium-156.0.8078.79-av-answer");
    for (feedback, numbered) in [("none", [true, true]), ("goog-remb", [true, false])] {
        let mut peer = offering(&text);
        peer.set_local_description(now, None).expect("an offer");
        let answer = without_transport_cc(&text, feedback);
        assert!(parse(&answer).media.iter().all(names_transport_numbers), "{answer}");
        peer.set_remote_description(now, SessionDescription::answer(answer))
            .expect("it fits");
        assert_eq!(numbers_packets(&mut peer), [numbered; 2], "{feedback}");
    }
    let mut config = config(1, 0);
    let mut codecs = config.codecs.to_vec();
    for codec in &mut codecs {
        codec.rtcp_feedback.retain(|kind| *kind != RtcpFeedback::TransportCc);
    }
    config.codecs = codecs.into();
    let mut peer = Connection::new(now, config);
    peer.add_transceiver(now, MediaKind::Video, TransceiverInit::default())
        .expect("it is added");
    let offer = peer.create_offer(OfferOptions::default()).expect("an offer");
    assert!(!offer.sdp.contains("transport-"), "{}", offer.sdp);
}

/// Whether packets are numbered, in what is sent of each section and in what is received.
fn numbers_packets(peer: &mut Connection) -> [[bool; 2]; 2] {
    let ids: Vec<TransceiverId> = peer.transceivers().map(|own| own.id()).collect();
    let [audio, video] = ids[..] else { panic!("{ids:?}") };
    let has = |extensions: &[RtpHeaderExtensionParameters]| {
        let mut all = extensions.iter();
        all.any(|extension| extension.uri.contains("transport-wide-cc"))
    };
    let sent = [audio, video].map(|id| {
        let sent = peer.send_parameters(id).expect("it is there");
        assert!(!sent.header_extensions.is_empty(), "something is sent");
        has(&sent.header_extensions)
    });
    let received = [audio, video].map(|id| has(&peer.receive_parameters(id).expect("it is there").header_extensions));
    [sent, received]
}

#[test]
fn the_answer_to_every_offer_keeps_to_it() {
    let now = epoch();
    let (mut sections, mut simulcasts) = (0, 0);
    for (name, text) in offers() {
        for sends in [false, true] {
            let mut peer = Connection::new(now, config(1, 0));
            if sends {
                for (id, kind) in [("a", MediaKind::Audio), ("v", MediaKind::Video)] {
                    let track = peerline_connection::Track { id: id.into(), kind };
                    peer.add_track(now, track, &["s".into()]).expect("it is added");
                }
            }
            peer.set_remote_description(now, SessionDescription::offer(&*text))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let answer = peer.create_answer().expect("an answer");
            peer.set_local_description(now, answer.clone()).expect("it is ours");
            let (offer, answer) = (parse(&text), parse(&answer.sdp));
            if answer.media.iter().any(|media| media.is_rtp() && !media.is_rejected()) {
                let allows =
                    |description: &peerline_sdp::SessionDescription| description.has_attribute("extmap-allow-mixed");
                assert_eq!(allows(&offer), allows(&answer), "{name}");
            }
            for (theirs, ours) in offer.media.iter().zip(&answer.media) {
                assert_eq!(theirs.is_rejected(), ours.is_rejected(), "{name}");
                if theirs.is_rtp() && !theirs.is_rejected() {
                    sections += 1;
                    simulcasts += usize::from(ours.has_attribute("simulcast"));
                    check_section(&name, theirs, ours, offer.direction(theirs), answer.direction(ours));
                }
            }
            let tracks = std::iter::from_fn(|| peer.poll_event())
                .filter(|event| matches!(event, Event::Track { .. }))
                .count();
            let sending = offer
                .media
                .iter()
                .filter(|media| media.is_rtp() && !media.is_rejected() && offer.direction(media).sends());
            assert_eq!(tracks, sending.count(), "{name}: a track for each section that is sent");
        }
    }
    assert!(
        sections > 100 && simulcasts >= 2,
        "{sections} sections, {simulcasts} with simulcast"
    );
}

#[test]
fn offers_of_a_browser_that_follow_each_other() {
    let now = epoch();
    for browser in ["chromium-156.0.8078.79", "firefox-153.7.0"] {
        let mut peer = Connection::new(now, config(1, 0));
        let mut live = Vec::new();
        for step in ["1", "2-stopped", "3-recycled", "4-firststopped", "5-icerestart"] {
            let text = sample(&format!("{browser}-reneg_stop-{step}-offer"));
            peer.set_remote_description(now, SessionDescription::offer(&*text))
                .unwrap_or_else(|error| panic!("{browser} {step}: {error}"));
            let answer = peer.create_answer().expect("an answer");
            peer.set_local_description(now, answer.clone()).expect("it is ours");
            let (offer, answer) = (parse(&text), parse(&answer.sdp));
            for (theirs, ours) in offer.media.iter().zip(&answer.media) {
                assert_eq!(theirs.is_rejected(), ours.is_rejected(), "{browser} {step}");
                assert_eq!(theirs.mid(), ours.mid(), "{browser} {step}");
                if theirs.is_rtp() && !theirs.is_rejected() {
                    check_section(step, theirs, ours, offer.direction(theirs), answer.direction(ours));
                }
            }
            let group = answer.bundle_groups().next().expect("a group");
            assert_eq!(group.mids, offer.bundle_groups().next().expect("a group").mids);
            live.push(peer.transceivers().count());
        }
        assert_eq!(
            live,
            [2, 1, 2, 1, 1],
            "{browser}: what is stopped goes, what is recycled comes"
        );
    }
}

/// The sections that an answer of a browser answers, wanted by us.
fn offering(text: &str) -> Connection {
    let now = epoch();
    let mut peer = Connection::new(now, config(1, 0));
    for media in &parse(text).media {
        let kind = match media.kind() {
            "audio" => MediaKind::Audio,
            "video" => MediaKind::Video,
            _ => {
                peer.create_data_channel(now, "chat", DataChannelInit::default())
                    .expect("a channel");
                continue;
            }
        };
        peer.add_transceiver(now, kind, TransceiverInit::default())
            .expect("it is added");
    }
    peer
}

#[test]
fn answers_of_browsers_are_taken() {
    let now = epoch();
    let mut taken = 0;
    for browser in ["chromium-156.0.8078.79", "firefox-153.7.0"] {
        for call in [
            "audio",
            "av",
            "avdc",
            "bundle_many",
            "inactive",
            "nostream",
            "recvonly",
            "sendonly",
            "prefs_av1",
            "simulcast3",
        ] {
            let text = sample(&format!("{browser}-{call}-answer"));
            let mut peer = offering(&text);
            peer.set_local_description(now, None).expect("an offer");
            let result = peer.set_remote_description(now, SessionDescription::answer(&*text));
            result.unwrap_or_else(|error| panic!("{browser} {call}: {error}"));
            assert_eq!(peer.signaling_state(), SignalingState::Stable);
            taken += 1;
            let answer = parse(&text);
            let ids: Vec<TransceiverId> = peer.transceivers().map(|own| own.id()).collect();
            for (id, media) in ids.into_iter().zip(&answer.media) {
                let own = peer.transceiver(id).expect("it is there");
                let direction = own.current_direction().expect("it is agreed").to_string();
                assert_eq!(
                    direction,
                    answer.direction(media).reversed().as_str(),
                    "{browser} {call}"
                );
                let sends = matches!(
                    own.current_direction(),
                    Some(TransceiverDirection::SendRecv | TransceiverDirection::SendOnly)
                );
                let sent = peer.send_parameters(id).expect("it is there");
                assert_eq!(!sent.codecs.is_empty(), sends, "{browser} {call}");
                let maps = maps(media);
                for codec in &sent.codecs {
                    let map = &maps[&codec.payload_type];
                    let name = codec.codec.mime_type.split_once('/').expect("a type").1;
                    assert!(map.is(name), "{browser} {call}: the numbers are the browser's");
                }
                if sends && own_kind(&peer, id) == MediaKind::Video {
                    let first = &sent.codecs[0];
                    let format = media.formats().next().expect("a format");
                    assert_eq!(
                        first.payload_type.to_string(),
                        format,
                        "{browser} {call}: and its preference"
                    );
                }
            }
        }
    }
    assert_eq!(taken, 20);
}

fn own_kind(peer: &Connection, id: TransceiverId) -> MediaKind {
    peer.transceiver(id).expect("it is there").kind()
}

/// A description with some of its lines removed, repeated, moved, changed, or from elsewhere.
fn mutate(text: &str, other: &str, rng: &mut StdRng) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let others: Vec<&str> = other.lines().collect();
    for _ in 0..rng.random_range(0..6) {
        let (at, to) = (rng.random_range(0..lines.len()), rng.random_range(0..lines.len()));
        match rng.random_range(0..6) {
            0 if lines.len() > 1 => drop(lines.remove(at)),
            1 => lines.insert(to, lines[at].clone()),
            2 => lines.swap(at, to),
            3 => lines.insert(at, others[rng.random_range(0..others.len())].to_owned()),
            _ => {
                // A number becomes another.
                let digits: Vec<usize> = lines[at]
                    .char_indices()
                    .filter(|(_, c)| c.is_ascii_digit())
                    .map(|(i, _)| i)
                    .collect();
                if !digits.is_empty() {
                    let digit = digits[rng.random_range(0..digits.len())];
                    lines[at].replace_range(digit..=digit, &rng.random_range(0..130).to_string());
                }
            }
        }
    }
    lines.join("\r\n") + "\r\n"
}

/// The steps of [`peerline_connection::fuzzing::negotiation`].
#[test]
fn descriptions_with_mistakes_are_refused_or_answered() {
    let texts: Vec<String> = offers()
        .into_iter()
        .flat_map(|(name, text)| {
            let answer = name.replace("-offer", "-answer");
            let answer = std::fs::read_to_string(format!("{SAMPLES}/{answer}.sdp")).ok();
            std::iter::once(text).chain(answer)
        })
        .filter(|text| text.len() < 8000)
        .collect();
    let answers = ["chromium-156.0.8078.79", "firefox-153.7.0"].map(|browser| sample(&format!("{browser}-av-answer")));
    for_each_seed(0..CASES, |seed| {
        let mut rng = rng(seed);
        let mut bytes = Vec::new();
        let mut push = |kind: u8, step: &[u8]| {
            bytes.push(kind);
            bytes.extend_from_slice(&u16::try_from(step.len()).expect("it is short").to_be_bytes());
            bytes.extend_from_slice(step);
        };
        if rng.random_bool(0.3) {
            // Audio and video offered by us, and what a browser answered to such an offer.
            push(6, &[0, 0, 0, 1]);
            push(3, &[]);
            let text = mutate(&answers[rng.random_range(0..2)], &texts[0], &mut rng);
            push(rng.random_range(1..3), text.as_bytes());
        }
        // Mostly one peer's descriptions, so that they follow each other.
        let base = rng.random_range(0..texts.len());
        for _ in 0..rng.random_range(1..12) {
            let kind: u8 = rng.random_range(0..8);
            if kind < 3 {
                let text = if rng.random_bool(0.8) {
                    base
                } else {
                    rng.random_range(0..texts.len())
                };
                let other = rng.random_range(0..texts.len());
                push(kind, mutate(&texts[text], &texts[other], &mut rng).as_bytes());
            } else {
                let calls: Vec<u8> = (0..rng.random_range(0..8)).map(|_| rng.random()).collect();
                push(kind, &calls);
            }
        }
        peerline_connection::fuzzing::negotiation(&bytes);
    });
}
