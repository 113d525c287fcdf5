//! Where the evidence of a live worker goes: a Kafka topic, JSON lines, or nowhere.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use faultline_contracts::{ids::EvidenceId, time::UnixMillis};
use faultline_sinks::{
    SinkError,
    kafka::{Enqueued, EvidencePiece, EvidenceSender, EvidenceTopic, KafkaWriter},
};

use crate::{
    config::Topics,
    health::{Dependency, Reporter},
    intake::EvidenceOutput,
    metrics::Metrics,
};

/// How long a finishing output waits for acknowledgements.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Evidence to a Kafka topic. What the producer's queue does not take is kept, and no more is read until it is gone.
pub struct KafkaEvidence {
    sender: EvidenceSender,
    writer: Arc<KafkaWriter>,
    health: Reporter,
    metrics: Arc<Metrics>,
    /// Evidence that the full queue has not taken: at most what one turn of a source brings.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    epoch: u64,
    key: Option<String>,
    id: EvidenceId,
    made_at: UnixMillis,
    json: Vec<u8>,
}

/// The evidence topic, as the configuration has it.
#[must_use]
pub fn evidence_topic(topics: &Topics) -> EvidenceTopic {
    let Topics { evidence, envelope, cloudevents_source, .. } = topics;
    EvidenceTopic { name: evidence.clone(), envelope: *envelope, source: cloudevents_source.clone() }
}

impl KafkaEvidence {
    /// Evidence to its topic, in the envelope that the settings name.
    ///
    /// # Errors
    /// The name cannot be a topic's.
    pub fn new(writer: Arc<KafkaWriter>, topics: &Topics, metrics: Arc<Metrics>) -> Result<Self, SinkError> {
        let sender = EvidenceSender::new(Arc::clone(&writer), &evidence_topic(topics))?;
        let health = metrics.health.reporter(Dependency::KafkaSink);
        Ok(Self { sender, writer, health, metrics, waiting: VecDeque::new() })
    }

    fn send(&mut self, piece: EvidencePiece<'_>) -> bool {
        match self.sender.send(piece) {
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
        while let Some(waiting) = self.waiting.pop_front() {
            let Waiting { epoch, key, id, made_at, json } = &waiting;
            let (epoch, key, id, made_at) = (*epoch, key.as_deref(), *id, *made_at);
            if !self.send(EvidencePiece { epoch, key, id, made_at, json }) {
                self.waiting.push_front(waiting);
                return false;
            }
        }
        true
    }
}

impl EvidenceOutput for KafkaEvidence {
    fn write(&mut self, epoch: u64, key: Option<&str>, id: EvidenceId, made_at: UnixMillis, json: &[u8]) {
        if !self.waiting.is_empty() || !self.send(EvidencePiece { epoch, key, id, made_at, json }) {
            let key = key.map(str::to_owned);
            self.waiting.push_back(Waiting { epoch, key, id, made_at, json: json.to_vec() });
        }
    }

    fn ready(&mut self) -> bool {
        self.waiting.is_empty() || self.drain()
    }

    fn close_epoch(&mut self, _epoch: u64) {
        self.sender.settle();
        match self.writer.last_error() {
            Some(error) => self.health.degraded(&error),
            None => self.health.up(),
        }
    }

    fn durable_before(&self) -> u64 {
        let unsent = self.waiting.front().map_or(u64::MAX, |waiting| waiting.epoch);
        self.writer.durable_before().min(unsent)
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
    fn write(&mut self, _epoch: u64, _key: Option<&str>, _id: EvidenceId, _made_at: UnixMillis, json: &[u8]) {
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
    fn write(&mut self, _epoch: u64, _key: Option<&str>, _id: EvidenceId, _made_at: UnixMillis, _json: &[u8]) {}
    fn ready(&mut self) -> bool {
        true
    }
    fn close_epoch(&mut self, _epoch: u64) {}
    fn finish(&mut self) {}
}
