//! What is printed: percentiles of what was timed, beside the machine and the command line.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use faultline_benches::machine::{kibibytes, load, processor};
pub use faultline_benches::times::Times;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// A file of `/proc` or the standard output.
    #[error("input or output failed: {0}")]
    Io(#[from] io::Error),
    /// Sizes for which there is nothing to measure.
    #[error("{0}")]
    Sizes(String),
    /// The operator's answer is not what was expected: its times mean nothing.
    #[error("wrong answer: {0}")]
    Wrong(String),
}

/// A table, and remarks under it.
pub struct Report {
    title: String,
    rows: Vec<[String; 6]>,
    remarks: Vec<String>,
}

impl Report {
    /// An empty one.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new(), remarks: Vec::new() }
    }

    /// Adds what was timed.
    pub fn row(&mut self, what: impl Into<String>, times: &Times, remark: impl Into<String>) {
        let micros = |time: Duration| {
            let micros = time.as_nanos() as f64 / 1_000.0;
            if micros < 100.0 { format!("{micros:.1}") } else { format!("{micros:.0}") }
        };
        self.rows.push([
            what.into(),
            times.count().to_string(),
            micros(times.quantile(0.5)),
            micros(times.quantile(0.99)),
            micros(times.longest()),
            remark.into(),
        ]);
    }

    /// Adds a line of text.
    pub fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// Writes it to the standard output.
    ///
    /// # Errors
    /// Nobody reads the output.
    pub fn print(&self) -> Result<(), MeasureError> {
        let command: Vec<String> = std::env::args().skip(1).collect();
        let mut out = io::stdout().lock();
        writeln!(out, "### {}\n\n{}, load {}, `scale {}`\n", self.title, processor(), load(), command.join(" "))?;
        writeln!(out, "| what | times | p50 µs | p99 µs | max µs | |\n|---|---|---|---|---|---|")?;
        for row in &self.rows {
            writeln!(out, "| {} |", row.join(" | "))?;
        }
        writeln!(out)?;
        for remark in &self.remarks {
            writeln!(out, "- {remark}")?;
        }
        Ok(())
    }
}

/// The process's resident memory in MB.
///
/// # Errors
/// `/proc` cannot be read.
pub fn resident_mb() -> Result<u64, MeasureError> {
    let resident = kibibytes("/proc/self/status", "VmRSS");
    resident.map(|kib| kib / 1024).ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status").into())
}
