//! Captures of both sides of a connection, read by Wireshark.

// Another program is waited for.
#![allow(clippy::disallowed_methods)]

mod common;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Lab, config};
use peerline_connection::{Capture, Config, DataChannelInit, Event, MediaKind, OfferOptions, OutgoingFrame, Track};
use peerline_dtls::ProtocolVersion;
use peerline_sim::Link;

/// The fields that are looked at.
const FIELDS: [&str; 10] = [
    "_ws.col.Protocol",
    "ip.src",
    "ipv6.src",
    "stun.type",
    "sctp.chunk_type",
    "data.data",
    "rtp.seq",
    "rtp.payload",
    "rtcp.pt",
    "_ws.malformed",
];

/// What tshark says of each packet of a file.
fn dissect(name: &str, file: &[u8]) -> Vec<Vec<String>> {
    let path = std::env::temp_dir().join(format!("peerline-{}-{name}.pcapng", std::process::id()));
    std::fs::write(&path, file).expect("a temporary file");
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&path).args(["-T", "fields", "-E", "separator=;"]);
    for field in FIELDS {
        tshark.args(["-e", field]);
    }
    let output = tshark.output();
    std::fs::remove_file(&path).expect("it is there");
    let output = output
        .expect("tshark is needed: `cargo xtask test` installs it, and Debian has it in the package of that name");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it is text");
    let packets = text.lines().map(|line| line.split(';').map(str::to_owned).collect());
    packets.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A call with a channel, in which both sides say something, and the captures of both.
fn captured(version: ProtocolVersion) -> [Vec<u8>; 2] {
    let files = [0, 1].map(|_| Arc::new(Mutex::new(Vec::new())));
    let configs = [0, 1].map(|who| {
        let file = Arc::clone(&files[who]);
        let append = move |block: &[u8]| file.lock().expect("nobody panics with it").extend_from_slice(block);
        Config {
            capture: Some(Capture::new(append)),
            max_dtls_version: version,
            ..config(5, who)
        }
    });
    let mut lab = Lab::with(5, Link::delay(Duration::from_millis(10)), configs);
    let voice = lab.with_peer(0, |peer, now| {
        let (id, kind) = ("voice".into(), MediaKind::Audio);
        peer.add_track(now, Track { id, kind }, &[]).expect("it is added")
    });
    let near = lab.open(0, "chat", DataChannelInit::default());
    lab.offer(0, OfferOptions::default());
    lab.expect_event(0, &Event::ChannelOpen(near));
    let far = lab.expect_incoming(1);
    lab.send(0, near, "from here to there");
    lab.expect_message(1, far);
    lab.send(1, far, "and back");
    lab.expect_message(0, near);
    for number in 0..20u8 {
        lab.with_peer(0, |peer, now| {
            let frame = OutgoingFrame {
                payload: vec![number; 50].into(),
                timestamp: u32::from(number) * 960,
                ..OutgoingFrame::default()
            };
            peer.send_frame(now, voice, frame).expect("it is sent");
        });
        lab.run_for(Duration::from_millis(20));
    }
    lab.run_for(Duration::from_secs(6));
    files.map(|file| std::mem::take(&mut *file.lock().expect("nobody panics with it")))
}

/// Wireshark sees the packets of all layers, from both sides, as they were before they were protected.
#[test]
fn wireshark_reads_what_was_said() {
    for version in [ProtocolVersion::DTLS_1_2, ProtocolVersion::DTLS_1_3] {
        for (who, file) in captured(version).iter().enumerate() {
            let packets = dissect(&format!("{:x}-{who}", version.0), file);
            let of = |protocol: &'static str| packets.iter().filter(move |packet| packet[0].starts_with(protocol));
            let from = |packet: &[String]| [&*packet[1], &packet[2]].concat();
            let senders = |protocol| of(protocol).map(|packet| from(packet)).collect::<BTreeSet<_>>();
            assert!(packets.iter().all(|packet| packet[9].is_empty()), "{packets:?}");
            for protocol in ["STUN", "DTLS", "SCTP", "RTCP"] {
                assert_eq!(senders(protocol).len(), 2, "{protocol} in {packets:?}");
            }
            // Binding requests, and success responses to them.
            let stun: BTreeSet<_> = of("STUN").map(|packet| &*packet[3]).collect();
            assert_eq!(stun, BTreeSet::from(["0x0001", "0x0101"]));
            // Both messages, each once, in DATA or I-DATA.
            let said: Vec<_> = ["from here to there", "and back"]
                .map(|text| {
                    of("SCTP")
                        .filter(|packet| packet[5].contains(&hex(text.as_bytes())))
                        .collect::<Vec<_>>()
                })
                .into_iter()
                .collect();
            assert!(said.iter().all(|packets| packets.len() == 1), "{packets:?}");
            assert_ne!(from(said[0][0]), from(said[1][0]));
            let frames: Vec<_> = of("RTP").filter(|packet| !packet[6].is_empty()).collect();
            let numbers: BTreeSet<_> = frames.iter().map(|packet| &packet[6]).collect();
            assert_eq!((frames.len(), numbers.len()), (20, 20), "{packets:?}");
            for (number, packet) in frames.iter().enumerate() {
                assert_eq!(packet[7], hex(&[number as u8; 50]));
            }
        }
    }
}

/// Blocks follow each other to the last byte: those of the header, packets, and secrets.
#[test]
fn blocks_are_whole() {
    let [file, _] = captured(ProtocolVersion::DTLS_1_3);
    let mut rest = &file[..];
    let mut kinds = BTreeSet::new();
    while let Some((head, _)) = rest.split_at_checked(8) {
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let (kind, length) = (number(&head[..4]), number(&head[4..]) as usize);
        assert!(length.is_multiple_of(4) && length >= 12);
        assert_eq!(number(&rest[length - 4..length]) as usize, length);
        kinds.insert(kind);
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    assert_eq!(kinds, BTreeSet::from([1, 6, 10, 0x0a0d_0d0a]));
}
