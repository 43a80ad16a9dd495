//! Header extensions (RFC 8285): small values that ride in each packet, under ids that the session description maps to URIs.

mod element;
mod writer;

pub use element::{Element, Elements};
pub use writer::{Form, Writer};

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
