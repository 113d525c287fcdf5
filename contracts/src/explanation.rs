//! Explanations: ranked causes of an incident, each claim with what proves it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{EntityId, EvidenceId, IncidentId},
    time::UnixMillis,
};

/// What kind of thing is blamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HypothesisKind {
    /// A deployment of a service: `deployment:<service>:<version>`.
    Deployment,
    /// A dataset upstream whose own breach began earlier: its URN.
    UpstreamDataset,
    /// A run of a job: `run:<runId>`.
    JobRun,
    /// Another version of the contract: `dc:<id>:<version>`.
    ContractChange,
    /// Another version of the schema: `glue:<name>:<version>`.
    SchemaChange,
}

/// By which layer of correlation the cause was found, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Layer {
    /// Failing records' trace ids lead to spans that name service and version.
    RuntimeTrace,
    /// `x-obs-dag-run-id` or lineage leads to the run that made the records.
    BatchRun,
    /// Ownership, lineage and time.
    Lineage,
}

/// A likelihood in thousandths, so that it is exact, ordered and the same on any machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Score(pub u16);

/// How sure a hypothesis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Band {
    /// At least 0.80.
    High,
    /// At least 0.50.
    Medium,
    /// Less.
    Low,
}

impl Score {
    /// As a share of 1.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// The band it lies in.
    #[must_use]
    pub fn band(self) -> Band {
        match self.0 {
            800.. => Band::High,
            500.. => Band::Medium,
            _ => Band::Low,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.as_f64())
    }
}

impl fmt::Debug for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.as_f64())
    }
}

/// One sentence and what proves it: at least one piece of evidence or one edge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The sentence.
    pub text: String,
    /// Evidence.
    pub evidence_ids: Vec<EvidenceId>,
    /// Edges of the graph, by [`crate::graph::edge_id`].
    pub edge_ids: Vec<EntityId>,
}

/// One possible cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hypothesis {
    /// What kind of thing is blamed.
    pub kind: HypothesisKind,
    /// Which.
    pub subject: EntityId,
    /// How likely.
    pub score: Score,
    /// How it was found.
    pub layer: Layer,
    /// When the blamed thing happened.
    pub at: UnixMillis,
    /// Why.
    pub claims: Vec<Claim>,
    /// What to do about it: `Roll back orders-svc to v3.16`.
    pub action: Option<String>,
    /// The incident upstream that this one is a consequence of.
    pub parent: Option<IncidentId>,
}

/// Why an incident happened, as far as evidence goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Explanation {
    /// The incident.
    pub incident: IncidentId,
    /// Possible causes, likeliest first. Empty means: unknown.
    pub hypotheses: Vec<Hypothesis>,
    /// What to do, from the first hypothesis.
    pub recommended_action: Option<String>,
    /// The evidence in sentences.
    pub evidence_summary: Vec<Claim>,
    /// What was looked for and not found.
    pub unknowns: Vec<String>,
}
