//! Records whose headers and values are bytes, as producers with a schema registry send them.

use std::time::{Duration, Instant};

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::KafkaServer;
use crate::servers::error::{Result, ServerError, kafka};

const LIMIT: Duration = Duration::from_secs(60);

/// A record as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes {
    /// Headers in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The value.
    pub value: Vec<u8>,
}

impl KafkaServer {
    /// Publishes records to partition 0 of a topic, in their order. Returns when the broker has them all.
    ///
    /// # Errors
    /// It does not take them.
    pub fn publish_bytes(&self, topic: &str, records: &[Bytes]) -> Result<()> {
        let action = format!("publish to {topic}");
        let producer: BaseProducer =
            self.client_config().set("enable.idempotence", "true").create().map_err(kafka("make a producer"))?;
        let deadline = Instant::now() + LIMIT;
        for Bytes { headers, value } in records {
            let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value.as_slice()) })
            });
            let record = BaseRecord::<'_, str, [u8]>::to(topic).partition(0).headers(headers).payload(value);
            producer.send(record).map_err(|(error, _)| kafka(&action)(error))?;
            producer.poll(Duration::ZERO);
        }
        producer.flush(deadline.saturating_duration_since(Instant::now())).map_err(kafka(&action))?;
        if producer.in_flight_count() > 0 {
            return Err(ServerError::Topic(format!("cannot {action}: not all records were taken")));
        }
        Ok(())
    }
}
