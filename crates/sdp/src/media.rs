//! One media description.

use crate::attribute::{BundleOnly, Candidate, Direction, MaxMessageSize, SctpMap, SctpPort};
use crate::error::ParseError;
use crate::field::{Connection, MediaFields, MediaLine, protocol};
use crate::line::{Line, write_lines};
use crate::section::{Section, sealed};
use std::fmt;

/// A media description (RFC 8866 §5.14): an `m=` line and those that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaDescription {
    /// The first one is the `m=` line, and has been checked.
    pub(crate) lines: Vec<Line>,
}

impl MediaDescription {
    /// An `m=` line and nothing else.
    pub fn new(line: &MediaLine) -> Self {
        Self {
            lines: vec![Line::new('m', line)],
        }
    }

    /// Data channels, without candidates yet, as RFC 8829 §5.2.1 wants it:
    /// `m=application 9 UDP/DTLS/SCTP webrtc-datachannel` and `c=IN IP4 0.0.0.0`.
    pub fn data_channel() -> Self {
        let mut media = Self::new(&MediaLine::data_channel());
        media.set_connection(&Connection::unspecified());
        media
    }

    /// The `m=` line.
    pub fn media_line(&self) -> MediaLine {
        self.fields().into()
    }

    /// Replaces the `m=` line.
    pub fn set_media_line(&mut self, line: &MediaLine) -> &mut Self {
        if let Some(first) = self.lines.first_mut() {
            *first = first.with_value(line);
        }
        self
    }

    /// `audio`, `video`, `application`, …
    pub fn kind(&self) -> &str {
        self.fields().kind
    }

    /// The port: that of the default candidate, 9 if there is none, 0 if the media is rejected or only to be bundled.
    pub fn port(&self) -> u16 {
        self.fields().ports().map_or(0, |(port, _)| port)
    }

    /// Changes the port.
    pub fn set_port(&mut self, port: u16) -> &mut Self {
        let line = MediaLine {
            port,
            ..self.media_line()
        };
        self.set_media_line(&line)
    }

    /// The transport: see [`protocol`].
    pub fn protocol(&self) -> &str {
        self.fields().protocol
    }

    /// The formats, the one preferred first.
    pub fn formats(&self) -> impl Iterator<Item = &str> {
        self.fields().formats()
    }

    /// Whether the media is rejected, or has been stopped: port 0, but for media that are only to be bundled
    /// (RFC 3264 §6, RFC 9143 §6).
    pub fn is_rejected(&self) -> bool {
        self.port() == 0 && !self.has::<BundleOnly>()
    }

    /// Whether this is about data channels, in the way of RFC 8841 or that of its drafts.
    pub fn is_data_channel(&self) -> bool {
        let fields = self.fields();
        let sctp = [protocol::UDP_DTLS_SCTP, protocol::TCP_DTLS_SCTP, protocol::DTLS_SCTP];
        if fields.kind != "application" || !sctp.contains(&fields.protocol) {
            return false;
        }
        fields.formats().any(|format| format == "webrtc-datachannel")
            || matches!(self.attribute::<SctpMap>(), Ok(Some(map)) if map.application == "webrtc-datachannel")
    }

    /// Whether this is RTP, over whatever transport.
    pub fn is_rtp(&self) -> bool {
        self.protocol().split('/').any(|part| part == "RTP")
    }

    /// The identification (RFC 5888 §4), if it has one.
    pub fn mid(&self) -> Option<&str> {
        self.attribute_value("mid")
            .map(str::trim_ascii)
            .filter(|mid| !mid.is_empty())
    }

    /// The direction given here, if one is. With the session's:
    /// [`SessionDescription::direction`](crate::SessionDescription::direction).
    pub fn own_direction(&self) -> Option<Direction> {
        self.attributes().find_map(Result::ok)
    }

    /// The candidates. Those to be ignored are still among them: names that cannot be resolved, transports that are not
    /// known.
    pub fn candidates(&self) -> impl Iterator<Item = Result<Candidate, ParseError>> {
        self.attributes()
    }

    /// The SCTP port: `a=sctp-port`, or the one that drafts of RFC 8841 wrote in `a=sctpmap` or as format.
    ///
    /// # Errors
    ///
    /// The attribute is malformed.
    pub fn sctp_port(&self) -> Result<Option<u16>, ParseError> {
        if let Some(SctpPort(port)) = self.attribute()? {
            return Ok(Some(port));
        }
        if let Some(SctpMap { port, .. }) = self.attribute()? {
            return Ok(Some(port));
        }
        let is_draft = self.protocol() == protocol::DTLS_SCTP;
        Ok(self
            .formats()
            .next()
            .filter(|_| is_draft)
            .and_then(|format| format.parse().ok()))
    }

    /// The largest message its sender takes, in bytes: as it says, or 65536. 0 is no limit (RFC 8841 §6.1).
    ///
    /// # Errors
    ///
    /// The attribute is malformed.
    pub fn max_message_size(&self) -> Result<u64, ParseError> {
        let MaxMessageSize(size) = self.attribute()?.unwrap_or(MaxMessageSize::DEFAULT);
        Ok(size)
    }

    fn fields(&self) -> MediaFields<'_> {
        MediaFields::split(self.lines.first().map(Line::value).unwrap_or_default())
    }
}

impl Section for MediaDescription {}

impl sealed::Lines for MediaDescription {
    fn line_vec(&self) -> &Vec<Line> {
        &self.lines
    }

    fn line_vec_mut(&mut self) -> &mut Vec<Line> {
        &mut self.lines
    }
}

/// The lines as they stand in a description.
impl fmt::Display for MediaDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lines(f, &self.lines, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionDescription;

    fn media(lines: &str) -> MediaDescription {
        let text = format!("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n{lines}");
        SessionDescription::parse(&text).unwrap().media.remove(0)
    }

    #[test]
    fn data_channels_of_all_ages() {
        let new = media("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=sctp-port:5001\na=max-message-size:0\n");
        assert!(new.is_data_channel());
        assert_eq!((new.sctp_port(), new.max_message_size()), (Ok(Some(5001)), Ok(0)));
        let old = media("m=application 9 DTLS/SCTP 5002\na=sctpmap:5002 webrtc-datachannel 1024\n");
        assert!(old.is_data_channel());
        assert_eq!((old.sctp_port(), old.max_message_size()), (Ok(Some(5002)), Ok(65536)));
        let other = media("m=application 9 DTLS/SCTP 5002\n");
        assert!(!other.is_data_channel());
        assert_eq!(other.sctp_port(), Ok(Some(5002)));
        assert_eq!(MediaDescription::data_channel().sctp_port(), Ok(None));
    }

    #[test]
    fn a_port_of_0_rejects_unless_bundled() {
        let mut media = media("m=audio 9/2 RTP/SAVPF  0 8 \na=mid:a\n");
        assert!(!media.is_rejected() && media.is_rtp());
        assert_eq!(media.formats().collect::<Vec<_>>(), ["0", "8"]);
        media.set_port(0);
        assert!(media.is_rejected());
        assert_eq!(media.to_string(), "m=audio 0/2 RTP/SAVPF 0 8\na=mid:a\n");
        media.push(&BundleOnly);
        assert!(!media.is_rejected());
    }
}
