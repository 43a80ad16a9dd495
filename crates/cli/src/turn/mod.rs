//! `peerline turn`: a STUN and TURN server.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use peerline_turn::server::{Log, Users};
use peerline_turn_server::{BindError, TurnServer};

use crate::host::Interruption;
use options::Options as Given;

mod limits;
mod metrics;
mod options;
mod tls;
mod users;

pub(crate) use limits::raise_descriptors;
pub(crate) use options::Options;
pub(crate) use tls::load as load_certificate;

type Failure = Box<dyn std::error::Error>;

/// How long clients may go on when the program is asked to end, if nothing else is said: as long as a cautious supervisor waits.
const GRACE: u64 = 5;

/// Serves until interrupted, then until all clients are gone or the grace is over.
pub(crate) async fn run(options: Options, file: Option<&Path>) -> Result<(), Failure> {
    let options = match file {
        Some(path) => options.or(Given::read(path)?),
        None => options,
    };
    let users = options.users()?;
    let config = options.config()?;
    let interruption = Interruption::listen();
    raise_descriptors();
    let server = TurnServer::bind(config, users).map_err(|error| explain(&error))?;
    let metrics = match options.metrics {
        Some(address) => Some(metrics::Listener::bind(address).await?),
        None => None,
    };
    announce(&server, metrics.as_ref());
    let serve_metrics = async {
        match metrics {
            Some(listener) => listener.serve(&server).await,
            None => std::future::pending().await,
        }
    };
    let grace = Duration::from_secs(options.grace.unwrap_or(GRACE));
    tokio::select! {
        () = log(&server) => Ok(()),
        outcome = serve_metrics => outcome,
        () = end(&server, &interruption, grace) => Ok(()),
    }
}

async fn end(server: &TurnServer, interruption: &Interruption, grace: Duration) {
    interruption.happened().await;
    let allocations = server.stats().await.map_or(0, |stats| stats.turn.allocations);
    tracing::info!(target: "peerline", allocations, "no new allocations; those there are have {} s", grace.as_secs());
    server.shut_down(grace).await;
}

/// Writes the log until the server ends.
pub(crate) async fn log(server: &TurnServer) {
    while let Some(news) = server.next_log().await {
        write(&news);
    }
}

fn write(news: &Log) {
    match news {
        Log::Allocated { client, user, relayed } => {
            tracing::info!(target: "peerline", ?client, user, ?relayed, "allocated");
        }
        Log::Released {
            client,
            user,
            reason,
            traffic,
        } => tracing::info!(
            target: "peerline",
            ?client,
            user,
            sent = traffic.sent_bytes,
            received = traffic.received_bytes,
            "released: {reason}"
        ),
        Log::Refused {
            client,
            user,
            code,
            reason,
        } => tracing::warn!(
            target: "peerline",
            ?client,
            user = user.as_deref().unwrap_or("-"),
            "refused with {} {}: {reason}", code.number(), code.reason()
        ),
    }
}

/// Prints where it is, at once also into a pipe; whoever waits for it may stop reading then.
fn announce(server: &TurnServer, metrics: Option<&metrics::Listener>) {
    let mut text = String::new();
    for address in server.addresses() {
        text += &format!("turn:{address}, and turn:{address}?transport=tcp\n");
    }
    for address in server.tls_addresses() {
        text += &format!("turns:{address}?transport=tcp, by the name in its certificate\n");
    }
    if let Some(metrics) = metrics {
        text += &format!("http://{}/metrics\n", metrics.address());
    }
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// What a server cannot do, and what to do about it.
pub(crate) fn explain(error: &BindError) -> String {
    use std::io::ErrorKind;
    let advice = match error {
        BindError::Address(_, error) => match error.kind() {
            ErrorKind::AddrInUse => {
                "another program, perhaps another TURN server, listens there: end it, or choose another port"
            }
            ErrorKind::AddrNotAvailable => "this machine has no such address: `ip address` shows those it has",
            ErrorKind::PermissionDenied => "the system reserves this port: choose one from 1024",
            _ => "choose another address",
        },
        BindError::NoAddress => "name one with --listen, such as --listen 0.0.0.0:3478",
        BindError::NoCertificate => "name them with --tls-cert and --tls-key",
        BindError::TwoOfOneFamily(..) => "of an IPv4 and an IPv6 address one each can be named",
        BindError::NatDiscovery => "such as --listen 192.0.2.1:3478 --alternate-address 192.0.2.2:3479",
        BindError::Wildcard => "name an address of this machine with --relay-address, or list it in --listen",
        BindError::NoRelay(_) => "name an address of this machine and of its family with --relay-address",
    };
    format!("{error}\n  {advice}")
}

/// Anything that knows users.
pub(crate) type AnyUsers = Box<dyn Users>;
