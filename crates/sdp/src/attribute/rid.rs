//! Restrictions of one RTP stream: `rid`.

use super::value_attribute;
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

/// An RTP stream by its identifier, and how it is restricted (RFC 8851 §4, §10).
///
/// ```text
/// rid-syntax        = %s"a=rid:" rid-id SP rid-dir [ rid-pt-param-list / rid-param-list ]
/// rid-pt-param-list = SP rid-fmt-list *(";" rid-param)
/// rid-fmt-list      = %s"pt=" fmt *( "," fmt )
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rid {
    /// Letters, digits, `-` and `_`; what the stream's packets carry (RFC 8852).
    pub id: String,
    /// Which way the stream goes.
    pub direction: RidDirection,
    /// The formats it may use; all those of the `m=` line if empty.
    pub formats: Vec<String>,
    /// Limits: `max-width`, `max-br`, `depend`, …
    pub restrictions: Vec<RidRestriction>,
}

/// Which way a stream goes, as the sender of the description sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RidDirection {
    /// `send`
    Send,
    /// `recv`
    Recv,
}

/// One restriction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RidRestriction {
    /// Its name.
    pub name: String,
    /// Its value, if it has one.
    pub value: Option<String>,
}

impl Rid {
    /// A stream without restrictions.
    pub fn new(id: impl Into<String>, direction: RidDirection) -> Self {
        Self {
            id: id.into(),
            direction,
            formats: Vec::new(),
            restrictions: Vec::new(),
        }
    }

    /// The value of a restriction, empty if it has none.
    pub fn restriction(&self, name: &str) -> Option<&str> {
        let restriction = self.restrictions.iter().find(|restriction| restriction.name == name)?;
        Some(restriction.value.as_deref().unwrap_or_default())
    }
}

value_attribute!(Rid, "rid");

/// RFC 8851 §10: `rid-id = 1*(alpha-numeric / "-" / "_")`.
pub(crate) fn rid_id(text: &str) -> Result<String, ValueError> {
    token::checked(text, "rid", |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

impl FromStr for Rid {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = value.trim_ascii_end().splitn(3, ' ');
        let id = rid_id(token::next(&mut fields, "rid")?)?;
        let direction = match token::next(&mut fields, "rid direction")? {
            "send" => RidDirection::Send,
            "recv" => RidDirection::Recv,
            _ => return Err(ValueError::malformed("rid direction")),
        };
        let mut rid = Self::new(id, direction);
        let Some(rest) = fields.next() else { return Ok(rid) };

        let mut parameters = rest.split(';').map(str::trim_ascii).peekable();
        if let Some(formats) = parameters.peek().and_then(|first| first.strip_prefix("pt=")) {
            rid.formats = formats
                .split(',')
                .map(|f| token::token(f, "rid format"))
                .collect::<Result<_, _>>()?;
            parameters.next();
        }
        rid.restrictions = parameters.map(str::parse).collect::<Result<_, _>>()?;
        Ok(rid)
    }
}

impl FromStr for RidRestriction {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (name, value) = token::name_value(text, "rid restriction")?;
        Ok(Self { name, value })
    }
}

impl fmt::Display for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.direction.as_str())?;
        let mut separator = ' ';
        if !self.formats.is_empty() {
            f.write_str(" pt=")?;
            token::join(f, ',', &self.formats)?;
            separator = ';';
        }
        for restriction in &self.restrictions {
            write!(f, "{separator}{restriction}")?;
            separator = ';';
        }
        Ok(())
    }
}

impl RidDirection {
    /// The word in SDP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Recv => "recv",
        }
    }
}

impl fmt::Display for RidRestriction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        token::write_name_value(f, &self.name, self.value.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn rids() {
        round_trips::<Rid>(&[
            "rid:h send",
            "rid:1 send pt=97;max-width=1280;max-height=720;max-fps=30",
            "rid:3 recv max-br=20000;depend=1,2;x-flag",
            "rid:1_a-2 send pt=96,97",
        ]);
        fails(&[
            ("rid:", "rid is missing"),
            ("rid:a.b send", "rid is malformed"),
            ("rid:1", "rid direction is missing"),
            ("rid:1 sendrecv", "rid direction is malformed"),
            ("rid:1 send pt=", "rid format is missing"),
            ("rid:1 send max-fps=30;", "rid restriction is missing"),
        ]);
        let rid: Rid = "1 send max-width=1280".parse().unwrap();
        assert_eq!(rid.restriction("max-width"), Some("1280"));
    }
}
