//! The STUN binding service (RFC 8489 §12), and with two addresses and two ports NAT behaviour discovery (RFC 5780).

use std::net::SocketAddr;
use std::time::Instant;

use peerline_stun::attribute::{ChangeRequest, MappedAddress, OtherAddress, ResponseOrigin, XorMappedAddress};
use peerline_stun::{AttributeType, Message, MessageBuilder};
use peerline_wire::{FiveTuple, Transport};

use super::Server;

impl Server {
    /// "It SHOULD NOT utilize the short-term or long-term credential mechanism. This is because the work involved in
    /// authenticating the request is more than the work in simply processing it." So whoever asks is a stranger.
    pub(super) fn on_binding(&mut self, now: Instant, client: FiveTuple, request: &Message<'_>) {
        // "If a server cannot allocate the same ports on two different IP address, then it MUST NOT include an OTHER-ADDRESS
        // attribute in any Response and MUST respond with a 420 (Unknown Attribute) to any Request with a CHANGE-REQUEST
        // attribute." (RFC 5780 §6)
        let addresses = self.discovery_addresses(&client, request);
        let known = if addresses.is_some() {
            KNOWN_WITH_DISCOVERY
        } else {
            KNOWN
        };
        let mut response = Vec::with_capacity(128);
        let mut builder = if request.unknown_required(known).next().is_some() {
            MessageBuilder::unknown_attributes(&mut response, request, known)
        } else {
            self.stats.bindings += 1;
            let mut builder = MessageBuilder::success(&mut response, request);
            builder.attribute(XorMappedAddress(client.remote));
            if let Some(Discovery { origin, other }) = addresses {
                // "The server MUST include both MAPPED-ADDRESS and XOR-MAPPED-ADDRESS in its Response." (§6.1)
                builder
                    .attribute(MappedAddress(client.remote))
                    .attribute(ResponseOrigin(origin))
                    .attribute(OtherAddress(other));
            }
            builder
        };
        if request.contains(AttributeType::FINGERPRINT) {
            builder.fingerprint();
        }
        let from = FiveTuple {
            local: addresses.map_or(client.local, |addresses| addresses.origin),
            ..client
        };
        self.send_to_stranger(now, from, request, &response);
    }

    /// What RFC 5780 says of the addresses, if this server has two and the request came by UDP to one of them.
    fn discovery_addresses(&self, client: &FiveTuple, request: &Message<'_>) -> Option<Discovery> {
        let discovery = self.config.nat_discovery.as_ref()?;
        if client.transport != Transport::Udp {
            return None;
        }
        let change = request.get::<ChangeRequest>().ok().flatten();
        let ChangeRequest { change_ip, change_port } = change.unwrap_or(ChangeRequest {
            change_ip: false,
            change_port: false,
        });
        Some(Discovery {
            origin: discovery.change(client.local, change_ip, change_port)?,
            other: discovery.change(client.local, true, true)?,
        })
    }
}

/// The addresses of Table 1 in RFC 5780 §6.1.
#[derive(Clone, Copy)]
struct Discovery {
    /// Where the response is sent from.
    origin: SocketAddr,
    /// Ca:Cp
    other: SocketAddr,
}

/// What needs nothing done in a Binding request of a client that says more than it has to.
const KNOWN: &[AttributeType] = &[
    AttributeType::USERNAME,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::PRIORITY,
    AttributeType::USE_CANDIDATE,
];

/// The same, with what RFC 5780 adds. RESPONSE-PORT, which sends the response to a port that need not be the client's, and PADDING,
/// which makes it long, are left out: they serve whoever forges addresses better than anybody else.
const KNOWN_WITH_DISCOVERY: &[AttributeType] = &[
    AttributeType::USERNAME,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::PRIORITY,
    AttributeType::USE_CANDIDATE,
    AttributeType::CHANGE_REQUEST,
];
