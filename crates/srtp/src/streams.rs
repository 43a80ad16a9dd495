//! [`Streams`]: what is known of each SSRC, found in constant time.

use std::collections::HashMap;

/// States by SSRC, as many as allowed. The one used last is found without a search: packets come in bursts.
#[derive(Clone, Debug)]
pub(crate) struct Streams<S> {
    max: usize,
    list: Vec<(u32, S)>,
    positions: HashMap<u32, usize, ahash::RandomState>,
    last: usize,
}

/// There is no room for another SSRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<S> Streams<S> {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            list: Vec::new(),
            positions: HashMap::default(),
            last: 0,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &S)> {
        self.list.iter().map(|(ssrc, state)| (*ssrc, state))
    }

    pub(crate) fn peek(&self, ssrc: u32) -> Option<&S> {
        let &position = self.positions.get(&ssrc)?;
        self.list.get(position).map(|(_, state)| state)
    }

    /// The state of an SSRC, which is now the one used last.
    pub(crate) fn find(&mut self, ssrc: u32) -> Option<&mut S> {
        if self.list.get(self.last).is_none_or(|(last, _)| *last != ssrc) {
            self.last = *self.positions.get(&ssrc)?;
        }
        self.list.get_mut(self.last).map(|(_, state)| state)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= self.max
    }

    /// The state of an SSRC, made by `new` if there is none yet.
    pub(crate) fn find_or_insert(&mut self, ssrc: u32, new: impl FnOnce() -> S) -> Result<&mut S, Full> {
        if self.find(ssrc).is_none() {
            if self.is_full() {
                return Err(Full);
            }
            self.last = self.list.len();
            self.positions.insert(ssrc, self.last);
            self.list.push((ssrc, new()));
        }
        Ok(&mut self.list[self.last].1)
    }

    pub(crate) fn remove(&mut self, ssrc: u32) -> Option<S> {
        let position = self.positions.remove(&ssrc)?;
        let (_, state) = self.list.swap_remove(position);
        if let Some((moved, _)) = self.list.get(position) {
            self.positions.insert(*moved, position);
        }
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn agrees_with_a_map(operations in proptest::collection::vec((0u32..12, 0u8..3), 0..100)) {
            let mut streams = Streams::new(8);
            let mut map = BTreeMap::new();
            for (step, (ssrc, operation)) in operations.into_iter().enumerate() {
                match operation {
                    0 if map.len() < 8 || map.contains_key(&ssrc) => {
                        let expected = map.entry(ssrc).or_insert(step);
                        prop_assert_eq!(streams.find_or_insert(ssrc, || step), Ok(expected));
                    }
                    0 => prop_assert_eq!(streams.find_or_insert(ssrc, || step), Err(Full)),
                    1 => prop_assert_eq!(streams.remove(ssrc), map.remove(&ssrc)),
                    _ => prop_assert_eq!(streams.find(ssrc), map.get_mut(&ssrc)),
                }
                prop_assert_eq!(streams.peek(ssrc), map.get(&ssrc));
                prop_assert_eq!(streams.iter().collect::<BTreeMap<_, _>>(), map.iter().map(|(s, v)| (*s, v)).collect());
            }
        }
    }
}
