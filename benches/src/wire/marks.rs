//! When how many records were done: the first, a tenth, nine tenths and the last.

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde::{Deserialize, Serialize};

use super::{
    clients,
    error::{Result, WireError, kafka},
};

/// So many records were done at this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Microseconds since the Unix epoch.
    pub at_us: i64,
    /// How many.
    pub records: u64,
}

/// The course of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The first record, or the first look at a run that was already on its way.
    pub first: Mark,
    /// A tenth.
    pub tenth: Mark,
    /// Nine tenths.
    pub ninetieth: Mark,
    /// All.
    pub last: Mark,
}

impl Marks {
    /// Records a second between a tenth and nine tenths: without what starts and ends a run.
    #[must_use]
    pub fn steady_rate(&self) -> f64 {
        rate(self.tenth, self.ninetieth)
    }

    /// Records a second from the first to the last.
    #[must_use]
    pub fn overall_rate(&self) -> f64 {
        rate(self.first, self.last)
    }

    /// From a run's growing counts, of which the last is all of them. Between two looks the records are taken to have
    /// come evenly. `None` where there are not two looks.
    #[must_use]
    pub fn of_looks(looks: &[Mark]) -> Option<Self> {
        let (&begin, &last) = (looks.first()?, looks.last()?);
        // While nothing was done the run had not begun.
        let first = looks.iter().rfind(|look| look.records == 0).copied().unwrap_or(begin);
        let at = |records: u64| {
            let after = looks.iter().position(|look| look.records >= records)?;
            let (before, after) = (looks.get(after.checked_sub(1)?)?, looks[after]);
            let share = (records - before.records) as f64 / (after.records - before.records).max(1) as f64;
            let at_us = before.at_us + (share * (after.at_us - before.at_us) as f64) as i64;
            Some(Mark { at_us, records })
        };
        let (tenth, ninetieth) = tenths(last.records);
        Some(Self { first, tenth: at(tenth).unwrap_or(first), ninetieth: at(ninetieth)?, last })
    }

    /// From the times at which the broker appended a topic's records, to a millisecond: the topic's
    /// `message.timestamp.type` is `LogAppendTime`, and it has just so many records. `from_ms` lies before the first.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn of_topic(consumer: &BaseConsumer, topic: &str, records: u64, from_ms: i64) -> Result<Self> {
        let lengths = clients::lengths(consumer, topic)?;
        let found: u64 = lengths.iter().sum::<i64>().unsigned_abs();
        if found != records || records == 0 {
            let what = format!("{found} records in {topic}, of {records}");
            return Err(WireError::Wrong { contestant: topic.to_owned(), what });
        }
        let appended = |rank: u64| -> Result<Mark> {
            // The last millisecond before which no more than `rank` records were appended is the record's own.
            let (mut low, mut high) = (from_ms, now_us() / 1_000 + 1);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if appended_before(consumer, topic, &lengths, middle)? <= rank { low = middle } else { high = middle }
            }
            Ok(Mark { at_us: low * 1_000, records: rank })
        };
        let (tenth, ninetieth) = tenths(records);
        let last = Mark { records, ..appended(records - 1)? };
        Ok(Self { first: appended(0)?, tenth: appended(tenth)?, ninetieth: appended(ninetieth)?, last })
    }
}

/// A tenth of a count, and nine tenths.
#[must_use]
pub fn tenths(count: u64) -> (u64, u64) {
    (count / 10, count * 9 / 10)
}

/// Now, in microseconds since the Unix epoch.
#[must_use]
pub fn now_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_micros() as i64)
}

fn rate(from: Mark, to: Mark) -> f64 {
    let micros = (to.at_us - from.at_us).max(1) as f64;
    to.records.saturating_sub(from.records) as f64 * 1e6 / micros
}

/// How many records of all partitions were appended before a time.
fn appended_before(consumer: &BaseConsumer, topic: &str, lengths: &[i64], before_ms: i64) -> Result<u64> {
    let failed = || kafka(format!("read the times of {topic}"));
    let mut times = TopicPartitionList::new();
    for partition in 0..lengths.len() as i32 {
        times.add_partition_offset(topic, partition, Offset::Offset(before_ms)).map_err(failed())?;
    }
    let found = consumer.offsets_for_times(times, clients::REQUEST).map_err(failed())?;
    let mut count = 0;
    for element in found.elements() {
        element.error().map_err(failed())?;
        let length = lengths.get(element.partition().max(0) as usize).copied().unwrap_or_default();
        // Without a record as late as that, all are earlier.
        count += if let Offset::Offset(offset) = element.offset() { offset } else { length };
    }
    Ok(count.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(points: &[(i64, u64)]) -> Vec<Mark> {
        points.iter().map(|&(at_us, records)| Mark { at_us, records }).collect()
    }

    #[test]
    fn looks_are_interpolated_and_the_wait_before_the_first_record_is_left_out() {
        let marks = Marks::of_looks(&looks(&[(0, 0), (500, 0), (1_500, 500), (2_500, 1_000)])).unwrap();
        let at = |mark: Mark| (mark.at_us, mark.records);
        assert_eq!((at(marks.first), at(marks.last)), ((500, 0), (2_500, 1_000)));
        assert_eq!((at(marks.tenth), at(marks.ninetieth)), ((700, 100), (2_300, 900)));
        assert_eq!((marks.steady_rate(), marks.overall_rate()), (500_000.0, 500_000.0));
    }

    #[test]
    fn a_run_that_was_on_its_way_counts_from_the_first_look() {
        let marks = Marks::of_looks(&looks(&[(0, 200), (1_000, 1_000)])).unwrap();
        assert_eq!((marks.first, marks.tenth), (marks.tenth, Mark { at_us: 0, records: 200 }));
        assert_eq!(marks.steady_rate(), 800_000.0);
        assert_eq!(Marks::of_looks(&[]), None);
    }
}
