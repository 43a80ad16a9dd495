//! [`Link`]: how a connection reaches the network.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use peerline_udp::Socket;
use peerline_wire::Datagram;

use crate::configuration::Network;
use crate::endpoint::{Hub, Member};
use crate::interfaces;
use crate::sockets::{Refresh, Sockets};

/// Sockets of a connection's own, or its share in those of an [`Endpoint`](crate::Endpoint).
pub(crate) enum Link {
    Own(Box<Sockets>),
    Shared(Shared),
}

pub(crate) struct Shared {
    pub(crate) member: Member,
    /// Waits for room in full sockets. They serve other connections as well, so each has to wait in a queue of its own.
    writable: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Link {
    pub(crate) fn new(network: &Network, connection: &Arc<crate::shared::Shared>) -> Self {
        match &network.endpoint {
            None => Self::Own(Box::default()),
            Some(endpoint) => Self::Shared(Shared {
                member: endpoint.join(connection),
                writable: None,
            }),
        }
    }

    /// The share in an endpoint, if it is one.
    pub(crate) fn member(&self) -> Option<&Member> {
        match self {
            Self::Own(_) => None,
            Self::Shared(shared) => Some(&shared.member),
        }
    }

    /// Gets ready, and tells the addresses to offer.
    pub(crate) fn gather(&mut self, network: &Network, now: Instant) -> Vec<SocketAddr> {
        match self {
            Self::Own(sockets) => {
                let wanted = interfaces::addresses(network, now, |_| true);
                let (bound, addresses) = Sockets::bind(&wanted, network.port_range.as_ref());
                **sockets = bound;
                addresses
            }
            Self::Shared(shared) => shared.member.hub().addresses(network, now),
        }
    }

    /// Follows interfaces that come and go. An endpoint's addresses stay.
    pub(crate) fn refresh(&mut self, network: &Network, now: Instant) -> Refresh {
        match self {
            Self::Own(sockets) => {
                let wanted = interfaces::addresses(network, now, |_| true);
                sockets.refresh(&wanted, network.port_range.as_ref())
            }
            Self::Shared(_) => Refresh::default(),
        }
    }

    /// Hands over what has come, in one or more batches; true if there was anything. If not, the task is woken when there is.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        mut handle: impl FnMut(&mut dyn Iterator<Item = Datagram>),
    ) -> bool {
        match self {
            Self::Own(sockets) => sockets.receive(cx, handle),
            Self::Shared(shared) => {
                let Some(datagrams) = shared.member.receive(cx) else {
                    return false;
                };
                handle(&mut datagrams.into_iter());
                true
            }
        }
    }

    /// The socket from which datagrams with this local address leave.
    pub(crate) fn socket(&self, local: SocketAddr) -> Option<&Socket> {
        match self {
            Self::Own(sockets) => sockets.of(local),
            Self::Shared(shared) => shared.member.hub().socket(local),
        }
    }

    /// True if one of these addresses' sockets has room again; else the task is woken when that is so.
    pub(crate) fn poll_writable(&mut self, cx: &mut Context<'_>, blocked: &[SocketAddr]) -> bool {
        match self {
            Self::Own(sockets) => {
                let mut ready = false;
                for &local in blocked {
                    // An error means that the runtime is shutting down.
                    ready |= sockets
                        .of(local)
                        .is_some_and(|socket| matches!(socket.poll_send_ready(cx), Poll::Ready(Ok(()))));
                }
                ready
            }
            Self::Shared(shared) => {
                let Some(&local) = blocked.first() else { return true };
                let member = &shared.member;
                let waiting = shared
                    .writable
                    .get_or_insert_with(|| Box::pin(Hub::writable(member.hub_arc(), local)));
                let ready = waiting.as_mut().poll(cx).is_ready();
                if ready {
                    shared.writable = None;
                }
                ready
            }
        }
    }
}
