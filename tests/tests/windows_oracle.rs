//! Compliance windows of replays against the same computed from the records alone.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

#[path = "windows_oracle/oracle.rs"]
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use faultline_contracts::window::WindowTally;
use faultline_tests::envelope::{Envelope, read_envelopes, write_envelopes};
use faultline_tests::replaying::Replaying;
use faultline_tests::scenario::disorder::{Disorder, write_catalog};
use faultline_tests::scenario::load::Load;
use faultline_tests::scenario::orders;
use serde_json::Value;

use self::oracle::{Expectation, Window};

/// What a replay wrote, by dataset and start.
fn written(lines: &[Value]) -> BTreeMap<(String, i64), Window> {
    let number = |value: &Value| value.as_u64().unwrap();
    let read = |line: &Value| {
        let producers = line["by_producer"].as_object().unwrap();
        let window = Window {
            pass: number(&line["pass"]),
            fail: number(&line["fail"]),
            warn: number(&line["warn"]),
            is_final: line["status"] == "FINAL",
            by_signature: serde_json::from_value(line["by_signature"].clone()).unwrap(),
            by_producer: producers
                .iter()
                .map(|(id, of)| (id.clone(), [number(&of["pass"]), number(&of["fail"]), number(&of["warn"])]))
                .collect(),
        };
        let start: faultline_contracts::time::UnixMillis = line["window_start"].as_str().unwrap().parse().unwrap();
        ((line["dataset_urn"].as_str().unwrap().to_owned(), start.0), window)
    };
    let windows: BTreeMap<_, _> = lines.iter().map(read).collect();
    assert_eq!(windows.len(), lines.len(), "a window was written twice");
    windows
}

/// Replays and compares. Returns what was expected.
fn check(replaying: &Replaying, envelopes: &[Envelope]) -> Expectation {
    let expected = oracle::windows(envelopes, replaying);
    let run = replaying.run().unwrap();
    let windows = written(&run.lines("windows.jsonl").unwrap());
    assert_eq!(windows.keys().collect::<Vec<_>>(), expected.windows.keys().collect::<Vec<_>>());
    for (key, window) in &windows {
        let mut wanted = expected.windows[key].clone();
        // Which ones a window tells apart depends on the order of arrival; how many, and that none is lost, does not.
        if wanted.by_signature.len() > WindowTally::SIGNATURES {
            assert_capped(&window.by_signature, &wanted.by_signature, |count| *count, WindowTally::SIGNATURES);
            wanted.by_signature.clone_from(&window.by_signature);
        }
        if wanted.by_producer.len() > WindowTally::PRODUCERS {
            assert_capped(&window.by_producer, &wanted.by_producer, |count| count.iter().sum(), WindowTally::PRODUCERS);
            wanted.by_producer.clone_from(&window.by_producer);
        }
        assert_eq!(*window, wanted, "{key:?}");
    }
    assert_eq!(run.replayed.view.read().late_records, expected.late);

    let evidence = run.lines("evidence.jsonl").unwrap();
    let ids: BTreeSet<&str> = evidence.iter().map(|line| line["evidence_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), evidence.len(), "an evidence id was given twice");
    assert_eq!(ids, expected.evidence.iter().map(String::as_str).collect());
    expected
}

fn assert_capped<C>(found: &BTreeMap<String, C>, all: &BTreeMap<String, C>, count: impl Fn(&C) -> u64, cap: usize) {
    assert_eq!(found.len(), cap + 1);
    assert_eq!(found.values().map(&count).sum::<u64>(), all.values().map(&count).sum::<u64>());
    for (name, of) in found.iter().filter(|(name, _)| *name != "OTHER") {
        assert!(count(of) <= count(&all[name]), "{name}");
    }
}

fn disorder(disorder: Disorder, change: impl Fn(&mut Replaying)) -> Expectation {
    let dir = tempfile::tempdir().unwrap();
    let catalog = dir.path().join("catalog");
    write_catalog(&catalog).unwrap();
    let capture = dir.path().join("capture.jsonl");
    fs::write(&capture, disorder.lines().unwrap().join("\n")).unwrap();
    let mut replaying = Replaying::of(catalog, [capture]).workers(2);
    change(&mut replaying);
    check(&replaying, &disorder.envelopes().unwrap())
}

#[test]
fn of_the_orders_incident() {
    let capture = orders::folder().join("input.jsonl");
    let envelopes = read_envelopes(fs::read(&capture).unwrap().as_slice()).unwrap();
    let expected = check(&Replaying::of(orders::folder(), [capture]), &envelopes);
    assert_eq!((expected.windows.len(), expected.late), (3, 0));
}

#[test]
fn of_disorder() {
    let mut late = 0;
    for seed in 1..=3 {
        late += disorder(Disorder { seed, ..Disorder::default() }, |replaying| {
            replaying.config.windows.grace_ms = 300_000;
        })
        .late;
    }
    assert!(late > 20, "{late} records were late: grace is not put to the test");
}

#[test]
fn of_disorder_without_grace_and_lateness() {
    let expected = disorder(Disorder { seed: 7, clusters: 80, records: 20 }, |replaying| {
        replaying.config.windows.grace_ms = 0;
        replaying.config.windows.allowed_lateness_ms = 0;
        replaying.config.windows.width_ms = 60_000;
    });
    assert!(expected.late > 20, "{}", expected.late);
}

#[test]
fn of_more_signatures_and_producers_than_a_window_tells_apart() {
    let expected = disorder(Disorder { seed: 11, clusters: 60, records: 70 }, |_| {});
    let over = |window: &Window| {
        window.by_signature.len() > WindowTally::SIGNATURES && window.by_producer.len() > WindowTally::PRODUCERS
    };
    assert!(expected.windows.values().any(over));
}

/// What has no time counts as of its neighbours, not as of 1970.
#[test]
fn of_partitions_that_start_without_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let load = Load { records: 60, rate: 1, ..Load::default() };
    let (mut envelopes, _) = load.generate().unwrap();
    envelopes.iter_mut().filter(|envelope| envelope.offset < 2).for_each(|envelope| envelope.ts = -1);
    let capture = dir.path().join("capture.jsonl");
    let mut lines = Vec::new();
    write_envelopes(&mut lines, &envelopes).unwrap();
    fs::write(&capture, lines).unwrap();
    let expected = check(&Replaying::of(orders::folder(), [capture]), &envelopes);
    assert_eq!(expected.windows.into_keys().map(|(_, start)| start).collect::<Vec<_>>(), [load.start.0]);
}

#[test]
fn of_a_load_with_known_counts() {
    let dir = tempfile::tempdir().unwrap();
    // Two records a second, at the second: epochs are what a replay takes its time for.
    let load = Load { records: 1_500, rate: 2, failing_per_mille: 300, ..Load::default() };
    let (mut envelopes, known) = load.generate().unwrap();
    envelopes.iter_mut().for_each(|envelope| envelope.ts -= envelope.ts.rem_euclid(1_000));
    let capture = dir.path().join("capture.jsonl");
    let mut lines = Vec::new();
    write_envelopes(&mut lines, &envelopes).unwrap();
    fs::write(&capture, lines).unwrap();
    let expected = check(&Replaying::of(orders::folder(), [capture]), &envelopes);
    assert_eq!(expected.windows.len(), known.len());
    for ((_, start), window) in expected.windows {
        let known = known[&faultline_contracts::time::UnixMillis(start)];
        assert_eq!((window.pass, window.fail), (known.pass, known.fail));
    }
}
