//! Three datasets in disorder: records late, early, twice, out of order, without a time and from the future, broken in
//! many ways, with job runs and deployments between them and lines that are no records.
//!
//! | dataset | partitions | story |
//! |---|---|---|
//! | `urn:dp:shop:eu` | 4 | sound until release v2 of `shop-eu`, broken for a third of the time, sound again |
//! | `urn:dp:shop:us` | 2 | written by the job `mirror` from `shop:eu`, breaks and recovers after it |
//! | `urn:dp:shop:wild` | 3 | broken in more ways than a window tells apart, by more producers than it does; partition 2 falls silent |
//!
//! Times are clustered: a replay costs by the number of its epochs, and this is to be replayed many times.

mod events;
mod payload;

use std::io;
use std::path::Path;

use super::order::{Order, TraceContext};
use super::random::Random;
use crate::envelope::Envelope;
use crate::scenario::orders;

/// 2023-10-27T09:00:00Z, the start of a window.
const START: i64 = 1_698_397_200_000;
/// Time between two clusters in milliseconds.
const STEP: i64 = 12_000;

const EU: &str = "raw.shop.eu";
const US: &str = "raw.shop.us";
const WILD: &str = "raw.shop.wild";

/// What to generate. The same disorder gives the same lines.
#[derive(Debug, Clone, Copy)]
pub struct Disorder {
    /// Seed of all that is random.
    pub seed: u64,
    /// Points in time at which records come, 12 s apart.
    pub clusters: u32,
    /// Records of each.
    pub records: u32,
}

impl Default for Disorder {
    fn default() -> Self {
        Self { seed: 1, clusters: 150, records: 14 }
    }
}

const CATALOG: &str = r#"
datasets:
  - {urn: "urn:dp:shop:eu", topics: [raw.shop.eu], producer: shop-eu, schema: "glue:orders.created:17", contract: "dc:orders.created:3", tier: 1, domain: shop, compliance_slo: 0.95}
  - {urn: "urn:dp:shop:us", topics: [raw.shop.us], producer: shop-us, schema: "glue:orders.created:17", contract: "dc:orders.created:3", tier: 2, domain: shop, compliance_slo: 0.9}
  - {urn: "urn:dp:shop:wild", topics: ["^raw\\.shop\\.w.*"], producer: [shop-eu, shop-us], schema: "glue:orders.created:17", contract: "dc:orders.created:3", tier: 4, domain: shop, compliance_slo: 0.5}
producers:
  - {id: shop-eu, aliases: [shop], team: shop-core}
  - {id: shop-us, team: shop-abroad}
assets:
  - {id: "dashboard:shop", kind: DASHBOARD, name: Shop, tier: 2, consumes: ["delta:shop_gold", "urn:dp:shop:wild"]}
  - {id: "delta:shop_gold", kind: TABLE, tier: 2, aliases: ["s3://lake/gold/shop"]}
"#;

/// Writes the catalog under which the records are judged.
///
/// # Errors
/// A file cannot be written, or the orders example is not there to take its contract from.
pub fn write_catalog(dir: &Path) -> io::Result<()> {
    let example = orders::folder();
    std::fs::create_dir_all(dir.join("schemas/orders.created"))?;
    for file in ["orders.created.odcs.yaml", "schemas/orders.created/17.json"] {
        std::fs::copy(example.join(file), dir.join(file))?;
    }
    std::fs::write(dir.join("catalog.yaml"), CATALOG)
}

/// The next offset of each partition, by topic.
#[derive(Debug, Default)]
struct Offsets(std::collections::BTreeMap<(String, i32), i64>);

impl Offsets {
    fn next(&mut self, topic: &str, partition: i32, random: &mut Random) -> i64 {
        let offset = self.0.entry((topic.to_owned(), partition)).or_insert(1_000);
        // Compaction and transactions leave gaps.
        *offset += if random.per_mille(30) { 5 } else { 1 };
        *offset
    }
}

impl Disorder {
    /// When the cluster is.
    fn time(self, cluster: u32) -> i64 {
        START + i64::from(cluster) * STEP
    }

    /// The records, in the order in which they were captured, duplicates included.
    ///
    /// # Errors
    /// A payload cannot be written as JSON.
    pub fn envelopes(self) -> serde_json::Result<Vec<Envelope>> {
        let mut random = Random::seeded(self.seed);
        let mut offsets = Offsets::default();
        let mut all = Vec::new();
        for cluster in 0..self.clusters {
            for _ in 0..self.records {
                if let Some(record) = self.record(cluster, &mut offsets, &mut random)? {
                    all.push(record);
                }
            }
            all.extend(events::of_cluster(self, cluster, &mut offsets, &mut random));
        }
        let twice: Vec<_> = all.iter().filter(|_| random.per_mille(30)).cloned().collect();
        for record in twice {
            let place = random.below(all.len() as u64) as usize;
            all.insert(place, record);
        }
        // Partitions are captured side by side: lines of one may be far ahead of another's.
        for place in 0..all.len() {
            let other = place + random.below(60.min((all.len() - place) as u64)) as usize;
            all.swap(place, other);
        }
        Ok(all)
    }

    /// The capture's lines: the records, and between them lines that are none.
    ///
    /// # Errors
    /// A record cannot be written as JSON.
    pub fn lines(self) -> serde_json::Result<Vec<String>> {
        const BROKEN: [&str; 6] = [
            "{",
            "% Reached end of topic raw.shop.eu [0] at offset 17",
            r#"{"topic":"","partition":0,"offset":1,"payload":"{}"}"#,
            r#"{"topic":"raw.shop.eu","partition":-1,"offset":1,"payload":"{}"}"#,
            r#"{"topic":"raw.shop.eu","partition":0,"offset":1,"#,
            "",
        ];
        let mut random = Random::seeded(!self.seed);
        let mut lines = Vec::new();
        for envelope in self.envelopes()? {
            lines.push(serde_json::to_string(&envelope)?);
            if random.per_mille(20) {
                lines.push(random.pick(&BROKEN).to_owned());
            }
        }
        Ok(lines)
    }

    fn record(self, cluster: u32, offsets: &mut Offsets, random: &mut Random) -> serde_json::Result<Option<Envelope>> {
        let (topic, partition) = match random.below(100) {
            0..45 => (EU, random.below(4) as i32),
            45..70 => (US, random.below(2) as i32),
            70..97 => (WILD, random.below(3) as i32),
            _ => ("raw.nobody.knows", 0),
        };
        let share = |of: u32| self.clusters * of / 30;
        // A partition that is silent for longer than the idle time-out must not hold the watermark.
        if topic == WILD && partition == 2 && (share(6)..share(12)).contains(&cluster) {
            return Ok(None);
        }
        let failing = match topic {
            EU if (share(10)..share(20)).contains(&cluster) => 600,
            US if (share(13)..share(22)).contains(&cluster) => 700,
            _ => 10,
        };
        let order = Order::random(random.below(1_000_000), random);
        let order = if random.per_mille(failing) { order.without_customer() } else { order };
        let (payload, payload_base64) =
            if topic == WILD { payload::wild(&order, random)? } else { (Some(serde_json::to_string(&order)?), None) };
        let mut headers = Vec::new();
        let mut header = |key: &str, value: String| headers.extend([Some(key.to_owned()), Some(value)]);
        if random.per_mille(400) {
            header("traceparent", TraceContext::random(random).traceparent());
        }
        if topic == WILD && random.per_mille(700) {
            header("x-obs-producer-service", format!("service-{}", random.below(90)));
        }
        if topic == US && random.per_mille(300) {
            header("x-obs-dag-run-id", events::mirror_run(cluster));
        }
        Ok(Some(Envelope {
            topic: topic.to_owned(),
            partition,
            offset: offsets.next(topic, partition, random),
            tstype: "create".to_owned(),
            ts: event_time(self.time(cluster), random),
            headers,
            key: Some(order.order_id.clone()),
            payload,
            payload_base64,
        }))
    }
}

/// A time that is mostly the cluster's, else late, far too late, ahead, far ahead, or none.
fn event_time(now: i64, random: &mut Random) -> i64 {
    match random.below(100) {
        0..8 => now - random.below(20_000).cast_signed(),
        8..12 => now - random.below(1_500_000).cast_signed(),
        12..14 => now + 240_000,
        14..16 => now + 600_000 + random.below(86_400_000 * 365).cast_signed(),
        16 => -1,
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_all_it_depends_on_and_everything_comes_up() {
        let disorder = Disorder::default();
        let envelopes = disorder.envelopes().unwrap();
        assert_eq!(envelopes, disorder.envelopes().unwrap());
        assert_ne!(envelopes, Disorder { seed: 2, ..disorder }.envelopes().unwrap());

        let topics: BTreeSet<&str> = envelopes.iter().map(|envelope| envelope.topic.as_str()).collect();
        assert_eq!(topics.len(), 6, "{topics:?}");
        let places: BTreeSet<_> = envelopes.iter().map(|e| (&e.topic, e.partition, e.offset)).collect();
        assert!(places.len() < envelopes.len(), "some come twice");
        let last = START + i64::from(disorder.clusters) * STEP;
        assert!(envelopes.iter().any(|envelope| envelope.ts < 0));
        assert!(envelopes.iter().any(|envelope| envelope.ts > last + 600_000));
        assert!(envelopes.iter().any(|envelope| envelope.payload_base64.is_some()));
        assert!(envelopes.iter().any(|envelope| envelope.payload.is_none() && envelope.payload_base64.is_none()));
    }
}
