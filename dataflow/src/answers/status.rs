//! How the service itself is doing.

use std::{collections::BTreeMap, time::Duration};

use faultline_proto::v1;

use super::{as_of, timestamp};
use crate::{
    catalog::CatalogState,
    health::{DependencyState, Health},
    metrics::{Metrics, PartitionLabel},
    view::View,
};

/// What the process knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Process {
    /// Worker threads, of all processes.
    pub workers: usize,
    /// How long it has been running.
    pub uptime: Duration,
}

/// The status.
#[must_use]
pub fn get(view: &View, catalog: &CatalogState, metrics: &Metrics, process: &Process) -> v1::GetStatusResponse {
    let Process { workers, uptime } = process;
    v1::GetStatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        workers: u32::try_from(*workers).unwrap_or(u32::MAX),
        uptime: prost_types::Duration::try_from(*uptime).ok(),
        partitions: partitions(view, metrics),
        dependencies: dependencies(&metrics.health),
        counters: counters(&metrics.text()),
        catalog: Some(catalog_status(catalog)),
        as_of: Some(as_of(view)),
    }
}

fn catalog_status(state: &CatalogState) -> v1::CatalogStatus {
    let CatalogState { catalog, since, problems, held, source } = state;
    v1::CatalogStatus {
        version: format!("{:016x}", catalog.version()),
        datasets: u32::try_from(catalog.datasets().len()).unwrap_or(u32::MAX),
        problems: problems.clone(),
        since: since.map(timestamp),
        held: u32::try_from(*held).unwrap_or(u32::MAX),
        source: source.clone(),
    }
}

fn partitions(view: &View, metrics: &Metrics) -> Vec<v1::PartitionProgress> {
    let progress = |(at, &offset): (&faultline_contracts::record::TopicPartition, &i64)| {
        let label = PartitionLabel { topic: at.topic.to_string(), partition: at.partition };
        let lag = metrics.lag.get(&label).and_then(|lag| u64::try_from(lag.get()).ok());
        let next = offset.max(-1).saturating_add(1);
        v1::PartitionProgress {
            topic: label.topic,
            partition: at.partition,
            offset: (offset >= 0).then_some(offset),
            high_watermark: lag.and_then(|lag| next.checked_add_unsigned(lag)),
            lag,
        }
    };
    view.offsets.iter().map(progress).collect()
}

fn dependencies(health: &Health) -> Vec<v1::Dependency> {
    let dependency = |DependencyState { dependency, trouble }| {
        let state = if trouble.is_none() { v1::dependency::State::Up } else { v1::dependency::State::Degraded };
        let name = dependency.as_str().to_owned();
        v1::Dependency { name, state: state.into(), message: trouble.unwrap_or_default() }
    };
    health.states().into_iter().map(dependency).collect()
}

/// The counters of Prometheus text, summed over their labels.
fn counters(text: &str) -> BTreeMap<String, u64> {
    let mut counters = BTreeMap::<String, u64>::new();
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let name = sample.split(['{', ' ']).next().unwrap_or_default();
        let value = sample.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok());
        if let (true, Some(value)) = (name.ends_with("_total"), value) {
            let sum = counters.entry(name.to_owned()).or_default();
            *sum = sum.saturating_add(value);
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use faultline_contracts::time::UnixMillis;

    use super::*;
    use crate::{answers::fixture, health::Dependency};

    #[test]
    fn progress_lag_dependencies_and_counters() {
        let (view, metrics) = (fixture::view(), Metrics::new());
        let catalog = CatalogState {
            catalog: std::sync::Arc::new(fixture::catalog()),
            since: Some(UnixMillis(1_500)),
            problems: vec!["a problem".to_owned()],
            held: 1,
            source: "contracts".to_owned(),
        };
        metrics.lag.get_or_create(&PartitionLabel { topic: "raw.orders.events".into(), partition: 4 }).set(10);
        metrics.health.reporter(Dependency::Store).degraded(&"disk full");
        assert_eq!(metrics.intake.rejected("a"), 1);
        assert_eq!(metrics.intake.rejected("b"), 1);
        let process = Process { workers: 2, uptime: Duration::from_millis(1_500) };
        let status = get(&view, &catalog, &metrics, &process);
        let read = &status.partitions[0];
        assert_eq!(
            (read.offset, read.high_watermark, read.lag),
            (Some(fixture::OFFSET), Some(fixture::OFFSET + 11), Some(10))
        );
        assert_eq!((status.partitions[1].offset, status.partitions[1].lag), (None, None));
        assert_eq!(status.dependencies.len(), 1);
        assert_eq!(status.dependencies[0].state(), v1::dependency::State::Degraded);
        assert_eq!(status.dependencies[0].message, "disk full");
        assert_eq!(status.counters["faultline_rejected_total"], 2, "summed over labels");
        let catalog = status.catalog.unwrap();
        assert_eq!((catalog.datasets, catalog.problems.len(), catalog.version.len()), (2, 1, 16));
        assert_eq!(
            (catalog.held, catalog.source.as_str(), catalog.since.unwrap().nanos),
            (1, "contracts", 500_000_000)
        );
    }
}
