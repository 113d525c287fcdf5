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
    cloudevents::{Envelope, Event, EventType, STRUCTURED},
    kafka::{Enqueued, KafkaWriter, TopicSender},
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
    sender: TopicSender,
    writer: Arc<KafkaWriter>,
    health: Reporter,
    metrics: Arc<Metrics>,
    envelope: Enveloping,
    /// Evidence that the full queue has not taken: at most what one turn of a source brings.
    waiting: VecDeque<Waiting>,
}

/// One piece of evidence, as it is sent.
#[derive(Clone, Copy)]
struct Piece<'a> {
    epoch: u64,
    key: Option<&'a str>,
    id: EvidenceId,
    made_at: UnixMillis,
    json: &'a [u8],
}

struct Waiting {
    epoch: u64,
    key: Option<String>,
    id: EvidenceId,
    made_at: UnixMillis,
    json: Vec<u8>,
}

/// The envelope of evidence, with what it is written into.
struct Enveloping {
    envelope: Envelope,
    source: String,
    id: Vec<u8>,
    value: Vec<u8>,
}

impl KafkaEvidence {
    /// Evidence to its topic, in the envelope that the settings name.
    ///
    /// # Errors
    /// The name cannot be a topic's.
    pub fn new(writer: Arc<KafkaWriter>, topics: &Topics, metrics: Arc<Metrics>) -> Result<Self, SinkError> {
        let sender = TopicSender::new(Arc::clone(&writer), &topics.evidence)?;
        let source = topics.cloudevents_source.clone();
        let envelope = Enveloping { envelope: topics.envelope, source, id: Vec::new(), value: Vec::new() };
        let health = metrics.health.reporter(Dependency::KafkaSink);
        Ok(Self { sender, writer, health, metrics, envelope, waiting: VecDeque::new() })
    }

    fn send(&mut self, piece: Piece<'_>) -> bool {
        let Piece { epoch, key, id: _, made_at: _, json } = piece;
        let outcome = match self.envelope.envelope {
            Envelope::Plain => self.sender.send(epoch, key.unwrap_or_default().as_bytes(), json),
            _ => self.envelope.send(&mut self.sender, piece),
        };
        match outcome {
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
            if !self.send(Piece { epoch, key, id, made_at, json }) {
                self.waiting.push_front(waiting);
                return false;
            }
        }
        true
    }
}

impl Enveloping {
    /// Sends evidence as a CloudEvent.
    fn send(&mut self, sender: &mut TopicSender, piece: Piece<'_>) -> Result<Enqueued, SinkError> {
        let Self { envelope, source, id: text, value } = self;
        let Piece { epoch, key, id, made_at, json } = piece;
        text.clear();
        id.write_to(text);
        // An id's text is of ASCII characters.
        let id = std::str::from_utf8(text).unwrap_or_default();
        let event = Event { id, event_type: EventType::Evidence, source, time: made_at, subject: key };
        let key = key.unwrap_or_default().as_bytes();
        if *envelope == Envelope::CloudeventsStructured {
            value.clear();
            event.write_structured(json, value);
            return sender.send_with(epoch, key, value, &[(c"content-type", STRUCTURED)]);
        }
        let time = event.time_text();
        sender.send_with(epoch, key, json, event.headers(&time).as_slice())
    }
}

impl EvidenceOutput for KafkaEvidence {
    fn write(&mut self, epoch: u64, key: Option<&str>, id: EvidenceId, made_at: UnixMillis, json: &[u8]) {
        if !self.waiting.is_empty() || !self.send(Piece { epoch, key, id, made_at, json }) {
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
