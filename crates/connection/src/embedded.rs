//! DTLS inside ICE's checks (SPED, draft-hancke-webrtc-sped): while no path is known to work, flights go with checks and responses;
//! then DTLS goes by itself.

use std::time::Instant;

use crate::Connection;

/// The longest datagram of a handshake that a check can carry: with what else is in a check, and TURN around it, it fits 1,200 bytes.
/// libwebrtc has the same.
const MTU: usize = 900;

impl Connection {
    /// Hands to DTLS what a check has brought; false if that was nothing.
    pub(crate) fn take_embedded(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(datagram) = self.ice.recv_embedded() {
            any = true;
            self.handle_dtls(now, datagram);
        }
        any
    }

    /// While ICE embeds: hands the flight under way to it if only checks can carry it, and takes it back once there is a path.
    pub(crate) fn embed_flight(&mut self, now: Instant) {
        let Some(dtls) = &mut self.upper.dtls else { return };
        if self.ice.wants_flight() {
            let mut flight = Vec::new();
            let mut datagram = Vec::new();
            while dtls.poll_transmit(now, &mut datagram).is_some() {
                flight.push(std::mem::take(&mut datagram));
            }
            if !flight.is_empty() {
                dtls.entrust_flight();
                self.ice.embed_flight(flight);
            }
        } else if self.ice.selected_pair().is_some() {
            dtls.take_flight_back(now);
            // What is lost from now on, DTLS repeats by itself.
            if dtls.is_connected() && !self.ice.holds_flight() {
                self.ice.end_embedding();
            }
        }
    }

    /// How long the datagrams of the handshake are at most.
    pub(crate) fn handshake_mtu(&self) -> usize {
        if self.ice.embeds() {
            self.config.mtu.min(MTU)
        } else {
            self.config.mtu
        }
    }
}
