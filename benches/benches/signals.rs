//! Signals on one worker: 10,000 datasets with 6 windows each, of which one changes for every dataset in every epoch.

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use differential_dataflow::input::InputSession;
use faultline_benches::worker::worker;
use faultline_contracts::{
    evidence::FailureSample,
    ids::{EntityId, EvidenceId},
    policy::{DatasetPolicy, Rollout},
    record::RecordCoordinates,
    time::UnixMillis,
    window::{ComplianceWindow, Verdicts, WindowKey, WindowStatus, WindowTally},
};
use faultline_operators::signals::{SignalOptions, signals};
use faultline_operators::state::StatePorts;
use timely::dataflow::{ProbeHandle, operators::Input};

const DATASETS: usize = 10_000;
/// Windows before the one that changes; they are final.
const GONE_BY: i64 = 5;
const WIDTH: i64 = 300_000;
const TICK: u64 = 20;

/// What the windows of a bench are like.
#[derive(Clone, Copy)]
struct Shape {
    /// Of the window that changes.
    status: WindowStatus,
    /// One dataset in this many is in breach.
    breached_of: usize,
}

/// The window of every dataset that changes, as it is now.
struct Changing {
    shape: Shape,
    windows: Vec<ComplianceWindow>,
}

fn dataset(n: usize) -> EntityId {
    format!("urn:dp:domain{}:dataset{n}", n % 50).into()
}

fn policy(n: usize) -> DatasetPolicy {
    DatasetPolicy {
        dataset: dataset(n),
        slo_millionths: 950_000,
        tier: 1,
        rollout: Rollout::On,
        owners: vec!["svc".into()],
        schema: None,
        contract: None,
    }
}

/// The dataset's window number `window`, of 1,000 records: a tenth of them fails where it is in breach, and none elsewhere.
fn window(n: usize, window: i64, status: WindowStatus, breached: bool) -> ComplianceWindow {
    let start = UnixMillis(window * WIDTH);
    let mut tally = WindowTally::default();
    if breached {
        let reason = tally.by_signature.get_or_default("MISSING_FIELD:field".into());
        for offset in 0..100 {
            let at = RecordCoordinates { topic: "raw.events", partition: 0, offset };
            let id = EvidenceId::of(at, start.plus(offset));
            let (topic, producer) = ("raw.events".into(), "svc".into());
            reason.insert(id, || FailureSample { id, topic, producer, trace_id: None, dag_run_id: None });
        }
        tally.verdicts = Verdicts { pass: 900, fail: 100, warn: 0 };
    } else {
        tally.verdicts = Verdicts { pass: 1_000, fail: 0, warn: 0 };
    }
    tally.by_producer = [("svc".into(), tally.verdicts)].into_iter().collect();
    let key = WindowKey { dataset: dataset(n), start };
    ComplianceWindow { key, end: start.plus(WIDTH), status, tally: Arc::new(tally) }
}

impl Changing {
    fn new(shape: Shape) -> Self {
        let windows = (0..DATASETS).map(|n| window(n, GONE_BY, shape.status, shape.breaches(n)));
        Self { shape, windows: windows.collect() }
    }

    /// One more passing record for each dataset, or, where it is in breach, ten with one that fails.
    fn epoch(&mut self) -> Vec<(ComplianceWindow, isize)> {
        let mut changes = Vec::with_capacity(2 * DATASETS);
        for (n, window) in self.windows.iter_mut().enumerate() {
            changes.push((window.clone(), -1));
            let mut tally = WindowTally::clone(&window.tally);
            let more = if self.shape.breaches(n) {
                Verdicts { pass: 9, fail: 1, warn: 0 }
            } else {
                Verdicts { pass: 1, ..Verdicts::default() }
            };
            tally.verdicts.add(more);
            if more.fail > 0 {
                tally.by_signature.get_or_default("MISSING_FIELD:field".into()).count += more.fail;
            }
            tally.by_producer.get_or_default("svc".into()).add(more);
            window.tally = Arc::new(tally);
            changes.push((window.clone(), 1));
        }
        changes
    }
}

impl Shape {
    fn breaches(self, n: usize) -> bool {
        (n + 1).is_multiple_of(self.breached_of)
    }
}

fn one_change_each(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signals/10k_datasets_one_window_change_each");
    group.throughput(Throughput::Elements(DATASETS as u64)).sample_size(20);
    let (provisional, last) = (WindowStatus::Provisional, WindowStatus::Final);
    for (name, status, breached_of) in [
        ("provisional, none in breach", provisional, usize::MAX),
        ("provisional, one in ten in breach", provisional, 10),
        ("final and late, one in ten in breach", last, 10),
    ] {
        let shape = Shape { status, breached_of };
        let mut worker = worker();
        let (mut windows, mut policies) = (InputSession::new(), InputSession::new());
        let probe = ProbeHandle::new();
        let mut watermark = worker.dataflow::<u64, _, _>(|scope| {
            let (watermark_in, watermark) = scope.new_input();
            let (windows, policies) = (windows.to_collection(scope), policies.to_collection(scope));
            let signals = signals(windows, policies, watermark, &SignalOptions::default(), &StatePorts::closed(scope));
            signals.signals.probe_with(&probe);
            signals.breaches.probe_with(&probe);
            watermark_in
        });
        let mut changing = Changing::new(shape);
        for n in 0..DATASETS {
            policies.insert(policy(n));
            (0..GONE_BY).for_each(|gone| windows.insert(window(n, gone, WindowStatus::Final, shape.breaches(n))));
        }
        changing.windows.iter().for_each(|window| windows.insert(window.clone()));
        let mut epoch = 0;
        let mut close = |windows: &mut InputSession<u64, ComplianceWindow, isize>| {
            epoch += TICK;
            windows.advance_to(epoch);
            windows.flush();
            policies.advance_to(epoch);
            policies.flush();
            watermark.advance_to(epoch);
            worker.step_while(|| probe.less_than(&epoch));
        };
        close(&mut windows);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || changing.epoch(),
                |changes| {
                    changes.into_iter().for_each(|(window, diff)| windows.update(window, diff));
                    close(&mut windows);
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, one_change_each);
criterion_main!(benches);
