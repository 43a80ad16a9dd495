//! SRTP to and from libsrtp, with each profile, and its judgement of reordered, replayed, late and forged packets.

use bytes::BytesMut;
use peerline_native::libsrtp::{Libsrtp, Rtcp, Status};
use peerline_srtp::{Config, Inbound, MasterKey, Outbound, Profile, UnprotectError};

const WINDOW: u16 = 128;

struct Ends {
    theirs: Libsrtp,
    outbound: Outbound,
    inbound: Inbound,
}

impl Ends {
    fn new(profile: Profile, rtcp: Rtcp) -> Self {
        let bytes: Vec<u8> = (0x11..).take(profile.key_len() + profile.salt_len()).collect();
        let (key, salt) = bytes.split_at(profile.key_len());
        let config = Config {
            replay_window: WINDOW,
            ..Config::default()
        };
        let master = MasterKey::new(profile, key, salt).expect("lengths of the profile");
        Self {
            theirs: Libsrtp::new(profile.number(), key, salt, WINDOW, rtcp),
            outbound: Outbound::new(&master, config.clone()),
            inbound: Inbound::new(&master, config),
        }
    }

    fn protect(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut out = packet.to_vec();
        self.outbound.protect_rtp(&mut out, 0).expect("it is new");
        out
    }

    /// Both judge a packet alike, and read the same from it. Returns whether they took it.
    fn judge(&mut self, protected: &[u8]) -> bool {
        let mut packet = BytesMut::from(protected);
        let ours = self.inbound.unprotect_rtp(&mut packet).map(|()| packet.to_vec());
        let theirs = self.theirs.unprotect(protected).map_err(fault);
        assert_eq!(ours, theirs);
        ours.is_ok()
    }

    fn judge_rtcp(&mut self, protected: &[u8]) -> bool {
        let mut packet = BytesMut::from(protected);
        let ours = self.inbound.unprotect_rtcp(&mut packet).map(|()| packet.to_vec());
        let theirs = self.theirs.unprotect_rtcp(protected).map_err(fault);
        assert_eq!(ours, theirs);
        ours.is_ok()
    }
}

fn fault(status: Status) -> UnprotectError {
    match status {
        Status::AUTH_FAIL => UnprotectError::Forged,
        Status::REPLAY_FAIL => UnprotectError::Replayed,
        Status::REPLAY_OLD => UnprotectError::TooOld,
        Status(number) => panic!("error {number}"),
    }
}

/// With CSRCs and an extension, now and then.
fn rtp(ssrc: u32, sequence_number: u16) -> Vec<u8> {
    let shape = sequence_number % 4;
    let mut packet = vec![
        0x80 | if shape > 1 { 0x10 } else { 0 } | if shape % 2 == 1 { 2 } else { 0 },
        96,
    ];
    packet.extend_from_slice(&sequence_number.to_be_bytes());
    packet.extend_from_slice(&[0, 1, 2, 3]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    if shape % 2 == 1 {
        packet.extend_from_slice(&[9; 8]);
    }
    if shape > 1 {
        packet.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
    }
    packet.extend((0..sequence_number % 300).map(|byte| byte as u8));
    packet
}

fn rtcp(ssrc: u32, reports: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    for report in 0..reports {
        packet.extend_from_slice(&[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, report]);
    }
    packet
}

#[test]
fn both_ways() {
    for profile in Profile::ALL {
        let mut ends = Ends::new(profile, Rtcp::Encrypted);
        for i in 0..300u16 {
            let (ssrc, sequence_number) = (u32::from(i % 3) + 1, 65_400u16.wrapping_add(i));
            let plain = rtp(ssrc, sequence_number);
            let ours = ends.protect(&plain);
            assert_eq!(ends.theirs.protect(&plain), Ok(ours.clone()), "the same bytes");
            assert!(ends.judge(&ours));

            let plain = rtcp(ssrc, (i % 5) as u8);
            let mut ours = plain.clone();
            ends.outbound.protect_rtcp(&mut ours, 0).expect("it is new");
            assert_eq!(ends.theirs.unprotect_rtcp(&ours).as_ref(), Ok(&plain));
            let theirs = ends.theirs.protect_rtcp(&plain).expect("it is new");
            let mut packet = BytesMut::from(&theirs[..]);
            assert_eq!(ends.inbound.unprotect_rtcp(&mut packet), Ok(()));
            assert_eq!(packet, plain);
        }
    }
}

/// libsrtp can leave SRTCP in the clear. If it expects it encrypted it takes it all the same, but with AES-GCM only.
#[test]
fn rtcp_in_the_clear() {
    for profile in Profile::ALL {
        let mut ends = Ends::new(profile, Rtcp::Clear);
        let mut strict = Ends::new(profile, Rtcp::Encrypted);
        for reports in 0..5 {
            let plain = rtcp(7, reports);
            let theirs = ends.theirs.protect_rtcp(&plain).expect("it is new");
            assert_eq!(theirs[..plain.len()], plain);
            let taken = match profile {
                Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => Ok(plain),
                Profile::Aes128CmHmacSha1_80 | Profile::Aes128CmHmacSha1_32 => Err(Status::CANT_CHECK),
            };
            assert_eq!(strict.theirs.unprotect_rtcp(&theirs), taken);
            assert!(ends.judge_rtcp(&theirs));
            assert!(!ends.judge_rtcp(&theirs));
        }
    }
}

/// Numbers that look random, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Packets that are lost, late, doubled and changed, over several rounds of the sequence numbers.
#[test]
fn the_same_judgement() {
    for profile in Profile::ALL {
        for seed in 0..2 {
            let mut ends = Ends::new(profile, Rtcp::Encrypted);
            let mut numbers = Numbers(seed);
            let mut sequence_number = 65_000 + numbers.below(536) as u16;
            let mut sent: Vec<Vec<u8>> = Vec::new();
            let mut taken = 0;
            for _ in 0..2_000 {
                let steps = match numbers.below(40) {
                    0 => 1 + numbers.below(15_000) as u16,
                    1..5 => 1 + numbers.below(100) as u16,
                    _ => 1,
                };
                sequence_number = sequence_number.wrapping_add(steps);
                sent.push(ends.protect(&rtp(5, sequence_number)));
                let back = match numbers.below(4) {
                    0 => numbers.below(200),
                    1 => numbers.below(8),
                    _ => 0,
                };
                let mut packet = sent[sent.len() - 1 - (back as usize).min(sent.len() - 1)].clone();
                if numbers.below(10) == 0 {
                    // Its number, its timestamp, or what follows the header: how long that is should be clear.
                    let at = match numbers.below(2) {
                        0 => 2 + numbers.below(6) as usize,
                        _ => 28 + numbers.below(300) as usize,
                    };
                    if let Some(byte) = packet.get_mut(at) {
                        *byte ^= 1 << numbers.below(8);
                    }
                }
                taken += usize::from(ends.judge(&packet));
            }
            assert!((900..2_000).contains(&taken), "{profile:?}, seed {seed}: {taken}");
        }
    }
}

#[test]
fn the_same_judgement_of_rtcp() {
    for profile in Profile::ALL {
        let mut ends = Ends::new(profile, Rtcp::Encrypted);
        let mut numbers = Numbers(9);
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for _ in 0..600 {
            for _ in 0..=numbers.below(3) {
                let mut out = rtcp(5, numbers.below(4) as u8);
                ends.outbound.protect_rtcp(&mut out, 0).expect("it is new");
                sent.push(out);
            }
            let back = numbers.below(300) as usize;
            let packet = sent[sent.len() - 1 - back.min(sent.len() - 1)].clone();
            ends.judge_rtcp(&packet);
        }
    }
}
