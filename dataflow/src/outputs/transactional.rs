//! Evidence to a Kafka topic exactly once: one worker's transactions, as its intake sees them.

use std::{sync::Arc, time::Duration};

use faultline_contracts::{ids::EvidenceId, record::TopicPartition, time::UnixMillis};
use faultline_sinks::{
    SinkError,
    kafka::{EvidencePiece, Fenced, TransactionStats, TransactionalWriter},
};

use crate::{
    causes::WithCauses,
    health::{Dependency, Reporter},
    intake::EvidenceOutput,
    metrics::Metrics,
};

/// How long a finishing output waits for its last transaction.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Evidence that is committed with the positions that it stands for.
pub struct TransactionalEvidence {
    writer: TransactionalWriter,
    health: Reporter,
    metrics: Arc<Metrics>,
    /// What metrics were told last.
    told: TransactionStats,
}

impl TransactionalEvidence {
    /// The output of a worker of an instance that has fenced the one before it.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn new(fenced: &Arc<Fenced>, worker: usize, metrics: Arc<Metrics>) -> Result<Self, SinkError> {
        let health = metrics.health.reporter(Dependency::KafkaSink);
        Ok(Self { writer: fenced.writer(worker)?, health, metrics, told: TransactionStats::default() })
    }

    fn tell(&mut self) {
        let stats = self.writer.stats();
        let TransactionStats { committed, aborted, refused } = stats;
        self.metrics.transactions("committed", committed - self.told.committed);
        self.metrics.transactions("aborted", aborted - self.told.aborted);
        (self.told.refused..refused).for_each(|_| self.metrics.sink_error("evidence"));
        self.told = stats;
        match self.writer.last_error() {
            Some(error) => self.health.degraded(&error),
            None => self.health.up(),
        }
    }
}

impl EvidenceOutput for TransactionalEvidence {
    fn write(&mut self, epoch: u64, key: Option<&str>, id: EvidenceId, made_at: UnixMillis, json: &[u8]) {
        self.writer.write(EvidencePiece { epoch, key, id, made_at, json });
    }

    fn ready(&mut self) -> bool {
        self.writer.ready()
    }

    fn close_epoch(&mut self, epoch: u64) {
        self.writer.close_epoch(epoch);
        self.tell();
    }

    fn resumes() -> bool {
        true
    }

    fn written_before(&mut self, partition: &TopicPartition) -> Option<i64> {
        self.writer.written_before(partition)
    }

    fn reached(&mut self, partition: &TopicPartition, next: i64) {
        self.writer.reached(partition, next);
    }

    fn durable_before(&self) -> u64 {
        self.writer.durable_before()
    }

    fn ended(&self) -> Option<String> {
        self.writer.ended().map(|error| match error.hint() {
            Some(hint) => format!("{}; {hint}", WithCauses(&*error)),
            None => WithCauses(&*error).to_string(),
        })
    }

    fn finish(&mut self) {
        if let Err(error) = self.writer.flush(FLUSH_TIMEOUT) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "evidence not committed; the next start makes it again"
            );
        }
        self.tell();
    }
}
