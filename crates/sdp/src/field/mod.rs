//! The lines with a structure of their own: `o=`, `c=`, `b=`, `t=`, `r=`, `z=`, `m=` (RFC 8866 §5).

mod bandwidth;
mod connection;
mod media_line;
mod origin;
mod timing;

pub use bandwidth::Bandwidth;
pub use connection::Connection;
pub use media_line::{MediaLine, protocol};
pub use origin::Origin;
pub use timing::{Repeat, TimeUnit, Timing, TypedTime, Zone, ZoneAdjustment};

pub(crate) use media_line::MediaFields;

/// Each text parses, is written as it was, and that parses to the same again.
#[cfg(test)]
pub(crate) fn round_trips<T>(texts: &[&str])
where
    T: std::str::FromStr<Err = crate::ValueError> + std::fmt::Display + PartialEq + std::fmt::Debug,
{
    for text in texts {
        let value: T = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(&value.to_string(), text);
        assert_eq!(value.to_string().parse(), Ok(value));
    }
}

/// Each text fails to parse, and the error reads like this.
#[cfg(test)]
pub(crate) fn fails<T>(cases: &[(&str, &str)])
where
    T: std::str::FromStr<Err = crate::ValueError> + std::fmt::Debug,
{
    for (text, words) in cases {
        let error = text.parse::<T>().expect_err(text);
        assert_eq!(&error.to_string(), words, "{text:?}");
    }
}
