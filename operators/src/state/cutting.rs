//! One operator's cuts: which are due, and how far the one under way has come.

use std::collections::BTreeSet;

use super::{Section, StateChunk, Stateful};
use crate::compliance::Closed;

/// The cuts that an operator has been told of. `C` is a place in its state.
#[derive(Debug)]
pub(crate) struct Cutting<C> {
    due: BTreeSet<u64>,
    /// Where the cut under way goes on.
    cursor: Option<C>,
}

impl<C> Default for Cutting<C> {
    fn default() -> Self {
        Self { due: BTreeSet::new(), cursor: None }
    }
}

/// What an operator may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leave {
    /// The epochs that it may act on.
    pub(crate) act: Closed,
    /// Whether it is to be cut once it has.
    pub(crate) cut: bool,
}

impl<C> Cutting<C> {
    /// Notes that there is a cut at `epoch`.
    pub(crate) fn at(&mut self, epoch: u64) {
        self.due.insert(epoch);
    }

    /// The first cut that is not done: state of its epoch may still have to leave.
    pub(crate) fn pending(&self) -> Option<u64> {
        self.due.first().copied()
    }

    /// With these epochs closed, what may be done: nothing later than a cut before the cut is done.
    pub(crate) fn leave(&self, closed: Closed) -> Leave {
        match self.pending().filter(|&cut| closed.contains(cut)) {
            Some(cut) => Leave { act: Closed::Before(cut.saturating_add(1)), cut: true },
            None => Leave { act: closed, cut: false },
        }
    }

    /// The next slice of the cut under way, and whether it was the last.
    pub(crate) fn slice<S: Stateful<Cursor = C>>(&mut self, section: Section, state: &S) -> (StateChunk, bool) {
        let mut chunk = StateChunk::new(section);
        self.cursor = state.cut(self.cursor.take(), &mut chunk);
        let done = self.cursor.is_none();
        if done {
            self.due.pop_first();
        }
        (chunk, done)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// So many rows, each its own number.
    struct Numbers(u64);

    impl Stateful for Numbers {
        type Row = u64;
        type Cursor = u64;

        fn cut(&self, after: Option<u64>, chunk: &mut StateChunk) -> Option<u64> {
            for number in after.map_or(0, |after| after + 1)..self.0 {
                chunk.push(number, &number);
                if chunk.is_full() {
                    return Some(number);
                }
            }
            None
        }

        fn restore(&mut self, _: u64, _: u64) {}
    }

    fn act(before: u64, cut: bool) -> Leave {
        Leave { act: Closed::Before(before), cut }
    }

    #[test]
    fn nothing_later_than_a_cut_is_acted_on_before_it_is_done() {
        let mut cutting = Cutting::default();
        assert_eq!(cutting.leave(Closed::Before(9)), act(9, false));
        assert_eq!(cutting.leave(Closed::All), Leave { act: Closed::All, cut: false });
        cutting.at(9);
        assert_eq!(cutting.leave(Closed::Before(9)), act(9, false), "its epoch is open");
        for closed in [Closed::Before(10), Closed::Before(11), Closed::Before(1_000), Closed::All] {
            assert_eq!(cutting.leave(closed), act(10, true));
        }
        assert!(cutting.slice(Section::Spans, &Numbers(0)).1);
        assert_eq!(cutting.leave(Closed::All), Leave { act: Closed::All, cut: false });
    }

    #[test]
    fn a_cut_is_done_in_slices_and_the_next_one_begins_from_the_start() {
        let mut cutting = Cutting::default();
        // Told out of order, and one of them by two workers.
        [6, 5, 6].into_iter().for_each(|epoch| cutting.at(epoch));
        for cut in [5, 6] {
            assert_eq!(cutting.pending(), Some(cut));
            let mut rows = Vec::new();
            for slice in 0.. {
                assert_eq!(cutting.leave(Closed::Before(100)), act(cut + 1, true));
                let (chunk, done) = cutting.slice(Section::Spans, &Numbers(10_000));
                rows.extend(chunk.decoded::<u64>().map(Result::unwrap));
                assert_eq!(done, slice == 2, "4,096 rows each, and what is left");
                if done {
                    break;
                }
            }
            assert!(rows.into_iter().eq(0..10_000), "each once");
        }
        assert_eq!(cutting.pending(), None);
    }

    proptest! {
        /// An operator over a counter of epochs: whatever it hears of when, it is cut at every cut, right after that epoch.
        #[test]
        fn every_cut_is_made_at_its_epoch(
            cuts in prop::collection::btree_set(0..30_u64, 0..8),
            steps in prop::collection::vec(0..6_u64, 1..30),
        ) {
            let (mut cutting, mut told, mut acted, mut open) = (Cutting::default(), cuts.iter().copied(), 0, 0);
            let mut made = Vec::new();
            let mut heard_of = None;
            let closings = steps.into_iter().map(|step| { open += step; Closed::Before(open) });
            for closed in closings.chain([Closed::All]) {
                // A mark is heard of at the latest when its epoch closes.
                loop {
                    heard_of = heard_of.or_else(|| told.next());
                    let Some(cut) = heard_of.filter(|cut| closed.contains(*cut)) else { break };
                    cutting.at(cut);
                    heard_of = None;
                }
                loop {
                    let leave = cutting.leave(closed);
                    acted = acted.max(match leave.act { Closed::Before(open) => open, Closed::All => 30 });
                    let Some(cut) = cutting.pending().filter(|_| leave.cut) else { break };
                    prop_assert_eq!(acted, cut + 1);
                    // More than one slice.
                    if cutting.slice(Section::Spans, &Numbers(5_000)).1 {
                        made.push(cut);
                    }
                }
            }
            prop_assert_eq!(made, cuts.into_iter().collect::<Vec<_>>());
        }
    }
}
