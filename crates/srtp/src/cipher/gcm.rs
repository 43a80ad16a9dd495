//! AES-GCM (RFC 7714), by `ring` or, as a feature, `aws-lc-rs`.

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::aead;
#[cfg(not(feature = "aws-lc-rs"))]
use ring::aead;

use aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::Forged;
use crate::cryptex::Coverage;
use crate::packet::{RTCP_CLEAR_LEN, RtcpTrailer};

/// Session key and salt of SRTP or SRTCP.
pub(crate) struct Gcm {
    key: LessSafeKey,
    /// As a number of 96 bits.
    salt: Zeroizing<u128>,
}

/// The length of the tag, in bytes.
const TAG_LEN: usize = 16;

impl Gcm {
    /// AES-128 or AES-256, by the length of the key.
    pub(crate) fn new(key: &[u8], salt: &[u8; 12]) -> Self {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, key).expect("a key has 16 or 32 bytes");
        let number = |number, byte: &u8| number << 8 | u128::from(*byte);
        Self {
            key: LessSafeKey::new(key),
            salt: Zeroizing::new(salt.iter().fold(0, number)),
        }
    }

    pub(crate) fn seal_rtp(&self, ssrc: u32, index: u64, out: &mut Vec<u8>, start: usize, coverage: Coverage) {
        // RFC 7714 §8.2: the header with CSRCs and extension is associated data, all else is plaintext.
        let packet = &mut out[start..];
        coverage.gather(packet);
        let (header, payload) = packet.split_at_mut(coverage.clear);
        let tag = self.seal(self.nonce(ssrc, index), header, payload);
        coverage.scatter(packet);
        out.extend_from_slice(&tag);
    }

    pub(crate) fn open_rtp(
        &self,
        ssrc: u32,
        index: u64,
        packet: &mut [u8],
        coverage: Coverage,
    ) -> Result<usize, Forged> {
        let end = packet.len() - TAG_LEN;
        coverage.gather(packet);
        let (header, ciphertext) = packet.split_at_mut(coverage.clear);
        self.open(self.nonce(ssrc, index), header, ciphertext)?;
        coverage.scatter(packet);
        Ok(end)
    }

    pub(crate) fn seal_rtcp(&self, ssrc: u32, trailer: RtcpTrailer, out: &mut Vec<u8>, start: usize) {
        let nonce = self.nonce(ssrc, trailer.index.into());
        let tag = if trailer.encrypted {
            let (clear, payload) = out[start..].split_at_mut(RTCP_CLEAR_LEN);
            self.seal(nonce, &encrypted_aad(clear, trailer), payload)
        } else {
            // §9.3: all is associated data, the trailer behind it.
            let end = out.len();
            out.extend_from_slice(&trailer.to_bytes());
            let tag = self.seal(nonce, &out[start..], &mut []);
            out.truncate(end);
            tag
        };
        // §9.2: "This tag is to be placed immediately before the Encryption flag and SRTCP index."
        out.extend_from_slice(&tag);
        out.extend_from_slice(&trailer.to_bytes());
    }

    pub(crate) fn open_rtcp(&self, ssrc: u32, trailer: RtcpTrailer, packet: &mut [u8]) -> Result<usize, Forged> {
        let nonce = self.nonce(ssrc, trailer.index.into());
        let authenticated = packet.len() - RtcpTrailer::LEN;
        let end = authenticated - TAG_LEN;
        if trailer.encrypted {
            let (clear, ciphertext) = packet[..authenticated].split_at_mut(RTCP_CLEAR_LEN);
            self.open(nonce, &encrypted_aad(clear, trailer), ciphertext)?;
        } else {
            // The trailer goes where the tag was, behind what it is authenticated with.
            let (data, behind) = packet.split_at_mut(end + RtcpTrailer::LEN);
            let mut tag = [0; TAG_LEN];
            tag[..RtcpTrailer::LEN].copy_from_slice(&data[end..]);
            tag[RtcpTrailer::LEN..].copy_from_slice(&behind[..TAG_LEN - RtcpTrailer::LEN]);
            data[end..].copy_from_slice(&trailer.to_bytes());
            self.open(nonce, data, &mut tag)?;
        }
        Ok(end)
    }

    /// §8.1: "the 2-octet string 0x0000, the 4-octet SSRC, the 4-octet rollover counter (ROC), and the 2-octet sequence
    /// number", XORed to the salt. §9.1 has two zero octets and the SRTCP index at the end, which is the same with an
    /// index of 31 bits.
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let nonce = *self.salt ^ u128::from(ssrc) << 48 ^ u128::from(index);
        let [_, _, _, _, nonce @ ..] = nonce.to_be_bytes();
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&self, nonce: Nonce, aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), text)
            .expect("a packet is shorter than 64 GiB");
        tag.as_ref().try_into().expect("a tag has 16 bytes")
    }

    fn open(&self, nonce: Nonce, aad: &[u8], text_and_tag: &mut [u8]) -> Result<(), Forged> {
        match self.key.open_in_place(nonce, Aad::from(aad), text_and_tag) {
            Ok(_) => Ok(()),
            Err(_) => Err(Forged),
        }
    }
}

/// §9.2: the first eight bytes, the E flag and the SRTCP index.
fn encrypted_aad(clear: &[u8], trailer: RtcpTrailer) -> [u8; RTCP_CLEAR_LEN + RtcpTrailer::LEN] {
    let mut aad = [0; RTCP_CLEAR_LEN + RtcpTrailer::LEN];
    aad[..RTCP_CLEAR_LEN].copy_from_slice(clear);
    aad[RTCP_CLEAR_LEN..].copy_from_slice(&trailer.to_bytes());
    aad
}
