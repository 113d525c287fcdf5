//! The program beside a real broker, from records published to answers over gRPC: live it says the same as in a replay.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use faultline_proto::v1;
use faultline_tests::envelope::{Envelope, write_envelopes};
use faultline_tests::latency;
use faultline_tests::replaying::{Outputs, Replaying};
use faultline_tests::scenario::orders;
use faultline_tests::servers::KafkaServer;
use faultline_tests::service::{CONTROL_TOPICS, Service};
use serde_json::Value;

const DATA: &str = "raw.orders.events";
const DATASET: &str = "urn:dp:orders:created";

/// No partition is taken for idle while the test looks, however slow the machine: live, that goes by the wall clock.
const IDLE_MS: u64 = 3_600_000;

fn replayed(envelopes: &[Envelope]) -> Outputs {
    let dir = tempfile::tempdir().unwrap();
    let capture: PathBuf = dir.path().join("capture.jsonl");
    let mut lines = Vec::new();
    write_envelopes(&mut lines, envelopes).unwrap();
    fs::write(&capture, lines).unwrap();
    let mut replaying = Replaying::of(orders::folder(), [capture]);
    replaying.config.windows.idle_timeout_ms = IDLE_MS;
    replaying.run().unwrap()
}

/// Evidence by id, without the time at which it was made.
fn by_id(evidence: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for mut line in evidence {
        assert!(line.as_object_mut().unwrap().remove("timestamp").unwrap().is_string());
        let id = line["evidence_id"].as_str().unwrap().to_owned();
        assert!(found.insert(id, line).is_none(), "an evidence id was given twice");
    }
    found
}

fn json(payload: Option<&[u8]>) -> Value {
    serde_json::from_slice(payload.unwrap()).unwrap()
}

/// Waits until so many records are in a topic.
fn wait_for(kafka: &KafkaServer, service: &Service, topic: &str, count: usize) {
    let begin = Instant::now();
    loop {
        let there = kafka.read_all(topic).unwrap().len();
        if there >= count {
            assert_eq!(there, count, "{topic}");
            return;
        }
        let waited = begin.elapsed();
        assert!(waited < Duration::from_secs(60), "{there} of {count} in {topic}; {}", service.log_tail());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What live and replayed explanations must agree on: all but when it was found out, and up to where was read.
fn comparable(mut explanation: v1::Explanation) -> v1::Explanation {
    explanation.as_of = None;
    explanation.incident.as_mut().unwrap().opened_at = None;
    explanation
}

async fn answers_are_those_of(replay: &Outputs, service: &Service, envelopes: &[Envelope]) {
    let mut client = service.client().await.unwrap();
    let mut last: BTreeMap<(&str, i32), i64> = BTreeMap::new();
    for envelope in envelopes {
        last.insert((&envelope.topic, envelope.partition), envelope.offset);
    }
    let offsets = last.into_iter().map(|((topic, partition), offset)| v1::PartitionOffset {
        topic: topic.to_owned(),
        partition,
        offset,
    });
    let min_as_of = Some(v1::MinAsOf { epoch: 0, offsets: offsets.collect() });

    let request = v1::ListIncidentsRequest { min_as_of, ..Default::default() };
    let incidents = client.list_incidents(request).await.unwrap().into_inner().incidents;
    let expected = replay.replayed.recorder.explanations();
    assert_eq!((incidents.len(), expected.len()), (1, 1), "{incidents:#?}");
    let expected = expected.into_values().next().unwrap();

    let request = v1::ExplainIncidentRequest { incident_id: incidents[0].id.clone(), ..Default::default() };
    let explanation = client.explain_incident(request).await.unwrap().into_inner();
    assert_eq!(explanation.incident.as_ref(), Some(&incidents[0]));
    assert_eq!(comparable(explanation), comparable(expected));

    let windows = client.list_compliance_windows(v1::ListComplianceWindowsRequest::default()).await.unwrap();
    let windows: Vec<Value> =
        windows.into_inner().windows.iter().map(|window| faultline::answers::json::to_json(window).unwrap()).collect();
    let of = |window: &Value| {
        let count = |value: &Value| value.as_str().map_or(value.as_u64(), |text| text.parse().ok()).unwrap_or(0);
        let time = |value: &Value| value.as_str().unwrap().parse::<faultline_contracts::time::UnixMillis>().unwrap();
        let signatures: BTreeMap<String, u64> = window["by_signature"]
            .as_object()
            .map(|them| them.iter().map(|(signature, failures)| (signature.clone(), count(failures))).collect())
            .unwrap_or_default();
        let status = window["status"].as_str().unwrap().to_owned();
        (time(&window["window_start"]), ["pass", "fail", "warn"].map(|of| count(&window[of])), status, signatures)
    };
    let expected = replay.lines("windows.jsonl").unwrap();
    assert_eq!(windows.iter().map(of).collect::<Vec<_>>(), expected.iter().map(of).collect::<Vec<_>>());

    let signals = client.list_signals(v1::ListSignalsRequest::default()).await.unwrap().into_inner().signals;
    let expected = replay.lines("signals.jsonl").unwrap().pop().unwrap();
    assert_eq!(signals.len(), 1);
    assert_eq!((signals[0].pass, signals[0].fail), (127, 1_120));
    assert_eq!(
        (signals[0].first_failure.as_str(), signals[0].score),
        (expected["first_failure"].as_str().unwrap(), Some(0.102))
    );
}

/// The share of a core that an idle service uses.
fn idle_share(service: &Service) -> f64 {
    let length = Duration::from_secs(5);
    std::thread::sleep(Duration::from_secs(2));
    let (before, begin) = (service.processor_seconds().unwrap(), Instant::now());
    std::thread::sleep(length);
    (service.processor_seconds().unwrap() - before) / begin.elapsed().as_secs_f64()
}

#[test]
fn live_it_says_the_same_as_in_a_replay() {
    let kafka = KafkaServer::start().unwrap();
    kafka.create_topic(DATA, 6).unwrap();
    for topic in CONTROL_TOPICS {
        kafka.create_topic(topic, 1).unwrap();
    }
    let more = format!("windows: {{idle_timeout_ms: {IDLE_MS}}}\n");
    let service = Service::start(&kafka, &orders::folder(), 2, &more).unwrap();

    let envelopes = orders::capture().unwrap();
    kafka.publish(&envelopes).unwrap();
    let replay = replayed(&envelopes);
    wait_for(&kafka, &service, "signal_factory.evidence", 1_850);

    let evidence = kafka.read_all("signal_factory.evidence").unwrap();
    assert!(evidence.iter().all(|message| message.key.as_deref() == Some(DATASET.as_bytes())));
    let kind = |message: &faultline_tests::servers::KafkaMessage| message.headers.clone();
    let json_type = vec![("content-type".to_owned(), Some(b"application/json".to_vec()))];
    assert!(evidence.iter().all(|message| kind(message) == json_type));
    let live = by_id(evidence.iter().map(|message| json(message.payload.as_deref())));
    let expected = by_id(replay.lines("evidence.jsonl").unwrap());
    assert!(live.keys().eq(expected.keys()), "other ids");
    for (id, line) in &live {
        assert_eq!(line, &expected[id]);
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(answers_are_those_of(&replay, &service, &envelopes));

    for (topic, field, value) in [
        ("signal_factory.signals", "state", "CRITICAL"),
        ("signal_factory.incidents", "title", "Contract Violation - orders:created"),
    ] {
        let changes = kafka.read_all(topic).unwrap();
        assert!(changes.iter().all(|message| message.key.as_deref() == Some(DATASET.as_bytes())), "{topic}");
        let last = json(changes.last().unwrap().payload.as_deref());
        assert_eq!(last[field], value, "{last}");
        assert!(last["epoch"].is_u64(), "{last}");
    }

    let metrics = service.get("/metrics").unwrap();
    assert!(metrics.contains("faultline_records_total"), "{metrics}");

    let share = idle_share(&service);
    println!("idle: {:.1} % of a core", 100.0 * share);
    assert!(share < 0.2, "{:.1} % of a core while idle", 100.0 * share);

    let latencies = |seconds| {
        latency::measure(&kafka, DATA, "signal_factory.evidence", 1_000, Duration::from_secs(seconds)).unwrap()
    };
    println!("from rest: {}", latencies(1));
    let steady = latencies(4);
    println!("steady: {steady}");
    assert_eq!(steady.count(), 4_000);
    // A bound that only a defect breaks, such as a tick that is not taken: machines that run tests are busy.
    assert!(steady.per_mille(500) < 2_000, "{steady}");

    let status = service.terminate().unwrap();
    assert_eq!(status.code(), Some(0), "{}", service.log_tail());
}

#[test]
#[ignore = "a measurement: cargo test --release -p faultline-tests --test kafka_e2e -- --ignored --nocapture"]
fn latency_at_ten_thousand_records_a_second() {
    let kafka = KafkaServer::start().unwrap();
    kafka.create_topic(DATA, 6).unwrap();
    for topic in CONTROL_TOPICS {
        kafka.create_topic(topic, 6).unwrap();
    }
    let service = Service::start(&kafka, &orders::folder(), 2, "").unwrap();
    let warm_up = latency::measure(&kafka, DATA, "signal_factory.evidence", 1_000, Duration::from_secs(3)).unwrap();
    println!("warm-up: {warm_up}");
    let before = service.processor_seconds().unwrap();
    let latencies = latency::measure(&kafka, DATA, "signal_factory.evidence", 10_000, Duration::from_secs(20)).unwrap();
    println!("{latencies}; {:.1} s of processor time", service.processor_seconds().unwrap() - before);
    assert_eq!(latencies.count(), 200_000);
}
