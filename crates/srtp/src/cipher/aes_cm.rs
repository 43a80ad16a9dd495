//! AES in counter mode with HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1).

use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit as _, StreamCipher, StreamCipherCoreWrapper};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use hmac::{Hmac, KeyInit as _, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::Forged;
use crate::cryptex::Coverage;
use crate::packet::{RTCP_CLEAR_LEN, RtcpTrailer};

/// Session key, salt and authentication key of SRTP or SRTCP: each wipes itself when dropped.
pub(crate) struct AesCm {
    key: Aes128Enc,
    salt: Zeroizing<[u8; 14]>,
    /// The states of both hashes behind the key.
    mac: Hmac<Sha1>,
    tag_len: usize,
}

impl AesCm {
    /// The length of the rollover counter, which is authenticated but not sent, in bytes: no longer than any tag.
    const ROC_LEN: usize = 4;

    pub(crate) fn new(key: &[u8; 16], salt: &[u8; 14], authentication: &[u8; 20], tag_len: usize) -> Self {
        Self {
            key: Aes128Enc::new(key.into()),
            salt: Zeroizing::new(*salt),
            mac: Hmac::new_from_slice(authentication).expect("HMAC takes keys of any length"),
            tag_len,
        }
    }

    pub(crate) fn tag_len(&self) -> usize {
        self.tag_len
    }

    pub(crate) fn seal_rtp(&self, ssrc: u32, index: u64, out: &mut Vec<u8>, start: usize, coverage: Coverage) {
        let packet = &mut out[start..];
        coverage.gather(packet);
        self.apply_keystream(ssrc, index, &mut packet[coverage.clear..]);
        coverage.scatter(packet);
        // "M = Authenticated Portion || ROC" (§4.2), so the counter stands where the tag will be.
        let end = out.len();
        out.extend_from_slice(&roc(index));
        let tag = self.tag(&out[start..]);
        out.truncate(end);
        out.extend_from_slice(&tag[..self.tag_len]);
    }

    pub(crate) fn open_rtp(
        &self,
        ssrc: u32,
        index: u64,
        packet: &mut [u8],
        coverage: Coverage,
    ) -> Result<usize, Forged> {
        let end = packet.len() - self.tag_len;
        let received = self.received_tag(packet);
        packet[end..end + Self::ROC_LEN].copy_from_slice(&roc(index));
        self.verify(&packet[..end + Self::ROC_LEN], &received)?;
        coverage.gather(packet);
        self.apply_keystream(ssrc, index, &mut packet[coverage.clear..end]);
        coverage.scatter(packet);
        Ok(end)
    }

    pub(crate) fn seal_rtcp(&self, ssrc: u32, trailer: RtcpTrailer, out: &mut Vec<u8>, start: usize) {
        if trailer.encrypted {
            self.apply_keystream(ssrc, trailer.index.into(), &mut out[start + RTCP_CLEAR_LEN..]);
        }
        // §3.4: the authenticated portion is "the entire equivalent (eventually compound) RTCP packet, the E flag, and
        // the SRTCP index (after any encryption has been applied to the payload)".
        out.extend_from_slice(&trailer.to_bytes());
        let tag = self.tag(&out[start..]);
        out.extend_from_slice(&tag[..self.tag_len]);
    }

    pub(crate) fn open_rtcp(&self, ssrc: u32, trailer: RtcpTrailer, packet: &mut [u8]) -> Result<usize, Forged> {
        let authenticated = packet.len() - self.tag_len;
        let received = self.received_tag(packet);
        self.verify(&packet[..authenticated], &received)?;
        let end = authenticated - RtcpTrailer::LEN;
        if trailer.encrypted {
            self.apply_keystream(ssrc, trailer.index.into(), &mut packet[RTCP_CLEAR_LEN..end]);
        }
        Ok(end)
    }

    /// Encrypts or decrypts `text`, of less than 2^16 blocks.
    fn apply_keystream(&self, ssrc: u32, index: u64, text: &mut [u8]) {
        // §4.1.1: "IV = (k_s * 2^16) XOR (SSRC * 2^64) XOR (i * 2^16)". The last 16 bits count blocks.
        let mut iv = [0; 16];
        iv[4..8].copy_from_slice(&ssrc.to_be_bytes());
        iv[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        iv.iter_mut().zip(*self.salt).for_each(|(byte, salt)| *byte ^= salt);
        let counter = CtrCore::<&Aes128Enc, Ctr32BE>::inner_iv_init(&self.key, &iv.into());
        StreamCipherCoreWrapper::from_core(counter).apply_keystream(text);
    }

    fn tag(&self, authenticated: &[u8]) -> [u8; 20] {
        self.mac
            .clone()
            .chain_update(authenticated)
            .finalize()
            .into_bytes()
            .into()
    }

    /// The tag that a packet ends in, before something is written over it, and how long it is.
    fn received_tag(&self, packet: &[u8]) -> ([u8; 10], usize) {
        let mut tag = [0; 10];
        tag[..self.tag_len].copy_from_slice(&packet[packet.len() - self.tag_len..]);
        (tag, self.tag_len)
    }

    /// Takes the same time wherever the tags differ.
    fn verify(&self, authenticated: &[u8], (tag, len): &([u8; 10], usize)) -> Result<(), Forged> {
        let mac = self.mac.clone().chain_update(authenticated);
        mac.verify_truncated_left(&tag[..*len]).map_err(|_| Forged)
    }
}

/// The rollover counter of an index.
fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::unhex;

    /// RFC 3711 §B.2: "Keystream segment length: 1044512 octets (65282 AES blocks)".
    #[test]
    fn the_keystream_of_rfc_3711() {
        let key = unhex("2B7E151628AED2A6ABF7158809CF4F3C").try_into().unwrap();
        let salt = unhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
        let cipher = AesCm::new(&key, &salt, &[0; 20], 10);
        let mut keystream = vec![0; 1_044_512];
        cipher.apply_keystream(0, 0, &mut keystream);
        assert_eq!(
            keystream[..48],
            unhex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0")
        );
        assert_eq!(
            keystream[1_044_512 - 48..],
            unhex("EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44")
        );
    }
}
