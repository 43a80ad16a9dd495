//! [`Track`]: what a source and the senders that send it share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use peerline_connection::{MediaKind, RtpCodec, RtpCodecParameters, RtpEncodingParameters, TransceiverId};
use tokio::sync::Notify;

use super::clock::MediaClock;
use crate::shared::{Shared, State, wake_driver};

/// A track that is sent, and who sends it. Senders hold it, and it knows them only weakly: there is no cycle.
///
/// Its mutex may be taken while a connection's is held, never the other way round.
pub(crate) struct Track {
    pub(super) id: String,
    pub(super) kind: MediaKind,
    /// What its frames are encoded with; `None` for whatever the sender negotiates.
    pub(super) codec: Option<RtpCodec>,
    pub(super) clock: MediaClock,
    pub(super) enabled: AtomicBool,
    state: Mutex<TrackState>,
    /// There is something new for the source, or for who waits for the end.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct TrackState {
    outlets: Vec<Outlet>,
    /// The outlets that send.
    targets: Arc<[Target]>,
    demand: Demand,
    /// The source has not been told of `demand`.
    demand_changed: bool,
    /// The layers of which keyframes are wanted; `None` for all.
    requests: Vec<Option<Arc<str>>>,
    /// When the source was last told of a request.
    told: Option<Instant>,
    ended: bool,
}

/// A sender.
struct Outlet {
    target: Target,
    /// What it sends; empty while it does not.
    encodings: Vec<RtpEncodingParameters>,
    /// What its path takes of it, in bits a second.
    bitrate: Option<u64>,
}

/// Where media goes.
#[derive(Clone)]
pub(crate) struct Target {
    connection: Weak<Shared>,
    transceiver: TransceiverId,
}

/// What is wanted of a source, by all that send its track together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demand {
    /// How many senders send it now. At 0 nobody listens: the source may pause.
    pub senders: usize,
    /// The encodings to make: several, told apart by their `rid`, for simulcast. Of several senders' wishes for one encoding,
    /// the largest counts: active if one wants it, the highest `max_bitrate` and `max_framerate`, the lowest
    /// `scale_resolution_down_by`. `codec` is the one that the first sender has negotiated.
    pub encodings: Vec<RtpEncodingParameters>,
    /// What all encodings together may take at present, in bits a second, their packets' headers included: the part of this track
    /// of what the path takes, as the peer's feedback tells; of several senders' the least, since all send the same. `None` while
    /// nothing is known.
    pub bitrate: Option<u64>,
}

/// Keyframes are large: a source is not asked for one more often than this, as in browsers.
const KEYFRAME_PAUSE: Duration = Duration::from_millis(300);

/// What a source can be told.
pub(super) enum Told {
    Keyframe(Option<Arc<str>>),
    Demand(Demand),
    /// A request waits until then.
    Later(Instant),
    Nothing,
}

impl Track {
    pub(super) fn new(id: String, kind: MediaKind, codec: Option<RtpCodec>, clock: MediaClock) -> Self {
        Self {
            id,
            kind,
            codec,
            clock,
            enabled: AtomicBool::new(true),
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, TrackState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What signalling knows of it.
    pub(super) fn described(&self) -> peerline_connection::Track {
        peerline_connection::Track {
            id: self.id.clone(),
            kind: self.kind,
        }
    }

    /// Which of a sender's codecs its frames are in.
    pub(super) fn choose_codec<'a>(&self, codecs: &'a [RtpCodecParameters]) -> Option<&'a RtpCodecParameters> {
        let Some(own) = &self.codec else {
            return codecs.iter().find(|other| !other.codec.is_auxiliary());
        };
        let is_named = |other: &&RtpCodecParameters| {
            other.codec.mime_type.eq_ignore_ascii_case(&own.mime_type) && other.codec.clock_rate == own.clock_rate
        };
        let compatible = codecs.iter().find(|other| other.codec.is_compatible(own));
        // Without parameters it is any codec of that name.
        let any = own.sdp_fmtp_line.is_empty().then(|| codecs.iter().find(is_named));
        compatible.or(any.flatten())
    }

    /// Where media goes just now.
    pub(super) fn targets(&self) -> Arc<[Target]> {
        if self.enabled.load(Ordering::Relaxed) {
            Arc::clone(&self.lock().targets)
        } else {
            Arc::default()
        }
    }

    /// A sender sends these encodings of it, or none for now.
    pub(crate) fn set_outlet(
        &self,
        connection: &Weak<Shared>,
        transceiver: TransceiverId,
        encodings: Vec<RtpEncodingParameters>,
    ) {
        let mut state = self.lock();
        let known = state
            .outlets
            .iter()
            .position(|outlet| outlet.is(connection, transceiver));
        let before = known.map(|index| &state.outlets[index].encodings);
        if before == Some(&encodings) {
            return;
        }
        if self.kind == MediaKind::Video && before.is_none_or(Vec::is_empty) && !encodings.is_empty() {
            // Who begins to watch cannot begin in the middle.
            state.request(None);
        }
        match known {
            Some(index) => state.outlets[index].encodings = encodings,
            None => state.outlets.push(Outlet {
                target: Target {
                    connection: Weak::clone(connection),
                    transceiver,
                },
                encodings,
                bitrate: None,
            }),
        }
        state.update();
        drop(state);
        self.changed.notify_waiters();
    }

    /// A sender's path takes so much of it.
    pub(crate) fn set_target(&self, connection: &Weak<Shared>, transceiver: TransceiverId, bitrate: Option<u64>) {
        let mut state = self.lock();
        let mut outlets = state.outlets.iter_mut();
        let Some(outlet) = outlets.find(|outlet| outlet.is(connection, transceiver)) else {
            return;
        };
        if outlet.bitrate == bitrate {
            return;
        }
        outlet.bitrate = bitrate;
        let least = state.least_bitrate();
        if state.demand.bitrate != least {
            state.demand.bitrate = least;
            state.demand_changed = true;
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// A sender does not send it any more.
    pub(crate) fn remove_outlet(&self, connection: &Weak<Shared>, transceiver: TransceiverId) {
        let mut state = self.lock();
        state.outlets.retain(|outlet| !outlet.is(connection, transceiver));
        state.update();
        drop(state);
        self.changed.notify_waiters();
    }

    /// A peer needs a keyframe; of one layer, or of all.
    pub(crate) fn request_keyframe(&self, rid: Option<&Arc<str>>) {
        self.lock().request(rid.cloned());
        self.changed.notify_waiters();
    }

    /// The source is gone.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_waiters();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    pub(super) fn demand(&self) -> Demand {
        self.lock().demand.clone()
    }

    /// What the source is to be told next.
    pub(super) fn take_news(&self, now: Instant) -> Told {
        let mut state = self.lock();
        if std::mem::take(&mut state.demand_changed) {
            return Told::Demand(state.demand.clone());
        }
        let Some(rid) = state.requests.first().cloned() else {
            return Told::Nothing;
        };
        // Several layers that are asked for at once are told at once.
        if let Some(due) = state.told.map(|told| told + KEYFRAME_PAUSE)
            && due > now
        {
            return Told::Later(due);
        }
        state.requests.remove(0);
        if state.requests.is_empty() {
            state.told = Some(now);
        }
        Told::Keyframe(rid)
    }
}

impl TrackState {
    fn request(&mut self, rid: Option<Arc<str>>) {
        // All layers are those that were asked for before, too.
        if rid.is_none() {
            self.requests.clear();
        }
        if !self.requests.contains(&rid) && self.requests.first() != Some(&None) {
            self.requests.push(rid);
        }
    }

    /// What the narrowest path takes, of those in use.
    fn least_bitrate(&self) -> Option<u64> {
        let sending = self.outlets.iter().filter(|outlet| !outlet.encodings.is_empty());
        sending.filter_map(|outlet| outlet.bitrate).min()
    }

    /// The outlets have changed.
    fn update(&mut self) {
        let sending = || self.outlets.iter().filter(|outlet| !outlet.encodings.is_empty());
        let targets: Arc<[Target]> = sending().map(|outlet| outlet.target.clone()).collect();
        let mut demand = Demand {
            senders: targets.len(),
            encodings: Vec::new(),
            bitrate: self.least_bitrate(),
        };
        for encoding in sending().flat_map(|outlet| &outlet.encodings) {
            demand.add(encoding);
        }
        self.targets = targets;
        if demand.senders == 0 {
            self.requests.clear();
        }
        self.demand_changed |= self.demand != demand;
        self.demand = demand;
    }
}

impl Demand {
    fn add(&mut self, encoding: &RtpEncodingParameters) {
        /// The larger of two limits, of which none is the largest.
        fn larger<T: PartialOrd>(one: Option<T>, other: Option<T>) -> Option<T> {
            one.zip(other).map(|(one, other)| if one < other { other } else { one })
        }
        let Some(own) = self.encodings.iter_mut().find(|own| own.rid == encoding.rid) else {
            self.encodings.push(encoding.clone());
            return;
        };
        if !encoding.active {
            return;
        }
        if !own.active {
            *own = encoding.clone();
            return;
        }
        own.max_bitrate = larger(own.max_bitrate, encoding.max_bitrate);
        own.max_framerate = larger(own.max_framerate, encoding.max_framerate);
        let scales = own.scale_resolution_down_by.zip(encoding.scale_resolution_down_by);
        own.scale_resolution_down_by = scales.map(|(one, other)| one.min(other));
    }
}

impl Outlet {
    fn is(&self, connection: &Weak<Shared>, transceiver: TransceiverId) -> bool {
        self.target.transceiver == transceiver && self.target.connection.ptr_eq(connection)
    }
}

impl Target {
    /// Lets `send` hand media to the connection, if it is there; its driver is woken if that sleeps.
    pub(super) fn send(&self, send: impl FnOnce(&mut State, TransceiverId) -> bool) -> bool {
        let Some(connection) = self.connection.upgrade() else {
            return false;
        };
        let mut state = connection.lock();
        let sent = send(&mut state, self.transceiver);
        if sent {
            wake_driver(state);
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track() -> Track {
        Track::new("camera".into(), MediaKind::Video, None, MediaClock::start())
    }

    fn layer(rid: &str, max_bitrate: Option<u64>) -> RtpEncodingParameters {
        RtpEncodingParameters {
            rid: rid.into(),
            max_bitrate,
            ..RtpEncodingParameters::default()
        }
    }

    #[test]
    fn requests_are_told_once_and_not_too_often() {
        let (track, now) = (track(), crate::driver::now());
        let (q, h): (Arc<str>, Arc<str>) = ("q".into(), "h".into());
        for rid in [Some(&q), Some(&h), Some(&q)] {
            track.request_keyframe(rid);
        }
        for expected in [&q, &h] {
            assert!(matches!(track.take_news(now), Told::Keyframe(Some(rid)) if rid == *expected));
        }
        assert!(matches!(track.take_news(now), Told::Nothing));
        // None is lost, but those that come at once wait and become one.
        track.request_keyframe(Some(&q));
        track.request_keyframe(None);
        track.request_keyframe(Some(&h));
        let Told::Later(due) = track.take_news(now) else {
            panic!("too early");
        };
        assert_eq!(due, now + KEYFRAME_PAUSE);
        assert!(matches!(track.take_news(due), Told::Keyframe(None)));
        assert!(matches!(track.take_news(due), Told::Nothing));
    }

    #[test]
    fn the_largest_wish_counts() {
        let mut demand = Demand::default();
        demand.add(&layer("q", Some(100)));
        demand.add(&layer("q", Some(300)));
        demand.add(&layer("h", Some(500)));
        demand.add(&layer("h", None));
        let paused = RtpEncodingParameters {
            active: false,
            ..layer("f", Some(1))
        };
        demand.add(&paused);
        let limits: Vec<_> = demand
            .encodings
            .iter()
            .map(|own| (&*own.rid, own.active, own.max_bitrate))
            .collect();
        let expected = [("q", true, Some(300)), ("h", true, None), ("f", false, Some(1))];
        assert_eq!(limits, expected);
        demand.add(&layer("f", Some(9)));
        assert_eq!(demand.encodings[2], layer("f", Some(9)));
    }
}
