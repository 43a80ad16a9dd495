//! [`Alarms`]: when an endpoint's resting connections are to be looked at.
//!
//! A resting connection waits for one thing, the time of its next consent check. For thousands of them a timer and a task to be
//! woken each would be most of the work, so their endpoint looks after all whose time has come at once.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

/// Who is to be looked at when.
#[derive(Debug)]
pub(crate) struct Alarms<T>(Mutex<Inner<T>>);

/// An alarm that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alarm {
    mark: Instant,
    /// Alarms of one mark come in the order in which they were set, so that new ones meet where memory is in the cache.
    number: u64,
}

#[derive(Debug)]
struct Inner<T> {
    pending: BTreeMap<Alarm, T>,
    /// How many were set so far.
    set: u64,
    /// Whom to wake if an alarm is set that comes before all others.
    keeper: Keeper,
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
            pending: BTreeMap::new(),
            set: 0,
            keeper: Keeper::Awake,
        }))
    }

    /// Sets an alarm in place of the one before. `None`, and there is no alarm, if nobody looks any more.
    pub(crate) fn set(&self, before: Option<Alarm>, mark: Instant, value: T) -> Option<Alarm> {
        let mut inner = self.lock();
        if let Some(before) = before {
            inner.pending.remove(&before);
        }
        if matches!(inner.keeper, Keeper::Gone) {
            return None;
        }
        let is_first = inner.first().is_none_or(|first| mark < first);
        inner.set += 1;
        let alarm = Alarm {
            mark,
            number: inner.set,
        };
        inner.pending.insert(alarm, value);
        if is_first && let Keeper::Asleep(waker) = mem::replace(&mut inner.keeper, Keeper::Awake) {
            drop(inner);
            waker.wake();
        }
        Some(alarm)
    }

    /// Takes back an alarm that may have come already.
    pub(crate) fn remove(&self, alarm: Alarm) -> Option<T> {
        self.lock().pending.remove(&alarm)
    }

    /// Takes up to so many of those whose time has come, the first ones first.
    pub(crate) fn take_due(&self, now: Instant, limit: usize) -> Vec<(Alarm, T)> {
        let mut inner = self.lock();
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(first) = inner.pending.first_entry()
            && first.key().mark <= now
        {
            due.push(first.remove_entry());
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
        mem::take(&mut inner.pending).into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    fn first(&self) -> Option<Instant> {
        self.pending.first_key_value().map(|(alarm, _)| alarm.mark)
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
