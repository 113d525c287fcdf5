//! Captured files as a source whose epochs come from event time alone.
//!
//! A first pass over the files builds an index of records without their payloads. Each partition is put into offset order
//! and its records get the running maximum of event time as their epoch; then all partitions are merged by epoch. So the
//! order in which records enter the engine is a function of the records: it depends neither on how files were cut and
//! named, nor on workers, nor on batching.
//!
//! There is no wall clock to hold a record against that claims to be from the future, so the records behind it decide:
//! a jump of more than `future_ms` counts unless most of the next few records of its partition deny it.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use faultline_contracts::{record::RecordCoordinates, time::UnixMillis};
use faultline_operators::decode::kcat;

use super::{ControlRecord, Intake, TopicRole, owner};
use crate::config::Topics;

#[cfg(test)]
mod tests;

/// How many later records of a partition are asked whether a jump in time is real.
const WITNESSES: usize = 8;
/// How many faulty lines are kept for the report.
const FAULTS_KEPT: usize = 20;

/// A file that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// More files or topics than an index counts.
    #[error("more than {limit} {what} in one replay")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
}

/// Where captured lines are.
#[derive(Debug)]
pub enum Capture {
    /// In a file.
    File(PathBuf, File),
    /// In memory, under a name.
    Memory(&'static str, &'static [u8]),
}

impl Capture {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let file = File::open(path).map_err(|source| ReplayError::Read { path: path.into(), source })?;
        Ok(Self::File(path.into(), file))
    }

    fn name(&self) -> PathBuf {
        match self {
            Self::File(path, _) => path.clone(),
            Self::Memory(name, _) => name.into(),
        }
    }

    fn lines(&self, mut visit: impl FnMut(u64, &[u8])) -> std::io::Result<()> {
        let mut reader: Box<dyn BufRead + '_> = match self {
            Self::File(_, file) => Box::new(BufReader::with_capacity(1 << 20, file)),
            Self::Memory(_, bytes) => Box::new(*bytes),
        };
        let (mut position, mut line) = (0, Vec::new());
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(());
            }
            visit(position, line.trim_ascii_end());
            position += length as u64;
        }
    }

    fn read<'b>(&'b self, position: u64, length: usize, buffer: &'b mut Vec<u8>) -> std::io::Result<&'b [u8]> {
        match self {
            Self::File(_, file) => {
                buffer.resize(length, 0);
                file.read_exact_at(buffer, position)?;
                Ok(buffer)
            }
            Self::Memory(_, bytes) => {
                let start = position as usize;
                bytes.get(start..start + length).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}

/// A line that is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub message: String,
}

#[derive(Debug, Clone)]
struct Entry {
    epoch: u64,
    topic: u32,
    partition: i32,
    offset: i64,
    event_time: UnixMillis,
    high_water: bool,
    capture: u32,
    position: u64,
    length: u32,
}

/// All records of a replay, in the order in which they enter the engine.
#[derive(Debug)]
pub struct ReplayIndex {
    captures: Vec<Capture>,
    topics: Vec<(Arc<str>, TopicRole)>,
    entries: Vec<Entry>,
    /// The first lines that are no records.
    pub faults: Vec<Fault>,
    /// How many lines are none.
    pub faulty_lines: u64,
    /// Records that are in the input more than once, by topic, partition and offset.
    pub duplicates: u64,
    /// Records held back because they claim to be from the future.
    pub held_back: u64,
    /// Records of the engine's own topics.
    pub own: u64,
}

/// How an index is built.
#[derive(Debug, Clone, Copy)]
pub struct ReplayOptions {
    /// Epochs are multiples of this, in milliseconds.
    pub tick_ms: u64,
    /// A jump in time of more than this needs witnesses, in milliseconds.
    pub future_ms: i64,
}

struct Found {
    topic: u32,
    partition: i32,
    offset: i64,
    timestamp: Option<UnixMillis>,
    capture: u32,
    position: u64,
    length: u32,
}

impl ReplayIndex {
    /// Reads all captures once. `progress` is told the bytes read so far, now and then.
    ///
    /// # Errors
    /// A file cannot be read. A line that is no record is none: it is counted.
    pub fn build(
        captures: Vec<Capture>,
        roles: &Topics,
        options: ReplayOptions,
        mut progress: impl FnMut(u64),
    ) -> Result<Self, ReplayError> {
        let mut index = Self {
            captures,
            topics: Vec::new(),
            entries: Vec::new(),
            faults: Vec::new(),
            faulty_lines: 0,
            duplicates: 0,
            held_back: 0,
            own: 0,
        };
        let mut found = Vec::new();
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut known = std::collections::BTreeMap::<Arc<str>, u32>::new();
        let mut bytes = 0;
        for (number, capture) in index.captures.iter().enumerate() {
            let capture_number =
                u32::try_from(number).map_err(|_| ReplayError::TooMany { what: "files", limit: u32::MAX as usize })?;
            let mut line_number = 0;
            let (faults, faulty_lines, own) = (&mut index.faults, &mut index.faulty_lines, &mut index.own);
            capture
                .lines(|position, line| {
                    line_number += 1;
                    if line_number % 4096 == 0 {
                        progress(bytes + position);
                    }
                    if line.is_empty() {
                        return;
                    }
                    let head = match kcat::locate(line) {
                        Ok(head) => head,
                        Err(error) => {
                            *faulty_lines += 1;
                            if faults.len() < FAULTS_KEPT {
                                faults.push(Fault {
                                    file: capture.name(),
                                    line: line_number,
                                    message: error.to_string(),
                                });
                            }
                            return;
                        }
                    };
                    if roles.role(&head.topic) == TopicRole::Own {
                        *own += 1;
                        return;
                    }
                    let topic = match known.get(head.topic.as_ref()) {
                        Some(&topic) => topic,
                        None => {
                            let (name, topic) = (Arc::<str>::from(head.topic.as_ref()), names.len() as u32);
                            known.insert(Arc::clone(&name), topic);
                            names.push(name);
                            topic
                        }
                    };
                    found.push(Found {
                        topic,
                        partition: head.partition,
                        offset: head.offset,
                        timestamp: head.ts,
                        capture: capture_number,
                        position,
                        length: line.len() as u32,
                    });
                })
                .map_err(|source| ReplayError::Read { path: capture.name(), source })?;
            bytes += match capture {
                Capture::File(_, file) => file.metadata().map_or(0, |metadata| metadata.len()),
                Capture::Memory(_, held) => held.len() as u64,
            };
            progress(bytes);
        }
        // Topics are numbered in the order of their names, so that sorting by number is sorting by name.
        let rank: std::collections::BTreeMap<u32, u32> = known.values().copied().zip(0..).collect();
        for record in &mut found {
            record.topic = rank[&record.topic];
        }
        index.topics = known.keys().map(|name| (Arc::clone(name), roles.role(name))).collect();
        found.sort_by_key(|r| (r.topic, r.partition, r.offset, r.capture, r.position));
        let before = found.len();
        found.dedup_by_key(|r| (r.topic, r.partition, r.offset));
        index.duplicates = (before - found.len()) as u64;
        for partition in found.chunk_by(|a, b| (a.topic, a.partition) == (b.topic, b.partition)) {
            index.time(partition, options);
        }
        index.entries.sort_by_key(|e| (e.epoch, e.topic, e.partition, e.offset));
        Ok(index)
    }

    /// Gives the records of one partition, in offset order, their epochs.
    fn time(&mut self, partition: &[Found], options: ReplayOptions) {
        let mut clock: Option<UnixMillis> = None;
        for (place, record) in partition.iter().enumerate() {
            let witnesses = || partition[place + 1..].iter().filter_map(|later| later.timestamp).take(WITNESSES);
            // A record without a time counts as of the one before it, or at the start of the one after it.
            let claimed = record.timestamp.or(clock).or_else(|| witnesses().next()).unwrap_or_default();
            let jumps = clock.is_none_or(|clock| claimed.since(clock) > options.future_ms);
            let (asked, deny) = if jumps {
                witnesses().fold((0, 0), |(asked, deny), later| {
                    (asked + 1, deny + usize::from(claimed.since(later) > options.future_ms))
                })
            } else {
                (0, 0)
            };
            let real = 2 * deny <= asked;
            let (event_time, epoch) = if real {
                let epoch = clock.map_or(claimed, |clock| clock.max(claimed));
                clock = Some(epoch);
                (claimed, epoch)
            } else {
                self.held_back += 1;
                let base = clock.or_else(|| median(witnesses())).unwrap_or(claimed);
                (claimed.min(base.plus(options.future_ms)), base)
            };
            self.entries.push(Entry {
                epoch: epoch.0.max(0) as u64 / options.tick_ms * options.tick_ms,
                topic: record.topic,
                partition: record.partition,
                offset: record.offset,
                event_time,
                high_water: real,
                capture: record.capture,
                position: record.position,
                length: record.length,
            });
        }
    }

    /// The epoch of the last record; 0 where there is none.
    #[must_use]
    pub fn last_epoch(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.epoch)
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn median(times: impl Iterator<Item = UnixMillis>) -> Option<UnixMillis> {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// One worker's way through an index.
#[derive(Debug)]
pub struct ReplaySource {
    index: Arc<ReplayIndex>,
    workers: usize,
    worker: usize,
    next: usize,
    line: Vec<u8>,
}

impl ReplaySource {
    /// The part of worker `worker` of `workers`.
    #[must_use]
    pub fn new(index: Arc<ReplayIndex>, worker: usize, workers: usize) -> Self {
        let mut source = Self { index, workers, worker, next: 0, line: Vec::new() };
        source.skip();
        source
    }

    fn skip(&mut self) {
        while let Some(entry) = self.index.entries.get(self.next) {
            let (topic, _) = &self.index.topics[entry.topic as usize];
            if owner(topic, entry.partition, self.workers) == self.worker {
                return;
            }
            self.next += 1;
        }
    }

    /// The epoch of the next record; `None` at the end.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.index.entries.get(self.next).map(|entry| entry.epoch)
    }

    /// Hands over the next record.
    pub fn advance(&mut self, intake: &mut impl Intake) {
        let index = Arc::clone(&self.index);
        let Some(entry) = index.entries.get(self.next) else { return };
        let (topic, role) = &index.topics[entry.topic as usize];
        let capture = &index.captures[entry.capture as usize];
        let at = RecordCoordinates { topic, partition: entry.partition, offset: entry.offset };
        match capture.read(entry.position, entry.length as usize, &mut self.line) {
            Err(error) => intake.rejected("replay_read", &format_args!("{}: {error}", capture.name().display())),
            Ok(line) => match kcat::decode(line) {
                Err(error) => intake.rejected("replay_line", &format_args!("{}: {error}", capture.name().display())),
                Ok(record) if *role == TopicRole::Data => {
                    intake.data(&record.as_raw(), entry.event_time, entry.high_water);
                }
                Ok(record) => {
                    let headers = record.header_slices();
                    intake.control(*role, &ControlRecord { at, headers: &headers, payload: record.payload.as_deref() });
                }
            },
        }
        self.next += 1;
        self.skip();
    }
}
