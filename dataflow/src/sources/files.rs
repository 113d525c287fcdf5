//! Files of kcat envelopes, followed as they grow: the embedded source of `faultline run`.
//!
//! Files belong to workers in turn. A line counts once it ends; a file that shrinks was replaced and is read from its start.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::PathBuf,
};

use faultline_contracts::{record::RecordCoordinates, time::UnixMillis};
use faultline_operators::decode::kcat;

use super::{ControlRecord, Intake, TopicRole, hold_back};
use crate::config::Topics;

/// One followed file.
#[derive(Debug)]
struct Followed {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    position: u64,
    partial: Vec<u8>,
}

/// One worker's files.
#[derive(Debug)]
pub struct FileSource {
    files: Vec<Followed>,
    topics: Topics,
    future_ms: i64,
    longest_line: usize,
}

impl FileSource {
    /// The files of worker `worker` of `workers`. A line longer than `longest_line` bytes is rejected.
    #[must_use]
    pub fn new(
        files: &[PathBuf],
        worker: usize,
        workers: usize,
        topics: &Topics,
        future_ms: i64,
        longest_line: usize,
    ) -> Self {
        let files = files.iter().skip(worker).step_by(workers.max(1)).map(|path| Followed {
            path: path.clone(),
            reader: None,
            position: 0,
            partial: Vec::new(),
        });
        Self { files: files.collect(), topics: topics.clone(), future_ms, longest_line }
    }

    /// Hands over at most `budget` records that are there now, and says how many.
    pub fn poll(&mut self, budget: usize, now: UnixMillis, intake: &mut impl Intake) -> usize {
        let mut taken = 0;
        for file in &mut self.files {
            while taken < budget && intake.ready() {
                match file.next_line(self.longest_line, intake) {
                    Ok(true) => {
                        take(&file.partial, &self.topics, self.future_ms, now, intake);
                        file.partial.clear();
                        taken += 1;
                    }
                    Ok(false) => break,
                    Err(error) => {
                        intake.rejected("file_read", &format_args!("{}: {error}", file.path.display()));
                        file.reader = None;
                        break;
                    }
                }
            }
        }
        taken
    }
}

impl Followed {
    /// Reads on until a line is complete in `partial`.
    fn next_line(&mut self, longest_line: usize, intake: &mut impl Intake) -> std::io::Result<bool> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let mut file = match File::open(&self.path) {
                    Ok(file) => file,
                    // It may yet come.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
                    Err(error) => return Err(error),
                };
                file.seek(SeekFrom::Start(self.position))?;
                self.reader.insert(BufReader::with_capacity(1 << 18, file))
            }
        };
        let read = reader.read_until(b'\n', &mut self.partial)?;
        self.position += read as u64;
        if read == 0 {
            if reader.get_ref().metadata()?.len() < self.position {
                (self.position, self.reader) = (0, None);
                self.partial.clear();
            }
            return Ok(false);
        }
        if self.partial.len() > longest_line {
            intake.rejected(
                "long_line",
                &format_args!("{}: a line of more than {longest_line} bytes", self.path.display()),
            );
            self.partial.clear();
            return Ok(false);
        }
        Ok(self.partial.ends_with(b"\n"))
    }
}

fn take(line: &[u8], topics: &Topics, future_ms: i64, now: UnixMillis, intake: &mut impl Intake) {
    let line = line.trim_ascii();
    if line.is_empty() {
        return;
    }
    let record = match kcat::decode(line) {
        Ok(record) => record,
        Err(error) => return intake.rejected("file_line", &error),
    };
    let head = &record.head;
    let at = RecordCoordinates { topic: &head.topic, partition: head.partition, offset: head.offset };
    match topics.role(at.topic) {
        TopicRole::Own => {}
        TopicRole::Data => {
            let (event_time, real) = hold_back(head.ts, now, future_ms);
            intake.data(&record.as_raw(), event_time, real);
        }
        role => {
            let headers = record.header_slices();
            intake.control(role, &ControlRecord { at, headers: &headers, payload: record.payload.as_deref() });
        }
    }
}
