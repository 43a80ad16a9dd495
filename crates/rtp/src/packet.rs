//! [`Packet`]: a checked view over the bytes of an RTP packet.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                           timestamp                           |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             SSRC                              |
//! +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
//! |                      CSRCs, CC of them                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     defined by profile        |  length in words (if X)       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |        header extension, payload, padding (if P) …            |
//! ```

use std::ops::Range;

use bytes::Bytes;
use peerline_wire::Serial16;

use crate::extension::{Elements, Extension, ExtensionId};
use crate::header::{CSRC_LEN, Csrcs, EXTENSION_HEADER_LEN, FIXED_LEN, Header};
use crate::{ParseError, PayloadType, Ssrc};

/// An RTP packet (RFC 3550 §5.1) over bytes that are borrowed (`&[u8]`, `&mut [u8]`) or owned (`Bytes`, `BytesMut`).
///
/// Checked once by [`parse`](Self::parse): after that, no getter fails. The setters change a field in place, for
/// forwarders; what changes the length is written anew with [`Header::write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<B> {
    bytes: B,
    payload_start: usize,
    /// The padding, with the octet that counts it.
    padding_len: u8,
}

impl<B: AsRef<[u8]>> Packet<B> {
    /// Checks that `bytes` are one RTP packet. A header extension of an unknown kind is no error, nor are bad elements
    /// in one of a known kind: they end [`extensions`](Self::extensions).
    ///
    /// # Errors
    /// [`ParseError`], by what is wrong.
    pub fn parse(bytes: B) -> Result<Self, ParseError> {
        let packet = bytes.as_ref();
        let Some(fixed) = packet.first_chunk::<FIXED_LEN>() else {
            return Err(ParseError::Truncated);
        };
        if fixed[0] >> 6 != 2 {
            return Err(ParseError::WrongVersion);
        }
        let mut payload_start = FIXED_LEN + CSRC_LEN * usize::from(fixed[0] & 0x0f);
        if packet.len() < payload_start {
            return Err(ParseError::Truncated);
        }
        if fixed[0] & 0x10 != 0 {
            let Some([_, _, words @ ..]) = packet[payload_start..].first_chunk::<EXTENSION_HEADER_LEN>() else {
                return Err(ParseError::ExtensionTruncated);
            };
            payload_start += EXTENSION_HEADER_LEN + 4 * usize::from(u16::from_be_bytes(*words));
            if packet.len() < payload_start {
                return Err(ParseError::ExtensionTruncated);
            }
        }
        let mut padding_len = 0;
        if fixed[0] & 0x20 != 0 {
            // §5.1: "The last octet of the padding contains a count of how many padding octets should be ignored,
            // including itself." So the count is never 0.
            padding_len = packet[packet.len() - 1];
            if padding_len == 0 || packet.len() - payload_start < usize::from(padding_len) {
                return Err(ParseError::BadPadding);
            }
        }
        Ok(Self {
            bytes,
            payload_start,
            padding_len,
        })
    }

    /// The marker bit; what it marks is the payload format's affair.
    #[must_use]
    pub fn marker(&self) -> bool {
        self.as_bytes()[1] & 0x80 != 0
    }

    /// What format the payload has.
    #[must_use]
    pub fn payload_type(&self) -> PayloadType {
        PayloadType(self.as_bytes()[1] & 0x7f)
    }

    /// The packet's place in its stream.
    #[must_use]
    pub fn sequence_number(&self) -> Serial16 {
        Serial16(u16::from_be_bytes(self.field(2)))
    }

    /// When the payload's first octet was sampled, in ticks of the format's clock; it wraps.
    #[must_use]
    pub fn timestamp(&self) -> u32 {
        u32::from_be_bytes(self.field(4))
    }

    /// The stream's source.
    #[must_use]
    pub fn ssrc(&self) -> Ssrc {
        Ssrc(u32::from_be_bytes(self.field(8)))
    }

    /// The contributing sources, 15 at most: who was mixed to make this packet.
    pub fn csrcs(&self) -> impl ExactSizeIterator<Item = Ssrc> + '_ {
        let (ids, _) = self.as_bytes()[FIXED_LEN..self.csrcs_end()].as_chunks::<CSRC_LEN>();
        ids.iter().map(|id| Ssrc(u32::from_be_bytes(*id)))
    }

    /// The fixed header, with the contributing sources, as a value.
    #[must_use]
    pub fn header(&self) -> Header {
        Header {
            marker: self.marker(),
            payload_type: self.payload_type(),
            sequence_number: self.sequence_number(),
            timestamp: self.timestamp(),
            ssrc: self.ssrc(),
            csrcs: Csrcs::from_iter(self.csrcs()),
        }
    }

    /// The elements of the header extension, in the packet's order, if it is of the one-byte or the two-byte form.
    #[must_use]
    pub fn extensions(&self) -> Elements<'_> {
        match self.extension_block() {
            Some((profile, block)) => Elements::new(profile, block),
            None => Elements::none(),
        }
    }

    /// The value of the first element with this id.
    #[must_use]
    pub fn extension(&self, id: ExtensionId) -> Option<&[u8]> {
        self.extensions()
            .find(|element| element.id == id)
            .map(|element| element.value)
    }

    /// Where in the packet the value of the first element with this id lies.
    #[must_use]
    pub fn extension_range(&self, id: ExtensionId) -> Option<Range<usize>> {
        let (_, range) = self.extensions().ranges().find(|(found, _)| *found == id)?;
        let block = self.csrcs_end() + EXTENSION_HEADER_LEN;
        Some(block + range.start..block + range.end)
    }

    /// The first element with this id, typed. `None` if there is none, or it is malformed: a receiver treats both alike.
    #[must_use]
    pub fn get<'a, T: Extension<'a>>(&'a self, id: ExtensionId) -> Option<T> {
        T::parse(self.extension(id)?).ok()
    }

    /// The header extension as it came: its "defined by profile" field, and its words.
    #[must_use]
    pub fn extension_block(&self) -> Option<(u16, &[u8])> {
        if self.as_bytes()[0] & 0x10 == 0 {
            return None;
        }
        let start = self.csrcs_end();
        let profile = u16::from_be_bytes(self.field(start));
        Some((
            profile,
            &self.as_bytes()[start + EXTENSION_HEADER_LEN..self.payload_start],
        ))
    }

    /// The payload, without padding.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.as_bytes()[self.payload_range()]
    }

    /// Where in the packet the payload lies.
    #[must_use]
    pub fn payload_range(&self) -> Range<usize> {
        self.payload_start..self.as_bytes().len() - usize::from(self.padding_len)
    }

    /// How many bytes come before the payload, header extension included.
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.payload_start
    }

    /// How many bytes follow the payload.
    #[must_use]
    pub fn padding_len(&self) -> usize {
        self.padding_len.into()
    }

    /// The whole packet.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The whole packet, in what it was parsed from.
    #[must_use]
    pub fn into_inner(self) -> B {
        self.bytes
    }

    /// The same packet over a copy of its bytes at the end of `out`, there to be changed: nothing is parsed again.
    pub fn copy_to<'a>(&self, out: &'a mut Vec<u8>) -> Packet<&'a mut [u8]> {
        let start = out.len();
        out.extend_from_slice(self.as_bytes());
        Packet {
            bytes: &mut out[start..],
            payload_start: self.payload_start,
            padding_len: self.padding_len,
        }
    }

    fn csrcs_end(&self) -> usize {
        FIXED_LEN + CSRC_LEN * usize::from(self.as_bytes()[0] & 0x0f)
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        *self.as_bytes()[at..]
            .first_chunk()
            .expect("parse found the whole header")
    }
}

impl Packet<Bytes> {
    /// The payload, without padding and without a copy.
    #[must_use]
    pub fn payload_bytes(&self) -> Bytes {
        self.bytes.slice(self.payload_range())
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Packet<B> {
    /// Sets the marker bit.
    pub fn set_marker(&mut self, marker: bool) {
        let byte = &mut self.bytes.as_mut()[1];
        *byte = *byte & 0x7f | u8::from(marker) << 7;
    }

    /// Sets the payload type.
    pub fn set_payload_type(&mut self, payload_type: PayloadType) {
        let byte = &mut self.bytes.as_mut()[1];
        *byte = *byte & 0x80 | payload_type.0 & 0x7f;
    }

    /// Sets the sequence number.
    pub fn set_sequence_number(&mut self, sequence_number: Serial16) {
        self.set_field(2, sequence_number.0.to_be_bytes());
    }

    /// Sets the timestamp.
    pub fn set_timestamp(&mut self, timestamp: u32) {
        self.set_field(4, timestamp.to_be_bytes());
    }

    /// Sets the source.
    pub fn set_ssrc(&mut self, ssrc: Ssrc) {
        self.set_field(8, ssrc.0.to_be_bytes());
    }

    /// The value of the first element with this id, to be changed in place.
    pub fn extension_mut(&mut self, id: ExtensionId) -> Option<&mut [u8]> {
        let range = self.extension_range(id)?;
        Some(&mut self.bytes.as_mut()[range])
    }

    /// Replaces the value of the first element with this id. False, and nothing changed, if there is none or its length is
    /// another.
    pub fn set_extension(&mut self, id: ExtensionId, value: &[u8]) -> bool {
        match self.extension_mut(id) {
            Some(old) if old.len() == value.len() => {
                old.copy_from_slice(value);
                true
            }
            _ => false,
        }
    }

    fn set_field<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        self.bytes.as_mut()[at..at + N].copy_from_slice(&value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a CSRC, an extension of one word and two bytes of padding.
    const PACKET: [u8; 29] = [
        0xb1, 0xe0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0xbe, 0xde, 0, 1, 0x10, 9, 0, 0, b'a', b'b', b'c', 0, 2,
    ];

    #[test]
    fn every_field_is_where_the_figure_says() {
        let packet = Packet::parse(Bytes::from_static(&PACKET)).unwrap();
        assert!(packet.marker());
        assert_eq!(
            (packet.payload_type(), packet.sequence_number()),
            (PayloadType(96), Serial16(1))
        );
        assert_eq!((packet.timestamp(), packet.ssrc()), (2, Ssrc(3)));
        assert!(packet.csrcs().eq([Ssrc(4)]));
        assert_eq!(packet.extension_block(), Some((0xbede, &[0x10, 9, 0, 0][..])));
        assert_eq!((packet.payload(), packet.padding_len()), (&b"abc"[..], 2));
        assert_eq!(packet.payload_bytes().as_ptr(), packet.payload().as_ptr());
    }

    #[test]
    fn each_fault_has_its_error() {
        let error = |len: usize, changes: &[(usize, u8)]| {
            let mut bytes = PACKET[..len].to_vec();
            changes.iter().for_each(|(at, byte)| bytes[*at] = *byte);
            Packet::parse(bytes).unwrap_err()
        };
        assert_eq!(error(11, &[]), ParseError::Truncated);
        assert_eq!(error(15, &[]), ParseError::Truncated);
        assert_eq!(error(29, &[(0, 0x71)]), ParseError::WrongVersion);
        assert_eq!(error(19, &[]), ParseError::ExtensionTruncated);
        assert_eq!(error(29, &[(19, 3)]), ParseError::ExtensionTruncated);
        assert_eq!(error(29, &[(18, 0xff)]), ParseError::ExtensionTruncated);
        assert_eq!(error(29, &[(28, 0)]), ParseError::BadPadding);
        assert_eq!(error(29, &[(28, 6)]), ParseError::BadPadding);
        assert_eq!(error(24, &[]), ParseError::BadPadding);
        // Padding alone is a packet without payload.
        let mut bytes = PACKET;
        bytes[28] = 5;
        assert!(Packet::parse(bytes).unwrap().payload().is_empty());
    }
}
