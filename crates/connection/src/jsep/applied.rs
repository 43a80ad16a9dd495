//! [`Applied`]: a description that was set, or may be.
//!
//! Its text is what is kept. What it means is read again when it is needed and was given back in between: a connection
//! that only carries data never needs it.

use std::sync::{Arc, OnceLock};

use peerline_ice as ice;
use peerline_sdp as sdp;
use peerline_sdp::MediaDescription;

use super::media_section::{is_spoken, media_kind};
use crate::description::{SdpType, SessionDescription};
use crate::transceiver::{TransceiverId, TransceiverSlots};

/// A description that was set. Clones share what it says.
#[derive(Clone)]
pub(super) struct Applied {
    kind: SdpType,
    said: Arc<Said>,
}

struct Said {
    text: Box<str>,
    parsed: OnceLock<Box<sdp::SessionDescription>>,
}

/// A description that was created and may be set.
#[derive(Clone)]
pub(super) struct Created {
    pub(super) applied: Applied,
    /// The credentials of the ICE generation that it begins.
    pub(super) restart: Option<ice::Credentials>,
    /// Which transceiver each section of an offer is for: "the mapping between transceivers and "m=" section indices
    /// established when creating the offer" (RFC 8829 §5.9).
    pub(super) owners: Vec<Option<TransceiverId>>,
}

/// A pair of descriptions: those in use, or those under way.
#[derive(Default)]
pub(super) struct Exchange {
    pub(super) local: Option<Applied>,
    pub(super) remote: Option<Applied>,
}

impl Applied {
    /// One of ours.
    pub(super) fn written(kind: SdpType, parsed: sdp::SessionDescription) -> Self {
        Self::read(kind, parsed.to_string(), parsed)
    }

    /// One of the peer's, and what it means.
    pub(super) fn read(kind: SdpType, text: String, parsed: sdp::SessionDescription) -> Self {
        let text = text.into_boxed_str();
        let parsed = Box::new(parsed).into();
        Self {
            kind,
            said: Arc::new(Said { text, parsed }),
        }
    }

    /// The same as another type: an answer may be set as a provisional one first.
    pub(super) fn with_kind(self, kind: SdpType) -> Self {
        Self { kind, ..self }
    }

    pub(super) fn text(&self) -> &str {
        &self.said.text
    }

    pub(super) fn parsed(&self) -> &sdp::SessionDescription {
        let Said { text, parsed } = &*self.said;
        parsed.get_or_init(|| Box::new(sdp::SessionDescription::parse(text).expect("it was read, or written, before")))
    }

    pub(super) fn kind(&self) -> SdpType {
        self.kind
    }

    /// The section that speaks for the transport that all others share, if any is not rejected.
    pub(super) fn transport_section(&self) -> Option<(usize, &MediaDescription)> {
        transport_section(self.parsed(), |_, media| is_spoken(media))
    }

    /// The section of a transceiver: by its index, if its mid has not been given to another since.
    pub(super) fn section_of(&self, transceiver: &TransceiverSlots) -> Option<&MediaDescription> {
        let media = self.parsed().media.get(transceiver.index?)?;
        let is_its = media.mid().is_none() || media.mid() == transceiver.mid.as_deref();
        (is_its && media_kind(media) == Some(transceiver.kind)).then_some(media)
    }

    /// The media section that carries data channels, if it is not rejected.
    pub(super) fn data_section(&self) -> Option<(usize, &MediaDescription)> {
        data_section(self.parsed())
    }

    pub(super) fn description(&self) -> SessionDescription {
        SessionDescription {
            kind: self.kind,
            sdp: self.said.text.to_string(),
        }
    }
}

impl Exchange {
    /// Gives back what the descriptions mean: their text says it.
    pub(super) fn rest(&mut self) {
        for applied in [&mut self.local, &mut self.remote].into_iter().flatten() {
            if let Some(said) = Arc::get_mut(&mut applied.said) {
                said.parsed.take();
            }
        }
    }
}

/// Of the sections that are not rejected and that `accepts` lets pass, the one that speaks for the transport of the first: the
/// first such section in its BUNDLE group. "the answerer MUST pick the next … in the identification-tag list" (RFC 9143 §7.3.1)
/// where one does not qualify.
pub(super) fn transport_section(
    parsed: &sdp::SessionDescription,
    accepts: impl Fn(usize, &MediaDescription) -> bool,
) -> Option<(usize, &MediaDescription)> {
    let is_one = |(index, media): &(usize, &MediaDescription)| !media.is_rejected() && accepts(*index, media);
    let first = parsed.media.iter().enumerate().find(is_one)?;
    if parsed.media.len() == 1 {
        return Some(first);
    }
    let group = first
        .1
        .mid()
        .and_then(|mid| parsed.bundle_groups().find(|group| group.contains(mid)));
    let tagged = group.and_then(|group| {
        let mut members = group.mids.iter().filter_map(|mid| parsed.media_by_mid(mid));
        members.find(is_one)
    });
    Some(tagged.unwrap_or(first))
}

/// The first media section that carries data channels and is not rejected.
pub(super) fn data_section(parsed: &sdp::SessionDescription) -> Option<(usize, &MediaDescription)> {
    parsed
        .media
        .iter()
        .enumerate()
        .find(|(_, media)| media.is_data_channel() && !media.is_rejected())
}
