//! One incident's facts in order, and the claims that every layer makes of them.

use std::{collections::BTreeSet, sync::Arc};

use faultline_contracts::{
    evidence::{FailureSample, UNKNOWN_PRODUCER},
    explanation::Claim,
    graph::{EdgeLabel, edge_id, signature_vertex},
    ids::{EntityId, EvidenceId},
    incident::Breach,
    policy::DatasetPolicy,
    time::UnixMillis,
    trace::TraceId,
};

use super::{
    ExplanationOptions,
    facts::{CatalogChange, Fact, RunFact, UpstreamBreach},
    score::Share,
};
use crate::{correlation::DeploymentCandidate, deployments::DeploymentInForce};

/// How many pieces of evidence a claim or edges a claim cites at most.
pub(super) const CITED: usize = 10;

/// A span, less its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SpanFact<'a> {
    pub trace_id: TraceId,
    pub service: &'a Arc<str>,
    pub version: Option<&'a Arc<str>>,
    pub topic: Option<&'a str>,
}

/// All that is known of one incident.
pub(super) struct Case<'a> {
    pub options: ExplanationOptions,
    pub breach: &'a Breach,
    pub policy: &'a DatasetPolicy,
    pub candidates: Vec<&'a DeploymentCandidate>,
    pub traced: Vec<&'a DeploymentInForce>,
    pub spans: Vec<SpanFact<'a>>,
    pub dag_runs: Vec<&'a RunFact>,
    pub writers: Vec<&'a RunFact>,
    pub upstream: Vec<&'a UpstreamBreach>,
    pub catalog: Vec<&'a CatalogChange>,
    pub written_by: BTreeSet<&'a EntityId>,
    pub read: bool,
}

impl<'a> Case<'a> {
    /// The case that the facts of one incident make, or `None` while its breach is not among them.
    pub fn of(facts: impl Iterator<Item = &'a Fact> + Clone, options: ExplanationOptions) -> Option<Self> {
        let (breach, policy) = facts.clone().find_map(|fact| match fact {
            Fact::Breach(breach, policy) => Some((breach, policy)),
            _ => None,
        })?;
        let mut case = Self {
            options,
            breach,
            policy,
            candidates: Vec::new(),
            traced: Vec::new(),
            spans: Vec::new(),
            dag_runs: Vec::new(),
            writers: Vec::new(),
            upstream: Vec::new(),
            catalog: Vec::new(),
            written_by: BTreeSet::new(),
            read: false,
        };
        for fact in facts {
            match fact {
                Fact::Breach(..) => {}
                Fact::Candidate(candidate) => case.candidates.push(candidate),
                Fact::Traced(deployment) => case.traced.push(deployment),
                Fact::Span { trace_id, service, version, topic } => case.spans.push(SpanFact {
                    trace_id: *trace_id,
                    service,
                    version: version.as_ref(),
                    topic: topic.as_deref(),
                }),
                Fact::DagRun(run) => case.dag_runs.push(run),
                Fact::Writer(run) => case.writers.push(run),
                Fact::Upstream(breach) => case.upstream.push(breach),
                Fact::Catalog(change) => case.catalog.push(change),
                Fact::WrittenBy(job) => {
                    case.written_by.insert(job);
                }
                Fact::Read => case.read = true,
            }
        }
        Some(case)
    }

    pub fn first_failure(&self) -> UnixMillis {
        self.breach.first_failure_at()
    }

    /// From `change` to the first failure; negative when the change is later.
    pub fn before_failure(&self, change: UnixMillis) -> i64 {
        self.first_failure().since(change)
    }

    pub fn samples(&self) -> &'a [FailureSample] {
        &self.breach.earliest
    }

    /// The failures with the breach's signature, out of all.
    pub fn explained(&self) -> Share {
        Share { part: self.breach.signature_count, total: self.breach.verdicts.fail }
    }

    /// The failures with the breach's signature that lie before it, out of those in it.
    pub fn recurrence(&self) -> Share {
        Share { part: self.breach.signature_count_before, total: self.breach.signature_count }
    }

    /// Whether the sample's header names a producer at all.
    pub fn names_producer(sample: &FailureSample) -> bool {
        !sample.producer.is_empty() && &*sample.producer != UNKNOWN_PRODUCER
    }

    /// The services whose deployments are causes by ownership or by the records' own word.
    pub fn producing_services(&self) -> BTreeSet<&'a Arc<str>> {
        let named = self.samples().iter().filter(|sample| Self::names_producer(sample)).map(|sample| &sample.producer);
        self.policy.owners.iter().chain(named).collect()
    }

    /// The evidence of the given samples, at most [`CITED`] pieces.
    pub fn cite<'b>(samples: impl IntoIterator<Item = &'b FailureSample>) -> Vec<EvidenceId> {
        samples.into_iter().take(CITED).map(|sample| sample.id).collect()
    }

    /// The evidence of the first failures.
    pub fn first_evidence(&self) -> Vec<EvidenceId> {
        match self.samples() {
            [] => vec![self.breach.last_failure],
            samples => Self::cite(samples),
        }
    }

    /// `INTRODUCED`, from a change to this breach's signature.
    pub fn introduced_by(&self, subject: &EntityId) -> EntityId {
        let signature = signature_vertex(&self.breach.dataset, &self.breach.signature);
        edge_id(subject, EdgeLabel::Introduced, &signature)
    }

    /// A claim about a change: the edge to the signature, and the first failure.
    pub fn introduction(&self, subject: &EntityId, text: String) -> Claim {
        let first = self.first_evidence().into_iter().take(1).collect();
        Claim { text, evidence_ids: first, edge_ids: vec![self.introduced_by(subject)] }
    }
}
