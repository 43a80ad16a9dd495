//! [`Alarms`]: when an endpoint's resting connections are to be looked at.
//!
//! A resting connection waits for one thing, the time of its next consent check. For thousands of them a timer and a task to be
//! woken each would be most of the work, so their endpoint looks after all whose time has come at once.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

/// Who is to be looked at when.
#[derive(Debug)]
pub(crate) struct Alarms<T>(Mutex<Inner<T>>);

/// An alarm that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    mark: Instant,
    /// Tells marks of one moment apart: one that has come may be set again.
    batch: u64,
    /// Which of the batch.
    number: u64,
}

#[derive(Debug)]
struct Inner<T> {
    /// Marks are few, however many alarms there are.
    marks: BTreeMap<Instant, Batch<T>>,
    /// How many batches there have been.
    batches: u64,
    /// Whom to wake if an alarm is set that comes before all others.
    keeper: Keeper,
}

/// The alarms of one moment, in the order in which they were set, so that new ones meet where memory is in the cache.
#[derive(Debug)]
struct Batch<T> {
    id: u64,
    /// How many have been taken.
    taken: u64,
    /// Those that follow; `None` for what was taken back. Its place is kept until the mark has come.
    pending: VecDeque<Option<T>>,
}

#[derive(Debug)]
enum Keeper {
    /// It looks at the alarms before it sleeps.
    Awake,
    Asleep(Waker),
    Gone,
}

impl<T> Alarms<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Inner {
            marks: BTreeMap::new(),
            batches: 0,
            keeper: Keeper::Awake,
        }))
    }

    /// Sets an alarm in place of the one before. `None`, and there is no alarm, if nobody looks any more.
    pub(crate) fn set(&self, before: Option<Alarm>, mark: Instant, value: T) -> Option<Alarm> {
        let mut inner = self.lock();
        let replaced = before.and_then(|before| inner.remove(before));
        if matches!(inner.keeper, Keeper::Gone) {
            return None;
        }
        let is_first = inner.first().is_none_or(|first| mark < first);
        let alarm = inner.set(mark, value);
        let keeper = match &mut inner.keeper {
            keeper if is_first => mem::replace(keeper, Keeper::Awake),
            _ => Keeper::Awake,
        };
        drop(inner);
        // Whatever is freed or woken is so without the lock.
        drop(replaced);
        if let Keeper::Asleep(waker) = keeper {
            waker.wake();
        }
        Some(alarm)
    }

    /// Takes back an alarm that may have come already.
    pub(crate) fn remove(&self, alarm: Alarm) -> Option<T> {
        self.lock().remove(alarm)
    }

    /// Takes up to so many of those whose time has come, the first ones first.
    pub(crate) fn take_due(&self, now: Instant, limit: usize) -> Vec<(Alarm, T)> {
        let mut inner = self.lock();
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(mut first) = inner.marks.first_entry()
            && *first.key() <= now
        {
            let mark = *first.key();
            match first.get_mut().take(mark) {
                Some(taken) => due.push(taken),
                None => drop(first.remove()),
            }
        }
        due
    }

    /// When to look again. If an earlier alarm is set before that, the keeper is woken.
    pub(crate) fn sleep(&self, waker: &Waker) -> Option<Instant> {
        let mut inner = self.lock();
        inner.keeper = Keeper::Asleep(waker.clone());
        inner.first()
    }

    /// Nobody looks any more; whose alarms are lost.
    pub(crate) fn abandon(&self) -> Vec<T> {
        let mut inner = self.lock();
        inner.keeper = Keeper::Gone;
        let marks = mem::take(&mut inner.marks).into_values();
        marks.flat_map(|batch| batch.pending).flatten().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    fn first(&self) -> Option<Instant> {
        self.marks.first_key_value().map(|(mark, _)| *mark)
    }

    fn set(&mut self, mark: Instant, value: T) -> Alarm {
        let Self { marks, batches, .. } = self;
        let batch = marks.entry(mark).or_insert_with(|| {
            *batches += 1;
            Batch {
                id: *batches,
                taken: 0,
                pending: VecDeque::new(),
            }
        });
        batch.pending.push_back(Some(value));
        Alarm {
            mark,
            batch: batch.id,
            number: batch.taken + batch.pending.len() as u64 - 1,
        }
    }

    fn remove(&mut self, alarm: Alarm) -> Option<T> {
        let batch = self.marks.get_mut(&alarm.mark)?;
        let index = alarm
            .number
            .checked_sub(batch.taken)
            .filter(|_| batch.id == alarm.batch)?;
        batch.pending.get_mut(usize::try_from(index).ok()?)?.take()
    }
}

impl<T> Batch<T> {
    fn take(&mut self, mark: Instant) -> Option<(Alarm, T)> {
        loop {
            let next = self.pending.pop_front()?;
            let alarm = Alarm {
                mark,
                batch: self.id,
                number: self.taken,
            };
            self.taken += 1;
            if let Some(value) = next {
                return Some((alarm, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn alarms_come_in_order_each_once_unless_replaced_or_taken_back() {
        let start = crate::driver::now();
        let at = |ms| start + Duration::from_millis(ms);
        let alarms = Alarms::new();
        let late = alarms.set(None, at(30), 'l');
        alarms.set(None, at(10), 'a');
        alarms.set(None, at(10), 'b');
        let back = alarms.set(None, at(5), 'x').unwrap();
        assert_eq!(alarms.remove(back), Some('x'));
        assert_eq!(alarms.remove(back), None);
        let due = |ms, limit| -> String { alarms.take_due(at(ms), limit).into_iter().map(|(_, who)| who).collect() };
        assert_eq!(due(9, 9), "");
        // Sooner than it was set before.
        alarms.set(late, at(20), 'l');
        assert_eq!(
            (due(10, 1), due(20, 9), due(100, 9)),
            ("a".into(), "bl".into(), String::new())
        );
    }

    #[test]
    fn an_alarm_that_has_come_is_nobody_elses() {
        let now = crate::driver::now();
        let alarms = Alarms::new();
        let old = alarms.set(None, now, 'a').unwrap();
        assert_eq!(alarms.take_due(now, 9), [(old, 'a')]);
        let new = alarms.set(None, now, 'b').unwrap();
        assert_ne!(old, new);
        assert_eq!(alarms.remove(old), None);
        alarms.set(Some(old), now, 'c').unwrap();
        assert_eq!(alarms.remove(new), Some('b'));
        assert_eq!(alarms.take_due(now, 9).len(), 1);
    }

    #[test]
    fn the_keeper_is_woken_once_and_only_for_what_comes_first() {
        let start = crate::driver::now();
        let at = |ms| start + Duration::from_millis(ms);
        let alarms = Alarms::new();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let woken = || wakes.0.load(Ordering::Relaxed);
        alarms.set(None, at(10), ());
        assert_eq!((alarms.sleep(&waker), woken()), (Some(at(10)), 0));
        alarms.set(None, at(10), ());
        alarms.set(None, at(20), ());
        assert_eq!(woken(), 0);
        alarms.set(None, at(9), ());
        alarms.set(None, at(8), ());
        assert_eq!((woken(), alarms.sleep(&waker)), (1, Some(at(8))));

        // Nobody is promised what nobody keeps.
        assert_eq!(alarms.abandon().len(), 5);
        assert_eq!(alarms.set(None, at(1), ()), None);
        assert_eq!(woken(), 1);
    }
}
