//! [`Servers`]: STUN servers asked from each socket, for the candidates that they reveal (RFC 8445 §5.1.1.2).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerline_stun::attribute::{ErrorCode, MappedAddress, XorMappedAddress};
use peerline_stun::{Class, Message, MessageBuilder, Method, TransactionId};
use peerline_turn::Credentials;
use peerline_wire::{FiveTuple, Transmit, Transport};

use crate::candidate::{Reach, is_sendable, plain, reach};
use crate::context::Context;
use crate::session::path_between;
use crate::{CandidateError, Timings};

/// A server that helps to find a way (RFC 8445 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// As the user named it (`stun:stun.example.org`), for reports.
    pub url: String,
    /// One of its addresses. Those of the same family with the same URL are asked one after the other, until one answers.
    pub address: SocketAddr,
    /// `None` for a STUN server, which tells what address it sees us at. A TURN server relays for those who have these.
    pub credentials: Option<Credentials>,
}

impl Server {
    /// A STUN server.
    #[must_use]
    pub fn stun(url: impl Into<String>, address: SocketAddr) -> Self {
        Self {
            url: url.into(),
            address,
            credentials: None,
        }
    }

    /// A TURN server, and who asks it.
    #[must_use]
    pub fn turn(url: impl Into<String>, address: SocketAddr, credentials: Credentials) -> Self {
        Self {
            url: url.into(),
            address,
            credentials: Some(credentials),
        }
    }
}

/// Each server, and each STUN server asked from each socket of its family.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    known: Vec<Server>,
    queries: Vec<Query>,
}

/// One server asked from one socket.
#[derive(Debug)]
struct Query {
    /// From the base to the server.
    path: FiveTuple,
    server: usize,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// To be asked if those before it, of the same URL, do not answer soon.
    Reserve,
    /// To be asked when the pace allows it.
    Waiting,
    Asked(Request),
    /// Asked again after this, to keep what it has given alive.
    Answered {
        again_at: Instant,
    },
    /// It has refused, or stayed silent.
    Failed,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    id: TransactionId,
    transmissions: u32,
    rto: Duration,
    resend_at: Instant,
    give_up_at: Instant,
    /// It only keeps an answer alive.
    is_repeated: bool,
}

/// What a server's response has taught.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The address that the socket has out there.
    Mapped {
        base: SocketAddr,
        server: SocketAddr,
        mapped: SocketAddr,
    },
    Error(CandidateError),
    /// It was late, or not for us.
    Nothing,
}

impl Servers {
    /// Adds a server, or takes its credentials if they are others than those known; false if it is known as it is, or cannot be
    /// reached by any socket.
    pub(crate) fn add(&mut self, server: Server) -> bool {
        let alike = |known: &&mut Server| {
            known.address == server.address && known.credentials.is_some() == server.credentials.is_some()
        };
        if let Some(known) = self.known.iter_mut().find(alike) {
            let is_news = known.credentials != server.credentials;
            known.credentials = server.credentials;
            return is_news;
        }
        if !is_sendable(server.address) {
            return false;
        }
        self.known.push(server);
        true
    }

    /// Forgets the servers of other URLs than these.
    pub(crate) fn keep(&mut self, keep: impl Fn(&str) -> bool) {
        let Self { known, queries } = self;
        queries.retain(|query| known.get(query.server).is_some_and(|server| keep(&server.url)));
        known.retain(|server| keep(&server.url));
        for query in queries {
            let is_asked = |server: &Server| server.credentials.is_none() && plain(server.address) == query.path.remote;
            query.server = known.iter().position(is_asked).unwrap_or(usize::MAX);
        }
    }

    /// Those that have failed are to be asked once more.
    pub(crate) fn try_again(&mut self) {
        let failed = |query: &&mut Query| matches!(query.state, State::Failed);
        let failed = self.queries.iter_mut().filter(failed);
        failed.for_each(|query| query.state = State::Waiting);
    }

    /// Asks a STUN server from a base, also when it has failed there before. False if that cannot be.
    pub(crate) fn ask_again(&mut self, base: SocketAddr, server: Server) -> bool {
        let address = server.address;
        if server.credentials.is_some() || !is_sendable(base) || !is_reachable(base, address) {
            return false;
        }
        self.add(server);
        let Some(server) = self.known.iter().position(|known| known.address == address) else {
            return false;
        };
        let path = path_between(Transport::Udp, base, address);
        match self.queries.iter_mut().find(|query| query.path == path) {
            Some(query) if matches!(query.state, State::Failed) => query.state = State::Waiting,
            Some(_) => {}
            None => self.queries.push(Query {
                path,
                server,
                state: State::Waiting,
            }),
        }
        true
    }

    /// Asks every STUN server from every base that may reach it, unless that has been done. Says what is to be asked of TURN
    /// servers, each from every one of its own.
    pub(crate) fn ask_from(&mut self, bases: &[SocketAddr], relay_bases: &[SocketAddr]) -> Vec<(FiveTuple, &Server)> {
        let mut relays = Vec::new();
        for (index, server) in self.known.iter().enumerate() {
            let is_relay = server.credentials.is_some();
            let bases = if is_relay { relay_bases } else { bases };
            for &base in bases.iter().filter(|&&base| is_reachable(base, server.address)) {
                let path = path_between(Transport::Udp, base, server.address);
                if is_relay {
                    relays.push((path, server));
                } else if !self.queries.iter().any(|query| query.path == path) {
                    let kin = |query: &Query| is_kin(&self.known, query, base, &server.url);
                    let is_reserve = self.queries.iter().any(|query| kin(query) && query.may_help());
                    self.queries.push(Query {
                        path,
                        server: index,
                        state: if is_reserve { State::Reserve } else { State::Waiting },
                    });
                }
            }
        }
        relays
    }

    /// A socket is gone: nothing is asked from there any more.
    pub(crate) fn remove_base(&mut self, base: SocketAddr) {
        self.queries.retain(|query| query.path.local != base);
    }

    /// True while an answer may bring a candidate.
    pub(crate) fn is_pending(&self) -> bool {
        let pending = |query: &&Query| match query.state {
            State::Waiting => true,
            State::Asked(request) => !request.is_repeated,
            State::Reserve | State::Answered { .. } | State::Failed => false,
        };
        let answered = |query: &Query| match query.state {
            State::Answered { .. } => true,
            State::Asked(request) => request.is_repeated,
            State::Reserve | State::Waiting | State::Failed => false,
        };
        // Of a server's addresses one is enough.
        let mut pending = self.queries.iter().filter(pending);
        pending.any(|query| !self.kin(query).any(answered))
    }

    /// True if another address of the server at the end of this path has answered the same socket, or may yet.
    pub(crate) fn has_others(&self, path: &FiveTuple) -> bool {
        let query = self.queries.iter().find(|query| query.path == *path);
        query.is_some_and(|query| self.kin(query).any(Query::may_help))
    }

    /// Other addresses of the same server, asked from the same socket.
    fn kin<'a>(&'a self, of: &'a Query) -> impl Iterator<Item = &'a Query> {
        let url = self.known.get(of.server).map_or("", |server| &server.url);
        let kin = move |query: &&Query| query.path != of.path && is_kin(&self.known, query, of.path.local, url);
        self.queries.iter().filter(kin)
    }

    /// This one has failed, or takes long: the next address of the same server is asked as well.
    fn relieve(&mut self, path: &FiveTuple) {
        let Self { known, queries } = self;
        let Some(slow) = queries.iter().find(|query| query.path == *path) else {
            return;
        };
        let url = known.get(slow.server).map(|server| &*server.url).unwrap_or_default();
        let mut kin = queries.iter_mut().filter(|query| is_kin(known, query, path.local, url));
        if let Some(next) = kin.find(|query| matches!(query.state, State::Reserve)) {
            next.state = State::Waiting;
        }
    }

    /// True while a server is to be asked that has not been.
    pub(crate) fn has_new(&self) -> bool {
        self.queries.iter().any(|query| matches!(query.state, State::Waiting))
    }

    /// Asks the next server that has not been.
    pub(crate) fn ask(&mut self, ctx: &mut Context, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let query = self
            .queries
            .iter_mut()
            .find(|query| matches!(query.state, State::Waiting))?;
        Some(query.ask(ctx, now, false, out))
    }

    /// Sends what does not wait for the pace: requests repeated, and those that keep an answer alive while `keep_alive`.
    pub(crate) fn poll_transmit(
        &mut self,
        ctx: &mut Context,
        now: Instant,
        keep_alive: bool,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        /// As long takes another server than one that is there, whatever is lost: 1.5 s.
        const SLOW: u32 = 3;
        let mut slow = None;
        let transmit = self.queries.iter_mut().find_map(|query| match &mut query.state {
            State::Asked(request) if request.resend_at <= now => {
                request.transmissions += 1;
                request.resend_at = now + request.wait(ctx.timings());
                let id = request.id;
                slow = (request.transmissions == SLOW && !request.is_repeated).then_some(query.path);
                Some(query.write(id, out))
            }
            &mut State::Answered { again_at } if keep_alive && again_at <= now => Some(query.ask(ctx, now, true, out)),
            State::Reserve | State::Waiting | State::Asked(_) | State::Answered { .. } | State::Failed => None,
        });
        slow.iter().for_each(|path| self.relieve(path));
        transmit
    }

    pub(crate) fn poll_timeout(&self, keep_alive: bool) -> Option<Instant> {
        let due = |query: &Query| match query.state {
            State::Asked(request) => Some(request.resend_at.min(request.give_up_at)),
            State::Answered { again_at } => Some(again_at).filter(|_| keep_alive),
            State::Reserve | State::Waiting | State::Failed => None,
        };
        self.queries.iter().filter_map(due).min()
    }

    /// Gives up the servers that stay silent: the next of them, until there is none.
    pub(crate) fn expire(&mut self, timings: &Timings, now: Instant) -> Option<(FiveTuple, CandidateError)> {
        for query in &mut self.queries {
            let State::Asked(request) = query.state else { continue };
            if now < request.give_up_at {
                continue;
            }
            if request.is_repeated {
                let again_at = now + timings.server_keepalive;
                query.state = State::Answered { again_at };
                continue;
            }
            query.state = State::Failed;
            let url = self.known.get(query.server).map(|server| server.url.clone());
            let error = CandidateError {
                address: Some(query.path.local),
                url: url.unwrap_or_default(),
                code: CandidateError::UNREACHABLE,
                text: "the server did not answer".to_owned(),
            };
            let path = query.path;
            self.relieve(&path);
            return Some((path, error));
        }
        None
    }

    /// Whether a datagram on this path is a server's.
    pub(crate) fn owns(&self, path: &FiveTuple) -> bool {
        self.queries.iter().any(|query| query.path == *path)
    }

    /// A response of a server has come. They prove nothing but that the server has seen our request.
    pub(crate) fn handle_response(
        &mut self,
        ctx: &Context,
        now: Instant,
        path: &FiveTuple,
        response: &Message<'_>,
    ) -> Answer {
        let id = response.transaction_id();
        let asked = |query: &&mut Query| {
            query.path == *path && matches!(query.state, State::Asked(request) if request.id == id)
        };
        let Some(query) = self.queries.iter_mut().find(asked) else {
            return Answer::Nothing;
        };
        if response.class() == Class::SuccessResponse
            && let Some(mapped) = mapped_address(response)
        {
            query.state = State::Answered {
                again_at: now + ctx.timings().server_keepalive,
            };
            return Answer::Mapped {
                base: path.local,
                server: path.remote,
                mapped,
            };
        }
        query.state = State::Failed;
        let server = query.server;
        self.relieve(path);
        let error = response.error();
        let (code, text) = error.map_or((ErrorCode::BAD_REQUEST, "not an answer"), |error| {
            (error.code, error.reason)
        });
        let url = self.known.get(server).map(|server| server.url.clone());
        Answer::Error(CandidateError {
            address: Some(path.local),
            url: url.unwrap_or_default(),
            code: code.number(),
            text: text.to_owned(),
        })
    }
}

/// Whether a query asks the server of this URL from this socket.
fn is_kin(known: &[Server], query: &Query, base: SocketAddr, url: &str) -> bool {
    query.path.local == base && known.get(query.server).is_some_and(|server| server.url == url)
}

impl Query {
    /// It has been answered, or may yet be.
    fn may_help(&self) -> bool {
        !matches!(self.state, State::Failed)
    }

    fn ask(&mut self, ctx: &mut Context, now: Instant, is_repeated: bool, out: &mut Vec<u8>) -> Transmit {
        let id = ctx.transaction_id();
        let mut request = Request {
            id,
            transmissions: 1,
            rto: ctx.timings().rto,
            resend_at: now,
            give_up_at: now + ctx.timings().server_patience,
            is_repeated,
        };
        request.resend_at = now + request.wait(ctx.timings());
        self.state = State::Asked(request);
        self.write(id, out)
    }

    fn write(&self, id: TransactionId, out: &mut Vec<u8>) -> Transmit {
        let start = out.len();
        MessageBuilder::request(out, Method::BINDING, id);
        Transmit {
            five_tuple: self.path,
            ecn: None,
            len: out.len() - start,
        }
    }
}

impl Request {
    /// The time-out doubles with each transmission, and there are no more than Rc (RFC 8489 §6.2.1).
    fn wait(&self, timings: &Timings) -> Duration {
        if self.transmissions >= timings.max_transmissions {
            return timings.server_patience;
        }
        self.rto * (1 << self.transmissions.saturating_sub(1).min(16))
    }
}

/// Whether a datagram may get from a socket to a server.
fn is_reachable(base: SocketAddr, server: SocketAddr) -> bool {
    let server = plain(server);
    base.is_ipv4() == server.is_ipv4() && carries(base) == carries(server) && is_sendable(server)
}

/// How far an address carries; those that carry everywhere and those of the same link reach servers out there.
fn carries(address: SocketAddr) -> bool {
    reach(address.ip()) != Reach::Machine
}

/// Servers of RFC 3489 know the plain form alone (RFC 8489 §14.1).
fn mapped_address(response: &Message<'_>) -> Option<SocketAddr> {
    let xored = response
        .get::<XorMappedAddress>()
        .ok()
        .flatten()
        .map(|XorMappedAddress(address)| address);
    let mapped = || {
        response
            .get::<MappedAddress>()
            .ok()
            .flatten()
            .map(|MappedAddress(address)| address)
    };
    xored.or_else(mapped).map(plain).filter(|&address| is_sendable(address))
}
