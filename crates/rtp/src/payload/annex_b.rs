//! NAL units in a byte stream: Annex B of ITU-T H.264 and of H.265.

use bytes::Bytes;

/// What stands before each NAL unit that we give out.
pub(super) const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The NAL units of an access unit in byte stream format, as slices of it. `None` if it does not begin with a start code
/// (of three bytes, and any number of zeros before).
pub(super) fn nal_units(access_unit: &Bytes) -> Option<NalUnits<'_>> {
    let start = start_code(access_unit, 0)?;
    if access_unit[..start].iter().any(|&byte| byte != 0) {
        return None;
    }
    Some(NalUnits {
        access_unit,
        at: Some(start + 3),
    })
}

pub(super) struct NalUnits<'a> {
    access_unit: &'a Bytes,
    /// Behind a start code.
    at: Option<usize>,
}

impl Iterator for NalUnits<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            let start = self.at?;
            let next = start_code(self.access_unit, start);
            self.at = next.map(|next| next + 3);
            let unit = &self.access_unit[start..next.unwrap_or(self.access_unit.len())];
            // A NAL unit ends with a byte that is not zero: zeros are padding, or the first byte of a long start code.
            let zeros = unit.iter().rev().take_while(|&&byte| byte == 0).count();
            let end = start + unit.len() - zeros;
            if start < end {
                return Some(self.access_unit.slice(start..end));
            }
        }
    }
}

/// Where the next `00 00 01` at or behind `from` begins.
fn start_code(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(window) = bytes.get(at..at + 3) {
        match window {
            [0, 0, 1] => return Some(at),
            // The third byte rules out that a start code begins at any of the three.
            [_, _, 2..=255] => at += 3,
            [_, 1..=255, _] => at += 2,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let bytes = Bytes::copy_from_slice(bytes);
        Some(nal_units(&bytes)?.map(|unit| unit.to_vec()).collect())
    }

    #[test]
    fn units_end_where_start_codes_begin() {
        assert_eq!(split(&[0, 0, 1, 7, 0, 0, 0, 1, 8, 9]), Some(vec![vec![7], vec![8, 9]]));
        assert_eq!(
            split(&[0, 0, 0, 0, 0, 1, 7, 0, 0, 3, 1]),
            Some(vec![vec![7, 0, 0, 3, 1]])
        );
        assert_eq!(split(&[0, 0, 1, 7, 0, 0, 0, 0]), Some(vec![vec![7]]));
        assert_eq!(split(&[0, 0, 1, 0, 0, 1, 5]), Some(vec![vec![5]]));
        assert_eq!(split(&[0, 0, 1]), Some(vec![]));
        assert_eq!(split(&[0, 0, 1, 1, 0, 0, 1, 1]), Some(vec![vec![1], vec![1]]));
        for none in [&[][..], &[0, 0], &[7, 0, 0, 1, 5], &[0, 0, 2, 0, 0, 1]] {
            assert_eq!(split(none), None);
        }
    }
}
