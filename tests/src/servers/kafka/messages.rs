//! Records into a broker and out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::KafkaServer;
use crate::envelope::{Envelope, read_envelopes};
use crate::servers::error::{Result, ServerError, file, kafka};

/// How long all of a publication, or one silence while reading, may last.
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// A record as a consumer got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaMessage {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Timestamp in milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// Headers in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
}

impl From<&BorrowedMessage<'_>> for KafkaMessage {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            headers,
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
        }
    }
}

/// Takes note of records that a broker refused.
#[derive(Debug, Clone, Default)]
struct Refusals(Arc<Mutex<Vec<String>>>);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let refusal = format!("{}[{}]: {error}", message.topic(), message.partition());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(refusal);
        }
    }
}

impl KafkaServer {
    /// Publishes a capture to the topics that its lines name; they must exist. Returns the number of records.
    pub fn publish_file(&self, capture: &Path) -> Result<usize> {
        let lines = BufReader::new(File::open(capture).map_err(file("open", capture))?);
        self.publish(&read_envelopes(lines)?)
    }

    /// Publishes records in their order, with their partition, timestamp, headers, key and value. A partition
    /// that the topic lacks is taken modulo the topic's number, which keeps a partition's records in order.
    /// Returns when the broker has them all.
    pub fn publish(&self, envelopes: &[Envelope]) -> Result<usize> {
        self.publisher().publish_over(envelopes, Duration::ZERO)
    }

    /// A publisher that outlives the broker's process.
    pub fn publisher(&self) -> Publisher {
        Publisher { config: self.client_config(), sending: Mutex::default() }
    }

    /// All committed records of a topic up to its present ends, by partition and offset.
    pub fn read_all(&self, topic: &str) -> Result<Vec<KafkaMessage>> {
        let action = format!("read topic {topic}");
        let count = self.partitions(topic)?.cast_signed();
        let consumer: BaseConsumer = self
            .client_config()
            .set("group.id", "faultline-tests-read-all")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .create()
            .map_err(kafka(&action))?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..count {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).map_err(kafka(&action))?;
        }
        consumer.assign(&assignment).map_err(kafka(&action))?;

        let mut messages: Vec<KafkaMessage> = Vec::new();
        let mut open: BTreeSet<i32> = (0..count).collect();
        while !open.is_empty() {
            match consumer.poll(LIMIT) {
                Some(Ok(message)) => messages.push(KafkaMessage::from(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(error)) => return Err(kafka(&action)(error)),
                None => return Err(ServerError::Topic(format!("cannot {action}: nothing for {LIMIT:?}"))),
            }
        }
        messages.sort_by_key(|message| (message.partition, message.offset));
        Ok(messages)
    }
}

/// How many records a paced publisher sends before it waits until the broker has them.
const SLICE: usize = 20;

/// Publishes to a broker that may come and go meanwhile.
#[derive(Debug)]
pub struct Publisher {
    config: ClientConfig,
    /// Held while records are on their way.
    sending: Mutex<()>,
}

impl Publisher {
    /// Lets nothing be on its way for as long as what it returns is kept. To be held while a broker is killed: when it comes
    /// back it has forgotten producers whose last record is old, and a scenario's records are, so that it would take one
    /// that is sent again for another.
    pub fn pause(&self) -> MutexGuard<'_, ()> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`KafkaServer::publish`], evenly spread over so long, from now on. A broker that goes away meanwhile is waited for,
    /// and gets each record once, in order.
    pub fn publish_over(&self, envelopes: &[Envelope], length: Duration) -> Result<usize> {
        let refusals = Refusals::default();
        let producer: BaseProducer<Refusals> = self
            .config
            .clone()
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "0")
            .create_with_context(refusals.clone())
            .map_err(kafka("make a producer"))?;
        let mut partitions = BTreeMap::new();
        let (begin, deadline) = (Instant::now(), Instant::now() + length + LIMIT);
        let paced = !length.is_zero();
        let mut sending = None;
        for (number, envelope) in (0_u32..).zip(envelopes) {
            if paced && (number as usize).is_multiple_of(SLICE) {
                producer.flush(deadline.saturating_duration_since(Instant::now())).map_err(kafka("publish"))?;
                sending = None;
            }
            let due = length * number / envelopes.len().max(1) as u32;
            while let Some(early) = due.checked_sub(begin.elapsed()).filter(|early| !early.is_zero()) {
                producer.poll(early.min(POLL));
            }
            let topic = envelope.topic.as_str();
            let count = match partitions.get(topic) {
                Some(count) => *count,
                None => {
                    let metadata =
                        producer.client().fetch_metadata(Some(topic), LIMIT).map_err(kafka("read metadata"))?;
                    let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len()) as i32;
                    if count == 0 {
                        return Err(ServerError::Topic(format!("topic {topic} does not exist")));
                    }
                    partitions.insert(topic, count);
                    count
                }
            };
            let value = envelope.value().map_err(|e| ServerError::Topic(format!("payload_base64: {e}")))?;
            let mut headers = OwnedHeaders::new();
            for (key, value) in envelope.header_pairs() {
                headers = headers.insert(Header { key, value });
            }
            let mut record = BaseRecord::<'_, str, [u8]>::to(topic)
                .partition(envelope.partition.rem_euclid(count))
                .timestamp(envelope.ts)
                .headers(headers);
            record.key = envelope.key.as_deref();
            record.payload = value.as_deref();
            if paced && sending.is_none() {
                sending = Some(self.pause());
            }
            while let Err((error, again)) = producer.send(record) {
                let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                if error != full || Instant::now() > deadline {
                    return Err(kafka(format!("publish to {topic}"))(error));
                }
                producer.poll(POLL);
                record = again;
            }
            producer.poll(Duration::ZERO);
        }
        producer.flush(deadline.saturating_duration_since(Instant::now())).map_err(kafka("flush the producer"))?;
        drop(sending);
        let refused = refusals.0.lock().unwrap_or_else(PoisonError::into_inner);
        match refused.first() {
            None => Ok(envelopes.len()),
            Some(first) => Err(ServerError::Topic(format!("{} records were refused; {first}", refused.len()))),
        }
    }
}
