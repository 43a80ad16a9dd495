//! What both sides count is the same.

use crate::renegotiation::echo;
use crate::session::{Session, Side};
use peerline_browser_tests::Browser;
use serde_json::json;
use std::time::Duration;

crate::scenarios! {
    statistics_agree
}

const COUNT: u64 = 20;
const TEXT: &str = "twelve bytes";

async fn statistics_agree(browser: Browser) {
    let (session, channel) = Session::connected(browser, "stats.html", "counted", Side::Page).await;
    session.page.call("startEcho", &[json!("counted")]);
    for _ in 0..COUNT {
        echo(&channel, TEXT).await;
    }

    let theirs = session.page.eval("stats()");
    let report = session.pc.stats();
    let ours = report
        .data_channels()
        .find(|counted| counted.label == "counted")
        .expect("the channel is counted");
    let bytes = COUNT * TEXT.len() as u64;
    assert_eq!((ours.messages_sent, ours.messages_received), (COUNT, COUNT));
    assert_eq!((ours.bytes_sent, ours.bytes_received), (bytes, bytes));
    for (name, count) in [
        ("messagesSent", COUNT),
        ("messagesReceived", COUNT),
        ("bytesSent", bytes),
        ("bytesReceived", bytes),
    ] {
        assert_eq!(theirs["channel"][name], json!(count), "{name}");
    }

    let pair = report.selected_candidate_pair().expect("data has a path");
    assert_eq!((pair.state, pair.nominated), ("succeeded", true));
    assert!(pair.bytes_sent > bytes && pair.bytes_received > bytes, "{pair:?}");
    assert!(
        pair.responses_received > 0 && pair.current_round_trip_time.is_some(),
        "{pair:?}"
    );
    paths_agree(&session).await;

    let transport = report.transport().expect("there is one");
    assert_eq!(transport.tls_version.as_deref(), Some("FEFC"), "DTLS 1.3");
    assert!(
        transport.packets_received > 0 && transport.bytes_received > pair.bytes_received,
        "{transport:?}"
    );
}

/// Waits until each side's remote port is the other's local one: while pairs are still being nominated, each may send its
/// own way (RFC 8445 §12.1).
async fn paths_agree(session: &Session) {
    let mut seen = Vec::new();
    for _ in 0..40 {
        let report = session.pc.stats();
        let theirs = session.page.eval("stats()");
        let pair = report.selected_candidate_pair().expect("data has a path");
        let port = |id: &str| serde_json::to_value(report.get(id)).expect("it is JSON")["port"].clone();
        let ours = (port(&pair.local_candidate_id), port(&pair.remote_candidate_id));
        let theirs = (theirs["remote"]["port"].clone(), theirs["local"]["port"].clone());
        if ours == theirs {
            return;
        }
        seen.push((ours, theirs));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("the paths never agreed: {seen:?}");
}
