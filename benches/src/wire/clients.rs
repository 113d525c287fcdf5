//! Kafka clients of the harness and of the contestants that it brings itself.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
    producer::{BaseProducer, BaseRecord, Producer},
};
use tokio::runtime::Runtime;

use super::error::{Result, WireError, io, kafka};

/// How long one request may take.
pub const REQUEST: Duration = Duration::from_secs(10);
/// How long a consumer waits for a record, or a producer for room, before something is wrong.
pub const SILENCE: Duration = Duration::from_secs(30);

/// A runtime on the thread that asks: between a call and its answer no other thread of this process has a part.
///
/// # Errors
/// The system refuses it.
pub fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io("make a runtime"))
}

/// A client without further settings.
#[must_use]
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("broker.address.family", "v4");
    config
}

/// A consumer that reads ahead far enough to be limited by the wire alone, for plain contestants and for checks.
///
/// # Errors
/// librdkafka does not take the settings.
pub fn consumer(bootstrap: &str) -> Result<BaseConsumer> {
    client(bootstrap)
        .set("group.id", "faultline-benches")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .set("queued.min.messages", "200000")
        .create()
        .map_err(kafka("make a consumer"))
}

/// A producer with the batching of a throughput-minded service.
///
/// # Errors
/// librdkafka does not take the settings.
pub fn producer(bootstrap: &str, compression: &str) -> Result<BaseProducer> {
    client(bootstrap)
        .set("linger.ms", "20")
        .set("batch.num.messages", "10000")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "500000")
        .set("acks", "all")
        .set("compression.type", compression)
        .create()
        .map_err(kafka("make a producer"))
}

/// Queues a record, and waits where the queue is full.
///
/// # Errors
/// It can never be sent, or there was no room for long.
pub fn send(producer: &BaseProducer, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
    let mut since = None;
    while let Err((error, again)) = producer.send(record) {
        let since = *since.get_or_insert_with(Instant::now);
        if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) || since.elapsed() > SILENCE {
            return Err(kafka("send a record")(error));
        }
        producer.poll(Duration::from_millis(5));
        record = again;
    }
    Ok(())
}

/// Waits until the broker has everything.
///
/// # Errors
/// It does not take it in time.
pub fn flush(producer: &BaseProducer) -> Result<()> {
    producer.flush(2 * SILENCE).map_err(kafka("flush the producer"))
}

/// How many records each partition of a topic has, by partition.
///
/// # Errors
/// There is no such topic, or the broker does not answer.
pub fn lengths(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i64>> {
    let failed = || kafka(format!("read the ends of {topic}"));
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST).map_err(failed())?;
    let partitions = metadata.topics().iter().map(|topic| topic.partitions().len()).sum::<usize>() as i32;
    let ends = (0..partitions).map(|partition| consumer.fetch_watermarks(topic, partition, REQUEST));
    ends.map(|ends| ends.map(|(low, high)| high - low).map_err(failed())).collect()
}

/// Assigns all partitions of a topic from their beginning, and says how many records they have now.
///
/// # Errors
/// There is no such topic, or the broker does not answer.
pub fn assign_whole(consumer: &BaseConsumer, topic: &str) -> Result<u64> {
    let lengths = lengths(consumer, topic)?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..lengths.len() as i32 {
        let added = assignment.add_partition_offset(topic, partition, Offset::Beginning);
        added.map_err(kafka(format!("read {topic}")))?;
    }
    consumer.assign(&assignment).map_err(kafka(format!("read {topic}")))?;
    Ok(lengths.iter().sum::<i64>().unsigned_abs())
}

/// Hands over every record that a topic has now. By a consumer of its own: one that has read a topic is told of the
/// topic's deletion whenever that comes.
///
/// # Errors
/// The broker fails, nothing comes for long, or `each` fails.
pub fn read_whole(
    bootstrap: &str,
    topic: &str,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
) -> Result<()> {
    let consumer = consumer(bootstrap)?;
    let count = assign_whole(&consumer, topic)?;
    let mut read = 0;
    while read < count {
        match consumer.poll(SILENCE) {
            Some(Ok(message)) => {
                read += 1;
                each(&message)?;
            }
            Some(Err(error)) => return Err(kafka(format!("read {topic}"))(error)),
            None => {
                let what = format!("nothing more came after {read} of {count} records");
                return Err(WireError::Stuck { contestant: topic.to_owned(), what });
            }
        }
    }
    Ok(())
}
