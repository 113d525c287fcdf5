//! The graph that leaves Faultline: vertices and edges for Neptune, any Gremlin server, or SQLite.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ids::EntityId, reason::Signature, signal::SignalKind, time::UnixMillis};

/// What an edge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EdgeLabel {
    /// Deployment (or other change) → failure signature.
    Introduced,
    /// Failure signature → signal; upstream signal → downstream signal.
    Caused,
    /// Signal → incident.
    Triggered,
    /// Producer → dataset.
    Owns,
    /// Dataset or table → job.
    Feeds,
    /// Job → dataset or table.
    Writes,
    /// Dataset or table → dashboard, report, model.
    ConsumedBy,
}

impl EdgeLabel {
    /// The label in the graph.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Introduced => "INTRODUCED",
            Self::Caused => "CAUSED",
            Self::Triggered => "TRIGGERED",
            Self::Owns => "OWNS",
            Self::Feeds => "FEEDS",
            Self::Writes => "WRITES",
            Self::ConsumedBy => "CONSUMED_BY",
        }
    }
}

/// The id of an edge, a function of its ends and label: `<from>-[LABEL]-><to>`.
#[must_use]
pub fn edge_id(from: &EntityId, label: EdgeLabel, to: &EntityId) -> EntityId {
    format!("{from}-[{}]->{to}", label.as_str()).into()
}

/// The vertex of a dataset's failure signature: `signature:<dataset>:<signature>`.
#[must_use]
pub fn signature_vertex(dataset: &EntityId, signature: &Signature) -> EntityId {
    format!("signature:{dataset}:{signature}").into()
}

/// The vertex of a dataset's signal: `signal:<dataset>:<kind>`.
#[must_use]
pub fn signal_vertex(dataset: &EntityId, kind: SignalKind) -> EntityId {
    format!("signal:{dataset}:{kind}").into()
}

/// A vertex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vertex {
    /// Its natural id.
    pub id: EntityId,
    /// `Dataset`, `Job`, `Table`, `Dashboard`, `Report`, `Model`, `Service`, `Producer`, `Deployment`,
    /// `FailureSignature`, `Signal`, `Incident`.
    pub label: Arc<str>,
    /// Properties, sorted by name.
    pub properties: Vec<(Arc<str>, Arc<str>)>,
}

/// An edge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// From the vertex …
    pub from: EntityId,
    /// … in this sense …
    pub label: EdgeLabel,
    /// … to the vertex.
    pub to: EntityId,
    /// Since when it holds.
    pub since: UnixMillis,
    /// For causal edges: how sure, in thousandths.
    pub confidence: Option<u16>,
}

impl Edge {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> EntityId {
        edge_id(&self.from, self.label, &self.to)
    }
}
