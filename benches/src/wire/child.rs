//! Contestants that the harness brings itself. Each runs in a process of its own, which is this program again, so that
//! processor time and memory are its own.

use std::{io::Write as _, time::Duration};

use clap::ValueEnum;
use rdkafka::{Message, message::BorrowedMessage, producer::BaseRecord};
use serde::{Deserialize, Serialize};

use super::{
    clients,
    error::{Result, WireError, io},
    load::INPUT,
    marks::{Mark, Marks, now_us, tenths},
    plain_loop::PlainLoop,
    usage::INTERVAL,
};
use crate::orders::Windows;

/// What is written for each record by the contestant that looks at none.
const FIXED_VALUE: [u8; 350] = [b'x'; 350];
/// After how many records a producer is asked for news.
const POLL_EVERY: u64 = 500;

/// What a process does with each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// Nothing.
    Consume,
    /// Writes 350 bytes that are always the same.
    Passthrough,
    /// Judges it and writes evidence, as one would with the usual libraries.
    PlainLoop,
}

/// One contestant.
#[derive(Debug, Clone, clap::Args)]
pub struct Child {
    /// What it does with each record.
    #[arg(long)]
    pub work: Work,
    /// The broker.
    #[arg(long)]
    pub bootstrap: String,
    /// The topic that it writes to, if it writes.
    #[arg(long, default_value = "")]
    pub output: String,
    /// How it compresses what it writes.
    #[arg(long, default_value = "none")]
    pub compression: String,
    /// The catalog, for one that judges.
    #[arg(long, default_value = "")]
    pub catalog: std::path::PathBuf,
}

/// What a contestant says when it is done, as JSON on its standard output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// How many records it read.
    pub records: u64,
    /// When it read how many.
    pub marks: Marks,
    /// What it counted, if it judges.
    pub windows: Windows,
}

impl Child {
    /// Reads all records that the input has now, and reports.
    ///
    /// # Errors
    /// The broker fails.
    pub fn run(&self) -> Result<()> {
        let (marks, windows) = match self.work {
            Work::Consume => (read(&self.bootstrap, |_, _| Ok(()))?, Windows::new()),
            Work::Passthrough => (self.passthrough()?, Windows::new()),
            Work::PlainLoop => self.plain_loop()?,
        };
        // Long enough for the last sample of what was used.
        std::thread::sleep(2 * INTERVAL);
        let report = Report { records: marks.last.records, marks, windows };
        let report = serde_json::to_string(&report).map_err(|error| io("write a report")(error.into()))?;
        writeln!(std::io::stdout(), "{report}").map_err(io("write a report"))
    }

    fn passthrough(&self) -> Result<Marks> {
        let producer = clients::producer(&self.bootstrap, &self.compression)?;
        let marks = read(&self.bootstrap, |message, number| {
            let record = BaseRecord::to(&self.output).partition(message.partition()).payload(&FIXED_VALUE[..]);
            clients::send(&producer, record.key(b""))?;
            if number.is_multiple_of(POLL_EVERY) {
                producer.poll(Duration::ZERO);
            }
            Ok(())
        })?;
        clients::flush(&producer)?;
        Ok(marks)
    }

    fn plain_loop(&self) -> Result<(Marks, Windows)> {
        let producer = clients::producer(&self.bootstrap, &self.compression)?;
        let mut judge = PlainLoop::new(&self.catalog)?;
        let marks = read(&self.bootstrap, |message, number| {
            let evidence = judge.evidence(message);
            let record = BaseRecord::to(&self.output).partition(message.partition()).payload(evidence.as_bytes());
            clients::send(&producer, record.key(message.key().unwrap_or_default()))?;
            if number.is_multiple_of(POLL_EVERY) {
                producer.poll(Duration::ZERO);
            }
            Ok(())
        })?;
        clients::flush(&producer)?;
        Ok((marks, judge.windows()))
    }
}

/// Reads the input to its end, and takes note of the time at the marks. `each` is given the record's number, from 1.
fn read(bootstrap: &str, mut each: impl FnMut(&BorrowedMessage<'_>, u64) -> Result<()>) -> Result<Marks> {
    let length = clients::lengths(&clients::consumer(bootstrap)?, INPUT)?.iter().sum::<i64>().unsigned_abs();
    let (tenth, ninetieth) = tenths(length);
    let (mut number, mut marks) = (0, Vec::with_capacity(4));
    clients::read_whole(bootstrap, INPUT, |message| {
        number += 1;
        if number == 1 || number == tenth || number == ninetieth || number == length {
            marks.push(Mark { at_us: now_us(), records: number });
        }
        each(message, number)
    })?;
    let [first, tenth, ninetieth, last] = marks[..] else {
        let what = format!("{length} records are too few to measure");
        return Err(WireError::Wrong { contestant: INPUT.to_owned(), what });
    };
    Ok(Marks { first, tenth, ninetieth, last })
}
