//! A page goes away: the Rust side notices, and `run` checks that nothing is left.

use crate::renegotiation::echo;
use crate::session::{Session, Side, within};
use peerline::{ConnectionState, DataChannelState};
use peerline_browser_tests::Browser;
use serde_json::json;
use std::time::Duration;

crate::scenarios! {
    the_page_is_left
    the_browser_dies
}

/// Consent expires 30 seconds after the last answer (RFC 7675 §5.1).
const CONSENT: Duration = Duration::from_secs(30);

/// Firefox says goodbye then; Chromium falls silent, and consent expires.
async fn the_page_is_left(browser: Browser) {
    let (mut session, channel) = Session::connected(browser, "vanish.html", "echo", Side::Page).await;
    session.page.call("startEcho", &[json!("echo")]);
    echo(&channel, "there you are").await;
    session.page.navigate("about:blank");
    notices(&mut session).await;
    session.pc.close();
    within("the end", channel.closed()).await;
}

/// Nobody says goodbye: silence alone tells.
async fn the_browser_dies(browser: Browser) {
    let (mut session, channel) = Session::connected(browser, "vanish.html", "echo", Side::Page).await;
    session.page.call("startEcho", &[json!("echo")]);
    echo(&channel, "there you are").await;
    session.page.kill();
    notices(&mut session).await;
    assert!(
        session.states.contains(&ConnectionState::Disconnected),
        "{:?}",
        session.states
    );
    assert_eq!(
        session.pc.connection_state(),
        ConnectionState::Failed,
        "{:?}",
        session.states
    );
    session.pc.close();
    within("the end", channel.closed()).await;
    assert_eq!(channel.ready_state(), DataChannelState::Closed);
}

async fn notices(session: &mut Session) {
    let start = tokio::time::Instant::now();
    let deadline = start + CONSENT + Duration::from_secs(5);
    while !matches!(
        session.pc.connection_state(),
        ConnectionState::Closed | ConnectionState::Failed
    ) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "nobody is there, but {:?}",
            session.states
        );
        session.note_events(Duration::from_millis(100)).await;
    }
    session.note_events(Duration::from_millis(100)).await;
    eprintln!("noticed after {:?}: {:?}", start.elapsed(), session.states);
}
