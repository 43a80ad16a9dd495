//! [`TrackSource`] and [`LocalTrack`]: where an application's media enters, and what senders are given of it.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use peerline_connection::{Extensions, MediaKind, OutgoingPacket, RtpCodec};

use super::clock::MediaClock;
use super::track::{Demand, Told, Track};
use crate::driver;
use crate::shared::wait_for;

/// Where an application's media enters: encoded frames, or RTP packets, which all senders of its [track](Self::track) send.
///
/// - Writing never waits for the network. What a connection cannot send (it is not up, or too much waits in it) is dropped there,
///   and counted by nobody but the application, which is told how many senders took it.
/// - [`next_event`](Self::next_event) tells when a peer needs a keyframe, and what is wanted at all.
/// - Clones are the same source. When the last is dropped, the track has ended, as `MediaStreamTrack`s do.
///
/// ```
/// use peerline::{Configuration, MediaFrame, MediaKind, PeerConnection, SourceEvent, TrackSource};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), peerline::Error> {
/// let camera = TrackSource::new(MediaKind::Video).with_mime_type("video/VP8");
/// let peer = PeerConnection::new(Configuration::default()).await?;
/// peer.add_track(&camera.track(), &["home"])?;
///
/// // Beside the exchange of offer and answer:
/// # async fn encode(keyframe: bool) -> Vec<u8> { vec![0] }
/// # async fn film(camera: TrackSource) {
/// let mut keyframe = true;
/// loop {
///     tokio::select! {
///         event = camera.next_event() => match event {
///             SourceEvent::KeyframeRequest { .. } => keyframe = true,
///             SourceEvent::Demand(demand) => println!("{} watch", demand.senders),
///         },
///         frame = encode(keyframe) => {
///             camera.write_frame(&MediaFrame::new(frame));
///             keyframe = false;
///         }
///     }
/// }
/// # }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TrackSource(Arc<Source>);

/// Ends the track when the last handle goes.
struct Source(Arc<Track>);

/// A track that can be sent (`MediaStreamTrack`), by any number of connections: each sends every frame of its source.
#[derive(Clone)]
pub struct LocalTrack(pub(super) Arc<Track>);

/// An encoded frame as a [`TrackSource`] takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaFrame {
    /// The frame's bytes, in the shape that [`peerline_rtp`](https://docs.rs/peerline-rtp)'s payload formats ask for: H.264 and
    /// H.265 as Annex B, AV1 with sizes; audio as one packet takes it.
    pub payload: Bytes,
    /// When it was captured, or is to be played, by the source's [clock](TrackSource::with_clock); `None` for now.
    pub time: Option<Duration>,
    /// Which layer of simulcast it is of: it goes to the senders that have it. `None` for those without layers.
    pub rid: Option<Arc<str>>,
    /// Header extensions for the frame, such as how the camera is turned.
    pub extensions: Extensions,
}

/// What a source is told.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceEvent {
    /// Somebody cannot go on without a keyframe. Requests that come together are told once, and not more often than each 300 ms.
    KeyframeRequest {
        /// Of which layer of simulcast; `None` for all.
        rid: Option<Arc<str>>,
    },
    /// What is wanted has changed: who listens, the limits of encodings, or which are active.
    Demand(Demand),
}

impl MediaFrame {
    /// A frame of now.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            ..Self::default()
        }
    }

    /// A frame of this time.
    #[must_use]
    pub fn at(time: Duration, payload: impl Into<Bytes>) -> Self {
        Self {
            time: Some(time),
            ..Self::new(payload)
        }
    }

    /// The same frame, as one of this layer of simulcast.
    #[must_use]
    pub fn with_rid(self, rid: &str) -> Self {
        Self {
            rid: Some(rid.into()),
            ..self
        }
    }
}

impl TrackSource {
    /// A source of frames in whichever codec a sender has negotiated; see [`with_codec`](Self::with_codec). Its track has a
    /// random id, its clock starts now.
    #[must_use]
    pub fn new(kind: MediaKind) -> Self {
        Self::from_track(Track::new(random_id(), kind, None, MediaClock::start()))
    }

    /// The same with frames of this codec: senders that have negotiated another take nothing. Without
    /// [parameters](RtpCodec::sdp_fmtp_line) it stands for any codec of its name. Do this before you take the track.
    #[must_use]
    pub fn with_codec(self, codec: RtpCodec) -> Self {
        let Track { id, kind, clock, .. } = &*self.0.0;
        Self::from_track(Track::new(id.clone(), *kind, Some(codec), *clock))
    }

    /// The same with frames of the codec of this name, such as `video/VP8` or `audio/opus`, whatever its parameters. Do this
    /// before you take the track.
    #[must_use]
    pub fn with_mime_type(self, mime_type: &str) -> Self {
        let clock_rate = match self.0.0.kind {
            MediaKind::Video => 90_000,
            MediaKind::Audio if mime_type.eq_ignore_ascii_case("audio/opus") => 48_000,
            // RFC 3551 §4.5: also G.722, whose samples are twice as many.
            MediaKind::Audio => 8000,
        };
        self.with_codec(RtpCodec {
            mime_type: mime_type.to_owned(),
            clock_rate,
            channels: None,
            sdp_fmtp_line: String::new(),
        })
    }

    /// The same with this clock, which sources that belong together share. Do this before you take the track.
    #[must_use]
    pub fn with_clock(self, clock: MediaClock) -> Self {
        let Track { id, kind, codec, .. } = &*self.0.0;
        Self::from_track(Track::new(id.clone(), *kind, codec.clone(), clock))
    }

    /// The same with this id for the track: 1 to 64 characters that SDP can carry, unique among those a connection sends. Do
    /// this before you take the track.
    #[must_use]
    pub fn with_id(self, id: &str) -> Self {
        let Track { kind, codec, clock, .. } = &*self.0.0;
        Self::from_track(Track::new(id.to_owned(), *kind, codec.clone(), *clock))
    }

    fn from_track(track: Track) -> Self {
        Self(Arc::new(Source(Arc::new(track))))
    }

    /// Its track, to be sent.
    #[must_use]
    pub fn track(&self) -> LocalTrack {
        LocalTrack(Arc::clone(&self.0.0))
    }

    /// What the times of its frames are counted from.
    #[must_use]
    pub fn clock(&self) -> MediaClock {
        self.0.0.clock
    }

    /// Sends a frame to all that listen; how many senders took it. The payload is shared, not copied.
    pub fn write_frame(&self, frame: &MediaFrame) -> usize {
        let track = &self.0.0;
        let captured = match frame.time {
            Some(time) => track.clock.instant_of(time),
            None => driver::now(),
        };
        let targets = track.targets();
        let taken = targets
            .iter()
            .filter(|target| target.send(|state, id| state.send_track_frame(id, track, frame, captured)));
        taken.count()
    }

    /// Sends RTP packets, such as are forwarded, to all that listen; how many senders took any. Their payload is shared, not
    /// copied, and each connection is locked once for all of them. With a [codec](Self::with_codec), `payload_type` is each
    /// connection's own number for it; otherwise it is sent as it is.
    pub fn write_packets(&self, packets: &[OutgoingPacket]) -> usize {
        let track = &self.0.0;
        let targets = track.targets();
        let taken = targets
            .iter()
            .filter(|target| target.send(|state, id| state.send_track_packets(id, track, packets)));
        taken.count()
    }

    /// Sends one RTP packet; see [`write_packets`](Self::write_packets).
    pub fn write_packet(&self, packet: &OutgoingPacket) -> usize {
        self.write_packets(std::slice::from_ref(packet))
    }

    /// What is wanted now.
    #[must_use]
    pub fn demand(&self) -> Demand {
        self.0.0.demand()
    }

    /// Waits for the next thing that the source should know. Each is told once, also when several tasks wait.
    pub async fn next_event(&self) -> SourceEvent {
        let track = &self.0.0;
        loop {
            let mut later = None;
            let news = wait_for(&track.changed, || match track.take_news(driver::now()) {
                Told::Keyframe(rid) => Some(Some(SourceEvent::KeyframeRequest { rid })),
                Told::Demand(demand) => Some(Some(SourceEvent::Demand(demand))),
                Told::Later(due) => {
                    later = Some(due);
                    Some(None)
                }
                Told::Nothing => None,
            });
            if let Some(event) = news.await {
                return event;
            }
            let Some(due) = later else { continue };
            // More may come meanwhile that does not have to wait.
            let more = track.changed.notified();
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = more => {}
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl LocalTrack {
    /// Its id, which the peer sees as well.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What it carries.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.0.kind
    }

    /// False while it is muted by the application: what its source writes goes nowhere.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.0.enabled.load(Ordering::Relaxed)
    }

    /// Mutes it, or ends that.
    pub fn set_enabled(&self, enabled: bool) {
        self.0.enabled.store(enabled, Ordering::Relaxed);
    }

    /// True once its source is gone.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    /// Waits until its source is gone.
    pub async fn ended(&self) {
        wait_for(&self.0.changed, || self.has_ended().then_some(())).await;
    }
}

/// The same track.
impl PartialEq for LocalTrack {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LocalTrack {}

impl fmt::Debug for LocalTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalTrack")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TrackSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackSource")
            .field("track", &self.track())
            .field("demand", &self.demand())
            .finish_non_exhaustive()
    }
}

/// A random name in the form of a UUID (RFC 9562 §5.4), as browsers give to tracks. It has to be unique, not a secret: the keys
/// of a hash function serve, which are random and never the same.
fn random_id() -> String {
    let random = || u128::from(RandomState::new().build_hasher().finish());
    let mut bits = random() << 64 | random();
    bits = bits & !(0xf << 76) | 4 << 76;
    bits = bits & !(3 << 62) | 2 << 62;
    let hex = format!("{bits:032x}");
    let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &hex[range]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_differ() {
        let (one, other) = (random_id(), random_id());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "4");
        assert!("89ab".contains(&one[19..20]), "{one}");
    }
}
