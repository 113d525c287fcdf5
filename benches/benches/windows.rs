//! Compliance windows on one worker: 10,000 datasets, 6 windows, 5 reasons, 10,000 updates an epoch.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use faultline_benches::{random::SplitMix64, worker::worker};
use faultline_contracts::{
    evidence::FailureSample,
    ids::{EntityId, EvidenceId},
    reason::Signature,
    record::{RecordCoordinates, TopicPartition},
    time::UnixMillis,
    window::{Verdicts, WindowKey, WindowTally},
};
use faultline_operators::state::StatePorts;
use faultline_operators::{
    compliance::{ComplianceDelta, WindowOptions, compliance_windows},
    watermark::PartitionProgress,
};
use timely::dataflow::operators::Input;

const DATASETS: u64 = 10_000;
const WINDOWS: u64 = 6;
const REASONS: usize = 5;
const UPDATES: u64 = 10_000;
const WIDTH: i64 = 300_000;
const TICK: u64 = 20;

/// What is read in an epoch: one failing record in five.
struct Records {
    random: SplitMix64,
    datasets: Vec<EntityId>,
    reasons: Vec<Signature>,
    offset: i64,
}

impl Records {
    fn new() -> Self {
        Self {
            random: SplitMix64(17),
            datasets: (0..DATASETS).map(|n| format!("urn:dp:domain{}:dataset{n}", n % 50).into()).collect(),
            reasons: (0..REASONS).map(|n| format!("MISSING_FIELD:field{n}").as_str().into()).collect(),
            offset: 0,
        }
    }

    fn epoch(&mut self) -> Vec<ComplianceDelta> {
        let one = |records: &mut Self| {
            let dataset = records.datasets[records.random.below(DATASETS) as usize].clone();
            let start = UnixMillis(records.random.below(WINDOWS) as i64 * WIDTH);
            let mut tally = WindowTally::default();
            if records.random.below(5) == 0 {
                records.offset += 1;
                let at = RecordCoordinates { topic: "raw.events", partition: 0, offset: records.offset };
                let id = EvidenceId::of(at, start.plus(records.offset % WIDTH));
                let (topic, producer) = ("raw.events".into(), "svc".into());
                let sample = || FailureSample { id, topic, producer, trace_id: None, dag_run_id: None };
                let reason = records.reasons[records.random.below(REASONS as u64) as usize].clone();
                tally.by_signature.get_or_default(reason).insert(id, sample);
                tally.verdicts = Verdicts { fail: 1, ..Verdicts::default() };
            } else {
                tally.verdicts = Verdicts { pass: 1, ..Verdicts::default() };
            }
            tally.by_producer = [("svc".into(), tally.verdicts)].into_iter().collect();
            ComplianceDelta { key: WindowKey { dataset, start }, tally }
        };
        (0..UPDATES).map(|_| one(self)).collect()
    }
}

fn windows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compliance_windows");
    group.throughput(Throughput::Elements(UPDATES));
    group.bench_function("10k datasets, 10k updates an epoch", |bencher| {
        let mut worker = worker();
        let (mut deltas, mut progress, probe) = worker.dataflow::<u64, _, _>(|scope| {
            let (deltas_in, deltas) = scope.new_input();
            let (progress_in, progress) = scope.new_input();
            let windows =
                compliance_windows(deltas, progress, &WindowOptions::default(), &StatePorts::closed(scope)).windows;
            (deltas_in, progress_in, windows.probe().0)
        });
        let partition = TopicPartition { topic: "raw.events".into(), partition: 0 };
        let mut records = Records::new();
        let mut epoch = 0;
        bencher.iter_batched(
            || records.epoch(),
            |mut batch| {
                deltas.send_batch(&mut batch);
                let high_water = Some(UnixMillis(0));
                progress.send(PartitionProgress { partition: partition.clone(), offset: epoch as i64, high_water });
                epoch += TICK;
                deltas.advance_to(epoch);
                progress.advance_to(epoch);
                worker.step_while(|| probe.less_than(&epoch));
                black_box(epoch)
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, windows);
criterion_main!(benches);
