//! What H.265 tells: where a picture ends (§7.4.2.4.4), and its frame rate (§7.3.2.2, §E.2.1).

use super::super::bits::Bits;
use super::h264::skip_picture;
use super::{FrameRate, Part, Slice};

/// nal_unit_type, nuh_layer_id; and the first byte after the header of two.
fn header(nal: &[u8]) -> Option<(u8, u8, u8)> {
    let &[first, second, body, ..] = nal else { return None };
    Some((first >> 1 & 0x3f, (first & 1) << 5 | second >> 3, body))
}

pub(super) fn is_irap(nal: &[u8]) -> bool {
    header(nal).is_some_and(|(kind, _, _)| (16..=23).contains(&kind))
}

/// §7.4.2.4.4: after the last VCL NAL unit of a picture, the first of these begins an access unit: parameter sets, a delimiter,
/// prefix SEI, the reserved types 41 to 44 and 48 to 55, and the first slice segment of a picture; all of layer 0.
pub(super) fn part(nal: &[u8]) -> Part {
    match header(nal) {
        // first_slice_segment_in_pic_flag
        Some((0..=31, 0, body)) => Part::Slice(Slice {
            first: body & 0x80 != 0,
            idr: false,
            reference: false,
        }),
        Some((32..=35 | 39 | 41..=44 | 48..=55, 0, _)) => Part::Before,
        _ => Part::Other,
    }
}

/// Of a sequence parameter set with timing.
pub(super) fn frame_rate(nal: &[u8]) -> Option<FrameRate> {
    let (33, 0, _) = header(nal)? else { return None };
    let (ticks, scale) = timing(&mut Bits::of_nal(&nal[2..]))?;
    FrameRate::checked(scale, ticks)
}

/// vui_num_units_in_tick and vui_time_scale (§7.3.2.2.1, §E.2.1).
fn timing(bits: &mut Bits) -> Option<(u32, u32)> {
    bits.skip(4)?;
    let sub_layers = bits.u(3)?;
    bits.skip(1)?;
    skip_profile(bits, sub_layers)?;
    bits.ue()?;
    if bits.ue()? == 3 {
        bits.skip(1)?;
    }
    bits.skip_golomb(2)?;
    if bits.flag()? {
        bits.skip_golomb(4)?;
    }
    bits.skip_golomb(2)?;
    let order_bits = bits.ue()?.checked_add(4)?;
    let ordered = if bits.flag()? { sub_layers + 1 } else { 1 };
    bits.skip_golomb(3 * ordered)?;
    bits.skip_golomb(6)?;
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.flag()? {
        bits.skip(8)?;
        bits.skip_golomb(2)?;
        bits.skip(1)?;
    }
    skip_reference_sets(bits)?;
    if bits.flag()? {
        let pictures = bits.ue().filter(|&pictures| pictures <= 32)?;
        bits.skip(usize::try_from(pictures * (order_bits.min(16) + 1)).ok()?)?;
    }
    bits.skip(2)?;
    if !bits.flag()? {
        return None;
    }
    skip_picture(bits)?;
    bits.skip(3)?;
    if bits.flag()? {
        bits.skip_golomb(4)?;
    }
    if !bits.flag()? {
        return None;
    }
    Some((bits.u(32)?, bits.u(32)?))
}

/// profile_tier_level(1, sub_layers) (§7.3.3): 88 bits of profile and 8 of level, then those of the sub-layers.
fn skip_profile(bits: &mut Bits, sub_layers: u32) -> Option<()> {
    bits.skip(96)?;
    let mut more = 0;
    for _ in 0..sub_layers {
        more += if bits.flag()? { 88 } else { 0 };
        more += if bits.flag()? { 8 } else { 0 };
    }
    if sub_layers > 0 {
        // sub_layers is below 8.
        bits.skip(2 * (8 - sub_layers as usize))?;
    }
    bits.skip(more)
}

/// scaling_list_data (§7.3.4).
fn skip_scaling_lists(bits: &mut Bits) -> Option<()> {
    for size in 0..4 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.flag()? {
                bits.ue()?;
                continue;
            }
            let coefficients = 64.min(1 << (4 + 2 * size));
            bits.skip_golomb(coefficients + u32::from(size > 1))?;
        }
    }
    Some(())
}

/// The short-term reference picture sets (§7.3.7): a set may be told by how it differs from the one before.
fn skip_reference_sets(bits: &mut Bits) -> Option<()> {
    let sets = bits.ue().filter(|&sets| sets <= 64)?;
    let mut pictures = 0;
    for set in 0..sets {
        if set != 0 && bits.flag()? {
            bits.skip(1)?;
            bits.ue()?;
            let mut kept = 0;
            for _ in 0..=pictures {
                // used_by_curr_pic_flag, else use_delta_flag
                if bits.flag()? || bits.flag()? {
                    kept += 1;
                }
            }
            pictures = kept;
        } else {
            let (before, after) = (bits.ue()?, bits.ue()?);
            pictures = before.checked_add(after).filter(|&pictures| pictures <= 32)?;
            for _ in 0..pictures {
                bits.ue()?;
                bits.skip(1)?;
            }
        }
    }
    Some(())
}
