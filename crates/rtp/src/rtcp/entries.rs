//! [`Entries`]: blocks of one size in a packet, read as they are asked for.

use std::fmt;
use std::marker::PhantomData;

/// A block of one size.
pub trait Entry: Copy {
    /// Its length in bytes.
    const LEN: usize;

    /// Reads it from the first [`LEN`](Self::LEN) of these bytes.
    ///
    /// # Panics
    /// If there are fewer.
    fn read(bytes: &[u8]) -> Self;

    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);
}

/// Blocks of one size that lie end to end.
#[derive(Clone, Copy)]
pub struct Entries<'a, T> {
    bytes: &'a [u8],
    kind: PhantomData<T>,
}

impl<'a, T: Entry> Entries<'a, T> {
    /// As many blocks as fit into `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let whole = bytes.len() / T::LEN * T::LEN;
        Self {
            bytes: &bytes[..whole],
            kind: PhantomData,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / T::LEN
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The blocks, in the packet's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + DoubleEndedIterator + Clone + use<'a, T> {
        self.bytes.chunks_exact(T::LEN).map(T::read)
    }
}

impl<T> PartialEq for Entries<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for Entries<'_, T> {}

impl<T: Entry + fmt::Debug> fmt::Debug for Entries<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A number in a block.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
