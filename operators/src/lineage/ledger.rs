//! A map that knows which entries are oldest and what each entry was before the current epoch.

use std::collections::{BTreeMap, BTreeSet};

use faultline_contracts::time::UnixMillis;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a [`Ledger`] holds: something that was last seen at some time.
pub(super) trait Recency {
    /// When it was last seen; the oldest go first.
    fn recency(&self) -> UnixMillis;
}

/// Entries, their order of age, and the values that entries touched in this epoch had before it. Between epochs the
/// entries are all there is to it, and all that is written.
#[derive(Debug)]
pub(super) struct Ledger<K, V> {
    now: BTreeMap<K, V>,
    oldest: BTreeSet<(UnixMillis, K)>,
    before: BTreeMap<K, Option<V>>,
}

impl<K, V> Default for Ledger<K, V> {
    fn default() -> Self {
        Self { now: BTreeMap::new(), oldest: BTreeSet::new(), before: BTreeMap::new() }
    }
}

impl<K: Serialize, V: Serialize> Serialize for Ledger<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.now.serialize(serializer)
    }
}

impl<'de, K: Ord + Clone + Deserialize<'de>, V: Recency + Deserialize<'de>> Deserialize<'de> for Ledger<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let now = BTreeMap::<K, V>::deserialize(deserializer)?;
        let oldest = now.iter().map(|(key, value)| (value.recency(), key.clone())).collect();
        Ok(Self { now, oldest, before: BTreeMap::new() })
    }
}

impl<K: Ord + Clone, V: Recency + Clone> Ledger<K, V> {
    /// The entries, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.now.iter()
    }

    /// Puts what `change` makes of the present value in its place.
    pub fn update(&mut self, key: &K, change: impl FnOnce(Option<V>) -> V) {
        let old = self.forget(key);
        let new = change(old);
        self.oldest.insert((new.recency(), key.clone()));
        self.now.insert(key.clone(), new);
    }

    /// Changes the value where there is one.
    pub fn amend(&mut self, key: &K, change: impl FnOnce(&mut V)) {
        if let Some(mut value) = self.forget(key) {
            change(&mut value);
            self.oldest.insert((value.recency(), key.clone()));
            self.now.insert(key.clone(), value);
        }
    }

    /// The present value.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.now.get(key)
    }

    /// Removes the oldest entries until at most `bound` are left; returns how many went.
    pub fn shrink_to(&mut self, bound: usize) -> u64 {
        let mut gone = 0;
        while self.now.len() > bound && self.remove_oldest() {
            gone += 1;
        }
        gone
    }

    /// Removes what was last seen before `horizon`; returns how many went.
    pub fn retire_before(&mut self, horizon: UnixMillis) -> u64 {
        let mut gone = 0;
        while self.oldest.first().is_some_and(|(at, _)| *at < horizon) && self.remove_oldest() {
            gone += 1;
        }
        gone
    }

    /// The entries touched since the last call, by key: (key, value before, value now).
    pub fn changes(&mut self) -> impl Iterator<Item = (K, Option<V>, Option<V>)> + '_ {
        let before = std::mem::take(&mut self.before);
        before.into_iter().map(|(key, old)| {
            let new = self.now.get(&key).cloned();
            (key, old, new)
        })
    }

    fn remove_oldest(&mut self) -> bool {
        match self.oldest.first().cloned() {
            Some((_, key)) => self.forget(&key).is_some(),
            None => false,
        }
    }

    fn forget(&mut self, key: &K) -> Option<V> {
        let old = self.now.remove(key);
        if let Some(value) = &old {
            self.oldest.remove(&(value.recency(), key.clone()));
        }
        if !self.before.contains_key(key) {
            self.before.insert(key.clone(), old.clone());
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Recency for i64 {
        fn recency(&self) -> UnixMillis {
            UnixMillis(*self)
        }
    }

    #[test]
    fn the_oldest_go_first_and_changes_are_told_once() {
        let mut ledger = Ledger::<&str, i64>::default();
        for (key, at) in [("a", 3), ("b", 1), ("c", 2)] {
            ledger.update(&key, |_| at);
        }
        ledger.amend(&"b", |at| *at = 9);
        ledger.amend(&"nobody", |at| *at = 9);
        assert_eq!(ledger.shrink_to(2), 1);
        assert_eq!(ledger.get(&"c"), None);
        let told: Vec<_> = ledger.changes().collect();
        assert!(told.contains(&("b", None, Some(9))) && told.contains(&("c", None, None)), "{told:?}");
        assert_eq!(ledger.retire_before(UnixMillis(9)), 1);
        assert_eq!(ledger.changes().collect::<Vec<_>>(), [("a", Some(3), None)]);
    }
}
