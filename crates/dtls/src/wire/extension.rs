//! Extensions of the hello messages (RFC 5246 §7.4.1.4) and the bodies of those this crate uses.

use peerline_wire::{Reader, Writer};

use super::connection_id::ConnectionId;
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
        /// `cookie` (RFC 8446 §4.2.2).
        COOKIE = 44,
        /// `key_share` (RFC 8446 §4.2.8).
        KEY_SHARE = 51,
        /// `connection_id` (RFC 9146 §3).
        CONNECTION_ID = 54,
        /// `rrc` (RFC 9853 §3).
        RETURN_ROUTABILITY_CHECK = 61,
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

    /// `supported_versions` of a client.
    #[must_use]
    pub fn supported_versions(versions: &[ProtocolVersion]) -> Self {
        Self::new(ExtensionType::SUPPORTED_VERSIONS, |w| {
            w.length_u8(|w| versions.iter().for_each(|version| w.u16(version.0)));
        })
    }

    /// `supported_versions` of a server.
    #[must_use]
    pub fn selected_version(version: ProtocolVersion) -> Self {
        Self::new(ExtensionType::SUPPORTED_VERSIONS, |w| w.u16(version.0))
    }

    /// `key_share` of a ClientHello.
    #[must_use]
    pub fn key_shares(shares: &[KeyShare<'_>]) -> Self {
        Self::new(ExtensionType::KEY_SHARE, |w| {
            w.length_u16(|w| shares.iter().for_each(|share| share.encode(w)));
        })
    }

    /// `key_share` of a ServerHello.
    #[must_use]
    pub fn key_share(share: &KeyShare<'_>) -> Self {
        Self::new(ExtensionType::KEY_SHARE, |w| share.encode(w))
    }

    /// `key_share` of a HelloRetryRequest.
    #[must_use]
    pub fn selected_group(group: NamedGroup) -> Self {
        Self::new(ExtensionType::KEY_SHARE, |w| w.u16(group.0))
    }

    /// `cookie`.
    #[must_use]
    pub fn cookie(cookie: &[u8]) -> Self {
        Self::new(ExtensionType::COOKIE, |w| w.length_u16(|w| w.bytes(cookie)))
    }

    /// `connection_id`: what the receiver is to write into its records.
    #[must_use]
    pub fn connection_id(id: &ConnectionId) -> Self {
        Self::new(ExtensionType::CONNECTION_ID, |w| id.encode(w))
    }

    /// `rrc`, whose body is empty.
    #[must_use]
    pub fn return_routability_check() -> Self {
        Self::new(ExtensionType::RETURN_ROUTABILITY_CHECK, |_| ())
    }

    /// The body of the first extension of a kind.
    #[must_use]
    pub fn find(extensions: &[Self], extension_type: ExtensionType) -> Option<&[u8]> {
        extensions
            .iter()
            .find(|extension| extension.extension_type == extension_type)
            .map(|extension| &extension.data[..])
    }

    /// True if an extension comes twice.
    #[must_use]
    pub fn has_duplicates(extensions: &[Self]) -> bool {
        let mut kinds: Vec<_> = extensions.iter().map(|e| e.extension_type).collect();
        kinds.sort_unstable();
        kinds.windows(2).any(|pair| pair[0] == pair[1])
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
        Self::decode_vector(r)
    }

    /// Reads a list of extensions behind its 16-bit length, which is there even if the list is empty.
    ///
    /// # Errors
    /// [`ParseError`] if a length runs past its vector.
    pub fn decode_vector(r: &mut Reader<'_>) -> Result<Vec<Self>, ParseError> {
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
        if !extensions.is_empty() {
            Self::encode_vector(extensions, w);
        }
    }

    /// Appends a list of extensions behind its length.
    pub fn encode_vector(extensions: &[Self], w: &mut Writer<'_>) {
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

/// One side's share of a key exchange (RFC 8446 §4.2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyShare<'a> {
    /// The group.
    pub group: NamedGroup,
    /// The public key, or what takes its place: at least one byte.
    pub key_exchange: &'a [u8],
}

impl<'a> KeyShare<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, ParseError> {
        let group = NamedGroup(r.u16()?);
        match r.length_u16()?.rest() {
            [] => Err(ParseError::BadLength),
            key_exchange => Ok(Self { group, key_exchange }),
        }
    }

    fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.group.0);
        w.length_u16(|w| w.bytes(self.key_exchange));
    }
}

/// Reads the body of a ClientHello's `key_share`. It may be empty.
///
/// # Errors
/// [`ParseError`] if it is not one list of shares.
pub fn key_shares(data: &[u8]) -> Result<Vec<KeyShare<'_>>, ParseError> {
    exactly(data, |r| {
        let mut list = r.length_u16()?;
        let mut shares = Vec::new();
        while !list.is_empty() {
            shares.push(KeyShare::decode(&mut list)?);
        }
        Ok(shares)
    })
}

/// Reads the body of a ServerHello's `key_share`.
///
/// # Errors
/// [`ParseError`] if it is not one share.
pub fn key_share(data: &[u8]) -> Result<KeyShare<'_>, ParseError> {
    exactly(data, KeyShare::decode)
}

/// Reads the body of a HelloRetryRequest's `key_share`.
///
/// # Errors
/// [`ParseError`] if it is not one group.
pub fn selected_group(data: &[u8]) -> Result<NamedGroup, ParseError> {
    exactly(data, |r| Ok(NamedGroup(r.u16()?)))
}

/// Reads the body of a server's `supported_versions`.
///
/// # Errors
/// [`ParseError`] if it is not one version.
pub fn selected_version(data: &[u8]) -> Result<ProtocolVersion, ParseError> {
    exactly(data, |r| Ok(ProtocolVersion(r.u16()?)))
}

/// Reads the body of `cookie`.
///
/// # Errors
/// [`ParseError`] if it is not one vector of at least one byte.
pub fn cookie(data: &[u8]) -> Result<&[u8], ParseError> {
    exactly(data, |r| match r.length_u16()?.rest() {
        [] => Err(ParseError::BadLength),
        cookie => Ok(cookie),
    })
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
    fn bodies_of_1_3_read_back_what_was_written() {
        let [a, b] = [&[1, 2, 3][..], &[4]].map(|key_exchange| KeyShare {
            group: NamedGroup::X25519,
            key_exchange,
        });
        assert_eq!(key_shares(&Extension::key_shares(&[a, b]).data), Ok(vec![a, b]));
        assert_eq!(key_shares(&Extension::key_shares(&[]).data), Ok(vec![]));
        assert_eq!(key_share(&Extension::key_share(&a).data), Ok(a));
        let group = NamedGroup::SECP384R1;
        assert_eq!(selected_group(&Extension::selected_group(group).data), Ok(group));
        let versions = [ProtocolVersion::DTLS_1_3, ProtocolVersion::DTLS_1_2];
        assert_eq!(
            supported_versions(&Extension::supported_versions(&versions).data).unwrap(),
            versions
        );
        assert_eq!(
            selected_version(&Extension::selected_version(versions[0]).data),
            Ok(versions[0])
        );
        assert_eq!(cookie(&Extension::cookie(b"crumb").data), Ok(&b"crumb"[..]));
        assert_eq!(cookie(&Extension::cookie(b"").data), Err(ParseError::BadLength));
        assert_eq!(key_share(&[0, 29, 0, 0]), Err(ParseError::BadLength));
        assert_eq!(key_shares(&[0, 5, 0, 29, 0, 2, 1]), Err(ParseError::Truncated));
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
