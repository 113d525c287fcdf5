//! Streams of records over partitions, and what the dataflow makes of them with a number of workers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use differential_dataflow::input::InputSession;
use faultline_contracts::{
    evidence::FailureSample,
    ids::{EntityId, EvidenceId},
    incident::Breach,
    policy::{DatasetPolicy, Rollout},
    record::{RecordCoordinates, TopicPartition},
    signal::Signal,
    time::UnixMillis,
    window::{ComplianceWindow, Verdicts, WindowKey, WindowTally},
};
use faultline_operators::state::StatePorts;
use faultline_operators::{
    compliance::{ComplianceDelta, LateRecords, WindowCensus, WindowOptions, compliance_windows},
    signals::{SignalCensus, SignalOptions, Signals, signals},
    watermark::PartitionProgress,
};
use timely::dataflow::operators::{Capture, Input, capture::Event};

/// A record as the gates have judged it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub partition: i32,
    pub dataset: usize,
    pub event_time: i64,
    /// `Ok` passes, `Err(Some(n))` fails with the n-th signature, `Err(None)` is a warning.
    pub result: Result<(), Option<usize>>,
    pub offset: i64,
}

impl Judged {
    pub fn dataset_id(&self) -> EntityId {
        dataset(self.dataset)
    }

    pub fn count_into(&self, tally: &mut WindowTally) {
        let (verdicts, signature) = match self.result {
            Ok(()) => (Verdicts { pass: 1, ..Verdicts::default() }, None),
            Err(None) => (Verdicts { warn: 1, ..Verdicts::default() }, None),
            Err(Some(n)) => (Verdicts { fail: 1, ..Verdicts::default() }, Some(n)),
        };
        tally.verdicts.add(verdicts);
        tally.by_producer.get_or_default("orders-svc".into()).add(verdicts);
        if let Some(n) = signature {
            let at = RecordCoordinates { topic: "t", partition: self.partition, offset: self.offset };
            let id = EvidenceId::of(at, UnixMillis(self.event_time));
            let (topic, producer) = ("t".into(), "orders-svc".into());
            let sample = || FailureSample { id, topic, producer, trace_id: None, dag_run_id: None };
            tally.by_signature.get_or_default(format!("MISSING_FIELD:f{n}").as_str().into()).insert(id, sample);
        }
    }
}

pub fn dataset(n: usize) -> EntityId {
    format!("urn:dp:d{n}").into()
}

pub fn policy(n: usize) -> DatasetPolicy {
    DatasetPolicy {
        dataset: dataset(n),
        slo_millionths: 950_000,
        tier: 1,
        rollout: Rollout::On,
        owners: Vec::new(),
        schema: None,
        contract: None,
    }
}

/// What is read at one epoch. Partitions are assigned without having been read yet.
#[derive(Debug, Clone, Default)]
pub struct Tick {
    pub epoch: u64,
    pub records: Vec<Judged>,
    pub assigned: Vec<i32>,
    pub policies: Vec<(DatasetPolicy, isize)>,
    /// Whether the dataflow runs before the next tick.
    pub step: bool,
}

#[derive(Debug, Clone)]
pub struct Scenario {
    pub windows: WindowOptions,
    pub signals: SignalOptions,
    pub ticks: Vec<Tick>,
}

/// Updates by epoch, consolidated.
pub type Updates<D> = BTreeMap<(u64, D), isize>;

#[derive(Debug, Default, PartialEq)]
pub struct Output {
    pub windows: Updates<ComplianceWindow>,
    pub late: Updates<LateRecords>,
    pub signals: Updates<Signal>,
    pub breaches: Updates<Breach>,
    pub watermark: BTreeMap<u64, UnixMillis>,
    /// Of all workers.
    pub census: Vec<(u64, WindowCensus)>,
    pub signal_census: Vec<(u64, SignalCensus)>,
}

/// What a collection holds after the last update.
pub fn accumulate<D: Ord + Clone>(updates: &Updates<D>) -> Vec<D> {
    let mut held = BTreeMap::<D, isize>::new();
    for ((_, data), diff) in updates {
        *held.entry(data.clone()).or_default() += diff;
    }
    held.retain(|_, count| *count != 0);
    assert!(held.values().all(|&count| count == 1), "each once");
    held.into_keys().collect()
}

impl Scenario {
    pub fn progress(&self) -> Vec<(u64, Vec<PartitionProgress>)> {
        let mut high_water: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
        let report = |partition: i32, seen: Option<(i64, i64)>| PartitionProgress {
            partition: TopicPartition { topic: "t".into(), partition },
            offset: seen.map_or(-1, |(offset, _)| offset),
            high_water: seen.map(|(_, time)| UnixMillis(time)),
        };
        let of_tick = |tick: &Tick| {
            let mut reports: BTreeMap<i32, _> =
                tick.assigned.iter().map(|&p| (p, report(p, high_water.get(&p).copied()))).collect();
            for record in &tick.records {
                let seen = high_water.entry(record.partition).or_insert((record.offset, record.event_time));
                *seen = (seen.0.max(record.offset), seen.1.max(record.event_time));
                reports.insert(record.partition, report(record.partition, Some(*seen)));
            }
            (tick.epoch, reports.into_values().collect())
        };
        self.ticks.iter().map(of_tick).collect()
    }

    fn deltas(&self, tick: &Tick, worker: usize, workers: usize) -> Vec<ComplianceDelta> {
        let mut deltas: BTreeMap<WindowKey, WindowTally> = BTreeMap::new();
        for record in tick.records.iter().filter(|record| record.partition as usize % workers == worker) {
            let start = UnixMillis(record.event_time).floor_to(self.windows.width_ms as i64);
            record.count_into(deltas.entry(WindowKey { dataset: record.dataset_id(), start }).or_default());
        }
        deltas.into_iter().map(|(key, tally)| ComplianceDelta { key, tally }).collect()
    }

    /// Runs the whole of it.
    pub fn run(&self, workers: usize) -> Output {
        let (windows_tx, windows_rx) = mpsc::channel();
        let (late_tx, late_rx) = mpsc::channel();
        let (signals_tx, signals_rx) = mpsc::channel();
        let (breaches_tx, breaches_rx) = mpsc::channel();
        let (watermark_tx, watermark_rx) = mpsc::channel();
        let (census_tx, census_rx) = mpsc::channel();
        let (signal_census_tx, signal_census_rx) = mpsc::channel();
        let senders = (windows_tx, late_tx, signals_tx, breaches_tx, watermark_tx, census_tx, signal_census_tx);
        let senders = Mutex::new(senders);
        let scenario = Arc::new(self.clone());
        timely::execute(timely::Config::process(workers), move |worker| {
            let (windows_tx, late_tx, signals_tx, breaches_tx, watermark_tx, census_tx, signal_census_tx) =
                senders.lock().unwrap().clone();
            let mut policies = InputSession::new();
            let (mut deltas, mut progress, probe) = worker.dataflow::<u64, _, _>(|scope| {
                let (deltas_in, deltas) = scope.new_input::<Vec<ComplianceDelta>>();
                let (progress_in, progress) = scope.new_input::<Vec<PartitionProgress>>();
                let policies = policies.to_collection(scope);
                let state = StatePorts::closed(scope);
                let compliance = compliance_windows(deltas, progress, &scenario.windows, &state);
                let windows = compliance.windows.clone();
                let Signals { signals, breaches, census } =
                    signals(windows, policies, compliance.watermark.clone(), &scenario.signals, &state);
                compliance.windows.inner.capture_into(windows_tx);
                compliance.late.capture_into(late_tx);
                compliance.watermark.capture_into(watermark_tx);
                compliance.census.capture_into(census_tx);
                census.capture_into(signal_census_tx);
                breaches.inner.capture_into(breaches_tx);
                let (probe, signals) = signals.probe();
                signals.inner.capture_into(signals_tx);
                (deltas_in, progress_in, probe)
            });
            let (index, peers) = (worker.index(), worker.peers());
            for (tick, (_, reports)) in scenario.ticks.iter().zip(scenario.progress()) {
                deltas.advance_to(tick.epoch);
                progress.advance_to(tick.epoch);
                policies.advance_to(tick.epoch);
                policies.flush();
                if tick.step {
                    while probe.less_than(&tick.epoch) {
                        worker.step_or_park(Some(Duration::from_millis(1)));
                    }
                }
                for delta in scenario.deltas(tick, index, peers) {
                    deltas.send(delta);
                }
                for report in reports.into_iter().filter(|r| r.partition.partition as usize % peers == index) {
                    progress.send(report);
                }
                if index == 0 {
                    for (policy, diff) in &tick.policies {
                        policies.update(policy.clone(), *diff);
                    }
                }
            }
        })
        .unwrap();
        Output {
            windows: collect(windows_rx),
            late: count(late_rx),
            signals: collect(signals_rx),
            breaches: collect(breaches_rx),
            watermark: messages(watermark_rx).into_iter().collect(),
            census: messages(census_rx),
            signal_census: messages(signal_census_rx),
        }
    }
}

type Captured<D> = mpsc::Receiver<Event<u64, Vec<D>>>;

fn messages<D>(captured: Captured<D>) -> Vec<(u64, D)> {
    let mut all = Vec::new();
    for event in captured {
        if let Event::Messages(stamp, data) = event {
            let epoch = *stamp.least().unwrap();
            all.extend(data.into_iter().map(|data| (epoch, data)));
        }
    }
    all
}

fn collect<D: Ord>(captured: Captured<(D, u64, isize)>) -> Updates<D> {
    let mut updates = Updates::new();
    for (_, (data, epoch, diff)) in messages(captured) {
        *updates.entry((epoch, data)).or_default() += diff;
    }
    updates.retain(|_, diff| *diff != 0);
    updates
}

fn count<D: Ord>(captured: Captured<D>) -> Updates<D> {
    let mut updates = Updates::new();
    for (epoch, data) in messages(captured) {
        *updates.entry((epoch, data)).or_default() += 1;
    }
    updates
}
