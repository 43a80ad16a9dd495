//! AV1 temporal units as files want them (the AV1 bitstream specification, §5; for the configuration, "AV1 Codec ISO Media
//! File Format Binding" §2.3). RTP carries no temporal delimiters; IVF needs them, WebM must have none.

use crate::picture::{Bits, Size};

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// A temporal delimiter: its header, which says that a size follows, and that size, 0.
const DELIMITER: [u8; 2] = [TEMPORAL_DELIMITER << 3 | 2, 0];

/// Where a temporal unit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Ivf,
    WebM,
}

/// Appends the OBUs of a temporal unit, all with their sizes, with or without a delimiter before them. `None`, and perhaps
/// something appended, if they are cut off.
pub(crate) fn write(unit: &[u8], container: Container, out: &mut Vec<u8>) -> Option<()> {
    if container == Container::Ivf {
        out.extend_from_slice(&DELIMITER);
    }
    let mut rest = unit;
    while !rest.is_empty() {
        let (obu, after) = Obu::parse(rest)?;
        rest = after;
        // Of no use in a file, or against its rules: what IVF needs stands above.
        if !matches!(obu.kind, TEMPORAL_DELIMITER | TILE_LIST | PADDING) {
            obu.write(out);
        }
    }
    Some(())
}

/// What a sequence header tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SequenceHeader {
    pub(crate) size: Size,
    /// The AV1CodecConfigurationRecord: four bytes, then the OBU.
    pub(crate) configuration: Vec<u8>,
}

/// The first sequence header of a temporal unit: with it decoding can begin.
pub(crate) fn sequence_header(unit: &[u8]) -> Option<SequenceHeader> {
    let mut rest = unit;
    while !rest.is_empty() {
        let (obu, after) = Obu::parse(rest)?;
        if obu.kind == SEQUENCE_HEADER {
            return parse_sequence_header(&obu);
        }
        rest = after;
    }
    None
}

/// An open bitstream unit (§5.3).
struct Obu<'a> {
    kind: u8,
    /// The first byte, and the second if there is an extension.
    header: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Obu<'a> {
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let first = *bytes.first()?;
        if first & 0x80 != 0 {
            return None;
        }
        let (header, rest) = bytes.split_at_checked(if first & 4 != 0 { 2 } else { 1 })?;
        let (payload, after) = if first & 2 != 0 {
            let (size, rest) = leb128(rest)?;
            rest.split_at_checked(size)?
        } else {
            (rest, &[][..])
        };
        Some((
            Self {
                kind: first >> 3 & 15,
                header,
                payload,
            },
            after,
        ))
    }

    /// Appends it with its size.
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.header[0] | 2);
        out.extend_from_slice(&self.header[1..]);
        let mut size = self.payload.len();
        while size > 0x7f {
            out.push(size as u8 | 0x80);
            size >>= 7;
        }
        out.push(size as u8);
        out.extend_from_slice(self.payload);
    }
}

/// §4.10.5: up to eight bytes with seven bits each, the lowest first.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().enumerate().take(8) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

/// §5.5: sequence_header_obu, up to and with color_config.
fn parse_sequence_header(obu: &Obu<'_>) -> Option<SequenceHeader> {
    let mut bits = Bits::new(obu.payload);
    let profile = bits.u(3)?;
    bits.u(1)?;
    let reduced = bits.flag()?;
    let (level, tier) = if reduced {
        (bits.u(5)?, 0)
    } else {
        operating_point(&mut bits)?
    };
    let (width_bits, height_bits) = (bits.u(4)? + 1, bits.u(4)? + 1);
    let size = Size {
        width: bits.u(width_bits)? + 1,
        height: bits.u(height_bits)? + 1,
    };
    if !reduced && bits.flag()? {
        bits.u(7)?;
    }
    bits.u(3)?;
    if !reduced {
        skip_tools(&mut bits)?;
    }
    bits.u(3)?;
    let color = color(&mut bits, profile)?;
    let mut configuration = vec![0x81, (profile << 5 | level) as u8, (tier << 7) as u8 | color, 0];
    obu.write(&mut configuration);
    Some(SequenceHeader { size, configuration })
}

/// seq_level_idx[0] and seq_tier[0], and all around them.
fn operating_point(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.u(32)?;
        bits.u(32)?;
        if bits.flag()? {
            skip_uvlc(bits)?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.u(5)? + 1);
            bits.u(32)?;
            bits.u(10)?;
        }
    }
    let display_delay = bits.flag()?;
    let mut first = None;
    for _ in 0..=bits.u(5)? {
        bits.u(12)?;
        let level = bits.u(5)?;
        let tier = if level > 7 { bits.u(1)? } else { 0 };
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.u(delay_bits)?;
            bits.u(delay_bits)?;
            bits.u(1)?;
        }
        if display_delay && bits.flag()? {
            bits.u(4)?;
        }
        first = first.or(Some((level, tier)));
    }
    first
}

/// §4.10.3: as many zeros as bits follow the one, but for 32 and more.
fn skip_uvlc(bits: &mut Bits<'_>) -> Option<()> {
    let mut zeros = 0;
    while !bits.flag()? {
        zeros += 1;
    }
    if zeros < 32 {
        bits.u(zeros)?;
    }
    Some(())
}

/// From enable_interintra_compound to order_hint_bits.
fn skip_tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.u(4)?;
    let order_hint = bits.flag()?;
    if order_hint {
        bits.u(2)?;
    }
    let forced_screen_content = if bits.flag()? { 2 } else { bits.u(1)? };
    if forced_screen_content > 0 && !bits.flag()? {
        bits.u(1)?;
    }
    if order_hint {
        bits.u(3)?;
    }
    Some(())
}

/// color_config (§5.5.2), as the third byte of the configuration has it: high_bitdepth, twelve_bit, monochrome,
/// chroma_subsampling_x and _y, chroma_sample_position (2 bits).
fn color(bits: &mut Bits<'_>, profile: u32) -> Option<u8> {
    let high = bits.u(1)?;
    let twelve = if profile == 2 && high == 1 { bits.u(1)? } else { 0 };
    let mono = if profile == 1 { 0 } else { bits.u(1)? };
    // Primaries, transfer and matrix.
    let description = if bits.flag()? {
        [bits.u(8)?, bits.u(8)?, bits.u(8)?]
    } else {
        [2; 3]
    };
    const SRGB: [u32; 3] = [1, 13, 0];
    let (x, y, position) = if mono == 1 {
        bits.u(1)?;
        (1, 1, 0)
    } else if description == SRGB {
        (0, 0, 0)
    } else {
        bits.u(1)?;
        let (x, y) = match profile {
            0 => (1, 1),
            1 => (0, 0),
            _ if twelve == 0 => (1, 0),
            _ => match bits.u(1)? {
                0 => (0, 0),
                _ => (1, bits.u(1)?),
            },
        };
        (x, y, if x & y == 1 { bits.u(2)? } else { 0 })
    };
    Some((high << 6 | twelve << 5 | mono << 4 | x << 3 | y << 2 | position) as u8)
}
