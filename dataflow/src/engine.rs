//! The engine: worker threads that take records in, close epochs, and step the dataflow.
//!
//! Live, an epoch is the wall clock rounded down to the tick. A worker with nothing to do parks; it is woken by records
//! (librdkafka's callback), by a command, by another worker's messages, or by the next tick. While no worker of the
//! process has records, ticks are longer, so that an idle service costs next to nothing.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::Thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use faultline_contracts::{catalog::Catalog, record::TopicPartition, time::UnixMillis};
use faultline_operators::{
    blast_radius::ReachQuery,
    positions::Position,
    state::{RowError, StateChunk},
};
use faultline_sinks::kafka::KafkaSettings;
use timely::{
    WorkerConfig,
    communication::{
        Hooks, WorkerGuards,
        allocator::{AllocatorBuilder, ProcessBuilder, zero_copy::initialize::initialize_networking_from_sockets},
    },
    dataflow::ProbeHandle,
    execute::execute_from,
    worker::Worker,
};

use crate::{
    catalog::{CatalogInForce, CatalogRowChanges, Schedule},
    cluster::{self, Bulletin, Notice, Peers},
    config::Config,
    intake::{EvidenceOutput, WorkerIntake, schemas::Schemas},
    metrics::Metrics,
    registry::SchemaSource,
    snapshot::Keeper,
    sources::{
        files::FileSource,
        kafka::{KafkaCluster, KafkaSource, KafkaSourceError, KafkaSourceOptions},
        replay::{ReplayIndex, ReplaySource},
    },
    topology::{self, CatalogRows, Inputs, Publish},
};

/// How many records a worker takes before it lets the dataflow have a turn.
const BATCH: usize = 4_096;
/// The longest tick of an idle process, in milliseconds.
const IDLE_TICK_MS: u64 = 1_000;
/// How long after the last record a process counts as idle, in milliseconds.
const IDLE_AFTER_MS: u64 = 1_000;
/// How often positions are committed.
const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// How long a worker that ends waits for the evidence of others that goes the same way.
const SHARED_FLUSH: Duration = Duration::from_secs(5);
/// How long the last cut may take, and the last snapshot after it.
const LAST_CUT: Duration = Duration::from_secs(4);
const LAST_SNAPSHOT: Duration = Duration::from_secs(4);
/// How often workers of other processes tell how far their evidence is, at most.
const TELL_EVERY: Duration = Duration::from_millis(50);
/// How long the first epoch may take: brokers are asked then, and state is restored.
const START_WITHIN: Duration = Duration::from_secs(60);
/// The longest pause between two steps where something is waited for.
const STEP: Duration = Duration::from_millis(10);
/// How many epochs a replaying worker may be ahead of the slowest.
const REPLAY_LEAD: u64 = 64;

/// An engine that cannot start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Timely could not start its threads.
    #[error("cannot start the workers: {0}")]
    Start(String),
    /// A source cannot start.
    #[error(transparent)]
    Kafka(#[from] KafkaSourceError),
    /// An output cannot be opened.
    #[error("cannot open the evidence output of worker {worker}: {message}")]
    Evidence {
        /// The worker.
        worker: usize,
        /// Why.
        message: String,
    },
    /// The snapshot to go on from is not one.
    #[error("cannot go on from the snapshot: {0}; start anew with --fresh")]
    Snapshot(#[source] RowError),
    /// Another process is connected, and does nothing.
    #[error("no epoch has closed for {0:?}: another process of the cluster is there and does nothing")]
    PeerSilent(Duration),
    /// A worker's evidence cannot be written any more.
    #[error("worker {worker} stopped: {message}")]
    EvidenceEnded {
        /// The worker.
        worker: usize,
        /// Why, and what to do.
        message: String,
    },
    /// A worker panicked.
    #[error("a worker failed: {0}; this is a defect")]
    Worker(String),
}

/// Where a worker's records come from.
#[derive(Debug, Clone)]
pub enum Feed {
    /// Kafka, live, by these settings.
    Kafka(KafkaSettings),
    /// Files that grow, live.
    Files,
    /// Captured records, by event time. So many records are taken between two steps of the dataflow.
    Replay {
        /// All records.
        index: Arc<ReplayIndex>,
        /// Records between two steps.
        batch: usize,
        /// Whether to stay at the end and go on answering standing queries, until stopped.
        hold: bool,
    },
}

/// What is asked of a worker while it runs.
#[derive(Debug)]
enum Command {
    Stand(ReachQuery, isize),
}

/// A way to reach a worker.
#[derive(Debug, Clone)]
struct Reach {
    commands: mpsc::Sender<Command>,
    thread: Arc<Mutex<Option<Thread>>>,
}

impl Reach {
    fn wake(&self) {
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            thread.unpark();
        }
    }
}

/// What an engine is built from.
pub struct EngineParts<P, E> {
    /// The configuration.
    pub config: Arc<Config>,
    /// The catalog in force. It changes by [`Engine::catalog_switches`] alone, and not in a replay.
    pub catalog: Arc<CatalogInForce>,
    /// The catalog's rows.
    pub rows: CatalogRows,
    /// Where records come from.
    pub feed: Feed,
    /// The registries of the schemas that records carry; `None` where none is configured.
    pub schemas: Option<Arc<dyn SchemaSource>>,
    /// Metrics of the process.
    pub metrics: Arc<Metrics>,
    /// Where changes go.
    pub publish: P,
    /// Makes each worker's evidence output.
    pub evidence: E,
    /// Snapshots of a live feed; `None` where none are kept.
    pub snapshots: Option<Snapshots>,
    /// The other processes, if there are any.
    pub cluster: Option<Cluster>,
}

/// How an engine goes on from one snapshot, and makes others.
pub struct Snapshots {
    /// Keeps them, in the process of the cluster's first worker.
    pub keeper: Option<Arc<Keeper>>,
    /// The one to go on from, there.
    pub resume: Option<Resume>,
}

/// The other processes of a cluster.
pub struct Cluster {
    /// Connections to them.
    pub peers: Peers,
    /// Ends this process, because one of its workers cannot go on: the others are not to wait for it.
    pub fail: Arc<dyn Fn(&EngineError) + Send + Sync>,
}

/// A snapshot to go on from.
pub struct Resume {
    /// Its state.
    pub chunks: Vec<StateChunk>,
    /// Where partitions are read from.
    pub positions: BTreeMap<TopicPartition, Position>,
    /// The epoch at which it goes on, later than its own.
    pub at: u64,
}

impl<P> EngineParts<P, ()> {
    /// The same with what makes each worker's evidence output.
    pub fn with_evidence<E>(self, evidence: E) -> EngineParts<P, E> {
        let Self { config, catalog, rows, feed, schemas, metrics, publish, evidence: (), snapshots, cluster } = self;
        EngineParts { config, catalog, rows, feed, schemas, metrics, publish, evidence, snapshots, cluster }
    }
}

/// A running engine.
pub struct Engine {
    guards: WorkerGuards<Result<(), EngineError>>,
    workers: Vec<Reach>,
    schedule: Arc<Schedule>,
    stop: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

/// State that the workers of a process share: read once a loop, written once a tick.
struct Shared {
    stop: Arc<AtomicBool>,
    /// The last epoch in which any worker had a record.
    active: AtomicU64,
    workers: Vec<Reach>,
    schedule: Arc<Schedule>,
    /// The cluster's first worker that is one of this process.
    first: usize,
    /// Whether other processes are part of it.
    clustered: bool,
    /// Whether any process keeps snapshots, so that positions are committed behind them alone.
    snapshots: bool,
    /// Keeps them, if it is this process.
    keeper: Option<Arc<Keeper>>,
    /// The epoch of the newest snapshot, 0 before the first.
    covered: AtomicU64,
}

impl Engine {
    /// Starts the workers. `evidence` is called once on each, with its index.
    ///
    /// # Errors
    /// The threads cannot be started. What goes wrong on a worker later is told by [`Engine::join`].
    pub fn start<P, E, O>(parts: EngineParts<P, E>) -> Result<Self, EngineError>
    where
        P: Publish + Send,
        E: Fn(usize) -> Result<O, String> + Send + Sync + 'static,
        O: EvidenceOutput + 'static,
    {
        let EngineParts {
            config,
            catalog,
            rows,
            feed,
            schemas,
            metrics,
            publish,
            evidence,
            snapshots,
            cluster: others,
        } = parts;
        let cluster = match (&feed, &config.kafka) {
            (Feed::Kafka(settings), Some(kafka)) => Some(KafkaCluster::connect(settings, kafka, &metrics)?),
            _ => None,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let process_metrics = Arc::clone(&metrics);
        let (reaches, receivers): (Vec<_>, Vec<_>) = (0..config.workers)
            .map(|_| {
                let (commands, receiver) = mpsc::channel();
                (Reach { commands, thread: Arc::default() }, Some(receiver))
            })
            .unzip();
        let (peers, fail) = others.map_or((None, None), |Cluster { peers, fail }| (Some(peers), Some(fail)));
        let processes = peers.as_ref().map_or(1, |peers| peers.sockets.len());
        let first = peers.as_ref().map_or(0, |peers| peers.process) * config.workers;
        let kept = snapshots.is_some();
        let (keeper, resume) = snapshots.map_or((None, None), |Snapshots { keeper, resume }| (keeper, resume));
        let (state, positions, resumed_at) = match resume {
            Some(Resume { chunks, positions, at }) => (chunks, positions, Some(at)),
            None => (Vec::new(), BTreeMap::new(), None),
        };
        let start = match &feed {
            Feed::Replay { .. } => 0,
            Feed::Kafka(_) | Feed::Files => epoch_of(wall_clock(), config.tick_ms),
        };
        let start = resumed_at.map_or(start, |at| at.max(start));
        let schedule = Arc::new(Schedule::new(config.workers, start, Arc::clone(&catalog)));
        let shared = Arc::new(Shared {
            stop: Arc::clone(&stop),
            active: AtomicU64::new(0),
            workers: reaches.clone(),
            schedule: Arc::clone(&schedule),
            first,
            clustered: processes > 1,
            snapshots: kept,
            keeper,
            covered: AtomicU64::new(0),
        });
        // That of the start, on all workers: what comes into force meanwhile is switched to.
        let catalog = Arc::clone(&catalog.read().catalog);
        if let Some(schemas) = &schemas {
            // A record may wait for a schema on any worker.
            let workers = reaches.clone();
            schemas.subscribe(Arc::new(move || workers.iter().for_each(Reach::wake)));
        }
        let receivers = Mutex::new(receivers);
        let publish = Mutex::new(Some(publish));
        let rows = Mutex::new(Some((rows, state)));

        let viewers: Vec<usize> = (0..processes).map(|process| process * config.workers).collect();
        let (builders, communication) = allocators(config.workers, peers).map_err(EngineError::Start)?;
        // Spinning buys microseconds and costs a core; wake-ups are explicit here.
        let options = WorkerConfig::default().idle_spin(Duration::ZERO);
        let guards = execute_from(builders, communication, options, move |worker| {
            let index = worker.index();
            // Its place among the workers of this process.
            let place = index - shared.first;
            let reach = &shared.workers[place];
            *reach.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
            let commands = receivers.lock().unwrap_or_else(PoisonError::into_inner)[place].take();
            let publish = if place == 0 { publish.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };

            let keep = shared.keeper.as_ref().filter(|_| index == topology::STATE_KEEPER).map(Keeper::sink);
            let (mut inputs, probe) = worker
                .dataflow_named("Faultline", |scope| topology::build(scope, &config, viewers.clone(), publish, keep));
            let mut bulletin = Bulletin::put_up(worker);
            if index == 0
                && let Some((rows, state)) = rows.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                // The catalog and the state come at one epoch, and all else later.
                inputs.advance_to(resumed_at.unwrap_or(0));
                inputs.load_catalog(rows);
                let parts: Result<Vec<_>, _> = state.iter().map(|chunk| chunk.divided(worker.peers())).collect();
                inputs.restore(parts.map_err(EngineError::Snapshot)?.concat());
                let positions = positions.iter().map(|(at, position)| (at.clone(), position.clone())).collect();
                bulletin.post(Notice::Begin { epoch: resumed_at.map_or(0, |at| at + 1), positions });
            }
            let output = evidence(index).map_err(|message| {
                shared.stop.store(true, Ordering::Relaxed);
                EngineError::Evidence { worker: index, message }
            })?;
            let gates = config.gates(Arc::clone(&catalog));
            let schemas = match &feed {
                Feed::Replay { .. } => Schemas::captured(schemas.clone()),
                Feed::Kafka(_) | Feed::Files => Schemas::live(schemas.clone()),
            };
            let intake =
                WorkerIntake::new(gates, schemas, output, config.intake_options(), Arc::clone(&metrics.intake));
            let run = Run {
                config: &config,
                catalog: Arc::clone(&catalog),
                switches_taken: 0,
                worker: index,
                place,
                metrics: &metrics,
                shared: &shared,
                bulletin,
                heard: Heard::default(),
                told: (0, Instant::now()),
                commands,
                inputs,
                probe,
                intake,
            };
            let ended = match (&feed, &cluster) {
                (Feed::Replay { index, batch, hold }, _) => {
                    run.replay(worker, Arc::clone(index), *batch, *hold);
                    Ok(())
                }
                (Feed::Kafka(_), Some(cluster)) => run.live_kafka(worker, Arc::clone(cluster)),
                (Feed::Kafka(_), None) => Ok(()),
                (Feed::Files, _) => run.live_files(worker),
            };
            if let (Err(error), Some(fail)) = (&ended, &fail) {
                fail(error);
            }
            // One worker alone cannot go on: its share of the partitions would be missing without anybody noticing.
            if ended.is_err() {
                shared.stop.store(true, Ordering::Relaxed);
                shared.workers.iter().for_each(Reach::wake);
            }
            ended
        })
        .map_err(EngineError::Start)?;
        Ok(Self { guards, workers: reaches, schedule, stop, metrics: process_metrics })
    }

    /// A way to change catalogs.
    #[must_use]
    pub fn catalog_switches(&self) -> CatalogSwitches {
        CatalogSwitches { schedule: Arc::clone(&self.schedule), workers: self.workers.clone() }
    }

    /// A way to register standing queries.
    #[must_use]
    pub fn standing(&self) -> StandingQueries {
        let (worker, metrics) = (self.workers[0].clone(), Arc::clone(&self.metrics));
        StandingQueries { worker, metrics, counts: Arc::default() }
    }

    /// A way to stop the engine from elsewhere.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + Clone + use<> {
        let (stop, workers) = (Arc::clone(&self.stop), self.workers.clone());
        move || {
            stop.store(true, Ordering::Relaxed);
            workers.iter().for_each(Reach::wake);
        }
    }

    /// Waits until all workers have ended: a replay at its end, a live engine once it is stopped.
    ///
    /// # Errors
    /// What the first worker that failed says.
    pub fn join(self) -> Result<(), EngineError> {
        self.guards
            .join()
            .into_iter()
            .try_for_each(|ended| ended.unwrap_or_else(|panic| Err(EngineError::Worker(panic))))
    }
}

/// Brings other catalogs into force, on all workers of a live engine at one epoch.
#[derive(Debug, Clone)]
pub struct CatalogSwitches {
    schedule: Arc<Schedule>,
    workers: Vec<Reach>,
}

impl CatalogSwitches {
    /// Has a catalog come into force at the first epoch that no worker has opened, and says which. `rows` is asked what
    /// changes in the dataflow's collections then.
    pub fn switch(&self, catalog: Arc<Catalog>, rows: &mut dyn FnMut(u64) -> CatalogRowChanges) -> u64 {
        let epoch = self.schedule.switch(catalog, rows);
        // Idle ones open an epoch a second.
        self.workers.iter().for_each(Reach::wake);
        epoch
    }
}

/// Standing blast radii of watchers. Equal ones are maintained once.
#[derive(Debug, Clone)]
pub struct StandingQueries {
    worker: Reach,
    metrics: Arc<Metrics>,
    counts: Arc<Mutex<BTreeMap<ReachQuery, usize>>>,
}

/// Keeps a blast radius standing while it is held.
#[derive(Debug)]
pub struct Standing {
    queries: StandingQueries,
    query: ReachQuery,
}

impl StandingQueries {
    /// Has a blast radius maintained until the guard is dropped.
    #[must_use]
    pub fn stand(&self, query: ReachQuery) -> Standing {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let holders = counts.entry(query.clone()).or_default();
        *holders += 1;
        if *holders == 1 {
            self.send(&query, 1);
        }
        self.metrics.standing_queries.set(counts.len() as i64);
        drop(counts);
        Standing { queries: self.clone(), query }
    }

    /// How many different ones stand.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none stands.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn send(&self, query: &ReachQuery, diff: isize) {
        // A worker that has ended needs no queries.
        let _ = self.worker.commands.send(Command::Stand(query.clone(), diff));
        self.worker.wake();
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let mut counts = self.queries.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(holders) = counts.get_mut(&self.query) {
            *holders -= 1;
            if *holders == 0 {
                counts.remove(&self.query);
                self.queries.send(&self.query, -1);
            }
            self.queries.metrics.standing_queries.set(counts.len() as i64);
        }
    }
}

/// The wall clock.
#[must_use]
pub fn wall_clock() -> UnixMillis {
    UnixMillis(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64))
}

/// The epoch that is open at a moment of a live feed: epochs are ticks long.
pub(crate) fn epoch_of(now: UnixMillis, tick: u64) -> u64 {
    now.0.max(0) as u64 / tick * tick
}

/// One worker's run.
struct Run<'a, E> {
    config: &'a Config,
    /// By which records are judged now.
    catalog: Arc<Catalog>,
    switches_taken: u64,
    worker: usize,
    /// Its place among the workers of its process.
    place: usize,
    metrics: &'a Arc<Metrics>,
    shared: &'a Arc<Shared>,
    bulletin: Bulletin,
    heard: Heard,
    /// What was last told of the evidence of this worker, and when.
    told: (u64, Instant),
    commands: Option<mpsc::Receiver<Command>>,
    inputs: Inputs,
    probe: ProbeHandle<u64>,
    intake: WorkerIntake<E>,
}

impl<E: EvidenceOutput> Run<'_, E> {
    /// Ends the epoch that is open and goes on with `next`, under the catalog that is in force from then on.
    fn close_epoch(&mut self, next: u64) {
        let mut pending = self.intake.close_epoch(next);
        self.inputs.send(&mut pending);
        for switch in self.shared.schedule.open(self.place, next) {
            self.switches_taken += 1;
            self.catalog = Arc::clone(&switch.catalog);
            if self.worker == 0
                && let Some(rows) = switch.take_rows()
            {
                self.inputs.change_catalog(switch.epoch, rows);
            }
            self.intake.set_catalog(Arc::clone(&self.catalog));
        }
        self.inputs.advance_to(next);
    }

    fn replay(mut self, worker: &mut Worker, index: Arc<ReplayIndex>, batch: usize, hold: bool) {
        let end = index.last_epoch() + 1;
        let mut source = ReplaySource::new(index, worker.index(), worker.peers());
        while let Some(epoch) = source.epoch() {
            if self.shared.stop.load(Ordering::Relaxed) {
                break;
            }
            if epoch > self.inputs.epoch() {
                self.close_epoch(epoch);
                let behind = epoch.saturating_sub(REPLAY_LEAD * self.config.tick_ms);
                worker.step();
                while self.probe.less_than(&behind) && !self.shared.stop.load(Ordering::Relaxed) {
                    worker.step_or_park(Some(Duration::from_millis(10)));
                }
            }
            let mut taken = 0;
            while taken < batch && source.epoch() == Some(epoch) {
                source.advance(&mut self.intake);
                taken += 1;
            }
            worker.step();
        }
        // All workers end at one epoch and wait until it is reached. A frontier that went from somewhere before it to the
        // end of all time at once would not say what time did in between.
        self.close_epoch(end);
        while self.probe.less_than(&end) && !self.shared.stop.load(Ordering::Relaxed) {
            worker.step_or_park(Some(Duration::from_millis(10)));
        }
        while hold && !self.shared.stop.load(Ordering::Relaxed) {
            // Time stands still but for what is asked.
            if self.take_commands() {
                self.close_epoch(self.inputs.epoch() + 1);
            }
            worker.step_or_park(Some(Duration::from_millis(IDLE_TICK_MS)));
        }
        let _ = self.finish(worker);
    }

    /// Does what was asked of this worker since; says whether anything was.
    fn take_commands(&mut self) -> bool {
        let mut asked = false;
        while let Some(Command::Stand(query, diff)) =
            self.commands.as_ref().and_then(|commands| commands.try_recv().ok())
        {
            self.inputs.stand(query, diff);
            asked = true;
        }
        asked
    }

    /// Hands over what is open. Says whether all evidence is where it was to go, and behind the last snapshot where there
    /// are snapshots: whether positions may be committed.
    fn finish(&mut self, worker: &mut Worker) -> bool {
        let mut pending = self.intake.close_epoch(self.inputs.epoch());
        self.inputs.send(&mut pending);
        let abandoned = self.intake.abandon_held();
        let (epoch, evidence) = (self.inputs.epoch(), self.intake.evidence_mut());
        evidence.finish();
        // Workers share a producer: what another one has sent last may still be on its way.
        let deadline = Instant::now() + SHARED_FLUSH;
        while evidence.durable_before() <= epoch && Instant::now() < deadline {
            std::thread::sleep(STEP);
        }
        let before = evidence.durable_before();
        let durable = abandoned == 0 && before > epoch;
        if !self.shared.snapshots {
            return durable;
        }
        self.bulletin.post(Notice::Evidence { worker: self.worker, before });
        let deadline = Instant::now() + LAST_SNAPSHOT;
        while self.covered() < self.heard.last && Instant::now() < deadline {
            self.read_notices();
            worker.step_or_park(Some(STEP));
        }
        durable && self.heard.last > 0 && self.covered() >= self.heard.last
    }

    /// The epoch of the newest snapshot. The worker of the process that keeps them tells all others.
    fn covered(&mut self) -> u64 {
        if self.worker == topology::STATE_KEEPER
            && let Some(keeper) = &self.shared.keeper
            && keeper.covered() > self.shared.covered.fetch_max(keeper.covered(), Ordering::AcqRel)
        {
            self.bulletin.post(Notice::Covered(self.shared.covered.load(Ordering::Acquire)));
        }
        self.shared.covered.load(Ordering::Acquire)
    }

    fn read_notices(&mut self) {
        while let Some(notice) = self.bulletin.read() {
            match notice {
                Notice::Begin { epoch, positions } => self.heard.begin = Some((epoch, positions.into_iter().collect())),
                Notice::Evidence { worker, before } => {
                    if let Some(keeper) = &self.shared.keeper {
                        keeper.evidence_before(worker, before);
                    }
                }
                Notice::Covered(epoch) => {
                    self.shared.covered.fetch_max(epoch, Ordering::AcqRel);
                }
                Notice::Stop => self.shared.stop.store(true, Ordering::Relaxed),
                Notice::Ended { worker: _, epoch } => {
                    self.heard.ended += 1;
                    self.heard.last = self.heard.last.max(epoch);
                }
            }
        }
    }

    /// Waits until it is known where and at which epoch reading begins; `None` where it is stopped before.
    fn wait_to_begin(&mut self, worker: &mut Worker) -> Option<BTreeMap<TopicPartition, Position>> {
        loop {
            self.read_notices();
            if let Some((epoch, positions)) = self.heard.begin.take() {
                if epoch > self.inputs.epoch() {
                    self.close_epoch(epoch);
                }
                return Some(positions);
            }
            if self.shared.stop.load(Ordering::Relaxed) {
                self.bulletin.post(Notice::Stop);
                return None;
            }
            worker.step_or_park(Some(STEP));
        }
    }

    /// Tells how far this worker's evidence is, and has the state cut when it is time.
    fn attend_snapshots(&mut self) {
        if !self.shared.snapshots {
            return;
        }
        let before = self.intake.durable_before();
        match &self.shared.keeper {
            Some(keeper) => {
                keeper.evidence_before(self.worker, before);
                if self.worker == 0 && keeper.begins(Instant::now()) {
                    self.inputs.cut();
                }
            }
            None if self.told.0 != before && self.told.1.elapsed() >= TELL_EVERY => {
                self.told = (before, Instant::now());
                self.bulletin.post(Notice::Evidence { worker: self.worker, before });
            }
            None => {}
        }
        self.covered();
    }

    fn live_kafka(mut self, worker: &mut Worker, cluster: Arc<KafkaCluster>) -> Result<(), EngineError> {
        let Some(kafka) = self.config.kafka.as_ref() else { return Ok(()) };
        let Some(positions) = self.wait_to_begin(worker) else { return Ok(()) };
        let wake = self.shared.workers[self.place].clone();
        let options = KafkaSourceOptions {
            cluster,
            kafka,
            topics: &self.config.topics,
            catalog: Arc::clone(&self.catalog),
            future_ms: self.config.windows.future_ms as i64,
            worker: worker.index(),
            workers: worker.peers(),
            positions: &positions,
            metrics: Arc::clone(self.metrics),
            wake: Arc::new(move || wake.wake()),
        };
        let mut source = KafkaSource::connect(options, &mut self.intake)?;
        let shared = Arc::clone(self.shared);
        let ended = self.live(worker, |intake, catalog, now| {
            source.follow_catalog(catalog);
            let taken = source.poll(BATCH, now, intake);
            source.commit(COMMIT_EVERY, intake.epoch(), || {
                let covered = shared.covered.load(Ordering::Acquire).saturating_add(1);
                intake.durable_before().min(if shared.snapshots { covered } else { u64::MAX })
            });
            taken
        });
        source.finish(matches!(ended, Ok(true)));
        ended.map(drop)
    }

    fn live_files(mut self, worker: &mut Worker) -> Result<(), EngineError> {
        if self.wait_to_begin(worker).is_none() {
            return Ok(());
        }
        let Config { files, topics, windows, limits, .. } = self.config;
        // An envelope escapes its payload, at worst six bytes for one.
        let longest = limits.record_bytes.saturating_mul(6).saturating_add(1 << 20);
        let mut source =
            FileSource::new(files, worker.index(), worker.peers(), topics, windows.future_ms as i64, longest);
        self.live(worker, |intake, _catalog, now| source.poll(BATCH, now, intake)).map(drop)
    }

    /// Runs until told to stop; says whether all evidence is where it was to go. `poll` is given the catalog in force.
    fn live(
        mut self,
        worker: &mut Worker,
        mut poll: impl FnMut(&mut WorkerIntake<E>, &Arc<Catalog>, UnixMillis) -> usize,
    ) -> Result<bool, EngineError> {
        let tick = self.config.tick_ms;
        let mut was_active = false;
        let mut silence = Silence::new(self.inputs.epoch());
        while !self.shared.stop.load(Ordering::Relaxed) {
            let now = wall_clock();
            // The clock may jump back; epochs never do.
            let epoch = epoch_of(now, tick).max(self.inputs.epoch());
            self.intake.set_now(now);
            // What was held comes before what its partition brings next.
            let taken = self.intake.settle(BATCH) + poll(&mut self.intake, &self.catalog, now);

            self.read_notices();
            self.attend_snapshots();
            if self.shared.clustered {
                silence.observe(self.probe.with_frontier(|frontier| frontier.first().copied()))?;
            }
            let asked = self.take_commands() | self.shared.schedule.waits_for(self.switches_taken);
            if taken > 0 {
                self.shared.active.fetch_max(epoch, Ordering::Relaxed);
                if !was_active {
                    // The others hold the frontier: they must tick as fast as this one from now on.
                    self.shared.workers.iter().for_each(Reach::wake);
                }
            }
            let active = epoch.saturating_sub(self.shared.active.load(Ordering::Relaxed)) < IDLE_AFTER_MS;
            was_active = active;
            let due = self.inputs.epoch() + if active || asked { tick } else { IDLE_TICK_MS.max(tick) };
            if epoch >= due {
                self.close_epoch(epoch);
                if let Some(message) = self.intake.evidence_mut().ended() {
                    return Err(EngineError::EvidenceEnded { worker: self.worker, message });
                }
            }
            if taken > 0 {
                worker.step();
            } else {
                let pause = if active || asked { tick - now.0.max(0) as u64 % tick } else { IDLE_TICK_MS };
                worker.step_or_park(Some(Duration::from_millis(pause)));
            }
        }
        if self.shared.snapshots || self.shared.clustered {
            self.end_together(worker);
        }
        Ok(self.finish(worker))
    }

    /// Comes to an end with all other workers: at one epoch, at which the state is cut for the last snapshot.
    fn end_together(&mut self, worker: &mut Worker) {
        let deadline = Instant::now() + LAST_CUT;
        if self.place == 0 {
            self.bulletin.post(Notice::Stop);
        }
        self.close_epoch(self.inputs.epoch() + 1);
        self.bulletin.post(Notice::Ended { worker: self.worker, epoch: self.inputs.epoch() });
        while self.heard.ended < worker.peers() {
            if Instant::now() > deadline {
                tracing::warn!("not all workers came to their end in time: there is no last snapshot");
                self.heard.last = 0;
                return;
            }
            worker.step_or_park(Some(STEP));
            self.read_notices();
        }
        let last = self.heard.last;
        self.close_epoch(last);
        if self.worker == 0
            && let Some(keeper) = &self.shared.keeper
        {
            keeper.begins_last();
            self.inputs.cut();
        }
        self.close_epoch(last + 1);
        while self.probe.less_than(&(last + 1)) && Instant::now() < deadline {
            worker.step_or_park(Some(STEP));
        }
    }
}

/// What a worker has heard of others.
#[derive(Default)]
struct Heard {
    /// Where reading begins.
    begin: Option<(u64, BTreeMap<TopicPartition, Position>)>,
    /// How many workers have come to their end, and the latest epoch that one of them was at then.
    ended: usize,
    last: u64,
}

/// Watches the frontier, which stands still while any worker does nothing.
struct Silence {
    /// The frontier when it last moved, and when that was.
    frontier: Option<u64>,
    since: Instant,
    /// Epochs before this one are of the start, which may take long.
    begin: u64,
}

impl Silence {
    fn new(begin: u64) -> Self {
        Self { frontier: None, since: Instant::now(), begin }
    }

    fn observe(&mut self, frontier: Option<u64>) -> Result<(), EngineError> {
        if frontier != self.frontier {
            (self.frontier, self.since) = (frontier, Instant::now());
            return Ok(());
        }
        let allowed = if frontier > Some(self.begin) { cluster::SILENT_AFTER } else { START_WITHIN };
        if self.since.elapsed() > allowed { Err(EngineError::PeerSilent(self.since.elapsed())) } else { Ok(()) }
    }
}

/// The allocators of a process's workers, and what holds their communication.
fn allocators(workers: usize, peers: Option<Peers>) -> Result<(Vec<AllocatorBuilder>, Box<dyn Any + Send>), String> {
    let Some(Peers { process, sockets }) = peers else {
        return timely::CommunicationConfig::Process(workers).try_build();
    };
    let hooks = Hooks::default();
    let local = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), hooks.spill.clone());
    let (builders, guard) = initialize_networking_from_sockets(local, sockets, process, workers, hooks)
        .map_err(|error| format!("the connections to other processes cannot be used: {error}"))?;
    Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
}
