//! The committed orders scenario: it is what its generator makes, and it tells the story that it should.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use faultline_contracts::time::UnixMillis;
use faultline_tests::envelope::{Envelope, read_envelopes};
use faultline_tests::scenario::orders;
use serde_json::Value;

fn committed(name: &str) -> Vec<u8> {
    fs::read(orders::folder().join(name)).unwrap()
}

fn envelopes(name: &str) -> Vec<Envelope> {
    read_envelopes(committed(name).as_slice()).unwrap()
}

fn of_topic(topic: &str) -> Vec<Envelope> {
    envelopes("input.jsonl").into_iter().filter(|envelope| envelope.topic == topic).collect()
}

fn value(envelope: &Envelope) -> Value {
    serde_json::from_str(envelope.payload.as_deref().unwrap()).unwrap()
}

fn at(text: &str) -> i64 {
    text.parse::<UnixMillis>().unwrap().0
}

fn passes(order: &Envelope) -> bool {
    value(order).get("customer_id").is_some()
}

#[test]
fn files_are_what_the_generator_makes() {
    let stale = "is stale: cargo run -p faultline-tests --bin orders-scenario";
    assert!(committed("input.jsonl") == orders::input().unwrap(), "input.jsonl {stale}");
    assert!(committed("spans.jsonl") == orders::spans().unwrap(), "spans.jsonl {stale}");
}

#[test]
fn lines_are_in_time_order_and_offsets_without_gaps() {
    for file in ["input.jsonl", "spans.jsonl"] {
        let envelopes = envelopes(file);
        assert!(envelopes.is_sorted_by_key(|envelope| envelope.ts), "{file}");
        let mut next: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for envelope in &envelopes {
            let expected = next.entry((&envelope.topic, envelope.partition)).or_insert(envelope.offset);
            assert_eq!(envelope.offset, *expected, "{} [{}]", envelope.topic, envelope.partition);
            *expected += 1;
        }
    }
}

#[test]
fn windows_count_as_in_the_story() {
    let mut windows: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for order in of_topic("raw.orders.events") {
        let (pass, fail) = windows.entry(UnixMillis(order.ts).floor_to(300_000).to_string()).or_default();
        *(if passes(&order) { pass } else { fail }) += 1;
    }
    let expected = [
        ("2023-10-27T09:45:00.000Z", (298, 0)),
        ("2023-10-27T09:50:00.000Z", (305, 0)),
        ("2023-10-27T09:55:00.000Z", (127, 1_120)),
    ];
    assert_eq!(windows, expected.map(|(window, counts)| (window.to_owned(), counts)).into());
}

#[test]
fn the_first_failure_is_where_and_when_the_story_says() {
    let orders = of_topic("raw.orders.events");
    let first = orders.iter().find(|order| !passes(order)).unwrap();
    assert_eq!((first.partition, first.offset), (4, 9_918_273));
    assert_eq!(first.ts, at("2023-10-27T09:58:02Z"));
    assert_eq!(first.ts - at("2023-10-27T09:57:45Z"), 17_000);
    assert!(first.header("traceparent").unwrap().starts_with("00-ab91f"));
    let order = value(first);
    assert_eq!((&order["order_id"], &order["total_amount"]), (&"O-99123".into(), &149.99.into()));
    assert!(orders.iter().filter(|order| order.ts == first.ts).count() == 1, "the first failure is alone at its time");
}

#[test]
fn orders_are_whole_but_for_the_customer() {
    let orders = of_topic("raw.orders.events");
    let mut ids = BTreeSet::new();
    for envelope in &orders {
        let order = value(envelope);
        assert!(ids.insert(order["order_id"].as_str().unwrap().to_owned()), "{order}");
        assert_eq!(envelope.key.as_deref(), order["order_id"].as_str());
        assert!(["USD", "EUR", "GBP"].contains(&order["currency"].as_str().unwrap()));
        let cents = |price: &Value| (price.as_f64().unwrap() * 100.0).round() as u64;
        let items = order["items"].as_array().unwrap();
        let sum: u64 = items.iter().map(|item| item["qty"].as_u64().unwrap() * cents(&item["price"])).sum();
        assert!(sum > 0);
        assert_eq!(cents(&order["total_amount"]), sum, "{order}");
        let fields = 4 + usize::from(passes(envelope));
        assert_eq!(order.as_object().unwrap().len(), fields);
    }
    assert_eq!(orders.iter().map(|order| order.partition).collect::<BTreeSet<_>>(), (0..6).collect());
}

#[test]
fn two_in_five_orders_are_traced_and_few_name_their_producer() {
    let orders = of_topic("raw.orders.events");
    for whole in [true, false] {
        let orders: Vec<_> = orders.iter().filter(|order| passes(order) == whole).collect();
        let traced = orders.iter().filter(|order| order.header("traceparent").is_some()).count();
        assert!((350..450).contains(&(traced * 1_000 / orders.len())), "{traced} of {}", orders.len());
    }
    let named = orders.iter().filter(|order| order.header("x-obs-producer-service").is_some()).count();
    assert!((1..orders.len() / 25).contains(&named), "{named} name their producer");
}

#[test]
fn deployments_come_in_both_modes() {
    let deployments = of_topic("signal_factory.deployments");
    let seen: Vec<(String, i64, bool)> = deployments
        .iter()
        .map(|envelope| {
            let structured = envelope.header("content-type").unwrap().starts_with("application/cloudevents");
            let event = value(envelope);
            let event = if structured { &event["data"] } else { &event };
            assert_eq!(at(event["context"]["timestamp"].as_str().unwrap()), envelope.ts);
            assert_eq!(envelope.header("ce_id").is_some(), !structured);
            let artifact = event["subject"]["content"]["artifactId"].as_str().unwrap();
            let tag = artifact.rsplit_once("tag=").unwrap().1;
            (format!("{} {tag}", event["subject"]["id"].as_str().unwrap()), envelope.ts, structured)
        })
        .collect();
    let expected = [
        ("orders-svc v3.16", "2023-10-26T14:12:03Z", true),
        ("payments-svc v8.2", "2023-10-27T08:31:20Z", true),
        ("orders-svc v3.17", "2023-10-27T09:57:45Z", false),
    ];
    assert_eq!(seen, expected.map(|(what, when, structured)| (what.to_owned(), at(when), structured)));
}

#[test]
fn the_gold_table_and_the_finance_snapshot_are_written_after_the_failure_and_no_other() {
    let first_failure = at("2023-10-27T09:58:02Z");
    let mut runs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for envelope in of_topic("signal_factory.lineage") {
        let event = value(&envelope);
        assert_eq!(at(event["eventTime"].as_str().unwrap()), envelope.ts);
        let dag_run = &event["run"]["facets"]["airflowDagRun"]["dagRun"];
        assert_eq!(dag_run["dag_id"], event["job"]["name"]);
        runs.entry(event["run"]["runId"].as_str().unwrap().to_owned()).or_default().push(event);
    }
    let mut written: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for events in runs.values() {
        let kinds: Vec<_> = events.iter().map(|event| event["eventType"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["START", "COMPLETE"]);
        let output = &events[1]["outputs"][0];
        let name = format!("{}/{}", output["namespace"].as_str().unwrap(), output["name"].as_str().unwrap());
        written.entry(name).or_default().push(at(events[0]["eventTime"].as_str().unwrap()) > first_failure);
    }
    let expected = [
        ("s3://lake/finance/daily_snapshot", vec![false, true]),
        ("s3://lake/gold/orders_daily", vec![false, true]),
        ("s3://lake/ml/orders_features", vec![false]),
        ("s3://lake/reports/orders", vec![false]),
    ];
    assert_eq!(written, expected.map(|(table, runs)| (table.to_owned(), runs)).into());
}

#[test]
fn spans_name_the_release_that_sent_the_failing_orders() {
    let failing: BTreeSet<String> = of_topic("raw.orders.events")
        .iter()
        .filter(|order| !passes(order))
        .filter_map(|order| Some(order.header("traceparent")?.split('-').nth(1)?.to_owned()))
        .collect();
    let mut reported = BTreeSet::new();
    for envelope in envelopes("spans.jsonl") {
        let resource = &value(&envelope)["resourceSpans"][0];
        let attributes = resource["resource"]["attributes"].as_array().unwrap();
        let attribute = |key: &str| {
            let found = attributes.iter().find(|attribute| attribute["key"] == key).unwrap();
            found["value"]["stringValue"].as_str().unwrap().to_owned()
        };
        assert_eq!((attribute("service.name"), attribute("service.version")), ("orders-svc".into(), "v3.17".into()));
        for span in resource["scopeSpans"][0]["spans"].as_array().unwrap() {
            reported.insert(span["traceId"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(reported.len(), 30);
    assert!(reported.is_subset(&failing));
    assert!(reported.iter().any(|trace| trace.starts_with("ab91f")));
}
