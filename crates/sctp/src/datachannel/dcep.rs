//! The Data Channel Establishment Protocol (RFC 8832 §5): DATA_CHANNEL_OPEN and DATA_CHANNEL_ACK.

use std::fmt;
use std::time::Duration;

use peerline_wire::{Reader, Truncated, Writer};

use crate::Reliability;

/// A DCEP message: the payload of an SCTP message with [`Ppid::DCEP`](crate::Ppid::DCEP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dcep<'a> {
    /// DATA_CHANNEL_OPEN: "here is a new channel".
    Open(Open<'a>),
    /// DATA_CHANNEL_ACK: "I have it".
    Ack,
}

/// DATA_CHANNEL_OPEN (RFC 8832 §5.1).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Message Type  |  Channel Type |            Priority           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                    Reliability Parameter                      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |         Label Length          |       Protocol Length         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                  Label, then Protocol                         |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    /// Order and kind of reliability.
    pub channel_type: ChannelType,
    /// RFC 8831 §6.4: 128 below normal, 256 normal, 512 high, 1024 extra high.
    pub priority: u16,
    /// Retransmissions or milliseconds, as the type says; ignored for reliable channels.
    pub reliability_parameter: u32,
    /// The channel's name; may be empty. At most 65,535 bytes.
    pub label: &'a str,
    /// The subprotocol; may be empty. At most 65,535 bytes.
    pub protocol: &'a str,
}

/// The Channel Type of an OPEN (RFC 8832 §8.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelType(pub u8);

impl ChannelType {
    /// Reliable and in order.
    pub const RELIABLE: Self = Self(0x00);
    /// Reliable, in any order.
    pub const RELIABLE_UNORDERED: Self = Self(0x80);
    /// A limited number of retransmissions, in order.
    pub const PARTIAL_RELIABLE_REXMIT: Self = Self(0x01);
    /// A limited number of retransmissions, in any order.
    pub const PARTIAL_RELIABLE_REXMIT_UNORDERED: Self = Self(0x81);
    /// A limited lifetime, in order.
    pub const PARTIAL_RELIABLE_TIMED: Self = Self(0x02);
    /// A limited lifetime, in any order.
    pub const PARTIAL_RELIABLE_TIMED_UNORDERED: Self = Self(0x82);

    /// "The high-order bit MUST be used to indicate whether or not the message delivery is unordered" (RFC 8832 §8.2.2).
    const UNORDERED: u8 = 0x80;
}

impl fmt::Debug for ChannelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel type {:#04x}", self.0)
    }
}

/// The DCEP message types (RFC 8832 §8.2.1).
const ACK: u8 = 0x02;
const OPEN: u8 = 0x03;

impl<'a> Dcep<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// [`ParseError`] if it is not exactly one well-formed message.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(bytes);
        let message = match r.u8()? {
            ACK => Self::Ack,
            OPEN => Self::Open(Open::decode(&mut r)?),
            _ => return Err(ParseError::UnknownMessageType),
        };
        // RFC 8832 §7: inconsistent lengths of fields are an error.
        if r.is_empty() {
            Ok(message)
        } else {
            Err(ParseError::TrailingBytes)
        }
    }

    /// The message on its own.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Appends the message to `out`.
    ///
    /// # Panics
    /// If the label or protocol is longer than 65,535 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer::new(out);
        match self {
            Self::Ack => w.u8(ACK),
            Self::Open(open) => open.encode(&mut w),
        }
    }
}

impl<'a> Open<'a> {
    /// An OPEN for a channel of these properties. The lifetime is in milliseconds, rounded down.
    #[must_use]
    pub fn new(label: &'a str, protocol: &'a str, ordered: bool, reliability: Reliability, priority: u16) -> Self {
        let (kind, reliability_parameter) = match reliability {
            // RFC 8832 §5.1: "For reliable data channels, this field MUST be set to 0".
            Reliability::Reliable => (ChannelType::RELIABLE, 0),
            Reliability::MaxRetransmits(count) => (ChannelType::PARTIAL_RELIABLE_REXMIT, count),
            Reliability::MaxLifetime(lifetime) => (
                ChannelType::PARTIAL_RELIABLE_TIMED,
                u32::try_from(lifetime.as_millis()).unwrap_or(u32::MAX),
            ),
        };
        let channel_type = if ordered {
            kind
        } else {
            ChannelType(kind.0 | ChannelType::UNORDERED)
        };
        Self {
            channel_type,
            priority,
            reliability_parameter,
            label,
            protocol,
        }
    }

    /// True unless the type says unordered.
    #[must_use]
    pub fn ordered(&self) -> bool {
        self.channel_type.0 & ChannelType::UNORDERED == 0
    }

    /// What the type and the parameter mean together; `None` for a type that RFC 8832 does not define.
    #[must_use]
    pub fn reliability(&self) -> Option<Reliability> {
        match ChannelType(self.channel_type.0 & !ChannelType::UNORDERED) {
            // "… and MUST be ignored on the receiving side."
            ChannelType::RELIABLE => Some(Reliability::Reliable),
            ChannelType::PARTIAL_RELIABLE_REXMIT => Some(Reliability::MaxRetransmits(self.reliability_parameter)),
            ChannelType::PARTIAL_RELIABLE_TIMED => Some(Reliability::MaxLifetime(Duration::from_millis(
                self.reliability_parameter.into(),
            ))),
            _ => None,
        }
    }

    fn decode(r: &mut Reader<'a>) -> Result<Self, ParseError> {
        let channel_type = ChannelType(r.u8()?);
        let priority = r.u16()?;
        let reliability_parameter = r.u32()?;
        let (label, protocol) = (r.u16()?, r.u16()?);
        let mut text = |len: u16| str::from_utf8(r.bytes(len.into())?).map_err(|_| ParseError::InvalidUtf8);
        let (label, protocol) = (text(label)?, text(protocol)?);
        Ok(Self {
            channel_type,
            priority,
            reliability_parameter,
            label,
            protocol,
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        let length = |text: &str| u16::try_from(text.len()).expect("labels and protocols are at most 65,535 bytes");
        w.u8(OPEN);
        w.u8(self.channel_type.0);
        w.u16(self.priority);
        w.u32(self.reliability_parameter);
        w.u16(length(self.label));
        w.u16(length(self.protocol));
        w.bytes(self.label.as_bytes());
        w.bytes(self.protocol.as_bytes());
    }
}

/// What is wrong with a DCEP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// It ends too early.
    Truncated,
    /// It goes on after its end.
    TrailingBytes,
    /// Neither an OPEN nor an ACK.
    UnknownMessageType,
    /// The label or the protocol is not UTF-8.
    InvalidUtf8,
}

impl From<Truncated> for ParseError {
    fn from(Truncated: Truncated) -> Self {
        Self::Truncated
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the message ends too early",
            Self::TrailingBytes => "bytes follow the message",
            Self::UnknownMessageType => "neither DATA_CHANNEL_OPEN nor DATA_CHANNEL_ACK",
            Self::InvalidUtf8 => "the label or the protocol is not UTF-8",
        })
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(message: Dcep<'_>) -> Vec<u8> {
        message.encoded()
    }

    #[test]
    fn every_channel_type_says_what_it_means() {
        for (reliability, ordered, bytes) in [
            (Reliability::Reliable, true, [0x00, 0, 0]),
            (Reliability::Reliable, false, [0x80, 0, 0]),
            (Reliability::MaxRetransmits(3), true, [0x01, 0, 3]),
            (Reliability::MaxRetransmits(0), false, [0x81, 0, 0]),
            (
                Reliability::MaxLifetime(Duration::from_millis(500)),
                true,
                [0x02, 1, 0xf4],
            ),
            (
                Reliability::MaxLifetime(Duration::from_millis(500)),
                false,
                [0x82, 1, 0xf4],
            ),
        ] {
            let open = Open::new("", "", ordered, reliability, 256);
            let encoded = encode(Dcep::Open(open));
            assert_eq!(encoded, [3, bytes[0], 1, 0, 0, 0, bytes[1], bytes[2], 0, 0, 0, 0]);
            assert_eq!(Dcep::decode(&encoded), Ok(Dcep::Open(open)));
            assert_eq!((open.ordered(), open.reliability()), (ordered, Some(reliability)));
        }
    }

    /// OPENs of Chromium 156 and Firefox 153, decrypted: (bytes, label, protocol, ordered, reliability, priority).
    #[test]
    fn what_browsers_send_is_read_and_written_to_the_byte() {
        let life = Reliability::MaxLifetime(Duration::from_millis(500));
        let long = "xxxxxxxxxxxxxxxxxxxx";
        for (bytes, label, protocol, ordered, reliability, priority) in [
            (
                &b"\x03\0\x01\0\0\0\0\0\0\x08\0\0reliable"[..],
                "reliable",
                "",
                true,
                Reliability::Reliable,
                256,
            ),
            (
                b"\x03\x80\0\0\0\0\0\0\0\x09\0\0unordered",
                "unordered",
                "",
                false,
                Reliability::Reliable,
                0,
            ),
            (
                b"\x03\x81\x01\0\0\0\0\0\0\x07\0\x02rexmit0p1",
                "rexmit0",
                "p1",
                false,
                Reliability::MaxRetransmits(0),
                256,
            ),
            (b"\x03\x02\0\0\0\0\x01\xf4\0\x04\0\0life", "life", "", true, life, 0),
            (
                b"\x03\0\x01\0\0\0\0\0\0\x0b\0\x14n\xc3\xa9go-\xc3\xbctf8xxxxxxxxxxxxxxxxxxxx",
                "n\u{e9}go-\u{fc}tf8",
                long,
                true,
                Reliability::Reliable,
                256,
            ),
        ] {
            let open = Dcep::Open(Open::new(label, protocol, ordered, reliability, priority));
            assert_eq!(Dcep::decode(bytes), Ok(open));
            assert_eq!(encode(open), bytes);
        }
    }

    #[test]
    fn the_parameter_of_a_reliable_channel_is_ignored_and_an_unknown_type_has_no_meaning() {
        let open = Open {
            reliability_parameter: 9,
            ..Open::new("", "", true, Reliability::Reliable, 0)
        };
        assert_eq!(open.reliability(), Some(Reliability::Reliable));
        let unknown = Open {
            channel_type: ChannelType(0x7f),
            ..open
        };
        assert_eq!(unknown.reliability(), None);
        assert_eq!(Dcep::decode(&encode(Dcep::Open(unknown))), Ok(Dcep::Open(unknown)));
    }

    #[test]
    fn label_and_protocol_are_utf_8_of_up_to_65535_bytes() {
        let long = "\u{20ac}".repeat(21_845);
        assert_eq!(long.len(), 65_535);
        let open = Open::new(&long, &long, true, Reliability::Reliable, 256);
        let encoded = encode(Dcep::Open(open));
        assert_eq!(encoded.len(), 12 + 2 * 65_535);
        assert_eq!(Dcep::decode(&encoded), Ok(Dcep::Open(open)));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        assert_eq!(encode(Dcep::Ack), [2]);
        assert_eq!(Dcep::decode(&[]), Err(ParseError::Truncated));
        assert_eq!(Dcep::decode(&[2, 0]), Err(ParseError::TrailingBytes));
        for unknown in [0, 1, 4, 0xff] {
            assert_eq!(Dcep::decode(&[unknown]), Err(ParseError::UnknownMessageType));
        }
        let good = encode(Dcep::Open(Open::new("chat", "json", true, Reliability::Reliable, 256)));
        for end in 1..good.len() {
            assert_eq!(Dcep::decode(&good[..end]), Err(ParseError::Truncated));
        }
        assert_eq!(
            Dcep::decode(&[&good[..], &[0]].concat()),
            Err(ParseError::TrailingBytes)
        );
        let mut bad = good;
        bad[12] = 0xff;
        assert_eq!(Dcep::decode(&bad), Err(ParseError::InvalidUtf8));
    }
}
