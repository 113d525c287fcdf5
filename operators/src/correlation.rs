//! Correlation in time: which deployments of a service came last before something began to fail.

use std::sync::Arc;

use differential_dataflow::VecCollection;
use faultline_contracts::{deployment::Deployment, ids::IncidentId, time::UnixMillis};
use serde::{Deserialize, Serialize};

use crate::deployments::DeploymentInForce;

/// How far apart in time cause and effect may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookBack {
    /// How long before the first failure a change may lie, in milliseconds. Negative counts as 0.
    pub look_back_ms: i64,
    /// How long after the first failure a change may seem to lie, because two machines' clocks differ, in milliseconds.
    /// Negative counts as 0.
    pub skew_ms: i64,
}

impl Default for LookBack {
    fn default() -> Self {
        Self { look_back_ms: 86_400_000, skew_ms: 2_000 }
    }
}

impl LookBack {
    /// The earliest and the latest time of a change that may have caused a failure at `first_failure`.
    #[must_use]
    pub fn interval(self, first_failure: UnixMillis) -> (UnixMillis, UnixMillis) {
        (first_failure.plus(self.look_back_ms.max(0).saturating_neg()), first_failure.plus(self.skew_ms.max(0)))
    }

    /// Length of the interval, and width of the buckets: an interval then meets its own bucket and the one before it.
    fn width(self) -> i64 {
        self.look_back_ms.max(0).saturating_add(self.skew_ms.max(0)).max(1)
    }
}

/// That an incident's failures began, and a service that may have caused them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Onset {
    /// The incident.
    pub incident: IncidentId,
    /// The service.
    pub service: Arc<str>,
    /// When it began.
    pub first_failure: UnixMillis,
}

/// A deployment that may have caused an incident.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeploymentCandidate {
    /// The deployment.
    pub deployment: Deployment,
    /// The version that it replaced.
    pub previous: Option<Arc<str>>,
    /// 0 for the latest in the look-back, 1 for the one before it, 2.
    pub rank: u8,
    /// How many deployments of other versions of the service lie in the look-back.
    pub competing: u32,
}

/// How many candidates a service has at most.
pub const CANDIDATES: usize = 3;

/// What meets in one bucket of one service. Deployments sort before onsets, and among themselves by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Entry {
    Deployed(DeploymentInForce),
    Onset(UnixMillis, IncidentId),
}

/// For every onset, the latest deployments of its service inside the look-back, at most [`CANDIDATES`].
///
/// One reduce keyed by (service, time bucket as wide as the look-back): a deployment enters its bucket and the next, an
/// onset its own, so that everything an onset can reach is in one place and a change costs one bucket of one service.
pub fn latest_changes<'s>(
    onsets: VecCollection<'s, u64, Onset>,
    deployments: VecCollection<'s, u64, DeploymentInForce>,
    look_back: LookBack,
) -> VecCollection<'s, u64, (IncidentId, DeploymentCandidate)> {
    let width = look_back.width();
    let deployed = deployments.flat_map(move |entry| {
        let bucket = entry.deployment.at.0.div_euclid(width);
        let service = Arc::clone(&entry.deployment.service);
        [bucket, bucket.saturating_add(1)]
            .map(|bucket| ((Arc::clone(&service), bucket), Entry::Deployed(entry.clone())))
    });
    let begun = onsets.map(move |onset| {
        let (_, latest) = look_back.interval(onset.first_failure);
        ((onset.service, latest.0.div_euclid(width)), Entry::Onset(onset.first_failure, onset.incident))
    });
    deployed
        .concat(begun)
        .reduce_named("LatestChanges", move |_service_and_bucket, entries, output| {
            let mut history: Vec<&DeploymentInForce> = Vec::new();
            for (entry, _) in entries {
                match entry {
                    Entry::Deployed(deployment) => history.push(deployment),
                    Entry::Onset(first_failure, incident) => {
                        let found = candidates(&history, *first_failure, look_back);
                        output.extend(found.into_iter().map(|candidate| ((*incident, candidate), 1)));
                    }
                }
            }
        })
        .map(|(_, found)| found)
}

/// The candidates among one service's deployments, sorted by time, for a failure that began at `first_failure`.
fn candidates(
    history: &[&DeploymentInForce],
    first_failure: UnixMillis,
    look_back: LookBack,
) -> Vec<DeploymentCandidate> {
    let (earliest, latest) = look_back.interval(first_failure);
    let from = history.partition_point(|entry| entry.deployment.at < earliest);
    let to = history.partition_point(|entry| entry.deployment.at <= latest);
    let inside = history.get(from..to).unwrap_or_default();
    let newest_first = inside.iter().rev().take(CANDIDATES).zip(0..);
    newest_first
        .map(|(entry, rank)| {
            let other = |rival: &&&DeploymentInForce| rival.deployment.version != entry.deployment.version;
            DeploymentCandidate {
                deployment: entry.deployment.clone(),
                previous: entry.previous.clone(),
                rank,
                competing: u32::try_from(inside.iter().filter(other).count()).unwrap_or(u32::MAX),
            }
        })
        .collect()
}
