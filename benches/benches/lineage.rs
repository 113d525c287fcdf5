//! Lineage: an epoch in which each of 1,000 jobs starts and completes a run, and the decoding of one OpenLineage event.
//!
//! A job has 3 inputs, 2 outputs and 10 pairs of columns, which its COMPLETE event names, as most producers do it. All
//! jobs have as many runs as are kept from the start, so that every run that comes drives one out.

use std::{hint::black_box, path::Path, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use faultline_benches::{orders::CATALOG, worker::worker};
use faultline_contracts::{
    catalog::Catalog,
    ids::EntityId,
    lineage::{ColumnLineage, LineageEvent, RunObservation, RunState},
    time::UnixMillis,
};
use faultline_operators::state::StatePorts;
use faultline_operators::{
    decode::openlineage::{Limits, decode},
    lineage::{LineageOptions, lineage},
};
use timely::dataflow::{ProbeHandle, operators::Input};

const JOBS: usize = 1_000;
const START: i64 = 1_698_400_500_000;
/// From one run of a job to its next, in ms.
const EVERY: i64 = 60_000;

/// What a job says of each of its runs.
struct Job {
    id: EntityId,
    inputs: Vec<EntityId>,
    outputs: Vec<EntityId>,
    columns: Vec<ColumnLineage>,
}

impl Job {
    fn new(n: usize) -> Self {
        let table = |layer: &str, n: usize| EntityId::from(format!("s3://lake/{layer}/table{:04}", n % JOBS));
        let inputs: Vec<_> = (0..3).map(|input| table("silver", n + 7 * input)).collect();
        let outputs: Vec<_> = (0..2).map(|output| table("gold", n + 500 * output)).collect();
        let column = |pair: usize| ColumnLineage {
            output: outputs[pair % 2].clone(),
            output_field: format!("measure{pair}").into(),
            input: inputs[pair % 3].clone(),
            input_field: format!("column{pair}").into(),
        };
        Self {
            id: EntityId::job("airflow", &format!("dag{n:04}.load")),
            columns: (0..10).map(column).collect(),
            inputs,
            outputs,
        }
    }

    /// The two events of the job's run number `run`.
    fn events(&self, run: i64) -> [LineageEvent; 2] {
        let at = UnixMillis(START + run * EVERY);
        let id: Arc<str> = format!("{}/{run}", self.id).into();
        let dag_run_id = Some(Arc::from(format!("scheduled__{at}")));
        let seen = |state| {
            let (id, dag_run_id) = (Arc::clone(&id), dag_run_id.clone());
            Some(RunObservation { id, state, dag_run_id, parent_job: None, streaming: false, error: None })
        };
        let start = LineageEvent {
            job: self.id.clone(),
            at,
            run: seen(RunState::Start),
            inputs: Vec::new(),
            outputs: Vec::new(),
            columns: Vec::new(),
        };
        let complete = LineageEvent {
            at: at.plus(EVERY / 2),
            run: seen(RunState::Complete),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            columns: self.columns.clone(),
            ..start.clone()
        };
        [start, complete]
    }
}

fn runs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lineage");
    group.throughput(Throughput::Elements(2 * JOBS as u64)).sample_size(20);
    let mut worker = worker();
    let probe = ProbeHandle::new();
    let options = LineageOptions::default();
    let kept = options.runs_per_job as i64;
    let mut events = worker.dataflow::<u64, _, _>(|scope| {
        let (events_in, events) = scope.new_input();
        let lineage = lineage(events, options, &StatePorts::closed(scope));
        lineage.runs.probe_with(&probe);
        lineage.edges.probe_with(&probe);
        lineage.columns.probe_with(&probe);
        events_in
    });
    let jobs: Vec<_> = (0..JOBS).map(Job::new).collect();
    let mut run = 0;
    let mut next = || {
        run += 1;
        let events: Vec<_> = jobs.iter().flat_map(|job| job.events(run)).collect();
        // The epoch is the time at which they come: when the runs are over.
        (events, (START + (run + 1) * EVERY) as u64)
    };
    let mut close = |(mut batch, epoch): (Vec<LineageEvent>, u64)| {
        events.advance_to(epoch);
        events.send_batch(&mut batch);
        events.advance_to(epoch + 1);
        worker.step_while(|| probe.less_than(&(epoch + 1)));
    };
    (0..kept).for_each(|_| close(next()));
    group.bench_function("a run of each of 1,000 jobs", |bencher| {
        bencher.iter_batched(&mut next, &mut close, BatchSize::LargeInput);
    });
    group.finish();
}

fn decoding(criterion: &mut Criterion) {
    let catalog = Catalog::load(Path::new(CATALOG)).catalog;
    let mut group = criterion.benchmark_group("lineage/decode");
    for (name, payload) in [
        ("airflow task", include_bytes!("../../operators/src/decode/fixtures/airflow_task_complete.json").as_slice()),
        ("spark with columns", include_bytes!("../../operators/src/decode/fixtures/spark_complete.json").as_slice()),
    ] {
        let decoded = decode(payload, &catalog, Limits::default());
        assert!(decoded.is_ok_and(|decoded| decoded.event.is_some()), "{name} is a run event");
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(decode(black_box(payload), &catalog, Limits::default()).is_ok()));
        });
    }
    group.finish();
}

criterion_group!(benches, runs, decoding);
criterion_main!(benches);
