//! Compliance windows: windows come and go as event time passes, and records change all of those alive.

use std::time::{Duration, Instant};

use faultline_benches::worker::worker;
use faultline_contracts::{record::TopicPartition, time::UnixMillis};
use faultline_operators::state::StatePorts;
use faultline_operators::{
    compliance::{ComplianceDelta, WindowOptions, compliance_windows},
    watermark::PartitionProgress,
};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{InputHandle, ProbeHandle, operators::Input},
    worker::Worker,
};

use crate::{
    records::{Judged, Records},
    report::{MeasureError, Report, Times, resident_mb},
};

/// How much there is.
#[derive(Debug, clap::Args)]
pub struct Sizes {
    /// Datasets.
    #[arg(long, default_value_t = 10_000)]
    datasets: u32,
    /// Windows of each dataset that are alive at any time.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    alive: u32,
    /// Ways to fail.
    #[arg(long, default_value_t = 5)]
    reasons: u8,
    /// Records of an epoch.
    #[arg(long, default_value_t = 10_000)]
    records: u64,
    /// Epochs that are measured.
    #[arg(long, default_value_t = 1_200)]
    epochs: u64,
    /// Epochs until event time enters the next window.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    epochs_per_window: u64,
    /// Windows that event time passes while memory is watched.
    #[arg(long, default_value_t = 1_000)]
    memory_windows: u64,
    /// Epochs of each of these.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    memory_epochs_per_window: u64,
}

/// Milliseconds of event time in a window.
const WIDTH: i64 = 300_000;
/// Milliseconds of an epoch.
const TICK: u64 = 20;

type Inlet<D> = InputHandle<u64, CapacityContainerBuilder<Vec<D>>>;

/// The operator under a worker, and where event time is.
struct Stage {
    worker: Worker,
    deltas: Inlet<ComplianceDelta>,
    progress: Inlet<PartitionProgress>,
    probe: ProbeHandle<u64>,
    epoch: u64,
    alive: i64,
    epochs_per_window: u64,
}

impl Stage {
    fn new(sizes: &Sizes, epochs_per_window: u64) -> Self {
        let alive = i64::from(sizes.alive);
        // A window is retired when event time has passed as many windows as are to be alive.
        let grace_ms = ((alive - 1) * WIDTH).unsigned_abs();
        let options = WindowOptions {
            width_ms: WIDTH.unsigned_abs(),
            allowed_lateness_ms: 0,
            grace_ms,
            ..WindowOptions::default()
        };
        let mut worker = worker();
        let (deltas, progress, probe) = worker.dataflow::<u64, _, _>(|scope| {
            let (deltas_in, deltas) = scope.new_input();
            let (progress_in, progress) = scope.new_input();
            let windows = compliance_windows(deltas, progress, &options, &StatePorts::closed(scope)).windows;
            (deltas_in, progress_in, windows.probe().0)
        });
        Self { worker, deltas, progress, probe, epoch: 0, alive, epochs_per_window }
    }

    /// Where event time is in the current epoch.
    fn now(&self) -> UnixMillis {
        let (window, within) = (self.epoch / self.epochs_per_window, self.epoch % self.epochs_per_window);
        let within = within as i64 * WIDTH / self.epochs_per_window as i64;
        UnixMillis((window as i64 + self.alive) * WIDTH + within)
    }

    /// The windows that records may belong to.
    fn starts(&self) -> Vec<UnixMillis> {
        let current = self.now().floor_to(WIDTH);
        (0..self.alive).map(|back| current.plus(-back * WIDTH)).collect()
    }

    /// Whether windows become final and are retired in the current epoch.
    fn turns_over(&self) -> bool {
        self.epoch.is_multiple_of(self.epochs_per_window)
    }

    /// Sends an epoch's deltas and waits until their windows are out.
    fn close(&mut self, mut deltas: Vec<ComplianceDelta>) -> Duration {
        let partition = TopicPartition { topic: "raw.events".into(), partition: 0 };
        let high_water = Some(self.now());
        let began = Instant::now();
        self.deltas.send_batch(&mut deltas);
        self.progress.send(PartitionProgress { partition, offset: self.epoch as i64, high_water });
        self.epoch += 1;
        let time = self.epoch * TICK;
        self.deltas.advance_to(time);
        self.progress.advance_to(time);
        let probe = &self.probe;
        self.worker.step_while(|| probe.less_than(&time));
        began.elapsed()
    }
}

/// Measures it.
///
/// # Errors
/// The process's memory cannot be read.
pub fn measure(sizes: &Sizes) -> Result<Report, MeasureError> {
    let Sizes { datasets, alive, reasons, records, .. } = sizes;
    let mut report = Report::new(format!(
        "Compliance windows: {datasets} datasets × {alive} windows × {reasons} reasons, epochs of {records} records, 1 worker"
    ));
    // First, while nothing else has made the process grow.
    memory(sizes, &mut report)?;
    apart(sizes, &mut report);
    tallied(sizes, &mut report);
    Ok(report)
}

fn rate(records: u64, epochs: u64, time: Duration) -> String {
    format!("{:.2} M records/s", (records * epochs) as f64 / time.as_secs_f64() / 1e6)
}

/// Fills all windows that are alive, so that what is measured is the steady state.
fn filled(sizes: &Sizes, records: &mut Records) -> Stage {
    let mut stage = Stage::new(sizes, sizes.epochs_per_window);
    for _ in 0..sizes.epochs_per_window * u64::from(sizes.alive) {
        let batch = records.epoch(sizes.records, &stage.starts(), WIDTH);
        stage.close(records.tallied(&batch));
    }
    stage
}

fn apart(sizes: &Sizes, report: &mut Report) {
    let mut records = Records::new(sizes.datasets, sizes.reasons);
    let mut stage = filled(sizes, &mut records);
    let (mut all, mut turnovers) = (Times::default(), Times::default());
    for _ in 0..sizes.epochs {
        let batch = records.epoch(sizes.records, &stage.starts(), WIDTH);
        let deltas = records.apart(&batch);
        let turns_over = stage.turns_over();
        let time = stage.close(deltas);
        all.record(time);
        if turns_over {
            turnovers.record(time);
        }
    }
    report.row("operator, a delta a record", &all, rate(sizes.records, sizes.epochs, all.total()));
    report.row("of these, epochs in which windows turn over", &turnovers, "");
}

fn tallied(sizes: &Sizes, report: &mut Report) {
    let mut records = Records::new(sizes.datasets, sizes.reasons);
    let mut stage = filled(sizes, &mut records);
    let (mut whole, mut operator) = (Times::default(), Times::default());
    let mut sent = 0;
    for _ in 0..sizes.epochs {
        let batch: Vec<Judged> = records.epoch(sizes.records, &stage.starts(), WIDTH);
        let began = Instant::now();
        let deltas = records.tallied(&batch);
        let tally = began.elapsed();
        sent += deltas.len();
        let time = stage.close(deltas);
        whole.record(tally + time);
        operator.record(time);
    }
    report.row("tally of a tick and operator", &whole, rate(sizes.records, sizes.epochs, whole.total()));
    report.row("of it, the operator", &operator, rate(sizes.records, sizes.epochs, operator.total()));
    report.remark(format!("a tick's {} records are {} deltas", sizes.records, sent / sizes.epochs.max(1) as usize));
}

fn memory(sizes: &Sizes, report: &mut Report) -> Result<(), MeasureError> {
    let mut records = Records::new(sizes.datasets, sizes.reasons);
    let mut stage = Stage::new(sizes, sizes.memory_epochs_per_window);
    for window in 0..sizes.memory_windows {
        for _ in 0..sizes.memory_epochs_per_window {
            let batch = records.epoch(sizes.records, &stage.starts(), WIDTH);
            stage.close(records.tallied(&batch));
        }
        if [sizes.memory_windows / 10, sizes.memory_windows].contains(&(window + 1)) {
            report.remark(format!("resident after {} windows of each dataset: {} MB", window + 1, resident_mb()?));
        }
    }
    Ok(())
}
