//! [`DtmfSender`]: keys that are pressed here.

use std::fmt;
use std::time::Duration;

use peerline_connection::DtmfError;

use super::place::Place;
use crate::error::Error;
use crate::shared::{Phase, wait_for_state};

/// Plays tones to the peer in the place of sound (`RTCDTMFSender`).
///
/// It is a handle: clones are the same sender.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DtmfSender(pub(super) Place);

impl DtmfSender {
    /// How long a tone is unless told otherwise.
    pub const DURATION: Duration = Duration::from_millis(100);
    /// How long the pause between tones is unless told otherwise.
    pub const GAP: Duration = Duration::from_millis(70);

    /// True if tones can be sent: the transceiver sends, and the peer takes `telephone-event`.
    #[must_use]
    pub fn can_insert_dtmf(&self) -> bool {
        self.0.anchor.lock().connection.can_insert_dtmf(self.0.id)
    }

    /// Plays `tones` (`0` to `9`, `A` to `D`, `#`, `*`, and the comma for two seconds of silence), each for 100 ms and with 70 ms
    /// between them. It replaces what is still to be played; an empty string ends it.
    ///
    /// # Errors
    /// `InvalidStateError` when no tones can be sent; `InvalidCharacterError` when one is unknown.
    pub fn insert_dtmf(&self, tones: &str) -> Result<(), Error> {
        self.insert_dtmf_with(tones, Self::DURATION, Self::GAP)
    }

    /// The same with tones of another length (40 ms to 6 s) and distance (30 ms to 6 s).
    ///
    /// # Errors
    /// `InvalidStateError` when no tones can be sent; `InvalidCharacterError` when one is unknown.
    pub fn insert_dtmf_with(&self, tones: &str, duration: Duration, gap: Duration) -> Result<(), Error> {
        if !self.can_insert_dtmf() {
            return Err(Error::Dtmf(DtmfError::CannotInsert));
        }
        self.0.update(|state, now, id| {
            let inserted = state.connection.insert_dtmf(now, id, tones, duration, gap);
            inserted.map_err(Error::Dtmf)
        })
    }

    /// The tones that are still to be played.
    #[must_use]
    pub fn tone_buffer(&self) -> String {
        self.0.anchor.lock().connection.tone_buffer(self.0.id)
    }

    /// Waits until the next tone begins (`tonechange`); `None` once all were played, or the connection is closed.
    pub async fn next_tone(&self) -> Option<char> {
        let Place {
            anchor, id, signals, ..
        } = &self.0;
        wait_for_state(anchor, &signals.sender, |state| {
            let over = state.phase != Phase::Running || state.connection.transceiver(*id).is_none();
            state.next_tone(*id).or_else(|| over.then_some(None))
        })
        .await
    }
}

impl fmt::Debug for DtmfSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtmfSender")
            .field("tone_buffer", &self.tone_buffer())
            .finish_non_exhaustive()
    }
}
