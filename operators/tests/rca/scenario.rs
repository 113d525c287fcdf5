//! The whole of explanations, incidents and graph over changes of any input.

use std::{collections::BTreeSet, sync::Arc};

use differential_dataflow::{AsCollection, VecCollection};
use faultline_contracts::{
    asset::Asset,
    deployment::{Deployment, DeploymentKind},
    evidence::FailureSample,
    explanation::Explanation,
    graph::{Edge, Vertex},
    ids::{EvidenceId, IncidentId},
    incident::{Breach, Incident},
    lineage::{FlowEdge, FlowKind, Run, RunState},
    policy::{DatasetPolicy, Rollout},
    record::RecordCoordinates,
    signal::SignalKind,
    time::UnixMillis,
    trace::{ServiceSpan, TraceId},
    window::Verdicts,
};
use faultline_operators::state::StatePorts;
use faultline_operators::{
    deployments::{DeploymentHistory, deployments},
    graph::{self, GraphInputs, Producer},
    hypotheses::{CatalogChange, ExplanationInputs, ExplanationOptions, explanations},
    incidents::incidents,
};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;

use crate::dataflow::{Round, states};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Input {
    Breach(Breach),
    Policy(DatasetPolicy),
    Producer(Producer),
    Asset(Asset),
    Deployment(Deployment),
    Span(ServiceSpan),
    Run(Run),
    Flow(FlowEdge),
    Change(CatalogChange),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Output {
    Explanation(Explanation),
    Parent(IncidentId, IncidentId),
    Incident(Incident),
    Edge(Edge),
    Vertex(Vertex),
}

/// The answers after a round.
#[derive(Debug, Default, PartialEq)]
pub struct Answers {
    pub explanations: Vec<Explanation>,
    pub parents: Vec<(IncidentId, IncidentId)>,
    pub incidents: Vec<Incident>,
    pub edges: Vec<Edge>,
    pub vertices: Vec<Vertex>,
}

impl Answers {
    fn of(rows: Vec<Output>) -> Self {
        let mut answers = Self::default();
        for row in rows {
            match row {
                Output::Explanation(explanation) => answers.explanations.push(explanation),
                Output::Parent(incident, parent) => answers.parents.push((incident, parent)),
                Output::Incident(incident) => answers.incidents.push(incident),
                Output::Edge(edge) => answers.edges.push(edge),
                Output::Vertex(vertex) => answers.vertices.push(vertex),
            }
        }
        answers
    }

    pub fn explanation(&self, breach: &Breach) -> &Explanation {
        self.explanations.iter().find(|explanation| explanation.incident == breach.id).unwrap()
    }

    /// What must hold of any answers: every claim is proven by what exists, every id has one row.
    fn check(&self) {
        let edges: BTreeSet<_> = self.edges.iter().map(Edge::id).collect();
        let vertices: BTreeSet<_> = self.vertices.iter().map(|vertex| &vertex.id).collect();
        assert_eq!(edges.len(), self.edges.len(), "one row for each edge id");
        assert_eq!(vertices.len(), self.vertices.len(), "one row for each vertex id");
        for edge in &self.edges {
            assert!(vertices.contains(&edge.from) && vertices.contains(&edge.to), "{edge:?} has no end");
        }
        for explanation in &self.explanations {
            let incident = self.incidents.iter().find(|incident| incident.id == explanation.incident).unwrap();
            let claims = explanation.hypotheses.iter().flat_map(|hypothesis| &hypothesis.claims);
            for claim in claims.chain(&explanation.evidence_summary) {
                assert!(!claim.evidence_ids.is_empty() || !claim.edge_ids.is_empty(), "unproven: {claim:?}");
                assert!(claim.evidence_ids.len() <= 10 && claim.edge_ids.len() <= 10, "{claim:?}");
                assert!(claim.edge_ids.iter().all(|id| edges.contains(id)), "no such edge: {claim:?}");
                assert!(claim.evidence_ids.iter().all(|id| incident.evidence_ids.contains(id)), "{claim:?}");
            }
            assert!(!explanation.hypotheses.is_empty() || !explanation.unknowns.is_empty());
            assert!(explanation.hypotheses.iter().all(|hypothesis| hypothesis.score.0 <= 990));
        }
    }
}

fn only<'s, D: Clone + 'static>(
    input: &VecCollection<'s, u64, Input>,
    select: impl Fn(Input) -> Option<D> + 'static,
) -> VecCollection<'s, u64, D> {
    input.clone().flat_map(select)
}

macro_rules! only {
    ($input:expr, $kind:ident) => {
        only(&$input, |input| match input {
            Input::$kind(row) => Some(row),
            _ => None,
        })
    };
}

fn engine<'s>(input: VecCollection<'s, u64, Input>) -> VecCollection<'s, u64, Output> {
    let (breaches, policies) = (only!(input, Breach), only!(input, Policy));
    let events = only!(input, Deployment).inner.map(|(event, _, _)| event);
    let state = StatePorts::closed(input.inner.scope());
    let flow: VecCollection<'_, u64, FlowEdge> = only!(input, Flow);
    let explained = explanations(
        ExplanationInputs {
            breaches: breaches.clone(),
            policies: policies.clone(),
            deployments: deployments(events, DeploymentHistory::default(), &state).in_force,
            spans: only!(input, Span),
            runs: only!(input, Run),
            edges: flow.clone(),
            catalog_changes: only!(input, Change),
        },
        ExplanationOptions::default(),
    );
    let incidents = incidents(breaches, policies.clone(), explained.parents.clone());
    let inputs = GraphInputs {
        policies,
        producers: only!(input, Producer),
        assets: only!(input, Asset),
        flow,
        incidents: incidents.clone(),
        explanations: explained.explanations.clone(),
    };
    let rows = explained.explanations.map(Output::Explanation).concatenate([
        explained.parents.map(|(incident, parent)| Output::Parent(incident, parent)),
        incidents.map(Output::Incident),
        graph::edges(inputs.clone()).map(Output::Edge),
        graph::vertices(inputs).map(Output::Vertex),
    ]);
    rows.inner.as_collection()
}

/// The answers after each round of changes: the same with one worker and with two, and each claim proven.
pub fn answers(rounds: &[Round<Input>]) -> Vec<Answers> {
    let run = |workers| states(workers, rounds, engine).into_iter().map(Answers::of).collect::<Vec<_>>();
    let (one, two) = (run(1), run(2));
    assert_eq!(one, two);
    one.iter().for_each(Answers::check);
    one
}

/// The rows as additions.
pub fn added(rows: impl IntoIterator<Item = Input>) -> Round<Input> {
    rows.into_iter().map(|row| (row, 1)).collect()
}

pub const ORDERS: &str = "urn:dp:orders:created";
pub const PAYMENTS: &str = "urn:dp:payments:settled";

pub fn at(text: &str) -> UnixMillis {
    text.parse().unwrap()
}

/// The first failure of the seed's incident.
pub fn first_failure() -> UnixMillis {
    at("2023-10-27T09:58:01.950Z")
}

pub fn before(hours: i64, minutes: i64) -> UnixMillis {
    first_failure().plus(-(hours * 60 + minutes) * 60_000)
}

pub fn trace(n: u8) -> TraceId {
    TraceId::from_bytes([n; 16]).unwrap()
}

/// The seed's breach, or one like it: 1,120 of 1,247 events failed.
pub fn breach(dataset: &str, first_failure: UnixMillis, producer: &str) -> Breach {
    let sample = |n: i64| {
        let place = RecordCoordinates { topic: "raw.orders.events", partition: 4, offset: 9_918_273 + n };
        FailureSample {
            id: EvidenceId::of(place, first_failure.plus(n * 100)),
            topic: "raw.orders.events".into(),
            producer: producer.into(),
            trace_id: None,
            dag_run_id: None,
        }
    };
    let earliest: Vec<_> = (0..20).map(sample).collect();
    let first_window = first_failure.floor_to(300_000);
    Breach {
        id: IncidentId::of(&dataset.into(), "contract_compliance", first_window),
        dataset: dataset.into(),
        kind: SignalKind::ContractCompliance,
        first_window,
        detected_at: first_failure.plus(10_000),
        recovering_since: None,
        resolved_at: None,
        verdicts: Verdicts { pass: 127, fail: 1_120, warn: 0 },
        signature: "MISSING_FIELD:customer_id".into(),
        signature_count: 1_120,
        signature_count_before: 0,
        last_failure: earliest.last().unwrap().id,
        earliest: Arc::new(earliest),
    }
}

pub fn orders_breach() -> Breach {
    breach(ORDERS, first_failure(), "orders-svc")
}

/// The breach with its samples changed.
pub fn sampled(mut breach: Breach, change: impl Fn(usize, &mut FailureSample)) -> Breach {
    Arc::make_mut(&mut breach.earliest).iter_mut().enumerate().for_each(|(n, sample)| change(n, sample));
    breach
}

pub fn policy(dataset: &str, owners: &[&str]) -> DatasetPolicy {
    DatasetPolicy {
        dataset: dataset.into(),
        slo_millionths: 950_000,
        tier: 1,
        rollout: Rollout::On,
        owners: owners.iter().map(|&owner| owner.into()).collect(),
        schema: Some("glue:orders.created:17".into()),
        contract: Some("dc:orders.created:3".into()),
    }
}

pub fn deployment(service: &str, version: &str, at: UnixMillis) -> Input {
    Input::Deployment(Deployment {
        service: service.into(),
        at,
        version: version.into(),
        kind: DeploymentKind::Deployed,
        environment: None,
        event: format!("ci/{service}/{version}/{}", at.0).into(),
    })
}

pub fn span(trace_id: TraceId, service: &str, version: Option<&str>) -> Input {
    let (version, topic) = (version.map(Into::into), None);
    Input::Span(ServiceSpan { trace_id, service: service.into(), version, topic, at: first_failure() })
}

pub fn run(id: &str, job: &str, state: RunState, started_at: UnixMillis, outputs: &[&str]) -> Run {
    Run {
        id: id.into(),
        job: job.into(),
        state,
        started_at,
        updated_at: started_at.plus(60_000),
        wrote_at: (state == RunState::Complete).then(|| started_at.plus(60_000)),
        inputs: Vec::new(),
        outputs: outputs.iter().map(|&output| output.into()).collect(),
        dag_run_id: None,
        parent_job: None,
        error: (state == RunState::Fail).then(|| "out of memory".into()),
    }
}

pub fn flow(from: &str, kind: FlowKind, to: &str) -> Input {
    Input::Flow(FlowEdge { from: from.into(), to: to.into(), kind, since: UnixMillis(0) })
}

/// The seed's story: v3.16 two days ago, v3.17 17 seconds before the first failure.
pub fn seed() -> Vec<Input> {
    vec![
        Input::Policy(policy(ORDERS, &["orders-svc"])),
        Input::Breach(orders_breach()),
        deployment("orders-svc", "v3.16", before(48, 0)),
        deployment("orders-svc", "v3.17", at("2023-10-27T09:57:45Z")),
    ]
}
