//! Kafka as a source: each worker assigns itself its partitions and reads them with one consumer.
//!
//! There is no group protocol and so no rebalance: a partition's worker is a function of its name
//! ([`owner`]). Positions are still committed to a group, so that Kafka's tools show the lag.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use faultline_contracts::{
    catalog::Catalog,
    policy::Rollout,
    record::{GateHeaders, RawRecord, RecordCoordinates},
    time::UnixMillis,
};
use faultline_sinks::kafka::kafka_config;
use rdkafka::{
    ClientContext, Message, Offset, Timestamp, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use regex::RegexSet;

use super::{ControlRecord, Intake, TopicRole, hold_back, owner};
use crate::{
    config::{KafkaConfig, StartFrom, Topics},
    metrics::{Dependency, Metrics, PartitionLabel},
};

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
    ("fetch.wait.max.ms", "20"),
    // What is read ahead, for each worker: a tenth of a second at the speed of the wire.
    ("queued.max.messages.kbytes", "32768"),
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

/// Which topics are read: those that the configuration lists, and those of the catalog's datasets.
#[derive(Debug)]
struct Selection {
    exact: BTreeSet<String>,
    patterns: RegexSet,
    catalog: Arc<Catalog>,
    own: BTreeSet<String>,
}

impl Selection {
    fn new(topics: &Topics, catalog: Arc<Catalog>) -> Result<Self, regex::Error> {
        let (patterns, exact): (Vec<_>, Vec<_>) = topics.data.iter().partition(|name| name.starts_with('^'));
        let mut exact: BTreeSet<String> = exact.into_iter().cloned().collect();
        exact.extend([&topics.deployments, &topics.lineage, &topics.spans].map(String::clone));
        let anchored =
            patterns.iter().map(|pattern| format!("^(?:{})$", pattern.trim_start_matches('^').trim_end_matches('$')));
        let own = [&topics.evidence, &topics.signals, &topics.incidents, &topics.catalog].map(String::clone).into();
        Ok(Self { exact, patterns: RegexSet::new(anchored)?, catalog, own })
    }

    fn contains(&self, topic: &str) -> bool {
        let dataset = || self.catalog.dataset_of_topic(topic).is_some_and(|dataset| dataset.rollout != Rollout::Off);
        !self.own.contains(topic) && (self.exact.contains(topic) || self.patterns.is_match(topic) || dataset())
    }
}

/// How far a partition is read and committed.
struct Positions {
    next: i64,
    committed: i64,
}

/// One worker's consumer.
pub struct KafkaSource {
    consumer: BaseConsumer<Context>,
    selection: Selection,
    topics: Topics,
    bootstrap: String,
    start: StartFrom,
    worker: usize,
    workers: usize,
    partitions: BTreeMap<Arc<str>, BTreeMap<i32, Positions>>,
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
    pub wake: Box<dyn Fn() + Send + Sync>,
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
        let mut consumer: BaseConsumer<Context> =
            config.create_with_context(context).map_err(KafkaSourceError::Settings)?;
        consumer.set_nonempty_callback(wake);
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
            self.consumer.incremental_assign(&news).map_err(KafkaSourceError::Settings)?;
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
        let mut taken = 0;
        while taken < budget && intake.ready() {
            match self.consumer.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    taken += 1;
                    hand_over(&message, &self.topics, self.future_ms, now, intake);
                    let partition =
                        self.partitions.get_mut(message.topic()).and_then(|them| them.get_mut(&message.partition()));
                    if let Some(positions) = partition {
                        positions.next = message.offset() + 1;
                    }
                }
                Some(Err(error)) => {
                    // librdkafka reconnects by itself; what it cannot mend it repeats.
                    self.metrics.set_up(Dependency::KafkaSource, false);
                    intake.rejected("kafka_source", &error);
                    break;
                }
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
            && let Err(error) = self.consumer.commit(&positions, CommitMode::Async)
        {
            tracing::debug!(%error, "positions not committed");
        }
    }
}

fn hand_over(
    message: &BorrowedMessage<'_>,
    topics: &Topics,
    future_ms: i64,
    now: UnixMillis,
    intake: &mut impl Intake,
) {
    let at = RecordCoordinates { topic: message.topic(), partition: message.partition(), offset: message.offset() };
    match topics.role(at.topic) {
        TopicRole::Data => {
            let mut headers = GateHeaders::default();
            if let Some(found) = message.headers() {
                for header in found.iter().take(HEADERS_READ) {
                    headers.observe(header.key, header.value);
                }
            }
            let timestamp = match message.timestamp() {
                Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) if ms >= 0 => Some(UnixMillis(ms)),
                _ => None,
            };
            let (event_time, real) = hold_back(timestamp, now, future_ms);
            let record =
                RawRecord { at, timestamp, headers, has_key: message.key().is_some(), payload: message.payload() };
            intake.data(&record, event_time, real);
        }
        role => {
            let found: Vec<_> = message.headers().map_or_else(Vec::new, |headers| {
                headers.iter().take(HEADERS_READ).map(|header| (header.key, header.value)).collect()
            });
            intake.control(role, &ControlRecord { at, headers: &found, payload: message.payload() });
        }
    }
}
