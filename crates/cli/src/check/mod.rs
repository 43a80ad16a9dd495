//! `peerline check`: what the network of this machine allows.

use std::fmt::Write as _;

use peerline::{IceServer, IceServerUrl};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::ice_servers::Named;
use crate::progress::say;
use behaviour::Nat;
use servers::{Candidate, Outcome};

mod behaviour;
mod servers;

type Failure = Box<dyn std::error::Error>;

/// What to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A server to ask: `stun:HOST:PORT`, or `turn:NAME:SECRET@HOST:PORT?transport=tcp`, or turns: for TLS; port and transport
    /// may be left out. May be repeated. Without any, nobody outside is asked.
    #[arg(long, value_name = "URL")]
    ice_server: Vec<Named>,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// All that was found out.
#[derive(Debug, Serialize)]
struct Findings {
    candidates: Vec<Candidate>,
    servers: Vec<Outcome>,
    /// By each server that is asked by UDP.
    nat: Vec<Nat>,
}

/// Finds out and prints it; fails if a server gave nothing.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let servers: Vec<IceServer> = options.ice_server.iter().map(|named| named.0.clone()).collect();
    let findings = find(&servers).await?;
    match options.json {
        true => say(&serde_json::to_string_pretty(&findings)?),
        false => say(findings.table(servers.is_empty()).trim_end()),
    }
    let silent = findings
        .servers
        .iter()
        .filter(|outcome| outcome.error.is_some())
        .count();
    match silent {
        0 => Ok(()),
        count => Err(format!("{count} of {} servers gave nothing", findings.servers.len()).into()),
    }
}

async fn find(servers: &[IceServer]) -> Result<Findings, Failure> {
    let mut candidates = servers::host_candidates().await?;
    // One after the other would wait for each that is silent.
    let mut asked = JoinSet::new();
    for (index, server) in servers.iter().cloned().enumerate() {
        asked.spawn(async move {
            let nat = discover(&server).await;
            (index, servers::ask(server).await, nat)
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|&(index, ..)| index);
    let (mut outcomes, mut nat) = (Vec::new(), Vec::new());
    for (_, mut outcome, found) in answers {
        match found {
            // Without a NAT it has said what the host knows already: an answer all the same.
            Some(Ok(found)) => {
                outcome.milliseconds = outcome.milliseconds.or(Some(found.milliseconds));
                if !nat.iter().any(|known: &Nat| known.address == found.address) {
                    nat.push(found);
                }
            }
            Some(Err(error)) if outcome.candidate.is_none() => outcome.error = outcome.error.or(Some(error)),
            Some(Err(_)) | None => {}
        }
        candidates.extend(outcome.candidate.clone());
        outcomes.push(outcome);
    }
    Ok(Findings {
        candidates,
        servers: outcomes,
        nat,
    })
}

/// What a server says of the NAT; `None` if it is not asked by UDP.
async fn discover(server: &IceServer) -> Option<Result<Nat, String>> {
    let [url] = &server.urls[..] else { return None };
    let parsed: IceServerUrl = url.parse().ok()?;
    if parsed.transport != peerline::ServerTransport::Udp {
        return None;
    }
    let address = tokio::net::lookup_host((parsed.host.as_str(), parsed.port)).await;
    let address = address.ok().and_then(|mut found| found.next());
    let Some(address) = address else {
        return Some(Err("its name was not found".to_owned()));
    };
    Some(behaviour::discover(url, address).await)
}

impl Findings {
    fn table(&self, is_alone: bool) -> String {
        let mut text = String::from("Candidates\n");
        for Candidate {
            kind,
            protocol,
            address,
            port,
        } in &self.candidates
        {
            let _ = writeln!(text, "  {kind:<6} {protocol:<4} {address} {port}");
        }
        if is_alone {
            text +=
                "\nNo server was named, and nobody outside was asked: --ice-server stun:HOST tells what others see.\n";
            return text;
        }
        text += "\nServers\n";
        for outcome in &self.servers {
            let told = match (&outcome.error, outcome.milliseconds, &outcome.candidate) {
                (Some(error), _, _) => error.clone(),
                (None, Some(time), Some(candidate)) => format!("{time:.1} ms, {}", candidate.kind),
                (None, Some(time), None) => format!("{time:.1} ms"),
                (None, None, _) => "nothing".to_owned(),
            };
            let _ = writeln!(text, "  {:<48} {told}", outcome.url);
        }
        text += "\nNAT\n";
        if self.nat.is_empty() {
            text += "  no server answered by UDP: nothing is known\n";
        }
        for nat in &self.nat {
            let _ = writeln!(text, "  {}", nat.server);
            let is = if nat.is_translated { "becomes" } else { "stays" };
            let _ = writeln!(text, "    address    {} {is} {}", nat.local, nat.mapped);
            for (what, behaviour) in [("mapping", nat.mapping), ("filtering", nat.filtering)] {
                let told = behaviour.map_or("not told: the server has one address".to_owned(), |told| {
                    told.to_string()
                });
                let _ = writeln!(text, "    {what:<10} {told}");
            }
        }
        if let Some(advice) = self.advice() {
            let _ = writeln!(text, "\n{advice}");
        }
        text
    }

    /// What that means for connections.
    fn advice(&self) -> Option<&'static str> {
        use behaviour::Behaviour;

        let has_relay = self.candidates.iter().any(|candidate| candidate.kind == "relay");
        let mapping = self.nat.iter().find_map(|nat| nat.mapping);
        Some(match (mapping, has_relay) {
            (Some(Behaviour::EndpointIndependent), _) => "Direct connections come up with most peers.",
            (Some(_), true) => "Peers behind a NAT like this one are reached through the relay.",
            (Some(_), false) => "Peers behind a NAT like this one are not reached without a TURN server.",
            (None, true) => "The relay reaches every peer.",
            (None, false) => return None,
        })
    }
}
