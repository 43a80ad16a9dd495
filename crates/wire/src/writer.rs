//! [`Writer`]: appends fields in network order to the caller's buffer.

/// Appends to a `Vec<u8>`; lengths that come before what they measure are written by [`Writer::length_u16`] and its
/// siblings, so no caller patches a length by hand.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// How many bytes the buffer holds, those before this writer included.
    #[must_use]
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Appends `len` zero bytes.
    pub fn zeros(&mut self, len: usize) {
        self.out.resize(self.out.len() + len, 0);
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// Appends a 16-bit number.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends the low 24 bits of a number.
    pub fn u24(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes()[1..]);
    }

    /// Appends a 32-bit number.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends the low 48 bits of a number.
    pub fn u48(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes()[2..]);
    }

    /// Appends a 64-bit number.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends what `fill` writes, behind its length in 8 bits.
    ///
    /// # Panics
    /// If `fill` writes more than 255 bytes: the caller bounds what it writes.
    pub fn length_u8(&mut self, fill: impl FnOnce(&mut Writer<'_>)) {
        self.length::<1>(fill);
    }

    /// Appends what `fill` writes, behind its length in 16 bits.
    ///
    /// # Panics
    /// If `fill` writes more than 65,535 bytes: the caller bounds what it writes.
    pub fn length_u16(&mut self, fill: impl FnOnce(&mut Writer<'_>)) {
        self.length::<2>(fill);
    }

    /// Appends what `fill` writes, behind its length in 24 bits.
    ///
    /// # Panics
    /// If `fill` writes 16 MiB or more: the caller bounds what it writes.
    pub fn length_u24(&mut self, fill: impl FnOnce(&mut Writer<'_>)) {
        self.length::<3>(fill);
    }

    fn length<const N: usize>(&mut self, fill: impl FnOnce(&mut Writer<'_>)) {
        let start = self.out.len();
        self.zeros(N);
        fill(&mut Writer { out: self.out });
        let len = (self.out.len() - start - N).to_be_bytes();
        let (overflow, low) = len.split_at(len.len() - N);
        assert!(
            overflow.iter().all(|&byte| byte == 0),
            "the vector fits its {N}-byte length"
        );
        self.out[start..start + N].copy_from_slice(low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_nest() {
        let mut out = vec![0xff];
        Writer::new(&mut out).length_u24(|w| {
            w.u16(1);
            w.length_u8(|w| w.u32(2));
        });
        assert_eq!(out, [0xff, 0, 0, 7, 0, 1, 4, 0, 0, 0, 2]);
    }
}
