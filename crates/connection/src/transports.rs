//! What the transport objects of JavaScript tell (webrtc-pc §5.5, §5.6 and §6.1): one ICE transport, one DTLS transport on it, and
//! SCTP on that.

use std::fmt;

use peerline_dtls::{Certificate, HashAlgorithm, NamedGroup};
use peerline_ice as ice;

use crate::Connection;
use crate::description::IceCandidate;
use crate::event::Event;
use crate::state::{DtlsTransportState, IceRole, SctpTransportState};

/// The name and the key of one side in ICE's checks (`RTCIceParameters`).
#[derive(Clone, PartialEq, Eq)]
pub struct IceParameters {
    /// `ice-ufrag`.
    pub username_fragment: String,
    /// `ice-pwd`.
    pub password: String,
}

/// The two ends of a path (`RTCIceCandidatePair`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceCandidatePair {
    /// Ours.
    pub local: IceCandidate,
    /// The peer's.
    pub remote: IceCandidate,
}

/// The states that were told last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    dtls: DtlsTransportState,
    sctp: Option<SctpTransportState>,
}

impl Told {
    pub(crate) const NOTHING: Self = Self {
        dtls: DtlsTransportState::New,
        sctp: None,
    };
}

impl Connection {
    /// Tells of states that have changed. A transport that begins to be there says nothing (webrtc-pc §4.4.1.5).
    pub(crate) fn tell_transports(&mut self) {
        let now = Told {
            dtls: self.dtls_transport_state(),
            sctp: self.sctp_transport_state(),
        };
        let before = std::mem::replace(&mut self.told, now);
        if now.dtls != before.dtls {
            self.events.push_back(Event::DtlsTransportStateChange(now.dtls));
        }
        if let (Some(_), Some(state)) = (before.sctp, now.sctp)
            && now.sctp != before.sctp
        {
            self.events.push_back(Event::SctpTransportStateChange(state));
        }
    }

    /// `RTCIceTransport.role`: who chooses the path; none before it is known.
    #[must_use]
    pub fn ice_role(&self) -> Option<IceRole> {
        self.ice.remote_credentials()?;
        Some(match self.ice.role() {
            ice::Role::Controlling => IceRole::Controlling,
            ice::Role::Controlled => IceRole::Controlled,
        })
    }

    /// `RTCIceTransport.getLocalCandidates()`: those of the present session.
    #[must_use]
    pub fn local_ice_candidates(&self) -> Vec<IceCandidate> {
        let candidates = self.ice.local_candidates();
        candidates
            .map(|candidate| self.signalled(candidate, Side::Local))
            .collect()
    }

    /// `RTCIceTransport.getRemoteCandidates()`: those of the present session.
    #[must_use]
    pub fn remote_ice_candidates(&self) -> Vec<IceCandidate> {
        let candidates = self.ice.remote_candidates();
        candidates
            .map(|candidate| self.signalled(candidate, Side::Remote))
            .collect()
    }

    /// `RTCIceTransport.getSelectedCandidatePair()`: the path in use.
    #[must_use]
    pub fn selected_ice_candidate_pair(&self) -> Option<IceCandidatePair> {
        let pair = self.ice.selected_pair()?;
        Some(IceCandidatePair {
            local: self.signalled(&pair.local, Side::Local),
            remote: self.signalled(&pair.remote, Side::Remote),
        })
    }

    /// `RTCIceTransport.getLocalParameters()`.
    #[must_use]
    pub fn local_ice_parameters(&self) -> IceParameters {
        IceParameters::from(self.ice.local_credentials())
    }

    /// `RTCIceTransport.getRemoteParameters()`: none before the peer's description.
    #[must_use]
    pub fn remote_ice_parameters(&self) -> Option<IceParameters> {
        self.ice.remote_credentials().map(IceParameters::from)
    }

    /// True if this is the certificate that the peer is shown.
    #[must_use]
    pub fn has_certificate(&self, certificate: &Certificate) -> bool {
        let fingerprint = |certificate: &Certificate| certificate.fingerprint(HashAlgorithm::Sha256);
        fingerprint(certificate) == fingerprint(&self.config.certificate)
    }

    /// `RTCDtlsTransport.getRemoteCertificates()`: the peer's certificate, as DER, once the handshake has shown it.
    #[must_use]
    pub fn remote_certificate(&self) -> Option<&[u8]> {
        self.upper.dtls.as_ref()?.peer_certificate_der()
    }

    /// The group of DTLS's key exchange, once connected: with [`NamedGroup::X25519MLKEM768`], recorded traffic does not fall to a
    /// quantum computer.
    #[must_use]
    pub fn key_exchange_group(&self) -> Option<NamedGroup> {
        self.upper.dtls.as_ref()?.key_exchange_group()
    }

    /// `RTCSctpTransport.state`; none while data channels were not agreed on, when JavaScript's `sctp` is null.
    #[must_use]
    pub fn sctp_transport_state(&self) -> Option<SctpTransportState> {
        if !self.negotiation.has_data {
            return None;
        }
        let association = self.upper.channels.association();
        let is_over = matches!(
            self.dtls_transport_state(),
            DtlsTransportState::Closed | DtlsTransportState::Failed
        );
        Some(if association.is_closed() || is_over {
            SctpTransportState::Closed
        } else if association.is_connected() {
            SctpTransportState::Connected
        } else {
            SctpTransportState::Connecting
        })
    }

    /// `RTCSctpTransport.maxMessageSize`: the largest message that can be sent, in bytes.
    #[must_use]
    pub fn sctp_max_message_size(&self) -> usize {
        self.upper.channels.association().max_send_message_size()
    }

    /// `RTCSctpTransport.maxChannels`: how many data channels can be open at once; none before SCTP is up.
    #[must_use]
    pub fn sctp_max_channels(&self) -> Option<u16> {
        let (outgoing, incoming) = self.upper.channels.association().streams()?;
        Some(outgoing.min(incoming))
    }

    fn signalled(&self, candidate: &ice::Candidate, side: Side) -> IceCandidate {
        let own = self.ice.local_credentials();
        let credentials = match side {
            Side::Local => own,
            Side::Remote => self.ice.remote_credentials().unwrap_or(own),
        };
        self.negotiation.candidate_init(candidate, credentials)
    }
}

#[derive(Clone, Copy)]
enum Side {
    Local,
    Remote,
}

impl From<&ice::Credentials> for IceParameters {
    fn from(credentials: &ice::Credentials) -> Self {
        Self {
            username_fragment: credentials.ufrag.clone(),
            password: credentials.pwd.clone(),
        }
    }
}

/// The password stays out of logs.
impl fmt::Debug for IceParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceParameters")
            .field("username_fragment", &self.username_fragment)
            .finish_non_exhaustive()
    }
}
