//! Records whose schemas are being looked up.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use faultline_contracts::registry::{RegisteredSchema, SchemaFormat, SchemaId, SchemaText};

use super::*;
use crate::registry::{Lookup, SchemaSource};

/// A registry that answers as it is told to: until then, look-ups go on.
#[derive(Default)]
pub(super) struct Registry {
    answers: Mutex<BTreeMap<SchemaId, Lookup>>,
    asked: AtomicUsize,
    wanted: Mutex<Vec<SchemaId>>,
}

impl Registry {
    pub(super) fn answer(&self, id: u32, lookup: Lookup) {
        self.answers.lock().unwrap().insert(SchemaId::Confluent(id), lookup);
    }
}

impl SchemaSource for Registry {
    fn lookup(&self, id: SchemaId) -> Lookup {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.wanted.lock().unwrap().push(id);
        self.answers.lock().unwrap().get(&id).cloned().unwrap_or(Lookup::Pending)
    }

    fn wait(&self, id: SchemaId) -> Lookup {
        match self.lookup(id) {
            Lookup::Pending => Lookup::Unavailable,
            settled => settled,
        }
    }

    fn subscribe(&self, _wake: Arc<dyn Fn() + Send + Sync>) {}
}

/// Asks for a number under `id`.
pub(super) fn known(id: u32) -> Lookup {
    let text = SchemaText {
        format: SchemaFormat::Json,
        name: "a-value".into(),
        version: Some(id.to_string()),
        text: r#"{"properties": {"id": {"type": "integer"}}}"#.into(),
        other_names: Vec::new(),
        references: Vec::new(),
    };
    Lookup::Known(Arc::new(RegisteredSchema::compile(SchemaId::Confluent(id), text).unwrap()))
}

fn live(pass: PassEvidence) -> (Arc<Registry>, WorkerIntake<Written>) {
    let registry = Arc::<Registry>::default();
    let source: Arc<dyn SchemaSource> = Arc::clone(&registry) as _;
    let mut intake = intake_with(pass, Schemas::live(Some(source)));
    intake.close_epoch(300_000);
    (registry, intake)
}

pub(super) fn framed(id: u32, json: &str) -> String {
    let mut text = String::from("\0\0\0");
    text.push(char::from(0));
    text.push(char::from(u8::try_from(id).unwrap()));
    text + json
}

/// Offset, result and first code of what was written since this was last asked.
fn told(intake: &mut WorkerIntake<Written>) -> Vec<(i64, String, Option<String>)> {
    let written = std::mem::take(&mut intake.evidence_mut().0);
    let of = |json: &Value| {
        let validation = &json["validation"];
        let offset = json["source"]["offset"].as_i64().unwrap();
        let code = validation["reason_codes"][0].as_str().map(str::to_owned);
        (offset, validation["result"].as_str().unwrap().to_owned(), code)
    };
    written.iter().map(|(_, json)| of(json)).collect()
}

fn passed(offset: i64) -> (i64, String, Option<String>) {
    (offset, "PASS".to_owned(), None)
}

#[test]
fn nothing_overtakes_and_nothing_counts_as_read() {
    let (registry, mut intake) = live(PassEvidence::All);
    feed(&mut intake, "raw.a", 1, r#"{"id": 1}"#);
    feed(&mut intake, "raw.a", 2, &framed(17, r#"{"id": 2}"#));
    feed(&mut intake, "raw.a", 3, r#"{"id": 3}"#);
    feed(&mut intake, "raw.b", 4, "{}");
    assert_eq!(intake.settle(100), 0, "it is being looked up");
    assert_eq!(told(&mut intake).iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), [1, 4], "others go on");
    assert_eq!((intake.held_since(), intake.metrics.held.get()), (Some(300_000), 2));

    for epoch in [300_020, 300_040] {
        let pending = intake.close_epoch(epoch);
        let progress = pending.progress.iter().find(|row| &*row.partition.topic == "raw.a");
        let progress = progress.map(|row| (row.offset, row.high_water));
        assert_eq!(progress, Some((1, Some(UnixMillis(300_001)))), "told again, so that the watermark waits");
    }
    feed(&mut intake, "raw.a", 5, &framed(18, r#"{"id": 5}"#));
    registry.answer(18, known(18));
    assert_eq!(intake.settle(100), 0, "the one in front is waited for");

    registry.answer(17, known(17));
    assert_eq!(intake.settle(2), 2, "no more than asked for");
    assert_eq!(intake.settle(100), 1);
    assert_eq!(told(&mut intake), [passed(2), passed(3), passed(5)]);
    assert_eq!((intake.held_since(), intake.metrics.held.get(), intake.held_bytes), (None, 0, 0));
    let pending = intake.close_epoch(300_060);
    assert_eq!(pending.progress[0].offset, 5);
    assert_eq!(pending.deltas.iter().map(|delta| delta.tally.verdicts.pass).sum::<u64>(), 3);
}

#[test]
fn an_outage_is_told_and_nothing_is_judged_again() {
    let (registry, mut intake) = live(PassEvidence::All);
    feed(&mut intake, "raw.a", 1, &framed(17, r#"{"id": "x"}"#));
    registry.answer(17, Lookup::Unavailable);
    assert_eq!(intake.settle(100), 1);
    feed(&mut intake, "raw.a", 2, &framed(17, r#"{"id": "x"}"#));
    registry.answer(17, known(17));
    feed(&mut intake, "raw.a", 3, &framed(17, r#"{"id": "x"}"#));
    registry.answer(19, Lookup::Unknown);
    feed(&mut intake, "raw.a", 4, &framed(19, "{}"));
    let code = |text: &str| Some(text.to_owned());
    assert_eq!(
        told(&mut intake),
        [
            (1, "WARN".to_owned(), code("REGISTRY_UNAVAILABLE")),
            (2, "WARN".to_owned(), code("REGISTRY_UNAVAILABLE")),
            (3, "FAIL".to_owned(), code("TYPE_MISMATCH:id")),
            (4, "FAIL".to_owned(), code("UNKNOWN_SCHEMA:confluent:19")),
        ]
    );
    registry.answer(17, Lookup::Unavailable);
    feed(&mut intake, "raw.a", 5, &framed(17, r#"{"id": 1}"#));
    assert_eq!(told(&mut intake), [passed(5)], "what is known stays known");
}

#[test]
fn a_known_schema_is_asked_for_once() {
    let (registry, mut intake) = live(PassEvidence::None);
    registry.answer(17, known(17));
    (0..100).for_each(|offset| feed(&mut intake, "raw.a", offset, &framed(17, r#"{"id": 1}"#)));
    assert_eq!(registry.asked.load(Ordering::Relaxed), 1);
    assert_eq!(intake.close_epoch(300_020).deltas[0].tally.verdicts.pass, 100);
}

#[test]
fn what_waits_is_bounded() {
    let (registry, mut intake) = live(PassEvidence::All);
    intake.options.held_bytes = 10_000;
    let mut offset = 0;
    while intake.ready() {
        feed(&mut intake, "raw.a", offset, &framed(17, &format!("{:1000}", r#"{"id": 1}"#)));
        offset += 1;
        assert!(offset < 100);
    }
    assert!((5..10).contains(&offset), "{offset} of a kilobyte and more");
    registry.answer(17, known(17));
    intake.settle(100);
    assert!(intake.ready());
    assert_eq!(told(&mut intake).len() as i64, offset);
}

#[test]
fn what_still_waits_at_the_end_counts_as_not_read() {
    let (_registry, mut intake) = live(PassEvidence::All);
    feed(&mut intake, "raw.a", 1, &framed(17, "{}"));
    assert_eq!(intake.abandon_held(), 1);
    assert_eq!((intake.held_since(), intake.metrics.held.get()), (None, 0));
    assert_eq!(intake.settle(100), 0);
    assert!(told(&mut intake).is_empty());
}

#[test]
fn positions_wait_for_the_evidence_of_what_was_held() {
    let (registry, mut intake) = live(PassEvidence::All);
    feed(&mut intake, "raw.a", 1, &framed(17, r#"{"id": 1}"#));
    intake.close_epoch(300_020);
    intake.close_epoch(300_040);
    assert_eq!(intake.durable_before(), 300_000, "it came in that epoch, and has no evidence");
    registry.answer(17, known(17));
    intake.evidence_mut().1 = Some(300_040);
    assert_eq!(intake.settle(100), 1);
    assert_eq!(intake.durable_before(), 300_000, "its evidence is on its way");
    feed(&mut intake, "raw.a", 2, &framed(18, r#"{"id": 1}"#));
    intake.close_epoch(300_060);
    intake.evidence_mut().1 = Some(300_060);
    assert_eq!(intake.durable_before(), 300_040, "and has come; another waits since");
    registry.answer(18, known(18));
    intake.settle(100);
    intake.close_epoch(300_080);
    assert_eq!(intake.durable_before(), 300_040);
    intake.evidence_mut().1 = None;
    assert_eq!(intake.durable_before(), 300_080);
}

#[test]
fn records_that_settle_one_after_the_other_within_an_epoch_hold_the_positions_of_the_first() {
    let (registry, mut intake) = live(PassEvidence::All);
    feed(&mut intake, "raw.a", 1, &framed(17, r#"{"id": 1}"#));
    intake.close_epoch(300_020);
    feed(&mut intake, "raw.a", 2, &framed(17, r#"{"id": 1}"#));
    intake.close_epoch(300_040);
    registry.answer(17, known(17));
    assert_eq!((intake.settle(1), intake.settle(1)), (1, 1));
    // What was written in an open epoch is counted when it closes; until then the output knows of nothing that is missing.
    assert_eq!(intake.durable_before(), 300_000);
    intake.evidence_mut().1 = Some(300_040);
    intake.close_epoch(300_060);
    assert_eq!(intake.durable_before(), 300_000, "it is on its way");
    intake.evidence_mut().1 = None;
    assert_eq!(intake.durable_before(), 300_060);
}

#[test]
fn schemas_of_records_that_wait_behind_others_are_looked_up_meanwhile() {
    let (registry, mut intake) = live(PassEvidence::All);
    for id in [17, 18, 19] {
        feed(&mut intake, "raw.a", i64::from(id), &framed(id, r#"{"id": 1}"#));
    }
    assert_eq!(*registry.wanted.lock().unwrap(), [17, 18, 19].map(SchemaId::Confluent));
    for id in [19, 18, 17] {
        registry.answer(id, known(id));
    }
    assert_eq!(intake.settle(100), 3);
}

#[test]
fn a_replay_waits() {
    let registry = Arc::<Registry>::default();
    let source: Arc<dyn SchemaSource> = Arc::clone(&registry) as _;
    let mut intake = intake_with(PassEvidence::All, Schemas::captured(Some(source)));
    feed(&mut intake, "raw.a", 1, &framed(17, "{}"));
    assert_eq!(told(&mut intake)[0].2.as_deref(), Some("REGISTRY_UNAVAILABLE"));
    assert_eq!(intake.held_since(), None);
}

#[test]
fn a_range_has_one_schema() {
    let (registry, mut intake) = live(PassEvidence::Ranges);
    registry.answer(17, known(17));
    registry.answer(18, known(18));
    for (offset, id) in [(1, 17), (2, 17), (3, 18), (4, 17)] {
        feed(&mut intake, "raw.a", offset, &framed(id, r#"{"id": 1}"#));
    }
    feed(&mut intake, "raw.a", 5, r#"{"id": 1}"#);
    intake.close_epoch(300_020);
    let written = std::mem::take(&mut intake.evidence_mut().0);
    let ranges: Vec<_> =
        written.iter().map(|(_, json)| (json["schema"].as_str().unwrap(), json["count"].as_u64().unwrap())).collect();
    let [old, new] = ["confluent:a-value:17", "confluent:a-value:18"];
    assert_eq!(ranges, [(old, 2), (new, 1), (old, 1), ("file:a.json", 1)]);
}

#[test]
fn drift_is_counted() {
    let metrics = IntakeMetrics::default();
    let mut counts = RecordCounts::default();
    counts.judged(GateResult::Pass, 1, true);
    counts.judged(GateResult::Pass, 1, false);
    metrics.add(counts);
    assert!(metrics.totals().contains(&("schema_drift".to_owned(), 1)));
}
