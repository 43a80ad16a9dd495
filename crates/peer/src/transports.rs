//! The transports of a connection: [`DtlsTransport`] over [`IceTransport`], and [`SctpTransport`] over both. There is one of each.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use peerline_connection::{
    DtlsTransportState, IceCandidate, IceCandidatePair, IceConnectionState, IceGatheringState, IceParameters, IceRole,
    NamedGroup, SctpTransportState,
};

use crate::PeerConnection;
use crate::media::place::Place;
use crate::shared::Anchor;

/// What encrypts media and messages (`RTCDtlsTransport`).
#[derive(Clone)]
pub struct DtlsTransport(Arc<Anchor>);

/// What finds a path to the peer (`RTCIceTransport`).
#[derive(Clone)]
pub struct IceTransport(Arc<Anchor>);

/// What carries data channels (`RTCSctpTransport`).
#[derive(Clone)]
pub struct SctpTransport(Arc<Anchor>);

impl PeerConnection {
    /// The transport of data channels; `None` while they were not negotiated.
    #[must_use]
    pub fn sctp(&self) -> Option<SctpTransport> {
        let state = self.anchor().lock().connection.sctp_transport_state();
        state.map(|_| SctpTransport(Arc::clone(self.anchor())))
    }
}

impl DtlsTransport {
    /// That of a transceiver, once it is bound to a media section.
    pub(crate) fn of(place: &Place) -> Option<Self> {
        let state = place.anchor.lock();
        let is_bound = state
            .connection
            .transceiver(place.id)
            .is_some_and(|found| found.mid().is_some());
        drop(state);
        is_bound.then(|| Self(Arc::clone(&place.anchor)))
    }

    /// The state of the handshake.
    #[must_use]
    pub fn state(&self) -> DtlsTransportState {
        self.0.lock().connection.dtls_transport_state()
    }

    /// The transport below.
    #[must_use]
    pub fn ice_transport(&self) -> IceTransport {
        IceTransport(Arc::clone(&self.0))
    }

    /// The certificates that the peer has shown, as DER: one, once connected.
    #[must_use]
    pub fn remote_certificates(&self) -> Vec<Bytes> {
        let state = self.0.lock();
        let certificate = state.connection.remote_certificate();
        certificate.map(Bytes::copy_from_slice).into_iter().collect()
    }

    /// The group of the key exchange, once connected: with [`NamedGroup::X25519MLKEM768`], recorded traffic does not fall to a
    /// quantum computer.
    #[must_use]
    pub fn key_exchange_group(&self) -> Option<NamedGroup> {
        self.0.lock().connection.key_exchange_group()
    }
}

impl IceTransport {
    /// The state of the checks.
    #[must_use]
    pub fn state(&self) -> IceConnectionState {
        self.0.lock().connection.ice_connection_state()
    }

    /// How far the gathering of candidates is.
    #[must_use]
    pub fn gathering_state(&self) -> IceGatheringState {
        self.0.lock().connection.ice_gathering_state()
    }

    /// Who chooses the path; `None` before it is known.
    #[must_use]
    pub fn role(&self) -> Option<IceRole> {
        self.0.lock().connection.ice_role()
    }

    /// Our candidates so far.
    #[must_use]
    pub fn local_candidates(&self) -> Vec<IceCandidate> {
        self.0.lock().connection.local_ice_candidates()
    }

    /// The peer's candidates so far.
    #[must_use]
    pub fn remote_candidates(&self) -> Vec<IceCandidate> {
        self.0.lock().connection.remote_ice_candidates()
    }

    /// The path in use; `None` before there is one.
    #[must_use]
    pub fn selected_candidate_pair(&self) -> Option<IceCandidatePair> {
        self.0.lock().connection.selected_ice_candidate_pair()
    }

    /// Our name and key.
    #[must_use]
    pub fn local_parameters(&self) -> IceParameters {
        self.0.lock().connection.local_ice_parameters()
    }

    /// The peer's name and key; `None` before its description.
    #[must_use]
    pub fn remote_parameters(&self) -> Option<IceParameters> {
        self.0.lock().connection.remote_ice_parameters()
    }
}

impl SctpTransport {
    /// The transport below.
    #[must_use]
    pub fn transport(&self) -> DtlsTransport {
        DtlsTransport(Arc::clone(&self.0))
    }

    /// The state of the association.
    #[must_use]
    pub fn state(&self) -> SctpTransportState {
        let state = self.0.lock().connection.sctp_transport_state();
        state.unwrap_or(SctpTransportState::Connecting)
    }

    /// The largest message that can be sent, in bytes.
    #[must_use]
    pub fn max_message_size(&self) -> usize {
        self.0.lock().connection.sctp_max_message_size()
    }

    /// How many data channels can be open at once; `None` before the association is up.
    #[must_use]
    pub fn max_channels(&self) -> Option<u16> {
        self.0.lock().connection.sctp_max_channels()
    }
}

macro_rules! debug_state {
    ($($name:ident)+) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("state", &self.state()).finish_non_exhaustive()
            }
        })+
    };
}

debug_state! { DtlsTransport IceTransport SctpTransport }
