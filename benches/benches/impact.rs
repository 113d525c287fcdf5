//! Impact of 100 standing incidents on a 16-layer random DAG of 10,000 tables and jobs: a run comes, one goes.
//!
//! The incidents' roots are tables half-way down, which fail from one hour on. All jobs ran before that; those below
//! the roots' own readers have run again since, so the first run that reads a root carries its failures on to all that
//! its job's outputs lead to.

use std::collections::BTreeMap;

use criterion::{Criterion, criterion_group, criterion_main};
use differential_dataflow::input::InputSession;
use faultline_benches::{
    layered_dag::{LAYERS, edges, node, width},
    random::SplitMix64,
    worker::worker,
};
use faultline_contracts::{
    ids::EntityId,
    lineage::{FlowKind, Run, RunState},
    time::UnixMillis,
};
use faultline_operators::{
    blast_radius::{QueryKey, ReachOptions},
    impact::{ImpactQuery, standing},
};

const NODES: u64 = 10_000;
const INCIDENTS: u64 = 100;
const ROOT_LAYER: u64 = 8;
const READER_LAYER: u64 = ROOT_LAYER + 1;
const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;
/// When the roots begin to fail, and when they are good again.
const SINCE: UnixMillis = UnixMillis(HOUR);
const RESOLVED_AT: UnixMillis = UnixMillis(4 * HOUR);

/// What the jobs read and write, by job.
struct Jobs(BTreeMap<EntityId, (Vec<EntityId>, Vec<EntityId>)>);

impl Jobs {
    fn new() -> Self {
        let mut jobs = BTreeMap::<EntityId, (Vec<EntityId>, Vec<EntityId>)>::new();
        for edge in edges(NODES) {
            match edge.kind {
                FlowKind::Writes => jobs.entry(edge.from).or_default().1.push(edge.to),
                FlowKind::Feeds | FlowKind::ConsumedBy => jobs.entry(edge.to).or_default().0.push(edge.from),
            }
        }
        for (inputs, outputs) in jobs.values_mut() {
            for datasets in [inputs, outputs] {
                datasets.sort();
                datasets.dedup();
            }
        }
        Self(jobs)
    }

    /// A run of the job that starts at `at` and has written a minute later.
    fn run(&self, job: &EntityId, at: UnixMillis) -> Run {
        let (inputs, outputs) = self.0.get(job).cloned().unwrap_or_default();
        let end = at.plus(MINUTE);
        Run {
            id: format!("{job}/{}", at.0).into(),
            job: job.clone(),
            state: RunState::Complete,
            started_at: at,
            updated_at: end,
            wrote_at: Some(end),
            inputs,
            outputs,
            dag_run_id: None,
            parent_job: None,
            error: None,
        }
    }

    /// The jobs of a layer.
    fn of_layer(&self, layer: u64) -> impl Iterator<Item = &EntityId> {
        (0..width(NODES)).filter_map(move |n| self.0.get_key_value(&node(layer, n))).map(|(job, _)| job)
    }
}

fn query(key: u64, root: &EntityId, resolved_at: Option<UnixMillis>) -> ImpactQuery {
    ImpactQuery { key: QueryKey(key), root: root.clone(), since: SINCE, resolved_at }
}

fn new_run(criterion: &mut Criterion) {
    let (jobs, mut random) = (Jobs::new(), SplitMix64(19));
    let mut worker = worker();
    let (mut queries, mut flows, mut runs) = (InputSession::new(), InputSession::new(), InputSession::new());
    let probe = worker.dataflow::<u64, _, _>(|scope| {
        let (queries, flows) = (queries.to_collection(scope), flows.to_collection(scope));
        standing(queries, flows, runs.to_collection(scope), ReachOptions::default()).probe().0
    });
    edges(NODES).into_iter().for_each(|edge| flows.insert(edge));
    let roots: Vec<_> = (0..INCIDENTS).map(|_| node(ROOT_LAYER, random.below(width(NODES)))).collect();
    (0..).zip(&roots).for_each(|(key, root)| queries.insert(query(key, root, None)));
    jobs.0.keys().for_each(|job| runs.insert(jobs.run(job, UnixMillis(0))));
    for layer in (READER_LAYER + 2..LAYERS).step_by(2) {
        let at = UnixMillis(2 * HOUR + layer as i64 * MINUTE);
        jobs.of_layer(layer).for_each(|job| runs.insert(jobs.run(job, at)));
    }
    let readers: Vec<_> =
        jobs.of_layer(READER_LAYER).filter(|job| jobs.0[*job].0.iter().any(|input| roots.contains(input))).collect();

    let mut epoch = 0;
    let mut close = |queries: &mut InputSession<u64, ImpactQuery, isize>, runs: &mut InputSession<u64, Run, isize>| {
        epoch += 1;
        queries.advance_to(epoch);
        queries.flush();
        flows.advance_to(epoch);
        flows.flush();
        runs.advance_to(epoch);
        runs.flush();
        worker.step_while(|| probe.less_than(&epoch));
    };
    close(&mut queries, &mut runs);

    let mut group = criterion.benchmark_group("impact/run_under_100_incidents");
    group.sample_size(20);
    group.bench_function("the first since the failure, and back", |bencher| {
        bencher.iter(|| {
            let first = jobs.run(random.of(&readers), UnixMillis(HOUR + MINUTE));
            runs.insert(first.clone());
            close(&mut queries, &mut runs);
            runs.remove(first);
            close(&mut queries, &mut runs);
        });
    });

    // From here on everything below the roots is impacted.
    readers.iter().for_each(|job| runs.insert(jobs.run(job, UnixMillis(HOUR + MINUTE))));
    close(&mut queries, &mut runs);
    for (name, resolved) in [("a further one", false), ("a further one, all incidents resolved", true)] {
        if resolved {
            for (key, root) in (0..).zip(&roots) {
                queries.remove(query(key, root, None));
                queries.insert(query(key, root, Some(RESOLVED_AT)));
            }
            close(&mut queries, &mut runs);
        }
        let mut last: Option<Run> = None;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let further = jobs.run(random.of(&readers), UnixMillis(5 * HOUR));
                runs.insert(further.clone());
                if let Some(last) = last.replace(further) {
                    runs.remove(last);
                }
                close(&mut queries, &mut runs);
            });
        });
        if let Some(last) = last {
            runs.remove(last);
        }
    }
    group.finish();
}

criterion_group!(benches, new_run);
criterion_main!(benches);
