//! [`Relay`]: one allocation, from the request to its end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use peerline_turn::client::{CloseReason, Config, Event as News, Families};
use peerline_turn::{Client, Credentials};
use peerline_wire::{FiveTuple, Transmit, Transport};
use rand::RngExt;

use crate::CandidateError;
use crate::candidate::{Reach, is_sendable, plain, reach};
use crate::context::Context;
use crate::session::path_between;

/// One allocation.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) client: Client,
    /// From the base to the server.
    pub(super) path: FiveTuple,
    /// The servers that were asked: the first, and those that one has sent us to.
    pub(super) asked: Vec<SocketAddr>,
    pub(super) url: String,
    pub(super) credentials: Credentials,
    /// How often one has lost what it gave.
    pub(super) losses: u32,
    /// Its server is none of ours any more.
    pub(super) is_dismissed: bool,
    pub(super) progress: Progress,
    /// Checks that wait for a permission to be asked for.
    pub(super) held: VecDeque<(SocketAddr, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
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
    /// What there is, or may be when an answer comes, is given back: another address of the server was quicker, this one has taken
    /// too long, or the servers are to be others. Not waited for any longer then.
    Released {
        until: Instant,
        /// It has had its time, and is not to be asked again for now.
        is_spent: bool,
    },
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
pub(super) struct End {
    /// What is told of it, if nothing was given, and no other address of the server gives anything.
    pub(super) told: Option<CandidateError>,
    /// Another address of the server will not do better.
    pub(super) is_final: bool,
}

/// A server may send us to another, and that one to a third: no further.
const MAX_ASKED: usize = 3;

/// A server that has been started anew is asked anew; one that does nothing else, not for ever.
const MAX_LOSSES: u32 = 8;

impl Relay {
    pub(super) fn client(ctx: &mut Context, path: FiveTuple, credentials: &Credentials) -> Client {
        Client::new(Config {
            // A peer of either family is reached, if the server can.
            families: Families::Both,
            rng_seed: ctx.rng().random(),
            ..Config::new(path, credentials.clone())
        })
    }

    /// A check that was held, once the permission is asked for.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let client = &self.client;
        let index = self.held.iter().position(|(peer, _)| client.sends_to(peer.ip()))?;
        let (peer, message) = self.held.remove(index)?;
        self.send(peer, &message, out)
    }

    pub(super) fn send(&mut self, peer: SocketAddr, message: &[u8], out: &mut Vec<u8>) -> Option<Transmit> {
        self.client.enclose(out, peer, |out| {
            out.extend_from_slice(message);
            Some(message.len())
        })
    }

    /// An address of the server of this URL, asked by the same way.
    pub(super) fn is_kin(&self, path: &FiveTuple, url: &str) -> bool {
        let ours = (self.path.local, self.path.transport);
        ours == (path.local, Transport::Udp) && path.transport == Transport::Udp && self.url == url
    }

    /// It has given something, or may yet.
    pub(super) fn may_help(&self) -> bool {
        !matches!(
            self.progress,
            Progress::Over | Progress::Released { is_spent: true, .. }
        )
    }

    /// It is asked, or has answered: those in reserve are not needed.
    pub(super) fn is_engaged(&self) -> bool {
        matches!(
            self.progress,
            Progress::Waiting | Progress::Asked { .. } | Progress::Allocated
        )
    }

    /// Gives back what there is, or may be when the server's answer comes.
    pub(super) fn give_back(&mut self, now: Instant, until: Instant, is_spent: bool) {
        self.client.close(now);
        self.held.clear();
        self.progress = Progress::Released { until, is_spent };
    }

    /// It has been given back, as far as we can know: the server may be asked again, should it be needed.
    fn settle_return(&mut self, ctx: &mut Context, is_spent: bool) {
        self.client = Self::client(ctx, self.path, &self.credentials);
        let is_wanted = !is_spent && !self.is_dismissed && self.path.transport == Transport::Udp;
        self.progress = match is_wanted {
            true => Progress::Reserve,
            false => Progress::Over,
        };
    }

    /// Takes what has happened, and says why it is over, if it is. What comes when there is something better is given back.
    pub(super) fn poll_gains(
        &mut self,
        ctx: &mut Context,
        now: Instant,
        has_better: bool,
        gains: &mut Vec<Gain>,
    ) -> Option<End> {
        let mut end = None;
        if let Progress::Asked { until, .. } = self.progress
            && until <= now
        {
            self.give_back(now, now + ctx.timings().server_patience, true);
            let told = Some(self.explain(&CloseReason::TimedOut));
            end = Some(End { told, is_final: false });
        } else if let Progress::Released { until, is_spent } = self.progress
            && until <= now
        {
            self.settle_return(ctx, is_spent);
        }
        while let Some(news) = self.client.poll_event() {
            if has_better && matches!((&news, self.progress), (News::Allocated(_), Progress::Asked { .. })) {
                self.give_back(now, now + ctx.timings().server_patience, false);
                continue;
            }
            end = self.take_news(ctx, news, gains).or(end);
        }
        end
    }

    /// Says why it is over, if it is.
    fn take_news(&mut self, ctx: &mut Context, news: News, gains: &mut Vec<Gain>) -> Option<End> {
        let path = self.path;
        if let Progress::Released { is_spent, .. } = self.progress {
            if matches!(news, News::Closed(_)) {
                self.settle_return(ctx, is_spent);
            }
            return None;
        }
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
                    | Progress::Released { .. }
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

    pub(super) fn ask_anew(&mut self, ctx: &mut Context) {
        self.client = Self::client(ctx, self.path, &self.credentials);
        self.progress = Progress::Waiting;
    }

    /// Goes on with other credentials, or begins anew if those before were of no use.
    pub(super) fn rotate(&mut self, ctx: &mut Context, now: Instant, credentials: &Credentials) {
        if self.credentials == *credentials {
            return;
        }
        self.credentials = credentials.clone();
        match self.progress {
            Progress::Allocated => self.client.set_credentials(now, credentials.clone()),
            Progress::Waiting | Progress::Asked { .. } | Progress::Over => self.ask_anew(ctx),
            Progress::Reserve => self.client = Self::client(ctx, self.path, &self.credentials),
            // What is given back was made with those before; then these are tried.
            Progress::Released { until, .. } => {
                let is_spent = false;
                self.progress = Progress::Released { until, is_spent };
            }
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

    pub(super) fn error(&self, code: u16, text: &str) -> CandidateError {
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
