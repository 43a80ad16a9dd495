//! SRTP: a packet of 1,200 bytes, protected by each profile.

use peerline_srtp::{Config, KeyingMaterial, Outbound};

use crate::measurement::{Effort, Figure};
use crate::micro::nanoseconds;
use crate::stack::StackName;
use crate::{Result, floor};

/// Which algorithms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Gcm128,
    Gcm256,
    AesCm80,
    AesCm32,
}

impl Profile {
    pub(crate) const ALL: [Self; 4] = [Self::Gcm128, Self::Gcm256, Self::AesCm80, Self::AesCm32];
}

/// How a child calls the figure of a profile.
pub(crate) fn key_of(profile: Profile) -> &'static str {
    match profile {
        Profile::Gcm128 => "gcm-128",
        Profile::Gcm256 => "gcm-256",
        Profile::AesCm80 => "aes-cm-80",
        Profile::AesCm32 => "aes-cm-32",
    }
}

/// Without its tag.
const PACKET: usize = 1_200;

/// Nanoseconds to protect a packet, by each profile.
pub(crate) fn measure(stack: StackName, effort: Effort) -> Result<Vec<Figure>> {
    let protect: fn(Profile, Effort) -> Result<f64> = match stack {
        StackName::Peerline => peerline,
        #[cfg(feature = "peers")]
        StackName::RtcSrtp => rtc_srtp,
        StackName::Floor => return floor::protect(effort),
        _ => return Err("not in this program".into()),
    };
    Profile::ALL
        .into_iter()
        .map(|profile| Ok((key_of(profile), protect(profile, effort)?)))
        .collect()
}

/// A packet with this sequence number in `out`.
fn write(out: &mut Vec<u8>, sequence_number: u16) {
    let [high, low] = sequence_number.to_be_bytes();
    out.extend_from_slice(&[0x80, 0x60, high, low, 0, 0, 0, 0, 0, 0, 0, 1]);
    out.resize(PACKET, 7);
}

fn peerline(profile: Profile, effort: Effort) -> Result<f64> {
    let profile = match profile {
        Profile::Gcm128 => peerline_srtp::Profile::AeadAes128Gcm,
        Profile::Gcm256 => peerline_srtp::Profile::AeadAes256Gcm,
        Profile::AesCm80 => peerline_srtp::Profile::Aes128CmHmacSha1_80,
        Profile::AesCm32 => peerline_srtp::Profile::Aes128CmHmacSha1_32,
    };
    let keys = KeyingMaterial::from_exporter(profile, &vec![7; profile.keying_material_len()])?;
    let mut outbound = Outbound::new(&keys.client, Config::default());
    let mut packet = Vec::with_capacity(PACKET + 20);
    write(&mut packet, 0);
    let mut sequence_number = 0_u16;
    Ok(nanoseconds(effort, || {
        packet.truncate(PACKET);
        packet[2..4].copy_from_slice(&sequence_number.to_be_bytes());
        sequence_number = sequence_number.wrapping_add(1);
        outbound.protect_rtp(&mut packet, 0)
    }))
}

/// As `rtc` does it: the packet into a new buffer.
#[cfg(feature = "peers")]
fn rtc_srtp(profile: Profile, effort: Effort) -> Result<f64> {
    use rtc_srtp::context::Context;
    use rtc_srtp::protection_profile::ProtectionProfile;

    let profile = match profile {
        Profile::Gcm128 => ProtectionProfile::AeadAes128Gcm,
        Profile::Gcm256 => ProtectionProfile::AeadAes256Gcm,
        Profile::AesCm80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Profile::AesCm32 => ProtectionProfile::Aes128CmHmacSha1_32,
    };
    let (key, salt) = (vec![7; profile.key_len()], vec![7; profile.salt_len()]);
    let provider = rtc_crypto::default_provider()?;
    let mut context = Context::new(&key, &salt, profile, None, None, provider.crypto())?;
    let mut packet = Vec::with_capacity(PACKET);
    write(&mut packet, 0);
    let mut sequence_number = 0_u16;
    Ok(nanoseconds(effort, || {
        packet[2..4].copy_from_slice(&sequence_number.to_be_bytes());
        sequence_number = sequence_number.wrapping_add(1);
        context.encrypt_rtp(&packet).is_ok()
    }))
}
