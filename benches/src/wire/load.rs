//! All orders into the input topic, once for a session.

use std::time::Duration;

use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{
    clients,
    error::{Result, kafka},
};
use crate::orders::{Order, Orders, Windows, count};

/// Partitions of the input.
pub const PARTITIONS: i32 = 4;
/// The topic that the catalog has the orders' contract for.
pub const INPUT: &str = "raw.orders.events";

/// Publishes so many orders in turn to the partitions of [`INPUT`], and says what is to be found in them.
///
/// # Errors
/// The broker does not take them.
pub fn publish(bootstrap: &str, records: u64) -> Result<Windows> {
    // Idempotent, so that there are exactly as many as are counted here.
    let producer: BaseProducer = clients::client(bootstrap)
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .set("batch.num.messages", "10000")
        .set("queue.buffering.max.messages", "500000")
        .create()
        .map_err(kafka("make a producer"))?;
    producer.client().fetch_metadata(Some(INPUT), clients::REQUEST).map_err(kafka("find the input topic"))?;
    let (mut orders, mut order, mut expected) = (Orders::new(records), Order::default(), Windows::new());
    while orders.next_into(&mut order) {
        let partition = (order.number % PARTITIONS as u64) as i32;
        let record = BaseRecord::to(INPUT)
            .partition(partition)
            .key(order.key.as_bytes())
            .payload(order.text.as_bytes())
            .timestamp(order.time.0)
            .headers(headers(&order));
        clients::send(&producer, record)?;
        count(&mut expected, order.time, order.broken);
        if order.number.is_multiple_of(1_000) {
            producer.poll(Duration::ZERO);
        }
    }
    clients::flush(&producer)?;
    Ok(expected)
}

/// An order's headers.
#[must_use]
pub fn headers(order: &Order) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(2);
    if let Some(producer) = order.producer {
        headers = headers.insert(Header { key: "x-obs-producer-service", value: Some(producer) });
    }
    if !order.traceparent.is_empty() {
        headers = headers.insert(Header { key: "traceparent", value: Some(order.traceparent.as_str()) });
    }
    headers
}
