//! Tracks are added, removed and replaced while a call goes on, by offers of either side, and of both at once.

use super::film::{Clip, Film};
use super::{open, page_adds, page_sum, rust_adds, shown, track_of, tracks, watch};
use crate::session::{Session, Side, from_json, to_json, within};
use peerline::{ConnectionState, DataChannelInit, MediaKind, SessionDescription, SignalingState, TransceiverDirection};
use peerline_browser_tests::Browser;
use serde_json::{Value, json};
use std::time::Duration;

crate::scenarios! {
    ten_renegotiations_disturb_nothing
    tracks_come_and_go
    tracks_are_replaced
    both_sides_offer_at_once_and_rust_is_polite
    both_sides_offer_at_once_and_the_page_is_polite
}

async fn ten_renegotiations_disturb_nothing(browser: Browser) {
    let mut session = open(browser).await;
    page_adds(&session, Clip::VP8, "sendrecv");
    let film = Film::play(Clip::VP8);
    let add_track = |session: &Session| {
        session.pc.add_track(&film.source.track(), &[]).expect("it is added");
    };
    session.connect_with(Side::Page, "", add_track).await;
    let track = track_of(&mut session, MediaKind::Video).await;
    let first = watch::frames(&track.receiver, 5).await;
    shown(&mut session, 1, 5, 3).await;
    for round in 0..10 {
        session
            .negotiate(if round % 2 == 0 { Side::Rust } else { Side::Page })
            .await;
        shown(&mut session, 1, 3, 3).await;
    }
    // The stream is the same, and nothing of it was lost.
    let mut frames = first;
    while let Some(frame) = track.receiver.try_recv_frame() {
        frames.push(frame);
    }
    // It goes on as well.
    frames.extend(watch::frames(&track.receiver, 20).await);
    watch::assert_gapless(&frames);
    assert_eq!(session.tracks.len(), 1);
    assert_eq!(session.page.eval("media.arrivals.length"), 1);
    assert_eq!(session.page.eval("lab.pc.getTransceivers().length"), 1);
    assert_eq!(session.pc.connection_state(), ConnectionState::Connected);
}

async fn tracks_come_and_go(browser: Browser) {
    let mut session = open(browser).await;
    session.create(Side::Page, "first", DataChannelInit::default());
    session.connect(Side::Page).await;

    // Pictures to the page, in a call that had none.
    let film = Film::play(Clip::VP8);
    let transceiver = rust_adds(&session, &film, TransceiverDirection::SendOnly);
    session.negotiate(Side::Rust).await;
    shown(&mut session, 1, 10, 8).await;
    // Pictures from it, in another section.
    page_adds(&session, Clip::VP9, "sendonly");
    session.negotiate(Side::Page).await;
    let track = tracks(&mut session, 1).await.remove(0);
    watch::assert_gapless(&watch::frames(&track.receiver, 15).await);

    // No more to the page: its track is muted, and nothing comes.
    session
        .pc
        .remove_track(&transceiver.sender())
        .expect("it is of this connection");
    session.negotiate(Side::Rust).await;
    session.page.wait_for("media.arrivals[0].track.muted");
    assert_eq!(transceiver.current_direction(), Some(TransceiverDirection::Inactive));
    // And none from it.
    session
        .page
        .eval("lab.pc.removeTrack(lab.pc.getSenders().find(({ track }) => track))");
    session.negotiate(Side::Page).await;
    session
        .pump("the page to be silent", |_| track.receiver.track().muted())
        .await;

    // Again, in the section that is there; it begins with a keyframe.
    let again = Film::play(Clip::VP8);
    let sender = transceiver.sender();
    sender.replace_track(Some(&again.source.track())).expect("it is video");
    transceiver
        .set_direction(TransceiverDirection::SendOnly)
        .expect("it is not stopped");
    session.negotiate(Side::Rust).await;
    shown(&mut session, 1, 10, 8).await;
    let transceivers = session.pc.transceivers().len();

    // A section that is stopped is used again for another.
    transceiver.stop().expect("the connection lives");
    session.negotiate(Side::Rust).await;
    let another = Film::play(Clip::VP8);
    rust_adds(&session, &another, TransceiverDirection::SendOnly);
    session.negotiate(Side::Rust).await;
    shown(&mut session, 1, 10, 8).await;
    assert!(session.pc.transceivers().len() <= transceivers + 1);
    let sections = session
        .pc
        .local_description()
        .expect("there is one")
        .sdp
        .matches("\nm=")
        .count();
    assert_eq!(sections, 3);
}

/// Without an offer: the other side sees the same track going on.
async fn tracks_are_replaced(browser: Browser) {
    let mut session = open(browser).await;
    page_adds(&session, Clip::VP8, "sendrecv");
    let film = Film::play(Clip::VP8);
    let add_track = |session: &Session| {
        session.pc.add_track(&film.source.track(), &[]).expect("it is added");
    };
    session.connect_with(Side::Page, "", add_track).await;
    shown(&mut session, 1, 10, 8).await;
    let sender = session.pc.senders().remove(0);
    let another = Film::play(Clip::VP8);
    sender
        .replace_track(Some(&another.source.track()))
        .expect("it is video");
    drop(film);
    shown(&mut session, 1, 30, 16).await;
    // Nothing for a while, and then something again.
    sender.replace_track(None).expect("it can be none");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let decoded = page_sum(&session, "inbound-rtp", MediaKind::Video, "framesReceived");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        page_sum(&session, "inbound-rtp", MediaKind::Video, "framesReceived"),
        decoded
    );
    sender
        .replace_track(Some(&another.source.track()))
        .expect("it is video");
    shown(&mut session, 1, 10, 8).await;

    let track = track_of(&mut session, MediaKind::Video).await;
    watch::frames(&track.receiver, 10).await;
    session
        .page
        .eval("lab.pc.getSenders()[0].replaceTrack(media.camera('another', 2))");
    let wide = within("a larger picture", async {
        loop {
            let frame = track.receiver.recv_frame().await.expect("the track goes on");
            if frame.keyframe && frame.payload[6..8] == 320u16.to_le_bytes() {
                return frame;
            }
        }
    });
    assert!(!wide.await.follows_gap);
}

async fn both_sides_offer_at_once_and_rust_is_polite(browser: Browser) {
    glare(browser, Side::Rust).await;
}

async fn both_sides_offer_at_once_and_the_page_is_polite(browser: Browser) {
    glare(browser, Side::Page).await;
}

/// Perfect negotiation (webrtc-pc §10.7), again and again with offers of both sides under way.
async fn glare(browser: Browser, polite: Side) {
    let mut session = open(browser).await;
    session.create(Side::Page, "first", DataChannelInit::default());
    session.connect(Side::Page).await;
    session.note_events(Duration::from_millis(10)).await;
    session.negotiation_needed = false;
    session.page.call("media.negotiate", &[json!(polite == Side::Page)]);

    let mut films = Vec::new();
    for _ in 0..3 {
        // Both add a track, and offer before they hear of the other.
        page_adds(&session, Clip::VP8, "sendonly");
        let film = Film::play(Clip::VP8);
        rust_adds(&session, &film, TransceiverDirection::SendOnly);
        films.push(film);
        session.page.wait_for("media.outbox.length > 0");
        session.note_events(Duration::from_millis(10)).await;
        assert!(session.negotiation_needed);
        exchange(&mut session, polite).await;
    }
    shown(&mut session, 3, 10, 8).await;
    for track in tracks(&mut session, 3).await {
        watch::assert_gapless(&watch::frames(&track.receiver, 10).await);
    }
}

/// Carries descriptions until both sides are content.
async fn exchange(session: &mut Session, polite: Side) {
    let mut quiet = 0;
    let mut to_page: Vec<Value> = Vec::new();
    while quiet < 10 {
        if session.negotiation_needed && session.pc.signaling_state() == SignalingState::Stable {
            session.negotiation_needed = false;
            session.pc.set_local_description(None).expect("an offer fits");
            to_page.push(to_json(session.pc.local_description().expect("it was set")));
        }
        let from_page: Vec<SessionDescription> = from_json(&session.page.eval("media.take()"));
        quiet = if from_page.is_empty() && to_page.is_empty() {
            quiet + 1
        } else {
            0
        };
        for description in to_page.drain(..) {
            session.page.call("media.hear", &[description]);
        }
        for description in from_page {
            let offer = description.kind == peerline::SdpType::Offer;
            if offer && session.pc.signaling_state() != SignalingState::Stable && polite == Side::Page {
                continue;
            }
            session.apply(description);
            if offer {
                session
                    .pc
                    .set_local_description(None)
                    .expect("there is an offer to answer");
                to_page.push(to_json(session.pc.local_description().expect("it was set")));
            }
        }
        session.note_events(Duration::from_millis(10)).await;
    }
    assert_eq!(session.pc.signaling_state(), SignalingState::Stable);
    assert_eq!(session.page.eval("lab.pc.signalingState"), "stable");
}
