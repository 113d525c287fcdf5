//! How far partitions are read, as state: what a restart goes on from.
//!
//! Progress is told in the epoch in which it is made, so the positions that are cut at an epoch are those behind which lies
//! exactly what the other operators have been given up to it.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use faultline_contracts::record::TopicPartition;
use serde::{Deserialize, Serialize};
use timely::dataflow::{
    StreamVec,
    operators::{Concat, vec::Map},
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    state::{Section, StateChunk, StatePorts, Stateful, by_closed_epoch},
    watermark::PartitionProgress,
};

/// That a partition is read from here on, whatever was read of it before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionBegin {
    /// The partition.
    pub partition: TopicPartition,
    /// Its position.
    pub position: Position,
}

/// Where reading goes on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The offset to be read next.
    pub next: i64,
    /// The id of the topic that this is an offset of, where brokers give topics ids.
    pub topic_id: Option<Arc<str>>,
}

/// What happens to a partition in an epoch. In this order: one that begins anew has made progress since.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Event {
    Begins(PartitionBegin),
    Reached(TopicPartition, i64),
}

impl Event {
    fn partition(&self) -> &TopicPartition {
        match self {
            Self::Begins(begin) => &begin.partition,
            Self::Reached(partition, _) => partition,
        }
    }
}

/// Keeps the positions of all partitions that have begun. Nothing comes of it but state.
pub fn positions<'s>(
    begins: StreamVec<'s, u64, PartitionBegin>,
    progress: StreamVec<'s, u64, PartitionProgress>,
    state: &StatePorts<'s>,
) {
    let progress = progress.map(|PartitionProgress { partition, offset, .. }| Event::Reached(partition, offset));
    by_closed_epoch::<_, (), _>(
        begins.map(Event::Begins).concat(progress),
        state,
        Section::Positions,
        |event| route(event.partition()),
        Positions::default(),
        |_, _, _| (),
        |positions, _, events, _| events.into_iter().for_each(|event| positions.take(event)),
    );
}

/// The positions in state that was cut.
///
/// # Errors
/// It cannot be read.
pub fn positions_of(chunks: &[StateChunk]) -> Result<BTreeMap<TopicPartition, Position>, crate::state::RowError> {
    let of_positions = chunks.iter().filter(|chunk| chunk.section() == Section::Positions);
    of_positions.flat_map(StateChunk::decoded).collect()
}

fn route(partition: &TopicPartition) -> u64 {
    xxh3_64(partition.topic.as_bytes()).wrapping_add(partition.partition as u64)
}

#[derive(Default)]
struct Positions(BTreeMap<TopicPartition, Position>);

impl Positions {
    fn take(&mut self, event: Event) {
        match event {
            Event::Begins(PartitionBegin { partition, position }) => {
                self.0.insert(partition, position);
            }
            Event::Reached(partition, offset) => {
                // One that has not begun has no position yet. Only a beginning takes it back: who has been given a
                // partition tells of it, with nothing read, before it is known where reading goes on.
                if let Some(position) = self.0.get_mut(&partition) {
                    position.next = position.next.max(offset.saturating_add(1));
                }
            }
        }
    }
}

impl Stateful for Positions {
    type Row = (TopicPartition, Position);
    type Cursor = TopicPartition;

    fn cut(&self, after: Option<Self::Cursor>, chunk: &mut StateChunk) -> Option<Self::Cursor> {
        for row in self.0.range((after.map_or(Unbounded, Excluded), Unbounded)) {
            chunk.push(route(row.0), &row);
            if chunk.is_full() {
                return Some(row.0.clone());
            }
        }
        None
    }

    fn restore(&mut self, (partition, position): Self::Row, _: u64) {
        self.0.insert(partition, position);
    }
}
