//! What a payload type stands for: `rtpmap`.

use super::value_attribute;
use crate::error::{Fault, ValueError};
use crate::token;
use std::fmt;
use std::str::FromStr;

/// An RTP payload type: 7 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadType(u8);

/// A payload type's encoding (RFC 8866 §6.6).
///
/// ```text
/// rtpmap-value = payload-type SP encoding-name "/" clock-rate [ "/" encoding-params ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtpMap {
    /// The payload type.
    pub payload_type: PayloadType,
    /// The encoding, in whatever case: compare with [`is`](Self::is).
    pub encoding: String,
    /// Of RTP timestamps, in Hz.
    pub clock_rate: u32,
    /// Audio channels; one if not given.
    pub channels: Option<u32>,
}

impl PayloadType {
    /// `None` above 127.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 128 { Some(Self(number)) } else { None }
    }

    /// 0 to 127.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl RtpMap {
    /// Whether it is that encoding. RFC 8866 §6.6: the names are case-insensitive.
    pub fn is(&self, encoding: &str) -> bool {
        self.encoding.eq_ignore_ascii_case(encoding)
    }
}

value_attribute!(RtpMap, "rtpmap");

impl FromStr for PayloadType {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::new(token::number(text, "payload type")?).ok_or(ValueError::new("payload type", Fault::OutOfRange))
    }
}

impl FromStr for RtpMap {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let payload_type = token::next(&mut fields, "payload type")?.parse()?;
        let mut parts = token::next(&mut fields, "encoding name")?.split('/');
        token::end(fields, "field after the encoding")?;
        let encoding = token::token(token::next(&mut parts, "encoding name")?, "encoding name")?;
        let clock_rate = token::number(token::next(&mut parts, "clock rate")?, "clock rate")?;
        let channels = parts
            .next()
            .map(|channels| token::number(channels, "number of channels"))
            .transpose()?;
        token::end(parts, "part after the number of channels")?;
        if clock_rate == 0 {
            return Err(ValueError::new("clock rate", Fault::OutOfRange));
        }
        if channels == Some(0) {
            return Err(ValueError::new("number of channels", Fault::OutOfRange));
        }
        Ok(Self {
            payload_type,
            encoding,
            clock_rate,
            channels,
        })
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RtpMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.payload_type, self.encoding, self.clock_rate)?;
        self.channels.iter().try_for_each(|channels| write!(f, "/{channels}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn maps() {
        round_trips::<RtpMap>(&["rtpmap:111 opus/48000/2", "rtpmap:0 PCMU/8000", "rtpmap:9 G722/8000/1"]);
        fails(&[
            ("rtpmap:", "payload type is missing"),
            ("rtpmap:128 VP8/90000", "payload type is out of range"),
            ("rtpmap:256 VP8/90000", "payload type is out of range"),
            ("rtpmap:96", "encoding name is missing"),
            ("rtpmap:96 /90000", "encoding name is missing"),
            ("rtpmap:96 VP8", "clock rate is missing"),
            ("rtpmap:96 VP8/0", "clock rate is out of range"),
            ("rtpmap:96 VP8/90k", "clock rate is malformed"),
            ("rtpmap:96 opus/48000/0", "number of channels is out of range"),
            (
                "rtpmap:96 opus/48000/2/3",
                "part after the number of channels should not be there",
            ),
            ("rtpmap:96 VP8/90000 x", "field after the encoding should not be there"),
        ]);
        let map: RtpMap = "96 vp8/90000".parse().unwrap();
        assert!(map.is("VP8"));
    }
}
