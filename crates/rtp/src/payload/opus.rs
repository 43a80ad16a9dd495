//! Opus (RFC 7587): a payload is an Opus packet, as it is ([`AudioPacketizer`](super::audio::AudioPacketizer)). What
//! its first bytes tell (RFC 6716 §3.1) is read here.

/// The clock of Opus in RTP, whatever the encoder samples at (RFC 7587 §4.1), in Hz.
pub const CLOCK_RATE: u32 = 48_000;

/// No Opus packet lasts longer (RFC 6716 §3.2.5: 120 ms), in samples at [`CLOCK_RATE`].
pub const MAX_DURATION: u32 = 5760;

/// How long the sound of a packet lasts, in samples at [`CLOCK_RATE`]: what the RTP timestamp advances by. `None` if it is
/// no Opus packet.
#[must_use]
pub fn duration(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    // RFC 6716 §3.1, table 2: the size of each frame, by the five bits of "config".
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)], // SILK
        config @ 12..=15 => [480, 960][usize::from(config & 1)],            // Hybrid
        config => [120, 240, 480, 960][usize::from(config & 3)],            // CELT
    };
    // "c": one frame; two; two; a number of frames in the next byte, below a flag for padding and one for VBR.
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3f),
    };
    let samples = frame * frames;
    (samples > 0 && samples <= MAX_DURATION).then_some(samples)
}

/// True if the packet's sound is stereo. `None` if it is no Opus packet.
#[must_use]
pub fn is_stereo(packet: &[u8]) -> Option<bool> {
    packet.first().map(|toc| toc & 0x04 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_by_table_2_of_rfc_6716() {
        assert_eq!(
            duration(&[0x78, 7]),
            Some(960),
            "a hybrid frame of 20 ms, as browsers send"
        );
        assert_eq!(duration(&[0xfc, 7]), Some(960), "CELT, stereo");
        assert_eq!(duration(&[0x80]), Some(120), "CELT, 2.5 ms");
        assert_eq!(duration(&[0x00]), Some(480), "SILK, 10 ms");
        assert_eq!(duration(&[0x18]), Some(2880), "SILK, 60 ms");
        assert_eq!(duration(&[0x19]), Some(5760), "two of them");
        assert_eq!(duration(&[0x1b, 3]), None, "three are too long");
        assert_eq!(duration(&[0x83, 48]), Some(5760));
        assert_eq!(duration(&[0x83, 0]), None);
        assert_eq!(duration(&[0x83]), None);
        assert_eq!(duration(&[]), None);
        assert_eq!(is_stereo(&[0xfc]), Some(true));
        assert_eq!(is_stereo(&[0x78]), Some(false));
    }
}
