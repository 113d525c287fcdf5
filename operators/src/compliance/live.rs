//! The windows alive on one worker, and what one epoch does to them.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use faultline_contracts::{
    ids::EntityId,
    time::UnixMillis,
    window::{ComplianceWindow, Verdicts, WindowKey, WindowStatus, WindowTally},
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{ComplianceDelta, LateRecords, WindowOptions};

/// What one epoch does: changes of windows in the order of their keys, each as a retraction and an addition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) windows: Vec<(ComplianceWindow, isize)>,
    pub(super) late: Vec<LateRecords>,
}

/// The windows alive, by start. A window's status follows from its end and the watermark, and is not stored.
pub(super) struct LiveWindows {
    width: i64,
    grace: i64,
    watermark: Option<UnixMillis>,
    /// Looked up by dataset, and put in order where it is iterated.
    by_start: BTreeMap<UnixMillis, FxHashMap<EntityId, Arc<WindowTally>>>,
}

impl LiveWindows {
    pub(super) fn new(options: &WindowOptions) -> Self {
        let millis = |span: u64| i64::try_from(span).unwrap_or(i64::MAX);
        Self {
            width: millis(options.width_ms).max(1),
            grace: millis(options.grace_ms),
            watermark: None,
            by_start: BTreeMap::new(),
        }
    }

    /// The next value of the watermark at which a window becomes final or is retired.
    pub(super) fn next_deadline(&self) -> Option<UnixMillis> {
        let retired = self.by_start.keys().next().map(|start| start.plus(self.width).plus(self.grace));
        let ended = self.provisional().next().map(|(start, _)| start.plus(self.width));
        [retired, ended].into_iter().flatten().min()
    }

    /// How many windows are alive, and how many of them are provisional.
    pub(super) fn count(&self) -> (usize, usize) {
        let live = self.by_start.values().map(FxHashMap::len).sum();
        (live, self.provisional().map(|(_, windows)| windows.len()).sum())
    }

    fn provisional(&self) -> impl Iterator<Item = (&UnixMillis, &FxHashMap<EntityId, Arc<WindowTally>>)> {
        let first = self.watermark.map_or(Unbounded, |watermark| Excluded(watermark.plus(-self.width)));
        self.by_start.range((first, Unbounded))
    }

    fn window(&self, key: WindowKey, tally: Arc<WindowTally>, watermark: Option<UnixMillis>) -> ComplianceWindow {
        let end = key.start.plus(self.width);
        let status = if watermark >= Some(end) { WindowStatus::Final } else { WindowStatus::Provisional };
        ComplianceWindow { key, end, status, tally }
    }

    /// Counts the records of an epoch and moves the watermark to where it is at that epoch.
    ///
    /// A window that the watermark passes by more than its grace at once still becomes final, and is retired at the next
    /// step: nobody downstream may miss its final state.
    pub(super) fn step(&mut self, deltas: Vec<ComplianceDelta>, watermark: Option<UnixMillis>) -> Step {
        let before = self.watermark;
        let after = before.max(watermark);
        let mut changes = Vec::new();
        self.retire(before, after, &mut changes);
        let late = self.count_in(deltas, before, after, &mut changes);
        self.finalise(before, after, &mut changes);
        self.watermark = after;
        changes.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
        Step { windows: changes, late }
    }

    fn retire(
        &mut self,
        before: Option<UnixMillis>,
        after: Option<UnixMillis>,
        changes: &mut Vec<(ComplianceWindow, isize)>,
    ) {
        while let Some(entry) = self.by_start.first_entry() {
            let (start, end) = (*entry.key(), entry.key().plus(self.width));
            if after < Some(end.plus(self.grace)) || before < Some(end) {
                break;
            }
            for (dataset, tally) in entry.remove() {
                changes.push((self.window(WindowKey { dataset, start }, tally, before), -1));
            }
        }
    }

    fn count_in(
        &mut self,
        deltas: Vec<ComplianceDelta>,
        before: Option<UnixMillis>,
        after: Option<UnixMillis>,
        changes: &mut Vec<(ComplianceWindow, isize)>,
    ) -> Vec<LateRecords> {
        let mut late: BTreeMap<EntityId, Verdicts> = BTreeMap::new();
        for ComplianceDelta { key, tally } in self.by_window(deltas) {
            if after >= Some(key.start.plus(self.width).plus(self.grace)) {
                late.entry(key.dataset).or_default().add(tally.verdicts);
                continue;
            }
            let windows = self.by_start.entry(key.start).or_default();
            let (old, new) = match windows.get_mut(&key.dataset) {
                Some(known) => {
                    let old = Arc::clone(known);
                    Arc::make_mut(known).merge(&tally);
                    (Some(old), Arc::clone(known))
                }
                None => {
                    let mut bounded = WindowTally::default();
                    bounded.merge(&tally);
                    let new = Arc::new(bounded);
                    windows.insert(key.dataset.clone(), Arc::clone(&new));
                    (None, new)
                }
            };
            if let Some(old) = old {
                changes.push((self.window(key.clone(), old, before), -1));
            }
            changes.push((self.window(key, new, after), 1));
        }
        late.into_iter().map(|(dataset, verdicts)| LateRecords { dataset, verdicts }).collect()
    }

    /// The epoch's records of each window as one tally, whoever has read them, in the order of keys.
    fn by_window(&self, mut deltas: Vec<ComplianceDelta>) -> Vec<ComplianceDelta> {
        for delta in &mut deltas {
            delta.key.start = delta.key.start.floor_to(self.width);
        }
        deltas.retain(|delta| delta.tally != WindowTally::default());
        // Each worker's are in order already, which a stable sort makes use of.
        deltas.sort_by(|a, b| a.key.cmp(&b.key));
        deltas.dedup_by(|next, kept| {
            let same = next.key == kept.key;
            if same {
                kept.tally.absorb(&next.tally);
            }
            same
        });
        deltas
    }

    /// Windows whose end the watermark passes and that the epoch's records have not changed anyway.
    fn finalise(
        &self,
        before: Option<UnixMillis>,
        after: Option<UnixMillis>,
        changes: &mut Vec<(ComplianceWindow, isize)>,
    ) {
        let first = before.map_or(Unbounded, |before| Excluded(before.plus(-self.width)));
        let passed = |start: &UnixMillis| before < after && after >= Some(start.plus(self.width));
        for (&start, windows) in self.by_start.range((first, Unbounded)).take_while(|(start, _)| passed(start)) {
            let of_start = changes.iter().filter(|(window, diff)| *diff > 0 && window.key.start == start);
            let changed: FxHashSet<EntityId> = of_start.map(|(window, _)| window.key.dataset.clone()).collect();
            for (dataset, tally) in windows.iter().filter(|(dataset, _)| !changed.contains(*dataset)) {
                let key = WindowKey { dataset: dataset.clone(), start };
                changes.push((self.window(key.clone(), Arc::clone(tally), before), -1));
                changes.push((self.window(key, Arc::clone(tally), after), 1));
            }
        }
    }
}
