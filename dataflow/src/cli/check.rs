//! `faultline check`: lints contracts, schemas and catalog.

use std::path::PathBuf;

use faultline_contracts::{catalog, diagnostic::Severity};

use super::{Exit, Failure};

/// Checks a directory of contracts, schemas and catalog.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directories with a catalog.yaml.
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
    /// Leave out notes on rules that no single record can show.
    #[arg(long)]
    quiet: bool,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let (mut errors, mut warnings) = (0, 0);
    for dir in &args.dirs {
        if !dir.is_dir() {
            return Err(Failure::usage(format!("{} is not a directory", dir.display())));
        }
        for diagnostic in catalog::check(dir) {
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
