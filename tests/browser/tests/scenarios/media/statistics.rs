//! What both sides count of media is the same.

use super::film::{Clip, Film};
use super::{page_adds, shown, stats, track_of, watch};
use crate::relay::Relay;
use crate::session::{Session, Side, to_json};
use peerline::{DataChannelInit, InboundRtpStats, MediaKind, OutboundRtpStats, RemoteInboundRtpStats, StatsKind};
use peerline_browser_tests::Browser;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::sleep;

crate::scenarios! {
    statistics_of_media_agree
    statistics_have_the_names_of_browsers
}

async fn statistics_of_media_agree(browser: Browser) {
    let relay = Relay::new(Duration::from_millis(20));
    let mut session = Session::open_behind(relay, browser, "media.html").await;
    session.page.eval("media.start()");
    page_adds(&session, Clip::VP8, "sendrecv");
    page_adds(&session, Clip::OPUS, "sendrecv");
    let films = [Film::play(Clip::VP8), Film::play(Clip::OPUS)];
    let add_tracks = |session: &Session| {
        for film in &films {
            session.pc.add_track(&film.source.track(), &[]).expect("it is added");
        }
    };
    session.connect_with(Side::Page, "", add_tracks).await;
    shown(&mut session, 1, 30, 16).await;
    let pictures = track_of(&mut session, MediaKind::Video).await;
    session.relay.as_ref().expect("it was given").lose(20);
    watch::frames(&pictures.receiver, 120).await;
    session.relay.as_ref().expect("it was given").lose(0);
    sleep(Duration::from_secs(1)).await;

    // Reports that know of all that was lost; Chromium makes one of sound each five seconds or so.
    let before = reports(&session);
    session
        .pump("reports of both streams", |session| {
            let now = reports(session);
            let is_new = |(ssrc, count): (&u32, &u64)| *count > before.get(ssrc).copied().unwrap_or(0);
            now.len() == 2 && now.iter().all(is_new)
        })
        .await;
    // Silence on both sides, and time for the last reports.
    films.iter().for_each(|film| film.source.track().set_enabled(false));
    session
        .page
        .eval("Promise.all(lab.pc.getSenders().map(sender => sender.replaceTrack(null)))");
    sleep(Duration::from_millis(2500)).await;

    let mut outbound: Vec<OutboundRtpStats> = Vec::new();
    let mut inbound: Vec<InboundRtpStats> = Vec::new();
    let mut remote: Vec<RemoteInboundRtpStats> = Vec::new();
    stats(&session, |kind| -> Option<()> {
        match kind {
            StatsKind::OutboundRtp(stats) => outbound.push(stats),
            StatsKind::InboundRtp(stats) => inbound.push(stats),
            StatsKind::RemoteInboundRtp(stats) => remote.push(stats),
            _ => {}
        }
        None
    });
    assert_eq!((outbound.len(), inbound.len(), remote.len()), (2, 2, 2));
    for ours in &outbound {
        let theirs = page_stats(&session, "inbound-rtp", ours.kind, ours.ssrc);
        let count = |name: &str| theirs[name].as_i64().unwrap_or(0);
        let originals = (ours.packets_sent - ours.retransmitted_packets_sent) as i64;
        // Both browsers count what came again among what came.
        let received = count("packetsReceived") + count("packetsLost") - count("retransmittedPacketsReceived");
        assert_close(received, originals, "packets to the page");
        if ours.kind == MediaKind::Video {
            // A picture that came late is not decoded.
            let decoded = count("framesDecoded") + count("framesDropped");
            assert_close(decoded, ours.frames_sent.expect("it is video") as i64, "pictures");
            assert_close(count("nackCount"), ours.nack_count as i64, "requests for packets");
            assert_close(
                count("pliCount"),
                ours.pli_count.unwrap_or(0) as i64,
                "requests for pictures",
            );
        }
    }
    for report in &remote {
        let round_trip = report.round_trip_time.expect("it was measured");
        assert!((0.040..0.150).contains(&round_trip), "{report:?}");
        let theirs = page_stats(&session, "inbound-rtp", report.kind, report.ssrc);
        assert_close(
            report.packets_lost,
            theirs["packetsLost"].as_i64().expect("it is counted"),
            "lost packets",
        );
    }
    for ours in &inbound {
        let theirs = page_stats(&session, "outbound-rtp", ours.kind, ours.ssrc);
        let count = |name: &str| theirs[name].as_i64().unwrap_or(0);
        // Browsers try the path out with packets that they have sent already; some of those are lost too.
        let received = ours.packets_received as i64 + ours.packets_lost;
        let lost = session.relay.as_ref().map_or(0, Relay::lost) as i64;
        assert!(
            (-2..=lost + 3).contains(&(count("packetsSent") - received)),
            "{ours:?}, {theirs}"
        );
        assert_close(ours.nack_count as i64, count("nackCount"), "requests for packets");
        if let Some(frames) = ours.frames_received {
            assert_close(
                frames as i64,
                count("framesSent").max(count("framesEncoded")),
                "pictures from the page",
            );
        }
        let report = page_stats(&session, "remote-inbound-rtp", ours.kind, ours.ssrc);
        let round_trip = report["roundTripTime"].as_f64().expect("it was measured");
        assert!((0.040..0.150).contains(&round_trip), "{report}");
        let reported = report["packetsLost"].as_i64().expect("it is counted");
        // The report may be a second and a half old: a hundred packets, of which one in twenty is lost.
        let since = ours.packets_lost - reported;
        assert!(
            (-3..=15).contains(&since),
            "lost packets: {reported}, {}",
            ours.packets_lost
        );
    }
}

/// How often the page has reported of each stream.
fn reports(session: &Session) -> BTreeMap<u32, u64> {
    let report = |kind| match kind {
        StatsKind::RemoteInboundRtp(stats) => Some((stats.ssrc, stats.round_trip_time_measurements)),
        _ => None,
    };
    stats(session, report).into_iter().collect()
}

/// Of how many of its streams the page has told what it sent.
fn told(session: &Session) -> usize {
    let of_page = |kind| matches!(kind, StatsKind::RemoteOutboundRtp(_)).then_some(());
    stats(session, of_page).len()
}

/// What is under way when one side counts is counted by the other.
fn assert_close(one: i64, other: i64, what: &str) {
    assert!((one - other).abs() <= 3, "{what}: {one}, {other}");
}

/// The page's statistics of a stream.
fn page_stats(session: &Session, kind_of_stats: &str, kind: MediaKind, ssrc: u32) -> Value {
    let all = session.page.eval(&format!("media.stats('{kind_of_stats}', '{kind}')"));
    let mut all = all.as_array().expect("it is one").iter();
    let found = all.find(|stats| stats["ssrc"] == ssrc);
    found.unwrap_or_else(|| panic!("no {kind_of_stats} of {ssrc}")).clone()
}

async fn statistics_have_the_names_of_browsers(browser: Browser) {
    let mut session = super::open(browser).await;
    page_adds(&session, Clip::VP8, "sendrecv");
    page_adds(&session, Clip::OPUS, "sendrecv");
    session.create(Side::Page, "beside", DataChannelInit::default());
    let films = [Film::play(Clip::VP8), Film::play(Clip::OPUS)];
    let add_tracks = |session: &Session| {
        for film in &films {
            session.pc.add_track(&film.source.track(), &[]).expect("it is added");
        }
    };
    session.connect_with(Side::Page, "", add_tracks).await;
    shown(&mut session, 1, 30, 16).await;
    // Chromium reports of sound each five seconds.
    session
        .pump("reports of all streams", |session| {
            reports(session).len() == 2 && told(session) == 2
        })
        .await;
    let theirs = session
        .page
        .eval("lab.pc.getStats().then(report => [...report.values()])");
    let ours = to_json(session.pc.stats());
    assert_sane(&session, ours.as_array().expect("as getStats gives it"), &theirs);
    let theirs = names(theirs.as_array().expect("it is one"));
    let ours = names(ours.as_array().expect("as getStats gives it"));
    let (mut lacking, mut invented) = (Vec::new(), Vec::new());
    for (kind, own) in &ours {
        let page = theirs.get(kind).cloned().unwrap_or_default();
        lacking.extend(page.difference(own).map(|name| format!("{kind}.{name}")));
        invented.extend(own.difference(&page).map(|name| format!("{kind}.{name}")));
    }
    let is_left_out = |name: &String| {
        let member = name.split_once('.').map(|(_, member)| member);
        let is_it = |left_out: &&str| *left_out == name || Some(*left_out) == member;
        OF_CODECS.iter().chain(&NOT_COUNTED).any(is_it)
    };
    lacking.retain(|name| !is_left_out(name));
    invented.retain(|name| !OURS.contains(&&**name));
    eprintln!("the page has more: {lacking:?}\nRust has more: {invented:?}");
    assert!(lacking.is_empty(), "the page has more: {lacking:?}");
    // Firefox lacks a lot of the W3C's names.
    assert!(
        browser == Browser::Firefox || invented.is_empty(),
        "Rust has more: {invented:?}"
    );
}

/// Each of the W3C's kinds is there as often as there is something to count, and tells what is so, as the page does.
fn assert_sane(session: &Session, ours: &[Value], theirs: &Value) {
    let of = |kind: &str| ours.iter().filter(|object| object["type"] == kind).collect::<Vec<_>>();
    for (kind, count) in [
        ("peer-connection", 1),
        ("transport", 1),
        ("certificate", 2),
        ("data-channel", 1),
        // Of each direction, as browsers have them.
        ("codec", 4),
        ("media-source", 2),
        ("inbound-rtp", 2),
        ("outbound-rtp", 2),
        ("remote-inbound-rtp", 2),
        ("remote-outbound-rtp", 2),
    ] {
        assert_eq!(of(kind).len(), count, "{kind}: {ours:?}");
    }
    let theirs = theirs.as_array().expect("it is one");
    let page = |kind: &str, ssrc: &Value| {
        let found = theirs
            .iter()
            .find(|object| object["type"] == kind && object["ssrc"] == *ssrc);
        found.unwrap_or_else(|| panic!("no {kind} of {ssrc}"))
    };
    for object in ours {
        assert_references(object, ours);
        let age =
            (object["timestamp"].as_f64().expect("a time") - theirs[0]["timestamp"].as_f64().expect("a time")).abs();
        assert!(age < 60_000.0, "{object}");
    }
    let more_than_nothing = |object: &Value, members: &[&str]| {
        for member in members {
            assert!(object[member].as_f64() > Some(0.0), "{member}: {object}");
        }
    };
    let below_a_second = |value: &Value| value.as_f64().is_some_and(|seconds| (0.0..1.0).contains(&seconds));

    let transport = of("transport")[0];
    more_than_nothing(
        transport,
        &["packetsSent", "packetsReceived", "bytesSent", "bytesReceived"],
    );
    assert_eq!(transport["dtlsState"], "connected");
    assert!(
        ["connected", "completed"]
            .iter()
            .any(|state| transport["iceState"] == *state),
        "{transport}"
    );
    assert_eq!(transport["iceRole"], "controlled", "the page offered");
    assert!(
        ["FEFC", "FEFD"]
            .iter()
            .any(|version| transport["tlsVersion"] == *version),
        "{transport}"
    );
    let pair = object(ours, &transport["selectedCandidatePairId"]);
    assert_eq!(
        (&pair["state"], &pair["nominated"]),
        (&json!("succeeded"), &json!(true))
    );
    more_than_nothing(
        pair,
        &["packetsSent", "bytesReceived", "requestsReceived", "responsesReceived"],
    );
    assert!(below_a_second(&pair["currentRoundTripTime"]), "{pair}");
    let theirs_too = session.page.eval("lab.pc.localDescription.sdp");
    let fingerprint = object(ours, &transport["remoteCertificateId"])["fingerprint"]
        .as_str()
        .expect("it has one");
    assert!(theirs_too.as_str().expect("SDP").contains(fingerprint), "{fingerprint}");
    let channel = of("data-channel")[0];
    assert_eq!(
        (&channel["label"], &channel["state"]),
        (&json!("beside"), &json!("open"))
    );
    assert_eq!(of("peer-connection")[0]["dataChannelsOpened"], 1);

    let clock_rate = |codec: &Value| match codec["mimeType"].as_str() {
        Some("audio/opus") => 48_000,
        Some("video/VP8") => 90_000,
        _ => panic!("{codec}"),
    };
    assert!(
        of("codec").iter().all(|codec| codec["clockRate"] == clock_rate(codec)),
        "{ours:?}"
    );
    for stream in of("inbound-rtp") {
        more_than_nothing(
            stream,
            &[
                "packetsReceived",
                "bytesReceived",
                "headerBytesReceived",
                "lastPacketReceivedTimestamp",
            ],
        );
        assert!(below_a_second(&stream["jitter"]), "{stream}");
        let sent = page("outbound-rtp", &stream["ssrc"]);
        assert_eq!((&stream["kind"], &stream["mid"]), (&sent["kind"], &sent["mid"]));
        let codec = theirs
            .iter()
            .find(|object| object["id"] == sent["codecId"])
            .expect("it is there");
        assert_eq!(object(ours, &stream["codecId"])["mimeType"], codec["mimeType"]);
        if stream["kind"] == "video" {
            more_than_nothing(stream, &["framesReceived", "keyFramesReceived", "framesPerSecond"]);
        }
        let told = object(ours, &stream["remoteId"]);
        more_than_nothing(told, &["packetsSent", "bytesSent", "reportsSent"]);
        assert_eq!(told["type"], "remote-outbound-rtp");
        let age = told["remoteTimestamp"].as_f64().expect("a time") - told["timestamp"].as_f64().expect("a time");
        assert!(age.abs() < 60_000.0, "{told}");
    }
    for stream in of("outbound-rtp") {
        more_than_nothing(stream, &["packetsSent", "bytesSent", "headerBytesSent"]);
        assert_eq!(stream["active"], true);
        assert_eq!(page("inbound-rtp", &stream["ssrc"])["kind"], stream["kind"]);
        if stream["kind"] == "video" {
            more_than_nothing(stream, &["framesSent", "keyFramesSent", "framesPerSecond"]);
        }
        assert_eq!(object(ours, &stream["mediaSourceId"])["kind"], stream["kind"]);
        let told = object(ours, &stream["remoteId"]);
        assert!(
            told["type"] == "remote-inbound-rtp" && told["localId"] == stream["id"],
            "{told}"
        );
        assert!(
            below_a_second(&told["jitter"]) && told["fractionLost"].as_f64() < Some(0.5),
            "{told}"
        );
        assert!(told.get("roundTripTime").is_none_or(below_a_second), "{told}");
    }
}

/// Each id that an object names is that of another.
fn assert_references(one: &Value, all: &[Value]) {
    for (name, value) in one.as_object().expect("it is one") {
        if name.ends_with("Id") {
            object(all, value);
        }
    }
}

fn object<'a>(all: &'a [Value], id: &Value) -> &'a Value {
    let mut found = all.iter().filter(|object| object["id"] == *id);
    match (found.next(), found.next()) {
        (Some(found), None) => found,
        _ => panic!("not one object of {id}: {all:?}"),
    }
}

/// What only those know who film, encode, decode and play.
const OF_CODECS: [&str; 45] = [
    "audioLevel",
    "concealedSamples",
    "concealmentEvents",
    "decoderImplementation",
    "encoderImplementation",
    "frameHeight",
    "frameWidth",
    "framesDecoded",
    "framesEncoded",
    "freezeCount",
    "hugeFramesSent",
    "insertedSamplesForDeceleration",
    "jitterBufferDelay",
    "jitterBufferEmittedCount",
    "jitterBufferMinimumDelay",
    "jitterBufferTargetDelay",
    "keyFramesDecoded",
    "keyFramesEncoded",
    "media-source.frames",
    "media-source.framesPerSecond",
    "media-source.height",
    "media-source.width",
    "pauseCount",
    "playoutId",
    "powerEfficientDecoder",
    "powerEfficientEncoder",
    "qpSum",
    "qualityLimitationDurations",
    "qualityLimitationReason",
    "qualityLimitationResolutionChanges",
    "removedSamplesForAcceleration",
    "scalabilityMode",
    "silentConcealedSamples",
    "targetBitrate",
    "totalAudioEnergy",
    "totalDecodeTime",
    "totalEncodeTime",
    "totalEncodedBytesTarget",
    "totalFreezesDuration",
    "totalInterFrameDelay",
    "totalPausesDuration",
    "totalProcessingDelay",
    "totalSamplesDuration",
    "totalSamplesReceived",
    "totalSquaredInterFrameDelay",
];

/// What is not counted here, and the browsers' own names.
const NOT_COUNTED: [&str; 22] = [
    "bytesDiscardedOnSend",
    // Told if the peer does.
    "candidate-pair.availableOutgoingBitrate",
    "candidate-pair.lastPacketReceivedTimestamp",
    "candidate-pair.lastPacketSentTimestamp",
    "candidate-pair.priority",
    "candidate-pair.readable",
    "candidate-pair.selected",
    "candidate-pair.writable",
    "codecType",
    "discardedPackets",
    "fecPacketsDiscarded",
    "fecPacketsReceived",
    "ip",
    "isRemote",
    "mediaType",
    "networkType",
    "packetsDiscardedOnSend",
    "packetsReceivedWithCe",
    "packetsReceivedWithEct1",
    "packetsSentWithEct1",
    "tcpType",
    "totalPacketSendDelay",
];

/// What Chromium tells only once it has happened, or Firefox alone does, and what the W3C's dictionaries lack.
const OURS: [&str; 12] = [
    "inbound-rtp.keyFramesReceived",
    "inbound-rtp.retransmittedBytesReceived",
    "inbound-rtp.retransmittedPacketsReceived",
    "outbound-rtp.keyFramesSent",
    "remote-inbound-rtp.packetsReceived",
    "remote-outbound-rtp.roundTripTime",
    "transport.ccfbMessagesReceived",
    "transport.ccfbMessagesSent",
    "transport.feedback",
    "transport.packetsDiscarded",
    "transport.srtpPacketsDiscarded",
    "transport.unknownStreamPackets",
];

/// The names of the members, by type; those of sound and pictures together.
fn names(report: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut names = BTreeMap::<_, BTreeSet<_>>::new();
    for object in report {
        let kind = object["type"].as_str().expect("each has a type");
        let members = object.as_object().expect("it is one").keys().cloned();
        names.entry(kind.to_owned()).or_default().extend(members);
    }
    names
}
