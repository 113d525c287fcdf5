//! What data flows through and into: the vertices of the lineage graph.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::EntityId;

/// What a vertex of the lineage graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AssetKind {
    /// A dataset of the catalog: a topic under contract.
    Dataset,
    /// A job, task or DAG.
    Job,
    /// A table, file set or any dataset that lineage events name and the catalog does not.
    Table,
    /// A dashboard.
    Dashboard,
    /// A report.
    Report,
    /// A machine-learning model.
    Model,
    /// A service.
    Service,
}

impl AssetKind {
    /// The name in the catalog and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dataset => "DATASET",
            Self::Job => "JOB",
            Self::Table => "TABLE",
            Self::Dashboard => "DASHBOARD",
            Self::Report => "REPORT",
            Self::Model => "MODEL",
            Self::Service => "SERVICE",
        }
    }
}

/// What is known of a vertex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Asset {
    /// Its id.
    pub id: EntityId,
    /// What it is.
    pub kind: AssetKind,
    /// What people call it.
    pub name: Arc<str>,
    /// 1 revenue-critical … 4; `None` where nobody said.
    pub tier: Option<u8>,
    /// The team or person that answers for it.
    pub owner: Option<Arc<str>>,
}
