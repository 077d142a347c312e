//! A set for a handful of values: sorted, in one piece of memory of the size that they need, or in none of its own where
//! there is one. Most people have one to three keys, and each is copied for every answer about them; a tree's first node
//! alone has room for eleven.

use smallvec::SmallVec;

/// Values in order, each once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SortedSet<T>(SmallVec<[T; 1]>);

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<T: Ord> SortedSet<T> {
    /// Adds a value unless it is there.
    pub fn insert(&mut self, value: T) {
        if let Err(place) = self.0.binary_search(&value) {
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact(1 + self.0.len() / 2);
            }
            self.0.insert(place, value);
        }
    }

    /// Adds the values of another set.
    pub fn absorb(&mut self, other: &Self)
    where
        T: Clone,
    {
        // One after the other would move the rest each time.
        let new: Vec<T> = other.0.iter().filter(|value| !self.contains(value)).cloned().collect();
        if !new.is_empty() {
            self.0.reserve_exact(new.len());
            self.0.extend(new);
            self.0.sort_unstable();
        }
    }

    /// Says whether a value is in it.
    #[must_use]
    pub fn contains(&self, value: &T) -> bool {
        self.0.binary_search(value).is_ok()
    }

    /// Returns the lowest.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.0.first()
    }

    /// Returns the lowest that is no lower than `value`.
    #[must_use]
    pub fn first_from(&self, value: &T) -> Option<&T> {
        self.0.get(self.0.partition_point(|one| one < value))
    }

    /// Says how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns all, the lowest first.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Keeps those of which `wanted` holds.
    pub fn retain(&mut self, mut wanted: impl FnMut(&T) -> bool) {
        self.0.retain(|value| wanted(value));
    }
}

impl<T: Ord> FromIterator<T> for SortedSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut all: SmallVec<[T; 1]> = values.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        Self(all)
    }
}

impl<'a, T: Ord> IntoIterator for &'a SortedSet<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Everything it says is what the standard library's ordered set says.
        #[test]
        fn it_is_an_ordered_set(first in prop::collection::vec(0..20_u8, 0..12), second in prop::collection::vec(0..20_u8, 0..12), bound in 0..22_u8) {
            let (mut set, mut model) = (SortedSet::default(), BTreeSet::new());
            for value in &first {
                set.insert(*value);
                model.insert(*value);
            }
            let other: SortedSet<u8> = second.iter().copied().collect();
            set.absorb(&other);
            model.extend(&second);
            prop_assert!(set.iter().eq(model.iter()));
            prop_assert_eq!((set.len(), set.is_empty(), set.first()), (model.len(), model.is_empty(), model.first()));
            prop_assert_eq!(set.contains(&bound), model.contains(&bound));
            prop_assert_eq!(set.first_from(&bound), model.range(bound..).next());
            set.retain(|value| *value < bound);
            model.retain(|value| *value < bound);
            prop_assert!(set.iter().eq(model.iter()));
            prop_assert_eq!(set.clone(), model.into_iter().collect());
        }
    }
}
