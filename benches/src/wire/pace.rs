//! Orders at a fixed rate. A record that is sent late is late, whoever is to blame: its time runs from when it was due.

use std::time::{Duration, Instant};

use rdkafka::{
    message::OwnedHeaders,
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{
    clients,
    error::{Result, WireError, kafka},
    load::{INPUT, PARTITIONS, headers},
    marks::now_us,
};
use crate::orders::{Order, Orders};

/// How many different orders there are; they come round and round.
const DIFFERENT: u64 = 10_000;
/// The longest sleep between two looks at the clock.
const NAP: Duration = Duration::from_micros(500);

/// A stretch of records at one rate. Record `n` of all stretches goes to partition `n` modulo [`PARTITIONS`], so its
/// partition and offset tell its number, and its number tells when it was due.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// When its first record is due.
    pub start: Instant,
    /// Number of its first record.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Records a second.
    pub rate: u64,
}

impl Stretch {
    /// How long after its start a record is due.
    #[must_use]
    pub fn due(&self, number: u64) -> Duration {
        let place = u128::from(number.saturating_sub(self.first));
        Duration::from_nanos((place * 1_000_000_000 / u128::from(self.rate.max(1))) as u64)
    }

    /// The number of the record at a place of the input.
    #[must_use]
    pub fn number(partition: i32, offset: i64) -> u64 {
        offset.unsigned_abs() * PARTITIONS as u64 + u64::from(partition.unsigned_abs())
    }
}

/// Sends stretches.
pub struct Pace {
    producer: BaseProducer,
    orders: Vec<(Order, OwnedHeaders)>,
}

impl Pace {
    /// A producer that is connected, with so long a linger.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn connect(bootstrap: &str, linger_ms: u64) -> Result<Self> {
        let producer: BaseProducer = clients::client(bootstrap)
            // In order and once, so that a record's offset is known beforehand.
            .set("enable.idempotence", "true")
            .set("linger.ms", linger_ms.to_string())
            .create()
            .map_err(kafka("make a producer"))?;
        producer.client().fetch_metadata(Some(INPUT), clients::REQUEST).map_err(kafka("find the input topic"))?;
        let (mut source, mut order) = (Orders::new(DIFFERENT), Order::default());
        let mut orders = Vec::new();
        while source.next_into(&mut order) {
            orders.push((order.clone(), headers(&order)));
        }
        Ok(Self { producer, orders })
    }

    /// Sends a stretch; says how far behind its time the latest record was sent.
    ///
    /// # Errors
    /// The broker does not take it.
    pub fn send(&self, stretch: &Stretch) -> Result<Duration> {
        let mut latest = Duration::ZERO;
        let ahead = stretch.start.saturating_duration_since(Instant::now());
        let start_ms = (now_us() + ahead.as_micros() as i64) / 1_000;
        for number in stretch.first..stretch.first + stretch.count {
            let due = stretch.due(number);
            let behind = loop {
                let elapsed = Instant::now().checked_duration_since(stretch.start);
                match elapsed.and_then(|elapsed| elapsed.checked_sub(due)) {
                    Some(behind) => break behind,
                    None => {
                        self.producer.poll(Duration::ZERO);
                        std::thread::sleep(NAP.min(due.saturating_sub(elapsed.unwrap_or_default())).max(NAP / 10));
                    }
                }
            };
            latest = latest.max(behind);
            let (order, headers) = &self.orders[(number % DIFFERENT) as usize];
            let record = BaseRecord::to(INPUT)
                .partition((number % PARTITIONS as u64) as i32)
                .key(order.key.as_bytes())
                .payload(order.text.as_bytes())
                .timestamp(start_ms + due.as_millis() as i64)
                .headers(headers.clone());
            clients::send(&self.producer, record)?;
        }
        clients::flush(&self.producer)?;
        if self.producer.in_flight_count() > 0 {
            let what = "the broker did not take all records".to_owned();
            return Err(WireError::Stuck { contestant: "the generator".to_owned(), what });
        }
        Ok(latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_place_tells_when_it_was_due() {
        let stretch = Stretch { start: Instant::now(), first: 1_000, count: 500, rate: 250 };
        for number in [1_000, 1_001, 1_499] {
            let (partition, offset) = ((number % PARTITIONS as u64) as i32, (number / PARTITIONS as u64) as i64);
            assert_eq!(Stretch::number(partition, offset), number);
        }
        assert_eq!([1_000, 1_001, 1_250].map(|n| stretch.due(n).as_millis()), [0, 4, 1_000]);
    }
}
