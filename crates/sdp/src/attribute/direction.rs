//! Which way media flows: `sendrecv`, `sendonly`, `recvonly`, `inactive`.

use super::AttributeValue;
use crate::error::{Fault, ValueError};
use std::fmt;
use std::str::FromStr;

/// A media direction (RFC 8866 §6.7), as its sender sees it. Four attributes without values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways; "SHOULD be assumed as the default".
    #[default]
    SendRecv,
    /// From the sender of the description only.
    SendOnly,
    /// To the sender of the description only.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    /// From whether the sender of the description sends, and whether it receives.
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the sender of the description sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the sender of the description receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same, as the other side sees it.
    pub const fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both directions allow.
    pub const fn intersection(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The word in SDP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

impl AttributeValue for Direction {
    const NAMES: &'static [&'static str] = &["sendrecv", "recvonly", "sendonly", "inactive"];

    fn from_attribute(name: &str, value: Option<&str>) -> Result<Self, ValueError> {
        match value {
            None | Some("") => name.parse(),
            Some(_) => Err(ValueError::new("value of a direction", Fault::Unexpected)),
        }
    }

    fn fmt_attribute(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Direction {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "sendrecv" => Ok(Self::SendRecv),
            "sendonly" => Ok(Self::SendOnly),
            "recvonly" => Ok(Self::RecvOnly),
            "inactive" => Ok(Self::Inactive),
            _ => Err(ValueError::malformed("direction")),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn directions() {
        round_trips::<Direction>(Direction::NAMES);
        fails(&[("sendrecv:yes", "value of a direction should not be there")]);
        assert_eq!(Direction::SendOnly.reversed(), Direction::RecvOnly);
        assert_eq!(
            Direction::SendOnly.intersection(Direction::SendRecv),
            Direction::SendOnly
        );
        assert_eq!(
            Direction::SendOnly.intersection(Direction::RecvOnly),
            Direction::Inactive
        );
    }
}
