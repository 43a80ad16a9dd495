//! Opus in Ogg (RFC 7845): the headers `OpusHead` and `OpusTags`, and packets with their positions.

use super::ogg::{self, Packets, Page, PageReader};
use super::opus::{Toc, conceal};
use super::source::{u16_le, u32_le};
use super::{Error, time};
use crate::payload::opus::{self, CLOCK_RATE};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;

/// The largest packet that is read, in bytes, and the largest part of a comment header: "any implementation is expected to
/// be able to process" so much (RFC 7845 §6).
pub const MAX_PACKET_LEN: usize = 61_440;

/// A page leaves when it holds this much: one second.
const PAGE_SAMPLES: u64 = CLOCK_RATE as u64;

/// The identification header (RFC 7845 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Output channels, at least 1.
    pub channels: u8,
    /// Samples at 48 kHz to be decoded and thrown away at the start.
    pub pre_skip: u16,
    /// What the encoder was given, in Hz, for information; 0 if unknown. Opus itself always runs at 48 kHz.
    pub input_sample_rate: u32,
    /// To be applied when decoding, in 1/256 dB.
    pub output_gain: i16,
    /// What the channels mean; 0 is mono or stereo, as in RTP.
    pub mapping_family: u8,
    /// Stream count, coupled count and a byte for each channel; empty with family 0.
    pub mapping_table: Vec<u8>,
}

/// Stereo, nothing skipped.
impl Default for Head {
    fn default() -> Self {
        Self {
            channels: 2,
            pre_skip: 0,
            input_sample_rate: CLOCK_RATE,
            output_gain: 0,
            mapping_family: 0,
            mapping_table: Vec::new(),
        }
    }
}

impl Head {
    const MAGIC: &'static [u8] = b"OpusHead";

    /// Reads the packet; `None` if it is not one of version 0.x with all its fields.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        // "Implementations SHOULD treat streams where the upper four bits of the version number match that of a recognized
        // specification as backwards compatible"; later versions may append fields.
        if packet.len() < 19 || !packet.starts_with(Self::MAGIC) || packet[8] >= 16 || packet[9] == 0 {
            return None;
        }
        let (channels, mapping_family) = (packet[9], packet[18]);
        let mapping_table = match mapping_family {
            0 if channels > 2 => return None,
            0 => Vec::new(),
            _ => packet.get(19..21 + usize::from(channels))?.to_vec(),
        };
        Some(Self {
            channels,
            pre_skip: u16_le(packet, 10),
            input_sample_rate: u32_le(packet, 12),
            output_gain: u16_le(packet, 16).cast_signed(),
            mapping_family,
            mapping_table,
        })
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(Self::MAGIC);
        out.extend_from_slice(&[1, self.channels]);
        out.extend_from_slice(&self.pre_skip.to_le_bytes());
        out.extend_from_slice(&self.input_sample_rate.to_le_bytes());
        out.extend_from_slice(&self.output_gain.to_le_bytes());
        out.push(self.mapping_family);
        out.extend_from_slice(&self.mapping_table);
    }
}

/// The comment header (RFC 7845 §5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags {
    /// Encoder and encapsulation.
    pub vendor: String,
    /// `NAME=value` each.
    pub comments: Vec<String>,
}

/// Written here, no comments.
impl Default for Tags {
    fn default() -> Self {
        Self {
            vendor: concat!("peerline ", env!("CARGO_PKG_VERSION")).to_owned(),
            comments: Vec::new(),
        }
    }
}

impl Tags {
    const MAGIC: &'static [u8] = b"OpusTags";

    /// Reads the packet, or as much of it as was kept; `None` if it is none. What is not UTF-8 is replaced. Comments that
    /// are not wholly within `packet` are left out, as RFC 7845 §5.2 allows.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let mut rest = packet.strip_prefix(Self::MAGIC)?;
        let vendor = take_string(&mut rest)?;
        let count = take_u32(&mut rest)?;
        let mut comments = Vec::new();
        for _ in 0..count {
            let Some(comment) = take_string(&mut rest) else { break };
            comments.push(comment);
        }
        Some(Self { vendor, comments })
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let write_len = |len: usize, out: &mut Vec<u8>| {
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        };
        out.extend_from_slice(Self::MAGIC);
        write_len(self.vendor.len(), out);
        out.extend_from_slice(self.vendor.as_bytes());
        write_len(self.comments.len(), out);
        for comment in &self.comments {
            write_len(comment.len(), out);
            out.extend_from_slice(comment.as_bytes());
        }
    }
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*number))
}

fn take_string(rest: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(take_u32(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// An audio data packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// One Opus packet (for families other than 0, one of each stream), as RTP carries it.
    pub data: Bytes,
    /// The samples before it in this link of the chain, at 48 kHz, pre-skip included.
    pub position: u64,
    /// Its own samples at 48 kHz: at most 5,760.
    pub samples: u32,
}

/// Reads the packets of a file's first Opus bitstream, and of those chained after it.
pub struct Reader<R> {
    pages: PageReader<R>,
    head: Head,
    tags: Tags,
    serial: u32,
    packets: Packets,
    /// Set until the first packet has its position.
    unplaced: bool,
    /// Where the next packet begins.
    position: u64,
    ready: VecDeque<Packet>,
    /// Packets that ended on a page, while it is looked at.
    joined: VecDeque<ogg::Packet>,
    state: State,
    links: u32,
    malformed: u64,
}

/// What a page may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// First pages of bitstreams: "all bos pages of all logical bitstreams MUST appear together at the beginning" (RFC 3533 §4).
    Beginning,
    /// Pages of ours, among others'.
    Audio,
    /// Ours has ended; another may be chained.
    Ended,
}

impl<R: Read> Reader<R> {
    /// Reads up to the first packet.
    ///
    /// # Errors
    /// If this is no Ogg file, has no Opus bitstream, or one with broken headers.
    pub fn new(inner: R) -> Result<Self, Error> {
        let mut pages = PageReader::new(inner);
        let Some((page, head)) = find_head(&mut pages, None)? else {
            return Err(Error::Truncated {
                offset: pages.offset(),
                expected: "an Opus bitstream: a page with OpusHead",
            });
        };
        let mut reader = Self {
            pages,
            head,
            tags: Tags::default(),
            serial: page.serial,
            packets: Packets::new(MAX_PACKET_LEN),
            unplaced: true,
            position: 0,
            ready: VecDeque::new(),
            joined: VecDeque::new(),
            state: State::Beginning,
            links: 1,
            malformed: 0,
        };
        reader.begin(&page)?;
        Ok(reader)
    }

    /// The identification header of the link that the last packet was of.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Its comment header.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// How many chained bitstreams have begun: at least 1.
    pub fn links(&self) -> u32 {
        self.links
    }

    /// How many packets were left out since they were no Opus, or larger than [`MAX_PACKET_LEN`].
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// The next packet; `None` at the end of the file.
    ///
    /// # Errors
    /// If a page is broken or cut off, or the headers of a chained bitstream are.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, Error> {
        loop {
            if let Some(packet) = self.ready.pop_front() {
                return Ok(Some(packet));
            }
            let Some(page) = self.pages.next_page()? else {
                return Ok(None);
            };
            self.on_page(&page)?;
        }
    }

    fn on_page(&mut self, page: &Page) -> Result<(), Error> {
        match (page.first, self.state) {
            // Another bitstream beside ours.
            (true, State::Beginning) => Ok(()),
            (true, State::Audio | State::Ended) => self.on_link(page),
            (false, State::Beginning | State::Audio) if page.serial == self.serial => {
                self.state = if page.last { State::Ended } else { State::Audio };
                self.on_audio(page)
            }
            (false, State::Beginning) => {
                self.state = State::Audio;
                Ok(())
            }
            (false, State::Audio | State::Ended) => Ok(()),
        }
    }

    /// The first page of a bitstream after the pages of others: the next link of a chain.
    fn on_link(&mut self, page: &Page) -> Result<(), Error> {
        let Some((page, head)) = find_head(&mut self.pages, Some(page.clone()))? else {
            return Ok(());
        };
        self.head = head;
        self.links = self.links.saturating_add(1);
        self.begin(&page)
    }

    /// After the page with the identification header: reads pages up to the end of the comment header.
    fn begin(&mut self, page: &Page) -> Result<(), Error> {
        self.serial = page.serial;
        self.packets = Packets::new(MAX_PACKET_LEN);
        (self.unplaced, self.position, self.state) = (true, 0, State::Beginning);
        self.packets.push(page, &mut self.joined);
        self.joined.clear();
        loop {
            let Some(page) = self.pages.next_page()? else {
                return Err(Error::Truncated {
                    offset: self.pages.offset(),
                    expected: "the comment header OpusTags",
                });
            };
            if page.serial != self.serial {
                continue;
            }
            self.packets.push(&page, &mut self.joined);
            if let Some(packet) = self.joined.pop_front() {
                let invalid = Error::Invalid {
                    offset: page.offset,
                    expected: "the comment header OpusTags",
                };
                self.tags = Tags::parse(&packet.data).ok_or(invalid)?;
                // "the comment header packet MUST finish the page on which it completes" (§3)
                self.malformed += self.joined.len() as u64;
                self.joined.clear();
                self.state = if page.last { State::Ended } else { State::Beginning };
                return Ok(());
            }
        }
    }

    /// Places the packets that end on `page`.
    fn on_audio(&mut self, page: &Page) -> Result<(), Error> {
        self.packets.push(page, &mut self.joined);
        let from = self.ready.len();
        let mut total = 0;
        for packet in self.joined.drain(..) {
            match opus::duration(&packet.data) {
                Some(samples) if packet.len <= MAX_PACKET_LEN as u64 => {
                    self.ready.push_back(Packet {
                        data: packet.data,
                        position: total,
                        samples,
                    });
                    total += u64::from(samples);
                }
                _ => self.malformed += 1,
            }
        }
        if total == 0 {
            return Ok(());
        }
        let start = self.page_start(page, total)?;
        for packet in self.ready.iter_mut().skip(from) {
            packet.position = packet.position.saturating_add(start);
        }
        self.position = start.saturating_add(total);
        self.unplaced = false;
        Ok(())
    }

    /// Where the first of a page's packets begins, which together have `total` samples: backwards from the page's granule
    /// position, as RFC 7845 §4.5 says, but for the last page, whose position may cut its last packet short (§4.4).
    fn page_start(&self, page: &Page, total: u64) -> Result<u64, Error> {
        let Some(end) = page.granule_position else {
            return Ok(self.position);
        };
        match (end.checked_sub(total), self.unplaced) {
            // A hole: the samples in between are missing.
            (Some(start), false) => Ok(start.max(self.position)),
            (Some(start), true) => Ok(start),
            // "An implementation MUST treat any stream as invalid if the granule position is smaller than the number of
            // samples contained in packets that complete on the first audio data page with a completed packet, unless
            // that page has the 'end of stream' flag set."
            (None, true) if !page.last => Err(Error::Invalid {
                offset: page.offset + 6,
                expected: "a granule position not below the page's samples",
            }),
            (None, _) => Ok(self.position),
        }
    }
}

/// The first page with an identification header among first pages, of which `page` may be one; `None` if there is none.
fn find_head<R: Read>(pages: &mut PageReader<R>, mut page: Option<Page>) -> Result<Option<(Page, Head)>, Error> {
    loop {
        let Some(candidate) = (match page.take() {
            Some(page) => Some(page),
            None => pages.next_page()?,
        }) else {
            return Ok(None);
        };
        if !candidate.first || !candidate.body.starts_with(Head::MAGIC) {
            continue;
        }
        let Some(head) = Head::parse(&candidate.body) else {
            return Err(Error::Invalid {
                offset: candidate.offset,
                expected: "a complete OpusHead of version 1",
            });
        };
        return Ok(Some((candidate, head)));
    }
}

/// Writes packets.
pub struct Writer<W> {
    ogg: ogg::Writer<W>,
    position: u64,
    page_position: u64,
    last: Option<Toc>,
}

impl<W: Write> Writer<W> {
    /// Writes the headers. `serial` is any number; those of chained bitstreams must differ.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn new(inner: W, serial: u32, head: &Head, tags: &Tags) -> io::Result<Self> {
        let mut ogg = ogg::Writer::new(inner, serial);
        let mut packet = Vec::new();
        head.write(&mut packet);
        ogg.write_packet(&packet, 0)?;
        ogg.flush()?;
        packet.clear();
        tags.write(&mut packet);
        ogg.write_packet(&packet, 0)?;
        ogg.flush()?;
        Ok(Self {
            ogg,
            position: 0,
            page_position: 0,
            last: None,
        })
    }

    /// Appends an Opus packet.
    ///
    /// # Errors
    /// Of the output; [`io::ErrorKind::InvalidInput`] for what is no Opus packet, or is larger than [`MAX_PACKET_LEN`].
    pub fn write_packet(&mut self, packet: &[u8]) -> io::Result<()> {
        let samples = opus::duration(packet).filter(|_| packet.len() <= MAX_PACKET_LEN);
        let samples = samples.ok_or(io::ErrorKind::InvalidInput)?;
        if self.position - self.page_position >= PAGE_SAMPLES {
            self.ogg.flush()?;
            self.page_position = self.position;
        }
        self.position += u64::from(samples);
        self.last = Some(Toc(packet[0]));
        self.ogg.write_packet(packet, self.position)
    }

    /// Appends packets that ask the decoder to conceal `samples` (at 48 kHz), so that what follows stays in its place
    /// (RFC 7845 §4.1). Nothing before the first packet. A rest below 2.5 ms stays missing.
    ///
    /// # Errors
    /// Of the output.
    pub fn write_gap(&mut self, samples: u64) -> io::Result<()> {
        let Some(last) = self.last else { return Ok(()) };
        for packet in conceal(last, samples) {
            self.write_packet(packet.packet())?;
        }
        // The next gap's packets continue with what was there before, not with the small sizes at a gap's end.
        self.last = Some(last);
        Ok(())
    }

    /// The samples written so far, at 48 kHz.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The same as a time.
    pub fn time(&self) -> Duration {
        time(self.position, 1, CLOCK_RATE)
    }

    /// Ends the bitstream and gives the output back.
    ///
    /// # Errors
    /// Of the output.
    pub fn finish(self) -> io::Result<W> {
        self.ogg.finish()
    }
}
