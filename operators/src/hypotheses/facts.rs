//! What is known of one incident: the facts that the joins bring together.

use std::sync::Arc;

use faultline_contracts::{
    explanation::HypothesisKind,
    ids::{EntityId, IncidentId},
    incident::Breach,
    lineage::{Run, RunState},
    policy::DatasetPolicy,
    signal::SignalKind,
    time::UnixMillis,
    trace::TraceId,
};
use serde::{Deserialize, Serialize};

use crate::{correlation::DeploymentCandidate, deployments::DeploymentInForce};

/// Another version of a dataset's contract or schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CatalogChange {
    /// The dataset.
    pub dataset: EntityId,
    /// When it came into force.
    pub at: UnixMillis,
    /// The contract or schema, with its version: `dc:orders.created:3`, `glue:orders.created:17`.
    pub now: EntityId,
    /// What it replaced; `None` where there was none.
    pub before: Option<EntityId>,
    /// Which of the two it is.
    pub kind: CatalogChangeKind,
}

/// What a catalog change is a version of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CatalogChangeKind {
    /// The contract.
    Contract,
    /// The schema.
    Schema,
}

impl CatalogChangeKind {
    pub(super) fn hypothesis(self) -> HypothesisKind {
        match self {
            Self::Contract => HypothesisKind::ContractChange,
            Self::Schema => HypothesisKind::SchemaChange,
        }
    }
}

/// A run, less what explanations do not need.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct RunFact {
    pub started_at: UnixMillis,
    pub id: Arc<str>,
    pub job: EntityId,
    pub state: RunState,
    pub updated_at: UnixMillis,
    pub wrote_at: Option<UnixMillis>,
    pub dag_run_id: Option<Arc<str>>,
    pub error: Option<Arc<str>>,
}

impl RunFact {
    pub fn of(run: &Run) -> Self {
        Self {
            started_at: run.started_at,
            id: Arc::clone(&run.id),
            job: run.job.clone(),
            state: run.state,
            updated_at: run.updated_at,
            wrote_at: run.wrote_at,
            dag_run_id: run.dag_run_id.clone(),
            error: run.error.clone(),
        }
    }

    pub fn failed(&self) -> bool {
        matches!(self.state, RunState::Fail | RunState::Abort)
    }

    /// Its vertex in the graph: `run:<runId>`.
    pub fn vertex(&self) -> EntityId {
        format!("run:{}", self.id).into()
    }
}

/// The breach of another dataset, upstream along lineage, that began earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct UpstreamBreach {
    pub first_failure: UnixMillis,
    pub incident: IncidentId,
    pub dataset: EntityId,
    pub kind: SignalKind,
    /// The edges of the shortest way from it to this dataset, this dataset's end first.
    pub path: Vec<EntityId>,
}

/// One fact about an incident. A fact that several joins find is one fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Fact {
    Breach(Breach, DatasetPolicy),
    /// A deployment inside the look-back of an owner, of a producer that failing records name, or of a traced service.
    Candidate(DeploymentCandidate),
    /// A deployment of a version that a trace leads to, at any time up to the first failure.
    Traced(DeploymentInForce),
    Span {
        trace_id: TraceId,
        service: Arc<str>,
        version: Option<Arc<str>>,
        topic: Option<Arc<str>>,
    },
    /// A run with a DAG run id that failing records carry.
    DagRun(RunFact),
    /// A run, inside the look-back, that writes the dataset.
    Writer(RunFact),
    Upstream(UpstreamBreach),
    Catalog(CatalogChange),
    /// A job writes the dataset, says lineage.
    WrittenBy(EntityId),
    /// Something reads the dataset, says lineage.
    Read,
}
