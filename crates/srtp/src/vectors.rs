//! The packets of RFC 7714 §16 and §17, which are given with session keys.

use crate::cipher::SessionKeys;
use crate::cryptex::Coverage;
use crate::packet::{RtcpTrailer, RtpHeader, rtcp_ssrc};

/// Hexadecimal digits, with white space anywhere.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    digits
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

/// §16, §17: the keys are 00 01 02 … in 16 or 32 bytes.
fn keys(len: u8) -> SessionKeys {
    let key: Vec<u8> = (0..len).collect();
    SessionKeys::gcm(&key, b"Quid pro quo")
}

/// §16: "Gallia est omnis divisa in partes tres", ROC 0.
const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070
                   61727465 73207472 6573";

/// §17.
const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef
                    deadbeef deadbeef deadbeef";

fn rtp(keys: &SessionKeys, protected: &str) {
    let (plain, mut protected) = (unhex(RTP), unhex(protected));
    let header = RtpHeader::parse(&plain).unwrap();
    let mut out = b"before".to_vec();
    out.extend_from_slice(&plain);
    let index = header.sequence_number.into();
    keys.seal_rtp(header.ssrc, index, &mut out, 6, Coverage::payload(&header));
    assert_eq!(out[6..], protected);
    let len = keys
        .open_rtp(header.ssrc, index, &mut out[6..], Coverage::payload(&header))
        .unwrap();
    assert_eq!(out[6..6 + len], plain);
    assert!(
        keys.open_rtp(header.ssrc, index + 1, &mut protected, Coverage::payload(&header))
            .is_err()
    );
}

fn rtcp(keys: &SessionKeys, protected: &str, encrypted: bool) {
    let (plain, mut protected) = (unhex(RTCP), unhex(protected));
    let ssrc = rtcp_ssrc(&plain).unwrap();
    let trailer = RtcpTrailer {
        encrypted,
        index: 0x5d4,
    };
    let mut out = b"before".to_vec();
    out.extend_from_slice(&plain);
    keys.seal_rtcp(ssrc, trailer, &mut out, 6);
    assert_eq!(out[6..], protected);
    assert_eq!(keys.rtcp_trailer(&out[6..]), Some(trailer));
    let len = keys.open_rtcp(ssrc, trailer, &mut out[6..]).unwrap();
    assert_eq!(out[6..6 + len], plain);
    assert!(
        keys.open_rtcp(
            ssrc,
            RtcpTrailer {
                index: 0x5d5,
                ..trailer
            },
            &mut protected
        )
        .is_err()
    );
}

/// §16.1.1, §16.1.2.
#[test]
fn srtp_aead_aes_128_gcm() {
    rtp(
        &keys(16),
        "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf
         8833899d 7f27beb1 6a9152cf 765ee439 0cce",
    );
}

/// §16.2.1, §16.2.2.
#[test]
fn srtp_aead_aes_256_gcm() {
    rtp(
        &keys(32),
        "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799
         b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
    );
}

/// §17.1.
#[test]
fn srtcp_aead_aes_128_gcm() {
    rtcp(
        &keys(16),
        "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded
         0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
        true,
    );
}

/// §17.2.
#[test]
fn srtcp_aead_aes_256_gcm() {
    rtcp(
        &keys(32),
        "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047
         6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
        true,
    );
}

/// §17.3: the E flag is not set.
#[test]
fn srtcp_aead_aes_128_gcm_tagging_only() {
    rtcp(
        &keys(16),
        &format!("{RTCP} 841dd968 3dd78ec9 2ae58790 125f62b3 000005d4"),
        false,
    );
}

/// §17.4: the E flag is not set.
#[test]
fn srtcp_aead_aes_256_gcm_tagging_only() {
    rtcp(
        &keys(32),
        &format!("{RTCP} 91db4afb feee5a97 8fab4393 ed2615fe 000005d4"),
        false,
    );
}
