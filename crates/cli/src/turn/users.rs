//! Users, as they are named on the command line.

use std::fmt;
use std::str::FromStr;

use peerline_turn::Credentials;

/// `NAME:SECRET`. The name ends at the first colon.
#[derive(Clone)]
pub(crate) struct User(pub(crate) Credentials);

impl FromStr for User {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, secret) = text
            .split_once(':')
            .ok_or("a user is NAME:SECRET, with a colon between them")?;
        if name.is_empty() || secret.is_empty() {
            return Err("neither the name nor the secret of a user may be empty: NAME:SECRET");
        }
        if name.len() > 508 {
            return Err("the name of a user has at most 508 bytes");
        }
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err("the name and the secret of a user are of ASCII, without control characters");
        }
        Ok(Self(Credentials::new(name, secret)))
    }
}

/// The secret is none of the log's.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.username)
    }
}
