//! What two browsers sent each other, opened with their keys, and protected again.

use bytes::BytesMut;
use peerline_srtp::{Config, Inbound, KeyingMaterial, MasterKey, Outbound, Profile, StreamState, UnprotectError};

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// One side of a session: the packets that it sent, in order.
fn holds(profile: Profile, key: &MasterKey, packets: &[[&str; 3]]) {
    let (mut inbound, mut outbound) = (
        Inbound::new(key, Config::default()),
        Outbound::new(key, Config::default()),
    );
    for &[kind, protected, plain] in packets {
        let (protected, plain) = (unhex(protected), unhex(plain));
        let mut out = plain.clone();
        let mut packet = BytesMut::from(&protected[..]);
        let mut replayed = packet.clone();
        if kind == "rtp" {
            assert_eq!(plain.len() + profile.rtp_overhead(), protected.len());
            inbound.unprotect_rtp(&mut packet).unwrap();
            assert_eq!(inbound.unprotect_rtp(&mut replayed), Err(UnprotectError::Replayed));
            outbound.protect_rtp(&mut out, 0).unwrap();
        } else {
            assert_eq!(plain.len() + profile.rtcp_overhead(), protected.len());
            inbound.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(inbound.unprotect_rtcp(&mut replayed), Err(UnprotectError::Replayed));
            // Browsers count from one, and some packets were not recorded.
            let ssrc = u32::from_be_bytes(plain[4..8].try_into().unwrap());
            let index = inbound.stream(ssrc).unwrap().rtcp_index.unwrap();
            let here = outbound.stream(ssrc).unwrap_or(StreamState {
                ssrc,
                ..StreamState::default()
            });
            let rtcp_index = index.checked_sub(1);
            outbound.resume(StreamState { rtcp_index, ..here }).unwrap();
            outbound.protect_rtcp(&mut out, 0).unwrap();
        }
        assert_eq!(packet, plain);
        assert_eq!(out, protected);
    }
    assert_eq!(inbound.streams().count(), outbound.streams().count());
}

fn session(profile: Profile, recorded: &str) {
    let mut lines = recorded.lines().filter(|line| !line.starts_with('#'));
    let exported = lines
        .next()
        .and_then(|line| line.strip_prefix("keying-material "))
        .unwrap();
    let keys = KeyingMaterial::from_exporter(profile, &unhex(exported)).unwrap();
    let (mut client, mut server) = (Vec::<[&str; 3]>::new(), Vec::<[&str; 3]>::new());
    for line in lines {
        let fields: Vec<&str> = line.split(' ').collect();
        let [side, packet @ ..] = &fields[..] else {
            panic!("a line")
        };
        let packets = if *side == "client" { &mut client } else { &mut server };
        packets.push(packet.try_into().unwrap());
    }
    assert!(server.iter().any(|[kind, ..]| *kind == "rtcp"));
    for (key, packets) in [(&keys.client, &client), (&keys.server, &server)] {
        assert!(packets.iter().any(|[kind, ..]| *kind == "rtp"));
        holds(profile, key, packets);
    }
}

#[test]
fn chromium_and_firefox_with_aes_128_gcm() {
    session(
        Profile::AeadAes128Gcm,
        include_str!("vectors/chromium-firefox-aead-aes-128-gcm.txt"),
    );
}

#[test]
fn firefox_and_chromium_with_aes_cm() {
    session(
        Profile::Aes128CmHmacSha1_80,
        include_str!("vectors/chromium-firefox-aes128-cm-hmac-sha1-80.txt"),
    );
}
