//! Orders in any number, with the counts that any right answer must reach.

use std::collections::BTreeMap;

use faultline_contracts::time::UnixMillis;

use super::order::{Order, TraceContext};
use super::random::Random;
use crate::envelope::Envelope;

/// Length of a compliance window in milliseconds.
pub const WINDOW_MS: i64 = 300_000;

/// What to generate. The same load gives the same records.
#[derive(Debug, Clone)]
pub struct Load {
    /// Seed of all that is random.
    pub seed: u64,
    /// Topic.
    pub topic: String,
    /// Partitions, each of which gets records; at least one.
    pub partitions: u32,
    /// Number of records.
    pub records: u64,
    /// How many of a thousand miss `customer_id`.
    pub failing_per_mille: u64,
    /// How many of a thousand carry a `traceparent`.
    pub traced_per_mille: u64,
    /// Time of the first record.
    pub start: UnixMillis,
    /// Records per second of event time, spread evenly; at least one.
    pub rate: u64,
}

/// Records of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expected {
    /// Records that keep the contract.
    pub pass: u64,
    /// Records that break it.
    pub fail: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            seed: 1,
            topic: "raw.orders.events".to_owned(),
            partitions: 6,
            records: 10_000,
            failing_per_mille: 50,
            traced_per_mille: 400,
            // 2023-10-27T09:00:00Z, the start of a window.
            start: UnixMillis(1_698_397_200_000),
            rate: 20,
        }
    }
}

impl Load {
    /// The records in time order, and each window's counts by its start. Offsets rise by one from 0 in each partition.
    pub fn generate(&self) -> serde_json::Result<(Vec<Envelope>, BTreeMap<UnixMillis, Expected>)> {
        let mut random = Random::seeded(self.seed);
        let mut offsets = vec![0; self.partitions.max(1) as usize];
        let mut expected: BTreeMap<UnixMillis, Expected> = BTreeMap::new();
        let mut envelopes = Vec::new();
        for number in 0..self.records {
            let after_start = (u128::from(number) * 1_000 / u128::from(self.rate.max(1))) as i64;
            let time = self.start.plus(after_start);
            let fails = random.per_mille(self.failing_per_mille);
            let window = expected.entry(time.floor_to(WINDOW_MS)).or_default();
            *(if fails { &mut window.fail } else { &mut window.pass }) += 1;

            let order = Order::random(number, &mut random);
            let order = if fails { order.without_customer() } else { order };
            let trace = TraceContext::random(&mut random);
            let headers = if random.per_mille(self.traced_per_mille) {
                vec![Some("traceparent".to_owned()), Some(trace.traceparent())]
            } else {
                Vec::new()
            };
            let partition = random.below(offsets.len() as u64) as usize;
            let (key, payload) = (Some(order.order_id.clone()), serde_json::to_string(&order)?);
            envelopes.push(Envelope {
                partition: partition as i32,
                offset: offsets[partition],
                headers,
                ..Envelope::text(&self.topic, time.0, key, payload)
            });
            offsets[partition] += 1;
        }
        Ok((envelopes, expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_records() {
        let load = Load { records: 13_000, ..Load::default() };
        let (envelopes, expected) = load.generate().unwrap();
        let mut counted: BTreeMap<UnixMillis, Expected> = BTreeMap::new();
        for envelope in &envelopes {
            let value: serde_json::Value = serde_json::from_str(envelope.payload.as_deref().unwrap()).unwrap();
            let window = counted.entry(UnixMillis(envelope.ts).floor_to(WINDOW_MS)).or_default();
            match value.get("customer_id") {
                Some(_) => window.pass += 1,
                None => window.fail += 1,
            }
        }
        assert_eq!(counted, expected);
        // 20 a second: 6,000 in each of two windows, 1,000 in a third.
        let totals: Vec<u64> = expected.values().map(|window| window.pass + window.fail).collect();
        assert_eq!(totals, [6_000, 6_000, 1_000]);
        let failing: u64 = expected.values().map(|window| window.fail).sum();
        assert!((500..800).contains(&failing), "{failing} of 13,000 at 5 %");
        assert!(envelopes.is_sorted_by_key(|envelope| envelope.ts));
    }

    #[test]
    fn a_seed_is_all_it_depends_on() {
        let load = Load { records: 200, ..Load::default() };
        assert_eq!(load.generate().unwrap().0, load.generate().unwrap().0);
        let other = Load { seed: 2, ..load.clone() };
        assert_ne!(load.generate().unwrap().0, other.generate().unwrap().0);
    }
}
