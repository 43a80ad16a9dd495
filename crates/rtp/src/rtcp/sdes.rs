//! [`SourceDescription`]: texts about sources, such as the name that ties their streams together (RFC 3550 §6.5).

use peerline_wire::Reader;

use super::ParseError;
use super::frame::{self, MAX_COUNT, PacketType};
use crate::Ssrc;

/// What kind of text (RFC 3550 §12.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SdesItemType(pub u8);

impl SdesItemType {
    /// The canonical name: the same for all streams of one endpoint (RFC 3550 §6.5.1, RFC 7022).
    pub const CNAME: Self = Self(1);
    /// A user's name.
    pub const NAME: Self = Self(2);
    /// The application that makes the stream.
    pub const TOOL: Self = Self(6);
    /// An m-line's identification tag (RFC 9143 §15.1).
    pub const MID: Self = Self(15);
    /// Which encoding of an m-line (RFC 8852 §4.1).
    pub const RTP_STREAM_ID: Self = Self(12);
    /// Which encoding a stream repairs (RFC 8852 §4.2).
    pub const REPAIRED_RTP_STREAM_ID: Self = Self(13);
}

/// SDES: chunks of texts, one a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceDescription<'a> {
    /// The chunks, each of which was walked through once.
    contents: &'a [u8],
    count: u8,
}

/// What is said of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdesChunk<'a> {
    /// Of which one.
    pub ssrc: Ssrc,
    items: &'a [u8],
}

/// One text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdesItem<'a> {
    /// What kind of text.
    pub item_type: SdesItemType,
    /// Up to 255 bytes, which should be UTF-8.
    pub text: &'a [u8],
}

impl<'a> SourceDescription<'a> {
    pub(super) fn parse(count: u8, contents: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(contents);
        (0..count).try_for_each(|_| read_chunk(&mut r).map(drop))?;
        Ok(Self { contents, count })
    }

    /// The chunks, in the packet's order.
    pub fn chunks(&self) -> impl Iterator<Item = SdesChunk<'a>> + Clone + use<'a> {
        let mut r = Reader::new(self.contents);
        (0..self.count).map_while(move |_| read_chunk(&mut r).ok())
    }

    /// Appends a packet of one chunk with a CNAME, which each compound has (RFC 3550 §6.1).
    pub fn write_cname(out: &mut Vec<u8>, ssrc: Ssrc, cname: &str) {
        let item = SdesItem {
            item_type: SdesItemType::CNAME,
            text: cname.as_bytes(),
        };
        Self::write(out, &[(ssrc, &[item])]);
    }

    /// Appends a packet, or as many as it takes for all chunks, 31 in each. A text is cut after 255 bytes, and items of type 0
    /// are left out: that ends a chunk.
    ///
    /// # Panics
    /// If a packet gets longer than 262,140 bytes.
    pub fn write(out: &mut Vec<u8>, chunks: &[(Ssrc, &[SdesItem<'_>])]) {
        for chunks in chunks.chunks(MAX_COUNT) {
            frame::write(out, PacketType::SOURCE_DESCRIPTION, chunks.len() as u8, |out| {
                chunks.iter().for_each(|(ssrc, items)| write_chunk(out, *ssrc, items));
            });
        }
    }
}

impl<'a> SdesChunk<'a> {
    /// The texts, in the packet's order.
    pub fn items(&self) -> impl Iterator<Item = SdesItem<'a>> + Clone + use<'a> {
        let mut r = Reader::new(self.items);
        std::iter::from_fn(move || read_item(&mut r).ok().flatten())
    }

    /// The first text of this kind.
    #[must_use]
    pub fn item(&self, item_type: SdesItemType) -> Option<&'a [u8]> {
        self.items()
            .find(|item| item.item_type == item_type)
            .map(|item| item.text)
    }
}

fn read_chunk<'a>(r: &mut Reader<'a>) -> Result<SdesChunk<'a>, ParseError> {
    let ssrc = Ssrc(r.u32()?);
    let start = r.peek();
    while read_item(r)?.is_some() {}
    let items = &start[..start.len() - r.remaining()];
    // §6.5: "additional null octets MUST be included if needed to pad until the next 32-bit boundary". The SSRC was a word.
    r.bytes(items.len().next_multiple_of(4) - items.len())?;
    Ok(SdesChunk { ssrc, items })
}

/// `None` for the null octet that ends the list.
fn read_item<'a>(r: &mut Reader<'a>) -> Result<Option<SdesItem<'a>>, ParseError> {
    match r.u8()? {
        0 => Ok(None),
        item_type => Ok(Some(SdesItem {
            item_type: SdesItemType(item_type),
            text: r.length_u8()?.rest(),
        })),
    }
}

fn write_chunk(out: &mut Vec<u8>, ssrc: Ssrc, items: &[SdesItem<'_>]) {
    out.extend_from_slice(&ssrc.0.to_be_bytes());
    let start = out.len();
    for item in items.iter().filter(|item| item.item_type.0 != 0) {
        let text = &item.text[..item.text.len().min(255)];
        out.extend_from_slice(&[item.item_type.0, text.len() as u8]);
        out.extend_from_slice(text);
    }
    out.push(0);
    out.resize(start + (out.len() - start).next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};

    #[test]
    fn chunks_and_items_survive() {
        let item = |kind, text| SdesItem {
            item_type: SdesItemType(kind),
            text,
        };
        let first = [item(1, b"name@host".as_slice()), item(6, b"")];
        let chunks: Vec<(Ssrc, &[SdesItem<'_>])> = vec![(Ssrc(1), &first), (Ssrc(2), &[]), (Ssrc(3), &first[1..])];
        let mut out = Vec::new();
        SourceDescription::write(&mut out, &chunks);
        let Some(Ok(Packet::SourceDescription(sdes))) = packets(&out).next() else {
            panic!()
        };
        let read: Vec<_> = sdes
            .chunks()
            .map(|chunk| (chunk.ssrc, chunk.items().collect::<Vec<_>>()))
            .collect();
        let expected: Vec<_> = chunks.iter().map(|(ssrc, items)| (*ssrc, items.to_vec())).collect();
        assert_eq!(read, expected);
        assert_eq!(
            sdes.chunks().next().unwrap().item(SdesItemType::CNAME),
            Some(&b"name@host"[..])
        );
    }

    #[test]
    fn a_list_without_an_end_is_an_error() {
        for bytes in [
            &[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, b'a', b'b'][..],
            &[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 3, b'a', b'b'],
            &[0x82, 202, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0],
        ] {
            assert_eq!(packets(bytes).next(), Some(Err(ParseError::ContentsTruncated)));
        }
    }
}
