//! `peerline serve --turn`: pages that may use nothing but our TURN server.

use peerline_browser_tests::{Browser, Page, Setup};
use serde_json::json;
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use crate::{Program, text};

/// By UDP and by TCP, and by TLS where the browser can be told to trust the server; it chats over it, and says that it does.
fn keep_to_relays(browser: Browser, transports: &[&str]) {
    let folder = Folder::new();
    let (certificate, key) = folder.certificate();
    let tls = [
        "--turn-tls",
        "127.0.0.1:0",
        "--turn-tls-cert",
        &certificate,
        "--turn-tls-key",
        &key,
    ];
    let program = Program::run(&[&["serve", "--turn=127.0.0.1:0"], &tls[..]].concat());
    // As shipped, Firefox asks no server on the loopback interface.
    let page = Page::open_url(browser, Setup::OpenAddresses, &program.url);
    for transport in transports {
        page.navigate(&format!("{}?relay={transport}", program.url));
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
    keep_to_relays(Browser::Chromium, &["udp", "tcp", "tls"]);
}

/// Firefox trusts no certificate of this machine for TURN, and has no switch for that.
#[test]
fn firefox_keeps_to_our_relay() {
    keep_to_relays(Browser::Firefox, &["udp", "tcp"]);
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

    /// The files of a certificate for this machine, and of its key.
    fn certificate(&self) -> (String, String) {
        let [certificate, key] =
            ["certificate.pem", "key.pem"].map(|name| self.0.join(name).to_str().expect("UTF-8").to_owned());
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
                "/CN=localhost",
                "-days",
                "2",
                "-keyout",
                &key,
                "-out",
                &certificate,
            ])
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        (certificate, key)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
