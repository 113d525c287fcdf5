//! Kafka as a source: each worker assigns itself its partitions and reads them with one consumer.
//!
//! There is no group protocol and so no rebalance: a partition's worker is a function of its name
//! ([`owner`]). Positions are still committed to a group, so that Kafka's tools show the lag.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use faultline_contracts::{
    catalog::Catalog,
    record::{RawRecord, RecordCoordinates},
    time::UnixMillis,
};
use faultline_sinks::kafka::kafka_config;
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    error::KafkaError,
};

use self::{
    consumer::{Fetched, PartitionConsumer},
    selection::Selection,
};
use super::{ControlRecord, Intake, TopicRole, hold_back, owner};
use crate::{
    config::{KafkaConfig, StartFrom, Topics},
    metrics::{Dependency, Metrics, PartitionLabel},
};

mod consumer;
mod selection;

/// How long brokers may take to answer the first question about topics.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long they may take to answer later ones, which a worker waits for.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(1);
/// The most headers of a record that are looked at.
const HEADERS_READ: usize = 256;

/// What a consumer asks of librdkafka where `kafka.settings` say nothing.
const DEFAULTS: &[(&str, &str)] = &[
    // A broker answers when so much has come, or after so long. Without it, it answers every batch that any producer
    // sends, and at thousands of small batches a second that costs both sides more than the records do.
    ("fetch.min.bytes", "16384"),
    ("fetch.wait.max.ms", "50"),
    // What is read ahead, for each worker: a tenth of a second at the speed of the wire. A full queue is looked at again
    // soon; librdkafka's own second would be most of the time a pause.
    ("queued.min.messages", "50000"),
    ("queued.max.messages.kbytes", "32768"),
    ("fetch.queue.backoff.ms", "2"),
];

/// A source that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum KafkaSourceError {
    /// librdkafka does not take a setting.
    #[error("kafka.settings: {0}")]
    Settings(#[source] KafkaError),
    /// The brokers do not answer.
    #[error("no answer from the brokers at {bootstrap}: {source}; check kafka.bootstrap and that the broker is up")]
    Unreachable {
        /// `bootstrap.servers`
        bootstrap: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// A pattern of data topics is no regular expression.
    #[error("topics.data: {0}")]
    Pattern(#[from] regex::Error),
    /// A thread cannot be started.
    #[error("cannot start the topic watcher: {0}")]
    Thread(#[from] std::io::Error),
}

struct Context {
    metrics: Arc<Metrics>,
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        self.metrics.set_up(Dependency::KafkaSource, false);
        tracing::error!(%error, reason, "kafka source");
    }

    fn stats(&self, statistics: rdkafka::Statistics) {
        for (topic, found) in statistics.topics {
            for (partition, found) in found.partitions {
                if found.consumer_lag >= 0 {
                    let label = PartitionLabel { topic: topic.clone(), partition };
                    self.metrics.lag.get_or_create(&label).set(found.consumer_lag);
                }
            }
        }
    }

    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }
}

impl ConsumerContext for Context {}

/// How far a partition is read and committed.
struct Positions {
    next: i64,
    committed: i64,
}

/// One worker's consumer.
pub struct KafkaSource {
    consumer: PartitionConsumer<Context>,
    selection: Selection,
    topics: Topics,
    bootstrap: String,
    start: StartFrom,
    worker: usize,
    workers: usize,
    partitions: Partitions,
    future_ms: i64,
    metrics: Arc<Metrics>,
    discovery: Duration,
    discovered_at: Instant,
    committed_at: Instant,
}

/// How to make a source.
pub struct KafkaSourceOptions<'a> {
    /// Brokers and settings.
    pub kafka: &'a KafkaConfig,
    /// Which topics are what.
    pub topics: &'a Topics,
    /// Whose datasets' topics are read too.
    pub catalog: Arc<Catalog>,
    /// How far ahead of the clock a record may be, in milliseconds.
    pub future_ms: i64,
    /// This worker.
    pub worker: usize,
    /// All workers of the cluster.
    pub workers: usize,
    /// Where lag and health go.
    pub metrics: Arc<Metrics>,
    /// Called when records arrive at an empty queue.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl KafkaSource {
    /// Connects and assigns this worker's partitions.
    ///
    /// # Errors
    /// A setting is not taken, or no broker answers.
    pub fn connect(options: KafkaSourceOptions<'_>, intake: &mut impl Intake) -> Result<Self, KafkaSourceError> {
        let KafkaSourceOptions { kafka, topics, catalog, future_ms, worker, workers, metrics, wake } = options;
        let settings = kafka.client();
        let mut config = kafka_config(&settings, DEFAULTS);
        config
            .set("group.id", &kafka.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "false")
            .set("statistics.interval.ms", "5000");
        let context = Context { metrics: Arc::clone(&metrics) };
        let consumer: BaseConsumer<Context> =
            config.create_with_context(context).map_err(KafkaSourceError::Settings)?;
        let consumer = PartitionConsumer::new(consumer, move || wake()).map_err(KafkaSourceError::Settings)?;
        let mut source = Self {
            consumer,
            selection: Selection::new(topics, catalog)?,
            topics: topics.clone(),
            bootstrap: kafka.bootstrap.clone(),
            start: kafka.start,
            worker,
            workers,
            partitions: BTreeMap::new(),
            future_ms,
            metrics,
            discovery: Duration::from_millis(kafka.discovery_ms.max(100)),
            discovered_at: Instant::now(),
            committed_at: Instant::now(),
        };
        source.discover(CONNECT_TIMEOUT, true, intake)?;
        source.metrics.set_up(Dependency::KafkaSource, true);
        Ok(source)
    }

    /// Assigns partitions that are new. What is read already goes on where it is. `first` says that this is the start.
    fn discover(&mut self, timeout: Duration, first: bool, intake: &mut impl Intake) -> Result<(), KafkaSourceError> {
        self.discovered_at = Instant::now();
        let metadata = self
            .consumer
            .consumer()
            .fetch_metadata(None, timeout)
            .map_err(|source| KafkaSourceError::Unreachable { bootstrap: self.bootstrap.clone(), source })?;
        let mut news = TopicPartitionList::new();
        for topic in metadata.topics().iter().filter(|topic| self.selection.contains(topic.name())) {
            let name: Arc<str> = topic.name().into();
            for partition in topic.partitions() {
                let mine = owner(&name, partition.id(), self.workers) == self.worker;
                let known = self.partitions.get(&name).is_some_and(|them| them.contains_key(&partition.id()));
                if !mine || known {
                    continue;
                }
                // A partition found later is new: all of it counts, wherever the first ones were started.
                let offset = match self.start {
                    StartFrom::Latest if first => Offset::End,
                    _ => Offset::Beginning,
                };
                if let Err(error) = news.add_partition_offset(&name, partition.id(), offset) {
                    intake.rejected("partition", &error);
                    continue;
                }
                if self.topics.role(&name) == TopicRole::Data {
                    intake.assigned(&name, partition.id());
                }
                let positions = Positions { next: -1, committed: -1 };
                self.partitions.entry(Arc::clone(&name)).or_default().insert(partition.id(), positions);
            }
        }
        if news.count() > 0 {
            self.consumer.assign(&news).map_err(KafkaSourceError::Settings)?;
            tracing::info!(worker = self.worker, partitions = news.count(), "partitions assigned");
        }
        Ok(())
    }

    /// Hands over at most `budget` records that are there now, and says how many.
    pub fn poll(&mut self, budget: usize, now: UnixMillis, intake: &mut impl Intake) -> usize {
        if self.discovered_at.elapsed() > self.discovery
            && let Err(error) = self.discover(DISCOVERY_TIMEOUT, false, intake)
        {
            self.metrics.set_up(Dependency::KafkaSource, false);
            tracing::warn!(%error, "cannot look for new topics");
        }
        if let Err(error) = self.consumer.serve() {
            // librdkafka reconnects by itself; what it cannot mend it repeats.
            self.metrics.set_up(Dependency::KafkaSource, false);
            intake.rejected("kafka_source", &error);
        }
        let mut taken = 0;
        while taken < budget && intake.ready() {
            let records = self.consumer.take(budget - taken);
            if records.len() == 0 {
                break;
            }
            taken += records.len();
            let mut run: Option<Run<'_>> = None;
            for fetched in records.iter() {
                let record = match fetched {
                    Ok(record) => record,
                    Err(code) => {
                        self.metrics.set_up(Dependency::KafkaSource, false);
                        intake.rejected("kafka_source", &code);
                        continue;
                    }
                };
                let (topic, partition) = (record.topic, record.partition());
                let run = match &mut run {
                    Some(run) if run.partition == partition && run.topic == topic => run,
                    run => {
                        if let Some(ended) = run.take() {
                            reached(&mut self.partitions, &ended);
                        }
                        run.insert(Run { topic, role: self.topics.role(topic), partition, next: 0 })
                    }
                };
                hand_over(record, run.role, self.future_ms, now, intake);
                run.next = record.offset() + 1;
            }
            if let Some(ended) = run {
                reached(&mut self.partitions, &ended);
            }
        }
        if taken > 0 {
            self.metrics.set_up(Dependency::KafkaSource, true);
        }
        taken
    }

    /// Commits the positions reached, at most once in `every`.
    pub fn commit(&mut self, every: Duration) {
        if self.committed_at.elapsed() < every {
            return;
        }
        self.committed_at = Instant::now();
        let mut positions = TopicPartitionList::new();
        for (topic, partitions) in &mut self.partitions {
            for (&partition, read) in partitions {
                let behind = read.next > read.committed;
                if behind && positions.add_partition_offset(topic, partition, Offset::Offset(read.next)).is_ok() {
                    read.committed = read.next;
                }
            }
        }
        if positions.count() > 0
            && let Err(error) = self.consumer.consumer().commit(&positions, CommitMode::Async)
        {
            tracing::debug!(%error, "positions not committed");
        }
    }
}

type Partitions = BTreeMap<Arc<str>, BTreeMap<i32, Positions>>;

/// Notes how far a partition is read.
fn reached(partitions: &mut Partitions, run: &Run<'_>) {
    if let Some(positions) = partitions.get_mut(run.topic).and_then(|them| them.get_mut(&run.partition)) {
        positions.next = run.next;
    }
}

/// What the run of records that are taken just now has in common.
struct Run<'a> {
    topic: &'a str,
    role: TopicRole,
    partition: i32,
    next: i64,
}

fn hand_over(record: Fetched<'_>, role: TopicRole, future_ms: i64, now: UnixMillis, intake: &mut impl Intake) {
    let at = RecordCoordinates { topic: record.topic, partition: record.partition(), offset: record.offset() };
    if role == TopicRole::Data {
        let timestamp = record.timestamp();
        let (event_time, real) = hold_back(timestamp, now, future_ms);
        let headers = record.gate_headers(HEADERS_READ);
        let record = RawRecord { at, timestamp, headers, has_key: record.has_key(), payload: record.payload() };
        intake.data(&record, event_time, real);
    } else {
        let headers: Vec<_> = record.headers(HEADERS_READ).collect();
        intake.control(role, &ControlRecord { at, headers: &headers, payload: record.payload() });
    }
}
