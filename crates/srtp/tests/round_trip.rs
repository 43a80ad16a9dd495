//! Any packets on any path: what arrives is what was sent, once; and garbage changes nothing.

use bytes::BytesMut;
use peerline_srtp::{Config, Inbound, KeyingMaterial, Outbound, Profile, UnprotectError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn profile() -> impl Strategy<Value = Profile> {
    prop::sample::select(Profile::ALL.to_vec())
}

fn ends(profile: Profile, cryptex: bool) -> (Outbound, Inbound) {
    let exported: Vec<u8> = (0..).take(profile.keying_material_len()).collect();
    let key = KeyingMaterial::from_exporter(profile, &exported).unwrap().server;
    let config = Config {
        cryptex,
        ..Config::default()
    };
    (Outbound::new(&key, config.clone()), Inbound::new(&key, config))
}

/// An RTP packet with some CSRCs, perhaps an extension, and any payload.
#[derive(Clone, Debug)]
struct Shape {
    csrcs: Vec<u32>,
    extension: Option<Vec<u32>>,
    payload: Vec<u8>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let words = |max| vec(any::<u32>(), 0..max);
    (words(16), prop::option::of(words(20)), vec(any::<u8>(), 0..200)).prop_map(|(csrcs, extension, payload)| Shape {
        // Encrypted CSRCs would bring an extension.
        extension: extension.or((!csrcs.is_empty()).then(Vec::new)),
        csrcs,
        payload,
    })
}

impl Shape {
    fn packet(&self, ssrc: u32, sequence_number: u16) -> Vec<u8> {
        let extended = if self.extension.is_some() { 0x10 } else { 0 };
        let mut packet = vec![0x80 | extended | self.csrcs.len() as u8, 111];
        packet.extend_from_slice(&sequence_number.to_be_bytes());
        packet.extend_from_slice(&[1, 2, 3, 4]);
        packet.extend_from_slice(&ssrc.to_be_bytes());
        packet.extend(self.csrcs.iter().flat_map(|csrc| csrc.to_be_bytes()));
        if let Some(words) = &self.extension {
            packet.extend_from_slice(&[0xbe, 0xde, 0, words.len() as u8]);
            packet.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
        packet.extend_from_slice(&self.payload);
        packet
    }
}

proptest! {
    /// Each packet is lost, or arrives once or twice, up to sixty places late, on a stream that wraps once or twice.
    #[test]
    fn every_packet_arrives_once(
        profile in profile(),
        cryptex: bool,
        first in prop_oneof![65_400u16..=65_535, any::<u16>()],
        shapes in vec((shape(), 1u16..=16, vec(0usize..60, 0..3)), 1..150),
    ) {
        let (mut outbound, mut inbound) = ends(profile, cryptex);
        let mut sequence_number = first;
        let mut path = Vec::new();
        for (at, (shape, step, arrivals)) in shapes.iter().enumerate() {
            let plain = shape.packet(7, sequence_number);
            let mut protected = plain.clone();
            outbound.protect_rtp(&mut protected, 0).unwrap();
            prop_assert_eq!(protected.len(), plain.len() + profile.rtp_overhead());
            // The first tells the receiver which round it is.
            if at == 0 {
                path.push((0, plain.clone(), protected.clone()));
            }
            path.extend(arrivals.iter().map(|late| (at + late, plain.clone(), protected.clone())));
            // Sixty places are at most 960 numbers, so nothing is later than the window.
            sequence_number = sequence_number.wrapping_add(*step);
        }
        path.sort_by_key(|(at, ..)| *at);
        let mut seen = std::collections::HashSet::new();
        for (_, plain, protected) in path {
            let mut packet = BytesMut::from(&protected[..]);
            let result = inbound.unprotect_rtp(&mut packet);
            if seen.insert(protected) {
                prop_assert_eq!(result, Ok(()));
                prop_assert_eq!(packet, plain);
            } else {
                prop_assert_eq!(result, Err(UnprotectError::Replayed));
            }
        }
    }

    #[test]
    fn any_compound_rtcp_packet(profile in profile(), cryptex: bool, ssrc: u32, packets in vec(vec(any::<u8>(), 0..300), 1..10)) {
        let (mut outbound, mut inbound) = ends(profile, cryptex);
        for body in packets {
            let plain = [&[0x81, 200, 0, 6], &ssrc.to_be_bytes()[..], &body].concat();
            let mut out = b"before".to_vec();
            out.extend_from_slice(&plain);
            outbound.protect_rtcp(&mut out, 6).unwrap();
            prop_assert_eq!(out.len(), 6 + plain.len() + profile.rtcp_overhead());
            let mut packet = BytesMut::from(&out[6..]);
            inbound.unprotect_rtcp(&mut packet).unwrap();
            prop_assert_eq!(&packet, &plain);
        }
        prop_assert_eq!(inbound.stream(ssrc), outbound.stream(ssrc));
    }

    #[test]
    fn garbage_changes_nothing(profile in profile(), cryptex: bool, garbage in vec(vec(any::<u8>(), 0..120), 1..50)) {
        let (_, mut inbound) = ends(profile, cryptex);
        for mut bytes in garbage {
            for first in [0x80, 0x90, 0x9f] {
                if let Some(byte) = bytes.first_mut() {
                    *byte = first;
                }
                prop_assert!(inbound.unprotect_rtp(&mut BytesMut::from(&bytes[..])).is_err());
                prop_assert!(inbound.unprotect_rtcp(&mut BytesMut::from(&bytes[..])).is_err());
            }
        }
        prop_assert_eq!(inbound.streams().count(), 0);
    }

    /// Packets on their way that change anywhere are refused, and do not keep the true one out.
    #[test]
    fn whatever_is_changed_is_refused(profile in profile(), cryptex: bool, shape in shape(), at: Index, bits in 1u8..) {
        let (mut outbound, mut inbound) = ends(profile, cryptex);
        let plain = shape.packet(7, 99);
        let mut protected = plain.clone();
        outbound.protect_rtp(&mut protected, 0).unwrap();
        let mut changed = BytesMut::from(&protected[..]);
        changed[at.index(protected.len())] ^= bits;
        prop_assert!(inbound.unprotect_rtp(&mut changed).is_err());
        prop_assert_eq!(inbound.streams().count(), 0);
        let mut packet = BytesMut::from(&protected[..]);
        prop_assert_eq!(inbound.unprotect_rtp(&mut packet), Ok(()));
        prop_assert_eq!(packet, plain);
    }
}
