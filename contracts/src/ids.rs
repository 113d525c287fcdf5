//! Names of things. Every id is a function of what it names, so it is the same on any machine, worker and replay.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use xxhash_rust::xxh3::xxh3_64;

use crate::{base32, record::RecordCoordinates, time::UnixMillis};

/// A text that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {expected}")]
pub struct IdError {
    /// What was given, at most 64 characters of it.
    pub text: String,
    /// What an id of this kind looks like.
    pub expected: &'static str,
}

impl IdError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(64).collect(), expected }
    }
}

/// A node of the lineage graph by its natural name: a dataset URN (`urn:dp:orders:created`), a job
/// (`job:airflow/orders_daily_agg`), a table, dashboard, producer or deployment. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntityId(Arc<str>);

impl EntityId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `job:<namespace>/<name>`
    #[must_use]
    pub fn job(namespace: &str, name: &str) -> Self {
        format!("job:{namespace}/{name}").into()
    }

    /// `deployment:<service>:<version>`
    #[must_use]
    pub fn deployment(service: &str, version: &str) -> Self {
        format!("deployment:{service}:{version}").into()
    }

    /// `producer:<id>`
    #[must_use]
    pub fn producer(id: &str) -> Self {
        format!("producer:{id}").into()
    }
}

impl From<&str> for EntityId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for EntityId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl std::borrow::Borrow<str> for EntityId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The id of one record's evidence, from which the record can be found again:
/// 48 bits timestamp in ms, 24 bits of the topic's hash, 16 bits partition, 40 bits offset.
///
/// ```
/// use faultline_contracts::{ids::EvidenceId, record::RecordCoordinates, time::UnixMillis};
/// let id = EvidenceId::of(RecordCoordinates { topic: "raw.orders.events", partition: 4, offset: 9_918_273 },
///                         UnixMillis(1_698_400_681_950));
/// assert_eq!(id.to_string().len(), 30);
/// assert_eq!(id.to_string().parse(), Ok(id));
/// assert_eq!((id.timestamp(), id.partition(), id.offset()), (UnixMillis(1_698_400_681_950), 4, 9_918_273));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceId(pub u128);

impl EvidenceId {
    /// Length of the text form.
    pub const TEXT_LEN: usize = 30;
    const EXPECTED: &'static str = "an evidence id: 'evd-' and 26 characters of Crockford base32";

    /// The topic's part of an id. Sources compute it once for each topic.
    #[must_use]
    pub fn topic_hash(topic: &str) -> u32 {
        (xxh3_64(topic.as_bytes()) >> 40) as u32
    }

    /// The id of the record at `at`. A timestamp before 1970, or none at all (Kafka's −1), counts as 0.
    #[must_use]
    pub fn of(at: RecordCoordinates<'_>, timestamp: UnixMillis) -> Self {
        Self::from_parts(timestamp, Self::topic_hash(at.topic), at.partition, at.offset)
    }

    /// [`EvidenceId::of`] for a topic hashed before.
    #[must_use]
    pub fn from_parts(timestamp: UnixMillis, topic_hash: u32, partition: i32, offset: i64) -> Self {
        let time = timestamp.0.clamp(0, (1 << 48) - 1) as u128;
        let partition = (partition & 0xFFFF) as u128;
        let offset = (offset as u128) & ((1 << 40) - 1);
        Self(time << 80 | u128::from(topic_hash & 0xFF_FFFF) << 56 | partition << 40 | offset)
    }

    /// The record's timestamp.
    #[must_use]
    pub fn timestamp(self) -> UnixMillis {
        UnixMillis((self.0 >> 80) as i64)
    }

    /// The record's partition, modulo 2^16.
    #[must_use]
    pub fn partition(self) -> i32 {
        (self.0 >> 40 & 0xFFFF) as i32
    }

    /// The record's offset, modulo 2^40.
    #[must_use]
    pub fn offset(self) -> i64 {
        (self.0 & ((1 << 40) - 1)) as i64
    }

    /// Appends the text form.
    pub fn write_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"evd-");
        out.extend_from_slice(&base32::encode::<26>(self.0));
    }
}

impl fmt::Display for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = base32::encode::<26>(self.0);
        f.write_str("evd-")?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EvidenceId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix("evd-")
            .filter(|digits| digits.len() == 26)
            .and_then(base32::decode)
            .map(Self)
            .ok_or_else(|| IdError::new(text, Self::EXPECTED))
    }
}

/// The id of an incident: `INC-` and 8 characters of Crockford base32, 40 bits of a hash of what it is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(pub u64);

impl IncidentId {
    const EXPECTED: &'static str = "an incident id: 'INC-' and 8 characters of Crockford base32";

    /// The incident of a dataset's signal (`contract_compliance`, …) whose first breached window starts at `window_start`.
    #[must_use]
    pub fn of(dataset: &EntityId, signal: &str, window_start: UnixMillis) -> Self {
        let subject = format!("{dataset}\u{0}{signal}\u{0}{}", window_start.0);
        Self(xxh3_64(subject.as_bytes()) >> 24)
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = base32::encode::<8>(u128::from(self.0));
        f.write_str("INC-")?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for IncidentId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix("INC-")
            .filter(|digits| digits.len() == 8)
            .and_then(base32::decode)
            .map(|value| Self(value as u64))
            .ok_or_else(|| IdError::new(text, Self::EXPECTED))
    }
}

macro_rules! text_in_json_integer_in_binary {
    ($id:ident, $integer:ty) => {
        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
            }
        }
        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    text.parse().map_err(de::Error::custom)
                } else {
                    <$integer>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}
text_in_json_integer_in_binary!(EvidenceId, u128);
text_in_json_integer_in_binary!(IncidentId, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_id_has_the_published_layout() {
        let at = RecordCoordinates { topic: "raw.orders.events", partition: 4, offset: 9_918_273 };
        let id = EvidenceId::of(at, UnixMillis(1_698_400_681_950));
        let hash = u128::from(xxh3_64(b"raw.orders.events") >> 40);
        assert_eq!(id.0, 1_698_400_681_950_u128 << 80 | hash << 56 | 4 << 40 | 9_918_273);
    }

    #[test]
    fn ids_sort_by_time_and_as_their_texts() {
        let mut ids: Vec<_> = (0..500_i64)
            .map(|n| {
                let at = RecordCoordinates { topic: "t", partition: (n % 7) as i32, offset: n * 31 % 97 };
                EvidenceId::of(at, UnixMillis(n * n * 7919 % 1_000_003))
            })
            .collect();
        ids.sort();
        assert!(ids.is_sorted_by_key(|id| id.timestamp()));
        assert!(ids.is_sorted_by_key(ToString::to_string));
    }

    #[test]
    fn odd_timestamps_and_offsets_stay_inside_their_bits() {
        let at = RecordCoordinates { topic: "t", partition: -1, offset: i64::MAX };
        for ms in [-1, i64::MIN, i64::MAX] {
            let id = EvidenceId::of(at, UnixMillis(ms));
            assert_eq!(id.0 >> 56 & 0xFF_FFFF, u128::from(EvidenceId::topic_hash("t")));
        }
        assert!("evd-ZZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<EvidenceId>().is_err(), "130 bits");
        assert!("evd-0000".parse::<EvidenceId>().is_err());
        assert!("INC-U0000000".parse::<IncidentId>().is_err());
    }
}
