//! What the session-level part of a description and each of its media descriptions have in common: lines.

use crate::attribute::AttributeValue;
use crate::error::ParseError;
use crate::field::{Bandwidth, Connection};
use crate::line::{Line, LineEnding, RawAttribute};
use std::fmt;

/// The lines of one part of a description: the session level ([`SessionDescription`](crate::SessionDescription),
/// [`Fragment`](crate::Fragment)) or one [`MediaDescription`](crate::MediaDescription).
///
/// Reading: [`attribute`](Self::attribute) and [`attributes`](Self::attributes) give typed values, named by the type:
/// `media.attribute::<Setup>()`. They parse when asked; a value that is malformed is an error there that names its
/// line, and none for those who never ask. [`attribute_value`](Self::attribute_value) and its kin give the text.
///
/// Changing: [`push`](Self::push), [`set`](Self::set) and [`remove`](Self::remove). What is not touched stays as it
/// came.
///
/// Attribute names are compared without regard to ASCII case.
pub trait Section: sealed::Lines {
    /// All lines, the `m=` line of a media description included.
    fn lines(&self) -> &[Line] {
        self.line_vec()
    }

    /// The value of the first line of that type: `section.line_value('i')`.
    fn line_value(&self, kind: char) -> Option<&str> {
        self.line_values(kind).next()
    }

    /// The values of all lines of that type.
    fn line_values(&self, kind: char) -> impl Iterator<Item = &str> {
        self.lines()
            .iter()
            .filter(move |line| line.kind() == kind)
            .map(Line::value)
    }

    /// All attributes as they are written.
    fn raw_attributes(&self) -> impl Iterator<Item = RawAttribute<'_>> {
        self.lines().iter().filter_map(Line::as_attribute)
    }

    /// The value of the first attribute of that name, empty for one without a value.
    fn attribute_value(&self, name: &str) -> Option<&str> {
        self.attribute_values(name).next()
    }

    /// The values of all attributes of that name, empty for one without a value.
    fn attribute_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.lines()
            .iter()
            .filter_map(move |line| line.attribute_named(name))
            .map(|attribute| attribute.value.unwrap_or_default())
    }

    /// Whether there is an attribute of that name.
    fn has_attribute(&self, name: &str) -> bool {
        self.attribute_value(name).is_some()
    }

    /// All attributes of type `T`, in order. Each that is malformed is an error with its line.
    fn attributes<T: AttributeValue>(&self) -> impl Iterator<Item = Result<T, ParseError>> {
        self.lines().iter().filter_map(Line::attribute_as)
    }

    /// The first attribute of type `T`, if there is one.
    fn attribute<T: AttributeValue>(&self) -> Result<Option<T>, ParseError> {
        self.attributes().next().transpose()
    }

    /// Whether there is an attribute of type `T`, well-formed or not: `media.has::<BundleOnly>()`.
    fn has<T: AttributeValue>(&self) -> bool {
        T::NAMES.iter().any(|name| self.has_attribute(name))
    }

    /// Appends an attribute.
    fn push(&mut self, attribute: &impl AttributeValue) -> &mut Self {
        self.insert(Line::attribute(attribute));
        self
    }

    /// Appends an attribute this crate has no type for: `a=<name>`, or `a=<name>:<value>`. NUL, CR and LF are left out.
    fn push_raw(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        self.insert(match value {
            Some(value) => Line::new('a', format_args!("{name}:{value}")),
            None => Line::new('a', name),
        });
        self
    }

    /// Makes this the only attribute of its type, in the place of the first there was, or else at the end.
    fn set<T: AttributeValue>(&mut self, attribute: &T) -> &mut Self {
        let is_one = |line: &Line| T::NAMES.iter().any(|name| line.attribute_named(name).is_some());
        let first = self.lines().iter().position(is_one);
        self.replace(first, Line::attribute(attribute), is_one);
        self
    }

    /// Removes all attributes of type `T`; how many there were.
    fn remove<T: AttributeValue>(&mut self) -> usize {
        self.retain_attributes(|attribute| !T::NAMES.iter().any(|name| attribute.is(name)))
    }

    /// Removes the attributes for which `keep` is false; how many these were.
    fn retain_attributes(&mut self, mut keep: impl FnMut(RawAttribute<'_>) -> bool) -> usize {
        let before = self.lines().len();
        self.line_vec_mut()
            .retain(|line| line.as_attribute().is_none_or(&mut keep));
        before - self.lines().len()
    }

    /// The first `c=` line (RFC 8866 §5.7).
    fn connection(&self) -> Option<Connection> {
        self.line_value('c')?.parse().ok()
    }

    /// Makes this the only `c=` line.
    fn set_connection(&mut self, connection: &Connection) -> &mut Self {
        self.set_line('c', connection)
    }

    /// All `b=` lines (RFC 8866 §5.8) that can be understood.
    fn bandwidths(&self) -> impl Iterator<Item = Bandwidth> {
        self.line_values('b').filter_map(|value| value.parse().ok())
    }

    /// Makes this the only line of its type, in the place RFC 8866 §5 gives it. For lines that may come once: `i=`,
    /// `c=`, …; the lines that every part must have (`v=`, `o=`, `s=`, `t=`, `m=`) and attributes have ways of their
    /// own and are left alone here.
    fn set_line(&mut self, kind: char, value: impl fmt::Display) -> &mut Self {
        if !matches!(kind, 'v' | 'o' | 's' | 't' | 'm' | 'a') && kind.is_ascii_lowercase() {
            let first = self.lines().iter().position(|line| line.kind() == kind);
            self.replace(first, Line::new(kind, value), |line| line.kind() == kind);
        }
        self
    }
}

pub(crate) mod sealed {
    use super::{Line, LineEnding};

    /// What only this crate may do with the lines, for it could break their order.
    pub trait Lines {
        fn line_vec(&self) -> &Vec<Line>;
        fn line_vec_mut(&mut self) -> &mut Vec<Line>;

        /// Puts a line after all those that must come before it, ended as its neighbour is.
        fn insert(&mut self, mut line: Line) {
            let lines = self.line_vec_mut();
            let rank = Line::rank(line.kind());
            let place = lines
                .iter()
                .rposition(|other| Line::rank(other.kind()) <= rank)
                .map_or(0, |last| last + 1);
            if let Some(LineEnding::Lf) = lines.last().map(Line::ending) {
                line.ending = LineEnding::Lf;
            }
            lines.insert(place, line);
        }

        /// Puts `line` in the place of the line at `first` and removes the others that `is_one`; inserts it if there is
        /// none.
        fn replace(&mut self, first: Option<usize>, mut line: Line, is_one: impl Fn(&Line) -> bool) {
            let lines = self.line_vec_mut();
            let Some((first, old)) = first.and_then(|first| Some((first, lines.get_mut(first)?))) else {
                self.insert(line);
                return;
            };
            line.ending = old.ending;
            *old = line;
            let mut index = 0;
            lines.retain(|line| {
                index += 1;
                index - 1 == first || !is_one(line)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{Candidate, Direction, EndOfCandidates, Mid, Setup};
    use crate::{MediaDescription, Origin, SessionDescription};

    #[test]
    fn lines_are_put_where_they_belong() {
        let mut session = SessionDescription::new(&Origin::new(1, 2));
        session.push_raw("x", None);
        session
            .set_line('b', "AS:1")
            .set_line('i', "info")
            .set_connection(&Connection::unspecified());
        session.set_line('b', "AS:2").set_line('v', "1").set_line('?', "x");
        let lines: Vec<_> = session.lines().iter().map(Line::text).collect();
        let expected = [
            "v=0",
            "o=- 1 2 IN IP4 0.0.0.0",
            "s=-",
            "i=info",
            "c=IN IP4 0.0.0.0",
            "b=AS:2",
            "t=0 0",
            "a=x",
        ];
        assert_eq!(lines, expected);
        assert_eq!(session.bandwidths().next().map(|bandwidth| bandwidth.value), Some(2));
    }

    #[test]
    fn set_leaves_one_in_the_place_of_the_first() {
        let mut media = MediaDescription::data_channel();
        media
            .push(&Direction::SendOnly)
            .push(&Mid::new("0"))
            .push(&Direction::Inactive);
        media.set(&Direction::RecvOnly).set(&Setup::Active);
        let names: Vec<_> = media.raw_attributes().map(|attribute| attribute.name).collect();
        assert_eq!(names, ["recvonly", "mid", "setup"]);
        assert_eq!(media.remove::<Direction>(), 1);
        assert_eq!(media.own_direction(), None);
    }

    #[test]
    fn added_lines_end_like_those_before() {
        let text = "v=0\no=- 1 2 IN IP4 0.0.0.0\ns=-\nt=0 0";
        let mut session = SessionDescription::parse(text).unwrap();
        session.push(&EndOfCandidates);
        assert_eq!(session.to_string(), format!("{text}\r\na=end-of-candidates\r\n"));
        let mut session = SessionDescription::parse(&format!("{text}\n\n")).unwrap();
        session.push(&EndOfCandidates);
        assert_eq!(session.to_string(), format!("{text}\na=end-of-candidates\n\n"));
    }

    #[test]
    fn names_are_found_in_any_case() {
        let mut media = MediaDescription::data_channel();
        media
            .push_raw("Candidate", Some("1 1 udp 1 ::1 5 typ host"))
            .push_raw("RTCP-mux", None);
        assert_eq!(media.attributes::<Candidate>().count(), 1);
        assert_eq!(media.attribute_value("rtcp-mux"), Some(""));
        assert_eq!(media.attribute_value("rtcp"), None);
        assert_eq!(media.attribute_values("candidate").count(), 1);
    }
}
