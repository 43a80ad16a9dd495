//! One line, as it came: its type, its text, its ending.

use crate::attribute::{Attribute, AttributeValue, Written};
use crate::error::{ParseError, ValueError};
use std::fmt::{self, Write as _};

/// One line of a description: `x=value`, kept as it was read, down to how it ended.
///
/// A line never holds a NUL, a line feed or a carriage return: what makes lines leaves them out, so that no value can
/// smuggle in a line of its own.
#[derive(Clone)]
pub struct Line {
    /// The type letter, `=`, the value; without the ending.
    text: Box<str>,
    pub(crate) ending: LineEnding,
    /// Where in the parsed text, from 1; 0 if it was added later.
    number: u32,
}

/// How a line ends.
///
/// RFC 8866 §5: "The sequence CRLF (0x0d0a) is used to end a line, although parsers SHOULD be tolerant and also accept
/// lines terminated with a single newline character."
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LineEnding {
    /// `\r\n`, as the RFC wants it.
    #[default]
    CrLf,
    /// `\n`.
    Lf,
    /// Nothing: the last line of a text that just stops.
    None,
}

/// An attribute as it is written: `a=<name>` or `a=<name>:<value>` (RFC 8866 §5.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawAttribute<'a> {
    /// What comes before the first colon.
    pub name: &'a str,
    /// What comes after it; `None` for a property attribute like `a=rtcp-mux`.
    pub value: Option<&'a str>,
    line: u32,
}

impl Line {
    /// A line of type `kind` (a lower-case ASCII letter; anything else becomes `a`) that ends with CRLF. NUL, CR and LF
    /// in `value` are left out.
    pub fn new(kind: char, value: impl fmt::Display) -> Self {
        let kind = if kind.is_ascii_lowercase() { kind } else { 'a' };
        // Most lines fit: a text that grows with each piece of a value is allocated several times.
        let mut text = String::with_capacity(128);
        // A `String` takes all that is written to it.
        let _ = write!(text, "{kind}={value}");
        if text.contains(is_forbidden) {
            text.retain(|c| !is_forbidden(c));
        }
        Self {
            text: text.into_boxed_str(),
            ending: LineEnding::CrLf,
            number: 0,
        }
    }

    /// An `a=` line.
    pub fn attribute(attribute: &impl AttributeValue) -> Self {
        Self::new('a', Written(attribute))
    }

    /// A line read from a text. The caller has looked at the first two characters and at forbidden ones.
    pub(crate) fn read(text: &str, ending: LineEnding, number: usize) -> Self {
        Self {
            text: text.into(),
            ending,
            number: u32::try_from(number).unwrap_or(u32::MAX),
        }
    }

    /// The type letter.
    pub fn kind(&self) -> char {
        self.text.chars().next().unwrap_or('a')
    }

    /// What follows the `=`.
    pub fn value(&self) -> &str {
        self.text.get(2..).unwrap_or_default()
    }

    /// The whole line, without its ending.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How the line ends.
    pub fn ending(&self) -> LineEnding {
        self.ending
    }

    /// The number of the line in the text it was parsed from, counted from 1; 0 if it was added since.
    pub fn number(&self) -> usize {
        self.number as usize
    }

    /// The attribute on an `a=` line; `None` for other lines.
    pub fn as_attribute(&self) -> Option<RawAttribute<'_>> {
        let text = self.text.strip_prefix("a=")?;
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        Some(RawAttribute {
            name,
            value,
            line: self.number,
        })
    }

    /// The attribute on this line, if it has that name. Names are compared without regard to case: most grammars that define
    /// them are written so (RFC 8840 §9.2).
    pub(crate) fn attribute_named(&self, name: &str) -> Option<RawAttribute<'_>> {
        // Where a name of that length would end tells most lines apart, without a search for their colon.
        let (own, rest) = self.text.strip_prefix("a=")?.split_at_checked(name.len())?;
        let value = match rest.strip_prefix(':') {
            None if !rest.is_empty() => return None,
            value => value,
        };
        let is_named = own.eq_ignore_ascii_case(name) && !own.contains(':');
        is_named.then_some(RawAttribute {
            name: own,
            value,
            line: self.number,
        })
    }

    /// The attribute on this line as a `T`, if it has one of `T`'s names.
    pub(crate) fn attribute_as<T: AttributeValue>(&self) -> Option<Result<T, ParseError>> {
        T::NAMES
            .iter()
            .find_map(|name| Some(self.attribute_named(name)?.parse_as(name)))
    }

    /// The same place and ending, another value.
    pub(crate) fn with_value(&self, value: impl fmt::Display) -> Self {
        Self {
            ending: self.ending,
            number: self.number,
            ..Self::new(self.kind(), value)
        }
    }

    /// Where among the lines of its part a line of this type has its place (RFC 8866 §5).
    pub(crate) fn rank(kind: char) -> u8 {
        match kind {
            'v' | 'm' => 0,
            'o' => 1,
            's' => 2,
            'i' => 3,
            'u' => 4,
            'e' => 5,
            'p' => 6,
            'c' => 7,
            'b' => 8,
            't' => 9,
            'r' => 10,
            'z' => 11,
            'k' => 12,
            _ => 13,
        }
    }
}

impl<'a> RawAttribute<'a> {
    /// Whether the attribute has this name (ASCII case does not count).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The attribute as one of the types of this crate; [`Attribute::Other`] if none knows the name.
    pub fn typed(&self) -> Result<Attribute, ParseError> {
        Attribute::parse(self.name, self.value).map_err(|error| self.error(error))
    }

    /// The attribute as a `T`, if it has one of `T`'s names.
    pub fn parse<T: AttributeValue>(&self) -> Option<Result<T, ParseError>> {
        let name = T::NAMES.iter().find(|name| self.is(name))?;
        Some(self.parse_as(name))
    }

    /// The attribute as a `T`, whose name it has.
    fn parse_as<T: AttributeValue>(&self, name: &str) -> Result<T, ParseError> {
        T::from_attribute(name, self.value).map_err(|error| self.error(error))
    }

    fn error(&self, error: ValueError) -> ParseError {
        ParseError::value(self.line as usize, error)
    }
}

/// RFC 8866 §9, `byte-string`: "any byte except NUL, CR, or LF".
pub(crate) fn is_forbidden(c: char) -> bool {
    matches!(c, '\0' | '\r' | '\n')
}

/// Writes lines so that only the very last one of the text may lack an ending.
pub(crate) fn write_lines<'a>(
    f: &mut fmt::Formatter<'_>,
    lines: impl IntoIterator<Item = &'a Line>,
    tail: &str,
) -> fmt::Result {
    let mut unended = false;
    for line in lines {
        if unended {
            f.write_str(LineEnding::CrLf.as_str())?;
        }
        f.write_str(&line.text)?;
        f.write_str(line.ending.as_str())?;
        unended = line.ending == LineEnding::None;
    }
    f.write_str(tail)
}

impl LineEnding {
    /// The characters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CrLf => "\r\n",
            Self::Lf => "\n",
            Self::None => "",
        }
    }
}

/// Equal text and ending; where a line once stood does not count.
impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.ending == other.ending
    }
}

impl Eq for Line {}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.text)
    }
}

impl fmt::Display for Line {
    /// The text without the ending.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Mid;

    #[test]
    fn no_value_smuggles_in_a_line() {
        let line = Line::attribute(&Mid::new("0\r\na=ice-lite\0"));
        assert_eq!(line.text(), "a=mid:0a=ice-lite");
    }

    #[test]
    fn an_attribute_splits_at_its_first_colon() {
        let line = Line::new('a', "ssrc:1 cname:x");
        let attribute = line.as_attribute().unwrap();
        assert_eq!((attribute.name, attribute.value), ("ssrc", Some("1 cname:x")));
        assert_eq!(Line::new('a', "rtcp-mux").as_attribute().unwrap().value, None);
        assert_eq!(Line::new('s', "-").as_attribute(), None);
    }

    #[test]
    fn an_attribute_is_found_by_its_whole_name_in_any_case() {
        let value = |text: &str, name| {
            let line = Line::new('a', text);
            line.attribute_named(name)
                .map(|attribute| attribute.value.map(str::to_owned))
        };
        assert_eq!(value("mid:0", "mid"), Some(Some("0".to_owned())));
        assert_eq!(value("MID:", "mid"), Some(Some(String::new())));
        assert_eq!(value("rtcp-mux", "RTCP-mux"), Some(None));
        for (text, name) in [
            ("rtcp-mux", "rtcp"),
            ("rtcp", "rtcp-mux"),
            ("x:y:z", "x:y"),
            ("", "mid"),
            ("\u{e9}", "m"),
        ] {
            assert_eq!(value(text, name), None, "{text} is not {name}");
        }
        assert!(Line::new('b', "mid:0").attribute_named("mid").is_none());
    }
}
