//! NAL units out of a byte stream (H.264 and H.265, annex B).
//!
//! ```text
//!  leading zeros · 00 00 01 · NAL unit · trailing zeros · 00 00 01 · NAL unit …
//! ```
//!
//! A NAL unit contains neither 00 00 01 nor 00 00 00, and does not end with 00: zeros before a start code are no part of it.

use super::super::Error;
use super::super::source::Source;
use super::MAX_LEN;
use bytes::{Buf, Bytes, BytesMut};
use std::io::Read;

const CHUNK_LEN: usize = 32 * 1024;

/// Reads NAL units.
pub struct NalUnits<R> {
    source: Source<R>,
    /// What was read and is not yet given out: a NAL unit without its start code, once there was one.
    buffer: BytesMut,
    /// How far `buffer` has no start code.
    searched: usize,
    begun: bool,
    ended: bool,
}

impl<R: Read> NalUnits<R> {
    /// Nothing is read yet.
    pub fn new(inner: R) -> Self {
        Self {
            source: Source::new(inner),
            buffer: BytesMut::new(),
            searched: 0,
            begun: false,
            ended: false,
        }
    }

    /// Where the next NAL unit, or the zeros before it, begin, in bytes from the file's start.
    pub fn offset(&self) -> u64 {
        self.source.offset() - self.buffer.len() as u64
    }

    /// The next NAL unit, without start code and trailing zeros, and not empty; `None` at the end of the file.
    ///
    /// # Errors
    /// If the file does not begin with a start code, or a NAL unit is larger than [`MAX_LEN`].
    pub fn next_nal(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.begun && !self.begin()? {
            return Ok(None);
        }
        loop {
            let found = find_start_code(&self.buffer[self.searched..]).map(|at| self.searched + at);
            let nal = match found {
                Some(end) => {
                    let nal = self.buffer.split_to(end).freeze();
                    self.buffer.advance(3);
                    nal
                }
                None if self.ended => self.buffer.split().freeze(),
                None => {
                    self.searched = self.buffer.len().saturating_sub(2);
                    self.read_more()?;
                    continue;
                }
            };
            self.searched = 0;
            let len = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            if len != 0 {
                return Ok(Some(nal.slice(..len)));
            }
            if found.is_none() {
                return Ok(None);
            }
        }
    }

    /// Drops the first start code and the zeros before it; false if the file is empty.
    fn begin(&mut self) -> Result<bool, Error> {
        let mut zeros = 0_u64;
        loop {
            match self.buffer.iter().position(|&byte| byte != 0) {
                Some(at) if self.buffer[at] == 1 && zeros + at as u64 >= 2 => {
                    self.buffer.advance(at + 1);
                    self.begun = true;
                    return Ok(true);
                }
                None if !self.ended => {
                    zeros += self.buffer.len() as u64;
                    self.buffer.clear();
                    self.read_more()?;
                }
                None if zeros == 0 && self.buffer.is_empty() => return Ok(false),
                Some(_) | None => {
                    return Err(Error::Invalid {
                        offset: 0,
                        expected: "a byte stream of H.264 or H.265: the start code 00 00 01",
                    });
                }
            }
        }
    }

    fn read_more(&mut self) -> Result<(), Error> {
        let len = self.buffer.len();
        if len >= MAX_LEN {
            return Err(Error::TooLarge {
                offset: self.offset(),
                what: "a NAL unit",
                size: len as u64,
                limit: MAX_LEN as u64,
            });
        }
        self.buffer.resize(len + CHUNK_LEN, 0);
        let filled = self.source.fill(&mut self.buffer[len..])?;
        self.buffer.truncate(len + filled);
        self.ended = filled < CHUNK_LEN;
        Ok(())
    }
}

/// The NAL units of an access unit in memory, without start codes, zeros after them, or what stands before the first.
pub fn nal_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = find_start_code(data).map(|at| &data[at + 3..]);
    std::iter::from_fn(move || {
        loop {
            let current = rest?;
            let end = find_start_code(current);
            rest = end.map(|at| &current[at + 3..]);
            let nal = &current[..end.unwrap_or(current.len())];
            let len = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            if len != 0 {
                return Some(&nal[..len]);
            }
        }
    })
}

/// Where the first 00 00 01 begins. Looks at every third byte as long as these are no part of one.
fn find_start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&[first, second, third]) = bytes.get(at..at + 3) {
        match (first, second, third) {
            (0, 0, 1) => return Some(at),
            (_, _, 2..) => at += 3,
            (_, 1.., 0) => at += 2,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_codes_are_found_wherever_they_are() {
        for before in 0..8 {
            for filler in [0, 1, 2, 0xff] {
                let mut bytes = vec![filler; before];
                bytes.extend([0, 0, 1, 9]);
                // With zeros before, or a one, the first is where two zeros come before a one.
                let naive = bytes.windows(3).position(|window| window == [0, 0, 1]);
                assert_eq!(find_start_code(&bytes), naive, "{bytes:?}");
            }
        }
        assert_eq!(find_start_code(&[0, 0, 2, 0, 0]), None);
    }
}
