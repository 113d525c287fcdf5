//! The events of one run, folded. Every part of the fold is a minimum, a maximum or a union, so that the order of
//! events and their repetition do not matter.

use std::{collections::BTreeSet, sync::Arc};

use faultline_contracts::{
    ids::EntityId,
    lineage::{LineageEvent, Run, RunObservation, RunState},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

use super::ledger::Recency;

/// A text or id with the time at which it was said: the latest counts, and among equals the greatest.
type Said<T> = Option<(UnixMillis, T)>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunFold {
    started_at: UnixMillis,
    updated_at: UnixMillis,
    ended: Said<RunState>,
    under_way: Said<RunState>,
    running_at: Option<UnixMillis>,
    streaming: bool,
    inputs: BTreeSet<EntityId>,
    outputs: BTreeSet<EntityId>,
    dag_run_id: Said<Arc<str>>,
    parent_job: Said<EntityId>,
    error: Said<Arc<str>>,
}

impl Recency for RunFold {
    fn recency(&self) -> UnixMillis {
        self.updated_at
    }
}

fn say<T: Ord + Clone>(said: &mut Said<T>, at: UnixMillis, now: Option<&T>) {
    if let Some(now) = now.map(|value| (at, value.clone())) {
        *said = said.take().max(Some(now));
    }
}

/// Adds `more` and keeps the `bound` smallest; returns how many were let go.
fn unite(set: &mut BTreeSet<EntityId>, more: &[EntityId], bound: usize) -> u64 {
    set.extend(more.iter().cloned());
    let mut dropped = 0;
    while set.len() > bound {
        set.pop_last();
        dropped += 1;
    }
    dropped
}

impl RunFold {
    pub fn new(at: UnixMillis) -> Self {
        Self {
            started_at: at,
            updated_at: at,
            ended: None,
            under_way: None,
            running_at: None,
            streaming: false,
            inputs: BTreeSet::new(),
            outputs: BTreeSet::new(),
            dag_run_id: None,
            parent_job: None,
            error: None,
        }
    }

    /// Takes in one event. Of more than `max_datasets` inputs or outputs the smallest are kept; returns how many names were let go.
    pub fn fold(&mut self, event: &LineageEvent, seen: &RunObservation, max_datasets: usize) -> u64 {
        let at = event.at;
        self.started_at = self.started_at.min(at);
        self.updated_at = self.updated_at.max(at);
        say(if seen.state.is_terminal() { &mut self.ended } else { &mut self.under_way }, at, Some(&seen.state));
        if seen.state == RunState::Running {
            self.running_at = self.running_at.max(Some(at));
        }
        self.streaming |= seen.streaming;
        say(&mut self.dag_run_id, at, seen.dag_run_id.as_ref());
        say(&mut self.parent_job, at, seen.parent_job.as_ref());
        say(&mut self.error, at, seen.error.as_ref());
        unite(&mut self.inputs, &event.inputs, max_datasets) + unite(&mut self.outputs, &event.outputs, max_datasets)
    }

    pub fn updated_at(&self) -> UnixMillis {
        self.updated_at
    }

    pub fn inputs(&self) -> &BTreeSet<EntityId> {
        &self.inputs
    }

    pub fn outputs(&self) -> &BTreeSet<EntityId> {
        &self.outputs
    }

    /// The run as it is now.
    pub fn run(&self, id: &Arc<str>, job: &EntityId) -> Run {
        let state = self.ended.or(self.under_way).map_or(RunState::Other, |(_, state)| state);
        let wrote_at = match (state, self.ended) {
            (RunState::Complete, Some((at, _))) => Some(at),
            _ => self.running_at.filter(|_| self.streaming),
        };
        Run {
            id: id.clone(),
            job: job.clone(),
            state,
            started_at: self.started_at,
            updated_at: self.updated_at,
            wrote_at,
            inputs: self.inputs.iter().cloned().collect(),
            outputs: self.outputs.iter().cloned().collect(),
            dag_run_id: self.dag_run_id.as_ref().map(|(_, id)| id.clone()),
            parent_job: self.parent_job.as_ref().map(|(_, job)| job.clone()),
            error: self.error.as_ref().filter(|_| state != RunState::Complete).map(|(_, text)| text.clone()),
        }
    }
}
