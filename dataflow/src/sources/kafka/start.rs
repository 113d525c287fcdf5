//! Where reading a partition begins or goes on, and what has been missed: decided from what the brokers say, without
//! asking them.
//!
//! ```text
//!            low                         high
//!   ──────────┼───────────────────────────┼──────────
//!   expired   │        to be read         │  truncated
//! ```
//! A position below `low` was passed by retention: what lies between is lost. A position above `high` points into a log
//! that has been cut off, after the loss of replicas that were ahead. A topic that was deleted and made anew has another
//! id; no position of the old one means anything in it.

use std::sync::Arc;

use crate::config::StartFrom;

/// The id that a topic is given when it is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TopicId(pub(crate) Arc<str>);

/// What brokers say of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The topic's id; brokers before 2.8 have none.
    pub(super) id: Option<TopicId>,
    /// The oldest offset.
    pub(super) low: i64,
    /// The offset after the newest.
    pub(super) high: i64,
    /// The group's position: the offset to be read next. Brokers forget it with the topic.
    pub(super) committed: Option<i64>,
}

/// What was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// Records from one offset to before another went by retention, or were deleted, before they were read.
    Expired { from: i64, to: i64 },
    /// Records from one offset to before another are not in the log any more; they had been read.
    Truncated { from: i64, to: i64 },
    /// The topic was deleted and made anew. What came to the old one after this offset has not been read.
    Recreated { after: i64 },
}

impl Gap {
    /// Whether the records that are read next are others than those that were at their offsets before.
    pub(super) fn is_of_another_log(self) -> bool {
        matches!(self, Self::Truncated { .. } | Self::Recreated { .. })
    }
}

/// Where to read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// The offset.
    pub(super) at: i64,
    /// What lies between there and where reading was.
    pub(super) gap: Option<Gap>,
}

/// Where reading begins when the service starts.
pub(super) fn begin(policy: StartFrom, found: &Found) -> Start {
    let Found { low, high, committed, .. } = found;
    let oldest = Start { at: *low, gap: None };
    match (policy, committed) {
        (StartFrom::Latest, _) => Start { at: *high, gap: None },
        (StartFrom::Earliest | StartFrom::Committed, None) => oldest,
        (StartFrom::Committed, Some(committed)) => resume(*committed, None, None, found),
        // All that is there is read, but what is not there any more has been missed all the same.
        (StartFrom::Earliest, Some(committed)) => Start { at: *low, gap: resume(*committed, None, None, found).gap },
    }
}

/// Where reading goes on that was to read `expected` next, of the topic with this id. `cut_at` is where brokers say that
/// the log was cut off, if they do.
pub(super) fn resume(expected: i64, id: Option<&TopicId>, cut_at: Option<i64>, found: &Found) -> Start {
    let &Found { low, high, .. } = found;
    if let (Some(was), Some(is)) = (id, &found.id)
        && was != is
    {
        return Start { at: low, gap: Some(Gap::Recreated { after: expected }) };
    }
    // Retention may have passed the place of the cut since.
    let end = cut_at.map_or(high, |cut| cut.min(high)).max(low);
    if expected < low {
        Start { at: low, gap: Some(Gap::Expired { from: expected, to: low }) }
    } else if expected > end {
        Start { at: end, gap: Some(Gap::Truncated { from: end, to: expected }) }
    } else {
        Start { at: expected, gap: None }
    }
}

/// Where librdkafka says that a log was cut off, in its words for a truncation that it found by leader epochs.
pub(super) fn cut_at(reason: &str) -> Option<i64> {
    if !reason.contains("log truncation") {
        return None;
    }
    let (_, rest) = reason.split_once("broker end offset is ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit() && c != '-').next()?;
    digits.parse().ok().filter(|&offset| offset >= 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(name: &str) -> Option<TopicId> {
        Some(TopicId(name.into()))
    }

    fn found(low: i64, high: i64, committed: Option<i64>) -> Found {
        Found { id: id("a"), low, high, committed }
    }

    #[test]
    fn a_service_starts_where_it_is_told_to() {
        let at = |policy, found: &Found| begin(policy, found);
        let fresh = found(10, 50, None);
        assert_eq!(at(StartFrom::Earliest, &fresh), Start { at: 10, gap: None });
        assert_eq!(at(StartFrom::Latest, &fresh), Start { at: 50, gap: None });
        assert_eq!(at(StartFrom::Committed, &fresh), Start { at: 10, gap: None });
        let known = found(10, 50, Some(30));
        assert_eq!(at(StartFrom::Earliest, &known), Start { at: 10, gap: None });
        assert_eq!(at(StartFrom::Latest, &known), Start { at: 50, gap: None });
        assert_eq!(at(StartFrom::Committed, &known), Start { at: 30, gap: None });
    }

    #[test]
    fn what_went_by_retention_while_the_service_was_away_is_told() {
        let passed = found(100, 150, Some(30));
        let gap = Some(Gap::Expired { from: 30, to: 100 });
        assert_eq!(begin(StartFrom::Committed, &passed), Start { at: 100, gap });
        assert_eq!(begin(StartFrom::Earliest, &passed), Start { at: 100, gap });
        assert_eq!(begin(StartFrom::Latest, &passed).gap, None, "who starts at the newest wants nothing older");
    }

    #[test]
    fn positions_of_a_topic_that_is_no_more_mean_nothing() {
        let anew = found(0, 50, None);
        assert_eq!(resume(70, id("b").as_ref(), None, &anew), Start { at: 0, gap: Some(Gap::Recreated { after: 70 }) });
        assert_eq!(resume(30, id("b").as_ref(), None, &anew), Start { at: 0, gap: Some(Gap::Recreated { after: 30 }) });
        let untold = Found { id: None, ..anew };
        assert_eq!(resume(30, id("b").as_ref(), None, &untold), Start { at: 30, gap: None });
    }

    #[test]
    fn a_log_that_was_cut_off_is_read_on_from_its_new_end() {
        let cut = found(0, 40, None);
        let gap = Some(Gap::Truncated { from: 40, to: 70 });
        assert_eq!(resume(70, id("a").as_ref(), None, &cut), Start { at: 40, gap });
        // The new leader has taken further records since: all from where the logs parted are new.
        let gap = Some(Gap::Truncated { from: 35, to: 38 });
        assert_eq!(resume(38, id("a").as_ref(), Some(35), &cut), Start { at: 35, gap });
    }

    #[test]
    fn where_logs_parted_is_read_from_librdkafkas_words() {
        let words = "Partition log truncation detected at offset 70 (leader epoch 3): broker end offset is 35 \
                     (offset leader epoch 2). Reset to INVALID.: Local: Log truncation (broker 1)";
        assert_eq!(cut_at(words), Some(35));
        assert_eq!(cut_at("fetch failed due to requested offset not available on the broker"), None);
        assert_eq!(
            cut_at("Partition log truncation detected: broker end offset is -1 (offset leader epoch -1)."),
            None
        );
    }

    proptest! {
        /// Reading goes on inside the log, and every offset between is accounted for.
        #[test]
        fn nothing_is_skipped_in_silence(
            expected in 0_i64..100, low in 0_i64..100, length in 0_i64..100, cut in prop::option::of(0_i64..100),
        ) {
            let found = found(low, low + length, None);
            let Start { at, gap } = resume(expected, id("a").as_ref(), cut, &found);
            prop_assert!(at >= low && at <= low + length);
            match gap {
                None => prop_assert_eq!(at, expected),
                Some(Gap::Expired { from, to }) => prop_assert!((from, to) == (expected, at) && from < to),
                Some(Gap::Truncated { from, to }) => prop_assert!((from, to) == (at, expected) && from < to),
                Some(Gap::Recreated { .. }) => prop_assert!(false),
            }
        }
    }
}
