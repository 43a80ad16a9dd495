//! A whole session description.

use crate::attribute::{Direction, EndOfCandidates, Group};
use crate::error::ParseError;
use crate::field::{Origin, Timing};
use crate::line::{Line, RawAttribute, write_lines};
use crate::media::MediaDescription;
use crate::parameters::{self, DtlsParameters, IceParameters};
use crate::parse;
use crate::section::{Section, sealed};
use std::fmt;
use std::str::FromStr;

/// A session description (RFC 8866): the lines of the session level, and the media descriptions.
///
/// Parsing ([`parse`](Self::parse), `FromStr`) checks the structure: that the lines are lines, that they are those RFC
/// 8866 wants and in its order, and the values of `v=`, `o=`, `t=`, `c=` and `m=`. It does not look into attributes,
/// whose values are parsed when they are asked for (see [`Section`]), or all at once by [`check`](Self::check). Writing
/// (`Display`) gives back what was parsed, byte for byte, but for what has been changed since.
///
/// Where it is more tolerant than RFC 8866, since peers are not always strict: lines may end with LF, or with CRLF, or
/// both; the last one need not end; empty lines may follow it. Fields may be separated by more than one space. Within a
/// media description the order of lines is free. `s=` may be empty. Lines of unknown type are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDescription {
    pub(crate) lines: Vec<Line>,
    /// The media descriptions, in order.
    pub media: Vec<MediaDescription>,
    /// Empty lines after the last.
    pub(crate) tail: Box<str>,
}

impl SessionDescription {
    /// `v=0`, the origin, `s=-` and `t=0 0`, as RFC 8829 §5.2.1 wants it, and no media.
    pub fn new(origin: &Origin) -> Self {
        let lines = vec![
            Line::new('v', 0),
            Line::new('o', origin),
            Line::new('s', '-'),
            Line::new('t', Timing::default()),
        ];
        Self {
            lines,
            media: Vec::new(),
            tail: Box::default(),
        }
    }

    /// Parses a description.
    ///
    /// # Errors
    ///
    /// The first line that is wrong, and why. At most [`MAX_LENGTH`](crate::MAX_LENGTH) bytes in
    /// [`MAX_LINES`](crate::MAX_LINES) lines are taken.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::session_description(text)
    }

    /// Parses every attribute that this crate has a type for.
    ///
    /// # Errors
    ///
    /// The first one that is not as its grammar wants it.
    pub fn check(&self) -> Result<(), ParseError> {
        let attributes = self.media.iter().flat_map(Section::raw_attributes);
        self.raw_attributes()
            .chain(attributes)
            .try_for_each(|attribute: RawAttribute<'_>| attribute.typed().map(drop))
    }

    /// The `o=` line.
    pub fn origin(&self) -> Origin {
        // It was checked when the description was parsed.
        self.line_value('o')
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| Origin::new(0, 0))
    }

    /// Replaces the `o=` line.
    pub fn set_origin(&mut self, origin: &Origin) -> &mut Self {
        self.replace_value('o', origin)
    }

    /// The `s=` line: `-` in WebRTC.
    pub fn name(&self) -> &str {
        self.line_value('s').unwrap_or_default()
    }

    /// Replaces the `s=` line.
    pub fn set_name(&mut self, name: &str) -> &mut Self {
        self.replace_value('s', name)
    }

    /// The `t=` lines.
    pub fn timings(&self) -> impl Iterator<Item = Timing> {
        self.line_values('t').filter_map(|value| value.parse().ok())
    }

    /// The media description with that `mid`, and which one it is.
    pub fn media_by_mid(&self, mid: &str) -> Option<(usize, &MediaDescription)> {
        self.media
            .iter()
            .enumerate()
            .find(|(_, media)| media.mid() == Some(mid))
    }

    /// The BUNDLE groups (RFC 9143). A malformed `a=group` line is left out.
    pub fn bundle_groups(&self) -> impl Iterator<Item = Group> {
        self.attributes::<Group>()
            .filter_map(Result::ok)
            .filter(Group::is_bundle)
    }

    /// The direction of a media description: its own, or that of the session, or sendrecv (RFC 8866 §6.7).
    pub fn direction(&self, media: &MediaDescription) -> Direction {
        let of = |section: &[Line]| section.iter().find_map(|line| line.attribute_as::<Direction>()?.ok());
        of(media.lines()).or_else(|| of(self.lines())).unwrap_or_default()
    }

    /// The ICE parameters of a media description, each one its own or else that of the session (RFC 8839 §5.4).
    /// `None` unless there are a username fragment and a password.
    ///
    /// # Errors
    ///
    /// The first that is malformed.
    pub fn ice_parameters(&self, media: &MediaDescription) -> Result<Option<IceParameters>, ParseError> {
        parameters::ice(self, media)
    }

    /// The DTLS parameters of a media description, each one its own or else that of the session (RFC 8842 §5, RFC 8122
    /// §5).
    ///
    /// # Errors
    ///
    /// The first that is malformed.
    pub fn dtls_parameters(&self, media: &MediaDescription) -> Result<DtlsParameters, ParseError> {
        parameters::dtls(self, media)
    }

    /// Whether no more candidates follow for a media description, by its own word or that of the session (RFC 8840 §8).
    pub fn has_end_of_candidates(&self, media: &MediaDescription) -> bool {
        media.has::<EndOfCandidates>() || self.has::<EndOfCandidates>()
    }

    fn replace_value(&mut self, kind: char, value: impl fmt::Display) -> &mut Self {
        if let Some(line) = self.lines.iter_mut().find(|line| line.kind() == kind) {
            *line = line.with_value(value);
        }
        self
    }
}

impl Section for SessionDescription {}

impl sealed::Lines for SessionDescription {
    fn line_vec(&self) -> &Vec<Line> {
        &self.lines
    }

    fn line_vec_mut(&mut self) -> &mut Vec<Line> {
        &mut self.lines
    }
}

impl FromStr for SessionDescription {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let media = self.media.iter().flat_map(|media| &media.lines);
        write_lines(f, self.lines.iter().chain(media), &self.tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{GroupSemantics, Mid};

    #[test]
    fn a_new_description_is_that_of_jsep() {
        let mut session = SessionDescription::new(&Origin::new(7, 1));
        assert_eq!(session.to_string(), "v=0\r\no=- 7 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
        session.set_origin(&Origin::new(7, 2)).set_name("x");
        assert_eq!((session.origin(), session.name()), (Origin::new(7, 2), "x"));
        assert_eq!(session.timings().collect::<Vec<_>>(), [Timing { start: 0, stop: 0 }]);
    }

    #[test]
    fn groups_and_mids() {
        let mut session = SessionDescription::new(&Origin::new(7, 1));
        session.push(&Group {
            semantics: GroupSemantics::LipSync,
            mids: vec!["a".into()],
        });
        session.push(&Group::bundle(["a", "b"])).push(&Group::bundle(["c"]));
        assert_eq!(
            session
                .bundle_groups()
                .map(|group| group.mids.len())
                .collect::<Vec<_>>(),
            [2, 1]
        );
        for mid in ["a", "b"] {
            let mut media = MediaDescription::data_channel();
            media.push(&Mid::new(mid));
            session.media.push(media);
        }
        assert_eq!(session.media_by_mid("b").map(|(index, _)| index), Some(1));
        assert!(session.media_by_mid("c").is_none());
    }

    #[test]
    fn a_direction_is_inherited() {
        let mut session = SessionDescription::new(&Origin::new(7, 1));
        let mut media = MediaDescription::data_channel();
        assert_eq!(session.direction(&media), Direction::SendRecv);
        session.push(&Direction::Inactive);
        assert_eq!(session.direction(&media), Direction::Inactive);
        media.push(&Direction::RecvOnly);
        assert_eq!(session.direction(&media), Direction::RecvOnly);
    }
}
