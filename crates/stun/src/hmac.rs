//! HMAC (RFC 2104) over the beginning of a message, with the key's two blocks hashed beforehand.

use std::fmt;

use sha1::block_api::compress;
use sha2::block_api::compress256;
use subtle::ConstantTimeEq;

/// A key, as the states that the hash is in behind it: a message costs only its own blocks and one more.
#[derive(Clone, Copy)]
pub(crate) struct Hmac<H> {
    inner: H,
    outer: H,
}

impl<H: Hash> Hmac<H> {
    /// The key, whatever its length.
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK_LEN];
        match block.get_mut(..key.len()) {
            Some(start) => start.copy_from_slice(key),
            // "Applications that use keys longer than B bytes will first hash the key using H" (RFC 2104 §2).
            None => {
                let mut state = H::INITIAL;
                let (whole, rest) = key.as_chunks();
                state.compress(whole);
                state.compress(Last::new(rest, key.len()).blocks());
                let digest = state.digest();
                block[..digest.as_ref().len()].copy_from_slice(digest.as_ref());
            }
        }
        let behind = |pad| {
            let mut state = H::INITIAL;
            state.compress(&[block.map(|byte| byte ^ pad)]);
            state
        };
        Self {
            inner: behind(0x36),
            outer: behind(0x5c),
        }
    }

    /// The HMAC of `covered`, which begins a STUN message, as if the Length field in it were `length`.
    pub(crate) fn over(&self, covered: &[u8], length: u16) -> H::Digest {
        let mut inner = self.inner;
        let (whole, rest) = covered.as_chunks();
        // Written before the first is hashed: to read what has just been written takes a while.
        let mut last = Last::new(rest, BLOCK_LEN + covered.len());
        // Only the block with the Length field and what the message leaves of the last are hashed from a copy.
        match whole {
            [] => set_length(&mut last.blocks[0], length),
            [first, middle @ ..] => {
                let mut first = *first;
                set_length(&mut first, length);
                inner.compress(&[first]);
                if !middle.is_empty() {
                    inner.compress(middle);
                }
            }
        }
        inner.compress(last.blocks());

        let digest = inner.digest();
        let mut outer = self.outer;
        outer.compress(Last::new(digest.as_ref(), BLOCK_LEN + digest.as_ref().len()).blocks());
        outer.digest()
    }

    /// True if `tag`, of whole words, begins [`Hmac::over`]; takes the same time wherever they differ.
    pub(crate) fn verify(&self, covered: &[u8], length: u16, tag: &[u8]) -> bool {
        let digest = self.over(covered, length);
        let Some(expected) = digest.as_ref().get(..tag.len()) else {
            return false;
        };
        let ((tag, []), (expected, [])) = (tag.as_chunks::<4>(), expected.as_chunks::<4>()) else {
            return false;
        };
        let differing = tag.iter().zip(expected).fold(0, |bits, (&a, &b)| {
            bits | (u32::from_ne_bytes(a) ^ u32::from_ne_bytes(b))
        });
        differing.ct_eq(&0).into()
    }
}

fn set_length(first: &mut Block, length: u16) {
    first[2..4].copy_from_slice(&length.to_be_bytes());
}

/// The states are as good as the key.
impl<H> fmt::Debug for Hmac<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hmac(secret)")
    }
}

/// The length of the blocks that both hashes take, in bytes.
const BLOCK_LEN: usize = 64;

type Block = [u8; BLOCK_LEN];

/// The end of what is hashed: less than a block of it, and the padding (FIPS 180-4 §5.1.1: a one bit, zeros, and the length
/// of all that is hashed, in bits, as 64 of them).
struct Last {
    blocks: [Block; 2],
    count: usize,
}

impl Last {
    fn new(rest: &[u8], hashed_len: usize) -> Self {
        let mut blocks = [[0; BLOCK_LEN]; 2];
        let count = if rest.len() < BLOCK_LEN - 8 { 1 } else { 2 };
        let padded = blocks.as_flattened_mut();
        padded[..rest.len()].copy_from_slice(rest);
        padded[rest.len()] = 0x80;
        padded[count * BLOCK_LEN - 8..count * BLOCK_LEN].copy_from_slice(&(hashed_len as u64 * 8).to_be_bytes());
        Self { blocks, count }
    }

    fn blocks(&self) -> &[Block] {
        &self.blocks[..self.count]
    }
}

/// The state of a hash between two blocks.
pub(crate) trait Hash: Copy {
    /// The state before the first block.
    const INITIAL: Self;
    type Digest: AsRef<[u8]>;

    fn compress(&mut self, blocks: &[Block]);
    fn digest(self) -> Self::Digest;
}

/// SHA-1 (FIPS 180-4 §6.1).
#[derive(Clone, Copy)]
pub(crate) struct Sha1([u32; 5]);

impl Hash for Sha1 {
    // FIPS 180-4 §5.3.1.
    const INITIAL: Self = Self([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]);
    type Digest = [u8; 20];

    fn compress(&mut self, blocks: &[Block]) {
        compress(&mut self.0, blocks);
    }

    fn digest(self) -> [u8; 20] {
        bytes(self.0)
    }
}

/// SHA-256 (FIPS 180-4 §6.2).
#[derive(Clone, Copy)]
pub(crate) struct Sha256([u32; 8]);

impl Hash for Sha256 {
    // FIPS 180-4 §5.3.3.
    const INITIAL: Self = Self([
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ]);
    type Digest = [u8; 32];

    fn compress(&mut self, blocks: &[Block]) {
        compress256(&mut self.0, blocks);
    }

    fn digest(self) -> [u8; 32] {
        bytes(self.0)
    }
}

/// The words in network order.
fn bytes<const WORDS: usize, const BYTES: usize>(words: [u32; WORDS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{KeyInit, Mac, SimpleHmac};
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn reference<M: KeyInit + Mac>(key: &[u8], covered: &[u8], length: u16) -> Vec<u8> {
        let mut mac = M::new_from_slice(key).expect("HMAC takes keys of any length");
        let mut covered = covered.to_vec();
        covered[2..4].copy_from_slice(&length.to_be_bytes());
        mac.update(&covered);
        mac.finalize().into_bytes().to_vec()
    }

    fn agrees(key: &[u8], covered: &[u8], length: u16) {
        let (sha1, sha256) = (Hmac::<Sha1>::new(key), Hmac::<Sha256>::new(key));
        let digest = sha1.over(covered, length);
        assert_eq!(digest[..], reference::<SimpleHmac<sha1::Sha1>>(key, covered, length));
        assert!(sha1.verify(covered, length, &digest));
        let digest = sha256.over(covered, length);
        assert_eq!(digest[..], reference::<SimpleHmac<sha2::Sha256>>(key, covered, length));
        assert!(sha256.verify(covered, length, &digest[..16]));
    }

    #[test]
    fn every_length_agrees_with_another_implementation() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in 20..=bytes.len() {
            agrees(b"secret", &bytes[..len], 0xabcd);
            agrees(&bytes[..len - 20], &bytes[..20], 0);
        }
    }

    #[test]
    fn another_tag_is_refused() {
        let key = Hmac::<Sha1>::new(b"secret");
        let digest = key.over(&[7; 40], 20);
        for at in 0..digest.len() {
            let mut tag = digest;
            tag[at] ^= 0x10;
            assert!(!key.verify(&[7; 40], 20, &tag));
        }
        assert!(!key.verify(&[7; 40], 24, &digest));
        assert!(!key.verify(&[7; 40], 20, &[0; 21]));
    }

    proptest! {
        #[test]
        fn any_key_and_message_agree(key in vec(any::<u8>(), 0..200), covered in vec(any::<u8>(), 20..1500), length: u16) {
            agrees(&key, &covered, length);
        }
    }
}
