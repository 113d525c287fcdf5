//! How far event time has come: the watermark.
//!
//! ```text
//! watermark(epoch) = min over partitions that are not idle of (highest event time seen − allowed lateness)
//! ```
//!
//! A partition is idle when its last progress is more than the idle time-out ago. When all are, event time goes on at the
//! pace of epochs from the highest one seen. The watermark never goes back.
//!
//! Between two progress reports it depends on the epoch alone, in a way that can be inverted
//! ([`Watermark::epoch_reaching`]). So an operator knows at which epoch a window ends before it gets there, and acts at
//! exactly that epoch however coarsely its frontier moves.

use std::collections::BTreeMap;

use faultline_contracts::{record::TopicPartition, time::UnixMillis};
use serde::{Deserialize, Serialize};

use crate::compliance::WindowOptions;

/// How far a partition has been read, as of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionProgress {
    /// The partition.
    pub partition: TopicPartition,
    /// The last offset that is included.
    pub offset: i64,
    /// The highest event time seen in it, held by the source to what is not far in the future. `None` while the
    /// partition is assigned and nothing has been read: it then holds the watermark until it times out.
    pub high_water: Option<UnixMillis>,
}

#[derive(Debug, Clone)]
struct Partition {
    high_water: Option<UnixMillis>,
    last_progress: u64,
}

/// The watermark over all partitions, as a function of the epoch and of the progress reported up to it.
///
/// ```
/// use faultline_contracts::{record::TopicPartition, time::UnixMillis};
/// use faultline_operators::{compliance::WindowOptions, watermark::{PartitionProgress, Watermark}};
///
/// let mut watermark = Watermark::new(&WindowOptions::default());
/// let partition = TopicPartition { topic: "raw.orders.events".into(), partition: 0 };
/// watermark.advance(1_000, [PartitionProgress { partition, offset: 7, high_water: Some(UnixMillis(600_000)) }]);
/// assert_eq!(watermark.at(1_000), Some(UnixMillis(590_000)), "less 10 s of allowed lateness");
/// assert_eq!(watermark.at(31_001), Some(UnixMillis(620_001)), "idle for more than 30 s: at the pace of epochs");
/// assert_eq!(watermark.epoch_reaching(UnixMillis(620_001)), Some(31_001));
/// ```
#[derive(Debug, Clone)]
pub struct Watermark {
    allowed_lateness: i64,
    idle_timeout: u64,
    partitions: BTreeMap<TopicPartition, Partition>,
    highest: Option<UnixMillis>,
    last_progress: u64,
    reached: Option<UnixMillis>,
}

/// How far event time has come at an epoch, with epochs counted back from there: so it can go on at any later one, and what
/// lies between, when nobody read, counts for nobody's idleness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkState {
    /// The highest event time of each partition, and how long ago its last progress is.
    partitions: Vec<(TopicPartition, Option<UnixMillis>, u64)>,
    highest: Option<UnixMillis>,
    last_progress_ago: u64,
    reached: Option<UnixMillis>,
}

impl WatermarkState {
    /// The watermark.
    #[must_use]
    pub fn reached(&self) -> Option<UnixMillis> {
        self.reached
    }
}

fn millis(span: u64) -> i64 {
    i64::try_from(span).unwrap_or(i64::MAX)
}

impl Watermark {
    /// A watermark that has seen nothing.
    #[must_use]
    pub fn new(options: &WindowOptions) -> Self {
        Self {
            allowed_lateness: millis(options.allowed_lateness_ms),
            idle_timeout: options.idle_timeout_ms,
            partitions: BTreeMap::new(),
            highest: None,
            last_progress: 0,
            reached: None,
        }
    }

    /// Its state at `epoch`, which is not before the last progress.
    #[must_use]
    pub fn state(&self, epoch: u64) -> WatermarkState {
        let ago = |last: u64| epoch.saturating_sub(last);
        let partitions = self.partitions.iter();
        WatermarkState {
            partitions: partitions
                .map(|(partition, known)| (partition.clone(), known.high_water, ago(known.last_progress)))
                .collect(),
            highest: self.highest,
            last_progress_ago: ago(self.last_progress),
            reached: self.at(epoch),
        }
    }

    /// Goes on from a state as if it had been of `epoch`.
    pub fn restore(&mut self, state: WatermarkState, epoch: u64) {
        let WatermarkState { partitions, highest, last_progress_ago, reached } = state;
        for (partition, high_water, ago) in partitions {
            let known = Partition { high_water, last_progress: epoch.saturating_sub(ago) };
            self.partitions.insert(partition, known);
        }
        self.highest = self.highest.max(highest);
        self.last_progress = self.last_progress.max(epoch.saturating_sub(last_progress_ago));
        self.reached = self.reached.max(reached);
    }

    /// Takes in what partitions report at `epoch`, in any order, and returns the watermark there. Epochs must not decrease.
    pub fn advance(&mut self, epoch: u64, progress: impl IntoIterator<Item = PartitionProgress>) -> Option<UnixMillis> {
        let mut progress = progress.into_iter().peekable();
        if progress.peek().is_some() {
            // What it would have been just before stays reached, whether or not anybody has asked.
            self.reached = self.reached.max(self.at(epoch.saturating_sub(1)));
            self.last_progress = self.last_progress.max(epoch);
        }
        for PartitionProgress { partition, offset: _, high_water } in progress {
            let known =
                self.partitions.entry(partition).or_insert(Partition { high_water: None, last_progress: epoch });
            known.high_water = known.high_water.max(high_water);
            known.last_progress = known.last_progress.max(epoch);
            self.highest = self.highest.max(high_water);
        }
        self.reached = self.reached.max(self.at(epoch));
        self.reached
    }

    /// The watermark at `epoch`, from the last progress on, if none else is reported until then. `None` while there is none.
    #[must_use]
    pub fn at(&self, epoch: u64) -> Option<UnixMillis> {
        self.reached.max(self.unheld(epoch))
    }

    fn unheld(&self, epoch: u64) -> Option<UnixMillis> {
        let mut active = self.partitions.values().filter(|partition| epoch < self.idle_from(partition)).peekable();
        let high_water = if active.peek().is_some() {
            // `None` is less than any time: a partition that nothing is known of holds the watermark.
            active.map(|partition| partition.high_water).min().flatten()
        } else {
            self.highest.map(|highest| highest.plus(millis(epoch.saturating_sub(self.last_progress))))
        };
        high_water.map(|high_water| high_water.plus(-self.allowed_lateness))
    }

    /// The first epoch at which the partition is idle.
    fn idle_from(&self, partition: &Partition) -> u64 {
        partition.last_progress.saturating_add(self.idle_timeout).saturating_add(1)
    }

    /// The first epoch, from the last progress on, at which the watermark is at least `target` if no progress is reported
    /// until then. `None` where nothing has been seen.
    #[must_use]
    pub fn epoch_reaching(&self, target: UnixMillis) -> Option<u64> {
        if self.reached >= Some(target) {
            return Some(self.last_progress);
        }
        let holds = |partition: &&Partition| {
            partition.high_water.is_none_or(|high_water| high_water.plus(-self.allowed_lateness) < target)
        };
        // Those below the target have to go idle first. If another is still active then, that is all;
        // else event time has to go on for as long as the target is ahead of the highest seen.
        let holders = self.partitions.values().filter(holds).map(|partition| self.idle_from(partition));
        let released = holders.max().unwrap_or(0).max(self.last_progress);
        if self.partitions.values().any(|partition| !holds(&partition) && released < self.idle_from(partition)) {
            return Some(released);
        }
        let ahead = target.plus(self.allowed_lateness).since(self.highest?);
        Some(released.max(self.last_progress.saturating_add(u64::try_from(ahead).unwrap_or(0))))
    }

    /// The epoch of the last progress reported.
    #[must_use]
    pub fn last_progress(&self) -> u64 {
        self.last_progress
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options() -> WindowOptions {
        WindowOptions { width_ms: 100, allowed_lateness_ms: 10, grace_ms: 200, idle_timeout_ms: 30 }
    }

    fn progress(partition: i32, high_water: Option<i64>) -> PartitionProgress {
        let partition = TopicPartition { topic: "t".into(), partition };
        PartitionProgress { partition, offset: 0, high_water: high_water.map(UnixMillis) }
    }

    #[test]
    fn the_slowest_partition_holds_it_until_idle() {
        let mut watermark = Watermark::new(&options());
        assert_eq!(watermark.advance(1, []), None);
        assert_eq!(watermark.advance(5, [progress(0, Some(1_000)), progress(1, Some(500))]), Some(UnixMillis(490)));
        assert_eq!(watermark.advance(20, [progress(0, Some(1_100))]), Some(UnixMillis(490)));
        assert_eq!(watermark.at(35), Some(UnixMillis(490)), "30 ms ago is not more than 30 ms ago");
        assert_eq!(watermark.at(36), Some(UnixMillis(1_090)));
        assert_eq!(watermark.at(51), Some(UnixMillis(1_090 + 31)), "both idle");
    }

    #[test]
    fn an_unread_partition_holds_it_until_idle() {
        let mut watermark = Watermark::new(&options());
        assert_eq!(watermark.advance(0, [progress(0, Some(1_000)), progress(1, None)]), None);
        assert_eq!(watermark.advance(30, [progress(0, Some(1_000))]), None);
        assert_eq!(watermark.at(31), Some(UnixMillis(990)));
        assert_eq!(Watermark::new(&options()).epoch_reaching(UnixMillis(0)), None);
    }

    #[test]
    fn it_never_goes_back_even_if_nobody_looked() {
        let mut watermark = Watermark::new(&options());
        watermark.advance(0, [progress(0, Some(1_000))]);
        assert_eq!(watermark.advance(500, [progress(0, Some(1_001))]), Some(UnixMillis(1_000 + 499 - 10)));
    }

    #[test]
    fn extremes_do_not_panic() {
        let mut watermark = Watermark::new(&WindowOptions { idle_timeout_ms: u64::MAX, ..WindowOptions::default() });
        watermark.advance(u64::MAX / 2, [progress(0, Some(i64::MAX)), progress(1, Some(i64::MIN))]);
        assert_eq!(watermark.at(u64::MAX / 2), Some(UnixMillis(i64::MIN)));
        assert!(watermark.epoch_reaching(UnixMillis(i64::MAX)).is_some());
    }

    proptest! {
        #[test]
        fn epoch_reaching_inverts_at(
            reports in prop::collection::vec((0_u64..20, 0..3_i32, prop::option::of(0_i64..200)), 1..12),
            ahead in -50_i64..250,
        ) {
            let mut watermark = Watermark::new(&options());
            let mut epoch = 0;
            for (pause, partition, high_water) in reports {
                epoch += pause;
                watermark.advance(epoch, [progress(partition, high_water)]);
            }
            let target = UnixMillis(ahead);
            let found = (epoch..epoch + 1_000).find(|&epoch| watermark.at(epoch) >= Some(target));
            prop_assert_eq!(watermark.epoch_reaching(target), found);
        }

        #[test]
        fn it_never_decreases_and_does_not_depend_on_who_looks(
            reports in prop::collection::vec((0_u64..60, 0..3_i32, prop::option::of(0_i64..200)), 1..12),
        ) {
            let (mut watched, mut alone) = (Watermark::new(&options()), Watermark::new(&options()));
            let (mut epoch, mut last) = (0, None);
            for (pause, partition, high_water) in reports {
                for between in epoch..epoch + pause {
                    let now = watched.advance(between, []);
                    prop_assert!(now >= last);
                    last = now;
                }
                epoch += pause;
                watched.advance(epoch, [progress(partition, high_water)]);
                alone.advance(epoch, [progress(partition, high_water)]);
                prop_assert_eq!(watched.at(epoch), alone.at(epoch));
            }
        }

        /// A state that comes back at a later epoch than its own: everything is so much later, and nothing else is new.
        #[test]
        fn a_restored_watermark_goes_on_as_if_no_time_had_passed(
            before in prop::collection::vec((0_u64..40, 0..3_i32, prop::option::of(0_i64..200)), 1..8),
            wait in 0_u64..80,
            downtime in prop_oneof![Just(0_u64), 1..200_u64, 1..10_000_000_000_u64],
            after in prop::collection::vec((0_u64..40, 0..3_i32, prop::option::of(0_i64..300)), 0..8),
            looked: bool,
        ) {
            let mut undisturbed = Watermark::new(&options());
            let mut epoch = 1_000;
            for (pause, partition, high_water) in before {
                epoch += pause;
                undisturbed.advance(epoch, [progress(partition, high_water)]);
            }
            epoch += wait;
            if looked {
                undisturbed.advance(epoch, []);
            }
            let state = undisturbed.state(epoch);
            prop_assert_eq!(state.reached(), undisturbed.at(epoch));
            let mut restored = Watermark::new(&options());
            restored.restore(state.clone(), epoch + downtime);
            prop_assert_eq!(restored.state(epoch + downtime), state, "cut again at once");
            for (pause, partition, high_water) in std::iter::once((0, 0, None)).chain(after) {
                if pause > 0 {
                    epoch += pause;
                    undisturbed.advance(epoch, [progress(partition, high_water)]);
                    restored.advance(epoch + downtime, [progress(partition, high_water)]);
                }
                for later in epoch..epoch + 120 {
                    prop_assert_eq!(restored.at(later + downtime), undisturbed.at(later), "{} later", later - epoch);
                }
                for target in (-20..260).step_by(7).map(UnixMillis) {
                    let from = restored.last_progress();
                    let found = (from..epoch + downtime + 1_000).find(|&epoch| restored.at(epoch) >= Some(target));
                    prop_assert_eq!(restored.epoch_reaching(target), found, "it inverts as ever");
                    let of = |watermark: &Watermark, now| watermark.epoch_reaching(target).map(|at| at.max(now) - now);
                    prop_assert_eq!(of(&restored, epoch + downtime), of(&undisturbed, epoch));
                }
            }
        }
    }
}
