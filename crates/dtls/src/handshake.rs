//! The handshake of either role: hellos that settle the version, then what the version asks for.

use crate::config::Role;
use crate::context::{Context, Progress};
use crate::error::Fault;
use crate::hello::client::AwaitServerHello;
use crate::hello::server::AwaitClientHello;
use crate::reassembly::Message;
use crate::{dtls12, dtls13};

/// Where a handshake stands.
pub(crate) enum Handshake {
    ServerHello(Box<AwaitServerHello>),
    ClientHello(AwaitClientHello),
    Client12(dtls12::client::Client),
    Server12(dtls12::server::Server),
    Client13(dtls13::client::Client),
    Server13(dtls13::server::Server),
}

impl Handshake {
    /// A client sends its first flight, a server waits for it.
    pub(crate) fn start(role: Role, cx: &mut Context) -> Result<Self, Fault> {
        match role {
            Role::Client => AwaitServerHello::start(cx).map(|state| Self::ServerHello(Box::new(state))),
            Role::Server => AwaitClientHello::start(cx).map(Self::ClientHello),
        }
    }

    /// Goes on with a message.
    pub(crate) fn handle(self, cx: &mut Context, message: &Message) -> Result<Progress<Self>, Fault> {
        match self {
            Self::ServerHello(state) => state.handle(cx, message).map(Progress::Next),
            Self::ClientHello(state) => state.handle(cx, message).map(Progress::Next),
            Self::Client12(client) => Ok(client.handle(cx, message)?.map(Self::Client12)),
            Self::Server12(server) => Ok(server.handle(cx, message)?.map(Self::Server12)),
            Self::Client13(client) => Ok(client.handle(cx, message)?.map(Self::Client13)),
            Self::Server13(server) => Ok(server.handle(cx, message)?.map(Self::Server13)),
        }
    }

    /// The peer's certificate may be vouched for by now.
    pub(crate) fn on_fingerprints(self, cx: &mut Context) -> Result<Progress<Self>, Fault> {
        match self {
            Self::ServerHello(_) | Self::ClientHello(_) => Ok(Progress::Next(self)),
            Self::Client12(client) => client.on_fingerprints(cx).map(Self::Client12).map(Progress::Next),
            Self::Server12(server) => Ok(server.on_fingerprints(cx)?.map(Self::Server12)),
            Self::Client13(client) => Ok(client.on_fingerprints(cx)?.map(Self::Client13)),
            Self::Server13(server) => Ok(server.on_fingerprints(cx)?.map(Self::Server13)),
        }
    }

    /// True while the handshake waits for fingerprints and nothing else.
    pub(crate) fn is_held(&self) -> bool {
        match self {
            Self::ServerHello(_) | Self::ClientHello(_) => false,
            Self::Client12(client) => client.is_held(),
            Self::Server12(server) => server.is_held(),
            Self::Client13(client) => client.is_held(),
            Self::Server13(server) => server.is_held(),
        }
    }

    /// True until a ClientHello has been accepted. Before that, messages are taken in any order and leave no trace.
    pub(crate) fn awaits_client_hello(&self) -> bool {
        matches!(self, Self::ClientHello(_))
    }

    /// True while the version is not settled and may come to be 1.3.
    pub(crate) fn may_become_13(&self) -> bool {
        matches!(self, Self::ServerHello(state) if state.offers_13())
    }
}
