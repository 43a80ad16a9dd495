//! What translators make of an endpoint's sockets: STUN servers are asked once from each, for all connections.
//!
//! A connection that gathers subscribes to the answers that it needs; whoever comes later gets them at once. While the endpoint has
//! connections, servers are asked again every few seconds, so that translators keep what they have opened; when it has none,
//! everything is forgotten, since it would not be true any more for the next one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use peerline_connection::{CandidateError, IceTimings, ResolvedServer};
use peerline_udp::Outbox;
use peerline_wire::Datagram;
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::sync::{Notify, watch};

/// What a server has said to a socket: nothing yet, the address at which it sees it, or why there is none.
pub(crate) type Answer = Option<Result<SocketAddr, CandidateError>>;

#[derive(Default)]
pub(crate) struct Bindings {
    /// `None` while no server is asked.
    asked: Mutex<Option<Box<Asked>>>,
    /// Some server is asked: without, no datagram has to be looked at.
    is_asking: AtomicBool,
    /// There is something to send, or another time to look.
    pub(crate) changed: Notify,
    /// Nobody looks any more.
    is_over: AtomicBool,
}

struct Asked {
    machine: peerline_connection::Bindings,
    /// By the socket's address and the server's.
    answers: HashMap<(SocketAddr, SocketAddr), watch::Sender<Answer>>,
}

impl Bindings {
    /// Has a server asked from the socket at `base`. `None` if that leads nowhere.
    pub(crate) fn ask(
        &self,
        now: Instant,
        base: SocketAddr,
        server: ResolvedServer,
    ) -> Option<watch::Receiver<Answer>> {
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let mut asked = self.lock();
        if asked.is_none() {
            *asked = Some(Box::new(Asked::new()?));
        }
        let Asked { machine, answers } = asked.as_deref_mut()?;
        let key = (base, server.address);
        if let Some(answer) = answers.get(&key)
            && !matches!(*answer.borrow(), Some(Err(_)))
        {
            return Some(answer.subscribe());
        }
        if !machine.ask(now, base, server) {
            return None;
        }
        let (answer, receiver) = watch::channel(None);
        answers.insert(key, answer);
        self.is_asking.store(true, Ordering::Relaxed);
        drop(asked);
        self.changed.notify_one();
        Some(receiver)
    }

    /// A socket is no more, or its address: who waits for an answer there is told that none will come.
    pub(crate) fn remove_base(&self, base: SocketAddr) {
        if let Some(asked) = self.lock().as_deref_mut() {
            asked.machine.remove_base(base);
            asked.answers.retain(|(from, _), _| *from != base);
        }
    }

    /// True if this is a server's answer.
    pub(crate) fn take(&self, now: Instant, datagram: &Datagram) -> bool {
        if !self.is_asking.load(Ordering::Relaxed) {
            return false;
        }
        let mut asked = self.lock();
        let Some(asked) = asked.as_deref_mut() else {
            return false;
        };
        let taken = asked.machine.handle_datagram(now, datagram);
        if taken {
            asked.tell();
            self.changed.notify_one();
        }
        taken
    }

    /// Lets time pass, and puts what servers are to be asked into `outbox`. Says when to look again.
    pub(crate) fn look(&self, now: Instant, is_used: bool, outbox: &mut Outbox) -> Option<Instant> {
        let mut guard = self.lock();
        let asked = guard.as_deref_mut()?;
        if !is_used {
            *guard = None;
            self.is_asking.store(false, Ordering::Relaxed);
            return None;
        }
        asked.machine.handle_timeout(now);
        asked.tell();
        while outbox.push(|out| asked.machine.poll_transmit(now, out)) {}
        asked.machine.poll_timeout()
    }

    /// Nobody looks any more: no answer will come.
    pub(crate) fn abandon(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.is_asking.store(false, Ordering::Relaxed);
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Asked>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// `None` if the system gives no random numbers.
    fn new() -> Option<Self> {
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).ok()?;
        Some(Self {
            machine: peerline_connection::Bindings::new(seed, IceTimings::default()),
            answers: HashMap::new(),
        })
    }

    /// Tells who waits.
    fn tell(&mut self) {
        while let Some(told) = self.machine.poll_event() {
            if let Some(answer) = self.answers.get(&(told.base, told.server)) {
                answer.send_replace(Some(told.mapped));
            }
        }
    }
}
