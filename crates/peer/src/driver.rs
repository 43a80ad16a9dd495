//! The driver: one task per connection that moves datagrams, time and news between the system and the machine.
//!
//! Each round receives a batch from every socket that has one, lets time pass, takes what the machine wants sent, and
//! sends it. Rounds repeat while there is anything to do, up to a limit, so that other tasks get their turn. Nothing waits for
//! a tick: the task sleeps until a socket is ready, the machine's timer expires, or a handle changed something.

// Machines are given the time; here is where it comes from.
#![allow(clippy::disallowed_methods)]

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use peerline_connection::ConnectionState;
use peerline_dtls::{Certificate, CryptoProvider};
use peerline_udp::{Inbox, Outbox};
use peerline_wire::Transport;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use crate::configuration::Network;
use crate::error::Error;
use crate::shared::{Phase, Shared, Wakes};
use crate::sockets::Sockets;
use crate::{interfaces, mdns};

/// Rounds before other tasks get their turn.
const ROUNDS: usize = 16;

/// How much is taken from the machine before it is sent: two of the largest runs that a system call can send. What the
/// network has not taken stays in the machine, where congestion control and priorities see it.
const OUTBOX_SIZE: usize = 128 * 1024;

/// How long closing may take when sockets do not accept the goodbye.
const CLOSING_TIME: Duration = Duration::from_secs(1);

thread_local! {
    /// Scratch to receive into: one a thread, not one a connection. It is only used within one call.
    static INBOX: RefCell<Inbox> = RefCell::new(Inbox::new());
}

/// The present.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What the wall clock shows at an instant.
pub(crate) fn wall_clock() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}

/// A certificate for one connection, valid from now.
pub(crate) fn new_certificate(provider: &CryptoProvider) -> Result<Certificate, Error> {
    Certificate::generate(provider, SystemTime::now()).map_err(Error::Certificate)
}

/// Runs a connection until it is closed.
pub(crate) async fn run(shared: Arc<Shared>, network: Network) {
    let mut driver = Driver {
        shared,
        network,
        sockets: Sockets::default(),
        outbox: Outbox::new(),
        wakes: Wakes::default(),
        names: JoinSet::new(),
        timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        armed: None,
    };
    poll_fn(|cx| driver.poll(cx)).await;
}

struct Driver {
    shared: Arc<Shared>,
    network: Network,
    sockets: Sockets,
    outbox: Outbox,
    wakes: Wakes,
    /// Names being resolved; dropped with the driver.
    names: JoinSet<(String, Option<IpAddr>)>,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires. It may be earlier than needed: to set it for every packet would cost more.
    armed: Option<Instant>,
}

/// What a look at the machine found.
struct Step {
    deadline: Option<Instant>,
    /// The machine has more to send than the outbox should hold.
    more: bool,
    gather: bool,
    names: Vec<String>,
    phase: Phase,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            let mut progress = self.receive(cx);
            progress |= self.poll_names(cx);
            let step = self.advance(cx);
            if step.gather && step.phase == Phase::Running {
                self.gather();
                progress = true;
            }
            for name in step.names {
                self.names.spawn(async move {
                    let addr = mdns::resolve(&name).await;
                    (name, addr)
                });
                progress = true;
            }
            let sent = self.send(cx);
            progress |= sent && step.more;
            if let Phase::Closing(since) = step.phase
                && ((sent && !step.more) || now() >= since + CLOSING_TIME)
            {
                return Poll::Ready(());
            }
            progress |= self.poll_timer(cx, step.deadline);
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Receives one batch from each socket; true if there was any.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        INBOX.with_borrow_mut(|inbox| {
            self.sockets.retain(|socket| {
                if socket.poll_recv_ready(cx).is_pending() {
                    return true;
                }
                match inbox.recv(socket) {
                    Ok(batch) => {
                        let mut state = self.shared.lock();
                        let now = now();
                        batch.for_each(|datagram| state.connection.handle_datagram(now, datagram));
                        progress = true;
                        true
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        // Readiness was stale; asking again registers for the next one.
                        progress = true;
                        true
                    }
                    // An earlier datagram of ours met nobody.
                    Err(error) if is_about_a_datagram(error.kind()) => {
                        progress = true;
                        true
                    }
                    // The interface is gone or the runtime is: ICE will notice that nothing comes any more.
                    Err(_) => false,
                }
            });
        });
        progress
    }

    /// Names that have been resolved, or could not be.
    fn poll_names(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(Some(result)) = self.names.poll_join_next(cx) {
            if let Ok((name, addr)) = result {
                self.shared.lock().connection.handle_resolved(now(), &name, addr);
                progress = true;
            }
        }
        progress
    }

    /// Lets time pass for the machine, takes what it wants sent and reads its events.
    fn advance(&mut self, cx: &Context<'_>) -> Step {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let now = now();
        if state.connection.poll_timeout().is_some_and(|deadline| deadline <= now) {
            state.connection.handle_timeout(now);
        }
        let mut more = true;
        while more && self.outbox.bytes() < OUTBOX_SIZE {
            more = self.outbox.push(|out| state.connection.poll_transmit(now, out));
        }
        state.digest(&mut self.wakes);
        state.unblock_senders(&mut self.wakes);
        // The peer's goodbye ends it as well: nothing can follow.
        if state.phase == Phase::Running && state.connection.connection_state() == ConnectionState::Closed {
            state.phase = Phase::Closing(now);
        }
        let mut deadline = state.connection.poll_timeout();
        if let Phase::Closing(since) = state.phase {
            deadline = Some(since + CLOSING_TIME);
        }
        // From here on every change wakes this task again.
        match &mut state.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        let step = Step {
            deadline,
            more,
            gather: std::mem::take(&mut state.gather),
            names: std::mem::take(&mut state.names),
            phase: state.phase,
        };
        drop(guard);
        self.wakes.wake(&self.shared);
        step
    }

    /// Sends what is in the outbox; false if some of it has to wait for a socket.
    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let Self { sockets, outbox, .. } = self;
        while !outbox.flush(|local| sockets.of(local)) {
            let mut ready = false;
            for &local in outbox.blocked() {
                ready |= sockets
                    .of(local)
                    .is_some_and(|socket| socket.poll_send_ready(cx).is_ready());
            }
            if !ready {
                return false;
            }
        }
        true
    }

    /// Binds sockets, and offers the addresses of this host that they serve.
    fn gather(&mut self) {
        let now = now();
        let wanted = interfaces::addresses(&self.network, now);
        let (sockets, addresses) = Sockets::bind(&wanted, self.network.port_range.as_ref());
        self.sockets = sockets;
        let mut state = self.shared.lock();
        for address in addresses {
            // What comes to another address than these, on a wildcard socket, ICE takes for a stranger's.
            state.connection.add_local_address(now, address, Transport::Udp);
        }
        state.connection.finish_gathering(now);
    }

    /// True if the machine's timer has expired.
    fn poll_timer(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        if let Some(deadline) = deadline
            && self.armed.is_none_or(|armed| deadline < armed)
        {
            self.timer.as_mut().reset(deadline.into());
            self.armed = Some(deadline);
        }
        let fired = self.armed.is_some() && self.timer.as_mut().poll(cx).is_ready();
        if fired {
            self.armed = None;
        }
        fired
    }
}

impl Drop for Driver {
    /// Also when the runtime shuts down: whoever waits is told.
    fn drop(&mut self) {
        self.shared.end();
    }
}

fn is_about_a_datagram(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as E;
    matches!(
        kind,
        E::ConnectionReset | E::ConnectionRefused | E::HostUnreachable | E::NetworkUnreachable | E::Interrupted
    )
}
