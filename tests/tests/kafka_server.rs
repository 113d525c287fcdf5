//! The harness itself, against a real broker.

use faultline_tests::envelope::{Envelope, read_envelopes};
use faultline_tests::scenario::orders;
use faultline_tests::servers::KafkaServer;

/// 2023-10-27T09:58:02Z: long past any retention by age.
const LONG_AGO: i64 = 1_698_400_682_000;

fn record(partition: i32, number: i64) -> Envelope {
    Envelope {
        topic: "harness.records".to_owned(),
        partition,
        offset: number,
        tstype: "create".to_owned(),
        ts: LONG_AGO + number,
        headers: vec![Some("traceparent".to_owned()), Some(format!("trace {number}")), Some("empty".to_owned()), None],
        key: (number % 2 == 0).then(|| format!("key {number}")),
        payload: (number % 5 != 0).then(|| format!("value {number}")),
        payload_base64: (number % 10 == 0).then(|| "AAH/".to_owned()),
    }
}

#[test]
fn records_come_back_as_they_were_published_also_after_a_crash() {
    let mut server = KafkaServer::start().unwrap();
    server.create_topic("harness.records", 3).unwrap();
    let sent: Vec<Envelope> = (0..100).map(|n| record((n % 4) as i32, n)).collect();
    assert_eq!(server.publish(&sent).unwrap(), 100);

    let expected = |partition: i32| -> Vec<Envelope> {
        sent.iter().filter(|envelope| envelope.partition.rem_euclid(3) == partition).cloned().collect()
    };
    let check = |server: &KafkaServer| {
        let received = server.read_all("harness.records").unwrap();
        for partition in 0..3 {
            let received: Vec<_> = received.iter().filter(|message| message.partition == partition).collect();
            assert_eq!(received.len(), expected(partition).len());
            for (offset, (message, envelope)) in received.iter().zip(expected(partition)).enumerate() {
                assert_eq!(message.offset, offset as i64);
                assert_eq!(message.timestamp, Some(envelope.ts));
                assert_eq!(message.key, envelope.key.clone().map(String::into_bytes));
                assert_eq!(message.payload, envelope.value().unwrap());
                let headers: Vec<_> = message.headers.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
                let sent: Vec<_> = envelope.header_pairs().map(|(k, v)| (k, v.map(str::as_bytes))).collect();
                assert_eq!(headers, sent);
            }
        }
    };
    check(&server);
    server.stop();
    server.start_again().unwrap();
    check(&server);

    let pid = server.pid().unwrap();
    drop(server);
    assert!(!std::path::Path::new("/proc").join(pid.to_string()).exists(), "broker {pid} is still there");
}

#[test]
fn a_topic_that_is_not_there_is_an_error_that_names_it() {
    let error = KafkaServer::shared().unwrap().publish(&[record(0, 1)]).unwrap_err().to_string();
    assert!(error.contains("harness.records"), "{error}");
}

#[test]
fn the_orders_capture_keeps_its_partitions_and_times() {
    let server = KafkaServer::shared().unwrap();
    let topics = [("raw.orders.events", 6), ("signal_factory.deployments", 1), ("signal_factory.lineage", 1)];
    for (topic, partitions) in topics {
        server.create_topic(topic, partitions).unwrap();
    }
    let capture = orders::folder().join("input.jsonl");
    let lines = read_envelopes(std::fs::read(&capture).unwrap().as_slice()).unwrap();
    assert_eq!(server.publish_file(&capture).unwrap(), lines.len());
    for (topic, _) in topics {
        let place = |partition: i32, ts: i64, payload: &[u8]| (partition, ts, payload.to_vec());
        let mut sent: Vec<_> = lines
            .iter()
            .filter(|line| line.topic == topic)
            .map(|line| place(line.partition, line.ts, line.payload.as_deref().unwrap().as_bytes()))
            .collect();
        sent.sort_by_key(|(partition, ..)| *partition);
        let received = server.read_all(topic).unwrap();
        let received: Vec<_> = received
            .iter()
            .map(|message| place(message.partition, message.timestamp.unwrap(), message.payload.as_deref().unwrap()))
            .collect();
        assert!(received == sent, "{topic}: {} records came back, {} were sent", received.len(), sent.len());
    }
}
