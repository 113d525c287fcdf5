//! Replays, and what they leave behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use faultline::config::Config;
use faultline::replay::{ReplayJob, ReplayRunError, Replayed, run};
use faultline::sources::replay::Capture;
use faultline_contracts::catalog::Catalog;
use serde_json::Value;
use tempfile::TempDir;

/// The files that a replay writes.
pub const FILES: [&str; 6] =
    ["evidence.jsonl", "signals.jsonl", "incidents.jsonl", "explanations.jsonl", "graph.jsonl", "windows.jsonl"];

/// Records between two steps of the dataflow, where a test does not say.
pub const BATCH: usize = 4_096;

/// Why there is no replay, or none of its files.
#[derive(Debug, thiserror::Error)]
pub enum ReplayingError {
    /// The replay failed.
    #[error(transparent)]
    Run(#[from] ReplayRunError),
    /// A file of it cannot be read or made.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// A line of it is no JSON.
    #[error("{file}:{line}: {source}")]
    Line {
        /// Which file.
        file: String,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// What to replay.
#[derive(Debug, Clone)]
pub struct Replaying {
    /// The catalog's directory.
    pub catalog: PathBuf,
    /// Captured files.
    pub inputs: Vec<PathBuf>,
    /// The configuration.
    pub config: Config,
    /// Records between two steps of the dataflow.
    pub batch: usize,
}

/// A replay that ended, and its files, which go with it.
pub struct Outputs {
    /// What the engine holds.
    pub replayed: Replayed,
    dir: TempDir,
}

impl Replaying {
    /// These files under this catalog, by one worker.
    pub fn of(catalog: impl Into<PathBuf>, inputs: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { catalog: catalog.into(), inputs: inputs.into_iter().collect(), config: Config::default(), batch: BATCH }
    }

    /// With so many workers.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.workers = workers;
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// An input cannot be read, or the replay failed.
    pub fn run(&self) -> Result<Outputs, ReplayingError> {
        let dir = tempfile::tempdir()?;
        let captures: Result<Vec<_>, _> = self.inputs.iter().map(|path| Capture::open(path)).collect();
        let job = ReplayJob {
            config: Arc::new(self.config.clone()),
            catalog: Arc::new(Catalog::load(&self.catalog).catalog),
            schemas: None,
            captures: captures.map_err(ReplayRunError::from)?,
            batch: self.batch,
            out: Some(dir.path().to_path_buf()),
        };
        Ok(Outputs { replayed: run(job, |_| {})?, dir })
    }
}

impl Outputs {
    /// The folder of the files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// All files by name.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn files(&self) -> Result<BTreeMap<&'static str, Vec<u8>>, ReplayingError> {
        FILES.into_iter().map(|file| Ok((file, fs::read(self.dir().join(file))?))).collect()
    }

    /// One file's lines.
    ///
    /// # Errors
    /// It cannot be read, or a line is no JSON.
    pub fn lines(&self, file: &str) -> Result<Vec<Value>, ReplayingError> {
        read_lines(&self.dir().join(file))
    }
}

/// A file's lines as JSON.
///
/// # Errors
/// It cannot be read, or a line is no JSON.
pub fn read_lines(path: &Path) -> Result<Vec<Value>, ReplayingError> {
    let text = fs::read_to_string(path)?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|source| ReplayingError::Line {
            file: path.display().to_string(),
            line: number + 1,
            source,
        })
    };
    text.lines().enumerate().map(parse).collect()
}
