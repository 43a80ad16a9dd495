//! Around the wrap, at the ends of windows and keys, and under attack: for each profile.

use bytes::BytesMut;
use peerline_srtp::{
    Config, Inbound, KeyingMaterial, MasterKey, Outbound, Profile, ProtectError, ResumeError, StreamState,
    UnprotectError,
};

const SSRC: u32 = 0xcafe_babe;

/// Both ends of one direction.
struct Ends {
    key: MasterKey,
    outbound: Outbound,
    inbound: Inbound,
}

impl Ends {
    fn new(profile: Profile, config: &Config) -> Self {
        let exported: Vec<u8> = (0..).take(profile.keying_material_len()).collect();
        let key = KeyingMaterial::from_exporter(profile, &exported).unwrap().client;
        Self {
            outbound: Outbound::new(&key, config.clone()),
            inbound: Inbound::new(&key, config.clone()),
            key,
        }
    }

    fn protect(&mut self, ssrc: u32, sequence_number: u16) -> Vec<u8> {
        let mut out = rtp(ssrc, sequence_number);
        self.outbound.protect_rtp(&mut out, 0).unwrap();
        out
    }

    fn protect_rtcp(&mut self, ssrc: u32) -> Vec<u8> {
        let mut out = rtcp(ssrc);
        self.outbound.protect_rtcp(&mut out, 0).unwrap();
        out
    }

    /// What comes of an SRTP packet, once it is found to be the one that was sent.
    fn receive(&mut self, packet: &[u8]) -> Result<(), UnprotectError> {
        let mut plain = BytesMut::from(packet);
        self.inbound.unprotect_rtp(&mut plain)?;
        let sequence_number = u16::from_be_bytes([plain[2], plain[3]]);
        let ssrc = u32::from_be_bytes(plain[8..12].try_into().unwrap());
        assert_eq!(plain, rtp(ssrc, sequence_number));
        Ok(())
    }

    fn receive_rtcp(&mut self, packet: &[u8]) -> Result<(), UnprotectError> {
        let mut plain = BytesMut::from(packet);
        self.inbound.unprotect_rtcp(&mut plain)?;
        let ssrc = u32::from_be_bytes(plain[4..8].try_into().unwrap());
        assert_eq!(plain, rtcp(ssrc));
        Ok(())
    }

    fn states(&self) -> Vec<StreamState> {
        self.inbound.streams().collect()
    }
}

fn rtp(ssrc: u32, sequence_number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend_from_slice(&sequence_number.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(b"payload");
    packet.extend_from_slice(&sequence_number.to_be_bytes());
    packet
}

/// A receiver report without blocks, and a picture loss indication.
fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0x81, 206, 0, 2]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 9]);
    packet
}

fn each_profile(test: impl Fn(Ends)) {
    for profile in Profile::ALL {
        test(Ends::new(profile, &Config::default()));
    }
}

#[test]
fn reordered_around_the_wrap() {
    each_profile(|mut ends| {
        let sent: Vec<_> = (0..12u16)
            .map(|i| ends.protect(SSRC, 65_530u16.wrapping_add(i)))
            .collect();
        for at in [0, 2, 6, 5, 1, 8, 3, 4, 11, 7] {
            assert_eq!(ends.receive(&sent[at]), Ok(()), "packet {at}");
            assert_eq!(ends.receive(&sent[at]), Err(UnprotectError::Replayed));
        }
        let state = ends.inbound.stream(SSRC).unwrap();
        assert_eq!((state.roc, state.sequence_number), (1, Some(5)));
        // Lost all the way until now.
        assert_eq!(ends.receive(&sent[9]), Ok(()));
    });
}

/// Each stretch that is lost is just short of half the sequence numbers, where their order would be lost.
#[test]
fn long_losses() {
    each_profile(|mut ends| {
        let mut sequence_number = 40_000_u16;
        for _ in 0..10 {
            let packet = ends.protect(SSRC, sequence_number);
            assert_eq!(ends.receive(&packet), Ok(()));
            sequence_number = sequence_number.wrapping_add(32_767);
        }
        assert_eq!(ends.inbound.stream(SSRC), ends.outbound.stream(SSRC));
        assert_eq!(ends.inbound.stream(SSRC).unwrap().roc, 5);
    });
}

#[test]
fn the_first_packet_is_the_last_before_the_wrap() {
    each_profile(|mut ends| {
        let sent: Vec<_> = (0..4u16)
            .map(|i| ends.protect(SSRC, 65_534u16.wrapping_add(i)))
            .collect();
        for packet in &sent[1..] {
            assert_eq!(ends.receive(packet), Ok(()));
        }
        assert_eq!(ends.receive(&sent[0]), Ok(()));
        assert_eq!(ends.inbound.stream(SSRC).unwrap().roc, 1);
    });
}

#[test]
fn a_receiver_that_joins_late_is_told_the_rollover_counter() {
    each_profile(|mut ends| {
        for sequence_number in (0..=u16::MAX).step_by(8_192).cycle().take(50) {
            ends.protect(SSRC, sequence_number);
        }
        let packet = ends.protect(SSRC, 9_000);
        assert_eq!(ends.receive(&packet), Err(UnprotectError::Forged));
        assert_eq!(ends.states(), []);

        let roc = ends.outbound.stream(SSRC).unwrap().roc;
        assert_eq!(roc, 6);
        ends.inbound.set_roc(SSRC, roc).unwrap();
        assert_eq!(ends.receive(&packet), Ok(()));
        assert_eq!(ends.receive(&packet), Err(UnprotectError::Replayed));
        // To be told what it knows does no harm, but it is not led back.
        ends.inbound.set_roc(SSRC, roc).unwrap();
        assert_eq!(ends.receive(&packet), Err(UnprotectError::Replayed));
        assert_eq!(ends.inbound.set_roc(SSRC, roc - 1), Err(ResumeError::Behind));
    });
}

/// More than half the sequence numbers are lost at once, so the receiver takes the round for another.
#[test]
fn a_receiver_that_has_lost_its_place_is_told() {
    each_profile(|mut ends| {
        let packet = ends.protect(SSRC, 50_000);
        ends.receive(&packet).unwrap();
        for sequence_number in [60_000, 10_000, 40_000] {
            ends.protect(SSRC, sequence_number);
        }
        let packet = ends.protect(SSRC, 60_000);
        assert_eq!(ends.receive(&packet), Err(UnprotectError::Forged));
        ends.inbound.set_roc(SSRC, 1).unwrap();
        assert_eq!(ends.receive(&packet), Ok(()));
    });
}

#[test]
fn late_packets_within_the_window() {
    for replay_window in [64, 128, 1_024] {
        for profile in Profile::ALL {
            let mut ends = Ends::new(
                profile,
                &Config {
                    replay_window,
                    ..Config::default()
                },
            );
            let packet = ends.protect(SSRC, 64_999);
            ends.receive(&packet).unwrap();
            let sent: Vec<_> = (0..=replay_window)
                .map(|i| ends.protect(SSRC, 65_000u16.wrapping_add(i)))
                .collect();
            assert_eq!(ends.receive(&sent[usize::from(replay_window)]), Ok(()));
            assert_eq!(ends.receive(&sent[0]), Err(UnprotectError::TooOld));
            assert_eq!(ends.receive(&sent[1]), Ok(()));
            assert_eq!(ends.receive(&sent[1]), Err(UnprotectError::Replayed));
        }
    }
}

#[test]
fn rtcp_is_received_once_and_128_back() {
    each_profile(|mut ends| {
        let sent: Vec<_> = (0..=128).map(|_| ends.protect_rtcp(SSRC)).collect();
        assert_eq!(ends.receive_rtcp(&sent[128]), Ok(()));
        assert_eq!(ends.receive_rtcp(&sent[128]), Err(UnprotectError::Replayed));
        assert_eq!(ends.receive_rtcp(&sent[0]), Err(UnprotectError::TooOld));
        assert_eq!(ends.receive_rtcp(&sent[1]), Ok(()));
        assert_eq!(ends.receive_rtcp(&sent[1]), Err(UnprotectError::Replayed));
    });
}

#[test]
fn each_ssrc_has_its_own_round() {
    each_profile(|mut ends| {
        for sequence_number in [65_000, 100, 30_000, 60_000, 100] {
            let packet = ends.protect(1, sequence_number);
            ends.receive(&packet).unwrap();
        }
        for sequence_number in [65_000, 65_001] {
            let packet = ends.protect(2, sequence_number);
            ends.receive(&packet).unwrap();
            let packet = ends.protect_rtcp(3);
            ends.receive_rtcp(&packet).unwrap();
        }
        let rocs: Vec<_> = ends.states().iter().map(|state| (state.ssrc, state.roc)).collect();
        assert_eq!(rocs, [(1, 2), (2, 0), (3, 0)]);
        let state = ends.inbound.remove(1).unwrap();
        assert_eq!((state.roc, ends.inbound.stream(1)), (2, None));
        let packet = ends.protect(2, 65_002);
        ends.receive(&packet).unwrap();
    });
}

#[test]
fn forged_packets_change_nothing() {
    each_profile(|mut ends| {
        let (first, second) = (ends.protect(SSRC, 1), ends.protect(SSRC, 2));
        let (first_rtcp, second_rtcp) = (ends.protect_rtcp(SSRC), ends.protect_rtcp(SSRC));
        ends.receive(&first).unwrap();
        ends.receive_rtcp(&first_rtcp).unwrap();
        let before = ends.states();
        for at in 0..second.len() * 8 {
            let mut forged = second.clone();
            forged[at / 8] ^= 1 << (at % 8);
            assert!(ends.receive(&forged).is_err(), "bit {at}");
        }
        for at in 0..second_rtcp.len() * 8 {
            let mut forged = second_rtcp.clone();
            forged[at / 8] ^= 1 << (at % 8);
            assert!(ends.receive_rtcp(&forged).is_err(), "bit {at}");
        }
        for len in 0..second.len() {
            assert!(ends.receive(&second[..len]).is_err());
            assert!(ends.receive_rtcp(&second[..len]).is_err());
        }
        for len in 0..second_rtcp.len() {
            assert!(ends.receive(&second_rtcp[..len]).is_err());
            assert!(ends.receive_rtcp(&second_rtcp[..len]).is_err());
        }
        assert_eq!(ends.states(), before);
        assert_eq!(ends.receive(&second), Ok(()));
        assert_eq!(ends.receive_rtcp(&second_rtcp), Ok(()));
    });
}

#[test]
fn ssrcs_are_bounded() {
    for profile in Profile::ALL {
        let mut ends = Ends::new(
            profile,
            &Config {
                max_streams: 3,
                max_retired: 0,
                ..Config::default()
            },
        );
        for ssrc in 1..=3 {
            let packet = ends.protect(ssrc, 7);
            ends.receive(&packet).unwrap();
        }
        assert_eq!(
            ends.outbound.protect_rtp(&mut rtp(4, 7), 0),
            Err(ProtectError::TooManyStreams)
        );
        ends.outbound.remove(1);
        let (fourth, fourth_rtcp) = (ends.protect(4, 7), ends.protect_rtcp(4));
        assert_eq!(ends.receive(&fourth), Err(UnprotectError::TooManyStreams));
        assert_eq!(ends.receive_rtcp(&fourth_rtcp), Err(UnprotectError::TooManyStreams));
        assert_eq!(ends.inbound.set_roc(4, 1), Err(ResumeError::TooManyStreams));
        ends.inbound.remove(2);
        assert_eq!(ends.receive(&fourth), Ok(()));
        assert_eq!(ends.receive_rtcp(&fourth_rtcp), Ok(()));
    }
}

/// RFC 3711 §3.3.2 and §9.1: what has ended is neither replayed nor encrypted alike, and goes on if it comes back.
#[test]
fn what_is_retired_goes_on_where_it_was() {
    each_profile(|mut ends| {
        let sent: Vec<_> = [65_000, 65_534, 1, 5, 4]
            .map(|number| ends.protect(SSRC, number))
            .into();
        let reports: Vec<_> = (0..3).map(|_| ends.protect_rtcp(SSRC)).collect();
        for packet in [&sent[0], &sent[1], &sent[3]] {
            ends.receive(packet).unwrap();
        }
        ends.receive_rtcp(&reports[0]).unwrap();
        ends.receive_rtcp(&reports[2]).unwrap();
        let before = ends.states();
        ends.inbound.retire(SSRC);
        ends.outbound.retire(SSRC);
        assert_eq!(
            (ends.states(), ends.inbound.stream(SSRC)),
            (before.clone(), Some(before[0]))
        );

        // Also what was missing counts as received.
        for packet in &sent {
            assert_eq!(ends.receive(packet), Err(UnprotectError::Replayed));
        }
        for report in &reports {
            assert_eq!(ends.receive_rtcp(report), Err(UnprotectError::Replayed));
        }
        for number in [4, 3, 65_535] {
            let result = ends.outbound.protect_rtp(&mut rtp(SSRC, number), 0);
            assert_eq!(result, Err(ProtectError::Repeated));
        }
        assert_eq!(ends.states(), before);
        // It goes on in its round, though nothing is told.
        for number in [6, 30_000, 60_000, 2] {
            let packet = ends.protect(SSRC, number);
            assert_eq!(ends.receive(&packet), Ok(()));
            ends.inbound.retire(SSRC);
            ends.outbound.retire(SSRC);
        }
        let report = ends.protect_rtcp(SSRC);
        assert_eq!(ends.receive_rtcp(&report), Ok(()));
        assert_eq!((ends.states()[0].roc, ends.states()[0].rtcp_index), (2, Some(3)));
    });
}

#[test]
fn ssrcs_come_and_go_for_long() {
    let config = Config {
        max_streams: 4,
        max_retired: 1_000,
        ..Config::default()
    };
    for profile in Profile::ALL {
        let mut ends = Ends::new(profile, &config);
        let first = ends.protect(0, 7);
        ends.receive(&first).unwrap();
        for ssrc in 1..1_004 {
            let packet = ends.protect(ssrc, 7);
            ends.receive(&packet).unwrap();
        }
        assert_eq!(ends.receive(&first), Err(UnprotectError::Replayed));
        let next = ends.protect(0, 8);
        assert_eq!(ends.receive(&next), Ok(()));
        assert_eq!(ends.states().len(), 1_004);
        assert_eq!(
            ends.outbound.protect_rtp(&mut rtp(1_004, 7), 0),
            Err(ProtectError::TooManyStreams)
        );
    }
}

#[test]
fn a_sender_does_not_encrypt_two_packets_alike() {
    each_profile(|mut ends| {
        for sequence_number in [10, 12, 11] {
            ends.protect(SSRC, sequence_number);
        }
        let mut out = b"before".to_vec();
        out.extend_from_slice(&rtp(SSRC, 11));
        assert_eq!(ends.outbound.protect_rtp(&mut out, 6), Err(ProtectError::Repeated));
        assert_eq!(out, b"before");
        ends.protect(SSRC, 2_000);
        let result = ends.outbound.protect_rtp(&mut rtp(SSRC, 13), 0);
        assert_eq!(result, Err(ProtectError::TooOld));
    });
}

/// Where it is allowed, the same packet gives the same bytes. With AES-GCM it is not.
#[test]
fn a_retransmission_under_its_own_number() {
    for profile in Profile::ALL {
        let mut ends = Ends::new(
            profile,
            &Config {
                allow_repeats: true,
                ..Config::default()
            },
        );
        let first = ends.protect(SSRC, 10);
        ends.protect(SSRC, 11);
        let mut again = rtp(SSRC, 10);
        let result = ends.outbound.protect_rtp(&mut again, 0);
        match profile {
            Profile::Aes128CmHmacSha1_80 | Profile::Aes128CmHmacSha1_32 => assert_eq!((result, again), (Ok(()), first)),
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => assert_eq!(result, Err(ProtectError::Repeated)),
        }
    }
}

#[test]
fn what_is_no_packet_is_not_protected() {
    each_profile(|mut ends| {
        let (whole, whole_rtcp) = (rtp(SSRC, 1), rtcp(SSRC));
        for len in 0..12 {
            let mut out = [&[1, 2, 3], &whole[..len]].concat();
            assert_eq!(ends.outbound.protect_rtp(&mut out, 3), Err(ProtectError::Malformed));
            assert_eq!(out, [1, 2, 3]);
        }
        for len in 0..8 {
            let mut out = [&[1, 2, 3], &whole_rtcp[..len]].concat();
            assert_eq!(ends.outbound.protect_rtcp(&mut out, 3), Err(ProtectError::Malformed));
            assert_eq!(out, [1, 2, 3]);
        }
        let mut long = whole;
        long.resize(1 << 16, 0);
        assert_eq!(ends.outbound.protect_rtp(&mut long, 0), Err(ProtectError::TooLong));
        assert_eq!(ends.outbound.streams().count(), 0);
        // The shortest that there are.
        ends.outbound.protect_rtp(&mut rtp(SSRC, 1)[..12].to_vec(), 0).unwrap();
        ends.outbound.protect_rtcp(&mut rtcp(SSRC)[..8].to_vec(), 0).unwrap();
    });
}

/// RFC 3711 §9.2: 2^48 SRTP packets or 2^31 SRTCP packets.
#[test]
fn a_key_ends() {
    each_profile(|mut ends| {
        let late = StreamState {
            ssrc: SSRC,
            roc: u32::MAX,
            sequence_number: Some(65_533),
            rtcp_index: Some((1 << 31) - 2),
        };
        ends.outbound.resume(late).unwrap();
        ends.inbound.resume(late).unwrap();
        for sequence_number in [65_534, 65_535] {
            let packet = ends.protect(SSRC, sequence_number);
            assert_eq!(ends.receive(&packet), Ok(()));
        }
        let packet = ends.protect_rtcp(SSRC);
        assert_eq!(ends.receive_rtcp(&packet), Ok(()));
        assert_eq!(ends.receive_rtcp(&packet), Err(UnprotectError::Replayed));
        assert_eq!(ends.inbound.stream(SSRC), ends.outbound.stream(SSRC));

        assert_eq!(
            ends.outbound.protect_rtp(&mut rtp(SSRC, 0), 0),
            Err(ProtectError::KeyExpired)
        );
        assert_eq!(
            ends.outbound.protect_rtcp(&mut rtcp(SSRC), 0),
            Err(ProtectError::KeyExpired)
        );
        assert_eq!(ends.receive(&rtp(SSRC, 0).repeat(3)), Err(UnprotectError::KeyExpired));
    });
}

#[test]
fn another_process_goes_on() {
    each_profile(|mut ends| {
        let mut received = Vec::new();
        for sequence_number in [65_000, 300, 302] {
            received.push(ends.protect(SSRC, sequence_number));
            ends.receive(received.last().unwrap()).unwrap();
        }
        let missing = ends.protect(SSRC, 301);
        let first_rtcp = ends.protect_rtcp(SSRC);
        ends.receive_rtcp(&first_rtcp).unwrap();

        let mut outbound = Outbound::new(&ends.key, Config::default());
        let mut inbound = Inbound::new(&ends.key, Config::default());
        ends.outbound
            .streams()
            .for_each(|state| outbound.resume(state).unwrap());
        ends.inbound.streams().for_each(|state| inbound.resume(state).unwrap());
        assert_eq!(
            outbound.protect_rtp(&mut rtp(SSRC, 302), 0),
            Err(ProtectError::Repeated)
        );
        (ends.outbound, ends.inbound) = (outbound, inbound);

        for packet in received.iter().skip(1).chain([&missing]) {
            assert_eq!(ends.receive(packet), Err(UnprotectError::Replayed));
        }
        assert_eq!(ends.receive_rtcp(&first_rtcp), Err(UnprotectError::Replayed));
        let packet = ends.protect(SSRC, 303);
        assert_eq!(ends.receive(&packet), Ok(()));
        let packet = ends.protect_rtcp(SSRC);
        assert_eq!(ends.receive_rtcp(&packet), Ok(()));
        assert_eq!(ends.inbound.stream(SSRC), ends.outbound.stream(SSRC));

        let back = StreamState {
            rtcp_index: Some(0),
            ..ends.inbound.stream(SSRC).unwrap()
        };
        assert_eq!(ends.inbound.resume(back), Err(ResumeError::Behind));
        assert_eq!(ends.outbound.resume(back), Err(ResumeError::Behind));
    });
}

/// Sessions move between threads.
#[test]
fn both_are_send() {
    fn send<T: Send>() {}
    send::<Inbound>();
    send::<Outbound>();
}
