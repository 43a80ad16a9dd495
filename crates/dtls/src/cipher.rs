//! The AEADs that protect records (RFC 5288, RFC 7905), by `ring` or, as a feature, `aws-lc-rs`, in place.

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::aead;
#[cfg(not(feature = "aws-lc-rs"))]
use ring::aead;

use aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::wire::CipherSuite;
use crate::wire::connection_id::ConnectionId;
use crate::wire::record::{ContentType, RecordHeader};

/// Which AEAD a suite uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bulk {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Bulk {
    /// The AEAD of a suite, if this crate has it.
    pub(crate) fn of_suite(suite: CipherSuite) -> Option<Self> {
        match suite {
            CipherSuite::ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 | CipherSuite::ECDHE_RSA_WITH_AES_128_GCM_SHA256 => {
                Some(Self::Aes128Gcm)
            }
            CipherSuite::ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 | CipherSuite::ECDHE_RSA_WITH_AES_256_GCM_SHA384 => {
                Some(Self::Aes256Gcm)
            }
            CipherSuite::ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => Some(Self::ChaCha20Poly1305),
            CipherSuite::AES_128_GCM_SHA256 => Some(Self::Aes128Gcm),
            CipherSuite::AES_256_GCM_SHA384 => Some(Self::Aes256Gcm),
            CipherSuite::CHACHA20_POLY1305_SHA256 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    pub(crate) fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128Gcm => &AES_128_GCM,
            Self::Aes256Gcm => &AES_256_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }

    /// The length of the key in bytes.
    pub(crate) fn key_len(self) -> usize {
        self.algorithm().key_len()
    }

    /// The length of the secret part of the nonce in DTLS 1.2, `fixed_iv_length`, in bytes.
    pub(crate) fn iv_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 4,
            Self::ChaCha20Poly1305 => 12,
        }
    }
}

/// The key of one direction in DTLS 1.2, scheduled once.
pub(crate) struct Cipher {
    key: LessSafeKey,
    iv: Iv,
}

enum Iv {
    /// RFC 5288 §3: a nonce is a secret salt and 8 bytes that travel with the record.
    Salt([u8; 4]),
    /// RFC 7905 §2: a nonce is a secret XOR the sequence number; nothing travels.
    Secret([u8; 12]),
}

/// The length of the tag, the same for all.
pub(crate) const TAG_LEN: usize = 16;

/// The record did not come from the peer, or not unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forged;

impl Cipher {
    /// The cipher with this key and secret part of the nonce; `None` if their lengths are not the algorithm's.
    pub(crate) fn new(bulk: Bulk, key: &[u8], iv: &[u8]) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(bulk.algorithm(), key).ok()?);
        let iv = match bulk {
            Bulk::Aes128Gcm | Bulk::Aes256Gcm => Iv::Salt(iv.try_into().ok()?),
            Bulk::ChaCha20Poly1305 => Iv::Secret(iv.try_into().ok()?),
        };
        Some(Self { key, iv })
    }

    /// How many bytes of nonce stand before the ciphertext.
    pub(crate) fn explicit_nonce_len(&self) -> usize {
        match self.iv {
            Iv::Salt(_) => 8,
            Iv::Secret(_) => 0,
        }
    }

    /// By how many bytes a record's payload outgrows its plaintext.
    pub(crate) fn expansion(&self) -> usize {
        self.explicit_nonce_len() + TAG_LEN
    }

    /// Encrypts `out[plaintext..]` in place and appends the tag. The explicit nonce is epoch and sequence number
    /// (RFC 5288 §3 leaves the choice to the sender), which never repeats.
    pub(crate) fn seal(
        &self,
        header: &RecordHeader,
        connection_id: &[u8],
        out: &mut Vec<u8>,
        plaintext: usize,
    ) -> Option<()> {
        let nonce = self.nonce(header.sequence_u64().to_be_bytes());
        let text = out.get_mut(plaintext..)?;
        let tag = match connection_id {
            [] => self
                .key
                .seal_in_place_separate_tag(nonce, aad(header, text.len())?, text),
            id => self
                .key
                .seal_in_place_separate_tag(nonce, aad_with_id(header, id, text.len())?, text),
        }
        .ok()?;
        out.extend_from_slice(tag.as_ref());
        Some(())
    }

    /// Decrypts a record's payload in place: the plaintext is `payload[range]` of what is returned.
    pub(crate) fn open(
        &self,
        header: &RecordHeader,
        connection_id: &[u8],
        payload: &mut [u8],
    ) -> Result<std::ops::Range<usize>, Forged> {
        let start = self.explicit_nonce_len();
        let plaintext_len = payload.len().checked_sub(self.expansion()).ok_or(Forged)?;
        let explicit = match payload.first_chunk::<8>() {
            Some(explicit) if start == 8 => *explicit,
            _ => header.sequence_u64().to_be_bytes(),
        };
        let nonce = self.nonce(explicit);
        let ciphertext = payload.get_mut(start..).ok_or(Forged)?;
        match connection_id {
            [] => self
                .key
                .open_in_place(nonce, aad(header, plaintext_len).ok_or(Forged)?, ciphertext),
            id => {
                let aad = aad_with_id(header, id, plaintext_len).ok_or(Forged)?;
                self.key.open_in_place(nonce, aad, ciphertext)
            }
        }
        .map_err(|_| Forged)?;
        Ok(start..start + plaintext_len)
    }

    fn nonce(&self, number: [u8; 8]) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&number);
        match &self.iv {
            Iv::Salt(salt) => nonce[..4].copy_from_slice(salt),
            Iv::Secret(secret) => nonce.iter_mut().zip(secret).for_each(|(byte, mask)| *byte ^= mask),
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// RFC 5246 §6.2.3.3: `additional_data = seq_num + TLSCompressed.type + version + length`, the plaintext's length.
fn aad(header: &RecordHeader, plaintext_len: usize) -> Option<Aad<[u8; 13]>> {
    let mut aad = [0; 13];
    aad[..8].copy_from_slice(&header.sequence_u64().to_be_bytes());
    aad[8] = header.content_type.0;
    aad[9..11].copy_from_slice(&header.version.0.to_be_bytes());
    aad[11..].copy_from_slice(&u16::try_from(plaintext_len).ok()?.to_be_bytes());
    Some(Aad::from(aad))
}

/// What the AEAD covers beside the payload of a record with a connection ID.
struct Additional {
    bytes: [u8; Self::MAX_LEN],
    len: usize,
}

impl Additional {
    const MAX_LEN: usize = 23 + ConnectionId::MAX_LEN;

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.bytes.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }
}

impl AsRef<[u8]> for Additional {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// RFC 9146 §5.3: `seq_num_placeholder + tls12_cid + cid_length + tls12_cid + version + epoch + sequence_number + cid +
/// length_of_DTLSInnerPlaintext`.
fn aad_with_id(header: &RecordHeader, id: &[u8], plaintext_len: usize) -> Option<Aad<Additional>> {
    let mut aad = Additional {
        bytes: [0; Additional::MAX_LEN],
        len: 0,
    };
    let kind = ContentType::TLS12_CID.0;
    aad.push(&[0xff; 8])?;
    aad.push(&[kind, u8::try_from(id.len()).ok()?, kind])?;
    aad.push(&header.version.0.to_be_bytes())?;
    aad.push(&header.sequence_u64().to_be_bytes())?;
    aad.push(id)?;
    aad.push(&u16::try_from(plaintext_len).ok()?.to_be_bytes())?;
    Some(Aad::from(aad))
}
