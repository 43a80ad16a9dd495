//! Extensions of the hello messages (RFC 5246 §7.4.1.4) and the bodies of those this crate uses.

use peerline_wire::{Reader, Writer};

use super::{NamedGroup, ParseError, ProtocolVersion, SignatureScheme, SrtpProfile, exactly, number, numbers_u16};

number! {
    /// The kind of an extension.
    ExtensionType(u16) {
        /// `supported_groups` (RFC 8422 §5.1.1).
        SUPPORTED_GROUPS = 10,
        /// `ec_point_formats` (RFC 8422 §5.1.2).
        EC_POINT_FORMATS = 11,
        /// `signature_algorithms` (RFC 5246 §7.4.1.4.1).
        SIGNATURE_ALGORITHMS = 13,
        /// `use_srtp` (RFC 5764 §4.1.1).
        USE_SRTP = 14,
        /// `extended_master_secret` (RFC 7627 §5.1).
        EXTENDED_MASTER_SECRET = 23,
        /// `supported_versions` (RFC 8446 §4.2.1).
        SUPPORTED_VERSIONS = 43,
        /// `key_share` (RFC 8446 §4.2.8).
        KEY_SHARE = 51,
        /// `renegotiation_info` (RFC 5746 §3.2).
        RENEGOTIATION_INFO = 0xff01,
    }
}

/// One extension, its body not looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its kind.
    pub extension_type: ExtensionType,
    /// Its body.
    pub data: Vec<u8>,
}

impl Extension {
    /// An extension with the body that `fill` writes.
    pub fn new(extension_type: ExtensionType, fill: impl FnOnce(&mut Writer<'_>)) -> Self {
        let mut data = Vec::new();
        fill(&mut Writer::new(&mut data));
        Self { extension_type, data }
    }

    /// `renegotiation_info` of an initial handshake: an empty `renegotiated_connection` (RFC 5746 §3.2).
    #[must_use]
    pub fn renegotiation_info() -> Self {
        Self::new(ExtensionType::RENEGOTIATION_INFO, |w| w.u8(0))
    }

    /// `extended_master_secret`, whose body is empty.
    #[must_use]
    pub fn extended_master_secret() -> Self {
        Self::new(ExtensionType::EXTENDED_MASTER_SECRET, |_| ())
    }

    /// `ec_point_formats` with the one format that is left: uncompressed (RFC 8422 §5.1.2).
    #[must_use]
    pub fn ec_point_formats() -> Self {
        Self::new(ExtensionType::EC_POINT_FORMATS, |w| w.length_u8(|w| w.u8(UNCOMPRESSED)))
    }

    /// `supported_groups`.
    #[must_use]
    pub fn supported_groups(groups: &[NamedGroup]) -> Self {
        Self::new(ExtensionType::SUPPORTED_GROUPS, |w| {
            w.length_u16(|w| groups.iter().for_each(|group| w.u16(group.0)));
        })
    }

    /// `signature_algorithms`.
    #[must_use]
    pub fn signature_algorithms(schemes: &[SignatureScheme]) -> Self {
        Self::new(ExtensionType::SIGNATURE_ALGORITHMS, |w| {
            w.length_u16(|w| schemes.iter().for_each(|scheme| w.u16(scheme.0)));
        })
    }

    /// `use_srtp` with an empty MKI.
    #[must_use]
    pub fn use_srtp(profiles: &[SrtpProfile]) -> Self {
        Self::new(ExtensionType::USE_SRTP, |w| {
            w.length_u16(|w| profiles.iter().for_each(|profile| w.u16(profile.0)));
            w.length_u8(|_| ());
        })
    }

    /// Reads a list of extensions behind its 16-bit length. No list at all reads as an empty one.
    ///
    /// # Errors
    /// [`ParseError`] if a length runs past its vector.
    pub fn decode_list(r: &mut Reader<'_>) -> Result<Vec<Self>, ParseError> {
        // RFC 5246 §7.4.1.2: "The presence of extensions can be detected by determining whether there are bytes
        // following the compression_methods at the end of the ClientHello."
        if r.is_empty() {
            return Ok(Vec::new());
        }
        let mut list = r.length_u16()?;
        let mut extensions = Vec::new();
        while !list.is_empty() {
            let extension_type = ExtensionType(list.u16()?);
            let data = list.length_u16()?.rest().to_vec();
            extensions.push(Self { extension_type, data });
        }
        Ok(extensions)
    }

    /// Appends a list of extensions behind its length, or nothing if there are none.
    pub fn encode_list(extensions: &[Self], w: &mut Writer<'_>) {
        if extensions.is_empty() {
            return;
        }
        w.length_u16(|w| {
            for extension in extensions {
                w.u16(extension.extension_type.0);
                w.length_u16(|w| w.bytes(&extension.data));
            }
        });
    }
}

/// The uncompressed point format (RFC 8422 §5.1.2).
const UNCOMPRESSED: u8 = 0;

/// The body of `use_srtp` (RFC 5764 §4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseSrtp {
    /// The profiles, in the client's order of preference; one in a ServerHello.
    pub profiles: Vec<SrtpProfile>,
    /// The master key identifier.
    pub mki: Vec<u8>,
}

impl UseSrtp {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`] if it is not one list of profiles and one MKI.
    pub fn decode(data: &[u8]) -> Result<Self, ParseError> {
        exactly(data, |r| {
            let profiles = numbers_u16(r.length_u16()?, SrtpProfile)?;
            let mki = r.length_u8()?.rest().to_vec();
            Ok(Self { profiles, mki })
        })
    }
}

/// Reads the body of `supported_groups`.
///
/// # Errors
/// [`ParseError`] if it is not one list of at least one group.
pub fn supported_groups(data: &[u8]) -> Result<Vec<NamedGroup>, ParseError> {
    exactly(data, |r| numbers_u16(r.length_u16()?, NamedGroup))
}

/// Reads the body of `signature_algorithms`.
///
/// # Errors
/// [`ParseError`] if it is not one list of at least one scheme.
pub fn signature_algorithms(data: &[u8]) -> Result<Vec<SignatureScheme>, ParseError> {
    exactly(data, |r| numbers_u16(r.length_u16()?, SignatureScheme))
}

/// Reads the body of a ClientHello's `supported_versions`.
///
/// # Errors
/// [`ParseError`] if it is not one list of at least one version.
pub fn supported_versions(data: &[u8]) -> Result<Vec<ProtocolVersion>, ParseError> {
    exactly(data, |r| numbers_u16(r.length_u8()?, ProtocolVersion))
}

/// Reads the body of `ec_point_formats`: true if uncompressed points are among them.
///
/// # Errors
/// [`ParseError`] if it is not one list of at least one format.
pub fn offers_uncompressed_points(data: &[u8]) -> Result<bool, ParseError> {
    exactly(data, |r| {
        let formats = r.length_u8()?.rest();
        if formats.is_empty() {
            Err(ParseError::BadLength)
        } else {
            Ok(formats.contains(&UNCOMPRESSED))
        }
    })
}

/// Reads the body of `renegotiation_info`: `renegotiated_connection`.
///
/// # Errors
/// [`ParseError`] if it is not one vector.
pub fn renegotiation_info(data: &[u8]) -> Result<&[u8], ParseError> {
    exactly(data, |r| Ok(r.length_u8()?.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_read_back_what_was_written() {
        let groups = [NamedGroup::X25519, NamedGroup(0x6399)];
        assert_eq!(
            supported_groups(&Extension::supported_groups(&groups).data).unwrap(),
            groups
        );
        let schemes = [SignatureScheme::ED25519, SignatureScheme::RSA_PKCS1_SHA256];
        assert_eq!(
            signature_algorithms(&Extension::signature_algorithms(&schemes).data).unwrap(),
            schemes
        );
        let srtp = UseSrtp::decode(&Extension::use_srtp(&[SrtpProfile::AEAD_AES_128_GCM]).data).unwrap();
        assert_eq!(
            srtp,
            UseSrtp {
                profiles: vec![SrtpProfile::AEAD_AES_128_GCM],
                mki: vec![]
            }
        );
        assert_eq!(renegotiation_info(&Extension::renegotiation_info().data), Ok(&[][..]));
        assert_eq!(
            offers_uncompressed_points(&Extension::ec_point_formats().data),
            Ok(true)
        );
    }

    #[test]
    fn bodies_are_read_exactly() {
        assert_eq!(supported_groups(&[0, 3, 0, 1, 2]), Err(ParseError::BadLength));
        assert_eq!(supported_groups(&[0, 0]), Err(ParseError::BadLength));
        assert_eq!(supported_groups(&[0, 2, 0, 1, 2]), Err(ParseError::TrailingBytes));
        assert_eq!(UseSrtp::decode(&[0, 2, 0, 1]), Err(ParseError::Truncated));
        assert_eq!(renegotiation_info(&[]), Err(ParseError::Truncated));
    }
}
