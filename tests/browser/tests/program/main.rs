//! The program itself, `peerline serve`: its page as a visitor uses it, and its interfaces as a page of another origin does.

mod controls;
mod files;
mod narrow;
mod relays;
mod rooms;
mod streams;
mod transfer;

use peerline_browser_tests::{Browser, Page, Setup};
use serde_json::{Value, json};
use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A visitor has given no permissions: the browser hides its addresses.
fn visit(browser: Browser) {
    let program = Program::start();
    let page = Page::open_url(browser, Setup::AsShipped, &program.url);

    page.wait_for("document.querySelector('#status').textContent === 'connected'");
    page.wait_for("document.querySelector('#pair').textContent.includes('↔')");
    page.wait_for("!document.querySelector('#chat-input').disabled");
    let setup: f64 = text(&page, "#setup-ms").parse().expect("milliseconds");
    eprintln!("{browser:?}: {setup} ms from Start to an open channel");
    assert!(setup > 0.0 && setup < 10_000.0, "{setup}");

    for words in ["hello", "Grüße 🦀", "<b>not bold</b>"] {
        page.call(
            "words => { document.querySelector('#chat-input').value = words; \
                        document.querySelector('#chat-input').form.requestSubmit(); }",
            &[json!(words)],
        );
        let last = "document.querySelector('#chat-log').lastElementChild";
        page.wait_for(&format!(
            "{last}.classList.contains('received') && {last}.textContent.endsWith({})",
            json!(words)
        ));
    }

    for (length, name) in [(3_000_000, "picture.png"), (0, "empty.txt")] {
        page.call(
            "(length, name) => { const files = new DataTransfer(); \
              files.items.add(new File([Uint8Array.from({length}, (_, i) => i * i >> 7)], name)); \
              const input = document.querySelector('#file'); input.files = files.files; \
              input.dispatchEvent(new Event('change')); }",
            &[json!(length), json!(name)],
        );
        page.wait_for(&format!(
            "document.querySelector('#file-status').className !== '' && document.querySelector('#file-status').textContent.includes('{name}')"
        ));
        let status = text(&page, "#file-status");
        assert!(status.contains("came back whole"), "{status}");
        assert_eq!(text(&page, "#file-hash-sent"), text(&page, "#file-hash-received"));
        page.wait_for("!document.querySelector('#file').disabled");
    }

    page.eval("document.querySelector('#hangup').click()");
    page.wait_for("document.querySelector('#status').textContent === 'closed'");
    page.eval("document.querySelector('#call').click()");
    page.wait_for("document.querySelector('#status').textContent === 'connected'");
}

fn whip(browser: Browser) {
    let program = Program::start();
    let endpoint = json!(format!("{}whip/echo", program.url));
    let page = Page::open(browser, Setup::AsShipped, "whip.html");
    page.eval("lab.start()");
    assert_eq!(page.call("connect", std::slice::from_ref(&endpoint)), 201);
    assert_eq!(page.call("echo", &[json!("over HTTP")]), "over HTTP");
    assert_eq!(page.eval("hangUp()"), 200);

    let refusal = page.call("refusal", &[endpoint]);
    assert_eq!(refusal["status"], 400);
    assert!(
        refusal["error"].as_str().is_some_and(|error| error.contains("line 1")),
        "{refusal}"
    );
}

#[test]
fn chromium_visits_the_page() {
    visit(Browser::Chromium);
}

#[test]
fn firefox_visits_the_page() {
    visit(Browser::Firefox);
}

#[test]
fn chromium_connects_by_whip_from_another_origin() {
    whip(Browser::Chromium);
}

#[test]
fn firefox_connects_by_whip_from_another_origin() {
    whip(Browser::Firefox);
}

fn text(page: &Page, selector: &str) -> String {
    let text = page.call(
        "selector => document.querySelector(selector).textContent",
        &[json!(selector)],
    );
    text.as_str().unwrap_or_default().to_owned()
}

/// `peerline serve` on a port of its own; ended when dropped.
struct Program {
    process: Child,
    /// Ends with a slash.
    url: String,
}

impl Program {
    fn start() -> Self {
        Self::run(&["serve"])
    }

    /// A command that serves.
    fn run(arguments: &[&str]) -> Self {
        Self::run_at("127.0.0.1:0", arguments)
    }

    fn run_at(address: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(program())
            .args(arguments)
            .args(["--listen", address])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("it writes a line");
        let url = line
            .split_whitespace()
            .last()
            .expect("the line ends with the URL")
            .to_owned();
        Self { process, url }
    }
}

impl Program {
    fn endpoint(&self, path: &str) -> Value {
        json!(format!("{}{path}", self.url))
    }

    /// Ends it as a power failure would.
    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Answers nobody until it is [resumed](Self::resume), as if its network were gone.
    fn pause(&self) {
        self.signal("-STOP");
    }

    fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Serves again where it did.
    fn restart(&mut self) {
        self.kill();
        let address = self.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        *self = Self::run_at(&address, &["serve"]);
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(mut self) {
        self.signal("-INT");
        assert!(self.process.wait().expect("it ends").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where the program is. It belongs to another package, so cargo does not tell: `cargo xtask test` does, which has built it together
/// with all tests; a run by hand builds it.
fn program() -> String {
    env::var("PEERLINE_PROGRAM").unwrap_or_else(|_| build())
}

fn build() -> String {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut build = Command::new(cargo);
    build.args([
        "build",
        "--quiet",
        "--package",
        "peerline-cli",
        "--bin",
        "peerline",
        "--message-format",
        "json",
    ]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    // What cargo tells of this package is not to be taken for news of others: some build scripts would run again.
    let ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars().filter(|(name, _)| ours(name)) {
        build.env_remove(name);
    }
    let output = build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "the program does not build");
    let text = String::from_utf8(output.stdout).expect("cargo writes JSON");
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables = messages.filter_map(|message| message["executable"].as_str().map(str::to_owned));
    executables.next_back().expect("cargo says what it built")
}
