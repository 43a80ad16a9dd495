//! What a remote description says of the transport and of data channels, read once and checked whole.

use std::time::Duration;

use peerline_dtls as dtls;
use peerline_ice as ice;
use peerline_sctp::SignalledInit;
use peerline_sdp as sdp;
use peerline_sdp::attribute::{EndOfCandidates, Fingerprint, HashFunction, IceOptions, SctpInit, Setup};
use peerline_sdp::{IceParameters, MediaDescription, Section as _};

use super::applied::data_section;
use crate::candidate;
use crate::error::{Error, SdpFault};

/// What a remote description says of the one transport and of data channels.
pub(super) struct RemoteParameters {
    /// Which section speaks for the transport.
    pub(super) index: usize,
    pub(super) credentials: ice::Credentials,
    pub(super) ice_lite: bool,
    /// The pace of checks that the peer proposes.
    pub(super) pacing: Option<Duration>,
    /// The peer follows later nominations (draft-thatcher-ice-renomination).
    pub(super) renomination: bool,
    /// It takes DTLS inside checks.
    pub(super) sped: bool,
    pub(super) fingerprints: Vec<dtls::Fingerprint>,
    pub(super) setup: Setup,
    pub(super) data: Option<DataParameters>,
    pub(super) candidates: Vec<ice::Candidate>,
    pub(super) end_of_candidates: bool,
}

/// What a remote description says of data channels.
#[derive(Clone)]
pub(super) struct DataParameters {
    /// The largest message that the peer takes, in bytes.
    pub(super) max_message_size: usize,
    /// SCTP's port at the peer.
    pub(super) sctp_port: u16,
    /// SCTP's INIT, if the peer signals it (SNAP).
    pub(super) init: Option<SignalledInit>,
}

impl RemoteParameters {
    /// Reads the transport of a section, and the data section if it shares it. What neither it nor the session level says, the first section of its BUNDLE group says, which
    /// speaks for all of them (RFC 9143 §7.1.1).
    pub(super) fn read(
        description: &sdp::SessionDescription,
        (index, section): (usize, &MediaDescription),
    ) -> Result<Self, Error> {
        let tagged = tagged_section(description, section);
        let sections = || std::iter::once(section).chain(tagged);

        let mut ice = None;
        let mut fingerprints = Vec::new();
        let mut setup = None;
        let mut candidates = Vec::new();
        for section in sections() {
            ice = ice.or(description.ice_parameters(section).map_err(Error::SdpSyntax)?);
            let dtls = description.dtls_parameters(section).map_err(Error::SdpSyntax)?;
            if fingerprints.is_empty() {
                // Hashes that are unknown or too weak are left out (RFC 8122 §5).
                fingerprints = dtls.fingerprints.iter().filter_map(fingerprint_from_sdp).collect();
            }
            setup = setup.or(dtls.setup);
            for candidate in section.candidates() {
                candidates.extend(candidate::from_sdp(&candidate.map_err(Error::SdpSyntax)?));
            }
        }
        let ice = ice.ok_or(Error::SdpSemantics(SdpFault::MissingIceCredentials))?;
        if fingerprints.is_empty() {
            return Err(Error::SdpSemantics(SdpFault::MissingFingerprint));
        }
        Ok(Self {
            index,
            ice_lite: ice.lite,
            pacing: ice.pacing.map(|pacing| Duration::from_millis(pacing.into())),
            renomination: ice.options.contains(IceOptions::RENOMINATION),
            sped: [IceOptions::SPED, IceOptions::GOOG_SPED_V1]
                .iter()
                .any(|option| ice.options.contains(option)),
            credentials: credentials(ice)?,
            fingerprints,
            // "The default value of the setup attribute … is 'active'" (RFC 4145 §4).
            setup: setup.unwrap_or(Setup::Active),
            data: match data_section(description) {
                Some((_, data)) if share_transport(description, section, data) => Some(DataParameters::read(data)?),
                _ => None,
            },
            candidates,
            end_of_candidates: description.has::<EndOfCandidates>()
                || sections().any(|section| section.has::<EndOfCandidates>()),
        })
    }
}

impl DataParameters {
    fn read(section: &MediaDescription) -> Result<Self, Error> {
        Ok(Self {
            max_message_size: match section.max_message_size().map_err(Error::SdpSyntax)? {
                0 => usize::MAX,
                size => usize::try_from(size).unwrap_or(usize::MAX),
            },
            sctp_port: section.sctp_port().map_err(Error::SdpSyntax)?.unwrap_or(5000),
            init: signalled_init(section)?,
        })
    }
}

/// "If the data is not properly base64-encoded this results in an error. [...] If the series of bytes is not a valid SCTP INIT
/// chunk this results in an error" (draft-hancke-tsvwg-snap §4.3, §4.5).
fn signalled_init(section: &MediaDescription) -> Result<Option<SignalledInit>, Error> {
    let Some(SctpInit(chunk)) = section.attribute::<SctpInit>().map_err(Error::SdpSyntax)? else {
        return Ok(None);
    };
    let init = SignalledInit::parse(&chunk).ok_or(Error::SdpSemantics(SdpFault::BadSctpInit))?;
    Ok(Some(init))
}

/// A fingerprint as DTLS's own type has it.
fn fingerprint_from_sdp(fingerprint: &Fingerprint) -> Option<dtls::Fingerprint> {
    let (algorithm, length) = match fingerprint.function {
        HashFunction::Sha256 => (dtls::HashAlgorithm::Sha256, 32),
        HashFunction::Sha384 => (dtls::HashAlgorithm::Sha384, 48),
        HashFunction::Sha512 => (dtls::HashAlgorithm::Sha512, 64),
        HashFunction::Sha1 | HashFunction::Sha224 | HashFunction::Other(_) => return None,
    };
    let value = fingerprint.digest.clone();
    (value.len() == length).then_some(dtls::Fingerprint { algorithm, value })
}

fn credentials(IceParameters { ufrag, pwd, .. }: IceParameters) -> Result<ice::Credentials, Error> {
    // "The 'ice-ufrag' … 4 to 256, the 'ice-pwd' … 22 to 256 characters" (RFC 8839 §5.4).
    if (4..=256).contains(&ufrag.len()) && (22..=256).contains(&pwd.len()) {
        Ok(ice::Credentials { ufrag, pwd })
    } else {
        Err(Error::SdpSemantics(SdpFault::BadIceCredentials))
    }
}

/// True if both are one section, or bundled with each other (RFC 9143 §7.1.1).
pub(super) fn share_transport(
    description: &sdp::SessionDescription,
    one: &MediaDescription,
    other: &MediaDescription,
) -> bool {
    let bundled = |(one, other)| {
        description
            .bundle_groups()
            .any(|group| group.contains(one) && group.contains(other))
    };
    std::ptr::eq(one, other) || one == other || one.mid().zip(other.mid()).is_some_and(bundled)
}

/// The first section of the BUNDLE group that `section` is in, if it is another one.
pub(super) fn tagged_section<'a>(
    description: &'a sdp::SessionDescription,
    section: &MediaDescription,
) -> Option<&'a MediaDescription> {
    if description.media.len() == 1 {
        return None;
    }
    let mid = section.mid()?;
    let group = description.bundle_groups().find(|group| group.contains(mid))?;
    let first = group.mids.first().filter(|first| *first != mid)?;
    description.media_by_mid(first).map(|(_, media)| media)
}
