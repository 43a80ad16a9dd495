//! [`RtpSender`]: what a transceiver sends.

use std::fmt;
use std::sync::Arc;

use peerline_connection::{
    MediaKind, OutgoingFrame, OutgoingPacket, RtpCodecParameters, RtpSendParameters, SendMediaError, StatsKind,
    StatsReport,
};

use super::dtmf::DtmfSender;
use super::place::Place;
use super::source::LocalTrack;
use super::stats;
use crate::error::Error;
use crate::shared::{Phase, wait_for_state};
use crate::transports::DtlsTransport;

/// Sends one track to the peer (`RTCRtpSender`).
///
/// Its [track](Self::track)'s source feeds it; or the application does so itself, with frames whose timestamps it counts
/// ([`send_frame`](Self::send_frame)), or with packets that it forwards ([`send_packets`](Self::send_packets)). Nothing of this
/// waits for the network: what cannot be sent is refused.
///
/// It is a handle: clones are the same sender.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RtpSender(pub(crate) Place);

/// What a sender's peer wants of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderEvent {
    /// The peer cannot go on without a keyframe. The source of the sender's track hears of it as well.
    KeyframeRequest {
        /// Of which layer of simulcast; `None` for the only one.
        rid: Option<Arc<str>>,
    },
}

impl RtpSender {
    /// What it sends.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.0.kind
    }

    /// The track it sends, if it has one.
    #[must_use]
    pub fn track(&self) -> Option<LocalTrack> {
        self.0.anchor.lock().track_of(self.0.id).map(LocalTrack)
    }

    /// Sends another track, or none, without a new exchange of descriptions. The peer sees the same track going on.
    ///
    /// # Errors
    /// `TypeError` when the track is of the other kind; `InvalidStateError` when it is stopped or the connection closed.
    pub fn replace_track(&self, track: Option<&LocalTrack>) -> Result<(), Error> {
        self.0.update(|state, now, id| {
            let described = track.map(|track| track.0.described());
            state.connection.replace_track(now, id, described)?;
            state.attach_track(id, track.map(|track| Arc::clone(&track.0)));
            Ok(())
        })
    }

    /// Sets the streams that the track belongs to, by their ids: the peer puts its track into streams of these ids.
    ///
    /// # Errors
    /// `TypeError` when an id cannot be sent; `InvalidStateError` when the connection is closed.
    pub fn set_streams(&self, streams: &[&str]) -> Result<(), Error> {
        let streams: Vec<String> = streams.iter().map(|&stream| stream.to_owned()).collect();
        self.0
            .update(|state, now, id| Ok(state.connection.set_streams(now, id, &streams)?))
    }

    /// How it sends: to be changed and given to [`set_parameters`](Self::set_parameters).
    ///
    /// # Errors
    /// `InvalidAccessError` once the transceiver is gone.
    pub fn parameters(&self) -> Result<RtpSendParameters, Error> {
        Ok(self.0.anchor.lock().connection.send_parameters(self.0.id)?)
    }

    /// Changes encodings, at once and without an exchange of descriptions: which are active, their limits (which the track's
    /// source is told), their codec.
    ///
    /// # Errors
    /// `InvalidStateError` when the parameters were not read since they were last set or negotiated;
    /// `InvalidModificationError` when something but the encodings' own members was changed; `RangeError`.
    pub fn set_parameters(&self, parameters: RtpSendParameters) -> Result<(), Error> {
        self.0
            .update(|state, now, id| Ok(state.connection.set_send_parameters(now, id, parameters)?))
    }

    /// What it may send at present, in bits a second, all its encodings together: its part of what the path takes
    /// ([`PeerEvent::BandwidthEstimate`](crate::PeerEvent::BandwidthEstimate)), and no more than the peer and its
    /// [parameters](Self::set_parameters) allow. None while nothing is known. Sources are told it as
    /// [`Demand::bitrate`](crate::Demand::bitrate); who forwards asks here. Asking is cheap.
    #[must_use]
    pub fn target_bitrate(&self) -> Option<u64> {
        self.0.anchor.lock().connection.target_bitrate(self.0.id)
    }

    /// Sets what it would send if the path took it, in bits a second, such as the rate of a better layer that waits; `None` (the default)
    /// if it is content. While it sends clearly less than [`target_bitrate`](Self::target_bitrate), and that is less than this, the path
    /// is probed by short trains of padding: the estimate grows when they pass, which it does not by what is not sent.
    pub fn set_desired_bitrate(&self, bitrate: Option<u64>) {
        self.0.anchor.lock().connection.set_desired_bitrate(self.0.id, bitrate);
    }

    /// The codecs that were agreed on, the preferred first; empty while it does not send. Reading them is cheap.
    #[must_use]
    pub fn codecs(&self) -> Vec<RtpCodecParameters> {
        self.0.anchor.lock().connection.send_codecs(self.0.id).to_vec()
    }

    /// The transport that it sends over, once negotiated.
    #[must_use]
    pub fn transport(&self) -> Option<DtlsTransport> {
        DtlsTransport::of(&self.0)
    }

    /// Statistics of what it sends, and all objects that those refer to, under their W3C names.
    #[must_use]
    pub fn stats(&self) -> StatsReport {
        stats::of(
            &self.0,
            |kind, mid| matches!(kind, StatsKind::OutboundRtp(stats) if stats.mid == mid),
        )
    }

    /// Sends tones of keys; `None` for video.
    #[must_use]
    pub fn dtmf(&self) -> Option<DtmfSender> {
        (self.0.kind == MediaKind::Audio).then(|| DtmfSender(self.0.clone()))
    }

    /// Sends an encoded frame, with a timestamp in ticks of the codec's clock ([`rtp_timestamp`](crate::rtp_timestamp)).
    ///
    /// # Errors
    /// [`SendMediaError`]; then nothing is sent of it.
    pub fn send_frame(&self, frame: OutgoingFrame) -> Result<(), SendMediaError> {
        self.0.send(|state, id| state.send_frame(id, frame))
    }

    /// Sends an RTP packet as it is, such as one that is forwarded; its payload is not copied.
    ///
    /// # Errors
    /// [`SendMediaError`]; then it is not sent.
    pub fn send_packet(&self, packet: OutgoingPacket) -> Result<(), SendMediaError> {
        self.0.send(|state, id| state.send_packet(id, packet))
    }

    /// Sends several packets; those that are refused are left out. How many were sent.
    pub fn send_packets(&self, packets: impl IntoIterator<Item = OutgoingPacket>) -> usize {
        self.0.send(|state, id| {
            let sent = packets
                .into_iter()
                .filter_map(|packet| state.send_packet(id, packet).ok());
            sent.count()
        })
    }

    /// Waits for what the peer wants; `None` once the transceiver is stopped or the connection closed. Requests for the same
    /// keyframe that nobody has read are one.
    pub async fn next_event(&self) -> Option<SenderEvent> {
        let Place {
            anchor, id, signals, ..
        } = &self.0;
        wait_for_state(anchor, &signals.sender, |state| {
            if let Some(rid) = state.next_keyframe_request(*id) {
                return Some(Some(SenderEvent::KeyframeRequest { rid }));
            }
            let is_over = state.phase != Phase::Running || state.connection.transceiver(*id).is_none();
            is_over.then_some(None)
        })
        .await
    }
}

impl fmt::Debug for RtpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpSender")
            .field("kind", &self.kind())
            .field("track", &self.track())
            .finish_non_exhaustive()
    }
}
