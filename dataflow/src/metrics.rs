//! Counters and gauges, as Prometheus text. The per-record path counts in plain integers that are added here once a tick.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, AtomicU64},
};

use faultline_contracts::evidence::GateResult;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{catalog::CatalogMetrics, health::Health, snapshot::SnapshotMetrics, sources::TopicRole};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabel {
    store: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreOutcomeLabel {
    store: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookupLabel {
    registry: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DroppedLabel {
    kind: String,
}

/// A topic's partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabel {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// What an intake counts.
#[derive(Debug, Default)]
pub struct IntakeMetrics {
    results: Family<ResultLabel, Counter>,
    bytes: Counter,
    rejected: Family<ReasonLabel, Counter>,
    decoded: Family<KindLabel, Counter>,
    cut: Family<KindLabel, Counter>,
    drifts: Counter,
    /// Records that wait for the schemas that they carry.
    pub held: Gauge<i64, AtomicI64>,
}

/// One tick's counts of one worker.
#[derive(Debug, Default, Clone, Copy)]
pub struct RecordCounts {
    pass: u64,
    fail: u64,
    warn: u64,
    bytes: u64,
    drifts: u64,
}

impl RecordCounts {
    /// Counts one judged record. `drifts`: it carries another schema than the catalog names.
    pub fn judged(&mut self, result: GateResult, bytes: usize, drifts: bool) {
        match result {
            GateResult::Pass => self.pass += 1,
            GateResult::Fail => self.fail += 1,
            GateResult::Warn => self.warn += 1,
        }
        self.bytes += bytes as u64;
        self.drifts += u64::from(drifts);
    }
}

impl IntakeMetrics {
    /// Adds a tick's counts.
    pub fn add(&self, counts: RecordCounts) {
        let RecordCounts { pass, fail, warn, bytes, drifts } = counts;
        for (result, count) in [("PASS", pass), ("FAIL", fail), ("WARN", warn)] {
            if count > 0 {
                self.results.get_or_create(&ResultLabel { result }).inc_by(count);
            }
        }
        self.bytes.inc_by(bytes);
        self.drifts.inc_by(drifts);
    }

    /// Counts one rejected input, and says how many there have been for that reason.
    pub fn rejected(&self, reason: &'static str) -> u64 {
        self.rejected.get_or_create(&ReasonLabel { reason }).inc() + 1
    }

    /// Counts one decoded control record.
    pub fn decoded(&self, role: TopicRole) {
        let kind = match role {
            TopicRole::Deployments => "deployment",
            TopicRole::Lineage => "lineage",
            TopicRole::Spans => "spans",
            TopicRole::Data | TopicRole::Own => "record",
        };
        self.decoded.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts parts of a control record that were beyond a limit.
    pub fn cut(&self, kind: &'static str, count: u64) {
        if count > 0 {
            self.cut.get_or_create(&KindLabel { kind }).inc_by(count);
        }
    }

    /// Every count by name, for `GetStatus`.
    #[must_use]
    pub fn totals(&self) -> Vec<(String, u64)> {
        let mut totals =
            vec![("record_bytes".to_owned(), self.bytes.get()), ("schema_drift".to_owned(), self.drifts.get())];
        for result in ["PASS", "FAIL", "WARN"] {
            let count = self.results.get_or_create(&ResultLabel { result }).get();
            totals.push((format!("records_{}", result.to_lowercase()), count));
        }
        totals
    }
}

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Of all workers' intakes.
    pub intake: Arc<IntakeMetrics>,
    /// The closed epoch.
    pub epoch: Gauge<i64, AtomicI64>,
    /// The event-time watermark.
    pub watermark: Gauge<i64, AtomicI64>,
    /// Live compliance windows.
    pub windows: Gauge<i64, AtomicI64>,
    /// Incidents that are not resolved.
    pub open_incidents: Gauge<i64, AtomicI64>,
    /// Standing queries.
    pub standing_queries: Gauge<i64, AtomicI64>,
    /// Records too late for their window.
    pub late_records: Counter<u64, AtomicU64>,
    /// Facts that a bounded operator dropped, by what.
    dropped: Family<DroppedLabel, Counter>,
    /// What sources of Kafka have missed.
    pub kafka: crate::sources::kafka::KafkaMetrics,
    /// Behind the end of a partition, in records.
    pub lag: Family<PartitionLabel, Gauge>,
    /// The catalog in force.
    pub catalog: CatalogMetrics,
    /// Snapshots.
    pub snapshots: SnapshotMetrics,
    /// Which dependencies answer.
    pub health: Arc<Health>,
    /// Changes that wait for each store.
    store_queue: Family<StoreLabel, Gauge>,
    /// What became of changes given to stores.
    store_changes: Family<StoreOutcomeLabel, Counter>,
    /// Failed attempts of sinks.
    sink_errors: Family<KindLabel, Counter>,
    /// Transactions of evidence, by what became of them.
    transactions: Family<OutcomeLabel, Counter>,
    /// Schemas of registries in memory.
    pub registry_schemas: Gauge<i64, AtomicI64>,
    /// What became of look-ups of schemas.
    registry_lookups: Family<LookupLabel, Counter>,
}

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("faultline")),
            intake: Arc::default(),
            epoch: Gauge::default(),
            watermark: Gauge::default(),
            windows: Gauge::default(),
            open_incidents: Gauge::default(),
            standing_queries: Gauge::default(),
            late_records: Counter::default(),
            dropped: Family::default(),
            kafka: crate::sources::kafka::KafkaMetrics::default(),
            lag: Family::default(),
            catalog: CatalogMetrics::default(),
            snapshots: SnapshotMetrics::default(),
            health: Arc::default(),
            store_queue: Family::default(),
            store_changes: Family::default(),
            sink_errors: Family::default(),
            transactions: Family::default(),
            registry_schemas: Gauge::default(),
            registry_lookups: Family::default(),
        };
        if let Ok(mut registry) = metrics.registry.lock() {
            let intake = &metrics.intake;
            registry.register("records", "Judged records by result", intake.results.clone());
            registry.register("record_bytes", "Bytes of judged records", intake.bytes.clone());
            registry.register("rejected", "Inputs that were not taken, by reason", intake.rejected.clone());
            registry.register("decoded", "Decoded control records by kind", intake.decoded.clone());
            registry.register("cut", "Parts of control records beyond a limit, by kind", intake.cut.clone());
            let drifts = "Records that carry another schema than the catalog names";
            registry.register("schema_drift", drifts, intake.drifts.clone());
            registry.register("held_records", "Records that wait for the schemas they carry", intake.held.clone());
            registry.register("epoch_milliseconds", "The closed epoch", metrics.epoch.clone());
            registry.register("watermark_milliseconds", "The event-time watermark", metrics.watermark.clone());
            registry.register("windows", "Live compliance windows", metrics.windows.clone());
            registry.register("open_incidents", "Incidents that are not resolved", metrics.open_incidents.clone());
            registry.register("standing_queries", "Standing queries", metrics.standing_queries.clone());
            registry.register("late_records", "Records too late for their window", metrics.late_records.clone());
            registry.register("dropped", "Facts beyond an operator's bound, by kind", metrics.dropped.clone());
            metrics.kafka.register(&mut registry);
            registry.register("lag_records", "Records behind the end of a partition", metrics.lag.clone());
            metrics.catalog.register(&mut registry);
            metrics.snapshots.register(&mut registry);
            registry.register("up", "1 where a dependency is up, 0 where it is degraded", metrics.health.gauge());
            registry.register("store_queue", "Changes that wait for a store", metrics.store_queue.clone());
            registry.register(
                "store_changes",
                "What became of changes given to a store",
                metrics.store_changes.clone(),
            );
            registry.register("sink_errors", "Failed attempts of sinks", metrics.sink_errors.clone());
            registry.register("transactions", "Transactions of evidence by outcome", metrics.transactions.clone());
            registry.register("registry_schemas", "Schemas of registries in memory", metrics.registry_schemas.clone());
            let lookups = "Look-ups of schemas by registry and outcome, those that were not begun included";
            registry.register("registry_lookups", lookups, metrics.registry_lookups.clone());
        }
        Arc::new(metrics)
    }

    /// Counts facts that a bounded operator dropped.
    pub fn dropped(&self, kind: &str, count: u64) {
        if count == 0 {
            return;
        }
        self.dropped.get_or_create(&DroppedLabel { kind: kind.to_owned() }).inc_by(count);
    }

    /// Counts a failed attempt of a sink.
    pub fn sink_error(&self, kind: &'static str) {
        self.sink_errors.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts transactions of evidence, by what became of them.
    pub fn transactions(&self, outcome: &'static str, count: u64) {
        if count > 0 {
            self.transactions.get_or_create(&OutcomeLabel { outcome }).inc_by(count);
        }
    }

    /// Counts a look-up of a schema, and says how many there have been of that outcome.
    pub fn registry_lookup(&self, registry: &'static str, outcome: &'static str) -> u64 {
        self.registry_lookups.get_or_create(&LookupLabel { registry, outcome }).inc() + 1
    }

    /// Notes how many changes wait for a store.
    pub fn store_waiting(&self, store: &'static str, waiting: usize) {
        self.store_queue.get_or_create(&StoreLabel { store }).set(waiting as i64);
    }

    /// Counts changes that a store was given, by what became of them.
    pub fn stored(&self, store: &'static str, outcome: &'static str, count: u64) {
        if count > 0 {
            self.store_changes.get_or_create(&StoreOutcomeLabel { store, outcome }).inc_by(count);
        }
    }

    /// Prometheus text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        match self.registry.lock() {
            Ok(registry) if encode(&mut text, &registry).is_ok() => text,
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_prefix_and_the_counts() {
        let metrics = Metrics::new();
        let mut counts = RecordCounts::default();
        counts.judged(GateResult::Fail, 325, true);
        metrics.intake.add(counts);
        assert_eq!(metrics.intake.rejected("span_batch"), 1);
        let text = metrics.text();
        assert!(text.contains("faultline_records_total{result=\"FAIL\"} 1"), "{text}");
        assert!(text.contains("faultline_schema_drift_total 1"), "{text}");
        assert!(text.contains("faultline_rejected_total{reason=\"span_batch\"} 1"), "{text}");
    }
}
