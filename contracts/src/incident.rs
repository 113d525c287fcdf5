//! Breaches, and the incidents that people are told of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    evidence::FailureSample,
    graph::signature_vertex,
    ids::{EntityId, EvidenceId, IncidentId},
    reason::Signature,
    signal::SignalKind,
    time::UnixMillis,
    trace::TraceId,
    window::Verdicts,
};

/// One uninterrupted time of a dataset below its objective: from the first window in breach to recovery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Breach {
    /// The incident that it is: a function of dataset, kind and first window.
    pub id: IncidentId,
    /// The dataset.
    pub dataset: EntityId,
    /// The aspect.
    pub kind: SignalKind,
    /// Start of the first window in breach.
    pub first_window: UnixMillis,
    /// When it was beyond doubt.
    pub detected_at: UnixMillis,
    /// While recovering: the end of the first final window that kept the objective again.
    pub recovering_since: Option<UnixMillis>,
    /// When it was over: the end of the window that completed the recovery.
    pub resolved_at: Option<UnixMillis>,
    /// Records of all windows in breach.
    pub verdicts: Verdicts,
    /// The signature with the most failures.
    pub signature: Signature,
    /// How many failures have that signature.
    pub signature_count: u64,
    /// How many failures had that signature in the windows before the breach, as far as they are remembered.
    pub signature_count_before: u64,
    /// Its earliest failures, at most [`crate::window::FailureDigest::SAMPLES`], sorted by id.
    pub earliest: Arc<Vec<FailureSample>>,
    /// Its latest failure.
    pub last_failure: EvidenceId,
}

impl Breach {
    /// The time of the first failure.
    #[must_use]
    pub fn first_failure_at(&self) -> UnixMillis {
        self.earliest.first().map_or(self.first_window, |sample| sample.id.timestamp())
    }
}

/// How urgent an incident is: by the dataset's tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// Tier 1.
    #[serde(rename = "SEV-1")]
    Sev1,
    /// Tier 2.
    #[serde(rename = "SEV-2")]
    Sev2,
    /// Tier 3.
    #[serde(rename = "SEV-3")]
    Sev3,
    /// Tier 4, and no tier.
    #[serde(rename = "SEV-4")]
    Sev4,
}

impl Severity {
    /// The severity of an incident of a dataset of this tier.
    #[must_use]
    pub fn of_tier(tier: u8) -> Self {
        match tier {
            0 | 1 => Self::Sev1,
            2 => Self::Sev2,
            3 => Self::Sev3,
            _ => Self::Sev4,
        }
    }

    /// The name in interfaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sev1 => "SEV-1",
            Self::Sev2 => "SEV-2",
            Self::Sev3 => "SEV-3",
            Self::Sev4 => "SEV-4",
        }
    }
}

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum IncidentStatus {
    /// Nobody has taken it.
    Open,
    /// Somebody has.
    Acknowledged,
    /// Records keep the contract again; recovery is not complete.
    Mitigated,
    /// Over.
    Resolved,
}

impl IncidentStatus {
    /// The name in interfaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Acknowledged => "ACKNOWLEDGED",
            Self::Mitigated => "MITIGATED",
            Self::Resolved => "RESOLVED",
        }
    }
}

/// An incident as it is now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// By tier.
    pub severity: Severity,
    /// `Contract Violation - orders:created`
    pub title: String,
    /// Where it stands.
    pub status: IncidentStatus,
    /// The dataset.
    pub dataset_urn: EntityId,
    /// The signal that triggered it.
    pub signal: SignalKind,
    /// When the breach was beyond doubt.
    pub opened_at: UnixMillis,
    /// When it was over.
    pub resolved_at: Option<UnixMillis>,
    /// The trace of the first failing record that has one.
    pub primary_trace_id: Option<TraceId>,
    /// The signature with the most failures.
    pub failure_signature: Signature,
    /// The first 100 pieces of evidence.
    pub evidence_ids: Vec<EvidenceId>,
    /// How many there are: all failing records of that signature.
    pub evidence_count: u64,
    /// The upstream incident that explains it.
    pub parent_incident_id: Option<IncidentId>,
}

impl Incident {
    /// Its vertex in the graph: `incident:INC-…`.
    #[must_use]
    pub fn vertex(&self) -> EntityId {
        format!("incident:{}", self.id).into()
    }

    /// The vertex of its failure signature: `signature:<dataset>:<signature>`.
    #[must_use]
    pub fn signature_vertex(&self) -> EntityId {
        signature_vertex(&self.dataset_urn, &self.failure_signature)
    }
}
