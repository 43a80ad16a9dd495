//! [`Transaction`]: a request until its response comes, sent again by RFC 8489 §6.2.1.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use peerline_stun::attribute::{ConnectionId, XorPeerAddress};
use peerline_stun::{MessageBuilder, Method, TransactionId};
use peerline_wire::{FiveTuple, Transmit, Transport};

use super::Timings;
use super::auth::Signer;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Allocate,
    Refresh,
    /// A Refresh of no time: the allocation's end (RFC 8656 §8.1).
    Delete,
    CreatePermission(Vec<IpAddr>),
    ChannelBind(SocketAddr),
    Connect(SocketAddr),
    ConnectionBind(FiveTuple, ConnectionId),
}

impl Job {
    pub(super) fn method(&self) -> Method {
        match self {
            Self::Allocate => Method::ALLOCATE,
            Self::Refresh | Self::Delete => Method::REFRESH,
            Self::CreatePermission(_) => Method::CREATE_PERMISSION,
            Self::ChannelBind(_) => Method::CHANNEL_BIND,
            Self::Connect(_) => Method::CONNECT,
            Self::ConnectionBind(..) => Method::CONNECTION_BIND,
        }
    }
}

/// A job, and how often it was sent back for another nonce or realm.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) job: Job,
    pub(super) challenges: u32,
}

impl Attempt {
    /// How many challenges in a row are met for one job: a server that renews its nonce each time is left in the end.
    pub(super) const MAX_CHALLENGES: u32 = 8;

    pub(super) fn first(job: Job) -> Self {
        Self { job, challenges: 0 }
    }
}

#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: TransactionId,
    pub(super) attempt: Attempt,
    pub(super) five_tuple: FiveTuple,
    /// The request: it is the same each time.
    pub(super) bytes: Vec<u8>,
    /// Its key; `None` if it has none.
    pub(super) signer: Option<Signer>,
    /// Of the credentials in it.
    pub(super) generation: u32,
    pub(super) sent: u32,
    /// When it is sent again, or given up.
    pub(super) next: Option<Instant>,
    /// True if a response came that was not authentic.
    pub(super) violated: bool,
}

impl Transaction {
    fn is_reliable(&self) -> bool {
        self.five_tuple.transport == Transport::Tcp
    }

    /// True once nothing is sent any more: only the wait is left.
    fn is_last(&self, timings: &Timings) -> bool {
        self.sent >= timings.max_sent.max(1) || self.is_reliable() && self.sent > 0
    }

    pub(super) fn is_due(&self, now: Instant, timings: &Timings) -> bool {
        !self.is_last(timings) && self.next.is_none_or(|next| next <= now)
    }

    pub(super) fn has_timed_out(&self, now: Instant, timings: &Timings) -> bool {
        self.is_last(timings) && self.next.is_some_and(|next| next <= now)
    }

    /// Appends the request, and starts the timer: it doubles each time; after the last request "the client will wait for
    /// [...] Rm times RTO" (RFC 8489 §6.2.1). Over a reliable transport it is sent once, and waited for `Ti` (§6.2.2).
    pub(super) fn send(&mut self, now: Instant, timings: &Timings, out: &mut Vec<u8>) -> Transmit {
        self.sent += 1;
        let wait = if self.is_reliable() {
            timings.reliable_timeout
        } else if self.sent >= timings.max_sent {
            timings.rto * timings.last_wait
        } else {
            timings.rto * 2u32.saturating_pow(self.sent - 1)
        };
        self.next = Some(now + wait);
        out.extend_from_slice(&self.bytes);
        Transmit {
            five_tuple: self.five_tuple,
            ecn: None,
            len: self.bytes.len(),
        }
    }
}

/// Adds XOR-PEER-ADDRESS for each address; the port does not matter (RFC 8656 §10.1).
pub(super) fn add_peers(request: &mut MessageBuilder<'_>, peers: &[IpAddr]) {
    for &peer in peers {
        request.attribute(XorPeerAddress(SocketAddr::new(peer, 0)));
    }
}
