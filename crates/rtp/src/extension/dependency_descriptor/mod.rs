//! The dependency descriptor (AV1 RTP specification, appendix A): what a frame depends on and which decode targets need it,
//! for any codec, so that a forwarder chooses layers without a look at the payload.
//!
//! A packet names one of up to 64 [`Template`]s, which the first packet of a coded video sequence carries in a [`Structure`],
//! and what differs from it. So reading has state, and [`DescriptorReader`] holds it; each packet's reading is a [`Descriptor`]
//! that stands for itself, and [`Descriptor::write`] needs the structure only.
//!
//! ```
//! use peerline_rtp::Serial16;
//! use peerline_rtp::extension::dependency_descriptor::{Descriptor, DescriptorReader, Dti, Structure, Template};
//!
//! // One spatial layer, two temporal ones: keyframes, then base frames, then frames between them.
//! let template = |temporal_id, dtis: [Dti; 2], frame_diffs: &[u16]| Template {
//!     temporal_id,
//!     dtis: dtis.into_iter().collect(),
//!     frame_diffs: frame_diffs.iter().copied().collect(),
//!     ..Template::default()
//! };
//! let structure = Structure {
//!     decode_targets: 2,
//!     templates: vec![
//!         template(0, [Dti::Switch, Dti::Switch], &[]),
//!         template(0, [Dti::Switch, Dti::Switch], &[2]),
//!         template(1, [Dti::NotPresent, Dti::Discardable], &[1]),
//!     ],
//!     ..Structure::default()
//! };
//!
//! let mut reader = DescriptorReader::default();
//! let mut key = Descriptor::from_template(&structure, 0, Serial16(7));
//! key.active_decode_targets = Some(0b11);
//! let mut value = Vec::new();
//! key.write(&structure, true, &mut value)?;
//! assert_eq!(reader.read(&value), Ok(key));
//!
//! // From then on, three bytes do.
//! let delta = Descriptor::from_template(&structure, 2, Serial16(8));
//! value.clear();
//! delta.write(&structure, false, &mut value)?;
//! assert_eq!((value.len(), reader.read(&value)), (3, Ok(delta)));
//! # Ok::<(), peerline_rtp::extension::ExtensionError>(())
//! ```

mod read;
mod write;

use peerline_wire::Serial16;

pub use read::DescriptorReader;

use super::ExtensionError;
use crate::InlineList;

/// What stands for the extension in `a=extmap` (§A.9).
pub const URI: &str = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// Decode targets there can be (§A.8.2, `dt_cnt_minus_one` has 5 bits), and with them chains.
pub const MAX_DECODE_TARGETS: usize = 32;
/// Templates there can be: their ids have 6 bits.
pub const MAX_TEMPLATES: usize = 64;
/// Frames that a frame may refer to, here. The specification has no limit; decoders keep 8 frames.
pub const MAX_REFERENCES: usize = 16;
/// Spatial ids that there can be, here and in libwebrtc. AV1 has as many.
pub const MAX_SPATIAL_LAYERS: u8 = 4;
/// Temporal ids that there can be, here and in libwebrtc. AV1 has as many.
pub const MAX_TEMPORAL_LAYERS: u8 = 8;

/// What a frame is to a decode target (table A.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dti {
    /// The target has no use for the frame.
    #[default]
    NotPresent,
    /// The target shows the frame, and nothing depends on it.
    Discardable,
    /// Decoding may switch to the target with this frame.
    Switch,
    /// The target needs the frame.
    Required,
}

/// One [`Dti`] for each decode target.
pub type Dtis = InlineList<Dti, MAX_DECODE_TARGETS>;
/// How many frame numbers before the frame those that it refers to lie.
pub type FrameDiffs = InlineList<u16, MAX_REFERENCES>;
/// For each chain, how many frame numbers before the frame its last frame lies; 0 if there is none.
pub type ChainDiffs = InlineList<u8, MAX_DECODE_TARGETS>;

/// What many frames have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Template {
    /// The frames' spatial layer.
    pub spatial_id: u8,
    /// The frames' temporal layer.
    pub temporal_id: u8,
    /// What the frames are to each decode target.
    pub dtis: Dtis,
    /// Which frames they refer to, each 1 to 16.
    pub frame_diffs: FrameDiffs,
    /// Which frames the chains had last, each 0 to 15.
    pub chain_diffs: ChainDiffs,
}

/// The templates of a coded video sequence (§A.8.2, `template_dependency_structure`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// The first template's id, 0 to 63. The ids of one structure should not overlap those of the one before.
    pub template_id_offset: u8,
    /// How many decode targets there are, 1 to 32.
    pub decode_targets: u8,
    /// Ordered by spatial id, then by temporal id; 1 to 64. The first has both 0.
    pub templates: Vec<Template>,
    /// For each decode target the chain that protects it; none if there are no chains.
    pub protected_by: InlineList<u8, MAX_DECODE_TARGETS>,
    /// How many chains there are, at most as many as decode targets.
    pub chains: u8,
    /// Width and height of each spatial layer in pixels, less one; empty if not told.
    pub resolutions_minus_one: InlineList<(u16, u16), { MAX_SPATIAL_LAYERS as usize }>,
}

impl Structure {
    /// A mask with a bit for each decode target.
    #[must_use]
    pub fn all_decode_targets(&self) -> u32 {
        u32::MAX >> (32 - u32::from(self.decode_targets.clamp(1, 32)))
    }

    /// The highest spatial and temporal ids in a decode target (§A.8.2, `decode_target_layers`).
    #[must_use]
    pub fn decode_target_layers(&self, decode_target: usize) -> (u8, u8) {
        let present = self.templates.iter().filter(|template| {
            let dti = template.dtis.get(decode_target);
            dti.is_some_and(|dti| *dti != Dti::NotPresent)
        });
        present.fold((0, 0), |(spatial, temporal), template| {
            (spatial.max(template.spatial_id), temporal.max(template.temporal_id))
        })
    }

    /// The template with this id.
    #[must_use]
    pub fn template(&self, id: u8) -> Option<&Template> {
        let index = (id & 63).wrapping_sub(self.template_id_offset) & 63;
        self.templates.get(usize::from(index))
    }
}

/// What a packet says of its frame, with what its template says filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// The packet is the frame's first.
    pub start_of_frame: bool,
    /// The packet is the frame's last.
    pub end_of_frame: bool,
    /// The frame's place in decode order.
    pub frame_number: Serial16,
    /// The frame's layers, targets, references and chains. Here a reference can lie up to 4,096 frames back, and a chain's last
    /// frame up to 255.
    pub frame: Template,
    /// Which decode targets there are now, the first in the lowest bit, if the packet says so. A packet with a structure
    /// says all of them if it does not say which.
    pub active_decode_targets: Option<u32>,
    /// Width and height of the frame's spatial layer in pixels, less one, if the structure tells them.
    pub resolution_minus_one: Option<(u16, u16)>,
}

impl Descriptor {
    /// A frame of one packet that is as a template says, and says nothing of decode targets.
    ///
    /// # Panics
    /// If the structure has no such template.
    #[must_use]
    pub fn from_template(structure: &Structure, index: usize, frame_number: Serial16) -> Self {
        let frame = structure.templates[index];
        let spatial_id = usize::from(frame.spatial_id);
        Self {
            start_of_frame: true,
            end_of_frame: true,
            frame_number,
            frame,
            active_decode_targets: None,
            resolution_minus_one: structure.resolutions_minus_one.get(spatial_id).copied(),
        }
    }

    /// Changes the frame number of a written value, for forwarders that leave frames out. False if the value is too short.
    pub fn set_frame_number(value: &mut [u8], frame_number: Serial16) -> bool {
        let Some([_, number @ ..]) = value.first_chunk_mut::<3>() else {
            return false;
        };
        *number = frame_number.0.to_be_bytes();
        true
    }
}

#[cfg(test)]
mod tests;
