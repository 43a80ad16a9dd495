//! How loud a packet's audio is: [`AudioLevel`] (RFC 6464) and, of each contributing source, [`CsrcAudioLevels`]
//! (RFC 6465).

use super::{Extension, ExtensionError, exactly};
use crate::InlineList;

/// How loud the packet's audio is (RFC 6464).
///
/// ```text
///  0 1 2 3 4 5 6 7
/// +-+-+-+-+-+-+-+-+
/// |V| level       |
/// +-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioLevel {
    /// In -dBov: 0 is the loudest, 127 is silence. More than 127 is written as 127.
    pub level: u8,
    /// The encoder believes that someone speaks. Means nothing where the extension was negotiated with `vad=off`.
    pub voice_activity: bool,
}

impl Extension<'_> for AudioLevel {
    const URI: &'static str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

    fn parse(value: &[u8]) -> Result<Self, ExtensionError> {
        let [byte] = exactly(value)?;
        Ok(Self {
            level: byte & 0x7f,
            voice_activity: byte & 0x80 != 0,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.voice_activity) << 7 | self.level.min(127));
    }
}

/// How loud each contributing source is, in the order of the packet's CSRCs (RFC 6465): in -dBov, as in [`AudioLevel`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CsrcAudioLevels(pub InlineList<u8, 15>);

impl Extension<'_> for CsrcAudioLevels {
    const URI: &'static str = "urn:ietf:params:rtp-hdrext:csrc-audio-level";

    fn parse(value: &[u8]) -> Result<Self, ExtensionError> {
        // §4: "implementations MUST NOT include more than 15 audio level values".
        if value.is_empty() || value.len() > 15 {
            return Err(ExtensionError::WrongLength);
        }
        Ok(Self(value.iter().map(|byte| byte & 0x7f).collect()))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.0.iter().map(|level| level.min(&127)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_seven_bits() {
        let silence = AudioLevel {
            level: 127,
            voice_activity: false,
        };
        assert_eq!(AudioLevel::parse(&[0x7f]), Ok(silence));
        let mut out = Vec::new();
        AudioLevel {
            level: 200,
            voice_activity: true,
        }
        .write(&mut out);
        assert_eq!(out, [0xff]);
        let levels = CsrcAudioLevels::parse(&[0x81, 2]).unwrap();
        assert_eq!(*levels.0, [1, 2]);
        assert!(CsrcAudioLevels::parse(&[0; 16]).is_err() && CsrcAudioLevels::parse(&[]).is_err());
    }
}
