//! Answers: what the API says about a [`View`], as messages of `faultline.v1`.
//!
//! Pure functions of the view and the catalog. [`crate::serve`] reads the view, asks here and sends what comes back; the
//! command line renders the same messages.

pub mod blast_radius;
pub mod datasets;
pub mod evidence;
pub mod explanation;
pub mod incidents;
pub mod json;
pub mod page;
pub mod rows;
pub mod signals;
pub mod status;
pub mod windows;

#[cfg(test)]
pub(crate) mod fixture;

use std::collections::BTreeSet;

use faultline_contracts::{ids::IncidentId, time::UnixMillis};
use faultline_proto::v1;
use prost_types::Timestamp;

use crate::view::View;

/// A question that has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field of the request means nothing.
    #[error("{field}: {description}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it, and what to send.
        description: String,
    },
    /// What is asked about is not there.
    #[error("there is no {what} '{name}'")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its name, at most 256 characters of it.
        name: String,
    },
}

impl Refusal {
    /// A field that means nothing.
    pub fn invalid(field: &'static str, description: impl Into<String>) -> Self {
        Self::Invalid { field, description: description.into() }
    }

    /// Something that is not there.
    #[must_use]
    pub fn not_found(what: &'static str, name: &str) -> Self {
        Self::NotFound { what, name: name.chars().take(256).collect() }
    }
}

/// What answers of this view are based on. Partitions of which nothing was read are left out.
#[must_use]
pub fn as_of(view: &View) -> v1::AsOf {
    let offsets = view.offsets.iter().filter(|(_, offset)| **offset >= 0);
    v1::AsOf {
        epoch: view.epoch,
        watermark: view.watermark.map(timestamp),
        offsets: offsets
            .map(|(at, &offset)| v1::PartitionOffset { topic: at.topic.to_string(), partition: at.partition, offset })
            .collect(),
    }
}

/// Whether the view has all that `min` asks for. A partition of which nothing was read is not covered.
#[must_use]
pub fn covers(view: &View, min: &v1::MinAsOf) -> bool {
    view.epoch >= min.epoch
        && min.offsets.iter().all(|at| offset_of(view, at).is_some_and(|offset| offset >= at.offset))
}

/// The first partition of `min` that the view knows nothing of.
#[must_use]
pub fn unknown_partition<'a>(view: &View, min: &'a v1::MinAsOf) -> Option<&'a v1::PartitionOffset> {
    min.offsets.iter().find(|at| offset_of(view, at).is_none())
}

fn offset_of(view: &View, at: &v1::PartitionOffset) -> Option<i64> {
    let partition =
        faultline_contracts::record::TopicPartition { topic: at.topic.as_str().into(), partition: at.partition };
    view.offsets.get(&partition).copied()
}

/// A point in time as a message.
#[must_use]
pub fn timestamp(at: UnixMillis) -> Timestamp {
    Timestamp { seconds: at.0.div_euclid(1_000), nanos: at.0.rem_euclid(1_000) as i32 * 1_000_000 }
}

/// A point in time of a request, rounded down to the millisecond.
fn instant(field: &'static str, at: Option<&Timestamp>) -> Result<Option<UnixMillis>, Refusal> {
    let Some(&Timestamp { seconds, nanos }) = at else { return Ok(None) };
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(Refusal::invalid(field, format!("{nanos} nanoseconds are not in 0..1000000000")));
    }
    Ok(Some(UnixMillis(seconds.saturating_mul(1_000).saturating_add(i64::from(nanos) / 1_000_000))))
}

/// An incident id of a request.
fn incident_id(field: &'static str, text: &str) -> Result<IncidentId, Refusal> {
    text.parse().map_err(|error: faultline_contracts::ids::IdError| Refusal::invalid(field, error.to_string()))
}

/// The values of a repeated enum field; unspecified and unknown ones are refused.
fn choices<E, C: Ord>(
    field: &'static str,
    values: &[i32],
    choice: impl Fn(E) -> Option<C>,
) -> Result<BTreeSet<C>, Refusal>
where
    E: TryFrom<i32>,
{
    let chosen = values.iter().map(|&value| {
        let known = E::try_from(value).ok().and_then(&choice);
        known.ok_or_else(|| Refusal::invalid(field, format!("{value} is not one of the values of this enum")))
    });
    chosen.collect()
}

/// Whether an empty filter, or one that names the value, lets it through.
fn lets_through<T: Ord + ?Sized, B: Ord + std::borrow::Borrow<T>>(filter: &BTreeSet<B>, value: &T) -> bool {
    filter.is_empty() || filter.contains(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back() {
        for ms in [-1, 0, 1_698_400_681_950] {
            assert_eq!(instant("from", Some(&timestamp(UnixMillis(ms)))), Ok(Some(UnixMillis(ms))));
        }
        let odd = Timestamp { seconds: i64::MAX, nanos: -1 };
        assert!(matches!(instant("from", Some(&odd)), Err(Refusal::Invalid { field: "from", .. })));
    }

    #[test]
    fn a_minimum_is_covered_when_epoch_and_every_offset_are() {
        let view = fixture::view();
        let min = |epoch, offset| v1::MinAsOf {
            epoch,
            offsets: vec![v1::PartitionOffset { topic: "raw.orders.events".into(), partition: 4, offset }],
        };
        assert!(covers(&view, &min(view.epoch, fixture::OFFSET)));
        assert!(!covers(&view, &min(view.epoch, fixture::OFFSET + 1)));
        assert!(!covers(&view, &min(view.epoch + 1, 0)));
        let mut unknown = min(0, 0);
        assert_eq!(unknown_partition(&view, &unknown), None);
        unknown.offsets[0].partition = 77;
        assert_eq!(unknown_partition(&view, &unknown).map(|at| at.partition), Some(77));
        assert_eq!(as_of(&view).offsets.len(), 1, "the partition without a record is left out");
    }
}
