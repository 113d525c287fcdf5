//! Records of producers as there are many: compressed, and in transactions that commit or abort.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::time::Duration;

use faultline_sinks::kafka::KafkaSettings;
use faultline_tests::reading::Reading;
use faultline_tests::servers::KafkaServer;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const TIMEOUT: Duration = Duration::from_secs(30);

fn broker() -> &'static KafkaServer {
    KafkaServer::shared().unwrap()
}

fn producer(properties: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker().bootstrap());
    for (name, value) in properties {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

fn send(producer: &BaseProducer, topic: &str, payloads: impl IntoIterator<Item = String>) {
    for payload in payloads {
        let record = BaseRecord::<'_, str, str>::to(topic).partition(0).payload(&payload);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
}

#[test]
fn records_of_every_compression_are_read() {
    let kinds = ["none", "gzip", "snappy", "lz4", "zstd"];
    broker().create_topic("packed.reading", 1).unwrap();
    for kind in kinds {
        let producer = producer(&[("compression.type", kind), ("linger.ms", "50")]);
        send(&producer, "packed.reading", (0..200).map(|number| format!("{kind} {number} {}", "x".repeat(100))));
        producer.flush(TIMEOUT).unwrap();
    }
    let settings = KafkaSettings::new(broker().bootstrap());
    let mut reading = Reading::start(&settings, "\"discovery_ms\": 1000", "^packed\\.reading").unwrap();
    reading.until("all records", |taken| taken.count() == 1_000);
    let taken = reading.finish();
    let expected: Vec<String> = kinds
        .iter()
        .flat_map(|kind| (0..200).map(move |number| format!("{kind} {number} {}", "x".repeat(100))))
        .collect();
    assert_eq!(taken.payloads("packed.reading", 0), expected);
}

#[test]
fn what_a_transaction_aborts_is_not_read_and_what_is_open_waits() {
    broker().create_topic("bound.reading", 1).unwrap();
    let settings = KafkaSettings::new(broker().bootstrap());
    let mut reading = Reading::start(&settings, "\"group\": \"bound.group\"", "^bound\\.reading").unwrap();
    let producer = producer(&[("transactional.id", "bound"), ("compression.type", "lz4")]);
    producer.init_transactions(TIMEOUT).unwrap();
    let mut committed = 0;
    for round in 0..6 {
        producer.begin_transaction().unwrap();
        let aborted = round % 3 == 1;
        let word = if aborted { "aborted" } else { "committed" };
        send(&producer, "bound.reading", (0..20).map(|number| format!("{word} {round} {number}")));
        producer.flush(TIMEOUT).unwrap();
        // It lies in the log, and nobody knows yet what becomes of it.
        reading.go_on_for(Duration::from_millis(300));
        assert_eq!(reading.taken.count(), committed, "of an open transaction");
        if aborted {
            producer.abort_transaction(TIMEOUT).unwrap();
        } else {
            producer.commit_transaction(TIMEOUT).unwrap();
            committed += 20;
        }
        reading.until("what was committed", |taken| taken.count() == committed);
    }
    assert!(reading.taken.payloads("bound.reading", 0).iter().all(|payload| payload.starts_with("committed")));
    // Markers and aborted records leave gaps between offsets; they are no loss.
    assert_eq!(reading.sample("faultline_lost_records_total{topic=\"bound.reading\",partition=\"0\"}"), None);
    let offsets = reading.finish().offsets("bound.reading", 0);
    assert_eq!(offsets.len(), 80);
    assert!(offsets.last().unwrap() + 1 > 80, "{offsets:?}");
}
