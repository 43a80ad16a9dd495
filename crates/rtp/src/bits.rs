//! Fields that are no whole bytes: `f(n)` and `ns(n)` of the AV1 RTP specification, §A.8.2.

/// The bits ended before the field did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfBits;

/// Reads from the high bit of the first byte on.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn bit(&mut self) -> Result<bool, OutOfBits> {
        let byte = self.bytes.get(self.at / 8).ok_or(OutOfBits)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// `f(n)`, at most 32 bits.
    pub(crate) fn bits(&mut self, n: u32) -> Result<u32, OutOfBits> {
        let mut value = 0;
        for _ in 0..n {
            value = value << 1 | u32::from(self.bit()?);
        }
        Ok(value)
    }

    /// `ns(n)`: a number below `n`, of which the smaller take a bit less.
    pub(crate) fn non_symmetric(&mut self, n: u32) -> Result<u32, OutOfBits> {
        let width = u32::BITS - n.leading_zeros();
        let short = (1 << width) - n;
        let value = self.bits(width - 1)?;
        if value < short {
            return Ok(value);
        }
        Ok((value << 1) - short + u32::from(self.bit()?))
    }
}

/// Appends bits; what is left of the last byte is zero.
#[derive(Debug)]
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// How many bits of the last byte are written; 0 if all are.
    used: u32,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, used: 0 }
    }

    pub(crate) fn bit(&mut self, bit: bool) {
        if self.used == 0 {
            self.out.push(0);
        }
        if let Some(last) = self.out.last_mut() {
            *last |= u8::from(bit) << (7 - self.used);
        }
        self.used = (self.used + 1) % 8;
    }

    /// The low `n` bits of `value`.
    pub(crate) fn bits(&mut self, n: u32, value: u32) {
        for i in (0..n).rev() {
            self.bit(value >> i & 1 == 1);
        }
    }

    /// `ns(n)` of a number below `n`.
    pub(crate) fn non_symmetric(&mut self, n: u32, value: u32) {
        let width = u32::BITS - n.leading_zeros();
        let short = (1 << width) - n;
        if value < short {
            self.bits(width - 1, value);
        } else {
            self.bits(width, value + short);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_symmetric_numbers_below_five() {
        // The table of §A.8.2.
        for (value, encoded) in ["00", "01", "10", "110", "111"].iter().enumerate() {
            let mut out = Vec::new();
            BitWriter::new(&mut out).non_symmetric(5, value as u32);
            let bits = format!("{:08b}", out[0]);
            assert_eq!(&bits[..encoded.len()], *encoded);
            assert_eq!(BitReader::new(&out).non_symmetric(5), Ok(value as u32));
        }
    }

    #[test]
    fn every_number_below_every_bound_survives() {
        for n in 1..=40 {
            let mut out = Vec::new();
            let mut writer = BitWriter::new(&mut out);
            (0..n).for_each(|value| writer.non_symmetric(n, value));
            let mut reader = BitReader::new(&out);
            assert!((0..n).all(|value| reader.non_symmetric(n) == Ok(value)));
        }
    }

    #[test]
    fn the_end_is_an_error() {
        let mut reader = BitReader::new(&[0xa5]);
        assert_eq!(reader.bits(4), Ok(0xa));
        assert_eq!(reader.bits(5), Err(OutOfBits));
    }
}
