//! How a picture is to be turned.

use super::{Extension, ExtensionError, exactly};

/// How the picture is to be turned before it is shown (3GPP TS 26.114 §7.4.5).
///
/// ```text
///  0 1 2 3 4 5 6 7
/// +-+-+-+-+-+-+-+-+
/// |0 0 0 0 C F R R|
/// +-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VideoOrientation {
    /// The camera faces away from its user (C).
    pub back_facing: bool,
    /// The picture was flipped horizontally (F).
    pub flipped: bool,
    /// How far to turn it.
    pub rotation: Rotation,
}

/// How far to turn a picture clockwise for display.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// Not at all.
    #[default]
    None,
    /// By 90°.
    Quarter,
    /// By 180°.
    Half,
    /// By 270°.
    ThreeQuarters,
}

impl Rotation {
    /// 0, 90, 180 or 270.
    #[must_use]
    pub fn degrees(self) -> u16 {
        90 * self as u16
    }
}

impl Extension<'_> for VideoOrientation {
    const URI: &'static str = "urn:3gpp:video-orientation";

    fn parse(value: &[u8]) -> Result<Self, ExtensionError> {
        let [byte] = exactly(value)?;
        Ok(Self {
            back_facing: byte & 0b1000 != 0,
            flipped: byte & 0b0100 != 0,
            rotation: match byte & 0b0011 {
                0 => Rotation::None,
                1 => Rotation::Quarter,
                2 => Rotation::Half,
                _ => Rotation::ThreeQuarters,
            },
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.back_facing) << 3 | u8::from(self.flipped) << 2 | self.rotation as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_orientations_survive() {
        for byte in 0..16 {
            let orientation = VideoOrientation::parse(&[byte]).unwrap();
            assert_eq!(orientation.rotation.degrees(), u16::from(byte & 3) * 90);
            let mut out = Vec::new();
            orientation.write(&mut out);
            assert_eq!(out, [byte]);
        }
    }
}
