//! How much the path takes: each side tells the other, and goes by what it is told.

use super::{stats, track_of, video};
use crate::relay::Relay;
use crate::session::{Session, Side};
use peerline::{MediaKind, StatsKind, TransceiverDirection};
use peerline_browser_tests::Browser;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;

crate::scenarios! {
    each_side_goes_by_what_it_is_told_of_packets
    each_side_goes_by_the_estimate_of_the_other
}

/// Transport-wide feedback, both ways.
async fn each_side_goes_by_what_it_is_told_of_packets(browser: Browser) {
    let (mut session, echo) = begin(browser, &[]).await;
    // Both begin with 300 kbit/s, and find that there is more.
    session
        .pump("both sides to send more", |session| {
            told(session) && available(session) > Some(310_000.0) && page_sends(session, browser) > Some(250_000.0)
        })
        .await;

    // The page's pictures meet a narrow path; it learns so from us.
    let relay = session.relay.as_ref().expect("it was given");
    relay.limit_up(200_000.0);
    session
        .pump("the page to send less", |session| {
            page_sends(session, browser) < Some(250_000.0)
        })
        .await;
    // Ours do.
    let relay = session.relay.as_ref().expect("it was given");
    relay.limit_up(None);
    relay.limit_down(50_000.0);
    session
        .pump("Rust to send less", |session| available(session) < Some(100_000.0))
        .await;
    echo.abort();
}

/// REMB, both ways: of single packets nothing is told, though the page's descriptions still name the extension that numbers them.
async fn each_side_goes_by_the_estimate_of_the_other(browser: Browser) {
    let (mut session, echo) = begin(browser, &[" transport-cc"]).await;
    session
        .pump("the page's estimate", |session| {
            available(session) > Some(150_000.0) && page_sends(session, browser) > Some(220_000.0)
        })
        .await;
    // What the page receives meets a narrow path; it sees so, and says so.
    session.relay.as_ref().expect("it was given").limit_down(50_000.0);
    session
        .pump("a low estimate of the page's", |session| {
            available(session) < Some(100_000.0)
        })
        .await;
    session.relay.as_ref().expect("it was given").limit_down(None);
    // The page does as we say.
    session.pc.set_max_receive_bitrate(130_000);
    session
        .pump("the page to send less", |session| {
            page_sends(session, browser) < Some(180_000.0)
        })
        .await;
    assert!(!told(&session), "of packets");
    echo.abort();
}

/// The page sends as much as it may, and gets it back.
async fn begin(browser: Browser, withholds: &'static [&'static str]) -> (Session, JoinHandle<()>) {
    let relay = Relay::new(Duration::from_millis(10));
    let mut session = Session::open_behind(relay, browser, "media.html").await;
    session.withholds = withholds;
    session.page.eval("media.start()");
    let arguments = [
        json!("video"),
        json!("sendrecv"),
        json!(["VP8"]),
        Value::Null,
        json!(2),
        json!(true),
    ];
    session.page.call("media.add", &arguments);
    let send_too = |session: &Session| {
        let transceiver = session.pc.transceivers().remove(0);
        let direction = TransceiverDirection::SendRecv;
        transceiver.set_direction(direction).expect("it is not stopped");
    };
    session.connect_with(Side::Page, "", send_too).await;
    let track = track_of(&mut session, MediaKind::Video).await;
    (session, video::echo(track))
}

/// What Rust can send, in bits a second, by the page's word.
fn available(session: &Session) -> Option<f64> {
    let available = stats(session, |kind| match kind {
        StatsKind::CandidatePair(pair) => pair.available_outgoing_bitrate,
        _ => None,
    });
    available.first().copied()
}

/// Whether the page has told of packets.
fn told(session: &Session) -> bool {
    let told = stats(session, |kind| match kind {
        StatsKind::Transport(transport) => transport.feedback,
        _ => None,
    });
    told.iter().any(|told| told.packets_received > 0)
}

/// What the page sends, in bits a second; and what it could, where it says so.
fn page_sends(session: &Session, browser: Browser) -> Option<f64> {
    let rate = session.page.eval("media.rate()").as_f64();
    let available = session.page.eval("media.available()").as_f64();
    match browser {
        Browser::Chromium => available,
        Browser::Firefox => rate,
    }
}
