//! A connection's packets as they are behind all protection, as a file that Wireshark reads: pcapng (draft-ietf-opsawg-pcapng).
//!
//! Each packet is an "upper PDU": it names the protocol to be dissected and the addresses it went between, in place of headers. So
//! packets of SCTP, RTP and RTCP are seen as what they were before they were protected. Datagrams of DTLS are there as long as they
//! carry none of that, with the secrets that open them, each in a Decryption Secrets Block.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use peerline_dtls::KeyLog;
use peerline_wire::{FiveTuple, Transport};

use crate::demux::{Protocol, demux};

/// Where a capture goes: it is given whole blocks, to be appended to a file whose name ends in `.pcapng`. Several connections may share
/// one. See [`Config::capture`](crate::Config::capture). Whoever has the file has all that was said.
#[derive(Clone)]
pub struct Capture(Arc<Append>);

type Append = dyn Fn(&[u8]) + Send + Sync;

impl Capture {
    /// A capture that begins with this call: the file's header is the first that `append` is given. It is called while datagrams
    /// pass, so it should not take long.
    pub fn new(append: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        let mut header = Vec::new();
        write_section_header(&mut header);
        write_interface(&mut header);
        append(&header);
        Self(Arc::new(append))
    }

    fn packet(&self, at: Duration, path: &FiveTuple, direction: Direction, packet: &Packet) {
        let mut pdu = Vec::with_capacity(packet.bytes.len() + 96);
        write_tags(&mut pdu, path, direction, packet.dissector);
        pdu.extend_from_slice(&packet.bytes);
        let mut block = Vec::with_capacity(pdu.len() + 48);
        write_packet(&mut block, at, direction, &pdu);
        (self.0)(&block);
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Capture")
    }
}

/// Secrets go into the file.
impl KeyLog for Capture {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut block = Vec::new();
        write_secrets(&mut block, line.as_bytes());
        (self.0)(&block);
    }
}

/// Tells two key logs.
#[derive(Debug)]
struct Both(Arc<dyn KeyLog>, Capture);

impl KeyLog for Both {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.0.log(label, client_random, secret);
        self.1.log(label, client_random, secret);
    }
}

/// Who is told of secrets: the user, the capture, both or nobody.
pub(crate) fn key_log(user: Option<&Arc<dyn KeyLog>>, capture: Option<&Capture>) -> Option<Arc<dyn KeyLog>> {
    match (user, capture) {
        (Some(user), Some(capture)) => Some(Arc::new(Both(user.clone(), capture.clone()))),
        (None, Some(capture)) => Some(Arc::new(capture.clone())),
        (user, None) => user.cloned(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// A packet, and who makes sense of it, by the name that Wireshark has for it.
struct Packet {
    dissector: &'static str,
    bytes: Vec<u8>,
}

/// What a layer sees unprotected, until the connection knows by which path it goes. Empty while nothing is captured.
#[derive(Default)]
pub(crate) struct Tap {
    is_open: bool,
    packets: Vec<Packet>,
}

impl Tap {
    pub(crate) const SCTP: &'static str = "sctp";
    pub(crate) const RTP: &'static str = "rtp";
    pub(crate) const RTCP: &'static str = "rtcp";

    pub(crate) fn new(capture: Option<&Capture>) -> Self {
        Self {
            is_open: capture.is_some(),
            packets: Vec::new(),
        }
    }

    /// A packet passes.
    pub(crate) fn see(&mut self, dissector: &'static str, bytes: &[u8]) {
        if self.is_open {
            let bytes = bytes.to_vec();
            self.packets.push(Packet { dissector, bytes });
        }
    }
}

/// Writes what taps have seen of a datagram that went by this path, or the datagram itself if it had nothing in it for them.
pub(crate) fn write<'a>(
    capture: &Capture,
    at: Duration,
    path: &FiveTuple,
    direction: Direction,
    datagram: &[u8],
    taps: impl IntoIterator<Item = &'a mut Tap>,
) {
    let mut any = false;
    for tap in taps {
        for packet in tap.packets.drain(..) {
            capture.packet(at, path, direction, &packet);
            any = true;
        }
    }
    // Of media that nobody could open, or that is sent again as it was, at least the header is plain.
    let dissector = match demux(datagram) {
        Some(Protocol::Stun) => "stun-udp",
        Some(Protocol::Dtls) => "dtls",
        Some(Protocol::Rtp) => "srtp",
        Some(Protocol::Rtcp) => "srtcp",
        None => return,
    };
    if !any && !datagram.is_empty() {
        let bytes = datagram.to_vec();
        capture.packet(at, path, direction, &Packet { dissector, bytes });
    }
}

// Blocks: type, length, body padded to four bytes, length again. Numbers are in little-endian order.

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;

/// Packets begin with tags that Wireshark's "Export PDUs" defines.
const LINKTYPE_WIRESHARK_UPPER_PDU: u16 = 252;

/// "TLSK": lines of an NSS key log.
const TLS_KEY_LOG: u32 = 0x544c_534b;

fn write_block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    fill(out);
    pad(out, start);
    let length = u32::try_from(out.len() - start + 4).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&length);
    if let Some(field) = out.get_mut(start + 4..start + 8) {
        field.copy_from_slice(&length);
    }
}

fn pad(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    out.resize(start + length.next_multiple_of(4), 0);
}

fn write_section_header(out: &mut Vec<u8>) {
    write_block(out, SECTION_HEADER, |out| {
        out.extend_from_slice(&0x1a2b_3c4du32.to_le_bytes());
        out.extend_from_slice(&1u16.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
        // The section's length is not known.
        out.extend_from_slice(&(-1i64).to_le_bytes());
    });
}

fn write_interface(out: &mut Vec<u8>) {
    write_block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend_from_slice(&LINKTYPE_WIRESHARK_UPPER_PDU.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        // No limit to the length of packets.
        out.extend_from_slice(&0u32.to_le_bytes());
    });
}

fn write_secrets(out: &mut Vec<u8>, lines: &[u8]) {
    write_block(out, DECRYPTION_SECRETS, |out| {
        out.extend_from_slice(&TLS_KEY_LOG.to_le_bytes());
        out.extend_from_slice(&u32::try_from(lines.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(lines);
    });
}

fn write_packet(out: &mut Vec<u8>, at: Duration, direction: Direction, packet: &[u8]) {
    write_block(out, ENHANCED_PACKET, |out| {
        let start = out.len();
        // Microseconds, unless the interface says otherwise.
        let at = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        for number in [0, (at >> 32) as u32, at as u32, length, length] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(packet);
        pad(out, start);
        // `epb_flags`: inbound or outbound.
        let flags: u32 = match direction {
            Direction::In => 1,
            Direction::Out => 2,
        };
        out.extend_from_slice(&2u16.to_le_bytes());
        out.extend_from_slice(&4u16.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        // The end of the options.
        out.extend_from_slice(&[0; 4]);
    });
}

/// Tags, each a type and a length of 16 bits in network order and a value padded to four bytes
/// (`epan/exported_pdu.h` of Wireshark).
fn write_tags(out: &mut Vec<u8>, path: &FiveTuple, direction: Direction, dissector: &str) {
    const DISSECTOR: u16 = 12;
    const IPV4: [u16; 2] = [20, 21];
    const IPV6: [u16; 2] = [22, 23];
    const PORT_TYPE: u16 = 24;
    const PORT: [u16; 2] = [25, 26];
    let (from, to) = match direction {
        Direction::In => (path.remote, path.local),
        Direction::Out => (path.local, path.remote),
    };
    write_tag(out, DISSECTOR, dissector.as_bytes());
    for (end, address) in [from, to].into_iter().enumerate() {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => write_tag(out, IPV4[end], &ip.octets()),
            IpAddr::V6(ip) => write_tag(out, IPV6[end], &ip.octets()),
        }
        write_tag(out, PORT[end], &u32::from(address.port()).to_be_bytes());
    }
    let port_type: u32 = match path.transport {
        Transport::Udp => 3,
        _ => 2,
    };
    write_tag(out, PORT_TYPE, &port_type.to_be_bytes());
    write_tag(out, 0, &[]);
}

fn write_tag(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = value.len().next_multiple_of(4);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len() + length - value.len(), 0);
}
