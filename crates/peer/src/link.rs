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
    Own(Sockets),
    Shared(Box<Shared>),
}

pub(crate) struct Shared {
    pub(crate) member: Member,
    /// The addresses that are offered.
    addresses: Vec<SocketAddr>,
    /// For TURN servers, if there are any to be spoken with over UDP: a server has one allocation for each path to it (RFC 8656
    /// §2.2), and what it sends does not tell whose it is, so that connections cannot share a socket there.
    own: Option<Box<Sockets>>,
    /// Waits for room in full sockets. They serve other connections as well, so each has to wait in a queue of its own.
    writable: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Link {
    pub(crate) fn new(network: &Network, connection: &Arc<crate::shared::Shared>) -> Self {
        match &network.endpoint {
            None => Self::Own(Sockets::default()),
            Some(endpoint) => Self::Shared(Box::new(Shared {
                member: endpoint.join(connection),
                addresses: Vec::new(),
                own: None,
                writable: None,
            })),
        }
    }

    /// The share in an endpoint, if it is one.
    pub(crate) fn member(&self) -> Option<&Member> {
        match self {
            Self::Own(_) => None,
            Self::Shared(shared) => Some(&shared.member),
        }
    }

    /// The addresses that are offered of sockets which others use as well.
    pub(crate) fn shared_addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Own(_) => Vec::new(),
            Self::Shared(shared) => shared.addresses.clone(),
        }
    }

    /// True if there are sockets that an endpoint does not know.
    pub(crate) fn has_sockets(&self) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Shared(shared) => shared.own.is_some(),
        }
    }

    /// Gets ready, and tells the addresses to offer.
    pub(crate) fn gather(&mut self, network: &Network, now: Instant) -> Refresh {
        match self {
            Self::Own(sockets) => {
                let wanted = interfaces::addresses(network, now, |_| true);
                let (bound, new) = Sockets::bind(&wanted, network.port_range.as_ref());
                *sockets = bound;
                Refresh {
                    new,
                    ..Refresh::default()
                }
            }
            Self::Shared(shared) => shared.refresh(network, now),
        }
    }

    /// Follows interfaces that come and go.
    pub(crate) fn refresh(&mut self, network: &Network, now: Instant) -> Refresh {
        match self {
            Self::Own(sockets) => {
                let wanted = interfaces::addresses(network, now, |_| true);
                sockets.refresh(&wanted, network.port_range.as_ref())
            }
            Self::Shared(shared) => shared.refresh(network, now),
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
                let datagrams = shared.member.receive(cx);
                let mut progress = datagrams.is_some();
                if let Some(datagrams) = datagrams {
                    handle(&mut datagrams.into_iter());
                }
                if let Some(own) = &mut shared.own {
                    progress |= own.receive(cx, handle);
                }
                progress
            }
        }
    }

    /// The socket from which datagrams with this local address leave.
    pub(crate) fn socket(&self, local: SocketAddr) -> Option<&Socket> {
        match self {
            Self::Own(sockets) => sockets.of(local),
            Self::Shared(shared) => {
                let own = || shared.own.as_ref()?.of(local);
                shared.member.hub().socket(local).or_else(own)
            }
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
                if let Some(own) = &shared.own
                    && member.hub().socket(local).is_none()
                {
                    let is_ready = |socket: &Socket| matches!(socket.poll_send_ready(cx), Poll::Ready(Ok(())));
                    return own.of(local).is_none_or(is_ready);
                }
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

impl Shared {
    /// Finds out which of the endpoint's addresses are offered now, and binds sockets of its own beside them.
    fn refresh(&mut self, network: &Network, now: Instant) -> Refresh {
        if network.asks_relays_by_udp() {
            self.own.get_or_insert_default();
        }
        let hub = self.member.hub();
        let addresses = hub.addresses(network, now);
        let without = |these: &[SocketAddr], those: &[SocketAddr]| -> Vec<SocketAddr> {
            these.iter().copied().filter(|it| !those.contains(it)).collect()
        };
        let mut refresh = Refresh {
            new: without(&addresses, &self.addresses),
            gone: without(&self.addresses, &addresses),
            new_for_relays: Vec::new(),
        };
        for &gone in &refresh.gone {
            hub.bindings.remove_base(gone);
        }
        if let Some(own) = &mut self.own {
            let mut wanted = addresses.clone();
            wanted.iter_mut().for_each(|address| address.set_port(0));
            let bound = own.refresh(&wanted, network.port_range.as_ref());
            refresh.new_for_relays = bound.new;
            refresh.gone.extend(bound.gone);
        }
        self.addresses = addresses;
        refresh
    }
}
