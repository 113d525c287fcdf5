//! Generated deployments of services of which few have most, and incidents of the same services.

use faultline_contracts::{
    deployment::{Deployment, DeploymentKind},
    ids::IncidentId,
    time::UnixMillis,
};
use faultline_operators::{correlation::Onset, deployments::DeploymentInForce};

use crate::random::SplitMix64;

/// Picks a service with a likelihood inverse to its rank.
struct Zipf {
    /// Sums of `1 / rank` in billionths.
    sums: Vec<u64>,
}

impl Zipf {
    fn new(ranks: u64) -> Self {
        let mut sum = 0;
        let add = |rank| {
            sum += 1_000_000_000 / rank;
            sum
        };
        Self { sums: (1..=ranks).map(add).collect() }
    }

    fn pick(&self, random: &mut SplitMix64) -> usize {
        let drawn = random.below(self.sums.last().copied().unwrap_or(0));
        self.sums.partition_point(|sum| *sum <= drawn)
    }
}

/// Where deployments and incidents come from: the same ones on every run.
pub struct Origin {
    random: SplitMix64,
    zipf: Zipf,
    span_ms: u64,
    incidents: u64,
}

impl Origin {
    /// Of so many services, the likelihood of each inverse to its rank, spread evenly over so many milliseconds from 0.
    #[must_use]
    pub fn new(services: u64, span_ms: u64) -> Self {
        Self { random: SplitMix64(7), zipf: Zipf::new(services), span_ms, incidents: 0 }
    }

    fn time(&mut self) -> UnixMillis {
        UnixMillis(self.random.below(self.span_ms) as i64)
    }

    /// A deployment; `number` makes its version.
    pub fn deployment(&mut self, number: u64) -> DeploymentInForce {
        let deployment = Deployment {
            service: format!("service-{}", self.zipf.pick(&mut self.random)).into(),
            at: self.time(),
            version: format!("v{number}").into(),
            kind: DeploymentKind::Deployed,
            environment: None,
            event: format!("ci/{number}").into(),
        };
        DeploymentInForce { deployment, previous: Some("v0".into()) }
    }

    /// An incident of any service, or of the one with the most deployments.
    pub fn onset(&mut self, hottest: bool) -> Onset {
        self.incidents += 1;
        let service = if hottest { 0 } else { self.zipf.pick(&mut self.random) };
        let service = format!("service-{service}").into();
        Onset { incident: IncidentId(self.incidents), service, first_failure: self.time() }
    }
}
