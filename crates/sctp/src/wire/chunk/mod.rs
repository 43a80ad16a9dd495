//! Chunks: one file a chunk type, or a family of them.

mod abort;
mod cookie;
mod data;
mod error;
mod forward_tsn;
mod heartbeat;
mod i_data;
mod i_forward_tsn;
mod init;
mod pad;
mod re_config;
mod sack;
mod shutdown;

pub use abort::Abort;
pub use cookie::CookieEcho;
pub use data::Data;
pub use error::Errors;
pub use forward_tsn::{ForwardTsn, SkippedStream};
pub use heartbeat::Heartbeat;
pub use i_data::{FragmentPlace, IData};
pub use i_forward_tsn::{IForwardTsn, SkippedMessages};
pub use init::Init;
pub use pad::Pad;
pub use re_config::{
    AddStreams, IncomingReset, OutgoingReset, ReConfig, ReconfigParameter, ReconfigResponse, ReconfigResult, StreamList,
};
pub use sack::{GapBlock, Sack};
pub use shutdown::Shutdown;

use std::fmt;

use super::{ParseError, write_tlv};

/// A chunk type (RFC 9260 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkType(pub u8);

impl ChunkType {
    /// Payload Data (RFC 9260 §3.3.1).
    pub const DATA: Self = Self(0);
    /// Initiation (RFC 9260 §3.3.2).
    pub const INIT: Self = Self(1);
    /// Initiation Acknowledgement (RFC 9260 §3.3.3).
    pub const INIT_ACK: Self = Self(2);
    /// Selective Acknowledgement (RFC 9260 §3.3.4).
    pub const SACK: Self = Self(3);
    /// Heartbeat Request (RFC 9260 §3.3.5).
    pub const HEARTBEAT: Self = Self(4);
    /// Heartbeat Acknowledgement (RFC 9260 §3.3.6).
    pub const HEARTBEAT_ACK: Self = Self(5);
    /// Abort (RFC 9260 §3.3.7).
    pub const ABORT: Self = Self(6);
    /// Shutdown (RFC 9260 §3.3.8).
    pub const SHUTDOWN: Self = Self(7);
    /// Shutdown Acknowledgement (RFC 9260 §3.3.9).
    pub const SHUTDOWN_ACK: Self = Self(8);
    /// Operation Error (RFC 9260 §3.3.10).
    pub const ERROR: Self = Self(9);
    /// State Cookie (RFC 9260 §3.3.11).
    pub const COOKIE_ECHO: Self = Self(10);
    /// Cookie Acknowledgement (RFC 9260 §3.3.12).
    pub const COOKIE_ACK: Self = Self(11);
    /// Shutdown Complete (RFC 9260 §3.3.13).
    pub const SHUTDOWN_COMPLETE: Self = Self(14);
    /// Payload Data supporting Interleaving (RFC 8260 §2.1).
    pub const I_DATA: Self = Self(64);
    /// Stream Re-configuration (RFC 6525 §3.1).
    pub const RE_CONFIG: Self = Self(130);
    /// Padding (RFC 4820 §3).
    pub const PAD: Self = Self(132);
    /// Forward Cumulative TSN (RFC 3758 §3.2).
    pub const FORWARD_TSN: Self = Self(192);
    /// Forward Cumulative TSN for I-DATA (RFC 8260 §2.3.1).
    pub const I_FORWARD_TSN: Self = Self(194);

    /// What to do with a chunk of this type if it is unknown.
    ///
    /// RFC 9260 §3.2: "Chunk Types are encoded such that the highest-order 2 bits specify the action that is taken if
    /// the processing endpoint does not recognize the Chunk Type."
    #[must_use]
    pub fn unknown_action(self) -> UnknownAction {
        UnknownAction::from_high_bits(self.0 >> 6)
    }
}

impl fmt::Debug for ChunkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunk type {}", self.0)
    }
}

/// What the two high bits of an unknown chunk or parameter type ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAction {
    /// Go on with what follows; `false`: discard the rest.
    pub skip: bool,
    /// Tell the peer.
    pub report: bool,
}

impl UnknownAction {
    pub(crate) fn from_high_bits(bits: u8) -> Self {
        Self {
            skip: bits & 0b10 != 0,
            report: bits & 0b01 != 0,
        }
    }
}

/// A chunk as it lies in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawChunk<'a> {
    /// Its type.
    pub kind: ChunkType,
    /// Its flags; their meaning depends on the type.
    pub flags: u8,
    /// What follows the four bytes of chunk header, without padding.
    pub value: &'a [u8],
}

/// A decoded chunk. It borrows from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// DATA.
    Data(Data<'a>),
    /// I-DATA.
    IData(IData<'a>),
    /// INIT.
    Init(Init<'a>),
    /// INIT ACK.
    InitAck(Init<'a>),
    /// SACK.
    Sack(Sack<'a>),
    /// HEARTBEAT.
    Heartbeat(Heartbeat<'a>),
    /// HEARTBEAT ACK.
    HeartbeatAck(Heartbeat<'a>),
    /// ABORT.
    Abort(Abort<'a>),
    /// SHUTDOWN.
    Shutdown(Shutdown),
    /// SHUTDOWN ACK.
    ShutdownAck,
    /// ERROR.
    Error(Errors<'a>),
    /// COOKIE ECHO.
    CookieEcho(CookieEcho<'a>),
    /// COOKIE ACK.
    CookieAck,
    /// SHUTDOWN COMPLETE; the T bit says that the verification tag is reflected (RFC 9260 §8.5.1).
    ShutdownComplete {
        /// The T bit.
        reflected_tag: bool,
    },
    /// RE-CONFIG.
    ReConfig(ReConfig<'a>),
    /// FORWARD TSN.
    ForwardTsn(ForwardTsn<'a>),
    /// I-FORWARD-TSN.
    IForwardTsn(IForwardTsn<'a>),
    /// PAD.
    Pad(Pad<'a>),
    /// A type this crate does not know.
    Unknown(RawChunk<'a>),
}

/// The T bit of ABORT and SHUTDOWN COMPLETE.
const T_BIT: u8 = 1;

impl<'a> Chunk<'a> {
    /// Reads a chunk.
    ///
    /// # Errors
    /// [`ParseError`] if the value does not have the shape of its type.
    pub fn decode(raw: RawChunk<'a>) -> Result<Self, ParseError> {
        let value = raw.value;
        Ok(match raw.kind {
            ChunkType::DATA => Self::Data(Data::decode(raw.flags, value)?),
            ChunkType::I_DATA => Self::IData(IData::decode(raw.flags, value)?),
            ChunkType::INIT => Self::Init(Init::decode(value)?),
            ChunkType::INIT_ACK => Self::InitAck(Init::decode(value)?),
            ChunkType::SACK => Self::Sack(Sack::decode(value)?),
            ChunkType::HEARTBEAT => Self::Heartbeat(Heartbeat::decode(value)?),
            ChunkType::HEARTBEAT_ACK => Self::HeartbeatAck(Heartbeat::decode(value)?),
            ChunkType::ABORT => Self::Abort(Abort::decode(raw.flags, value)?),
            ChunkType::SHUTDOWN => Self::Shutdown(Shutdown::decode(value)?),
            ChunkType::SHUTDOWN_ACK => Self::ShutdownAck,
            ChunkType::ERROR => Self::Error(Errors::decode(value)?),
            ChunkType::COOKIE_ECHO => Self::CookieEcho(CookieEcho { cookie: value }),
            ChunkType::COOKIE_ACK => Self::CookieAck,
            ChunkType::SHUTDOWN_COMPLETE => Self::ShutdownComplete {
                reflected_tag: raw.flags & T_BIT != 0,
            },
            ChunkType::RE_CONFIG => Self::ReConfig(ReConfig::decode(value)?),
            ChunkType::FORWARD_TSN => Self::ForwardTsn(ForwardTsn::decode(value)?),
            ChunkType::I_FORWARD_TSN => Self::IForwardTsn(IForwardTsn::decode(value)?),
            ChunkType::PAD => Self::Pad(Pad { padding: value }),
            _ => Self::Unknown(raw),
        })
    }

    /// Appends the chunk, padded to four bytes.
    ///
    /// # Panics
    /// If it does not fit a 16-bit length: the caller bounds it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Data(data) => data.encode(out),
            Self::IData(data) => data.encode(out),
            Self::Init(init) => init.encode(out, ChunkType::INIT),
            Self::InitAck(init) => init.encode(out, ChunkType::INIT_ACK),
            Self::Sack(sack) => sack.encode(out),
            Self::Heartbeat(heartbeat) => heartbeat.encode(out, ChunkType::HEARTBEAT),
            Self::HeartbeatAck(heartbeat) => heartbeat.encode(out, ChunkType::HEARTBEAT_ACK),
            Self::Abort(abort) => abort.encode(out),
            Self::Shutdown(shutdown) => shutdown.encode(out),
            Self::ShutdownAck => write_chunk(out, ChunkType::SHUTDOWN_ACK, 0, |_| {}),
            Self::Error(errors) => errors.encode(out),
            Self::CookieEcho(echo) => echo.encode(out),
            Self::CookieAck => write_chunk(out, ChunkType::COOKIE_ACK, 0, |_| {}),
            Self::ShutdownComplete { reflected_tag } => {
                write_chunk(
                    out,
                    ChunkType::SHUTDOWN_COMPLETE,
                    u8::from(*reflected_tag) * T_BIT,
                    |_| {},
                );
            }
            Self::ReConfig(re_config) => re_config.encode(out),
            Self::ForwardTsn(forward) => forward.encode(out),
            Self::IForwardTsn(forward) => forward.encode(out),
            Self::Pad(pad) => pad.encode(out),
            Self::Unknown(raw) => write_chunk(out, raw.kind, raw.flags, |out| out.extend_from_slice(raw.value)),
        }
    }
}

/// Appends one chunk around what `fill` appends, padded to four bytes.
///
/// # Panics
/// If `fill` writes 64 KiB or more: the caller bounds it.
pub fn write_chunk(out: &mut Vec<u8>, kind: ChunkType, flags: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    write_tlv(out, [kind.0, flags], fill);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::{Header, Packet, verify_checksum};

    /// An INIT from Chromium 156 to Firefox 153 on Linux, as it left DTLS: a_rwnd 5 MiB, 65,535 streams each way,
    /// FORWARD-TSN, and RE-CONFIG and FORWARD-TSN again as extensions.
    pub(crate) const CHROMIUM_INIT: [u8; 44] = *b"\x13\x88\x13\x88\x00\x00\x00\x00\xa5\x54\x62\xf1\x01\x00\x00\x1e\
        \x45\x49\xca\xa9\x00\x50\x00\x00\xff\xff\xff\xff\x2a\x63\x8f\x6d\xc0\x00\x00\x04\x80\x08\x00\x06\x82\xc0\x00\x00";

    /// Decodes a packet of one chunk and checks that it encodes to the same bytes, checksum included.
    pub(crate) fn one_chunk(bytes: &[u8]) -> (Header, Chunk<'_>) {
        assert!(verify_checksum(bytes), "the checksum is right");
        let packet = Packet::decode(bytes).unwrap();
        let mut chunks = packet.chunks();
        let chunk = Chunk::decode(chunks.next().unwrap().unwrap()).unwrap();
        assert_eq!(chunks.next(), None);
        let mut out = Vec::new();
        Packet::encode(&mut out, packet.header, &[chunk]);
        assert_eq!(out, bytes);
        (packet.header, chunk)
    }

    #[test]
    fn unknown_chunks_survive() {
        let raw = RawChunk {
            kind: ChunkType(0x3f),
            flags: 9,
            value: &[1, 2, 3],
        };
        let mut out = Vec::new();
        Chunk::decode(raw).unwrap().encode(&mut out);
        assert_eq!(out, [0x3f, 9, 0, 7, 1, 2, 3, 0]);
    }

    #[test]
    fn the_high_bits_say_what_to_do_with_the_unknown() {
        assert_eq!(
            ChunkType(0x3f).unknown_action(),
            UnknownAction {
                skip: false,
                report: false
            }
        );
        assert_eq!(
            ChunkType(0x7f).unknown_action(),
            UnknownAction {
                skip: false,
                report: true
            }
        );
        assert_eq!(
            ChunkType(0xbf).unknown_action(),
            UnknownAction {
                skip: true,
                report: false
            }
        );
        assert_eq!(
            ChunkType(0xff).unknown_action(),
            UnknownAction {
                skip: true,
                report: true
            }
        );
    }
}
