//! What a remote description must keep to (RFC 8829 §5.8.3): checked before anything is changed.

use std::collections::HashSet;

use peerline_sdp as sdp;
use peerline_sdp::attribute::{RtcpMux, Setup};
use peerline_sdp::{MediaDescription, Section as _};

use super::Negotiation;
use super::applied::{Applied, transport_section};
use super::media_section::{has_bundled, media_kind};
use super::remote::{RemoteParameters, share_transport};
use crate::Connection;
use crate::description::SdpType;
use crate::error::{Error, SdpFault};

impl Connection {
    /// Checks a remote description against what was agreed on before; what it says of the transport, if it has one.
    pub(super) fn check_remote(
        &self,
        kind: SdpType,
        parsed: &sdp::SessionDescription,
    ) -> Result<Option<Box<RemoteParameters>>, Error> {
        let fault = |fault| Err(Error::SdpSemantics(fault));
        let negotiation = &self.negotiation;
        negotiation.check_sections(kind, parsed).map_err(Error::SdpSemantics)?;
        let offered = negotiation.pending.local.as_ref().map(|offer| &*offer.parsed().media);
        let is_answered = |index: usize, media: &MediaDescription| {
            let offered = offered.and_then(|offered| offered.get(index));
            !media.is_rejected() && offered.is_some_and(|offered| !offered.is_rejected())
        };
        let section = if kind == SdpType::Offer {
            transport_section(parsed, |index, media| self.accepts_offered(parsed, index, media))
        } else {
            transport_section(parsed, is_answered)
        };
        let Some((index, section)) = section else {
            return Ok(None);
        };
        if kind != SdpType::Offer {
            let answered = parsed
                .media
                .iter()
                .enumerate()
                .filter(|(index, media)| is_answered(*index, media));
            for (_, media) in answered {
                if !share_transport(parsed, section, media) {
                    return fault(SdpFault::NotBundled);
                }
                if media_kind(media).is_some() && !has_bundled::<RtcpMux>(parsed, media) {
                    return fault(SdpFault::MissingRtcpMux);
                }
            }
        }
        let parameters = RemoteParameters::read(parsed, (index, section))?;
        match (kind, parameters.setup) {
            (_, Setup::HoldConn) | (SdpType::Answer | SdpType::Pranswer, Setup::ActPass) => {
                return fault(SdpFault::BadSetup);
            }
            _ => {}
        }
        // RFC 8842 §5.3 forbids an answer that keeps the DTLS association to change its roles, but Firefox 153, when it is
        // the server, answers our ICE restart with `a=setup:active` and means nothing by it: the fingerprints alone decide.
        if let Some((_, fingerprints)) = &negotiation.dtls
            && *fingerprints != parameters.fingerprints
        {
            return fault(SdpFault::ChangedFingerprint);
        }
        Ok(Some(Box::new(parameters)))
    }
}

impl Negotiation {
    /// Checks that the sections of a remote description are those that it has to have.
    fn check_sections(&self, kind: SdpType, parsed: &sdp::SessionDescription) -> Result<(), SdpFault> {
        let media = &parsed.media;
        if parsed.lines().len() > MAX_SESSION_LINES {
            return Err(SdpFault::TooManyLines);
        }
        if media.len() > self.local.max_media_sections {
            return Err(SdpFault::TooManyMediaSections);
        }
        let mids: Vec<_> = media.iter().filter_map(|media| media.mid()).collect();
        let distinct: HashSet<_> = mids.iter().collect();
        if distinct.len() != mids.len() {
            return Err(SdpFault::DuplicateMid);
        }
        // "An "m=" section MUST NOT be … in more than one BUNDLE group" (RFC 9143 §7.1), nor twice in one.
        let mut bundled = HashSet::new();
        for mid in parsed.bundle_groups().flat_map(|group| group.mids) {
            if !distinct.contains(&mid.as_str()) || !bundled.insert(mid) {
                return Err(SdpFault::BadBundleGroup);
            }
        }
        if kind == SdpType::Offer {
            let agreed = media_of(self.current.remote.as_ref());
            // A section that either side rejected may be put to new use.
            let is_kept = |(index, (old, new)): (usize, (&MediaDescription, &MediaDescription))| {
                self.is_recyclable(index) || is_same_section(old, new)
            };
            if agreed.len() > media.len() || !agreed.iter().zip(media).enumerate().all(is_kept) {
                return Err(SdpFault::ReorderedMediaSections);
            }
        } else {
            let offered = media_of(self.pending.local.as_ref());
            let matches =
                offered.len() == media.len() && offered.iter().zip(media).all(|(old, new)| is_same_section(old, new));
            if !matches {
                return Err(SdpFault::MismatchedMediaSections);
            }
        }
        Ok(())
    }
}

/// Lines of the session level count for each section: more than anybody writes would take long to read.
const MAX_SESSION_LINES: usize = 1024;

/// The sections of a description, if there is one.
fn media_of(applied: Option<&Applied>) -> &[MediaDescription] {
    applied.map_or(&[], |applied| &applied.parsed().media)
}

/// True if both sections are the same one: of one kind and of one `a=mid`.
fn is_same_section(old: &MediaDescription, new: &MediaDescription) -> bool {
    old.kind() == new.kind() && (old.mid() == new.mid() || new.mid().is_none())
}
