//! Image sizes that a format can take: `imageattr`.

use super::{PayloadType, value_attribute};
use crate::error::ValueError;
use std::fmt;
use std::str::FromStr;

/// Image sizes (RFC 6236 §3.1). Only the payload type is looked at; the sets are kept as the text they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageAttr {
    /// For which payload type; `None` for all (`*`).
    pub payload_type: Option<PayloadType>,
    /// `send`, `recv` and their sets.
    pub sets: String,
}

value_attribute!(ImageAttr, "imageattr");

impl FromStr for ImageAttr {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let (format, sets) = value.split_once(' ').ok_or(ValueError::missing("imageattr set"))?;
        let payload_type = match format {
            "*" => None,
            number => Some(number.parse()?),
        };
        Ok(Self {
            payload_type,
            sets: sets.to_owned(),
        })
    }
}

impl fmt::Display for ImageAttr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.payload_type {
            Some(number) => write!(f, "{number} {}", self.sets),
            None => write!(f, "* {}", self.sets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn sizes_are_kept() {
        round_trips::<ImageAttr>(&[
            "imageattr:97 send [x=800,y=640,sar=1.1,q=0.6] [x=480,y=320] recv [x=330,y=250]",
            "imageattr:* recv [x=[320:16:640],y=[240:16:480]]",
        ]);
        fails(&[
            ("imageattr:97", "imageattr set is missing"),
            ("imageattr:x send *", "payload type is malformed"),
        ]);
    }
}
