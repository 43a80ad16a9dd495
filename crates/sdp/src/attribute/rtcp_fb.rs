//! Which RTCP feedback a format may use: `rtcp-fb`.

use super::{PayloadType, value_attribute};
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

/// A kind of RTCP feedback (RFC 4585 §4.2).
///
/// ```text
/// rtcp-fb-syntax = "a=rtcp-fb:" rtcp-fb-pt SP rtcp-fb-val CRLF
/// rtcp-fb-val    = "ack" rtcp-fb-ack-param / "nack" rtcp-fb-nack-param
///                / "trr-int" SP 1*DIGIT / rtcp-fb-id rtcp-fb-param
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtcpFb {
    /// For which payload type; `None` for all (`*`).
    pub payload_type: Option<PayloadType>,
    /// `nack`, `ccm`, `transport-cc`, …
    pub kind: String,
    /// What follows it: `pli` after `nack`, `fir` after `ccm`.
    pub parameter: Option<String>,
}

impl RtcpFb {
    /// A kind of feedback, such as `("nack", Some("pli"))`.
    pub fn new(payload_type: Option<PayloadType>, kind: &str, parameter: Option<&str>) -> Self {
        Self {
            payload_type,
            kind: kind.to_owned(),
            parameter: parameter.map(str::to_owned),
        }
    }

    /// Whether it is that kind of feedback for that payload type.
    pub fn is(&self, payload_type: PayloadType, kind: &str, parameter: Option<&str>) -> bool {
        self.payload_type.is_none_or(|own| own == payload_type)
            && self.kind == kind
            && self.parameter.as_deref() == parameter
    }
}

value_attribute!(RtcpFb, "rtcp-fb");

impl FromStr for RtcpFb {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = value.splitn(3, ' ');
        let payload_type = match token::next(&mut fields, "rtcp-fb payload type")? {
            "*" => None,
            number => Some(number.parse()?),
        };
        let kind = token::token(token::next(&mut fields, "rtcp-fb type")?, "rtcp-fb type")?;
        // A space at the end is no parameter.
        let parameter = fields
            .next()
            .filter(|parameter| !parameter.is_empty())
            .map(str::to_owned);
        Ok(Self {
            payload_type,
            kind,
            parameter,
        })
    }
}

impl fmt::Display for RtcpFb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.payload_type {
            Some(number) => write!(f, "{number} {}", self.kind)?,
            None => write!(f, "* {}", self.kind)?,
        }
        self.parameter
            .iter()
            .try_for_each(|parameter| write!(f, " {parameter}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn feedback() {
        round_trips::<RtcpFb>(&[
            "rtcp-fb:96 nack pli",
            "rtcp-fb:* transport-cc",
            "rtcp-fb:96 ccm tmmbr smaxpr=120",
            "rtcp-fb:96 trr-int 100",
        ]);
        fails(&[
            ("rtcp-fb:", "payload type is missing"),
            ("rtcp-fb:128 nack", "payload type is out of range"),
            ("rtcp-fb:96", "rtcp-fb type is missing"),
            ("rtcp-fb:96 a:b", "rtcp-fb type is malformed"),
        ]);
        let any: RtcpFb = "* nack pli".parse().unwrap();
        assert!(any.is(PayloadType::new(96).unwrap(), "nack", Some("pli")));
    }
}
