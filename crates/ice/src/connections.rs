//! [`Connections`]: those over TCP (RFC 6544 §7, §11) that candidate pairs need, as they are asked for, come and go.
//!
//! A connection has the path of its pair: one that an active candidate makes leaves from a port that nobody here knows, and is
//! named by port 9 like the candidate.

use std::collections::BTreeMap;
use std::time::Instant;

use peerline_wire::{FiveTuple, Transport};

use crate::context::Context;
use crate::pair::{PairId, PairState};
use crate::session::Session;
use crate::{Event, Role, TcpType};

/// The connections of an agent; sessions share them (RFC 6544 §9.2).
#[derive(Debug, Default)]
pub(crate) struct Connections(BTreeMap<FiveTuple, Connection>);

#[derive(Clone, Copy, Debug)]
enum Connection {
    /// Asked for; given up after this.
    Opening { until: Instant },
    /// Made by us.
    Made,
    /// The peer's, or a stranger's: unless it carries an authenticated check before this, it is closed. `None` once it has.
    Accepted { unproved_until: Option<Instant> },
}

impl Connections {
    /// When the next one is given up.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let due = |connection: &Connection| match *connection {
            Connection::Opening { until } => Some(until),
            Connection::Made => None,
            Connection::Accepted { unproved_until } => unproved_until,
        };
        self.0.values().filter_map(due).min()
    }

    fn is_open(&self, path: &FiveTuple) -> bool {
        let connection = self.0.get(path);
        connection.is_some_and(|connection| !matches!(connection, Connection::Opening { .. }))
    }

    fn count_unproved(&self) -> usize {
        let unproved =
            |it: &&Connection| matches!(it, Connection::Accepted { unproved_until } if unproved_until.is_some());
        self.0.values().filter(unproved).count()
    }
}

impl Context {
    /// True if datagrams can go this way now.
    pub(crate) fn is_connected(&self, path: &FiveTuple) -> bool {
        match path.transport {
            Transport::Udp => true,
            Transport::Tcp => self.connections.as_ref().is_some_and(|all| all.is_open(path)),
        }
    }

    /// A connection that was asked for is there. False if nobody wants it any more.
    pub(crate) fn on_connected(&mut self, path: FiveTuple) -> bool {
        let Some(connections) = &mut self.connections else {
            return false;
        };
        let is_wanted = connections.0.contains_key(&path);
        if is_wanted {
            connections.0.insert(path, Connection::Made);
        }
        is_wanted
    }

    /// A connection of somebody has come. False if there are too many.
    pub(crate) fn on_accepted(&mut self, now: Instant, path: FiveTuple) -> bool {
        let (limits, patience) = (*self.limits(), self.timings().unproved_patience);
        let connections = self.connections.get_or_insert_default();
        let is_known = connections.0.contains_key(&path);
        let is_full =
            connections.0.len() >= limits.max_connections || connections.count_unproved() >= limits.max_unproved;
        if is_full && !is_known {
            return false;
        }
        let unproved_until = Some(now + patience);
        connections.0.insert(path, Connection::Accepted { unproved_until });
        true
    }

    /// A connection is gone, or could not be made. False if it is not known.
    pub(crate) fn on_disconnected(&mut self, path: &FiveTuple) -> bool {
        let Some(connections) = &mut self.connections else {
            return false;
        };
        let was_known = connections.0.remove(path).is_some();
        if connections.0.is_empty() {
            self.connections = None;
        }
        was_known
    }

    /// Asks for a connection, unless that has been done. False if there are too many.
    fn connect(&mut self, now: Instant, path: FiveTuple) -> bool {
        let (limit, until) = (self.limits().max_connections, now + self.timings().reliable_timeout);
        let connections = self.connections.get_or_insert_default();
        if connections.0.contains_key(&path) {
            return true;
        }
        if connections.0.len() >= limit {
            return false;
        }
        connections.0.insert(path, Connection::Opening { until });
        self.push(Event::TcpConnect(path));
        true
    }

    /// The connections that time has come for, and those that no session needs any more.
    pub(crate) fn superfluous_connections<'s>(
        &mut self,
        now: Instant,
        sessions: &(impl Iterator<Item = &'s Session> + Clone),
    ) -> Vec<FiveTuple> {
        let role = self.role;
        let Some(connections) = &mut self.connections else {
            return Vec::new();
        };
        let mut superfluous = Vec::new();
        for (&path, connection) in &mut connections.0 {
            let is_ours = !matches!(connection, Connection::Accepted { .. });
            let is_needed = sessions.clone().any(|session| session.needs(role, &path, is_ours));
            let is_kept = match connection {
                Connection::Opening { until } => is_needed && now < *until,
                Connection::Made => is_needed,
                Connection::Accepted { unproved_until } => {
                    if is_needed {
                        *unproved_until = None;
                    }
                    is_needed || unproved_until.is_some_and(|until| now < until)
                }
            };
            if !is_kept {
                superfluous.push(path);
            }
        }
        superfluous
    }
}

impl Session {
    /// The pair's check needs a connection that is not there.
    pub(crate) fn lacks_connection(&self, ctx: &Context, id: PairId) -> bool {
        self.list.get(id).is_some_and(|pair| !ctx.is_connected(&pair.path))
    }

    /// "When an agent wants to send a TCP-based connectivity check, it first opens a TCP connection, if none yet exists, for the
    /// 5-tuple defined by the candidate pair" (RFC 6544 §7.1). The check is in progress from then on.
    pub(crate) fn await_connection(&mut self, ctx: &mut Context, now: Instant, id: PairId) {
        let Some(pair) = self.list.get(id) else { return };
        let (path, tcp_type) = (pair.path, self.tcp_type(pair.local));
        self.list.untrigger(id);
        // Whoever is passive waits.
        let connects = matches!(tcp_type, Some(TcpType::Active | TcpType::SimultaneousOpen));
        let state = if connects && ctx.connect(now, path) {
            PairState::InProgress
        } else {
            PairState::Failed
        };
        self.list.set_state(id, state);
    }

    /// The check that has waited for this connection goes next.
    pub(crate) fn on_connected(&mut self, path: &FiveTuple) {
        let waits = self.list.find(path).filter(|pair| pair.state == PairState::InProgress);
        if let Some(id) = waits.map(|pair| pair.id) {
            self.list.trigger(id);
        }
    }

    /// "If the TCP connection cannot be established, the check is considered to have failed" (RFC 6544 §7.1); if one breaks that
    /// carried data, another path is looked for. Who connects may do so again: "if the agent's local candidate is tcp-active or
    /// tcp-so, it MUST reopen a connection [...]. If the agent's local candidate is tcp-passive, the agent MUST await an incoming
    /// connection request" (§11.1), and that comes from another port.
    pub(crate) fn on_disconnected(&mut self, ctx: &Context, now: Instant, path: &FiveTuple) {
        let Some(pair) = self.list.find(path) else {
            self.early.retain(|early| early.path != *path);
            return;
        };
        let (id, tcp_type) = (pair.id, self.tcp_type(pair.local));
        if tcp_type == Some(TcpType::Passive) {
            return self.remove_paths(ctx, now, |gone| gone == path);
        }
        if self.selected == Some(id) {
            self.set_adrift(ctx, now);
        }
        if self.nomination.pair() == Some(id) {
            self.nomination.cancel();
        }
        self.list.untrigger(id);
        self.list.set_state(id, PairState::Failed);
        self.transactions.forget_pair(id);
    }

    fn tcp_type(&self, local: usize) -> Option<TcpType> {
        self.locals.get(local)?.candidate.tcp_type
    }

    /// Whether this session has a use for the connection. "When ICE processing for a media stream completes, each agent SHOULD
    /// close all TCP connections (that were opened due to this ICE session) except the ones between the candidate pairs selected
    /// by ICE" (RFC 6544 §8): each closes those that it has made, once a better pair is selected. The others are the peer's to
    /// close, who may be about to select one.
    fn needs(&self, role: Role, path: &FiveTuple, is_ours: bool) -> bool {
        if self.is_lost() {
            return false;
        }
        let Some(pair) = self.list.find(path) else {
            return self.early.iter().any(|early| early.path == *path);
        };
        let selected = self.selected.and_then(|id| self.list.get(id));
        let is_beaten = is_ours
            && selected.is_some_and(|selected| {
                selected.id != pair.id && selected.valid_priority(role) > pair.valid_priority(role)
            });
        pair.state != PairState::Failed && !is_beaten
    }
}
