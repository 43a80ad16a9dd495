//! H.264's `profile-level-id` (RFC 6184 §8.1): which profiles are the same, and which level is answered.

use std::fmt;

use super::codecs::parameter;
use crate::media::parameters::RtpCodec;

/// A profile, whichever of its numbers names it (RFC 6184 §8.1, table 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    Extended,
    ConstrainedHigh,
    High,
    /// Another, by `profile_idc` and `profile-iop`.
    Other(u8, u8),
}

impl Profile {
    pub(super) fn of(codec: &RtpCodec) -> Self {
        let (idc, iop, _) = profile_level_id(codec);
        // "x" in the table is any bit, so each pattern is a mask and a value.
        let is = |mask: u8, value: u8| iop & mask == value;
        match idc {
            0x42 if is(0x4f, 0x40) => Self::ConstrainedBaseline,
            0x4d if is(0x8f, 0x80) => Self::ConstrainedBaseline,
            0x58 if is(0xcf, 0xc0) => Self::ConstrainedBaseline,
            0x42 if is(0x4f, 0x00) => Self::Baseline,
            0x58 if is(0xcf, 0x80) => Self::Baseline,
            0x4d if is(0xaf, 0x00) => Self::Main,
            0x58 if is(0xcf, 0x00) => Self::Extended,
            0x64 if iop == 0x0c => Self::ConstrainedHigh,
            0x64 if iop == 0x00 => Self::High,
            _ => Self::Other(idc, iop),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConstrainedBaseline => f.write_str("constrained-baseline"),
            Self::Baseline => f.write_str("baseline"),
            Self::Main => f.write_str("main"),
            Self::Extended => f.write_str("extended"),
            Self::ConstrainedHigh => f.write_str("constrained-high"),
            Self::High => f.write_str("high"),
            Self::Other(idc, iop) => write!(f, "{idc:02x}{iop:02x}"),
        }
    }
}

/// `profile_idc`, `profile-iop` and `level_idc`. "If no profile-level-id is present, the Baseline profile, without additional
/// constraints at Level 1, MUST be inferred" (RFC 6184 §8.1).
fn profile_level_id(codec: &RtpCodec) -> (u8, u8, u8) {
    parameter(codec, "profile-level-id")
        .filter(|text| text.len() == 6)
        .and_then(|text| u32::from_str_radix(text, 16).ok())
        .map_or((0x42, 0x00, 0x0a), |value| {
            let [_, idc, iop, level] = value.to_be_bytes();
            (idc, iop, level)
        })
}

/// How levels are ordered: level 1b, which is 11 with `constraint_set3_flag`, or 9, lies between 1 and 1.1.
fn rank((idc, iop, level): (u8, u8, u8)) -> u16 {
    let is_1b = level == 9 || (level == 11 && iop & 0x10 != 0 && matches!(idc, 0x42 | 0x4d | 0x58));
    if is_1b { 21 } else { u16::from(level) * 2 }
}

/// Our parameters as the answer to theirs: their profile, and our own level where both allow it to differ, else the lower one:
/// "the level … in the answer MUST be the same as or lower than the offered" (RFC 6184 §8.2.2).
pub(super) fn answer(ours: &RtpCodec, theirs: &RtpCodec) -> String {
    let may_differ = |codec: &RtpCodec| parameter(codec, "level-asymmetry-allowed") == Some("1");
    let (own, other) = (profile_level_id(ours), profile_level_id(theirs));
    let lower = if rank(own) <= rank(other) { own } else { other };
    let level = if may_differ(ours) && may_differ(theirs) {
        own
    } else {
        lower
    };
    let chosen = format!("{:02x}{:02x}{:02x}", other.0, other.1, level.2);
    let has_mode = |pair: &&str| !pair.trim_ascii().is_empty();
    ours.sdp_fmtp_line
        .split(';')
        .filter(has_mode)
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if name.trim_ascii().eq_ignore_ascii_case("profile-level-id") => {
                format!("profile-level-id={chosen}")
            }
            _ => pair.trim_ascii().to_owned(),
        })
        .collect::<Vec<_>>()
        .join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(fmtp: &str) -> RtpCodec {
        RtpCodec {
            mime_type: "video/H264".into(),
            clock_rate: 90_000,
            channels: None,
            sdp_fmtp_line: fmtp.into(),
        }
    }

    #[test]
    fn profiles_have_several_numbers() {
        let profile = |id: &str| Profile::of(&codec(&format!("profile-level-id={id}")));
        for same in ["42e01f", "42c02a", "42400a", "4d801f", "58c01f"] {
            assert_eq!(profile(same), Profile::ConstrainedBaseline, "{same}");
        }
        for same in ["42001f", "42A01f", "58801f"] {
            assert_eq!(profile(same), Profile::Baseline, "{same}");
        }
        assert_eq!(profile("4d001f"), Profile::Main);
        assert_eq!(profile("640c1f"), Profile::ConstrainedHigh);
        assert_eq!(profile("64001f"), Profile::High);
        assert_eq!(profile("f4001f"), Profile::Other(0xf4, 0));
        assert_eq!(Profile::of(&codec("packetization-mode=1")), Profile::Baseline);
    }

    #[test]
    fn the_level_is_ours_where_it_may_differ_and_else_the_lower() {
        let ours = codec("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
        let answer = |theirs: &str| answer(&ours, &codec(theirs));
        assert_eq!(
            answer("profile-level-id=42c00b;level-asymmetry-allowed=1"),
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42c01f"
        );
        assert!(answer("profile-level-id=42c00b").ends_with("profile-level-id=42c00b"));
        assert!(answer("profile-level-id=42e034").ends_with("profile-level-id=42e01f"));
    }
}
