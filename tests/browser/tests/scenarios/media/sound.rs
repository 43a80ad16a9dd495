//! Sound each way, in each codec that both sides have.

use super::film::{Clip, Film};
use super::{again, open, page_adds, rust_adds, rust_receives, stats, track_of, tracks, watch};
use crate::relay::Relay;
use crate::session::{Session, Side, within};
use peerline::{ExtensionKind, MediaKind, ReceiveMode, RtpTransceiver, StatsKind, TransceiverDirection};
use peerline_browser_tests::Browser;
use serde_json::{Value, json};
use std::time::Duration;

crate::scenarios! {
    each_codec_from_a_page_that_offers
    each_codec_from_a_page_that_answers
    each_codec_to_a_page_that_offers
    each_codec_to_a_page_that_answers
    ; only chromium:
    redundant_sound_to_a_page
    redundant_sound_from_a_page
}

const CODECS: [Clip; 4] = [Clip::OPUS, Clip::PCMU, Clip::PCMA, Clip::G722];

async fn each_codec_from_a_page_that_offers(browser: Browser) {
    let mut session = open(browser).await;
    CODECS.iter().for_each(|clip| page_adds(&session, *clip, "sendonly"));
    session.connect(Side::Page).await;
    assert_whole(&mut session).await;
}

async fn each_codec_from_a_page_that_answers(browser: Browser) {
    let mut session = open(browser).await;
    let transceivers = CODECS.iter().map(|clip| rust_receives(&session, *clip));
    let _transceivers: Vec<RtpTransceiver> = transceivers.collect();
    session.connect_with(Side::Rust, "media.answerWithTracks", |_| ()).await;
    assert_whole(&mut session).await;
}

async fn assert_whole(session: &mut Session) {
    for (track, clip) in tracks(session, CODECS.len()).await.iter().zip(CODECS) {
        let frames = watch::frames(&track.receiver, 100).await;
        watch::assert_gapless(&frames);
        assert_eq!(watch::codec_of(&track.receiver, &frames[0]), clip.mime_type);
        // 20 ms each.
        let ticks = if clip.codec() == "opus" { 960 } else { 160 };
        let steps = frames
            .windows(2)
            .map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp));
        assert!(
            steps.clone().all(|step| step == ticks),
            "{:?}",
            steps.collect::<Vec<_>>()
        );
        let folder = watch::Folder::new();
        let file = watch::record(&folder, clip.mime_type, &frames);
        let duration = watch::duration(&file).as_secs_f64();
        assert!((1.95..2.05).contains(&duration), "{clip:?}: {duration}");
        let peak = watch::peak(&file);
        assert!(peak > -50.0, "{clip:?}: {peak} dB");
        // The level that the page says it has (RFC 6464) is that of sound, some of the time.
        let levels = frames
            .iter()
            .filter_map(|frame| frame.extensions.get(ExtensionKind::AudioLevel));
        let loudest = levels.map(|level| level[0] & 127).min();
        assert!(
            loudest.is_some_and(|level| level < 60),
            "{clip:?}: {loudest:?} dB below full scale"
        );
    }
}

async fn each_codec_to_a_page_that_offers(browser: Browser) {
    let mut session = open(browser).await;
    for clip in CODECS {
        page_adds(&session, clip, "recvonly");
        let film = Film::play(clip);
        let add_track = |session: &Session| {
            session.pc.add_track(&film.source.track(), &[]).expect("it is added");
        };
        session.connect_with(Side::Page, "", add_track).await;
        let inbound = assert_heard(&mut session).await;
        assert_eq!(inbound["codec"], clip.mime_type, "{inbound}");
        session = again(session).await;
    }
}

async fn each_codec_to_a_page_that_answers(browser: Browser) {
    let mut session = open(browser).await;
    for clip in CODECS {
        let film = Film::play(clip);
        rust_adds(&session, &film, TransceiverDirection::SendOnly);
        session.connect(Side::Rust).await;
        let inbound = assert_heard(&mut session).await;
        assert_eq!(inbound["codec"], clip.mime_type, "{inbound}");
        session = again(session).await;
    }
}

/// The page hears the tone of 440 Hz, and little of another; what it counts.
async fn assert_heard(session: &mut Session) -> Value {
    let mut levels = json!(null);
    session
        .pump("the page to hear the tone", |session| {
            levels = session.page.eval("media.spectrum([440, 1000])");
            levels[0].as_f64() > Some(-50.0) && levels[0].as_f64() > levels[1].as_f64().map(|level| level + 20.0)
        })
        .await;
    let inbound = session.page.eval("media.stats('inbound-rtp', 'audio')")[0].clone();
    assert!(inbound["audioLevel"].as_f64() > Some(0.0), "{inbound}");
    inbound
}

/// Opus with the packet before in each packet (RFC 2198).
async fn redundant_sound_to_a_page(browser: Browser) {
    let mut session = open(browser).await;
    let film = Film::play(Clip::RED);
    rust_adds(&session, &film, TransceiverDirection::SendOnly);
    session.connect(Side::Rust).await;
    assert_heard(&mut session).await;
    let codecs = stats(&session, |kind| match kind {
        StatsKind::Codec(codec) => Some(codec.mime_type),
        _ => None,
    });
    assert!(codecs.iter().any(|codec| codec == "audio/red"), "{codecs:?}");
}

/// Each packet has the one before, too: at 5 % loss, only two in a row make a gap.
async fn redundant_sound_from_a_page(browser: Browser) {
    let mut session = Session::open_behind(Relay::new(Duration::from_millis(10)), browser, "media.html").await;
    session.page.eval("media.start()");
    let arguments = [json!("audio"), json!("sendonly"), json!(["red", "opus"])];
    session.page.call("media.add", &arguments);
    session.connect(Side::Page).await;
    let track = track_of(&mut session, MediaKind::Audio).await;
    let codecs = track.receiver.parameters().expect("the transceiver lives").codecs;
    let red = codecs.iter().find(|codec| codec.codec.mime_type == "audio/red");
    let red = red.expect("it was negotiated").payload_type;

    let frames = watch::frames(&track.receiver, 100).await;
    watch::assert_gapless(&frames);
    assert_eq!(watch::codec_of(&track.receiver, &frames[0]), "audio/opus");
    let folder = watch::Folder::new();
    let file = watch::record(&folder, "audio/opus", &frames);
    assert!((1.95..2.05).contains(&watch::duration(&file).as_secs_f64()));
    assert!(watch::peak(&file) > -50.0);

    let relay = session.relay.as_ref().expect("it was given");
    relay.lose(50);
    let frames = watch::frames(&track.receiver, 400).await;
    let gaps = frames.iter().filter(|frame| frame.follows_gap).count();
    assert!(relay.lost() > 10, "{}", relay.lost());
    assert!(gaps <= 5, "{gaps} gaps; {} datagrams lost", relay.lost());
    relay.lose(0);

    track.receiver.set_mode(ReceiveMode::Packets);
    for _ in 0..20 {
        let packet = within("packets", track.receiver.recv_packet()).await;
        assert_eq!(packet.expect("the track goes on").payload_type, red);
    }
}
