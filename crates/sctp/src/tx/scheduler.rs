//! Which stream comes next: weighted fair queueing by bytes (RFC 8260 §3.6), fragment by fragment with interleaving and
//! message by message without.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The streams with something to send, by virtual time: the stream with the smallest comes first, and sending `n` bytes at
/// weight `w` costs it `n / w`. Streams of equal weight take turns.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    waiting: BinaryHeap<Reverse<(u64, Turn, u16)>>,
    /// The virtual time of the stream chosen last: where a stream begins that had nothing to send.
    now: u64,
}

/// Which of two streams at one virtual time goes first. One that had nothing to send goes ahead of those that take turns,
/// however many these are: a small message now and then is not delayed by large ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    WasIdle,
    Continues,
}

/// What the scheduler keeps in each stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    virtual_time: u64,
    /// At least 1.
    weight: u16,
    waits: bool,
}

impl Share {
    /// RFC 8831 §6.4: 256 is "normal".
    pub(crate) const NORMAL: Self = Self {
        virtual_time: 0,
        weight: 256,
        waits: false,
    };

    pub(crate) fn set_weight(&mut self, weight: u16) {
        self.weight = weight.max(1);
    }

    pub(crate) fn virtual_time(&self) -> u64 {
        self.virtual_time
    }

    /// Charges the stream for a fragment sent.
    pub(crate) fn charge(&mut self, bytes: usize) {
        self.virtual_time += ((bytes as u64) << 16) / u64::from(self.weight);
    }
}

impl Scheduler {
    /// Gives back the room for streams that wait no more.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.waiting.shrink_to_fit();
    }

    /// `stream` has something to send. Nothing changes if that is known.
    pub(crate) fn add(&mut self, stream: u16, share: &mut Share, turn: Turn) {
        if !share.waits {
            share.waits = true;
            share.virtual_time = share.virtual_time.max(self.now);
            self.waiting.push(Reverse((share.virtual_time, turn, stream)));
        }
    }

    /// The stream whose turn it is. It keeps its place until it is [removed](Self::remove_first).
    pub(crate) fn first(&self) -> Option<u16> {
        self.waiting.peek().map(|Reverse((_, _, stream))| *stream)
    }

    /// Takes the first stream out: it has had its turn, or nothing to send any more. `share` is its own, if it exists.
    pub(crate) fn remove_first(&mut self, share: Option<&mut Share>) {
        if let Some(Reverse((virtual_time, ..))) = self.waiting.pop() {
            self.now = self.now.max(virtual_time);
        }
        if let Some(share) = share {
            share.waits = false;
        }
    }

    /// Forgets who waits; the caller does so in the streams with [`Share::leave`].
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}

impl Share {
    /// The scheduler has been cleared.
    pub(crate) fn leave(&mut self) {
        self.waits = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_turn(scheduler: &mut Scheduler, shares: &mut [Share], bytes: usize) -> u16 {
        let stream = scheduler.first().unwrap();
        let share = &mut shares[usize::from(stream)];
        scheduler.remove_first(Some(share));
        share.charge(bytes);
        scheduler.add(stream, share, Turn::Continues);
        stream
    }

    #[test]
    fn bytes_are_shared_by_weight() {
        let mut scheduler = Scheduler::default();
        let mut shares = [Share::NORMAL, Share::NORMAL, Share::NORMAL];
        shares[2].set_weight(512);
        for stream in 0..3u16 {
            scheduler.add(stream, &mut shares[usize::from(stream)], Turn::WasIdle);
        }
        let mut sent = [0; 3];
        for _ in 0..4000 {
            let stream = take_turn(&mut scheduler, &mut shares, 100);
            sent[usize::from(stream)] += 100;
        }
        assert_eq!(sent, [100_000, 100_000, 200_000]);
    }

    #[test]
    fn a_stream_that_was_idle_gets_no_credit_for_it() {
        let mut scheduler = Scheduler::default();
        let mut shares = [Share::NORMAL, Share::NORMAL];
        scheduler.add(0, &mut shares[0], Turn::WasIdle);
        for _ in 0..100 {
            assert_eq!(take_turn(&mut scheduler, &mut shares, 1000), 0);
        }
        scheduler.add(1, &mut shares[1], Turn::WasIdle);
        let turns: Vec<u16> = (0..6).map(|_| take_turn(&mut scheduler, &mut shares, 1000)).collect();
        assert_eq!(turns.iter().filter(|&&stream| stream == 1).count(), 3, "{turns:?}");
    }

    #[test]
    fn a_stream_that_was_idle_goes_ahead_of_any_number_that_take_turns() {
        let mut scheduler = Scheduler::default();
        let mut shares = [Share::NORMAL; 100];
        for stream in 0..99 {
            scheduler.add(stream, &mut shares[usize::from(stream)], Turn::WasIdle);
        }
        for _ in 0..150 {
            take_turn(&mut scheduler, &mut shares, 1000);
        }
        scheduler.add(99, &mut shares[99], Turn::WasIdle);
        assert_eq!(scheduler.first(), Some(99));
        // But not twice in a row.
        take_turn(&mut scheduler, &mut shares, 1000);
        assert_ne!(scheduler.first(), Some(99));
    }
}
