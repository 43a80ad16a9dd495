//! What browsers write: every sample comes back to the byte, and all of it is understood.

use peerline_sdp::attribute::{
    Attribute, AttributeValue, Candidate, CandidateKind, Direction, ExtMap, Fmtp, HashFunction, IceOptions, RtpMap,
    Setup, Simulcast, SsrcGroup, TcpType,
};
use peerline_sdp::{LineEnding, MediaDescription, Section, SessionDescription};
use std::fs;
use std::path::Path;

/// Name and content of every sample whose name ends like this.
fn samples(suffix: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut all: Vec<_> = fs::read_dir(folder)
        .expect("the folder of samples")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("a text"))
        })
        .collect();
    all.sort();
    all
}

fn sample(name: &str) -> (String, SessionDescription) {
    let (_, text) = samples(".sdp")
        .into_iter()
        .find(|(own, _)| own == name)
        .expect("a sample of that name");
    let session = SessionDescription::parse(&text).expect("samples parse");
    (text, session)
}

fn sections(session: &SessionDescription) -> impl Iterator<Item = &peerline_sdp::Line> {
    session
        .lines()
        .iter()
        .chain(session.media.iter().flat_map(Section::lines))
}

#[test]
fn every_sample_comes_back_to_the_byte() {
    let all = samples(".sdp");
    assert_eq!(all.len(), 98);
    for (name, text) in all {
        let session = SessionDescription::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(session.to_string(), text, "{name}");
        session.check().unwrap_or_else(|error| panic!("{name}: {error}"));

        let with_lf = text.replace("\r\n", "\n");
        let session = SessionDescription::parse(&with_lf).unwrap();
        assert_eq!(session.to_string(), with_lf, "{name}");
        assert!(sections(&session).all(|line| line.ending() == LineEnding::Lf));

        let unended = text.trim_end();
        assert_eq!(
            SessionDescription::parse(unended).unwrap().to_string(),
            unended,
            "{name}"
        );
        let blank = format!("{text}\n\r\n");
        assert_eq!(SessionDescription::parse(&blank).unwrap().to_string(), blank, "{name}");
    }
}

/// Line by line: what is typed is written as the browser wrote it, and lines know their numbers.
#[test]
fn every_attribute_is_written_as_it_was() {
    let mut unknown = 0;
    for (name, text) in samples(".sdp") {
        let session = SessionDescription::parse(&text).unwrap();
        for (line, (number, written)) in sections(&session).zip((1..).zip(text.lines())) {
            assert_eq!((line.number(), line.text()), (number, written), "{name}");
            let Some(attribute) = line.as_attribute() else { continue };
            let typed = attribute.typed().unwrap();
            unknown += usize::from(matches!(typed, Attribute::Other { .. }));
            // The only thing a browser writes in its own way.
            let expected = written.replace("a=msid-semantic: ", "a=msid-semantic:");
            assert_eq!(format!("a={typed}"), expected, "{name}");
        }
        for media in &session.media {
            assert_eq!(format!("m={}", media.media_line()), media.lines()[0].text());
        }
        assert_eq!(format!("o={}", session.origin()), session.lines()[1].text());
    }
    // Chromium's rtcp-xr alone has no type.
    assert_eq!(unknown, 80);
}

#[test]
fn every_trickled_candidate_is_written_as_it_was() {
    let mut count = 0;
    for (name, text) in samples("-candidates.txt") {
        for line in text.split("\"s\":\"").skip(1) {
            let (written, _) = line.split_once('"').expect("the end of the JSON string");
            // Firefox's end of candidates.
            if written.is_empty() {
                continue;
            }
            let candidate: Candidate = written
                .parse()
                .unwrap_or_else(|error| panic!("{name}: {written}: {error}"));
            assert_eq!(candidate.to_attribute(), written, "{name}");
            assert!(candidate.is_udp() != candidate.is_tcp());
            count += 1;
        }
    }
    assert_eq!(count, 76);
}

#[test]
fn chromium_offers_data_channels() {
    let (_, session) = sample("chromium-156.0.8078.79-dc-offer.sdp");
    let [media] = &session.media[..] else {
        panic!("one media description")
    };
    assert!(media.is_data_channel() && !media.is_rtp() && !media.is_rejected());
    assert_eq!(
        (media.kind(), media.mid(), media.port()),
        ("application", Some("0"), 36626)
    );
    assert_eq!(media.sctp_port(), Ok(Some(5000)));
    assert_eq!(media.max_message_size(), Ok(262144));
    assert_eq!(session.bundle_groups().next().expect("a group").mids, ["0"]);

    let ice = session.ice_parameters(media).unwrap().expect("ICE parameters");
    assert_eq!(
        (ice.ufrag.as_str(), ice.pwd.as_str()),
        ("zC9K", "aYHBbQVxd/aBuUg3Ws/y6HSx")
    );
    assert!(ice.options.contains(IceOptions::TRICKLE) && !ice.lite);
    let dtls = session.dtls_parameters(media).unwrap();
    assert_eq!(dtls.setup, Some(Setup::ActPass));
    assert_eq!(dtls.fingerprints[0].function, HashFunction::Sha256);

    let candidates: Vec<Candidate> = media.candidates().collect::<Result<_, _>>().unwrap();
    assert_eq!(candidates.len(), 4);
    assert!(candidates.iter().all(|candidate| candidate.kind == CandidateKind::Host));
    assert_eq!(candidates[0].socket_addr(), Some("192.0.2.2:36626".parse().unwrap()));
    assert_eq!(candidates[3].tcp_type, Some(TcpType::Active));
    assert_eq!(candidates[3].extension("network-id"), Some("2"));
    assert!(!session.has_end_of_candidates(media));
}

/// Firefox gives fingerprint, ICE options and a direction for the session only.
#[test]
fn firefox_offers_data_channels() {
    let (_, session) = sample("firefox-153.7.0-dc-offer.sdp");
    let media = &session.media[0];
    assert!(media.is_data_channel());
    assert_eq!(media.max_message_size(), Ok(1_073_741_823));
    assert!(
        session
            .ice_parameters(media)
            .unwrap()
            .unwrap()
            .options
            .contains("trickle")
    );
    assert_eq!(session.dtls_parameters(media).unwrap().fingerprints.len(), 1);
    assert!(session.has_end_of_candidates(media));
    assert_eq!(session.direction(media), Direction::SendRecv);
}

#[test]
fn names_stand_for_hidden_addresses() {
    let (_, session) = sample("firefox-153.7.0-mdns-cand-all-offer.sdp");
    let addresses = session.media[0]
        .candidates()
        .map(|candidate| candidate.unwrap().address);
    assert!(addresses.inspect(|address| assert!(address.is_mdns())).count() > 0);
}

#[test]
fn media_can_be_read_as_well() {
    let (_, session) = sample("chromium-156.0.8078.79-av-offer.sdp");
    let [audio, video] = &session.media[..] else {
        panic!("two media descriptions")
    };
    assert!(audio.is_rtp() && video.is_rtp());
    let maps: Vec<RtpMap> = audio.attributes().collect::<Result<_, _>>().unwrap();
    let opus = maps.iter().find(|map| map.is("OPUS")).expect("Opus");
    assert_eq!(
        (opus.payload_type.get(), opus.clock_rate, opus.channels),
        (111, 48000, Some(2))
    );
    let is_retransmission = |fmtp: &Fmtp| fmtp.parameter("apt").is_some();
    assert!(
        video
            .attributes()
            .filter_map(Result::ok)
            .filter(is_retransmission)
            .count()
            > 3
    );
    let mids = video
        .attributes::<ExtMap>()
        .filter(|map| map.as_ref().unwrap().uri.ends_with("sdes:mid"));
    assert_eq!(mids.count(), 1);
    assert_eq!(video.attribute::<SsrcGroup>().unwrap().expect("a group").ssrcs.len(), 2);
    assert_eq!(video.formats().count(), video.attributes::<RtpMap>().count());

    let (_, session) = sample("chromium-156.0.8078.79-simulcast3-offer.sdp");
    let simulcast: Simulcast = session
        .media
        .iter()
        .find_map(|media| media.attribute().unwrap())
        .expect("simulcast");
    assert_eq!(simulcast.send.len(), 3);
}

#[test]
fn a_stopped_medium_is_rejected_and_one_only_to_be_bundled_is_not() {
    let (_, session) = sample("firefox-153.7.0-reneg_stop-2-stopped-offer.sdp");
    assert!(session.media.iter().any(MediaDescription::is_rejected));
    let all = samples(".sdp")
        .into_iter()
        .map(|(_, text)| SessionDescription::parse(&text).unwrap());
    let bundled: Vec<_> = all
        .flat_map(|session| session.media)
        .filter(|m| m.has_attribute("bundle-only"))
        .collect();
    assert_eq!(bundled.len(), 3);
    assert!(bundled.iter().all(|media| media.port() == 0 && !media.is_rejected()));
}
