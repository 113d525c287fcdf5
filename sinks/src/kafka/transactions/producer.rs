//! One worker's producer: it has the worker's transactional id to itself from the moment it is made.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    producer::Producer,
    util::Timeout,
};

use super::epochs::Batch;
use crate::{
    SinkError,
    kafka::{
        config::KafkaSettings,
        evidence::{EvidenceSender, EvidenceTopic},
        writer::{Enqueued, KafkaWriter},
    },
};

/// How long one call may wait for brokers before it is made again.
const TURN: Duration = Duration::from_secs(1);
/// How soon deliveries are looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A producer that has fenced all others with its id.
pub(super) struct TransactionalProducer {
    writer: Arc<KafkaWriter>,
    sender: EvidenceSender,
}

impl TransactionalProducer {
    /// Makes the producer and fences others: nothing of theirs is open from then on.
    ///
    /// # Errors
    /// [`SinkError::Kafka`] where a property is not taken, the brokers refuse, or do not answer before `deadline`.
    pub(super) fn fence(
        settings: &KafkaSettings,
        topic: &EvidenceTopic,
        id: &str,
        deadline: Instant,
    ) -> Result<Self, SinkError> {
        let writer = Arc::new(KafkaWriter::transactional(settings, id)?);
        let sender = EvidenceSender::new(Arc::clone(&writer), topic)?;
        loop {
            match writer.producer().init_transactions(TURN) {
                Ok(()) => return Ok(Self { writer, sender }),
                Err(error) if is_retriable(&error) && Instant::now() < deadline => {}
                Err(source) => {
                    return Err(SinkError::Kafka {
                        action: "fence the transactional id",
                        topic: id.to_owned(),
                        servers: settings.bootstrap_servers.clone(),
                        source: Box::new(source),
                    });
                }
            }
        }
    }

    /// Whether brokers have fenced it: another producer has its id, or a transaction of its own was open for too long.
    pub(super) fn is_fenced(&self) -> bool {
        use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch};
        matches!(self.writer.fatal_error(), Some(Fenced | InvalidProducerEpoch))
    }

    /// What tells of its health.
    pub(super) fn writer(&self) -> &Arc<KafkaWriter> {
        &self.writer
    }

    /// Commits positions alone.
    ///
    /// # Errors
    /// As [`TransactionalProducer::transact`].
    pub(super) fn commit_positions(
        &mut self,
        list: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> KafkaResult<()> {
        self.transact(&Batch::default(), list, group, |_| ()).map(drop)
    }

    /// Commits evidence and positions as one, however long brokers take, and returns how many pieces can never be sent as
    /// they are. `slow` is told why it is not done yet, now and then.
    ///
    /// # Errors
    /// The producer is of no use any more. Whether the transaction was committed is for the group to say.
    pub(super) fn transact(
        &mut self,
        batch: &Batch,
        positions: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
        slow: impl Fn(&KafkaError),
    ) -> KafkaResult<u64> {
        let Self { writer, sender } = self;
        let producer = writer.producer();
        producer.begin_transaction()?;
        let mut refused = 0;
        for piece in batch.pieces() {
            loop {
                match sender.send(piece) {
                    Ok(Enqueued::Accepted) => break,
                    Ok(Enqueued::Full) => {
                        std::thread::sleep(LOOK_AGAIN);
                        writer.check()?;
                    }
                    Err(SinkError::Kafka { source, .. }) if !is_too_large(&source) => return Err(*source),
                    Err(error) => {
                        let id = piece.id;
                        tracing::error!(error = &error as &dyn std::error::Error, %id, "evidence lost");
                        refused += 1;
                        break;
                    }
                }
            }
        }
        sender.settle();
        // Without a limit of its own it ends with the transaction's.
        producer.send_offsets_to_transaction(positions, group, Timeout::Never)?;
        while producer.in_flight_count() > 0 {
            std::thread::sleep(LOOK_AGAIN);
            writer.check()?;
        }
        writer.check()?;
        loop {
            match producer.commit_transaction(TURN) {
                Ok(()) => return Ok(refused),
                Err(error) if is_retriable(&error) => slow(&error),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether the same call, made again, goes on where it was.
fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable() && !error.is_fatal() && !error.txn_requires_abort(),
        KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
        _ => false,
    }
}

fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducer").field("writer", &self.writer).finish_non_exhaustive()
    }
}
