//! Gauges of the catalog.

use std::sync::atomic::AtomicI64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: String,
}

/// The catalog in force, and what is wrong with its files.
#[derive(Debug, Default)]
pub struct CatalogMetrics {
    problems: Gauge<i64, AtomicI64>,
    held: Gauge<i64, AtomicI64>,
    epoch: Gauge<i64, AtomicI64>,
    switches: Counter,
    info: Family<VersionLabel, Gauge>,
}

impl CatalogMetrics {
    /// Registers all of them.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let Self { problems, held, epoch, switches, info } = self;
        registry.register("catalog_problems", "Problems of the catalog's files", problems.clone());
        let help = "Problems that keep a change of the catalog's files out of force";
        registry.register("catalog_held", help, held.clone());
        let help = "The epoch since which the catalog is in force, 0 for that of the start";
        registry.register("catalog_epoch_milliseconds", help, epoch.clone());
        registry.register("catalog_switches", "How often another catalog came into force", switches.clone());
        registry.register("catalog_info", "1 for the version of the catalog in force", info.clone());
    }

    /// Notes the version of the catalog of the start.
    pub(super) fn started(&self, version: u64) {
        self.info.clear();
        self.info.get_or_create(&VersionLabel { version: format!("{version:016x}") }).set(1);
    }

    /// Notes the version of a catalog that comes into force after another, and its first epoch.
    pub(super) fn switched(&self, version: u64, epoch: u64) {
        self.started(version);
        self.epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
        self.switches.inc();
    }

    /// Notes how many problems there are, and how many of them hold a change back.
    pub(super) fn found(&self, problems: usize, held: usize) {
        self.problems.set(problems as i64);
        self.held.set(held as i64);
    }
}
