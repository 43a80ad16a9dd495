//! Bits of an H.264 or H.265 parameter set, most significant first, with their exponential-Golomb numbers.

/// Parameter sets are short; what is longer is not looked at.
const MAX_LEN: usize = 4096;

pub(super) struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

/// `None` is the end of the bytes, or a number that has no meaning.
impl Bits {
    /// Without the emulation prevention bytes: in 00 00 03 the 03 (H.264 §7.4.1, H.265 §7.4.2).
    pub(super) fn of_nal(nal: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(nal.len().min(MAX_LEN));
        let mut zeros = 0;
        for &byte in nal.iter().take(MAX_LEN) {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Self { bytes, at: 0 }
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// `u(count)`, of at most 32 bits.
    pub(super) fn u(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.at += count;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// `ue(v)`, below 2³² − 1.
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.u(zeros)?)
    }

    /// As many `ue(v)` or `se(v)`, which have the same length.
    pub(super) fn skip_golomb(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.ue().map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_emulation_prevention() {
        // 1, 010, 011, 00100 of table 9-2; then a stop.
        let mut bits = Bits::of_nal(&[0b1010_0110, 0b0100_0000]);
        assert_eq!(
            [bits.ue(), bits.ue(), bits.ue(), bits.ue()],
            [Some(0), Some(1), Some(2), Some(3)]
        );
        assert_eq!((bits.skip(4), bits.flag()), (Some(()), None));
        let mut bits = Bits::of_nal(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3]);
        assert_eq!((bits.u(24), bits.u(32), bits.u(1)), (Some(1), Some(0), None));
        // 15 zeros, then a one and 15 bits; 32 zeros begin no number.
        assert_eq!(Bits::of_nal(&[0, 1, 0, 2]).ue(), Some(0x7fff + 1));
        assert_eq!(Bits::of_nal(&[0, 0, 0, 0, 0xff]).ue(), None);
        assert_eq!(Bits::of_nal(&[0xff; 8]).skip(65), None);
    }
}
