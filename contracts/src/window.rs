//! Compliance windows: per dataset and 5 minutes of event time, how many records kept their contract.

mod digest;
mod tally;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

pub use self::{digest::FailureDigest, tally::WindowTally};
use crate::{ids::EntityId, reason::Signature, time::UnixMillis};

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

    /// Both counts.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut both = *self;
        both.add(*other);
        both
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

/// Which window of which dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WindowKey {
    /// The dataset.
    pub dataset: EntityId,
    /// The window's first millisecond.
    pub start: UnixMillis,
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
