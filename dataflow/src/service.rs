//! The service: the engine, live, with its outputs and its server.

use std::{path::PathBuf, sync::Arc, time::Duration};

use faultline_contracts::catalog::Catalog;
use faultline_sinks::{
    SinkError,
    kafka::{KafkaWriter, ensure_topics},
    sqlite::SqliteStore,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::{Config, KafkaConfig, Topics},
    engine::{Engine, EngineError, EngineParts, Feed},
    intake::EvidenceOutput,
    metrics::Metrics,
    outputs::{FileEvidence, KafkaEvidence, NoEvidence, StoreWriter, changes::LivePublisher},
    serve::{self, Limits, Parts, ServeError, Server},
    topology::CatalogRows,
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
    /// The producer cannot be made.
    #[error("cannot write to Kafka")]
    Kafka(#[source] SinkError),
    /// A listener cannot be bound.
    #[error(transparent)]
    Listen(#[from] ServeError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A thread or runtime cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Runs the service until it is told to stop (SIGINT, SIGTERM), then drains it. `listening` is called once it serves.
///
/// # Errors
/// It cannot start, or a worker failed.
pub fn run(
    config: Arc<Config>,
    catalog: Arc<Catalog>,
    problems: Vec<String>,
    listening: impl FnOnce(&Server),
) -> Result<(), ServiceError> {
    let feed = match (&config.kafka, config.files.is_empty()) {
        (Some(_), _) => Feed::Kafka,
        (None, false) => Feed::Files,
        (None, true) => return Err(ServiceError::NoSource),
    };
    let metrics = Metrics::new();
    let view = SharedView::new(WATCH_BACKLOG);
    let kafka = config
        .kafka
        .as_ref()
        .map(|kafka| KafkaWriter::new(&kafka.client()))
        .transpose()
        .map_err(ServiceError::Kafka)?;
    let kafka = kafka.map(Arc::new);
    if let Some(settings) = config.kafka.as_ref().filter(|kafka| kafka.create_topics) {
        create_topics(settings, &config)?;
    }
    let store = config.data_dir.as_ref().map(open_store).transpose().map_err(ServiceError::Store)?;
    let store = store.map(|store| StoreWriter::start(store, Arc::clone(&metrics))).transpose()?;

    let publisher = LivePublisher {
        view: Arc::clone(&view),
        store: store.as_ref().map(StoreWriter::mailbox),
        kafka: kafka.clone(),
        topics: config.topics.clone(),
        bounds: config.bounds(),
        metrics: Arc::clone(&metrics),
    };
    let evidence = evidence_outputs(&config, kafka, &metrics);
    let engine = Engine::start(EngineParts {
        config: Arc::clone(&config),
        rows: CatalogRows::of(&catalog),
        catalog: Arc::clone(&catalog),
        feed,
        metrics: Arc::clone(&metrics),
        publish: publisher,
        evidence,
    })?;
    let server = serve::start(
        config.serve,
        Parts {
            view,
            standing: Arc::new(engine.standing()),
            metrics,
            catalog,
            problems,
            workers: config.workers,
            bounds: config.bounds(),
            limits: Limits::default(),
        },
    );
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            engine.stopper()();
            engine.join()?;
            return Err(error.into());
        }
    };
    listening(&server);
    stop_on_signal(engine.stopper())?;
    let ended = engine.join();
    server.stop();
    // The store is written to the end before the process leaves.
    drop(store);
    ended.map_err(ServiceError::from)
}

/// The broker's defaults for partitions and replicas.
const BROKER_DEFAULT: i32 = -1;
/// How long brokers may take to make topics.
const CREATE_TIMEOUT: Duration = Duration::from_secs(10);

fn create_topics(kafka: &KafkaConfig, config: &Config) -> Result<(), ServiceError> {
    let Topics { evidence, signals, incidents, .. } = &config.topics;
    let names = [evidence.as_str(), signals, incidents];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = runtime.block_on(ensure_topics(&kafka.client(), &names, BROKER_DEFAULT, BROKER_DEFAULT, CREATE_TIMEOUT));
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

fn open_store(dir: &PathBuf) -> Result<SqliteStore, SinkError> {
    std::fs::create_dir_all(dir).map_err(|source| SinkError::File { action: "create", path: dir.clone(), source })?;
    SqliteStore::open(dir.join("faultline.db"))
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
                KafkaEvidence::new(Arc::clone(writer), &config.topics.evidence, metrics)
                    .map_err(|error| error.to_string())?,
            ),
            (None, Some(dir)) => Box::new(FileEvidence::open(dir, worker, metrics).map_err(|error| error.to_string())?),
            (None, None) => Box::new(NoEvidence),
        })
    }
}
