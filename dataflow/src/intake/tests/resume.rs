//! An intake that goes on where the evidence of an earlier run ends.

use faultline_operators::positions::{PartitionBegin, Position};

use super::{
    held::{Registry, framed, known},
    *,
};
use crate::registry::SchemaSource;

/// Evidence of partition 2 is there before this offset.
#[derive(Default)]
struct Resuming {
    written: Written,
    before: Option<i64>,
    reached: Vec<i64>,
}

impl EvidenceOutput for Resuming {
    fn write(&mut self, epoch: u64, key: Option<&str>, id: EvidenceId, made_at: UnixMillis, json: &[u8]) {
        self.written.write(epoch, key, id, made_at, json);
    }
    fn ready(&mut self) -> bool {
        true
    }
    fn close_epoch(&mut self, _epoch: u64) {}
    fn resumes() -> bool {
        true
    }
    fn written_before(&mut self, partition: &TopicPartition) -> Option<i64> {
        assert_eq!(partition.partition, 2);
        self.before
    }
    fn reached(&mut self, _partition: &TopicPartition, next: i64) {
        self.reached.push(next);
    }
    fn finish(&mut self) {}
}

fn resuming(pass: PassEvidence, before: Option<i64>) -> WorkerIntake<Resuming> {
    let output = Resuming { before, ..Resuming::default() };
    intake_to(pass, Schemas::default(), output)
}

/// The offsets that evidence speaks of: from, to and how many.
fn spoken_of(intake: &mut WorkerIntake<Resuming>) -> Vec<(i64, i64, i64)> {
    let of = |json: &Value| {
        let source = &json["source"];
        let single = source["offset"].as_i64();
        let (from, to) = single.map_or_else(
            || (source["offset_from"].as_i64().unwrap(), source["offset_to"].as_i64().unwrap()),
            |offset| (offset, offset),
        );
        (from, to, json["count"].as_i64().unwrap_or(1))
    };
    std::mem::take(&mut intake.evidence_mut().written.0).iter().map(|(_, json)| of(json)).collect()
}

/// As a source of Kafka tells where it reads.
fn read_on(intake: &mut WorkerIntake<Resuming>, at: i64, end: i64, anew: bool) {
    let partition = TopicPartition { topic: "raw.a".into(), partition: 2 };
    intake.reads_on(&partition, at, end, anew);
    let position = Position { next: at, topic_id: None };
    intake.begins(TopicRole::Data, PartitionBegin { partition, position });
}

/// Every fourth record breaks its contract.
fn feed_all(intake: &mut WorkerIntake<Resuming>, offsets: std::ops::Range<i64>) {
    offsets.for_each(|offset| feed(intake, "raw.a", offset, if offset % 4 == 0 { "{}" } else { r#"{"id": 1}"# }));
}

#[test]
fn records_before_the_position_are_judged_and_have_no_evidence_again() {
    let mut intake = resuming(PassEvidence::All, Some(6));
    read_on(&mut intake, 3, 100, false);
    feed_all(&mut intake, 3..9);
    let pending = intake.close_epoch(20);
    assert_eq!(pending.deltas[0].tally.verdicts, Verdicts { pass: 4, fail: 2, warn: 0 }, "windows need all of them");
    assert_eq!(spoken_of(&mut intake), [(6, 6, 1), (7, 7, 1), (8, 8, 1)]);
    assert_eq!(intake.evidence_mut().reached, [9]);
}

#[test]
fn no_range_reaches_over_the_position() {
    let mut intake = resuming(PassEvidence::Ranges, Some(6));
    read_on(&mut intake, 1, 100, false);
    feed_all(&mut intake, 1..5);
    intake.close_epoch(20);
    assert_eq!(spoken_of(&mut intake), []);
    assert_eq!(intake.evidence_mut().reached, [6], "the position does not go back");
    feed_all(&mut intake, 5..12);
    intake.close_epoch(40);
    assert_eq!(spoken_of(&mut intake), [(8, 8, 1), (6, 11, 5)]);
    assert_eq!(intake.evidence_mut().reached, [6, 12]);
}

#[test]
fn a_log_that_was_made_anew_or_cut_off_has_no_evidence_yet() {
    let mut intake = resuming(PassEvidence::All, Some(6));
    read_on(&mut intake, 0, 4, false);
    feed_all(&mut intake, 3..5);
    intake.close_epoch(20);
    assert_eq!(spoken_of(&mut intake), [(4, 4, 1)], "it ended at 4 when reading began: 4 is another record");
    read_on(&mut intake, 0, 0, true);
    feed_all(&mut intake, 0..2);
    intake.close_epoch(40);
    assert_eq!(spoken_of(&mut intake), [(0, 0, 1), (1, 1, 1)]);
    assert_eq!(intake.evidence_mut().reached, [5, 2], "positions go back with the log");
}

#[test]
fn a_partition_that_is_read_on_where_it_was_left_goes_on() {
    let mut intake = resuming(PassEvidence::All, Some(6));
    read_on(&mut intake, 3, 100, false);
    feed_all(&mut intake, 3..5);
    read_on(&mut intake, 5, 100, false);
    feed_all(&mut intake, 5..8);
    intake.close_epoch(20);
    assert_eq!(spoken_of(&mut intake), [(6, 6, 1), (7, 7, 1)]);
    assert_eq!(intake.evidence_mut().reached, [8]);
}

#[test]
fn positions_stay_before_records_that_are_held() {
    let registry = Arc::<Registry>::default();
    let source: Arc<dyn SchemaSource> = Arc::clone(&registry) as _;
    let mut intake = intake_to(PassEvidence::All, Schemas::live(Some(source)), Resuming::default());
    read_on(&mut intake, 0, 100, false);
    feed(&mut intake, "raw.a", 0, r#"{"id": 1}"#);
    feed(&mut intake, "raw.a", 1, &framed(17, r#"{"id": 1}"#));
    feed(&mut intake, "raw.a", 2, r#"{"id": 1}"#);
    intake.close_epoch(20);
    read_on(&mut intake, 3, 100, false);
    intake.close_epoch(40);
    assert_eq!(intake.evidence_mut().reached, [1, 1], "also where the source goes on behind them");
    registry.answer(17, known(17));
    assert_eq!(intake.settle(10), 2);
    intake.close_epoch(60);
    assert_eq!(intake.evidence_mut().reached, [1, 1, 3]);
    assert_eq!(spoken_of(&mut intake).len(), 3);
}

#[test]
fn a_first_run_writes_all() {
    let mut intake = resuming(PassEvidence::All, None);
    read_on(&mut intake, 5, 100, false);
    feed_all(&mut intake, 5..7);
    intake.close_epoch(20);
    assert_eq!(spoken_of(&mut intake).len(), 2);
}
