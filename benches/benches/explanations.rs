//! Explanations of 1,000 open breaches: a deployment comes, a span comes late.
//!
//! Every breach has 100 sampled failing records, every second with a trace, of each of which but the last one span is
//! known. The datasets belong to 100 services of 10 deployments each, and are a tree of lineage: dataset n is made from
//! dataset n/2 by a job that has run once, and the root failed first. One iteration brings a fact, takes away the one
//! before, and waits for the explanations.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use differential_dataflow::input::InputSession;
use faultline_benches::{random::SplitMix64, worker::worker};
use faultline_contracts::{
    deployment::{Deployment, DeploymentKind},
    evidence::FailureSample,
    ids::{EntityId, EvidenceId, IncidentId},
    incident::Breach,
    lineage::{FlowEdge, FlowKind, Run, RunState},
    policy::{DatasetPolicy, Rollout},
    record::RecordCoordinates,
    signal::SignalKind,
    time::UnixMillis,
    trace::{ServiceSpan, TraceId},
    window::Verdicts,
};
use faultline_operators::{
    deployments::DeploymentInForce,
    hypotheses::{CatalogChange, ExplanationInputs, ExplanationOptions, explanations},
};
use timely::dataflow::ProbeHandle;

const BREACHES: u64 = 1_000;
const SERVICES: u64 = 100;
const SAMPLES: u64 = 100;
const DEPLOYMENTS: u64 = 10;
const START: UnixMillis = UnixMillis(1_698_400_500_000);
const HOUR: i64 = 3_600_000;
const TOPIC: &str = "raw.events";

fn dataset(n: u64) -> EntityId {
    format!("urn:dp:domain{}:dataset{n}", n % 50).into()
}

fn job(n: u64) -> EntityId {
    EntityId::job("airflow", &format!("make{n}"))
}

fn service(n: u64) -> Arc<str> {
    format!("service-{}", n % SERVICES).into()
}

/// When dataset `n` began to fail: the lower, the earlier.
fn first_failure(n: u64) -> UnixMillis {
    START.plus(n as i64 * 10)
}

fn trace(n: u64, sample: u64) -> Option<TraceId> {
    TraceId::from_bytes((u128::from(n + 1) << 64 | u128::from(sample)).to_be_bytes())
}

fn policy(n: u64) -> DatasetPolicy {
    DatasetPolicy {
        dataset: dataset(n),
        slo_millionths: 950_000,
        tier: 1,
        rollout: Rollout::On,
        owners: vec![service(n)],
        schema: None,
        contract: None,
    }
}

fn breach(n: u64) -> Breach {
    let (topic, producer) = (Arc::<str>::from(TOPIC), service(n));
    let samples = (0..SAMPLES).map(|sample| {
        let at = RecordCoordinates { topic: TOPIC, partition: 0, offset: (n * SAMPLES + sample) as i64 };
        FailureSample {
            id: EvidenceId::of(at, first_failure(n).plus(sample as i64)),
            topic: Arc::clone(&topic),
            producer: Arc::clone(&producer),
            trace_id: trace(n, sample).filter(|_| !sample.is_multiple_of(2)),
            dag_run_id: None,
        }
    });
    let earliest: Vec<_> = samples.collect();
    let first_window = first_failure(n).floor_to(300_000);
    let kind = SignalKind::ContractCompliance;
    Breach {
        id: IncidentId::of(&dataset(n), kind.as_str(), first_window),
        dataset: dataset(n),
        kind,
        first_window,
        detected_at: first_failure(n).plus(SAMPLES as i64),
        recovering_since: None,
        resolved_at: None,
        verdicts: Verdicts { pass: 900, fail: SAMPLES, warn: 0 },
        signature: "MISSING_FIELD:field".into(),
        signature_count: SAMPLES,
        signature_count_before: 0,
        last_failure: earliest[earliest.len() - 1].id,
        earliest: Arc::new(earliest),
    }
}

/// The span of the service's publication of a sampled record.
fn span(n: u64, sample: u64) -> Option<ServiceSpan> {
    let at = first_failure(n).plus(sample as i64);
    let (version, topic) = (Some("v9".into()), Some(TOPIC.into()));
    trace(n, sample).map(|trace_id| ServiceSpan { trace_id, service: service(n), version, topic, at })
}

/// A deployment of a service, some hours before the failures.
fn deployment(service: Arc<str>, version: u64, at: UnixMillis) -> DeploymentInForce {
    let deployment = Deployment {
        event: format!("ci/{service}/{version}").into(),
        service,
        at,
        version: format!("v{version}").into(),
        kind: DeploymentKind::Deployed,
        environment: None,
    };
    DeploymentInForce { deployment, previous: version.checked_sub(1).map(|version| format!("v{version}").into()) }
}

/// The job that makes dataset `n`, its run, and its edges.
fn made(n: u64) -> (Run, [FlowEdge; 2]) {
    let (from, by, to) = (dataset(n / 2), job(n), dataset(n));
    let (start, end) = (START.plus(-HOUR), START.plus(-HOUR / 2));
    let run = Run {
        id: format!("run{n}").into(),
        job: by.clone(),
        state: RunState::Complete,
        started_at: start,
        updated_at: end,
        wrote_at: Some(end),
        inputs: vec![from.clone()],
        outputs: vec![to.clone()],
        dag_run_id: None,
        parent_job: None,
        error: None,
    };
    let read = FlowEdge { from, to: by.clone(), kind: FlowKind::Feeds, since: start };
    (run, [read, FlowEdge { from: by, to, kind: FlowKind::Writes, since: start }])
}

fn new_facts(criterion: &mut Criterion) {
    let mut worker = worker();
    let (mut breaches, mut policies) = (InputSession::new(), InputSession::new());
    let (mut deployments, mut spans) = (InputSession::new(), InputSession::new());
    let (mut runs, mut edges) = (InputSession::new(), InputSession::new());
    let mut catalog_changes = InputSession::<u64, CatalogChange, isize>::new();
    let probe = ProbeHandle::new();
    worker.dataflow::<u64, _, _>(|scope| {
        let inputs = ExplanationInputs {
            breaches: breaches.to_collection(scope),
            policies: policies.to_collection(scope),
            deployments: deployments.to_collection(scope),
            spans: spans.to_collection(scope),
            runs: runs.to_collection(scope),
            edges: edges.to_collection(scope),
            catalog_changes: catalog_changes.to_collection(scope),
        };
        let found = explanations(inputs, ExplanationOptions::default());
        found.explanations.inspect(|explanation| drop(black_box(explanation.clone()))).probe_with(&probe);
        found.parents.probe_with(&probe);
    });
    for n in 0..BREACHES {
        breaches.insert(breach(n));
        policies.insert(policy(n));
        // The last traced record's span is the one that comes late.
        (1..SAMPLES - 1).step_by(2).filter_map(|sample| span(n, sample)).for_each(|span| spans.insert(span));
        if n > 0 {
            let (run, flows) = made(n);
            runs.insert(run);
            flows.into_iter().for_each(|flow| edges.insert(flow));
        }
    }
    for n in 0..SERVICES {
        for version in 0..DEPLOYMENTS {
            let before = (DEPLOYMENTS - version) as i64 * 4 * HOUR;
            deployments.insert(deployment(service(n), version, START.plus(-before)));
        }
    }
    let mut epoch = 0;
    let mut close = |deployments: &mut InputSession<u64, DeploymentInForce, isize>,
                     spans: &mut InputSession<u64, ServiceSpan, isize>| {
        epoch += 1;
        breaches.advance_to(epoch);
        breaches.flush();
        policies.advance_to(epoch);
        policies.flush();
        deployments.advance_to(epoch);
        deployments.flush();
        spans.advance_to(epoch);
        spans.flush();
        runs.advance_to(epoch);
        runs.flush();
        edges.advance_to(epoch);
        edges.flush();
        catalog_changes.advance_to(epoch);
        catalog_changes.flush();
        worker.step_while(|| probe.less_than(&epoch));
    };
    close(&mut deployments, &mut spans);

    let mut random = SplitMix64(23);
    let mut group = criterion.benchmark_group("explanations/1000_open_breaches");
    group.sample_size(20);
    let mut last: Option<DeploymentInForce> = None;
    group.bench_function("a deployment that 10 of them may have from", |bencher| {
        bencher.iter(|| {
            let at = START.plus(-1 - random.below(HOUR as u64) as i64);
            let new = deployment(service(random.below(SERVICES)), DEPLOYMENTS, at);
            deployments.insert(new.clone());
            if let Some(last) = last.replace(new) {
                deployments.remove(last);
            }
            close(&mut deployments, &mut spans);
        });
    });
    let mut last: Option<ServiceSpan> = None;
    group.bench_function("a late span of one of them", |bencher| {
        bencher.iter(|| {
            let new = span(random.below(BREACHES), SAMPLES - 1);
            new.iter().for_each(|span| spans.insert(span.clone()));
            if let Some(last) = std::mem::replace(&mut last, new) {
                spans.remove(last);
            }
            close(&mut deployments, &mut spans);
        });
    });
    group.finish();
}

criterion_group!(benches, new_facts);
criterion_main!(benches);
