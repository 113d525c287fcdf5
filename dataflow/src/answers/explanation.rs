//! Explanations, with the blast radius of their incident.

use faultline_contracts::{explanation::Hypothesis, ids::IncidentId};
use faultline_proto::v1;

use super::{
    Refusal, as_of,
    blast_radius::{self, Bounds},
    incident_id, rows,
};
use crate::view::View;

/// The most nodes of the blast radius in an explanation; `GetBlastRadius` has them all.
pub const NODES: usize = 1_000;

/// Which explanation, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The incident.
    pub incident: IncidentId,
    /// The most hypotheses.
    pub top_k: usize,
}

impl Asked {
    /// Reads a request. 0 hypotheses are all that are kept.
    ///
    /// # Errors
    /// The id is none.
    pub fn read(incident: &str, top_k: u32) -> Result<Self, Refusal> {
        let top_k = if top_k == 0 { usize::MAX } else { top_k as usize };
        Ok(Self { incident: incident_id("incident_id", incident)?, top_k })
    }
}

/// The explanation of an incident; `None` where there is no such incident.
#[must_use]
pub fn explain(view: &View, bounds: Bounds, asked: Asked) -> Option<v1::Explanation> {
    let incident = view.incidents.get(&asked.incident)?;
    let explanation = view.explanations.get(&asked.incident);
    let hypotheses = explanation.map_or(&[] as &[Hypothesis], |explanation| &explanation.hypotheses);
    let unknowns = match explanation {
        Some(explanation) => explanation.unknowns.clone(),
        None => vec!["No cause has been looked for yet.".to_owned()],
    };
    Some(v1::Explanation {
        incident: Some(rows::incident(incident)),
        hypotheses: hypotheses.iter().take(asked.top_k).map(rows::hypothesis).collect(),
        blast_radius: Some(blast_radius::of_incident(view, incident, bounds).message(NODES)),
        recommended_action: explanation.and_then(|found| found.recommended_action.clone()).unwrap_or_default(),
        evidence_summary: explanation
            .map_or_else(Vec::new, |found| found.evidence_summary.iter().map(rows::claim).collect()),
        unknowns,
        as_of: Some(as_of(view)),
    })
}

/// The explanation that is asked for.
///
/// # Errors
/// The id is none, or there is no such incident.
pub fn get(view: &View, bounds: Bounds, request: &v1::ExplainIncidentRequest) -> Result<v1::Explanation, Refusal> {
    let asked = Asked::read(&request.incident_id, request.top_k)?;
    explain(view, bounds, asked).ok_or_else(|| Refusal::not_found("incident", &request.incident_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::fixture;

    #[test]
    fn an_explanation_carries_cause_reach_and_proof() {
        let view = fixture::view();
        let incident_id = fixture::orders().to_string();
        let request = v1::ExplainIncidentRequest { incident_id, top_k: 1, min_as_of: None };
        let answer = get(&view, Bounds::default(), &request).unwrap();
        assert_eq!(answer.hypotheses.len(), 1, "of two");
        let cause = &answer.hypotheses[0];
        assert_eq!((cause.subject.as_str(), cause.score), ("deployment:orders-svc:v3.17", 0.93));
        assert_eq!(cause.confidence(), v1::hypothesis::Confidence::High);
        assert!(!cause.claims[0].evidence_ids.is_empty());
        let reach = answer.blast_radius.unwrap();
        assert_eq!((reach.total, reach.root.unwrap().id.as_str()), (4, fixture::ORDERS));
        assert_eq!(answer.recommended_action, "Roll back orders-svc to v3.16");
    }

    #[test]
    fn an_incident_without_an_explanation_says_so() {
        let view = fixture::view();
        let asked = Asked { incident: fixture::payments(), top_k: 5 };
        let answer = explain(&view, Bounds::default(), asked).unwrap();
        assert!(answer.hypotheses.is_empty() && answer.unknowns.len() == 1);
        assert!(Asked::read("INC-", 0).is_err());
    }
}
