//! Lineage events to runs and edges.
//!
//! ```text
//!  events ─► by job ─► closed epochs, sorted ─► fold ─┬─► runs
//!                                                     ├─► edges ─► with what the catalog declares
//!                                                     ├─► columns
//!                                                     └─► dropped, by reason
//! ```
//!
//! - The events of a run merge: inputs and outputs are united, the latest terminal state stays. So an event without
//!   datasets, as most terminal events are, erases nothing.
//! - A JobEvent replaces what the job reads and writes by design; the latest one counts, and stands until the next.
//! - The edges of a job are those of its runs and of its design. An edge is in use while a run that has it reports.
//!   `since` is the earliest event that named it.
//!
//! All of that is minima, maxima and unions: the result is a function of the set of events, whatever their order,
//! repetition and distribution over epochs. Only an event that comes later than a bound had room for can tell: what
//! was let go is not brought back. Everything let go is counted.

mod job;
mod ledger;
mod run;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Excluded, Unbounded},
};

use differential_dataflow::{AsCollection, VecCollection};
use faultline_contracts::{
    ids::EntityId,
    lineage::{ColumnLineage, FlowEdge, LineageEvent, Run},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};
use timely::dataflow::{StreamVec, operators::vec::Map};
use xxhash_rust::xxh3::xxh3_64;

use job::{Change, JobState};

use crate::state::{Section, StateChunk, StatePorts, Stateful, by_closed_epoch};

/// Jobs are bounded in this many groups, and a group lives on one worker: so which jobs a bound lets go does not depend
/// on the number of workers.
const GROUPS: u64 = 64;

/// How much is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageOptions {
    /// The most recent runs of a job that are kept, by last event.
    pub runs_per_job: usize,
    /// An edge (or column) that nothing has named for this long before the job's latest event is retired, in ms.
    pub edge_retention_ms: i64,
    /// Edges of a job; also inputs, and outputs, of one run. The least recently seen edges go first.
    pub max_edges_per_job: usize,
    /// Column pairs of a job.
    pub max_columns_per_job: usize,
    /// Jobs, kept in 64 groups of equal size; the least recently seen go first.
    pub max_jobs: usize,
    /// An event whose time is further than this ahead of its epoch, in ms, does not age what else is known of its job.
    pub max_ahead_ms: i64,
}

impl Default for LineageOptions {
    fn default() -> Self {
        Self {
            runs_per_job: 64,
            edge_retention_ms: 30 * 86_400_000,
            max_edges_per_job: 10_000,
            max_columns_per_job: 10_000,
            max_jobs: 100_000,
            max_ahead_ms: 3_600_000,
        }
    }
}

/// Why something is no longer remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DropReason {
    /// A run beyond `runs_per_job`.
    Run,
    /// An edge not seen for `edge_retention_ms`, or beyond `max_edges_per_job`.
    Edge,
    /// A column pair, likewise.
    Column,
    /// An input or output of a run beyond `max_edges_per_job`.
    RunDataset,
    /// A job beyond `max_jobs`.
    Job,
}

impl DropReason {
    /// The name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Edge => "edge",
            Self::Column => "column",
            Self::RunDataset => "run_dataset",
            Self::Job => "job",
        }
    }
}

/// What lineage events come to.
pub struct Lineage<'s> {
    /// The remembered runs.
    pub runs: VecCollection<'s, u64, Run>,
    /// The edges, one row for each (from, to, kind).
    pub edges: VecCollection<'s, u64, FlowEdge>,
    /// Which column comes from which.
    pub columns: VecCollection<'s, u64, ColumnLineage>,
    /// How many things were let go in an epoch, by reason.
    pub dropped: StreamVec<'s, u64, (DropReason, u64)>,
}

#[derive(Debug, Clone)]
enum Output {
    Change(Change),
    Dropped(DropReason, u64),
}

/// Folds lineage events to runs, edges and column lineage; see the module's page for the rules.
pub fn lineage<'s>(
    events: StreamVec<'s, u64, LineageEvent>,
    options: LineageOptions,
    state: &StatePorts<'s>,
) -> Lineage<'s> {
    let outputs = by_closed_epoch(
        events,
        state,
        Section::Lineage,
        |event| group(&event.job),
        Groups::default(),
        |groups, epoch, out| out.extend(groups.told().map(|change| (Output::Change(change), epoch))),
        move |groups, epoch, events, out| {
            out.extend(close(&mut groups.0, &events, epoch, &options).into_iter().map(|row| (row, epoch)));
        },
    );
    let runs = outputs.clone().flat_map(|(row, time)| match row {
        Output::Change(Change::Run(run, diff)) => Some((run, time, diff)),
        _ => None,
    });
    let edges = outputs.clone().flat_map(|(row, time)| match row {
        Output::Change(Change::Edge(edge, diff)) => Some((edge, time, diff)),
        _ => None,
    });
    let columns = outputs.clone().flat_map(|(row, time)| match row {
        Output::Change(Change::Column(column, diff)) => Some((column, time, diff)),
        _ => None,
    });
    let dropped = outputs.flat_map(|(row, _)| match row {
        Output::Dropped(reason, count) => Some((reason, count)),
        Output::Change(_) => None,
    });
    Lineage {
        runs: runs.as_collection(),
        edges: edges.as_collection(),
        // Two jobs may derive the same column from the same source.
        columns: columns.as_collection().distinct(),
        dropped,
    }
}

/// Adds what the catalog declares: one row for each (from, to, kind), with the earliest `since`.
pub fn with_declared<'s>(
    edges: VecCollection<'s, u64, FlowEdge>,
    declared: VecCollection<'s, u64, FlowEdge>,
) -> VecCollection<'s, u64, FlowEdge> {
    edges
        .concat(declared)
        .map(|FlowEdge { from, to, kind, since }| ((from, to, kind), since))
        .reduce_named("EarliestEdge", |_, since, earliest| {
            earliest.extend(since.first().map(|(since, _)| (**since, 1_isize)));
        })
        .map(|((from, to, kind), since)| FlowEdge { from, to, kind, since })
}

fn group(job: &EntityId) -> u64 {
    xxh3_64(job.as_str().as_bytes()) % GROUPS
}

/// The jobs of one group, and their order of age.
#[derive(Default)]
struct Group {
    jobs: BTreeMap<EntityId, JobState>,
    oldest: BTreeSet<(Option<UnixMillis>, EntityId)>,
}

/// The groups that live on one worker.
#[derive(Default)]
struct Groups(BTreeMap<u64, Group>);

impl Groups {
    /// All that is told of all jobs now, as if nothing had been told.
    fn told(&self) -> impl Iterator<Item = Change> {
        self.0.values().flat_map(|group| &group.jobs).flat_map(|(job, state)| state.told(job))
    }
}

impl Stateful for Groups {
    type Row = (EntityId, JobState);
    type Cursor = (u64, EntityId);

    fn cut(&self, after: Option<Self::Cursor>, chunk: &mut StateChunk) -> Option<Self::Cursor> {
        let first = after.as_ref().map_or(0, |(group, _)| *group);
        let mut after = after.map(|(_, job)| job);
        for (&number, group) in self.0.range(first..) {
            for (job, state) in group.jobs.range((after.take().map_or(Unbounded, Excluded), Unbounded)) {
                chunk.push(number, &(job, state));
                if chunk.is_full() {
                    return Some((number, job.clone()));
                }
            }
        }
        None
    }

    fn restore(&mut self, (job, state): Self::Row, _: u64) {
        let Group { jobs, oldest } = self.0.entry(group(&job)).or_default();
        oldest.insert((state.newest(), job.clone()));
        jobs.insert(job, state);
    }
}

/// Applies the sorted events of one epoch.
fn close(
    groups: &mut BTreeMap<u64, Group>,
    events: &[LineageEvent],
    epoch: u64,
    options: &LineageOptions,
) -> Vec<Output> {
    let latest = UnixMillis(i64::try_from(epoch).unwrap_or(i64::MAX)).plus(options.max_ahead_ms);
    let mut dropped = BTreeMap::<DropReason, u64>::new();
    let mut count = |reason, n| *dropped.entry(reason).or_default() += n;
    let mut outputs = Vec::new();
    let mut touched = BTreeSet::new();
    for events in events.chunk_by(|a, b| a.job == b.job) {
        let job = &events[0].job;
        touched.insert(group(job));
        let Group { jobs, oldest } = groups.entry(group(job)).or_default();
        let state = jobs.entry(job.clone()).or_default();
        oldest.remove(&(state.newest(), job.clone()));
        for event in events {
            state.apply(event, latest, options, &mut count);
        }
        state.enforce(options, &mut count);
        oldest.insert((state.newest(), job.clone()));
        outputs.extend(state.changes(job).into_iter().map(Output::Change));
    }
    let bound = options.max_jobs.div_ceil(GROUPS as usize);
    for group in touched {
        let Some(Group { jobs, oldest }) = groups.get_mut(&group) else { continue };
        while jobs.len() > bound {
            let Some((_, job)) = oldest.pop_first() else { break };
            let Some(mut state) = jobs.remove(&job) else { continue };
            state.clear();
            outputs.extend(state.changes(&job).into_iter().map(Output::Change));
            count(DropReason::Job, 1);
        }
    }
    outputs.extend(dropped.into_iter().filter(|(_, n)| *n > 0).map(|(reason, n)| Output::Dropped(reason, n)));
    outputs
}
