//! Who runs, and what is known of a run.

use std::fmt;

use clap::ValueEnum as _;

use super::{child::Work, marks::Marks, usage::Usage};

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// A process of the harness's own.
    Child {
        /// What it does.
        work: Work,
        /// How it compresses its output.
        compression: &'static str,
    },
    /// `faultline run`.
    Faultline {
        /// Worker threads.
        workers: usize,
        /// Whether passing records share evidence by ranges.
        ranges: bool,
    },
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Child { work, compression } => {
                let name = work.to_possible_value().map(|value| value.get_name().replace('-', " "));
                f.write_str(&name.unwrap_or_default())?;
                if compression == "none" { Ok(()) } else { write!(f, " {compression}") }
            }
            Self::Faultline { workers, ranges } => {
                write!(f, "faultline --workers {workers}{}", if ranges { ", ranges" } else { "" })
            }
        }
    }
}

/// One run's figures.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// When it was how far.
    pub marks: Marks,
    /// Processor seconds for a million records.
    pub seconds_per_million: f64,
    /// The same of the broker.
    pub broker_seconds_per_million: f64,
    /// The most memory resident, in bytes.
    pub peak_resident: u64,
    /// Mean size of an output value in bytes; 0 without an output.
    pub value_bytes: f64,
}

impl Run {
    /// From the course of a run and what was used meanwhile.
    #[must_use]
    pub fn of(marks: Marks, usage: &Usage, value_bytes: f64) -> Self {
        let (from, to) = (marks.first.at_us, marks.last.at_us);
        let millions = marks.last.records.saturating_sub(marks.first.records).max(1) as f64 / 1e6;
        Self {
            marks,
            seconds_per_million: usage.process_seconds(from, to) / millions,
            broker_seconds_per_million: usage.broker_seconds(from, to) / millions,
            peak_resident: usage.peak_resident,
            value_bytes,
        }
    }
}
