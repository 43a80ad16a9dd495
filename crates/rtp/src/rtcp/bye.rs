//! [`Bye`]: sources that end (RFC 3550 §6.6).

use peerline_wire::Reader;

use super::ParseError;
use super::entries::{Entries, Entry, u32_at};
use super::frame::{self, MAX_COUNT, PacketType};
use crate::Ssrc;

/// BYE: sources that end, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bye<'a> {
    /// Which sources, up to 31.
    pub sources: Entries<'a, Ssrc>,
    /// Why, in up to 255 bytes, which should be UTF-8.
    pub reason: Option<&'a [u8]>,
}

impl<'a> Bye<'a> {
    pub(super) fn parse(count: u8, contents: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(contents);
        let sources = Entries::new(r.bytes(usize::from(count) * Ssrc::LEN)?);
        let reason = match r.is_empty() {
            true => None,
            false => Some(r.length_u8()?.rest()),
        };
        Ok(Self { sources, reason })
    }

    /// Appends a packet, or as many as it takes for all sources, 31 in each. The reason is cut after 255 bytes.
    pub fn write(out: &mut Vec<u8>, sources: &[Ssrc], reason: Option<&str>) {
        for sources in sources.chunks(MAX_COUNT) {
            frame::write(out, PacketType::BYE, sources.len() as u8, |out| {
                sources.iter().for_each(|source| source.write(out));
                if let Some(reason) = reason {
                    let start = out.len();
                    let reason = &reason.as_bytes()[..reason.len().min(255)];
                    out.push(reason.len() as u8);
                    out.extend_from_slice(reason);
                    // "If the string fills the packet to the next 32-bit boundary, the string is not null terminated."
                    out.resize(start + (out.len() - start).next_multiple_of(4), 0);
                }
            });
        }
    }
}

impl Entry for Ssrc {
    const LEN: usize = 4;

    fn read(bytes: &[u8]) -> Self {
        Self(u32_at(bytes, 0))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};

    #[test]
    fn a_reason_is_optional() {
        let mut out = Vec::new();
        Bye::write(&mut out, &[Ssrc(1), Ssrc(2)], None);
        Bye::write(&mut out, &[Ssrc(3)], Some("bye"));
        let read: Vec<_> = packets(&out)
            .map(|packet| match packet.unwrap() {
                Packet::Bye(bye) => (bye.sources.iter().collect::<Vec<_>>(), bye.reason),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            read,
            [(vec![Ssrc(1), Ssrc(2)], None), (vec![Ssrc(3)], Some(&b"bye"[..]))]
        );
        assert_eq!(
            packets(&[0x82, 203, 0, 1, 0, 0, 0, 1]).next(),
            Some(Err(ParseError::ContentsTruncated))
        );
        assert_eq!(
            packets(&[0x80, 203, 0, 1, 4, 0, 0, 1]).next(),
            Some(Err(ParseError::ContentsTruncated))
        );
    }
}
