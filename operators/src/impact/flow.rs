//! How one run carries failing data on.

use std::sync::Arc;

use faultline_contracts::{
    ids::EntityId,
    lineage::{Run, RunState},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

/// When a node holds failing data, for those who read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Bad {
    /// From when.
    pub since: UnixMillis,
    /// Runs that start at this time or later read it clean: set for the root of a resolved incident alone.
    pub until: Option<UnixMillis>,
}

/// What matters of a run that has written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct RunFlow {
    pub started_at: UnixMillis,
    wrote_at: UnixMillis,
    /// Whether it writes all the time, and not once at `wrote_at`.
    continuous: bool,
    pub inputs: Arc<[EntityId]>,
    /// Its outputs and its job.
    pub targets: Arc<[EntityId]>,
}

impl RunFlow {
    /// `None` for a run that has written nothing.
    pub fn of(run: &Run) -> Option<Self> {
        Some(Self {
            started_at: run.started_at,
            wrote_at: run.wrote_at?,
            // A run that has written and is not complete is one of a streaming job.
            continuous: run.state != RunState::Complete,
            inputs: run.inputs.iter().cloned().collect(),
            targets: run.outputs.iter().chain([&run.job]).cloned().collect(),
        })
    }

    /// When what the run writes is bad, if it reads a node that is.
    pub fn hit_by(&self, bad: Bad) -> Option<UnixMillis> {
        let read = bad.until.is_none_or(|until| self.started_at < until) && self.wrote_at >= bad.since;
        read.then(|| if self.continuous { bad.since.max(self.started_at) } else { self.wrote_at })
    }

    /// When its targets held what it wrote.
    pub fn written_at(&self) -> UnixMillis {
        if self.continuous { self.started_at } else { self.wrote_at }
    }
}
