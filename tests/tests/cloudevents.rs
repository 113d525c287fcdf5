//! CloudEvents on the service's topics, as a client that nobody here wrote reads them: CloudEvents' own SDK for Python.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faultline_tests::envelope::read_envelopes;
use faultline_tests::scenario::orders;
use faultline_tests::servers::python::environment;
use faultline_tests::servers::{KafkaMessage, KafkaServer};
use faultline_tests::service::{CONTROL_TOPICS, Service};
use serde_json::{Value, json};

const DATA: &str = "raw.orders.events";
const DATASET: &str = "urn:dp:orders:created";
const EVIDENCE: usize = 1_850;

/// Reads records as lines of JSON on its standard input, and writes what they are as CloudEvents.
const READER: &str = r#"
import base64, json, sys
from datetime import datetime
from cloudevents.kafka import KafkaMessage, from_binary, from_structured

for line in sys.stdin:
    record = json.loads(line)
    headers = {name: base64.b64decode(value) for name, value in record["headers"]}
    message = KafkaMessage(headers=headers, key=None, value=base64.b64decode(record["value"]))
    structured = headers["content-type"].startswith(b"application/cloudevents")
    event = from_structured(message) if structured else from_binary(message)
    datetime.fromisoformat(event["time"].replace("Z", "+00:00"))
    print(json.dumps({"attributes": dict(event.get_attributes()), "data": event.get_data()}))
"#;

/// Records as the SDK reads them.
fn events(python: &Path, messages: &[KafkaMessage]) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let (script, input) = (dir.path().join("reader.py"), dir.path().join("records.jsonl"));
    fs::write(&script, READER).unwrap();
    let mut lines = fs::File::create(&input).unwrap();
    for message in messages {
        let encoded = |bytes: &Option<Vec<u8>>| STANDARD.encode(bytes.as_deref().unwrap());
        let headers: Vec<_> = message.headers.iter().map(|(name, value)| json!([name, encoded(value)])).collect();
        writeln!(lines, "{}", json!({"headers": headers, "value": encoded(&message.payload)})).unwrap();
    }
    let read =
        Command::new(python.join("bin/python")).arg(&script).stdin(fs::File::open(&input).unwrap()).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    String::from_utf8(read.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn wait_for(kafka: &KafkaServer, service: &Service, topic: &str, count: usize) -> Vec<KafkaMessage> {
    let begin = Instant::now();
    loop {
        let messages = kafka.read_all(topic).unwrap();
        if messages.len() >= count {
            return messages;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "{} in {topic}; {}", messages.len(), service.log_tail());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn an_sdk_reads_evidence_signals_and_incidents_in_both_modes() {
    let python = environment("cloudevents", &["cloudevents==1.12.0"]).unwrap();
    let kafka = KafkaServer::start().unwrap();
    kafka.create_topic(DATA, 6).unwrap();
    for topic in CONTROL_TOPICS {
        kafka.create_topic(topic, 1).unwrap();
    }
    let capture = fs::read(orders::folder().join("input.jsonl")).unwrap();
    kafka.publish(&read_envelopes(capture.as_slice()).unwrap()).unwrap();
    for (mode, content_type) in [
        ("cloudevents_binary", "application/json"),
        ("cloudevents_structured", "application/cloudevents+json; charset=UTF-8"),
    ] {
        let topics = format!(
            "topics: {{envelope: {mode}, cloudevents_source: 'https://faultline.example/test', evidence: {mode}.evidence, \
             signals: {mode}.signals, incidents: {mode}.incidents}}\nwindows: {{idle_timeout_ms: 3600000}}\n"
        );
        let service = Service::start(&kafka, &orders::folder(), 1, &topics).unwrap();
        for (kind, count) in [("evidence", EVIDENCE), ("signal", 1), ("incident", 1)] {
            let topic = if kind == "evidence" { format!("{mode}.{kind}") } else { format!("{mode}.{kind}s") };
            let messages = wait_for(&kafka, &service, &topic, count);
            let of = |name: &str| {
                let values = messages.iter().map(move |message| {
                    let header = message.headers.iter().find(|(header, _)| header == name);
                    String::from_utf8(header.unwrap().1.clone().unwrap()).unwrap()
                });
                values.collect::<BTreeSet<_>>()
            };
            assert_eq!(of("content-type"), [content_type.to_owned()].into(), "{topic}");
            let events = events(&python, &messages);
            assert_eq!(events.len(), messages.len());
            let mut ids = BTreeSet::new();
            for event in &events {
                let (attributes, data) = (&event["attributes"], &event["data"]);
                assert_eq!(attributes["specversion"], "1.0");
                assert_eq!(attributes["type"], format!("dev.faultline.{kind}.v1"));
                assert_eq!(attributes["source"], "https://faultline.example/test");
                assert_eq!(attributes["subject"], DATASET);
                // In structured mode the SDK takes the record's own content type for that of the data.
                assert_eq!(attributes["datacontenttype"], content_type);
                let id = attributes["id"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} twice in {topic}");
                match kind {
                    "evidence" => {
                        assert_eq!(attributes["id"], data["evidence_id"]);
                        assert_eq!(attributes["time"], data["timestamp"]);
                    }
                    "signal" => assert_eq!(data["PK"], DATASET),
                    _ => assert!(id.contains(data["id"].as_str().unwrap()), "{id}"),
                }
            }
        }
    }
}
