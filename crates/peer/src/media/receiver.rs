//! [`RtpReceiver`] and [`RemoteTrack`]: what a transceiver receives.

use std::fmt;
use std::sync::Arc;

use peerline_connection::{
    IncomingFrame, IncomingPacket, MediaKind, ReceiveMode, RtpReceiveParameters, RtpSource, StatsKind, StatsReport,
};

use super::place::Place;
use super::stats;
use crate::driver;
use crate::error::Error;
use crate::shared::{State, wait_for_state};
use crate::transports::DtlsTransport;

/// Receives one track of the peer (`RTCRtpReceiver`).
///
/// It gives whole frames in order, or, once [`set_mode`](Self::set_mode) says so, packets as they come. What is not received is
/// kept for a while: of 1,024 frames, 4,096 packets or 16 MiB, the oldest are dropped first, and the frame after them says so
/// ([`follows_gap`](IncomingFrame::follows_gap)). The peer does not wait.
///
/// It is a handle: clones are the same receiver. While there is no handle on it, nor on its track, nothing is kept; who takes one
/// later begins with a keyframe.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RtpReceiver(Arc<Reader>);

/// The track that a receiver receives (`MediaStreamTrack`).
///
/// It is *muted* while nothing comes: before the first packet, and while the peer has agreed to send none. It *ends* with its
/// transceiver, or with the connection.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RemoteTrack(RtpReceiver);

/// Somebody who can receive.
#[derive(PartialEq, Eq, Hash)]
struct Reader(Place);

impl RtpReceiver {
    pub(crate) fn new(place: Place) -> Self {
        place.anchor.lock().add_reader(place.id);
        Self::counted(place)
    }

    /// The handle that has been counted already.
    pub(crate) fn counted(place: Place) -> Self {
        Self(Arc::new(Reader(place)))
    }

    fn place(&self) -> &Place {
        &self.0.0
    }

    /// What it receives.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.place().kind
    }

    /// The track.
    #[must_use]
    pub fn track(&self) -> RemoteTrack {
        RemoteTrack(self.clone())
    }

    /// How it receives: the codecs by their payload types, the header extensions.
    ///
    /// # Errors
    /// `InvalidAccessError` once the transceiver is gone.
    pub fn parameters(&self) -> Result<RtpReceiveParameters, Error> {
        let place = self.place();
        Ok(place.anchor.lock().connection.receive_parameters(place.id)?)
    }

    /// The transport that it receives from, once negotiated.
    #[must_use]
    pub fn transport(&self) -> Option<DtlsTransport> {
        DtlsTransport::of(self.place())
    }

    /// Statistics of what it receives, and all objects that those refer to, under their W3C names.
    #[must_use]
    pub fn stats(&self) -> StatsReport {
        stats::of(
            self.place(),
            |kind, mid| matches!(kind, StatsKind::InboundRtp(stats) if stats.mid == mid),
        )
    }

    /// The streams that it has received in the last ten seconds, the latest first (`getSynchronizationSources`).
    #[must_use]
    pub fn synchronization_sources(&self) -> Vec<RtpSource> {
        let place = self.place();
        let state = place.anchor.lock();
        state.connection.synchronization_sources(driver::now(), place.id)
    }

    /// What was mixed into them, as their packets say it (`getContributingSources`).
    #[must_use]
    pub fn contributing_sources(&self) -> Vec<RtpSource> {
        let place = self.place();
        let state = place.anchor.lock();
        state.connection.contributing_sources(driver::now(), place.id)
    }

    /// Sets how what is received is given; frames at first. What waits in another form is dropped.
    pub fn set_mode(&self, mode: ReceiveMode) {
        self.place().send(|state, id| state.set_mode(id, mode));
    }

    /// Waits for the next frame; `None` once the track has ended. Each is given once, also when several tasks wait.
    ///
    /// Without [`ReceiveMode::Frames`] there are none.
    pub async fn recv_frame(&self) -> Option<IncomingFrame> {
        self.recv(|state, place| state.connection.recv_frame(place.id)).await
    }

    /// The next frame, if there is one now.
    #[must_use]
    pub fn try_recv_frame(&self) -> Option<IncomingFrame> {
        let place = self.place();
        place.anchor.lock().connection.recv_frame(place.id)
    }

    /// Waits for the next packet; `None` once the track has ended. Each is given once, also when several tasks wait.
    ///
    /// Without [`ReceiveMode::Packets`] there are none.
    pub async fn recv_packet(&self) -> Option<IncomingPacket> {
        self.recv(|state, place| state.connection.recv_packet(place.id)).await
    }

    /// Waits until there are packets, and appends all there are to `packets`; how many. 0 once the track has ended.
    pub async fn recv_packets(&self, packets: &mut Vec<IncomingPacket>) -> usize {
        let before = packets.len();
        let appended = self.recv(|state, place| {
            packets.extend(std::iter::from_fn(|| state.connection.recv_packet(place.id)));
            Some(packets.len() - before).filter(|count| *count > 0)
        });
        appended.await.unwrap_or(0)
    }

    /// Asks the peer for a keyframe; of this layer of simulcast, or of all.
    pub fn request_keyframe(&self, rid: Option<&str>) {
        self.place()
            .update(|state, now, id| state.connection.request_keyframe(now, id, rid));
    }

    async fn recv<T>(&self, mut take: impl FnMut(&mut State, &Place) -> Option<T>) -> Option<T> {
        let place = self.place();
        wait_for_state(&place.anchor, &place.signals.readable, |state| {
            match take(state, place) {
                Some(taken) => Some(Some(taken)),
                None => state.has_track_ended(place.id).then_some(None),
            }
        })
        .await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.anchor.lock().remove_reader(self.0.id);
    }
}

impl RemoteTrack {
    /// Its id, which is the connection's own: the peer knows the track by the media section.
    #[must_use]
    pub fn id(&self) -> String {
        let id = self
            .place()
            .view(|transceiver| transceiver.receiver_track_id().to_owned());
        id.unwrap_or_default()
    }

    /// What it carries.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.0.kind()
    }

    /// The streams that the peer says it belongs to, by their ids.
    #[must_use]
    pub fn streams(&self) -> Vec<String> {
        let streams = self.place().view(|transceiver| transceiver.receiver_streams().to_vec());
        streams.unwrap_or_default()
    }

    /// True while nothing comes.
    #[must_use]
    pub fn muted(&self) -> bool {
        self.place().anchor.lock().is_muted(self.place().id)
    }

    /// True once nothing will come any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.place().anchor.lock().has_track_ended(self.place().id)
    }

    /// Waits until something comes; also returns when the track ends.
    pub async fn unmuted(&self) {
        self.wait(|state, place| !state.is_muted(place.id) || state.has_track_ended(place.id))
            .await;
    }

    /// Waits until the track ends.
    pub async fn ended(&self) {
        self.wait(|state, place| state.has_track_ended(place.id)).await;
    }

    /// As [`RtpReceiver::recv_frame`].
    pub async fn recv_frame(&self) -> Option<IncomingFrame> {
        self.0.recv_frame().await
    }

    /// As [`RtpReceiver::recv_packet`].
    pub async fn recv_packet(&self) -> Option<IncomingPacket> {
        self.0.recv_packet().await
    }

    /// Its receiver.
    #[must_use]
    pub fn receiver(&self) -> RtpReceiver {
        self.0.clone()
    }

    fn place(&self) -> &Place {
        self.0.place()
    }

    async fn wait(&self, is_so: impl Fn(&State, &Place) -> bool) {
        let place = self.place();
        wait_for_state(&place.anchor, &place.signals.changed, |state| {
            is_so(state, place).then_some(())
        })
        .await;
    }
}

impl fmt::Debug for RtpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpReceiver")
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RemoteTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTrack")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("muted", &self.muted())
            .finish_non_exhaustive()
    }
}
