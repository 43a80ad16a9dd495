//! What is asked for next, and how it is written (RFC 8656 §7.1, §8.1, §10.1, §12.1; RFC 6062 §4.3).

use std::net::IpAddr;
use std::time::Instant;

use peerline_stun::MessageBuilder;
use peerline_stun::attribute::{
    AdditionalAddressFamily, AddressFamily, DontFragment, ErrorCode, EvenPort, Lifetime, RequestedAddressFamily,
    RequestedTransport, ReservationToken, XorPeerAddress,
};

use super::transaction::{Attempt, Job, Transaction, add_peers};
use super::{Client, Event, Failure, Families, Port, State};

impl Client {
    pub(super) fn is_tcp_allocation(&self) -> bool {
        self.config.requested_transport == RequestedTransport::TCP
    }

    /// When the next transaction may begin.
    pub(super) fn next_job_at(&self, now: Instant) -> Option<Instant> {
        if self.transactions.len() >= self.ctx.limits.max_transactions.max(1) {
            return None;
        }
        let todo = self.next_todo().map(|_| now);
        match &self.state {
            State::Allocated(allocation) => [todo, allocation.refresh, self.permissions.due(), self.channels.due()]
                .into_iter()
                .flatten()
                .min(),
            State::Allocating | State::Closing(_) => todo,
            State::Closed => None,
        }
    }

    /// Begins the next transaction, if one is due and there is room; its index.
    pub(super) fn begin_transaction(&mut self, now: Instant) -> Option<usize> {
        if self.transactions.len() >= self.ctx.limits.max_transactions.max(1) {
            return None;
        }
        let attempt = self.next_attempt(now)?;
        let id = self.ctx.transaction_id();
        let five_tuple = match attempt.job {
            Job::ConnectionBind(five_tuple, _) => five_tuple,
            Job::Allocate
            | Job::Refresh
            | Job::Delete
            | Job::CreatePermission(_)
            | Job::ChannelBind(_)
            | Job::Connect(_) => self.config.five_tuple,
        };
        let mut bytes = Vec::new();
        let mut request = MessageBuilder::request(&mut bytes, attempt.job.method(), id);
        self.write(&mut request, &attempt.job);
        self.auth.sign(&mut request);
        request.fingerprint();
        self.transactions.push(Transaction {
            id,
            attempt,
            five_tuple,
            bytes,
            signer: self.auth.signer().cloned(),
            generation: self.auth.generation(),
            sent: 0,
            next: None,
            violated: false,
        });
        Some(self.transactions.len() - 1)
    }

    /// Connections wait for the allocation; the rest was put there by a state in which it may be asked.
    fn next_todo(&self) -> Option<usize> {
        let is_allocating = matches!(self.state, State::Allocating);
        let mut todo = self.todo.iter();
        todo.position(|attempt| !is_allocating || attempt.job == Job::Allocate)
    }

    fn next_attempt(&mut self, now: Instant) -> Option<Attempt> {
        if let Some(attempt) = self.next_todo().and_then(|position| self.todo.remove(position)) {
            return Some(attempt);
        }
        let State::Allocated(allocation) = &mut self.state else {
            return None;
        };
        if allocation.refresh.is_some_and(|refresh| refresh <= now) {
            allocation.refresh = None;
            return Some(Attempt::first(Job::Refresh));
        }
        self.next_permissions(now)
            .map(Job::CreatePermission)
            .or_else(|| self.channels.take_due(now).map(Job::ChannelBind))
            .map(Attempt::first)
    }

    /// The addresses to ask permission for now; those of a family that was not allocated are refused here.
    fn next_permissions(&mut self, now: Instant) -> Option<Vec<IpAddr>> {
        loop {
            let mut due = self.permissions.take_due(now)?;
            let State::Allocated(allocation) = &self.state else {
                return None;
            };
            let strangers: Vec<IpAddr> = due.extract_if(.., |peer| allocation.relayed(*peer).is_none()).collect();
            for peer in strangers {
                self.permissions.remove(peer);
                self.channels.forget(peer);
                let failure = Failure::Refused(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
                self.ctx.push(Event::PermissionRefused { peer, failure });
            }
            if !due.is_empty() {
                return Some(due);
            }
        }
    }

    fn write(&self, request: &mut MessageBuilder<'_>, job: &Job) {
        match job {
            Job::Allocate => self.write_allocate(request),
            Job::Refresh => {
                if let Some(lifetime) = self.config.lifetime {
                    request.attribute(seconds(lifetime));
                }
            }
            Job::Delete => {
                request.attribute(Lifetime(0));
            }
            Job::CreatePermission(peers) => add_peers(request, peers),
            Job::ChannelBind(peer) => {
                if let Some(number) = self.channels.number(*peer) {
                    request.attribute(number);
                }
                request.attribute(XorPeerAddress(*peer));
            }
            Job::Connect(peer) => {
                request.attribute(XorPeerAddress(*peer));
            }
            Job::ConnectionBind(_, connection) => {
                request.attribute(*connection);
            }
        }
    }

    fn write_allocate(&self, request: &mut MessageBuilder<'_>) {
        request.attribute(self.config.requested_transport);
        if let Some(lifetime) = self.config.lifetime {
            request.attribute(seconds(lifetime));
        }
        // "The request MUST NOT include a DONT-FRAGMENT, RESERVATION-TOKEN, or EVEN-PORT attribute." (RFC 6062 §4.1)
        let for_udp = !self.is_tcp_allocation();
        if self.dont_fragment && for_udp {
            request.attribute(DontFragment);
        }
        let port = if for_udp { self.config.port } else { Port::Any };
        match port {
            Port::Any => {}
            Port::Even => {
                request.attribute(EvenPort { reserve_next: false });
            }
            Port::EvenReservingNext => {
                request.attribute(EvenPort { reserve_next: true });
            }
            Port::Reserved(token) => {
                // The families are those of the reservation: "if the request contains a RESERVATION-TOKEN attribute [...]
                // and also an EVEN-PORT or REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY attribute, the server
                // rejects the request" (RFC 8656 §7.2).
                request.attribute(ReservationToken(token));
                return;
            }
        }
        match self.families {
            Families::Ipv4 => {}
            Families::Ipv6 => {
                request.attribute(RequestedAddressFamily(AddressFamily::IPV6));
            }
            // With a port to reserve there is one family only (§7.2).
            Families::Both if port == Port::EvenReservingNext => {}
            Families::Both => {
                request.attribute(AdditionalAddressFamily(AddressFamily::IPV6));
            }
        }
    }
}

fn seconds(lifetime: std::time::Duration) -> Lifetime {
    Lifetime(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX))
}
