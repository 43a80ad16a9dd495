//! [`VideoLayersAllocation`]: what a sender spends on each layer of each stream.
//!
//! ```text
//!                            +-+-+-+-+-+-+-+-+
//!                            |RID| NS| sl_bm |
//!                            +-+-+-+-+-+-+-+-+
//! if sl_bm is 0: the active  |sl0_bm |sl1_bm |  up to 2 bytes, for NS + 1 streams
//! spatial layers, by stream  +-+-+-+-+-+-+-+-+
//! temporal layers less one   |#tl|#tl|#tl|#tl|  up to 4 bytes, for each active spatial layer
//!                            +-+-+-+-+-+-+-+-+
//! kbit/s of each temporal    |    leb128 …   |
//! layer, with those below    +-+-+-+-+-+-+-+-+
//! of each spatial layer, or  |   width - 1   |  2 bytes
//! of none                    |  height - 1   |  2 bytes
//!                            | max framerate |  1 byte
//!                            +-+-+-+-+-+-+-+-+
//! ```

use peerline_wire::Reader;

use super::{Extension, ExtensionError};
use crate::InlineList;

/// What a sender spends on each of its layers, over all of its simulcast streams, for forwarders to choose from.
/// <http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VideoLayersAllocation {
    /// Which of the streams, 0 to 3, this is sent on. 0 if there are no layers.
    pub stream_index: u8,
    /// The active spatial layers, ordered by stream, then by spatial id. Of two with the same numbers the first counts.
    pub layers: InlineList<SpatialLayer, 16>,
}

/// An active spatial layer of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SpatialLayer {
    /// Which of the streams, 0 to 3.
    pub stream_index: u8,
    /// Which of the stream's spatial layers, 0 to 3.
    pub spatial_id: u8,
    /// For each temporal layer, at least one, what is needed to decode it: its kbit/s and those of the layers below.
    pub target_kbps: InlineList<u32, 4>,
    /// Written if all layers have it.
    pub resolution: Option<LayerResolution>,
}

/// A spatial layer's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LayerResolution {
    /// In pixels, less one.
    pub width_minus_one: u16,
    /// In pixels, less one.
    pub height_minus_one: u16,
    /// Frames per second, at most.
    pub max_framerate: u8,
}

const RESOLUTION_LEN: usize = 5;
/// 32 bits in groups of 7.
const LEB128_MAX_LEN: u32 = 5;

impl Extension<'_> for VideoLayersAllocation {
    const URI: &'static str = "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00";

    fn parse(value: &[u8]) -> Result<Self, ExtensionError> {
        // "If no layers are active": one zero byte.
        if value == [0] {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(value);
        let head = byte(&mut reader)?;
        let (stream_index, streams) = (head >> 6, (head >> 4 & 3) + 1);
        if stream_index >= streams {
            return Err(ExtensionError::OutOfRange);
        }
        let mut layers = active_layers(&mut reader, streams, head & 0x0f)?;
        temporal_layers(&mut reader, &mut layers)?;
        if reader.remaining() == RESOLUTION_LEN * layers.len() {
            resolutions(&mut reader, &mut layers)?;
        }
        if !reader.is_empty() {
            return Err(ExtensionError::WrongLength);
        }
        Ok(match layers.is_empty() {
            true => Self::default(),
            false => Self { stream_index, layers },
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let masks = self.masks();
        if masks == [0; 4] {
            out.push(0);
            return;
        }
        let last_mask = masks.iter().rposition(|mask| *mask != 0).unwrap_or(0);
        let stream_index = self.stream_index & 3;
        let last = last_mask.max(stream_index.into());
        let shared = masks[..=last].iter().all(|mask| *mask == masks[0]);
        out.push(stream_index << 6 | (last as u8) << 4 | if shared { masks[0] } else { 0 });
        if !shared {
            let pairs = masks[..=last].chunks(2);
            out.extend(pairs.map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0)));
        }

        let layers = || self.written_layers();
        let mut temporal = InlineList::<u8, 16>::default();
        layers().for_each(|layer| {
            temporal.push((layer.target_kbps.len().max(1) - 1) as u8);
        });
        for four in temporal.chunks(4) {
            out.push(
                four.iter()
                    .enumerate()
                    .fold(0, |byte, (i, count)| byte | count << (6 - 2 * i)),
            );
        }
        for layer in layers() {
            layer.target_kbps.iter().for_each(|kbps| write_leb128(out, *kbps));
            if layer.target_kbps.is_empty() {
                write_leb128(out, 0);
            }
        }
        if layers().all(|layer| layer.resolution.is_some()) {
            for resolution in layers().filter_map(|layer| layer.resolution) {
                out.extend_from_slice(&resolution.width_minus_one.to_be_bytes());
                out.extend_from_slice(&resolution.height_minus_one.to_be_bytes());
                out.push(resolution.max_framerate);
            }
        }
    }
}

impl VideoLayersAllocation {
    /// The active spatial layers of each stream.
    fn masks(&self) -> [u8; 4] {
        let mut masks = [0; 4];
        for layer in self.layers.iter().filter(|layer| layer.spatial_id < 4) {
            if let Some(mask) = masks.get_mut(usize::from(layer.stream_index)) {
                *mask |= 1 << layer.spatial_id;
            }
        }
        masks
    }

    /// The layers in the order of the masks' bits.
    fn written_layers(&self) -> impl Iterator<Item = &SpatialLayer> {
        (0..16u8).filter_map(|place| {
            let numbers = (place / 4, place % 4);
            self.layers
                .iter()
                .find(|layer| (layer.stream_index, layer.spatial_id) == numbers)
        })
    }
}

fn active_layers(
    reader: &mut Reader<'_>,
    streams: u8,
    shared: u8,
) -> Result<InlineList<SpatialLayer, 16>, ExtensionError> {
    let mut masks = [shared; 4];
    if shared == 0 {
        for pair in masks[..streams.into()].chunks_mut(2) {
            let byte = byte(reader)?;
            pair.iter_mut()
                .zip([byte >> 4, byte & 0x0f])
                .for_each(|(mask, bits)| *mask = bits);
        }
    }
    let mut layers = InlineList::default();
    for stream_index in 0..streams {
        let mask = masks[usize::from(stream_index)];
        for spatial_id in (0..4).filter(|id| mask >> id & 1 == 1) {
            layers.push(SpatialLayer {
                stream_index,
                spatial_id,
                ..SpatialLayer::default()
            });
        }
    }
    Ok(layers)
}

fn temporal_layers(reader: &mut Reader<'_>, layers: &mut InlineList<SpatialLayer, 16>) -> Result<(), ExtensionError> {
    let counts = reader
        .bytes(layers.len().div_ceil(4))
        .map_err(|_| ExtensionError::WrongLength)?;
    for (i, layer) in layers.iter_mut().enumerate() {
        for _ in 0..=(counts[i / 4] >> (6 - 2 * (i % 4)) & 3) {
            layer.target_kbps.push(read_leb128(reader)?);
        }
    }
    Ok(())
}

fn resolutions(reader: &mut Reader<'_>, layers: &mut InlineList<SpatialLayer, 16>) -> Result<(), ExtensionError> {
    for layer in layers.iter_mut() {
        let [a, b, c, d, max_framerate] = reader.array().map_err(|_| ExtensionError::WrongLength)?;
        layer.resolution = Some(LayerResolution {
            width_minus_one: u16::from_be_bytes([a, b]),
            height_minus_one: u16::from_be_bytes([c, d]),
            max_framerate,
        });
    }
    Ok(())
}

fn byte(reader: &mut Reader<'_>) -> Result<u8, ExtensionError> {
    reader.u8().map_err(|_| ExtensionError::WrongLength)
}

/// Seven bits a byte, the lowest first; the high bit says that more follow.
fn read_leb128(reader: &mut Reader<'_>) -> Result<u32, ExtensionError> {
    let mut value = 0u64;
    for group in 0..LEB128_MAX_LEN {
        let byte = byte(reader)?;
        value |= u64::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| ExtensionError::OutOfRange);
        }
    }
    Err(ExtensionError::OutOfRange)
}

fn write_leb128(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(stream_index: u8, spatial_id: u8, kbps: &[u32]) -> SpatialLayer {
        let target_kbps = kbps.iter().copied().collect();
        SpatialLayer {
            stream_index,
            spatial_id,
            target_kbps,
            resolution: None,
        }
    }

    #[track_caller]
    fn check(allocation: &VideoLayersAllocation, bytes: &[u8]) {
        let mut out = Vec::new();
        allocation.write(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(VideoLayersAllocation::parse(bytes).as_ref(), Ok(allocation));
    }

    #[test]
    fn one_stream_with_two_spatial_layers() {
        let layers = [layer(0, 0, &[50, 128]), layer(0, 1, &[300])];
        let mut allocation = VideoLayersAllocation {
            stream_index: 0,
            layers: layers.into_iter().collect(),
        };
        check(&allocation, &[0b0000_0011, 0b0100_0000, 50, 0x80, 1, 0xac, 2]);
        let size = |width, height| LayerResolution {
            width_minus_one: width,
            height_minus_one: height,
            max_framerate: 30,
        };
        allocation.layers[0].resolution = Some(size(319, 179));
        allocation.layers[1].resolution = Some(size(639, 359));
        let sizes = [1, 0x3f, 0, 179, 30, 2, 0x7f, 1, 0x67, 30];
        check(
            &allocation,
            &[&[0b0000_0011, 0b0100_0000, 50, 0x80, 1, 0xac, 2], &sizes[..]].concat(),
        );
    }

    #[test]
    fn streams_with_different_layers() {
        let layers = [layer(0, 0, &[100]), layer(2, 0, &[1]), layer(2, 2, &[7])];
        let allocation = VideoLayersAllocation {
            stream_index: 1,
            layers: layers.into_iter().collect(),
        };
        check(&allocation, &[0b0110_0000, 0x10, 0x50, 0, 100, 1, 7]);
    }

    #[test]
    fn three_simulcast_streams_share_a_mask() {
        let layers = (0..3).map(|stream| layer(stream, 0, &[9]));
        let allocation = VideoLayersAllocation {
            stream_index: 2,
            layers: layers.collect(),
        };
        check(&allocation, &[0b1010_0001, 0, 9, 9, 9]);
    }

    #[test]
    fn a_bitrate_has_32_bits() {
        let layers = [layer(0, 0, &[u32::MAX])].into_iter().collect();
        let allocation = VideoLayersAllocation {
            stream_index: 0,
            layers,
        };
        check(&allocation, &[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    }

    /// Of Chromium 156: pictures of 160 by 96, by VP8, as they begin and as their bitrate changes.
    #[test]
    fn a_browser_allocates_the_same() {
        let begins = SpatialLayer {
            resolution: Some(LayerResolution {
                width_minus_one: 159,
                height_minus_one: 95,
                max_framerate: 60,
            }),
            ..layer(0, 0, &[282])
        };
        for (layer, bytes) in [
            (begins, &[1, 0, 0x9a, 2, 0, 0x9f, 0, 0x5f, 0x3c][..]),
            (layer(0, 0, &[276]), &[1, 0, 0x94, 2]),
        ] {
            let allocation = VideoLayersAllocation {
                stream_index: 0,
                layers: [layer].into_iter().collect(),
            };
            check(&allocation, bytes);
        }
    }

    /// Of Chromium 156: pictures of 1280 by 768, ten a second, by AV1 in three sizes and three rates in one stream (L3T3), and by VP8 in
    /// three streams of three rates (L1T3), of which this is the third.
    #[test]
    fn a_browser_allocates_three_layers_the_same() {
        let of_a_stream = [
            (layer(0, 0, &[80, 104, 148]), (319, 191)),
            (layer(0, 1, &[239, 311, 443]), (639, 383)),
            (layer(0, 2, &[452, 588, 837]), (1279, 767)),
        ];
        let sized = of_a_stream.map(|(layer, (width_minus_one, height_minus_one))| SpatialLayer {
            resolution: Some(LayerResolution {
                width_minus_one,
                height_minus_one,
                max_framerate: 10,
            }),
            ..layer
        });
        let one = VideoLayersAllocation {
            stream_index: 0,
            layers: sized.into_iter().collect(),
        };
        let rates = [80, 104, 0x94, 1, 0xef, 1, 0xb7, 2, 0xbb, 3, 0xc4, 3, 0xcc, 4, 0xc5, 6];
        let sizes = [1, 0x3f, 0, 0xbf, 10, 2, 0x7f, 1, 0x7f, 10, 4, 0xff, 2, 0xff, 10];
        check(&one, &[&[0x07, 0xa8], &rates[..], &sizes].concat());
        let of_three = [
            layer(0, 0, &[64, 96, 160]),
            layer(1, 0, &[150, 225, 375]),
            layer(2, 0, &[300, 450, 750]),
        ];
        let three = VideoLayersAllocation {
            stream_index: 2,
            layers: of_three.into_iter().collect(),
        };
        let rates = [64, 96, 0xa0, 1, 0x96, 1, 0xe1, 1, 0xf7, 2, 0xac, 2, 0xc2, 3, 0xee, 5];
        check(&three, &[&[0xa1, 0xa8], &rates[..]].concat());
    }

    #[test]
    fn nothing_active_is_one_zero() {
        check(&VideoLayersAllocation::default(), &[0]);
    }

    #[test]
    fn what_is_cut_off_or_too_large_is_an_error() {
        for bytes in [
            &[][..],
            &[1],
            &[1, 0],
            &[1, 0, 0x80],
            &[1, 0, 1, 0],
            &[0x10, 0x11, 0x00, 1],
        ] {
            assert_eq!(
                VideoLayersAllocation::parse(bytes),
                Err(ExtensionError::WrongLength),
                "{bytes:?}"
            );
        }
        for bytes in [
            &[0x41, 0, 1][..],
            &[1, 0, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[1, 0, 0x80, 0x80, 0x80, 0x80, 0x80],
        ] {
            assert_eq!(
                VideoLayersAllocation::parse(bytes),
                Err(ExtensionError::OutOfRange),
                "{bytes:?}"
            );
        }
    }
}
