//! A bad network between a page and Rust: a relay that delays datagrams, loses some, and takes only so many of them.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// A relay in front of Rust's sockets: to the page, it is Rust. Dropping it ends its tasks.
pub(crate) struct Relay {
    path: Arc<Path>,
    tasks: Mutex<JoinSet<()>>,
}

/// How datagrams fare, either way.
struct Path {
    delay: Duration,
    /// How many of 1,000 are lost.
    loss: AtomicU32,
    lost: AtomicU64,
    random: AtomicU32,
    /// What it takes from the page.
    up: Mutex<Narrow>,
    /// What it takes to the page.
    down: Mutex<Narrow>,
    seen: Mutex<Vec<Seen>>,
}

/// A way that takes so many bits a second.
struct Narrow {
    rate: Option<f64>,
    /// When the last that came will have passed.
    free: Instant,
}

/// What the queue before the narrow part holds, as the time that it takes to pass.
const DEPTH: Duration = Duration::from_millis(300);

/// A datagram that came by.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) from_page: bool,
    pub(crate) bytes: Vec<u8>,
}

/// How many of the first are kept.
const MAX_SEEN: usize = 100;

impl Relay {
    pub(crate) fn new(delay: Duration) -> Self {
        let wide = || {
            let free = Instant::now();
            Mutex::new(Narrow { rate: None, free })
        };
        let path = Path {
            delay,
            loss: AtomicU32::new(0),
            lost: AtomicU64::new(0),
            random: AtomicU32::new(0x9e37_79b9),
            up: wide(),
            down: wide(),
            seen: Mutex::default(),
        };
        Self {
            path: Arc::new(path),
            tasks: Mutex::default(),
        }
    }

    /// From now on loses so many of 1,000 datagrams.
    pub(crate) fn lose(&self, per_mille: u32) {
        self.path.loss.store(per_mille, Ordering::Relaxed);
    }

    /// From now on takes so many bits a second of what the page sends; `None` for no limit.
    pub(crate) fn limit_up(&self, rate: impl Into<Option<f64>>) {
        self.path.up.lock().expect("no one panics with it").rate = rate.into();
    }

    /// From now on takes so many bits a second of what is sent to the page; `None` for no limit.
    pub(crate) fn limit_down(&self, rate: impl Into<Option<f64>>) {
        self.path.down.lock().expect("no one panics with it").rate = rate.into();
    }

    /// The first datagrams that came by.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.path.seen.lock().expect("no one panics with it").clone()
    }

    /// How many it has lost.
    pub(crate) fn lost(&self) -> u64 {
        self.path.lost.load(Ordering::Relaxed)
    }

    /// The candidate that leads to Rust's `candidate` through this relay; over UDP, and null as it is.
    pub(crate) async fn replace(&self, mut candidate: Value) -> Value {
        let Some(text) = candidate["candidate"].as_str() else {
            return candidate;
        };
        let mut fields: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let [_, _, transport, _, address, port, ..] = &mut fields[..] else {
            return candidate;
        };
        if !transport.eq_ignore_ascii_case("udp") {
            return candidate;
        }
        let rust = format!("{address}:{port}").parse().expect("an address");
        *port = self.open(rust).await.port().to_string();
        candidate["candidate"] = json!(fields.join(" "));
        candidate
    }

    /// Opens a socket for a page; what comes goes to `rust`, from a socket for each that it comes from.
    async fn open(&self, rust: SocketAddr) -> SocketAddr {
        let front = Arc::new(bind().await);
        let address = front.local_addr().expect("it is bound");
        let path = self.path.clone();
        let mut tasks = self.tasks.lock().expect("no one panics with it");
        tasks.spawn(async move {
            let mut ways = HashMap::new();
            let mut backs = JoinSet::new();
            let mut buffer = vec![0; 1 << 16];
            while let Ok((length, page)) = front.recv_from(&mut buffer).await {
                let way = match ways.get(&page) {
                    Some(way) => way,
                    None => {
                        let back = Arc::new(bind().await);
                        let way = path.clone().queue(back.clone(), rust, true, &mut backs);
                        let home = path.clone().queue(front.clone(), page, false, &mut backs);
                        backs.spawn(carry(back, home));
                        ways.entry(page).or_insert(way)
                    }
                };
                way.send(&buffer[..length]);
            }
        });
        address
    }
}

/// Datagrams to one address, on their way.
#[derive(Clone)]
struct Way {
    path: Arc<Path>,
    queue: UnboundedSender<(Instant, Vec<u8>)>,
    from_page: bool,
}

impl Path {
    fn queue(self: Arc<Self>, socket: Arc<UdpSocket>, to: SocketAddr, from_page: bool, tasks: &mut JoinSet<()>) -> Way {
        let (queue, mut waiting) = unbounded_channel::<(Instant, Vec<u8>)>();
        tasks.spawn(async move {
            while let Some((due, datagram)) = waiting.recv().await {
                sleep_until(due).await;
                // Who is gone is the business of the test.
                let _ = socket.send_to(&datagram, to).await;
            }
        });
        Way {
            path: self,
            queue,
            from_page,
        }
    }

    /// The next of a fixed row of numbers, so that a run is much like the one before.
    fn is_lost(&self) -> bool {
        let next = |x: u32| x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let random = self
            .random
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(next(x)));
        let random = random.unwrap_or_else(|x| x) >> 8;
        random % 1000 < self.loss.load(Ordering::Relaxed)
    }
}

impl Narrow {
    /// When a datagram that comes now has passed; none if there is no room for it.
    fn pass(&mut self, len: usize) -> Option<Instant> {
        let now = Instant::now();
        let Some(rate) = self.rate else {
            return Some(now);
        };
        let begin = self.free.max(now);
        if begin - now > DEPTH {
            return None;
        }
        self.free = begin + Duration::from_secs_f64(len as f64 * 8.0 / rate);
        Some(self.free)
    }
}

impl Way {
    fn send(&self, datagram: &[u8]) {
        let mut seen = self.path.seen.lock().expect("no one panics with it");
        if seen.len() < MAX_SEEN {
            seen.push(Seen {
                from_page: self.from_page,
                bytes: datagram.to_owned(),
            });
        }
        drop(seen);
        let narrow = if self.from_page { &self.path.up } else { &self.path.down };
        let passed = narrow.lock().expect("no one panics with it").pass(datagram.len());
        let Some(passed) = passed.filter(|_| !self.path.is_lost()) else {
            self.path.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // The task is there as long as this way is.
        let _ = self.queue.send((passed + self.path.delay, datagram.to_owned()));
    }
}

async fn carry(socket: Arc<UdpSocket>, way: Way) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        // A closed port of the other side's comes back as an error: it is not the end.
        if let Ok((length, _)) = socket.recv_from(&mut buffer).await {
            way.send(&buffer[..length]);
        }
    }
}

async fn bind() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("localhost has a free port")
}
