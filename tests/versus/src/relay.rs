//! What a TURN server relays: a process of its own, whose CPU time is counted; its clients, and a peer that sends everything back, are
//! in this one, with plain sockets that send and receive one datagram at a time, as those of many clients do.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use peerline_turn::{Client, Credentials, client, server::StaticUsers};
use peerline_turn_server::{Config, TurnServer};
use peerline_wire::{Datagram, FiveTuple};

use crate::measurement::{Effort, Figure};
use crate::process::now;
use crate::stack::StackName;
use crate::{Error, Result};

/// The hidden subcommand: `turn-server`.
pub(crate) const SERVER: &str = "turn-server";

/// Clients, each with an allocation and a channel to the peer.
const CLIENTS: usize = 8;

/// Datagrams of a client that are under way: a receive buffer of the system's default size holds those of all.
const UNDER_WAY: usize = 16;

/// A packet of media.
const PAYLOAD: usize = 1_000;

/// After so long without an answer, what was under way is lost.
const LOST: Duration = Duration::from_millis(50);

const PATIENCE: Duration = Duration::from_secs(10);

fn credentials() -> Credentials {
    Credentials::new("alice", "wonderland")
}

/// Serves until its input ends; it says where.
pub(crate) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut config = Config::new("example.org");
        config.listen = vec!["127.0.0.1:0".parse()?];
        config.turn.filter = config.turn.filter.clone().allow("127.0.0.0/8".parse()?);
        let server = TurnServer::bind(config, StaticUsers::new([credentials()]))?;
        println!("{}", server.addresses()[0]);
        std::io::stdout().flush()?;
        tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await?;
        Ok(())
    })
}

/// Datagrams a second that were relayed, both ways, and CPU time of the server for each.
pub(crate) async fn measure(stack: StackName, effort: Effort) -> Result<Vec<Figure>> {
    tokio::task::spawn_blocking(move || measure_now(stack, effort)).await?
}

fn measure_now(stack: StackName, effort: Effort) -> Result<Vec<Figure>> {
    let server = match stack {
        StackName::Coturn => Server::coturn()?,
        _ => Server::ours()?,
    };
    let echo = UdpSocket::bind("127.0.0.1:0")?;
    let peer = echo.local_addr()?;
    let (over, returned) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut threads = vec![thread::spawn({
        let over = Arc::clone(&over);
        move || send_back(&echo, &over)
    })];
    for _ in 0..CLIENTS {
        let (over, returned) = (Arc::clone(&over), Arc::clone(&returned));
        let client = Allocated::new(server.address, peer)?;
        threads.push(thread::spawn(move || client.run(peer, &over, &returned)));
    }
    thread::park_timeout(effort.warm_up);
    let (begun, cpu, before) = (now(), server.cpu_time()?, returned.load(Ordering::Relaxed));
    thread::park_timeout(effort.window);
    let (wall, cpu) = (begun.elapsed(), server.cpu_time()? - cpu);
    // There and back.
    let relayed = 2.0 * (returned.load(Ordering::Relaxed) - before) as f64;
    over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    Ok(vec![
        ("rate", relayed / wall.as_secs_f64()),
        ("cpu", cpu.as_secs_f64() * 1e6 / relayed.max(1.0)),
    ])
}

fn send_back(socket: &UdpSocket, over: &AtomicBool) -> Result<()> {
    socket.set_read_timeout(Some(LOST))?;
    let mut buffer = [0; 2048];
    while !over.load(Ordering::Relaxed) {
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(buffer.get(..len).unwrap_or_default(), from)?;
        }
    }
    Ok(())
}

/// A server in a process; it ends with this.
struct Server {
    process: Child,
    address: SocketAddr,
    folder: Option<std::path::PathBuf>,
}

impl Server {
    fn ours() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(SERVER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("a pipe")?).read_line(&mut line)?;
        let address = line.trim().parse()?;
        Ok(Self {
            process,
            address,
            folder: None,
        })
    }

    /// With its defaults, but that it may relay to the loopback interface, logs nothing and keeps its files to itself.
    fn coturn() -> Result<Self> {
        let free = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let folder = std::env::temp_dir().join(format!("peerline-versus-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let process = Command::new("turnserver")
            .args([
                "-n",
                "--no-cli",
                "--no-tls",
                "--no-dtls",
                "--log-file",
                "stdout",
                "--cli-password",
                "none",
            ])
            .args([
                "--listening-ip",
                "127.0.0.1",
                "--relay-ip",
                "127.0.0.1",
                "--allow-loopback-peers",
            ])
            .args(["--lt-cred-mech", "--user", "alice:wonderland", "--realm", "example.org"])
            .args(["--listening-port", &free.port().to_string()])
            .arg("--userdb")
            .arg(folder.join("turndb"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            process,
            address: free,
            folder: Some(folder),
        })
    }

    /// User and system time of all its threads, in hundredths of a second: what Linux tells other processes.
    fn cpu_time(&self) -> Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // What is before the last parenthesis may hold anything.
        let (_, fields) = text.rsplit_once(')').ok_or("no name")?;
        let ticks = fields.split_ascii_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(str::parse::<u64>).sum::<Result<_, _>>()?;
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// A client with a channel to the peer.
struct Allocated {
    client: Client,
    socket: UdpSocket,
}

impl Allocated {
    fn new(server: SocketAddr, peer: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(LOST))?;
        let path = FiveTuple::udp(socket.local_addr()?, server);
        let mut config = client::Config::new(path, credentials());
        config.rng_seed[..2].copy_from_slice(&path.local.port().to_be_bytes());
        let mut this = Self {
            client: Client::new(config),
            socket,
        };
        this.client
            .bind_channel(now(), peer)
            .map_err(|error| format!("{error:?}"))?;
        let end = now() + PATIENCE;
        while !this.client.has_channel(peer) {
            if now() > end {
                let events: Vec<_> = std::iter::from_fn(|| this.client.poll_event()).collect();
                return Err(format!("no channel: {events:?}").into());
            }
            this.client.handle_timeout(now());
            let mut out = Vec::new();
            while this.client.poll_transmit(now(), &mut out).is_some() {
                // A server that does not listen yet is asked again.
                let _ = this.socket.send(&out);
                out.clear();
            }
            this.receive();
        }
        Ok(this)
    }

    /// Whether something of the peer came before long.
    fn receive(&mut self) -> bool {
        let mut buffer = BytesMut::zeroed(2048);
        let Ok(len) = self.socket.recv(&mut buffer) else {
            return false;
        };
        buffer.truncate(len);
        let datagram = Datagram {
            five_tuple: self.client.five_tuple(),
            ecn: None,
            payload: buffer,
        };
        self.client.handle_datagram(now(), datagram).is_some()
    }

    /// Keeps datagrams under way, and counts those that return.
    fn run(mut self, peer: SocketAddr, over: &AtomicBool, returned: &AtomicU64) -> Result<()> {
        let payload = [0x5a; PAYLOAD];
        let mut out = Vec::new();
        let sent = self.client.enclose(&mut out, peer, |out| {
            out.extend_from_slice(&payload);
            Some(payload.len())
        });
        if sent.is_none() {
            return Err(Error::from("no permission"));
        }
        let mut due = UNDER_WAY;
        while !over.load(Ordering::Relaxed) {
            for _ in 0..due {
                self.socket.send(&out)?;
            }
            due = if self.receive() {
                returned.fetch_add(1, Ordering::Relaxed);
                1
            } else {
                UNDER_WAY
            };
        }
        Ok(())
    }
}
