//! ICE credentials and options: `ice-ufrag`, `ice-pwd`, `ice-options`, `ice-lite`, `ice-mismatch`, `ice-pacing`.

use super::{number_attribute, property_attribute, text_attribute, value_attribute};
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

text_attribute! {
    /// The username fragment of the ICE generation (RFC 8839 §5.4): `ice-ufrag-att = "ice-ufrag:" 4*256ice-char`.
    IceUfrag, "ice-ufrag"
}

text_attribute! {
    /// The password of the ICE generation (RFC 8839 §5.4): `ice-pwd-att = "ice-pwd:" 22*256ice-char`.
    IcePwd, "ice-pwd"
}

property_attribute! {
    /// The sender is an ICE-lite agent (RFC 8839 §5.3). Session level only.
    IceLite, "ice-lite"
}

property_attribute! {
    /// The answerer knows ICE, but found that something on the way had changed the default address (RFC 8839 §5.3).
    IceMismatch, "ice-mismatch"
}

number_attribute! {
    /// How many milliseconds apart the sender wants connectivity checks to be (RFC 8839 §5.5; the larger of both
    /// sides' values counts, 50 if there is none).
    IcePacing(u32), "ice-pacing"
}

/// What the sender's ICE agent can do (RFC 8839 §5.6).
///
/// ```text
/// ice-options = "ice-options:" ice-option-tag *(SP ice-option-tag)
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IceOptions(pub Vec<String>);

impl IceOptions {
    /// Candidates may follow one by one (RFC 8840 §4.1).
    pub const TRICKLE: &str = "trickle";
    /// The agent follows RFC 8445 and no longer RFC 5245 (RFC 8445 §10).
    pub const ICE2: &str = "ice2";
    /// The controlling agent may nominate another pair later (draft-thatcher-ice-renomination).
    pub const RENOMINATION: &str = "renomination";

    /// DTLS may come inside connectivity checks (draft-hancke-webrtc-sped).
    pub const SPED: &str = "sped";
    /// The same, as libwebrtc's first version of it is called.
    pub const GOOG_SPED_V1: &str = "googspedv1";

    /// Options by name.
    pub fn new<T: Into<String>>(options: impl IntoIterator<Item = T>) -> Self {
        Self(options.into_iter().map(Into::into).collect())
    }

    /// Whether the option is among them.
    pub fn contains(&self, option: &str) -> bool {
        self.0.iter().any(|own| own == option)
    }
}

value_attribute!(IceOptions, "ice-options");

impl FromStr for IceUfrag {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        ice_chars(value.trim_ascii(), "ice-ufrag", 4).map(Self)
    }
}

impl FromStr for IcePwd {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        ice_chars(value.trim_ascii(), "ice-pwd", 22).map(Self)
    }
}

/// RFC 8839 §5.4: `ice-char = ALPHA / DIGIT / "+" / "/"`. Some libraries also use `-`, `_`, `=` and `#`, and Chromium
/// lets them; all of them are plain bytes in a STUN USERNAME. The lengths are those for which the browsers refuse.
fn ice_chars(value: &str, name: &'static str, min: usize) -> Result<String, ValueError> {
    token::length(value, name, min, 256)?;
    token::checked(value, name, |c| c.is_ascii_alphanumeric() || "+/-_=#".contains(c))
}

impl FromStr for IceOptions {
    type Err = ValueError;

    /// Tags are taken as they come: unknown ones are to be ignored (RFC 8839 §5.6), whatever they are made of.
    fn from_str(value: &str) -> Result<Self, ValueError> {
        let options = token::fields(value).map(|option| token::word(option, "ice-options"));
        match options.collect::<Result<Vec<_>, _>>()? {
            options if options.is_empty() => Err(ValueError::missing("value of ice-options")),
            options => Ok(Self(options)),
        }
    }
}

impl fmt::Display for IceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        token::join(f, ' ', &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn credentials() {
        round_trips::<IceUfrag>(&["ice-ufrag:zC9K", "ice-ufrag:8hhY", "ice-ufrag:a-b_c=d#"]);
        round_trips::<IcePwd>(&[
            "ice-pwd:aYHBbQVxd/aBuUg3Ws/y6HSx",
            "ice-pwd:a4448e04193a3278e0a004c7810032c9",
        ]);
        let long = format!("ice-ufrag:{}", "x".repeat(257));
        fails(&[
            ("ice-ufrag:abc", "ice-ufrag is too short"),
            (&long, "ice-ufrag is too long"),
            ("ice-ufrag:ab:cd", "ice-ufrag is malformed"),
            ("ice-pwd:123456789012345678901", "ice-pwd is too short"),
        ]);
    }

    #[test]
    fn options() {
        round_trips::<IceOptions>(&["ice-options:trickle", "ice-options:trickle ice2 renomination"]);
        round_trips::<IceLite>(&["ice-lite"]);
        round_trips::<IceMismatch>(&["ice-mismatch"]);
        round_trips::<IcePacing>(&["ice-pacing:50"]);
        fails(&[
            ("ice-options:", "value of ice-options is missing"),
            ("ice-pacing:5ms", "ice-pacing is malformed"),
        ]);
        assert!(IceOptions::new(["trickle"]).contains(IceOptions::TRICKLE));
    }
}
