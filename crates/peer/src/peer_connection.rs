//! [`PeerConnection`]: a handle on a connection and its task.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerline_connection::{
    CandidateError, Connection, ConnectionState, DataChannelInit, DtlsCloseReason, DtlsTransportState, DtmfTone,
    IceCandidate, IceConnectionState, IceGatheringState, OfferOptions, SctpTransportState, SessionDescription,
    SignalingState, StatsReport,
};

use crate::configuration::{Configuration, Network};
use crate::data_channel::DataChannel;
use crate::driver;
use crate::error::Error;
use crate::ice_servers::{IceServers, Named};
use crate::media::place::Place;
use crate::media::receiver::RtpReceiver;
use crate::media::transceiver::RtpTransceiver;
use crate::shared::{Anchor, MediaNews, News, Phase, Shared, wait_for_state};

/// A connection to another peer (`RTCPeerConnection`).
///
/// - Getters tell the present.
/// - Commands take effect at once and return at once; what follows from them is done by the connection's task.
/// - `async` methods wait for something; several tasks may wait at once, and dropping such a future cancels nothing but
///   the waiting.
///
/// It is a handle: clones are the same connection. When the last [`PeerConnection`], [`DataChannel`], [`RtpTransceiver`],
/// [`RtpSender`](crate::RtpSender) and [`RtpReceiver`] of a connection are dropped, it closes, and its task, sockets and memory
/// are freed; a [`TrackSource`](crate::TrackSource) does not keep it. While only channels and the like are left, they work on,
/// but channels that the other peer opens are closed, and its new tracks not kept, since nobody could ever see them.
#[derive(Clone)]
pub struct PeerConnection(Arc<Listener>);

/// News of a connection, as [`PeerConnection::next_event`] gives them.
#[derive(Debug)]
pub enum PeerEvent {
    /// An offer is needed: a first data channel was created, tracks or directions have changed, or ICE has to restart.
    NegotiationNeeded,
    /// The signaling state changed.
    SignalingState(SignalingState),
    /// The gathering state changed.
    IceGatheringState(IceGatheringState),
    /// The ICE connection state changed.
    IceConnectionState(IceConnectionState),
    /// The connection state changed.
    ConnectionState(ConnectionState),
    /// Another path is in use, or none: [`IceTransport::selected_candidate_pair`](crate::IceTransport::selected_candidate_pair)
    /// (`selectedcandidatepairchange`).
    SelectedCandidatePair,
    /// The state of the [`DtlsTransport`](crate::DtlsTransport) changed.
    DtlsTransportState(DtlsTransportState),
    /// DTLS has failed: why, with the alerts that were sent and received (`error` of `RTCDtlsTransport`).
    DtlsTransportError(DtlsCloseReason),
    /// The state of the [`SctpTransport`](crate::SctpTransport) changed. Once it is connected, its
    /// [`max_channels`](crate::SctpTransport::max_channels) is known.
    SctpTransportState(SctpTransportState),
    /// A candidate to be sent to the other peer; `None` after the last one.
    IceCandidate(Option<IceCandidate>),
    /// An ICE server has not given a candidate (`icecandidateerror`): it refused, stayed silent, or was not found.
    IceCandidateError(CandidateError),
    /// The other peer opened a data channel. It is open; dropping it closes it.
    DataChannel(DataChannel),
    /// The other peer sends media, or says that what it sends belongs to more streams (`track`).
    Track(TrackEvent),
    /// What the other peer sends no longer belongs to these streams (`removetrack`).
    TrackRemoved {
        /// Who receives it.
        transceiver: RtpTransceiver,
        /// The streams that it has left, by their ids.
        streams: Vec<String>,
    },
    /// The other peer no longer sends what this one receives (`mute`).
    TrackMuted(RtpTransceiver),
    /// The first packet has come, or the first after the track was muted (`unmute`).
    TrackUnmuted(RtpTransceiver),
    /// The transceiver was stopped, here or by the other peer (`ended`).
    TrackEnded(RtpTransceiver),
    /// A key was pressed at the other peer.
    DtmfTone {
        /// Who heard it.
        transceiver: RtpTransceiver,
        /// Which key, and for how long.
        tone: DtmfTone,
    },
    /// What the path to the other peer takes, all tracks together, in bits a second: as estimated by what that tells of each packet
    /// (transport-wide feedback), or as it says itself (REMB), whichever is less. Only the latest is told. A source is told its
    /// part of it by [`Demand::bitrate`](crate::Demand::bitrate).
    BandwidthEstimate(u64),
}

/// What a new track is told with (`RTCTrackEvent`).
#[derive(Clone, Debug)]
pub struct TrackEvent {
    /// Who receives it; its sender can send to the other peer in the same media section.
    pub transceiver: RtpTransceiver,
    /// Its receiver. Nothing is kept of what comes once it, and all others of the track, are dropped.
    pub receiver: RtpReceiver,
    /// The streams that the track belongs to, by their ids. Tracks of one stream are to be played in sync.
    pub streams: Vec<String>,
}

impl PeerConnection {
    /// Creates a connection and starts its task on the current tokio runtime.
    ///
    /// # Errors
    /// [`Error::IceServer`] for servers and [`Error::ExternalAddress`] for addresses that cannot be used; [`Error::NoRuntime`] outside of a tokio runtime;
    /// [`Error::Certificate`] or [`Error::Randomness`] if the system cannot
    /// make keys.
    ///
    /// # Panics
    /// If the runtime was built without I/O or time.
    #[expect(
        clippy::unused_async,
        reason = "keys may come from elsewhere one day, and the caller needs a runtime anyway"
    )]
    pub async fn new(configuration: Configuration) -> Result<Self, Error> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let kept = Mutex::new(Box::new(configuration.clone()));
        let connection = Connection::new(driver::now(), configuration.connection()?);
        let shared = Shared::new(connection, configuration.buffered_amount_high_water_mark);
        let pool_size = configuration.ice_candidate_pool_size;
        shared.update(|state, now| state.connection.set_ice_candidate_pool_size(now, pool_size))?;
        runtime.spawn(driver::run(Arc::clone(&shared), Network::new(configuration)?));
        Ok(Self(Arc::new(Listener {
            anchor: Anchor::new(shared),
            configuration: kept,
        })))
    }

    /// What the connection was made with, and [`set_configuration`](Self::set_configuration) has changed since (`getConfiguration`).
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        Configuration::clone(&self.0.configuration())
    }

    /// Changes the ICE servers, with `turn_tls`, the transport policy, and the size of the candidate pool (`setConfiguration`).
    /// Everything else of a connection is what it was made with, whatever this configuration says.
    ///
    /// Servers that are new are asked when candidates are gathered: with the first description or, after that, with an ICE restart, which
    /// the next offer brings if anything about the servers has changed. Those in use serve on, but those that are named no longer are
    /// not connected to again, nor asked from new sockets. As long as there was no description, what was gathered in advance
    /// ([`ice_candidate_pool_size`](Configuration::ice_candidate_pool_size)) is discarded instead, and gathered anew. Another transport
    /// policy counts from then on as well; once there was a description, the next offer restarts ICE for it, too.
    ///
    /// # Errors
    /// [`Error::IceServer`] for servers that cannot be used; `InvalidModificationError` for another size of the pool after a local
    /// description was set, and for another certificate than the connection has; `InvalidStateError` when closed. Nothing is changed
    /// then.
    pub fn set_configuration(&self, configuration: &Configuration) -> Result<(), Error> {
        let servers = IceServers {
            named: Named::all(&configuration.ice_servers)?,
            tls: configuration.turn_tls.clone(),
        };
        let mut kept = self.0.configuration();
        let is_same_tls = match (&kept.turn_tls, &configuration.turn_tls) {
            (Some(before), Some(after)) => Arc::ptr_eq(before, after),
            (before, after) => before.is_none() && after.is_none(),
        };
        let are_others = kept.ice_servers != configuration.ice_servers || !is_same_tls;
        self.shared().update(|state, now| {
            let other = |certificate: &Arc<_>| !state.connection.has_certificate(certificate);
            if !state.connection.is_closed() && configuration.certificate.as_ref().is_some_and(other) {
                return Err(peerline_connection::Error::OtherCertificate.into());
            }
            let pool_size = configuration.ice_candidate_pool_size;
            // Before it may have them asked for.
            let before = state.ice_servers.replace(Box::new(servers));
            if let Err(error) = state.connection.set_ice_candidate_pool_size(now, pool_size) {
                state.ice_servers = before;
                return Err(error.into());
            }
            if are_others {
                state.servers_discarded |= state.connection.ice_servers_changed(now);
            }
            let policy = configuration.ice_transport_policy;
            Ok::<_, Error>(state.connection.set_ice_transport_policy(now, policy)?)
        })?;
        kept.ice_servers.clone_from(&configuration.ice_servers);
        kept.turn_tls.clone_from(&configuration.turn_tls);
        kept.ice_candidate_pool_size = configuration.ice_candidate_pool_size;
        kept.ice_transport_policy = configuration.ice_transport_policy;
        Ok(())
    }

    /// Creates a data channel. The first one makes negotiation necessary; later ones open without it.
    ///
    /// # Errors
    /// `InvalidStateError` when closed; `TypeError` for parameters out of range; `OperationError` when no id is left.
    pub fn create_data_channel(&self, label: &str, init: DataChannelInit) -> Result<DataChannel, Error> {
        let (facts, signals) = self.shared().update(|state, now| {
            let id = state.connection.create_data_channel(now, label, init)?;
            let facts = state.facts(id).ok_or(peerline_connection::Error::Closed)?;
            Ok::<_, Error>((facts, Arc::clone(state.channels.entry(id).or_default())))
        })?;
        Ok(DataChannel::new(Arc::clone(&self.0.anchor), facts, signals))
    }

    /// An offer of what this connection has.
    ///
    /// # Errors
    /// `InvalidStateError` when closed.
    pub fn create_offer(&self) -> Result<SessionDescription, Error> {
        self.create_offer_with(OfferOptions::default())
    }

    /// An offer with options, such as an ICE restart.
    ///
    /// # Errors
    /// `InvalidStateError` when closed.
    pub fn create_offer_with(&self, options: OfferOptions) -> Result<SessionDescription, Error> {
        self.shared()
            .update(|state, _| Ok(state.connection.create_offer(options)?))
    }

    /// An answer to the offer set as remote description.
    ///
    /// # Errors
    /// `InvalidStateError` when there is no such offer, or when closed.
    pub fn create_answer(&self) -> Result<SessionDescription, Error> {
        self.shared().update(|state, _| Ok(state.connection.create_answer()?))
    }

    /// Applies what [`create_offer`](Self::create_offer) or [`create_answer`](Self::create_answer) returned, unchanged. `None` creates
    /// and applies whichever fits the signaling state.
    ///
    /// # Errors
    /// `InvalidStateError` when it does not fit the signaling state; `InvalidModificationError` when it was changed.
    pub fn set_local_description(&self, description: impl Into<Option<SessionDescription>>) -> Result<(), Error> {
        let description = description.into();
        self.shared()
            .update_media(|state, now| Ok(state.connection.set_local_description(now, description)?))
    }

    /// Applies what the other peer sent.
    ///
    /// # Errors
    /// `InvalidStateError` when it does not fit the signaling state; `OperationError` or `InvalidAccessError` when the SDP is
    /// wrong, saying where.
    pub fn set_remote_description(&self, description: SessionDescription) -> Result<(), Error> {
        self.shared()
            .update_media(|state, now| Ok(state.connection.set_remote_description(now, description)?))
    }

    /// Adds a candidate that the other peer sent; `None` says that there are no more.
    ///
    /// # Errors
    /// `InvalidStateError` without a remote description; `OperationError` when the candidate is wrong.
    pub fn add_ice_candidate(&self, candidate: impl Into<Option<IceCandidate>>) -> Result<(), Error> {
        let candidate = candidate.into();
        self.shared()
            .update(|state, now| Ok(state.connection.add_ice_candidate(now, candidate)?))
    }

    /// Tells the other peer how much all that it sends together may take, in bits a second (REMB); `None` to say nothing any more. It
    /// is told of streams whose codec has `goog-remb` agreed on, as browsers have it for video. Not in W3C's API: browsers tell what
    /// they estimate.
    pub fn set_max_receive_bitrate(&self, bitrate: impl Into<Option<u64>>) {
        let bitrate = bitrate.into();
        self.shared()
            .update(|state, now| state.connection.set_max_receive_bitrate(now, bitrate));
    }

    /// Makes the next offer restart ICE.
    pub fn restart_ice(&self) {
        self.shared().update(|state, _| state.connection.restart_ice());
    }

    /// Closes the connection and all its channels. The other peer is told.
    pub fn close(&self) {
        self.shared().close();
    }

    /// The next thing that happened; `None` once the connection has ended and everything was told. Each is told once,
    /// also when several tasks wait.
    pub async fn next_event(&self) -> Option<PeerEvent> {
        let shared = self.shared();
        let (news, signals) = wait_for_state(shared, &shared.news, |state| {
            let Some(news) = state.next_news() else {
                return (state.phase == Phase::Ended).then_some(None);
            };
            let signals = match &news {
                News::DataChannel(facts) => Arc::clone(state.channels.entry(facts.id).or_default()),
                _ => Arc::default(),
            };
            Some(Some((news, signals)))
        })
        .await?;
        // Handles are made when the state is not locked: to drop one locks it.
        Some(match news {
            News::NegotiationNeeded => PeerEvent::NegotiationNeeded,
            News::SignalingState(state) => PeerEvent::SignalingState(state),
            News::IceGatheringState(state) => PeerEvent::IceGatheringState(state),
            News::IceConnectionState(state) => PeerEvent::IceConnectionState(state),
            News::ConnectionState(state) => PeerEvent::ConnectionState(state),
            News::SelectedCandidatePair => PeerEvent::SelectedCandidatePair,
            News::DtlsTransportState(state) => PeerEvent::DtlsTransportState(state),
            News::DtlsTransportError(reason) => PeerEvent::DtlsTransportError(reason),
            News::SctpTransportState(state) => PeerEvent::SctpTransportState(state),
            News::IceCandidateError(error) => PeerEvent::IceCandidateError(*error),
            News::IceCandidate(candidate) => PeerEvent::IceCandidate(candidate.map(|candidate| *candidate)),
            News::BandwidthEstimate(estimate) => PeerEvent::BandwidthEstimate(estimate),
            News::DataChannel(facts) => {
                PeerEvent::DataChannel(DataChannel::new(Arc::clone(&self.0.anchor), *facts, signals))
            }
            News::Media(media) => {
                let (subject, news) = *media;
                media_event(news, Place::of(&self.0.anchor, subject))
            }
        })
    }

    /// Waits until all local candidates are known, so that [`local_description`](Self::local_description) has them all: for
    /// signalling that carries one message each way. Gathering starts with the local description. Also returns when the connection
    /// closes.
    pub async fn gathering_complete(&self) {
        let shared = self.shared();
        wait_for_state(shared, &shared.changed, |state| {
            let complete = state.connection.ice_gathering_state() == IceGatheringState::Complete;
            (complete || state.phase != Phase::Running).then_some(())
        })
        .await;
    }

    /// Waits until the connection is closed, by either side, and its last datagram has been given to the system.
    pub async fn closed(&self) {
        let shared = self.shared();
        wait_for_state(shared, &shared.changed, |state| {
            (state.phase == Phase::Ended).then_some(())
        })
        .await;
    }

    /// The state of ICE and DTLS together.
    #[must_use]
    pub fn connection_state(&self) -> ConnectionState {
        self.shared().lock().connection.connection_state()
    }

    /// The state of ICE.
    #[must_use]
    pub fn ice_connection_state(&self) -> IceConnectionState {
        self.shared().lock().connection.ice_connection_state()
    }

    /// How far the gathering of candidates is.
    #[must_use]
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        self.shared().lock().connection.ice_gathering_state()
    }

    /// Where the exchange of offers and answers stands.
    #[must_use]
    pub fn signaling_state(&self) -> SignalingState {
        self.shared().lock().connection.signaling_state()
    }

    /// The local description, pending or else current, with the candidates gathered so far.
    #[must_use]
    pub fn local_description(&self) -> Option<SessionDescription> {
        let state = self.shared().lock();
        state
            .connection
            .pending_local_description()
            .or_else(|| state.connection.current_local_description())
    }

    /// The remote description, pending or else current, with the candidates added so far.
    #[must_use]
    pub fn remote_description(&self) -> Option<SessionDescription> {
        let state = self.shared().lock();
        state
            .connection
            .pending_remote_description()
            .or_else(|| state.connection.current_remote_description())
    }

    /// The local description last agreed on.
    #[must_use]
    pub fn current_local_description(&self) -> Option<SessionDescription> {
        self.shared().lock().connection.current_local_description()
    }

    /// The local description under negotiation.
    #[must_use]
    pub fn pending_local_description(&self) -> Option<SessionDescription> {
        self.shared().lock().connection.pending_local_description()
    }

    /// The remote description last agreed on.
    #[must_use]
    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        self.shared().lock().connection.current_remote_description()
    }

    /// The remote description under negotiation.
    #[must_use]
    pub fn pending_remote_description(&self) -> Option<SessionDescription> {
        self.shared().lock().connection.pending_remote_description()
    }

    /// True if the other peer's description says that it takes candidates one by one. If not, it is to get a description that has
    /// them all: see [`gathering_complete`](Self::gathering_complete). `None` without a remote description
    /// (`canTrickleIceCandidates`).
    #[must_use]
    pub fn can_trickle_ice_candidates(&self) -> Option<bool> {
        self.shared().lock().connection.can_trickle_ice_candidates()
    }

    /// Statistics under their W3C names.
    #[must_use]
    pub fn stats(&self) -> StatsReport {
        self.shared().lock().connection.stats(driver::now())
    }

    pub(crate) fn anchor(&self) -> &Arc<Anchor> {
        &self.0.anchor
    }

    fn shared(&self) -> &Shared {
        &self.0.anchor
    }
}

fn media_event(news: MediaNews, place: Place) -> PeerEvent {
    let transceiver = RtpTransceiver(place);
    match news {
        MediaNews::Track(streams) => PeerEvent::Track(TrackEvent {
            receiver: RtpReceiver::counted(transceiver.0.clone()),
            transceiver,
            streams,
        }),
        MediaNews::TrackRemoved(streams) => PeerEvent::TrackRemoved { transceiver, streams },
        MediaNews::Muted => PeerEvent::TrackMuted(transceiver),
        MediaNews::Unmuted => PeerEvent::TrackUnmuted(transceiver),
        MediaNews::Ended => PeerEvent::TrackEnded(transceiver),
        MediaNews::DtmfTone(tone) => PeerEvent::DtmfTone { transceiver, tone },
    }
}

impl fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConnection")
            .field("connection_state", &self.connection_state())
            .field("signaling_state", &self.signaling_state())
            .finish_non_exhaustive()
    }
}

/// Somebody who can read news. Channels that nobody will ever see are closed when the last one goes.
struct Listener {
    anchor: Arc<Anchor>,
    /// As it was given. It is locked before the connection's state is, if both are.
    configuration: Mutex<Box<Configuration>>,
}

impl Listener {
    fn configuration(&self) -> MutexGuard<'_, Box<Configuration>> {
        self.configuration.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.anchor.update(|state, now| {
            state.listening = false;
            for news in std::mem::take(&mut state.news) {
                match news {
                    News::DataChannel(facts) => {
                        state.channels.remove(&facts.id);
                        if state.phase == Phase::Running {
                            state.connection.close_channel(now, facts.id);
                        }
                    }
                    News::Media(media) => {
                        if let (subject, MediaNews::Track(_)) = *media {
                            state.remove_reader(subject.id);
                        }
                    }
                    _ => {}
                }
            }
        });
    }
}
