//! Evidence exactly once: by Kafka transactions that commit it together with the positions that it stands for.
//!
//! ```text
//! worker ─ evidence, positions ─► epochs ─► its thread: one transaction of several epochs
//!    ▲                                          │ evidence ──► topic
//!    └───── durable_before ◄─ committed ◄───────┤
//!                                               └ positions ─► group `<group>.evidence`
//! ```
//! Positions of that group are offsets to be read next: all evidence of records before them is there, once, and none of
//! those from them on. A start fences the instance before it, reads them, and writes no evidence of records before them.
//!
//! # Who may write
//! Each worker has a transactional id, `<group>-<worker>`. An instance that starts
//! 1. fences the first id, and with it whoever could leave a mark;
//! 2. leaves its mark in the group (see `marker`), and learns how many ids the last instance had;
//! 3. fences all other ids of itself and of the last one;
//! 4. reads the positions.
//!
//! Brokers fence for other reasons too: a transaction that was open for longer than `transaction.timeout.ms`, as in a long
//! outage, is aborted so. A worker whose producer is lost, for whichever reason, looks at the mark. Where it is another
//! instance's, that one has taken over, and the worker ends. Else it fences its own id anew, looks at the mark again, and
//! learns from the positions whether its last transaction was committed. As the mark comes before all ids but the first
//! are fenced, of two instances one finds the other's mark, or is fenced for good. One that has nothing to write looks at the
//! mark now and then.

mod committing;
mod epochs;
mod fencing;
mod group;
mod marker;
mod producer;
mod queue;
mod settlement;
mod writer;

pub use fencing::{Fenced, TakeOver};
pub use writer::{TransactionStats, TransactionalWriter};
