//! Rule 5: which nodes of a resolved incident are good again.

use std::collections::{BTreeMap, BTreeSet};

use faultline_contracts::{ids::EntityId, time::UnixMillis};

use super::flow::{Bad, RunFlow};

/// The hit part of a resolved incident's reach.
#[derive(Debug, Default)]
pub(super) struct Aftermath<'a> {
    /// The hit nodes with the root, and when each was bad.
    pub bad: BTreeMap<&'a EntityId, Bad>,
    /// Every run that reads one of them or writes one of them; others do no harm.
    pub runs: BTreeSet<&'a RunFlow>,
    /// Who consumes them: (node, consumer).
    pub consumers: BTreeSet<(&'a EntityId, &'a EntityId)>,
}

impl<'a> Aftermath<'a> {
    /// The nodes that are good again. `resolved_at` is when `root` was.
    pub fn cleared(&self, root: &'a EntityId, resolved_at: UnixMillis) -> BTreeSet<&'a EntityId> {
        let mut hit_by_runs = BTreeSet::new();
        for run in &self.runs {
            let read = run.inputs.iter().filter_map(|input| self.bad.get(input));
            if read.into_iter().any(|bad| run.hit_by(*bad).is_some()) {
                hit_by_runs.extend(run.targets.iter());
            }
        }
        let mut consumed = BTreeMap::<&EntityId, Vec<&EntityId>>::new();
        for (node, consumer) in self.consumers.iter().filter(|(node, consumer)| node != consumer) {
            if self.bad.contains_key(node) {
                consumed.entry(*consumer).or_default().push(*node);
            }
        }

        // From "nothing is cleared", times can only become known and then earlier, so the rounds end, in whatever order.
        let mut cleared = BTreeMap::from([(root, resolved_at)]);
        loop {
            let rewritten = self.rewritten(&cleared, resolved_at);
            let mut next = BTreeMap::from([(root, resolved_at)]);
            for node in self.bad.keys().filter(|node| **node != root) {
                let by_run = if hit_by_runs.contains(node) { rewritten.get(node).copied() } else { Some(resolved_at) };
                let sources = consumed.get(node).into_iter().flatten();
                let by_sources = sources.map(|source| cleared.get(source).copied()).collect::<Option<Vec<_>>>();
                if let (Some(at), Some(sources)) = (by_run, by_sources) {
                    next.insert(node, sources.into_iter().fold(at, UnixMillis::max));
                }
            }
            if next == cleared {
                return cleared.into_keys().collect();
            }
            cleared = next;
        }
    }

    /// When each target was first written from clean data, given what is cleared.
    fn rewritten(
        &self,
        cleared: &BTreeMap<&'a EntityId, UnixMillis>,
        resolved_at: UnixMillis,
    ) -> BTreeMap<&'a EntityId, UnixMillis> {
        let mut rewritten = BTreeMap::<&EntityId, UnixMillis>::new();
        for run in self.runs.iter().filter(|run| run.started_at >= resolved_at) {
            let clean = |input: &EntityId| match cleared.get(input) {
                Some(at) => *at <= run.started_at,
                None => !self.bad.contains_key(input),
            };
            if run.inputs.iter().all(clean) {
                for target in run.targets.iter() {
                    let at = rewritten.entry(target).or_insert(run.written_at());
                    *at = run.written_at().min(*at);
                }
            }
        }
        rewritten
    }
}
