//! [`InlineList`]: a short list without allocation.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// Up to `N` values, in place. It reads as a slice.
#[derive(Clone, Copy)]
pub struct InlineList<T, const N: usize> {
    len: u8,
    /// The default value from `len` on.
    items: [T; N],
}

impl<T: Copy + Default, const N: usize> InlineList<T, N> {
    /// How many values there is room for.
    pub const MAX: usize = N;

    /// Adds a value. False, and nothing added, if the list is full.
    pub fn push(&mut self, item: T) -> bool {
        let Some(place) = self.items.get_mut(usize::from(self.len)) else {
            return false;
        };
        *place = item;
        self.len += 1;
        true
    }

    /// Takes all values out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl<T: Copy + Default, const N: usize> Default for InlineList<T, N> {
    fn default() -> Self {
        const { assert!(N <= u8::MAX as usize) };
        Self {
            len: 0,
            items: [T::default(); N],
        }
    }
}

impl<T, const N: usize> Deref for InlineList<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..self.len.into()]
    }
}

impl<T, const N: usize> DerefMut for InlineList<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..self.len.into()]
    }
}

/// The first `N`.
impl<T: Copy + Default, const N: usize> FromIterator<T> for InlineList<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut list = Self::default();
        items.into_iter().take(N).for_each(|item| {
            list.push(item);
        });
        list
    }
}

impl<T: PartialEq, const N: usize> PartialEq for InlineList<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq, const N: usize> Eq for InlineList<T, N> {}

impl<T: std::hash::Hash, const N: usize> std::hash::Hash for InlineList<T, N> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for InlineList<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_stays_as_it_is() {
        let mut list: InlineList<u8, 2> = [7, 8, 9].into_iter().collect();
        assert_eq!(*list, [7, 8]);
        assert!(!list.push(9));
        assert_eq!(*list, [7, 8]);
        list.clear();
        assert!(list.is_empty() && list.push(1));
        assert_eq!(list, [1].into_iter().collect());
    }
}
