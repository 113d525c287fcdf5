//! Snapshots: the state of all operators at one epoch, with the positions of all partitions there, so that a restart goes
//! on where it was with any number of workers.
//!
//! ```text
//! worker 0: now and then ── cut ──► every operator's state at one epoch ──► keeper (a thread)
//!                                                                              │ waits until all that lies before the
//!                                                                              │ cut is where it was to go: evidence,
//!                                                                              ▼ and changes in every store
//! positions committed to Kafka ◄── covered ◄────────────── file: written, synced, renamed
//! ```
//! So whatever a snapshot's positions leave behind has left its marks everywhere, and nothing is committed to Kafka that
//! no snapshot covers. While a snapshot is being made, records are read and judged as ever.

mod acknowledged;
mod folder;
mod format;
mod keeper;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use faultline_operators::state::{RowError, StateChunk};

pub use self::{
    acknowledged::Acknowledged,
    folder::{Entry, Folder},
    format::{FORMAT, Header, SectionHeader, WindowSettings},
    keeper::{Keeper, SnapshotMetrics},
};

/// State at one epoch.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What it is of.
    pub header: Header,
    /// The rows of all sections.
    pub chunks: Vec<StateChunk>,
}

/// A snapshot that cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The folder or a file in it.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not what was written.
    #[error("{path} is damaged: {what}; remove it, an older one is used")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that is known.
        what: String,
    },
    /// It is of another format than this program's.
    #[error(
        "{path} has format {found}, this program reads {FORMAT}: start the program that wrote it, or start anew with --fresh"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It was taken under settings that its state depends on.
    #[error(
        "the snapshot of epoch {epoch} was taken with {was}, and the configuration says {is}: set that back, or start anew with --fresh"
    )]
    Settings {
        /// Of which snapshot.
        epoch: u64,
        /// The settings then.
        was: WindowSettings,
        /// The settings now.
        is: WindowSettings,
    },
    /// A row is not one of its section's.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The thread cannot be started.
    #[error("cannot start the thread that keeps snapshots: {0}")]
    Thread(#[source] std::io::Error),
}
