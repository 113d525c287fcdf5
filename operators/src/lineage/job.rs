//! What is remembered of one job: its recent runs, its design, its edges and its column lineage, all bounded.

use std::{collections::BTreeSet, sync::Arc};

use faultline_contracts::{
    ids::EntityId,
    lineage::{ColumnLineage, FlowEdge, FlowKind, LineageEvent, Run, RunObservation},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

use super::{
    DropReason, LineageOptions,
    ledger::{Ledger, Recency},
    run::RunFold,
};

/// An edge of the job: the dataset at its other end, and whether the job reads or writes it.
type Flow = (FlowKind, EntityId);

/// What was seen of an edge. One that only a replaced design named is kept, unseen from outside, until it is too old:
/// so `since` does not depend on the order in which designs arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    since: UnixMillis,
    last: UnixMillis,
    by_run: bool,
    designed: bool,
}

impl Recency for Seen {
    fn recency(&self) -> UnixMillis {
        // A design is a standing statement: what it names does not age.
        if self.designed { UnixMillis(i64::MAX) } else { self.last }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LastSeen(UnixMillis);

impl Recency for LastSeen {
    fn recency(&self) -> UnixMillis {
        self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Design {
    at: UnixMillis,
    flows: BTreeSet<Flow>,
}

/// One difference in what is told of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Run(Run, isize),
    Edge(FlowEdge, isize),
    Column(ColumnLineage, isize),
}

/// A job.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct JobState {
    newest: Option<UnixMillis>,
    runs: Ledger<Arc<str>, RunFold>,
    design: Option<Design>,
    edges: Ledger<Flow, Seen>,
    columns: Ledger<ColumnLineage, LastSeen>,
}

impl JobState {
    /// The latest event, as far as it is credible.
    pub fn newest(&self) -> Option<UnixMillis> {
        self.newest
    }

    /// Takes in one event. `latest` is the latest credible event time: what claims to be later does not age the rest.
    pub fn apply(
        &mut self,
        event: &LineageEvent,
        latest: UnixMillis,
        options: &LineageOptions,
        dropped: &mut impl FnMut(DropReason, u64),
    ) {
        if event.at <= latest {
            self.newest = self.newest.max(Some(event.at));
        }
        for column in &event.columns {
            self.columns.update(column, |old| LastSeen(old.map_or(event.at, |LastSeen(at)| at.max(event.at))));
        }
        match &event.run {
            Some(seen) => self.apply_run(event, seen, options, dropped),
            None => self.apply_design(event),
        }
    }

    fn apply_run(
        &mut self,
        event: &LineageEvent,
        seen: &RunObservation,
        options: &LineageOptions,
        dropped: &mut impl FnMut(DropReason, u64),
    ) {
        self.runs.update(&seen.id, |run| {
            let mut run = run.unwrap_or_else(|| RunFold::new(event.at));
            dropped(DropReason::RunDataset, run.fold(event, seen, options.max_edges_per_job));
            run
        });
        for flow in flows(&event.inputs, &event.outputs) {
            self.see(&flow, event.at, |edge| edge.by_run = true);
        }
        // Events of a run need not repeat what it reads and writes: each says that all of it is in use.
        if let Some(run) = self.runs.get(&seen.id) {
            let (at, inputs) = (run.updated_at(), run.inputs().iter().map(|id| (FlowKind::Feeds, id.clone())));
            for flow in inputs.chain(run.outputs().iter().map(|id| (FlowKind::Writes, id.clone()))) {
                self.edges.amend(&flow, |edge| edge.last = edge.last.max(at));
            }
        }
    }

    fn apply_design(&mut self, event: &LineageEvent) {
        let stated = Design { at: event.at, flows: flows(&event.inputs, &event.outputs).collect() };
        for flow in &stated.flows {
            self.see(flow, event.at, |_| ());
        }
        if self.design.as_ref().is_some_and(|standing| *standing >= stated) {
            return;
        }
        for flow in self.design.iter().flat_map(|replaced| &replaced.flows) {
            self.edges.amend(flow, |edge| edge.designed = false);
        }
        for flow in &stated.flows {
            self.edges.amend(flow, |edge| edge.designed = true);
        }
        self.design = Some(stated);
    }

    fn see(&mut self, flow: &Flow, at: UnixMillis, mark: impl FnOnce(&mut Seen)) {
        self.edges.update(flow, |old| {
            let mut edge = old.unwrap_or(Seen { since: at, last: at, by_run: false, designed: false });
            edge.since = edge.since.min(at);
            edge.last = edge.last.max(at);
            mark(&mut edge);
            edge
        });
    }

    /// Forgets what is too old or too much.
    pub fn enforce(&mut self, options: &LineageOptions, dropped: &mut impl FnMut(DropReason, u64)) {
        if let Some(newest) = self.newest {
            let horizon = newest.plus(options.edge_retention_ms.max(0).saturating_neg());
            dropped(DropReason::Edge, self.edges.retire_before(horizon));
            dropped(DropReason::Column, self.columns.retire_before(horizon));
        }
        dropped(DropReason::Run, self.runs.shrink_to(options.runs_per_job));
        dropped(DropReason::Edge, self.edges.shrink_to(options.max_edges_per_job));
        dropped(DropReason::Column, self.columns.shrink_to(options.max_columns_per_job));
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.runs.shrink_to(0);
        self.edges.shrink_to(0);
        self.columns.shrink_to(0);
    }

    /// All that is told of the job now.
    pub fn told(&self, job: &EntityId) -> Vec<Change> {
        let runs = self.runs.iter().map(|(id, fold)| Change::Run(fold.run(id, job), 1));
        let edges = self.edges.iter().filter_map(|(flow, seen)| Some(Change::Edge(edge(job, flow, seen)?, 1)));
        let columns = self.columns.iter().map(|(column, _)| Change::Column(column.clone(), 1));
        runs.chain(edges).chain(columns).collect()
    }

    /// What changed since the last call, in canonical order.
    pub fn changes(&mut self, job: &EntityId) -> Vec<Change> {
        let mut changes = Vec::new();
        for (id, old, new) in self.runs.changes().filter(|(_, old, new)| old != new) {
            let [old, new] = [old, new].map(|fold| fold.map(|fold| fold.run(&id, job)));
            push(&mut changes, old, new, Change::Run);
        }
        for (flow, old, new) in self.edges.changes() {
            let [old, new] = [old, new].map(|seen| seen.and_then(|seen| edge(job, &flow, &seen)));
            push(&mut changes, old, new, Change::Edge);
        }
        for (column, old, new) in self.columns.changes() {
            push(&mut changes, old.map(|_| column.clone()), new.map(|_| column.clone()), Change::Column);
        }
        changes
    }
}

fn flows<'a>(inputs: &'a [EntityId], outputs: &'a [EntityId]) -> impl Iterator<Item = Flow> + 'a {
    let inputs = inputs.iter().map(|id| (FlowKind::Feeds, id.clone()));
    inputs.chain(outputs.iter().map(|id| (FlowKind::Writes, id.clone())))
}

fn edge(job: &EntityId, (kind, dataset): &Flow, seen: &Seen) -> Option<FlowEdge> {
    let (from, to) = if *kind == FlowKind::Feeds { (dataset, job) } else { (job, dataset) };
    (seen.by_run || seen.designed).then(|| FlowEdge {
        from: from.clone(),
        to: to.clone(),
        kind: *kind,
        since: seen.since,
    })
}

fn push<T: PartialEq>(changes: &mut Vec<Change>, old: Option<T>, new: Option<T>, change: fn(T, isize) -> Change) {
    if old != new {
        changes.extend(old.map(|old| change(old, -1)));
        changes.extend(new.map(|new| change(new, 1)));
    }
}
