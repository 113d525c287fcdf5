//! The engine: worker threads that take records in, close epochs, and step the dataflow.
//!
//! Live, an epoch is the wall clock rounded down to the tick. A worker with nothing to do parks; it is woken by records
//! (librdkafka's callback), by a command, by another worker's messages, or by the next tick. While no worker of the
//! process has records, ticks are longer, so that an idle service costs next to nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
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
use timely::{WorkerConfig, communication::WorkerGuards, dataflow::ProbeHandle, worker::Worker};

use crate::{
    catalog::{CatalogInForce, CatalogRowChanges, Schedule},
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
}

/// How an engine goes on from one snapshot, and makes others.
pub struct Snapshots {
    /// Keeps them.
    pub keeper: Arc<Keeper>,
    /// The one to go on from.
    pub resume: Option<Resume>,
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
        let Self { config, catalog, rows, feed, schemas, metrics, publish, evidence: (), snapshots } = self;
        EngineParts { config, catalog, rows, feed, schemas, metrics, publish, evidence, snapshots }
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
    keeper: Option<Arc<Keeper>>,
    /// How many workers have come to their end, and the epoch at which they are cut then: later than any that one of
    /// them has been at.
    ended: AtomicUsize,
    last: AtomicU64,
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
        let EngineParts { config, catalog, rows, feed, schemas, metrics, publish, evidence, snapshots } = parts;
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
        let (keeper, resume) = snapshots.map_or((None, None), |Snapshots { keeper, resume }| (Some(keeper), resume));
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
            keeper,
            ended: AtomicUsize::new(0),
            last: AtomicU64::new(0),
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

        let timely = timely::Config {
            communication: timely::CommunicationConfig::Process(config.workers),
            // Spinning buys microseconds and costs a core; wake-ups are explicit here.
            worker: WorkerConfig::default().idle_spin(Duration::ZERO),
        };
        let guards = timely::execute(timely, move |worker| {
            let index = worker.index();
            let reach = &shared.workers[index];
            *reach.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
            let commands = receivers.lock().unwrap_or_else(PoisonError::into_inner)[index].take();
            let publish = if index == 0 { publish.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };

            let keep = shared.keeper.as_ref().filter(|_| index == topology::STATE_KEEPER).map(Keeper::sink);
            let (mut inputs, probe) =
                worker.dataflow_named("Faultline", |scope| topology::build(scope, &config, vec![0], publish, keep));
            if let Some(at) = resumed_at {
                // The catalog and the state come at one epoch, and all else later.
                inputs.advance_to(at);
            }
            if index == 0
                && let Some((rows, state)) = rows.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                inputs.load_catalog(rows);
                let parts: Result<Vec<_>, _> = state.iter().map(|chunk| chunk.divided(worker.peers())).collect();
                inputs.restore(parts.map_err(|error| EngineError::Snapshot(error))?.concat());
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
            let mut run = Run {
                config: &config,
                catalog: Arc::clone(&catalog),
                switches_taken: 0,
                worker: index,
                metrics: &metrics,
                shared: &shared,
                positions: &positions,
                commands,
                inputs,
                probe,
                intake,
            };
            if let Some(at) = resumed_at {
                run.close_epoch(at + 1);
            }
            let ended = match (&feed, &cluster) {
                (Feed::Replay { index, batch, hold }, _) => {
                    run.replay(worker, Arc::clone(index), *batch, *hold);
                    Ok(())
                }
                (Feed::Kafka(_), Some(cluster)) => run.live_kafka(worker, Arc::clone(cluster)),
                (Feed::Kafka(_), None) => Ok(()),
                (Feed::Files, _) => run.live_files(worker),
            };
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
    metrics: &'a Arc<Metrics>,
    shared: &'a Arc<Shared>,
    /// Where partitions are read from after a restart.
    positions: &'a BTreeMap<TopicPartition, Position>,
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
        for switch in self.shared.schedule.open(self.worker, next) {
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
        let _ = self.finish();
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

    /// Hands over what is open and lets go of the inputs, so that the dataflow can complete. Says whether all evidence is
    /// where it was to go.
    fn finish(mut self) -> bool {
        let mut pending = self.intake.close_epoch(self.inputs.epoch());
        self.inputs.send(&mut pending);
        let abandoned = self.intake.abandon_held();
        let (epoch, evidence) = (self.inputs.epoch(), self.intake.evidence_mut());
        evidence.finish();
        // Workers share a producer: what another one has sent last may still be on its way.
        let deadline = Instant::now() + SHARED_FLUSH;
        while evidence.durable_before() <= epoch && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let durable = abandoned == 0 && evidence.durable_before() > epoch;
        let Some(keeper) = &self.shared.keeper else { return durable };
        // Positions are committed behind the last snapshot, or not at all.
        keeper.evidence_before(self.worker, evidence.durable_before());
        let (last, deadline) = (self.shared.last.load(Ordering::Acquire), Instant::now() + LAST_SNAPSHOT);
        while durable && keeper.covered() < last && Instant::now() < deadline {
            std::thread::sleep(STEP);
        }
        durable && last > 0 && keeper.covered() >= last
    }

    fn live_kafka(mut self, worker: &mut Worker, cluster: Arc<KafkaCluster>) -> Result<(), EngineError> {
        let Some(kafka) = self.config.kafka.as_ref() else { return Ok(()) };
        let wake = self.shared.workers[worker.index()].clone();
        let options = KafkaSourceOptions {
            cluster,
            kafka,
            topics: &self.config.topics,
            catalog: Arc::clone(&self.catalog),
            future_ms: self.config.windows.future_ms as i64,
            worker: worker.index(),
            workers: worker.peers(),
            positions: self.positions,
            metrics: Arc::clone(self.metrics),
            wake: Arc::new(move || wake.wake()),
        };
        let mut source = KafkaSource::connect(options, &mut self.intake)?;
        let keeper = self.shared.keeper.clone();
        let ended = self.live(worker, |intake, catalog, now| {
            source.follow_catalog(catalog);
            let taken = source.poll(BATCH, now, intake);
            source.commit(COMMIT_EVERY, intake.epoch(), || {
                let covered = keeper.as_ref().map_or(u64::MAX, |keeper| keeper.covered().saturating_add(1));
                intake.durable_before().min(covered)
            });
            taken
        });
        source.finish(matches!(ended, Ok(true)));
        ended.map(drop)
    }

    fn live_files(self, worker: &mut Worker) -> Result<(), EngineError> {
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
        while !self.shared.stop.load(Ordering::Relaxed) {
            let now = wall_clock();
            // The clock may jump back; epochs never do.
            let epoch = epoch_of(now, tick).max(self.inputs.epoch());
            self.intake.set_now(now);
            // What was held comes before what its partition brings next.
            let taken = self.intake.settle(BATCH) + poll(&mut self.intake, &self.catalog, now);

            if let Some(keeper) = &self.shared.keeper {
                keeper.evidence_before(self.worker, self.intake.durable_before());
                if self.worker == 0 && keeper.begins(Instant::now()) {
                    self.inputs.cut();
                }
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
        self.cut_last(worker);
        Ok(self.finish())
    }

    /// Has the state of all workers cut at one epoch, after the last record, and handed to the keeper.
    fn cut_last(&mut self, worker: &mut Worker) {
        let Some(keeper) = self.shared.keeper.clone() else { return };
        let deadline = Instant::now() + LAST_CUT;
        let shared = Arc::clone(self.shared);
        self.close_epoch(self.inputs.epoch() + 1);
        shared.last.fetch_max(self.inputs.epoch(), Ordering::AcqRel);
        shared.ended.fetch_add(1, Ordering::AcqRel);
        shared.workers.iter().for_each(Reach::wake);
        while shared.ended.load(Ordering::Acquire) < shared.workers.len() {
            if Instant::now() > deadline {
                tracing::warn!("not all workers came to their end in time: there is no last snapshot");
                return;
            }
            worker.step_or_park(Some(STEP));
        }
        let last = shared.last.load(Ordering::Acquire);
        self.close_epoch(last);
        if self.worker == 0 {
            keeper.begins_last();
            self.inputs.cut();
        }
        self.close_epoch(last + 1);
        while self.probe.less_than(&(last + 1)) && Instant::now() < deadline {
            worker.step_or_park(Some(STEP));
        }
    }
}
