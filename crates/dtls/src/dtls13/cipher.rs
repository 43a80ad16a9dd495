//! How DTLS 1.3 protects a record (RFC 9147 §4.2.3, §4.5; RFC 8446 §5.2, §5.3): an AEAD under a nonce that does not travel,
//! and a mask over the sequence number, all in place.
//!
//! The mask is one block of AES or ChaCha20 over a sample of the ciphertext, which is what QUIC does with its packet
//! numbers (RFC 9001 §5.4.3, §5.4.4): so both providers have it.

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::aead;
#[cfg(not(feature = "aws-lc-rs"))]
use ring::aead;

use std::ops::Range;

use aead::quic::{self, HeaderProtectionKey};
use aead::{Aad, LessSafeKey, Nonce, UnboundKey};

use crate::cipher::{Bulk, Forged, TAG_LEN};

/// The keys of one direction and one epoch, scheduled once.
pub(crate) struct Cipher {
    key: LessSafeKey,
    iv: [u8; Self::IV_LEN],
    mask: HeaderProtectionKey,
}

impl Cipher {
    /// The length of a nonce in bytes.
    pub(crate) const IV_LEN: usize = 12;

    /// How much of the ciphertext decides the mask: every record has that much, since a tag is as long.
    const SAMPLE_LEN: usize = 16;

    /// The cipher with these keys; `None` if their lengths are not the algorithm's.
    pub(crate) fn new(bulk: Bulk, key: &[u8], iv: [u8; Self::IV_LEN], sn_key: &[u8]) -> Option<Self> {
        let mask = match bulk {
            Bulk::Aes128Gcm => &quic::AES_128,
            Bulk::Aes256Gcm => &quic::AES_256,
            Bulk::ChaCha20Poly1305 => &quic::CHACHA20,
        };
        Some(Self {
            key: LessSafeKey::new(UnboundKey::new(bulk.algorithm(), key).ok()?),
            iv,
            mask: HeaderProtectionKey::new(mask, sn_key).ok()?,
        })
    }

    /// Protects the record `number` that begins at `record` in `out`: a header as long as `header`, in which `sequence` is
    /// the sequence number, then the plaintext. The tag is appended.
    pub(crate) fn seal(
        &self,
        number: u64,
        out: &mut Vec<u8>,
        record: usize,
        header: usize,
        sequence: Range<usize>,
    ) -> Option<()> {
        let (aad, text) = out.get_mut(record..)?.split_at_mut_checked(header)?;
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(number), Aad::from(&*aad), text)
            .ok()?;
        out.extend_from_slice(tag.as_ref());
        self.apply_mask(out.get_mut(record..)?, header, sequence)
    }

    /// Takes the mask off the sequence number of a record.
    pub(crate) fn unmask(&self, record: &mut [u8], header: usize, sequence: Range<usize>) -> Result<(), Forged> {
        self.apply_mask(record, header, sequence).ok_or(Forged)
    }

    /// Decrypts the record `number` in place. What it returns is the length of the plaintext after the header.
    pub(crate) fn open(&self, number: u64, record: &mut [u8], header: usize) -> Result<usize, Forged> {
        let (header, text) = record.split_at_mut_checked(header).ok_or(Forged)?;
        let plaintext = text.len().checked_sub(TAG_LEN).ok_or(Forged)?;
        self.key
            .open_in_place(self.nonce(number), Aad::from(&*header), text)
            .map_err(|_| Forged)?;
        Ok(plaintext)
    }

    fn apply_mask(&self, record: &mut [u8], header: usize, sequence: Range<usize>) -> Option<()> {
        let sample = record.get(header..header + Self::SAMPLE_LEN)?;
        let mask = self.mask.new_mask(sample).ok()?;
        let number = record.get_mut(sequence)?;
        number.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        Some(())
    }

    /// RFC 8446 §5.3: the number in 64 bits, padded on the left, XOR the secret.
    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = self.iv;
        let low = &mut nonce[Self::IV_LEN - 8..];
        low.iter_mut()
            .zip(number.to_be_bytes())
            .for_each(|(byte, number)| *byte ^= number);
        Nonce::assume_unique_for_key(nonce)
    }
}
