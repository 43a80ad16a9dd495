//! What H.264 tells: where a picture ends (§7.4.1.2.3), and its frame rate (§7.3.2.1.1, §E.1.1).

use super::super::bits::Bits;
use super::{FrameRate, Part, Slice};

const EXTENDED_SAR: u32 = 255;

fn kind(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

pub(super) fn is_idr(nal: &[u8]) -> bool {
    kind(nal) == 5
}

/// §7.4.1.2.3: after the last slice of a primary coded picture, delimiters, parameter sets, SEI and types 14 to 18 begin
/// an access unit; and so does the first slice of another picture. That one is told by first_mb_in_slice = 0 (slices may come
/// in any order only in the Baseline and Extended profiles, where encoders do not do so), and by nal_unit_type and nal_ref_idc
/// (§7.4.1.2.4).
pub(super) fn part(nal: &[u8]) -> Part {
    match kind(nal) {
        // A slice's header begins with first_mb_in_slice, and zero is the one bit 1.
        1 | 2 | 5 => Part::Slice(Slice {
            first: nal.get(1).is_some_and(|byte| byte & 0x80 != 0),
            idr: is_idr(nal),
            reference: nal[0] & 0x60 != 0,
        }),
        6..=9 | 14..=18 => Part::Before,
        _ => Part::Other,
    }
}

/// Of a sequence parameter set with timing. A frame has two ticks, one a field (§E.2.1).
pub(super) fn frame_rate(nal: &[u8]) -> Option<FrameRate> {
    if kind(nal) != 7 {
        return None;
    }
    let (ticks, scale) = timing(&mut Bits::of_nal(&nal[1..]))?;
    FrameRate::checked(scale, ticks.checked_mul(2)?)
}

/// num_units_in_tick and time_scale.
fn timing(bits: &mut Bits) -> Option<(u32, u32)> {
    let profile = bits.u(8)?;
    bits.skip(16)?;
    bits.ue()?;
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        skip_chroma(bits)?;
    }
    bits.ue()?;
    match bits.ue()? {
        0 => bits.skip_golomb(1)?,
        1 => {
            bits.skip(1)?;
            bits.skip_golomb(2)?;
            let frames = bits.ue().filter(|&frames| frames < 256)?;
            bits.skip_golomb(frames)?;
        }
        _ => {}
    }
    bits.ue()?;
    bits.skip(1)?;
    bits.skip_golomb(2)?;
    if !bits.flag()? {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    if bits.flag()? {
        bits.skip_golomb(4)?;
    }
    if !bits.flag()? {
        return None;
    }
    skip_picture(bits)?;
    if !bits.flag()? {
        return None;
    }
    Some((bits.u(32)?, bits.u(32)?))
}

/// Of the VUI parameters those before timing, but for H.265's own: aspect ratio, overscan, video signal, chroma location.
pub(super) fn skip_picture(bits: &mut Bits) -> Option<()> {
    if bits.flag()? && bits.u(8)? == EXTENDED_SAR {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.skip(1)?;
    }
    if bits.flag()? {
        bits.skip(4)?;
        if bits.flag()? {
            bits.skip(24)?;
        }
    }
    if bits.flag()? {
        bits.skip_golomb(2)?;
    }
    Some(())
}

fn skip_chroma(bits: &mut Bits) -> Option<()> {
    let chroma_format = bits.ue()?;
    if chroma_format == 3 {
        bits.skip(1)?;
    }
    bits.skip_golomb(2)?;
    bits.skip(1)?;
    if !bits.flag()? {
        return Some(());
    }
    for list in 0..if chroma_format == 3 { 12 } else { 8 } {
        if bits.flag()? {
            skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
        }
    }
    Some(())
}

/// §7.3.2.1.1.1: a list ends early where its next scale becomes 0.
fn skip_scaling_list(bits: &mut Bits, len: u32) -> Option<()> {
    let mut scale = 8_i64;
    for _ in 0..len {
        let coded = i64::from(bits.ue()?);
        let delta = if coded % 2 == 1 { (coded + 1) / 2 } else { -coded / 2 };
        scale = (scale + delta).rem_euclid(256);
        if scale == 0 {
            break;
        }
    }
    Some(())
}
