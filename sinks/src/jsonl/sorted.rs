//! One sorted file out of the lines of many workers, in constant memory: an external merge sort.
//!
//! ```text
//! worker 0 ─ push ─► buffer ─ sort ─► run │ run │ run   evidence.jsonl.part-0 ─┐
//! worker 1 ─ push ─► buffer ─ sort ─► run │ run         evidence.jsonl.part-1 ─┴ merge ─► evidence.jsonl
//! ```
//!
//! Lines are ordered by key, and by their bytes where keys are equal. So the file is a function of the set of lines
//! and keys alone, whatever worker a line came from and in whatever order.

mod run;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    ffi::OsString,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use self::run::{Cursor, Run};
use super::{
    JsonlWriter,
    writer::{failed_before, file_error},
};
use crate::SinkError;

/// Memory for the read buffers of a merge, shared by all runs.
const MERGE_MEMORY: usize = 32 * 1024 * 1024;

/// The parts of one file to be: makes one part for each worker.
#[derive(Debug, Clone)]
pub struct SortedParts {
    path: PathBuf,
    memory: usize,
}

impl SortedParts {
    /// Bytes that a part keeps in memory before it sorts and writes them, unless told otherwise.
    pub const MEMORY: usize = 32 * 1024 * 1024;

    /// Parts of the file `path`, beside which they are written.
    #[must_use]
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), memory: Self::MEMORY }
    }

    /// Sets the bytes that each part keeps in memory.
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Starts the part of one worker: `<path>.part-<worker>`.
    ///
    /// # Errors
    /// [`SinkError::File`] where the folder is missing or not writable.
    pub fn part(&self, worker: usize) -> Result<SortedPart, SinkError> {
        let mut path = OsString::from(self.path.as_os_str());
        path.push(format!(".part-{worker}"));
        let path = PathBuf::from(path);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(|source| file_error("create", &path, source))?;
        Ok(SortedPart {
            file: BufWriter::with_capacity(256 * 1024, file),
            path,
            memory: self.memory,
            bytes: Vec::new(),
            entries: Vec::new(),
            runs: Vec::new(),
            written: 0,
            last: Vec::new(),
            whole: true,
        })
    }
}

/// Where an entry lies in the buffer: key, then line.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    key: u32,
    line: u32,
}

impl Entry {
    /// What entries are ordered by.
    fn order(self, bytes: &[u8]) -> (&[u8], &[u8]) {
        bytes[self.start..][..self.key as usize + self.line as usize].split_at(self.key as usize)
    }
}

/// One worker's lines on their way into the file. Dropping it removes its part file.
#[derive(Debug)]
pub struct SortedPart {
    path: PathBuf,
    file: BufWriter<File>,
    memory: usize,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    runs: Vec<Run>,
    /// Bytes in the file.
    written: u64,
    /// The last entry of the last run, as it is in the file.
    last: Vec<u8>,
    /// Whether every write so far went through. Else the file may end in half an entry, and is of no use.
    whole: bool,
}

impl SortedPart {
    /// Adds a line, without its line end. Keys are compared byte by byte, so integers go in as `to_be_bytes`.
    /// Keys that come in order cost least; any order is right.
    ///
    /// # Errors
    /// [`SinkError::LineEnd`] where it would be two lines, [`SinkError::File`] where the part cannot be written, or key
    /// or line is longer than 4 GiB.
    pub fn push(&mut self, key: &[u8], line: &[u8]) -> Result<(), SinkError> {
        if line.contains(&b'\n') {
            return Err(SinkError::LineEnd { path: self.path.clone() });
        }
        let (Ok(key_len), Ok(line_len)) = (u32::try_from(key.len()), u32::try_from(line.len())) else {
            return Err(file_error("write", &self.path, std::io::ErrorKind::FileTooLarge.into()));
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(line);
        self.entries.push(Entry { start, key: key_len, line: line_len });
        if self.bytes.len() + self.entries.len() * size_of::<Entry>() >= self.memory {
            self.spill()?;
        }
        Ok(())
    }

    /// Sorts what is in memory and appends it to the file: to the last run where it continues it, else as a new one.
    fn spill(&mut self) -> Result<(), SinkError> {
        if !self.whole {
            return Err(failed_before(&self.path));
        }
        let Self { bytes, entries, .. } = self;
        entries.sort_unstable_by(|a, b| a.order(bytes).cmp(&b.order(bytes)));
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        self.whole = false;
        let continues = !self.runs.is_empty() && run::order(&self.last) <= first.order(bytes);
        if !continues {
            self.runs.push(Run { start: self.written, end: self.written });
        }
        for entry in entries.iter() {
            let (key, line) = entry.order(bytes);
            run::write(key, line, &mut self.file).map_err(|source| file_error("write", &self.path, source))?;
            self.written += run::stored_len(key, line);
        }
        if let Some(run) = self.runs.last_mut() {
            run.end = self.written;
        }
        let (key, line) = last.order(bytes);
        self.last.clear();
        run::write(key, line, &mut self.last).map_err(|source| file_error("write", &self.path, source))?;
        bytes.clear();
        entries.clear();
        self.whole = true;
        Ok(())
    }
}

impl Drop for SortedPart {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Merges the parts into `path`, which appears whole or not at all, and removes them. Returns the number of lines.
///
/// # Errors
/// [`SinkError::File`] where a part cannot be read or the file not written.
pub fn merge(mut parts: Vec<SortedPart>, path: impl AsRef<Path>) -> Result<u64, SinkError> {
    for part in &mut parts {
        part.spill()?;
        part.file.flush().map_err(|source| file_error("write", &part.path, source))?;
        // What sorting needed, merging does not.
        (part.bytes, part.entries) = Default::default();
    }
    let runs: usize = parts.iter().map(|part| part.runs.len()).sum();
    let buffer = (MERGE_MEMORY / runs.max(1)).clamp(4 * 1024, 256 * 1024);
    let mut cursors = BinaryHeap::with_capacity(runs);
    for (place, part) in parts.iter().enumerate() {
        let file = part.file.get_ref().try_clone().map_err(|source| file_error("read", &part.path, source))?;
        let file = Arc::new(file);
        for &run in &part.runs {
            let cursor = Cursor::open(&file, run, buffer, place);
            if let Some(cursor) = cursor.map_err(|source| file_error("read", &part.path, source))? {
                cursors.push(Reverse(cursor));
            }
        }
    }
    let mut writer = JsonlWriter::create(path.as_ref())?;
    while let Some(mut least) = cursors.peek_mut() {
        writer.write_raw(least.0.line())?;
        let part = least.0.part();
        if !least.0.advance().map_err(|source| file_error("read", &parts[part].path, source))? {
            PeekMut::pop(least);
        }
    }
    writer.finish()
}

#[cfg(test)]
mod tests;
