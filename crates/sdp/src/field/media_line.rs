//! `m=`: the kind of media, its port, its protocol, its formats.

use crate::error::{Fault, ValueError};
use crate::token;
use std::fmt;
use std::str::FromStr;

/// What begins a media description (RFC 8866 §5.14).
///
/// ```text
/// media-field = %s"m" "=" media SP port ["/" integer] SP proto 1*(SP fmt) CRLF
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaLine {
    /// `audio`, `video`, `application`, …
    pub kind: String,
    /// The port of the default candidate: 9 when there is none (RFC 8829 §5.2.1), 0 to reject the media, or together
    /// with `a=bundle-only`.
    pub port: u16,
    /// How many ports there are from `port` on.
    pub port_count: Option<u32>,
    /// The transport: one of [`protocol`], or another.
    pub protocol: String,
    /// RTP payload types in order of preference, or `webrtc-datachannel`. At least one.
    pub formats: Vec<String>,
}

/// The protocols of `m=` lines in WebRTC (RFC 8829 §5.1.2).
///
/// Those with `UDP` are what offers say until a TCP candidate is the default one. Answers repeat what the offer says,
/// and there other ones have to be accepted as well: they tell nothing of the transport that ICE will choose.
pub mod protocol {
    /// RTP over DTLS-SRTP, with feedback (RFC 5764).
    pub const UDP_TLS_RTP_SAVPF: &str = "UDP/TLS/RTP/SAVPF";
    /// The same over TCP (RFC 7850).
    pub const TCP_DTLS_RTP_SAVPF: &str = "TCP/DTLS/RTP/SAVPF";
    /// SCTP over DTLS over UDP (RFC 8841).
    pub const UDP_DTLS_SCTP: &str = "UDP/DTLS/SCTP";
    /// SCTP over DTLS over TCP (RFC 8841).
    pub const TCP_DTLS_SCTP: &str = "TCP/DTLS/SCTP";
    /// SCTP over DTLS as drafts of RFC 8841 wrote it, with `a=sctpmap` and the SCTP port in the place of the format.
    pub const DTLS_SCTP: &str = "DTLS/SCTP";
}

/// The fields of an `m=` line where they stand.
#[derive(Clone, Copy)]
pub(crate) struct MediaFields<'a> {
    pub(crate) kind: &'a str,
    /// And the number of ports, if it is there.
    port: &'a str,
    pub(crate) protocol: &'a str,
    /// All of them, with spaces between.
    pub(crate) formats: &'a str,
}

impl MediaLine {
    /// Media on one port. Give `9` while no candidate is known, and at least one format.
    pub fn new<F: Into<String>>(kind: &str, port: u16, protocol: &str, formats: impl IntoIterator<Item = F>) -> Self {
        Self {
            kind: kind.into(),
            port,
            port_count: None,
            protocol: protocol.into(),
            formats: formats.into_iter().map(Into::into).collect(),
        }
    }

    /// `application 9 UDP/DTLS/SCTP webrtc-datachannel` (RFC 8841 §4).
    pub fn data_channel() -> Self {
        Self::new("application", 9, protocol::UDP_DTLS_SCTP, ["webrtc-datachannel"])
    }

    /// `audio 9 RTP/AVP 0`: the `m=` line of a [`Fragment`](crate::Fragment) whose sender does not know that of the
    /// offer or answer. What it says has to be ignored (RFC 8840 §4.4).
    pub fn pseudo() -> Self {
        Self::new("audio", 9, "RTP/AVP", ["0"])
    }
}

impl<'a> MediaFields<'a> {
    /// Takes a line apart without a look at what the fields hold: it has been [checked](Self::check) before, and each question
    /// about a section comes through here.
    pub(crate) fn split(value: &'a str) -> Self {
        let (kind, rest) = next(value);
        let (port, rest) = next(rest);
        let (protocol, formats) = next(rest);
        Self {
            kind,
            port,
            protocol,
            formats,
        }
    }

    /// That each field is as its grammar wants it.
    pub(crate) fn check(self) -> Result<(), ValueError> {
        check(self.kind, "media type", token::is_token_char)?;
        self.ports()?;
        check(self.protocol, "media protocol", |c| token::is_token_char(c) || c == '/')?;
        // RFC 8866 wants tokens, and some peers have written more here; nothing hangs on it.
        check(self.formats, "media format", |c| !c.is_ascii_control())
    }

    /// The port, and how many there are from it on.
    pub(crate) fn ports(self) -> Result<(u16, Option<u32>), ValueError> {
        let (port, count) = match self.port.split_once('/') {
            Some((port, count)) => (port, Some(token::number(count, "number of ports")?)),
            None => (self.port, None),
        };
        let port = token::number(port, "media port")?;
        match count {
            Some(0) => Err(ValueError::new("number of ports", Fault::OutOfRange)),
            count => Ok((port, count)),
        }
    }

    pub(crate) fn formats(self) -> impl Iterator<Item = &'a str> {
        token::fields(self.formats)
    }
}

/// The first field, and what follows it. Like [`token::fields`], runs of spaces count as one.
fn next(value: &str) -> (&str, &str) {
    // A field is a few bytes long: to look at them one by one takes less than to set up a search.
    let end = value.bytes().position(|byte| byte == b' ').unwrap_or(value.len());
    let (field, mut rest) = value.split_at(end);
    while let Some(shorter) = rest.strip_prefix(' ') {
        rest = shorter;
    }
    (field, rest)
}

fn check(text: &str, name: &'static str, test: impl Fn(char) -> bool) -> Result<(), ValueError> {
    match text {
        "" => Err(ValueError::missing(name)),
        text if text.chars().all(test) => Ok(()),
        _ => Err(ValueError::malformed(name)),
    }
}

impl FromStr for MediaLine {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let fields = MediaFields::split(value);
        fields.check()?;
        Ok(fields.into())
    }
}

impl From<MediaFields<'_>> for MediaLine {
    fn from(fields: MediaFields<'_>) -> Self {
        let (port, port_count) = fields.ports().unwrap_or_default();
        Self {
            kind: fields.kind.to_owned(),
            port,
            port_count,
            protocol: fields.protocol.to_owned(),
            formats: fields.formats().map(str::to_owned).collect(),
        }
    }
}

impl fmt::Display for MediaLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.port)?;
        if let Some(count) = self.port_count {
            write!(f, "/{count}")?;
        }
        write!(f, " {} ", self.protocol)?;
        token::join(f, ' ', &self.formats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{fails, round_trips};

    #[test]
    fn media_lines() {
        round_trips::<MediaLine>(&[
            "application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "application 9 DTLS/SCTP 5000",
            "audio 49170/2 RTP/AVP 0",
            "video 0 UDP/TLS/RTP/SAVPF 96 97 98",
            "message 7394 TCP/TLS/MSRP *",
        ]);
        fails::<MediaLine>(&[
            ("", "media type is missing"),
            ("audio", "media port is missing"),
            ("audio x RTP/AVP 0", "media port is malformed"),
            ("audio 65536 RTP/AVP 0", "media port is out of range"),
            ("audio 9/0 RTP/AVP 0", "number of ports is out of range"),
            ("audio 9", "media protocol is missing"),
            ("audio 9 RTP/AVP", "media format is missing"),
            ("audio 9 RTP/AVP  ", "media format is missing"),
            ("au:dio 9 RTP/AVP 0", "media type is malformed"),
            ("audio 9 RTP:AVP 0", "media protocol is malformed"),
        ]);
    }

    #[test]
    fn more_spaces_than_one_do_no_harm() {
        let line: MediaLine = "audio  9 RTP/AVP 0  8 ".parse().unwrap();
        assert_eq!(line.to_string(), "audio 9 RTP/AVP 0 8");
        assert_eq!(
            MediaLine::data_channel().to_string(),
            "application 9 UDP/DTLS/SCTP webrtc-datachannel"
        );
    }
}
