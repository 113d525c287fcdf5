//! How long the running service takes to answer, beside a real broker. docs/BENCHMARKS.md says how.

use std::{error::Error, io::Write as _, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use faultline_benches::answers::{self, adhoc, crowd, idle, rca, surroundings::Surroundings, table::Table};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures answers of the running service.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    measured: Measured,
}

#[derive(Subcommand)]
enum Measured {
    /// Questions to a service that rests, and what of their time is gRPC's.
    Idle(Measurement<idle::Sizes>),
    /// From the record that tips a window to the cause, told to someone who watches.
    Rca(Measurement<rca::Sizes>),
    /// Many datasets, incidents and watchers at once, at a quarter, a half and the whole of a size.
    Crowd(Measurement<crowd::Sizes>),
    /// Ad-hoc blast radius over gRPC, and the same search in this process.
    Adhoc(Measurement<adhoc::Sizes>),
}

/// What any measurement is told.
#[derive(Args)]
struct Measurement<S: Args> {
    #[command(flatten)]
    sizes: S,
    #[command(flatten)]
    surroundings: Surroundings,
    /// Where the table is written to, besides standard output.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl<S: Args> Measurement<S> {
    fn run(self, measure: impl FnOnce(&Surroundings, &S) -> answers::Result<Table>) -> Result<(), Box<dyn Error>> {
        let Self { sizes, surroundings, out } = self;
        let program = surroundings.program()?;
        let text = measure(&surroundings, &sizes)?.markdown(&program);
        if let Some(out) = out {
            std::fs::write(out, &text)?;
        }
        write!(std::io::stdout(), "{text}")?;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().measured {
        Measured::Idle(measurement) => measurement.run(idle::measure),
        Measured::Rca(measurement) => measurement.run(rca::measure),
        Measured::Crowd(measurement) => measurement.run(crowd::measure),
        Measured::Adhoc(measurement) => measurement.run(adhoc::measure),
    }
}
