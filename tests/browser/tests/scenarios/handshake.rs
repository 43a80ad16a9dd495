//! Which DTLS is spoken, in either role, and new keys after a while.

use crate::renegotiation::echo;
use crate::session::{Session, Side, opened};
use peerline::{Configuration, CryptoProvider, DataChannelInit, NamedGroup, ProtocolVersion, default_provider};
use peerline_browser_tests::Browser;

crate::scenarios! {
    dtls13_as_client
    dtls13_as_server
    dtls12_as_client
    dtls12_as_server
    dtls13_without_the_hybrid_group
    keys_are_updated
}

/// Who offers is the server: the answerer is active.
async fn dtls13_as_client(browser: Browser) {
    let session = negotiate(browser, Side::Page, Configuration::default(), "FEFC").await;
    assert_eq!(group(&session), Some(NamedGroup::X25519MLKEM768));
}

async fn dtls13_as_server(browser: Browser) {
    let session = negotiate(browser, Side::Rust, Configuration::default(), "FEFC").await;
    assert_eq!(group(&session), Some(NamedGroup::X25519MLKEM768));
}

async fn dtls12_as_client(browser: Browser) {
    negotiate(browser, Side::Page, only_12(), "FEFD").await;
}

async fn dtls12_as_server(browser: Browser) {
    negotiate(browser, Side::Rust, only_12(), "FEFD").await;
}

/// X25519 alone, by a provider that has nothing else: the browser's share of it is there.
async fn dtls13_without_the_hybrid_group(browser: Browser) {
    for side in [Side::Page, Side::Rust] {
        let mut provider = CryptoProvider::clone(&default_provider());
        provider.kx_groups.remove(0);
        let configuration = Configuration {
            crypto_provider: Some(provider.into()),
            ..Configuration::default()
        };
        let session = negotiate(browser, side, configuration, "FEFC").await;
        assert_eq!(group(&session), Some(NamedGroup::X25519));
    }
}

/// Every few records, by either role: the browser follows.
async fn keys_are_updated(browser: Browser) {
    for side in [Side::Page, Side::Rust] {
        let configuration = Configuration {
            max_records_per_key: 5,
            ..Configuration::default()
        };
        negotiate(browser, side, configuration, "FEFC").await;
    }
}

fn group(session: &Session) -> Option<NamedGroup> {
    session.pc.sctp()?.transport().key_exchange_group()
}

fn only_12() -> Configuration {
    Configuration {
        max_dtls_version: ProtocolVersion::DTLS_1_2,
        ..Configuration::default()
    }
}

/// Connects, lets fifty messages be echoed, and asks both sides what they speak.
async fn negotiate(browser: Browser, offerer: Side, configuration: Configuration, version: &str) -> Session {
    let mut session = Session::open_configured(browser, "stats.html", configuration).await;
    let created = session.create(offerer, "counted", DataChannelInit::default());
    session.connect(offerer).await;
    let channel = match created {
        Some(channel) => channel,
        None => session.channel("counted").await,
    };
    opened(&channel).await;
    session.page.call("startEcho", &[serde_json::json!("counted")]);
    for _ in 0..50 {
        echo(&channel, "twelve bytes").await;
    }
    let report = session.pc.stats();
    let ours = report.transport().expect("there is one");
    assert_eq!(ours.tls_version.as_deref(), Some(version));
    // Who offers is asked to be either, and answers the answerer's hello.
    let (role, their_role) = match offerer {
        Side::Page => ("client", "server"),
        Side::Rust => ("server", "client"),
    };
    assert_eq!(ours.dtls_role, Some(role));
    let cipher = ours.dtls_cipher.as_deref().expect("it is connected");
    let of_13 = version == "FEFC";
    assert_eq!(cipher.starts_with("TLS_AES_128_GCM"), of_13, "{cipher}");
    let theirs = &session.page.eval("stats()")["transport"];
    // Firefox says none of it.
    if browser == Browser::Chromium {
        assert_eq!(theirs["dtlsRole"], their_role, "{theirs}");
        assert_eq!(theirs["tlsVersion"], version, "{theirs}");
        assert_eq!(theirs["dtlsCipher"], cipher, "{theirs}");
    }
    session
}
