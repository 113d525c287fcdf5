//! The orders incident, from captured records to root cause: what the engine must say of it, to the digit.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use faultline_contracts::ids::EvidenceId;
use faultline_contracts::record::RecordCoordinates;
use faultline_contracts::time::UnixMillis;
use faultline_tests::replaying::{Outputs, Replaying};
use faultline_tests::scenario::orders;
use serde_json::Value;

const DATASET: &str = "urn:dp:orders:created";
const SIGNATURE: &str = "MISSING_FIELD:customer_id";

fn replay(files: &[&str]) -> Outputs {
    let inputs = files.iter().map(|file| orders::folder().join(file));
    Replaying::of(orders::folder(), inputs).workers(2).run().unwrap()
}

static STORY: LazyLock<Outputs> = LazyLock::new(|| replay(&["input.jsonl"]));
static TRACED: LazyLock<Outputs> = LazyLock::new(|| replay(&["input.jsonl", "spans.jsonl"]));

fn only(run: &Outputs, file: &str) -> Value {
    let mut lines = run.lines(file).unwrap();
    assert_eq!(lines.len(), 1, "{file}: {lines:#?}");
    lines.remove(0)
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

fn time(value: &Value) -> UnixMillis {
    value.as_str().unwrap_or_else(|| panic!("{value} is no time")).parse().unwrap()
}

fn at(text: &str) -> UnixMillis {
    text.parse().unwrap()
}

/// The evidence id of the first failing record.
fn first_failure() -> String {
    let at_first = RecordCoordinates { topic: "raw.orders.events", partition: 4, offset: 9_918_273 };
    EvidenceId::of(at_first, at("2023-10-27T09:58:02Z")).to_string()
}

#[test]
fn every_record_has_its_evidence() {
    let evidence = STORY.lines("evidence.jsonl").unwrap();
    let of = |result: &str| evidence.iter().filter(|line| line["validation"]["result"] == result).count();
    assert_eq!((of("PASS"), of("FAIL"), of("WARN")), (298 + 305 + 127, 1_120, 0));

    let first = evidence.iter().find(|line| line["validation"]["result"] == "FAIL").unwrap();
    assert_eq!(first["evidence_id"], first_failure());
    assert_eq!(first["dataset_urn"], DATASET);
    assert_eq!(first["producer"], serde_json::json!({"id": "orders-svc", "confidence": "HIGH"}));
    assert_eq!(first["validation"]["failed_gates"], serde_json::json!(["CONTRACT"]));
    assert_eq!(first["validation"]["reason_codes"], serde_json::json!([SIGNATURE]));
    assert_eq!(first["source"]["topic"], "raw.orders.events");
    assert_eq!((&first["source"]["partition"], &first["source"]["offset"]), (&4.into(), &9_918_273.into()));
    assert!(first["otel"]["trace_id"].as_str().unwrap().starts_with("ab91f"));
    assert_eq!(
        (time(&first["timestamp"]), time(&first["event_time"])),
        (at("2023-10-27T09:58:02Z"), at("2023-10-27T09:58:02Z"))
    );
    assert_eq!(
        (&first["schema"], &first["contract"]),
        (&"glue:orders.created:17".into(), &"dc:orders.created:3".into())
    );
}

#[test]
fn windows_count_what_the_records_are() {
    let windows = STORY.lines("windows.jsonl").unwrap();
    let counts: Vec<_> =
        windows.iter().map(|window| (time(&window["window_start"]), &window["pass"], &window["fail"])).collect();
    assert_eq!(counts.len(), 3);
    assert_eq!(counts[0], (at("2023-10-27T09:45:00Z"), &298.into(), &0.into()));
    assert_eq!(counts[1], (at("2023-10-27T09:50:00Z"), &305.into(), &0.into()));
    assert_eq!(counts[2], (at("2023-10-27T09:55:00Z"), &127.into(), &1_120.into()));
    assert_eq!(windows[2]["by_signature"], serde_json::json!({SIGNATURE: 1_120}));
    assert_eq!(windows[2]["by_producer"], serde_json::json!({"orders-svc": {"pass": 127, "fail": 1_120, "warn": 0}}));
    assert_eq!(windows[1]["status"], "FINAL");
}

#[test]
fn the_signal_is_critical_long_before_the_window_ends() {
    let signals = STORY.lines("signals.jsonl").unwrap();
    let states: Vec<_> = signals.iter().map(|signal| signal["state"].as_str().unwrap()).collect();
    let turned = states.iter().position(|&state| state == "CRITICAL").unwrap();
    assert!(states[..turned].iter().all(|&state| state == "OK"), "{states:?}");
    assert!(states[turned..].iter().all(|&state| state == "CRITICAL"), "{states:?}");
    assert!(signals.is_sorted_by_key(|signal| signal["epoch"].as_u64().unwrap()));

    let last = signals.last().unwrap();
    assert_eq!((&last["PK"], &last["SK"]), (&DATASET.into(), &"contract_compliance".into()));
    assert_eq!(last["score"], 0.102);
    assert_eq!((&last["pass"], &last["fail"], &last["warn"]), (&127.into(), &1_120.into(), &0.into()));
    assert_eq!(last["failure_signature"], SIGNATURE);
    assert_eq!(last["first_failure"], first_failure());
    assert_eq!(time(&last["breach_start"]), at("2023-10-27T10:00:00Z"));
    assert_eq!(time(&last["window_start"]), at("2023-10-27T09:55:00Z"));
    let detected = time(&last["detected_at"]);
    assert!(detected > at("2023-10-27T09:58:02Z") && detected < at("2023-10-27T09:59:00Z"), "{detected}");
    assert_eq!(time(&signals[turned]["detected_at"]), detected);
}

#[test]
fn the_incident_names_the_first_evidence_and_its_trace() {
    let incident = only(&STORY, "incidents.jsonl");
    let id = incident["id"].as_str().unwrap();
    assert!(id.len() == 12 && id.starts_with("INC-"), "{id}");
    assert_eq!(incident["severity"], "SEV-1");
    assert_eq!(incident["title"], "Contract Violation - orders:created");
    assert_eq!(incident["status"], "OPEN");
    assert_eq!(incident["dataset_urn"], DATASET);
    assert_eq!(incident["signal"], "contract_compliance");
    assert_eq!(incident["failure_signature"], SIGNATURE);
    assert_eq!(incident["evidence_count"], 1_120);
    assert!(incident["primary_trace_id"].as_str().unwrap().starts_with("ab91f"));
    assert_eq!(incident["parent_incident_id"], Value::Null);

    let failing: Vec<String> = STORY
        .lines("evidence.jsonl")
        .unwrap()
        .iter()
        .filter(|line| line["validation"]["result"] == "FAIL")
        .map(|line| line["evidence_id"].as_str().unwrap().to_owned())
        .collect();
    assert!(failing.is_sorted());
    assert_eq!(strings(&incident["evidence_ids"]), failing[..100]);
    assert_eq!(failing[0], first_failure());
}

#[test]
fn the_graph_has_the_causal_chain_and_its_context() {
    let incident = only(&STORY, "incidents.jsonl");
    let graph = STORY.lines("graph.jsonl").unwrap();
    let vertices: BTreeSet<&str> =
        graph.iter().filter(|line| line["type"] == "vertex").map(|line| line["id"].as_str().unwrap()).collect();
    let edges: BTreeSet<(&str, &str, &str)> = graph
        .iter()
        .filter(|line| line["type"] == "edge")
        .map(|line| ["from", "label", "to"].map(|key| line[key].as_str().unwrap()).into())
        .collect();
    let signature = format!("signature:{DATASET}:{SIGNATURE}");
    let signal = format!("signal:{DATASET}:contract_compliance");
    let incident = format!("incident:{}", incident["id"].as_str().unwrap());
    let (gold, finance) = ("delta:orders_gold_daily", "delta:finance_daily_snapshot");
    let expected = [
        ("deployment:orders-svc:v3.17", "INTRODUCED", signature.as_str()),
        (&signature, "CAUSED", &signal),
        (&signal, "TRIGGERED", &incident),
        ("producer:orders-svc", "OWNS", DATASET),
        (DATASET, "FEEDS", "job:airflow/orders_daily_agg"),
        ("job:airflow/orders_daily_agg", "WRITES", gold),
        (gold, "FEEDS", "job:airflow/finance_daily_snapshot"),
        ("job:airflow/finance_daily_snapshot", "WRITES", finance),
        (gold, "CONSUMED_BY", "dashboard:exec_orders"),
    ];
    for edge in expected {
        assert!(edges.contains(&edge), "{edge:?} is not among {edges:#?}");
    }
    for (from, label, to) in &edges {
        assert!(vertices.contains(from) && vertices.contains(to), "({from}) -[{label}]-> ({to}) hangs in the air");
    }
    let count = |label: &str| edges.iter().filter(|(_, of, _)| *of == label).count();
    assert_eq!([count("CAUSED"), count("TRIGGERED")], [1, 1]);
    for line in graph.iter().filter(|line| line["label"] == "INTRODUCED") {
        let likely = line["confidence"].as_f64().unwrap() >= 0.5;
        assert_eq!(
            likely,
            line["from"] == "deployment:orders-svc:v3.17",
            "one release is blamed, and only one: {line}"
        );
    }
    for line in graph.iter().filter(|line| line["type"] == "edge") {
        assert!(line["since"].is_string() && line["epoch"].is_u64(), "{line}");
        let causal = ["INTRODUCED", "CAUSED", "TRIGGERED"].contains(&line["label"].as_str().unwrap());
        assert_eq!(line["confidence"].is_number(), causal, "{line}");
    }
}

#[test]
fn the_release_is_blamed_with_high_confidence() {
    let explanation = only(&STORY, "explanations.jsonl");
    assert_eq!(explanation["incident"]["id"], only(&STORY, "incidents.jsonl")["id"]);
    let first = &explanation["hypotheses"][0];
    assert_eq!((&first["kind"], &first["subject"]), (&"DEPLOYMENT".into(), &"deployment:orders-svc:v3.17".into()));
    assert_eq!((&first["confidence"], &first["layer"]), (&"HIGH".into(), &"LINEAGE".into()));
    let score = first["score"].as_f64().unwrap();
    assert!((score - 0.92).abs() < 0.02, "{score}");
    assert!(explanation["recommended_action"].as_str().unwrap().contains("Roll back orders-svc to v3.16"));
    let claims: Vec<_> =
        first["claims"].as_array().unwrap().iter().map(|claim| claim["text"].as_str().unwrap()).collect();
    assert!(claims.iter().any(|text| text.contains("17 seconds")), "{claims:#?}");
}

#[test]
fn spans_make_it_surer() {
    let (without, with) = (only(&STORY, "explanations.jsonl"), only(&TRACED, "explanations.jsonl"));
    let (without, with) = (&without["hypotheses"][0], &with["hypotheses"][0]);
    assert_eq!((&with["subject"], &with["layer"]), (&"deployment:orders-svc:v3.17".into(), &"RUNTIME_TRACE".into()));
    assert!(with["score"].as_f64() > without["score"].as_f64(), "{with}\n{without}");
    assert_eq!(STORY.files().unwrap()["evidence.jsonl"], TRACED.files().unwrap()["evidence.jsonl"]);
}

#[test]
fn the_blast_radius_tells_what_was_hit_from_what_may_be() {
    let explanation = only(&STORY, "explanations.jsonl");
    let radius = &explanation["blast_radius"];
    assert_eq!(radius["root"]["id"], DATASET);
    let impacts: Vec<(&str, &str)> = radius["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["id"].as_str().unwrap(), node["impact"].as_str().unwrap()))
        .collect();
    let expected = [
        ("job:airflow/orders_daily_agg", "IMPACTED"),
        ("delta:orders_gold_daily", "IMPACTED"),
        ("dashboard:exec_orders", "IMPACTED"),
        ("job:airflow/finance_daily_snapshot", "IMPACTED"),
        ("delta:finance_daily_snapshot", "IMPACTED"),
        ("job:airflow/orders_features", "AT_RISK"),
        ("job:airflow/orders_report", "AT_RISK"),
        ("s3://lake/ml/orders_features", "AT_RISK"),
        ("s3://lake/reports/orders", "AT_RISK"),
    ];
    for node in expected {
        assert!(impacts.contains(&node), "{node:?} is not among {impacts:#?}");
    }
    assert_eq!(impacts.len(), expected.len(), "{impacts:#?}");
    assert_eq!(radius["total"], expected.len());
    assert_eq!(radius["counts_by_kind"], serde_json::json!({"JOB": 4, "TABLE": 4, "DASHBOARD": 1}));
}

#[test]
fn every_claim_cites_what_is_there() {
    for run in [&STORY, &TRACED] {
        let evidence = run.lines("evidence.jsonl").unwrap();
        let evidence: BTreeSet<&str> = evidence.iter().map(|line| line["evidence_id"].as_str().unwrap()).collect();
        let graph = run.lines("graph.jsonl").unwrap();
        let edges: BTreeSet<&str> =
            graph.iter().filter(|line| line["type"] == "edge").map(|line| line["id"].as_str().unwrap()).collect();
        let explanation = only(run, "explanations.jsonl");
        let hypotheses = explanation["hypotheses"].as_array().unwrap();
        let mut claims: Vec<_> = hypotheses.iter().flat_map(|h| h["claims"].as_array().unwrap()).collect();
        claims.extend(explanation["evidence_summary"].as_array().unwrap());
        assert!(claims.len() > 3);
        for claim in claims {
            let (cited, crossed) = (strings(&claim["evidence_ids"]), strings(&claim["edge_ids"]));
            assert!(cited.len() + crossed.len() > 0, "{claim} cites nothing");
            for id in cited {
                assert!(evidence.contains(id), "{claim} cites evidence {id}");
            }
            for id in crossed {
                assert!(edges.contains(id), "{claim} cites edge {id}, which is not among {edges:#?}");
            }
        }
    }
}
