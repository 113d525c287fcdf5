//! The service: the engine, live, with its outputs and its server.

use std::{path::PathBuf, sync::Arc, time::Duration};

use faultline_operators::positions::positions_of;
use faultline_sinks::{
    SinkError,
    dynamodb::{DynamoStore, create_table},
    gremlin::GremlinStore,
    kafka::{Fenced, KafkaSettings, KafkaWriter, TakeOver, ensure_topics},
    sqlite::SqliteStore,
    webhook::WebhookStore,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    catalog::{self, CatalogError, CatalogInForce, NoReferences, References},
    cluster::{ClusterError, Hello, Membership, Peers, connect, exit_when_a_peer_is_lost},
    config::{Config, KafkaConfig, Topics},
    engine::{Cluster, Engine, EngineError, EngineParts, Feed, Resume, Snapshots, epoch_of, wall_clock},
    health::Dependency,
    intake::EvidenceOutput,
    metrics::Metrics,
    outputs::{
        changes::LivePublisher,
        evidence::{FileEvidence, KafkaEvidence, NoEvidence, evidence_topic},
        store_writer::StoreWriter,
        transactional::TransactionalEvidence,
    },
    registry::{Registries, RegistriesError, SchemaSource},
    serve::{self, Limits, Parts, ServeError, Server},
    snapshot::{Acknowledged, Folder, Keeper, Snapshot, SnapshotError, WindowSettings},
    view::SharedView,
};

/// How many changed epochs a watcher may fall behind before it is sent the whole state anew.
const WATCH_BACKLOG: usize = 256;

/// A service that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nothing to read.
    #[error("the configuration names no source: set `kafka.bootstrap`, or list `files` to follow")]
    NoSource,
    /// The store cannot be opened.
    #[error("cannot open the state store")]
    Store(#[source] SinkError),
    /// A receiver of incidents cannot be set up.
    #[error("cannot tell anybody of incidents")]
    Webhook(#[source] SinkError),
    /// The producer cannot be made.
    #[error("cannot write to Kafka")]
    Kafka(#[source] SinkError),
    /// A listener cannot be bound.
    #[error(transparent)]
    Listen(#[from] ServeError),
    /// There is no catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The registries cannot be used as they are configured.
    #[error(transparent)]
    Registries(#[from] RegistriesError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Transactions of several processes are not fenced as one.
    #[error("kafka.exactly_once is for one process: leave out --processes, or exactly_once")]
    ExactlyOnceInCluster,
    /// The processes do not come together.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The snapshot cannot be used, or none be kept.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A thread or runtime cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// How a process runs.
pub struct RunOptions {
    /// Whether it begins anew though there are snapshots.
    pub fresh: bool,
    /// Which process of how many it is, if it is one of several.
    pub membership: Option<Membership>,
    /// Ends the process because the cluster cannot go on, with what is wrong.
    pub fail: fn(&EngineError),
    /// Ends the process because another one is gone.
    pub peer_lost: fn(&str),
}

/// Runs the service until it is told to stop (SIGINT, SIGTERM), then drains it. It goes on from the newest snapshot, but
/// where it is to start `fresh`. `listening` is called once it serves.
///
/// # Errors
/// It cannot start, or a worker failed.
pub fn run(config: Arc<Config>, options: RunOptions, listening: impl FnOnce(&Server)) -> Result<(), ServiceError> {
    let RunOptions { fresh, membership, fail, peer_lost } = options;
    // Once: clients made from one value share their tokens.
    let client = config.kafka.as_ref().map(KafkaConfig::client);
    let feed = match (&client, config.files.is_empty()) {
        (Some(client), _) => Feed::Kafka(client.clone()),
        (None, false) => Feed::Files,
        (None, true) => return Err(ServiceError::NoSource),
    };
    let metrics = Metrics::new();
    let registries = Registries::start(&config.registry, config.data_dir.as_deref(), Arc::clone(&metrics))?;
    let references: Box<dyn References> = match &registries {
        Some(registries) => Box::new(Arc::clone(registries)),
        None => Box::new(NoReferences),
    };
    let catalog = catalog::open(&config, client.as_ref(), references, &metrics)?;
    let in_force = Arc::clone(catalog.in_force());
    if membership.is_some() && config.kafka.as_ref().is_some_and(|kafka| kafka.exactly_once) {
        return Err(ServiceError::ExactlyOnceInCluster);
    }
    let cluster = membership.map(|membership| join(&membership, &config, &in_force)).transpose()?;
    // Every process answers; the first one writes.
    let first = cluster.as_ref().is_none_or(|peers| peers.process == 0);
    if cluster.is_some() {
        exit_when_a_peer_is_lost(peer_lost);
    }
    let view = SharedView::new(WATCH_BACKLOG);
    let kafka = client.as_ref().map(KafkaWriter::new).transpose().map_err(ServiceError::Kafka)?;
    let kafka = kafka.map(Arc::new);
    if let (Some(client), Some(KafkaConfig { create_topics: true, .. })) = (&client, &config.kafka) {
        create_topics(client, &config).inspect_err(|_| {
            // The admin client says that it waited in vain; the producer has been told why.
            if let Some(trouble) = kafka.as_ref().and_then(|writer| writer.last_error()) {
                tracing::error!(trouble, "brokers do not let us in, or are away");
            }
        })?;
    }
    let stores = if first { stores(&config, &metrics)? } else { Vec::new() };
    let processes = cluster.as_ref().map_or(1, |peers| peers.sockets.len());
    let snapshots = match snapshot_dir(&config) {
        Some(_) if !first => Some(Snapshots { keeper: None, resume: None }),
        Some((dir, every)) => {
            let folder = Folder::new(dir, config.snapshots.keep);
            Some(snapshots(&config, folder, every, fresh, processes, &stores, &in_force, &metrics)?)
        }
        None => None,
    };
    let keeper = snapshots.as_ref().and_then(|snapshots| snapshots.keeper.clone());
    let resumed_at = snapshots.as_ref().and_then(|snapshots| Some(snapshots.resume.as_ref()?.at));

    let publisher = LivePublisher {
        view: Arc::clone(&view),
        stores: stores.iter().map(StoreWriter::mailbox).collect(),
        kafka: kafka.clone().filter(|_| first),
        topics: config.topics.clone(),
        bounds: config.bounds(),
        metrics: Arc::clone(&metrics),
        resumed_at,
    };
    let fenced = take_over(&config, client.as_ref())?;
    let parts = EngineParts {
        config: Arc::clone(&config),
        rows: catalog.rows().clone(),
        catalog: Arc::clone(&in_force),
        feed,
        schemas: registries.map(|registries| registries as Arc<dyn SchemaSource>),
        metrics: Arc::clone(&metrics),
        publish: publisher,
        evidence: (),
        snapshots,
        cluster: cluster.map(|peers| Cluster { peers, fail: Arc::new(fail) }),
    };
    // Two engines, compiled apart: one that resumes looks at each record whether its evidence is there.
    let engine = match fenced {
        Some(fenced) => Engine::start(parts.with_evidence(transactional_outputs(fenced, &metrics))),
        None => Engine::start(parts.with_evidence(evidence_outputs(&config, kafka, &metrics))),
    }?;
    let server = serve::start(
        config.serve,
        Parts {
            view,
            standing: Arc::new(engine.standing()),
            metrics,
            catalog: in_force,
            workers: config.workers,
            bounds: config.bounds(),
            limits: Limits::default(),
        },
    );
    let every = Duration::from_millis(config.catalog_poll_ms);
    let started = server.map_err(ServiceError::from).and_then(|server| {
        let watch = catalog.watch(every, engine.catalog_switches())?;
        Ok((server, watch))
    });
    let (server, watch) = match started {
        Ok(started) => started,
        Err(error) => {
            engine.stopper()();
            engine.join()?;
            return Err(error);
        }
    };
    listening(&server);
    stop_on_signal(engine.stopper())?;
    let ended = engine.join();
    if let Some(keeper) = keeper {
        keeper.stop();
    }
    drop(watch);
    server.stop();
    // Stores are written to the end before the process leaves.
    drop(stores);
    ended.map_err(ServiceError::from)
}

/// Connects to the other processes of the cluster.
fn join(membership: &Membership, config: &Config, in_force: &CatalogInForce) -> Result<Peers, ClusterError> {
    let hello = Hello {
        process: membership.process,
        processes: membership.addresses.len(),
        workers: config.workers,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        configuration: config.fingerprint(),
        catalog: format!("{:016x}", in_force.read().catalog.version()),
    };
    connect(membership, &hello)
}

/// The folder of snapshots and how often one is made, where there are any: of Kafka alone.
fn snapshot_dir(config: &Config) -> Option<(PathBuf, Duration)> {
    config.kafka.as_ref()?;
    config.snapshot_dir().zip(config.snapshots.every())
}

/// The keeper of snapshots, and the snapshot to go on from.
#[allow(clippy::too_many_arguments)]
fn snapshots(
    config: &Config,
    folder: Folder,
    every: Duration,
    fresh: bool,
    processes: usize,
    stores: &[StoreWriter],
    in_force: &Arc<CatalogInForce>,
    metrics: &Arc<Metrics>,
) -> Result<Snapshots, ServiceError> {
    let windows = WindowSettings::from(&config.windows);
    let newest = if fresh { None } else { folder.latest()? };
    let resume = newest.map(|snapshot| resume(snapshot, windows, config.tick_ms)).transpose()?;
    // What receivers of incidents were told is in a ledger of their own.
    let mailboxes = stores.iter().filter(|store| store.dependency() != Dependency::Webhook).map(StoreWriter::mailbox);
    let workers = config.workers * processes;
    let acknowledged = Arc::new(Acknowledged::new(workers, mailboxes.collect()));
    let in_force = Arc::clone(in_force);
    let catalog = move || format!("{:016x}", in_force.read().catalog.version());
    let keeper = Keeper::start(folder, every, windows, workers, catalog, acknowledged, Arc::clone(metrics))?;
    Ok(Snapshots { keeper: Some(keeper), resume })
}

fn resume(snapshot: Snapshot, windows: WindowSettings, tick: u64) -> Result<Resume, SnapshotError> {
    let Snapshot { header, chunks } = snapshot;
    if header.windows != windows {
        return Err(SnapshotError::Settings { epoch: header.epoch, was: header.windows, is: windows });
    }
    let positions = positions_of(&chunks)?;
    // The clock may have been set back.
    let at = epoch_of(wall_clock(), tick).max(header.epoch + 1);
    tracing::info!(
        epoch = header.epoch,
        workers = header.workers,
        partitions = positions.len(),
        "going on from a snapshot"
    );
    Ok(Resume { chunks, positions, at })
}

/// The broker's defaults for partitions and replicas.
const BROKER_DEFAULT: i32 = -1;
/// How long brokers may take to make topics.
const CREATE_TIMEOUT: Duration = Duration::from_secs(10);

fn create_topics(client: &KafkaSettings, config: &Config) -> Result<(), ServiceError> {
    let Topics { evidence, signals, incidents, .. } = &config.topics;
    let names = [evidence.as_str(), signals, incidents];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = runtime.block_on(ensure_topics(client, &names, BROKER_DEFAULT, BROKER_DEFAULT, CREATE_TIMEOUT));
    match made {
        Ok(made) if made.is_empty() => Ok(()),
        Ok(made) => {
            tracing::info!(topics = ?made, "topics made");
            Ok(())
        }
        Err(error) => Err(ServiceError::Kafka(error)),
    }
}

/// Calls `stop` at the first SIGINT or SIGTERM.
///
/// # Errors
/// The thread that waits for it cannot be started.
pub fn stop_on_signal(stop: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(guard);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        tracing::info!("told to stop");
        stop();
    })?;
    Ok(())
}

/// The stores that the configuration names, each with its thread.
fn stores(config: &Config, metrics: &Arc<Metrics>) -> Result<Vec<StoreWriter>, ServiceError> {
    let mut writers = Vec::new();
    if let Some(dir) = &config.data_dir {
        let store = open_store(dir).map_err(ServiceError::Store)?;
        writers.push(StoreWriter::start(store, Dependency::Store, config.store_queue, Arc::clone(metrics))?);
    }
    if let Some(settings) = &config.dynamodb {
        let store = DynamoStore::open(settings).map_err(ServiceError::Store)?;
        writers.push(StoreWriter::start(store, Dependency::DynamoDb, config.store_queue, Arc::clone(metrics))?);
    }
    if let Some(settings) = &config.graph {
        let store = GremlinStore::new(settings.clone()).map_err(ServiceError::Store)?;
        writers.push(StoreWriter::start(store, Dependency::Graph, config.store_queue, Arc::clone(metrics))?);
    }
    for settings in &config.webhooks {
        let ledger = config.data_dir.as_ref().map(|dir| dir.join("webhooks.db"));
        if ledger.is_none() {
            tracing::warn!(
                webhook = settings.name,
                "without `data_dir` what was told is forgotten at the end, and told again after a restart"
            );
        }
        let receiver = WebhookStore::open(settings, ledger.as_deref()).map_err(ServiceError::Webhook)?;
        // An incident and its explanation.
        let capacity = settings.queue.saturating_mul(2);
        writers.push(StoreWriter::start(receiver, Dependency::Webhook, capacity, Arc::clone(metrics))?);
    }
    Ok(writers)
}

/// Makes the table of signals where the configuration names one.
///
/// # Errors
/// [`ServiceError::Store`] where it cannot be made.
pub fn create_tables(config: &Config) -> Result<(), ServiceError> {
    if let Some(settings) = &config.dynamodb {
        let outcome = create_table(settings).map_err(ServiceError::Store)?;
        tracing::info!(table = settings.table, ?outcome, "table of signals");
    }
    Ok(())
}

fn open_store(dir: &PathBuf) -> Result<SqliteStore, SinkError> {
    std::fs::create_dir_all(dir).map_err(|source| SinkError::File { action: "create", path: dir.clone(), source })?;
    SqliteStore::open(dir.join("faultline.db"))
}

/// Fences the instance before this one where evidence is to be written exactly once.
fn take_over(config: &Config, client: Option<&KafkaSettings>) -> Result<Option<Arc<Fenced>>, ServiceError> {
    match (client, &config.kafka) {
        (Some(client), Some(KafkaConfig { exactly_once: true, group, .. })) => {
            let (group, workers) = (group.clone(), config.workers);
            let options = TakeOver { group, topic: evidence_topic(&config.topics), workers };
            Fenced::take_over(client, options).map(Some).map_err(ServiceError::Kafka)
        }
        _ => Ok(None),
    }
}

/// Evidence goes to Kafka by each worker's transactions.
fn transactional_outputs(
    fenced: Arc<Fenced>,
    metrics: &Arc<Metrics>,
) -> impl Fn(usize) -> Result<TransactionalEvidence, String> + Send + Sync + 'static {
    let metrics = Arc::clone(metrics);
    move |worker| TransactionalEvidence::new(&fenced, worker, Arc::clone(&metrics)).map_err(|error| error.to_string())
}

/// Evidence goes to Kafka where there is Kafka, else to files where there is a folder, else nowhere.
fn evidence_outputs(
    config: &Arc<Config>,
    kafka: Option<Arc<KafkaWriter>>,
    metrics: &Arc<Metrics>,
) -> impl Fn(usize) -> Result<Box<dyn EvidenceOutput>, String> + Send + Sync + 'static {
    let (config, metrics) = (Arc::clone(config), Arc::clone(metrics));
    move |worker| {
        let metrics = Arc::clone(&metrics);
        Ok(match (&kafka, &config.data_dir) {
            (Some(writer), _) => Box::new(
                KafkaEvidence::new(Arc::clone(writer), &config.topics, metrics).map_err(|error| error.to_string())?,
            ),
            (None, Some(dir)) => Box::new(FileEvidence::open(dir, worker, metrics).map_err(|error| error.to_string())?),
            (None, None) => Box::new(NoEvidence),
        })
    }
}
