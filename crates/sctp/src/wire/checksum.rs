//! The checksum: CRC-32C over the packet with its checksum field zeroed, in little-endian order (RFC 9260 §6.8 and
//! Appendix A).

const FIELD: std::ops::Range<usize> = 8..12;

/// The checksum of a packet, whatever its checksum field holds. A packet without room for the field has that of its
/// bytes.
#[must_use]
pub fn checksum(packet: &[u8]) -> u32 {
    match (packet.get(..FIELD.start), packet.get(FIELD.end..)) {
        (Some(before), Some(after)) => {
            crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]), after)
        }
        _ => crc32c::crc32c(packet),
    }
}

/// True if the checksum field holds the right value.
#[must_use]
pub fn verify_checksum(packet: &[u8]) -> bool {
    packet
        .get(FIELD)
        .is_some_and(|field| *field == checksum(packet).to_le_bytes())
}

/// Writes the checksum into its field; `packet` is a whole packet. Bytes too short for the field stay as they are.
pub fn write_checksum(packet: &mut [u8]) {
    let value = checksum(packet).to_le_bytes();
    if let Some(field) = packet.get_mut(FIELD) {
        field.copy_from_slice(&value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720 Appendix B.4, and the usual check string.
    #[test]
    fn published_values() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    /// An INIT from Chromium 156, as it left DTLS.
    #[test]
    fn a_browsers_packet_verifies_until_a_bit_flips() {
        let mut packet = crate::wire::chunk::tests::CHROMIUM_INIT;
        assert!(verify_checksum(&packet));
        packet[20] ^= 1;
        assert!(!verify_checksum(&packet));
        write_checksum(&mut packet);
        assert!(verify_checksum(&packet));
        assert!(!verify_checksum(&packet[..10]));
    }
}
