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
