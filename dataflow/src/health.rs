//! What the service depends on, and whether it answers.
//!
//! Each part that talks to a dependency has a [`Reporter`] of its own: a dependency is up while all its reporters say so,
//! so that one worker whose consumer is well does not hide another whose consumer is not.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{family::Family, gauge::Gauge},
};

/// What the service depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
pub enum Dependency {
    /// The catalog's directory or topic.
    Catalog,
    /// DynamoDB.
    DynamoDb,
    /// The Gremlin server.
    Graph,
    /// Writing to Kafka.
    KafkaSink,
    /// Reading from Kafka.
    KafkaSource,
    /// The schema registries.
    Registry,
    /// The folder of snapshots.
    Snapshots,
    /// The embedded store.
    Store,
    /// Receivers of incidents over HTTP.
    Webhook,
}

impl Dependency {
    /// The name in `GetStatus`, in probes and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::DynamoDb => "dynamodb",
            Self::Graph => "graph",
            Self::KafkaSink => "kafka_sink",
            Self::KafkaSource => "kafka_source",
            Self::Registry => "registry",
            Self::Snapshots => "snapshots",
            Self::Store => "store",
            Self::Webhook => "webhook",
        }
    }
}

/// The label of a dependency.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DependencyLabel {
    dependency: Dependency,
}

/// How a dependency is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyState {
    /// Which.
    pub dependency: Dependency,
    /// What is wrong; `None` while it is up.
    pub trouble: Option<String>,
}

/// The health of a process.
#[derive(Debug, Default)]
pub struct Health {
    /// What each reporter says last, by dependency.
    reports: Mutex<BTreeMap<Dependency, Vec<Option<String>>>>,
    /// 1 up, 0 degraded.
    up: Family<DependencyLabel, Gauge>,
}

const UNTOLD: u8 = 0;
const UP: u8 = 1;
const DEGRADED: u8 = 2;

/// One part's word on a dependency. To repeat what was said before costs one atomic read.
#[derive(Debug)]
pub struct Reporter {
    health: Arc<Health>,
    dependency: Dependency,
    place: usize,
    said: AtomicU8,
}

impl Health {
    /// A further part that tells of a dependency. Until it does, it has nothing against it.
    #[must_use]
    pub fn reporter(self: &Arc<Self>, dependency: Dependency) -> Reporter {
        let mut reports = self.lock();
        let reporters = reports.entry(dependency).or_default();
        reporters.push(None);
        let place = reporters.len() - 1;
        drop(reports);
        Reporter { health: Arc::clone(self), dependency, place, said: AtomicU8::new(UNTOLD) }
    }

    /// All dependencies that this process has.
    #[must_use]
    pub fn states(&self) -> Vec<DependencyState> {
        let state = |(&dependency, reports): (&Dependency, &Vec<Option<String>>)| DependencyState {
            dependency,
            trouble: reports.iter().flatten().next().cloned(),
        };
        self.lock().iter().map(state).collect()
    }

    /// The gauge by dependency, to be registered.
    pub(crate) fn gauge(&self) -> Family<DependencyLabel, Gauge> {
        self.up.clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Dependency, Vec<Option<String>>>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, dependency: Dependency, place: usize, trouble: Option<String>) {
        let mut reports = self.lock();
        let Some(reporters) = reports.get_mut(&dependency) else { return };
        if let Some(report) = reporters.get_mut(place) {
            *report = trouble;
        }
        let up = reporters.iter().all(Option::is_none);
        self.up.get_or_create(&DependencyLabel { dependency }).set(i64::from(up));
    }
}

impl Reporter {
    /// It answers.
    pub fn up(&self) {
        if self.said.load(Ordering::Relaxed) == UP {
            return;
        }
        if self.said.swap(UP, Ordering::Relaxed) == DEGRADED {
            tracing::info!(dependency = self.dependency.as_str(), "up again");
        }
        self.health.tell(self.dependency, self.place, None);
    }

    /// It does not answer as it should; `trouble` says why, and what to do. The first time it is logged.
    pub fn degraded(&self, trouble: &dyn Display) {
        let trouble = trouble.to_string();
        if self.said.swap(DEGRADED, Ordering::Relaxed) != DEGRADED {
            tracing::warn!(dependency = self.dependency.as_str(), trouble, "degraded");
        }
        self.health.tell(self.dependency, self.place, Some(trouble));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(health: &Health) -> Vec<(Dependency, Option<String>)> {
        health.states().into_iter().map(|state| (state.dependency, state.trouble)).collect()
    }

    #[test]
    fn a_dependency_is_up_while_all_who_use_it_say_so() {
        let health = Arc::<Health>::default();
        assert_eq!(trouble(&health), []);
        let (first, second) = (health.reporter(Dependency::KafkaSource), health.reporter(Dependency::KafkaSource));
        first.up();
        second.degraded(&"no broker");
        first.up();
        assert_eq!(trouble(&health), [(Dependency::KafkaSource, Some("no broker".to_owned()))]);
        let gauge = |dependency| health.gauge().get_or_create(&DependencyLabel { dependency }).get();
        assert_eq!(gauge(Dependency::KafkaSource), 0);
        second.degraded(&"still none");
        assert_eq!(trouble(&health), [(Dependency::KafkaSource, Some("still none".to_owned()))]);
        second.up();
        assert_eq!(trouble(&health), [(Dependency::KafkaSource, None)]);
        assert_eq!(gauge(Dependency::KafkaSource), 1);
    }
}
