//! [`ReceiverEstimatedMaxBitrate`] (draft-alvestrand-rmcat-remb-03 §2.2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                  SSRC of packet sender                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                  SSRC of media source, 0                      |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  Unique identifier 'R' 'E' 'M' 'B'                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  Num SSRC     | BR Exp    |  BR Mantissa                      |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |   SSRC feedback …                                             |
//! ```

use peerline_wire::Reader;

use super::ParseError;
use super::entries::{Entries, Entry};
use super::frame::{self, PacketType, feedback_format};
use crate::Ssrc;

const NAME: &[u8; 4] = b"REMB";
const MANTISSA_BITS: u32 = 18;

/// REMB: how much a receiver believes that it can receive, of all named streams together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverEstimatedMaxBitrate<'a> {
    /// Who says so.
    pub sender: Ssrc,
    /// In bit/s. 18 bits of precision are written, rounded down.
    pub bitrate: u64,
    /// Which streams.
    pub sources: Entries<'a, Ssrc>,
}

impl<'a> ReceiverEstimatedMaxBitrate<'a> {
    /// True if this application's feedback is REMB.
    pub(super) fn has_name(contents: &[u8]) -> bool {
        contents.get(8..12) == Some(NAME)
    }

    pub(super) fn parse(contents: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(contents);
        let sender = Ssrc(r.u32()?);
        r.u64()?;
        let count = r.u8()?;
        let rate = r.u24()?;
        let (exponent, mantissa) = (rate >> MANTISSA_BITS, u64::from(rate & ((1 << MANTISSA_BITS) - 1)));
        if mantissa.leading_zeros() < exponent {
            return Err(ParseError::OutOfRange);
        }
        let sources = Entries::new(r.bytes(usize::from(count) * Ssrc::LEN)?);
        Ok(Self {
            sender,
            bitrate: mantissa << exponent,
            sources,
        })
    }

    /// Appends a packet. The first 255 sources count.
    pub fn write(out: &mut Vec<u8>, sender: Ssrc, bitrate: u64, sources: &[Ssrc]) {
        let sources = &sources[..sources.len().min(255)];
        let exponent = (u64::BITS - bitrate.leading_zeros()).saturating_sub(MANTISSA_BITS);
        let rate = exponent << MANTISSA_BITS | (bitrate >> exponent) as u32;
        frame::write(
            out,
            PacketType::PAYLOAD_FEEDBACK,
            feedback_format::APPLICATION_LAYER,
            |out| {
                sender.write(out);
                Ssrc(0).write(out);
                out.extend_from_slice(NAME);
                out.extend_from_slice(&((sources.len() as u32) << 24 | rate).to_be_bytes());
                sources.iter().for_each(|source| source.write(out));
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};

    #[test]
    fn a_bitrate_has_18_bits_of_precision() {
        for (bitrate, written) in [
            (0, 0),
            (262_143, 262_143),
            (262_145, 262_144),
            (u64::MAX, 0x3_ffff << 46),
        ] {
            let mut out = Vec::new();
            ReceiverEstimatedMaxBitrate::write(&mut out, Ssrc(1), bitrate, &[Ssrc(2), Ssrc(3)]);
            let Some(Ok(Packet::ReceiverEstimatedMaxBitrate(remb))) = packets(&out).next() else {
                panic!()
            };
            assert_eq!((remb.sender, remb.bitrate), (Ssrc(1), written));
            assert!(remb.sources.iter().eq([Ssrc(2), Ssrc(3)]));
        }
    }

    #[test]
    fn others_of_the_application_layer_survive_and_nonsense_is_an_error() {
        let mut out = Vec::new();
        ReceiverEstimatedMaxBitrate::write(&mut out, Ssrc(1), u64::MAX, &[]);
        out[17] = 0xff;
        assert_eq!(packets(&out).next(), Some(Err(ParseError::OutOfRange)));
        out[16] = 1;
        out[17] = 0;
        assert_eq!(packets(&out).next(), Some(Err(ParseError::ContentsTruncated)));
        out[12] = b'r';
        assert!(matches!(packets(&out).next(), Some(Ok(Packet::Unknown(raw))) if raw.count == 15));
    }
}
