//! [`Credentials`]: the username fragment and password of one side in one session (RFC 8445 §5.3).

use std::fmt;

use rand::RngExt;
use rand::rngs::StdRng;

/// The username fragment and password of one side. They change with every ICE restart.
///
/// "[...] the username fragment MUST contain at least 24 bits of randomness, and the password MUST contain at least 128
/// bits" (RFC 8445 §5.3), in at least 4 and 22 characters out of `A-Z a-z 0-9 + /` (RFC 8839 §5.4).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The username fragment: public, names the session.
    pub ufrag: String,
    /// The password: the key of every check's MESSAGE-INTEGRITY.
    pub pwd: String,
}

impl Credentials {
    /// The longest fragment or password in characters (RFC 8839 §5.4); a USERNAME of two such fragments still fits its
    /// attribute.
    pub const MAX_LEN: usize = 256;

    /// New ones, six random bits a character: 48 bits in the fragment, 144 in the password.
    #[must_use]
    pub fn random(rng: &mut StdRng) -> Self {
        Self {
            ufrag: ice_chars(rng, 8),
            pwd: ice_chars(rng, 24),
        }
    }

    /// True if a check can be made with them.
    pub(crate) fn is_usable(&self) -> bool {
        [&self.ufrag, &self.pwd]
            .iter()
            .all(|text| (1..=Self::MAX_LEN).contains(&text.len()))
    }
}

impl fmt::Debug for Credentials {
    /// Without the password, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("ufrag", &self.ufrag)
            .finish_non_exhaustive()
    }
}

fn ice_chars(rng: &mut StdRng, len: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..len)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn random_credentials_are_long_enough_and_differ() {
        let mut rng = StdRng::from_seed([1; 32]);
        let (one, other) = (Credentials::random(&mut rng), Credentials::random(&mut rng));
        assert!(one.ufrag != other.ufrag && one.pwd != other.pwd);
        assert!(one.ufrag.len() >= 4 && one.pwd.len() >= 22);
        assert!(
            one.pwd
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'/')
        );
        assert!(!format!("{one:?}").contains(&one.pwd));
    }
}
