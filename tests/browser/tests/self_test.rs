//! Each browser against itself: what fails here is the laboratory's fault, not the stack's.

use peerline_browser_tests::{Browser, Page, Setup};
use serde_json::json;
use std::time::Duration;

fn connects_to_itself(browser: Browser, setup: Setup) {
    let page = Page::open(browser, setup, "self-test.html");
    let result = page.eval("selfTest()");
    assert_eq!(result["text"], "text ✓");
    assert_eq!(result["bytes"], 100_000);
    assert_eq!(result["echoed"], true);
    assert_eq!(result["label"], "héllo");
    assert_eq!(result["protocol"], "грам");

    assert_eq!(
        page.call("(a, b) => a + b.length", &[json!(2), json!("\u{2028}\"")]),
        json!(4)
    );
    let error = page
        .try_eval(Duration::from_secs(5), "Promise.reject(new TypeError('no'))")
        .unwrap_err();
    assert!(error.starts_with("TypeError: no"), "{error}");
    let error = page
        .try_eval(Duration::from_millis(200), "new Promise(() => {})")
        .unwrap_err();
    assert!(error.contains("time"), "{error}");
    assert_eq!(
        page.eval("1 + 1"),
        json!(2),
        "the page goes on after a script that did not end"
    );

    page.kill();
    page.try_eval(Duration::from_secs(5), "1").unwrap_err();
}

fn hides_its_addresses(browser: Browser) {
    let page = Page::open(browser, Setup::AsShipped, "connect.html");
    page.eval("lab.start(), lab.create('greeting'), lab.offer()");
    let description = page.eval("lab.gathered()");
    let sdp = description["sdp"].as_str().unwrap_or_default();
    assert!(sdp.contains(".local "), "{sdp}");
}

#[test]
fn chromium() {
    connects_to_itself(Browser::Chromium, Setup::OpenAddresses);
}

#[test]
fn firefox() {
    connects_to_itself(Browser::Firefox, Setup::OpenAddresses);
}

#[test]
fn chromium_hides_its_addresses() {
    hides_its_addresses(Browser::Chromium);
}

#[test]
fn firefox_hides_its_addresses() {
    hides_its_addresses(Browser::Firefox);
}
