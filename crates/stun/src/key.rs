//! [`Key`]: a credential turned into keyed HMACs (RFC 8489 §9.1.1, §9.2.2).

use crate::hmac::{Hmac, Sha1, Sha256};
use md5::Md5;
use sha2::Digest;
use sha2::digest::Output;
use std::fmt;

/// How a long-term password becomes a key (RFC 8489 §18.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Algorithm(pub u16);

impl Algorithm {
    /// MD5, the algorithm where PASSWORD-ALGORITHM is absent.
    pub const MD5: Self = Self(1);
    /// SHA-256.
    pub const SHA256: Self = Self(2);
}

/// Which HMAC protects a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// HMAC-SHA1, in MESSAGE-INTEGRITY (RFC 8489 §14.5).
    Sha1,
    /// HMAC-SHA256, in MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6).
    Sha256,
}

/// A key for message integrity. Making one runs the credential through both hashes; after that a message costs only its own
/// bytes, so keep one for each credential rather than make one for each message. It holds no allocation.
///
/// User names, realms and passwords are taken as already prepared with the OpaqueString profile (RFC 8265 §4.2); ASCII is.
#[derive(Clone)]
pub struct Key {
    sha1: Hmac<Sha1>,
    sha256: Hmac<Sha256>,
}

impl Key {
    /// The key of a short-term credential, as ICE uses it: the password itself (RFC 8489 §9.1.1).
    #[must_use]
    pub fn short_term(password: &str) -> Self {
        Self::from_bytes(password.as_bytes())
    }

    /// The key of a long-term credential made with MD5 (RFC 8489 §9.2.2).
    #[must_use]
    pub fn long_term_md5(username: &str, realm: &str, password: &str) -> Self {
        Self::from_bytes(&joined::<Md5>(&[username, realm, password]))
    }

    /// The key of a long-term credential made with SHA-256 (RFC 8489 §9.2.2).
    #[must_use]
    pub fn long_term_sha256(username: &str, realm: &str, password: &str) -> Self {
        Self::from_bytes(&joined::<sha2::Sha256>(&[username, realm, password]))
    }

    /// The key of a long-term credential made with `algorithm`, or `None` if that is unknown here.
    #[must_use]
    pub fn long_term(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> Option<Self> {
        match algorithm {
            Algorithm::MD5 => Some(Self::long_term_md5(username, realm, password)),
            Algorithm::SHA256 => Some(Self::long_term_sha256(username, realm, password)),
            Algorithm(_) => None,
        }
    }

    /// The key these bytes are, whatever mechanism they come from (a TURN server's data base may keep just the hash).
    #[must_use]
    pub fn from_bytes(key: &[u8]) -> Self {
        Self {
            sha1: Hmac::new(key),
            sha256: Hmac::new(key),
        }
    }

    /// The HMACs, for MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256.
    pub(crate) fn sha1(&self) -> &Hmac<Sha1> {
        &self.sha1
    }

    pub(crate) fn sha256(&self) -> &Hmac<Sha256> {
        &self.sha256
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// The hash of `parts` with colons between them.
pub(crate) fn joined<D: Digest>(parts: &[&str]) -> Output<D> {
    let mut hash = D::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hash.finalize()
}
