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
    ; only chromium:
    rust_that_hides_its_addresses_is_found_by_its_names
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

/// Both hide: each is known to the other by `.local` names alone, which it resolves.
async fn rust_that_hides_its_addresses_is_found_by_its_names(browser: Browser) {
    let mut session = Session::open_hidden(browser, "connect.html").await;
    let channel = session.create(Side::Rust, "greeting", DataChannelInit::default());
    session.connect(Side::Rust).await;
    let channel = channel.expect("ours");
    opened(&channel).await;
    channel.send("hello from Rust").await.expect("the channel is open");
    assert_eq!(session.page.eval("greet()"), "hello from Rust");
    assert_eq!(receive(&channel).await, Message::from("hello from the page"));
    let told = session.pc.local_description().expect("it was set").sdp;
    let hosts: Vec<&str> = told.lines().filter(|line| line.contains(" typ host")).collect();
    assert!(
        !hosts.is_empty() && hosts.iter().all(|line| line.contains(".local ")),
        "{hosts:?}"
    );
    // What was learned from our checks alone would be peer-reflexive.
    let of_host = "one => one.type === 'remote-candidate' && one.candidateType === 'host'";
    let all = "[...(await lab.pc.getStats()).values()]";
    session.page.wait_for(&format!("{all}.some({of_host})"));
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
