//! What was negotiated for a transceiver, for drivers that hand it media: cheap to ask, unlike `getParameters`.

use super::TransceiverId;
use crate::Connection;
use crate::jsep::{codec_meaning, redundant};
use crate::media::parameters::{RtpCodec, RtpCodecParameters, RtpEncodingParameters};
use crate::state::ConnectionState;

impl Connection {
    /// The codecs that the transceiver may send, the preferred first; empty while it was not agreed that it sends.
    #[must_use]
    pub fn send_codecs(&self, id: TransceiverId) -> &[RtpCodecParameters] {
        let agreed = self.agreed.iter().find(|agreed| agreed.transceiver == id);
        let sending = agreed.and_then(|agreed| agreed.send.as_ref());
        sending.map_or(&[], |sending| &sending.codecs)
    }

    /// The encodings that the transceiver sends; `active` only if the peer takes them, `max_bitrate` no more than it
    /// takes (`b=TIAS`, `b=AS`, and what `a=rid` says of a layer), nor `max_framerate`. Empty while it does not send: it was not
    /// agreed, or the connection is not up.
    #[must_use]
    pub fn send_encodings(&self, id: TransceiverId) -> Vec<RtpEncodingParameters> {
        let agreed = self.agreed.iter().find(|agreed| agreed.transceiver == id);
        let sending = agreed.and_then(|agreed| agreed.send.as_ref());
        let (Some(sending), Some(transceiver), ConnectionState::Connected) =
            (sending, self.transceivers.get(id), self.connection_state())
        else {
            return Vec::new();
        };
        let in_force = sending.encodings.iter().filter_map(|own| {
            let mut all = transceiver.sender.encodings.iter();
            let encoding = all.find(|encoding| encoding.ssrc == own.ssrc)?;
            Some(RtpEncodingParameters {
                active: own.active,
                // The peer's limit is for all of them together: none alone may take more.
                max_bitrate: own.max_bitrate.into_iter().chain(sending.max_bitrate).min(),
                max_framerate: [encoding.parameters.max_framerate, own.max_framerate]
                    .into_iter()
                    .flatten()
                    .reduce(f64::min),
                ..encoding.parameters.clone()
            })
        });
        in_force.collect()
    }
}

impl RtpCodecParameters {
    /// True if its packets carry those of this payload type, each with copies of what came before (RED, RFC 2198).
    #[must_use]
    pub fn is_redundancy_of(&self, payload_type: u8) -> bool {
        redundant(&self.codec) == Some(payload_type)
    }
}

impl RtpCodec {
    /// True if media of one is media of the other (RFC 8829 §5.3.1): they have the same name, clock rate and channels, and such
    /// parameters as tell formats apart, like the profile of H.264. Levels and sizes may differ.
    #[must_use]
    pub fn is_compatible(&self, other: &Self) -> bool {
        codec_meaning(self) == codec_meaning(other)
    }
}
