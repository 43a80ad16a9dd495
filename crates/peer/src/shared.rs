//! What handles and the driver share: one connection behind one mutex, and who waits for what.
//!
//! Ownership runs one way. Handles hold an [`Anchor`], the driver holds only [`Shared`]. When the last anchor is dropped the
//! connection closes, the driver says goodbye to the peer and ends, and with it the sockets, the timers and the
//! connection itself are freed. Nothing that `Shared` owns holds an anchor, so there is no cycle.

mod news;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::Waker;
use std::time::Instant;

use peerline_connection::{ChannelId, Connection, ConnectionState, DataChannelState, Event, TransceiverId};
use tokio::sync::Notify;

use crate::alarms::Alarm;
use crate::driver::{self, Armed};
use crate::ice_servers::{Alternate, IceServers, Streams};
use crate::ice_tcp::Connections;
use crate::inlet::Inlet;
use crate::media::slots::{MediaSignals, Slots};

pub(crate) use news::{MediaNews, News, Subject};

/// In this order in memory: what an endpoint asks of a connection with every datagram stands together, beside the counters of its
/// owners. Of thousands that rest, each line that is asked for comes from memory.
#[repr(C)]
pub(crate) struct Shared {
    pub(crate) inlet: Inlet,
    state: Mutex<State>,
    /// News for `next_event`.
    pub(crate) news: Notify,
    /// The gathering state or the phase changed.
    pub(crate) changed: Notify,
}

/// In this order, as [`Shared`] is.
#[repr(C)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// How to wake the driver; `None` while it runs or has been woken.
    pub(crate) driver: Option<Waker>,
    /// Channels on which `send` waits for room.
    pub(crate) full: Vec<ChannelId>,
    /// The driver is not done with sending: the machine had more than it took, or a socket is full.
    pub(crate) sending: bool,
    /// Somebody can still read news.
    pub(crate) listening: bool,
    /// Sockets are wanted.
    pub(crate) gather: bool,
    /// Addresses to connect from over TCP are of use.
    pub(crate) gather_tcp: bool,
    /// The ICE servers, if they are others than those that the connection was made with.
    pub(crate) ice_servers: Option<Box<IceServers>>,
    /// What the servers before those have given is given back: nothing of them is to be told any more.
    pub(crate) servers_discarded: bool,
    /// Interfaces of this host have come or gone.
    pub(crate) network_changed: bool,
    /// ICE sessions may have begun or ended, or paths changed.
    pub(crate) transport_changed: bool,
    /// The driver has sockets that nobody else knows.
    pub(crate) has_sockets: bool,
    /// Connections to the peer over TCP.
    pub(crate) tcp: Option<Box<Connections>>,
    /// Names to be resolved.
    pub(crate) names: Vec<String>,
    /// The deadline for which a timer is set, be it the driver's or the endpoint's.
    pub(crate) alarm: Option<Instant>,
    /// When the endpoint looks at the connection.
    pub(crate) watch: Option<Watch>,
    pub(crate) connection: Connection,
    pub(crate) news: VecDeque<News>,
    /// The channels that have handles, or will have when their news is read.
    pub(crate) channels: BTreeMap<ChannelId, Arc<Signals>>,
    /// What handles on transceivers share.
    pub(crate) slots: Slots,
    /// This very state, as sources know it.
    pub(crate) own: Weak<Shared>,
    pub(crate) high_water_mark: usize,
    /// Connections to TURN servers.
    pub(crate) streams: Option<Box<Streams>>,
    /// When the driver ran last, or was woken.
    woken: Option<Instant>,
}

/// An alarm of the endpoint, and what it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    pub(crate) armed: Armed,
    pub(crate) alarm: Alarm,
}

/// Where the driver stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// The connection is closed; what it has left to say is being sent.
    Closing(Instant),
    /// The driver is gone.
    Ended,
}

/// What never changes about a channel.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) id: ChannelId,
    pub(crate) label: String,
    pub(crate) protocol: String,
    pub(crate) ordered: bool,
    pub(crate) max_retransmits: Option<u16>,
    pub(crate) max_packet_life_time: Option<u16>,
    pub(crate) negotiated: bool,
}

/// Who waits on a channel. Any number of tasks may.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// There is something to receive, or never will be.
    pub(crate) readable: Notify,
    /// There may be room to send.
    pub(crate) writable: Notify,
    /// The state, or what is buffered, changed.
    pub(crate) changed: Notify,
}

impl Signals {
    pub(crate) fn wake_all(&self) {
        self.readable.notify_waiters();
        self.writable.notify_waiters();
        self.changed.notify_waiters();
    }
}

/// Wake-ups collected while the state is locked, to be done when it no longer is.
#[derive(Default)]
pub(crate) struct Wakes {
    news: bool,
    changed: bool,
    readable: Vec<Arc<Signals>>,
    writable: Vec<Arc<Signals>>,
    all: Vec<Arc<Signals>>,
    media_readable: Vec<Arc<MediaSignals>>,
    media_sender: Vec<Arc<MediaSignals>>,
    media_all: Vec<Arc<MediaSignals>>,
}

impl Wakes {
    pub(crate) fn wake(&mut self, shared: &Shared) {
        if std::mem::take(&mut self.news) {
            shared.news.notify_waiters();
        }
        if std::mem::take(&mut self.changed) {
            shared.changed.notify_waiters();
        }
        self.readable
            .drain(..)
            .for_each(|signals| signals.readable.notify_waiters());
        self.writable
            .drain(..)
            .for_each(|signals| signals.writable.notify_waiters());
        self.all.drain(..).for_each(|signals| signals.wake_all());
        self.media_readable
            .drain(..)
            .for_each(|signals| signals.readable.notify_waiters());
        self.media_sender
            .drain(..)
            .for_each(|signals| signals.sender.notify_waiters());
        self.media_all.drain(..).for_each(|signals| signals.wake_all());
    }

    /// A receiver has something to receive.
    pub(crate) fn media_readable(&mut self, signals: &Arc<MediaSignals>) {
        self.media_readable.push(Arc::clone(signals));
    }

    /// There is news about what is sent.
    pub(crate) fn media_sender(&mut self, signals: &Arc<MediaSignals>) {
        self.media_sender.push(Arc::clone(signals));
    }

    /// A transceiver is not what it was.
    pub(crate) fn media_all(&mut self, signals: &Arc<MediaSignals>) {
        self.media_all.push(Arc::clone(signals));
    }
}

impl Shared {
    pub(crate) fn new(connection: Connection, high_water_mark: usize) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            state: Mutex::new(State::new(connection, high_water_mark, Weak::clone(own))),
            inlet: Inlet::default(),
            news: Notify::new(),
            changed: Notify::new(),
        })
    }

    /// The state, for a moment: the guard must not live across an `.await`.
    ///
    /// A panic elsewhere does not make it unusable, so that handles can still be dropped.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, unless somebody else has it just now.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Changes something, and wakes the driver to see to the consequences.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state, driver::now());
        wake_driver(state);
        result
    }

    /// Closes the connection; the driver then ends.
    pub(crate) fn close(&self) {
        let (channels, media) = self.update(|state, now| {
            if state.phase == Phase::Running {
                state.connection.close(now);
                state.phase = Phase::Closing(now);
            }
            state.detach_tracks();
            state.everyone()
        });
        self.wake_everyone(&channels, &media);
    }

    /// The driver is gone: nothing will happen any more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        // After a panic in the machine it is left alone: a second one would take the process with it.
        if !std::thread::panicking() {
            if state.phase == Phase::Running {
                state.connection.close(driver::now());
            }
            state.digest(&mut Wakes::default());
        }
        state.phase = Phase::Ended;
        state.tcp = None;
        state.detach_tracks();
        let (channels, media) = state.everyone();
        drop(state);
        self.wake_everyone(&channels, &media);
    }

    fn wake_everyone(&self, channels: &[Arc<Signals>], media: &[Arc<MediaSignals>]) {
        self.news.notify_waiters();
        self.changed.notify_waiters();
        channels.iter().for_each(|signals| signals.wake_all());
        media.iter().for_each(|signals| signals.wake_all());
    }
}

impl State {
    fn new(connection: Connection, high_water_mark: usize, own: Weak<Shared>) -> Self {
        Self {
            connection,
            phase: Phase::Running,
            news: VecDeque::new(),
            channels: BTreeMap::new(),
            slots: Slots::new(),
            own,
            full: Vec::new(),
            high_water_mark,
            listening: true,
            gather: false,
            gather_tcp: false,
            ice_servers: None,
            servers_discarded: false,
            network_changed: false,
            transport_changed: false,
            has_sockets: false,
            streams: None,
            tcp: None,
            names: Vec::new(),
            driver: None,
            sending: false,
            alarm: None,
            watch: None,
            woken: None,
        }
    }

    /// Reads the connection's events: news for the application, work for the driver, wake-ups for who waits.
    pub(crate) fn digest(&mut self, wakes: &mut Wakes) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::NegotiationNeeded => self.tell(News::NegotiationNeeded, wakes),
                Event::SignalingStateChange(state) => {
                    self.transport_changed = true;
                    self.tell(News::SignalingState(state), wakes);
                }
                Event::IceGatheringStateChange(state) => {
                    wakes.changed = true;
                    self.tell(News::IceGatheringState(state), wakes);
                }
                Event::IceConnectionStateChange(state) => {
                    self.transport_changed = true;
                    self.tell(News::IceConnectionState(state), wakes);
                }
                Event::ConnectionStateChange(state) => {
                    self.tell(News::ConnectionState(state), wakes);
                    self.refresh_media(wakes);
                }
                Event::SelectedCandidatePairChange => self.tell(News::SelectedCandidatePair, wakes),
                Event::DtlsTransportStateChange(state) => self.tell(News::DtlsTransportState(state), wakes),
                Event::DtlsTransportError(reason) => self.tell(News::DtlsTransportError(reason), wakes),
                Event::SctpTransportStateChange(state) => self.tell(News::SctpTransportState(state), wakes),
                Event::IceCandidate(candidate) => self.tell(News::IceCandidate(candidate.map(Box::new)), wakes),
                Event::IceCandidateError(error) => self.tell(News::IceCandidateError(Box::new(error)), wakes),
                Event::Gather => self.gather = true,
                Event::TcpAddressesWanted => self.gather_tcp = true,
                Event::IceServerRedirect { path, server, domain } => {
                    if let Some(streams) = &self.streams {
                        streams.redirect(&path, Alternate { server, domain });
                    }
                }
                Event::ResolveName(name) => self.names.push(name),
                Event::TcpConnect(path) => self.tcp.get_or_insert_default().connect(path),
                Event::TcpClose(path) => self.tcp.iter_mut().for_each(|tcp| tcp.close(&path)),
                Event::Track { transceiver, streams } => self.welcome_track(transceiver, streams, wakes),
                Event::TrackRemoved { transceiver, streams } => {
                    self.tell_media(transceiver, MediaNews::TrackRemoved(streams), wakes);
                }
                Event::TrackMuted(id) => {
                    self.on_track_muted(id, wakes);
                    self.tell_media(id, MediaNews::Muted, wakes);
                }
                Event::TrackEnded(id) => {
                    self.on_track_ended(id, wakes);
                    self.tell_media(id, MediaNews::Ended, wakes);
                }
                Event::MediaReadable(id) => {
                    if self.on_media_readable(id, wakes) {
                        self.tell_media(id, MediaNews::Unmuted, wakes);
                    }
                }
                Event::KeyframeRequest(id, rid) => self.on_keyframe_request(id, rid, wakes),
                Event::BandwidthEstimate(estimate) => {
                    self.aim_media();
                    self.tell(News::BandwidthEstimate(estimate), wakes);
                }
                Event::DtmfTone(id, tone) => self.tell_media(id, MediaNews::DtmfTone(tone), wakes),
                Event::ToneChange(id, tone) => self.on_tone_change(id, tone, wakes),
                Event::DataChannel(id) => self.welcome(id, wakes),
                Event::ChannelReadable(id) => wakes.readable.extend(self.channels.get(&id).cloned()),
                // Without a handle nobody will ever ask for it again.
                Event::ChannelClosed(id) if !self.channels.contains_key(&id) => {
                    self.connection.forget_channel(id);
                }
                Event::ChannelOpen(id)
                | Event::ChannelClosing(id)
                | Event::ChannelClosed(id)
                | Event::ChannelError(id)
                | Event::BufferedAmountLow(id) => wakes.all.extend(self.channels.get(&id).cloned()),
            }
        }
    }

    /// The present, or since when the driver is awake: for a message, that is as good, and to read the clock for each would take
    /// a tenth of the time of small ones.
    pub(crate) fn recently(&mut self) -> Instant {
        if self.driver.is_some() {
            self.woken = None;
        }
        *self.woken.get_or_insert_with(driver::now)
    }

    /// The driver runs.
    pub(crate) fn on_driven(&mut self, now: Instant) {
        self.woken = Some(now);
    }

    /// The driver sleeps with nothing to send, nobody waits for room, and nothing is being closed.
    pub(crate) fn is_resting(&self) -> bool {
        self.driver.is_some()
            && !self.has_sockets
            && !self.sending
            && self.full.is_empty()
            && self.phase == Phase::Running
    }

    /// What happened behind the driver's back is its business: news that only it can act on.
    pub(crate) fn needs_driver(&self) -> bool {
        self.gather
            || self.gather_tcp
            || self.transport_changed
            || !self.names.is_empty()
            || self.tcp.as_ref().is_some_and(|tcp| tcp.has_jobs())
            || self.connection.connection_state() == ConnectionState::Closed
    }

    /// Wakes senders whose channel has room again, or never will have.
    pub(crate) fn unblock_senders(&mut self, wakes: &mut Wakes) {
        let Self {
            full,
            channels,
            connection,
            high_water_mark,
            ..
        } = self;
        full.retain(|id| {
            // At half the mark, so that a sender is woken for many messages, not for each.
            let is_full = connection.channel(*id).is_some_and(|channel| {
                channel.ready_state() == DataChannelState::Open && channel.buffered_amount() > *high_water_mark / 2
            });
            if !is_full {
                wakes.writable.extend(channels.get(id).cloned());
            }
            is_full
        });
    }

    fn everyone(&self) -> (Vec<Arc<Signals>>, Vec<Arc<MediaSignals>>) {
        (
            self.channels.values().cloned().collect(),
            self.slots.everyone().collect(),
        )
    }

    pub(crate) fn facts(&self, id: ChannelId) -> Option<Facts> {
        let channel = self.connection.channel(id)?;
        Some(Facts {
            id,
            label: channel.label().to_owned(),
            protocol: channel.protocol().to_owned(),
            ordered: channel.ordered(),
            max_retransmits: channel.max_retransmits(),
            max_packet_life_time: channel.max_packet_life_time(),
            negotiated: channel.negotiated(),
        })
    }

    pub(crate) fn ready_state(&self, id: ChannelId) -> DataChannelState {
        if self.phase != Phase::Running {
            return DataChannelState::Closed;
        }
        self.connection
            .channel(id)
            .map_or(DataChannelState::Closed, |channel| channel.ready_state())
    }

    /// `send` has to wait.
    pub(crate) fn is_full(&self, id: ChannelId) -> bool {
        self.phase == Phase::Running
            && self.connection.channel(id).is_some_and(|channel| {
                channel.ready_state() == DataChannelState::Open && channel.buffered_amount() > self.high_water_mark
            })
    }

    pub(crate) fn buffered_amount(&self, id: ChannelId) -> usize {
        self.connection
            .channel(id)
            .map_or(0, |channel| channel.buffered_amount())
    }

    /// The peer opened a channel: it is news if somebody listens, else it would fill up unread, so it is closed.
    fn welcome(&mut self, id: ChannelId, wakes: &mut Wakes) {
        match self.facts(id) {
            Some(facts) if self.listening => {
                self.channels.insert(id, Arc::default());
                self.tell(News::DataChannel(Box::new(facts)), wakes);
            }
            _ => self.connection.close_channel(driver::now(), id),
        }
    }

    /// The peer sends a track: what comes is kept until the news of it is read, and as long as there is a handle then.
    fn welcome_track(&mut self, id: TransceiverId, streams: Vec<String>, wakes: &mut Wakes) {
        if self.listening {
            self.add_reader(id);
            self.tell_media(id, MediaNews::Track(streams), wakes);
        }
    }

    fn tell_media(&mut self, id: TransceiverId, news: MediaNews, wakes: &mut Wakes) {
        if let Some((kind, signals)) = self.transceiver_signals(id) {
            let subject = Subject { id, kind, signals };
            self.tell(News::Media(Box::new((subject, news))), wakes);
        }
    }
}

/// Keeps a connection alive; see the [module](self).
pub(crate) struct Anchor(Arc<Shared>);

impl Anchor {
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self(shared))
    }
}

impl Deref for Anchor {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Unlocks the state and wakes the driver.
pub(crate) fn wake_driver(mut state: MutexGuard<'_, State>) {
    let waker = state.driver.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Waits until `attempt` has something, trying again after each notification.
pub(crate) async fn wait_for<T>(notify: &Notify, mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        // Created before the attempt: a notification between the two is not missed.
        let notified = notify.notified();
        if let Some(result) = attempt() {
            return result;
        }
        notified.await;
    }
}

/// The same, for futures that only have to look at the state.
pub(crate) fn wait_for_state<'a, T: 'a>(
    shared: &'a Shared,
    notify: &'a Notify,
    mut look: impl FnMut(&mut State) -> Option<T> + 'a,
) -> impl Future<Output = T> + 'a {
    wait_for(notify, move || look(&mut shared.lock()))
}
