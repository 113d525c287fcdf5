//! What a worker has handed over and its thread has not committed yet.

use std::{collections::VecDeque, sync::Arc};

use super::{
    epochs::{Batch, EpochEvidence, Positions, Waiting},
    writer::TransactionStats,
};
use crate::SinkError;

/// How much evidence may wait or be on its way, in bytes; beyond it the worker takes no more records.
const CAPACITY: usize = 32 << 20;

/// The epochs that wait, and the account of those that do not any more.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<EpochEvidence>,
    /// The bytes of what waits and of what is on its way.
    bytes: usize,
    /// Whether a transaction is under way, and the first epoch with evidence in it.
    under_way: Option<Option<u64>>,
    /// What the group has of this worker's partitions, by all that is known here.
    pub(super) known: Positions,
    pub(super) stats: TransactionStats,
    /// All that waits is to be committed at once.
    pub(super) flush: bool,
    /// The worker is gone, and so is its interest in what still waits.
    pub(super) abandoned: bool,
    /// Why nothing is committed any more.
    pub(super) ended: Option<Arc<SinkError>>,
}

impl Queue {
    /// Adds an epoch that is closed, after those before it.
    pub(super) fn push(&mut self, epoch: EpochEvidence) {
        self.bytes += epoch.bytes();
        self.waiting.push_back(epoch);
    }

    /// Takes what the next transaction commits: all that waits, and where it is due all positions `again`.
    pub(super) fn take(&mut self, again: bool) -> Batch {
        let known = if again { self.known.clone() } else { Positions::new() };
        let batch = Batch::of(std::mem::take(&mut self.waiting).into(), known);
        self.under_way = Some(batch.first_epoch());
        batch
    }

    /// Notes that what was taken is committed, but for so many pieces that can never be sent.
    pub(super) fn committed(&mut self, batch: &Batch, refused: u64) {
        self.bytes = self.bytes.saturating_sub(batch.bytes());
        self.under_way = None;
        self.stats.committed += 1;
        self.stats.refused += refused;
        self.known.extend(batch.positions.iter().map(|(at, &next)| (at.clone(), next)));
    }

    /// What waits.
    pub(super) fn waiting(&self) -> Waiting {
        if self.waiting.is_empty() {
            Waiting::Nothing
        } else if self.flush || self.bytes >= CAPACITY / 2 {
            Waiting::Urgent
        } else if self.waiting.iter().any(EpochEvidence::has_evidence) {
            Waiting::Evidence
        } else {
            Waiting::Positions
        }
    }

    /// Of epochs before this one all evidence is committed; `u64::MAX` while none waits.
    pub(super) fn durable_before(&self) -> u64 {
        let waiting = self.waiting.iter().find(|epoch| epoch.has_evidence()).map(EpochEvidence::epoch);
        self.under_way.flatten().into_iter().chain(waiting).min().unwrap_or(u64::MAX)
    }

    /// Whether there is room beside so many bytes of the open epoch.
    pub(super) fn has_room(&self, open: usize) -> bool {
        self.ended.is_none() && self.bytes + open < CAPACITY
    }

    /// Whether something will still be committed.
    pub(super) fn is_busy(&self) -> bool {
        self.ended.is_none() && (self.under_way.is_some() || !self.waiting.is_empty())
    }

    /// How many epochs are not committed.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.under_way.is_some())
    }
}

#[cfg(test)]
mod tests {
    use faultline_contracts::{ids::EvidenceId, record::TopicPartition, time::UnixMillis};

    use super::*;
    use crate::kafka::evidence::EvidencePiece;

    fn partition() -> TopicPartition {
        TopicPartition { topic: "raw.a".into(), partition: 0 }
    }

    fn epoch(number: u64, json: &[u8], next: i64) -> EpochEvidence {
        let mut epoch = EpochEvidence::default();
        if !json.is_empty() {
            let id = EvidenceId(number.into());
            epoch.add(EvidencePiece { epoch: number, key: None, id, made_at: UnixMillis(1), json });
        }
        epoch.reached(&partition(), next);
        epoch.close(number);
        epoch
    }

    #[test]
    fn an_epoch_is_durable_when_its_transaction_is_committed() {
        let mut queue = Queue::default();
        assert_eq!((queue.durable_before(), queue.waiting(), queue.is_busy()), (u64::MAX, Waiting::Nothing, false));
        queue.push(epoch(10, b"", 1));
        assert_eq!((queue.durable_before(), queue.waiting()), (u64::MAX, Waiting::Positions));
        queue.push(epoch(20, b"{}", 2));
        assert_eq!((queue.durable_before(), queue.waiting()), (20, Waiting::Evidence));
        let batch = queue.take(false);
        queue.push(epoch(30, b"{}", 3));
        assert_eq!((queue.durable_before(), queue.len()), (20, 2), "it is under way");
        queue.committed(&batch, 0);
        assert_eq!((queue.durable_before(), queue.known.get(&partition())), (30, Some(&2)));
        let batch = queue.take(false);
        assert!(queue.is_busy());
        queue.committed(&batch, 1);
        assert_eq!((queue.durable_before(), queue.is_busy()), (u64::MAX, false));
        assert_eq!(queue.stats, TransactionStats { committed: 2, aborted: 0, refused: 1 });
    }

    #[test]
    fn positions_are_committed_again_when_that_is_due() {
        let mut queue = Queue::default();
        queue.known.insert(partition(), 7);
        assert_eq!(queue.take(true).positions, [(partition(), 7)].into());
        queue.push(epoch(10, b"", 9));
        assert_eq!(queue.take(true).positions, [(partition(), 9)].into(), "what is newer holds");
        assert!(queue.take(false).positions.is_empty());
    }

    #[test]
    fn a_full_queue_pushes_back_until_its_evidence_is_committed() {
        let mut queue = Queue::default();
        let half = vec![b' '; CAPACITY / 2];
        assert!(queue.has_room(half.len()) && !queue.has_room(CAPACITY));
        queue.push(epoch(10, &half, 1));
        assert_eq!(queue.waiting(), Waiting::Urgent);
        let batch = queue.take(false);
        queue.push(epoch(20, &half, 2));
        assert!(!queue.has_room(0), "what is on its way counts");
        queue.committed(&batch, 0);
        assert!(queue.has_room(0));
        queue.ended = Some(Arc::new(SinkError::NoProducer { worker: 0 }));
        assert!(!queue.has_room(0) && !queue.is_busy());
    }
}
