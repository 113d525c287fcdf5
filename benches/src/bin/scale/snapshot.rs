//! Snapshots: how long a cut of many windows takes and keeps the worker, what it costs on disk, and how long it takes to go
//! on from one with other numbers of workers.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use faultline::snapshot::{FORMAT, Folder, Header, Snapshot, WindowSettings};
use faultline_benches::worker::worker;
use faultline_contracts::{record::TopicPartition, time::UnixMillis};
use faultline_operators::{
    compliance::{ComplianceDelta, WindowOptions, compliance_windows},
    state::{Cut, StateChunk, StatePorts},
    watermark::PartitionProgress,
};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        InputHandle, ProbeHandle,
        operators::{Input, Inspect, Probe},
    },
    worker::Worker,
};

use crate::{
    records::Records,
    report::{MeasureError, Report, Times},
};

/// How much there is.
#[derive(Debug, clap::Args)]
pub struct Sizes {
    /// Windows alive: one of each dataset.
    #[arg(long, default_value_t = 1_000_000)]
    windows: u32,
    /// Ways to fail.
    #[arg(long, default_value_t = 5)]
    reasons: u8,
    /// Records of an epoch while it is cut.
    #[arg(long, default_value_t = 2_000)]
    records: u64,
    /// How often it is cut.
    #[arg(long, default_value_t = 5)]
    cuts: u32,
    /// Into how many workers it is restored, each in turn.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3])]
    into: Vec<usize>,
}

const WIDTH: i64 = 300_000;
const TICK: u64 = 20;

type Inlet<D> = InputHandle<u64, CapacityContainerBuilder<Vec<D>>>;

/// The operator on one worker, with its ports of state.
struct Stage {
    deltas: Inlet<ComplianceDelta>,
    progress: Inlet<PartitionProgress>,
    cuts: Inlet<Cut>,
    restored: Inlet<StateChunk>,
    /// Of the windows.
    probe: ProbeHandle<u64>,
    /// Of the state that leaves.
    left: ProbeHandle<u64>,
    chunks: Rc<RefCell<Vec<StateChunk>>>,
    epoch: u64,
}

impl Stage {
    fn new(worker: &mut Worker) -> Self {
        let chunks = Rc::<RefCell<Vec<StateChunk>>>::default();
        worker.dataflow::<u64, _, _>(|scope| {
            let (deltas, delta_rows) = scope.new_input();
            let (progress, progress_rows) = scope.new_input();
            let (cuts, cut_rows) = scope.new_input();
            let (restored, restored_rows) = scope.new_input();
            let state = StatePorts::new(cut_rows, restored_rows);
            let windows = compliance_windows(delta_rows, progress_rows, &WindowOptions::default(), &state).windows;
            let taken = Rc::clone(&chunks);
            let left = state.leaving(scope).inspect(move |chunk| taken.borrow_mut().push(chunk.clone())).probe().0;
            let probe = windows.probe().0;
            Self { deltas, progress, cuts, restored, probe, left, chunks, epoch: 0 }
        })
    }

    fn send(&mut self, mut deltas: Vec<ComplianceDelta>) {
        let partition = TopicPartition { topic: "raw.events".into(), partition: 0 };
        self.deltas.send_batch(&mut deltas);
        self.progress.send(PartitionProgress {
            partition,
            offset: self.epoch as i64,
            high_water: Some(UnixMillis(WIDTH + 1)),
        });
    }

    fn advance(&mut self) {
        self.epoch += TICK;
        self.deltas.advance_to(self.epoch);
        self.progress.advance_to(self.epoch);
        self.cuts.advance_to(self.epoch);
        self.restored.advance_to(self.epoch);
    }
}

/// Measures it.
///
/// # Errors
/// The snapshot cannot be written.
pub fn measure(sizes: &Sizes) -> Result<Report, MeasureError> {
    let mut report = Report::new(format!("Snapshots of {} windows", sizes.windows));
    let mut worker = worker();
    let mut stage = Stage::new(&mut worker);
    let mut records = Records::new(sizes.windows, sizes.reasons);
    // One record of each dataset, and then a steady load.
    let batch = records.each(UnixMillis(WIDTH));
    stage.send(batch);
    stage.advance();
    worker.step_while(|| stage.probe.less_than(&stage.epoch));

    let mut quiet = Times::default();
    for _ in 0..200 {
        let batch = records.epoch(sizes.records, &[UnixMillis(WIDTH)], WIDTH);
        let deltas = records.tallied(&batch);
        let begin = Instant::now();
        stage.send(deltas);
        stage.advance();
        worker.step_while(|| stage.probe.less_than(&stage.epoch));
        quiet.record(begin.elapsed());
    }
    report.row("an epoch without a cut", &quiet, "");

    let (mut cut, mut steps, mut under_cut) = (Times::default(), Times::default(), Times::default());
    let mut longest = Duration::ZERO;
    for _ in 0..sizes.cuts {
        stage.chunks.borrow_mut().clear();
        stage.cuts.send(Cut);
        let at = stage.epoch;
        let begin = Instant::now();
        // Epochs go on at their pace while the state leaves.
        let mut tick = begin;
        stage.advance();
        while stage.left.less_equal(&at) {
            if tick.elapsed() >= Duration::from_millis(TICK) {
                tick = Instant::now();
                let batch = records.epoch(sizes.records, &[UnixMillis(WIDTH)], WIDTH);
                let deltas = records.tallied(&batch);
                stage.send(deltas);
                stage.advance();
            }
            let step = Instant::now();
            worker.step();
            longest = longest.max(step.elapsed());
            steps.record(step.elapsed());
        }
        cut.record(begin.elapsed());
        let caught_up = Instant::now();
        worker.step_while(|| stage.probe.less_than(&stage.epoch));
        under_cut.record(caught_up.elapsed());
    }
    report.row("cut: from the marker to the last row", &cut, format!("longest pause of the worker {longest:?}"));
    report.row("steps of the worker meanwhile", &steps, "");
    report.row("to catch up with what came meanwhile", &under_cut, "");

    let chunks = stage.chunks.take();
    let rows: u64 = chunks.iter().map(StateChunk::rows).sum();
    let dir = std::env::temp_dir().join(format!("faultline-snapshots-{}", std::process::id()));
    let folder = Folder::new(&dir, 1);
    let written = write(&folder, chunks.clone(), &mut report);
    let _ = std::fs::remove_dir_all(&dir);
    written?;
    report.remark(format!("{rows} rows"));

    for &workers in &sizes.into {
        let mut restore = Times::default();
        for _ in 0..3 {
            restore.record(restored(&chunks, workers));
        }
        report.row(format!("restored into {workers} workers"), &restore, "");
    }
    Ok(report)
}

/// Writes them as a snapshot, and reads it back.
fn write(folder: &Folder, chunks: Vec<StateChunk>, report: &mut Report) -> Result<(), MeasureError> {
    let wrong = |error: faultline::snapshot::SnapshotError| MeasureError::Wrong(error.to_string());
    folder.open().map_err(wrong)?;
    let header = Header {
        format: FORMAT,
        epoch: 1,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        workers: 1,
        catalog: String::new(),
        windows: WindowSettings { width_ms: WIDTH.unsigned_abs() },
        sections: Vec::new(),
    };
    let snapshot = Snapshot::new(header, chunks);
    let (mut written, mut read) = (Times::default(), Times::default());
    let mut bytes = 0;
    for _ in 0..3 {
        let begin = Instant::now();
        bytes = folder.write(&snapshot).map_err(wrong)?;
        written.record(begin.elapsed());
        let begin = Instant::now();
        folder.latest().map_err(wrong)?.ok_or_else(|| MeasureError::Wrong("the snapshot is not there".to_owned()))?;
        read.record(begin.elapsed());
    }
    report.row("written and synced, by another thread", &written, format!("{:.1} MB", bytes as f64 / 1e6));
    report.row("read and checked", &read, "");
    Ok(())
}

/// From the rows to the first answer, with so many workers.
fn restored(chunks: &[StateChunk], workers: usize) -> Duration {
    let chunks = Arc::new(Mutex::new(Some(chunks.to_vec())));
    let begin = Instant::now();
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let mut stage = Stage::new(worker);
        if worker.index() == 0
            && let Some(chunks) = chunks.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            let parts = chunks.iter().flat_map(|chunk| chunk.divided(workers).unwrap_or_default());
            stage.restored.send_batch(&mut parts.collect());
        }
        stage.advance();
        worker.step_while(|| stage.probe.less_than(&stage.epoch));
        begin.elapsed()
    });
    let times = guards.map(|guards| guards.join().into_iter().filter_map(Result::ok).max());
    times.ok().flatten().unwrap_or_default()
}
