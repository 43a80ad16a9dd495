//! [`PeerConnection`]'s methods for tracks and transceivers (webrtc-pc §5.1).

use std::sync::Arc;

use peerline_connection::{MediaKind, RtpCapabilities, TransceiverId, TransceiverInit};

use super::place::Place;
use super::receiver::RtpReceiver;
use super::sender::RtpSender;
use super::source::LocalTrack;
use super::transceiver::RtpTransceiver;
use crate::PeerConnection;
use crate::error::Error;
use crate::shared::State;

/// What a transceiver is added for.
#[derive(Clone, Debug)]
pub enum TrackOrKind {
    /// A track to be sent.
    Track(LocalTrack),
    /// A kind of media: a track may come later, or the application feeds the [sender](RtpSender) itself.
    Kind(MediaKind),
}

impl From<&LocalTrack> for TrackOrKind {
    fn from(track: &LocalTrack) -> Self {
        Self::Track(track.clone())
    }
}

impl From<LocalTrack> for TrackOrKind {
    fn from(track: LocalTrack) -> Self {
        Self::Track(track)
    }
}

impl From<MediaKind> for TrackOrKind {
    fn from(kind: MediaKind) -> Self {
        Self::Kind(kind)
    }
}

impl PeerConnection {
    /// Sends a track, through a transceiver that has not sent yet or else through a new one. `streams` are the ids of those that
    /// it belongs to: the peer puts its track into streams of these ids, and plays those of one stream in sync.
    ///
    /// # Errors
    /// `InvalidAccessError` when this connection sends the track already; `TypeError` when a stream's id cannot be sent;
    /// `InvalidStateError` when closed.
    pub fn add_track(&self, track: &LocalTrack, streams: &[&str]) -> Result<RtpSender, Error> {
        let streams: Vec<String> = streams.iter().map(|&stream| stream.to_owned()).collect();
        self.add(|state, now| {
            let id = state.connection.add_track(now, track.0.described(), &streams)?;
            state.attach_track(id, Some(Arc::clone(&track.0)));
            Ok(id)
        })
        .map(RtpSender)
    }

    /// Adds a transceiver, for a track or for a kind of media.
    ///
    /// # Errors
    /// `TypeError` or `RangeError` when the encodings or a stream's id are wrong; `InvalidStateError` when closed.
    pub fn add_transceiver(
        &self,
        what: impl Into<TrackOrKind>,
        init: TransceiverInit,
    ) -> Result<RtpTransceiver, Error> {
        let what = what.into();
        self.add(|state, now| {
            let (described, track) = match &what {
                TrackOrKind::Track(track) => (track.0.described().into(), Some(Arc::clone(&track.0))),
                TrackOrKind::Kind(kind) => (peerline_connection::TrackOrKind::Kind(*kind), None),
            };
            let id = state.connection.add_transceiver(now, described, init)?;
            state.attach_track(id, track);
            Ok(id)
        })
        .map(RtpTransceiver)
    }

    /// Stops sending a track; its transceiver goes on to receive.
    ///
    /// # Errors
    /// `InvalidAccessError` when the sender is not of this connection; `InvalidStateError` when closed.
    pub fn remove_track(&self, sender: &RtpSender) -> Result<(), Error> {
        if !Arc::ptr_eq(&sender.0.anchor, self.anchor()) {
            let fault = peerline_connection::MediaFault::UnknownTransceiver;
            return Err(peerline_connection::Error::Media(fault).into());
        }
        sender.0.update(|state, now, id| {
            state.connection.remove_track(now, id)?;
            state.attach_track(id, None);
            Ok(())
        })
    }

    /// The transceivers, in the order in which they were added; those that are stopped for both sides are gone.
    #[must_use]
    pub fn transceivers(&self) -> Vec<RtpTransceiver> {
        self.places().map(RtpTransceiver).collect()
    }

    /// The senders of the [`transceivers`](Self::transceivers).
    #[must_use]
    pub fn senders(&self) -> Vec<RtpSender> {
        self.places().map(RtpSender).collect()
    }

    /// The receivers of the [`transceivers`](Self::transceivers).
    #[must_use]
    pub fn receivers(&self) -> Vec<RtpReceiver> {
        self.places().map(RtpReceiver::new).collect()
    }

    /// What can be sent and received at all: the codecs, the preferred first, and the header extensions.
    #[must_use]
    pub fn capabilities(&self, kind: MediaKind) -> RtpCapabilities {
        self.anchor().lock().connection.capabilities(kind)
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let mut state = self.anchor().lock();
        let ids: Vec<_> = state
            .connection
            .transceivers()
            .map(|transceiver| transceiver.id())
            .collect();
        let places: Vec<_> = ids
            .into_iter()
            .filter_map(|id| Place::find(self.anchor(), &mut state, id))
            .collect();
        places.into_iter()
    }

    fn add(
        &self,
        add: impl FnOnce(&mut State, std::time::Instant) -> Result<TransceiverId, Error>,
    ) -> Result<Place, Error> {
        self.anchor().update_media(|state, now| {
            let id = add(state, now)?;
            // It was just added.
            Place::find(self.anchor(), state, id).ok_or(Error::Refused(peerline_connection::Error::Closed))
        })
    }
}
