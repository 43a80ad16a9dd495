//! RTP sources and what they are to each other: `ssrc`, `ssrc-group`.

use super::value_attribute;
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

/// An attribute of one RTP source (RFC 5576 §4.1).
///
/// ```text
/// ssrc-attr = "ssrc:" ssrc-id SP attribute
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ssrc {
    /// The source.
    pub ssrc: u32,
    /// The attribute's name: `cname`, `msid`, …
    pub name: String,
    /// And its value, if it has one.
    pub value: Option<String>,
}

/// RTP sources that belong together (RFC 5576 §4.2).
///
/// ```text
/// ssrc-group-attr = "ssrc-group:" semantics *(SP ssrc-id)
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SsrcGroup {
    /// In which way: `FID` for a stream and its retransmissions, `FEC-FR` for its repair, `SIM` for simulcast.
    pub semantics: String,
    /// Which ones, in the order that the semantics want.
    pub ssrcs: Vec<u32>,
}

impl Ssrc {
    /// An attribute of a source.
    pub fn new(ssrc: u32, name: &str, value: Option<&str>) -> Self {
        Self {
            ssrc,
            name: name.to_owned(),
            value: value.map(str::to_owned),
        }
    }

    /// The RTCP canonical name of a source (RFC 5576 §6.1).
    pub fn cname(ssrc: u32, cname: &str) -> Self {
        Self::new(ssrc, "cname", Some(cname))
    }
}

value_attribute!(Ssrc, "ssrc");
value_attribute!(SsrcGroup, "ssrc-group");

impl FromStr for Ssrc {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let (ssrc, attribute) = value.split_once(' ').ok_or(ValueError::missing("ssrc attribute"))?;
        let (name, value) = match attribute.split_once(':') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (attribute, None),
        };
        Ok(Self {
            ssrc: token::number(ssrc, "ssrc")?,
            name: token::token(name, "ssrc attribute")?,
            value,
        })
    }
}

impl FromStr for SsrcGroup {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let semantics = token::next(&mut fields, "ssrc-group semantics")?;
        Ok(Self {
            semantics: token::token(semantics, "ssrc-group semantics")?,
            ssrcs: fields
                .map(|ssrc| token::number(ssrc, "ssrc"))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.ssrc, self.name)?;
        self.value.iter().try_for_each(|value| write!(f, ":{value}"))
    }
}

impl fmt::Display for SsrcGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantics)?;
        self.ssrcs.iter().try_for_each(|ssrc| write!(f, " {ssrc}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn sources() {
        round_trips::<Ssrc>(&["ssrc:4294967295 cname:{a-b}", "ssrc:1 msid:stream track", "ssrc:1 x"]);
        round_trips::<SsrcGroup>(&["ssrc-group:FID 11111 22222", "ssrc-group:FEC-FR 1 2"]);
        fails(&[
            ("ssrc:1", "ssrc attribute is missing"),
            ("ssrc:4294967296 cname:x", "ssrc is out of range"),
            ("ssrc:x cname:x", "ssrc is malformed"),
            ("ssrc-group:", "ssrc-group semantics is missing"),
            ("ssrc-group:FID 1 -2", "ssrc is malformed"),
        ]);
    }
}
