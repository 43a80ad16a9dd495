//! A [`Read`] that knows its place in the file.

use super::Error;
use std::io::{self, Read};

/// The most that is allocated on the word of a file alone.
const TRUSTED_LEN: usize = 64 * 1024;

pub(super) struct Source<R> {
    inner: R,
    offset: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, offset: 0 }
    }

    /// How many bytes have been read.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    /// Reads until `buffer` is full or the file ends, and tells how many bytes there were.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    self.offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }

    pub(super) fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], Error> {
        match self.array_or_end(expected)? {
            Some(array) => Ok(array),
            None => Err(self.truncated(expected)),
        }
    }

    /// `None` if the file ended before the first byte.
    pub(super) fn array_or_end<const N: usize>(&mut self, expected: &'static str) -> Result<Option<[u8; N]>, Error> {
        let mut array = [0; N];
        match self.fill(&mut array)? {
            0 => Ok(None),
            filled if filled == N => Ok(Some(array)),
            _ => Err(self.truncated(expected)),
        }
    }

    /// Appends `len` bytes to `out`, which grows as they come.
    pub(super) fn append(&mut self, out: &mut Vec<u8>, len: usize, expected: &'static str) -> Result<(), Error> {
        out.reserve(len.min(TRUSTED_LEN));
        let count = (&mut self.inner).take(len as u64).read_to_end(out)?;
        self.offset += count as u64;
        if count == len {
            Ok(())
        } else {
            Err(self.truncated(expected))
        }
    }

    pub(super) fn bytes(&mut self, len: usize, expected: &'static str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.append(&mut bytes, len, expected)?;
        Ok(bytes)
    }

    pub(super) fn skip(&mut self, len: u64, expected: &'static str) -> Result<(), Error> {
        let count = io::copy(&mut (&mut self.inner).take(len), &mut io::sink())?;
        self.offset += count;
        if count == len {
            Ok(())
        } else {
            Err(self.truncated(expected))
        }
    }

    pub(super) fn truncated(&self, expected: &'static str) -> Error {
        Error::Truncated {
            offset: self.offset,
            expected,
        }
    }
}

/// What an array's `try_into` cannot fail for: fields of headers, at places that the compiler does not check.
pub(super) fn u16_le(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_le(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn u64_le(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_le(bytes, at)) | u64::from(u32_le(bytes, at + 4)) << 32
}
