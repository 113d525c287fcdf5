//! When positions are committed: behind the evidence that was made of what lies before them.
//!
//! ```text
//! snapshot of positions at epoch E ──► all evidence of epochs up to E is acknowledged ──► commit ──► its outcome
//! ```
//! One at a time: a commit that librdkafka puts off or repeats could overtake a later one, and take positions back.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;

/// The positions that wait to be committed, and when the next are taken.
pub(super) struct Commits {
    taken_at: Instant,
    waiting: Option<(u64, TopicPartitionList)>,
    under_way: bool,
}

impl Commits {
    pub(super) fn new(now: Instant) -> Self {
        Self { taken_at: now, waiting: None, under_way: false }
    }

    /// Whether it is time to take a snapshot: the last one is long enough ago, and the group has said what became of it.
    pub(super) fn due(&self, every: Duration, now: Instant) -> bool {
        !self.under_way && self.waiting.is_none() && now.saturating_duration_since(self.taken_at) >= every
    }

    /// Takes the positions reached in an epoch that is not closed yet.
    pub(super) fn take(&mut self, epoch: u64, positions: TopicPartitionList, now: Instant) {
        self.taken_at = now;
        self.waiting = (positions.count() > 0).then_some((epoch, positions));
    }

    /// What may be committed, where all evidence of epochs before `durable_before` is acknowledged.
    pub(super) fn ready(&mut self, durable_before: impl FnOnce() -> u64) -> Option<TopicPartitionList> {
        let &(epoch, _) = self.waiting.as_ref()?;
        if durable_before() <= epoch {
            return None;
        }
        self.waiting.take().map(|(_, positions)| positions)
    }

    /// Whether a commit's outcome is waited for.
    pub(super) fn under_way(&self) -> bool {
        self.under_way
    }

    /// Notes that a commit was sent, or that its outcome has come.
    pub(super) fn set_under_way(&mut self, under_way: bool) {
        self.under_way = under_way;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_wait_for_the_evidence_of_their_epoch() {
        let (begin, every) = (Instant::now(), Duration::from_secs(5));
        let mut commits = Commits::new(begin);
        assert!(!commits.due(every, begin));
        let later = begin + every;
        assert!(commits.due(every, later));
        let mut positions = TopicPartitionList::new();
        positions.add_partition("raw.a", 0);
        commits.take(40, positions, later);
        assert!(commits.ready(|| 20).is_none() && commits.ready(|| 40).is_none(), "epoch 40 is not acknowledged");
        assert!(!commits.due(every, later + every), "one at a time");
        assert_eq!(commits.ready(|| 41).unwrap().count(), 1);
        assert!(commits.ready(|| unreachable!()).is_none(), "nothing waits");
        commits.set_under_way(true);
        assert!(!commits.due(every, later + every), "its outcome is not there");
        commits.set_under_way(false);
        assert!(commits.due(every, later + every));
        commits.take(60, TopicPartitionList::new(), later + every);
        assert!(commits.ready(|| unreachable!()).is_none(), "nothing has moved");
    }
}
