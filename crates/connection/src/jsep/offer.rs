//! `createOffer` (RFC 8829 §5.2).

use peerline_ice as ice;
use peerline_sdp as sdp;
use peerline_sdp::attribute::{Group, SctpPort, Setup};
use peerline_sdp::{MediaDescription, Section as _};

use super::{Applied, Created, LOCAL_SCTP_PORT, Negotiation, rejected};
use crate::Connection;
use crate::description::{SdpType, SessionDescription};
use crate::error::Error;
use crate::state::SignalingState;

/// What `createOffer` is asked (`RTCOfferOptions`).
#[derive(Clone, Copy, Debug, Default)]
pub struct OfferOptions {
    /// Begin a new ICE generation with new credentials (RFC 8829 §5.2.3.3).
    pub ice_restart: bool,
}

impl Connection {
    /// `createOffer()`: an offer for everything wanted now, to be passed unchanged to
    /// [`set_local_description`](Self::set_local_description).
    ///
    /// # Errors
    /// [`Error::WrongSignalingState`] while the peer's offer waits for an answer, [`Error::Closed`].
    pub fn create_offer(&mut self, options: OfferOptions) -> Result<SessionDescription, Error> {
        self.ensure_open()?;
        let state = self.negotiation.state;
        if !matches!(state, SignalingState::Stable | SignalingState::HaveLocalOffer) {
            return Err(Error::WrongSignalingState {
                operation: "createOffer",
                state,
            });
        }
        let wanted = options.ice_restart || self.negotiation.restart_wanted;
        // There is nothing to restart before the first exchange, nor twice in one offer.
        let restart = (wanted && self.negotiation.current.local.is_some() && !self.negotiation.pending_restart)
            .then(|| self.ice.new_credentials());
        let credentials = restart.as_ref().unwrap_or(self.ice.local_credentials());
        let applied = Applied::written(SdpType::Offer, self.negotiation.offer(credentials));
        let description = applied.description();
        self.negotiation.last_offer = Some(Created { applied, restart });
        Ok(description)
    }
}

impl Negotiation {
    fn offer(&mut self, credentials: &ice::Credentials) -> sdp::SessionDescription {
        let mut description = self.new_description();
        let mut media = Vec::new();
        let mut data_mid = None;
        // The order of the sections stays, and none is ever dropped (RFC 8829 §5.2.2).
        let previous = self
            .current
            .local
            .as_ref()
            .map(|applied| &*applied.parsed().media)
            .unwrap_or_default();
        for section in previous {
            let reused = section.is_data_channel() && (self.wants_data || !section.is_rejected());
            if reused && data_mid.is_none() {
                let mid = section.mid().map_or_else(|| unused_mid(previous), str::to_owned);
                media.push(self.data_offer(&mid, credentials));
                data_mid = Some(mid);
            } else {
                media.push(rejected(section));
            }
        }
        if data_mid.is_none() && self.wants_data {
            let mid = unused_mid(previous);
            media.push(self.data_offer(&mid, credentials));
            data_mid = Some(mid);
        }
        if let Some(mid) = data_mid {
            description.push(&Group::bundle([mid]));
        }
        description.media = media;
        description
    }

    fn data_offer(&self, mid: &str, credentials: &ice::Credentials) -> MediaDescription {
        let mut media = MediaDescription::data_channel();
        self.fill_data_section(&mut media, Some(mid), credentials, Setup::ActPass);
        media.push(&SctpPort(LOCAL_SCTP_PORT));
        media
    }
}

/// The smallest number that no section has as its `a=mid`.
fn unused_mid(media: &[MediaDescription]) -> String {
    (0..=media.len())
        .map(|number| number.to_string())
        .find(|mid| media.iter().all(|section| section.mid() != Some(mid)))
        .expect("one of n + 1 numbers is not among n sections")
}
