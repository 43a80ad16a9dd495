//! How the NAT in front of this machine behaves (RFC 5780 §4), as a server with two addresses tells.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use peerline_stun::attribute::{ChangeRequest, OtherAddress, XorMappedAddress};
use peerline_stun::{Class, Message, MessageBuilder, Method, TransactionId};
use rand::RngExt;
use serde::Serialize;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::host::now;

/// When a request is sent again: what a NAT drops is known after the last. RFC 8489 §6.2.1 would have seven, over 39.5 s.
const WAITS: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_millis(900),
];

/// What addresses and ports a NAT looks at (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Behaviour {
    EndpointIndependent,
    AddressDependent,
    AddressAndPortDependent,
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address- and port-dependent",
        })
    }
}

/// What was found out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Nat {
    /// Who told, and where that is.
    pub(super) server: String,
    pub(super) address: SocketAddr,
    /// Our address, and what the server sees of it.
    pub(super) local: SocketAddr,
    pub(super) mapped: SocketAddr,
    /// False if they are the same.
    pub(super) is_translated: bool,
    /// How long its answer took.
    pub(super) milliseconds: f64,
    /// `None` if the server has no second address.
    pub(super) mapping: Option<Behaviour>,
    pub(super) filtering: Option<Behaviour>,
}

/// Asks a server; why not, if it does not answer.
pub(super) async fn discover(name: &str, server: SocketAddr) -> Result<Nat, String> {
    let failed = |error: std::io::Error| format!("no socket: {error}");
    let mapping = Prober::new(server).await.map_err(failed)?;
    let begun = now();
    let first = mapping.ask(server, None).await.ok_or("no answer")?;
    let local = mapping.local;
    let mut nat = Nat {
        server: name.to_owned(),
        address: server,
        local,
        mapped: first.mapped,
        is_translated: first.mapped != local,
        milliseconds: begun.elapsed().as_secs_f64() * 1e3,
        mapping: None,
        filtering: None,
    };
    if let Some(other) = first.other {
        nat.mapping = mapping_behaviour(&mapping, server, first.mapped, other).await;
        // From another port: to this one the NAT lets the other addresses in by now.
        let filtering = Prober::new(server).await.map_err(failed)?;
        nat.filtering = filtering_behaviour(&filtering, server).await;
    }
    Ok(nat)
}

/// RFC 5780 §4.3
async fn mapping_behaviour(
    prober: &Prober,
    server: SocketAddr,
    mapped: SocketAddr,
    other: SocketAddr,
) -> Option<Behaviour> {
    if mapped == prober.local {
        return Some(Behaviour::EndpointIndependent);
    }
    // "[...] the client sends a Binding Request to the alternate address, but primary port."
    let second = prober.ask(SocketAddr::new(other.ip(), server.port()), None).await?;
    if second.mapped == mapped {
        return Some(Behaviour::EndpointIndependent);
    }
    let third = prober.ask(other, None).await?;
    Some(if third.mapped == second.mapped {
        Behaviour::AddressDependent
    } else {
        Behaviour::AddressAndPortDependent
    })
}

/// RFC 5780 §4.4
async fn filtering_behaviour(prober: &Prober, server: SocketAddr) -> Option<Behaviour> {
    prober.ask(server, None).await?;
    let change = |change_ip| ChangeRequest {
        change_ip,
        change_port: true,
    };
    if prober.ask(server, Some(change(true))).await.is_some() {
        return Some(Behaviour::EndpointIndependent);
    }
    Some(match prober.ask(server, Some(change(false))).await {
        Some(_) => Behaviour::AddressDependent,
        None => Behaviour::AddressAndPortDependent,
    })
}

/// A socket that asks.
struct Prober {
    socket: UdpSocket,
    local: SocketAddr,
}

/// What a response says.
struct Answer {
    mapped: SocketAddr,
    other: Option<SocketAddr>,
}

impl Prober {
    /// One with the address from which this machine reaches the server.
    async fn new(server: SocketAddr) -> std::io::Result<Self> {
        let wildcard = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let route = UdpSocket::bind(wildcard).await?;
        route.connect(server).await?;
        let mut local = route.local_addr()?;
        local.set_port(0);
        // Not connected: answers come from elsewhere, too.
        let socket = UdpSocket::bind(local).await?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    /// What the answer says, wherever it comes from; `None` if there is none, or a refusal.
    async fn ask(&self, server: SocketAddr, change: Option<ChangeRequest>) -> Option<Answer> {
        let id = TransactionId(rand::rng().random());
        let mut request = Vec::new();
        let mut builder = MessageBuilder::request(&mut request, Method::BINDING, id);
        if let Some(change) = change {
            builder.attribute(change);
        }
        for wait in WAITS {
            self.socket.send_to(&request, server).await.ok()?;
            if let Ok(answer) = timeout(wait, self.receive(id)).await {
                return answer;
            }
        }
        None
    }

    async fn receive(&self, id: TransactionId) -> Option<Answer> {
        let mut buffer = [0; 2048];
        loop {
            // An error concerns a datagram that met nobody: others may come.
            let Ok(len) = self.socket.recv(&mut buffer).await else {
                tokio::task::yield_now().await;
                continue;
            };
            let Some(Ok(message)) = buffer.get(..len).map(Message::parse) else {
                continue;
            };
            if message.transaction_id() != id {
                continue;
            }
            if message.class() != Class::SuccessResponse {
                return None;
            }
            let XorMappedAddress(mapped) = message.get().ok().flatten()?;
            let other = message.get::<OtherAddress>().ok().flatten();
            return Some(Answer {
                mapped,
                other: other.map(|OtherAddress(other)| other),
            });
        }
    }
}
