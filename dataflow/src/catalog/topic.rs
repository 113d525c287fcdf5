//! A catalog in a compacted topic: a record's key is a file's path, its value the file's text, and null deletes it.
//!
//! It is read to its end before the start and followed from then on, by a consumer of its own whose records nobody judges.
//! Records count by the latest of their key, so the topic may be compacted at any time.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use faultline_contracts::catalog::{CatalogReading, FileUpdates};
use faultline_sinks::kafka::{KafkaSettings, Tokens, kafka_config, oauth_token};
use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    client::OAuthToken,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};

use self::incarnation::Incarnation;
use super::{
    settling::Settling,
    source::{CatalogError, Source},
};
use crate::{
    config::KafkaConfig,
    metrics::Metrics,
    sources::kafka::topic_ids::{TopicId, topic_ids},
};

mod incarnation;

/// How long brokers may take to answer the first question about the topic.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long they may take to answer later ones.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the topic is asked for while all is well.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// How long reading it to its end may take at the start.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// How long a look waits for a record.
const POLL: Duration = Duration::from_millis(50);
/// The most records that one look takes.
const BATCH: usize = 100_000;

/// What the consumer asks of librdkafka where `kafka.settings` say nothing. Catalogs are small and change seldom.
const DEFAULTS: &[(&str, &str)] =
    &[("queued.max.messages.kbytes", "16384"), ("fetch.wait.max.ms", "1000"), ("fetch.error.backoff.ms", "500")];

/// Notes trouble, so that the next look asks whether it is over.
struct Context {
    trouble: Arc<AtomicBool>,
    tokens: Option<Tokens>,
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        oauth_token(self.tokens.as_ref())
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.store(true, Ordering::Relaxed);
        tracing::warn!(%error, reason, "catalog topic");
    }

    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }
}

impl ConsumerContext for Context {}

/// A topic, and what was read of it.
pub(super) struct Topic {
    consumer: BaseConsumer<Context>,
    topic: Arc<str>,
    incarnation: Incarnation,
    updates: FileUpdates,
    /// All that are assigned.
    partitions: BTreeSet<i32>,
    /// Those of them that have not been read to their end.
    behind: BTreeSet<i32>,
    /// How many records have been read: what tells a reading from the one before.
    records: u64,
    settling: Settling<u64>,
    trouble: Arc<AtomicBool>,
    refreshed_at: Instant,
    metrics: Arc<Metrics>,
}

impl Topic {
    /// Connects and reads the topic to its end.
    pub(super) fn open(
        settings: &KafkaSettings,
        kafka: &KafkaConfig,
        topic: &str,
        metrics: &Arc<Metrics>,
    ) -> Result<(Self, CatalogReading), CatalogError> {
        let mut config = kafka_config(settings, DEFAULTS);
        config
            // No positions are committed. librdkafka wants a group all the same, and this one is allowed already.
            .set("group.id", &kafka.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            // A set of files that belong together may be published in one transaction.
            .set("isolation.level", "read_committed")
            // Where the place is gone that was read last, all is read anew.
            .set("auto.offset.reset", "error");
        let trouble = Arc::<AtomicBool>::default();
        let context = Context { trouble: Arc::clone(&trouble), tokens: settings.tokens.clone() };
        let consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(CatalogError::Settings)?;
        // Where brokers want a token, this is when it is asked for: nothing connects without one.
        let _ = consumer.poll(Duration::ZERO);
        let mut source = Self {
            consumer,
            topic: topic.into(),
            incarnation: Incarnation::default(),
            updates: FileUpdates::new(topic),
            partitions: BTreeSet::new(),
            behind: BTreeSet::new(),
            records: 0,
            settling: Settling::new(),
            trouble,
            refreshed_at: Instant::now(),
            metrics: Arc::clone(metrics),
        };
        source.assign_new(CONNECT_TIMEOUT).map_err(|source| match source {
            source if is_of_no_topic(&source) => CatalogError::NoTopic(topic.to_owned()),
            source => CatalogError::Unreachable { bootstrap: kafka.bootstrap.clone(), source },
        })?;
        source.read_to_the_end()?;
        source.settling = Settling::having(source.records);
        let reading = source.updates.reading();
        Ok((source, reading))
    }

    fn read_to_the_end(&mut self) -> Result<(), CatalogError> {
        let begin = Instant::now();
        let mut failed = None;
        while !self.behind.is_empty() {
            if let Err(error) = self.take() {
                failed = Some(error.to_string());
            }
            if begin.elapsed() > READ_WITHIN {
                let so_far = || format!("{} records of it", self.records);
                let (topic, what) = (self.topic.to_string(), failed.unwrap_or_else(so_far));
                return Err(CatalogError::Slow { topic, within: READ_WITHIN, what });
            }
        }
        Ok(())
    }

    /// Assigns the partitions that are not yet, from their beginning: all of them, if the topic has been made anew.
    fn assign_new(&mut self, timeout: Duration) -> Result<(), KafkaError> {
        self.refreshed_at = Instant::now();
        // The id comes first: partitions of a later topic than it is of are found out by the next question.
        let id = self.id(timeout).inspect_err(|error| self.hear(error))?;
        let found = self.partitions_there(timeout).inspect_err(|error| self.hear(error))?;
        if self.incarnation.is_another(id.as_ref()) {
            tracing::warn!(
                topic = &*self.topic,
                "the catalog's topic has been made anew: it is read from its beginning"
            );
            self.forget()?;
        }
        self.incarnation.is_read(id);
        let new: Vec<i32> = found.difference(&self.partitions).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for &partition in &new {
            list.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
        }
        self.consumer.incremental_assign(&list)?;
        self.behind.extend(&new);
        self.partitions.extend(new);
        Ok(())
    }

    fn id(&self, timeout: Duration) -> Result<Option<TopicId>, KafkaError> {
        let mut ids = topic_ids(self.consumer.client(), std::slice::from_ref(&self.topic), timeout)?;
        ids.remove(&self.topic).unwrap_or(Ok(None)).map_err(KafkaError::MetadataFetch)
    }

    fn partitions_there(&self, timeout: Duration) -> Result<BTreeSet<i32>, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), timeout)?;
        if let Some(code) = metadata.topics().iter().find_map(|topic| topic.error()) {
            return Err(KafkaError::MetadataFetch(code.into()));
        }
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        Ok(partitions.map(|partition| partition.id()).collect())
    }

    /// Notes what an error says of the topic.
    fn hear(&mut self, error: &KafkaError) {
        if is_of_no_topic(error) {
            self.incarnation.vanished();
        }
    }

    /// Forgets all that was read.
    fn forget(&mut self) -> Result<(), KafkaError> {
        self.consumer.unassign()?;
        self.updates = FileUpdates::new(&*self.topic);
        self.partitions.clear();
        self.behind.clear();
        // Even if there is nothing to be read: that is another reading.
        self.records += 1;
        Ok(())
    }

    /// Takes the records that are there now.
    fn take(&mut self) -> Result<(), KafkaError> {
        let (mut outcome, mut lost) = (Ok(()), false);
        for _ in 0..BATCH {
            match self.consumer.poll(POLL) {
                None => break,
                Some(Ok(record)) => {
                    self.behind.insert(record.partition());
                    self.records += 1;
                    if let Err(error) = self.updates.apply(record.key(), record.payload()) {
                        let times = self.metrics.intake.rejected("catalog_record");
                        if times.is_power_of_two() {
                            let (topic, partition, offset) = (&*self.topic, record.partition(), record.offset());
                            tracing::warn!(topic, partition, offset, times, %error, "no file of a catalog");
                        }
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.behind.remove(&partition);
                    if self.behind.is_empty() {
                        break;
                    }
                }
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                    lost = true;
                }
                Some(Err(error)) => {
                    self.hear(&error);
                    outcome = Err(error);
                }
            }
        }
        if lost {
            tracing::warn!(
                topic = &*self.topic,
                "what had not been read of the catalog's topic is lost: it is read from its beginning"
            );
            self.forget()?;
            self.assign_new(REFRESH_TIMEOUT)?;
        }
        outcome
    }
}

/// Whether brokers say that there is no such topic.
fn is_of_no_topic(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic))
}

impl Source for Topic {
    fn look(&mut self) -> Result<Option<CatalogReading>, String> {
        let cannot = |error: KafkaError| format!("{error}; what was read of it before stays in force");
        let taken = self.take();
        let trouble = self.trouble.swap(false, Ordering::Relaxed) || taken.is_err();
        if (trouble || self.refreshed_at.elapsed() > REFRESH_EVERY)
            && let Err(error) = self.assign_new(REFRESH_TIMEOUT)
        {
            self.trouble.store(true, Ordering::Relaxed);
            return Err(cannot(taken.err().unwrap_or(error)));
        }
        if !self.behind.is_empty() || !self.settling.settled(self.records) {
            return Ok(None);
        }
        Ok(Some(self.updates.reading()))
    }
}
