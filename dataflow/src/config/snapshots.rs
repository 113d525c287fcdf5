//! `snapshots:`: where state is kept for a restart.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

/// Where state is kept for a restart, and how often. Of Kafka alone: files are read from their beginning.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotConfig {
    /// The folder. Without it, `snapshots` in `data_dir`; without that either, no snapshots are made.
    pub dir: Option<PathBuf>,
    /// How often, in milliseconds; 0 for never. After a crash at most so much is read again, and positions are committed as
    /// often.
    pub every_ms: u64,
    /// How many are kept, the newest.
    pub keep: usize,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        Self { dir: None, every_ms: 30_000, keep: 3 }
    }
}

impl SnapshotConfig {
    /// How often; `None` for never.
    #[must_use]
    pub fn every(&self) -> Option<Duration> {
        (self.every_ms > 0).then(|| Duration::from_millis(self.every_ms))
    }
}
