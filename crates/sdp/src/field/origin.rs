//! `o=`: who made the description, and which version of which session it is.

use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

/// The origin of a session (RFC 8866 §5.2).
///
/// ```text
/// origin-field = %s"o" "=" username SP sess-id SP sess-version SP
///                nettype SP addrtype SP unicast-address CRLF
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The user's login, `-` for none.
    pub username: String,
    /// Names the session together with the other fields but the version. Digits, of any number: a text because it is
    /// only ever compared for equality.
    pub session_id: String,
    /// Goes up by one with each change of the description (RFC 8829 §5.2.2).
    pub session_version: u64,
    /// `IN`.
    pub network_type: String,
    /// `IP4` or `IP6`.
    pub address_type: String,
    /// Where the session was made; a placeholder in WebRTC.
    pub address: String,
}

impl Origin {
    /// The origin of a WebRTC session as RFC 8829 §5.2.1 wants it: no user name, and an address that says nothing. Keep
    /// `session_id` below 2^63.
    pub fn new(session_id: u64, session_version: u64) -> Self {
        Self {
            username: "-".into(),
            session_id: session_id.to_string(),
            session_version,
            network_type: "IN".into(),
            address_type: "IP4".into(),
            address: "0.0.0.0".into(),
        }
    }

    /// Whether both name the same session, of whatever version.
    pub fn is_same_session(&self, other: &Self) -> bool {
        let Self {
            username,
            session_id,
            session_version: _,
            network_type,
            address_type,
            address,
        } = self;
        (username, session_id, network_type) == (&other.username, &other.session_id, &other.network_type)
            && (address_type, address) == (&other.address_type, &other.address)
    }
}

impl FromStr for Origin {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let origin = Self {
            username: token::word(token::next(&mut fields, "user name")?, "user name")?,
            session_id: token::checked(token::next(&mut fields, "session id")?, "session id", |c| {
                c.is_ascii_digit()
            })?,
            session_version: token::number(token::next(&mut fields, "session version")?, "session version")?,
            network_type: token::token(token::next(&mut fields, "network type")?, "network type")?,
            address_type: token::token(token::next(&mut fields, "address type")?, "address type")?,
            address: token::word(token::next(&mut fields, "origin address")?, "origin address")?,
        };
        token::end(fields, "field after the origin address")?;
        Ok(origin)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            username,
            session_id,
            session_version,
            network_type,
            address_type,
            address,
        } = self;
        write!(
            f,
            "{username} {session_id} {session_version} {network_type} {address_type} {address}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{fails, round_trips};

    #[test]
    fn origins() {
        round_trips::<Origin>(&[
            "- 7794534663739749063 2 IN IP4 127.0.0.1",
            "mozilla...THIS_IS_SDPARTA-99.0 4381062886265586971 0 IN IP4 0.0.0.0",
            "jdoe 3724394400 3724394405 IN IP6 2001:db8::1",
            "- 123456789012345678901234567890 1 IN IP4 host.example",
        ]);
        fails::<Origin>(&[
            ("", "user name is missing"),
            ("- 1", "session version is missing"),
            ("- x 1 IN IP4 0.0.0.0", "session id is malformed"),
            (
                "- 1 99999999999999999999 IN IP4 0.0.0.0",
                "session version is out of range",
            ),
            (
                "- 1 1 IN IP4 0.0.0.0 x",
                "field after the origin address should not be there",
            ),
        ]);
    }

    #[test]
    fn a_new_version_is_the_same_session() {
        assert!(Origin::new(1, 1).is_same_session(&Origin::new(1, 2)));
        assert!(!Origin::new(1, 1).is_same_session(&Origin::new(2, 1)));
    }
}
