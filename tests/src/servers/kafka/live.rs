//! Records into a broker at a steady pace, and out of it as they come.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::{KafkaMessage, KafkaServer};
use crate::servers::error::{Result, ServerError, kafka};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A record to be published now.
#[derive(Debug, Clone)]
pub struct Paced {
    /// Partition.
    pub partition: i32,
    /// Value.
    pub payload: String,
}

/// Records of a topic from where it ended when this was made.
pub struct Follower {
    consumer: BaseConsumer,
}

impl Follower {
    /// The next record, if one comes within `wait`.
    ///
    /// # Errors
    /// The broker fails.
    pub fn next(&self, wait: Duration) -> Result<Option<KafkaMessage>> {
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(KafkaMessage::from(&message))),
            Some(Err(error)) => Err(kafka("follow a topic")(error)),
        }
    }
}

impl KafkaServer {
    /// Follows a topic from its present end on.
    ///
    /// # Errors
    /// There is no such topic, or the broker fails.
    pub fn follow(&self, topic: &str) -> Result<Follower> {
        let action = format!("follow topic {topic}");
        let consumer: BaseConsumer = self
            .client_config()
            .set("group.id", "faultline-tests-follow")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "5")
            .create()
            .map_err(kafka(&action))?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..self.partitions(topic)?.cast_signed() {
            // The end as it is now: where `Offset::End` lies is found out later, when records may have come.
            let (_, end) = consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).map_err(kafka(&action))?;
            assignment.add_partition_offset(topic, partition, Offset::Offset(end)).map_err(kafka(&action))?;
        }
        consumer.assign(&assignment).map_err(kafka(&action))?;
        Ok(Follower { consumer })
    }

    /// Publishes `rate` records a second for `length`, each with the time at which it was due as its timestamp: a
    /// record that is sent late is late, whoever is to blame. Returns how many there were.
    ///
    /// # Errors
    /// The broker does not take them.
    pub fn publish_at_pace(
        &self,
        topic: &str,
        rate: u64,
        length: Duration,
        mut record: impl FnMut(u64) -> Paced,
    ) -> Result<u64> {
        let action = format!("publish to {topic}");
        let producer: BaseProducer =
            self.client_config().set("linger.ms", "1").create().map_err(kafka("make a producer"))?;
        // Finding the broker is no part of a record's way.
        producer.client().fetch_metadata(Some(topic), REQUEST_TIMEOUT).map_err(kafka(&action))?;
        let count = (u128::from(rate) * length.as_millis() / 1_000) as u64;
        let (start, start_ms) = (Instant::now(), unix_millis());
        for number in 0..count {
            let due = Duration::from_nanos((u128::from(number) * 1_000_000_000 / u128::from(rate.max(1))) as u64);
            while let Some(wait) = due.checked_sub(start.elapsed()).filter(|wait| !wait.is_zero()) {
                producer.poll(Duration::ZERO);
                std::thread::sleep(wait.min(Duration::from_millis(1)));
            }
            let Paced { partition, payload } = record(number);
            let mut record = BaseRecord::<'_, str, [u8]>::to(topic)
                .partition(partition)
                .timestamp(start_ms + due.as_millis() as i64)
                .payload(payload.as_bytes());
            while let Err((error, again)) = producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(kafka(&action)(error));
                }
                producer.poll(Duration::from_millis(1));
                record = again;
            }
        }
        producer.flush(REQUEST_TIMEOUT).map_err(kafka("flush the producer"))?;
        if producer.in_flight_count() > 0 {
            return Err(ServerError::Topic(format!("cannot {action}: not all records were taken")));
        }
        Ok(count)
    }
}

/// The wall clock.
pub fn unix_millis() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}
