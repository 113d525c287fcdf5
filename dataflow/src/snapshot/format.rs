//! The bytes of a snapshot.
//!
//! ```text
//! "FLTSNAP\n" │ length of the header (4 bytes) │ header (JSON) │ XXH3-64 of the header (8 bytes)
//! rows of the first section │ rows of the second │ …            each with its length and XXH3-64 in the header
//! ```
//! Numbers are little-endian; rows are those of [`StateChunk`].
//!
//! The rule of compatibility: a program reads snapshots of its own [`FORMAT`] and of no other. The number goes up with
//! every change of what a row is made of, or of what it means. So one that is not understood is never taken for another:
//! before a change of formats, stop in good order, and start anew with `--fresh` from the positions that are committed.

use std::{fmt, path::Path};

use faultline_operators::state::{Section, StateChunk};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Snapshot, SnapshotError};
use crate::config::Windows;

/// The format that is written and read.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"FLTSNAP\n";
/// No header comes near it: more is damage.
const LONGEST_HEADER: usize = 1 << 20;

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Of its bytes.
    pub format: u32,
    /// The epoch whose end it is of, in milliseconds since 1970.
    pub epoch: u64,
    /// The program's version.
    pub program: String,
    /// How many workers took it.
    pub workers: usize,
    /// The version of the catalog in force.
    pub catalog: String,
    /// The settings that windows depend on.
    pub windows: WindowSettings,
    /// Its sections, in order.
    pub sections: Vec<SectionHeader>,
}

/// The settings that the state of windows depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSettings {
    /// [`Windows::width_ms`].
    pub width_ms: u64,
}

impl From<&Windows> for WindowSettings {
    fn from(windows: &Windows) -> Self {
        Self { width_ms: windows.width_ms }
    }
}

impl fmt::Display for WindowSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "windows.width_ms: {}", self.width_ms)
    }
}

/// Where a section's rows are, and what they add up to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionHeader {
    /// Whose.
    pub name: Section,
    /// How many rows.
    pub rows: u64,
    /// How many bytes.
    pub bytes: u64,
    /// XXH3-64 of the bytes, in hexadecimal.
    pub xxh3: String,
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

/// The sections of chunks, in order.
fn sections(chunks: &[StateChunk]) -> Vec<SectionHeader> {
    let section = |name: Section| {
        let (mut rows, mut bytes, mut hash) = (0, 0, Xxh3::new());
        for chunk in chunks.iter().filter(|chunk| chunk.section() == name) {
            rows += chunk.rows();
            bytes += chunk.bytes().len() as u64;
            hash.update(chunk.bytes());
        }
        SectionHeader { name, rows, bytes, xxh3: hex(hash.digest()) }
    };
    Section::ALL.map(section).into()
}

impl Snapshot {
    /// A snapshot of these rows. The header's sections are made from them.
    #[must_use]
    pub fn new(header: Header, chunks: Vec<StateChunk>) -> Self {
        Self { header: Header { sections: sections(&chunks), ..header }, chunks }
    }

    /// Gives its bytes, piece by piece, to `write`.
    pub(super) fn write(&self, mut write: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
        let header = serde_json::to_vec(&self.header)?;
        let length = u32::try_from(header.len()).map_err(std::io::Error::other)?;
        write(MAGIC)?;
        write(&length.to_le_bytes())?;
        write(&header)?;
        write(&xxh3_64(&header).to_le_bytes())?;
        for section in Section::ALL {
            for chunk in self.chunks.iter().filter(|chunk| chunk.section() == section) {
                write(chunk.bytes())?;
            }
        }
        Ok(())
    }

    /// Reads what [`Snapshot::write`] wrote; `path` is told in errors.
    ///
    /// # Errors
    /// It is damaged, or of another format.
    pub(super) fn read(bytes: &[u8], path: &Path) -> Result<Self, SnapshotError> {
        let damaged = |what: &str| SnapshotError::Damaged { path: path.to_owned(), what: what.to_owned() };
        let (header, mut rest) = split_header(bytes, path)?;
        let mut chunks = Vec::with_capacity(header.sections.len());
        for section in &header.sections {
            let length = usize::try_from(section.bytes).map_err(|_| damaged("a section is longer than the file"))?;
            let name = section.name.as_str();
            let Some((rows, after)) = rest.split_at_checked(length) else {
                return Err(damaged(&format!("it ends within section {name}")));
            };
            if hex(xxh3_64(rows)) != section.xxh3 {
                return Err(damaged(&format!("the checksum of section {name} does not agree")));
            }
            chunks.push(StateChunk::from_bytes(section.name, section.rows, rows.to_vec()));
            rest = after;
        }
        if !rest.is_empty() {
            return Err(damaged("there is something behind its end"));
        }
        Ok(Self { header, chunks })
    }
}

/// The header of a snapshot's bytes, and what lies behind it.
pub(super) fn split_header<'a>(bytes: &'a [u8], path: &Path) -> Result<(Header, &'a [u8]), SnapshotError> {
    let damaged = |what: &str| SnapshotError::Damaged { path: path.to_owned(), what: what.to_owned() };
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("it does not begin as snapshots do"))?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("it ends within its header"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let split = Some(rest).filter(|_| length <= LONGEST_HEADER).and_then(|rest| rest.split_at_checked(length));
    let (text, rest) = split.ok_or_else(|| damaged("it ends within its header"))?;
    let (hash, rest) = rest.split_first_chunk::<8>().ok_or_else(|| damaged("it ends within its header"))?;
    if u64::from_le_bytes(*hash) != xxh3_64(text) {
        return Err(damaged("the checksum of its header does not agree"));
    }
    // Of a later format only the number is known.
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = serde_json::from_slice(text).map_err(|error| damaged(&error.to_string()))?;
    if format != FORMAT {
        return Err(SnapshotError::Format { path: path.to_owned(), found: format });
    }
    let header = serde_json::from_slice(text).map_err(|error| damaged(&error.to_string()))?;
    Ok((header, rest))
}
