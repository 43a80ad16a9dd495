//! Opus packets that stand for missing ones: they ask a decoder to conceal what was lost (RFC 7845 §4.1).

use crate::payload::opus::MAX_DURATION;

/// The table-of-contents byte that begins every packet (RFC 6716 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Toc(pub u8);

impl Toc {
    /// Mode, bandwidth and frame size, 0 to 31: table 2.
    pub fn config(self) -> u8 {
        self.0 >> 3
    }

    /// Whether the frames are stereo.
    pub fn stereo(self) -> bool {
        self.0 & 4 != 0
    }

    /// How frames are packed, 0 to 3.
    pub fn code(self) -> u8 {
        self.0 & 3
    }

    /// The samples of one frame, at 48 kHz.
    pub fn frame_samples(self) -> u32 {
        match self.config() {
            // SILK: 10, 20, 40 and 60 ms.
            config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config % 4)],
            // Hybrid: 10 and 20 ms.
            config @ 12..=15 => [480, 960][usize::from(config % 2)],
            // CELT: 2.5, 5, 10 and 20 ms.
            config => 120 << (config % 4),
        }
    }
}

/// A packet whose frames have no bytes: the decoder conceals that much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concealment {
    bytes: [u8; 2],
    len: usize,
}

impl Concealment {
    /// The packet.
    pub fn packet(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Packets that stand for missing ones after a packet that began with `last`, for `missing` samples at 48 kHz.
///
/// RFC 7845 §4.1: "Synthesized TOC sequences SHOULD maintain the same mode, audio bandwidth, channel count, and frame
/// size as the previous packet"; changes of size come last. A rest below 2.5 ms is left out: "Only gaps that are a multiple
/// of 2.5 ms are repairable".
pub fn conceal(last: Toc, missing: u64) -> impl Iterator<Item = Concealment> {
    let mut left = missing;
    std::iter::from_fn(move || {
        let toc = fitting(last, left)?;
        let frame = toc.frame_samples();
        let frames = u32::try_from(left / u64::from(frame))
            .unwrap_or(u32::MAX)
            .min(MAX_DURATION / frame);
        left -= u64::from(frames * frame);
        Some(match frames {
            1 => Concealment {
                bytes: [toc.0, 0],
                len: 1,
            },
            // Code 3, constant bit rate, no padding: at most 48 frames.
            frames => Concealment {
                bytes: [toc.0 | 3, frames as u8],
                len: 2,
            },
        })
    })
}

/// The configuration, with code 0, whose frames fit into `left`: the last one, else of the same mode and bandwidth, else CELT.
fn fitting(last: Toc, left: u64) -> Option<Toc> {
    let with_config = |config: u8| Toc(config << 3 | last.0 & 4);
    let fits = |toc: &Toc| u64::from(toc.frame_samples()) <= left;
    let config = last.config();
    let sizes = if (12..16).contains(&config) { 2 } else { 4 };
    let first = config - config % sizes;
    let same_mode = (first..=config).rev().map(with_config).find(fits);
    same_mode.or_else(|| {
        let celt = match config {
            0..=3 => 16,
            // "wideband frames SHOULD be generated if switching from [medium-band] to CELT"
            4..=11 => 20,
            12..=13 => 24,
            14..=15 => 28,
            _ => first,
        };
        (celt..celt + 4).rev().map(with_config).find(fits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::opus::duration;

    fn concealed(last: Toc, missing: u64) -> Vec<Vec<u8>> {
        conceal(last, missing).map(|packet| packet.packet().to_vec()).collect()
    }

    /// RFC 7845 §4.1, a gap of 95 ms: "four 20 ms SILK frames, followed by a packet with a single 10 ms SILK frame, and
    /// finally a packet with a 5 ms CELT frame"; for CELT the same sizes, all of one mode.
    #[test]
    fn gaps_as_the_rfc_fills_them() {
        let gap = 95 * 48;
        assert_eq!(
            concealed(Toc(9 << 3), gap),
            [vec![9 << 3 | 3, 4], vec![8 << 3], vec![21 << 3]]
        );
        assert_eq!(
            concealed(Toc(31 << 3 | 4), gap),
            [vec![31 << 3 | 7, 4], vec![30 << 3 | 4], vec![29 << 3 | 4]]
        );
    }

    #[test]
    fn a_gap_is_filled_up_to_its_last_2_5_ms() {
        for config in 0..32 {
            for missing in [0, 119, 120, 5760, 5881, 48_000, 1_000_003] {
                let filled: u64 = conceal(Toc(config << 3), missing)
                    .map(|packet| u64::from(duration(packet.packet()).expect("a packet")))
                    .sum();
                assert_eq!(filled, missing / 120 * 120, "configuration {config}, {missing} samples");
            }
        }
    }
}
