//! [`Streams`]: what is known of each SSRC, found in constant time.

use std::collections::HashMap;

use crate::state::StreamState;

/// States by SSRC, as many as allowed. The one used last is found without a search: packets come in bursts.
///
/// An SSRC is never forgotten because others come: a receiver that knows nothing of a stream any more takes its old packets again
/// ("the receiver MUST … maintain a Replay List", RFC 3711 §3.3.2), and a sender encrypts two packets alike (§9.1). What is not
/// in use is kept in short instead, as its newest indices: those up to there count as used, those beyond are fresh.
#[derive(Clone, Debug)]
pub(crate) struct Streams<S> {
    max: usize,
    list: Vec<Entry<S>>,
    positions: HashMap<u32, usize, ahash::RandomState>,
    last: usize,
    /// How often another than the last was used.
    turns: u64,
    max_retired: usize,
    retired: HashMap<u32, StreamState, ahash::RandomState>,
}

#[derive(Clone, Debug)]
struct Entry<S> {
    ssrc: u32,
    /// The turn in which it was last used.
    turn: u64,
    state: S,
}

/// A state that can be told in short.
pub(crate) trait Summary {
    fn summary(&self, ssrc: u32) -> StreamState;
}

/// There is no room for another SSRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<S: Summary> Streams<S> {
    /// None yet; room for so many in use, and for so many more that are kept in short.
    pub(crate) fn new(max: usize, max_retired: usize) -> Self {
        Self {
            max,
            list: Vec::new(),
            positions: HashMap::default(),
            last: 0,
            turns: 0,
            max_retired,
            retired: HashMap::default(),
        }
    }

    /// All, those in use first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = StreamState> {
        let in_use = self.list.iter().map(|entry| entry.state.summary(entry.ssrc));
        in_use.chain(self.retired.values().copied())
    }

    pub(crate) fn peek(&self, ssrc: u32) -> Option<StreamState> {
        match self.positions.get(&ssrc) {
            Some(&position) => self.list.get(position).map(|entry| entry.state.summary(ssrc)),
            None => self.retired(ssrc),
        }
    }

    /// The state of an SSRC in use, which is now the one used last.
    pub(crate) fn find(&mut self, ssrc: u32) -> Option<&mut S> {
        if self.list.get(self.last).is_none_or(|entry| entry.ssrc != ssrc) {
            self.last = *self.positions.get(&ssrc)?;
            self.turns += 1;
            self.list.get_mut(self.last)?.turn = self.turns;
        }
        self.list.get_mut(self.last).map(|entry| &mut entry.state)
    }

    /// An SSRC that is kept in short.
    pub(crate) fn retired(&self, ssrc: u32) -> Option<StreamState> {
        self.retired.get(&ssrc).copied()
    }

    /// True if another SSRC can be added.
    pub(crate) fn has_room(&self) -> bool {
        self.list.len() + self.retired.len() < self.max.saturating_add(self.max_retired)
    }

    /// The state of an SSRC, made by `new` of what was kept of it, if it is not in use.
    pub(crate) fn find_or_insert(
        &mut self,
        ssrc: u32,
        new: impl FnOnce(Option<StreamState>) -> S,
    ) -> Result<&mut S, Full> {
        if self.find(ssrc).is_none() {
            let before = self.retired(ssrc);
            if before.is_none() && !self.has_room() {
                return Err(Full);
            }
            self.retire_idle();
            self.retired.remove(&ssrc);
            self.insert(ssrc, new(before));
        }
        Ok(&mut self.list[self.last].state)
    }

    fn insert(&mut self, ssrc: u32, state: S) {
        self.last = self.list.len();
        self.turns += 1;
        self.positions.insert(ssrc, self.last);
        self.list.push(Entry {
            ssrc,
            turn: self.turns,
            state,
        });
    }

    /// If all places are taken, the half of them that was not used for longest is kept in short: a search of all, but once in
    /// half as many insertions.
    fn retire_idle(&mut self) {
        if self.list.len() < self.max {
            return;
        }
        let mut turns: Vec<_> = self.list.iter().map(|entry| (entry.turn, entry.ssrc)).collect();
        turns.sort_unstable();
        let idle = turns.len().div_ceil(2);
        turns[..idle].iter().for_each(|(_, ssrc)| self.retire(*ssrc));
    }

    /// An SSRC is not in use at present: it is kept in short.
    pub(crate) fn retire(&mut self, ssrc: u32) {
        if let Some(state) = self.take(ssrc) {
            self.retired.insert(ssrc, state.summary(ssrc));
        }
    }

    /// Forgets an SSRC; where it was.
    pub(crate) fn remove(&mut self, ssrc: u32) -> Option<StreamState> {
        match self.take(ssrc) {
            Some(state) => Some(state.summary(ssrc)),
            None => self.retired.remove(&ssrc),
        }
    }

    fn take(&mut self, ssrc: u32) -> Option<S> {
        let position = self.positions.remove(&ssrc)?;
        let taken = self.list.swap_remove(position);
        if let Some(moved) = self.list.get(position) {
            self.positions.insert(moved.ssrc, position);
        }
        Some(taken.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Its rollover counter is the step in which it began, and stands for all of it.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Begun(u32);

    impl Summary for Begun {
        fn summary(&self, ssrc: u32) -> StreamState {
            StreamState {
                ssrc,
                roc: self.0,
                ..StreamState::default()
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(operations in proptest::collection::vec((0u32..12, 0u8..4), 0..200)) {
            let mut streams = Streams::new(4, 4);
            let mut map = BTreeMap::new();
            for (step, (ssrc, operation)) in (0..).zip(operations) {
                match operation {
                    0 => {
                        let found = streams.find_or_insert(ssrc, |before| Begun(before.map_or(step, |before| before.roc)));
                        if map.len() < 8 || map.contains_key(&ssrc) {
                            let began = map.entry(ssrc).or_insert(step);
                            prop_assert_eq!(found, Ok(&mut Begun(*began)));
                        } else {
                            prop_assert_eq!(found, Err(Full));
                        }
                    }
                    1 => prop_assert_eq!(streams.remove(ssrc).map(|state| state.roc), map.remove(&ssrc)),
                    2 => streams.retire(ssrc),
                    _ => {
                        let found = streams.find(ssrc).map(|begun| begun.0);
                        prop_assert!(found.is_none() || found == map.get(&ssrc).copied());
                    }
                }
                prop_assert!(streams.list.len() <= 4);
                prop_assert_eq!(streams.peek(ssrc).map(|state| state.roc), map.get(&ssrc).copied());
                let all: BTreeMap<_, _> = streams.iter().map(|state| (state.ssrc, state.roc)).collect();
                prop_assert_eq!(&all, &map);
            }
        }
    }

    #[test]
    fn those_used_last_stay_in_use() {
        let mut streams = Streams::new(4, 100);
        for ssrc in [1, 2, 3, 4, 1, 2, 5, 1, 2, 6, 7, 1, 2, 8] {
            streams.find_or_insert(ssrc, |_| Begun(0)).unwrap();
        }
        assert!(streams.find(1).is_some() && streams.find(2).is_some() && streams.find(8).is_some());
        assert!(streams.find(3).is_none() && streams.find(4).is_none() && streams.find(5).is_none());
        assert_eq!(streams.iter().count(), 8);
    }
}
