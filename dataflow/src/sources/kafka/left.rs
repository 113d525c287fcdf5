//! How far partitions were read that are not read any more: a catalog names them no longer, or brokers do.
//!
//! Should one come back, reading goes on from there, so that no record is counted twice. Whether it is the same topic or
//! one that was made anew is told by its id, when it is there again.

use std::collections::BTreeMap;

use super::{cluster::Place, start::TopicId};

/// How many partitions are remembered: more than a worker reads, and a few megabytes.
const MOST: usize = 16_384;

/// Where reading was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftAt {
    /// The offset to be read next.
    pub(super) next: i64,
    /// The topic's id when it was read.
    pub(super) id: Option<TopicId>,
}

/// Partitions that were left, the latest of them.
#[derive(Debug)]
pub(super) struct Left {
    places: BTreeMap<Place, (u64, LeftAt)>,
    /// The same by when they were left.
    order: BTreeMap<u64, Place>,
    count: u64,
    most: usize,
}

impl Default for Left {
    fn default() -> Self {
        Self { places: BTreeMap::new(), order: BTreeMap::new(), count: 0, most: MOST }
    }
}

impl Left {
    /// With room for so many, if they are more than would be remembered otherwise.
    pub(super) fn with_room_for(places: usize) -> Self {
        Self { most: MOST.max(places), ..Self::default() }
    }

    /// Remembers a partition. Returns the one that is forgotten for it, if there is no room for both.
    pub(super) fn insert(&mut self, place: Place, at: LeftAt) -> Option<Place> {
        self.count += 1;
        self.order.insert(self.count, place.clone());
        if let Some((before, _)) = self.places.insert(place, (self.count, at)) {
            self.order.remove(&before);
        }
        if self.places.len() <= self.most {
            return None;
        }
        let (_, oldest) = self.order.pop_first()?;
        self.places.remove(&oldest);
        Some(oldest)
    }

    /// Where reading of a partition was that is there again.
    pub(super) fn remove(&mut self, place: &Place) -> Option<LeftAt> {
        let (number, at) = self.places.remove(place)?;
        self.order.remove(&number);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(topic: &str) -> Place {
        (topic.into(), 0)
    }

    fn at(next: i64) -> LeftAt {
        LeftAt { next, id: Some(TopicId("a".into())) }
    }

    #[test]
    fn a_partition_that_comes_back_is_where_it_was_left_last() {
        let mut left = Left::default();
        assert_eq!(left.insert(place("a"), at(10)), None);
        assert_eq!(left.insert(place("a"), at(20)), None);
        assert_eq!(left.remove(&place("a")), Some(at(20)));
        assert_eq!(left.remove(&place("a")), None);
        assert!(left.order.is_empty() && left.places.is_empty());
    }

    #[test]
    fn the_one_left_longest_ago_is_forgotten_first() {
        let mut left = Left { most: 2, ..Left::default() };
        assert_eq!(left.insert(place("a"), at(1)), None);
        assert_eq!(left.insert(place("b"), at(2)), None);
        assert_eq!(left.insert(place("a"), at(3)), None, "left again");
        assert_eq!(left.insert(place("c"), at(4)), Some(place("b")));
        assert_eq!(left.remove(&place("b")), None);
        assert_eq!(left.remove(&place("a")), Some(at(3)));
        assert_eq!(left.insert(place("d"), at(5)), None);
        assert_eq!(left.order.len(), left.places.len());
    }
}
