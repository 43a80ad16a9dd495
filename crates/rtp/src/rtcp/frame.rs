//! The header that all packets have in common.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|count/FMT|      PT       |    length in words, less one  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use super::ParseError;

pub(super) const HEADER_LEN: usize = 4;
/// Counts have five bits.
pub(super) const MAX_COUNT: usize = 31;
/// The most that a packet's contents can be: the length field counts all words but the header's.
pub(super) const MAX_CONTENTS: usize = 4 * u16::MAX as usize;

/// What kind of packet (RFC 3550 §12.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketType(pub u8);

impl PacketType {
    /// SR (RFC 3550 §6.4.1).
    pub const SENDER_REPORT: Self = Self(200);
    /// RR (RFC 3550 §6.4.2).
    pub const RECEIVER_REPORT: Self = Self(201);
    /// SDES (RFC 3550 §6.5).
    pub const SOURCE_DESCRIPTION: Self = Self(202);
    /// BYE (RFC 3550 §6.6).
    pub const BYE: Self = Self(203);
    /// APP (RFC 3550 §6.7).
    pub const APP: Self = Self(204);
    /// RTPFB: feedback on the transport (RFC 4585 §6.1).
    pub const TRANSPORT_FEEDBACK: Self = Self(205);
    /// PSFB: feedback on the payload (RFC 4585 §6.1).
    pub const PAYLOAD_FEEDBACK: Self = Self(206);
    /// XR (RFC 3611 §2).
    pub const EXTENDED_REPORT: Self = Self(207);
}

/// What kind of feedback: the count of [`PacketType::TRANSPORT_FEEDBACK`] and [`PacketType::PAYLOAD_FEEDBACK`].
pub mod feedback_format {
    /// Generic NACK, of the transport (RFC 4585 §6.2.1).
    pub const NACK: u8 = 1;
    /// Congestion control feedback, of the transport (RFC 8888 §3.1).
    pub const CONGESTION_FEEDBACK: u8 = 11;
    /// Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
    pub const TRANSPORT_WIDE: u8 = 15;
    /// Picture loss indication, of the payload (RFC 4585 §6.3.1).
    pub const PICTURE_LOSS: u8 = 1;
    /// Full intra request, of the payload (RFC 5104 §4.3.1).
    pub const FULL_INTRA_REQUEST: u8 = 4;
    /// Application layer feedback, of the payload (RFC 4585 §6.4): REMB, by its name.
    pub const APPLICATION_LAYER: u8 = 15;
}

/// True if a datagram that is RTP or RTCP is RTCP: both may share a port.
///
/// > the combination of the marker bit and RTP payload type […] RTP payload types in the range 64-95 MUST NOT be used
/// > (RFC 5761 §4)
#[must_use]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, 192..=223, ..])
}

/// A packet of any kind, its contents not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawPacket<'a> {
    /// What kind of packet.
    pub packet_type: PacketType,
    /// Five bits: how many blocks, or what kind of feedback.
    pub count: u8,
    /// What follows the header, without padding.
    pub contents: &'a [u8],
}

impl<'a> RawPacket<'a> {
    /// The first packet in `bytes`, and what follows it.
    pub(super) fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(ParseError::Truncated)?;
        let [first, packet_type, words @ ..] = *header;
        if first >> 6 != 2 {
            return Err(ParseError::WrongVersion);
        }
        let len = 4 * usize::from(u16::from_be_bytes(words));
        let (mut contents, rest) = rest.split_at_checked(len).ok_or(ParseError::Truncated)?;
        if first & 0x20 != 0 {
            // RFC 3550 §6.4.1 wants padding of whole words, on the last packet alone. Transport-wide feedback pads its contents
            // to whole words, wherever it stands.
            let padding = usize::from(*contents.last().ok_or(ParseError::BadPadding)?);
            if padding == 0 || padding > contents.len() {
                return Err(ParseError::BadPadding);
            }
            contents = &contents[..contents.len() - padding];
        }
        let raw = Self {
            packet_type: PacketType(packet_type),
            count: first & 0x1f,
            contents,
        };
        Ok((raw, rest))
    }

    /// Appends the packet, padded to whole words.
    ///
    /// # Panics
    /// If it has more than 262,140 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        write(out, self.packet_type, self.count, |out| {
            out.extend_from_slice(self.contents);
        });
    }
}

/// Appends a packet with the contents that `fill` appends, padded to whole words.
pub(super) fn write(out: &mut Vec<u8>, packet_type: PacketType, count: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[2 << 6 | count & 0x1f, packet_type.0, 0, 0]);
    fill(out);
    let padding = (out.len() - start).next_multiple_of(4) - (out.len() - start);
    if padding != 0 {
        out[start] |= 0x20;
        out.resize(out.len() + padding - 1, 0);
        out.push(padding as u8);
    }
    let contents = out.len() - start - HEADER_LEN;
    assert!(contents <= MAX_CONTENTS, "the packet fits its length field");
    out[start + 2..start + 4].copy_from_slice(&((contents / 4) as u16).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_packets_survive() {
        let bytes = [
            0x9f, 195, 0, 1, 1, 2, 3, 4, 0xa3, 196, 0, 1, 5, 0, 0, 3, 0x80, 197, 0, 0,
        ];
        let mut rest = &bytes[..];
        let mut out = Vec::new();
        while !rest.is_empty() {
            let (raw, after) = RawPacket::split(rest).unwrap();
            raw.write(&mut out);
            rest = after;
        }
        assert_eq!(out, bytes);
    }

    #[test]
    fn framing_errors() {
        for (bytes, error) in [
            (&[0x80, 200, 0][..], ParseError::Truncated),
            (&[0x80, 200, 0, 1, 1, 2, 3], ParseError::Truncated),
            (&[0x40, 200, 0, 0], ParseError::WrongVersion),
            (&[0xa0, 200, 0, 0], ParseError::BadPadding),
            (&[0xa0, 200, 0, 1, 0, 0, 0, 0], ParseError::BadPadding),
            (&[0xa0, 200, 0, 1, 0, 0, 0, 5], ParseError::BadPadding),
        ] {
            assert_eq!(RawPacket::split(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn rtp_and_rtcp_on_one_port() {
        assert!(is_rtcp(&[0x80, 200]) && is_rtcp(&[0xbf, 207, 1]));
        // Payload types 96 and 63 with the marker, STUN, and nothing.
        assert!(!is_rtcp(&[0x80, 0xe0]) && !is_rtcp(&[0x80, 0xbf]) && !is_rtcp(&[0, 200]) && !is_rtcp(&[0x80]));
    }
}
