//! A source of Kafka on the test's own thread, with an intake that keeps what it is given.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faultline::config::{KafkaConfig, Topics};
use faultline::engine::wall_clock;
use faultline::metrics::Metrics;
use faultline::sources::kafka::{KafkaCluster, KafkaSource, KafkaSourceError, KafkaSourceOptions};
use faultline::sources::{ControlRecord, Intake, TopicRole};
use faultline_contracts::catalog::Catalog;
use faultline_contracts::record::RawRecord;
use faultline_contracts::time::UnixMillis;
use faultline_operators::positions::PartitionBegin;
use faultline_sinks::kafka::KafkaSettings;

const PATIENCE: Duration = Duration::from_secs(120);
const AT_ONCE: usize = 1_000;

/// Offsets and payloads in the order in which they came.
pub type Records = Vec<(i64, String)>;

/// What a source handed over.
#[derive(Debug, Default)]
pub struct Taken {
    /// Records by topic and partition.
    pub records: BTreeMap<(String, i32), Records>,
    /// What was no record.
    pub rejected: Vec<String>,
}

impl Taken {
    /// The offsets of a partition's records, as they came.
    #[must_use]
    pub fn offsets(&self, topic: &str, partition: i32) -> Vec<i64> {
        self.of(topic, partition).iter().map(|(offset, _)| *offset).collect()
    }

    /// The payloads of a partition's records, as they came.
    #[must_use]
    pub fn payloads(&self, topic: &str, partition: i32) -> Vec<&str> {
        self.of(topic, partition).iter().map(|(_, payload)| payload.as_str()).collect()
    }

    /// How many records there are, of all partitions.
    #[must_use]
    pub fn count(&self) -> usize {
        self.records.values().map(Vec::len).sum()
    }

    fn of(&self, topic: &str, partition: i32) -> &[(i64, String)] {
        self.records.get(&(topic.to_owned(), partition)).map_or(&[], Vec::as_slice)
    }
}

impl Intake for Taken {
    fn data(&mut self, record: &RawRecord<'_>, _: UnixMillis, _: bool) {
        let payload = String::from_utf8_lossy(record.payload.unwrap_or_default()).into_owned();
        let place = (record.at.topic.to_owned(), record.at.partition);
        self.records.entry(place).or_default().push((record.at.offset, payload));
    }

    fn control(&mut self, _: TopicRole, _: &ControlRecord<'_>) {}

    fn assigned(&mut self, topic: &Arc<str>, partition: i32) {
        self.records.entry((topic.to_string(), partition)).or_default();
    }

    fn begins(&mut self, _: TopicRole, _: PartitionBegin) {}

    fn rejected(&mut self, reason: &'static str, detail: &dyn Display) {
        self.rejected.push(format!("{reason}: {detail}"));
    }

    fn ready(&mut self) -> bool {
        true
    }
}

/// One worker's source.
pub struct Reading {
    source: KafkaSource,
    /// What it handed over so far.
    pub taken: Taken,
    /// Of the process.
    pub metrics: Arc<Metrics>,
    epoch: u64,
}

impl Reading {
    /// Reads the topics that this pattern fits, by the part `kafka` of a configuration (without `bootstrap`).
    ///
    /// # Errors
    /// The source cannot start.
    pub fn start(settings: &KafkaSettings, kafka: &str, pattern: &str) -> Result<Self, KafkaSourceError> {
        let kafka = format!("{{\"bootstrap\": \"{}\", {kafka}}}", settings.bootstrap_servers);
        let kafka: KafkaConfig =
            serde_json::from_str(&kafka).map_err(|error| KafkaSourceError::Settings(error.to_string()))?;
        let topics = Topics { data: vec![pattern.to_owned()], ..Topics::default() };
        let metrics = Metrics::new();
        let mut taken = Taken::default();
        let cluster = KafkaCluster::connect(settings, &kafka, &metrics)?;
        let positions = BTreeMap::new();
        let options = KafkaSourceOptions {
            cluster,
            kafka: &kafka,
            topics: &topics,
            catalog: Arc::new(Catalog::default()),
            future_ms: 300_000,
            worker: 0,
            workers: 1,
            positions: &positions,
            metrics: Arc::clone(&metrics),
            wake: Arc::new(|| {}),
        };
        let source = KafkaSource::connect(options, &mut taken)?;
        Ok(Self { source, taken, metrics, epoch: 0 })
    }

    /// Takes what is there now, and commits what was there before.
    pub fn turn(&mut self) -> usize {
        self.epoch += 1;
        let taken = self.source.poll(AT_ONCE, wall_clock(), &mut self.taken);
        self.source.commit(Duration::ZERO, self.epoch, || self.epoch);
        taken
    }

    /// Takes records until this holds.
    ///
    /// # Panics
    /// It does not within a minute.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Taken) -> bool) {
        let begin = Instant::now();
        while !holds(&self.taken) {
            let (taken, health) = (&self.taken, self.metrics.health.states());
            assert!(
                begin.elapsed() < PATIENCE,
                "waited in vain: {what}; {taken:?}; {health:?}; {}",
                self.metrics.text()
            );
            if self.turn() == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Takes records for so long.
    pub fn go_on_for(&mut self, length: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < length {
            if self.turn() == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// The value of a sample of the metrics, if it is there: its name with labels.
    #[must_use]
    pub fn sample(&self, name: &str) -> Option<u64> {
        let text = self.metrics.text();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Ends as a service does that is told to stop.
    #[must_use]
    pub fn finish(self) -> Taken {
        self.source.finish(true);
        self.taken
    }
}
