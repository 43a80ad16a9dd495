//! Header extensions (RFC 8285): small values that ride in each packet, under ids that the session description maps to URIs.
//!
//! | file | extension |
//! |---|---|
//! | [`Elements`], [`Writer`] | the one-byte and two-byte forms |
//! | `sdes_item` | [`Mid`], [`Rid`], [`RepairedRid`] |
//! | `audio_level` | [`AudioLevel`], [`CsrcAudioLevels`] |
//! | `time` | [`AbsSendTime`], [`AbsCaptureTime`], [`PlayoutDelay`] |
//! | `transport_sequence` | [`TransportSequence`], [`TransportSequenceV2`] |
//! | `video` | [`VideoOrientation`] |
//! | [`dependency_descriptor`] | what a frame depends on, for layers to be chosen without a look at the payload |
//! | `layers_allocation` | [`VideoLayersAllocation`] |

mod audio_level;
pub mod dependency_descriptor;
mod element;
mod layers_allocation;
mod sdes_item;
mod time;
mod transport_sequence;
mod video;
mod writer;

use std::fmt;

pub use audio_level::{AudioLevel, CsrcAudioLevels};
pub use element::{Element, Elements};
pub use layers_allocation::{LayerResolution, SpatialLayer, VideoLayersAllocation};
pub use sdes_item::{Mid, RepairedRid, Rid};
pub use time::{AbsCaptureTime, AbsSendTime, PlayoutDelay};
pub use transport_sequence::{FeedbackRequest, TransportSequence, TransportSequenceV2};
pub use video::{Rotation, VideoOrientation};
pub use writer::{Form, Writer};

/// A typed value of a header extension.
pub trait Extension<'a>: Sized {
    /// What stands for it in `a=extmap`.
    const URI: &'static str;

    /// Reads a value.
    ///
    /// # Errors
    /// [`ExtensionError`], by what is wrong.
    fn parse(value: &'a [u8]) -> Result<Self, ExtensionError>;

    /// Appends the value.
    fn write(&self, out: &mut Vec<u8>);
}

/// The number that stands for an extension's URI in one session: 1 to 14 in the one-byte form, 1 to 255 in the two-byte
/// form (RFC 8285 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtensionId(u8);

impl ExtensionId {
    /// `None` for 0, which stands for padding.
    #[must_use]
    pub const fn new(id: u8) -> Option<Self> {
        match id {
            0 => None,
            _ => Some(Self(id)),
        }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0
    }

    /// True if the one-byte form has room for this id. 15 is reserved there.
    #[must_use]
    pub const fn fits_one_byte(self) -> bool {
        self.0 < 15
    }
}

/// Why a value is not what its URI says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtensionError {
    /// Shorter or longer than its type allows.
    WrongLength,
    /// A text that is not UTF-8.
    NotUtf8,
    /// More layers, templates or references than there can be.
    OutOfRange,
    /// A frame refers to a template that is not known: the packet that carried it is missing, or yet to come.
    UnknownTemplate,
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongLength => "the extension has the wrong length",
            Self::NotUtf8 => "the extension's text is not UTF-8",
            Self::OutOfRange => "the extension's number is out of range",
            Self::UnknownTemplate => "the frame's template is not known",
        })
    }
}

impl std::error::Error for ExtensionError {}

/// A value of one length alone.
fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N], ExtensionError> {
    value.try_into().map_err(|_| ExtensionError::WrongLength)
}
