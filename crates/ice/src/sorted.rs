//! [`SortedMap`] and [`SortedSet`]: tables of few entries, each in one sorted vector.
//!
//! A lookup costs the logarithm, whatever keys a peer chooses; a change moves the entries behind it, of which the limits of
//! [`Limits`](crate::Limits) allow a few hundred small ones. What makes them worth having is the usual case: a connection
//! keeps one pair of two candidates, and a table of one entry takes what the entry takes.

use std::borrow::Borrow;

/// How many entries a table has that grows by one at a time: as many as a host has addresses.
const FEW: usize = 4;

/// A map in the order of its keys.
#[derive(Clone, Debug)]
pub(crate) struct SortedMap<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    fn search<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.entries.binary_search_by(|(known, _)| known.borrow().cmp(key))
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.search(key).ok().map(|index| &self.entries[index].1)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.search(key).ok().map(|index| &mut self.entries[index].1)
    }

    /// The entry, if there is exactly one.
    pub(crate) fn single(&self) -> Option<(&K, &V)> {
        match self.entries.as_slice() {
            [(key, value)] => Some((key, value)),
            _ => None,
        }
    }

    /// The value of a key, made first if it is not there.
    pub(crate) fn entry(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let index = self.search(&key).unwrap_or_else(|index| {
            self.make_room();
            self.entries.insert(index, (key, V::default()));
            index
        });
        &mut self.entries[index].1
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.search(&key) {
            Ok(index) => self.entries[index].1 = value,
            Err(index) => {
                self.make_room();
                self.entries.insert(index, (key, value));
            }
        }
    }

    /// Each of the first entries takes room for itself alone.
    fn make_room(&mut self) {
        if self.entries.len() < FEW {
            self.entries.reserve_exact(1);
        }
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let value = self.search(key).ok().map(|index| self.entries.remove(index).1);
        if self.entries.is_empty() {
            self.entries = Vec::new();
        }
        value
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.entries.iter().map(|(key, _)| key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives back the room for entries that are gone.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }
}

/// A set in order.
#[derive(Clone, Debug)]
pub(crate) struct SortedSet<T> {
    map: SortedMap<T, ()>,
}

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        Self {
            map: SortedMap::default(),
        }
    }
}

impl<T: Ord> SortedSet<T> {
    pub(crate) fn insert(&mut self, value: T) {
        self.map.insert(value, ());
    }

    pub(crate) fn remove(&mut self, value: &T) {
        self.map.remove(value);
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.map.keys()
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.map.keys().next()
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.map.keys().next_back()
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives back the room for values that are gone.
    pub(crate) fn shrink(&mut self) {
        self.map.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_does_what_a_tree_does(changes in proptest::collection::vec((any::<bool>(), 0u8..20, any::<u8>()), 0..200)) {
            let (mut sorted, mut tree) = (SortedMap::default(), BTreeMap::new());
            for (insert, key, value) in changes {
                if insert {
                    sorted.insert(key, value);
                    tree.insert(key, value);
                } else {
                    prop_assert_eq!(sorted.remove(&key), tree.remove(&key));
                }
                prop_assert_eq!(sorted.get(&key), tree.get(&key));
                prop_assert!(sorted.keys().eq(tree.keys()) && sorted.values().eq(tree.values()));
                prop_assert_eq!((sorted.len(), sorted.is_empty()), (tree.len(), tree.is_empty()));
            }
        }
    }

    #[test]
    fn few_entries_take_little_room() {
        let mut set = SortedSet::default();
        set.insert(1);
        assert_eq!(set.map.entries.capacity(), 1);
        (0..100).for_each(|value| set.insert(value));
        (1..100).for_each(|value| set.remove(&value));
        set.shrink();
        assert_eq!(
            (set.first(), set.last(), set.map.entries.capacity()),
            (Some(&0), Some(&0), 1)
        );
        set.remove(&0);
        assert!(set.is_empty());
        assert_eq!(set.map.entries.capacity(), 0);
    }
}
