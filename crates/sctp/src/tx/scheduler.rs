//! Which stream comes next: weighted fair queueing by bytes, at message boundaries (RFC 8260 §3.6).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The streams with messages waiting, by virtual time: the stream with the smallest comes first, and sending `n` bytes at
/// weight `w` costs it `n / w`. Streams of equal weight take turns.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    waiting: BinaryHeap<Reverse<(u64, u16)>>,
    /// The virtual time of the stream chosen last: where a stream begins that had nothing to send.
    now: u64,
}

/// What the scheduler keeps in each stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    virtual_time: u64,
    /// At least 1.
    weight: u16,
}

impl Share {
    /// RFC 8831 §6.4: 256 is "normal".
    pub(crate) const NORMAL: Self = Self {
        virtual_time: 0,
        weight: 256,
    };

    pub(crate) fn set_weight(&mut self, weight: u16) {
        self.weight = weight.max(1);
    }

    /// Charges the stream for a fragment sent.
    pub(crate) fn charge(&mut self, bytes: usize) {
        self.virtual_time += ((bytes as u64) << 16) / u64::from(self.weight);
    }
}

impl Scheduler {
    /// `stream`, which is not waiting, has a message to send.
    pub(crate) fn add(&mut self, stream: u16, share: &mut Share) {
        share.virtual_time = share.virtual_time.max(self.now);
        self.waiting.push(Reverse((share.virtual_time, stream)));
    }

    /// Takes the stream whose turn it is.
    pub(crate) fn next(&mut self) -> Option<u16> {
        let Reverse((virtual_time, stream)) = self.waiting.pop()?;
        self.now = self.now.max(virtual_time);
        Some(stream)
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shared_by_weight() {
        let mut scheduler = Scheduler::default();
        let mut shares = [Share::NORMAL, Share::NORMAL, Share::NORMAL];
        shares[2].set_weight(512);
        for stream in 0..3u16 {
            scheduler.add(stream, &mut shares[usize::from(stream)]);
        }
        let mut sent = [0; 3];
        for _ in 0..4000 {
            let stream = scheduler.next().unwrap();
            let index = usize::from(stream);
            sent[index] += 100;
            shares[index].charge(100);
            scheduler.add(stream, &mut shares[index]);
        }
        assert_eq!(sent, [100_000, 100_000, 200_000]);
    }

    #[test]
    fn a_stream_that_was_idle_gets_no_credit_for_it() {
        let mut scheduler = Scheduler::default();
        let (mut busy, mut idle) = (Share::NORMAL, Share::NORMAL);
        scheduler.add(1, &mut busy);
        for _ in 0..100 {
            assert_eq!(scheduler.next(), Some(1));
            busy.charge(1000);
            scheduler.add(1, &mut busy);
        }
        scheduler.add(2, &mut idle);
        let mut turns = Vec::new();
        for _ in 0..6 {
            let stream = scheduler.next().unwrap();
            turns.push(stream);
            let share = if stream == 1 { &mut busy } else { &mut idle };
            share.charge(1000);
            scheduler.add(stream, share);
        }
        assert_eq!(turns.iter().filter(|&&stream| stream == 2).count(), 3, "{turns:?}");
    }
}
