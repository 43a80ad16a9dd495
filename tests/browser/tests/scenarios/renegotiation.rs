//! Offers and answers after the first ones: without a cause, for ICE restarts, with media that Rust declines, and crossing.

use crate::session::{Session, Side, opened, receive};
use peerline::{ConnectionState, DataChannel, DataChannelInit, Message, SignalingState};
use peerline_browser_tests::Browser;
use serde_json::json;

crate::scenarios! {
    the_page_renegotiates
    rust_renegotiates
    rust_declines_audio
    offers_cross_and_rust_gives_way
    offers_cross_and_the_page_gives_way
    the_page_restarts_ice
    rust_restarts_ice
}

const LABEL: &str = "steady";

async fn the_page_renegotiates(browser: Browser) {
    renegotiate(browser, Side::Rust, Side::Page).await;
}

async fn rust_renegotiates(browser: Browser) {
    renegotiate(browser, Side::Page, Side::Rust).await;
}

async fn renegotiate(browser: Browser, first: Side, then: Side) {
    let (mut session, channel) = connected(browser, first).await;
    for round in 0..3 {
        session.negotiate(then).await;
        session.negotiate(first).await;
        assert_eq!(session.pc.signaling_state(), SignalingState::Stable);
        assert_eq!(session.page.eval("lab.pc.signalingState"), "stable");
        echo(&channel, &format!("round {round}")).await;
    }
    another_channel_opens(&mut session).await;
    assert_eq!(session.pc.connection_state(), ConnectionState::Connected);
    assert_eq!(
        session.page.eval("lab.states"),
        json!(["connecting", "connected"]),
        "nothing was disturbed"
    );
}

/// A media section that the answerer does not know gets port 0 (RFC 3264 §6), and the data goes on.
async fn rust_declines_audio(browser: Browser) {
    let mut session = Session::open_without_codecs(browser, "renegotiation.html").await;
    session.create(Side::Page, LABEL, DataChannelInit::default());
    session.connect(Side::Page).await;
    let channel = session.channel(LABEL).await;
    opened(&channel).await;
    session.page.call("startEcho", &[json!(LABEL)]);
    session.page.eval("addAudio()");
    session.negotiate(Side::Page).await;
    // Chromium forgets the transceiver, Firefox keeps it stopped.
    let live = "lab.pc.getTransceivers().filter(({ currentDirection }) => !['stopped', 'inactive', null].includes(currentDirection))";
    assert_eq!(session.page.eval(live), json!([]));
    let sections = session
        .page
        .eval("lab.pc.remoteDescription.sdp.match(/^m=.*/gm).map(line => line.split(' ', 2).join(' '))");
    assert_eq!(sections[1], "m=audio 0", "{sections}");
    echo(&channel, "after the refusal").await;
    // The refused section has to stay in its place.
    session.negotiate(Side::Rust).await;
    session.negotiate(Side::Page).await;
    echo(&channel, "after its repetition").await;
}

/// Rust takes its offer back when the page's arrives (RFC 8829 §4.1.10.2).
async fn offers_cross_and_rust_gives_way(browser: Browser) {
    let (mut session, channel) = connected(browser, Side::Page).await;
    session.pc.set_local_description(None).expect("an offer fits");
    assert_eq!(session.pc.signaling_state(), SignalingState::HaveLocalOffer);
    session
        .pc
        .set_local_description(peerline::SessionDescription::rollback())
        .expect("an offer can be taken back");
    session.negotiate(Side::Page).await;
    assert_eq!(session.pc.signaling_state(), SignalingState::Stable);
    echo(&channel, "after the crossing").await;
    another_channel_opens(&mut session).await;
}

/// The page takes its own back by itself, as browsers do when an offer arrives.
async fn offers_cross_and_the_page_gives_way(browser: Browser) {
    let (mut session, channel) = connected(browser, Side::Page).await;
    session.page.eval("lab.offer()");
    session.negotiate(Side::Rust).await;
    assert_eq!(session.page.eval("lab.pc.signalingState"), "stable");
    echo(&channel, "after the crossing").await;
    another_channel_opens(&mut session).await;
}

async fn the_page_restarts_ice(browser: Browser) {
    restart(browser, Side::Page).await;
}

async fn rust_restarts_ice(browser: Browser) {
    restart(browser, Side::Rust).await;
}

/// Messages flow before, between and after; both sides' credentials are new.
async fn restart(browser: Browser, side: Side) {
    let (mut session, channel) = Session::connected(browser, "ice-restart.html", LABEL, Side::Page).await;
    session.page.call("startEcho", &[json!(LABEL)]);
    echo(&channel, "before").await;
    for round in 0..2 {
        let before = session.page.eval("fragments()");
        let pair = selected_pair(&session);
        match side {
            Side::Page => {
                session.page.eval("lab.pc.restartIce()");
            }
            Side::Rust => session.pc.restart_ice(),
        }
        session.negotiate(side).await;
        echo(&channel, "while the old path carries on").await;
        session
            .pump("a pair of the new generation", |session| selected_pair(session) != pair)
            .await;
        let after = session.page.eval("fragments()");
        assert_ne!(after["local"], before["local"], "round {round}");
        assert_ne!(after["remote"], before["remote"], "round {round}");
        echo(&channel, "on the new path").await;
    }
    session
        .pump("the page to be connected", |session| {
            session.page.eval("lab.pc.connectionState") == "connected"
        })
        .await;
    assert_eq!(session.pc.connection_state(), ConnectionState::Connected);
    assert!(
        !session.states.contains(&ConnectionState::Disconnected),
        "{:?}",
        session.states
    );
}

fn selected_pair(session: &Session) -> Option<String> {
    session
        .pc
        .stats()
        .transport()
        .and_then(|transport| transport.selected_candidate_pair_id.clone())
}

async fn connected(browser: Browser, offerer: Side) -> (Session, DataChannel) {
    let (session, channel) = Session::connected(browser, "renegotiation.html", LABEL, offerer).await;
    session.page.call("startEcho", &[json!(LABEL)]);
    echo(&channel, "before").await;
    (session, channel)
}

async fn another_channel_opens(session: &mut Session) {
    let another = session
        .create(Side::Rust, "another", DataChannelInit::default())
        .expect("Rust has it at once");
    opened(&another).await;
    session.page.call("startEcho", &[json!("another")]);
    echo(&another, "on another channel").await;
}

pub(crate) async fn echo(channel: &DataChannel, text: &str) {
    channel.send(text).await.expect("the channel is open");
    assert_eq!(receive(channel).await, Message::from(text), "{text}");
}
