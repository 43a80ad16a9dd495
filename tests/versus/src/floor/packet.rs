//! The algorithms of SRTP alone, over packets of 1,200 bytes.

use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit as _, StreamCipher, StreamCipherCoreWrapper};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use hmac::{Hmac, KeyInit as _, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha1::Sha1;

use super::DATAGRAM;
use crate::Result;
use crate::measurement::{Effort, Figure};
use crate::micro::nanoseconds;
use crate::rtp::{PAYLOAD, Protection};
use crate::srtp::{Profile, key_of};

/// What is authenticated and not encrypted.
const HEADER: usize = 12;

/// The algorithms of a profile, with their keys at hand.
pub(super) enum Cipher {
    Gcm(Box<LessSafeKey>),
    AesCm {
        key: Box<Aes128Enc>,
        mac: Box<Hmac<Sha1>>,
        tag_len: usize,
    },
}

impl Cipher {
    pub(super) fn new(profile: Profile) -> Result<Self> {
        match profile {
            Profile::Gcm128 => Self::gcm(&AES_128_GCM),
            Profile::Gcm256 => Self::gcm(&AES_256_GCM),
            Profile::AesCm80 => Ok(Self::aes_cm(10)),
            Profile::AesCm32 => Ok(Self::aes_cm(4)),
        }
    }

    fn gcm(algorithm: &'static Algorithm) -> Result<Self> {
        let key = UnboundKey::new(algorithm, &[7; 32][..algorithm.key_len()]).map_err(|_| "not its length")?;
        Ok(Self::Gcm(Box::new(LessSafeKey::new(key))))
    }

    fn aes_cm(tag_len: usize) -> Self {
        Self::AesCm {
            key: Box::new(Aes128Enc::new(&[7; 16].into())),
            mac: Box::new(Hmac::new_from_slice(&[7; 20]).expect("HMAC takes keys of any length")),
            tag_len,
        }
    }

    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Gcm(key) => key.algorithm().tag_len(),
            Self::AesCm { tag_len, .. } => *tag_len,
        }
    }

    /// Encrypts the packet in `out` from `start` on, and appends its tag.
    pub(super) fn seal(&self, out: &mut Vec<u8>, start: usize) -> Option<()> {
        match self {
            Self::Gcm(key) => {
                let (header, text) = out.get_mut(start..)?.split_at_mut_checked(HEADER)?;
                let tag = key
                    .seal_in_place_separate_tag(nonce(), Aad::from(&*header), text)
                    .ok()?;
                out.extend_from_slice(tag.as_ref());
            }
            Self::AesCm { key, mac, tag_len } => {
                apply_keystream(key, out.get_mut(start + HEADER..)?);
                let tag = (**mac).clone().chain_update(out.get(start..)?).finalize().into_bytes();
                out.extend_from_slice(tag.get(..*tag_len)?);
            }
        }
        Some(())
    }

    /// Verifies and decrypts a packet; how long it is without its tag.
    pub(super) fn open(&self, packet: &mut [u8]) -> Option<usize> {
        let len = packet.len().checked_sub(self.tag_len())?;
        match self {
            Self::Gcm(key) => {
                let (header, text) = packet.split_at_mut_checked(HEADER)?;
                key.open_in_place(nonce(), Aad::from(&*header), text).ok()?;
            }
            Self::AesCm { key, mac, .. } => {
                let (text, tag) = packet.split_at_mut_checked(len)?;
                (**mac).clone().chain_update(&*text).verify_truncated_left(tag).ok()?;
                apply_keystream(key, text.get_mut(HEADER..)?);
            }
        }
        Some(len)
    }
}

fn apply_keystream(key: &Aes128Enc, text: &mut [u8]) {
    let counter = CtrCore::<&Aes128Enc, Ctr32BE>::inner_iv_init(key, &[3; 16].into());
    StreamCipherCoreWrapper::from_core(counter).apply_keystream(text);
}

/// Always the same: what is sealed here is no secret.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([3; NONCE_LEN])
}

/// A packet sealed and opened in place, in µs: the figure `each`.
pub(crate) fn packet(protection: Protection, effort: Effort) -> Result<Vec<Figure>> {
    let cipher = Cipher::new(protection.profile())?;
    let mut packet = vec![0x5a; DATAGRAM - cipher.tag_len()];
    let each = nanoseconds(effort, || -> Option<()> {
        cipher.seal(&mut packet, 0)?;
        let len = cipher.open(&mut packet)?;
        packet.truncate(len);
        Some(())
    });
    Ok(vec![("each", each / 1e3)])
}

/// The same, but only sealed, after a copy of the payload.
pub(crate) fn packet_out(effort: Effort) -> Result<Vec<Figure>> {
    let cipher = Cipher::new(Profile::Gcm128)?;
    let payload = vec![0x5a; PAYLOAD];
    let mut out = Vec::new();
    let each = nanoseconds(effort, || -> Option<()> {
        out.clear();
        out.extend_from_slice(&[0; HEADER + 16]);
        out.extend_from_slice(&payload);
        cipher.seal(&mut out, 0)
    });
    Ok(vec![("each", each / 1e3)])
}

/// A packet of 1,200 bytes sealed by each profile, in ns.
pub(crate) fn protect(effort: Effort) -> Result<Vec<Figure>> {
    let each = |profile| -> Result<Figure> {
        let cipher = Cipher::new(profile)?;
        let mut packet = vec![0x5a; DATAGRAM];
        let each = nanoseconds(effort, || {
            packet.truncate(DATAGRAM);
            cipher.seal(&mut packet, 0)
        });
        Ok((key_of(profile), each))
    };
    Profile::ALL.into_iter().map(each).collect()
}
