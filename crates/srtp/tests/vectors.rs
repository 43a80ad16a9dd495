//! Packets that libsrtp (BSD-3-Clause) checks itself with, from `srtp_validate` and its siblings in test/srtp_driver.c.

use bytes::BytesMut;
use peerline_srtp::{Config, Inbound, MasterKey, Outbound, Profile, StreamState};

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

struct Vector {
    profile: Profile,
    key: &'static str,
    salt: &'static str,
    rtp: &'static str,
    /// With the SRTCP index 1.
    rtcp: &'static str,
}

const RTP: &str = "800f1234decafbadcafebabeabababababababababababababababab";
const RTCP: &str = "81c8000bcafebabeabababababababababababababababab";

const AES_CM: Vector = Vector {
    profile: Profile::Aes128CmHmacSha1_80,
    key: "e1f97a0d3e018be0d64fa32c06de4139",
    salt: "0ec675ad498afeebb6960b3aabe6",
    rtp: "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
    rtcp: "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798",
};

const GCM: Vector = Vector {
    profile: Profile::AeadAes128Gcm,
    key: "000102030405060708090a0b0c0d0e0f",
    salt: "a0a1a2a3a4a5a6a7a8a9aaab",
    rtp: "800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392",
    rtcp: "81c8000bcafebabec98b8b5df0392a55852b6c21ac8e7025c52c6fbea2b3b446ea31123ba88ce61e80000001",
};

impl Vector {
    fn key(&self) -> MasterKey {
        MasterKey::new(self.profile, &unhex(self.key), &unhex(self.salt)).unwrap()
    }

    fn holds(&self) {
        let mut outbound = Outbound::new(&self.key(), Config::default());
        let mut out = unhex(RTP);
        outbound.protect_rtp(&mut out, 0).unwrap();
        assert_eq!(out, unhex(self.rtp));

        // libsrtp counts from one.
        let first = StreamState {
            rtcp_index: Some(0),
            ..outbound.stream(0xcafe_babe).unwrap()
        };
        outbound.resume(first).unwrap();
        let mut out = unhex(RTCP);
        outbound.protect_rtcp(&mut out, 0).unwrap();
        assert_eq!(out, unhex(self.rtcp));

        let mut inbound = Inbound::new(&self.key(), Config::default());
        let mut packet = BytesMut::from(&unhex(self.rtp)[..]);
        inbound.unprotect_rtp(&mut packet).unwrap();
        assert_eq!(packet, unhex(RTP));
        let mut packet = BytesMut::from(&unhex(self.rtcp)[..]);
        inbound.unprotect_rtcp(&mut packet).unwrap();
        assert_eq!(packet, unhex(RTCP));
        assert_eq!(inbound.stream(0xcafe_babe), outbound.stream(0xcafe_babe));
    }
}

#[test]
fn aes_cm() {
    AES_CM.holds();
}

#[test]
fn gcm() {
    GCM.holds();
}

/// The same packet but for the tag, which is cut short; that of SRTCP is not (RFC 5764 §4.1.2).
#[test]
fn aes_cm_with_a_short_tag() {
    let vector = Vector {
        profile: Profile::Aes128CmHmacSha1_32,
        rtp: &AES_CM.rtp[..AES_CM.rtp.len() - 2 * 6],
        ..AES_CM
    };
    vector.holds();
}
