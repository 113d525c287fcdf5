//! A replay from start to end: captured files in, files out.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use faultline_contracts::{catalog::Catalog, ids::EvidenceId, time::UnixMillis};
use faultline_sinks::{
    SinkError,
    jsonl::{SortedPart, SortedParts, merge},
};

use crate::{
    catalog::CatalogInForce,
    config::Config,
    engine::{Engine, EngineError, EngineParts, Feed},
    intake::EvidenceOutput,
    metrics::Metrics,
    recorder::Recorder,
    registry::SchemaSource,
    sources::replay::{Capture, ReplayError, ReplayIndex, ReplayOptions},
    topology::CatalogRows,
    view::SharedView,
};

/// A replay that failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayRunError {
    /// An input cannot be read.
    #[error(transparent)]
    Input(#[from] ReplayError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An output cannot be written.
    #[error(transparent)]
    Output(#[from] SinkError),
}

/// What to replay, and how.
pub struct ReplayJob {
    /// The configuration.
    pub config: Arc<Config>,
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// The registries of the schemas that records carry; `None` where none is configured.
    pub schemas: Option<Arc<dyn SchemaSource>>,
    /// The inputs.
    pub captures: Vec<Capture>,
    /// Records between two steps of the dataflow. It has no influence on what comes out.
    pub batch: usize,
    /// Where files go; `None` writes none.
    pub out: Option<PathBuf>,
}

/// A replay that ended.
pub struct Replayed {
    /// The view at the end.
    pub view: Arc<SharedView>,
    /// What was recorded.
    pub recorder: Recorder,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The input.
    pub index: Arc<ReplayIndex>,
}

/// Replays to the end. `progress` is told the bytes indexed so far.
///
/// # Errors
/// An input cannot be read, an output cannot be written, or a worker failed.
pub fn run(job: ReplayJob, progress: impl FnMut(u64)) -> Result<Replayed, ReplayRunError> {
    let ReplayJob { config, catalog, schemas, captures, batch, out } = job;
    let options = ReplayOptions { tick_ms: config.tick_ms, future_ms: config.windows.future_ms as i64 };
    let index = Arc::new(ReplayIndex::build(captures, &config.topics, options, progress)?);
    let view = SharedView::new(64);
    let recorder = Recorder::new(Arc::clone(&view), config.bounds());
    let metrics = Metrics::new();
    if let Some(dir) = &out {
        create_dir(dir)?;
    }
    let parts = Arc::new(Parts {
        of: out.as_ref().map(|dir| SortedParts::of(dir.join("evidence.jsonl"))),
        done: Mutex::default(),
    });
    let shared = Arc::clone(&parts);
    let engine = Engine::start(EngineParts {
        snapshots: None,
        cluster: None,
        rows: CatalogRows::of(&catalog),
        config,
        catalog: CatalogInForce::fixed(catalog),
        feed: Feed::Replay { index: Arc::clone(&index), batch: batch.max(1), hold: false },
        schemas,
        metrics: Arc::clone(&metrics),
        publish: recorder.clone(),
        evidence: move |worker| PartOutput::open(worker, Arc::clone(&shared)).map_err(|error| error.to_string()),
    })?;
    engine.join()?;
    if let Some(dir) = out {
        let done = std::mem::take(&mut *parts.done.lock().unwrap_or_else(PoisonError::into_inner));
        merge(done.into_iter().collect::<Result<_, _>>()?, dir.join("evidence.jsonl"))?;
        recorder.write(&dir)?;
    }
    Ok(Replayed { view, recorder, metrics, index })
}

fn create_dir(dir: &Path) -> Result<(), SinkError> {
    std::fs::create_dir_all(dir).map_err(|source| SinkError::File { action: "create", path: dir.into(), source })
}

/// Where the workers leave their parts of the evidence.
struct Parts {
    of: Option<SortedParts>,
    done: Mutex<Vec<Result<SortedPart, SinkError>>>,
}

/// One worker's part of the evidence, by evidence id: an order that no number of workers changes.
struct PartOutput {
    part: Option<SortedPart>,
    failed: Option<SinkError>,
    parts: Arc<Parts>,
}

impl PartOutput {
    fn open(worker: usize, parts: Arc<Parts>) -> Result<Self, SinkError> {
        let part = parts.of.as_ref().map(|of| of.part(worker)).transpose()?;
        Ok(Self { part, failed: None, parts })
    }
}

impl EvidenceOutput for PartOutput {
    fn write(&mut self, _epoch: u64, _key: Option<&str>, id: EvidenceId, _made_at: UnixMillis, json: &[u8]) {
        let Some(part) = &mut self.part else { return };
        if let Err(error) = part.push(&id.0.to_be_bytes(), json) {
            // The replay ends with this error; writing more would not mend it.
            self.failed = Some(error);
            self.part = None;
        }
    }

    fn ready(&mut self) -> bool {
        true
    }

    fn close_epoch(&mut self, _epoch: u64) {}

    fn finish(&mut self) {
        let done = self.failed.take().map_or_else(|| self.part.take().map(Ok), |error| Some(Err(error)));
        self.parts.done.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
    }
}
