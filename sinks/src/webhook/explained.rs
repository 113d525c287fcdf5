//! What messages say of an incident's explanation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most causes that are kept, and the most reasons for one.
const MOST: (usize, usize) = (3, 5);

/// An explanation, as far as messages need it: read from the JSON that stores hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Explained {
    /// Possible causes, the likeliest first.
    pub hypotheses: Vec<Cause>,
    /// What the incident reaches.
    pub blast_radius: Reach,
    /// What to do. Empty where no cause is known.
    pub recommended_action: String,
    /// What was looked for and not found.
    pub unknowns: Vec<String>,
}

/// A possible cause.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// What kind of thing is blamed: `DEPLOYMENT`, …
    pub kind: String,
    /// Which.
    pub subject: String,
    /// How likely, from 0 to 1.
    pub score: f64,
    /// `HIGH`, `MEDIUM` or `LOW`.
    pub confidence: String,
    /// How it was found.
    pub layer: String,
    /// Why.
    pub claims: Vec<Claim>,
}

/// A sentence and what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Claim {
    /// The sentence.
    pub text: String,
}

/// What an incident reaches, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reach {
    /// How many things.
    pub total: u64,
    /// Whether there may be more.
    pub truncated: bool,
    /// How many of each kind.
    pub counts_by_kind: BTreeMap<String, u64>,
    /// How many of each tier.
    pub counts_by_tier: BTreeMap<String, u64>,
    /// How many the failure has hit (`IMPACTED`), may hit (`AT_RISK`) or has left (`CLEARED`). Of those that the
    /// explanation lists, where it does not list all.
    pub counts_by_impact: BTreeMap<String, u64>,
    #[serde(skip_serializing)]
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct Node {
    impact: String,
}

impl Explained {
    /// Reads an explanation as stores have it: proto3 JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn read(json: &str) -> Result<Self, serde_json::Error> {
        let mut explained: Self = serde_json::from_str(json)?;
        explained.hypotheses.truncate(MOST.0);
        explained.hypotheses.iter_mut().for_each(|cause| cause.claims.truncate(MOST.1));
        let reach = &mut explained.blast_radius;
        for node in std::mem::take(&mut reach.nodes) {
            if ["IMPACTED", "AT_RISK", "CLEARED"].contains(&node.impact.as_str()) {
                *reach.counts_by_impact.entry(node.impact).or_default() += 1;
            }
        }
        Ok(explained)
    }

    /// The likeliest cause.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        self.hypotheses.first()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// Of the orders incident, cut to what is read.
    pub(in crate::webhook) fn explanation() -> serde_json::Value {
        json!({
            "incident": {"id": "INC-00000005", "evidence_count": "1120"},
            "hypotheses": [{
                "kind": "DEPLOYMENT", "subject": "deployment:orders-svc:v3.17", "score": 0.92, "confidence": "HIGH",
                "layer": "LINEAGE", "at": "2023-10-27T09:57:45Z",
                "claims": [
                    {"text": "orders-svc v3.17 was deployed 17 seconds before the first failure.", "evidence_ids": [],
                     "edge_ids": ["producer:orders-svc-[OWNS]->urn:dp:orders:created"]},
                    {"text": "No record failed this way before.", "evidence_ids": ["evd-0"], "edge_ids": []},
                ],
            }, {
                "kind": "JOB_RUN", "subject": "run:7", "score": 0.2, "confidence": "LOW", "layer": "BATCH_RUN", "claims": [],
            }],
            "blast_radius": {
                "root": {"id": "urn:dp:orders:created", "kind": "DATASET", "impact": "IMPACTED"},
                "nodes": [
                    {"id": "job:a/b", "kind": "JOB", "impact": "IMPACTED", "hops": 1},
                    {"id": "t", "kind": "TABLE", "impact": "AT_RISK", "tier": 1, "hops": 2},
                    {"id": "dashboard:d", "kind": "DASHBOARD", "impact": "AT_RISK", "tier": 1, "hops": 3},
                ],
                "counts_by_kind": {"JOB": 1, "TABLE": 1, "DASHBOARD": 1}, "counts_by_tier": {"1": 2, "unknown": 1},
                "total": 3, "truncated": false,
            },
            "recommended_action": "Roll back orders-svc to v3.16.",
            "evidence_summary": [], "unknowns": ["No spans were seen."],
        })
    }

    #[test]
    fn causes_reach_and_action_are_read() {
        let read = Explained::read(&explanation().to_string()).unwrap();
        let cause = read.cause().unwrap();
        assert_eq!((cause.subject.as_str(), cause.score, cause.claims.len()), ("deployment:orders-svc:v3.17", 0.92, 2));
        assert_eq!(read.blast_radius.total, 3);
        assert_eq!(read.blast_radius.counts_by_impact, [("AT_RISK".to_owned(), 2), ("IMPACTED".to_owned(), 1)].into());
        assert_eq!(read.recommended_action, "Roll back orders-svc to v3.16.");
        let empty = Explained::read("{}").unwrap();
        assert!(empty.cause().is_none() && Explained::read("[1").is_err());
    }
}
