//! [`Header`]: the fixed part of a packet, and how a packet is written.

use std::num::NonZeroU8;

use peerline_wire::Serial16;

use crate::extension::{Form, Writer};
use crate::{InlineList, PayloadType, Ssrc};

/// The fixed header's length in bytes.
pub(crate) const FIXED_LEN: usize = 12;
pub(crate) const CSRC_LEN: usize = 4;
/// "Defined by profile" and the length.
pub(crate) const EXTENSION_HEADER_LEN: usize = 4;

/// The fixed header of a packet (RFC 3550 §5.1) with its contributing sources. What is not here (padding, the header
/// extension) is written beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// What it marks is the payload format's affair: with video, a frame's last packet.
    pub marker: bool,
    /// What format the payload has.
    pub payload_type: PayloadType,
    /// The packet's place in its stream.
    pub sequence_number: Serial16,
    /// When the payload's first octet was sampled, in ticks of the format's clock; it wraps.
    pub timestamp: u32,
    /// The stream's source.
    pub ssrc: Ssrc,
    /// Who was mixed to make this packet.
    pub csrcs: Csrcs,
}

impl Header {
    /// A header without marker and contributing sources.
    #[must_use]
    pub fn new(payload_type: PayloadType, sequence_number: Serial16, timestamp: u32, ssrc: Ssrc) -> Self {
        Self {
            marker: false,
            payload_type,
            sequence_number,
            timestamp,
            ssrc,
            csrcs: Csrcs::default(),
        }
    }

    /// Appends the header, and behind it a header extension with what `extensions` adds; none if it adds nothing. The
    /// payload follows by appending it to `out`, and padding by [`pad`].
    pub fn write(&self, out: &mut Vec<u8>, form: Form, extensions: impl FnOnce(&mut Writer<'_>)) {
        let start = out.len();
        self.write_fixed(out);
        let mut writer = Writer::new(out, form);
        extensions(&mut writer);
        if writer.finish() {
            out[start] |= 0x10;
        }
    }

    /// Appends the header without a header extension.
    pub fn write_fixed(&self, out: &mut Vec<u8>) {
        let mut fixed = [0; FIXED_LEN];
        fixed[0] = 2 << 6 | self.csrcs.len() as u8;
        fixed[1] = u8::from(self.marker) << 7 | self.payload_type.0 & 0x7f;
        fixed[2..4].copy_from_slice(&self.sequence_number.0.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        fixed[8..].copy_from_slice(&self.ssrc.0.to_be_bytes());
        out.extend_from_slice(&fixed);
        for csrc in self.csrcs.iter() {
            out.extend_from_slice(&csrc.0.to_be_bytes());
        }
    }
}

/// Pads the packet that begins at `out[start]` with `len` bytes, its count among them (RFC 3550 §5.1). Once a packet.
///
/// # Panics
/// If no packet begins there.
pub fn pad(out: &mut Vec<u8>, start: usize, len: NonZeroU8) {
    out[start] |= 0x20;
    out.resize(out.len() + usize::from(len.get()) - 1, 0);
    out.push(len.get());
}

/// Up to 15 contributing sources.
///
/// > If there are more than 15 contributing sources, only 15 can be identified. (RFC 3550 §5.1)
pub type Csrcs = InlineList<Ssrc, 15>;
