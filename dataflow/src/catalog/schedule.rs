//! When a new catalog comes into force: at one epoch, on all workers.
//!
//! ```text
//! worker 0  ──┬ 100 ──┬ 120 ──────────┬ 160 ───      highest epoch that any worker has opened: 140
//! worker 1  ──┬ 100 ──────────┬ 140 ────────── ...    so the switch is at 141: who opens 160 takes it first,
//! worker 2  ──────────┬ 120 ──────────────────        whenever that is
//! ```
//! A worker says which epoch it opens before it takes a record of it, and the epoch of a switch is later than any that was
//! opened, both under one lock. So records of an earlier epoch are judged by the catalog before, those of a later by the
//! one after, and an epoch by one of them, whatever the workers.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use faultline_contracts::{catalog::Catalog, time::UnixMillis};

use super::{CatalogInForce, CatalogRowChanges};

/// A change of catalogs.
#[derive(Debug)]
pub struct Switch {
    /// The first epoch of the new one.
    pub epoch: u64,
    /// The new one.
    pub catalog: Arc<Catalog>,
    rows: Mutex<Option<CatalogRowChanges>>,
}

impl Switch {
    /// What it changes in the dataflow's collections: for the one worker that sends it, once.
    #[must_use]
    pub fn take_rows(&self) -> Option<CatalogRowChanges> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The switches that workers of a process have not all taken.
#[derive(Debug)]
pub struct Schedule {
    state: Mutex<State>,
    /// How many switches there have been; read by workers without the lock.
    scheduled: AtomicU64,
    in_force: Arc<CatalogInForce>,
}

#[derive(Debug)]
struct State {
    /// The highest epoch that any worker has opened, or that of the start.
    highest: u64,
    /// By epoch.
    pending: VecDeque<Arc<Switch>>,
    /// How many switches came before the first that is pending.
    done: u64,
    /// How many switches each worker has taken.
    taken: Vec<u64>,
}

impl Schedule {
    /// No switches yet. `start` is the epoch of the start: workers may take a while to open their first, and what changes
    /// meanwhile does so now and not at the beginning of time. `in_force` is told of each switch that all of so many
    /// workers have taken.
    #[must_use]
    pub fn new(workers: usize, start: u64, in_force: Arc<CatalogInForce>) -> Self {
        let state = State { highest: start, pending: VecDeque::new(), done: 0, taken: vec![0; workers] };
        Self { state: Mutex::new(state), scheduled: AtomicU64::new(0), in_force }
    }

    /// Has a catalog come into force at the first epoch after the start that no worker has opened, and says which. `rows`
    /// says for that epoch what changes in the dataflow's collections.
    pub fn switch(&self, catalog: Arc<Catalog>, rows: impl FnOnce(u64) -> CatalogRowChanges) -> u64 {
        let mut state = self.state();
        let epoch = state.highest + 1;
        let rows = Mutex::new(Some(rows(epoch)));
        state.pending.push_back(Arc::new(Switch { epoch, catalog, rows }));
        self.scheduled.fetch_add(1, Ordering::Release);
        epoch
    }

    /// Whether a worker that has taken so many switches has another to take: time to open an epoch.
    #[must_use]
    pub fn waits_for(&self, taken: u64) -> bool {
        self.scheduled.load(Ordering::Acquire) > taken
    }

    /// A worker opens an epoch, before it takes a record of it, and is given the switches that it takes now, in order.
    #[must_use]
    pub fn open(&self, worker: usize, epoch: u64) -> Vec<Arc<Switch>> {
        let mut state = self.state();
        state.highest = state.highest.max(epoch);
        let taken = state.taken.get(worker).copied().unwrap_or(0).saturating_sub(state.done) as usize;
        let due: Vec<_> =
            state.pending.iter().skip(taken).take_while(|switch| switch.epoch <= epoch).cloned().collect();
        if let Some(count) = state.taken.get_mut(worker) {
            *count += due.len() as u64;
        }
        let all = state.taken.iter().copied().min().unwrap_or(0);
        while state.done < all
            && let Some(switch) = state.pending.pop_front()
        {
            state.done += 1;
            let since = UnixMillis(i64::try_from(switch.epoch).unwrap_or(i64::MAX));
            self.in_force.switched(Arc::clone(&switch.catalog), since);
        }
        due
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use faultline_contracts::catalog::CatalogFiles;
    use proptest::prelude::*;

    use super::*;

    fn catalog(n: usize) -> Arc<Catalog> {
        let text = format!("# {n}");
        Arc::new(Catalog::from_files(&CatalogFiles::of("c", [("catalog.yaml", text)])).catalog)
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// A worker goes so many milliseconds past the latest epoch of all, or past its own.
        Open {
            worker: usize,
            by: u64,
            past_all: bool,
        },
        Switch,
    }

    fn steps() -> impl Strategy<Value = (usize, u64, Vec<Step>)> {
        let open = (0_usize..8, 1_u64..50, any::<bool>());
        let step = prop_oneof![
            4 => open.prop_map(|(worker, by, past_all)| Step::Open { worker, by, past_all }),
            1 => Just(Step::Switch)
        ];
        (1_usize..5, 0_u64..200, prop::collection::vec(step, 1..80))
    }

    proptest! {
        /// Whoever is ahead or behind: an epoch is judged by one catalog, and a later one by none before it.
        #[test]
        fn every_epoch_has_one_catalog((workers, start, steps) in steps()) {
            let in_force = CatalogInForce::fixed(catalog(0));
            let schedule = Schedule::new(workers, start, Arc::clone(&in_force));
            let mut versions = vec![catalog(0).version()];
            let mut epochs = vec![0_u64; workers];
            let mut catalogs = vec![0_usize; workers];
            let mut taken = vec![0_u64; workers];
            let mut judged = std::collections::BTreeMap::<u64, usize>::new();
            for step in steps {
                match step {
                    Step::Switch => {
                        let next = catalog(versions.len());
                        versions.push(next.version());
                        let epoch = schedule.switch(next, |_| CatalogRowChanges::default());
                        prop_assert!(epochs.iter().all(|&open| open < epoch), "nobody has opened {epoch}");
                        prop_assert!(epoch > start, "{epoch} is before the start");
                    }
                    Step::Open { worker, by, past_all } => {
                        let worker = worker % workers;
                        let base = if past_all { epochs.iter().copied().max().unwrap_or(0) } else { epochs[worker] };
                        epochs[worker] = base + by;
                        for switch in schedule.open(worker, epochs[worker]) {
                            taken[worker] += 1;
                            let version = switch.catalog.version();
                            let index = versions.iter().position(|known| *known == version).unwrap();
                            prop_assert_eq!(index, catalogs[worker] + 1, "in order");
                            catalogs[worker] = index;
                        }
                        // The worker judges a record.
                        let by = *judged.entry(epochs[worker]).or_insert(catalogs[worker]);
                        prop_assert_eq!(by, catalogs[worker], "epoch {}", epochs[worker]);
                    }
                }
                let all = catalogs.iter().copied().min().unwrap();
                prop_assert_eq!(in_force.read().catalog.version(), versions[all], "told once all have it");
            }
            let order: Vec<_> = judged.into_values().collect();
            prop_assert!(order.is_sorted());
            for (worker, open) in epochs.iter_mut().enumerate() {
                *open += 1_000_000;
                taken[worker] += schedule.open(worker, *open).len() as u64;
                prop_assert!(!schedule.waits_for(taken[worker]));
            }
            prop_assert_eq!(in_force.read().catalog.version(), *versions.last().unwrap());
        }
    }

    #[test]
    fn rows_are_given_once() {
        let schedule = Schedule::new(2, 0, CatalogInForce::fixed(catalog(0)));
        assert_eq!(schedule.open(1, 140).len(), 0);
        let epoch = schedule.switch(catalog(1), |epoch| {
            assert_eq!(epoch, 141);
            CatalogRowChanges::default()
        });
        assert!(schedule.waits_for(0) && !schedule.waits_for(1));
        assert!(schedule.open(0, 140).is_empty(), "140 is before {epoch}");
        let taken = schedule.open(0, 160);
        assert!(taken[0].take_rows().is_some() && taken[0].take_rows().is_none());
        assert!(schedule.open(0, 180).is_empty() && schedule.open(1, 180).len() == 1);
    }
}
