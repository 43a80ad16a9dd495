//! Ogg (RFC 3533): pages with a checksum, and the packets that are laced into them.
//!
//! [`PageReader`] gives pages, [`Packets`] joins those of one logical bitstream to packets, and [`Writer`] cuts packets
//! into pages. What granule positions mean is the codec's affair: see [`super::ogg_opus`].

use super::Error;
use super::source::{Source, u32_le, u64_le};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, Read, Write};

const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;
const HEADER_LEN: usize = 27;
const MAX_SEGMENTS: usize = 255;
/// "-1 (in two's complement) indicates that no packets finish on this page" (§6).
const NO_PACKET_ENDS: u64 = u64::MAX;

/// One page (§6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where the page begins, in bytes from the file's start.
    pub offset: u64,
    /// Whether its first segment continues a packet of the page before.
    pub continued: bool,
    /// Whether a logical bitstream begins here.
    pub first: bool,
    /// Whether its logical bitstream ends here.
    pub last: bool,
    /// The position after the last packet that ends here; `None` if none does.
    pub granule_position: Option<u64>,
    /// Which logical bitstream this page belongs to.
    pub serial: u32,
    /// Counts the pages of the logical bitstream.
    pub sequence: u32,
    /// The length of each segment: a packet ends with the first that is below 255.
    pub segments: Bytes,
    /// All segments, one after another.
    pub body: Bytes,
}

/// Reads pages.
pub struct PageReader<R> {
    source: Source<R>,
}

impl<R: Read> PageReader<R> {
    /// Nothing is read yet.
    pub fn new(inner: R) -> Self {
        Self {
            source: Source::new(inner),
        }
    }

    /// How many bytes have been read: where the next page begins.
    pub fn offset(&self) -> u64 {
        self.source.offset()
    }

    /// The next page of any logical bitstream; `None` at the end of the file.
    ///
    /// # Errors
    /// If there is no page of version 0, its checksum is wrong, or the file ends within it.
    pub fn next_page(&mut self) -> Result<Option<Page>, Error> {
        let offset = self.source.offset();
        let Some(header) = self.source.array_or_end::<HEADER_LEN>("the header of an Ogg page")? else {
            return Ok(None);
        };
        if !header.starts_with(b"OggS") {
            return Err(Error::Invalid {
                offset,
                expected: "an Ogg page: the letters OggS",
            });
        }
        if header[4] != 0 {
            return Err(Error::Invalid {
                offset: offset + 4,
                expected: "an Ogg page of version 0",
            });
        }
        // 27 + 255 + 255 × 255 bytes at most.
        let mut page = header.to_vec();
        self.source
            .append(&mut page, header[26].into(), "the segment table of an Ogg page")?;
        let body_at = page.len();
        let body_len = page[HEADER_LEN..].iter().copied().map(usize::from).sum();
        self.source.append(&mut page, body_len, "an Ogg page")?;
        let checksum = u32_le(&page, 22);
        page[22..26].fill(0);
        if crc(&page) != checksum {
            return Err(Error::Invalid {
                offset: offset + 22,
                expected: "the checksum of this Ogg page",
            });
        }
        let page = Bytes::from(page);
        let granule_position = u64_le(&page, 6);
        Ok(Some(Page {
            offset,
            continued: page[5] & CONTINUED != 0,
            first: page[5] & FIRST != 0,
            last: page[5] & LAST != 0,
            granule_position: (granule_position != NO_PACKET_ENDS).then_some(granule_position),
            serial: u32_le(&page, 14),
            sequence: u32_le(&page, 18),
            segments: page.slice(HEADER_LEN..body_at),
            body: page.slice(body_at..),
        }))
    }
}

/// A packet of a logical bitstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its bytes; the first of them, if there are more than are kept.
    pub data: Bytes,
    /// Its length, all bytes counted.
    pub len: u64,
}

/// Joins the segments of one logical bitstream's pages to packets.
///
/// A packet whose pages are not all there is left out: a demultiplexer "MUST NOT attempt to decode the data" of one whose
/// pages lack the flag or have no consecutive numbers (RFC 7845 §3).
#[derive(Debug)]
pub struct Packets {
    max_len: usize,
    /// The beginning of a packet that goes on.
    partial: Option<(Vec<u8>, u64)>,
    next_sequence: Option<u32>,
}

impl Packets {
    /// Of a packet longer than `max_len` bytes only so many are kept.
    pub fn new(max_len: usize) -> Self {
        Self {
            max_len,
            partial: None,
            next_sequence: None,
        }
    }

    /// Appends the packets that end on `page` to `out`.
    pub fn push(&mut self, page: &Page, out: &mut VecDeque<Packet>) {
        let in_order = self.next_sequence.is_none_or(|next| next == page.sequence);
        self.next_sequence = Some(page.sequence.wrapping_add(1));
        if !(in_order && page.continued) {
            self.partial = None;
        }
        let mut orphan = page.continued && self.partial.is_none();
        let (mut start, mut end) = (0, 0);
        for &segment in &page.segments {
            end += usize::from(segment);
            if segment == 255 {
                continue;
            }
            let data = page.body.slice(start..end);
            start = end;
            let partial = self.partial.take();
            if !std::mem::take(&mut orphan) {
                out.push_back(self.join(partial, &data));
            }
        }
        if page.segments.last() == Some(&255) && !orphan {
            let rest = page.body.slice(start..end);
            let (mut data, len) = self.partial.take().unwrap_or_default();
            data.extend(&rest[..rest.len().min(self.max_len - data.len())]);
            self.partial = Some((data, len + rest.len() as u64));
        }
    }

    fn join(&self, partial: Option<(Vec<u8>, u64)>, end: &Bytes) -> Packet {
        let Some((mut data, len)) = partial else {
            return Packet {
                len: end.len() as u64,
                data: end.slice(..end.len().min(self.max_len)),
            };
        };
        data.extend(&end[..end.len().min(self.max_len - data.len())]);
        Packet {
            len: len + end.len() as u64,
            data: data.into(),
        }
    }
}

/// Writes one logical bitstream.
pub struct Writer<W> {
    inner: W,
    serial: u32,
    sequence: u32,
    /// The page being filled.
    segments: Vec<u8>,
    body: Vec<u8>,
    continued: bool,
    granule_position: u64,
    /// The position after the last packet, for a page that ends a bitstream and has none.
    last_position: u64,
    /// The page while it is written.
    page: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Nothing is written yet. `serial` must differ from those of other bitstreams in the same file.
    pub fn new(inner: W, serial: u32) -> Self {
        Self {
            inner,
            serial,
            sequence: 0,
            segments: Vec::new(),
            body: Vec::new(),
            continued: false,
            granule_position: NO_PACKET_ENDS,
            last_position: 0,
            page: Vec::new(),
        }
    }

    /// Appends a packet, after which the position is `granule_position`. Pages leave when they are full; the last one
    /// stays until [`flush`](Self::flush) or [`finish`](Self::finish).
    ///
    /// # Errors
    /// Of `inner`.
    pub fn write_packet(&mut self, packet: &[u8], granule_position: u64) -> io::Result<()> {
        // A length that is a multiple of 255 ends with a segment of none (§5).
        let mut rest = packet;
        loop {
            let (segment, after) = rest.split_at(rest.len().min(255));
            if self.segments.len() == MAX_SEGMENTS {
                self.write_page(0)?;
                self.continued = rest.len() != packet.len();
            }
            self.segments.push(segment.len() as u8);
            self.body.extend_from_slice(segment);
            rest = after;
            if segment.len() < 255 {
                break;
            }
        }
        self.granule_position = granule_position;
        self.last_position = granule_position;
        Ok(())
    }

    /// Ends the page, if anything is on it.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.segments.is_empty() {
            self.write_page(0)?;
        }
        self.inner.flush()
    }

    /// Ends the bitstream and gives the output back.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn finish(mut self) -> io::Result<W> {
        if self.segments.is_empty() {
            self.granule_position = self.last_position;
        }
        self.write_page(LAST)?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn write_page(&mut self, flags: u8) -> io::Result<()> {
        let first = if self.sequence == 0 { FIRST } else { 0 };
        let continued = if self.continued { CONTINUED } else { 0 };
        let page = &mut self.page;
        page.clear();
        page.extend_from_slice(b"OggS\0");
        page.push(flags | first | continued);
        page.extend_from_slice(&self.granule_position.to_le_bytes());
        page.extend_from_slice(&self.serial.to_le_bytes());
        page.extend_from_slice(&self.sequence.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.push(self.segments.len() as u8);
        page.extend_from_slice(&self.segments);
        page.extend_from_slice(&self.body);
        let checksum = crc(page);
        page[22..26].copy_from_slice(&checksum.to_le_bytes());
        self.inner.write_all(page)?;
        self.sequence = self.sequence.wrapping_add(1);
        self.segments.clear();
        self.body.clear();
        self.continued = false;
        self.granule_position = NO_PACKET_ENDS;
        Ok(())
    }
}

/// CRC-32 with the polynomial 0x04c11db7, most significant bit first, beginning with 0 and not inverted (§6).
pub(super) fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc, byte| {
        crc << 8 ^ CRC_TABLE[usize::from((crc >> 24) as u8 ^ byte)]
    })
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};
