//! Media descriptions that belong together: `mid`, `group`, `bundle-only`.

use super::{property_attribute, text_attribute, value_attribute};
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

text_attribute! {
    /// The identification of a media description (RFC 5888 §4): a token, unique in the session.
    Mid, "mid"
}

property_attribute! {
    /// In an offer, with port 0: to be accepted only as part of a bundle (RFC 9143 §6). Not a rejection.
    BundleOnly, "bundle-only"
}

/// Media descriptions that belong together (RFC 5888 §5), at session level.
///
/// ```text
/// group-attribute = "a=group:" semantics *(SP identification-tag)
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// In which way.
    pub semantics: GroupSemantics,
    /// Which ones, by their `mid`.
    pub mids: Vec<String>,
}

/// How media descriptions belong together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GroupSemantics {
    /// `BUNDLE`: they share one transport (RFC 9143).
    Bundle,
    /// `LS`: they are to be played in time with one another (RFC 5888 §7).
    LipSync,
    /// Another.
    Other(String),
}

impl Group {
    /// A BUNDLE group.
    pub fn bundle<T: Into<String>>(mids: impl IntoIterator<Item = T>) -> Self {
        Self {
            semantics: GroupSemantics::Bundle,
            mids: mids.into_iter().map(Into::into).collect(),
        }
    }

    /// Whether it is a BUNDLE group.
    pub fn is_bundle(&self) -> bool {
        self.semantics == GroupSemantics::Bundle
    }

    /// Whether that media description is in the group.
    pub fn contains(&self, mid: &str) -> bool {
        self.mids.iter().any(|own| own == mid)
    }
}

value_attribute!(Group, "group");

impl FromStr for Mid {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        token::token(value.trim_ascii(), "mid").map(Self)
    }
}

impl FromStr for Group {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let semantics = match token::next(&mut fields, "group semantics")? {
            "BUNDLE" => GroupSemantics::Bundle,
            "LS" => GroupSemantics::LipSync,
            other => GroupSemantics::Other(token::token(other, "group semantics")?),
        };
        let mids = fields
            .map(|mid| token::token(mid, "mid in a group"))
            .collect::<Result<_, _>>()?;
        Ok(Self { semantics, mids })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.semantics {
            GroupSemantics::Bundle => "BUNDLE",
            GroupSemantics::LipSync => "LS",
            GroupSemantics::Other(other) => other,
        })?;
        self.mids.iter().try_for_each(|mid| write!(f, " {mid}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn groups() {
        round_trips::<Group>(&[
            "group:BUNDLE 0 1 2",
            "group:LS audio video",
            "group:FID 1 2",
            "group:BUNDLE",
        ]);
        round_trips::<Mid>(&["mid:0", "mid:audio", "mid:{a-b}"]);
        round_trips::<BundleOnly>(&["bundle-only"]);
        fails(&[
            ("group:", "group semantics is missing"),
            ("group:BUNDLE a:b", "mid in a group is malformed"),
            ("mid:", "mid is missing"),
            ("mid:a b", "mid is malformed"),
        ]);
        assert!(Group::bundle(["0", "1"]).contains("1"));
    }
}
