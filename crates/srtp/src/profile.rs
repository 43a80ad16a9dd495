//! [`Profile`]: which algorithms protect the packets.

/// An SRTP protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2), as DTLS negotiates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `SRTP_AES128_CM_HMAC_SHA1_80`: what all WebRTC endpoints have (RFC 8827 §6.5).
    Aes128CmHmacSha1_80,
    /// `SRTP_AES128_CM_HMAC_SHA1_32`: SRTP packets have tags of 32 bits, SRTCP packets of 80.
    Aes128CmHmacSha1_32,
    /// `SRTP_AEAD_AES_128_GCM`.
    AeadAes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM`.
    AeadAes256Gcm,
}

impl Profile {
    /// All that there are here.
    pub const ALL: [Self; 4] = [
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
        Self::Aes128CmHmacSha1_80,
        Self::Aes128CmHmacSha1_32,
    ];

    /// The profile with this number in the registry of DTLS, if it is one of these.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.number() == number)
    }

    /// Its number in DTLS's registry.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Aes128CmHmacSha1_80 => 0x0001,
            Self::Aes128CmHmacSha1_32 => 0x0002,
            Self::AeadAes128Gcm => 0x0007,
            Self::AeadAes256Gcm => 0x0008,
        }
    }

    /// Its name there, as browsers' statistics give it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128CmHmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes128CmHmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The length of a master key, in bytes.
    #[must_use]
    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128CmHmacSha1_80 | Self::Aes128CmHmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// The length of a master salt, in bytes.
    #[must_use]
    pub fn salt_len(self) -> usize {
        match self {
            Self::Aes128CmHmacSha1_80 | Self::Aes128CmHmacSha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// How many bytes DTLS's exporter is asked for: keys and salts of both sides (RFC 5764 §4.2).
    #[must_use]
    pub fn keying_material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    /// By how many bytes an RTP packet grows.
    #[must_use]
    pub fn rtp_overhead(self) -> usize {
        match self {
            Self::Aes128CmHmacSha1_80 => 10,
            Self::Aes128CmHmacSha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// By how many bytes an RTCP packet grows: E flag and index, and the tag.
    #[must_use]
    pub fn rtcp_overhead(self) -> usize {
        match self {
            // RFC 5764 §4.1.2: "RTCP auth_tag_length: 80", with either.
            Self::Aes128CmHmacSha1_80 | Self::Aes128CmHmacSha1_32 => 4 + 10,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 4 + 16,
        }
    }

    /// True for the profiles that encrypt and authenticate at once.
    pub(crate) fn is_aead(self) -> bool {
        match self {
            Self::Aes128CmHmacSha1_80 | Self::Aes128CmHmacSha1_32 => false,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => true,
        }
    }
}
