//! Against librdkafka's mock brokers.

use std::time::{Duration, Instant};

use rdkafka::{
    Message, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use super::*;
use crate::SinkError;

const TOPIC: &str = "signal_factory.evidence";
const PATIENCE: Duration = Duration::from_secs(20);

fn cluster() -> (MockCluster<'static, DefaultProducerContext>, KafkaSettings) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 2, 1).unwrap();
    let settings = KafkaSettings::new(cluster.bootstrap_servers());
    (cluster, settings)
}

fn evidence<'a>(key: &'a str, payload: &'a str) -> KafkaRecord<'a> {
    KafkaRecord { topic: TOPIC, partition: None, key: key.as_bytes(), headers: JSON, payload: payload.as_bytes() }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn records_arrive_with_key_and_headers_and_become_durable() {
    let (_cluster, settings) = cluster();
    let writer = KafkaWriter::new(&settings).unwrap();
    let payloads: Vec<_> = (0..200_u64).map(|number| format!("{{\"n\":{number}}}")).collect();
    for (number, payload) in payloads.iter().enumerate() {
        let record = evidence("urn:dp:orders:created", payload);
        assert_eq!(writer.send(number as u64 / 50, &record).unwrap(), Enqueued::Accepted);
    }
    // Without any call of this thread.
    wait_for("acknowledgement", || writer.durable_before() == u64::MAX);
    assert_eq!(writer.stats(), DeliveryStats { sent: 200, delivered: 200, failed: 0 });
    assert_eq!(writer.last_error(), None);
    writer.flush(PATIENCE).unwrap();

    let consumer: BaseConsumer =
        kafka_config(&settings, &[("group.id", "test"), ("auto.offset.reset", "earliest")]).create().unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_range(TOPIC, 0, 1);
    consumer.assign(&partitions).unwrap();
    let (mut arrived, start) = (Vec::new(), Instant::now());
    while arrived.len() < payloads.len() {
        assert!(start.elapsed() < PATIENCE, "{} of {} arrived", arrived.len(), payloads.len());
        let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
        let record = record.unwrap();
        assert_eq!(record.key(), Some(&b"urn:dp:orders:created"[..]));
        let header = record.headers().unwrap().get(0);
        assert_eq!((header.key, header.value), ("content-type", Some(&b"application/json"[..])));
        arrived.push(String::from_utf8(record.payload().unwrap().to_vec()).unwrap());
    }
    assert_eq!(arrived, payloads, "one key, one partition, one order");
}

#[test]
fn a_full_queue_pushes_back_and_loses_nothing() {
    let (cluster, mut settings) = cluster();
    settings.properties.insert("queue.buffering.max.messages".into(), "10".into());
    cluster.broker_down(1).unwrap();
    let writer = KafkaWriter::new(&settings).unwrap();
    let mut taken = 0;
    while writer.send(7, &evidence("k", "{}")).unwrap() == Enqueued::Accepted {
        taken += 1;
        assert!(taken <= 10, "no bound");
    }
    assert_eq!(writer.stats(), DeliveryStats { sent: 10, ..DeliveryStats::default() });
    assert_eq!(writer.durable_before(), 7);
    let late = writer.flush(Duration::from_millis(50)).unwrap_err();
    assert!(matches!(late, SinkError::NotAcknowledged { in_flight: 10, .. }), "{late:?}");
    wait_for("a word about the broker", || writer.last_error().is_some());

    cluster.broker_up(1).unwrap();
    wait_for("delivery after the broker's return", || writer.durable_before() == u64::MAX);
    assert_eq!(writer.send(8, &evidence("k", "{}")).unwrap(), Enqueued::Accepted);
    writer.flush(PATIENCE).unwrap();
    assert_eq!(writer.stats().delivered, 11);
    assert_eq!(writer.last_error(), None);
}

#[test]
fn a_record_that_is_given_up_holds_its_epoch() {
    let (cluster, settings) = cluster();
    let writer = KafkaWriter::new(&settings).unwrap();
    assert_eq!(writer.send(1, &evidence("k", "{}")).unwrap(), Enqueued::Accepted);
    writer.flush(PATIENCE).unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    assert_eq!(writer.send(2, &evidence("k", "{}")).unwrap(), Enqueued::Accepted);
    writer.flush(PATIENCE).unwrap();
    assert_eq!(writer.stats(), DeliveryStats { sent: 2, delivered: 1, failed: 1 });
    assert_eq!(writer.durable_before(), 2);
    assert!(writer.last_error().is_some_and(|error| error.contains(TOPIC)));
}

#[test]
fn what_can_never_be_sent_is_refused_and_in_no_count() {
    let (_cluster, mut settings) = cluster();
    settings.properties.insert("message.max.bytes".into(), "1000".into());
    let writer = KafkaWriter::new(&settings).unwrap();
    let error = writer.send(1, &evidence("k", &"x".repeat(2_000))).unwrap_err();
    assert!(error.to_string().starts_with("cannot send to signal_factory.evidence at 127.0.0.1:"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("message.max.bytes")) && !error.is_transient());
    let nameless = KafkaRecord { topic: "nul\0", ..evidence("k", "{}") };
    assert!(matches!(writer.send(1, &nameless), Err(SinkError::Kafka { .. })));
    assert_eq!(writer.stats(), DeliveryStats::default());
    assert_eq!(writer.durable_before(), u64::MAX);
}

#[test]
fn a_property_that_is_none_is_refused() {
    let mut settings = KafkaSettings::new("127.0.0.1:9");
    settings.properties.insert("compresion.type".into(), "lz4".into());
    let error = KafkaWriter::new(&settings).unwrap_err();
    assert_eq!(error.hint(), Some("correct that Kafka property"), "{error:?}");
}
