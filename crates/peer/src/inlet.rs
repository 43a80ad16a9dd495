//! [`Inlet`]: what has come for a connection on an endpoint's socket, and was not yet taken by its task.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use peerline_wire::Datagram;

/// What may wait for one connection's task, in bytes of memory: as much as a socket of its own would hold.
const INLET_SIZE: usize = 4 << 20;

/// What a waiting datagram takes beside its payload.
const OVERHEAD: usize = 128;

/// How many datagrams a connection's task takes at once: as many as a batch from a socket of its own may hold. Between two
/// portions handles get at the connection, and what has come is answered.
const PORTION: usize = 512;

/// Where datagrams for one connection go. It stays empty where a connection has sockets of its own.
#[derive(Default)]
pub(crate) struct Inlet {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    datagrams: VecDeque<Datagram>,
    bytes: usize,
    waker: Option<Waker>,
}

impl Inlet {
    /// Takes the run, or drops what there is no room for; the task to wake, and how many were dropped.
    pub(crate) fn push(&self, run: impl IntoIterator<Item = Datagram>) -> (Option<Waker>, usize) {
        let mut queue = self.lock();
        let mut dropped = 0;
        for datagram in run {
            let bytes = queue.bytes + size(&datagram);
            if bytes <= INLET_SIZE {
                queue.bytes = bytes;
                queue.datagrams.push_back(datagram);
            } else {
                dropped += 1;
            }
        }
        (queue.waker.take(), dropped)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().datagrams.is_empty()
    }

    /// What has waited longest; if nothing waits, the task is woken when something comes.
    pub(crate) fn take(&self, cx: &Context<'_>) -> Option<VecDeque<Datagram>> {
        let mut queue = self.lock();
        if queue.datagrams.is_empty() {
            match &mut queue.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return None;
        }
        if queue.datagrams.len() > PORTION {
            let portion: VecDeque<_> = queue.datagrams.drain(..PORTION).collect();
            queue.bytes -= portion.iter().map(size).sum::<usize>();
            return Some(portion);
        }
        queue.bytes = 0;
        Some(mem::take(&mut queue.datagrams))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a datagram takes while it waits.
fn size(datagram: &Datagram) -> usize {
    datagram.payload.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use peerline_wire::FiveTuple;

    use super::*;

    #[test]
    fn what_waits_is_bounded_and_taken_in_portions() {
        let inlet = Inlet::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let many = INLET_SIZE / (1 + OVERHEAD);
        let numbered = |range: std::ops::Range<usize>| -> Vec<_> {
            range
                .map(|number| Datagram {
                    five_tuple: FiveTuple::udp(address, address),
                    ecn: None,
                    payload: [number as u8].as_slice().into(),
                })
                .collect()
        };
        let (_, dropped) = inlet.push(numbered(0..many + 3));
        assert_eq!(dropped, 3);
        let cx = Context::from_waker(Waker::noop());
        let mut taken = Vec::new();
        while let Some(portion) = inlet.take(&cx) {
            assert!(portion.len() <= PORTION);
            taken.extend(portion.into_iter().map(|datagram| datagram.payload[0]));
            // What was taken leaves room.
            if taken.len() == PORTION {
                assert_eq!(inlet.push(numbered(many..many + PORTION + 1)).1, 1);
            }
        }
        let expected: Vec<u8> = (0..many + PORTION).map(|number| number as u8).collect();
        assert_eq!(taken, expected);
        assert_eq!(inlet.lock().bytes, 0);
        assert_eq!(inlet.push(numbered(0..many)).1, 0);
    }
}
