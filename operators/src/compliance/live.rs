//! The windows alive on one worker, and what one epoch does to them.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use faultline_contracts::{
    ids::EntityId,
    time::UnixMillis,
    window::{ComplianceWindow, Verdicts, WindowKey, WindowStatus, WindowTally},
};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::{ComplianceDelta, LateRecords, WindowOptions};

/// What one epoch does: changes of windows, each as a retraction and an addition, at most one of a window.
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
    by_start: BTreeMap<UnixMillis, WindowsOfStart>,
}

/// By dataset; within a step, a window is known by its place.
type WindowsOfStart = IndexMap<EntityId, LiveWindow, FxBuildHasher>;

#[derive(Default)]
struct LiveWindow {
    /// None until the step that has made the window counts.
    tally: Option<Arc<WindowTally>>,
    /// Within a step: which of the deltas gathered is this window's.
    gathered: Option<usize>,
}

/// The records of one window in one epoch, whoever has read them.
struct Gathered {
    delta: ComplianceDelta,
    /// The window's place among those of its start.
    place: usize,
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

    /// All windows as they are now, each as an addition.
    fn all(&self) -> Vec<(ComplianceWindow, isize)> {
        let window = |(_, (start, dataset, tally)): (usize, (UnixMillis, &EntityId, &Arc<WindowTally>))| {
            let key = WindowKey { dataset: dataset.clone(), start };
            (self.window(key, Arc::clone(tally), self.watermark), 1)
        };
        self.from(None).map(window).collect()
    }

    /// The windows that come after so many of a start, each with its place among those of its start.
    pub(super) fn from(
        &self,
        after: Option<(UnixMillis, usize)>,
    ) -> impl Iterator<Item = (usize, (UnixMillis, &EntityId, &Arc<WindowTally>))> {
        let (first, behind) = after.map_or((Unbounded, 0), |(start, behind)| (Included(start), behind));
        self.by_start.range((first, Unbounded)).flat_map(move |(&start, windows)| {
            let skipped = if first == Included(start) { behind } else { 0 };
            let windows = windows.iter().enumerate().skip(skipped);
            windows
                .filter_map(move |(place, (dataset, window))| Some((place, (start, dataset, window.tally.as_ref()?))))
        })
    }

    /// Takes in a window that was alive.
    pub(super) fn restore(&mut self, start: UnixMillis, dataset: EntityId, tally: Arc<WindowTally>) {
        self.by_start.entry(start).or_default().insert(dataset, LiveWindow { tally: Some(tally), gathered: None });
    }

    /// The next value of the watermark at which a window becomes final or is retired.
    pub(super) fn next_deadline(&self) -> Option<UnixMillis> {
        let retired = self.by_start.keys().next().map(|start| start.plus(self.width).plus(self.grace));
        let ended = self.provisional().next().map(|(start, _)| start.plus(self.width));
        [retired, ended].into_iter().flatten().min()
    }

    /// How many windows are alive, and how many of them are provisional.
    pub(super) fn count(&self) -> (usize, usize) {
        let live = self.by_start.values().map(IndexMap::len).sum();
        (live, self.provisional().map(|(_, windows)| windows.len()).sum())
    }

    fn provisional(&self) -> impl Iterator<Item = (&UnixMillis, &WindowsOfStart)> {
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
        let mut changes = Vec::with_capacity(2 * deltas.len());
        self.retire(before, after, &mut changes);
        let (gathered, late) = self.gather(deltas, after);
        self.finalise(before, after, &mut changes);
        self.count_in(gathered, before, after, &mut changes);
        self.watermark = after;
        Step { windows: changes, late }
    }

    /// The step of the epoch in which windows come back. All of them are told, those too that the watermark has passed
    /// by more than their grace: when they were cut they were final and not retired, and are so for this epoch.
    pub(super) fn resume(&mut self, deltas: Vec<ComplianceDelta>, watermark: Option<UnixMillis>) -> Step {
        self.watermark = self.watermark.max(watermark);
        let (gathered, late) = self.gather(deltas, self.watermark);
        // Nothing has been told yet that these would change.
        self.count_in(gathered, self.watermark, self.watermark, &mut Vec::new());
        Step { windows: self.all(), late }
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
            for (dataset, LiveWindow { tally, .. }) in entry.remove() {
                let key = WindowKey { dataset, start };
                changes.extend(tally.map(|tally| (self.window(key, tally, before), -1)));
            }
        }
    }

    /// Puts together what came of each window: its tally is merged once an epoch, in whatever parts it came.
    fn gather(&mut self, deltas: Vec<ComplianceDelta>, after: Option<UnixMillis>) -> (Vec<Gathered>, Vec<LateRecords>) {
        let mut all: Vec<Gathered> = Vec::with_capacity(deltas.len());
        let mut late: BTreeMap<EntityId, Verdicts> = BTreeMap::new();
        for mut delta in deltas {
            if delta.tally.is_empty() {
                continue;
            }
            delta.key.start = delta.key.start.floor_to(self.width);
            let WindowKey { dataset, start } = &delta.key;
            if after >= Some(start.plus(self.width).plus(self.grace)) {
                late.entry(dataset.clone()).or_default().add(delta.tally.verdicts);
                continue;
            }
            let windows = self.by_start.entry(*start).or_default();
            let place = windows.get_index_of(dataset);
            let place = place.unwrap_or_else(|| windows.insert_full(dataset.clone(), LiveWindow::default()).0);
            let window = &mut windows[place];
            match window.gathered {
                Some(first) => all[first].delta.tally.absorb(&delta.tally),
                None => {
                    window.gathered = Some(all.len());
                    all.push(Gathered { delta, place });
                }
            }
        }
        (all, late.into_iter().map(|(dataset, verdicts)| LateRecords { dataset, verdicts }).collect())
    }

    /// Windows whose end the watermark passes, but for those that the epoch's records change anyway.
    fn finalise(
        &self,
        before: Option<UnixMillis>,
        after: Option<UnixMillis>,
        changes: &mut Vec<(ComplianceWindow, isize)>,
    ) {
        let first = before.map_or(Unbounded, |before| Excluded(before.plus(-self.width)));
        let passed = |start: &UnixMillis| before < after && after >= Some(start.plus(self.width));
        for (&start, windows) in self.by_start.range((first, Unbounded)).take_while(|(start, _)| passed(start)) {
            for (dataset, window) in windows.iter().filter(|(_, window)| window.gathered.is_none()) {
                let Some(tally) = &window.tally else { continue };
                let key = WindowKey { dataset: dataset.clone(), start };
                changes.push((self.window(key.clone(), Arc::clone(tally), before), -1));
                changes.push((self.window(key, Arc::clone(tally), after), 1));
            }
        }
    }

    fn count_in(
        &mut self,
        gathered: Vec<Gathered>,
        before: Option<UnixMillis>,
        after: Option<UnixMillis>,
        changes: &mut Vec<(ComplianceWindow, isize)>,
    ) {
        for Gathered { delta: ComplianceDelta { key, tally }, place } in gathered {
            let windows = self.by_start.get_mut(&key.start);
            let Some((_, window)) = windows.and_then(|windows| windows.get_index_mut(place)) else { continue };
            window.gathered = None;
            let old = window.tally.take();
            let new = Arc::new(old.as_deref().unwrap_or(&WindowTally::default()).merged(&tally));
            window.tally = Some(Arc::clone(&new));
            if let Some(old) = old {
                changes.push((self.window(key.clone(), old, before), -1));
            }
            changes.push((self.window(key, new, after), 1));
        }
    }
}
