//! The checksum: CRC-32C over the packet with its checksum field zeroed, in little-endian order (RFC 9260 §6.8 and
//! Appendix A).

use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

const FIELD: std::ops::Range<usize> = 8..12;

/// The checksum of a packet, whatever its checksum field holds. A packet without room for the field has that of its
/// bytes.
#[must_use]
pub fn checksum(packet: &[u8]) -> u32 {
    let Some((header, body)) = packet.split_first_chunk::<{ FIELD.end }>() else {
        return crc32_iscsi(packet);
    };
    let mut header = *header;
    header[FIELD].fill(0);
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&header);
    digest.update(body);
    // 32 bits of it are in use.
    digest.finalize() as u32
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
    if let Some(field) = packet.get_mut(FIELD) {
        field.fill(0);
        let value = crc32_iscsi(packet).to_le_bytes();
        packet[FIELD].copy_from_slice(&value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720 Appendix B.4, and the usual check string.
    #[test]
    fn published_values() {
        assert_eq!(crc32_iscsi(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32_iscsi(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32_iscsi(b"123456789"), 0xe306_9283);
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

    /// The implementation works in blocks: every length, at every alignment, against one bit at a time.
    #[test]
    fn every_length_agrees_with_the_definition() {
        let bytes: Vec<u8> = (0..1500u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let mut register = u32::MAX;
        for (len, byte) in bytes.iter().enumerate() {
            assert_eq!(crc32_iscsi(&bytes[..len]), !register, "{len}");
            register ^= u32::from(*byte);
            for _ in 0..8 {
                register = (register >> 1) ^ (0x82f6_3b78 * (register & 1));
            }
        }
        for offset in 0..64 {
            let mut packet = bytes[offset..offset + 1188].to_vec();
            write_checksum(&mut packet);
            assert!(verify_checksum(&packet));
            assert_eq!(packet[FIELD], checksum(&packet).to_le_bytes());
        }
    }
}
