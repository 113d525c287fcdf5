//! Runs: sorted stretches of a part file. An entry is key length and line length as 4 bytes each, least significant
//! first, then key and line. The files live as long as the program's run, so the format needs no version.

use std::{
    cmp::Ordering,
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::fs::FileExt,
    sync::Arc,
};

/// Bytes before the key.
const PREFIX: usize = 8;

/// From where to where a run goes, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Writes an entry.
pub(super) fn write(key: &[u8], line: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(&length(key)?.to_le_bytes())?;
    out.write_all(&length(line)?.to_le_bytes())?;
    out.write_all(key)?;
    out.write_all(line)
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| ErrorKind::FileTooLarge.into())
}

/// How long an entry is.
pub(super) fn stored_len(key: &[u8], line: &[u8]) -> u64 {
    (PREFIX + key.len() + line.len()) as u64
}

/// What an entry is ordered by.
pub(super) fn order(entry: &[u8]) -> (&[u8], &[u8]) {
    match entry.split_first_chunk::<PREFIX>() {
        Some((prefix, rest)) => rest.split_at(lengths(*prefix).0.min(rest.len())),
        None => (&[], &[]),
    }
}

fn lengths(prefix: [u8; PREFIX]) -> (usize, usize) {
    let [a, b, c, d, e, f, g, h] = prefix;
    (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]) as usize)
}

/// Reads its stretch of a file that other runs are read from at the same time.
#[derive(Debug)]
struct Stretch {
    file: Arc<File>,
    next: u64,
    end: u64,
}

impl Read for Stretch {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..left], self.next)?;
        self.next += read as u64;
        Ok(read)
    }
}

/// A run at one of its entries. Ordered by that entry; where entries are equal they are the same line, so that the
/// order of their cursors does not show.
#[derive(Debug)]
pub(super) struct Cursor {
    reader: BufReader<Stretch>,
    entry: Vec<u8>,
    part: usize,
}

impl Cursor {
    /// A cursor at the run's first entry; `None` for a run without any.
    pub(super) fn open(file: &Arc<File>, run: Run, buffer: usize, part: usize) -> io::Result<Option<Self>> {
        let stretch = Stretch { file: Arc::clone(file), next: run.start, end: run.end };
        let mut cursor = Self { reader: BufReader::with_capacity(buffer, stretch), entry: Vec::new(), part };
        Ok(cursor.advance()?.then_some(cursor))
    }

    /// Goes to the next entry; `false` when there is none.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        if self.reader.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut prefix = [0; PREFIX];
        self.reader.read_exact(&mut prefix)?;
        let (key, line) = lengths(prefix);
        self.entry.resize(PREFIX + key + line, 0);
        self.entry[..PREFIX].copy_from_slice(&prefix);
        self.reader.read_exact(&mut self.entry[PREFIX..])?;
        Ok(true)
    }

    /// The entry's line.
    pub(super) fn line(&self) -> &[u8] {
        order(&self.entry).1
    }

    /// The place of the part it reads.
    pub(super) fn part(&self) -> usize {
        self.part
    }
}

impl Ord for Cursor {
    fn cmp(&self, other: &Self) -> Ordering {
        order(&self.entry).cmp(&order(&other.entry))
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cursor {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cursor {}
