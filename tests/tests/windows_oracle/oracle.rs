//! Windows from scratch: by the definitions alone, one record after the other. Only verdicts are the gates'.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use faultline_contracts::catalog::Catalog;
use faultline_contracts::ids::EvidenceId;
use faultline_operators::decode::kcat;
use faultline_operators::gates::Gates;
use faultline_tests::envelope::Envelope;
use faultline_tests::replaying::Replaying;

/// A window as it was last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    pub pass: u64,
    pub fail: u64,
    pub warn: u64,
    pub is_final: bool,
    pub by_signature: BTreeMap<String, u64>,
    /// Passed, failed, undecided.
    pub by_producer: BTreeMap<String, [u64; 3]>,
}

/// All that is expected of a replay.
pub struct Expectation {
    pub windows: BTreeMap<(String, i64), Window>,
    pub late: u64,
    pub evidence: BTreeSet<String>,
}

/// A record and the time at which it enters the engine.
struct Arrival<'a> {
    epoch: i64,
    record: &'a Envelope,
    /// The time by which it counts.
    time: i64,
    /// Whether it says how far its partition is.
    real: bool,
}

const CONTROL: &str = "signal_factory.";

/// The records of a partition in the order of offsets, each once, with the running maximum of their times. One that is
/// far ahead of most of the eight after it is held back.
fn arrivals<'a>(partition: &BTreeMap<i64, &'a Envelope>, future: i64, tick: i64) -> Vec<Arrival<'a>> {
    let records: Vec<_> = partition.values().copied().collect();
    let mut now: Option<i64> = None;
    let mut arrivals = Vec::new();
    for (place, record) in records.iter().enumerate() {
        let mut later: Vec<i64> =
            records[place + 1..].iter().map(|record| record.ts).filter(|&ts| ts >= 0).take(8).collect();
        let next = later.first().copied();
        let claimed = if record.ts >= 0 { record.ts } else { now.or(next).unwrap_or(0) };
        let ahead = |of: i64| claimed - of > future;
        let denied = now.is_none_or(ahead) && 2 * later.iter().filter(|&&of| ahead(of)).count() > later.len();
        later.sort_unstable();
        let at = if denied { now.unwrap_or_else(|| later[later.len() / 2]) } else { claimed.max(now.unwrap_or(0)) };
        let time = if denied { claimed.min(at + future) } else { claimed };
        if !denied {
            now = Some(at);
        }
        arrivals.push(Arrival { epoch: at / tick * tick, record, time, real: !denied });
    }
    arrivals
}

/// How far event time is.
struct Clock {
    lateness: i64,
    idle: i64,
    /// Highest time and last epoch of each partition.
    partitions: BTreeMap<(String, i32), (Option<i64>, i64)>,
    reached: Option<i64>,
}

impl Clock {
    fn look(&mut self, epoch: i64) -> Option<i64> {
        let active: Vec<_> = self.partitions.values().filter(|(_, last)| epoch - last <= self.idle).collect();
        let now = if active.is_empty() {
            let last = self.partitions.values().map(|(_, last)| *last).max();
            let highest = self.partitions.values().filter_map(|(highest, _)| *highest).max();
            highest.zip(last).map(|(highest, last)| highest + epoch - last)
        } else {
            active.iter().map(|(highest, _)| *highest).min().flatten()
        };
        self.reached = self.reached.max(now.map(|now| now - self.lateness));
        self.reached
    }
}

/// The windows that a replay of these records must end with.
pub fn windows(envelopes: &[Envelope], replaying: &Replaying) -> Expectation {
    let config = &replaying.config;
    let (width, grace) = (config.windows.width_ms as i64, config.windows.grace_ms as i64);
    let mut gates = Gates::new(
        Arc::new(Catalog::load(&replaying.catalog).catalog),
        config.document_limits(),
        config.limits.reasons,
    );

    let mut partitions: BTreeMap<(&str, i32), BTreeMap<i64, &Envelope>> = BTreeMap::new();
    for envelope in envelopes {
        let partition = partitions.entry((&envelope.topic, envelope.partition)).or_default();
        partition.entry(envelope.offset).or_insert(envelope);
    }
    let mut epochs: BTreeMap<i64, Vec<Arrival<'_>>> = BTreeMap::new();
    for partition in partitions.values() {
        for arrival in arrivals(partition, config.windows.future_ms as i64, config.tick_ms as i64) {
            epochs.entry(arrival.epoch).or_default().push(arrival);
        }
    }

    let mut clock = Clock {
        lateness: config.windows.allowed_lateness_ms as i64,
        idle: config.windows.idle_timeout_ms as i64,
        partitions: BTreeMap::new(),
        reached: None,
    };
    let mut expected = Expectation { windows: BTreeMap::new(), late: 0, evidence: BTreeSet::new() };
    for (epoch, arrivals) in &epochs {
        clock.look(epoch - 1);
        let data = || arrivals.iter().filter(|arrival| !arrival.record.topic.starts_with(CONTROL));
        for Arrival { record, time, real, .. } in data() {
            let partition = clock.partitions.entry((record.topic.clone(), record.partition)).or_insert((None, *epoch));
            *partition = (partition.0.max(real.then_some(*time)), *epoch);
        }
        let now = clock.look(*epoch);
        for Arrival { record, time, .. } in data() {
            let line = serde_json::to_string(record).unwrap();
            let decoded = kcat::decode(line.as_bytes()).unwrap();
            let raw = decoded.as_raw();
            expected.evidence.insert(EvidenceId::of(raw.at, raw.timestamp.unwrap_or_default()).to_string());
            let judgement = gates.judge(&raw);
            let Some(dataset) = judgement.dataset else { continue };
            let start = time.div_euclid(width) * width;
            if now.is_some_and(|now| now >= start + width + grace) {
                expected.late += 1;
                continue;
            }
            let window = expected.windows.entry((dataset.urn.to_string(), start)).or_default();
            let of_producer = window.by_producer.entry(judgement.producer.id.to_string()).or_default();
            let (count, place) = match judgement.result.as_str() {
                "PASS" => (&mut window.pass, 0),
                "FAIL" => (&mut window.fail, 1),
                _ => (&mut window.warn, 2),
            };
            *count += 1;
            of_producer[place] += 1;
            if place == 1 {
                let codes: Vec<_> = judgement.reason_codes.iter().map(|code| code.as_str()).collect();
                *window.by_signature.entry(codes.join("+")).or_default() += 1;
            }
        }
    }
    for ((_, start), window) in &mut expected.windows {
        window.is_final = clock.reached.is_some_and(|reached| reached >= start + width);
    }
    expected
}
