//! The orders incident of 2023-10-27: release v3.17 of `orders-svc` stops filling `customer_id`, contract
//! `dc:orders.created:3` breaks in the window 09:55–10:00, and the daily aggregation carries the damage on.
//!
//! | time (UTC) | what |
//! |---|---|
//! | 10-26 14:12:03 | v3.16 is deployed |
//! | 05:00–06:21 | the night's jobs: gold table, finance snapshot, features, report |
//! | 09:45–09:55 | two healthy windows of about one order a second |
//! | 09:57:45 | v3.17 is deployed; it also drains a backlog of held orders, so traffic rises |
//! | 09:58:02.000 | first order without `customer_id`, partition 4, offset 9918273 |
//! | 09:58:02–09:58:40 | some orders still come whole, from instances of v3.16 that are being replaced |
//! | 10:00:00 | the window closes with 127 passed, 1,120 failed |
//! | 10:01:00–10:03:30 | `orders_daily_agg` reads the topic and writes the gold table |
//! | 10:04:00–10:05:10 | `finance_daily_snapshot` reads the gold table |
//!
//! Spans are a file of their own: without them the cause is found by lineage, with them by runtime traces.

pub mod deployments;
pub mod lineage;
pub mod records;
pub mod spans;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use faultline_contracts::time::{TimeError, UnixMillis};

use crate::envelope::{Envelope, read_envelopes, write_envelopes};
use crate::servers::error::{ServerError, file};
use crate::servers::install::workspace_dir;

/// Why the scenario could not be made: a constant of it is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A time is none.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// A record cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The folder of the committed scenario.
pub fn folder() -> PathBuf {
    workspace_dir().join("contracts/examples/orders")
}

/// The bytes of `input.jsonl`: orders, deployments and lineage, in time order.
pub fn input() -> Result<Vec<u8>, ScenarioError> {
    let mut envelopes = records::orders()?;
    envelopes.extend(deployments::deployments()?);
    envelopes.extend(lineage::job_runs()?);
    lines(envelopes)
}

/// The records of the committed `input.jsonl`, with the offsets that a fresh broker gives: from 0 in each partition.
pub fn capture() -> Result<Vec<Envelope>, ServerError> {
    let input = folder().join("input.jsonl");
    let mut envelopes = read_envelopes(BufReader::new(File::open(&input).map_err(file("open", &input))?))?;
    let mut next = BTreeMap::new();
    for envelope in &mut envelopes {
        let offset = next.entry((envelope.topic.clone(), envelope.partition)).or_default();
        envelope.offset = *offset;
        *offset += 1;
    }
    Ok(envelopes)
}

/// The bytes of `spans.jsonl`: what the instances of v3.17 reported about some of the failing orders.
pub fn spans() -> Result<Vec<u8>, ScenarioError> {
    lines(spans::exports(&records::orders()?)?)
}

fn lines(mut envelopes: Vec<Envelope>) -> Result<Vec<u8>, ScenarioError> {
    envelopes.sort_by_key(|envelope| envelope.ts);
    let mut bytes = Vec::new();
    write_envelopes(&mut bytes, &envelopes)?;
    Ok(bytes)
}

fn millis(text: &str) -> Result<i64, TimeError> {
    Ok(text.parse::<UnixMillis>()?.0)
}

/// Keys in order of name, whether or not some crate of the build turns on `serde_json`'s insertion order.
fn json_text(mut value: serde_json::Value) -> serde_json::Result<String> {
    value.sort_all_objects();
    serde_json::to_string(&value)
}
