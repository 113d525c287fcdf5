//! Latency beside a real broker, from when a record was due to its evidence, at fixed rates. docs/BENCHMARKS.md says how.

use std::{error::Error, io::Write as _, path::PathBuf, time::Duration};

use clap::Parser;
use faultline_benches::{
    orders,
    wire::{
        latency::{self, LatencyOptions},
        machine,
        service::{self, Settings},
        session::progress,
    },
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Latency of Faultline at fixed rates beside a real broker.
#[derive(Parser)]
struct Arguments {
    /// Records a second; several are measured one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000])]
    rate: Vec<u64>,
    /// How long each rate is measured, in seconds.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// How long each rate is kept up before that, in seconds.
    #[arg(long, default_value_t = 5)]
    warm_up: u64,
    /// The program to measure [default: the one beside this program].
    #[arg(long)]
    faultline: Option<PathBuf>,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// The generator's `linger.ms`.
    #[arg(long, default_value_t = 1)]
    linger_ms: u64,
    /// The measuring consumer's `fetch.wait.max.ms`: evidence may wait so long for more.
    #[arg(long, default_value_t = 5)]
    fetch_wait_ms: u64,
    /// The measuring consumer's `fetch.min.bytes`.
    #[arg(long, default_value_t = 16_384)]
    fetch_bytes: u64,
    #[command(flatten)]
    settings: Settings,
    /// Where the table is written to, besides standard output.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let options = LatencyOptions {
        program: service::program(arguments.faultline.as_deref())?,
        catalog: PathBuf::from(orders::CATALOG).canonicalize()?,
        workers: arguments.workers,
        rates: arguments.rate,
        lengths: [arguments.warm_up, arguments.seconds].map(Duration::from_secs),
        linger_ms: arguments.linger_ms,
        fetch_wait_ms: arguments.fetch_wait_ms,
        fetch_bytes: arguments.fetch_bytes,
        settings: arguments.settings,
    };
    let all = latency::measure(&options, |latencies| {
        let at = |quantile| latencies.histogram.value_at_quantile(quantile) as f64 / 1e3;
        progress(&format!("{} records/s: p50 {:.1} ms, p99 {:.1} ms", latencies.rate, at(0.5), at(0.99)));
    })?;
    let table = latency::markdown(&options, &all, &machine::description(&options.program));
    if let Some(out) = &arguments.out {
        std::fs::write(out, &table)?;
    }
    write!(std::io::stdout(), "{table}")?;
    Ok(())
}
