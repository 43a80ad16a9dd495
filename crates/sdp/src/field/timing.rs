//! `t=`, `r=`, `z=`: when the session takes place. In WebRTC always `t=0 0`: now, and without end.

use crate::error::{Fault, ValueError};
use crate::token;
use std::fmt;
use std::str::FromStr;

/// When the session is active (RFC 8866 §5.9): seconds since 1900, 0 for no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timing {
    /// When it starts; 0 for a permanent session.
    pub start: u64,
    /// When it stops; 0 for never.
    pub stop: u64,
}

/// How the session repeats (RFC 8866 §5.10).
///
/// ```text
/// repeat-field = %s"r" "=" repeat-interval SP typed-time 1*(SP typed-time) CRLF
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repeat {
    /// From one repetition to the next.
    pub interval: TypedTime,
    /// How long it is active.
    pub duration: TypedTime,
    /// When it is active, from the start time of `t=` on.
    pub offsets: Vec<TypedTime>,
}

/// When clocks change (RFC 8866 §5.11).
///
/// ```text
/// zone-field = %s"z" "=" time SP ["-"] typed-time *(SP time SP ["-"] typed-time) CRLF
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Zone {
    /// In order of time.
    pub adjustments: Vec<ZoneAdjustment>,
}

/// One change of clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ZoneAdjustment {
    /// When, in seconds since 1900.
    pub time: u64,
    /// Whether the offset is to be subtracted.
    pub negative: bool,
    /// By how much the base time of `r=` shifts.
    pub offset: TypedTime,
}

/// A length of time in a unit (RFC 8866 §9, `typed-time`): `7d`, `3600`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypedTime {
    /// How many.
    pub value: u64,
    /// Of what; `None` is seconds, too.
    pub unit: Option<TimeUnit>,
}

/// A unit of time (RFC 8866 §9, `fixed-len-time-unit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// `d`
    Days,
    /// `h`
    Hours,
    /// `m`
    Minutes,
    /// `s`
    Seconds,
}

impl TypedTime {
    /// In seconds; at most `u64::MAX`.
    pub fn as_secs(self) -> u64 {
        self.value.saturating_mul(match self.unit {
            Some(TimeUnit::Days) => 86_400,
            Some(TimeUnit::Hours) => 3_600,
            Some(TimeUnit::Minutes) => 60,
            Some(TimeUnit::Seconds) | None => 1,
        })
    }
}

impl FromStr for Timing {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let start = token::number(token::next(&mut fields, "start time")?, "start time")?;
        let stop = token::number(token::next(&mut fields, "stop time")?, "stop time")?;
        token::end(fields, "field after the stop time")?;
        Ok(Self { start, stop })
    }
}

impl FromStr for Repeat {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let interval: TypedTime = token::next(&mut fields, "repeat interval")?.parse()?;
        if interval.value == 0 {
            return Err(ValueError::new("repeat interval", Fault::OutOfRange));
        }
        let duration = token::next(&mut fields, "active duration")?.parse()?;
        let offsets: Vec<TypedTime> = fields.map(str::parse).collect::<Result<_, _>>()?;
        match offsets.is_empty() {
            true => Err(ValueError::missing("offset from the start time")),
            false => Ok(Self {
                interval,
                duration,
                offsets,
            }),
        }
    }
}

impl FromStr for Zone {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let mut adjustments = Vec::new();
        while let Some(time) = fields.next() {
            let time = token::number(time, "adjustment time")?;
            let offset = token::next(&mut fields, "zone offset")?;
            let (negative, offset) = match offset.strip_prefix('-') {
                Some(offset) => (true, offset),
                None => (false, offset),
            };
            adjustments.push(ZoneAdjustment {
                time,
                negative,
                offset: offset.parse()?,
            });
        }
        match adjustments.is_empty() {
            true => Err(ValueError::missing("adjustment time")),
            false => Ok(Self { adjustments }),
        }
    }
}

impl FromStr for TypedTime {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let unit = match text.chars().next_back() {
            Some('d') => Some(TimeUnit::Days),
            Some('h') => Some(TimeUnit::Hours),
            Some('m') => Some(TimeUnit::Minutes),
            Some('s') => Some(TimeUnit::Seconds),
            _ => None,
        };
        let digits = if unit.is_some() {
            text.get(..text.len() - 1).unwrap_or_default()
        } else {
            text
        };
        Ok(Self {
            value: token::number(digits, "length of time")?,
            unit,
        })
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.start, self.stop)
    }
}

impl fmt::Display for Repeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.interval, self.duration)?;
        self.offsets.iter().try_for_each(|offset| write!(f, " {offset}"))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        token::join(f, ' ', &self.adjustments)
    }
}

impl fmt::Display for ZoneAdjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{} {sign}{}", self.time, self.offset)
    }
}

impl fmt::Display for TypedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Some(TimeUnit::Days) => "d",
            Some(TimeUnit::Hours) => "h",
            Some(TimeUnit::Minutes) => "m",
            Some(TimeUnit::Seconds) => "s",
            None => "",
        };
        write!(f, "{}{unit}", self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{fails, round_trips};

    /// The examples of RFC 8866 §§5.9-5.11.
    #[test]
    fn times() {
        round_trips::<Timing>(&["0 0", "3034423619 3042462419"]);
        round_trips::<Repeat>(&["604800 3600 0 90000", "7d 1h 0 25h"]);
        round_trips::<Zone>(&["3730928400 -1h 3749680800 0"]);
        fails::<Timing>(&[
            ("0", "stop time is missing"),
            ("0 0 0", "field after the stop time should not be there"),
        ]);
        fails::<Repeat>(&[
            ("7d 1h", "offset from the start time is missing"),
            ("0 1h 0", "repeat interval is out of range"),
            ("7w 1h 0", "length of time is malformed"),
            ("7d h 0", "length of time is missing"),
        ]);
        fails::<Zone>(&[("1", "zone offset is missing"), ("", "adjustment time is missing")]);
    }

    #[test]
    fn both_ways_of_writing_a_repetition_mean_the_same() {
        let [long, short]: [Repeat; 2] = ["604800 3600 0 90000", "7d 1h 0 25h"].map(|text| text.parse().unwrap());
        assert_eq!(long.interval.as_secs(), short.interval.as_secs());
        assert_eq!(long.offsets[1].as_secs(), short.offsets[1].as_secs());
        assert_eq!(
            TypedTime {
                value: u64::MAX,
                unit: Some(TimeUnit::Days)
            }
            .as_secs(),
            u64::MAX
        );
    }
}
