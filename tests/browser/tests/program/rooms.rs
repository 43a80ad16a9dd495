//! Rooms: two browsers call each other, with the program in between for signalling alone.

use crate::{Program, text};
use peerline_browser_tests::{Browser, Page, Setup};
use serde_json::json;

/// While `window.held` is a list, the page keeps its offers to itself, until `release()`.
const PREPARE: &str = "() => { \
    const send = WebSocket.prototype.send; window.held = undefined; \
    WebSocket.prototype.send = function (text) { \
        window.held && (window.held.length || text.includes('\"offer\"')) ? window.held.push(() => send.call(this, text)) : send.call(this, text); }; \
    window.release = () => { const held = window.held; window.held = undefined; for (const one of held) one(); }; \
    window.pcs = []; const Peer = RTCPeerConnection; \
    window.RTCPeerConnection = class extends Peer { constructor(...all) { super(...all); window.pcs.push(this); } }; }";

fn enter(browser: Browser, program: &Program, query: &str) -> Page {
    let page = Page::open_url(
        browser,
        Setup::OpenAddresses,
        &format!("{}r/kitchen{query}", program.url),
    );
    page.call(PREPARE, &[]);
    page
}

fn join(page: &Page, source: &str) {
    page.call(
        "source => { document.querySelector('#source').value = source; document.querySelector('#join').click(); }",
        &[json!(source)],
    );
}

fn click(page: &Page, selector: &str) {
    page.eval(&format!("document.querySelector('{selector}').click()"));
}

fn wait_for_status(page: &Page, status: &str) {
    page.wait_for(&format!("document.querySelector('#status').textContent === '{status}'"));
}

fn wait_for_trace(page: &Page, part: &str) {
    page.wait_for(&format!(
        "document.querySelector('#trace').textContent.includes('{part}')"
    ));
}

fn say(page: &Page, words: &str) {
    page.wait_for("!document.querySelector('#chat-input').disabled");
    page.call(
        "words => { document.querySelector('#chat-input').value = words; \
                    document.querySelector('#chat-input').form.requestSubmit(); }",
        &[json!(words)],
    );
}

/// Both see each other's pictures move, and read what the other says.
fn are_in_a_call(pages: [&Page; 2], words: &str) {
    for page in pages {
        wait_for_status(page, "connected");
        page.eval("window.before = document.querySelector('#remote').currentTime");
    }
    for page in pages {
        page.wait_for(
            "document.querySelector('#remote').videoWidth > 0 && document.querySelector('#remote').currentTime > window.before + 0.2",
        );
        page.wait_for("document.querySelector('#remote').srcObject.getTracks().length === 2");
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let words = format!("{words} {from}");
        say(pages[from], &words);
        let last = "document.querySelector('#chat-log').lastElementChild";
        pages[to].wait_for(&format!(
            "{last}?.classList.contains('received') && {last}.textContent.endsWith({})",
            json!(words)
        ));
    }
}

/// All that happens in a room, in order: a third arrives, offers cross, one leaves and comes back, the server is started again.
fn meet(first: Browser, second: Browser) {
    let mut program = Program::start();
    let [first, second] = [first, second].map(|browser| enter(browser, &program, ""));
    join(&first, "camera");
    wait_for_status(&first, "waiting");
    assert_eq!(text(&first, "#media-status"), "", "there is a camera");
    let pages = [&first, &second];
    join(&second, "synthetic");
    are_in_a_call(pages, "hello");
    for page in pages {
        page.wait_for("document.querySelector('#path').dataset.kind === 'direct'");
        assert_eq!(text(page, "#notice"), "");
    }

    // Both offer, and hear only then that the other does.
    for page in pages {
        page.eval("window.held = [], window.pcs.at(-1).addTransceiver('audio', { direction: 'recvonly' })");
    }
    for page in pages {
        page.wait_for("window.held.length > 0");
    }
    for page in pages {
        page.eval("window.release()");
    }
    for page in pages {
        wait_for_trace(page, "offers crossed");
        page.wait_for("window.pcs.at(-1).signalingState === 'stable' && window.pcs.at(-1).getTransceivers().every(one => one.mid)");
    }
    are_in_a_call(pages, "after glare");

    let third = enter(Browser::Chromium, &program, "");
    join(&third, "synthetic");
    wait_for_status(&third, "the room is full");
    assert!(text(&third, "#notice").contains("two are in this room already"));

    // One leaves, and the third takes its place; then that one leaves, and the second comes back.
    click(&second, "#leave");
    wait_for_status(&first, "waiting");
    assert!(text(&first, "#notice").contains("Nobody else is here yet"));
    join(&third, "synthetic");
    are_in_a_call([&first, &third], "instead");
    third.kill();
    // No goodbye came: the connection has to fail, or the server to notice.
    wait_for_trace(&first, "the server does not hear the other one");
    join(&second, "synthetic");
    are_in_a_call(pages, "again");

    // While the server is away, the call goes on; then it is signalled for as before.
    for page in pages {
        page.eval("document.querySelector('#trace').replaceChildren()");
    }
    let connections = pages.map(|page| page.eval("window.pcs.length"));
    program.kill();
    for page in pages {
        wait_for_trace(page, "signalling lost");
    }
    say(&first, "without a server");
    second.wait_for("document.querySelector('#chat-log').textContent.includes('without a server')");
    program.restart();
    for page in pages {
        wait_for_trace(page, "the other one is here");
    }
    are_in_a_call(pages, "after a restart");
    assert_eq!(pages.map(|page| page.eval("window.pcs.length")), connections);

    click(&first, "#leave");
    wait_for_status(&second, "waiting");
}

#[test]
fn chromium_and_chromium_meet() {
    meet(Browser::Chromium, Browser::Chromium);
}

#[test]
fn chromium_and_firefox_meet() {
    meet(Browser::Chromium, Browser::Firefox);
}

#[test]
fn firefox_and_chromium_meet() {
    meet(Browser::Firefox, Browser::Chromium);
}

/// Each way of signalling, alone and with another one; both join at once.
fn signal(browsers: [Browser; 2], ways: [&str; 2]) {
    let program = Program::start();
    let pages = [0, 1].map(|i| enter(browsers[i], &program, &format!("?signalling={}", ways[i])));
    for page in &pages {
        join(page, "synthetic");
    }
    let pages = [&pages[0], &pages[1]];
    are_in_a_call(pages, "hello");
    for (page, way) in pages.into_iter().zip(ways) {
        wait_for_trace(page, &format!("signalling by {way}"));
        assert!(!text(page, "#trace").contains("looking for another way"));
    }
    click(pages[0], "#leave");
    wait_for_status(pages[1], "waiting");
    join(pages[0], "synthetic");
    are_in_a_call(pages, "again");
}

#[test]
fn signalling_by_server_sent_events() {
    signal([Browser::Chromium, Browser::Firefox], ["sse", "sse"]);
}

#[test]
fn signalling_by_long_polling() {
    signal([Browser::Chromium, Browser::Firefox], ["poll", "poll"]);
}

#[test]
fn signalling_by_websocket_and_something_else() {
    signal([Browser::Chromium, Browser::Chromium], ["ws", "poll"]);
}

/// What does not come through is given up for what does.
#[test]
fn signalling_falls_back() {
    let program = Program::start();
    let pages = [(); 2].map(|()| enter(Browser::Chromium, &program, ""));
    // A proxy that knows no WebSocket; and one that keeps events back as well.
    let closes = "class extends EventTarget { constructor() { super(); setTimeout(() => this.dispatchEvent(new Event('close'))); } close() {} }";
    let waits = "class extends EventTarget { close() {} }";
    for page in &pages {
        page.eval(&format!("(window.WebSocket = {closes}, 0)"));
    }
    pages[1].eval(&format!("(window.EventSource = {waits}, 0)"));
    for page in &pages {
        join(page, "synthetic");
    }
    are_in_a_call([&pages[0], &pages[1]], "hello");
    wait_for_trace(&pages[0], "signalling by sse");
    wait_for_trace(&pages[1], "signalling by poll");
}

/// Through our own relay alone; then over another pair of relayed addresses, as ICE restarts.
fn meet_by_relays(first: Browser, second: Browser, transport: &str) {
    let program = Program::run(&["serve", "--turn=127.0.0.1:0"]);
    let pages = [first, second].map(|browser| enter(browser, &program, &format!("?relay={transport}")));
    for page in &pages {
        join(page, "synthetic");
    }
    let pages = [&pages[0], &pages[1]];
    are_in_a_call(pages, "hello");
    for page in pages {
        page.wait_for("document.querySelector('#path').dataset.kind === 'relayed'");
    }
    let fragment = "(window.pcs.at(-1).localDescription.sdp.match(/a=ice-ufrag:(.*)/)[1])";
    let before = pages.map(|page| page.eval(fragment));
    // As the page itself has it, on the side that has offered first: of an answer to the other side's offer Firefox would have another
    // DTLS role at times, which Chromium refuses.
    let offers = |page: &&Page| text(page, "#trace").contains("offer said");
    let offerer = pages.into_iter().find(offers).expect("one of them has offered");
    offerer.eval("window.pcs.at(-1).restartIce()");
    for (page, before) in pages.into_iter().zip(before) {
        page.wait_for(&format!(
            "{fragment} !== {before} && window.pcs.at(-1).signalingState === 'stable'"
        ));
    }
    are_in_a_call(pages, "after a restart of ICE");
    for page in pages {
        assert_eq!(page.eval("window.pcs.length"), 1);
        page.wait_for("document.querySelector('#path').dataset.kind === 'relayed'");
    }
}

#[test]
fn chromium_and_firefox_meet_by_relays() {
    meet_by_relays(Browser::Chromium, Browser::Firefox, "udp");
}

#[test]
fn firefox_and_chromium_meet_by_relays_that_they_reach_by_tcp() {
    meet_by_relays(Browser::Firefox, Browser::Chromium, "tcp");
}

/// The only way that one side has, a relay, is gone for a while and comes back. So does the call.
fn lose_the_way(first: Browser, second: Browser) {
    let relay = Program::run(&[
        "turn",
        "--realm",
        "test",
        "--user",
        "me:secret",
        "--allow-peer",
        "127.0.0.0/8",
    ]);
    let (_, address) = relay.url.split_once(':').expect("turn:ADDRESS?transport=tcp");
    let address = address.split('?').next().unwrap_or_default();
    let program = Program::run(&["serve", "--ice-server", &format!("turn:me:secret@{address}")]);
    let [first, second] = [(first, ""), (second, "?relay=udp")].map(|(browser, query)| enter(browser, &program, query));
    let pages = [&first, &second];
    for page in pages {
        join(page, "synthetic");
    }
    are_in_a_call(pages, "hello");
    relay.pause();
    for page in pages {
        page.wait_for("['disconnected', 'failed'].includes(document.querySelector('#status').textContent)");
    }
    relay.resume();
    are_in_a_call(pages, "again");
    // Also to who knows of no relay: what it hears from is the other side's.
    for page in pages {
        page.wait_for("document.querySelector('#path').dataset.kind === 'relayed'");
    }
}

#[test]
fn the_way_of_chromium_is_lost_and_found() {
    lose_the_way(Browser::Firefox, Browser::Chromium);
}

#[test]
fn the_way_of_firefox_is_lost_and_found() {
    lose_the_way(Browser::Chromium, Browser::Firefox);
}
