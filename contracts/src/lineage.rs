//! Lineage: which run of which job read what and wrote what.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ids::EntityId, time::UnixMillis};

/// OpenLineage's run states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunState {
    /// Neither started nor ended as far as is known.
    Other,
    /// Started.
    Start,
    /// Running.
    Running,
    /// Ended well: what it wrote is there.
    Complete,
    /// Ended badly.
    Fail,
    /// Was stopped.
    Abort,
}

impl RunState {
    /// Whether no later state follows.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Fail | Self::Abort)
    }
}

/// A column that a job derives from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnLineage {
    /// The dataset written.
    pub output: EntityId,
    /// Its column.
    pub output_field: Arc<str>,
    /// The dataset read.
    pub input: EntityId,
    /// Its column.
    pub input_field: Arc<str>,
}

/// One lineage event, resolved to graph ids: a RunEvent (`run` is set), or a JobEvent. Every list is bounded by the decoder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LineageEvent {
    /// The job: `job:<namespace>/<name>`.
    pub job: EntityId,
    /// `eventTime`
    pub at: UnixMillis,
    /// The run; `None` for a JobEvent, which states what the job reads and writes by design.
    pub run: Option<RunObservation>,
    /// Datasets read: ids by the catalog's rules.
    pub inputs: Vec<EntityId>,
    /// Datasets written.
    pub outputs: Vec<EntityId>,
    /// Which column came from which, where the event says.
    pub columns: Vec<ColumnLineage>,
}

/// What one RunEvent says of its run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunObservation {
    /// `run.runId`
    pub id: Arc<str>,
    /// `eventType`
    pub state: RunState,
    /// Airflow's `dagRun.run_id`, of this run or of its parent: what `x-obs-dag-run-id` carries.
    pub dag_run_id: Option<Arc<str>>,
    /// The parent run's job, where there is one: the DAG of a task.
    pub parent_job: Option<EntityId>,
    /// Whether the job streams, so that a RUNNING run has already written.
    pub streaming: bool,
    /// The first line of the error message of a failed run, at most 256 bytes.
    pub error: Option<Arc<str>>,
}

/// A run as it is now: all its events folded together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Run {
    /// `run.runId`
    pub id: Arc<str>,
    /// Its job.
    pub job: EntityId,
    /// The latest state; a terminal state stays.
    pub state: RunState,
    /// The earliest event.
    pub started_at: UnixMillis,
    /// The latest event.
    pub updated_at: UnixMillis,
    /// When its output was last written: COMPLETE, or the latest RUNNING of a streaming job.
    pub wrote_at: Option<UnixMillis>,
    /// Datasets read, sorted: the union over its events.
    pub inputs: Vec<EntityId>,
    /// Datasets written, sorted: the union over its events.
    pub outputs: Vec<EntityId>,
    /// Airflow's `dagRun.run_id`.
    pub dag_run_id: Option<Arc<str>>,
    /// The DAG of a task.
    pub parent_job: Option<EntityId>,
    /// Why it failed.
    pub error: Option<Arc<str>>,
}

/// What a lineage edge means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FlowKind {
    /// A dataset or table is read by a job.
    Feeds,
    /// A job writes a dataset or table.
    Writes,
    /// A dataset or table is read by a dashboard, report or model.
    ConsumedBy,
}

/// A lineage edge, in the direction in which data flows. `since` is not part of what tells edges apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowEdge {
    /// Where data comes from.
    pub from: EntityId,
    /// Where it goes.
    pub to: EntityId,
    /// How.
    pub kind: FlowKind,
    /// When it was first seen; 1970 for what the catalog declares.
    pub since: UnixMillis,
}
