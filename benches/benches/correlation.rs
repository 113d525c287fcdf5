//! A new incident → the latest deployments before it, over 100,000 deployments of 1,000 services.
//!
//! Services are picked by Zipf's law (the hottest has about an eighth of all deployments), times evenly over 7 days; the
//! look-back is 24 hours. One iteration opens an incident, closes the one before, and waits for the candidates.

use std::hint::black_box;

use criterion::Criterion;
use differential_dataflow::input::InputSession;
use faultline_benches::deployments::Origin;
use faultline_operators::{
    correlation::{LookBack, Onset, latest_changes},
    deployments::DeploymentInForce,
};

const DEPLOYMENTS: u64 = 100_000;
const SERVICES: u64 = 1_000;
const WEEK_MS: u64 = 7 * 86_400_000;

fn main() {
    timely::execute_directly(|worker| {
        let mut deployments = InputSession::<u64, DeploymentInForce, isize>::new();
        let mut onsets = InputSession::<u64, Onset, isize>::new();
        let probe = worker.dataflow(|scope| {
            let (onsets, deployments) = (onsets.to_collection(scope), deployments.to_collection(scope));
            let found = latest_changes(onsets, deployments, LookBack::default());
            found.inspect(|candidate| drop(black_box(candidate.clone()))).probe().0
        });
        let (mut origin, mut epoch) = (Origin::new(SERVICES, WEEK_MS), 0);
        for number in 0..DEPLOYMENTS {
            deployments.insert(origin.deployment(number));
        }

        let mut criterion = Criterion::default().configure_from_args();
        let mut group = criterion.benchmark_group("correlation");
        for (name, hottest) in [("new incident", false), ("new incident of the hottest service", true)] {
            let mut open: Option<Onset> = None;
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let onset = origin.onset(hottest);
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
