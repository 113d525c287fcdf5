//! Where records come from: Kafka, captured files to replay, files to follow.
//!
//! A source hands each record to a [`Intake`] on the worker that owns the record's partition. Partitions belong to
//! workers by a hash of topic and number, so every worker knows its own without talking to the others.

use std::sync::Arc;

use faultline_contracts::{
    record::{RawRecord, TopicPartition},
    time::UnixMillis,
};
use faultline_operators::positions::PartitionBegin;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Topics;

pub mod files;
pub mod kafka;
pub mod replay;

/// What a topic is to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRole {
    /// Records under contract, or that should be.
    Data,
    /// CDEvents.
    Deployments,
    /// OpenLineage.
    Lineage,
    /// OTLP.
    Spans,
    /// What the engine itself writes, or reads by other means: never judged.
    Own,
}

impl Topics {
    /// What a topic is, by its name alone.
    #[must_use]
    pub fn role(&self, topic: &str) -> TopicRole {
        let Self {
            data: _,
            deployments,
            lineage,
            spans,
            evidence,
            signals,
            incidents,
            catalog,
            envelope: _,
            cloudevents_source: _,
        } = self;
        match topic {
            _ if topic == deployments => TopicRole::Deployments,
            _ if topic == lineage => TopicRole::Lineage,
            _ if topic == spans => TopicRole::Spans,
            _ if [evidence, signals, incidents, catalog].into_iter().any(|own| own == topic) => TopicRole::Own,
            _ => TopicRole::Data,
        }
    }
}

/// The worker that reads a partition.
#[must_use]
pub fn owner(topic: &str, partition: i32, workers: usize) -> usize {
    // Neighbouring partitions go to neighbouring workers, so that one topic is spread evenly.
    let start = xxh3_64(topic.as_bytes()) % workers.max(1) as u64;
    (start as usize + partition.max(0) as usize) % workers.max(1)
}

/// A record of a control topic.
#[derive(Debug, Clone, Copy)]
pub struct ControlRecord<'a> {
    /// Where it lies.
    pub at: faultline_contracts::record::RecordCoordinates<'a>,
    /// All its headers.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// Its value.
    pub payload: Option<&'a [u8]>,
}

/// The time by which a live record counts, and whether it is its own: a time further ahead of the clock than `future_ms`
/// is held back to that and moves no watermark, and a record without one counts as of now.
fn hold_back(claimed: Option<UnixMillis>, now: UnixMillis, future_ms: i64) -> (UnixMillis, bool) {
    let (claimed, latest) = (claimed.unwrap_or(now), now.plus(future_ms));
    (claimed.min(latest), claimed <= latest)
}

/// What takes records in: gates, decoders and the dataflow's inputs behind them.
pub trait Intake {
    /// A record of a data topic. `event_time` is the time by which it counts: its own, or where that is missing or far
    /// in the future, the time it is held back to. `high_water` says whether it moves its partition's watermark.
    fn data(&mut self, record: &RawRecord<'_>, event_time: UnixMillis, high_water: bool);

    /// A record of a control topic.
    fn control(&mut self, role: TopicRole, record: &ControlRecord<'_>);

    /// A partition that this worker reads, before its first record.
    fn assigned(&mut self, topic: &Arc<str>, partition: i32);

    /// A partition of a topic of this role is read from here on, whatever was read of it before.
    fn begins(&mut self, role: TopicRole, begin: PartitionBegin);

    /// A data topic's partition is read from the offset `at` on, of a log that ends at `end`. `anew` says that the records
    /// from there on are others than those that were read before, if any were: the topic was made anew, or the log cut off.
    fn reads_on(&mut self, partition: &TopicPartition, at: i64, end: i64, anew: bool) {
        let _ = (partition, at, end, anew);
    }

    /// Something in the input that is no record, or a record that the engine does not take: counted by `reason`.
    fn rejected(&mut self, reason: &'static str, detail: &dyn std::fmt::Display);

    /// Whether the outputs can take more now. A source that is told no waits, and drops nothing.
    fn ready(&mut self) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_spread_evenly_and_stay_where_they_are() {
        for workers in 1..5 {
            let mut load = vec![0; workers];
            (0..12).for_each(|partition| load[owner("raw.orders.events", partition, workers)] += 1);
            assert!(load.iter().all(|&partitions| partitions == 12 / workers || workers == 5), "{load:?}");
        }
        assert_eq!(owner("t", -1, 0), 0);
    }

    #[test]
    fn the_engines_own_topics_are_never_judged() {
        let topics = Topics::default();
        assert_eq!(topics.role("signal_factory.evidence"), TopicRole::Own);
        assert_eq!(topics.role("signal_factory.lineage"), TopicRole::Lineage);
        assert_eq!(topics.role("raw.orders.events"), TopicRole::Data);
    }
}
