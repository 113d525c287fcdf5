//! What a source has missed: counted by topic and partition, and told once each time.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::start::Gap;
use crate::metrics::PartitionLabel;

/// Counts of what was missed, and of positions that brokers did not take.
#[derive(Debug, Default)]
pub struct KafkaMetrics {
    lost: Family<PartitionLabel, Counter>,
    truncated: Family<PartitionLabel, Counter>,
    recreated: Family<PartitionLabel, Counter>,
    commit_failures: Counter,
}

impl KafkaMetrics {
    /// Registers all of them.
    pub fn register(&self, registry: &mut Registry) {
        let Self { lost, truncated, recreated, commit_failures } = self;
        registry.register("lost_records", "Records that retention took before they were read", lost.clone());
        registry.register("truncated_records", "Records that were read and then cut off the log", truncated.clone());
        registry.register("recreated_partitions", "Partitions whose topic was made anew", recreated.clone());
        registry.register("commit_failures", "Positions that the group did not take", commit_failures.clone());
    }

    /// Counts and tells a gap.
    pub(super) fn missed(&self, topic: &str, partition: i32, gap: Gap) {
        let label = PartitionLabel { topic: topic.to_owned(), partition };
        match gap {
            Gap::Expired { from, to } => {
                let records = span(from, to);
                self.lost.get_or_create(&label).inc_by(records);
                tracing::error!(
                    topic,
                    partition,
                    from,
                    to,
                    records,
                    "records lost: retention took them before they were read"
                );
            }
            Gap::Truncated { from, to } => {
                let records = span(from, to);
                self.truncated.get_or_create(&label).inc_by(records);
                tracing::error!(
                    topic,
                    partition,
                    from,
                    to,
                    records,
                    "the log was cut off: records that were read are not in it any more"
                );
            }
            Gap::Recreated { after } => {
                self.recreated.get_or_create(&label).inc();
                tracing::error!(
                    topic,
                    partition,
                    after,
                    "the topic was deleted and made anew: it is read from its beginning, and what came to the old one \
                     after this offset was not read"
                );
            }
        }
    }

    /// Counts a commit that the group did not take.
    pub(super) fn commit_failed(&self) {
        self.commit_failures.inc();
    }
}

fn span(from: i64, to: i64) -> u64 {
    to.saturating_sub(from).max(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_counter_by_partition() {
        let (metrics, mut registry) = (KafkaMetrics::default(), Registry::with_prefix("faultline"));
        metrics.register(&mut registry);
        metrics.missed("raw.a", 3, Gap::Expired { from: 10, to: 25 });
        metrics.missed("raw.a", 3, Gap::Expired { from: 30, to: 35 });
        metrics.missed("raw.a", 4, Gap::Truncated { from: 5, to: 7 });
        metrics.missed("raw.b", 0, Gap::Recreated { after: 9 });
        metrics.commit_failed();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "faultline_lost_records_total{topic=\"raw.a\",partition=\"3\"} 20",
            "faultline_truncated_records_total{topic=\"raw.a\",partition=\"4\"} 2",
            "faultline_recreated_partitions_total{topic=\"raw.b\",partition=\"0\"} 1",
            "faultline_commit_failures_total 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
