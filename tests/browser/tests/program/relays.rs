//! `peerline serve --turn`: pages that may use nothing but our TURN server.

use peerline_browser_tests::{Browser, Page, Setup};
use serde_json::json;

use crate::{Program, text};

/// By UDP and by TCP, as the page is told; it chats over it, and says that it does.
fn keep_to_relays(browser: Browser) {
    let program = Program::run(&["serve", "--turn=127.0.0.1:0"]);
    let page = Page::open_url(browser, Setup::AsShipped, &format!("{}?relay=udp", program.url));
    for transport in ["udp", "tcp"] {
        if transport == "tcp" {
            page.navigate(&format!("{}?relay=tcp", program.url));
        }
        page.wait_for("document.querySelector('#status').textContent === 'connected'");
        page.wait_for("!document.querySelector('#chat-input').disabled");
        page.wait_for("document.querySelector('#pair').textContent.startsWith('relay')");
        eprintln!("{browser:?} by {transport}: {}", text(&page, "#pair"));
        page.call(
            "words => { document.querySelector('#chat-input').value = words; \
                        document.querySelector('#chat-input').form.requestSubmit(); }",
            &[json!(transport)],
        );
        let last = "document.querySelector('#chat-log').lastElementChild";
        page.wait_for(&format!(
            "{last}.classList.contains('received') && {last}.textContent.endsWith('{transport}')"
        ));
    }
}

#[test]
fn chromium_keeps_to_our_relay() {
    keep_to_relays(Browser::Chromium);
}

#[test]
fn firefox_keeps_to_our_relay() {
    keep_to_relays(Browser::Firefox);
}
