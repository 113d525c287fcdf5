use faultline_contracts::{
    catalog::{Catalog, CatalogFiles},
    record::{GateHeaders, RecordCoordinates},
    window::Verdicts,
};
use serde_json::Value;

use super::*;
use crate::config::Config;

const CATALOG: &str = "datasets:\n  - {urn: 'urn:dp:a', topics: [raw.a], producer: a-svc, schema: 'file:a.json'}\n\
                       producers:\n  - {id: a-svc, team: a}\n";
const SCHEMA: &str = r#"{"type": "object", "required": ["id"]}"#;

#[derive(Default)]
struct Written(Vec<(u64, Value)>, Option<u64>);

impl EvidenceOutput for Written {
    fn write(&mut self, epoch: u64, _key: Option<&str>, _id: EvidenceId, _made_at: UnixMillis, json: &[u8]) {
        self.0.push((epoch, serde_json::from_slice(json).unwrap()));
    }
    fn ready(&mut self) -> bool {
        true
    }
    fn close_epoch(&mut self, _epoch: u64) {}
    fn durable_before(&self) -> u64 {
        self.1.unwrap_or(u64::MAX)
    }
    fn finish(&mut self) {}
}

fn intake(pass: PassEvidence) -> WorkerIntake<Written> {
    intake_with(pass, Schemas::default())
}

fn intake_with(pass: PassEvidence, schemas: Schemas) -> WorkerIntake<Written> {
    intake_to(pass, schemas, Written::default())
}

fn intake_to<E: EvidenceOutput>(pass: PassEvidence, schemas: Schemas, output: E) -> WorkerIntake<E> {
    let files = CatalogFiles::of("test", [("catalog.yaml", CATALOG), ("a.json", SCHEMA)]);
    let loaded = Catalog::from_files(&files);
    assert!(
        loaded.diagnostics.iter().all(|d| d.severity != faultline_contracts::diagnostic::Severity::Error),
        "{:?}",
        loaded.diagnostics
    );
    let config = Config::default();
    let gates = config.gates(Arc::new(loaded.catalog));
    let options = IntakeOptions { pass, ..config.intake_options() };
    WorkerIntake::new(gates, schemas, output, options, Arc::default())
}

fn feed<E: EvidenceOutput>(intake: &mut WorkerIntake<E>, topic: &str, offset: i64, payload: &str) {
    let at = RecordCoordinates { topic, partition: 2, offset };
    let time = UnixMillis(300_000 + offset);
    let headers = GateHeaders {
        traceparent: Some(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ..GateHeaders::default()
    };
    intake.data(
        &RawRecord { at, timestamp: Some(time), headers, has_key: true, payload: Some(payload.as_bytes()) },
        time,
        true,
    );
}

fn three_and_a_failure(pass: PassEvidence) -> (Pending, Vec<(u64, Value)>) {
    let mut intake = intake(pass);
    intake.close_epoch(300_000);
    for (offset, payload) in [(5, r#"{"id": 1}"#), (6, "{}"), (8, r#"{"id": 2}"#), (9, r#"{"id": 3}"#)] {
        feed(&mut intake, "raw.a", offset, payload);
    }
    let pending = intake.close_epoch(300_020);
    (pending, std::mem::take(&mut intake.evidence_mut().0))
}

#[test]
fn every_record_has_evidence_by_default() {
    let (pending, written) = three_and_a_failure(PassEvidence::All);
    let results: Vec<_> = written.iter().map(|(_, json)| json["validation"]["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["PASS", "FAIL", "PASS", "PASS"]);
    assert!(written.iter().all(|(epoch, _)| *epoch == 300_000));
    let [delta] = &pending.deltas[..] else { panic!("one window: {:?}", pending.deltas) };
    assert_eq!(delta.key.start, UnixMillis(300_000));
    assert_eq!(delta.tally.verdicts, Verdicts { pass: 3, fail: 1, warn: 0 });
    let (signature, digest) = delta.tally.dominant_signature().unwrap();
    assert_eq!((signature.as_str(), digest.count), ("MISSING_FIELD:id", 1));
    assert_eq!(digest.earliest[0].trace_id.unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((pending.progress[0].offset, pending.progress[0].high_water), (9, Some(UnixMillis(300_009))));
}

#[test]
fn ranges_certify_passing_records_once_a_tick() {
    let (_, written) = three_and_a_failure(PassEvidence::Ranges);
    assert_eq!(written.len(), 2);
    assert_eq!(written[0].1["validation"]["reason_codes"], serde_json::json!(["MISSING_FIELD:id"]));
    let range = &written[1].1;
    assert_eq!(range["kind"], "range");
    assert_eq!(range["count"], 3);
    assert_eq!((&range["source"]["offset_from"], &range["source"]["offset_to"]), (&5.into(), &9.into()));
    assert_eq!(range["dataset_urn"], "urn:dp:a");
}

#[test]
fn none_leaves_failures_alone() {
    let (pending, written) = three_and_a_failure(PassEvidence::None);
    assert_eq!(written.len(), 1);
    assert_eq!(pending.deltas[0].tally.verdicts.pass, 3, "windows count all the same");
}

#[test]
fn a_topic_without_a_dataset_has_evidence_and_no_window() {
    let mut intake = intake(PassEvidence::Ranges);
    feed(&mut intake, "raw.unknown", 1, "{}");
    let pending = intake.close_epoch(20);
    assert!(pending.deltas.is_empty());
    let json = &intake.evidence_mut().0[0].1;
    assert_eq!((&json["dataset_urn"], &json["validation"]["failed_gates"][0]), (&Value::Null, &"RESOLUTION".into()));
    assert_eq!(pending.progress.len(), 1, "how far the partition is counts all the same");
}

#[test]
fn many_producers_and_signatures_of_a_tick_are_all_told_apart() {
    let mut intake = intake(PassEvidence::None);
    for n in 0..300_i64 {
        let at = RecordCoordinates { topic: "raw.a", partition: (n % 3) as i32, offset: n };
        let producer = format!("svc-{}", n % 20);
        let headers = GateHeaders { producer_service: Some(producer.as_bytes()), ..GateHeaders::default() };
        let payload: &[u8] = match n % 4 {
            0 => b"{}",
            1 => b"[",
            _ => br#"{"id": 1}"#,
        };
        let time = UnixMillis(600_000 * (n % 2));
        let record = RawRecord { at, timestamp: Some(time), headers, has_key: true, payload: Some(payload) };
        intake.data(&record, time, true);
    }
    let pending = intake.close_epoch(20);
    assert_eq!(pending.progress.len(), 3);
    let starts: Vec<_> = pending.deltas.iter().map(|delta| delta.key.start).collect();
    assert_eq!(starts, [UnixMillis(0), UnixMillis(600_000)], "each window once, in order");
    for (parity, delta) in pending.deltas.iter().enumerate() {
        let parity = parity as u64;
        // Of 300 records half are of each parity: 150, of which every second one fails, by one reason in each window.
        assert_eq!(delta.tally.verdicts, Verdicts { pass: 75, fail: 75, warn: 0 });
        let producers: Vec<_> =
            delta.tally.by_producer.iter().map(|(id, of)| (id.to_string(), of.pass + of.fail)).collect();
        let mut expected: Vec<_> = (0..20).filter(|n| n % 2 == parity).map(|n| (format!("svc-{n}"), 15)).collect();
        expected.sort();
        assert_eq!(producers, expected);
        let signatures: Vec<_> =
            delta.tally.by_signature.iter().map(|(signature, of)| (signature.as_str(), of.count)).collect();
        assert_eq!(signatures, [(["MISSING_FIELD:id", "UNPARSEABLE"][parity as usize], 75)]);
    }
}

#[test]
fn control_records_that_cannot_be_read_are_counted() {
    let metrics = Arc::<IntakeMetrics>::default();
    let mut intake = intake(PassEvidence::All);
    intake.metrics = Arc::clone(&metrics);
    for (role, payload) in [(TopicRole::Lineage, "{"), (TopicRole::Deployments, "[]"), (TopicRole::Spans, "\u{1}")] {
        let at = RecordCoordinates { topic: "signal_factory.x", partition: 0, offset: 7 };
        intake.control(role, &ControlRecord { at, headers: &[], payload: Some(payload.as_bytes()) });
        assert_eq!(metrics.rejected(rejection(role)), 2, "one was counted before");
    }
    let pending = intake.close_epoch(20);
    assert_eq!(pending.control_progress[0].offset, 7);
    assert!(pending.lineage.is_empty() && pending.deployments.is_empty() && pending.spans.is_empty());
}

mod held;
mod resume;
