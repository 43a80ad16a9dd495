//! When an offer is needed: "check if negotiation is needed" (webrtc-pc §4.7.3).

use peerline_sdp::attribute::Direction;
use peerline_sdp::{self as sdp, MediaDescription};

use super::applied::Applied;
use super::media_section::streams;
use crate::Connection;
use crate::description::SdpType;
use crate::event::Event;
use crate::state::SignalingState;
use crate::transceiver::TransceiverSlots;

impl Connection {
    /// `negotiationneeded`, once for each time that it becomes so in the stable state.
    pub(crate) fn update_negotiation_needed(&mut self) {
        if self.negotiation.state != SignalingState::Stable {
            return;
        }
        let needed = self.is_negotiation_needed();
        if needed && !self.negotiation.negotiation_needed {
            self.events.push_back(Event::NegotiationNeeded);
        }
        self.negotiation.negotiation_needed = needed;
    }

    fn is_negotiation_needed(&self) -> bool {
        let negotiation = &self.negotiation;
        let local = negotiation.current.local.as_ref();
        // "If connection.[[LocalIceCredentialsToReplace]] is not empty, return true."
        if negotiation.restart_wanted && local.is_some() {
            return true;
        }
        // "If connection has created any RTCDataChannels, and no m= section in description has been negotiated yet for data."
        if negotiation.wants_data && local.is_none_or(|local| local.data_section().is_none()) {
            return true;
        }
        self.transceivers
            .all
            .iter()
            .any(|transceiver| self.needs_negotiation(transceiver))
    }

    fn needs_negotiation(&self, transceiver: &TransceiverSlots) -> bool {
        let current = &self.negotiation.current;
        // "If transceiver.[[Stopping]] is true and transceiver.[[Stopped]] is false, return true."
        if transceiver.stopping && !transceiver.stopped {
            return true;
        }
        let section = |applied: &Option<Applied>| -> Option<(Applied, MediaDescription)> {
            let applied = applied.as_ref()?;
            Some((applied.clone(), applied.section_of(transceiver)?.clone()))
        };
        let remote = section(&current.remote);
        let Some((local, media)) = section(&current.local) else {
            // "If transceiver isn't stopped and isn't yet associated with an m= section in description, return true."
            return !transceiver.stopped;
        };
        if transceiver.stopped {
            // "If transceiver is stopped and is associated with an m= section, but the associated m= section is not yet rejected
            // in [[CurrentLocalDescription]] or [[CurrentRemoteDescription]], return true."
            return !media.is_rejected() && !remote.is_some_and(|(_, media)| media.is_rejected());
        }
        let direction = transceiver.direction;
        // "doesn't contain a single "a=msid" line, or the number of MSIDs …, or the MSID values themselves, differ."
        if direction.sends() && !has_msids(&media, &transceiver.sender.streams) {
            return true;
        }
        let ours = local.parsed().direction(&media);
        let theirs = remote.map(|(remote, media)| of_ours(remote.parsed(), &media));
        match local.kind() {
            // "the direction of the associated m= section in neither [[CurrentLocalDescription]] nor
            // [[CurrentRemoteDescription]] matches transceiver.[[Direction]]", the latter reversed.
            SdpType::Offer => ours != direction && theirs != Some(direction),
            // "does not match transceiver.[[Direction]] intersected with the offered direction" (RFC 8829 §5.3.1).
            SdpType::Pranswer | SdpType::Answer | SdpType::Rollback => {
                ours != direction.intersection(theirs.unwrap_or(Direction::SendRecv))
            }
        }
    }
}

fn of_ours(description: &sdp::SessionDescription, media: &MediaDescription) -> Direction {
    description.direction(media).reversed()
}

fn has_msids(media: &MediaDescription, wanted: &[String]) -> bool {
    use peerline_sdp::Section as _;
    let said = streams(media);
    media.has_attribute("msid") && said.len() == wanted.len() && wanted.iter().all(|stream| said.contains(stream))
}
