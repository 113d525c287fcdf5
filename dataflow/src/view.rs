//! What the dataflow maintains, as each process keeps it for answers: maps by natural key, changed at closed epochs only.
//!
//! All maintained collections arrive as one stream of [`Change`]s. When an epoch closes its changes are applied under one
//! write lock, so that whoever reads sees all collections at the same epoch, and goes out to watchers as one
//! [`EpochChanges`]. A question costs a look-up here and nothing in the dataflow.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, RwLock, RwLockReadGuard},
};

use faultline_contracts::{
    asset::Asset,
    explanation::Explanation,
    graph::{Edge, Vertex},
    ids::{EntityId, IncidentId},
    incident::{Breach, Incident},
    lineage::{FlowEdge, Run},
    record::TopicPartition,
    signal::{Signal, SignalKind},
    time::UnixMillis,
    window::{ComplianceWindow, WindowKey},
};
use faultline_operators::{
    adjacency::AdjacencyIndex,
    blast_radius::{QueryKey, ReachRow},
    compliance::LateRecords,
    deployments::DeploymentInForce,
    impact::ImpactRow,
    watermark::PartitionProgress,
};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// One row of one maintained collection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Change {
    /// A compliance window.
    Window(ComplianceWindow),
    /// A signal.
    Signal(Signal),
    /// A breach, for the samples of its failures.
    Breach(Breach),
    /// An incident.
    Incident(Incident),
    /// An explanation.
    Explanation(Explanation),
    /// What is known of a vertex of the lineage graph.
    Asset(Asset),
    /// A lineage edge.
    Flow(FlowEdge),
    /// A run.
    Run(Run),
    /// A deployment.
    Deployment(DeploymentInForce),
    /// A node in the blast radius of a standing query.
    Reach(ReachRow),
    /// A standing query that is over its budget of nodes.
    Truncated(QueryKey),
    /// What a breach has done to a node.
    Impact(ImpactRow),
    /// A vertex of the outgoing graph.
    Vertex(Vertex),
    /// An edge of the outgoing graph.
    Edge(Edge),
    /// How far a partition is; never retracted.
    Progress(PartitionProgress),
    /// The watermark; never retracted.
    Watermark(UnixMillis),
    /// Records too late for their window; never retracted.
    Late(LateRecords),
    /// How many windows a worker holds; never retracted.
    LiveWindows {
        /// The worker.
        worker: usize,
        /// Its windows.
        live: usize,
    },
    /// Facts that a bounded operator dropped; never retracted.
    Dropped(String, u64),
}

/// All changes of one closed epoch: what left (−1) before what came (+1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochChanges {
    /// The epoch.
    pub epoch: u64,
    /// Consolidated, sorted.
    pub changes: Vec<(Change, isize)>,
}

/// The maintained state at one epoch.
#[derive(Debug, Default)]
pub struct View {
    /// The last closed epoch.
    pub epoch: u64,
    /// The event-time watermark.
    pub watermark: Option<UnixMillis>,
    /// The last offset included, per partition.
    pub offsets: BTreeMap<TopicPartition, i64>,
    /// Live windows.
    pub windows: BTreeMap<WindowKey, ComplianceWindow>,
    /// Signals.
    pub signals: BTreeMap<(EntityId, SignalKind), Signal>,
    /// Breaches.
    pub breaches: BTreeMap<IncidentId, Breach>,
    /// Incidents.
    pub incidents: BTreeMap<IncidentId, Incident>,
    /// Explanations.
    pub explanations: BTreeMap<IncidentId, Explanation>,
    /// Vertices of the lineage graph; looked up by the thousand for one blast radius.
    pub assets: FxHashMap<EntityId, Asset>,
    /// Runs by job.
    pub runs: BTreeMap<EntityId, BTreeMap<Arc<str>, Run>>,
    /// Deployments by service and time.
    pub deployments: BTreeSet<(Arc<str>, UnixMillis, DeploymentInForce)>,
    /// Lineage, to search.
    pub adjacency: AdjacencyIndex,
    /// Blast radii of standing queries.
    pub reach: BTreeMap<QueryKey, BTreeMap<EntityId, ReachRow>>,
    /// Standing queries over their budget.
    pub truncated: BTreeSet<QueryKey>,
    /// What breaches have done to nodes.
    pub impacts: BTreeMap<QueryKey, BTreeMap<EntityId, ImpactRow>>,
    /// Vertices of the outgoing graph.
    pub vertices: BTreeMap<EntityId, Vertex>,
    /// Edges of the outgoing graph.
    pub edges: BTreeMap<EntityId, Edge>,
    /// How many windows each worker holds.
    pub live_windows: BTreeMap<usize, usize>,
    /// Records too late for their window.
    pub late_records: u64,
    /// Facts dropped by bounded operators, by what.
    pub dropped: BTreeMap<String, u64>,
}

/// Inserts a row, or removes it where it is still the one that leaves.
fn set<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, row: V, came: bool) {
    if came {
        map.insert(key, row);
    } else if map.get(&key) == Some(&row) {
        map.remove(&key);
    }
}

fn set_in<G: Ord + Clone, K: Ord, V: PartialEq>(
    map: &mut BTreeMap<G, BTreeMap<K, V>>,
    group: G,
    key: K,
    row: V,
    came: bool,
) {
    let rows = map.entry(group.clone()).or_default();
    set(rows, key, row, came);
    if rows.is_empty() {
        map.remove(&group);
    }
}

impl View {
    /// Applies an epoch's changes, departures first.
    pub fn apply(&mut self, epoch: &EpochChanges) {
        self.epoch = self.epoch.max(epoch.epoch);
        for &(ref change, diff) in
            epoch.changes.iter().filter(|(_, diff)| *diff < 0).chain(epoch.changes.iter().filter(|(_, diff)| *diff > 0))
        {
            self.apply_one(change.clone(), diff);
        }
    }

    fn apply_one(&mut self, change: Change, diff: isize) {
        let came = diff > 0;
        match change {
            Change::Window(row) => set(&mut self.windows, row.key.clone(), row, came),
            Change::Signal(row) => set(&mut self.signals, (row.dataset.clone(), row.kind), row, came),
            Change::Breach(row) => set(&mut self.breaches, row.id, row, came),
            Change::Incident(row) => set(&mut self.incidents, row.id, row, came),
            Change::Explanation(row) => set(&mut self.explanations, row.incident, row, came),
            Change::Asset(row) if came => {
                self.assets.insert(row.id.clone(), row);
            }
            Change::Asset(row) => {
                if self.assets.get(&row.id) == Some(&row) {
                    self.assets.remove(&row.id);
                }
            }
            Change::Flow(row) => self.adjacency.apply(&row, diff),
            Change::Run(row) => set_in(&mut self.runs, row.job.clone(), Arc::clone(&row.id), row, came),
            Change::Deployment(row) => {
                let key = (Arc::clone(&row.deployment.service), row.deployment.at, row);
                if came {
                    self.deployments.insert(key);
                } else {
                    self.deployments.remove(&key);
                }
            }
            Change::Reach(row) => set_in(&mut self.reach, row.query, row.node.clone(), row, came),
            Change::Truncated(query) if came => {
                self.truncated.insert(query);
            }
            Change::Truncated(query) => {
                self.truncated.remove(&query);
            }
            Change::Impact(row) => set_in(&mut self.impacts, row.query, row.node.clone(), row, came),
            Change::Vertex(row) => set(&mut self.vertices, row.id.clone(), row, came),
            Change::Edge(row) => set(&mut self.edges, row.id(), row, came),
            Change::Progress(row) => {
                let offset = self.offsets.entry(row.partition).or_insert(row.offset);
                *offset = row.offset.max(*offset);
            }
            Change::Watermark(at) => self.watermark = self.watermark.max(Some(at)),
            Change::LiveWindows { worker, live } => {
                self.live_windows.insert(worker, live);
            }
            // Equal ones of two workers arrive as one row, twice.
            Change::Late(late) => self.late_records += late.verdicts.records() * diff.unsigned_abs() as u64,
            Change::Dropped(what, count) => {
                *self.dropped.entry(what).or_default() += count * diff.unsigned_abs() as u64;
            }
        }
    }
}

/// The view of a process: written by one worker, read by anyone.
#[derive(Debug)]
pub struct SharedView {
    view: RwLock<View>,
    closed: tokio::sync::watch::Sender<u64>,
    changes: tokio::sync::broadcast::Sender<Arc<EpochChanges>>,
}

impl SharedView {
    /// An empty view. `backlog` is how many changed epochs a watcher may fall behind before it has to start anew.
    #[must_use]
    pub fn new(backlog: usize) -> Arc<Self> {
        Arc::new(Self {
            view: RwLock::default(),
            closed: tokio::sync::watch::Sender::new(0),
            changes: tokio::sync::broadcast::Sender::new(backlog.max(1)),
        })
    }

    /// The view as it is; writers wait while it is held.
    pub fn read(&self) -> RwLockReadGuard<'_, View> {
        // A writer that panicked left whole rows behind: every row is replaced at once.
        self.view.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Applies an epoch's changes and tells watchers.
    pub fn publish(&self, epoch: impl Into<Arc<EpochChanges>>) {
        let epoch = epoch.into();
        let closed = epoch.epoch;
        self.view.write().unwrap_or_else(std::sync::PoisonError::into_inner).apply(&epoch);
        // No watcher is no error.
        let _ = self.changes.send(epoch);
        self.closed.send_replace(closed);
    }

    /// Notes that epochs up to `epoch` are closed and brought no change.
    pub fn close(&self, epoch: u64) {
        self.view.write().unwrap_or_else(std::sync::PoisonError::into_inner).epoch = epoch;
        self.closed.send_replace(epoch);
    }

    /// The last closed epoch, to wait on.
    #[must_use]
    pub fn closed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.closed.subscribe()
    }

    /// Changes from now on. Subscribe first, then read the view, and skip changes up to the view's epoch.
    #[must_use]
    pub fn subscribe(&self) -> tokio::sync::broadcast::Receiver<Arc<EpochChanges>> {
        self.changes.subscribe()
    }
}
