//! The bytes of SCTP: packets, chunks, parameters and error causes, without any state.
//!
//! Everything is read in place: a decoded chunk borrows from the packet. Unknown chunk types, parameters and causes keep
//! their numbers and survive a round trip.

mod cause;
mod checksum;
mod chunk;
mod packet;
mod parameter;

pub use cause::{Cause, CauseCode, Causes, write_cause};
pub use checksum::{checksum, verify_checksum, write_checksum};
pub use chunk::{
    Abort, AddStreams, Chunk, ChunkType, CookieEcho, Data, Errors, ForwardTsn, FragmentPlace, GapBlock, Heartbeat,
    IData, IForwardTsn, IncomingReset, Init, OutgoingReset, Pad, RawChunk, ReConfig, ReconfigParameter,
    ReconfigResponse, ReconfigResult, Sack, Shutdown, SkippedMessages, SkippedStream, StreamList, UnknownAction,
    write_chunk,
};
pub use packet::{Chunks, Header, Packet, write_header};
pub use parameter::{Parameter, ParameterType, Parameters, write_parameter};

use std::fmt;

/// Why bytes are not SCTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// They end before a field does.
    Truncated,
    /// A length field is smaller than what it has to cover, or larger than what is there.
    BadLength,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the bytes end before a field does",
            Self::BadLength => "a length field does not fit its contents",
        })
    }
}

impl std::error::Error for ParseError {}

impl From<peerline_wire::Truncated> for ParseError {
    fn from(_: peerline_wire::Truncated) -> Self {
        Self::Truncated
    }
}

/// The two bytes before the length, and the value.
type Tlv<'a> = ([u8; 2], &'a [u8]);

/// Takes one type-length-value item off the front of `rest`: two bytes that the caller interprets, a length that covers
/// itself and them, the value, padding to four bytes. Padding that the last item lacks is forgiven.
fn take_tlv<'a>(rest: &mut &'a [u8]) -> Option<Result<Tlv<'a>, ParseError>> {
    if rest.is_empty() {
        return None;
    }
    let item = (|| {
        let (header, _) = rest.split_first_chunk::<4>().ok_or(ParseError::Truncated)?;
        let [a, b, length @ ..] = *header;
        let length = usize::from(u16::from_be_bytes(length));
        let value = rest.get(4..length).ok_or(ParseError::BadLength)?;
        *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Ok(([a, b], value))
    })();
    if item.is_err() {
        *rest = &[];
    }
    Some(item)
}

/// Appends one type-length-value item, padded to four bytes.
///
/// # Panics
/// If `fill` writes 64 KiB or more: the caller bounds what it writes.
fn write_tlv(out: &mut Vec<u8>, kind: [u8; 2], fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[kind[0], kind[1], 0, 0]);
    fill(out);
    let length = u16::try_from(out.len() - start)
        .expect("the item fits its 16-bit length")
        .to_be_bytes();
    out[start + 2..start + 4].copy_from_slice(&length);
    pad(out, start);
}

/// Appends items, each but the last padded to four bytes.
///
/// RFC 9260 §3.2: the length of a chunk "does, however, include any padding of variable-length parameters other than the
/// last parameter in the chunk"; that of the last is the chunk's own.
///
/// # Panics
/// If an item does not fit a 16-bit length: the caller bounds it.
fn write_list<'a>(out: &mut Vec<u8>, items: impl IntoIterator<Item = Tlv<'a>>) {
    let mut end = out.len();
    for (kind, value) in items {
        let start = out.len();
        write_tlv(out, kind, |out| out.extend_from_slice(value));
        end = start + 4 + value.len();
    }
    out.truncate(end);
}

/// Pads what has been appended since `start` to four bytes (RFC 9260 §3.2).
fn pad(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    out.resize(start + length.next_multiple_of(4), 0);
}
