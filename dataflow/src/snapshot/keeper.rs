//! The thread that keeps snapshots, and what workers know of it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use faultline_operators::state::{Section, StateChunk};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Acknowledged, FORMAT, Folder, Header, Snapshot, SnapshotError, WindowSettings};
use crate::{
    causes::WithCauses,
    health::{Dependency, Reporter},
    metrics::Metrics,
    topology::KeepState,
};

/// How often it is looked whether what lies before a cut has been acknowledged.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A snapshot that waits for longer than so many intervals is told of.
const OVERDUE: u32 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// What is counted of snapshots.
#[derive(Debug, Default)]
pub struct SnapshotMetrics {
    made: Family<OutcomeLabel, Counter>,
    epoch: Gauge<i64, AtomicI64>,
    bytes: Gauge<i64, AtomicI64>,
    milliseconds: Gauge<i64, AtomicI64>,
    unreadable: Counter,
}

impl SnapshotMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("snapshots", "Snapshots by outcome", self.made.clone());
        registry.register("snapshot_epoch_milliseconds", "The epoch of the newest snapshot", self.epoch.clone());
        registry.register("snapshot_bytes", "Its length", self.bytes.clone());
        registry.register("snapshot_milliseconds", "How long it took from the cut on", self.milliseconds.clone());
        let unreadable = "Rows of the snapshot at the start that could not be read";
        registry.register("snapshot_unreadable_rows", unreadable, self.unreadable.clone());
    }
}

/// What workers and the thread share.
#[derive(Debug, Default)]
struct Shared {
    /// The epoch of the newest snapshot, 0 before the first.
    covered: AtomicU64,
    /// Whether a snapshot is being made.
    under_way: AtomicBool,
    /// When the last one was begun.
    begun: Mutex<Option<Instant>>,
    stop: AtomicBool,
}

enum Message {
    Cut(u64, Vec<StateChunk>),
    Stop,
}

/// Keeps snapshots in a folder.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    acknowledged: Arc<Acknowledged>,
    every: Duration,
    inbox: mpsc::Sender<Message>,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    /// Starts the thread. A snapshot is begun every `every`, and kept once `acknowledged` says that all before it is where
    /// it was to go. `catalog` gives the version in force.
    ///
    /// # Errors
    /// The folder cannot be made, or the thread not be started.
    pub fn start(
        folder: Folder,
        every: Duration,
        windows: WindowSettings,
        workers: usize,
        catalog: impl Fn() -> String + Send + 'static,
        acknowledged: Arc<Acknowledged>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, SnapshotError> {
        folder.open()?;
        let shared = Arc::<Shared>::default();
        let (inbox, cuts) = mpsc::channel();
        let thread = Thread {
            folder,
            every,
            header: Header {
                format: FORMAT,
                epoch: 0,
                program: env!("CARGO_PKG_VERSION").to_owned(),
                workers,
                catalog: String::new(),
                windows,
                sections: Vec::new(),
            },
            catalog: Box::new(catalog),
            shared: Arc::clone(&shared),
            acknowledged: Arc::clone(&acknowledged),
            health: metrics.health.reporter(Dependency::Snapshots),
            metrics: Arc::clone(&metrics),
        };
        let run = move || thread.run(&cuts);
        let thread = std::thread::Builder::new().name("snapshots".to_owned()).spawn(run);
        let thread = Mutex::new(Some(thread.map_err(SnapshotError::Thread)?));
        Ok(Arc::new(Self { shared, acknowledged, every, inbox, metrics, thread }))
    }

    /// Notes that a worker's evidence of epochs before this one is where it was to go.
    pub fn evidence_before(&self, worker: usize, epoch: u64) {
        self.acknowledged.evidence_before(worker, epoch);
    }

    /// Whether it is time for another snapshot, which is begun then: the caller has the dataflow cut.
    pub fn begins(&self, now: Instant) -> bool {
        let mut begun = self.shared.begun.lock().unwrap_or_else(PoisonError::into_inner);
        // The first comes an interval after the start.
        let due = now.saturating_duration_since(*begun.get_or_insert(now)) >= self.every;
        if !due || self.shared.under_way.swap(true, Ordering::AcqRel) {
            return false;
        }
        *begun = Some(now);
        true
    }

    /// Begins the last snapshot, whether or not one is under way.
    pub fn begins_last(&self) {
        self.shared.under_way.store(true, Ordering::Release);
    }

    /// The epoch of the newest snapshot; 0 before the first.
    #[must_use]
    pub fn covered(&self) -> u64 {
        self.shared.covered.load(Ordering::Acquire)
    }

    /// Takes the state that is cut.
    #[must_use]
    pub fn sink(self: &Arc<Self>) -> Box<dyn KeepState> {
        Box::new(Sink { keeper: Arc::clone(self) })
    }

    /// Ends the thread. What waits to be acknowledged waits no more.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        let _ = self.inbox.send(Message::Stop);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

struct Sink {
    keeper: Arc<Keeper>,
}

impl KeepState for Sink {
    fn cut(&mut self, epoch: u64, chunks: Vec<StateChunk>) {
        // A thread that has ended keeps nothing more.
        let _ = self.keeper.inbox.send(Message::Cut(epoch, chunks));
    }

    fn unreadable(&mut self, section: Section, rows: u64) {
        self.keeper.metrics.snapshots.unreadable.inc_by(rows);
        let section = section.as_str();
        tracing::error!(section, rows, "rows of the snapshot could not be read: what they held is missing");
    }
}

struct Thread {
    folder: Folder,
    every: Duration,
    header: Header,
    catalog: Box<dyn Fn() -> String + Send>,
    shared: Arc<Shared>,
    acknowledged: Arc<Acknowledged>,
    health: Reporter,
    metrics: Arc<Metrics>,
}

impl Thread {
    fn run(mut self, cuts: &mpsc::Receiver<Message>) {
        while let Ok(Message::Cut(epoch, chunks)) = cuts.recv() {
            let begin = Instant::now();
            let outcome = if self.acknowledged(epoch, begin) { self.keep(epoch, chunks, begin) } else { "given_up" };
            self.metrics.snapshots.made.get_or_create(&OutcomeLabel { outcome }).inc();
            self.shared.under_way.store(false, Ordering::Release);
        }
    }

    /// Waits until all that lies before the end of `epoch` is where it was to go; says whether it is.
    fn acknowledged(&self, epoch: u64, begin: Instant) -> bool {
        while self.acknowledged.before() <= epoch {
            if self.shared.stop.load(Ordering::Acquire) {
                return false;
            }
            if begin.elapsed() > self.every * OVERDUE {
                self.health.degraded(&format_args!(
                    "no snapshot for {} s: evidence or stores are not up to date; after a crash all since the last one is \
                     read again",
                    begin.elapsed().as_secs()
                ));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }

    fn keep(&mut self, epoch: u64, chunks: Vec<StateChunk>, begin: Instant) -> &'static str {
        let unwritable: u64 = chunks.iter().map(StateChunk::unwritable).sum();
        if unwritable > 0 {
            self.health.degraded(&format_args!("{unwritable} rows of state cannot be written; this is a defect"));
            return "failed";
        }
        let header = Header { epoch, catalog: (self.catalog)(), ..self.header.clone() };
        match self.folder.write(&Snapshot::new(header, chunks)) {
            Ok(bytes) => {
                self.shared.covered.fetch_max(epoch, Ordering::AcqRel);
                let snapshots = &self.metrics.snapshots;
                snapshots.epoch.set(epoch as i64);
                snapshots.bytes.set(bytes as i64);
                snapshots.milliseconds.set(begin.elapsed().as_millis() as i64);
                self.health.up();
                "kept"
            }
            Err(error) => {
                let error = WithCauses(&error).to_string();
                self.health.degraded(&format_args!("{error}; the one before stays, and another is tried"));
                "failed"
            }
        }
    }
}
