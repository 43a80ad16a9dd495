//! Sound each way, in each codec that both sides have.

use super::film::{Clip, Film};
use super::{open, page_adds, rust_adds, rust_receives, stats, tracks, watch};
use crate::session::{Session, Side};
use peerline::{RtpTransceiver, StatsKind, TransceiverDirection};
use peerline_browser_tests::Browser;
use serde_json::{Value, json};

crate::scenarios! {
    each_codec_from_a_page_that_offers
    each_codec_from_a_page_that_answers
    each_codec_to_a_page_that_offers
    each_codec_to_a_page_that_answers
    ; only chromium:
    redundant_sound_to_a_page
}

const CODECS: [Clip; 2] = [Clip::OPUS, Clip::PCMU];

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
        let duration = watch::duration(&watch::record(&folder, clip.mime_type, &frames)).as_secs_f64();
        assert!((1.95..2.05).contains(&duration), "{duration}");
    }
}

async fn each_codec_to_a_page_that_offers(browser: Browser) {
    for clip in CODECS {
        let mut session = open(browser).await;
        page_adds(&session, clip, "recvonly");
        let film = Film::play(clip);
        let add_track = |session: &Session| {
            session.pc.add_track(&film.source.track(), &[]).expect("it is added");
        };
        session.connect_with(Side::Page, "", add_track).await;
        let inbound = assert_heard(&mut session).await;
        assert_eq!(inbound["codec"], clip.mime_type, "{inbound}");
    }
}

async fn each_codec_to_a_page_that_answers(browser: Browser) {
    for clip in CODECS {
        let mut session = open(browser).await;
        let film = Film::play(clip);
        rust_adds(&session, &film, TransceiverDirection::SendOnly);
        session.connect(Side::Rust).await;
        let inbound = assert_heard(&mut session).await;
        assert_eq!(inbound["codec"], clip.mime_type, "{inbound}");
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

/// Opus with the packet before in each packet (RFC 2198). The other way, Chromium agrees on it and sends Opus alone, to itself
/// as well.
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
