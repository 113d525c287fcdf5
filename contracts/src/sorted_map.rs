//! A small ordered map that is cheap to copy and to hold.

use std::{borrow::Borrow, collections::BTreeMap, fmt, iter, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A map of few entries in the order of their keys, in one block of memory that its clones share until one of them
/// changes. Empty, it has none.
///
/// A change of one entry may copy all, so what is large is [collected](FromIterator) or [united](SortedMap::union).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortedMap<K, V>(
    /// Sorted, each key once, and `None` rather than empty, for maps that compare equal to be equal.
    Option<Arc<[(K, V)]>>,
);

impl<K, V> SortedMap<K, V> {
    fn entries(&self) -> &[(K, V)] {
        self.0.as_deref().unwrap_or_default()
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Its entries, in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.entries().iter().map(|(key, value)| (key, value))
    }

    /// Its keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries().iter().map(|(key, _)| key)
    }

    /// Its values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries().iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.entries().binary_search_by(|(known, _)| known.borrow().cmp(key))
    }

    /// The value of a key.
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key).ok()?;
        self.entries().get(place).map(|(_, value)| value)
    }

    /// Whether it has a key.
    #[must_use]
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }
}

impl<K: Ord + Clone, V: Clone> SortedMap<K, V> {
    /// The value of a key, to be changed, and the default at first.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let place = self.place(&key).unwrap_or_else(|place| {
            let (before, after) = self.entries().split_at(place);
            let new = iter::once((key, V::default()));
            self.0 = Some(before.iter().cloned().chain(new).chain(after.iter().cloned()).collect());
            place
        });
        &mut Arc::make_mut(self.0.get_or_insert_default())[place].1
    }

    /// All entries of both. `combine` makes one value of the two of a key.
    #[must_use]
    pub fn union(&self, other: &Self, combine: impl Fn(&V, &V) -> V) -> Self {
        let (Some(ours), Some(theirs)) = (&self.0, &other.0) else {
            return if self.is_empty() { other.clone() } else { self.clone() };
        };
        let missing = missing(ours, theirs);
        let (mut ours, mut theirs) = (ours.iter(), theirs.iter().peekable());
        if missing == 0 {
            // Its length is known: one allocation.
            let both = ours.map(|(key, value)| match theirs.next_if(|(theirs, _)| theirs == key) {
                Some((_, more)) => (key.clone(), combine(value, more)),
                None => (key.clone(), value.clone()),
            });
            return Self(Some(both.collect()));
        }
        let mut both = Vec::with_capacity(ours.len() + missing);
        for (key, value) in ours.by_ref() {
            while let Some(theirs) = theirs.next_if(|(theirs, _)| theirs < key) {
                both.push(theirs.clone());
            }
            let value = match theirs.next_if(|(theirs, _)| theirs == key) {
                Some((_, more)) => combine(value, more),
                None => value.clone(),
            };
            both.push((key.clone(), value));
        }
        both.extend(theirs.cloned());
        Self(Some(both.into()))
    }
}

/// How many keys of `theirs` are not among `ours`.
fn missing<K: Ord, V>(ours: &[(K, V)], theirs: &[(K, V)]) -> usize {
    let mut ours = ours.iter().map(|(key, _)| key).peekable();
    let mut is_missing = |key: &K| {
        // Equality first: a text that both share is equal to itself without being read.
        while ours.next_if(|&ours| ours != key && ours < key).is_some() {}
        ours.next_if_eq(&key).is_none()
    };
    theirs.iter().filter(|(key, _)| is_missing(key)).count()
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self(None)
    }
}

/// Of entries with the same key the last one stays.
impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                std::mem::swap(next, kept);
            }
            same
        });
        Self((!entries.is_empty()).then(|| entries.into()))
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SortedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Serialize, V: Serialize> Serialize for SortedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for SortedMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Model = BTreeMap<u8, u32>;

    fn entries() -> impl Strategy<Value = Vec<(u8, u32)>> {
        prop::collection::vec((0..20_u8, 0..100_u32), 0..20)
    }

    proptest! {
        #[test]
        fn it_is_a_map(first: Vec<(u8, u32)>, second in entries(), third in entries()) {
            let map: SortedMap<u8, u32> = first.iter().copied().collect();
            let model: Model = first.into_iter().collect();
            prop_assert!(map.iter().eq(&model));
            prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));

            let (mut left, mut expected): (SortedMap<u8, u32>, Model) = Default::default();
            for (key, more) in second {
                let before = left.clone();
                *left.get_or_default(key) += more;
                prop_assert!(before.iter().eq(&expected), "what has been cloned stays as it was");
                *expected.entry(key).or_default() += more;
                prop_assert!(left.iter().eq(&expected));
            }
            let right: SortedMap<u8, u32> = third.iter().copied().collect();
            let both = left.union(&right, |a, b| 1_000 * a + b);
            for (key, value) in right.iter() {
                expected.entry(*key).and_modify(|ours| *ours = 1_000 * *ours + value).or_insert(*value);
            }
            prop_assert!(both.iter().eq(&expected));
            for key in 0..20 {
                prop_assert_eq!(both.get(&key), expected.get(&key));
                prop_assert_eq!(both.contains_key(&key), expected.contains_key(&key));
            }
            prop_assert_eq!(left.cmp(&right), left.iter().cmp(right.iter()));
        }

        #[test]
        fn json_is_that_of_a_map(of in entries()) {
            let (map, model): (SortedMap<u8, u32>, Model) = (of.iter().copied().collect(), of.into_iter().collect());
            let json = serde_json::to_string(&map).unwrap();
            prop_assert_eq!(&json, &serde_json::to_string(&model).unwrap());
            prop_assert_eq!(serde_json::from_str::<SortedMap<u8, u32>>(&json).unwrap(), map);
        }
    }
}
