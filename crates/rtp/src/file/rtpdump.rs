//! rtpdump: RTP and RTCP packets with the times at which they came, as rtptools' `rtpdump -F dump` writes them and Wireshark
//! exports them. The format is described in `rtptools/rtpdump.h`; numbers are big-endian:
//!
//! ```text
//!  "#!rtpplay1.0 ADDRESS/PORT\n"
//!  file header, 16 bytes                         before each packet, 8 bytes
//!   0  start: seconds, microseconds (32 each)     0  length of packet and these 8 bytes (16 bits)
//!   8  source address, IPv4                       2  length of the packet when it came, 0 for RTCP (16 bits)
//!  12  port (16 bits), padding (16 bits)          4  milliseconds since the start (32 bits)
//! ```

use super::Error;
use super::source::Source;
use bytes::Bytes;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// The longest first line that is read, in bytes.
const MAX_LINE_LEN: usize = 256;
const MAGIC: &[u8] = b"#!rtpplay1.0 ";
const RECORD_HEADER_LEN: u16 = 8;

/// The largest packet that fits.
pub const MAX_PACKET_LEN: usize = (u16::MAX - RECORD_HEADER_LEN) as usize;

/// What stands before the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// When recording began, since 1970-01-01 UTC; microseconds are kept, and seconds below 2³².
    pub start: Duration,
    /// Whose packets these are. The format has room for an IPv4 address only.
    pub source: SocketAddrV4,
}

/// No time, no address.
impl Default for Header {
    fn default() -> Self {
        Self {
            start: Duration::ZERO,
            source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
        }
    }
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An RTP packet, of which the record may hold the beginning only (headers without media).
    Rtp {
        /// Its length when it came.
        original_len: u16,
    },
    /// A compound RTCP packet.
    Rtcp,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it came, since the recording began; the format keeps milliseconds, up to 49 days.
    pub time: Duration,
    /// RTP or RTCP.
    pub kind: Kind,
    /// The packet, from its first byte on.
    pub packet: Bytes,
}

/// Reads records.
pub struct Reader<R> {
    source: Source<R>,
    header: Header,
}

impl<R: Read> Reader<R> {
    /// Reads the first line and the file header.
    ///
    /// # Errors
    /// If they are not there. (The first line repeats the address, often wrongly: it is not looked at.)
    pub fn new(inner: R) -> Result<Self, Error> {
        let mut source = Source::new(inner);
        let magic = source.array::<13>("an rtpdump file: \"#!rtpplay1.0 \"")?;
        if magic != MAGIC {
            return Err(Error::Invalid {
                offset: 0,
                expected: "an rtpdump file: \"#!rtpplay1.0 \"",
            });
        }
        while source.array::<1>("the first line of an rtpdump file")? != *b"\n" {
            if source.offset() > MAX_LINE_LEN as u64 {
                return Err(Error::Invalid {
                    offset: source.offset(),
                    expected: "the end of the first line",
                });
            }
        }
        let b = source.array::<16>("an rtpdump file header of 16 bytes")?;
        let seconds = u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
        let microseconds = u32::from_be_bytes([b[4], b[5], b[6], b[7]]);
        let start = Duration::from_secs(seconds.into()) + Duration::from_micros(microseconds.into());
        let address = Ipv4Addr::new(b[8], b[9], b[10], b[11]);
        let header = Header {
            start,
            source: SocketAddrV4::new(address, u16::from_be_bytes([b[12], b[13]])),
        };
        Ok(Self { source, header })
    }

    /// What stands before the packets.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next record; `None` at the end of the file.
    ///
    /// # Errors
    /// If the file ends within a record, or a record is shorter than its header.
    pub fn next_record(&mut self) -> Result<Option<Record>, Error> {
        let offset = self.source.offset();
        let Some(b) = self.source.array_or_end::<8>("the header of a record, of 8 bytes")? else {
            return Ok(None);
        };
        let Some(len) = u16::from_be_bytes([b[0], b[1]]).checked_sub(RECORD_HEADER_LEN) else {
            return Err(Error::Invalid {
                offset,
                expected: "the length of a record, at least 8",
            });
        };
        let kind = match u16::from_be_bytes([b[2], b[3]]) {
            0 => Kind::Rtcp,
            original_len => Kind::Rtp { original_len },
        };
        let time = Duration::from_millis(u32::from_be_bytes([b[4], b[5], b[6], b[7]]).into());
        let packet = self.source.bytes(len.into(), "a packet")?.into();
        Ok(Some(Record { time, kind, packet }))
    }
}

/// Writes records.
pub struct Writer<W> {
    inner: W,
}

impl<W: Write> Writer<W> {
    /// Writes the first line and the file header.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn new(mut inner: W, header: &Header) -> io::Result<Self> {
        let (address, port) = (header.source.ip(), header.source.port());
        writeln!(inner, "#!rtpplay1.0 {address}/{port}")?;
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&u32::try_from(header.start.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
        bytes[4..8].copy_from_slice(&header.start.subsec_micros().to_be_bytes());
        bytes[8..12].copy_from_slice(&address.octets());
        bytes[12..14].copy_from_slice(&port.to_be_bytes());
        inner.write_all(&bytes)?;
        Ok(Self { inner })
    }

    /// Appends an RTP packet that came `time` after the start.
    ///
    /// # Errors
    /// Of `inner`; [`io::ErrorKind::InvalidInput`] for an empty packet or one larger than [`MAX_PACKET_LEN`].
    pub fn write_rtp(&mut self, time: Duration, packet: &[u8]) -> io::Result<()> {
        match u16::try_from(packet.len()) {
            Ok(len) if len != 0 => self.write(time, len, packet),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Appends a compound RTCP packet that came `time` after the start.
    ///
    /// # Errors
    /// Of `inner`; [`io::ErrorKind::InvalidInput`] for a packet larger than [`MAX_PACKET_LEN`].
    pub fn write_rtcp(&mut self, time: Duration, packet: &[u8]) -> io::Result<()> {
        self.write(time, 0, packet)
    }

    /// Appends a record as it was read.
    ///
    /// # Errors
    /// Of `inner`; [`io::ErrorKind::InvalidInput`] for a packet larger than [`MAX_PACKET_LEN`], or RTP that had no bytes.
    pub fn write_record(&mut self, record: &Record) -> io::Result<()> {
        match record.kind {
            Kind::Rtcp => self.write(record.time, 0, &record.packet),
            Kind::Rtp { original_len: 0 } => Err(io::ErrorKind::InvalidInput.into()),
            Kind::Rtp { original_len } => self.write(record.time, original_len, &record.packet),
        }
    }

    fn write(&mut self, time: Duration, original_len: u16, packet: &[u8]) -> io::Result<()> {
        let len = u16::try_from(packet.len())
            .ok()
            .and_then(|len| len.checked_add(RECORD_HEADER_LEN));
        let len = len.ok_or(io::ErrorKind::InvalidInput)?;
        let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let mut header = [0; 8];
        header[..2].copy_from_slice(&len.to_be_bytes());
        header[2..4].copy_from_slice(&original_len.to_be_bytes());
        header[4..].copy_from_slice(&milliseconds.to_be_bytes());
        self.inner.write_all(&header)?;
        self.inner.write_all(packet)
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// Of `inner`.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.flush()?;
        Ok(self.inner)
    }
}
