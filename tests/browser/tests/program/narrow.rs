//! A path between a page and the program that takes no more than so much towards the page, and loses some either way.

#![allow(clippy::disallowed_methods, reason = "a real network lives in real time")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A relay in front of the program: to the page, it is the program. Dropping it ends its threads.
pub(crate) struct Narrow {
    path: Arc<Path>,
    pub(crate) port: u16,
}

struct Path {
    /// The page's side, and the program's.
    front: UdpSocket,
    back: UdpSocket,
    /// The first address that the page has sent from; others are not listened to.
    page: Mutex<Option<SocketAddr>>,
    program: Mutex<Option<SocketAddr>>,
    /// In bits a second; zero for no limit.
    rate: AtomicU64,
    /// How many of 1,000 datagrams are lost.
    loss: AtomicU32,
    random: AtomicU32,
    is_over: AtomicBool,
}

/// What the queue before the narrow part holds, as the time that it takes to pass.
const DEPTH: Duration = Duration::from_millis(300);

/// How soon the threads see that it is over.
const TICK: Duration = Duration::from_millis(200);

type Waiting = (Instant, Vec<u8>);

impl Narrow {
    pub(crate) fn new() -> Self {
        let bind = |address: Ipv4Addr| {
            let socket = UdpSocket::bind((address, 0)).expect("there is a port");
            socket.set_read_timeout(Some(TICK)).expect("it is not zero");
            socket
        };
        let path = Arc::new(Path {
            front: bind(Ipv4Addr::LOCALHOST),
            back: bind(Ipv4Addr::UNSPECIFIED),
            page: Mutex::default(),
            program: Mutex::default(),
            rate: AtomicU64::new(0),
            loss: AtomicU32::new(0),
            random: AtomicU32::new(0x9e37_79b9),
            is_over: AtomicBool::new(false),
        });
        let port = path.front.local_addr().expect("it is bound").port();
        let (queue, waiting) = channel();
        let [up, down, out] = [&path, &path, &path].map(Arc::clone);
        thread::spawn(move || up.carry_up());
        thread::spawn(move || down.carry_down(&queue));
        thread::spawn(move || out.let_out(&waiting));
        Self { path, port }
    }

    /// Where the program is.
    pub(crate) fn lead_to(&self, program: SocketAddr) {
        *lock(&self.path.program) = Some(program);
    }

    /// From now on takes so many bits a second towards the page; `None` for no limit.
    pub(crate) fn limit(&self, rate: Option<u64>) {
        self.path.rate.store(rate.unwrap_or(0), Ordering::Relaxed);
    }

    /// From now on loses so many of 1,000 datagrams, either way.
    pub(crate) fn lose(&self, per_mille: u32) {
        self.path.loss.store(per_mille, Ordering::Relaxed);
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        self.path.is_over.store(true, Ordering::Relaxed);
    }
}

impl Path {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// The next of a fixed row of numbers, so that a run is much like the one before.
    fn is_lost(&self) -> bool {
        let next = |x: u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let random = self.random.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        (random.unwrap_or_else(|x| x) >> 8) % 1000 < self.loss.load(Ordering::Relaxed)
    }

    fn carry_up(&self) {
        let mut buffer = vec![0; 1 << 16];
        while self.goes_on() {
            let Ok((length, from)) = self.front.recv_from(&mut buffer) else {
                continue;
            };
            let Some(program) = *lock(&self.program) else { continue };
            if *lock(&self.page).get_or_insert(from) == from && !self.is_lost() {
                let _ = self.back.send_to(&buffer[..length], program);
            }
        }
    }

    /// Each datagram waits for those before it, unless too many do.
    fn carry_down(&self, queue: &Sender<Waiting>) {
        let mut buffer = vec![0; 1 << 16];
        let mut free = Instant::now();
        while self.goes_on() {
            let Ok((length, _)) = self.back.recv_from(&mut buffer) else {
                continue;
            };
            let now = Instant::now();
            free = free.max(now);
            let rate = self.rate.load(Ordering::Relaxed);
            if self.is_lost() || rate > 0 && free - now > DEPTH {
                continue;
            }
            if rate > 0 {
                free += Duration::from_secs_f64(length as f64 * 8.0 / rate as f64);
            }
            let _ = queue.send((free, buffer[..length].to_vec()));
        }
    }

    fn let_out(&self, waiting: &Receiver<Waiting>) {
        while let Ok((at, datagram)) = waiting.recv() {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if let Some(page) = *lock(&self.page) {
                let _ = self.front.send_to(&datagram, page);
            }
        }
    }
}

fn lock(address: &Mutex<Option<SocketAddr>>) -> std::sync::MutexGuard<'_, Option<SocketAddr>> {
    address.lock().unwrap_or_else(PoisonError::into_inner)
}
