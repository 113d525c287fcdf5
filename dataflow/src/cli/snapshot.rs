//! `faultline snapshot`: what a restart would resume from.

use std::path::PathBuf;

use clap::Subcommand;
use faultline_contracts::time::UnixMillis;
use faultline_operators::positions::positions_of;

use super::{Exit, Failure, replay::configured};
use crate::{
    client::table::table,
    snapshot::{Entry, Folder, Snapshot, SnapshotError},
};

/// Looks at snapshots.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// The configuration, which says where snapshots are.
    #[arg(long, global = true, conflicts_with = "dir")]
    config: Option<PathBuf>,
    /// The folder of snapshots.
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List them, newest first.
    Ls,
    /// Show one, the newest if none is named: its sections and the positions that reading goes on from.
    Inspect {
        /// Its epoch.
        epoch: Option<u64>,
    },
    /// Check every byte of all of them.
    Verify,
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        let exit = match &error {
            SnapshotError::File { .. } | SnapshotError::Format { .. } | SnapshotError::Settings { .. } => Exit::Usage,
            SnapshotError::Damaged { .. } | SnapshotError::Row(_) => Exit::Problems,
            SnapshotError::Thread(_) => Exit::Internal,
        };
        Self::new(exit, &error)
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let dir = match (&args.dir, &args.config) {
        (Some(dir), _) => dir.clone(),
        (None, Some(_)) => configured(args.config.as_ref(), None, None)?
            .snapshot_dir()
            .ok_or_else(|| Failure::usage("the configuration names no folder: set `snapshots.dir` or `data_dir`"))?,
        (None, None) => return Err(Failure::usage("say where snapshots are: --dir, or --config")),
    };
    let folder = Folder::new(dir, usize::MAX);
    let entries = folder.entries()?;
    match args.command {
        Command::Ls => list(&folder, &entries),
        Command::Inspect { epoch } => {
            let entry = entries.iter().find(|entry| epoch.is_none_or(|epoch| entry.epoch == epoch));
            let entry =
                entry.ok_or_else(|| Failure::usage(format!("no such snapshot in {}", folder.dir().display())))?;
            inspect(&folder.read(entry)?)
        }
        Command::Verify => Ok(verify(&folder, &entries)),
    }
}

fn time(epoch: u64) -> String {
    UnixMillis(i64::try_from(epoch).unwrap_or(i64::MAX)).to_string()
}

fn list(folder: &Folder, entries: &[Entry]) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    let rows = entries.iter().map(|entry| {
        let (epoch, time, bytes) = (entry.epoch.to_string(), time(entry.epoch), entry.bytes.to_string());
        match folder.header(entry) {
            Ok(header) => {
                let rows: u64 = header.sections.iter().map(|section| section.rows).sum();
                [epoch, time, bytes, rows.to_string(), header.workers.to_string(), header.catalog, "ok".to_owned()]
            }
            Err(error) => {
                exit = Exit::Problems;
                [epoch, time, bytes, String::new(), String::new(), String::new(), error.to_string()]
            }
        }
    });
    println!("{}", table(["EPOCH", "TIME", "BYTES", "ROWS", "WORKERS", "CATALOG", "HEADER"], rows));
    Ok(exit)
}

fn inspect(snapshot: &Snapshot) -> Result<Exit, Failure> {
    let header = &snapshot.header;
    println!("epoch    {} ({})", header.epoch, time(header.epoch));
    println!("format   {}, by faultline {}", header.format, header.program);
    println!("workers  {}", header.workers);
    println!("catalog  {}", header.catalog);
    println!("settings {}", header.windows);
    let sections = header.sections.iter().map(|section| {
        let (rows, bytes) = (section.rows.to_string(), section.bytes.to_string());
        [section.name.as_str().to_owned(), rows, bytes, section.xxh3.clone()]
    });
    println!("\n{}", table(["SECTION", "ROWS", "BYTES", "XXH3"], sections));
    let positions = positions_of(&snapshot.chunks).map_err(SnapshotError::from)?;
    let positions = positions.into_iter().map(|(at, position)| {
        let id = position.topic_id.as_deref().unwrap_or_default().to_owned();
        [at.topic.to_string(), at.partition.to_string(), position.next.to_string(), id]
    });
    println!("\n{}", table(["TOPIC", "PARTITION", "NEXT", "TOPIC ID"], positions));
    Ok(Exit::Fine)
}

fn verify(folder: &Folder, entries: &[Entry]) -> Exit {
    let mut exit = Exit::Fine;
    for entry in entries {
        let checked = folder.read(entry).and_then(|snapshot| {
            for chunk in &snapshot.chunks {
                chunk.divided(1)?;
            }
            positions_of(&snapshot.chunks)?;
            Ok(())
        });
        match checked {
            Ok(()) => println!("{}: ok", entry.path.display()),
            Err(error) => {
                exit = Exit::Problems;
                println!("{}: {error}", entry.path.display());
            }
        }
    }
    exit
}
