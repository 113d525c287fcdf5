//! The writer: an idempotent producer that says what is durable.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext,
    bindings::rd_kafka_t,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, Message, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};

use super::{
    config::{KafkaSettings, kafka_config, without_secret},
    deliveries::{Deliveries, DeliveryStats},
    reachable::is_reachable,
    token::{Tokens, oauth_token},
};
use crate::SinkError;

/// Headers of a record whose payload is JSON.
pub const JSON: &[(&str, &[u8])] = &[("content-type", b"application/json")];

/// What the writer asks of librdkafka where the settings say nothing.
const DEFAULTS: &[(&str, &str)] = &[
    // Neither loss nor repetition nor another order while brokers come and go.
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // Never give up a record because brokers are away: the full queue pushes back instead.
    ("message.timeout.ms", "0"),
    ("compression.type", "lz4"),
    ("linger.ms", "5"),
    ("batch.size", "1048576"),
    ("batch.num.messages", "32768"),
    // The bound of the queue, whichever is met first.
    ("queue.buffering.max.messages", "262144"),
    ("queue.buffering.max.kbytes", "131072"),
    // Back soon after a broker is; librdkafka's own pauses grow to ten seconds.
    ("reconnect.backoff.max.ms", "1000"),
];

// An epoch travels through librdkafka in a pointer.
const _: () = assert!(size_of::<usize>() >= size_of::<u64>(), "epochs need 64-bit pointers");

/// A record to be sent.
#[derive(Debug, Clone, Copy)]
pub struct KafkaRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; `None` leaves it to the key's hash.
    pub partition: Option<i32>,
    /// The key.
    pub key: &'a [u8],
    /// Headers: [`JSON`], mostly.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The payload.
    pub payload: &'a [u8],
}

/// Whether the queue took a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a record that was not taken has to be sent again"]
pub enum Enqueued {
    /// It did, and the record is sent as soon as that is possible.
    Accepted,
    /// It is full. Nothing was done: keep the record, and try again when some are acknowledged.
    Full,
}

/// Sends records and keeps account of them. Any number of threads may share one. Dropping it gives up what is still
/// queued, so [`KafkaWriter::flush`] comes first.
pub struct KafkaWriter {
    producer: Arc<BaseProducer<Reports>>,
    deliveries: Arc<Deliveries>,
    servers: String,
    stop: Arc<AtomicBool>,
    polling: Option<JoinHandle<()>>,
}

/// How long the polling thread waits for reports before it looks whether to stop. Long, because the last millisecond of a
/// wait is spun away by the client.
const POLL: Duration = Duration::from_secs(1);
/// How long brokers may take to say that they are back, where no record is on its way that would tell.
const ANSWER: Duration = Duration::from_secs(2);

impl KafkaWriter {
    /// Makes the client. It connects in the background, so that brokers that are away are no error here.
    ///
    /// # Errors
    /// [`SinkError::Kafka`] where librdkafka does not accept a property.
    pub fn new(settings: &KafkaSettings) -> Result<Self, SinkError> {
        Self::with(settings, None)
    }

    /// [`KafkaWriter::new`] for transactions under this id. What is sent outside of one is refused.
    pub(super) fn transactional(settings: &KafkaSettings, id: &str) -> Result<Self, SinkError> {
        Self::with(settings, Some(id))
    }

    fn with(settings: &KafkaSettings, transactional_id: Option<&str>) -> Result<Self, SinkError> {
        let deliveries = Arc::new(Deliveries::new());
        let servers = settings.bootstrap_servers.clone();
        let mut config = kafka_config(settings, DEFAULTS);
        if let Some(id) = transactional_id {
            config.set("transactional.id", id);
        }
        let transactional = transactional_id.is_some();
        let reports = Reports { deliveries: Arc::clone(&deliveries), tokens: settings.tokens.clone(), transactional };
        let producer: BaseProducer<Reports> = match config.create_with_context(reports) {
            Ok(producer) => producer,
            Err(source) => {
                let topic = "topics".to_owned();
                return Err(SinkError::Kafka {
                    action: "make a producer for",
                    topic,
                    servers,
                    source: Box::new(without_secret(source)),
                });
            }
        };
        let (producer, stop) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let (polled, stopped, account) = (Arc::clone(&producer), Arc::clone(&stop), Arc::clone(&deliveries));
        let polling = thread::Builder::new().name("deliveries".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                polled.poll(POLL);
                if account.waits_for_nothing() && is_reachable(polled.client(), ANSWER) {
                    account.recovered();
                }
            }
        });
        let polling = polling.map_err(|source| SinkError::Thread { purpose: "delivery reports", source })?;
        Ok(Self { producer, deliveries, servers, stop, polling: Some(polling) })
    }

    /// Queues a record that belongs to this epoch. Does not block.
    ///
    /// # Errors
    /// [`SinkError::Kafka`] where the record can never be sent as it is (too large, a topic name that is none), or the
    /// producer has failed for good. Such a record is in no count, and does not hold back its epoch: what becomes of it
    /// is the caller's to decide.
    pub fn send(&self, epoch: u64, record: &KafkaRecord<'_>) -> Result<Enqueued, SinkError> {
        let &KafkaRecord { topic, partition, key, headers, payload } = record;
        let mut message = BaseRecord::with_opaque_to(topic, epoch as usize).key(key).payload(payload);
        if let Some(partition) = partition {
            message = message.partition(partition);
        }
        if !headers.is_empty() {
            let owned = OwnedHeaders::new_with_capacity(headers.len());
            message = message.headers(
                headers.iter().fold(owned, |owned, &(key, value)| owned.insert(Header { key, value: Some(value) })),
            );
        }
        // Before it is queued: its report may come before the call returns.
        self.deliveries.sent(epoch, 1);
        let Err((source, _)) = self.producer.send(message) else {
            return Ok(Enqueued::Accepted);
        };
        self.deliveries.not_sent(epoch);
        if source.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) {
            return Ok(Enqueued::Full);
        }
        Err(self.refused(topic, source))
    }

    /// A record that cannot be queued as it is, noted as trouble.
    pub(super) fn refused(&self, topic: &str, source: KafkaError) -> SinkError {
        let _ = self.deliveries.trouble(source.to_string());
        SinkError::Kafka {
            action: "send to",
            topic: topic.to_owned(),
            servers: self.servers.clone(),
            source: Box::new(source),
        }
    }

    /// So many records of an epoch were queued without [`KafkaWriter::send`].
    pub(super) fn queued(&self, epoch: u64, count: u64) {
        self.deliveries.sent(epoch, count);
    }

    /// The client, for transactions.
    pub(super) fn producer(&self) -> &BaseProducer<Reports> {
        &self.producer
    }

    /// `bootstrap.servers`
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// Why the producer is of no use any more, if it is not.
    pub(super) fn fatal_error(&self) -> Option<RDKafkaErrorCode> {
        self.producer.client().fatal_error().map(|(code, _)| code)
    }

    /// Whether all that was sent may still arrive.
    ///
    /// # Errors
    /// A record was given up, or the producer is of no use any more; [`KafkaWriter::last_error`] says why.
    pub(super) fn check(&self) -> Result<(), KafkaError> {
        match self.fatal_error() {
            Some(code) => Err(KafkaError::MessageProduction(code)),
            None if self.stats().failed > 0 => Err(KafkaError::MessageProduction(RDKafkaErrorCode::Fail)),
            None => Ok(()),
        }
    }

    /// librdkafka's own handle; lives as long as the writer.
    pub(super) fn native(&self) -> *mut rd_kafka_t {
        self.producer.client().native_ptr()
    }

    /// Every record that was sent at an epoch before this one is acknowledged; the least of it and the epoch up to
    /// which the caller has sent everything is the epoch before which all is durable. `u64::MAX` while nothing is
    /// outstanding. An epoch of which a record was given up stays where it is: its input has to be read again.
    #[must_use]
    pub fn durable_before(&self) -> u64 {
        self.deliveries.durable_before()
    }

    /// Counts since the start.
    #[must_use]
    pub fn stats(&self) -> DeliveryStats {
        self.deliveries.stats()
    }

    /// What is wrong, if anything is: an error after which nothing was delivered yet, why a record was given up, or that
    /// records wait and none has been acknowledged for some seconds. To be asked every second or so.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        match self.producer.client().fatal_error() {
            Some((code, reason)) => Some(format!("{code}: {reason}")),
            None => self.deliveries.last_error(Instant::now()),
        }
    }

    /// Sends what is queued without waiting for more, and waits until all of it is acknowledged or given up.
    ///
    /// # Errors
    /// [`SinkError::NotAcknowledged`] where that takes longer than `timeout`; the records stay queued.
    pub fn flush(&self, timeout: Duration) -> Result<(), SinkError> {
        match self.producer.flush(timeout) {
            Ok(()) => Ok(()),
            Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) => {
                Err(SinkError::NotAcknowledged { in_flight: self.stats().in_flight(), servers: self.servers.clone() })
            }
            Err(source) => Err(SinkError::Kafka {
                action: "flush",
                topic: "topics".to_owned(),
                servers: self.servers.clone(),
                source: Box::new(source),
            }),
        }
    }
}

impl Drop for KafkaWriter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It holds the client; once it is gone, so is what was still queued.
        if let Some(polling) = self.polling.take() {
            let _ = polling.join();
        }
    }
}

impl fmt::Debug for KafkaWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaWriter")
            .field("servers", &self.servers)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Receives what librdkafka has to say, on the producer's thread.
pub(super) struct Reports {
    deliveries: Arc<Deliveries>,
    tokens: Option<Tokens>,
    /// Whether a record that is given up is sent again, with its transaction.
    transactional: bool,
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, epoch: usize) {
        match result {
            Ok(_) => self.deliveries.delivered(epoch as u64),
            Err((error, message)) => {
                let topic = message.topic();
                // One word is enough where a whole queue is given up; the rest is in the counts.
                if !self.deliveries.failed(epoch as u64, format!("{topic}: {error}")) {
                    return;
                }
                if self.transactional {
                    tracing::debug!(topic, epoch, %error, "a transaction cannot be committed as it is");
                } else {
                    tracing::error!(topic, epoch, %error, "a record was given up");
                }
            }
        }
    }
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        oauth_token(self.tokens.as_ref())
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::info!(target: "librdkafka", facility, "{message}")
            }
            // librdkafka goes on by itself: what it calls an error is a warning to this program.
            _ => tracing::warn!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let text = format!("{error}: {reason}");
        let news = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.deliveries.disconnected(text),
            _ => self.deliveries.trouble(text),
        };
        // The client tells of every attempt to connect.
        if news {
            tracing::warn!(%error, reason, "kafka producer");
        }
    }
}
