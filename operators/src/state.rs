//! State that leaves the dataflow at a cut, and comes back into it: what snapshots are made of.
//!
//! ```text
//!  cuts ────────┐                                   ┌─► outputs
//!  restored ────┼─► operator with state of its own ─┤
//!  its inputs ──┘                                   └─► state, a chunk at a time
//! ```
//! A cut is a marker at an epoch. When that epoch is closed, an operator has acted on all of it and nothing later; it
//! then hands out its state in rows, a slice an activation so that the worker goes on with others, and takes up later
//! epochs once that is done. So all operators on all workers are cut at the same place, and nobody stops.
//!
//! A row belongs to a key, and the key's hash (its route) says on which worker it lives. So what a number of workers has
//! handed out can be given to any other number of them. Restored rows are taken in when their epoch closes, before
//! whatever else the epoch brings, and everything that follows from them is sent as if it had just come to be.
//!
//! State may come back at a later epoch than it was cut at. For what counts epochs without news (idle partitions) no time
//! has passed then; what was to be told in between (numbers of a breach, that one is no longer shown) is told at once.
//!
//! Collections that differential operators derive are not in it: they follow from these.

use std::{cell::RefCell, rc::Rc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use timely::dataflow::{
    Scope, StreamVec,
    operators::{
        Concatenate,
        generic::operator::empty,
        vec::{Broadcast, Filter},
    },
};

mod chunk;
mod cutting;
mod keyed;

pub use self::chunk::{RowError, StateChunk};
pub(crate) use self::{chunk::EVERYWHERE, cutting::Cutting, keyed::by_closed_epoch};

/// Whose state a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// How far partitions are read.
    Positions,
    /// Compliance windows, and the watermark.
    Windows,
    /// Signals and breaches.
    Signals,
    /// Deployments.
    Deployments,
    /// Spans of traces.
    Spans,
    /// Jobs: their runs, edges and columns.
    Lineage,
}

impl Section {
    /// All of them, in the order in which a snapshot has them.
    pub const ALL: [Self; 6] =
        [Self::Positions, Self::Windows, Self::Signals, Self::Deployments, Self::Spans, Self::Lineage];

    /// The name in snapshots.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Positions => "positions",
            Self::Windows => "windows",
            Self::Signals => "signals",
            Self::Deployments => "deployments",
            Self::Spans => "spans",
            Self::Lineage => "lineage",
        }
    }
}

/// Marks the epoch that it is sent at as one to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cut;

/// Where state leaves and enters the operators of one dataflow. Cheap to clone.
#[derive(Clone)]
pub struct StatePorts<'s> {
    cuts: StreamVec<'s, u64, Cut>,
    restored: StreamVec<'s, u64, StateChunk>,
    leaving: Rc<RefCell<Vec<StreamVec<'s, u64, StateChunk>>>>,
}

impl<'s> StatePorts<'s> {
    /// Operators are cut where `cuts` says, whichever worker it is said on, and take in what `restored` brings: each chunk
    /// is for the worker that it names.
    pub fn new(cuts: StreamVec<'s, u64, Cut>, restored: StreamVec<'s, u64, StateChunk>) -> Self {
        Self { cuts: cuts.broadcast(), restored: chunk::to_their_workers(restored), leaving: Rc::default() }
    }

    /// Nothing is ever cut or restored.
    pub fn closed(scope: Scope<'s, u64>) -> Self {
        Self { cuts: empty(scope), restored: empty(scope), leaving: Rc::default() }
    }

    /// All state that leaves, of operators that were built with clones of this.
    pub fn leaving(&self, scope: Scope<'s, u64>) -> StreamVec<'s, u64, StateChunk> {
        scope.concatenate(self.leaving.take())
    }

    pub(crate) fn cuts(&self) -> StreamVec<'s, u64, Cut> {
        self.cuts.clone()
    }

    pub(crate) fn restored(&self, section: Section) -> StreamVec<'s, u64, StateChunk> {
        self.restored.clone().filter(move |chunk| chunk.section() == section)
    }

    pub(crate) fn leaves(&self, state: StreamVec<'s, u64, StateChunk>) {
        self.leaving.borrow_mut().push(state);
    }
}

/// State that can be handed out and taken in again.
pub(crate) trait Stateful {
    /// A part of it, with its key in it.
    type Row: DeserializeOwned;
    /// A place between rows.
    type Cursor;

    /// Puts rows that come after a place into a chunk until it is full, and returns where to go on; `None` at the end.
    /// Between the calls of one cut the state does not change. What is put in is read again as a [`Stateful::Row`].
    fn cut(&self, after: Option<Self::Cursor>, chunk: &mut StateChunk) -> Option<Self::Cursor>;

    /// Takes a row in, at the epoch at which reading goes on.
    fn restore(&mut self, row: Self::Row, epoch: u64);

    /// Takes in all rows of these chunks. Returns a chunk that counts those that cannot be read, if there are any.
    fn take_in(&mut self, chunks: Vec<StateChunk>, epoch: u64) -> Option<StateChunk> {
        let mut unreadable = None;
        for chunk in chunks {
            for row in chunk.decoded() {
                match row {
                    Ok(row) => self.restore(row, epoch),
                    Err(_) => unreadable.get_or_insert_with(|| StateChunk::new(chunk.section())).note_unreadable(),
                }
            }
        }
        unreadable
    }
}
