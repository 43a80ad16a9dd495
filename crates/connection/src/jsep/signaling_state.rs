//! Which description may follow which (RFC 8829 §3.2, W3C webrtc-pc §4.3.1).

use crate::description::SdpType;
use crate::error::Error;
use crate::state::SignalingState;

/// Whose description is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// `setLocalDescription`.
    Local,
    /// `setRemoteDescription`.
    Remote,
}

/// The state after a description of this type is applied on this side.
pub(crate) fn transition(from: SignalingState, side: Side, kind: SdpType) -> Result<SignalingState, Error> {
    use SdpType::{Answer, Offer, Pranswer, Rollback};
    use Side::{Local, Remote};
    use SignalingState::{Closed, HaveLocalOffer, HaveLocalPranswer, HaveRemoteOffer, HaveRemotePranswer, Stable};
    match (side, kind, from) {
        (_, _, Closed) => Err(Error::Closed),
        (Local, Offer, Stable | HaveLocalOffer) => Ok(HaveLocalOffer),
        (Local, Answer, HaveRemoteOffer | HaveLocalPranswer) => Ok(Stable),
        (Local, Pranswer, HaveRemoteOffer | HaveLocalPranswer) => Ok(HaveLocalPranswer),
        (Local, Rollback, HaveLocalOffer | HaveLocalPranswer) => Ok(Stable),
        (Remote, Offer, Stable | HaveRemoteOffer) => Ok(HaveRemoteOffer),
        // "If description.type is offer and … the signaling state is have-local-offer, roll back first": perfect negotiation.
        (Remote, Offer, HaveLocalOffer) => Ok(HaveRemoteOffer),
        (Remote, Answer, HaveLocalOffer | HaveRemotePranswer) => Ok(Stable),
        (Remote, Pranswer, HaveLocalOffer | HaveRemotePranswer) => Ok(HaveRemotePranswer),
        (Remote, Rollback, HaveRemoteOffer | HaveRemotePranswer) => Ok(Stable),
        (side, kind, state) => Err(Error::WrongSignalingState {
            operation: operation(side, kind),
            state,
        }),
    }
}

fn operation(side: Side, kind: SdpType) -> &'static str {
    match (side, kind) {
        (Side::Local, SdpType::Offer) => "setLocalDescription(offer)",
        (Side::Local, SdpType::Pranswer) => "setLocalDescription(pranswer)",
        (Side::Local, SdpType::Answer) => "setLocalDescription(answer)",
        (Side::Local, SdpType::Rollback) => "setLocalDescription(rollback)",
        (Side::Remote, SdpType::Offer) => "setRemoteDescription(offer)",
        (Side::Remote, SdpType::Pranswer) => "setRemoteDescription(pranswer)",
        (Side::Remote, SdpType::Answer) => "setRemoteDescription(answer)",
        (Side::Remote, SdpType::Rollback) => "setRemoteDescription(rollback)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_leads_from_stable_to_stable() {
        let offered = transition(SignalingState::Stable, Side::Local, SdpType::Offer).unwrap();
        let provisional = transition(offered, Side::Remote, SdpType::Pranswer).unwrap();
        assert_eq!(provisional, SignalingState::HaveRemotePranswer);
        assert_eq!(
            transition(provisional, Side::Remote, SdpType::Answer),
            Ok(SignalingState::Stable)
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let error = transition(SignalingState::Stable, Side::Remote, SdpType::Answer).unwrap_err();
        assert_eq!(
            error.to_string(),
            "InvalidStateError: setRemoteDescription(answer) does not fit the signaling state \"stable\""
        );
        assert!(transition(SignalingState::HaveRemoteOffer, Side::Local, SdpType::Offer).is_err());
        assert!(transition(SignalingState::Stable, Side::Local, SdpType::Rollback).is_err());
        assert_eq!(
            transition(SignalingState::Closed, Side::Local, SdpType::Offer),
            Err(Error::Closed)
        );
    }
}
