//! Rows of state as bytes.
//!
//! ```text
//! row: route (8 bytes, little-endian) │ length (4 bytes, little-endian) │ the row, in postcard's format
//! ```

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use timely::dataflow::{StreamVec, operators::Exchange};

use super::Section;

/// Before a row: its route and its length.
const HEAD: usize = 12;
/// The route of rows that every worker needs, such as the watermark.
pub(crate) const EVERYWHERE: u64 = u64::MAX;

/// When a chunk is full.
const FULL_ROWS: u64 = 4_096;
const FULL_BYTES: usize = 256 << 10;

/// Rows of one section.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StateChunk {
    section: Section,
    /// The worker that it is for.
    worker: u64,
    rows: u64,
    /// Rows that could not be written.
    unwritable: u64,
    /// Rows that were to be restored, and could not be read.
    unreadable: u64,
    bytes: Vec<u8>,
}

/// A row that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row} of section {section} cannot be read: {reason}", section = .section.as_str())]
pub struct RowError {
    /// Of which section.
    pub section: Section,
    /// Which row of the chunk, from 0.
    pub row: u64,
    /// Why.
    pub reason: String,
}

impl StateChunk {
    /// No rows yet.
    #[must_use]
    pub fn new(section: Section) -> Self {
        Self { section, worker: 0, rows: 0, unwritable: 0, unreadable: 0, bytes: Vec::new() }
    }

    /// Rows as they were written.
    #[must_use]
    pub fn from_bytes(section: Section, rows: u64, bytes: Vec<u8>) -> Self {
        Self { section, worker: 0, rows, unwritable: 0, unreadable: 0, bytes }
    }

    /// Whose rows these are.
    #[must_use]
    pub fn section(&self) -> Section {
        self.section
    }

    /// How many.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many more there should be that could not be written.
    #[must_use]
    pub fn unwritable(&self) -> u64 {
        self.unwritable
    }

    /// How many could not be read that were to be restored.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The rows.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same rows, each for the worker that it lives on among so many.
    ///
    /// # Errors
    /// The bytes are no rows.
    pub fn divided(&self, workers: usize) -> Result<Vec<Self>, RowError> {
        let workers = workers.max(1) as u64;
        let mut parts: Vec<_> = (0..workers).map(|worker| Self { worker, ..Self::new(self.section) }).collect();
        for row in self.framed() {
            let (route, row) = row?;
            let owner = route % workers;
            for part in parts.iter_mut().filter(|part| route == EVERYWHERE || part.worker == owner) {
                part.frame(route, row);
            }
        }
        parts.retain(|part| part.rows > 0);
        Ok(parts)
    }

    /// Whether so much is in it that an operator that fills it has worked for about a millisecond.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= FULL_ROWS || self.bytes.len() >= FULL_BYTES
    }

    pub(crate) fn push(&mut self, route: u64, row: &impl Serialize) {
        let start = self.bytes.len();
        self.bytes.resize(start + HEAD, 0);
        let written = postcard::to_extend(row, std::mem::take(&mut self.bytes));
        match written {
            Ok(bytes) => self.bytes = bytes,
            Err(_) => {
                // What was written goes with the buffer; such a chunk is never kept.
                self.unwritable += 1;
                return;
            }
        }
        let length = u32::try_from(self.bytes.len() - start - HEAD).unwrap_or(u32::MAX);
        self.bytes[start..start + 8].copy_from_slice(&route.to_le_bytes());
        self.bytes[start + 8..start + HEAD].copy_from_slice(&length.to_le_bytes());
        self.rows += 1;
    }

    fn frame(&mut self, route: u64, row: &[u8]) {
        self.bytes.extend(route.to_le_bytes());
        self.bytes.extend(u32::try_from(row.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes.extend(row);
        self.rows += 1;
    }

    fn framed(&self) -> impl Iterator<Item = Result<(u64, &[u8]), RowError>> {
        let (mut rest, mut row) = (self.bytes.as_slice(), 0);
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let read = (|| {
                let (route, after) = rest.split_first_chunk::<8>()?;
                let (length, after) = after.split_first_chunk::<4>()?;
                let (bytes, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                rest = after;
                Some((u64::from_le_bytes(*route), bytes))
            })();
            let reason = || RowError { section: self.section, row, reason: "the chunk ends within it".to_owned() };
            let read = read.ok_or_else(reason);
            if read.is_err() {
                rest = &[];
            }
            row += 1;
            Some(read)
        })
    }

    /// The rows, read.
    pub(crate) fn decoded<R: DeserializeOwned>(&self) -> impl Iterator<Item = Result<R, RowError>> {
        (0..).zip(self.framed()).map(|(row, framed)| {
            let (_, bytes) = framed?;
            postcard::from_bytes(bytes).map_err(|error| RowError {
                section: self.section,
                row,
                reason: error.to_string(),
            })
        })
    }

    pub(super) fn note_unreadable(&mut self) {
        self.unreadable += 1;
    }
}

/// Brings each chunk to the worker that it is for.
pub(super) fn to_their_workers<'s>(chunks: StreamVec<'s, u64, StateChunk>) -> StreamVec<'s, u64, StateChunk> {
    chunks.exchange(|chunk| chunk.worker)
}
