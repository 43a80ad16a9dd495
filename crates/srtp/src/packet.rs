//! As much of RTP and RTCP as SRTP must know: which SSRC, which sequence number, where the payload begins.

use peerline_wire::{Reader, Truncated};

/// The header of an RTP packet (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RtpHeader {
    pub(crate) sequence_number: u16,
    pub(crate) ssrc: u32,
    /// Where the CSRCs end and a header extension begins.
    pub(crate) csrcs_end: usize,
    /// What is "defined by profile" about the header extension, if there is one.
    pub(crate) extension: Option<u16>,
    /// Its length with CSRCs and header extension, in bytes.
    pub(crate) len: usize,
}

/// The bytes are not the packet they are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl From<Truncated> for Malformed {
    fn from(_: Truncated) -> Self {
        Self
    }
}

impl RtpHeader {
    /// The bit of the first byte that says that there is a header extension.
    pub(crate) const EXTENDED: u8 = 0x10;

    /// The length of the part that each packet has, in bytes.
    const FIXED_LEN: usize = 12;

    /// Every packet passes here, in both directions: the fixed part is looked for once, and not field by field.
    pub(crate) fn parse(packet: &[u8]) -> Result<Self, Malformed> {
        let &[first, _, s0, s1, _, _, _, _, c0, c1, c2, c3] =
            packet.first_chunk::<{ Self::FIXED_LEN }>().ok_or(Malformed)?;
        if first >> 6 != 2 {
            return Err(Malformed);
        }
        let csrcs_end = Self::FIXED_LEN + 4 * usize::from(first & 0x0f);
        let mut header = Self {
            sequence_number: u16::from_be_bytes([s0, s1]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            csrcs_end,
            extension: None,
            len: csrcs_end,
        };
        if first & Self::EXTENDED != 0 {
            let mut r = Reader::new(packet.get(csrcs_end..).ok_or(Malformed)?);
            header.extension = Some(r.u16()?);
            header.len += 4 + 4 * usize::from(r.u16()?);
        }
        if packet.len() < header.len {
            return Err(Malformed);
        }
        Ok(header)
    }
}

/// What is never encrypted of an RTCP packet: the first header and the SSRC of the sender (RFC 3711 §3.4), in bytes.
pub(crate) const RTCP_CLEAR_LEN: usize = 8;

/// The SSRC of the sender of a compound RTCP packet.
pub(crate) fn rtcp_ssrc(packet: &[u8]) -> Result<u32, Malformed> {
    let mut r = Reader::new(packet);
    if r.u8()? >> 6 != 2 {
        return Err(Malformed);
    }
    r.u24()?;
    Ok(r.u32()?)
}

/// The E flag and the SRTCP index that follow an SRTCP packet (RFC 3711 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RtcpTrailer {
    pub(crate) encrypted: bool,
    /// 31 bits.
    pub(crate) index: u32,
}

impl RtcpTrailer {
    pub(crate) const LEN: usize = 4;
    /// "The SRTCP index is a 31-bit counter".
    pub(crate) const MAX_INDEX: u32 = u32::MAX >> 1;

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let word = u32::from_be_bytes(bytes);
        Self {
            encrypted: word >> 31 == 1,
            index: word & Self::MAX_INDEX,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        (u32::from(self.encrypted) << 31 | self.index).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_ends_behind_csrcs_and_extension() {
        let mut packet = vec![0x92, 0x60, 0x12, 0x34, 0, 0, 0, 1, 0xca, 0xfe, 0xba, 0xbe];
        assert_eq!(RtpHeader::parse(&packet), Err(Malformed));
        packet.extend([0; 8]);
        assert_eq!(RtpHeader::parse(&packet), Err(Malformed));
        packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
        let header = RtpHeader {
            sequence_number: 0x1234,
            ssrc: 0xcafe_babe,
            csrcs_end: 20,
            extension: Some(0xbede),
            len: 28,
        };
        assert_eq!(RtpHeader::parse(&packet), Ok(header));
        packet.extend([1, 2, 3]);
        assert_eq!(RtpHeader::parse(&packet), Ok(header));
        for len in 0..28 {
            assert_eq!(RtpHeader::parse(&packet[..len]), Err(Malformed));
        }
        packet[0] = 0x52;
        assert_eq!(RtpHeader::parse(&packet), Err(Malformed));
    }

    #[test]
    fn a_trailer_round_trips() {
        let trailer = RtcpTrailer::from_bytes([0x80, 0, 5, 0xd4]);
        assert_eq!(
            trailer,
            RtcpTrailer {
                encrypted: true,
                index: 1_492
            }
        );
        assert_eq!(trailer.to_bytes(), [0x80, 0, 5, 0xd4]);
    }
}
