//! [`App`]: what an application says on its own account (RFC 3550 §6.7).

use peerline_wire::Reader;

use super::ParseError;
use super::frame::{self, PacketType};
use crate::Ssrc;

/// APP: an application's own packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App<'a> {
    /// 5 bits, the application's.
    pub subtype: u8,
    /// Who sent it.
    pub ssrc: Ssrc,
    /// Whose packet: ASCII.
    pub name: [u8; 4],
    /// What it says; padded to whole words.
    pub data: &'a [u8],
}

impl<'a> App<'a> {
    pub(super) fn parse(count: u8, contents: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(contents);
        Ok(Self {
            subtype: count,
            ssrc: Ssrc(r.u32()?),
            name: r.array()?,
            data: r.rest(),
        })
    }

    /// Appends the packet.
    ///
    /// # Panics
    /// If it gets longer than 262,140 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        frame::write(out, PacketType::APP, self.subtype, |out| {
            out.extend_from_slice(&self.ssrc.0.to_be_bytes());
            out.extend_from_slice(&self.name);
            out.extend_from_slice(self.data);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};

    /// The figure of RFC 3550 §6.7, filled in.
    #[test]
    fn what_is_written_is_read() {
        let app = App {
            subtype: 5,
            ssrc: Ssrc(0x0102_0304),
            name: *b"peer",
            data: b"line",
        };
        let mut out = Vec::new();
        app.write(&mut out);
        assert_eq!(out, b"\x85\xcc\x00\x03\x01\x02\x03\x04peerline");
        assert_eq!(packets(&out).next(), Some(Ok(Packet::App(app))));
        // "application-dependent data … It is optional".
        let bare = App { data: &[], ..app };
        out.clear();
        bare.write(&mut out);
        assert_eq!(packets(&out).next(), Some(Ok(Packet::App(bare))));
    }

    #[test]
    fn without_a_name_it_is_an_error() {
        let out = [0x80, 204, 0, 1, 1, 2, 3, 4];
        assert_eq!(packets(&out).next(), Some(Err(ParseError::ContentsTruncated)));
    }
}
