//! DTLS inside ICE's checks (SPED), and SCTP's handshake in the descriptions (SNAP), with a browser in which both are switched on.

use crate::relay::{Relay, Seen};
use crate::renegotiation::echo;
use crate::session::{Session, Side, opened};
use peerline::DataChannelInit;
use peerline_browser_tests::{Browser, Setup};
use std::time::Duration;

crate::scenarios! {
    ; only chromium: as_client as_server
}

/// Who offers is the server: the answerer is active.
async fn as_client(browser: Browser) {
    connect(browser, Side::Page).await;
}

async fn as_server(browser: Browser) {
    connect(browser, Side::Rust).await;
}

/// Connects over a path with some delay, so that both handshakes could be seen to wait for each other, and looks at the packets.
async fn connect(browser: Browser, offerer: Side) {
    let relay = Relay::new(Duration::from_millis(20));
    let mut session = Session::open_set_up_behind(relay, browser, Setup::TwoTrips, "stats.html").await;
    let created = session.create(offerer, "early", DataChannelInit::default());
    session.connect(offerer).await;
    let channel = match created {
        Some(channel) => channel,
        None => session.channel("early").await,
    };
    opened(&channel).await;
    session.page.call("startEcho", &[serde_json::json!("early")]);
    echo(&channel, "twelve bytes").await;

    // SNAP: both descriptions have it, and no INIT was sent in either direction.
    let descriptions = [session.pc.local_description(), session.pc.remote_description()];
    for description in descriptions {
        let sdp = description.expect("both were set").sdp;
        assert!(sdp.contains("a=sctp-init:"), "{sdp}");
    }
    let log = session.page.log();
    let packets: Vec<Vec<u8>> = log.lines().filter_map(sctp_packet).collect();
    let first_chunks: Vec<u8> = packets.iter().map(|packet| packet[12]).collect();
    assert!(first_chunks.contains(&0), "DATA went: {first_chunks:?}");
    assert!(
        first_chunks.iter().all(|chunk| !(1..=2).contains(chunk)),
        "{first_chunks:?}"
    );

    // SPED: the client's flight went inside checks, and the server has acknowledged it there.
    let seen = session.relay.as_ref().expect("it was put there").seen();
    let page_is_client = offerer == Side::Rust;
    let embedded: Vec<u32> = attributes(&seen, page_is_client, 0xc070)
        .map(|datagram| crc32fast::hash(&datagram))
        .collect();
    assert!(!embedded.is_empty(), "a ClientHello in a check");
    let mut acknowledgements = attributes(&seen, !page_is_client, 0xc071);
    let acknowledges = |list: Vec<u8>| {
        let mut crcs = list
            .chunks_exact(4)
            .map(|crc| u32::from_be_bytes(crc.try_into().unwrap()));
        crcs.any(|crc| embedded.contains(&crc))
    };
    assert!(acknowledgements.any(acknowledges), "it is acknowledged");
}

/// The packet in a line of Chromium's log: `O 12:00:00.000 0000 13 88 … # SCTP_PACKET`.
fn sctp_packet(line: &str) -> Option<Vec<u8>> {
    let (before, _) = line.split_once("# SCTP_PACKET")?;
    let (_, bytes) = before.split_once(" 0000 ")?;
    let bytes = bytes.split_whitespace().map(|byte| u8::from_str_radix(byte, 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().ok()?;
    (bytes.len() > 12).then_some(bytes)
}

/// The values of all attributes of this type in the STUN messages of one side.
fn attributes(seen: &[Seen], from_page: bool, wanted: u16) -> impl Iterator<Item = Vec<u8>> {
    let messages = seen
        .iter()
        .filter(move |seen| seen.from_page == from_page && seen.bytes[0] < 4);
    messages.flat_map(move |message| {
        let mut rest = message.bytes.get(20..).unwrap_or_default();
        let mut values = Vec::new();
        while let [a, b, c, d, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*c, *d]));
            if u16::from_be_bytes([*a, *b]) == wanted {
                values.push(after[..length].to_vec());
            }
            rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        values
    })
}
