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

    /// All records.
    #[must_use]
    pub fn records(self) -> u64 {
        self.pass + self.fail + self.warn
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

/// What stands for all signatures, or producers, beyond the bound.
const OTHER: &str = "OTHER";

/// What a window's records amount to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct WindowTally {
    /// All its records.
    pub verdicts: Verdicts,
    /// Failing records by signature; at most [`WindowTally::SIGNATURES`] beside [`Signature::other`], which has the rest.
    pub by_signature: BTreeMap<Signature, FailureDigest>,
    /// Records by producer; at most [`WindowTally::PRODUCERS`] beside `OTHER`, which has the rest.
    pub by_producer: BTreeMap<Arc<str>, Verdicts>,
}

impl WindowTally {
    /// How many signatures a window tells apart.
    pub const SIGNATURES: usize = 64;
    /// How many producers a window tells apart.
    pub const PRODUCERS: usize = 64;

    /// Adds the tally of other records, keeping every signature and producer apart. The order of absorbing does not
    /// matter. For what one tick holds, which bounds itself; [`WindowTally::merge`] is for what grows.
    pub fn absorb(&mut self, other: &Self) {
        self.verdicts.add(other.verdicts);
        for (signature, digest) in &other.by_signature {
            match self.by_signature.get_mut(signature) {
                Some(known) => known.merge(digest),
                None => _ = self.by_signature.insert(signature.clone(), digest.clone()),
            }
        }
        for (producer, verdicts) in &other.by_producer {
            match self.by_producer.get_mut(producer) {
                Some(known) => known.add(*verdicts),
                None => _ = self.by_producer.insert(Arc::clone(producer), *verdicts),
            }
        }
    }

    /// Adds the tally of other records of the same window, or, for a breach, of another window. A signature or producer
    /// beyond the bound counts under `OTHER`. Newcomers are admitted in the order of their first failure, so the result
    /// depends on the sequence of tallies merged, and on nothing else: merge complete ones, in a canonical order.
    pub fn merge(&mut self, other: &Self) {
        self.verdicts.add(other.verdicts);
        let mut newcomers = Vec::new();
        for (signature, digest) in &other.by_signature {
            match self.by_signature.get_mut(signature) {
                Some(known) => known.merge(digest),
                None => newcomers.push((digest.first(), signature, digest)),
            }
        }
        if !newcomers.is_empty() {
            newcomers.sort_unstable_by_key(|&(first, signature, _)| (first, signature));
            let apart = self.by_signature.keys().filter(|signature| signature.as_str() != OTHER).count();
            let mut room = Self::SIGNATURES.saturating_sub(apart);
            for (_, signature, digest) in newcomers {
                let signature = match signature.as_str() {
                    OTHER => signature.clone(),
                    _ if room == 0 => Signature::other(),
                    _ => {
                        room -= 1;
                        signature.clone()
                    }
                };
                self.by_signature.entry(signature).or_default().merge(digest);
            }
        }
        let apart = self.by_producer.keys().filter(|producer| producer.as_ref() != OTHER).count();
        let mut room = Self::PRODUCERS.saturating_sub(apart);
        for (producer, verdicts) in &other.by_producer {
            if let Some(known) = self.by_producer.get_mut(producer) {
                known.add(*verdicts);
                continue;
            }
            let producer = match producer.as_ref() {
                OTHER => Arc::clone(producer),
                _ if room == 0 => OTHER.into(),
                _ => {
                    room -= 1;
                    Arc::clone(producer)
                }
            };
            self.by_producer.entry(producer).or_default().add(*verdicts);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordCoordinates;

    fn failures(signatures: std::ops::Range<i64>) -> WindowTally {
        let mut tally = WindowTally::default();
        for n in signatures {
            let at = RecordCoordinates { topic: "t", partition: 0, offset: n };
            // Later signatures fail first.
            let id = EvidenceId::of(at, UnixMillis(1_000_000 - n));
            let sample =
                || FailureSample { id, topic: "t".into(), producer: "p".into(), trace_id: None, dag_run_id: None };
            tally.by_signature.entry(format!("S{n:03}").as_str().into()).or_default().insert(id, sample);
            let one = Verdicts { fail: 1, ..Verdicts::default() };
            tally.by_producer.entry(format!("p{n:03}").into()).or_default().add(one);
            tally.verdicts.add(one);
        }
        tally
    }

    #[test]
    fn absorbing_parts_in_any_order_then_merging_gives_one_result() {
        let mut whole = WindowTally::default();
        whole.absorb(&failures(0..200));
        let (mut forward, mut backward) = (WindowTally::default(), WindowTally::default());
        for part in 0..10 {
            forward.absorb(&failures(part * 20..part * 20 + 20));
            backward.absorb(&failures((9 - part) * 20..(9 - part) * 20 + 20));
        }
        assert_eq!((&forward, &backward), (&whole, &whole));

        let mut bounded = WindowTally::default();
        bounded.merge(&whole);
        assert_eq!(bounded.verdicts.fail, 200);
        assert_eq!(bounded.by_signature.len(), WindowTally::SIGNATURES + 1);
        assert_eq!(bounded.by_signature[&Signature::other()].count, 136);
        assert!(bounded.by_signature.contains_key(&"S199".into()), "the first to fail is admitted");
        assert!(!bounded.by_signature.contains_key(&"S000".into()));
        assert_eq!(bounded.by_producer.len(), WindowTally::PRODUCERS + 1);
        assert_eq!(bounded.by_producer["OTHER"].fail, 136);

        // Merging what is bounded already takes no room from others.
        let mut again = failures(0..1);
        again.merge(&bounded);
        assert_eq!(again.by_signature.len(), WindowTally::SIGNATURES + 1);
        assert_eq!(again.by_signature.values().map(|digest| digest.count).sum::<u64>(), 201);
    }
}
