//! [`Writer`]: appends a header extension, in the form that fits.

use super::element::{ONE_BYTE, TWO_BYTE};
use super::{Extension, ExtensionId};
use crate::header::EXTENSION_HEADER_LEN;

/// Which forms a writer may use. One packet has one form (RFC 8285 §4.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// The one-byte form alone: what every receiver knows. Ids from 15 on, and values that are empty or longer than 16
    /// bytes, have no place in it.
    #[default]
    OneByte,
    /// The one-byte form where it has room for all elements, else the two-byte form. Only where both sides agreed on
    /// `a=extmap-allow-mixed`.
    Mixed,
    /// The two-byte form alone.
    TwoByte,
}

/// Adds elements to a packet's header extension; given out by [`Header::write`](crate::Header::write).
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Where the header extension begins; its first four bytes come last.
    start: usize,
    form: Form,
    two_byte: bool,
}

/// The length field counts words in 16 bits.
const MAX_BLOCK: usize = 4 * u16::MAX as usize;
const MAX_ONE_BYTE_VALUE: usize = 16;
const MAX_TWO_BYTE_VALUE: usize = 255;

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, form: Form) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            form,
            two_byte: form == Form::TwoByte,
        }
    }

    /// Adds a typed value. False, and nothing added, if the form has no place for it.
    pub fn add<'v>(&mut self, id: ExtensionId, value: &impl Extension<'v>) -> bool {
        self.add_with(id, |out| value.write(out))
    }

    /// Adds a value as bytes. False, and nothing added, if the form has no place for it.
    pub fn add_bytes(&mut self, id: ExtensionId, value: &[u8]) -> bool {
        // The commonest case, which each packet that leaves has: the length is known, and fits.
        if !self.two_byte && id.fits_one_byte() && (1..=MAX_ONE_BYTE_VALUE).contains(&value.len()) {
            if self.out.len() == self.start {
                self.out.extend_from_slice(&[0; EXTENSION_HEADER_LEN]);
            }
            if self.out.len() - self.start - EXTENSION_HEADER_LEN < MAX_BLOCK - MAX_ONE_BYTE_VALUE {
                self.out.push(id.value() << 4 | (value.len() - 1) as u8);
                self.out.extend_from_slice(value);
                return true;
            }
        }
        self.add_with(id, |out| out.extend_from_slice(value))
    }

    /// Adds what `write` appends. False, and nothing added, if the form has no place for it.
    pub fn add_with(&mut self, id: ExtensionId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.out.len() == self.start {
            self.out.extend_from_slice(&[0; EXTENSION_HEADER_LEN]);
        }
        let at = self.out.len();
        self.out.push(id.value());
        if self.two_byte {
            self.out.push(0);
        }
        let value_at = self.out.len();
        write(self.out);
        let len = self.out.len() - value_at;
        let fits = self.fit(id, at, len) && self.out.len() - self.start - EXTENSION_HEADER_LEN <= MAX_BLOCK;
        if !fits {
            let element = if self.two_byte { 2 } else { 1 } + len;
            let before = self.out.len() - element;
            let empty = before == self.start + EXTENSION_HEADER_LEN;
            self.out.truncate(if empty { self.start } else { before });
        }
        fits
    }

    /// Completes the element at `at`, whose id and value are written: its length, and the form it asks for.
    fn fit(&mut self, id: ExtensionId, at: usize, len: usize) -> bool {
        if !self.two_byte {
            if id.fits_one_byte() && (1..=MAX_ONE_BYTE_VALUE).contains(&len) {
                self.out[at] = id.value() << 4 | (len - 1) as u8;
                return true;
            }
            if self.form == Form::OneByte || len > MAX_TWO_BYTE_VALUE {
                return false;
            }
            self.out.insert(at + 1, 0);
            self.widen(at);
        }
        let Ok(len) = u8::try_from(len) else { return false };
        // The elements before it have moved, if they were widened: the value is still the last.
        let at = self.out.len() - usize::from(len) - 2;
        self.out[at..at + 2].copy_from_slice(&[id.value(), len]);
        true
    }

    /// Turns the elements before `end` into the two-byte form. They are few, so each moves what follows it.
    fn widen(&mut self, mut end: usize) {
        self.two_byte = true;
        let mut at = self.start + EXTENSION_HEADER_LEN;
        while at < end {
            let byte = self.out[at];
            let len = (byte & 0x0f) + 1;
            self.out[at] = byte >> 4;
            self.out.insert(at + 1, len);
            at += 2 + usize::from(len);
            end += 1;
        }
    }

    /// Pads to whole words and writes what comes first. False if nothing was added: then there is no header extension.
    pub(crate) fn finish(self) -> bool {
        let Self {
            out, start, two_byte, ..
        } = self;
        if out.len() == start {
            return false;
        }
        let block = out.len() - start - EXTENSION_HEADER_LEN;
        out.resize(start + EXTENSION_HEADER_LEN + block.next_multiple_of(4), 0);
        let words = block.div_ceil(4) as u16;
        let profile = if two_byte { TWO_BYTE } else { ONE_BYTE };
        out[start..start + 2].copy_from_slice(&profile.to_be_bytes());
        out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, elements: &[(u8, &[u8])]) -> (Vec<bool>, Vec<u8>) {
        let mut out = vec![0xee];
        let mut writer = Writer::new(&mut out, form);
        let added = elements
            .iter()
            .map(|(id, value)| writer.add_bytes(ExtensionId::new(*id).unwrap(), value))
            .collect();
        writer.finish();
        (added, out.split_off(1))
    }

    #[test]
    fn the_form_is_the_smallest_that_is_allowed() {
        let small: [(u8, &[u8]); 2] = [(1, &[1]), (14, &[2, 3])];
        let one_byte = [0xbe, 0xde, 0, 2, 0x10, 1, 0xe1, 2, 3, 0, 0, 0];
        assert_eq!(written(Form::OneByte, &small).1, one_byte);
        assert_eq!(written(Form::Mixed, &small).1, one_byte);
        let two_byte = [0x10, 0, 0, 2, 1, 1, 1, 14, 2, 2, 3, 0];
        assert_eq!(written(Form::TwoByte, &small).1, two_byte);
    }

    #[test]
    fn a_late_element_widens_those_before_it() {
        let mixed: [(u8, &[u8]); 4] = [(1, &[1]), (2, &[2, 3]), (15, &[4]), (3, &[])];
        let expected = [0x10, 0, 0, 3, 1, 1, 1, 2, 2, 2, 3, 15, 1, 4, 3, 0];
        assert_eq!(written(Form::Mixed, &mixed), (vec![true; 4], expected.to_vec()));
        let (added, out) = written(Form::OneByte, &mixed);
        assert_eq!(added, [true, true, false, false]);
        assert_eq!(out, [0xbe, 0xde, 0, 2, 0x10, 1, 0x21, 2, 3, 0, 0, 0]);
    }

    #[test]
    fn what_fits_no_form_leaves_nothing() {
        assert_eq!(written(Form::Mixed, &[(1, &[0; 256])]), (vec![false], vec![]));
        assert_eq!(
            written(Form::OneByte, &[(1, &[0; 17]), (15, &[1])]),
            (vec![false; 2], vec![])
        );
        let (added, out) = written(Form::TwoByte, &[(1, &[0; 256]), (2, &[7])]);
        assert_eq!((added, out), (vec![false, true], vec![0x10, 0, 0, 1, 2, 1, 7, 0]));
    }
}
