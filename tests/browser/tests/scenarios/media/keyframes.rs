//! Keyframes on request, both ways.

use super::film::{Clip, Film};
use super::{open, page_adds, page_sum, rust_adds, shown, tracks, watch};
use crate::session::{Side, within};
use peerline::{MediaKind, TransceiverDirection};
use peerline_browser_tests::Browser;

crate::scenarios! {
    a_page_makes_a_keyframe_when_it_is_asked
    a_page_asks_for_a_keyframe_when_it_needs_one
}

async fn a_page_makes_a_keyframe_when_it_is_asked(browser: Browser) {
    let mut session = open(browser).await;
    page_adds(&session, Clip::VP8, "sendonly");
    session.connect(Side::Page).await;
    let track = tracks(&mut session, 1).await.remove(0);
    // Browsers make one when they begin, and perhaps again when they know the path.
    watch::frames(&track.receiver, 60).await;
    for _ in 0..3 {
        while track.receiver.try_recv_frame().is_some() {}
        track.receiver.request_keyframe(None);
        within("a keyframe", async {
            while !track.receiver.recv_frame().await.expect("the track goes on").keyframe {}
        })
        .await;
        // Chromium makes no more than one each 300 ms.
        watch::frames(&track.receiver, 12).await;
    }
    session
        .pump("the page to count the requests", |session| {
            let count = |name| page_sum(session, "outbound-rtp", MediaKind::Video, name);
            count("pliCount") + count("firCount") >= 3
        })
        .await;
}

/// A film that begins in its middle: the page cannot show it, and says so.
async fn a_page_asks_for_a_keyframe_when_it_needs_one(browser: Browser) {
    let mut session = open(browser).await;
    let film = Film::play(Clip::VP8);
    film.withhold_keyframes(true);
    rust_adds(&session, &film, TransceiverDirection::SendOnly);
    session.connect(Side::Rust).await;
    session
        .pump("the page to ask", |session| {
            page_sum(session, "inbound-rtp", MediaKind::Video, "pliCount") > 0 && film.keyframe_requests() > 1
        })
        .await;
    assert_eq!(page_sum(&session, "inbound-rtp", MediaKind::Video, "framesDecoded"), 0);
    film.withhold_keyframes(false);
    shown(&mut session, 1, 30, 16).await;
}
