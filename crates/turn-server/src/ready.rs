//! [`Ready`]: which of many sockets have something to read. Each has a waker of its own that puts it in a queue, so that nobody asks
//! the others.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use peerline_turn::server::RelayId;
use peerline_udp::Socket;

/// Which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// One that clients send to.
    Listener(usize),
    /// One that peers send to.
    Relay(RelayId),
}

/// The sockets that have something to read.
#[derive(Default)]
pub(crate) struct Ready {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Each at most once.
    keys: Vec<Arc<Bell>>,
    driver: Option<Waker>,
}

/// The waker of a socket.
pub(crate) struct Bell {
    pub(crate) key: Key,
    /// It is in the queue.
    rung: AtomicBool,
    ready: Arc<Ready>,
}

impl Bell {
    /// One for this socket, in the queue: whoever takes it out asks the socket to ring it. From then on the socket has it.
    pub(crate) fn hang(key: Key, ready: &Arc<Ready>) {
        let bell = Self {
            key,
            rung: AtomicBool::new(false),
            ready: Arc::clone(ready),
        };
        Arc::new(bell).ring();
    }

    /// Puts it in the queue.
    pub(crate) fn ring(self: Arc<Self>) {
        self.wake();
    }

    /// Whether the socket has something; if not, it rings when it has.
    pub(crate) fn is_silent(self: &Arc<Self>, socket: &Socket) -> bool {
        let waker = Waker::from(Arc::clone(self));
        // An error of the runtime's end is told by what is read.
        matches!(socket.poll_recv_ready(&mut Context::from_waker(&waker)), Poll::Pending)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let driver = {
            let mut queue = self.ready.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.keys.push(Arc::clone(self));
            queue.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

impl Ready {
    /// Exchanges the queue for `taken`, which is emptied; the driver is woken when there is something new.
    pub(crate) fn take(&self, taken: &mut Vec<Arc<Bell>>, cx: &Context<'_>) {
        taken.clear();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut queue.keys, taken);
        match &mut queue.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        drop(queue);
        for bell in taken {
            bell.rung.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_something_is_in_the_queue_once() {
        let ready = Arc::new(Ready::default());
        let addresses = "127.0.0.1:0".parse().unwrap();
        let sockets = [Socket::bind(addresses).unwrap(), Socket::bind(addresses).unwrap()];
        for index in 0..2 {
            Bell::hang(Key::Listener(index), &ready);
        }
        let mut taken = Vec::new();
        let cx = Context::from_waker(Waker::noop());
        ready.take(&mut taken, &cx);
        assert_eq!(taken.len(), 2, "the new ones are asked");
        for (bell, socket) in taken.iter().zip(&sockets) {
            assert!(bell.is_silent(socket));
        }
        ready.take(&mut taken, &cx);
        assert!(taken.is_empty());
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"1", sockets[1].local_addr()).unwrap();
        sender.send_to(b"2", sockets[1].local_addr()).unwrap();
        let told = std::future::poll_fn(|cx| {
            ready.take(&mut taken, cx);
            if taken.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        tokio::time::timeout(std::time::Duration::from_secs(20), told)
            .await
            .expect("it rings");
        assert_eq!(
            taken.iter().map(|bell| bell.key).collect::<Vec<_>>(),
            [Key::Listener(1)]
        );
        assert!(!taken[0].is_silent(&sockets[1]));
    }
}
