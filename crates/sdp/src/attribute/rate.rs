//! How often: `ptime`, `maxptime`, `framerate`.

use super::value_attribute;
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

/// How many milliseconds of media a packet should hold (RFC 8866 §6.4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ptime(pub f64);

/// How many milliseconds of media a packet may hold (RFC 8866 §6.5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxPtime(pub f64);

/// How many frames there are at most in a second (RFC 8866 §6.13).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameRate(pub f64);

/// All three are a `non-zero-int-or-real`: above 0.
macro_rules! real {
    ($type:ident, $name:literal) => {
        value_attribute!($type, $name);

        impl FromStr for $type {
            type Err = ValueError;

            fn from_str(value: &str) -> Result<Self, ValueError> {
                token::real(value.trim_ascii(), $name).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

real!(Ptime, "ptime");
real!(MaxPtime, "maxptime");
real!(FrameRate, "framerate");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn rates() {
        round_trips::<Ptime>(&["ptime:20", "ptime:2.5"]);
        round_trips::<MaxPtime>(&["maxptime:120"]);
        round_trips::<FrameRate>(&["framerate:60", "framerate:29.97"]);
        fails(&[
            ("ptime:0", "ptime is out of range"),
            ("framerate:fast", "framerate is malformed"),
        ]);
    }
}
