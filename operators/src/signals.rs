//! Signals and breaches: what each dataset's windows say about its objective.
//!
//! Keyed by dataset and hand-written, because what a window said first, and when, is state that no collection carries:
//! a breach is known from the tick in which it was beyond doubt. What follows from the windows' verdicts is a pure
//! function of them ([`fold`]), so every answer is one that a recomputation would give.

mod dataset;
mod fold;
mod options;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Excluded, Unbounded},
};

use differential_dataflow::{AsCollection, VecCollection};
use faultline_contracts::{
    ids::EntityId, incident::Breach, policy::DatasetPolicy, signal::Signal, time::UnixMillis, window::ComplianceWindow,
};
use timely::dataflow::{
    StreamVec,
    channels::pact::{Exchange, Pipeline},
    operators::{
        Capability,
        generic::{OutputBuilder, builder_rc::OperatorBuilder},
    },
};

use self::dataset::{DatasetRow, DatasetState, EpochChanges, Told};
pub use self::{
    fold::{Frozen, JudgedWindow, Outcome, fold},
    options::SignalOptions,
    verdict::{Verdict, wilson_lower_bound},
};
use crate::{
    compliance::{Closed, route},
    state::{Cutting, Section, StateChunk, StatePorts, Stateful},
};

/// What a worker remembers for signals: what bounds its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct SignalCensus {
    /// The worker's index.
    pub worker: usize,
    /// Datasets with a policy or a window.
    pub datasets: usize,
    /// Windows alive.
    pub windows: usize,
    /// Datasets that something is to be told about at a later epoch.
    pub waiting: usize,
}

/// The outputs of [`signals`].
pub struct Signals<'s> {
    /// The signal of each dataset that has a policy and a window.
    pub signals: VecCollection<'s, u64, Signal>,
    /// Ongoing breaches, and resolved ones for a while. Those of datasets that are only observed are among them.
    pub breaches: VecCollection<'s, u64, Breach>,
    /// What each worker remembers, when it has changed.
    pub census: StreamVec<'s, u64, SignalCensus>,
}

/// Judges windows by their dataset's objective.
///
/// `windows` has at most one version of each window at any time; one that leaves without a successor is retired, and
/// what followed from it stays. A dataset without a policy, or with [`faultline_contracts::policy::Rollout::Off`], has no
/// signal, and once it has a policy is judged by the windows alive then.
///
/// `watermark` is that of [`crate::compliance::ComplianceWindows`]: when input ends, its last epoch says on every worker
/// how far time has gone.
///
/// An epoch in which state is restored brings the windows that were alive and the policies, and nothing else. A policy
/// that is another than at the cut counts from this epoch on, as if it had come last of all that the cut's epoch brought.
///
/// State changes, final windows and their corrections are told in the epoch in which they come; where only the numbers
/// of a breach change, every [`SignalOptions::refresh_ms`] and when input ends.
pub fn signals<'s>(
    windows: VecCollection<'s, u64, ComplianceWindow>,
    policies: VecCollection<'s, u64, DatasetPolicy>,
    watermark: StreamVec<'s, u64, UnixMillis>,
    options: &SignalOptions,
    state: &StatePorts<'s>,
) -> Signals<'s> {
    let scope = windows.inner.scope();
    let mut builder = OperatorBuilder::new("Signals".to_owned(), scope);
    let by_dataset = Exchange::new(|(window, _, _): &(ComplianceWindow, u64, isize)| route(&window.key.dataset));
    let mut windows = builder.new_input(windows.inner, by_dataset);
    let by_dataset = Exchange::new(|(policy, _, _): &(DatasetPolicy, u64, isize)| route(&policy.dataset));
    let mut policies = builder.new_input(policies.inner, by_dataset);
    let mut watermark = builder.new_input(watermark, Pipeline);
    let mut cuts = builder.new_input(state.cuts(), Pipeline);
    let mut restored = builder.new_input(state.restored(Section::Signals), Pipeline);
    let (signals_out, signals) = builder.new_output::<Vec<_>>();
    let (breaches_out, breaches) = builder.new_output::<Vec<_>>();
    let (census_out, census) = builder.new_output::<Vec<_>>();
    let (state_out, leaving) = builder.new_output::<Vec<_>>();
    let mut signals_out = OutputBuilder::from(signals_out);
    let mut breaches_out = OutputBuilder::from(breaches_out);
    let mut census_out = OutputBuilder::from(census_out);
    let mut state_out = OutputBuilder::from(state_out);
    let again = scope.activator_for(builder.operator_info().address);

    let mut cutting = Cutting::default();
    let mut judge = Judge::new(options, scope.index());
    builder.build(move |capabilities| {
        let mut capabilities = <[Capability<u64>; 4]>::try_from(capabilities).ok();
        move |frontiers| {
            windows.for_each(|_, data| {
                for (window, epoch, diff) in data.drain(..) {
                    let datasets = &mut judge.pending.entry(epoch).or_default().datasets;
                    datasets.entry(window.key.dataset.clone()).or_default().windows.push((window, diff));
                }
            });
            policies.for_each(|_, data| {
                for (policy, epoch, diff) in data.drain(..) {
                    let datasets = &mut judge.pending.entry(epoch).or_default().datasets;
                    datasets.entry(policy.dataset.clone()).or_default().policies.push((policy, diff));
                }
            });
            watermark.for_each(|capability, _| {
                judge.last_epoch = judge.last_epoch.max(capability.least().copied().unwrap_or(0));
            });
            cuts.for_each(|capability, _| {
                if let Some(&epoch) = capability.least() {
                    cutting.at(epoch);
                }
            });
            restored.for_each(|capability, chunks| {
                if let Some(&epoch) = capability.least() {
                    judge.pending.entry(epoch).or_default().restored.append(chunks);
                }
            });
            let closed = Closed::on(frontiers);
            let Some([of_signals, of_breaches, of_census, of_state]) = &mut capabilities else { return };
            let leave = cutting.leave(closed);
            judge.close(leave.act, |epoch, actions| {
                let Actions { told: Told { signals, breaches }, census, unreadable } = actions;
                if !signals.is_empty() {
                    let updates = signals.into_iter().map(|(signal, diff)| (signal, epoch, diff));
                    signals_out.activate().session(&of_signals.delayed(&epoch)).give_iterator(updates);
                }
                if !breaches.is_empty() {
                    let updates = breaches.into_iter().map(|(breach, diff)| (breach, epoch, diff));
                    breaches_out.activate().session(&of_breaches.delayed(&epoch)).give_iterator(updates);
                }
                if let Some(census) = census {
                    census_out.activate().session(&of_census.delayed(&epoch)).give(census);
                }
                if let Some(unreadable) = unreadable {
                    state_out.activate().session(&of_state.delayed(&epoch)).give(unreadable);
                }
            });
            let mut reached = closed;
            if let Some(cut) = cutting.pending().filter(|_| leave.cut) {
                let (chunk, done) = cutting.slice(Section::Signals, &judge);
                state_out.activate().session(&of_state.delayed(&cut)).give(chunk);
                // There may be more to be cut, or more epochs closed meanwhile.
                again.activate();
                if !done {
                    return;
                }
                reached = leave.act;
            }
            match reached {
                Closed::Before(open) => {
                    for capability in [of_signals, of_breaches, of_census, of_state] {
                        capability.downgrade(&open);
                    }
                }
                Closed::All => capabilities = None,
            }
        }
    });
    state.leaves(leaving);
    Signals { signals: signals.as_collection(), breaches: breaches.as_collection(), census }
}

/// What is sent at one epoch.
#[derive(Default)]
struct Actions {
    told: Told,
    census: Option<SignalCensus>,
    unreadable: Option<StateChunk>,
}

#[derive(Default)]
struct EpochInput {
    restored: Vec<StateChunk>,
    datasets: BTreeMap<EntityId, EpochChanges>,
}

/// One worker's part of the operator: its datasets, and the epochs at which they have something to say.
struct Judge {
    options: SignalOptions,
    pending: BTreeMap<u64, EpochInput>,
    datasets: BTreeMap<EntityId, DatasetState>,
    wakes: BTreeSet<(u64, EntityId)>,
    /// Those whose state has just been taken in.
    resumed: BTreeSet<EntityId>,
    windows: usize,
    /// The last epoch that the watermark has been told of.
    last_epoch: u64,
    census: SignalCensus,
}

impl Judge {
    fn new(options: &SignalOptions, worker: usize) -> Self {
        Self {
            options: *options,
            pending: BTreeMap::new(),
            datasets: BTreeMap::new(),
            wakes: BTreeSet::new(),
            resumed: BTreeSet::new(),
            windows: 0,
            last_epoch: 0,
            census: SignalCensus { worker, ..SignalCensus::default() },
        }
    }

    /// Acts at every closed epoch that has input or at which a dataset is due.
    fn close(&mut self, closed: Closed, mut send: impl FnMut(u64, Actions)) {
        loop {
            let input = self.pending.first_key_value().map(|(&epoch, _)| epoch);
            let wake = self.wakes.first().map(|(epoch, _)| *epoch);
            // Time ends with the last input; what is left to refresh then is told below.
            let wake = wake.filter(|&wake| closed != Closed::All || wake <= self.last_epoch);
            let Some(epoch) = [input, wake].into_iter().flatten().min().filter(|&epoch| closed.contains(epoch)) else {
                break;
            };
            let EpochInput { restored, datasets: mut changes } = self.pending.remove(&epoch).unwrap_or_default();
            let mut actions = Actions { unreadable: self.take_in(restored, epoch), ..Actions::default() };
            for dataset in std::mem::take(&mut self.resumed) {
                changes.entry(dataset).or_default();
            }
            while let Some((_, dataset)) = self.wakes.first().filter(|(wake, _)| *wake <= epoch).cloned() {
                self.wakes.pop_first();
                changes.entry(dataset).or_default();
            }
            self.act(epoch, changes, &mut actions);
            send(epoch, actions);
        }
        if closed == Closed::All {
            let due = self.datasets.iter().filter_map(|(dataset, state)| Some((state.refresh_at()?, dataset.clone())));
            let due: BTreeSet<_> = due.collect();
            for (epoch, dataset) in due {
                let mut actions = Actions::default();
                self.act(epoch, BTreeMap::from([(dataset, EpochChanges::default())]), &mut actions);
                send(epoch, actions);
            }
        }
    }

    fn act(&mut self, epoch: u64, changes: BTreeMap<EntityId, EpochChanges>, actions: &mut Actions) {
        for (dataset, changes) in changes {
            let state = self.datasets.entry(dataset.clone()).or_default();
            let (wake, windows) = (state.wake_at(), state.live_windows());
            let Told { signals, breaches } = state.update(epoch, changes, &self.options);
            actions.told.signals.extend(signals);
            actions.told.breaches.extend(breaches);
            if let Some(wake) = wake {
                self.wakes.remove(&(wake, dataset.clone()));
            }
            if let Some(wake) = state.wake_at() {
                self.wakes.insert((wake, dataset.clone()));
            }
            self.windows = self.windows + state.live_windows() - windows;
            if state.is_empty() {
                self.datasets.remove(&dataset);
            }
        }
        let census = SignalCensus {
            worker: self.census.worker,
            datasets: self.datasets.len(),
            windows: self.windows,
            waiting: self.wakes.len(),
        };
        actions.census = (census != self.census).then_some(census);
        self.census = census;
    }
}

impl Stateful for Judge {
    type Row = (EntityId, DatasetRow);
    type Cursor = EntityId;

    fn cut(&self, after: Option<EntityId>, chunk: &mut StateChunk) -> Option<EntityId> {
        for (dataset, state) in self.datasets.range((after.map_or(Unbounded, Excluded), Unbounded)) {
            chunk.push(route(dataset), &(dataset, state.row()));
            if chunk.is_full() {
                return Some(dataset.clone());
            }
        }
        None
    }

    fn restore(&mut self, (dataset, row): Self::Row, _: u64) {
        let state = DatasetState::from(row);
        self.windows += state.live_windows();
        self.datasets.insert(dataset.clone(), state);
        self.resumed.insert(dataset);
    }
}
