//! The small rules of RFC 8866 §9 that every grammar here shares: fields, tokens, numbers.

use crate::error::{Fault, ValueError};
use std::fmt;
use std::str::FromStr;

/// The fields of a value.
///
/// RFC 8866 §5 separates them by exactly one space. Peers append spaces and double them, so that runs of spaces count
/// as one here; nothing that is kept between lines depends on it, for lines survive as they came.
pub(crate) fn fields(value: &str) -> impl DoubleEndedIterator<Item = &str> {
    value.split(' ').filter(|field| !field.is_empty())
}

/// The next field, or that `name` is missing.
pub(crate) fn next<'a>(fields: &mut impl Iterator<Item = &'a str>, name: &'static str) -> Result<&'a str, ValueError> {
    fields.next().ok_or(ValueError::missing(name))
}

/// That no field is left.
pub(crate) fn end<'a>(mut fields: impl Iterator<Item = &'a str>, name: &'static str) -> Result<(), ValueError> {
    match fields.next() {
        None => Ok(()),
        Some(_) => Err(ValueError::new(name, Fault::Unexpected)),
    }
}

/// A decimal number: digits only, for Rust's own parser would take a plus sign.
pub(crate) fn number<T: FromStr>(text: &str, name: &'static str) -> Result<T, ValueError> {
    if text.is_empty() {
        return Err(ValueError::missing(name));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::malformed(name));
    }
    text.parse().map_err(|_| ValueError::new(name, Fault::OutOfRange))
}

/// RFC 8866 §9, `non-zero-int-or-real`: a number above 0, with a fraction or without.
pub(crate) fn real(text: &str, name: &'static str) -> Result<f64, ValueError> {
    let shaped = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value: f64 = text
        .parse()
        .ok()
        .filter(|_| shaped)
        .ok_or(ValueError::malformed(name))?;
    match value.is_finite() && value > 0.0 {
        true => Ok(value),
        false => Err(ValueError::new(name, Fault::OutOfRange)),
    }
}

/// A `token` (RFC 8866 §9).
pub(crate) fn token(text: &str, name: &'static str) -> Result<String, ValueError> {
    checked(text, name, is_token_char)
}

/// A `non-ws-string` (RFC 8866 §9): anything one can see.
pub(crate) fn word(text: &str, name: &'static str) -> Result<String, ValueError> {
    checked(text, name, |c| !c.is_ascii_control() && c != ' ')
}

/// One or more characters that all pass `test`.
pub(crate) fn checked(text: &str, name: &'static str, test: impl Fn(char) -> bool) -> Result<String, ValueError> {
    match text {
        "" => Err(ValueError::missing(name)),
        text if text.chars().all(test) => Ok(text.to_owned()),
        _ => Err(ValueError::malformed(name)),
    }
}

/// A token and, behind a `=` if there is one, whatever follows.
pub(crate) fn name_value(text: &str, name: &'static str) -> Result<(String, Option<String>), ValueError> {
    let (own_name, value) = match text.split_once('=') {
        Some((own_name, value)) => (own_name, Some(value.to_owned())),
        None => (text, None),
    };
    Ok((token(own_name, name)?, value))
}

/// Writes what [`name_value`] reads.
pub(crate) fn write_name_value(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&str>) -> fmt::Result {
    f.write_str(name)?;
    value.map_or(Ok(()), |value| write!(f, "={value}"))
}

/// That a text has so many bytes.
pub(crate) fn length(text: &str, name: &'static str, min: usize, max: usize) -> Result<(), ValueError> {
    match text.len() {
        len if len < min => Err(ValueError::new(name, Fault::TooShort)),
        len if len > max => Err(ValueError::new(name, Fault::TooLong)),
        _ => Ok(()),
    }
}

/// RFC 8866 §9: `token-char = ALPHA / DIGIT / "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" /
/// "{" / "|" / "}" / "~"`.
pub(crate) fn is_token_char(c: char) -> bool {
    matches!(c, '!' | '#'..='\'' | '*' | '+' | '-' | '.' | '0'..='9' | 'A'..='Z' | '^'..='~')
}

/// Writes `items` with `separator` between them.
pub(crate) fn join<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    separator: char,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            write!(f, "{separator}")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_characters_are_those_of_the_rfc() {
        let all: String = ('\0'..='\u{ff}').filter(|&c| is_token_char(c)).collect();
        assert_eq!(
            all,
            "!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz{|}~"
        );
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number::<u16>("65535", "port"), Ok(65535));
        assert_eq!(
            number::<u16>("65536", "port"),
            Err(ValueError::new("port", Fault::OutOfRange))
        );
        assert_eq!(number::<u16>("+5", "port"), Err(ValueError::malformed("port")));
        assert_eq!(number::<u16>("-5", "port"), Err(ValueError::malformed("port")));
        assert_eq!(number::<u16>("", "port"), Err(ValueError::missing("port")));
    }

    #[test]
    fn reals_are_positive_and_plain() {
        assert_eq!(real("29.97", "rate"), Ok(29.97));
        for bad in ["0", "-1", "1e3", "inf", "NaN", "", ".", ".5", "1.2.3"] {
            assert!(real(bad, "rate").is_err(), "{bad}");
        }
    }
}
