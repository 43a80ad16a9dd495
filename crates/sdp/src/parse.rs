//! Text to lines, and the order lines must have.

use crate::error::{ParseError, Reason, ValueError};
use crate::field::{Connection, MediaFields, Origin, Timing};
use crate::fragment::Fragment;
use crate::line::{Line, LineEnding};
use crate::media::MediaDescription;
use crate::session::SessionDescription;

/// The longest text that is parsed, in bytes. The offer of a conference with a thousand media descriptions fits.
pub const MAX_LENGTH: usize = 4 << 20;

/// The most lines that are parsed.
pub const MAX_LINES: usize = 1 << 16;

/// The longest line that is parsed, in bytes.
pub const MAX_LINE_LENGTH: usize = 1 << 16;

pub(crate) fn session_description(text: &str) -> Result<SessionDescription, ParseError> {
    let mut reader = Reader::new(text)?;
    let mut order = SessionOrder::default();
    let mut lines = Vec::with_capacity(16);
    let first_media = reader.up_to_media(&mut lines, |kind| order.admit(kind))?;
    let end = first_media.as_ref().map_or(reader.number + 1, |line| line.number);
    order.finish().map_err(|reason| ParseError { line: end, reason })?;
    let media = media_descriptions(&mut reader, first_media)?;
    Ok(SessionDescription {
        lines,
        media,
        tail: reader.rest.into(),
    })
}

pub(crate) fn fragment(text: &str) -> Result<Fragment, ParseError> {
    let mut reader = Reader::new(text)?;
    let mut lines = Vec::new();
    let first_media = reader.up_to_media(&mut lines, |kind| {
        // RFC 8840 §9.2: "A valid body uses only pseudo "m=" lines and certain attributes".
        match is_known(kind) && kind != 'a' {
            true => Err(Reason::OutOfOrder(kind)),
            false => Ok(()),
        }
    })?;
    let media = media_descriptions(&mut reader, first_media)?;
    Ok(Fragment {
        lines,
        media,
        tail: reader.rest.into(),
    })
}

/// All that follows the session level; `line` is the first `m=` line.
fn media_descriptions<'a>(
    reader: &mut Reader<'a>,
    mut line: Option<RawLine<'a>>,
) -> Result<Vec<MediaDescription>, ParseError> {
    let mut all = Vec::new();
    while let Some(first) = line {
        let fields = MediaFields::split(first.value());
        fields.check().map_err(|error| first.error(error.into()))?;
        let mut lines = Vec::with_capacity(32);
        lines.push(first.keep());
        let mut order = MediaOrder::default();
        line = reader.up_to_media(&mut lines, |kind| order.admit(kind))?;
        all.push(MediaDescription { lines });
    }
    Ok(all)
}

/// What has to be right in a line for the description as a whole to be understood. The other values are parsed when
/// asked for.
fn check_value(line: &RawLine<'_>) -> Result<(), Reason> {
    let value = line.value();
    match line.kind {
        'v' if value.trim_ascii_end() != "0" => Err(Reason::Version),
        'o' => Ok(value.parse::<Origin>().map(drop)?),
        't' => Ok(value.parse::<Timing>().map(drop)?),
        'c' => Ok(value.parse::<Connection>().map(drop)?),
        'a' if value.is_empty() || value.starts_with(':') => Err(ValueError::missing("attribute name").into()),
        _ => Ok(()),
    }
}

/// Whether RFC 8866 defines a line of that type.
///
/// RFC 8866 §5: "an SDP parser MUST completely ignore or reject any session description that contains a type letter
/// that it does not understand." Here such lines are ignored, wherever they stand, and kept.
fn is_known(kind: char) -> bool {
    kind == 'a' || Line::rank(kind) < Line::rank('a')
}

/// The order of lines at session level (RFC 8866 §5). Chromium insists on all of it, Firefox on the first three lines and
/// on a `t=`.
#[derive(Default)]
struct SessionOrder {
    /// How many of `v=`, `o=` and `s=` have come.
    begun: usize,
    /// The last line of a known type.
    last: char,
    has_time: bool,
}

impl SessionOrder {
    const BEGIN: [char; 3] = ['v', 'o', 's'];

    fn admit(&mut self, kind: char) -> Result<(), Reason> {
        if let Some(&expected) = Self::BEGIN.get(self.begun) {
            if kind != expected {
                return Err(Reason::Expected(expected));
            }
            self.begun += 1;
            self.last = kind;
            return Ok(());
        }
        if !is_known(kind) {
            return Ok(());
        }
        match kind {
            'v' | 'o' | 's' => return Err(Reason::Repeated(kind)),
            'r' | 'z' | 'k' | 'a' if !self.has_time => return Err(Reason::Expected('t')),
            // After "r=" and "z=" another time description may begin. "z=" came after all of them in RFC 4566, and
            // comes after its "r=" in RFC 8866.
            't' if matches!(self.last, 't' | 'r' | 'z') => {}
            'r' | 'z' if !matches!(self.last, 't' | 'r') => return Err(Reason::OutOfOrder(kind)),
            'i' | 'u' | 'c' | 'k' if self.last == kind => return Err(Reason::Repeated(kind)),
            _ if Line::rank(kind) < Line::rank(self.last) => return Err(Reason::OutOfOrder(kind)),
            _ => {}
        }
        self.has_time |= kind == 't';
        self.last = kind;
        Ok(())
    }

    fn finish(self) -> Result<(), Reason> {
        match (Self::BEGIN.get(self.begun), self.has_time) {
            (Some(&expected), _) => Err(Reason::Expected(expected)),
            (None, false) => Err(Reason::Expected('t')),
            (None, true) => Ok(()),
        }
    }
}

/// Which lines a media description may have (RFC 8866 §5).
///
/// Their order is not insisted upon: applications put `b=` lines after attributes by editing descriptions, and browsers take
/// these.
#[derive(Default)]
struct MediaOrder {
    has_title: bool,
    has_key: bool,
}

impl MediaOrder {
    fn admit(&mut self, kind: char) -> Result<(), Reason> {
        let repeated = match kind {
            'i' => std::mem::replace(&mut self.has_title, true),
            'k' => std::mem::replace(&mut self.has_key, true),
            'v' | 'o' | 's' | 'u' | 'e' | 'p' | 't' | 'r' | 'z' => return Err(Reason::OutOfOrder(kind)),
            _ => false,
        };
        if repeated { Err(Reason::Repeated(kind)) } else { Ok(()) }
    }
}

/// Splits a text into lines.
struct Reader<'a> {
    /// What is left; at the end, the empty lines after the last.
    rest: &'a str,
    /// The number of the last line.
    number: usize,
}

/// A line that looks like one.
struct RawLine<'a> {
    number: usize,
    kind: char,
    text: &'a str,
    ending: LineEnding,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Result<Self, ParseError> {
        match text.len() {
            0..=MAX_LENGTH => Ok(Self { rest: text, number: 0 }),
            _ => Err(ParseError {
                line: 1,
                reason: Reason::TooLong,
            }),
        }
    }

    /// Reads the lines of one part, all of which `admit` has to admit by their type; the `m=` line that begins the next.
    fn up_to_media(
        &mut self,
        lines: &mut Vec<Line>,
        mut admit: impl FnMut(char) -> Result<(), Reason>,
    ) -> Result<Option<RawLine<'a>>, ParseError> {
        while let Some(line) = self.next()? {
            if line.kind == 'm' {
                return Ok(Some(line));
            }
            admit(line.kind)
                .and_then(|()| check_value(&line))
                .map_err(|reason| line.error(reason))?;
            lines.push(line.keep());
        }
        Ok(None)
    }

    fn next(&mut self) -> Result<Option<RawLine<'a>>, ParseError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (text, ending, rest) = match self.rest.split_once('\n') {
            None => (self.rest, LineEnding::None, ""),
            Some((line, rest)) => match line.strip_suffix('\r') {
                Some(text) => (text, LineEnding::CrLf, rest),
                None => (line, LineEnding::Lf, rest),
            },
        };
        if text.is_empty() && is_blank(self.rest) {
            return Ok(None);
        }
        self.number += 1;
        self.rest = rest;
        let raw = |kind| RawLine {
            number: self.number,
            kind,
            text,
            ending,
        };
        match looks_like_a_line(text, self.number) {
            Ok(kind) => Ok(Some(raw(kind))),
            Err(reason) => Err(ParseError {
                line: self.number,
                reason,
            }),
        }
    }
}

/// Whether there is nothing but line endings. Texts pasted or put together by hand often end so.
fn is_blank(text: &str) -> bool {
    text.replace("\r\n", "\n").bytes().all(|byte| byte == b'\n')
}

/// The type of a line: RFC 8866 §5, "`<type>=<value>` where `<type>` is exactly one case-significant character".
fn looks_like_a_line(text: &str, number: usize) -> Result<char, Reason> {
    if number > MAX_LINES {
        return Err(Reason::TooManyLines);
    }
    if text.len() > MAX_LINE_LENGTH {
        return Err(Reason::LineTooLong);
    }
    if text.bytes().any(|byte| matches!(byte, 0 | b'\r')) {
        return Err(Reason::ForbiddenCharacter);
    }
    match text.as_bytes() {
        [] => Err(Reason::BlankLine),
        [kind @ b'a'..=b'z', b'=', ..] => Ok(char::from(*kind)),
        _ => Err(Reason::NotALine),
    }
}

impl RawLine<'_> {
    fn value(&self) -> &str {
        self.text.get(2..).unwrap_or_default()
    }

    fn keep(&self) -> Line {
        Line::read(self.text, self.ending, self.number)
    }

    fn error(&self, reason: Reason) -> ParseError {
        ParseError {
            line: self.number,
            reason,
        }
    }
}
