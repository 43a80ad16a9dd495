//! The tasks of an endpoint: one for each socket, and one that asks STUN servers.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use peerline_udp::Outbox;
use tokio::time::Sleep;

use super::{ROUNDS, borrow_outbox, now, with_inbox};
use crate::endpoint::{Hub, Run};
use crate::sockets::Patience;

/// Receives for an endpoint, on the socket with this index, until the runtime shuts down. With the first one it also looks after
/// resting connections. Once it is gone, each has to do so for itself.
pub(crate) fn serve(hub: Arc<Hub>, index: usize) -> impl Future<Output = ()> + Send {
    // Here from now on: also a runtime that goes before this runs ends it.
    let mut server = Server {
        is_keeper: index == 0,
        hub,
        index,
        patience: Patience::default(),
        is_over: false,
        timer: None,
        runs: Vec::new(),
    };
    poll_fn(move |cx| server.poll(cx))
}

/// Asks STUN servers for an endpoint, until the runtime shuts down.
pub(crate) fn keep_bindings(hub: Arc<Hub>) -> impl Future<Output = ()> + Send {
    let keeper = Keeper(hub);
    async move {
        loop {
            let changed = keeper.0.bindings.changed.notified();
            match keeper.0.look_after_bindings(now()) {
                Some(deadline) => drop(tokio::time::timeout_at(deadline.into(), changed).await),
                None => changed.await,
            }
        }
    }
}

struct Keeper(Arc<Hub>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.bindings.abandon();
    }
}

struct Server {
    hub: Arc<Hub>,
    index: usize,
    patience: Patience,
    /// Nothing comes any more: the runtime is gone, or the network. ICE will notice.
    is_over: bool,
    /// It looks after alarms.
    is_keeper: bool,
    /// For the next alarm, and when that is.
    timer: Option<(Pin<Box<Sleep>>, Instant)>,
    /// Room for what one system call brings.
    runs: Vec<Run>,
}

impl Server {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            let mut outbox = borrow_outbox();
            let mut more = self.receive(cx, &mut outbox);
            more |= self.is_keeper && self.hub.look(now(), &mut outbox);
            self.hub.send(outbox);
            if more || self.poll_timer(cx) {
                continue;
            }
            return if self.is_over && !self.is_keeper {
                Poll::Ready(())
            } else {
                Poll::Pending
            };
        }
        // Whoever got something is to run before more is received.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands out what one system call brings; false if there was nothing, and this task is woken when there is.
    fn receive(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> bool {
        let Self { hub, runs, .. } = self;
        let Some(socket) = hub.socket_at(self.index).filter(|_| !self.is_over) else {
            return false;
        };
        let received = match socket.poll_recv_ready(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => with_inbox(|inbox| inbox.recv(socket).map(|batch| hub.deliver(batch, runs, outbox))),
            Poll::Ready(Err(error)) => Err(error),
        };
        self.is_over = self.patience.endure(received).is_err();
        true
    }

    /// True if it is time for the next alarm. Else this task is woken then, or if there is an earlier one.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_keeper {
            return false;
        }
        let Some(mark) = self.hub.sleep(cx.waker()) else {
            return false;
        };
        let (timer, set) = self
            .timer
            .get_or_insert_with(|| (Box::pin(tokio::time::sleep_until(mark.into())), mark));
        if mem::replace(set, mark) != mark {
            timer.as_mut().reset(mark.into());
        }
        timer.as_mut().poll(cx).is_ready()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_keeper {
            self.hub.abandon();
        }
    }
}
