//! What is trickled: `application/trickle-ice-sdpfrag`.

use crate::attribute::{Candidate, Group, IceLite, IceOptions, IcePwd, IceUfrag, Mid};
use crate::error::ParseError;
use crate::line::{Line, write_lines};
use crate::media::MediaDescription;
use crate::parameters::{self, IceParameters};
use crate::parse;
use crate::section::{Section, sealed};
use crate::session::SessionDescription;
use std::fmt;
use std::str::FromStr;

/// A trickle ICE fragment (RFC 8840 §9), the body of a WHIP `PATCH` (RFC 9725 §4.3): attributes for the session, and
/// media descriptions that are no more than an `m=` line, a `mid` and candidates.
///
/// ```text
/// a=group:BUNDLE 0
/// m=audio 9 UDP/TLS/RTP/SAVPF 111
/// a=mid:0
/// a=ice-ufrag:EsAw
/// a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
/// a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host
/// a=end-of-candidates
/// ```
///
/// Some clients leave out the `m=` line and write candidates first thing; they are then those of the session level.
/// It is as tolerant as [`SessionDescription`] otherwise, and as lossless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    pub(crate) lines: Vec<Line>,
    /// The pseudo media descriptions.
    pub media: Vec<MediaDescription>,
    /// Empty lines after the last.
    pub(crate) tail: Box<str>,
}

impl Fragment {
    /// The media type.
    pub const CONTENT_TYPE: &str = "application/trickle-ice-sdpfrag";

    /// An empty fragment.
    pub fn new() -> Self {
        Self::default()
    }

    /// A fragment about one media description of a session, without candidates: push those to `media[0]`. It has what
    /// RFC 8840 §4.4 asks for: the groups, the `m=` line and `mid`, and the ICE parameters where the description has
    /// them.
    pub fn about(session: &SessionDescription, media: &MediaDescription) -> Self {
        fn copy(from: &impl Section, to: &mut impl Section) {
            copy_one::<IceLite>(from, to);
            copy_one::<IceOptions>(from, to);
            copy_one::<Group>(from, to);
            copy_one::<Mid>(from, to);
            copy_one::<IceUfrag>(from, to);
            copy_one::<IcePwd>(from, to);
        }
        let mut fragment = Self::new();
        copy(session, &mut fragment);
        let mut pseudo = MediaDescription::new(&media.media_line());
        copy(media, &mut pseudo);
        fragment.media.push(pseudo);
        fragment
    }

    /// Parses a fragment.
    ///
    /// # Errors
    ///
    /// The first line that is wrong, and why. What belongs to whole descriptions only, such as `v=`, is wrong here.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::fragment(text)
    }

    /// All candidates, with the `mid` of their media description if it has one.
    pub fn candidates(&self) -> impl Iterator<Item = (Option<&str>, Result<Candidate, ParseError>)> {
        let session = self.attributes().map(|candidate| (None, candidate));
        let media = self
            .media
            .iter()
            .flat_map(|media| media.candidates().map(|candidate| (media.mid(), candidate)));
        session.chain(media)
    }

    /// The ICE parameters of a media description, each one its own or else that of the session; a change of username
    /// fragment and password is a restart.
    ///
    /// # Errors
    ///
    /// The first that is malformed.
    pub fn ice_parameters(&self, media: &MediaDescription) -> Result<Option<IceParameters>, ParseError> {
        parameters::ice(self, media)
    }
}

fn copy_one<T: crate::attribute::AttributeValue>(from: &impl Section, to: &mut impl Section) {
    for value in from.attributes::<T>().filter_map(Result::ok) {
        to.push(&value);
    }
}

impl Section for Fragment {}

impl sealed::Lines for Fragment {
    fn line_vec(&self) -> &Vec<Line> {
        &self.lines
    }

    fn line_vec_mut(&mut self) -> &mut Vec<Line> {
        &mut self.lines
    }
}

impl FromStr for Fragment {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let media = self.media.iter().flat_map(|media| &media.lines);
        write_lines(f, self.lines.iter().chain(media), &self.tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9725 §4.3.2, shortened.
    const PATCH: &str = "a=group:BUNDLE 0 1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
        a=mid:0\r\n\
        a=ice-ufrag:EsAw\r\n\
        a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
        a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag EsAw\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn a_whip_patch() {
        let fragment = Fragment::parse(PATCH).unwrap();
        assert_eq!(fragment.to_string(), PATCH);
        let found: Vec<_> = fragment
            .candidates()
            .map(|(mid, candidate)| (mid, candidate.unwrap().port))
            .collect();
        assert_eq!(found, [(Some("0"), 61764), (Some("0"), 9)]);
        let ice = fragment.ice_parameters(&fragment.media[0]).unwrap().unwrap();
        assert_eq!((ice.ufrag.as_str(), ice.lite), ("EsAw", false));
    }

    #[test]
    fn candidates_without_an_m_line() {
        let fragment = Fragment::parse("a=ice-ufrag:EsAw\na=candidate:1 1 udp 1 ::1 5 typ host").unwrap();
        let found: Vec<_> = fragment
            .candidates()
            .map(|(mid, candidate)| (mid, candidate.unwrap().port))
            .collect();
        assert_eq!(found, [(None, 5)]);
        assert_eq!(Fragment::parse(""), Ok(Fragment::new()));
    }

    #[test]
    fn a_fragment_about_a_session() {
        let text = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-lite\r\n\
            a=fingerprint:x 00\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
            a=sctp-port:5000\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";
        let session = SessionDescription::parse(text).unwrap();
        let fragment = Fragment::about(&session, &session.media[0]);
        assert_eq!(
            fragment.to_string(),
            "a=ice-lite\r\na=group:BUNDLE 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n\
             a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
        );
    }
}
