//! The operators at the size of a large company, on one worker: how long an epoch or an answer takes, as percentiles.
//!
//! ```text
//! cargo run --release -p faultline-benches --bin scale -- windows
//! ```
//!
//! Each subcommand prints a Markdown table with the machine and the command line. Inputs come from generators with fixed
//! seeds and are made outside of what is measured. The allocator is that of the program `faultline`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod adhoc;
mod correlation;
mod pareto_dag;
mod records;
mod report;
mod snapshot;
mod standing;
mod windows;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures an operator at scale.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    operator: Operator,
}

#[derive(Debug, Subcommand)]
enum Operator {
    /// Compliance windows: updates a second, time of an epoch, and memory as windows come and go.
    Windows(windows::Sizes),
    /// Standing blast radius: an edge change until all answers are updated, and searching all of them anew.
    Standing(standing::Sizes),
    /// Blast radius of a new root by search, by how much it reaches.
    Adhoc(adhoc::Sizes),
    /// Snapshots: a cut of many windows, its file, and going on from it with other numbers of workers.
    Snapshot(snapshot::Sizes),
    /// A new incident until its service's latest deployments are found.
    Correlation(correlation::Sizes),
}

fn main() -> ExitCode {
    let measured = match Arguments::parse().operator {
        Operator::Windows(sizes) => windows::measure(&sizes),
        Operator::Standing(sizes) => standing::measure(&sizes),
        Operator::Adhoc(sizes) => adhoc::measure(&sizes),
        Operator::Snapshot(sizes) => snapshot::measure(&sizes),
        Operator::Correlation(sizes) => correlation::measure(&sizes),
    };
    match measured.and_then(|report| report.print()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr)]
fn tell(error: &report::MeasureError) {
    eprintln!("error: {error}");
}
