//! A Markdown table of what was measured, and on what.

use std::{fmt::Write as _, path::Path, time::Duration};

use crate::{times::Times, wire::machine};

/// The columns of [`percentiles`].
pub const PERCENTILES: [&str; 5] = ["count", "p50 ms", "p90 ms", "p99 ms", "max ms"];

/// A table, and remarks under it.
#[derive(Debug, Clone)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    remarks: Vec<String>,
}

impl Table {
    /// An empty one.
    #[must_use]
    pub fn new<'a>(title: impl Into<String>, columns: impl IntoIterator<Item = &'a str>) -> Self {
        let columns = columns.into_iter().map(str::to_owned).collect();
        Self { title: title.into(), columns, rows: Vec::new(), remarks: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds a line of text.
    pub fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// As Markdown, with the machine that it was measured on and the command.
    #[must_use]
    pub fn markdown(&self, program: &Path) -> String {
        let mut text = format!("### {}\n\n| {} |\n", self.title, self.columns.join(" | "));
        _ = writeln!(text, "|{}", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text.push('\n');
        for line in self.remarks.iter().chain(&machine::description(program)) {
            _ = writeln!(text, "- {line}");
        }
        text
    }
}

/// How many times there were, and their percentiles.
#[must_use]
pub fn percentiles(times: &Times) -> [String; 5] {
    let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|share| millis(times.quantile(share)));
    [times.count().to_string(), p50, p90, p99, millis(times.longest())]
}

/// Milliseconds with three significant digits or more.
#[must_use]
pub fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    let decimals = if millis < 10.0 { 3 } else { 1 };
    format!("{millis:.decimals$}")
}
