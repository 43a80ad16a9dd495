//! [`Relays`]: allocations on TURN servers, and what goes through them (RFC 8445 §5.1.1.2, RFC 8656).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use peerline_turn::client::{CloseReason, Config, Event as News, Families};
use peerline_turn::{Client, Credentials};
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};
use rand::RngExt;

use crate::CandidateError;
use crate::candidate::{Reach, is_sendable, plain, reach};
use crate::context::Context;
use crate::session::path_between;

/// Every allocation, asked for or made.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    relays: Vec<Relay>,
    /// The sockets that are for servers alone.
    bases: Vec<SocketAddr>,
}

/// One allocation.
#[derive(Debug)]
struct Relay {
    client: Client,
    /// From the base to the server.
    path: FiveTuple,
    /// The servers that were asked: the first, and those that one has sent us to.
    asked: Vec<SocketAddr>,
    url: String,
    credentials: Credentials,
    /// How often one has lost what it gave.
    losses: u32,
    /// Its server is none of ours any more.
    is_dismissed: bool,
    progress: Progress,
    /// Checks that wait for a permission to be asked for.
    held: VecDeque<(SocketAddr, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// To be asked if those before it, of the same URL, do not answer soon.
    Reserve,
    /// To be asked when the pace allows it.
    Waiting,
    /// Given up then.
    Asked {
        until: Instant,
        /// When another address of the same server is asked as well, if it has one.
        patient_until: Option<Instant>,
    },
    Allocated,
    /// The server has named another one, which is to be connected to; not waited for any longer then.
    Redirected {
        until: Instant,
    },
    /// It was refused, or is over.
    Over,
}

/// What an allocation brings.
#[derive(Debug)]
pub(crate) enum Gain {
    /// A relayed address, and which server gave it.
    Relayed {
        path: FiveTuple,
        relayed: SocketAddr,
        mapped: SocketAddr,
    },
    /// The address at which the server sees the base.
    Mapped { path: FiveTuple, mapped: SocketAddr },
    /// None was given.
    Error(CandidateError),
    /// A connection to another server is wanted.
    Redirected {
        path: FiveTuple,
        server: SocketAddr,
        domain: Option<Box<str>>,
    },
    /// What was given is no more.
    Lost { path: FiveTuple },
}

/// How an allocation has ended, or what there is instead of one.
#[derive(Debug)]
struct End {
    /// What is told of it, if nothing was given, and no other address of the server gives anything.
    told: Option<CandidateError>,
    /// Another address of the server will not do better.
    is_final: bool,
}

/// What a connection to a server has ended.
#[derive(Debug)]
pub(crate) enum Disconnected {
    /// A relayed address that was there.
    Lost,
    /// The hope for one.
    Pending(CandidateError),
    /// Nothing any more.
    Over,
}

/// A server may send us to another, and that one to a third: no further.
const MAX_ASKED: usize = 3;

/// A server that has been started anew is asked anew; one that does nothing else, not for ever.
const MAX_LOSSES: u32 = 8;

/// How many times the first time-out of a request a server may be silent until another of its addresses is asked: 1.5 s.
const SLOW: u32 = 3;

/// How many checks wait for permissions at a time.
const MAX_HELD: usize = 32;

impl Relays {
    /// The sockets that are for servers alone.
    pub(crate) fn bases(&self) -> &[SocketAddr] {
        &self.bases
    }

    /// Takes such a socket; false if it is known, or nowhere.
    pub(crate) fn add_base(&mut self, base: SocketAddr) -> bool {
        let is_new = is_sendable(base) && !self.bases.contains(&base);
        if is_new {
            self.bases.push(base);
        }
        is_new
    }

    /// Such a socket in its own words.
    pub(crate) fn base(&self, address: SocketAddr) -> Option<SocketAddr> {
        let mut bases = self.bases.iter().copied();
        bases.find(|&base| plain(base) == plain(address))
    }

    /// Asks for an allocation over this path. If that has been done, what there is goes on with these credentials.
    pub(crate) fn add(
        &mut self,
        ctx: &mut Context,
        now: Instant,
        path: FiveTuple,
        url: &str,
        credentials: &Credentials,
    ) {
        let is_same = |relay: &&mut Relay| {
            let first = relay.asked.first() == Some(&path.remote);
            first && relay.path.local == path.local && relay.path.transport == path.transport
        };
        if path.transport == Transport::Tcp {
            self.settle_redirection(url);
        }
        if let Some(known) = self.relays.iter_mut().find(is_same) {
            return known.rotate(ctx, now, credentials);
        }
        let progress = match self.kin(&path, url).any(|kin| kin.may_help()) {
            true => Progress::Reserve,
            false => Progress::Waiting,
        };
        self.relays.push(Relay {
            client: Relay::client(ctx, path, credentials),
            path,
            asked: vec![path.remote],
            url: url.to_owned(),
            credentials: credentials.clone(),
            losses: 0,
            is_dismissed: false,
            progress,
            held: VecDeque::new(),
        });
    }

    /// Forgets the servers of other URLs than these. What they have given serves on, but is not asked for again once it is lost.
    pub(crate) fn keep(&mut self, keep: impl Fn(&str) -> bool) {
        let serves = |relay: &Relay| relay.path.transport == Transport::Tcp || relay.progress == Progress::Allocated;
        self.relays.retain(|relay| keep(&relay.url) || serves(relay));
        for relay in &mut self.relays {
            relay.is_dismissed = !keep(&relay.url);
        }
    }

    /// The connection to a server that another one has named is there, or will not be.
    pub(crate) fn settle_redirection(&mut self, url: &str) {
        let settled = |relay: &Relay| matches!(relay.progress, Progress::Redirected { .. }) && relay.url == url;
        self.relays.retain(|relay| !settled(relay));
    }

    /// Whether a datagram on this path is a server's.
    pub(crate) fn owns(&self, path: &FiveTuple) -> bool {
        self.relays.iter().any(|relay| relay.path == *path)
    }

    /// True while an answer may bring a candidate.
    pub(crate) fn is_pending(&self) -> bool {
        let pending = |relay: &&Relay| match relay.progress {
            Progress::Waiting | Progress::Asked { .. } | Progress::Redirected { .. } => true,
            Progress::Reserve | Progress::Allocated | Progress::Over => false,
        };
        // Of a server's addresses one is enough.
        let mut pending = self.relays.iter().filter(pending);
        pending.any(|relay| {
            let mut kin = self.kin(&relay.path, &relay.url);
            !kin.any(|kin| kin.progress == Progress::Allocated)
        })
    }

    /// Addresses of the same server, asked from the same socket. Over a stream there are none.
    fn kin<'a>(&'a self, path: &'a FiveTuple, url: &'a str) -> impl Iterator<Item = &'a Relay> {
        self.relays.iter().filter(move |relay| relay.is_kin(path, url))
    }

    /// This one has failed, or takes long: the next address of the same server is asked as well. True if there is one that has
    /// answered, or may yet.
    fn relieve(&mut self, index: usize) -> bool {
        let Some(slow) = self.relays.get(index) else {
            return false;
        };
        let (path, url) = (slow.path, slow.url.clone());
        let mut kin = self.relays.iter_mut().filter(|relay| relay.is_kin(&path, &url));
        if let Some(next) = kin.find(|relay| relay.progress == Progress::Reserve) {
            next.progress = Progress::Waiting;
        }
        self.kin(&path, &url).any(Relay::may_help)
    }

    /// True while a server is to be asked that has not been.
    pub(crate) fn has_new(&self) -> bool {
        self.relays.iter().any(|relay| relay.progress == Progress::Waiting)
    }

    /// Asks the next server that has not been.
    pub(crate) fn ask(&mut self, ctx: &Context, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let mut waiting = self
            .relays
            .iter_mut()
            .filter(|relay| relay.progress == Progress::Waiting);
        let relay = waiting.next()?;
        relay.progress = Progress::Asked {
            until: now + ctx.timings().server_patience,
            patient_until: Some(now + ctx.timings().rto * SLOW),
        };
        relay.client.poll_transmit(now, out)
    }

    /// A server's datagram: returns the peer's that was in it, as if it had come to the relayed address.
    pub(crate) fn handle_datagram(&mut self, now: Instant, path: FiveTuple, datagram: Datagram) -> Option<Datagram> {
        let relay = self.relays.iter_mut().find(|relay| relay.path == path)?;
        let five_tuple = path;
        relay.client.handle_datagram(now, Datagram { five_tuple, ..datagram })
    }

    /// What servers are to be told, and checks that were held.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let mut begun = self
            .relays
            .iter_mut()
            .filter(|relay| !matches!(relay.progress, Progress::Reserve | Progress::Waiting));
        begun.find_map(|relay| relay.client.poll_transmit(now, out).or_else(|| relay.release(out)))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let due = |relay: &Relay| {
            let patience = match relay.progress {
                Progress::Reserve | Progress::Waiting => return None,
                Progress::Asked { until, patient_until } => Some(patient_until.unwrap_or(until)),
                Progress::Redirected { until } => Some(until),
                Progress::Allocated | Progress::Over => None,
            };
            relay.client.poll_timeout().into_iter().chain(patience).min()
        };
        self.relays.iter().filter_map(due).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let mut slow = Vec::new();
        for (index, relay) in self.relays.iter_mut().enumerate() {
            relay.client.handle_timeout(now);
            match &mut relay.progress {
                Progress::Asked { until, .. } if *until <= now => relay.client.close(now),
                Progress::Asked { patient_until, .. } => {
                    let is_slow = patient_until.take_if(|patient_until| *patient_until <= now).is_some();
                    slow.extend(is_slow.then_some(index));
                }
                Progress::Redirected { until } if *until <= now => relay.progress = Progress::Over,
                Progress::Reserve
                | Progress::Waiting
                | Progress::Allocated
                | Progress::Redirected { .. }
                | Progress::Over => {}
            }
        }
        for index in slow {
            self.relieve(index);
        }
    }

    /// Sends on through a relay what was written for its relayed address: `out` from `start` on, for `path.remote`. Held, and
    /// `out` truncated, until the server has been asked for a permission: what comes right behind that need not wait for the answer.
    pub(crate) fn forward(
        &mut self,
        now: Instant,
        path: &FiveTuple,
        start: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let message = out.split_off(start);
        let relay = self.relay_at(path.local)?;
        if relay.client.sends_to(path.remote.ip()) {
            return relay.send(path.remote, &message, out);
        }
        // "[...] the client needs to install a permission" (RFC 8656 §9) first. One too many, and checks fail in their time.
        if relay.client.create_permission(now, path.remote.ip()).is_ok() {
            if relay.held.len() >= MAX_HELD {
                relay.held.pop_front();
            }
            relay.held.push_back((path.remote, message));
        }
        None
    }

    /// One datagram for a peer around what `fill` appends, if the local end of the path is relayed.
    pub(crate) fn enclose(
        &mut self,
        path: &FiveTuple,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut Vec<u8>) -> Option<usize>,
    ) -> Option<Transmit> {
        self.relay_at(path.local)?.client.enclose(out, path.remote, fill)
    }

    fn relay_at(&mut self, relayed: SocketAddr) -> Option<&mut Relay> {
        let mut relays = self.relays.iter_mut();
        relays.find(|relay| relay.client.relayed().any(|address| address == relayed))
    }

    /// What allocations have brought since the last call.
    pub(crate) fn poll_gains(&mut self, ctx: &mut Context) -> Vec<Gain> {
        let mut gains = Vec::new();
        let mut over = Vec::new();
        for (index, relay) in self.relays.iter_mut().enumerate() {
            while let Some(news) = relay.client.poll_event() {
                over.extend(relay.take_news(ctx, news, &mut gains).map(|error| (index, error)));
            }
        }
        for (index, error) in over {
            if error.is_final || !self.relieve(index) {
                gains.extend(error.told.map(Gain::Error));
            }
        }
        gains
    }

    /// Nothing comes from the peer: every server is asked whether it still has what it gave.
    pub(crate) fn doubt(&mut self, now: Instant) {
        for relay in &mut self.relays {
            relay.client.refresh(now);
        }
    }

    /// Servers that have refused or stayed silent are to be asked once more. A connection that is lost is not made here.
    pub(crate) fn try_again(&mut self, ctx: &mut Context) {
        self.relays
            .retain(|relay| !relay.is_dismissed || relay.progress != Progress::Over);
        let over = |relay: &&mut Relay| relay.progress == Progress::Over && relay.path.transport == Transport::Udp;
        self.relays
            .iter_mut()
            .filter(over)
            .for_each(|relay| relay.ask_anew(ctx));
    }

    /// The connection to a server is gone, and with it all that was asked for over it. `None` if it is not known.
    pub(crate) fn disconnect(&mut self, path: &FiveTuple) -> Option<Disconnected> {
        let index = self.relays.iter().position(|relay| relay.path == *path)?;
        // Until there is one with the server that it has named.
        if matches!(self.relays.get(index)?.progress, Progress::Redirected { .. }) {
            return Some(Disconnected::Over);
        }
        let relay = self.relays.swap_remove(index);
        Some(match relay.progress {
            Progress::Allocated => Disconnected::Lost,
            Progress::Redirected { .. } | Progress::Over => Disconnected::Over,
            Progress::Reserve | Progress::Waiting | Progress::Asked { .. } => {
                Disconnected::Pending(relay.error(CandidateError::UNREACHABLE, "the connection to the server was lost"))
            }
        })
    }

    /// A socket is gone, and with it what was asked for from there.
    pub(crate) fn remove_base(&mut self, is_gone: impl Fn(SocketAddr) -> bool) {
        self.relays.retain(|relay| !is_gone(relay.path.local));
        self.bases.retain(|&base| !is_gone(base));
    }

    /// Gives everything back.
    pub(crate) fn close(&mut self, now: Instant) {
        for relay in &mut self.relays {
            relay.client.close(now);
            relay.held.clear();
        }
    }
}

impl Relay {
    fn client(ctx: &mut Context, path: FiveTuple, credentials: &Credentials) -> Client {
        Client::new(Config {
            // A peer of either family is reached, if the server can.
            families: Families::Both,
            rng_seed: ctx.rng().random(),
            ..Config::new(path, credentials.clone())
        })
    }

    /// A check that was held, once the permission is asked for.
    fn release(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let client = &self.client;
        let index = self.held.iter().position(|(peer, _)| client.sends_to(peer.ip()))?;
        let (peer, message) = self.held.remove(index)?;
        self.send(peer, &message, out)
    }

    fn send(&mut self, peer: SocketAddr, message: &[u8], out: &mut Vec<u8>) -> Option<Transmit> {
        self.client.enclose(out, peer, |out| {
            out.extend_from_slice(message);
            Some(message.len())
        })
    }

    /// An address of the server of this URL, asked by the same way.
    fn is_kin(&self, path: &FiveTuple, url: &str) -> bool {
        let ours = (self.path.local, self.path.transport);
        ours == (path.local, Transport::Udp) && path.transport == Transport::Udp && self.url == url
    }

    /// It has given something, or may yet.
    fn may_help(&self) -> bool {
        self.progress != Progress::Over
    }

    /// Says why it is over, if it is.
    fn take_news(&mut self, ctx: &mut Context, news: News, gains: &mut Vec<Gain>) -> Option<End> {
        let path = self.path;
        match news {
            News::Allocated(allocated) => {
                self.progress = Progress::Allocated;
                let mapped = allocated.mapped;
                // "If a client [...] gathers relayed candidates from [a] TURN server [over UDP], it will also learn a
                // server-reflexive candidate" (RFC 8445 §5.1.1.2).
                gains.push(Gain::Mapped { path, mapped });
                let relayed = allocated.relayed.into_iter();
                gains.extend(relayed.map(|relayed| Gain::Relayed { path, relayed, mapped }));
            }
            News::Closed(reason) => {
                let was_pending = self.progress != Progress::Allocated;
                let until = match self.progress {
                    Progress::Asked { until, .. } => Some(until),
                    Progress::Reserve
                    | Progress::Waiting
                    | Progress::Allocated
                    | Progress::Redirected { .. }
                    | Progress::Over => None,
                };
                if !was_pending {
                    gains.push(Gain::Lost { path });
                }
                self.progress = Progress::Over;
                self.held.clear();
                let goes_on = match was_pending {
                    true => self.follow(ctx, &reason, until, gains),
                    false => self.begin_anew(ctx, &reason),
                };
                if !goes_on {
                    return Some(End {
                        told: was_pending.then(|| self.explain(&reason)),
                        is_final: is_final(&reason),
                    });
                }
            }
            News::PermissionRefused { peer, .. } => self.held.retain(|(held, _)| held.ip() != peer),
            // What is permitted is sent, at whatever cost; what is not arrives nowhere, as checks and consent will notice.
            _ => {}
        }
        None
    }

    /// The server knows nothing of the allocation any more, or of none at all: another one is asked for.
    fn begin_anew(&mut self, ctx: &mut Context, reason: &CloseReason) -> bool {
        let is_due = *reason == CloseReason::Lost && self.losses < MAX_LOSSES && !self.is_dismissed;
        if is_due {
            self.losses += 1;
            self.ask_anew(ctx);
        }
        is_due
    }

    fn ask_anew(&mut self, ctx: &mut Context) {
        self.client = Self::client(ctx, self.path, &self.credentials);
        self.progress = Progress::Waiting;
    }

    /// Goes on with other credentials, or begins anew if those before were of no use.
    fn rotate(&mut self, ctx: &mut Context, now: Instant, credentials: &Credentials) {
        if self.credentials == *credentials {
            return;
        }
        self.credentials = credentials.clone();
        match self.progress {
            Progress::Allocated => self.client.set_credentials(now, credentials.clone()),
            Progress::Waiting | Progress::Asked { .. } | Progress::Over => self.ask_anew(ctx),
            Progress::Reserve => self.client = Self::client(ctx, self.path, &self.credentials),
            // It is told to the other one.
            Progress::Redirected { .. } => {}
        }
    }

    /// Turns to the server that this one has named (RFC 8489 §10). Over a stream somebody else has to, since that is another one:
    /// he knows, too, which were asked before.
    fn follow(
        &mut self,
        ctx: &mut Context,
        reason: &CloseReason,
        until: Option<Instant>,
        gains: &mut Vec<Gain>,
    ) -> bool {
        let CloseReason::TryAlternate { server, domain } = reason else {
            return false;
        };
        let server = plain(*server);
        // Nobody out there is to have us knock at the doors of this machine.
        let is_inward = reach(server.ip()) == Reach::Machine && reach(self.path.remote.ip()) != Reach::Machine;
        if !is_sendable(server) || is_inward {
            return false;
        }
        let path = self.path;
        match (path.transport, until) {
            (Transport::Tcp, Some(until)) => {
                let domain = domain.clone();
                self.progress = Progress::Redirected { until };
                gains.push(Gain::Redirected { path, server, domain });
                true
            }
            (Transport::Tcp, None) => false,
            // "If the client has been redirected to a server to which it has already sent this request within the last five
            // minutes, it MUST ignore the redirection".
            (Transport::Udp, _) => {
                let server = path_between(Transport::Udp, path.local, server).remote;
                let alike = server.is_ipv4() == path.remote.is_ipv4();
                if !alike || self.asked.contains(&server) || self.asked.len() >= MAX_ASKED {
                    return false;
                }
                self.asked.push(server);
                self.path.remote = server;
                self.ask_anew(ctx);
                true
            }
        }
    }

    fn explain(&self, reason: &CloseReason) -> CandidateError {
        match reason {
            CloseReason::Refused { code, reason } => self.error(code.number(), reason),
            CloseReason::TryAlternate { .. } => self.error(300, "the server names another one that cannot be used"),
            CloseReason::BadResponse => self.error(CandidateError::UNREACHABLE, "the server's answer made no sense"),
            CloseReason::Closed | CloseReason::TimedOut | CloseReason::Lost => {
                self.error(CandidateError::UNREACHABLE, "the server did not answer")
            }
        }
    }

    fn error(&self, code: u16, text: &str) -> CandidateError {
        CandidateError {
            address: Some(self.path.local),
            url: self.url.clone(),
            code,
            text: text.to_owned(),
        }
    }
}

/// Whether other addresses of the same server are no better: what is wrong with a request (4xx) is so everywhere, what is wrong with
/// the server (5xx) is not.
fn is_final(reason: &CloseReason) -> bool {
    match reason {
        CloseReason::Closed | CloseReason::TryAlternate { .. } | CloseReason::TimedOut => false,
        CloseReason::BadResponse | CloseReason::Lost => false,
        CloseReason::Refused { code, .. } => code.number() < 500,
    }
}
