//! Where a live service's results go: evidence, signals and incidents to Kafka topics or JSON lines, state to SQLite.
//!
//! The dataflow never waits for a store. Changes of state wait in a [`Mailbox`] that keeps the newest of each key, and a
//! thread of its own writes them with retries; what it cannot write shows as degraded, and is written once it can.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use faultline_contracts::ids::EvidenceId;
use faultline_sinks::{
    SinkError,
    kafka::{Enqueued, KafkaWriter, TopicSender},
    sqlite::SqliteStore,
    store::{StoreChange, StoreKey},
};

use crate::{
    intake::EvidenceOutput,
    metrics::{Dependency, Metrics},
};

pub mod changes;

/// How long a finishing output waits for acknowledgements.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// The first and the longest pause between two attempts to write to a store.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Evidence to a Kafka topic. What the producer's queue does not take is kept, and no more is read until it is gone.
pub struct KafkaEvidence {
    sender: TopicSender,
    writer: Arc<KafkaWriter>,
    metrics: Arc<Metrics>,
    /// Evidence that the full queue has not taken: at most what one turn of a source brings.
    waiting: std::collections::VecDeque<(u64, Option<String>, Vec<u8>)>,
}

impl KafkaEvidence {
    /// Evidence to `topic`.
    ///
    /// # Errors
    /// The name cannot be a topic's.
    pub fn new(writer: Arc<KafkaWriter>, topic: &str, metrics: Arc<Metrics>) -> Result<Self, SinkError> {
        let sender = TopicSender::new(Arc::clone(&writer), topic)?;
        Ok(Self { sender, writer, metrics, waiting: std::collections::VecDeque::new() })
    }

    fn send(&mut self, epoch: u64, key: Option<&str>, json: &[u8]) -> bool {
        match self.sender.send(epoch, key.unwrap_or_default().as_bytes(), json) {
            Ok(Enqueued::Accepted) => true,
            Ok(Enqueued::Full) => false,
            Err(error) => {
                // It can never be sent as it is; what is left is to say so.
                self.metrics.sink_error("evidence");
                tracing::error!(error = &error as &dyn std::error::Error, "evidence lost");
                true
            }
        }
    }

    fn drain(&mut self) -> bool {
        while let Some((epoch, key, json)) = self.waiting.pop_front() {
            if !self.send(epoch, key.as_deref(), &json) {
                self.waiting.push_front((epoch, key, json));
                return false;
            }
        }
        true
    }
}

impl EvidenceOutput for KafkaEvidence {
    fn write(&mut self, epoch: u64, key: Option<&str>, _id: EvidenceId, json: &[u8]) {
        if !self.waiting.is_empty() || !self.send(epoch, key, json) {
            self.waiting.push_back((epoch, key.map(str::to_owned), json.to_vec()));
        }
    }

    fn ready(&mut self) -> bool {
        self.waiting.is_empty() || self.drain()
    }

    fn close_epoch(&mut self, _epoch: u64) {
        self.sender.settle();
        self.metrics.set_up(Dependency::KafkaSink, self.writer.last_error().is_none());
    }

    fn finish(&mut self) {
        let deadline = std::time::Instant::now() + FLUSH_TIMEOUT;
        while !self.drain() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.sender.settle();
        let unsent = self.waiting.len();
        if let Err(error) = self.writer.flush(FLUSH_TIMEOUT) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                unsent,
                "evidence not acknowledged; it is made again from the offsets"
            );
        }
    }
}

/// Evidence as JSON lines, appended to one file per worker.
pub struct FileEvidence {
    path: PathBuf,
    file: std::io::BufWriter<std::fs::File>,
    metrics: Arc<Metrics>,
}

impl FileEvidence {
    /// Appends to `evidence-<worker>.jsonl` in `dir`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(dir: &Path, worker: usize, metrics: Arc<Metrics>) -> Result<Self, SinkError> {
        let path = dir.join(format!("evidence-{worker}.jsonl"));
        let failed = |source| SinkError::File { action: "open", path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        Ok(Self { file: std::io::BufWriter::with_capacity(1 << 18, file), path, metrics })
    }

    fn told(&self, outcome: std::io::Result<()>) {
        if let Err(error) = outcome {
            self.metrics.sink_error("evidence");
            tracing::error!(%error, path = %self.path.display(), "evidence not written");
        }
    }
}

impl EvidenceOutput for FileEvidence {
    fn write(&mut self, _epoch: u64, _key: Option<&str>, _id: EvidenceId, json: &[u8]) {
        use std::io::Write as _;
        let outcome = self.file.write_all(json).and_then(|()| self.file.write_all(b"\n"));
        self.told(outcome);
    }

    fn ready(&mut self) -> bool {
        true
    }

    fn close_epoch(&mut self, _epoch: u64) {
        let outcome = std::io::Write::flush(&mut self.file);
        self.told(outcome);
    }

    fn finish(&mut self) {
        self.close_epoch(0);
    }
}

/// Evidence that goes nowhere but into windows.
pub struct NoEvidence;

impl EvidenceOutput for NoEvidence {
    fn write(&mut self, _epoch: u64, _key: Option<&str>, _id: EvidenceId, _json: &[u8]) {}
    fn ready(&mut self) -> bool {
        true
    }
    fn close_epoch(&mut self, _epoch: u64) {}
    fn finish(&mut self) {}
}

/// Changes of state that wait to be stored: the newest of each key.
#[derive(Debug, Default)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: BTreeMap<StoreKey, StoreChange>,
    closed: bool,
}

impl Mailbox {
    /// Adds changes; a later one of the same key takes the earlier one's place.
    pub fn put(&self, changes: impl IntoIterator<Item = StoreChange>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.changes.extend(changes.into_iter().map(|change| (change.key(), change)));
        self.arrived.notify_one();
    }

    /// Ends the writer once all is written.
    fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.arrived.notify_one();
    }

    /// Waits for changes and takes them all; `None` once the box is closed and empty.
    fn take(&self) -> Option<Vec<StoreChange>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.changes.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        Some(std::mem::take(&mut waiting.changes).into_values().collect())
    }

    /// Puts back what could not be written, where nothing newer has come since; says whether the box is closed.
    fn put_back(&self, changes: Vec<StoreChange>) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            waiting.changes.entry(change.key()).or_insert(change);
        }
        waiting.closed
    }
}

/// The thread that writes a mailbox's changes to SQLite.
pub struct StoreWriter {
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

impl StoreWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(store: SqliteStore, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let mailbox = Arc::<Mailbox>::default();
        let inbox = Arc::clone(&mailbox);
        let thread =
            std::thread::Builder::new().name("store".to_owned()).spawn(move || write_all(store, &inbox, &metrics))?;
        Ok(Self { mailbox, thread: Some(thread) })
    }

    /// Where changes are put.
    #[must_use]
    pub fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(&self.mailbox)
    }
}

impl Drop for StoreWriter {
    /// Waits until all is written, or until the store refuses it.
    fn drop(&mut self) {
        self.mailbox.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(mut store: SqliteStore, mailbox: &Mailbox, metrics: &Metrics) {
    let mut pause = RETRY_PAUSE.0;
    while let Some(changes) = mailbox.take() {
        metrics.store_queue.set(changes.len() as i64);
        match store.apply(&changes) {
            Ok(_) => {
                metrics.store_queue.set(0);
                metrics.set_up(Dependency::Store, true);
                pause = RETRY_PAUSE.0;
            }
            Err(error) => {
                metrics.sink_error("store");
                metrics.set_up(Dependency::Store, false);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    hint = error.hint(),
                    "state not stored; will be tried again"
                );
                if mailbox.put_back(changes) {
                    return;
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(RETRY_PAUSE.1);
            }
        }
    }
}
