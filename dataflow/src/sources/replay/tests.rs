use std::{fmt::Display, sync::Arc};

use faultline_contracts::{record::RawRecord, time::UnixMillis};
use faultline_operators::positions::PartitionBegin;

use super::*;

const OPTIONS: ReplayOptions = ReplayOptions { tick_ms: 20, future_ms: 300_000 };
const START: i64 = 1_698_400_800_000;

fn line(topic: &str, partition: i32, offset: i64, ts: i64) -> String {
    format!(r#"{{"topic":"{topic}","partition":{partition},"offset":{offset},"ts":{ts},"key":null,"payload":"{{}}"}}"#)
}

fn index(lines: &[String]) -> ReplayIndex {
    let text: &'static str = lines.join("\n").leak();
    let captures = vec![Capture::Memory("test", text.as_bytes())];
    ReplayIndex::build(captures, &Topics::default(), OPTIONS, |_| {}).unwrap()
}

/// What an intake was given: epoch, topic, partition, offset, event time, whether it moves the watermark.
#[derive(Default)]
struct Seen {
    epoch: u64,
    records: Vec<(u64, String, i32, i64, i64, bool)>,
    rejected: Vec<&'static str>,
}

impl Intake for Seen {
    fn data(&mut self, record: &RawRecord<'_>, event_time: UnixMillis, high_water: bool) {
        let at = record.at;
        self.records.push((self.epoch, at.topic.to_owned(), at.partition, at.offset, event_time.0, high_water));
    }
    fn control(&mut self, _role: TopicRole, record: &ControlRecord<'_>) {
        self.records.push((self.epoch, record.at.topic.to_owned(), record.at.partition, record.at.offset, 0, false));
    }
    fn assigned(&mut self, _topic: &Arc<str>, _partition: i32) {}
    fn begins(&mut self, _: TopicRole, _: PartitionBegin) {}
    fn rejected(&mut self, reason: &'static str, _detail: &dyn Display) {
        self.rejected.push(reason);
    }
    fn ready(&mut self) -> bool {
        true
    }
}

fn play(index: ReplayIndex, workers: usize) -> Vec<(u64, String, i32, i64, i64, bool)> {
    let index = Arc::new(index);
    let mut all = Vec::new();
    for worker in 0..workers {
        let (mut source, mut seen) = (ReplaySource::new(Arc::clone(&index), worker, workers), Seen::default());
        while let Some(epoch) = source.epoch() {
            assert!(epoch >= seen.epoch, "epochs go on");
            seen.epoch = epoch;
            source.advance(&mut seen);
        }
        assert_eq!(seen.rejected, [] as [&str; 0]);
        all.extend(seen.records);
    }
    all.sort();
    all
}

#[test]
fn the_order_of_lines_and_the_number_of_workers_change_nothing() {
    let mut lines: Vec<_> =
        (0..60).map(|n| line("raw.a", n % 3, i64::from(n) / 3, START + i64::from(n * n % 37) * 1_000)).collect();
    lines.push(line("signal_factory.lineage", 0, 0, START + 5_000));
    let expected = play(index(&lines), 1);
    assert_eq!(expected.len(), 61);
    lines.reverse();
    assert_eq!(play(index(&lines), 1), expected);
    assert_eq!(play(index(&lines), 4), expected);
}

#[test]
fn epochs_are_the_running_maximum_of_event_time_in_whole_ticks() {
    let lines = [line("raw.a", 0, 0, START), line("raw.a", 0, 1, START + 1_005), line("raw.a", 0, 2, START + 999)];
    let epochs: Vec<_> =
        play(index(&lines), 1).into_iter().map(|(epoch, .., time, _)| (epoch as i64 - START, time - START)).collect();
    assert_eq!(
        epochs,
        [(0, 0), (1_000, 1_005), (1_000, 999)],
        "the late record counts by its own time, and comes when it came"
    );
}

#[test]
fn a_record_from_the_future_is_held_back_and_moves_nothing() {
    let mut lines: Vec<_> = (0..20).map(|n| line("raw.a", 0, n, START + n * 100)).collect();
    lines[5] = line("raw.a", 0, 5, START + 86_400_000);
    let index = index(&lines);
    assert_eq!(index.held_back, 1);
    let seen = play(index, 1);
    let odd: Vec<_> = seen.iter().filter(|(.., high_water)| !high_water).collect();
    assert_eq!(odd, [&(START as u64 + 400, "raw.a".to_owned(), 0, 5, START + 400 + OPTIONS.future_ms, false)]);
    assert!(seen.iter().all(|(epoch, ..)| *epoch as i64 <= START + 1_900));
}

#[test]
fn a_quiet_night_is_no_visit_from_the_future() {
    let lines =
        [line("raw.a", 0, 0, START), line("raw.a", 0, 1, START + 36_000_000), line("raw.a", 0, 2, START + 36_000_100)];
    assert_eq!(index(&lines).held_back, 0);
    assert_eq!(index(&lines[..2]).held_back, 0, "with nobody behind it, the last record is believed");
}

#[test]
fn what_is_no_record_is_counted_with_its_line() {
    let lines = [
        line("raw.a", 0, 0, START),
        "nonsense".to_owned(),
        line("raw.a", 0, 0, START),
        line("signal_factory.evidence", 0, 1, START),
    ];
    let index = index(&lines);
    assert_eq!((index.len(), index.faulty_lines, index.duplicates, index.own), (1, 1, 1, 1));
    assert_eq!(index.faults[0].line, 2);
}

#[test]
fn records_without_a_time_and_before_1970_hurt_nobody() {
    let lines = [
        line("raw.a", 0, 0, -1),
        line("raw.a", 0, 1, -5_000),
        line("raw.a", 0, 2, START),
        line("raw.a", 0, 3, i64::MAX),
    ];
    assert_eq!(play(index(&lines), 1).len(), 4);
}
