//! What servers answer and how fast, and which candidates this machine has: a connection gathers, as any would.

use std::time::{Duration, Instant};

use peerline::{Configuration, DataChannelInit, Error, IceServer, IceTcp, PeerConnection, PeerEvent};
use serde::Serialize;
use tokio::time::timeout;

use crate::host::now;

/// How long gathering may take.
const PATIENCE: Duration = Duration::from_secs(12);

/// A candidate, as its line says (RFC 8839 §5.1).
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub(super) struct Candidate {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) protocol: String,
    pub(super) address: String,
    pub(super) port: String,
}

/// What a server did.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) url: String,
    /// Until its candidate was there, a TURN server's relay; `None` if it gave none.
    pub(super) milliseconds: Option<f64>,
    pub(super) candidate: Option<Candidate>,
    /// What was wrong, if something was.
    pub(super) error: Option<String>,
}

/// The candidates of this machine without servers.
pub(super) async fn host_candidates() -> Result<Vec<Candidate>, Error> {
    let mut found = Vec::new();
    gather(Vec::new(), |news| {
        if let News::Candidate(candidate) = news {
            found.push(candidate);
        }
        true
    })
    .await?;
    Ok(found)
}

/// Asks one URL.
pub(super) async fn ask(server: IceServer) -> Outcome {
    let url = server.urls.concat();
    let is_turn = url.to_ascii_lowercase().starts_with("turn");
    let wanted = if is_turn { "relay" } else { "srflx" };
    let mut outcome = Outcome {
        url,
        milliseconds: None,
        candidate: None,
        error: None,
    };
    let begun = now();
    // One that sees the address that the host has, where there is no NAT, gives no candidate of its own.
    let gathered = gather(vec![server], |news| match news {
        News::Candidate(candidate) if candidate.kind == wanted => {
            outcome.milliseconds = Some(elapsed(begun));
            outcome.candidate = Some(candidate);
            false
        }
        News::Candidate(_) => true,
        News::Error(error) => {
            outcome.error = Some(error);
            true
        }
    })
    .await;
    if let Err(error) = gathered {
        outcome.error = Some(error.to_string());
    } else if outcome.candidate.is_some() {
        outcome.error = None;
    } else if outcome.error.is_none() && is_turn {
        outcome.error = Some("no answer".to_owned());
    }
    outcome
}

fn elapsed(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

enum News {
    Candidate(Candidate),
    Error(String),
}

/// Gathers until it is complete, or `go_on` says that it is enough.
async fn gather(ice_servers: Vec<IceServer>, mut go_on: impl FnMut(News) -> bool) -> Result<(), Error> {
    let configuration = Configuration {
        ice_servers,
        loopback: true,
        // Those to connect from tell nothing that others do not.
        ice_tcp: IceTcp::Off,
        ..Configuration::default()
    };
    let pc = PeerConnection::new(configuration).await?;
    pc.create_data_channel("check", DataChannelInit::default())?;
    pc.set_local_description(pc.create_offer()?)?;
    let gathering = async {
        while let Some(event) = pc.next_event().await {
            let news = match event {
                PeerEvent::IceCandidate(None) => return,
                PeerEvent::IceCandidate(Some(candidate)) => parsed(&candidate.candidate).map(News::Candidate),
                PeerEvent::IceCandidateError(error) => Some(News::Error(format!("{} ({})", error.text, error.code))),
                _ => None,
            };
            if let Some(news) = news
                && !go_on(news)
            {
                return;
            }
        }
    };
    // What has not come by then does not come.
    let _ = timeout(PATIENCE, gathering).await;
    pc.close();
    pc.closed().await;
    Ok(())
}

fn parsed(line: &str) -> Option<Candidate> {
    let mut fields = line.split(' ');
    let mut next = || fields.next().map(str::to_owned);
    let (_, _, protocol, _, address, port) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let kind = (next()? == "typ").then(&mut next)??;
    Some(Candidate {
        kind,
        protocol: protocol.to_ascii_lowercase(),
        address,
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_a_candidate_is() {
        let line = "candidate:1 1 udp 16777215 192.0.2.1 50000 typ relay raddr 198.51.100.7 rport 4";
        let expected = Candidate {
            kind: "relay".to_owned(),
            protocol: "udp".to_owned(),
            address: "192.0.2.1".to_owned(),
            port: "50000".to_owned(),
        };
        assert_eq!(parsed(line), Some(expected));
        assert_eq!(parsed("candidate:1 1 udp 16777215"), None);
    }
}
