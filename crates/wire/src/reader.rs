//! [`Reader`]: a cursor over received bytes that cannot run past their end.

use std::fmt;

/// The bytes ended before the field did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes end before the field does")
    }
}

impl std::error::Error for Truncated {}

/// A cursor over bytes in network order. Each read advances it, or fails and leaves it where it was.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// True when every byte has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left, without reading it.
    #[must_use]
    pub fn peek(&self) -> &'a [u8] {
        self.rest
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`Truncated`] if there are fewer.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Truncated> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`Truncated`] if there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    /// A cursor over the next `len` bytes alone.
    ///
    /// # Errors
    /// [`Truncated`] if there are fewer.
    pub fn sub(&mut self, len: usize) -> Result<Reader<'a>, Truncated> {
        self.bytes(len).map(Reader::new)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A 16-bit number.
    ///
    /// # Errors
    /// [`Truncated`] if fewer than two bytes are left.
    pub fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_be_bytes)
    }

    /// A 24-bit number.
    ///
    /// # Errors
    /// [`Truncated`] if fewer than three bytes are left.
    pub fn u24(&mut self) -> Result<u32, Truncated> {
        self.array().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// A 32-bit number.
    ///
    /// # Errors
    /// [`Truncated`] if fewer than four bytes are left.
    pub fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_be_bytes)
    }

    /// A 48-bit number.
    ///
    /// # Errors
    /// [`Truncated`] if fewer than six bytes are left.
    pub fn u48(&mut self) -> Result<u64, Truncated> {
        self.array()
            .map(|[a, b, c, d, e, f]| u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// A 64-bit number.
    ///
    /// # Errors
    /// [`Truncated`] if fewer than eight bytes are left.
    pub fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_be_bytes)
    }

    /// A cursor over a vector with an 8-bit length before it.
    ///
    /// # Errors
    /// [`Truncated`] if the vector claims more than is left.
    pub fn length_u8(&mut self) -> Result<Reader<'a>, Truncated> {
        self.atomically(|r| {
            let len = r.u8()?;
            r.sub(len.into())
        })
    }

    /// A cursor over a vector with a 16-bit length before it.
    ///
    /// # Errors
    /// [`Truncated`] if the vector claims more than is left.
    pub fn length_u16(&mut self) -> Result<Reader<'a>, Truncated> {
        self.atomically(|r| {
            let len = r.u16()?;
            r.sub(len.into())
        })
    }

    /// A cursor over a vector with a 24-bit length before it.
    ///
    /// # Errors
    /// [`Truncated`] if the vector claims more than is left.
    pub fn length_u24(&mut self) -> Result<Reader<'a>, Truncated> {
        self.atomically(|r| {
            let len = r.u24()?;
            r.sub(len as usize)
        })
    }

    fn atomically<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Truncated>) -> Result<T, Truncated> {
        let mut attempt = self.clone();
        let value = read(&mut attempt)?;
        *self = attempt;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_leaves_the_cursor_where_it_was() {
        let mut r = Reader::new(&[0, 9, 1, 2]);
        assert!(r.length_u16().is_err());
        assert_eq!(r.remaining(), 4);
        assert_eq!(r.u64(), Err(Truncated));
        assert_eq!(r.u16(), Ok(9));
        assert_eq!(r.rest(), [1, 2]);
        assert!(r.is_empty());
    }

    #[test]
    fn numbers_are_in_network_order() {
        let mut r = Reader::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(r.u24(), Ok(0x01_0203));
        assert_eq!(r.u48(), Ok(0x0405_0607_0809));
    }
}
