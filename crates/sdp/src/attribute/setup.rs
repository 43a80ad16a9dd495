//! Who begins the DTLS handshake, and whether it is a new association: `setup`, `tls-id`.

use super::{text_attribute, value_attribute};
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

/// The DTLS role (RFC 8842 §5.2, RFC 4145 §4).
///
/// ```text
/// setup-attr = "a=setup:" role
/// role       = "active" / "passive" / "actpass" / "holdconn"
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setup {
    /// DTLS client.
    Active,
    /// DTLS server.
    Passive,
    /// Either, as the answerer likes: what every WebRTC offer says (RFC 8829 §5.2.1).
    ActPass,
    /// No association for now. Not used with DTLS.
    HoldConn,
}

text_attribute! {
    /// Names the DTLS association; a new value asks for a new one (RFC 8842 §4): `tls-id-value = 20*255(tls-id-char)`.
    TlsId, "tls-id"
}

value_attribute!(Setup, "setup");

impl Setup {
    /// The word in SDP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

impl FromStr for Setup {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        match value.trim_ascii() {
            "active" => Ok(Self::Active),
            "passive" => Ok(Self::Passive),
            "actpass" => Ok(Self::ActPass),
            "holdconn" => Ok(Self::HoldConn),
            "" => Err(ValueError::missing("setup")),
            _ => Err(ValueError::malformed("setup")),
        }
    }
}

impl FromStr for TlsId {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let value = value.trim_ascii();
        token::length(value, "tls-id", 20, 255)?;
        token::checked(value, "tls-id", |c| c.is_ascii_alphanumeric() || "+/-_".contains(c)).map(Self)
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn roles() {
        round_trips::<Setup>(&["setup:active", "setup:passive", "setup:actpass", "setup:holdconn"]);
        fails(&[("setup:", "setup is missing"), ("setup:client", "setup is malformed")]);
    }

    #[test]
    fn tls_ids() {
        round_trips::<TlsId>(&["tls-id:abc3de65cddef001be82"]);
        fails(&[
            ("tls-id:abc", "tls-id is too short"),
            ("tls-id:abc3de65cddef001be8=", "tls-id is malformed"),
        ]);
    }
}
