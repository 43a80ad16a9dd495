//! Parameters of a format: `fmtp`.

use super::value_attribute;
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

/// What a format's own definition wants to know (RFC 8866 §6.15).
///
/// ```text
/// fmtp-value = fmt SP format-specific-params
/// ```
///
/// The parameters are kept as the text they are, for each format has a syntax of its own (`111/111` for RED, `0-15` for
/// telephone events). Most are `name=value` pairs between semicolons: see [`parameters`](Self::parameters).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fmtp {
    /// One of the formats of the `m=` line.
    pub format: String,
    /// All the rest.
    pub text: String,
}

impl Fmtp {
    /// From pairs of name and value.
    pub fn new<'a>(format: impl Into<String>, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs: Vec<String> = parameters
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Self {
            format: format.into(),
            text: pairs.join(";"),
        }
    }

    /// The parameters between semicolons, as name and value if there is an equals sign.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.text
            .split(';')
            .map(str::trim_ascii)
            .filter(|pair| !pair.is_empty())
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) => (name.trim_ascii(), Some(value.trim_ascii())),
                None => (pair, None),
            })
    }

    /// The value of a parameter, empty if it has none. RFC 8866 §6.6: parameter names are case-insensitive.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.unwrap_or_default())
    }
}

value_attribute!(Fmtp, "fmtp");

impl FromStr for Fmtp {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        // Chromium takes `a=fmtp:96` for no parameters.
        let (format, text) = value.split_once(' ').unwrap_or((value, ""));
        Ok(Self {
            format: token::token(format, "fmtp format")?,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Fmtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.format, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn formats() {
        round_trips::<Fmtp>(&[
            "fmtp:111 minptime=10;useinbandfec=1",
            "fmtp:63 111/111",
            "fmtp:101 0-15",
            "fmtp:96 profile-level-id=42e01f; packetization-mode=1 ",
        ]);
        fails(&[
            ("fmtp:", "fmtp format is missing"),
            ("fmtp:a/b c", "fmtp format is malformed"),
        ]);
    }

    #[test]
    fn parameters_are_found() {
        let fmtp: Fmtp = "96 profile-level-id=42e01f; Packetization-Mode = 1 ;flag;"
            .parse()
            .unwrap();
        assert_eq!(fmtp.parameter("packetization-mode"), Some("1"));
        assert_eq!(fmtp.parameter("flag"), Some(""));
        assert_eq!(fmtp.parameter("apt"), None);
        assert_eq!(fmtp.parameters().count(), 3);
        assert_eq!(Fmtp::new("97", [("apt", "96")]).to_string(), "97 apt=96");
        assert_eq!("96".parse::<Fmtp>().unwrap().parameters().count(), 0);
    }
}
