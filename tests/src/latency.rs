//! How long it takes from a record to its evidence, measured from outside, through a real broker.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scenario::order::Order;
use crate::scenario::random::Random;
use crate::servers::error::{Result, ServerError};
use crate::servers::kafka::unix_millis;
use crate::servers::{KafkaServer, Paced};

/// Times from when a record was due to when its evidence had come back, in milliseconds.
#[derive(Debug, Clone)]
pub struct Latencies {
    /// Of the first record, which comes to a service that rests.
    first: i64,
    sorted: Vec<i64>,
    lasted: Duration,
}

impl Latencies {
    /// How many records there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The time within which so many of a thousand records had their evidence, in milliseconds.
    #[must_use]
    pub fn per_mille(&self, share: usize) -> i64 {
        let rank = (self.sorted.len() * share).div_ceil(1_000).max(1);
        self.sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999, worst] = [500, 990, 999, 1_000].map(|share| self.per_mille(share));
        let rate = self.count() as f64 / self.lasted.as_secs_f64();
        write!(
            f,
            "{} records at {rate:.0}/s: record to evidence p50 {p50} ms, p99 {p99} ms, p99.9 {p999} ms, worst {worst} ms, \
             first {} ms",
            self.count(),
            self.first
        )
    }
}

/// Publishes orders at a steady pace to six partitions of `topic`, a twentieth of them broken, and waits for the
/// evidence of each.
///
/// # Errors
/// The broker fails, or evidence does not come.
pub fn measure(kafka: &KafkaServer, topic: &str, evidence: &str, rate: u64, length: Duration) -> Result<Latencies> {
    let follower = kafka.follow(evidence)?;
    let from = unix_millis();
    let mut random = Random::seeded(from.unsigned_abs());
    let begin = Instant::now();
    std::thread::scope(|threads| {
        let publishing = threads.spawn(|| {
            kafka.publish_at_pace(topic, rate, length, |number| {
                let order = Order::random(number, &mut random);
                let order = if random.per_mille(50) { order.without_customer() } else { order };
                let payload = serde_json::to_string(&order).unwrap_or_default();
                Paced { partition: (number % 6) as i32, payload }
            })
        });
        let (mut times, mut published) = (Vec::new(), None);
        let mut publishing = Some(publishing);
        let mut last = Instant::now();
        while published != Some(times.len() as u64) {
            if let Some(message) = follower.next(Duration::from_millis(50))? {
                let came = unix_millis();
                let evidence: Value = serde_json::from_slice(message.payload.as_deref().unwrap_or_default())
                    .map_err(|error| ServerError::Topic(format!("evidence is no JSON: {error}")))?;
                let due = evidence["event_time"].as_str().and_then(|at| at.parse().ok());
                let due: faultline_contracts::time::UnixMillis =
                    due.ok_or_else(|| ServerError::Topic(format!("evidence without a time: {evidence}")))?;
                if due.0 >= from {
                    times.push(came - due.0);
                }
                last = Instant::now();
            }
            if let Some(done) = publishing.take_if(|publishing| publishing.is_finished()) {
                let count = done.join().map_err(|_| ServerError::Topic("the publisher panicked".to_owned()))?;
                published = Some(count?);
            }
            if last.elapsed() > Duration::from_secs(30) {
                let came = times.len();
                return Err(ServerError::Topic(format!("only {came} of {published:?} pieces of evidence came")));
            }
        }
        let first = times.first().copied().unwrap_or_default();
        times.sort_unstable();
        Ok(Latencies { first, sorted: times, lasted: begin.elapsed() })
    })
}
