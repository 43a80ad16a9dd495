//! Bytes that no packetizer made, and those of one cut anywhere or changed: nothing panics.

use crate::samples::{Sample, samples};
use peerline_rtp::payload::{Depacketizer, MAX_FRAME_SIZE, fuzzing};
use proptest::prelude::*;
use std::collections::VecDeque;

/// The first as the samples are.
const BODIES: [fn(&[u8]); 7] = [
    fuzzing::audio,
    fuzzing::vp8,
    fuzzing::h264,
    fuzzing::av1,
    fuzzing::vp9,
    fuzzing::h265,
    fuzzing::wrapped,
];

#[test]
fn payloads_cut_anywhere() {
    for Sample { format, packets, .. } in samples() {
        for packet in &packets {
            for len in 0..packet.payload.len().min(60) {
                let (mut depacketizer, mut out) = (format.depacketizer(MAX_FRAME_SIZE), VecDeque::new());
                let cut = packet.payload.slice(..len);
                let _ = (format.is_frame_start(&cut), format.is_keyframe(&cut));
                depacketizer.push(cut, 0, true, &mut out).ok();
                assert!(out.iter().all(|frame| !frame.data.is_empty()));
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        BODIES.iter().for_each(|body| body(&bytes));
    }

    /// Scripts whose lengths are sensible, so that every payload has bytes.
    #[test]
    fn any_short_payloads(script in proptest::collection::vec((0_u8..8, proptest::collection::vec(any::<u8>(), 0..20)), 0..30)) {
        let bytes = as_script(&script);
        BODIES.iter().for_each(|body| body(&bytes));
    }

    /// Real payloads with some bytes changed.
    #[test]
    fn changed_payloads(changes in proptest::collection::vec((0_usize..20, 0_usize..8, any::<u8>()), 1..8)) {
        for (sample, body) in samples().into_iter().zip(BODIES) {
            let mut script: Vec<_> = sample
                .packets
                .iter()
                .map(|packet| (u8::from(packet.marker) * 3, packet.payload.to_vec()))
                .collect();
            for &(packet, at, byte) in &changes {
                let len = script.len();
                let payload = &mut script[packet % len].1;
                let len = payload.len();
                payload[at % len] = byte;
            }
            body(&as_script(&script));
        }
    }
}

fn as_script(payloads: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (flags, payload) in payloads {
        bytes.push(*flags);
        bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        bytes.extend_from_slice(payload);
    }
    bytes
}
