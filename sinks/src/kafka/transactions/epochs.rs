//! What waits to be written, epoch by epoch, and what of it makes a transaction.
//!
//! An epoch is in one transaction with the positions that were reached when it closed, so that these stand for exactly
//! the evidence that is before them. It is never divided: a worker that has too much in the open epoch says that it is not
//! ready, takes no more records, and closes the epoch with the next tick.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use faultline_contracts::{ids::EvidenceId, record::TopicPartition, time::UnixMillis};

use crate::kafka::evidence::EvidencePiece;

/// The offset to be read next, by partition.
pub(super) type Positions = BTreeMap<TopicPartition, i64>;

/// How much evidence is put into a transaction at least: a commit costs some milliseconds and requests to several brokers.
const PACE: Duration = Duration::from_millis(100);
/// How long positions may wait that no evidence goes with.
const POSITIONS_ALONE: Duration = Duration::from_secs(5);
/// What a piece takes besides its text.
const OVERHEAD: usize = size_of::<Lengths>();

/// The evidence of one epoch, and the positions at its end.
#[derive(Debug, Default)]
pub(super) struct EpochEvidence {
    epoch: u64,
    /// Keys and values, one after the other.
    text: Vec<u8>,
    pieces: Vec<Lengths>,
    positions: Positions,
}

/// A piece whose texts lie behind those of the one before.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    key: Option<usize>,
    json: usize,
    id: EvidenceId,
    made_at: UnixMillis,
}

impl EpochEvidence {
    /// Adds a piece. All are of one epoch.
    pub(super) fn add(&mut self, piece: EvidencePiece<'_>) {
        let EvidencePiece { epoch, key, id, made_at, json } = piece;
        self.epoch = epoch;
        self.text.extend_from_slice(key.unwrap_or_default().as_bytes());
        self.text.extend_from_slice(json);
        self.pieces.push(Lengths { key: key.map(str::len), json: json.len(), id, made_at });
    }

    /// Notes how far a partition is read.
    pub(super) fn reached(&mut self, partition: &TopicPartition, next: i64) {
        self.positions.insert(partition.clone(), next);
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.positions.is_empty()
    }

    /// Sets the epoch whose end this is.
    pub(super) fn close(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Which epoch's it is.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.pieces.len() * OVERHEAD
    }

    /// Whether evidence is in it.
    pub(super) fn has_evidence(&self) -> bool {
        !self.pieces.is_empty()
    }

    fn pieces(&self) -> impl Iterator<Item = EvidencePiece<'_>> {
        let mut rest = &self.text[..];
        self.pieces.iter().map(move |&Lengths { key, json, id, made_at }| {
            let (text, after) = rest.split_at(key.unwrap_or_default());
            let (json, after) = after.split_at(json);
            rest = after;
            // It was a text when it was added.
            let key = key.map(|_| std::str::from_utf8(text).unwrap_or_default());
            EvidencePiece { epoch: self.epoch, key, id, made_at, json }
        })
    }
}

/// What one transaction commits.
#[derive(Debug, Default)]
pub(super) struct Batch {
    epochs: Vec<EpochEvidence>,
    /// The last of each partition.
    pub(super) positions: Positions,
}

impl Batch {
    /// All these epochs, which are in order, and positions that are committed once more.
    pub(super) fn of(mut epochs: Vec<EpochEvidence>, again: Positions) -> Self {
        let mut positions = again;
        for epoch in &mut epochs {
            positions.append(&mut epoch.positions);
        }
        Self { epochs, positions }
    }

    /// Its evidence, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = EvidencePiece<'_>> {
        self.epochs.iter().flat_map(EpochEvidence::pieces)
    }

    /// What [`EpochEvidence::bytes`] were.
    pub(super) fn bytes(&self) -> usize {
        self.epochs.iter().map(EpochEvidence::bytes).sum()
    }

    /// The first epoch whose evidence it has.
    pub(super) fn first_epoch(&self) -> Option<u64> {
        self.epochs.iter().find(|epoch| epoch.has_evidence()).map(|epoch| epoch.epoch)
    }
}

/// What waits for a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Nothing.
    Nothing,
    /// Positions alone.
    Positions,
    /// Evidence.
    Evidence,
    /// So much that the worker is about to be held up, or the last there will be.
    Urgent,
}

/// When the next transaction begins, if anything waits, where the last one began at `last`.
pub(super) fn begins_at(waiting: Waiting, last: Instant) -> Option<Instant> {
    match waiting {
        Waiting::Nothing => None,
        Waiting::Positions => Some(last + POSITIONS_ALONE),
        Waiting::Evidence => Some(last + PACE),
        Waiting::Urgent => Some(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition { topic: "raw.a".into(), partition: number }
    }

    fn piece<'a>(epoch: u64, key: Option<&'a str>, json: &'a str) -> EvidencePiece<'a> {
        EvidencePiece { epoch, key, id: EvidenceId(epoch.into()), made_at: UnixMillis(7), json: json.as_bytes() }
    }

    #[test]
    fn pieces_come_out_as_they_went_in() {
        let pieces = [piece(4, Some("urn:dp:a"), "{}"), piece(4, None, "{\"a\":1}"), piece(4, Some(""), "")];
        let mut epoch = EpochEvidence::default();
        assert!(epoch.is_empty());
        pieces.iter().for_each(|&piece| epoch.add(piece));
        assert_eq!(epoch.pieces().collect::<Vec<_>>(), pieces);
        assert_eq!(epoch.bytes(), 8 + 2 + 7 + 3 * OVERHEAD);
    }

    #[test]
    fn a_transaction_has_whole_epochs_and_the_last_position_of_each_partition() {
        let mut first = EpochEvidence::default();
        first.add(piece(10, None, "1"));
        first.reached(&partition(0), 5);
        first.reached(&partition(1), 9);
        first.close(10);
        let mut second = EpochEvidence::default();
        second.reached(&partition(0), 7);
        second.close(20);
        let mut third = EpochEvidence::default();
        third.add(piece(30, None, "2"));
        third.reached(&partition(2), 1);
        third.close(30);
        let again = [(partition(0), 4), (partition(3), 2)].into();
        let batch = Batch::of(vec![first, second, third], again);
        assert_eq!(
            batch.pieces().map(|piece| (piece.epoch, piece.json)).collect::<Vec<_>>(),
            [(10, &b"1"[..]), (30, b"2")]
        );
        let expected = [(partition(0), 7), (partition(1), 9), (partition(2), 1), (partition(3), 2)];
        assert_eq!(batch.positions, expected.into());
        assert_eq!(batch.first_epoch(), Some(10));
    }

    #[test]
    fn positions_alone_hold_back_nothing() {
        let mut epoch = EpochEvidence::default();
        epoch.reached(&partition(0), 5);
        epoch.close(10);
        assert!(!epoch.is_empty() && !epoch.has_evidence());
        assert_eq!(Batch::of(vec![epoch], Positions::new()).first_epoch(), None);
    }

    #[test]
    fn evidence_waits_for_a_tenth_of_a_second_of_its_kind() {
        let last = Instant::now();
        assert_eq!(begins_at(Waiting::Nothing, last), None);
        assert_eq!(begins_at(Waiting::Evidence, last), Some(last + Duration::from_millis(100)));
        assert_eq!(begins_at(Waiting::Positions, last), Some(last + Duration::from_secs(5)));
        assert_eq!(begins_at(Waiting::Urgent, last), Some(last));
    }
}
