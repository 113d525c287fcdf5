//! `faultline check`: lints contracts, schemas and catalog.

use std::path::PathBuf;

use faultline_contracts::diagnostic::Severity;

use super::{
    Exit, Failure,
    catalog::{read, registries},
    replay::configured,
};

/// Checks a directory of contracts, schemas and catalog.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directories with a catalog.yaml.
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
    /// Leave out notes on rules that no single record can show.
    #[arg(long)]
    quiet: bool,
    /// The configuration, in whose registries the schemas that the catalog names are looked up. Without it, they are looked
    /// for in the directories alone.
    #[arg(long)]
    config: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let (mut errors, mut warnings) = (0, 0);
    let registries = match &args.config {
        Some(_) => registries(&configured(args.config.as_ref(), None, None)?)?,
        None => None,
    };
    for dir in &args.dirs {
        for diagnostic in read(dir, registries.as_ref())?.findings() {
            match diagnostic.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
                Severity::Note if args.quiet => continue,
                Severity::Note => {}
            }
            println!("{diagnostic}");
        }
    }
    println!("{errors} errors, {warnings} warnings");
    Ok(if errors > 0 { Exit::Problems } else { Exit::Fine })
}
