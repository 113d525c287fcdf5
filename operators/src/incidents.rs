//! Incidents: what people are told of a breach.

use differential_dataflow::VecCollection;
use faultline_contracts::{
    ids::IncidentId,
    incident::{Breach, Incident, IncidentStatus, Severity},
    policy::{DatasetPolicy, Rollout},
};
use serde::{Deserialize, Serialize};

/// What an incident is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Part {
    Breach(Breach, u8),
    Parent(IncidentId),
}

/// The incident of every breach of a dataset whose rollout is [`Rollout::On`]. `parents` are pairs of an incident and
/// the upstream incident that explains it, at most one for each ([`crate::hypotheses::Explanations::parents`]).
pub fn incidents<'s>(
    breaches: VecCollection<'s, u64, Breach>,
    policies: VecCollection<'s, u64, DatasetPolicy>,
    parents: VecCollection<'s, u64, (IncidentId, IncidentId)>,
) -> VecCollection<'s, u64, Incident> {
    let tiers = policies.filter(|policy| policy.rollout == Rollout::On).map(|policy| (policy.dataset, policy.tier));
    breaches
        .map(|breach| (breach.dataset.clone(), breach))
        .join_map(tiers, |_dataset, breach, tier| (breach.id, Part::Breach(breach.clone(), *tier)))
        .concat(parents.map(|(incident, parent)| (incident, Part::Parent(parent))))
        .reduce_named("Incidents", |_id, parts, output| {
            let parent = parts.iter().find_map(|(part, _)| match part {
                Part::Parent(parent) => Some(*parent),
                Part::Breach(..) => None,
            });
            if let Some((Part::Breach(breach, tier), _)) = parts.first() {
                output.push((incident(breach, *tier, parent), 1));
            }
        })
        .map(|(_, incident)| incident)
}

/// A breach as its incident.
#[must_use]
pub fn incident(breach: &Breach, tier: u8, parent: Option<IncidentId>) -> Incident {
    let dataset = breach.dataset.as_str();
    let status = match (breach.resolved_at, breach.recovering_since) {
        (Some(_), _) => IncidentStatus::Resolved,
        (None, Some(_)) => IncidentStatus::Mitigated,
        (None, None) => IncidentStatus::Open,
    };
    Incident {
        id: breach.id,
        severity: Severity::of_tier(tier),
        title: format!("Contract Violation - {}", dataset.strip_prefix("urn:dp:").unwrap_or(dataset)),
        status,
        dataset_urn: breach.dataset.clone(),
        signal: breach.kind,
        opened_at: breach.detected_at,
        resolved_at: breach.resolved_at,
        primary_trace_id: breach.earliest.iter().find_map(|sample| sample.trace_id),
        failure_signature: breach.signature.clone(),
        evidence_ids: breach.earliest.iter().map(|sample| sample.id).collect(),
        evidence_count: breach.signature_count,
        parent_incident_id: parent,
    }
}
