//! What a window keeps of the failures with one signature.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{evidence::FailureSample, ids::EvidenceId};

/// One signature's failures in a window: their number and a digest of bounded size. Mergeable: the digest of a union
/// is the merge of the digests, in any order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct FailureDigest {
    /// Failing records.
    pub count: u64,
    /// The latest failure.
    pub last: Option<EvidenceId>,
    /// The earliest failures by evidence id (that is, by time), at most [`FailureDigest::SAMPLES`], sorted.
    pub earliest: Arc<Vec<FailureSample>>,
}

impl FailureDigest {
    /// How many of the earliest failures are kept.
    pub const SAMPLES: usize = 100;

    /// The earliest failure.
    #[must_use]
    pub fn first(&self) -> Option<EvidenceId> {
        self.earliest.first().map(|sample| sample.id)
    }

    /// Counts one failure. `sample` makes its sample, and is called only where it is among the earliest.
    pub fn insert(&mut self, id: EvidenceId, sample: impl FnOnce() -> FailureSample) {
        self.count += 1;
        self.last = self.last.max(Some(id));
        if self.earliest.len() < Self::SAMPLES || self.earliest.last().is_some_and(|last| id < last.id) {
            let place = self.earliest.partition_point(|kept| kept.id < id);
            let earliest = Arc::make_mut(&mut self.earliest);
            earliest.insert(place, sample());
            earliest.truncate(Self::SAMPLES);
        }
    }

    /// The digest of both's records. No record is in both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            count: self.count + other.count,
            last: self.last.max(other.last),
            earliest: earliest(&self.earliest, &other.earliest),
        }
    }
}

/// The earliest of both.
fn earliest(ours: &Arc<Vec<FailureSample>>, theirs: &Arc<Vec<FailureSample>>) -> Arc<Vec<FailureSample>> {
    let suffices = |one: &[FailureSample], other: &[FailureSample]| {
        other.is_empty() || one.len() >= FailureDigest::SAMPLES && one.last() <= other.first()
    };
    if suffices(ours, theirs) {
        return Arc::clone(ours);
    }
    if suffices(theirs, ours) {
        return Arc::clone(theirs);
    }
    let length = FailureDigest::SAMPLES.min(ours.len() + theirs.len());
    let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
    let mut both = Vec::with_capacity(length);
    while both.len() < length {
        let is_ours = theirs.peek().is_none_or(|theirs| ours.peek().is_some_and(|ours| ours <= theirs));
        both.extend(if is_ours { ours.next() } else { theirs.next() }.cloned());
    }
    Arc::new(both)
}
