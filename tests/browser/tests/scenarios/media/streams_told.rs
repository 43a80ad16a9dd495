//! Congestion control feedback on streams (RFC 8888), with a browser in which it is switched on: each side tells the other by it.

use super::film::{Clip, Film};
use super::{page_adds, rust_adds, stats};
use crate::session::{Session, Side};
use peerline::{CodecSupport, Configuration, RtcpFeedback, SessionDescription, StatsKind, TransceiverDirection};
use peerline_browser_tests::{Browser, Setup};
use serde_json::Value;

crate::scenarios! {
    ; only chromium: where_rust_offers where_the_page_offers
}

/// Both offer both kinds of feedback; Chromium answers with this one.
async fn where_rust_offers(browser: Browser) {
    told(browser, Side::Rust, Configuration::default()).await;
}

/// Rust answers with this one if it has no other.
async fn where_the_page_offers(browser: Browser) {
    let only = |support: &CodecSupport| {
        let mut support = support.clone();
        support.rtcp_feedback.retain(|kind| *kind != RtcpFeedback::TransportCc);
        support
    };
    let configuration = Configuration {
        codecs: CodecSupport::defaults().iter().map(only).collect(),
        ..Configuration::default()
    };
    told(browser, Side::Page, configuration).await;
}

async fn told(browser: Browser, offerer: Side, configuration: Configuration) {
    let mut session = Session::open_both_configured(browser, Setup::ToldByStreams, "media.html", configuration).await;
    session.page.eval("media.start()");
    let film = Film::play(Clip::VP8);
    if offerer == Side::Page {
        page_adds(&session, Clip::VP8, "sendrecv");
    } else {
        rust_adds(&session, &film, TransceiverDirection::SendRecv);
    }
    let add_track = |session: &Session| {
        session.pc.add_track(&film.source.track(), &[]).expect("it is added");
    };
    session.connect_with(offerer, "media.answerWithTracks", add_track).await;
    let sdp = |description: Option<SessionDescription>| description.expect("it was set").sdp;
    let answer = match offerer {
        Side::Page => sdp(session.pc.local_description()),
        Side::Rust => sdp(session.pc.remote_description()),
    };
    assert!(answer.contains(" ack ccfb"), "{answer}");
    assert!(!answer.contains("transport-"), "{answer}");

    // Ours, by the page's word.
    session
        .pump("the page to tell what came", |session| {
            let transports = stats(session, |kind| match kind {
                StatsKind::Transport(transport) => Some(transport),
                _ => None,
            });
            transports.iter().any(|transport| {
                let told = transport.feedback.as_ref();
                told.is_some_and(|told| told.packets_received > 60 && told.bytes_received > 5_000)
                    && transport.ccfb_messages_received > 10
                    && transport.ccfb_messages_sent > 10
            })
        })
        .await;
    let available = stats(&session, |kind| match kind {
        StatsKind::CandidatePair(pair) => pair.available_outgoing_bitrate,
        _ => None,
    });
    assert!(!available.is_empty(), "an estimate");
    // The page's, by our word.
    let mut seen = Value::Null;
    session
        .pump("the page to be told what came", |session| {
            seen = session.page.eval("media.transport()");
            seen["ccfbMessagesReceived"].as_u64() > Some(20)
        })
        .await;
    eprintln!("{seen}");
}
