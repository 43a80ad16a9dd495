//! `peerline serve --turn`: pages that may use nothing but our TURN server.

use peerline_browser_tests::{Browser, Page, Setup};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use crate::{Program, text};

/// By UDP, by TCP and by TLS: it chats over it, and says that it does.
fn keep_to_relays(browser: Browser) {
    let folder = Folder::new();
    let [authority, certificate, key] = folder.certificates();
    let tls = [
        "--turn-tls",
        "127.0.0.1:0",
        "--turn-tls-cert",
        &certificate,
        "--turn-tls-key",
        &key,
    ];
    let program = Program::run(&[&["serve", "--turn=127.0.0.1:0"], &tls[..]].concat());
    // As shipped, Firefox asks no server on the loopback interface; and by TLS none that has no name.
    let url = program.url.replace("127.0.0.1", "localhost");
    let page = Page::open_trusting(browser, Setup::OpenAddresses, Path::new(&authority), &url);
    for transport in ["udp", "tcp", "tls"] {
        page.navigate(&format!("{url}?relay={transport}"));
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

/// A folder of this test; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("peerline-relays-{}-{count}", process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    /// The files of an authority, of a certificate for `localhost` that it has signed, and of its key.
    fn certificates(&self) -> [String; 3] {
        let [authority, authority_key, certificate, key] =
            ["authority.pem", "authority-key.pem", "certificate.pem", "key.pem"]
                .map(|name| self.0.join(name).to_str().expect("UTF-8").to_owned());
        make_certificate(
            "an authority",
            &authority,
            &authority_key,
            &["basicConstraints=critical,CA:TRUE"],
            &[],
        );
        let is_for = ["subjectAltName=DNS:localhost", "basicConstraints=critical,CA:FALSE"];
        let signed = ["-CA", &authority, "-CAkey", &authority_key];
        make_certificate("localhost", &certificate, &key, &is_for, &signed);
        [authority, certificate, key]
    }
}

/// Signed by itself, if nothing else is said.
fn make_certificate(name: &str, certificate: &str, key: &str, extensions: &[&str], more: &[&str]) {
    let extensions = extensions.iter().flat_map(|extension| ["-addext", extension]);
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args([
            "-subj",
            &format!("/CN={name}"),
            "-days",
            "2",
            "-keyout",
            key,
            "-out",
            certificate,
        ])
        .args(extensions)
        .args(more)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
