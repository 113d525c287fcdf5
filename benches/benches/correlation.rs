//! A new incident → the latest deployments before it, over 100,000 deployments of 1,000 services.
//!
//! Services are picked by Zipf's law (the hottest has about an eighth of all deployments), times evenly over 7 days; the
//! look-back is 24 hours. One iteration opens an incident, closes the one before, and waits for the candidates.

use std::hint::black_box;

use criterion::Criterion;
use differential_dataflow::input::InputSession;
use faultline_benches::random::SplitMix64;
use faultline_contracts::{
    deployment::{Deployment, DeploymentKind},
    ids::IncidentId,
    time::UnixMillis,
};
use faultline_operators::{
    correlation::{LookBack, Onset, latest_changes},
    deployments::DeploymentInForce,
};

const DEPLOYMENTS: u64 = 100_000;
const SERVICES: u64 = 1_000;
const WEEK_MS: u64 = 7 * 86_400_000;

/// Picks a service with a likelihood inverse to its rank.
struct Zipf {
    /// Sums of `1 / rank` in millionths.
    sums: Vec<u64>,
}

impl Zipf {
    fn new(ranks: u64) -> Self {
        let mut sum = 0;
        let add = |rank| {
            sum += 1_000_000 / rank;
            sum
        };
        Self { sums: (1..=ranks).map(add).collect() }
    }

    fn pick(&self, random: &mut SplitMix64) -> usize {
        let drawn = random.below(self.sums.last().copied().unwrap_or(0));
        self.sums.partition_point(|sum| *sum <= drawn)
    }
}

fn deployment(random: &mut SplitMix64, zipf: &Zipf, number: u64) -> DeploymentInForce {
    let deployment = Deployment {
        service: format!("service-{}", zipf.pick(random)).into(),
        at: UnixMillis(random.below(WEEK_MS) as i64),
        version: format!("v{number}").into(),
        kind: DeploymentKind::Deployed,
        environment: None,
        event: format!("ci/{number}").into(),
    };
    DeploymentInForce { deployment, previous: Some("v0".into()) }
}

fn main() {
    timely::execute_directly(|worker| {
        let mut deployments = InputSession::<u64, DeploymentInForce, isize>::new();
        let mut onsets = InputSession::<u64, Onset, isize>::new();
        let probe = worker.dataflow(|scope| {
            let (onsets, deployments) = (onsets.to_collection(scope), deployments.to_collection(scope));
            let found = latest_changes(onsets, deployments, LookBack::default());
            found.inspect(|candidate| drop(black_box(candidate.clone()))).probe().0
        });
        let (mut random, zipf, mut epoch) = (SplitMix64(7), Zipf::new(SERVICES), 0);
        for number in 0..DEPLOYMENTS {
            deployments.insert(deployment(&mut random, &zipf, number));
        }

        let mut criterion = Criterion::default().configure_from_args();
        let mut group = criterion.benchmark_group("correlation");
        for (name, hottest) in [("new incident", false), ("new incident of the hottest service", true)] {
            let mut open: Option<Onset> = None;
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let service = if hottest { 0 } else { zipf.pick(&mut random) };
                    let onset = Onset {
                        incident: IncidentId(epoch),
                        service: format!("service-{service}").into(),
                        first_failure: UnixMillis(random.below(WEEK_MS) as i64),
                    };
                    onsets.insert(onset.clone());
                    if let Some(closed) = open.replace(onset) {
                        onsets.remove(closed);
                    }
                    epoch += 1;
                    onsets.advance_to(epoch);
                    deployments.advance_to(epoch);
                    onsets.flush();
                    deployments.flush();
                    worker.step_while(|| probe.less_than(&epoch));
                });
            });
            if let Some(closed) = open {
                onsets.remove(closed);
            }
        }
        group.finish();
        criterion.final_summary();
    });
}
