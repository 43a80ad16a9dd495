//! Channels and connections close from either side, and the other side learns of it at once.

use crate::session::{Session, Side, opened, receive, within};
use peerline::{ConnectionState, DataChannelInit, DataChannelState, Message};
use peerline_browser_tests::Browser;
use serde_json::json;

crate::scenarios! {
    the_page_closes_a_channel
    rust_closes_a_channel
    ids_are_used_again
    the_page_closes_the_connection
    rust_closes_the_connection
}

const LABEL: &str = "short-lived";

async fn the_page_closes_a_channel(browser: Browser) {
    let (mut session, channel) = Session::connected(browser, "close.html", LABEL, Side::Page).await;
    session.page.eval("lab.channels.get('short-lived').send('last words')");
    session.page.eval("lab.channels.get('short-lived').dc.close()");
    assert_eq!(receive(&channel).await, Message::from("last words"));
    assert_eq!(within("the end", channel.recv()).await, None);
    assert_eq!(session.page.call("closeChannel", &[json!(LABEL)]), "closed");
    within("the channel to close", channel.closed()).await;
    assert_eq!(channel.ready_state(), DataChannelState::Closed);
    assert_eq!(
        channel.send("too late").await.expect_err("it is closed").name(),
        "InvalidStateError"
    );
    still_works(&mut session).await;
}

async fn rust_closes_a_channel(browser: Browser) {
    let (mut session, channel) = Session::connected(browser, "close.html", LABEL, Side::Rust).await;
    channel.send("last words").await.expect("it is open");
    channel.close();
    assert_eq!(
        session.page.call("closedChannel", &[json!(LABEL)]),
        json!(["last words"])
    );
    within("the channel to close", channel.closed()).await;
    still_works(&mut session).await;
}

/// A closed channel gives its stream back (RFC 8831 §6.7), whoever closed it.
async fn ids_are_used_again(browser: Browser) {
    let (mut session, first) = Session::connected(browser, "close.html", LABEL, Side::Rust).await;
    let id = first.id();
    for (round, closer) in [Side::Rust, Side::Page, Side::Rust].into_iter().enumerate() {
        let label = format!("{round}, closed by {closer:?}");
        let channel = session
            .create(Side::Rust, &label, DataChannelInit::default())
            .expect("Rust has it at once");
        opened(&channel).await;
        // Firefox does not answer the reset of a channel that its page has not seen yet.
        session.page.call("lab.channel", &[json!(label)]);
        let before = channel.id();
        match closer {
            Side::Rust => {
                channel.close();
                session.page.call("closedChannel", &[json!(label)]);
            }
            Side::Page => {
                session.page.call("closeChannel", &[json!(label)]);
            }
        }
        within("the channel to close", channel.closed()).await;
        let next = session
            .create(Side::Rust, &format!("after {label}"), DataChannelInit::default())
            .expect("at once");
        opened(&next).await;
        session.page.call("lab.channel", &[json!(next.label())]);
        assert_eq!(next.id(), before);
        next.close();
        within("the channel to close", next.closed()).await;
    }
    assert_eq!(first.id(), id);
    still_works(&mut session).await;
}

/// `pc.close()` sends an SCTP ABORT, and a close_notify after it.
async fn the_page_closes_the_connection(browser: Browser) {
    let (mut session, channel) = Session::connected(browser, "close.html", LABEL, Side::Page).await;
    session.page.eval("lab.pc.close()");
    assert_eq!(within("the end", channel.recv()).await, None);
    within("the channel to close", channel.closed()).await;
    session
        .pump("the connection to be closed", |session| {
            session.pc.connection_state() == ConnectionState::Closed
        })
        .await;
}

async fn rust_closes_the_connection(browser: Browser) {
    let (session, channel) = Session::connected(browser, "close.html", LABEL, Side::Page).await;
    channel.send("last words").await.expect("it is open");
    session.page.eval("lab.channels.get('short-lived').receive()");
    session.pc.close();
    within("the goodbye to leave", session.pc.closed()).await;
    assert_eq!(session.pc.connection_state(), ConnectionState::Closed);
    assert_eq!(channel.ready_state(), DataChannelState::Closed);
    session.page.call("closedChannel", &[json!(LABEL)]);
}

/// One channel's end is no other's.
async fn still_works(session: &mut Session) {
    let channel = session
        .create(Side::Rust, "afterwards", DataChannelInit::default())
        .expect("Rust has it at once");
    opened(&channel).await;
    channel.send("still here").await.expect("it is open");
    let heard = session
        .page
        .eval("lab.channel('afterwards').then(channel => channel.receive())");
    assert_eq!(heard, "still here");
}
