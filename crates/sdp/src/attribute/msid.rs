//! Media streams and tracks: `msid`, `msid-semantic`.

use super::value_attribute;
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

/// The stream that a media description's track is in (RFC 8830 §2); one line for each stream.
///
/// ```text
/// msid-value = msid-id [ SP msid-appdata ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Msid {
    /// The stream, `-` for none. The RFC allows 64 token characters; longer and other ones are let pass, for
    /// applications choose them.
    pub stream: String,
    /// The track, as implementations before RFC 8829 wrote it and browsers still do.
    pub track: Option<String>,
}

/// Which media stream ids are of which kind. From drafts of RFC 8830; browsers still write it, and nobody reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MsidSemantic {
    /// `WMS`.
    pub semantic: String,
    /// The streams; `*` for all.
    pub streams: Vec<String>,
}

impl Msid {
    /// The stream that means none (RFC 8829 §5.2.1).
    pub const NO_STREAM: &str = "-";
}

value_attribute!(Msid, "msid");
value_attribute!(MsidSemantic, "msid-semantic");

impl FromStr for Msid {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let stream = token::word(token::next(&mut fields, "msid")?, "msid")?;
        let track = fields
            .next()
            .map(|track| token::word(track, "msid track"))
            .transpose()?;
        token::end(fields, "field after the msid track")?;
        Ok(Self { stream, track })
    }
}

impl FromStr for MsidSemantic {
    type Err = ValueError;

    /// Chromium writes a space in front, which `Display` does not.
    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let semantic = token::token(token::next(&mut fields, "msid-semantic")?, "msid-semantic")?;
        let streams = fields
            .map(|stream| token::word(stream, "msid"))
            .collect::<Result<_, _>>()?;
        Ok(Self { semantic, streams })
    }
}

impl fmt::Display for Msid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stream)?;
        self.track.iter().try_for_each(|track| write!(f, " {track}"))
    }
}

impl fmt::Display for MsidSemantic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantic)?;
        self.streams.iter().try_for_each(|stream| write!(f, " {stream}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{Attribute, fails, round_trips};

    #[test]
    fn msids() {
        round_trips::<Msid>(&["msid:- 8f1c", "msid:{b7c6}", "msid:examplefoo examplebar"]);
        round_trips::<MsidSemantic>(&["msid-semantic:WMS *", "msid-semantic:WMS", "msid-semantic:WMS a b"]);
        fails(&[
            ("msid:", "msid is missing"),
            ("msid:a b c", "field after the msid track should not be there"),
            ("msid-semantic: ", "msid-semantic is missing"),
        ]);
        let chromium: Attribute = "msid-semantic: WMS x".parse().unwrap();
        assert_eq!(chromium.to_string(), "msid-semantic:WMS x");
    }
}
