//! Correlation in time: a new incident until the latest deployments before it are found.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use differential_dataflow::input::InputSession;
use faultline_benches::{deployments::Origin, worker::worker};
use faultline_operators::{
    correlation::{LookBack, Onset, latest_changes},
    deployments::DeploymentInForce,
};
use timely::{dataflow::ProbeHandle, worker::Worker};

use crate::report::{MeasureError, Report, Times, resident_mb};

/// How much there is.
#[derive(Debug, clap::Args)]
pub struct Sizes {
    /// Deployments.
    #[arg(long, default_value_t = 1_000_000)]
    deployments: u64,
    /// Services; the likelihood of each is inverse to its rank.
    #[arg(long, default_value_t = 10_000)]
    services: u64,
    /// Days over which the deployments are spread evenly.
    #[arg(long, default_value_t = 90)]
    days: u64,
    /// Look-back in hours.
    #[arg(long, default_value_t = 24)]
    look_back_hours: u32,
    /// Incidents that are open already.
    #[arg(long, default_value_t = 1_000)]
    open: u64,
    /// New incidents that are measured, one after the other.
    #[arg(long, default_value_t = 5_000)]
    incidents: u64,
}

/// The operator under a worker.
struct Stage {
    worker: Worker,
    deployments: InputSession<u64, DeploymentInForce, isize>,
    onsets: InputSession<u64, Onset, isize>,
    probe: ProbeHandle<u64>,
    /// Candidates of all incidents that are open.
    candidates: Rc<Cell<isize>>,
    epoch: u64,
}

impl Stage {
    fn new(look_back: LookBack) -> Self {
        let (mut worker, mut deployments, mut onsets) = (worker(), InputSession::new(), InputSession::new());
        let candidates = Rc::new(Cell::new(0));
        let counted = Rc::clone(&candidates);
        let probe = worker.dataflow(|scope| {
            let (onsets, deployments) = (onsets.to_collection(scope), deployments.to_collection(scope));
            let found = latest_changes(onsets, deployments, look_back);
            found.inspect(move |(_, _, diff)| counted.set(counted.get() + diff)).probe().0
        });
        Self { worker, deployments, onsets, probe, candidates, epoch: 0 }
    }

    /// Closes an epoch and waits for its candidates.
    fn close(&mut self) -> Duration {
        let began = Instant::now();
        self.epoch += 1;
        self.onsets.advance_to(self.epoch);
        self.onsets.flush();
        self.deployments.advance_to(self.epoch);
        self.deployments.flush();
        let (probe, epoch) = (&self.probe, self.epoch);
        self.worker.step_while(|| probe.less_than(&epoch));
        began.elapsed()
    }
}

/// Measures it.
///
/// # Errors
/// Closing incidents does not take back what opening them found.
pub fn measure(sizes: &Sizes) -> Result<Report, MeasureError> {
    let Sizes { deployments, services, days, look_back_hours, open, incidents } = sizes;
    let mut report = Report::new(format!(
        "Correlation: {deployments} deployments, {services} services (Zipf), {days} days, {look_back_hours} h look-back, 1 worker"
    ));
    let look_back = LookBack { look_back_ms: i64::from(*look_back_hours) * 3_600_000, ..LookBack::default() };
    let span_ms = days * 86_400_000;
    let mut origin = Origin::new(*services, span_ms);
    let before = resident_mb()?;
    let mut stage = Stage::new(look_back);
    for number in 0..*deployments {
        let deployment = origin.deployment(number);
        stage.deployments.insert(deployment);
    }
    for _ in 0..*open {
        let onset = origin.onset(false);
        stage.onsets.insert(onset);
    }
    let loaded = stage.close();
    let memory = resident_mb()?.saturating_sub(before);
    report.remark(format!("loaded in {loaded:.1?}, {memory} MB; {open} incidents are open all the time"));

    let standing = stage.candidates.get();
    for (what, hottest) in [("new incident", false), ("new incident of the hottest service", true)] {
        let (mut times, mut found) = (Times::default(), 0);
        for _ in 0..*incidents {
            let onset = origin.onset(hottest);
            stage.onsets.insert(onset.clone());
            times.record(stage.close());
            found += stage.candidates.get() - standing;
            stage.onsets.remove(onset);
            stage.close();
            if stage.candidates.get() != standing {
                return Err(MeasureError::Wrong("a closed incident still has candidates".to_owned()));
            }
        }
        let mean = found as f64 / (*incidents).max(1) as f64;
        report.row(what, &times, format!("{mean:.2} candidates on average"));
    }
    Ok(report)
}
