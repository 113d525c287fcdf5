//! Explanations: for every incident its possible causes, ranked, each claim with what proves it.
//!
//! ```text
//! breaches ⋈ policies (rollout on) ─┬─ trace ids ────────── ⋈ spans ──┬─ (service, version) ⋈ deployments ─┐
//!                                   ├─ DAG run ids ──────── ⋈ runs    └─ services ─┐                       │
//!                                   ├─ dataset ──────────── ⋈ runs that write it   │                       ├─ facts by incident
//!                                   ├─ owners, producers ───────────────── latest_changes                  │  └─ reduce: explain
//!                                   ├─ dataset ──────────── ⋈ catalog changes, lineage edges               │
//!                                   └─ dataset ──────────── reverse reachability ⋈ breaches ───────────────┘
//! ```
//!
//! Joins only bring facts together; what they mean is decided in one place, a pure function of one incident's facts
//! (the score's formula is at the top of `hypotheses/score.rs`). So a late deployment, span, run or edge, and a corrected
//! or retracted breach, changes the answer by itself.

mod case;
mod changes;
mod explain;
mod facts;
mod runs;
mod score;
mod upstream;
mod wording;

use std::{collections::BTreeSet, sync::Arc};

use differential_dataflow::VecCollection;
use faultline_contracts::{
    explanation::Explanation,
    ids::{EntityId, IncidentId},
    incident::Breach,
    lineage::{FlowEdge, FlowKind, Run},
    policy::{DatasetPolicy, Rollout},
    time::UnixMillis,
    trace::ServiceSpan,
};

pub use self::facts::{CatalogChange, CatalogChangeKind};
use self::{
    case::Case,
    facts::{Fact, RunFact},
    upstream::{BreachSpan, upstream_breaches},
};
use crate::{
    correlation::{LookBack, Onset, latest_changes},
    deployments::DeploymentInForce,
};

/// What explanations are made from.
pub struct ExplanationInputs<'s> {
    /// The breaches of all datasets.
    pub breaches: VecCollection<'s, u64, Breach>,
    /// The policies of all datasets, one for each. Only breaches of datasets with [`Rollout::On`] are explained.
    pub policies: VecCollection<'s, u64, DatasetPolicy>,
    /// The deployments of all services.
    pub deployments: VecCollection<'s, u64, DeploymentInForce>,
    /// Spans of services.
    pub spans: VecCollection<'s, u64, ServiceSpan>,
    /// Runs of jobs.
    pub runs: VecCollection<'s, u64, Run>,
    /// The lineage graph.
    pub edges: VecCollection<'s, u64, FlowEdge>,
    /// Changes of contracts and schemas.
    pub catalog_changes: VecCollection<'s, u64, CatalogChange>,
}

/// Limits of explanations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExplanationOptions {
    /// How far apart in time cause and effect may be.
    pub look_back: LookBack,
    /// How many lineage edges upstream a cause is looked for.
    pub max_hops: u8,
    /// How many hypotheses an explanation has at most.
    pub max_hypotheses: usize,
}

impl Default for ExplanationOptions {
    fn default() -> Self {
        Self { look_back: LookBack::default(), max_hops: 8, max_hypotheses: 10 }
    }
}

/// What [`explanations`] makes of its inputs.
pub struct Explanations<'s> {
    /// One for each incident.
    pub explanations: VecCollection<'s, u64, Explanation>,
    /// Incidents whose likeliest cause is an upstream incident, with that one. It always began earlier.
    pub parents: VecCollection<'s, u64, (IncidentId, IncidentId)>,
}

type Facts<'s> = VecCollection<'s, u64, (IncidentId, Fact)>;

/// Explains every incident by what is known so far.
pub fn explanations<'s>(inputs: ExplanationInputs<'s>, options: ExplanationOptions) -> Explanations<'s> {
    let ExplanationInputs { breaches, policies, deployments, spans, runs, edges, catalog_changes } = inputs;
    let policies = policies.filter(|policy| policy.rollout == Rollout::On);
    let explained = breaches
        .map(|breach| (breach.dataset.clone(), breach))
        .join_map(policies.map(|policy| (policy.dataset.clone(), policy)), |_dataset, breach, policy| {
            (breach.id, Fact::Breach(breach.clone(), policy.clone()))
        });
    let onsets = explained.clone().flat_map(|(_, fact)| onset(&fact));

    let traced = spans_of_failures(explained.clone(), spans);
    let named = explained.clone().flat_map(|(incident, fact)| services(incident, &fact));
    let candidates = latest_changes(
        named.concat(traced_services(traced.clone(), onsets.clone())),
        deployments.clone(),
        options.look_back,
    )
    .map(|(incident, candidate)| (incident, Fact::Candidate(candidate)));
    let facts = [
        candidates,
        traced_deployments(traced.clone(), deployments),
        traced,
        runs_of_failures(explained.clone(), runs.clone()),
        runs_that_write(onsets.clone(), runs, options.look_back),
        lineage_of(onsets.clone(), edges.clone()),
        changes_of(onsets.clone(), catalog_changes, options.look_back),
        upstream_breaches(onsets, edges, options.max_hops).map(|(incident, up)| (incident, Fact::Upstream(up))),
    ];
    let explanations = explained
        .concatenate(facts)
        .reduce_named("Explain", move |_incident, facts, output| {
            if let Some(case) = Case::of(facts.iter().map(|(fact, _)| *fact), options) {
                output.push((explain::explain(&case), 1));
            }
        })
        .map(|(_, explanation)| explanation);
    let parents = explanations.clone().flat_map(|explanation| {
        let best = explanation.hypotheses.into_iter().next();
        best.and_then(|best| best.parent).map(|parent| (explanation.incident, parent))
    });
    Explanations { explanations, parents }
}

/// What joins by dataset need of a breach, and no more: its counts change with every tick, this does not.
fn onset(fact: &Fact) -> Option<(EntityId, BreachSpan)> {
    let Fact::Breach(breach, _) = fact else { return None };
    let span = BreachSpan {
        first_failure: breach.first_failure_at(),
        incident: breach.id,
        resolved_at: breach.resolved_at,
        kind: breach.kind,
    };
    Some((breach.dataset.clone(), span))
}

/// The owners of the dataset, and the producers that sampled failing records name.
fn services(incident: IncidentId, fact: &Fact) -> Vec<Onset> {
    let Fact::Breach(breach, policy) = fact else { return Vec::new() };
    let named = breach.earliest.iter().filter(|sample| Case::names_producer(sample)).map(|sample| &sample.producer);
    let services: BTreeSet<_> = policy.owners.iter().chain(named).collect();
    let first_failure = breach.first_failure_at();
    services.into_iter().map(|service| Onset { incident, service: Arc::clone(service), first_failure }).collect()
}

/// The spans of the traces of sampled failing records.
fn spans_of_failures<'s>(explained: Facts<'s>, spans: VecCollection<'s, u64, ServiceSpan>) -> Facts<'s> {
    let wanted = explained.flat_map(|(incident, fact)| {
        let ids: BTreeSet<_> = match &fact {
            Fact::Breach(breach, _) => breach.earliest.iter().filter_map(|sample| sample.trace_id).collect(),
            _ => BTreeSet::new(),
        };
        ids.into_iter().map(move |id| (id, incident))
    });
    let spans = spans.map(|span| (span.trace_id, (span.service, span.version, span.topic)));
    wanted.join_map(spans, |trace_id, incident, (service, version, topic)| {
        let span = Fact::Span {
            trace_id: *trace_id,
            service: Arc::clone(service),
            version: version.clone(),
            topic: topic.clone(),
        };
        (*incident, span)
    })
}

/// The services of those spans.
fn traced_services<'s>(
    traced: Facts<'s>,
    onsets: VecCollection<'s, u64, (EntityId, BreachSpan)>,
) -> VecCollection<'s, u64, Onset> {
    let services = traced.flat_map(|(incident, fact)| match fact {
        Fact::Span { service, .. } => Some((incident, service)),
        _ => None,
    });
    services.distinct().join_map(
        onsets.map(|(_, breach)| (breach.incident, breach.first_failure)),
        |incident, service, first_failure: &UnixMillis| Onset {
            incident: *incident,
            service: Arc::clone(service),
            first_failure: *first_failure,
        },
    )
}

/// The deployments of the versions that those spans name, whenever they were.
fn traced_deployments<'s>(traced: Facts<'s>, deployments: VecCollection<'s, u64, DeploymentInForce>) -> Facts<'s> {
    let versions = traced.flat_map(|(incident, fact)| match fact {
        Fact::Span { service, version: Some(version), .. } => {
            Some(((service, changes::bare_version(&version).to_owned()), incident))
        }
        _ => None,
    });
    let deployments = deployments.map(|known| {
        let version = changes::bare_version(&known.deployment.version).to_owned();
        ((Arc::clone(&known.deployment.service), version), known)
    });
    versions.join_map(deployments, |_version, incident, known| (*incident, Fact::Traced(known.clone())))
}

/// The runs whose DAG run id sampled failing records carry.
fn runs_of_failures<'s>(explained: Facts<'s>, runs: VecCollection<'s, u64, Run>) -> Facts<'s> {
    let wanted = explained.flat_map(|(incident, fact)| {
        let ids: BTreeSet<_> = match &fact {
            Fact::Breach(breach, _) => breach.earliest.iter().filter_map(|sample| sample.dag_run_id.clone()).collect(),
            _ => BTreeSet::new(),
        };
        ids.into_iter().map(move |id| (id, incident))
    });
    let runs = runs.flat_map(|run| run.dag_run_id.clone().map(|id| (id, RunFact::of(&run))));
    wanted.join_map(runs, |_id, incident, run| (*incident, Fact::DagRun(run.clone())))
}

/// The runs inside the look-back that write the dataset.
fn runs_that_write<'s>(
    onsets: VecCollection<'s, u64, (EntityId, BreachSpan)>,
    runs: VecCollection<'s, u64, Run>,
    look_back: LookBack,
) -> Facts<'s> {
    let writers = runs.flat_map(|run| {
        let fact = RunFact::of(&run);
        run.outputs.into_iter().map(move |output| (output, fact.clone()))
    });
    onsets
        .join_map(writers, move |_dataset, breach, run| {
            let (earliest, latest) = look_back.interval(breach.first_failure);
            let inside = run.started_at <= latest && run.updated_at >= earliest;
            inside.then(|| (breach.incident, Fact::Writer(run.clone())))
        })
        .flat_map(|found| found)
}

/// Whether lineage knows the dataset at all, and which jobs it says write it.
fn lineage_of<'s>(
    onsets: VecCollection<'s, u64, (EntityId, BreachSpan)>,
    edges: VecCollection<'s, u64, FlowEdge>,
) -> Facts<'s> {
    let ends = edges.flat_map(|edge| {
        let written = (edge.kind == FlowKind::Writes).then(|| (edge.to, Fact::WrittenBy(edge.from.clone())));
        let read = (edge.kind != FlowKind::Writes).then_some((edge.from, Fact::Read));
        written.into_iter().chain(read)
    });
    onsets.join_map(ends, |_dataset, breach, end| (breach.incident, end.clone()))
}

/// The changes of the dataset's contract and schema inside the look-back.
fn changes_of<'s>(
    onsets: VecCollection<'s, u64, (EntityId, BreachSpan)>,
    changes: VecCollection<'s, u64, CatalogChange>,
    look_back: LookBack,
) -> Facts<'s> {
    onsets
        .join_map(changes.map(|change| (change.dataset.clone(), change)), move |_dataset, breach, change| {
            let (earliest, latest) = look_back.interval(breach.first_failure);
            let inside = (earliest..=latest).contains(&change.at);
            inside.then(|| (breach.incident, Fact::Catalog(change.clone())))
        })
        .flat_map(|found| found)
}
