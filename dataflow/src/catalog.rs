//! The catalog, live: followed where it is kept, and changed on all workers at one epoch.
//!
//! ```text
//! directory ─┐                                            ┌─► worker 0: gates, names, topics, rows of the dataflow
//!            ├─► watch: two looks agree ─► what follows ──┤
//! topic ─────┘      │                      the standing   └─► worker n: gates, names, topics
//!                   │                      catalog            each when it opens the epoch of the switch
//!                   └─ problems ─► CatalogInForce ◄─ the catalog, once all workers have it
//!                                  (answers, status)
//! ```
//! In a replay the catalog is what it was at the start.

mod directory;
mod in_force;
mod metrics;
mod rows;
mod schedule;
mod settling;
mod source;
mod topic;
mod watch;

#[cfg(test)]
mod tests;

pub use self::{
    in_force::{CatalogInForce, CatalogState},
    metrics::CatalogMetrics,
    rows::CatalogRowChanges,
    schedule::{Schedule, Switch},
    source::{CatalogError, NoReferences, References, Resolution},
    watch::{CatalogWatch, OpenCatalog, open},
};
