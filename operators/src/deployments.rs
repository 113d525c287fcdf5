//! Deployments as an as-of view: what came into force when, and what was in force before.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use differential_dataflow::{AsCollection, VecCollection};
use faultline_contracts::deployment::{Deployment, DeploymentKind};
use serde::{Deserialize, Serialize};
use timely::dataflow::{StreamVec, operators::OkErr};
use xxhash_rust::xxh3::xxh3_64;

use crate::state::{Section, StateChunk, StatePorts, Stateful, by_closed_epoch};

/// A deployment and what it replaced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeploymentInForce {
    /// The deployment.
    pub deployment: Deployment,
    /// The version of the service that was in force before, in any environment: the latest other version since the
    /// service was last removed. `None` where no such deployment is remembered.
    pub previous: Option<Arc<str>>,
}

/// How much of a service's history is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeploymentHistory {
    /// Milliseconds behind the newest event of the service; the last event before that is held too.
    pub retention_ms: i64,
    /// The most events of one service; the oldest go first.
    pub per_service: usize,
}

impl Default for DeploymentHistory {
    fn default() -> Self {
        Self { retention_ms: 7 * 86_400_000, per_service: 1_000 }
    }
}

/// What [`deployments`] makes of the events.
pub struct Deployments<'s> {
    /// The deployments held, each once.
    pub in_force: VecCollection<'s, u64, DeploymentInForce>,
    /// How many events of one service were dropped in one epoch because it had too many.
    pub dropped: StreamVec<'s, u64, (Arc<str>, u64)>,
}

/// The deployments of every service, in the order of their time, whatever the order of arrival: an event that comes
/// late corrects its successor's `previous`. Events with the same id, and events that differ only in id or environment,
/// are one deployment: the one that sorts first.
pub fn deployments<'s>(
    events: StreamVec<'s, u64, Deployment>,
    limits: DeploymentHistory,
    state: &StatePorts<'s>,
) -> Deployments<'s> {
    let updates = by_closed_epoch(
        events,
        state,
        Section::Deployments,
        |event| route(&event.service),
        Services::default(),
        |services, epoch, out| {
            let shown = services.0.values().flat_map(|history| &history.shown);
            out.extend(shown.map(|deployment| Ok((deployment.clone(), epoch, 1))));
        },
        move |services, epoch, arrivals, out| {
            let mut arrivals = arrivals.into_iter().peekable();
            while let Some(service) = arrivals.peek().map(|event| Arc::clone(&event.service)) {
                let history = services.0.entry(Arc::clone(&service)).or_default();
                history.events.extend(std::iter::from_fn(|| arrivals.next_if(|event| event.service == service)));
                let dropped = history.trim(limits);
                if dropped > 0 {
                    out.push(Err((service, dropped)));
                }
                let now = in_force(&history.events);
                out.extend(history.shown.difference(&now).map(|gone| Ok((gone.clone(), epoch, -1))));
                out.extend(now.difference(&history.shown).map(|new| Ok((new.clone(), epoch, 1))));
                history.shown = now;
            }
        },
    );
    let (updates, dropped) = updates.ok_err(|update| update);
    Deployments { in_force: updates.as_collection(), dropped }
}

fn route(service: &str) -> u64 {
    xxh3_64(service.as_bytes())
}

#[derive(Default)]
struct Services(BTreeMap<Arc<str>, History>);

impl Stateful for Services {
    type Row = (Arc<str>, BTreeSet<Deployment>);
    type Cursor = Arc<str>;

    fn cut(&self, after: Option<Self::Cursor>, chunk: &mut StateChunk) -> Option<Self::Cursor> {
        for (service, history) in self.0.range((after.map_or(Unbounded, Excluded), Unbounded)) {
            chunk.push(route(service), &(service, &history.events));
            if chunk.is_full() {
                return Some(Arc::clone(service));
            }
        }
        None
    }

    fn restore(&mut self, (service, events): Self::Row, _: u64) {
        let shown = in_force(&events);
        self.0.insert(service, History { events, shown });
    }
}

/// One service's events as they came, and what was last made of them.
#[derive(Default)]
struct History {
    events: BTreeSet<Deployment>,
    shown: BTreeSet<DeploymentInForce>,
}

impl History {
    /// Forgets what is too old or too much; returns how many were too much.
    fn trim(&mut self, limits: DeploymentHistory) -> u64 {
        let Some(newest) = self.events.last().map(|event| event.at) else { return 0 };
        let horizon = newest.plus(limits.retention_ms.max(0).saturating_neg());
        while self.events.iter().nth(1).is_some_and(|second| second.at < horizon) {
            self.events.pop_first();
        }
        let mut dropped = 0;
        while self.events.len() > limits.per_service {
            self.events.pop_first();
            dropped += 1;
        }
        dropped
    }
}

/// Events of one service in the order of time → deployments without duplicates, each with what it replaced.
fn in_force(events: &BTreeSet<Deployment>) -> BTreeSet<DeploymentInForce> {
    let (mut ids, mut acts) = (BTreeSet::new(), BTreeSet::new());
    // The version in force, and the latest other one before it since the last removal.
    let (mut current, mut before): (Option<Arc<str>>, Option<Arc<str>>) = (None, None);
    let mut deployments = BTreeSet::new();
    for event in events {
        let act = (event.at, &event.version, event.kind);
        if ids.contains(&event.event) || acts.contains(&act) {
            continue;
        }
        ids.insert(&event.event);
        acts.insert(act);
        let removal = event.kind == DeploymentKind::Removed;
        if removal || current.as_ref() != Some(&event.version) {
            before = current.replace(Arc::clone(&event.version));
        }
        deployments.insert(DeploymentInForce { deployment: event.clone(), previous: before.clone() });
        if removal {
            (current, before) = (None, None);
        }
    }
    deployments
}
