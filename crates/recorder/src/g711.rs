//! µ-law from linear samples (G.711): what makes a file of PCM playable as PCMU.

/// Compresses a sample of 16 bits.
pub(crate) fn mulaw(sample: i16) -> u8 {
    // Of 14 bits, with the bias that makes every segment twice as wide as the one before.
    let magnitude = (i32::from(sample).abs().min(32_635) + 132) as u32;
    let exponent = 24 - magnitude.leading_zeros();
    let mantissa = magnitude >> (exponent + 3) & 0xf;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G.711 table 2a: the decoder's output values.
    fn linear(byte: u8) -> i16 {
        let (exponent, mantissa) = (!byte >> 4 & 7, i32::from(!byte & 0xf));
        let magnitude = (((mantissa << 3) + 132) << exponent) - 132;
        if byte & 0x80 == 0 {
            -magnitude as i16
        } else {
            magnitude as i16
        }
    }

    #[test]
    fn every_value_of_the_decoder_comes_back() {
        for byte in 0..=255 {
            // 0x7f is minus zero.
            let expected = if byte == 0x7f { 0xff } else { byte };
            assert_eq!(mulaw(linear(byte)), expected, "{byte:#x}");
        }
        assert_eq!([i16::MIN, i16::MAX, 0].map(mulaw), [0x00, 0x80, 0xff]);
    }

    #[test]
    fn the_nearest_value_is_chosen() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            let error = (i32::from(linear(mulaw(sample))) - i32::from(sample)).abs();
            let width = (i32::from(sample).abs() + 132) / 32 + 4;
            assert!(
                error <= width || sample.unsigned_abs() > 32_124,
                "{sample}: {error} of {width}"
            );
        }
    }
}
