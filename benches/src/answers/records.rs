//! Records of generated datasets: orders that keep the contract, and the same ones without their customer.

use std::time::Duration;

use faultline_contracts::time::UnixMillis;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::{error::Result, generated::topic};
use crate::{
    orders::{Order, Orders, WINDOW_MS},
    wire::{clients, error::kafka, marks::now_us},
};

/// How many different orders there are; they come round and round.
const DIFFERENT: u64 = 1_000;
/// So long before its end the last records of a window are.
const MARGIN_MS: i64 = 1_000;

/// The first moment of the window that is now. What is measured has event times in this window alone: its end would be
/// an epoch in which everything happens at once, and whether it lay inside what is measured would be chance.
#[must_use]
pub fn window() -> UnixMillis {
    UnixMillis(now_us() / 1_000).floor_to(WINDOW_MS)
}

/// Sends records of generated datasets.
pub struct Records {
    producer: BaseProducer,
    passing: Vec<String>,
    failing: Vec<String>,
    window: UnixMillis,
    next: usize,
}

impl Records {
    /// With a producer that waits so long for more. Event times are in the window that begins at `window`.
    ///
    /// The producer is not idempotent: that would leave five requests in flight at a time, each of one partition, and
    /// with thousands of partitions records would wait for it. A record that it sent twice would show in what the
    /// service has counted.
    ///
    /// # Errors
    /// librdkafka does not take a setting.
    pub fn connect(bootstrap: &str, linger_ms: u64, window: UnixMillis) -> Result<Self> {
        let producer: BaseProducer = clients::client(bootstrap)
            .set("linger.ms", linger_ms.to_string())
            .create()
            .map_err(kafka("make a producer"))?;
        // All topics at once: a request for each, when its first record comes, costs more than the records.
        producer.client().fetch_metadata(None, clients::REQUEST).map_err(kafka("list topics"))?;
        let (mut orders, mut order) = (Orders::new(DIFFERENT), Order::default());
        let mut passing = Vec::new();
        while orders.next_into(&mut order) {
            if !order.broken {
                passing.push(order.text.clone());
            }
        }
        let failing = passing.iter().map(|text| without_customer(text)).collect();
        Ok(Self { producer, passing, failing, window, next: 0 })
    }

    /// Hands the next record of a dataset to the producer.
    ///
    /// # Errors
    /// The producer does not take it.
    pub fn send(&mut self, dataset: usize, failing: bool) -> Result<()> {
        let orders = if failing { &self.failing } else { &self.passing };
        let text = orders.get(self.next % orders.len().max(1)).map_or("", String::as_str);
        self.next += 1;
        let elapsed = (now_us() / 1_000 - self.window.0).clamp(0, WINDOW_MS - MARGIN_MS);
        let topic = topic(dataset);
        let record = BaseRecord::to(&topic).partition(0).key(b"".as_slice()).payload(text.as_bytes());
        clients::send(&self.producer, record.timestamp(self.window.0 + elapsed))?;
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits until the broker has everything.
    ///
    /// # Errors
    /// It does not take it in time.
    pub fn flush(&self) -> Result<()> {
        Ok(clients::flush(&self.producer)?)
    }
}

/// An order as a faulty release sends it.
fn without_customer(text: &str) -> String {
    let (before, rest) = text.split_once("\"customer_id\":").unwrap_or((text, ""));
    format!("{before}{}", rest.split_once(',').map_or("", |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_without_its_customer_is_json_all_the_same() {
        let (mut orders, mut order) = (Orders::new(1), Order::default());
        assert!(orders.next_into(&mut order));
        let mut expected: serde_json::Value = serde_json::from_str(&order.text).unwrap();
        assert!(expected.as_object_mut().unwrap().remove("customer_id").is_some());
        let found: serde_json::Value = serde_json::from_str(&without_customer(&order.text)).unwrap();
        assert_eq!(found, expected);
    }
}
