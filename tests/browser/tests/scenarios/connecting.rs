//! Either side offers, with and without trickle.

use crate::session::{Session, Side, Trickle, opened, receive};
use peerline::{DataChannelInit, Message};
use peerline_browser_tests::{Browser, Setup};

crate::scenarios! {
    browser_offers
    browser_offers_without_trickle
    rust_offers
    rust_offers_without_trickle
    browser_that_hides_its_addresses_offers
    browser_that_hides_its_addresses_answers
}

async fn browser_offers(browser: Browser) {
    greet(browser, Setup::OpenAddresses, Trickle::Yes, Side::Page).await;
}

async fn browser_offers_without_trickle(browser: Browser) {
    greet(browser, Setup::OpenAddresses, Trickle::No, Side::Page).await;
}

async fn rust_offers(browser: Browser) {
    greet(browser, Setup::OpenAddresses, Trickle::Yes, Side::Rust).await;
}

async fn rust_offers_without_trickle(browser: Browser) {
    greet(browser, Setup::OpenAddresses, Trickle::No, Side::Rust).await;
}

/// As any user's browser comes: its candidates are `.local` names, and what works is learned from its checks.
async fn browser_that_hides_its_addresses_offers(browser: Browser) {
    greet(browser, Setup::AsShipped, Trickle::Yes, Side::Page).await;
}

async fn browser_that_hides_its_addresses_answers(browser: Browser) {
    greet(browser, Setup::AsShipped, Trickle::Yes, Side::Rust).await;
}

async fn greet(browser: Browser, setup: Setup, trickle: Trickle, offerer: Side) {
    let mut session = Session::open_with(browser, setup, trickle, "connect.html").await;
    let created = session.create(offerer, "greeting", DataChannelInit::default());
    session.connect(offerer).await;
    let channel = match created {
        Some(channel) => channel,
        None => session.channel("greeting").await,
    };
    opened(&channel).await;
    channel.send("hello from Rust").await.expect("the channel is open");
    assert_eq!(session.page.eval("greet()"), "hello from Rust");
    assert_eq!(receive(&channel).await, Message::from("hello from the page"));
}
