//! What 10,000 idle connections on one UDP port cost: this process is the server, with one `Endpoint`; the clients, each with a
//! socket of its own, are in other processes, of which none needs more descriptors than a shell gives.
//!
//! Only this process is counted. But on loopback the kernel hands a datagram to its receiver, and wakes it, within the sender's
//! system call: what receiving takes below the socket is counted to the other side, both ways.
//!
//! Offers and answers go through the clients' standard input and output, a line each.

mod floor;

use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peerline::{
    AddressFilter, Configuration, DataChannel, DataChannelInit, Endpoint, PeerConnection, PeerEvent, SessionDescription,
};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

pub(crate) use floor::{CLIENT as FLOOR_CLIENT, client as floor_client};

use crate::measurement::{Effort, Figure};
use crate::process::{Stopwatch, resident_kib};
use crate::{Error, Result};

/// The hidden subcommand: `endpoint-client <connections>`.
pub(crate) const CLIENT: &str = "endpoint-client";

/// Connections of one client process: within the usual limit of 1,024 descriptors.
const CONNECTIONS: usize = 900;

/// Connections that one client process sets up at once.
const AT_ONCE: usize = 8;

/// How long after the last connection the measurement begins: handshakes and their timers have settled.
const SETTLE: Duration = Duration::from_secs(10);

/// Four rounds of consent checks (RFC 7675: every 5 s, each way).
const WINDOW: Duration = Duration::from_secs(20);

/// What the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It checks each connection as its clients do (RFC 8445, RFC 7675).
    Full,
    /// ICE-lite (RFC 8445 §2.5), as servers with a public address are: it answers checks, and sends none.
    Lite,
}

/// Memory in MB, and CPU time in % of a core, of a server with 10,000 connections; in a hurry, ten times that of 1,000.
pub(crate) async fn measure(effort: Effort, mode: Mode) -> Result<Vec<Figure>> {
    let total = total(effort);
    let endpoint = Endpoint::bind("127.0.0.1:0".parse()?)?;
    let mut crowd = Crowd {
        clients: Vec::new(),
        runtime: Handle::current(),
        configuration: Configuration {
            endpoint: Some(endpoint.clone()),
            ice_lite: mode == Mode::Lite,
            ..configuration()
        },
    };
    // One after the other, or the handshakes of all would be under way at once.
    let mut connected = Vec::new();
    while connected.len() < total {
        let count = CONNECTIONS.min(total - connected.len());
        connected.extend(crowd.add(count).await?);
    }
    tokio::time::sleep(SETTLE).await;

    let stopwatch = Stopwatch::start();
    tokio::time::sleep(WINDOW).await;
    let figures = figures(&stopwatch, total);
    let stats = endpoint.stats();
    if stats.connections != total || stats.overflows > 0 {
        return Err(format!("an idle connection did not stay up: {stats:?}").into());
    }
    Ok(figures)
}

/// The same, of what does the least that a server must.
pub(crate) async fn measure_floor(effort: Effort, mode: Mode) -> Result<Vec<Figure>> {
    floor::measure(effort, mode).await
}

/// How many connections there are.
fn total(effort: Effort) -> usize {
    if effort.quick { 1_000 } else { 10_000 }
}

/// What so many connections have cost since the stopwatch was started, as if they were 10,000.
fn figures(stopwatch: &Stopwatch, connections: usize) -> Vec<Figure> {
    let (cpu, wall) = (stopwatch.cpu(), stopwatch.wall());
    let scale = 10_000.0 / connections as f64;
    vec![
        ("memory", resident_kib() * 1024.0 / 1e6 * scale),
        ("cpu", cpu.as_secs_f64() / wall.as_secs_f64() * 100.0 * scale),
    ]
}

/// A connection of the server, and the channel that the client has opened on it.
type Connected = (PeerConnection, DataChannel);

fn configuration() -> Configuration {
    Configuration {
        loopback: true,
        address_filter: Some(AddressFilter::only([IpAddr::V4(Ipv4Addr::LOCALHOST)])),
        ..Configuration::default()
    }
}

/// The client processes; they end with it.
struct Crowd {
    clients: Vec<Client>,
    runtime: Handle,
    configuration: Configuration,
}

struct Client {
    process: Child,
    /// While it is open, the client stays.
    _input: Arc<Mutex<ChildStdin>>,
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Crowd {
    /// Starts a client process with so many connections, and waits until all are up.
    async fn add(&mut self, count: usize) -> Result<Vec<Connected>> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([CLIENT, &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = Arc::new(Mutex::new(process.stdin.take().ok_or("no standard input")?));
        let output = process.stdout.take().ok_or("no standard output")?;
        self.clients.push(Client {
            process,
            _input: Arc::clone(&input),
        });

        let (connected, mut all) = mpsc::unbounded_channel();
        let (runtime, configuration) = (self.runtime.clone(), self.configuration.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let (input, connected, configuration) = (Arc::clone(&input), connected.clone(), configuration.clone());
                runtime.spawn(async move { connected.send(answer(configuration, &line, &input).await) });
            }
        });
        let mut up = Vec::with_capacity(count);
        while up.len() < count {
            up.push(all.recv().await.ok_or("a client ended")??);
        }
        Ok(up)
    }
}

/// Answers an offer, and waits for the channel.
async fn answer(configuration: Configuration, line: &str, input: &Mutex<ChildStdin>) -> Result<Connected> {
    let (index, offer) = decode(line).ok_or("a client says something strange")?;
    let peer = PeerConnection::new(configuration).await?;
    peer.set_remote_description(SessionDescription::offer(offer))?;
    peer.set_local_description(peer.create_answer()?)?;
    peer.gathering_complete().await;
    let answer = encode(index, &peer.local_description().ok_or("no answer")?);
    input
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .write_all(answer.as_bytes())?;
    while let Some(event) = peer.next_event().await {
        if let PeerEvent::DataChannel(channel) = event {
            return Ok((peer, channel));
        }
    }
    Err("closed before a channel came".into())
}

/// The client process: connects, and stays until its standard input ends.
pub(crate) fn client(arguments: &[String]) -> Result<()> {
    let count: usize = arguments.first().ok_or("endpoint-client <connections>")?.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let waiting: Arc<Mutex<Vec<Option<oneshot::Sender<String>>>>> = Arc::default();
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut connecting = JoinSet::new();
    for index in 0..count {
        let (answered, answer) = oneshot::channel();
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Some(answered));
        let permits = Arc::clone(&permits);
        connecting.spawn_on(
            async move {
                let _permit = permits.acquire().await?;
                connect(index, answer).await
            },
            runtime.handle(),
        );
    }
    runtime.spawn(async move {
        let mut up = Vec::new();
        while let Some(connected) = connecting.join_next().await {
            up.push(connected??);
        }
        // Kept until the process ends.
        std::future::pending::<()>().await;
        drop(up);
        Ok::<_, Error>(())
    });
    for line in stdin().lock().lines().map_while(Result::ok) {
        let (index, answer) = decode(&line).ok_or("the server says something strange")?;
        let answered = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(index)
            .and_then(Option::take);
        // A connection that has failed waits for nothing.
        let _ = answered.ok_or("an answer to nothing")?.send(answer);
    }
    runtime.shutdown_background();
    Ok(())
}

async fn connect(index: usize, answer: oneshot::Receiver<String>) -> Result<Connected> {
    let peer = PeerConnection::new(configuration()).await?;
    let channel = peer.create_data_channel("idle", DataChannelInit::default())?;
    peer.set_local_description(peer.create_offer()?)?;
    peer.gathering_complete().await;
    let offer = encode(index, &peer.local_description().ok_or("no offer")?);
    stdout().lock().write_all(offer.as_bytes())?;
    peer.set_remote_description(SessionDescription::answer(answer.await?))?;
    channel.opened().await?;
    Ok((peer, channel))
}

/// A description as a line: SDP's lines end with CR LF, and nothing in them is a tab.
fn encode(index: usize, description: &SessionDescription) -> String {
    format!("{index} {}\n", description.sdp.replace("\r\n", "\t"))
}

fn decode(line: &str) -> Option<(usize, String)> {
    let (index, sdp) = line.split_once(' ')?;
    Some((index.parse().ok()?, sdp.replace('\t', "\r\n")))
}
