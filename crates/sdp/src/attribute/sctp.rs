//! SCTP over DTLS: `sctp-port`, `max-message-size`, `sctpmap`, `sctp-init`.

use super::{number_attribute, value_attribute};
use crate::base64;
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

number_attribute! {
    /// The SCTP port (RFC 8841 §5); 5000 in every browser.
    SctpPort(u16), "sctp-port"
}

number_attribute! {
    /// The largest message that the sender of the description takes, in bytes; 0 for one of any size (RFC 8841 §6).
    MaxMessageSize(u64), "max-message-size"
}

impl MaxMessageSize {
    /// RFC 8841 §6.1: "If the SDP "max-message-size" attribute is not present, the default value is 64K."
    pub const DEFAULT: Self = Self(65536);
}

/// The SCTP port, application and streams as drafts of RFC 8841 wrote them. Old browsers did, and new ones read it.
///
/// ```text
/// sctpmap-attr = "a=sctpmap:" sctpmap-number SP app [SP streams]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SctpMap {
    /// The SCTP port.
    pub port: u16,
    /// `webrtc-datachannel`.
    pub application: String,
    /// How many streams there are.
    pub streams: Option<u32>,
}

/// The sender's SCTP INIT chunk, in Base64, so that no handshake is needed (draft-hancke-tsvwg-snap).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SctpInit(pub Vec<u8>);

value_attribute!(SctpMap, "sctpmap");
value_attribute!(SctpInit, "sctp-init");

impl FromStr for SctpMap {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let port = token::number(token::next(&mut fields, "sctpmap port")?, "sctpmap port")?;
        let application = token::token(token::next(&mut fields, "sctpmap application")?, "sctpmap application")?;
        let streams = fields
            .next()
            .map(|streams| token::number(streams, "number of streams"))
            .transpose()?;
        token::end(fields, "field after the number of streams")?;
        Ok(Self {
            port,
            application,
            streams,
        })
    }
}

impl FromStr for SctpInit {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        match base64::decode(value.trim_ascii()) {
            Some(chunk) if chunk.is_empty() => Err(ValueError::missing("sctp-init")),
            Some(chunk) => Ok(Self(chunk)),
            None => Err(ValueError::malformed("sctp-init")),
        }
    }
}

impl fmt::Display for SctpMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.port, self.application)?;
        self.streams.iter().try_for_each(|streams| write!(f, " {streams}"))
    }
}

impl fmt::Display for SctpInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64::encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn ports_and_sizes() {
        round_trips::<SctpPort>(&["sctp-port:5000", "sctp-port:0"]);
        round_trips::<MaxMessageSize>(&["max-message-size:0", "max-message-size:18446744073709551615"]);
        round_trips::<SctpMap>(&[
            "sctpmap:5000 webrtc-datachannel 1024",
            "sctpmap:5000 webrtc-datachannel",
        ]);
        fails(&[
            ("sctp-port:65536", "sctp-port is out of range"),
            ("sctp-port:", "sctp-port is missing"),
            ("max-message-size:-1", "max-message-size is malformed"),
            ("sctpmap:5000", "sctpmap application is missing"),
            (
                "sctpmap:5000 x 1 2",
                "field after the number of streams should not be there",
            ),
        ]);
    }

    /// The example of draft-hancke-tsvwg-snap: tag 0x896cdd1d.
    #[test]
    fn an_init_chunk() {
        round_trips::<SctpInit>(&["sctp-init:AQAAHols3R0AUAAA/////+B5ZR3AAAAEgAgABoLA"]);
        let init: SctpInit = "AQAAHols3R0AUAAA/////+B5ZR3AAAAEgAgABoLA".parse().unwrap();
        assert_eq!(init.0.get(..8), Some(&[1, 0, 0, 30, 0x89, 0x6c, 0xdd, 0x1d][..]));
        fails(&[
            ("sctp-init:AQ", "sctp-init is malformed"),
            ("sctp-init:", "sctp-init is missing"),
        ]);
    }
}
