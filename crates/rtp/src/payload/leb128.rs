//! Numbers of variable length, as AV1 writes sizes (AV1 bitstream specification, §4.10.5): seven bits a byte, the lowest
//! first, the high bit set on all but the last.

use super::PayloadError;
use peerline_wire::Reader;

/// A number's bytes at their shortest, and how many of them count.
pub(super) fn encode(value: u32) -> ([u8; 5], usize) {
    let (mut bytes, mut len, mut rest) = ([0; 5], 0, value);
    loop {
        bytes[len] = (rest & 0x7f) as u8;
        rest >>= 7;
        len += 1;
        if rest == 0 {
            return (bytes, len);
        }
        bytes[len - 1] |= 0x80;
    }
}

/// How many bytes [`encode`] makes.
pub(super) fn len(value: usize) -> usize {
    (value.max(1).ilog2() / 7 + 1) as usize
}

/// The value has at most 32 bits, in at most 8 bytes.
pub(super) fn read(r: &mut Reader<'_>) -> Result<usize, PayloadError> {
    let mut value = 0_u64;
    for index in 0..8 {
        let byte = r.u8()?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| PayloadError::Malformed)?;
            return Ok(value as usize);
        }
    }
    Err(PayloadError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive() {
        for value in [0, 1, 127, 128, 300, 16383, 16384, 1 << 21, u32::MAX] {
            let (bytes, count) = encode(value);
            assert_eq!(count, len(value as usize), "{value}");
            let mut r = Reader::new(&bytes[..count]);
            assert_eq!((read(&mut r), r.remaining()), (Ok(value as usize), 0));
        }
        assert_eq!(encode(300), ([0xac, 0x02, 0, 0, 0], 2));
        // Longer than needed, and too long.
        assert_eq!(read(&mut Reader::new(&[0x85, 0x80, 0x00])), Ok(5));
        assert_eq!(
            read(&mut Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f])),
            Err(PayloadError::Malformed)
        );
        assert_eq!(read(&mut Reader::new(&[0x80; 9])), Err(PayloadError::Malformed));
        assert_eq!(read(&mut Reader::new(&[0x80])), Err(PayloadError::Truncated));
    }
}
