//! The STUN binding service (RFC 8489 §12). NAT behaviour discovery (RFC 5780), which needs two addresses and two ports,
//! would answer CHANGE-REQUEST here; without, it is an attribute we do not understand.

use std::time::Instant;

use peerline_stun::attribute::XorMappedAddress;
use peerline_stun::{AttributeType, Message, MessageBuilder};
use peerline_wire::FiveTuple;

use super::Server;

impl Server {
    /// "It SHOULD NOT utilize the short-term or long-term credential mechanism. This is because the work involved in
    /// authenticating the request is more than the work in simply processing it." So whoever asks is a stranger.
    pub(super) fn on_binding(&mut self, now: Instant, client: FiveTuple, request: &Message<'_>) {
        let mut response = Vec::with_capacity(64);
        let mut builder = if request.unknown_required(KNOWN).next().is_some() {
            MessageBuilder::unknown_attributes(&mut response, request, KNOWN)
        } else {
            self.stats.bindings += 1;
            let mut builder = MessageBuilder::success(&mut response, request);
            builder.attribute(XorMappedAddress(client.remote));
            builder
        };
        if request.contains(AttributeType::FINGERPRINT) {
            builder.fingerprint();
        }
        self.send_to_stranger(now, client, request, &response);
    }
}

/// What needs nothing done in a Binding request of a client that says more than it has to.
const KNOWN: &[AttributeType] = &[
    AttributeType::USERNAME,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::PRIORITY,
    AttributeType::USE_CANDIDATE,
];
