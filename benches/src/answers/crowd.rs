//! Many datasets, incidents and watchers at once, at a quarter, a half and the whole of a size, so that growth shows.
//!
//! ```text
//! datasets: │ in breach, watched, still failing │ probes │ the others, passing │
//! ```
//!
//! The records' rate is the same at each size. They go to all datasets but the probes in turn; the probes lack one
//! failing record each, which comes in between: how long it takes until the incident is at its watcher is the latency.

mod breaches;
mod load;
mod watchers;

use std::time::{Duration, Instant};

use self::{
    load::{Load, Plan},
    watchers::{Tally, Watchers},
};
use super::{
    deployment_events,
    error::{AnswersError, Result},
    generated,
    rca::DEPLOYED_BEFORE_MS,
    records::window,
    surroundings::{CALM, Surroundings},
    table::{PERCENTILES, Table, millis, percentiles},
    windows,
};
use crate::{
    machine::kibibytes,
    times::Times,
    wire::{session::progress, usage::processor_seconds_during},
};

/// Parts of the size that are measured.
const PARTS: [usize; 3] = [4, 2, 1];
/// How long the crowd is watched without records.
const QUIET: Duration = Duration::from_secs(8);
/// How long the last numbers may take to be everywhere: they are refreshed every 5 s.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// How much there is.
#[derive(Debug, Clone, clap::Args)]
pub struct Sizes {
    /// Datasets.
    #[arg(long, default_value_t = 10_000)]
    datasets: usize,
    /// How many of them are in breach.
    #[arg(long, default_value_t = 1_000)]
    incidents: usize,
    /// Streams: one half of incidents, one of explanations, each of one dataset in breach.
    #[arg(long, default_value_t = 1_000)]
    watchers: usize,
    /// Streams to a channel.
    #[arg(long, default_value_t = 250)]
    streams: usize,
    /// Records a second, over all datasets.
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// How long, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many records in a row are of one dataset.
    #[arg(long, default_value_t = 5)]
    burst: usize,
    /// How long the load is kept up before that, in seconds.
    #[arg(long, default_value_t = 10)]
    warm_up: u64,
    /// New incidents a second meanwhile.
    #[arg(long, default_value_t = 4)]
    probes: u64,
}

/// One size's figures.
struct Figures {
    plan: Plan,
    /// Until the broker had its topics, and until the service was ready.
    made: [Duration; 2],
    /// Cores that service, broker and harness use while nothing comes, and under load.
    cores: [[f64; 3]; 2],
    resident_mb: u64,
    /// Records of the load, and how far behind its time one was sent, at most.
    load: (u64, Duration),
    lasted: Duration,
    tally: Tally,
    latencies: Times,
}

/// Measures it.
///
/// # Errors
/// The broker or the service fails, or an answer is wrong or does not come.
pub fn measure(surroundings: &Surroundings, sizes: &Sizes) -> Result<Table> {
    let probes = (sizes.probes * sizes.seconds) as usize;
    let columns = ["datasets", "incidents", "watchers", "topics made s", "service ready s"];
    let quiet_and_load = ["service cores, quiet", "service cores", "broker cores", "harness cores", "RSS MB"];
    let updates = ["records/s", "generator late by, most, ms", "updates/s", "update's age p50 ms", "p99"];
    let title = format!(
        "A crowd: {} records a second for {} s at each size, --workers {}. Percentiles: record due → new incident at its \
         watcher",
        sizes.rate, sizes.seconds, surroundings.workers
    );
    let columns = columns.into_iter().chain(quiet_and_load).chain(updates).chain(PERCENTILES);
    let mut table = Table::new(title, columns);
    for part in PARTS {
        let plan = Plan {
            datasets: sizes.datasets / part,
            incidents: sizes.incidents / part,
            probes,
            rate: sizes.rate,
            probe_rate: sizes.probes,
            burst: sizes.burst,
        };
        plan.validate()?;
        let figures = measure_one(surroundings, plan, sizes.watchers / part, sizes)?;
        table.row(figures.cells(sizes.watchers / part));
    }
    table.remark(
        "cores: share of a core in the stretch. An update's age: from the epoch that it is based on, which is the \
         beginning of a tick, until it was here.",
    );
    Ok(table)
}

fn measure_one(surroundings: &Surroundings, plan: Plan, watchers: usize, sizes: &Sizes) -> Result<Figures> {
    let begin = Instant::now();
    let topics: Vec<_> = (0..plan.datasets).map(generated::topic).collect();
    let kafka = surroundings.broker(&topics, 1)?;
    let topics_made = begin.elapsed();
    let (catalog, window) = (generated::catalog(plan.datasets)?, window());
    deployment_events::publish(&kafka, 0..plan.incidents + plan.probes, window.plus(-DEPLOYED_BEFORE_MS))?;
    let begin = Instant::now();
    let service = surroundings.service(&kafka, catalog.path())?;
    let made = [topics_made, begin.elapsed()];
    let address = service.grpc();
    let told = |what: &str| progress(&format!("{} datasets, {:.0?}: {what}", plan.datasets, begin.elapsed()));
    told("the service is ready");

    let mut load = Load::prime(kafka.bootstrap(), plan, window)?;
    windows::wait_for(address, load.sent())?;
    let incidents = breaches::wait_for(address, plan.incidents)?;
    told("in breach");
    let watched = Watchers::subscribe(address, &incidents, plan.probing(), (watchers, sizes.streams))?;
    told("watched");
    std::thread::sleep(CALM);

    let processes = [service.pid(), kafka.pid().unwrap_or_default(), std::process::id()];
    let (quiet, ()) = cores(processes, || {
        std::thread::sleep(QUIET);
        Ok(())
    })?;
    load.warm_up(sizes.warm_up)?;
    told("warm");
    watched.take()?;
    let (begin, sent) = (Instant::now(), load.sent());
    let (under_load, behind) = cores(processes, || load.run())?;
    let lasted = begin.elapsed();
    let records = load.sent().iter().sum::<u64>() - sent.iter().sum::<u64>();
    let resident = kibibytes(&format!("/proc/{}/status", service.pid()), "VmRSS").unwrap_or_default();
    let tally = watched.take()?;

    told("measured");
    watched.settle(&load, SETTLED_WITHIN)?;
    let mut latencies = Times::default();
    for (dataset, due) in load.due() {
        let heard = watched.heard(*dataset);
        let heard = heard.ok_or_else(|| AnswersError::Silence(format!("no incident of {dataset}")))?;
        latencies.record(heard.saturating_duration_since(*due));
    }
    windows::wait_for(address, load.sent())?;
    breaches::wait_for(address, plan.incidents + plan.probes)?;
    drop(watched);
    service.stop()?;
    let (cores, resident_mb) = ([quiet, under_load], resident >> 10);
    Ok(Figures { plan, made, cores, resident_mb, load: (records, behind), lasted, tally, latencies })
}

/// Shares of a core that processes use meanwhile.
fn cores<const N: usize, T>(processes: [u32; N], meanwhile: impl FnOnce() -> Result<T>) -> Result<([f64; N], T)> {
    let begin = Instant::now();
    let (used, done) = processor_seconds_during(processes, meanwhile)?;
    let lasted = begin.elapsed().as_secs_f64();
    Ok((used.map(|seconds| seconds / lasted), done))
}

impl Figures {
    fn cells(&self, watchers: usize) -> Vec<String> {
        let Self { plan, made, cores: [quiet, under_load], resident_mb, load, lasted, tally, latencies } = self;
        let mut cells: Vec<_> = [plan.datasets, plan.incidents, watchers].map(|count| count.to_string()).into();
        cells.extend(made.map(|took| format!("{:.1}", took.as_secs_f64())));
        cells.extend([quiet[0], under_load[0], under_load[1], under_load[2]].map(|share| format!("{share:.2}")));
        cells.push(resident_mb.to_string());
        let a_second = |count: u64| format!("{:.0}", count as f64 / lasted.as_secs_f64());
        cells.extend([a_second(load.0), millis(load.1), a_second(tally.updates)]);
        cells.extend([0.5, 0.99].map(|share| millis(tally.ages.quantile(share))));
        cells.extend(percentiles(latencies));
        cells
    }
}
