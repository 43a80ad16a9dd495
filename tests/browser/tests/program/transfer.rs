//! Files between browsers and terminals.

use crate::files::Folder;
use crate::{Program, program, text};
use peerline_browser_tests::{Browser, Page, Setup};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const LENGTH: usize = 24 * 1024 * 1024;

fn bytes() -> Vec<u8> {
    (0..LENGTH).map(|i| (i.wrapping_mul(i) >> 9) as u8).collect()
}

/// The hash as pages and terminals show it.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `peerline send` or `receive`, and what it has printed.
struct Terminal {
    process: Child,
    output: BufReader<ChildStdout>,
    text: String,
}

impl Terminal {
    fn start(folder: &Folder, arguments: &[&str]) -> Self {
        let mut process = Command::new(program())
            .args(arguments)
            .env_remove("PEERLINE_VIA")
            .current_dir(&folder.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = process.stdout.take().expect("it is piped");
        Self {
            process,
            output: BufReader::new(output),
            text: String::new(),
        }
    }

    /// The word after `marker`, once it is there.
    fn word_after(&mut self, marker: &str) -> String {
        loop {
            if let Some((_, rest)) = self.text.split_once(marker) {
                return rest.split_whitespace().next().expect("a word").to_owned();
            }
            let read = self.output.read_line(&mut self.text).expect("it writes text");
            assert!(read > 0, "no {marker:?}: {}", self.text);
        }
    }

    /// Waits for its good end: all that it has printed.
    fn ended(&mut self) -> &str {
        self.output.read_to_string(&mut self.text).expect("it writes text");
        let status = self.process.wait().expect("it was started");
        assert!(status.success(), "{}", self.text);
        &self.text
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_for_end(page: &Page) {
    page.wait_for("['good', 'bad'].includes(document.querySelector('#file-status').className)");
    let status = text(page, "#file-status");
    assert!(status.contains("the hashes are equal"), "{status}");
}

/// Agrees to have the file, and says what the page would save: its name and its hash.
fn accept(page: &Page) -> (String, String) {
    page.wait_for("!document.querySelector('#offer').hidden");
    page.eval("document.querySelector('#accept').click()");
    wait_for_end(page);
    let length = page.eval("fetch(document.querySelector('#download').href).then((r) => r.blob()).then((b) => b.size)");
    assert_eq!(length, json!(LENGTH));
    let name = page.eval("document.querySelector('#download').download");
    (name.as_str().expect("a name").to_owned(), text(page, "#hash"))
}

fn give(page: &Page) {
    page.call(
        "(length) => { const files = new DataTransfer(); \
          const bytes = new Uint8Array(length); for (let i = 0; i < length; i++) bytes[i] = Math.imul(i, i) >>> 9; \
          files.items.add(new File([bytes], 'from a page.bin')); \
          const input = document.querySelector('#file'); input.files = files.files; input.dispatchEvent(new Event('change')); }",
        &[json!(LENGTH)],
    );
}

/// A terminal sends; the link opens in a browser, which keeps the file in this `store`.
fn to_browser(browser: Browser, store: &str) {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).expect("a folder");
    let bytes = bytes();
    fs::write(folder.0.join("from a terminal.bin"), &bytes).expect("room");
    let arguments = ["send", "from a terminal.bin", "--listen", "127.0.0.1:0"];
    let mut terminal = Terminal::start(&folder, &arguments);
    let link = terminal.word_after("in a browser ");
    let page = Page::open_url(
        browser,
        Setup::AsShipped,
        &link.replace("/receive", &format!("/receive?store={store}")),
    );
    assert_eq!(accept(&page), ("from a terminal.bin".to_owned(), hash(&bytes)));
    assert!(terminal.ended().contains(&hash(&bytes)));
}

#[test]
fn a_terminal_sends_to_chromium() {
    to_browser(Browser::Chromium, "disk");
}

#[test]
fn a_terminal_sends_to_firefox() {
    to_browser(Browser::Firefox, "disk");
}

#[test]
fn a_terminal_sends_to_the_memory_of_chromium() {
    to_browser(Browser::Chromium, "memory");
}

/// A page sends to the terminal that waits for it; its connection breaks in the middle.
fn to_terminal(browser: Browser) {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).expect("a folder");
    let mut terminal = Terminal::start(&folder, &["receive", "--listen", "127.0.0.1:0"]);
    let page = Page::open_url(browser, Setup::AsShipped, &terminal.word_after("in a browser "));
    // The first connection ends after a while, as the other side sees it.
    page.call(
        "() => { window.connections = 0; const Peer = RTCPeerConnection; \
          window.RTCPeerConnection = class extends Peer { constructor(...all) { super(...all); window.connections++; } }; \
          const send = RTCDataChannel.prototype.send; let sent = 0; \
          const create = Peer.prototype.createDataChannel; \
          Peer.prototype.createDataChannel = function (...all) { const pc = this, channel = create.apply(this, all); \
            channel.send = function (data) { send.call(this, data); sent += data.byteLength ?? 0; \
              if (sent > 8e6 && window.connections === 1) pc.close(); }; return channel; }; }",
        &[],
    );
    give(&page);
    wait_for_end(&page);
    assert_eq!(page.eval("window.connections"), 2);
    let told = terminal.ended();
    assert!(told.contains("are here already"), "{told}");
    let bytes = bytes();
    assert!(
        told.contains(&hash(&bytes)) && text(&page, "#hash") == hash(&bytes),
        "{told}"
    );
    assert!(read(&folder.0.join("from a page.bin")) == bytes, "another file");
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("the file is there")
}

#[test]
fn chromium_sends_to_a_terminal() {
    to_terminal(Browser::Chromium);
}

#[test]
fn firefox_sends_to_a_terminal() {
    to_terminal(Browser::Firefox);
}

/// By the pages of `serve`, with a code that one shows and the other is told.
#[test]
fn chromium_sends_to_firefox_and_a_terminal_that_meets_it_there() {
    let program = Program::start();
    let sender = Page::open_url(Browser::Chromium, Setup::OpenAddresses, &format!("{}send", program.url));
    give(&sender);
    sender.wait_for("!document.querySelector('#invitation').hidden");
    let link = text(&sender, "#link");
    let receiver = Page::open_url(
        Browser::Firefox,
        Setup::OpenAddresses,
        &link.replace("/receive", "/receive?store=disk"),
    );
    let hash = hash(&bytes());
    assert_eq!(accept(&receiver), ("from a page.bin".to_owned(), hash.clone()));
    wait_for_end(&sender);

    give(&sender);
    sender.wait_for(&format!(
        "document.querySelector('#link').textContent !== {}",
        json!(link)
    ));
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).expect("a folder");
    let command = text(&sender, "#command");
    let code = command.strip_prefix("peerline receive ").expect("a command");
    let mut terminal = Terminal::start(&folder, &["receive", code]);
    assert!(terminal.ended().contains(&hash));
}
