//! The thread that commits what a worker hands over, through whatever happens to brokers and producers.

use std::{
    error::Error as _,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use faultline_contracts::record::TopicPartition;
use rdkafka::error::{KafkaError, KafkaResult};

use super::{
    epochs::{Batch, begins_at},
    fencing::Fenced,
    group::Found,
    marker::Marker,
    producer::TransactionalProducer,
    settlement::{Settlement, settlement},
    writer::Shared,
};
use crate::SinkError;

/// How often positions are committed again that have not moved: brokers forget those of a group that nobody joins after
/// `offsets.retention.minutes`, a week by default.
const AGAIN: Duration = Duration::from_secs(6 * 3600);
/// How often the mark is looked at: one that has evidence to write is told by the brokers.
const LOOK: Duration = Duration::from_secs(10);
/// How long the mark is watched for a successor's before this instance takes its id back.
const SUCCESSOR: Duration = Duration::from_secs(3);
/// How long brokers may take for each step on the way back.
const STEP: Duration = Duration::from_secs(30);
/// The pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A worker's thread.
pub(super) struct Committing {
    shared: Arc<Shared>,
    worker: usize,
    producer: Option<TransactionalProducer>,
    /// When the last transaction began.
    began: Instant,
    again_at: Instant,
    look_at: Instant,
}

/// What is to be done next.
enum Next {
    /// A transaction, and with it the mark, where it is due again.
    Commit(Batch, Option<Marker>),
    /// It is looked whether another instance has taken over.
    Look,
    /// Nothing any more.
    End,
}

/// Why a thread gives up.
enum GivenUp {
    /// It is not this instance's to go on.
    Ended(SinkError),
    /// Nobody waits for it any more.
    Abandoned,
}

impl From<SinkError> for GivenUp {
    fn from(error: SinkError) -> Self {
        Self::Ended(error)
    }
}

impl Committing {
    /// For a worker, with the producer that has its id.
    pub(super) fn new(shared: Arc<Shared>, worker: usize, producer: TransactionalProducer) -> Self {
        let now = Instant::now();
        let (again_at, look_at) = (now + AGAIN, now + LOOK);
        Self { shared, worker, producer: Some(producer), began: now, again_at, look_at }
    }

    /// Commits until the worker is gone, or another instance has taken over.
    pub(super) fn run(mut self) {
        loop {
            let outcome = match self.next() {
                Next::Commit(batch, marker) => {
                    self.commit(&batch, marker).map(|refused| self.committed(&batch, refused))
                }
                Next::Look => self.look(),
                Next::End => return,
            };
            match outcome {
                Ok(()) => {}
                Err(GivenUp::Abandoned) => return,
                Err(GivenUp::Ended(error)) => {
                    self.shared.queue().ended = Some(Arc::new(error));
                    self.shared.changed.notify_all();
                    return;
                }
            }
        }
    }

    /// Waits until something is to be done.
    fn next(&mut self) -> Next {
        let mut queue = self.shared.queue();
        loop {
            if queue.abandoned {
                return Next::End;
            }
            let now = Instant::now();
            let again = now >= self.again_at;
            let begins_at = begins_at(queue.waiting(), self.began);
            if again || begins_at.is_some_and(|at| at <= now) {
                let batch = queue.take(again);
                self.began = now;
                if again {
                    self.again_at = now + AGAIN;
                }
                return Next::Commit(batch, (again && self.worker == 0).then_some(self.shared.fenced.marker));
            }
            if now >= self.look_at {
                self.look_at = now + LOOK;
                if self.worker == 0 {
                    return Next::Look;
                }
            }
            let due = begins_at.into_iter().chain([self.again_at, self.look_at]).min().unwrap_or(self.look_at);
            let patience = due.saturating_duration_since(now);
            (queue, _) = self.shared.changed.wait_timeout(queue, patience).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Looks whether another instance has taken over. Brokers that do not answer are told of by the producer.
    fn look(&self) -> Result<(), GivenUp> {
        match self.shared.fenced.group.find([].iter(), Instant::now()) {
            Ok(found) => self.is_ours(&found),
            Err(_) => Ok(()),
        }
    }

    /// Commits it, through whatever happens to brokers and producers.
    fn commit(&mut self, batch: &Batch, marker: Option<Marker>) -> Result<u64, GivenUp> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.attempt(batch, marker) {
                Ok(refused) => return Ok(refused),
                Err(error) => error,
            };
            self.shared.queue().stats.aborted += 1;
            let why = self.producer.as_ref().and_then(|producer| producer.writer().last_error());
            let (why, id) = (why.unwrap_or_else(|| error.to_string()), self.shared.fenced.id_of(self.worker));
            tracing::warn!(%error, why, id, "a transaction of evidence failed; the group is asked what became of it");
            self.shared.in_trouble(&why);
            let fenced = self.producer.as_ref().is_some_and(TransactionalProducer::is_fenced);
            self.let_go();
            if fenced {
                self.await_successor()?;
            }
            self.pause(&mut pause)?;
            match self.come_back(batch)? {
                Settlement::Committed => return Ok(0),
                Settlement::Aborted => {}
                Settlement::Moved { at, found } => {
                    let TopicPartition { topic, partition } = at;
                    let group = self.shared.fenced.group.name().to_owned();
                    return Err(SinkError::PositionsMoved { group, topic: topic.to_string(), partition, found }.into());
                }
            }
        }
    }

    fn attempt(&mut self, batch: &Batch, marker: Option<Marker>) -> KafkaResult<u64> {
        let (shared, group) = (&self.shared, &self.shared.fenced.group);
        let list = group.list(&batch.positions, marker)?;
        let producer = self.producer.as_mut().ok_or(KafkaError::Canceled)?;
        producer.transact(batch, &list, &group.metadata()?, |error| shared.in_trouble(error))
    }

    /// Drops a producer that is of no use any more.
    fn let_go(&mut self) {
        self.shared.set_producer(None);
        self.producer = None;
    }

    /// Watches the mark for a while: another instance that has fenced this one leaves its own.
    fn await_successor(&self) -> Result<(), GivenUp> {
        let until = Instant::now() + SUCCESSOR;
        loop {
            // Brokers that do not answer are waited for on the way back.
            if let Ok(found) = self.shared.fenced.group.find([].iter(), until) {
                self.is_ours(&found)?;
            }
            if Instant::now() >= until {
                return Ok(());
            }
            self.wait(FIRST_PAUSE)?;
        }
    }

    /// Fences this worker's id anew and reads what became of the last transaction.
    fn come_back(&mut self, batch: &Batch) -> Result<Settlement, GivenUp> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.fence_and_find(batch) {
                Ok((producer, found)) => {
                    self.is_ours(&found)?;
                    self.shared.set_producer(Some(&producer));
                    self.producer = Some(producer);
                    return Ok(settlement(&self.shared.queue().known, &batch.positions, &found.positions));
                }
                Err(error) => error,
            };
            match error.source() {
                Some(source) => self.shared.in_trouble(&format_args!("{error}: {source}")),
                None => self.shared.in_trouble(&error),
            }
            self.pause(&mut pause)?;
        }
    }

    fn fence_and_find(&self, batch: &Batch) -> Result<(TransactionalProducer, Found), SinkError> {
        let Fenced { settings, options, group, .. } = &*self.shared.fenced;
        let id = self.shared.fenced.id_of(self.worker);
        let producer = TransactionalProducer::fence(settings, &options.topic, &id, Instant::now() + STEP)?;
        let found = group.find(batch.positions.keys(), Instant::now() + STEP);
        Ok((producer, found.map_err(|source| group.unanswered(source))?))
    }

    /// Whether the mark is still the one of this instance.
    fn is_ours(&self, found: &Found) -> Result<(), GivenUp> {
        let Fenced { marker, group, options, .. } = &*self.shared.fenced;
        if found.marker.is_some_and(|found| found.instance == marker.instance) {
            return Ok(());
        }
        Err(SinkError::TakenOver { group: options.group.clone(), evidence: group.name().to_owned() }.into())
    }

    fn committed(&self, batch: &Batch, refused: u64) {
        self.shared.recovered();
        self.shared.queue().committed(batch, refused);
        self.shared.changed.notify_all();
    }

    /// Waits, each time twice as long.
    fn pause(&self, pause: &mut Duration) -> Result<(), GivenUp> {
        self.wait(*pause)?;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    fn wait(&self, pause: Duration) -> Result<(), GivenUp> {
        let (queue, _) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.queue(), pause, |queue| !queue.abandoned)
            .unwrap_or_else(PoisonError::into_inner);
        if queue.abandoned { Err(GivenUp::Abandoned) } else { Ok(()) }
    }
}
