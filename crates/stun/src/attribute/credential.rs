//! Who asks: USERNAME, USERHASH, REALM, and NONCE with its cookie (RFC 8489 §14.3, §14.4, §14.9, §14.10, §9.2).

use super::shapes::text_attribute;
use super::{Attribute, AttributeType, MAX_TEXT, exactly};
use crate::key::joined;
use crate::{AttributeError, TransactionId};
use sha2::Sha256;

text_attribute! {
    /// USERNAME (RFC 8489 §14.3). In ICE: the receiver's ufrag, a colon, the sender's ufrag (RFC 8445 §7.2.2).
    Username, USERNAME
}

/// USERHASH (RFC 8489 §14.4): in place of USERNAME, so that an eavesdropper does not learn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserHash(pub [u8; 32]);

impl UserHash {
    /// `SHA-256(username ":" realm)`, both already prepared with the OpaqueString profile.
    #[must_use]
    pub fn new(username: &str, realm: &str) -> Self {
        Self(joined::<Sha256>(&[username, realm]).into())
    }
}

impl<'a> Attribute<'a> for UserHash {
    const TYPE: AttributeType = AttributeType::USERHASH;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        exactly(value).map(Self)
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

text_attribute! {
    /// REALM (RFC 8489 §14.9): the realm of a long-term credential, without quotes; fewer than 128 characters.
    Realm, REALM
}

/// NONCE (RFC 8489 §14.10): the server's; a client echoes it as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce<'a>(pub &'a [u8]);

impl Nonce<'_> {
    /// What the nonce cookie says the server supports; `None` if there is no cookie, as before RFC 8489 (§9.2).
    #[must_use]
    pub fn security_features(self) -> Option<SecurityFeatures> {
        let encoded = self.0.strip_prefix(COOKIE_PREFIX)?.first_chunk::<4>()?;
        SecurityFeatures::from_base64(*encoded)
    }
}

impl<'a> Attribute<'a> for Nonce<'a> {
    const TYPE: AttributeType = AttributeType::NONCE;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        if value.len() > MAX_TEXT {
            return Err(AttributeError::WrongLength);
        }
        Ok(Self(value))
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

/// What begins each nonce of a server that knows RFC 8489 (§9.2).
const COOKIE_PREFIX: &[u8; 9] = b"obMatJos2";

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The set of security features in a nonce cookie: 24 bits, of which bit 0 is the *most* significant (RFC 8489 §18.1). It is
/// under the integrity check, so that nobody between can take a feature away (§9.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SecurityFeatures(u32);

impl SecurityFeatures {
    /// No feature.
    pub const NONE: Self = Self(0);
    /// Bit 0: the server sent PASSWORD-ALGORITHMS.
    pub const PASSWORD_ALGORITHMS: Self = Self(1 << 23);
    /// Bit 1: the server accepts USERHASH.
    pub const USERNAME_ANONYMITY: Self = Self(1 << 22);

    /// The features of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if every feature of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The nonce cookie: "obMatJos2" and the features in base64. A server's nonce begins with it.
    #[must_use]
    pub fn cookie(self) -> [u8; 13] {
        let mut cookie = [0; 13];
        let (prefix, encoded) = cookie.split_at_mut(COOKIE_PREFIX.len());
        prefix.copy_from_slice(COOKIE_PREFIX);
        for (digit, shift) in encoded.iter_mut().zip([18, 12, 6, 0]) {
            *digit = BASE64[(self.0 >> shift & 0x3F) as usize];
        }
        cookie
    }

    fn from_base64(encoded: [u8; 4]) -> Option<Self> {
        encoded
            .iter()
            .try_fold(0, |bits, digit| {
                let value = BASE64.iter().position(|candidate| candidate == digit)?;
                Some(bits << 6 | u32::try_from(value).ok()?)
            })
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nonce_cookie_tells_the_features() {
        // RFC 8489 appendix B.1: "AAAC" as printed sets bit 22, which is unassigned.
        let printed = Nonce(b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
            .security_features()
            .unwrap();
        assert!(!printed.contains(SecurityFeatures::PASSWORD_ALGORITHMS));
        assert_ne!(printed, SecurityFeatures::NONE);

        let both = SecurityFeatures::PASSWORD_ALGORITHMS.union(SecurityFeatures::USERNAME_ANONYMITY);
        assert_eq!(&both.cookie(), b"obMatJos2wAAA");
        assert_eq!(Nonce(b"obMatJos2wAAAnonce").security_features(), Some(both));
        assert_eq!(
            Nonce(&SecurityFeatures::NONE.cookie()).security_features(),
            Some(SecurityFeatures::NONE)
        );
    }

    #[test]
    fn a_nonce_without_cookie_tells_nothing() {
        assert_eq!(Nonce(b"f//499k954d6OL34oL9FSTvy64sA").security_features(), None);
        assert_eq!(Nonce(b"obMatJos2AA").security_features(), None);
        assert_eq!(Nonce(b"obMatJos2A=A!").security_features(), None);
    }
}
