//! [`RtpTransceiver`]: a sender and a receiver that share a media section.

use std::fmt;

use peerline_connection::{MediaKind, RtpCodec, TransceiverDirection, TransceiverId};

use super::place::Place;
use super::receiver::RtpReceiver;
use super::sender::RtpSender;
use crate::error::Error;

/// A sender and a receiver that share a media section (`RTCRtpTransceiver`).
///
/// It is a handle: clones are the same transceiver. Dropping it changes nothing, but that it no longer keeps the connection open.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RtpTransceiver(pub(crate) Place);

impl RtpTransceiver {
    /// Which one of its connection it is: a key for maps.
    #[must_use]
    pub fn id(&self) -> TransceiverId {
        self.0.id
    }

    /// What it sends and receives.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.0.kind
    }

    /// The media section it is bound to, once it was negotiated.
    #[must_use]
    pub fn mid(&self) -> Option<String> {
        self.0
            .view(|transceiver| transceiver.mid().map(str::to_owned))
            .flatten()
    }

    /// Its sender.
    #[must_use]
    pub fn sender(&self) -> RtpSender {
        RtpSender(self.0.clone())
    }

    /// Its receiver. From now on, as long as a handle on it is held, what arrives is kept for it.
    #[must_use]
    pub fn receiver(&self) -> RtpReceiver {
        RtpReceiver::new(self.0.clone())
    }

    /// Which way media is wanted to flow.
    #[must_use]
    pub fn direction(&self) -> TransceiverDirection {
        self.0.anchor.lock().direction(self.0.id)
    }

    /// Which way media was agreed to flow; `None` before the first answer.
    #[must_use]
    pub fn current_direction(&self) -> Option<TransceiverDirection> {
        self.0
            .view(|transceiver| transceiver.current_direction())
            .unwrap_or(Some(TransceiverDirection::Stopped))
    }

    /// Sets which way media is wanted to flow, from the next exchange of descriptions on.
    ///
    /// # Errors
    /// `InvalidStateError` when it is stopped or the connection closed; `TypeError` for
    /// [`Stopped`](TransceiverDirection::Stopped), which [`stop`](Self::stop) sets.
    pub fn set_direction(&self, direction: TransceiverDirection) -> Result<(), Error> {
        self.0
            .update(|state, now, id| Ok(state.connection.set_direction(now, id, direction)?))
    }

    /// Stops it for good: nothing flows any more, and the next exchange of descriptions gives its media section up.
    ///
    /// # Errors
    /// `InvalidStateError` when the connection is closed.
    pub fn stop(&self) -> Result<(), Error> {
        self.0.update(|state, now, id| {
            if state.connection.transceiver(id).is_some() {
                state.connection.stop_transceiver(now, id)?;
            }
            Ok(())
        })
    }

    /// Sets which codecs later offers and answers may name, and in which order; empty for the connection's own. They are of
    /// [`capabilities`](crate::PeerConnection::capabilities).
    ///
    /// # Errors
    /// `InvalidModificationError` when a codec is not among the capabilities, or all only accompany others.
    pub fn set_codec_preferences(&self, codecs: &[RtpCodec]) -> Result<(), Error> {
        self.0
            .update(|state, _, id| Ok(state.connection.set_codec_preferences(id, codecs)?))
    }
}

impl fmt::Debug for RtpTransceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpTransceiver")
            .field("kind", &self.kind())
            .field("mid", &self.mid())
            .field("direction", &self.direction())
            .field("current_direction", &self.current_direction())
            .finish_non_exhaustive()
    }
}
