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
    /// The bytes are no rows, or not so many.
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

    /// The rows as they lie there. After an error there is nothing more.
    fn framed(&self) -> impl Iterator<Item = Result<Framed<'_>, RowError>> {
        let (mut rest, mut row) = (self.bytes.as_slice(), 0);
        std::iter::from_fn(move || {
            let reason = match (rest.is_empty(), row < self.rows) {
                (true, false) => return None,
                (true, true) => "there is none",
                (false, false) => "there should be none",
                (false, true) => match split(rest) {
                    Some((framed, after)) => {
                        (rest, row) = (after, row + 1);
                        return Some(Ok(framed));
                    }
                    None => "the chunk ends within it",
                },
            };
            let error = RowError { section: self.section, row, reason: reason.to_owned() };
            (rest, row) = (&[], self.rows);
            Some(Err(error))
        })
    }

    /// The rows, read.
    pub(crate) fn decoded<R: DeserializeOwned>(&self) -> impl Iterator<Item = Result<R, RowError>> {
        (0..).zip(self.framed()).map(|(row, framed)| {
            let reason = match postcard::take_from_bytes(framed?.1) {
                Ok((decoded, [])) => return Ok(decoded),
                Ok(_) => "it goes on after its end".to_owned(),
                Err(error) => error.to_string(),
            };
            Err(RowError { section: self.section, row, reason })
        })
    }

    pub(super) fn note_unreadable(&mut self) {
        self.unreadable += 1;
    }
}

/// A row's route, and the row as it was written.
type Framed<'a> = (u64, &'a [u8]);

/// The first row, and what comes after.
fn split(rows: &[u8]) -> Option<(Framed<'_>, &[u8])> {
    let (route, rest) = rows.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some(((u64::from_le_bytes(*route), row), rest))
}

/// Brings each chunk to the worker that it is for.
pub(super) fn to_their_workers<'s>(chunks: StreamVec<'s, u64, StateChunk>) -> StreamVec<'s, u64, StateChunk> {
    chunks.exchange(|chunk| chunk.worker)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};
    use serde::Serializer;

    use super::*;

    type Row = (u64, Option<i32>, String);

    fn rows() -> impl Strategy<Value = Vec<(u64, Row)>> {
        // Few workers, and now and then all of them.
        let route = prop_oneof![9 => 0..20_u64, 1 => Just(EVERYWHERE), 1 => any::<u64>()];
        prop::collection::vec((route, (any::<u64>(), any::<Option<i32>>(), "[a-zé]{0,12}")), 0..20)
    }

    fn chunk(rows: &[(u64, Row)]) -> StateChunk {
        let mut chunk = StateChunk::new(Section::Lineage);
        rows.iter().for_each(|(route, row)| chunk.push(*route, row));
        assert_eq!((chunk.rows(), chunk.unwritable()), (rows.len() as u64, 0));
        chunk
    }

    fn decoded(chunk: &StateChunk) -> Result<Vec<Row>, RowError> {
        chunk.decoded().collect()
    }

    proptest! {
        #[test]
        fn rows_are_read_as_they_were_written(rows in rows()) {
            let chunk = chunk(&rows);
            let read = StateChunk::from_bytes(chunk.section(), chunk.rows(), chunk.bytes().to_vec());
            prop_assert_eq!(&read, &chunk);
            prop_assert_eq!(decoded(&read), Ok(rows.into_iter().map(|(_, row)| row).collect()));
        }

        #[test]
        fn each_row_goes_to_the_worker_that_it_lives_on_and_some_to_all(rows in rows(), workers in 0..6_usize) {
            let parts = chunk(&rows).divided(workers).unwrap();
            let workers = workers.max(1) as u64;
            for worker in 0..workers {
                let lives = |route: u64| route == EVERYWHERE || route % workers == worker;
                let expected: Vec<_> = rows.iter().filter(|(route, _)| lives(*route)).map(|(_, row)| row.clone()).collect();
                let part: Vec<_> = parts.iter().filter(|part| part.worker == worker).collect();
                prop_assert_eq!(part.len(), usize::from(!expected.is_empty()), "one chunk, if any");
                if let [part] = part[..] {
                    prop_assert_eq!((part.section(), part.rows()), (Section::Lineage, expected.len() as u64));
                    prop_assert_eq!(decoded(part), Ok(expected));
                }
            }
            prop_assert!(parts.iter().all(|part| part.worker < workers));
        }

        /// Whoever goes on from parts of parts has what whoever goes on from the whole has.
        #[test]
        fn dividing_again_makes_no_difference(rows in rows(), workers in 1..5_usize, then in 1..5_usize) {
            let rows: Vec<_> = rows.into_iter().filter(|(route, _)| *route != EVERYWHERE).collect();
            let of = |parts: Vec<StateChunk>| {
                let mut all: Vec<_> =
                    parts.iter().flat_map(|part| decoded(part).unwrap().into_iter().map(|row| (part.worker, row))).collect();
                all.sort();
                all
            };
            let whole = chunk(&rows);
            let twice = whole.divided(workers).unwrap().iter().flat_map(|part| part.divided(then).unwrap()).collect();
            prop_assert_eq!(of(twice), of(whole.divided(then).unwrap()));
        }

        #[test]
        fn fuzz_rows(
            rows in rows(),
            damage in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
            length in prop::option::of(any::<Index>()),
            more in prop::collection::vec(any::<u8>(), 0..20),
            count in prop::option::of(any::<u64>()),
        ) {
            let whole = chunk(&rows);
            let mut bytes = whole.bytes().to_vec();
            if let Some(length) = length {
                bytes.truncate(length.index(bytes.len() + 1));
            }
            bytes.extend(&more);
            for (at, byte) in &damage {
                let at = at.index(bytes.len().max(1));
                bytes.iter_mut().skip(at).take(1).for_each(|damaged| *damaged = *byte);
            }
            let count = count.unwrap_or(whole.rows());
            let damaged = StateChunk::from_bytes(whole.section(), count, bytes);
            let read: Vec<Result<Row, _>> = damaged.decoded().collect();
            match damaged.divided(3) {
                Ok(parts) => {
                    prop_assert_eq!(read.len() as u64, count);
                    prop_assert!(parts.iter().map(StateChunk::rows).sum::<u64>() >= count);
                }
                // What cannot be divided cannot be read to its end either.
                Err(error) => {
                    prop_assert_eq!(error.section, Section::Lineage);
                    prop_assert!(read.iter().any(Result::is_err));
                }
            }
            if count != whole.rows() || damaged.bytes().len() < whole.bytes().len() && more.is_empty() && damage.is_empty() {
                prop_assert!(damaged.divided(3).is_err(), "rows are missing, or there are too many");
            }
        }
    }

    #[test]
    fn errors_say_which_row_it_is() {
        let whole = chunk(&[(1, (1, None, "a".into())), (2, (2, None, "b".into()))]);
        let of = |rows, bytes: &[u8]| StateChunk::from_bytes(Section::Spans, rows, bytes.to_vec());
        let told = |chunk: StateChunk| chunk.divided(2).unwrap_err().to_string();
        let bytes = whole.bytes();
        assert_eq!(told(of(2, &bytes[..20])), "row 1 of section spans cannot be read: the chunk ends within it");
        assert_eq!(told(of(2, &bytes[..bytes.len() / 2])), "row 1 of section spans cannot be read: there is none");
        assert_eq!(told(of(1, bytes)), "row 1 of section spans cannot be read: there should be none");
        let mut longer = StateChunk::new(Section::Spans);
        longer.push(0, &(7_u8, 8_u8));
        let read: Vec<_> = longer.decoded::<u8>().map(|row| row.unwrap_err().to_string()).collect();
        assert_eq!(read, ["row 0 of section spans cannot be read: it goes on after its end"]);
    }

    #[test]
    fn a_chunk_is_full_of_many_rows_or_of_large_ones() {
        let fill = |row: &str| {
            let mut chunk = StateChunk::new(Section::Signals);
            while !chunk.is_full() {
                chunk.push(0, &row);
            }
            chunk.rows()
        };
        assert_eq!(fill("a"), FULL_ROWS);
        assert_eq!(fill(&"a".repeat(FULL_BYTES / 2)), 2);
    }

    /// Its length is not known beforehand, and the format has it in front.
    struct Unwritable;

    impl Serialize for Unwritable {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq([1, 2].into_iter().filter(|n| *n > 1))
        }
    }

    #[test]
    fn a_row_that_cannot_be_written_is_counted_and_spoils_its_chunk() {
        let mut chunk = chunk(&[(0, (1, None, String::new()))]);
        chunk.push(0, &Unwritable);
        assert_eq!((chunk.rows(), chunk.unwritable()), (1, 1));
        assert!(chunk.divided(1).is_err());
    }
}
