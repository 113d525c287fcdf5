//! Compliance windows: per dataset and 5 minutes of event time, how many records kept their contract.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use crate::{
    evidence::FailureSample,
    ids::{EntityId, EvidenceId},
    reason::Signature,
    time::UnixMillis,
};

/// Records by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Verdicts {
    /// Kept the contract.
    pub pass: u64,
    /// Broke it.
    pub fail: u64,
    /// Could not be judged.
    pub warn: u64,
}

impl Verdicts {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.pass += other.pass;
        self.fail += other.fail;
        self.warn += other.warn;
    }

    /// Records that were judged: `pass + fail`.
    #[must_use]
    pub fn judged(self) -> u64 {
        self.pass + self.fail
    }
}

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

    /// Adds another digest, of other records.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.last = self.last.max(other.last);
        let full = self.earliest.len() >= Self::SAMPLES;
        if other.earliest.is_empty() || full && self.earliest.last() <= other.earliest.first() {
            return;
        }
        if self.earliest.is_empty() {
            self.earliest = Arc::clone(&other.earliest);
            return;
        }
        let earliest = Arc::make_mut(&mut self.earliest);
        earliest.extend(other.earliest.iter().cloned());
        earliest.sort();
        earliest.truncate(Self::SAMPLES);
    }
}

/// Which window of which dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WindowKey {
    /// The dataset.
    pub dataset: EntityId,
    /// The window's first millisecond.
    pub start: UnixMillis,
}

/// What a window's records amount to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct WindowTally {
    /// All its records.
    pub verdicts: Verdicts,
    /// Failing records by signature; at most [`WindowTally::SIGNATURES`] apart, the rest under [`Signature::other`].
    pub by_signature: BTreeMap<Signature, FailureDigest>,
    /// Records by producer; at most [`WindowTally::PRODUCERS`] apart, the rest under `OTHER`.
    pub by_producer: BTreeMap<Arc<str>, Verdicts>,
}

impl WindowTally {
    /// How many signatures a window tells apart.
    pub const SIGNATURES: usize = 64;
    /// How many producers a window tells apart.
    pub const PRODUCERS: usize = 64;

    /// Adds another tally of the same window, or, for a breach, of another window. A signature or producer beyond the
    /// bound counts under `OTHER`. Which ones are within it depends on the order of merging, so merge in a canonical one.
    pub fn merge(&mut self, other: &Self) {
        self.verdicts.add(other.verdicts);
        let mut newcomers: Vec<_> = other.by_signature.iter().collect();
        newcomers.sort_by_key(|(signature, digest)| (digest.first(), (*signature).clone()));
        for (signature, digest) in newcomers {
            if let Some(known) = self.by_signature.get_mut(signature) {
                known.merge(digest);
            } else {
                let room = self.by_signature.len() < Self::SIGNATURES;
                let signature = if room { signature.clone() } else { Signature::other() };
                self.by_signature.entry(signature).or_default().merge(digest);
            }
        }
        for (producer, verdicts) in &other.by_producer {
            if let Some(known) = self.by_producer.get_mut(producer) {
                known.add(*verdicts);
            } else {
                let room = self.by_producer.len() < Self::PRODUCERS;
                let producer = if room { Arc::clone(producer) } else { "OTHER".into() };
                self.by_producer.entry(producer).or_default().add(*verdicts);
            }
        }
    }

    /// The signature with the most failures; the earlier first failure decides a tie.
    #[must_use]
    pub fn dominant_signature(&self) -> Option<(&Signature, &FailureDigest)> {
        self.by_signature
            .iter()
            .min_by_key(|(signature, digest)| (std::cmp::Reverse(digest.count), digest.first(), (*signature).clone()))
    }
}

/// Whether more records of a window are to be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum WindowStatus {
    /// The watermark has not passed its end.
    Provisional,
    /// It has; late records still correct it until grace ends.
    Final,
}

/// A compliance window as it is now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct ComplianceWindow {
    /// Which.
    pub key: WindowKey,
    /// The first millisecond after it.
    pub end: UnixMillis,
    /// Provisional or final.
    pub status: WindowStatus,
    /// Its records.
    pub tally: Arc<WindowTally>,
}

/// In JSON the flat object of `windows.jsonl`; in binary formats the fields.
impl Serialize for ComplianceWindow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return (&self.key, self.end, self.status, &self.tally).serialize(serializer);
        }
        let by_signature: BTreeMap<&Signature, u64> =
            self.tally.by_signature.iter().map(|(signature, digest)| (signature, digest.count)).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("dataset_urn", &self.key.dataset)?;
        map.serialize_entry("window_start", &self.key.start)?;
        map.serialize_entry("window_end", &self.end)?;
        map.serialize_entry("pass", &self.tally.verdicts.pass)?;
        map.serialize_entry("fail", &self.tally.verdicts.fail)?;
        map.serialize_entry("warn", &self.tally.verdicts.warn)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("by_signature", &by_signature)?;
        map.serialize_entry("by_producer", &self.tally.by_producer)?;
        map.end()
    }
}
