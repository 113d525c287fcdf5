//! `faultline replay`: captured files in, files out.

use std::{path::PathBuf, sync::Arc};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use super::{
    Exit, Failure,
    catalog::{loaded, registries},
};
use crate::{
    config::Config,
    registry::SchemaSource,
    replay::{ReplayJob, ReplayRunError, Replayed},
    sources::replay::Capture,
};

/// Runs captured files through the engine.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The catalog's directory. Without it, the configuration's.
    #[arg(long)]
    catalog: Option<PathBuf>,
    /// Files of kcat envelopes (`kcat -C -J`), of any of the input topics.
    #[arg(long, required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// Where to write evidence.jsonl, signals.jsonl, incidents.jsonl, explanations.jsonl, graph.jsonl and windows.jsonl.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The configuration; without it, defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Worker threads. They change how long it takes, not what comes out.
    #[arg(long)]
    workers: Option<usize>,
    /// Records between two steps of the dataflow. They change how long it takes, not what comes out.
    #[arg(long, default_value_t = 4_096)]
    batch: usize,
}

/// The configuration of a file, or defaults, with a command's own settings.
pub(super) fn configured(
    file: Option<&PathBuf>,
    catalog: Option<PathBuf>,
    workers: Option<usize>,
) -> Result<Config, Failure> {
    let mut config = match file {
        Some(path) => Config::load(path).map_err(|error| Failure::new(Exit::Usage, &error))?,
        None => Config::default(),
    };
    if let Some(catalog) = catalog {
        config.catalog = catalog;
    }
    if let Some(workers) = workers {
        config.workers = workers;
    }
    config.validate().map_err(|error| Failure::new(Exit::Usage, &error))?;
    Ok(config)
}

impl From<ReplayRunError> for Failure {
    fn from(error: ReplayRunError) -> Self {
        let exit = match &error {
            ReplayRunError::Input(_) | ReplayRunError::Output(_) => Exit::Usage,
            ReplayRunError::Engine(_) => Exit::Internal,
        };
        Self::new(exit, &error)
    }
}

pub fn run(args: Args) -> Result<Exit, Failure> {
    let Args { catalog, input, out, config, workers, batch } = args;
    let config = Arc::new(configured(config.as_ref(), catalog, workers)?);
    let registries = registries(&config)?;
    let catalog = loaded(&config.catalog, registries.as_ref())?;
    let captures = input.iter().map(|path| Capture::open(path)).collect::<Result<Vec<_>, _>>();
    let captures = captures.map_err(|error| Failure::new(Exit::Usage, &error))?;
    let size = input.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum();

    let bar = ProgressBar::new(size);
    if let Ok(style) = ProgressStyle::with_template("reading {bar:30} {bytes}/{total_bytes} {eta}") {
        bar.set_style(style);
    }
    let schemas = registries.map(|registries| registries as Arc<dyn SchemaSource>);
    let job = ReplayJob { config, catalog, schemas, captures, batch, out: out.clone() };
    let replayed = crate::replay::run(job, |bytes| {
        bar.set_position(bytes);
        if bytes >= size {
            bar.finish_and_clear();
        }
    });
    bar.finish_and_clear();
    let replayed = replayed?;
    summary(&replayed, size);
    if let Some(out) = out {
        println!("written to {}", out.display());
    }
    Ok(Exit::Fine)
}

fn summary(replayed: &Replayed, bytes: u64) {
    let index = &replayed.index;
    for fault in &index.faults {
        eprintln!("{}:{}: {}", fault.file.display(), fault.line, fault.message);
    }
    let unshown = index.faulty_lines.saturating_sub(index.faults.len() as u64);
    if unshown > 0 {
        eprintln!("… and {unshown} more lines that are no records");
    }
    println!("{} records, {}", HumanCount(index.len() as u64), HumanBytes(bytes));
    for (count, what) in [
        (index.faulty_lines, "lines are no records"),
        (index.duplicates, "records were in the input more than once"),
        (index.held_back, "records claim to be from the future and were held back"),
        (index.own, "records of Faultline's own topics were left out"),
    ] {
        if count > 0 {
            println!("{} {what}", HumanCount(count));
        }
    }
    for (name, count) in replayed.metrics.intake.totals() {
        println!("{name}: {}", HumanCount(count));
    }
    replayed.recorder.with(|record, view| {
        if view.late_records > 0 {
            println!("{} records came too late for their window", HumanCount(view.late_records));
        }
        println!("{} windows, {} incidents", record.windows.len(), record.incidents.len());
        for (_, incident) in record.incidents.values() {
            println!(
                "{}  {}  {}  {}",
                incident.id,
                incident.severity.as_str(),
                incident.status.as_str(),
                incident.title
            );
        }
    });
}
