//! The least that any server must do for so many idle connections: a datagram to each now and then and one from each, with the
//! answers, on one socket with `recvmmsg` and `sendmmsg`, and one HMAC-SHA1 a message with the key at hand. Nothing is parsed,
//! looked up or remembered, and SCTP's heartbeats are left out.
//!
//! The clients are as many processes with as many sockets as in the measurement of Peerline, and a task each.

use std::io::{Read, stdin};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use peerline_udp::{Inbox, Outbox, Socket};
use peerline_wire::{Datagram, FiveTuple, Transmit};
use sha1::Sha1;
use tokio::net::UdpSocket;
use tokio::time::{Instant, Interval, interval, interval_at, sleep_until};

use super::{CONNECTIONS, Mode, SETTLE, WINDOW, figures, total};
use crate::Result;
use crate::measurement::{Effort, Figure};
use crate::process::Stopwatch;

/// The hidden subcommand: `endpoint-floor-client <connections> <port of the server> <whether they are asked>`.
pub(crate) const CLIENT: &str = "endpoint-floor-client";

/// A request has USERNAME, PRIORITY, a role, MESSAGE-INTEGRITY and FINGERPRINT; a response XOR-MAPPED-ADDRESS and the latter two.
const REQUEST: usize = 96;
const RESPONSE: usize = 64;
/// What MESSAGE-INTEGRITY does not cover: itself, and what follows.
const NOT_COVERED: usize = 32;

/// Each connection has its turn every so many ticks, 5.12 s. Deadlines of Peerline that are as far away meet on marks of 128 ms, too.
const TICK: Duration = Duration::from_millis(128);
const TICKS: usize = 40;

/// The figures of such a server, which checks as well, or, as an ICE-lite agent, only answers.
pub(super) async fn measure(effort: Effort, mode: Mode) -> Result<Vec<Figure>> {
    let (total, asks) = (total(effort), mode == Mode::Full);
    let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let _crowd = Crowd::new(total, socket.local_addr(), asks)?;
    let mut server = Server {
        socket,
        inbox: Inbox::new(),
        outbox: Outbox::new(),
        key: Hmac::new_from_slice(&[0x5a; 24])?,
        connections: Vec::new(),
        asks: if asks { TICKS } else { 0 },
        slot: 0,
    };
    while server.connections.len() < total {
        server.socket.readable().await?;
        server.receive();
    }
    let mut ticks = interval(TICK);
    server.serve(&mut ticks, Instant::now() + SETTLE).await?;
    let stopwatch = Stopwatch::start();
    server.serve(&mut ticks, Instant::now() + WINDOW).await?;
    Ok(figures(&stopwatch, total))
}

struct Server {
    socket: Socket,
    inbox: Inbox,
    outbox: Outbox,
    key: Hmac<Sha1>,
    connections: Vec<FiveTuple>,
    /// A connection is asked every so many ticks; 0: never.
    asks: usize,
    slot: usize,
}

impl Server {
    async fn serve(&mut self, ticks: &mut Interval, end: Instant) -> Result<()> {
        loop {
            tokio::select! {
                ready = self.socket.readable() => {
                    ready?;
                    self.receive();
                }
                _ = ticks.tick() => self.ask(),
                () = sleep_until(end) => return Ok(()),
            }
        }
    }

    /// Answers what has come.
    fn receive(&mut self) {
        let Self {
            socket,
            inbox,
            outbox,
            key,
            connections,
            ..
        } = self;
        let Ok(batch) = inbox.recv(socket) else { return };
        for Datagram {
            five_tuple, payload, ..
        } in batch
        {
            match payload.len() {
                REQUEST => {
                    authenticate(key, &payload);
                    push(outbox, key, five_tuple, RESPONSE);
                }
                RESPONSE => authenticate(key, &payload),
                _ => connections.push(five_tuple),
            }
        }
        outbox.flush(|_| Some(&*socket));
    }

    /// Asks those whose turn it is.
    fn ask(&mut self) {
        if self.asks == 0 {
            return;
        }
        let Self {
            socket, outbox, key, ..
        } = self;
        for &path in self.connections.iter().skip(self.slot).step_by(self.asks) {
            push(outbox, key, path, REQUEST);
        }
        outbox.flush(|_| Some(&*socket));
        self.slot = (self.slot + 1) % self.asks;
    }
}

fn push(outbox: &mut Outbox, key: &Hmac<Sha1>, path: FiveTuple, len: usize) {
    outbox.push(|out| {
        let start = out.len();
        out.resize(start + len, 0);
        authenticate(key, out.get(start..)?);
        Some(Transmit {
            five_tuple: path,
            ecn: None,
            len,
        })
    });
}

fn authenticate(key: &Hmac<Sha1>, message: &[u8]) {
    let covered = message.len().saturating_sub(NOT_COVERED);
    std::hint::black_box(key.clone().chain_update(&message[..covered]).finalize());
}

/// The client processes; they end with it.
struct Crowd(Vec<Child>);

impl Crowd {
    fn new(total: usize, server: SocketAddr, asked: bool) -> Result<Self> {
        let mut crowd = Self(Vec::new());
        let mut left = total;
        while left > 0 {
            let count = CONNECTIONS.min(left);
            let arguments = [count.to_string(), server.port().to_string(), asked.to_string()];
            let process = Command::new(std::env::current_exe()?)
                .arg(CLIENT)
                .args(arguments)
                .stdin(Stdio::piped())
                .spawn()?;
            crowd.0.push(process);
            left -= count;
        }
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The client process: asks and answers until its standard input ends.
pub(crate) fn client(arguments: &[String]) -> Result<()> {
    let [count, port, asked] = arguments else {
        return Err("endpoint-floor-client <connections> <port> <whether they are asked>".into());
    };
    let (count, port, asked): (usize, u16, bool) = (count.parse()?, port.parse()?, asked.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let start = Instant::now();
        for index in 0..count {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            socket.connect((Ipv4Addr::LOCALHOST, port)).await?;
            socket.send(&[0]).await?;
            let first = start + TICK * (TICKS + index % TICKS) as u32;
            tokio::spawn(connection(socket, interval_at(first, TICK * TICKS as u32), asked));
        }
        Ok::<_, crate::Error>(())
    })?;
    stdin().lock().read_to_end(&mut Vec::new())?;
    runtime.shutdown_background();
    Ok(())
}

async fn connection(socket: UdpSocket, mut times: Interval, asked: bool) -> Result<()> {
    let mut buffer = [0; 2 * REQUEST];
    loop {
        tokio::select! {
            received = socket.recv(&mut buffer) => if received? == REQUEST && asked {
                socket.send(&[0; RESPONSE]).await?;
            },
            _ = times.tick() => {
                socket.send(&[0; REQUEST]).await?;
            }
        }
    }
}
