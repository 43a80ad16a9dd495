//! `b=`: how much bandwidth is wanted.

use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

/// Bandwidth information (RFC 8866 §5.8): `b=<type>:<bandwidth>`.
///
/// Such a line is often written by hand into a description, and not always well (`b=AS:-1`). A malformed one does not
/// make a description fail; [`Section::bandwidths`](crate::Section::bandwidths) leaves it out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bandwidth {
    /// What is counted, and in which unit: `AS` in kilobits per second with all headers, `TIAS` in bits per second
    /// without those of the transport (RFC 3890), `RS` and `RR` in bits per second of RTCP (RFC 3556).
    pub kind: String,
    /// How much.
    pub value: u64,
}

impl Bandwidth {
    /// Application specific: kilobits per second.
    pub const AS: &str = "AS";
    /// Conference total: kilobits per second.
    pub const CT: &str = "CT";
    /// Transport independent application specific: bits per second (RFC 3890).
    pub const TIAS: &str = "TIAS";

    /// A bandwidth.
    pub fn new(kind: &str, value: u64) -> Self {
        Self {
            kind: kind.to_owned(),
            value,
        }
    }
}

impl FromStr for Bandwidth {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let (kind, value) = value.split_once(':').ok_or(ValueError::missing("bandwidth"))?;
        Ok(Self {
            kind: token::token(kind, "bandwidth type")?,
            value: token::number(value.trim_end(), "bandwidth")?,
        })
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{fails, round_trips};

    #[test]
    fn bandwidths() {
        round_trips::<Bandwidth>(&["AS:500", "TIAS:4294967296", "CT:0", "X-YZ:128"]);
        fails::<Bandwidth>(&[
            ("AS", "bandwidth is missing"),
            (":1", "bandwidth type is missing"),
            ("AS:-1", "bandwidth is malformed"),
            ("AS:99999999999999999999", "bandwidth is out of range"),
        ]);
    }
}
