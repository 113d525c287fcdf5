//! What became of a transaction whose producer was lost on the way: read from the positions that the group has once the
//! producer's id is fenced, when nothing of it is open any more.

use faultline_contracts::record::TopicPartition;

use super::epochs::Positions;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settlement {
    /// Its positions are the group's: it was committed.
    Committed,
    /// They are not, so none of its evidence is there: it is to be sent again.
    Aborted,
    /// A position is neither what it was before nor what the transaction has: somebody else writes evidence.
    Moved {
        /// Where.
        at: TopicPartition,
        /// The group's position.
        found: i64,
    },
}

/// Decides from the positions `before` the transaction, those it was to commit, and those that the group has. Brokers
/// forget a position with its topic.
pub(super) fn settlement(before: &Positions, committing: &Positions, found: &Positions) -> Settlement {
    let (mut committed, mut aborted) = (false, None);
    for (at, &to) in committing {
        let (was, is) = (before.get(at), found.get(at));
        let moved = || Settlement::Moved { at: at.clone(), found: is.copied().unwrap_or_default() };
        match is {
            // It says nothing where it did not move.
            _ if was == Some(&to) => {}
            Some(&is) if is == to => committed = true,
            Some(is) if was == Some(is) => aborted = Some(moved()),
            Some(_) => return moved(),
            None => {}
        }
    }
    match (committed, aborted) {
        // A transaction is committed as a whole, or not at all.
        (true, Some(moved)) => moved,
        (true, None) => Settlement::Committed,
        (false, _) => Settlement::Aborted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(of: &[(i32, i64)]) -> Positions {
        of.iter().map(|&(partition, next)| (TopicPartition { topic: "raw.a".into(), partition }, next)).collect()
    }

    fn settled(before: &[(i32, i64)], committing: &[(i32, i64)], found: &[(i32, i64)]) -> Settlement {
        settlement(&positions(before), &positions(committing), &positions(found))
    }

    #[test]
    fn positions_tell_whether_a_transaction_was_committed() {
        let (before, committing) = (&[(0, 10), (1, 20)][..], &[(0, 15), (1, 20), (2, 3)][..]);
        assert_eq!(settled(before, committing, &[(0, 15), (1, 20), (2, 3)]), Settlement::Committed);
        assert_eq!(settled(before, committing, &[(0, 10), (1, 20)]), Settlement::Aborted);
        assert_eq!(settled(&[], &[(0, 15)], &[]), Settlement::Aborted, "the first of all");
    }

    #[test]
    fn a_position_that_went_back_with_its_topic_is_as_good() {
        assert_eq!(settled(&[(0, 100)], &[(0, 3)], &[(0, 3)]), Settlement::Committed);
        assert_eq!(settled(&[(0, 100)], &[(0, 3)], &[]), Settlement::Aborted, "gone with the old topic");
        assert_eq!(settled(&[(0, 100), (1, 5)], &[(0, 3), (1, 6)], &[(1, 6)]), Settlement::Committed);
    }

    #[test]
    fn positions_of_somebody_else_are_told() {
        let at =
            |partition, found| Settlement::Moved { at: TopicPartition { topic: "raw.a".into(), partition }, found };
        assert_eq!(settled(&[(0, 10)], &[(0, 15)], &[(0, 12)]), at(0, 12));
        assert_eq!(settled(&[(0, 10)], &[(0, 15)], &[(0, 99)]), at(0, 99));
        assert_eq!(settled(&[(0, 10), (1, 5)], &[(0, 15), (1, 6)], &[(0, 15), (1, 5)]), at(1, 5), "half of it");
    }
}
