//! One worker's way to evidence that is written exactly once: what it hands over waits for its thread, which commits it.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use faultline_contracts::record::TopicPartition;

use super::{
    committing::Committing,
    epochs::{EpochEvidence, Positions},
    fencing::Fenced,
    producer::TransactionalProducer,
    queue::Queue,
};
use crate::{
    SinkError,
    kafka::{evidence::EvidencePiece, writer::KafkaWriter},
};

/// Counts of a writer since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionStats {
    /// Transactions that were committed.
    pub committed: u64,
    /// Attempts that were not, or not known to be; what was in them was sent again where it was not committed.
    pub aborted: u64,
    /// Pieces of evidence that can never be sent as they are, and were left out.
    pub refused: u64,
}

/// Hands evidence over to a worker's transactions. It never waits for a broker.
pub struct TransactionalWriter {
    shared: Arc<Shared>,
    open: EpochEvidence,
    /// How far each partition was said to be last.
    reached: Positions,
    thread: Option<JoinHandle<()>>,
}

/// What a worker shares with its thread.
pub(super) struct Shared {
    pub(super) fenced: Arc<Fenced>,
    queue: Mutex<Queue>,
    /// The queue is not as it was.
    pub(super) changed: Condvar,
    /// The producer in use; `None` while there is none.
    producer: Mutex<Option<Arc<KafkaWriter>>>,
    trouble: Mutex<Option<String>>,
}

impl TransactionalWriter {
    pub(super) fn start(
        fenced: Arc<Fenced>,
        worker: usize,
        producer: TransactionalProducer,
    ) -> Result<Self, SinkError> {
        let shared = Arc::new(Shared {
            fenced,
            queue: Mutex::default(),
            changed: Condvar::new(),
            producer: Mutex::new(Some(Arc::clone(producer.writer()))),
            trouble: Mutex::default(),
        });
        let committing = Committing::new(Arc::clone(&shared), worker, producer);
        let thread = std::thread::Builder::new()
            .name(format!("evidence-{worker}"))
            .spawn(move || committing.run())
            .map_err(|source| SinkError::Thread { purpose: "transactions", source })?;
        Ok(Self { shared, open: EpochEvidence::default(), reached: Positions::new(), thread: Some(thread) })
    }

    /// All evidence of records of this partition before this offset was there at the start; `None` where there was none.
    /// From now on the worker reads it.
    pub fn written_before(&mut self, partition: &TopicPartition) -> Option<i64> {
        let next = self.shared.fenced.positions.get(partition).copied()?;
        self.shared.queue().known.entry(partition.clone()).or_insert(next);
        Some(next)
    }

    /// Takes a piece of the open epoch.
    pub fn write(&mut self, piece: EvidencePiece<'_>) {
        self.open.add(piece);
    }

    /// All evidence that there will be of records of a partition before the offset `next` has been written.
    pub fn reached(&mut self, partition: &TopicPartition, next: i64) {
        match self.reached.get_mut(partition) {
            Some(known) if *known == next => return,
            Some(known) => *known = next,
            None => {
                self.reached.insert(partition.clone(), next);
            }
        }
        self.open.reached(partition, next);
    }

    /// Ends the open epoch.
    pub fn close_epoch(&mut self, epoch: u64) {
        if self.open.is_empty() {
            return;
        }
        self.open.close(epoch);
        let closed = std::mem::take(&mut self.open);
        self.shared.queue().push(closed);
        self.shared.changed.notify_all();
    }

    /// Whether more records may be taken now.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.shared.queue().has_room(self.open.bytes())
    }

    /// Of epochs before this one that were closed, all evidence is committed; `u64::MAX` while none waits.
    #[must_use]
    pub fn durable_before(&self) -> u64 {
        self.shared.queue().durable_before()
    }

    /// Counts since the start.
    #[must_use]
    pub fn stats(&self) -> TransactionStats {
        self.shared.queue().stats
    }

    /// What is wrong, if anything is. It is tried again meanwhile.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        let trouble = lock(&self.shared.trouble).clone();
        trouble.or_else(|| lock(&self.shared.producer).as_ref().and_then(|producer| producer.last_error()))
    }

    /// Why no more evidence is written, if so: another instance has taken over. What waits is its to write.
    #[must_use]
    pub fn ended(&self) -> Option<Arc<SinkError>> {
        self.shared.queue().ended.clone()
    }

    /// Commits what waits, and waits until that is done.
    ///
    /// # Errors
    /// [`SinkError::NotAcknowledged`] where it takes longer than `timeout`: it is made again from the positions.
    pub fn flush(&self, timeout: Duration) -> Result<(), SinkError> {
        let mut queue = self.shared.queue();
        queue.flush = true;
        self.shared.changed.notify_all();
        let (mut queue, _) = self
            .shared
            .changed
            .wait_timeout_while(queue, timeout, |queue| queue.is_busy())
            .unwrap_or_else(PoisonError::into_inner);
        queue.flush = false;
        if !queue.is_busy() {
            return Ok(());
        }
        let (in_flight, servers) = (queue.len() as u64, self.shared.fenced.settings.bootstrap_servers.clone());
        Err(SinkError::NotAcknowledged { in_flight, servers })
    }
}

impl Drop for TransactionalWriter {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.abandoned = true;
        let idle = !queue.is_busy();
        drop(queue);
        self.shared.changed.notify_all();
        // One that waits for brokers ends once they answer, or with the process.
        if let Some(thread) = self.thread.take().filter(|_| idle) {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for TransactionalWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalWriter").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Shared {
    /// The queue. It is whole between any two operations, so that a panic elsewhere does not spoil it.
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Another producer is in use, or none.
    pub(super) fn set_producer(&self, producer: Option<&TransactionalProducer>) {
        *lock(&self.producer) = producer.map(|producer| Arc::clone(producer.writer()));
    }

    /// Something is wrong, and tried again.
    pub(super) fn in_trouble(&self, why: &dyn fmt::Display) {
        *lock(&self.trouble) = Some(why.to_string());
    }

    /// What was wrong is not any more.
    pub(super) fn recovered(&self) {
        *lock(&self.trouble) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
