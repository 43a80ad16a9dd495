//! ChannelData: TURN's short form of a datagram (RFC 8656 §12.4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |         Channel Number        |            Length             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       Application Data                        /
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use crate::ParseError;
use peerline_wire::{Reader, Writer};

/// The number of a channel; also the value of CHANNEL-NUMBER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelNumber(pub u16);

impl ChannelNumber {
    /// The first number that may be bound.
    pub const FIRST: Self = Self(0x4000);
    /// The last number that may be bound.
    pub const LAST: Self = Self(0x4FFF);

    /// True for the numbers that may be bound, 0x4000 to 0x4FFF (RFC 8656 §12). The rest of the numbers that begin with
    /// the bits 01 are reserved.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 >= Self::FIRST.0 && self.0 <= Self::LAST.0
    }

    /// True for the numbers that might be bound before RFC 8656, 0x4000 to 0x7FFF (RFC 5766 §11). coturn's client still
    /// takes any of them.
    #[must_use]
    pub const fn is_valid_in_rfc5766(self) -> bool {
        self.0 >= Self::FIRST.0 && self.0 <= 0x7FFF
    }
}

/// One datagram on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel, always a [valid](ChannelNumber::is_valid) number.
    pub channel: ChannelNumber,
    /// The application data.
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// The header's length in bytes.
    pub const HEADER_LEN: usize = 4;

    /// Reads the one that a datagram is. "Over UDP, the padding is not required but MAY be included" (§12.5): what follows
    /// the data is ignored.
    ///
    /// # Errors
    /// [`ParseError::NotStun`] if the channel number is not one that may be bound, [`ParseError::Truncated`] if there are
    /// fewer bytes than the header says.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        // "If the message uses a value in the reserved range (0x5000 through 0xFFFF), then the message is silently
        // discarded" (§12.6). Below 0x4000 begins STUN.
        Self::parse_if(bytes, ChannelNumber::is_valid)
    }

    /// The same with every number that clients from before RFC 8656 may have bound.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_rfc5766(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse_if(bytes, ChannelNumber::is_valid_in_rfc5766)
    }

    fn parse_if(bytes: &'a [u8], is_valid: impl FnOnce(ChannelNumber) -> bool) -> Result<Self, ParseError> {
        let mut r = Reader::new(bytes);
        let channel = ChannelNumber(r.u16()?);
        if !is_valid(channel) {
            return Err(ParseError::NotStun);
        }
        Ok(Self {
            channel,
            data: r.length_u16()?.rest(),
        })
    }

    /// Appends the message, unpadded: for datagrams.
    ///
    /// Returns its length, or `None` and leaves `out` alone if the data are longer than 65,535 bytes.
    pub fn encode(self, out: &mut Vec<u8>) -> Option<usize> {
        let header = Self::header(self.channel, self.data.len())?;
        out.extend_from_slice(&header);
        out.extend_from_slice(self.data);
        Some(header.len() + self.data.len())
    }

    /// Appends the message, padded to whole words of four bytes: for streams (§12.5).
    ///
    /// Returns its length, padding included, or `None` and leaves `out` alone if the data are longer than 65,535 bytes.
    pub fn encode_padded(self, out: &mut Vec<u8>) -> Option<usize> {
        let len = self.encode(out)?;
        let padding = len.next_multiple_of(4) - len;
        Writer::new(out).zeros(padding);
        Some(len + padding)
    }

    /// The header alone, for writing it around data already in place; `None` if `len` is over 65,535.
    #[must_use]
    pub fn header(channel: ChannelNumber, len: usize) -> Option<[u8; 4]> {
        let [a, b] = channel.0.to_be_bytes();
        let [c, d] = u16::try_from(len).ok()?.to_be_bytes();
        Some([a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_with_and_without_padding() {
        let message = ChannelData {
            channel: ChannelNumber(0x4001),
            data: b"hello",
        };
        let mut out = vec![9];
        assert_eq!(message.encode(&mut out), Some(9));
        assert_eq!(out, b"\x09\x40\x01\x00\x05hello");
        assert_eq!(ChannelData::parse(&out[1..]), Ok(message));

        out.clear();
        assert_eq!(message.encode_padded(&mut out), Some(12));
        assert_eq!(out, b"\x40\x01\x00\x05hello\0\0\0");
        assert_eq!(ChannelData::parse(&out), Ok(message));
        assert_eq!(ChannelData::parse(&out[..8]), Err(ParseError::Truncated));
        assert_eq!(ChannelData::parse(b"\x40\x01\x00"), Err(ParseError::Truncated));
        assert_eq!(
            ChannelData::parse(b"\x40\x01\x00\x00").map(|message| message.data.len()),
            Ok(0)
        );
    }

    #[test]
    fn only_numbers_that_may_be_bound() {
        for channel in [0x3FFF, 0x5000, 0x7FFF, 0xFFFF] {
            let mut out = Vec::new();
            ChannelData {
                channel: ChannelNumber(channel),
                data: b"",
            }
            .encode(&mut out);
            assert_eq!(ChannelData::parse(&out), Err(ParseError::NotStun));
            let before = ChannelData::parse_rfc5766(&out).map(|message| message.channel);
            let expected = [0x5000, 0x7FFF].contains(&channel).then_some(ChannelNumber(channel));
            assert_eq!(before.ok(), expected);
        }
    }

    #[test]
    fn a_length_is_never_cut_to_sixteen_bits() {
        let mut out = vec![1];
        let data = vec![0; 0x1_0004];
        assert_eq!(
            ChannelData {
                channel: ChannelNumber::FIRST,
                data: &data
            }
            .encode(&mut out),
            None
        );
        assert_eq!(out, [1]);
    }
}
