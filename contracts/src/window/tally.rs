//! What a window's records amount to, and the bounds that hold it.

use std::{borrow::Borrow, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{FailureDigest, Verdicts};
use crate::{reason::Signature, sorted_map::SortedMap};

/// What stands for all signatures, or producers, beyond the bound.
const OTHER: &str = "OTHER";

/// What a window's records amount to. Versions of a window share what they have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct WindowTally {
    /// All its records.
    pub verdicts: Verdicts,
    /// Failing records by signature; at most [`WindowTally::SIGNATURES`] beside [`Signature::other`], which has the rest.
    pub by_signature: SortedMap<Signature, FailureDigest>,
    /// Records by producer; at most [`WindowTally::PRODUCERS`] beside `OTHER`, which has the rest.
    pub by_producer: SortedMap<Arc<str>, Verdicts>,
}

impl WindowTally {
    /// How many signatures a window tells apart.
    pub const SIGNATURES: usize = 64;
    /// How many producers a window tells apart.
    pub const PRODUCERS: usize = 64;

    /// Whether it is of no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.verdicts == Verdicts::default() && self.by_signature.is_empty() && self.by_producer.is_empty()
    }

    /// Adds the tally of other records, keeping every signature and producer apart. The order of absorbing does not
    /// matter. For what one tick holds, which bounds itself; [`WindowTally::merge`] is for what grows.
    pub fn absorb(&mut self, other: &Self) {
        self.verdicts.add(other.verdicts);
        self.by_signature = self.by_signature.union(&other.by_signature, FailureDigest::union);
        self.by_producer = self.by_producer.union(&other.by_producer, Verdicts::union);
    }

    /// Adds the tally of other records of the same window, or, for a breach, of another window. See
    /// [`WindowTally::merged`].
    pub fn merge(&mut self, other: &Self) {
        *self = self.merged(other);
    }

    /// This tally and that of other records of the same window. A signature or producer beyond the bound counts under
    /// `OTHER`. Newcomers are admitted in the order of their first failure, so the result depends on the sequence of
    /// tallies merged, and on nothing else: merge complete ones, in a canonical order.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let first = |digest: &FailureDigest| digest.first();
        // Nothing orders producers but their names.
        let alike = |_: &Verdicts| ();
        Self {
            verdicts: self.verdicts.union(&other.verdicts),
            by_signature: bounded(
                &self.by_signature,
                &other.by_signature,
                Self::SIGNATURES,
                first,
                FailureDigest::union,
            ),
            by_producer: bounded(&self.by_producer, &other.by_producer, Self::PRODUCERS, alike, Verdicts::union),
        }
    }

    /// The signature with the most failures; the earlier first failure decides a tie.
    #[must_use]
    pub fn dominant_signature(&self) -> Option<(&Signature, &FailureDigest)> {
        self.by_signature
            .iter()
            .min_by_key(|(signature, digest)| (std::cmp::Reverse(digest.count), digest.first(), (*signature).clone()))
    }
}

/// The union of a bounded map and any other, with at most `bound` keys beside `OTHER`. Newcomers are admitted by rank,
/// then key; all others' values go to `OTHER`.
fn bounded<K, V, R: Ord>(
    known: &SortedMap<K, V>,
    more: &SortedMap<K, V>,
    bound: usize,
    rank: impl Fn(&V) -> R,
    combine: impl Fn(&V, &V) -> V,
) -> SortedMap<K, V>
where
    K: Ord + Clone + Borrow<str> + From<&'static str>,
    V: Clone,
{
    if known.len() + more.len() <= bound {
        return known.union(more, combine);
    }
    let is_other = |key: &K| -> bool { key.borrow() == OTHER };
    let is_new = |key: &K| !is_other(key) && !known.contains_key::<K>(key);
    let mut newcomers: Vec<_> = more.iter().filter(|(key, _)| is_new(key)).collect();
    let room = bound.saturating_sub(known.keys().filter(|key| !is_other(key)).count());
    if newcomers.len() <= room {
        return known.union(more, combine);
    }
    // A stable sort of what is in the order of keys.
    newcomers.sort_by_key(|(_, value)| rank(value));
    let admitted: SortedMap<K, V> = newcomers.drain(..room).map(|(key, value)| (key.clone(), value.clone())).collect();
    let familiar = more.iter().filter(|(key, _)| !is_new(key));
    let familiar: SortedMap<K, V> = familiar.map(|(key, value)| (key.clone(), value.clone())).collect();
    let rest = newcomers.into_iter().map(|(_, value)| value.clone()).reduce(|rest, value| combine(&rest, &value));
    let rest: SortedMap<K, V> = rest.into_iter().map(|rest| (OTHER.into(), rest)).collect();
    [admitted, familiar, rest].iter().fold(known.clone(), |all, part| all.union(part, &combine))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{evidence::FailureSample, ids::EvidenceId, record::RecordCoordinates, time::UnixMillis};

    fn failures(signatures: std::ops::Range<i64>) -> WindowTally {
        let mut tally = WindowTally::default();
        for n in signatures {
            let at = RecordCoordinates { topic: "t", partition: 0, offset: n };
            // Later signatures fail first.
            let id = EvidenceId::of(at, UnixMillis(1_000_000 - n));
            let sample =
                || FailureSample { id, topic: "t".into(), producer: "p".into(), trace_id: None, dag_run_id: None };
            tally.by_signature.get_or_default(format!("S{n:03}").as_str().into()).insert(id, sample);
            let one = Verdicts { fail: 1, ..Verdicts::default() };
            tally.by_producer.get_or_default(format!("p{n:03}").into()).add(one);
            tally.verdicts.add(one);
        }
        tally
    }

    #[test]
    fn absorbing_parts_in_any_order_then_merging_gives_one_result() {
        let mut whole = WindowTally::default();
        whole.absorb(&failures(0..200));
        let (mut forward, mut backward) = (WindowTally::default(), WindowTally::default());
        for part in 0..10 {
            forward.absorb(&failures(part * 20..part * 20 + 20));
            backward.absorb(&failures((9 - part) * 20..(9 - part) * 20 + 20));
        }
        assert_eq!((&forward, &backward), (&whole, &whole));

        let mut bounded = WindowTally::default();
        bounded.merge(&whole);
        assert_eq!(bounded.verdicts.fail, 200);
        assert_eq!(bounded.by_signature.len(), WindowTally::SIGNATURES + 1);
        assert_eq!(bounded.by_signature.get(OTHER).unwrap().count, 136);
        assert!(bounded.by_signature.contains_key("S199"), "the first to fail is admitted");
        assert!(!bounded.by_signature.contains_key("S000"));
        assert_eq!(bounded.by_producer.len(), WindowTally::PRODUCERS + 1);
        assert_eq!(bounded.by_producer.get(OTHER).unwrap().fail, 136);

        // Merging what is bounded already takes no room from others.
        let mut again = failures(0..1);
        again.merge(&bounded);
        assert_eq!(again.by_signature.len(), WindowTally::SIGNATURES + 1);
        assert_eq!(again.by_signature.values().map(|digest| digest.count).sum::<u64>(), 201);
    }
}
