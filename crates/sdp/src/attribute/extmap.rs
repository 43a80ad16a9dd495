//! RTP header extensions: `extmap`, `extmap-allow-mixed`.

use super::{Direction, property_attribute, value_attribute};
use crate::error::{Fault, ValueError};
use crate::token;
use std::fmt;
use std::str::FromStr;

/// The number of a header extension (RFC 8285 §5, §8).
///
/// ```text
/// extmap-value = mapentry SP extensionname [SP extensionattributes]
/// mapentry     = "extmap:" 1*5DIGIT ["/" direction]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExtMap {
    /// 1 to 14 in one-byte headers, to 255 in two-byte headers; 4096 to 4351 in an offer with more than fit (RFC 8285
    /// §7).
    pub id: u16,
    /// In which direction it may be sent; as the media if not given.
    pub direction: Option<Direction>,
    /// What it is.
    pub uri: String,
    /// What its definition wants to know.
    pub attributes: Option<String>,
}

property_attribute! {
    /// One-byte and two-byte headers may be mixed in one stream (RFC 8285 §6).
    ExtMapAllowMixed, "extmap-allow-mixed"
}

impl ExtMap {
    /// An extension in both directions.
    pub fn new(id: u16, uri: impl Into<String>) -> Self {
        Self {
            id,
            direction: None,
            uri: uri.into(),
            attributes: None,
        }
    }
}

value_attribute!(ExtMap, "extmap");

impl FromStr for ExtMap {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = value.splitn(3, ' ');
        let entry = token::next(&mut fields, "extmap id")?;
        let (id, direction) = match entry.split_once('/') {
            Some((id, direction)) => (id, Some(direction.parse()?)),
            None => (entry, None),
        };
        let id = token::number(id, "extmap id")?;
        // RFC 8285 §4.2, §4.3: 0 is padding.
        if id == 0 {
            return Err(ValueError::new("extmap id", Fault::OutOfRange));
        }
        let uri = token::word(token::next(&mut fields, "extmap URI")?, "extmap URI")?;
        let attributes = fields
            .next()
            .filter(|attributes| !attributes.is_empty())
            .map(str::to_owned);
        Ok(Self {
            id,
            direction,
            uri,
            attributes,
        })
    }
}

impl fmt::Display for ExtMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        self.direction
            .iter()
            .try_for_each(|direction| write!(f, "/{direction}"))?;
        write!(f, " {}", self.uri)?;
        self.attributes
            .iter()
            .try_for_each(|attributes| write!(f, " {attributes}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn extensions() {
        round_trips::<ExtMap>(&[
            "extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            "extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level",
            "extmap:4096/sendrecv http://example.com/082005/ext.htm#xmeta short form",
        ]);
        round_trips::<ExtMapAllowMixed>(&["extmap-allow-mixed"]);
        fails(&[
            ("extmap:", "extmap id is missing"),
            ("extmap:0 urn:x", "extmap id is out of range"),
            ("extmap:65536 urn:x", "extmap id is out of range"),
            ("extmap:1/both urn:x", "direction is malformed"),
            ("extmap:1", "extmap URI is missing"),
        ]);
    }
}
