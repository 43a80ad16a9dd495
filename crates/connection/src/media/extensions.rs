//! [`Extensions`]: the header extensions of a packet that belong to its media, and [`ExtensionIds`]: the numbers of all.

use std::sync::Arc;

use bytes::Bytes;
use peerline_rtp::extension::{ExtensionId, Form, Writer};
use peerline_rtp::{Packet, Serial16};

use super::parameters::RtpHeaderExtensionParameters;

/// A header extension that tells of the media, and so goes wherever the media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtensionKind {
    /// How loud an audio packet is (RFC 6464).
    AudioLevel,
    /// How loud each contributor to an audio packet is (RFC 6465).
    CsrcAudioLevel,
    /// When the media was captured.
    AbsCaptureTime,
    /// How the camera is turned (3GPP TS 26.114 §7.4.5).
    VideoOrientation,
    /// How long a receiver may wait before it shows a frame.
    PlayoutDelay,
    /// What a frame depends on (AV1 RTP specification, appendix A).
    DependencyDescriptor,
    /// Which layers a sender sends, and how many bits each gets.
    VideoLayersAllocation,
}

impl ExtensionKind {
    const ALL: [Self; 7] = [
        Self::AudioLevel,
        Self::CsrcAudioLevel,
        Self::AbsCaptureTime,
        Self::VideoOrientation,
        Self::PlayoutDelay,
        Self::DependencyDescriptor,
        Self::VideoLayersAllocation,
    ];

    /// The URI that stands for it in `a=extmap`.
    #[must_use]
    pub fn uri(self) -> &'static str {
        match self {
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::CsrcAudioLevel => "urn:ietf:params:rtp-hdrext:csrc-audio-level",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::VideoLayersAllocation => "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
        }
    }
}

/// The values of a packet's header extensions that tell of its media, each as it is on the wire. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(Option<Arc<Values>>);

type Values = Vec<(ExtensionKind, Bytes)>;

impl Extensions {
    /// No values.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// The value of `kind`, as `peerline_rtp::extension` reads it.
    #[must_use]
    pub fn get(&self, kind: ExtensionKind) -> Option<&[u8]> {
        let found = self.values().iter().find(|(other, _)| *other == kind);
        found.map(|(_, value)| &**value)
    }

    /// Sets the value of `kind`, at most 255 bytes.
    pub fn set(&mut self, kind: ExtensionKind, value: impl Into<Bytes>) {
        let values = Arc::make_mut(self.0.get_or_insert_default());
        values.retain(|(other, _)| *other != kind);
        values.push((kind, value.into()));
    }

    /// True if there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values().is_empty()
    }

    fn values(&self) -> &[(ExtensionKind, Bytes)] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    /// The longest that they can be in a packet, in bytes.
    pub(super) fn max_len(&self) -> usize {
        self.values().iter().map(|(_, value)| value.len() + 2).sum()
    }

    /// The values in the packet that `bytes` are; those without a number, or that are not about media, are left out.
    pub(super) fn read(packet: &Packet<&[u8]>, bytes: &Bytes, ids: &ExtensionIds) -> Self {
        if ids.media.is_empty() {
            return Self::new();
        }
        let mut values = Vec::new();
        for element in packet.extensions() {
            // Each once: elements of no length are cheap to send, and not to keep.
            let is_new = |kind| values.iter().all(|(other, _)| *other != kind);
            if let Some((kind, _)) = ids.media.iter().find(|(_, id)| *id == element.id)
                && is_new(*kind)
            {
                values.push((*kind, bytes.slice_ref(element.value)));
            }
        }
        Self((!values.is_empty()).then(|| Arc::new(values)))
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>, ids: &ExtensionIds) {
        for (kind, value) in self.values() {
            if let Some((_, id)) = ids.media.iter().find(|(other, _)| other == kind) {
                writer.add_bytes(*id, value);
            }
        }
    }
}

/// Under which numbers header extensions were agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ExtensionIds {
    pub(super) mid: Option<ExtensionId>,
    pub(super) rid: Option<ExtensionId>,
    pub(super) repaired_rid: Option<ExtensionId>,
    pub(super) abs_send_time: Option<ExtensionId>,
    pub(super) transport_number: Option<ExtensionId>,
    pub(super) media: Vec<(ExtensionKind, ExtensionId)>,
    /// How they are written.
    pub(super) form: Form,
}

/// `urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 9143 §15.1).
pub(crate) const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id` (RFC 8852 §4.1).
pub(crate) const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id` (RFC 8852 §4.2).
pub(crate) const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
/// When a packet left.
pub(crate) const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
/// A packet's number among all of its transport (draft-holmer-rmcat-transport-wide-cc-extensions-01).
pub(crate) const TRANSPORT_NUMBER: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

impl ExtensionIds {
    /// The numbers to send with. "In the cases where the attribute has been excluded, both clients SHALL NOT use mixed one-byte
    /// and two-byte extensions in the same RTP stream but MAY use the one-byte or two-byte form exclusively" (RFC 8285 §6): the
    /// latter where a number asks for it.
    pub(super) fn to_send(agreed: &[RtpHeaderExtensionParameters], allow_mixed: bool) -> Self {
        let mut ids = Self::default();
        for parameters in agreed {
            ids.add(parameters);
        }
        let is_large = |parameters: &RtpHeaderExtensionParameters| {
            ExtensionId::new(parameters.id).is_some_and(|id| !id.fits_one_byte())
        };
        ids.form = match allow_mixed {
            true => Form::Mixed,
            false if agreed.iter().any(is_large) => Form::TwoByte,
            false => Form::OneByte,
        };
        ids
    }

    /// Adds one; numbers mean the same in all media sections (RFC 9143 §9.1, RFC 8285 §6).
    pub(super) fn add(&mut self, parameters: &RtpHeaderExtensionParameters) {
        let Some(id) = ExtensionId::new(parameters.id) else {
            return;
        };
        match parameters.uri.as_str() {
            MID => self.mid = Some(id),
            RID => self.rid = Some(id),
            REPAIRED_RID => self.repaired_rid = Some(id),
            ABS_SEND_TIME => self.abs_send_time = Some(id),
            TRANSPORT_NUMBER => self.transport_number = Some(id),
            uri => {
                let kind = ExtensionKind::ALL.into_iter().find(|kind| kind.uri() == uri);
                let added = kind.map(|kind| (kind, id));
                self.media.extend(added.filter(|added| !self.media.contains(added)));
            }
        }
    }

    /// A packet's number among all of its transport.
    pub(super) fn read_transport_number<B: AsRef<[u8]>>(&self, packet: &Packet<B>) -> Option<Serial16> {
        let value = packet.extension(self.transport_number?)?;
        value.first_chunk().map(|number| Serial16(u16::from_be_bytes(*number)))
    }

    /// A name in a packet: of its media section, or of its layer.
    pub(super) fn read_name<B: AsRef<[u8]>>(packet: &Packet<B>, id: Option<ExtensionId>) -> Option<&str> {
        std::str::from_utf8(packet.extension(id?)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_one_value_of_a_kind() {
        let parameters = RtpHeaderExtensionParameters {
            uri: ExtensionKind::AudioLevel.uri().into(),
            id: 4,
        };
        let ids = ExtensionIds::to_send(&[parameters], false);
        // 100 elements of no length (RFC 8285 §4.3).
        let mut bytes = vec![0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0x10, 0, 0, 50];
        bytes.extend([4, 0].repeat(100));
        let bytes = Bytes::from(bytes);
        let packet = Packet::parse(&*bytes).unwrap();
        assert_eq!(packet.extensions().count(), 100);
        assert_eq!(Extensions::read(&packet, &bytes, &ids).values().len(), 1);
    }
}
