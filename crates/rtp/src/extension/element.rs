//! [`Elements`]: the values in a header extension, of either form.
//!
//! ```text
//!  0                   1                     0                   1
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7       0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  ID   | len-1 | value …                 |      ID       |    length     | value …
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//!            one-byte form                            two-byte form
//! ```

use std::ops::Range;

use super::ExtensionId;

/// "Defined by profile" of the one-byte form (RFC 8285 §4.2).
pub(super) const ONE_BYTE: u16 = 0xbede;
/// "Defined by profile" of the two-byte form; the last four bits are the application's (RFC 8285 §4.3).
pub(super) const TWO_BYTE: u16 = 0x1000;
const APPBITS: u16 = 0x000f;

/// One value of a header extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// What it is, by the session description.
    pub id: ExtensionId,
    /// Up to 16 bytes, in the two-byte form up to 255.
    pub value: &'a [u8],
}

/// Iterates over the elements of a header extension. An element that reaches past the end ends it: those before it count.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    block: &'a [u8],
    at: usize,
    two_byte: bool,
}

impl<'a> Elements<'a> {
    /// The elements in `block`, the words behind the "defined by profile" field that `profile` is. None if that is
    /// neither form's.
    #[must_use]
    pub fn new(profile: u16, block: &'a [u8]) -> Self {
        match (profile, profile & !APPBITS) {
            (ONE_BYTE, _) => Self {
                block,
                at: 0,
                two_byte: false,
            },
            (_, TWO_BYTE) => Self {
                block,
                at: 0,
                two_byte: true,
            },
            _ => Self::none(),
        }
    }

    pub(crate) fn none() -> Self {
        Self {
            block: &[],
            at: 0,
            two_byte: false,
        }
    }

    /// The ids, and where in the block their values lie.
    pub(crate) fn ranges(mut self) -> impl Iterator<Item = (ExtensionId, Range<usize>)> {
        std::iter::from_fn(move || self.next_range())
    }

    fn next_range(&mut self) -> Option<(ExtensionId, Range<usize>)> {
        let next = if self.two_byte {
            self.next_two_byte()
        } else {
            self.next_one_byte()
        };
        // What ended the iteration once ends it for good.
        self.at = next.as_ref().map_or(self.block.len(), |(_, range)| range.end);
        next
    }

    fn next_one_byte(&mut self) -> Option<(ExtensionId, Range<usize>)> {
        while let Some(&byte) = self.block.get(self.at) {
            let start = self.at + 1;
            // §4.2: "An element with an ID value equal to 0 MUST NOT have an associated length field greater than 0. If
            // such an element is encountered, its length field MUST be ignored, processing of the entire extension MUST
            // terminate at that point".
            // "If the ID value 15 is used, its length field should be ignored, processing of the entire extension should
            // terminate at that point".
            return match byte >> 4 {
                0 if byte == 0 => {
                    self.at = start;
                    continue;
                }
                0 | 15 => None,
                id => self.element(id, start, usize::from(byte & 0x0f) + 1),
            };
        }
        None
    }

    fn next_two_byte(&mut self) -> Option<(ExtensionId, Range<usize>)> {
        while let Some(&id) = self.block.get(self.at) {
            // §4.3: padding is an id alone, without a length.
            if id == 0 {
                self.at += 1;
                continue;
            }
            let len = *self.block.get(self.at + 1)?;
            return self.element(id, self.at + 2, len.into());
        }
        None
    }

    fn element(&self, id: u8, start: usize, len: usize) -> Option<(ExtensionId, Range<usize>)> {
        let range = start..start + len;
        self.block.get(range.clone())?;
        Some((ExtensionId::new(id)?, range))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (id, range) = self.next_range()?;
        Some(Element {
            id,
            value: &self.block[range],
        })
    }
}

impl std::iter::FusedIterator for Elements<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(profile: u16, block: &[u8]) -> Vec<(u8, &[u8])> {
        Elements::new(profile, block).map(|e| (e.id.value(), e.value)).collect()
    }

    #[test]
    fn one_byte_elements_with_padding_between() {
        // RFC 8285 §4.2, the figure with three elements.
        let block = [0x10, 1, 0x21, 2, 3, 0, 0, 0x33, 4, 5, 6, 7];
        let expected: [(u8, &[u8]); 3] = [(1, &[1]), (2, &[2, 3]), (3, &[4, 5, 6, 7])];
        assert_eq!(read(ONE_BYTE, &block), expected);
    }

    #[test]
    fn two_byte_elements_may_be_empty() {
        // RFC 8285 §4.3, the figure with three elements; the application's bits mean nothing here.
        let block = [1, 0, 2, 1, 7, 0, 3, 4, 1, 2, 3, 4];
        let expected: [(u8, &[u8]); 3] = [(1, &[]), (2, &[7]), (3, &[1, 2, 3, 4])];
        assert_eq!(read(TWO_BYTE, &block), expected);
        assert_eq!(read(TWO_BYTE | 9, &block), expected);
        assert!(read(0x1100, &block).is_empty());
    }

    #[test]
    fn what_is_reserved_or_runs_past_the_end_ends_it() {
        let first: [(u8, &[u8]); 1] = [(1, &[9])];
        assert_eq!(read(ONE_BYTE, &[0x10, 9, 0xf0, 1, 0x10, 8]), first);
        assert_eq!(read(ONE_BYTE, &[0x10, 9, 0x01, 1, 0x10, 8]), first);
        assert_eq!(read(ONE_BYTE, &[0x10, 9, 0x22, 1, 2]), first);
        assert_eq!(read(TWO_BYTE, &[1, 1, 9, 2]), first);
        assert_eq!(read(TWO_BYTE, &[1, 1, 9, 2, 2, 0]), first);
        let mut past = Elements::new(ONE_BYTE, &[0x22, 1]);
        assert!(past.next().is_none() && past.next().is_none());
    }
}
