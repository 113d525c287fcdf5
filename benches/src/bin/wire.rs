//! Throughput beside a real broker: Faultline, what its bytes cost by themselves, and what the usual libraries would do.
//! docs/BENCHMARKS.md says what each contestant is and how the figures are made.

use std::{error::Error, io::Write as _, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use faultline_benches::{
    orders,
    wire::{
        child::{Child, Work},
        contestant::Contestant,
        machine, report,
        service::{self, Settings},
        session::{Session, SessionOptions, progress},
    },
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Throughput of Faultline and of yardsticks beside a real broker.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    internal: Option<Internal>,
    #[command(flatten)]
    session: SessionArguments,
}

#[derive(Subcommand)]
enum Internal {
    /// One contestant, in the process that the harness has started for it.
    #[command(hide = true)]
    Contestant(Child),
}

#[derive(Args)]
struct SessionArguments {
    /// Records that each contestant has before it.
    #[arg(long, default_value_t = 2_000_000)]
    records: u64,
    /// How often each contestant runs.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The program to measure [default: the one beside this program].
    #[arg(long)]
    faultline: Option<PathBuf>,
    /// Numbers of worker threads to measure it with.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    workers: Vec<usize>,
    /// Only contestants whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    #[command(flatten)]
    settings: Settings,
    /// Where the table is written to, besides standard output.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl SessionArguments {
    fn contestants(&self) -> Vec<Contestant> {
        let child = |work, compression| Contestant::Child { work, compression };
        let mut all = vec![
            child(Work::Consume, "none"),
            child(Work::Passthrough, "none"),
            child(Work::Passthrough, "lz4"),
            child(Work::PlainLoop, "none"),
        ];
        for ranges in [false, true] {
            all.extend(self.workers.iter().map(|&workers| Contestant::Faultline { workers, ranges }));
        }
        let wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()));
        all.retain(|contestant| wanted(&contestant.to_string()));
        all
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { internal, session } = Arguments::parse();
    if let Some(Internal::Contestant(child)) = internal {
        return Ok(child.run()?);
    }
    let program = service::program(session.faultline.as_deref())?;
    let catalog = PathBuf::from(orders::CATALOG).canonicalize()?;
    progress(&format!("publishing {} records", session.records));
    let running = Session::start(SessionOptions {
        records: session.records,
        rounds: session.rounds,
        program: program.clone(),
        catalog,
        contestants: session.contestants(),
        settings: session.settings.clone(),
    })?;
    let results = running.run(|round, contestant, run| {
        progress(&format!(
            "round {}: {contestant}: {:.0}k records/s, {:.2} CPU s per million, {:.0} MB",
            round + 1,
            run.marks.steady_rate() / 1e3,
            run.seconds_per_million,
            run.peak_resident as f64 / 1e6
        ));
    })?;
    let table = report::markdown(session.records, &results, &machine::description(&program));
    if let Some(out) = &session.out {
        std::fs::write(out, &table)?;
    }
    write!(std::io::stdout(), "{table}")?;
    Ok(())
}
