//! Single rows as messages.

use faultline_contracts::{
    asset::AssetKind,
    evidence::FailureSample,
    explanation::{self, Band, HypothesisKind, Layer},
    ids::{EntityId, EvidenceId},
    impact::Impact,
    incident::{self, IncidentStatus},
    reason::Signature,
    signal::{self, HealthState},
    window::{self, Verdicts, WindowStatus},
};
use faultline_proto::v1;

use super::timestamp;

/// An incident.
#[must_use]
pub fn incident(row: &incident::Incident) -> v1::Incident {
    let incident::Incident {
        id,
        severity,
        title,
        status,
        dataset_urn,
        signal,
        opened_at,
        resolved_at,
        primary_trace_id,
        failure_signature,
        evidence_ids,
        evidence_count,
        parent_incident_id,
    } = row;
    v1::Incident {
        id: id.to_string(),
        severity: severity.as_str().to_owned(),
        title: title.clone(),
        status: incident_status(*status).into(),
        dataset_urn: dataset_urn.to_string(),
        signal: signal.to_string(),
        opened_at: Some(timestamp(*opened_at)),
        resolved_at: resolved_at.map(timestamp),
        primary_trace_id: primary_trace_id.map_or_else(String::new, |id| id.to_string()),
        failure_signature: failure_signature.to_string(),
        evidence_ids: evidence_ids.iter().map(EvidenceId::to_string).collect(),
        evidence_count: *evidence_count,
        parent_incident_id: parent_incident_id.map_or_else(String::new, |id| id.to_string()),
    }
}

fn incident_status(status: IncidentStatus) -> v1::incident::Status {
    match status {
        IncidentStatus::Open => v1::incident::Status::Open,
        IncidentStatus::Acknowledged => v1::incident::Status::Acknowledged,
        IncidentStatus::Mitigated => v1::incident::Status::Mitigated,
        IncidentStatus::Resolved => v1::incident::Status::Resolved,
    }
}

/// A signal.
#[must_use]
pub fn signal(row: &signal::Signal) -> v1::Signal {
    let signal::Signal {
        dataset,
        kind,
        state,
        verdicts: Verdicts { pass, fail, warn },
        window_start,
        window_end,
        breach_start,
        failure_signature,
        first_failure,
        detected_at,
    } = row;
    v1::Signal {
        dataset_urn: dataset.to_string(),
        kind: kind.to_string(),
        state: health_state(*state).into(),
        score: row.score(),
        breach_start: breach_start.map(timestamp),
        failure_signature: failure_signature.as_ref().map_or_else(String::new, Signature::to_string),
        window_start: Some(timestamp(*window_start)),
        window_end: Some(timestamp(*window_end)),
        pass: *pass,
        fail: *fail,
        warn: *warn,
        first_failure: first_failure.map_or_else(String::new, |id| id.to_string()),
        detected_at: detected_at.map(timestamp),
    }
}

fn health_state(state: HealthState) -> v1::signal::State {
    match state {
        HealthState::Ok => v1::signal::State::Ok,
        HealthState::Warning => v1::signal::State::Warning,
        HealthState::Critical => v1::signal::State::Critical,
        HealthState::Unknown => v1::signal::State::Unknown,
    }
}

/// A compliance window.
#[must_use]
pub fn window(row: &window::ComplianceWindow) -> v1::ComplianceWindow {
    let window::ComplianceWindow { key, end, status, tally } = row;
    let Verdicts { pass, fail, warn } = tally.verdicts;
    let status = match status {
        WindowStatus::Provisional => v1::compliance_window::Status::Provisional,
        WindowStatus::Final => v1::compliance_window::Status::Final,
    };
    v1::ComplianceWindow {
        dataset_urn: key.dataset.to_string(),
        window_start: Some(timestamp(key.start)),
        window_end: Some(timestamp(*end)),
        pass,
        fail,
        warn,
        status: status.into(),
        by_signature: tally
            .by_signature
            .iter()
            .map(|(signature, digest)| (signature.to_string(), digest.count))
            .collect(),
        by_producer: tally
            .by_producer
            .iter()
            .map(|(producer, &Verdicts { pass, fail, warn })| (producer.to_string(), v1::Verdicts { pass, fail, warn }))
            .collect(),
    }
}

/// A sample of a failing record. Partition and offset are what the evidence id holds of them: their low 16 and 40 bits.
#[must_use]
pub fn sample(dataset: &EntityId, signature: &Signature, row: &FailureSample) -> v1::EvidenceSample {
    let FailureSample { id, topic, producer, trace_id, dag_run_id } = row;
    v1::EvidenceSample {
        evidence_id: id.to_string(),
        dataset_urn: dataset.to_string(),
        topic: topic.to_string(),
        partition: id.partition(),
        offset: id.offset(),
        event_time: Some(timestamp(id.timestamp())),
        failure_signature: signature.to_string(),
        producer: producer.to_string(),
        trace_id: trace_id.map_or_else(String::new, |id| id.to_string()),
        dag_run_id: dag_run_id.as_deref().unwrap_or_default().to_owned(),
    }
}

/// A claim.
#[must_use]
pub fn claim(row: &explanation::Claim) -> v1::Claim {
    let explanation::Claim { text, evidence_ids, edge_ids } = row;
    v1::Claim {
        text: text.clone(),
        evidence_ids: evidence_ids.iter().map(EvidenceId::to_string).collect(),
        edge_ids: edge_ids.iter().map(EntityId::to_string).collect(),
    }
}

/// A hypothesis.
#[must_use]
pub fn hypothesis(row: &explanation::Hypothesis) -> v1::Hypothesis {
    let explanation::Hypothesis { kind, subject, score, layer, at, claims, action: _, parent: _ } = row;
    let kind = match kind {
        HypothesisKind::Deployment => v1::hypothesis::Kind::Deployment,
        HypothesisKind::UpstreamDataset => v1::hypothesis::Kind::UpstreamDataset,
        HypothesisKind::JobRun => v1::hypothesis::Kind::JobRun,
        HypothesisKind::ContractChange => v1::hypothesis::Kind::ContractChange,
        HypothesisKind::SchemaChange => v1::hypothesis::Kind::SchemaChange,
    };
    let confidence = match score.band() {
        Band::High => v1::hypothesis::Confidence::High,
        Band::Medium => v1::hypothesis::Confidence::Medium,
        Band::Low => v1::hypothesis::Confidence::Low,
    };
    let layer = match layer {
        Layer::RuntimeTrace => v1::hypothesis::Layer::RuntimeTrace,
        Layer::BatchRun => v1::hypothesis::Layer::BatchRun,
        Layer::Lineage => v1::hypothesis::Layer::Lineage,
    };
    v1::Hypothesis {
        kind: kind.into(),
        subject: subject.to_string(),
        score: score.as_f64(),
        confidence: confidence.into(),
        layer: layer.into(),
        at: Some(timestamp(*at)),
        claims: claims.iter().map(claim).collect(),
    }
}

/// What a vertex is.
#[must_use]
pub fn node_kind(kind: AssetKind) -> v1::node::Kind {
    match kind {
        AssetKind::Dataset => v1::node::Kind::Dataset,
        AssetKind::Job => v1::node::Kind::Job,
        AssetKind::Table => v1::node::Kind::Table,
        AssetKind::Dashboard => v1::node::Kind::Dashboard,
        AssetKind::Report => v1::node::Kind::Report,
        AssetKind::Model => v1::node::Kind::Model,
        AssetKind::Service => v1::node::Kind::Service,
    }
}

/// What an incident has done to a node.
#[must_use]
pub fn impact(impact: Impact) -> v1::node::Impact {
    match impact {
        Impact::Impacted => v1::node::Impact::Impacted,
        Impact::AtRisk => v1::node::Impact::AtRisk,
        Impact::Cleared => v1::node::Impact::Cleared,
    }
}
