//! The session keys of one direction, and what they do to a packet, in place.
//!
//! Each transform has the same four functions. Where a packet is sealed it is `out[start..]`, and grows; where one is
//! opened it is a slice, and the length of the plaintext is returned. Lengths were checked before.

mod aes_cm;
mod gcm;

use aes_cm::AesCm;
use gcm::Gcm;

use crate::Profile;
use crate::cryptex::Coverage;
use crate::key::{Label, MasterKey};
use crate::packet::RtcpTrailer;

/// The keys for one direction, of SRTP and of SRTCP, scheduled once.
pub(crate) struct SessionKeys {
    rtp: Cipher,
    rtcp: Cipher,
}

/// One transform with its keys: no packet passes through a virtual call.
enum Cipher {
    AesCm(Box<AesCm>),
    Gcm(Box<Gcm>),
}

/// The packet did not come from the peer, or not unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forged;

impl SessionKeys {
    pub(crate) fn derive(master: &MasterKey) -> Self {
        let profile = master.profile();
        let cipher = |encryption, authentication, salt, tag_len| match profile {
            Profile::Aes128CmHmacSha1_80 | Profile::Aes128CmHmacSha1_32 => Cipher::AesCm(Box::new(AesCm::new(
                &master.derive(encryption),
                &master.derive(salt),
                &master.derive(authentication),
                tag_len,
            ))),
            Profile::AeadAes128Gcm => Cipher::Gcm(Box::new(Gcm::new(
                &master.derive::<16>(encryption)[..],
                &master.derive(salt),
            ))),
            Profile::AeadAes256Gcm => Cipher::Gcm(Box::new(Gcm::new(
                &master.derive::<32>(encryption)[..],
                &master.derive(salt),
            ))),
        };
        Self {
            rtp: cipher(
                Label::RtpEncryption,
                Label::RtpAuthentication,
                Label::RtpSalt,
                profile.rtp_overhead(),
            ),
            rtcp: cipher(
                Label::RtcpEncryption,
                Label::RtcpAuthentication,
                Label::RtcpSalt,
                profile.rtcp_overhead() - RtcpTrailer::LEN,
            ),
        }
    }

    /// Encrypts what is covered of `out[start..]` as the packet with this index, and appends the tag.
    pub(crate) fn seal_rtp(&self, ssrc: u32, index: u64, out: &mut Vec<u8>, start: usize, coverage: Coverage) {
        match &self.rtp {
            Cipher::AesCm(cipher) => cipher.seal_rtp(ssrc, index, out, start, coverage),
            Cipher::Gcm(cipher) => cipher.seal_rtp(ssrc, index, out, start, coverage),
        }
    }

    /// Checks and decrypts a packet that has room for header and tag.
    pub(crate) fn open_rtp(
        &self,
        ssrc: u32,
        index: u64,
        packet: &mut [u8],
        coverage: Coverage,
    ) -> Result<usize, Forged> {
        match &self.rtp {
            Cipher::AesCm(cipher) => cipher.open_rtp(ssrc, index, packet, coverage),
            Cipher::Gcm(cipher) => cipher.open_rtp(ssrc, index, packet, coverage),
        }
    }

    /// Encrypts all but the first eight bytes of `out[start..]`, if the trailer says so, and appends trailer and tag.
    pub(crate) fn seal_rtcp(&self, ssrc: u32, trailer: RtcpTrailer, out: &mut Vec<u8>, start: usize) {
        match &self.rtcp {
            Cipher::AesCm(cipher) => cipher.seal_rtcp(ssrc, trailer, out, start),
            Cipher::Gcm(cipher) => cipher.seal_rtcp(ssrc, trailer, out, start),
        }
    }

    /// The trailer of an SRTCP packet that has room for it.
    pub(crate) fn rtcp_trailer(&self, packet: &[u8]) -> Option<RtcpTrailer> {
        let end = match &self.rtcp {
            Cipher::AesCm(cipher) => packet.len().checked_sub(cipher.tag_len())?,
            Cipher::Gcm(_) => packet.len(),
        };
        let trailer = packet.get(..end)?.last_chunk()?;
        Some(RtcpTrailer::from_bytes(*trailer))
    }

    /// Checks and decrypts a packet that has room for header, trailer and tag, and ends in this trailer.
    pub(crate) fn open_rtcp(&self, ssrc: u32, trailer: RtcpTrailer, packet: &mut [u8]) -> Result<usize, Forged> {
        match &self.rtcp {
            Cipher::AesCm(cipher) => cipher.open_rtcp(ssrc, trailer, packet),
            Cipher::Gcm(cipher) => cipher.open_rtcp(ssrc, trailer, packet),
        }
    }
}

#[cfg(test)]
impl SessionKeys {
    /// AES-GCM with the same session key and salt for SRTP and SRTCP.
    pub(crate) fn gcm(key: &[u8], salt: &[u8; 12]) -> Self {
        Self {
            rtp: Cipher::Gcm(Box::new(Gcm::new(key, salt))),
            rtcp: Cipher::Gcm(Box::new(Gcm::new(key, salt))),
        }
    }
}
