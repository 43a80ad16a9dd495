//! [`Few`]: a map of which mostly one entry is used, and that keeps that one without memory of its own.
//!
//! A connection has a channel, and a channel a stream, where a node of a tree has room for eleven.

use std::collections::BTreeMap;

/// A map in the order of its keys.
#[derive(Clone, Debug)]
pub(crate) struct Few<K, V> {
    /// The entry, while it is the only one.
    one: Option<(K, V)>,
    /// All entries otherwise.
    many: BTreeMap<K, V>,
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self {
            one: None,
            many: BTreeMap::new(),
        }
    }
}

impl<K: Ord, V> Few<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        match &self.one {
            Some((known, value)) => (known == key).then_some(value),
            None => self.many.get(key),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match &mut self.one {
            Some((known, value)) => (known == key).then_some(value),
            None => self.many.get_mut(key),
        }
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key, made first if it is not there.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if self.one.as_ref().is_some_and(|(known, _)| *known != key) {
            self.many.extend(self.one.take());
        }
        if self.many.is_empty() {
            &mut self.one.get_or_insert_with(|| (key, make())).1
        } else {
            self.many.entry(key).or_insert_with(make)
        }
    }

    /// The value of a key, the default if it is not there.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.get_or_insert_with(key, V::default)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        let mut value = Some(value);
        let kept = self.get_or_insert_with(key, || value.take().expect("made once"));
        // It was there: the new one takes its place.
        if let Some(value) = value {
            *kept = value;
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        match self.one.take_if(|(known, _)| known == key) {
            Some((_, value)) => Some(value),
            None => self.many.remove(key),
        }
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.one.take_if(|(key, value)| !keep(key, value));
        self.many.retain(keep);
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.one.is_some()) + self.many.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let one = self.one.iter().map(|(key, value)| (key, value));
        one.chain(&self.many)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let one = self.one.iter_mut().map(|(key, value)| (&*key, value));
        one.chain(&mut self.many)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_does_what_a_tree_does(changes in proptest::collection::vec((0u8..4, 0u8..4, any::<u8>()), 0..100)) {
            let (mut few, mut tree) = (Few::default(), BTreeMap::new());
            for (change, key, value) in changes {
                match change {
                    0 => {
                        few.insert(key, value);
                        tree.insert(key, value);
                    }
                    1 => prop_assert_eq!(few.get_or_default(key), tree.entry(key).or_default()),
                    2 => prop_assert_eq!(few.remove(&key), tree.remove(&key)),
                    _ => {
                        few.retain(|_, it| *it < value);
                        tree.retain(|_, it| *it < value);
                    }
                }
                prop_assert_eq!(few.get(&key), tree.get(&key));
                prop_assert_eq!(few.get_mut(&key), tree.get_mut(&key));
                prop_assert_eq!((few.len(), few.contains_key(&key)), (tree.len(), tree.contains_key(&key)));
                prop_assert!(few.iter().eq(&tree) && few.keys().eq(tree.keys()));
                prop_assert!(few.values_mut().eq(tree.values_mut()));
            }
        }
    }
}
