//! One worker's intake: records go through the gates, their evidence to the evidence output, and what they amount to,
//! summed per tick, into the dataflow.
//!
//! ```text
//! record ──gates──► judgement ──┬─► evidence output (this worker's, in partition order)
//!                               └─► tally per (dataset, window) ──end of tick──► Pending ──► dataflow inputs
//! control record ──decode──► deployment, lineage event, span ──────────────────► Pending ──►
//! ```

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use faultline_contracts::{
    catalog::DatasetEntry,
    deployment::Deployment,
    evidence::{FailureSample, GateResult, RangeEvidence},
    ids::EvidenceId,
    lineage::LineageEvent,
    reason::Signature,
    record::{RawRecord, RecordCoordinates, TopicPartition},
    time::UnixMillis,
    trace::ServiceSpan,
    window::{FailureDigest, Verdicts, WindowKey, WindowTally},
};
use faultline_operators::{
    compliance::ComplianceDelta,
    decode::{self, cdevents, openlineage, otlp},
    gates::{Gates, Judgement},
    watermark::PartitionProgress,
};
use rustc_hash::FxHashMap;

use crate::{
    config::PassEvidence,
    metrics::{IntakeMetrics, RecordCounts},
    sources::{ControlRecord, Intake, TopicRole},
};

#[cfg(test)]
mod tests;

/// Where evidence goes from one worker.
pub trait EvidenceOutput {
    /// Takes one piece of evidence of epoch `epoch`. `key` is the dataset's URN. Never blocks and never refuses: a caller
    /// asks [`EvidenceOutput::ready`] between records.
    fn write(&mut self, epoch: u64, key: Option<&str>, id: EvidenceId, json: &[u8]);

    /// Whether it can take more now.
    fn ready(&mut self) -> bool;

    /// All evidence of epochs up to `epoch` has been written.
    fn close_epoch(&mut self, epoch: u64);

    /// No more evidence will come: everything is to be on its way, or told as lost.
    fn finish(&mut self);
}

impl<T: EvidenceOutput + ?Sized> EvidenceOutput for Box<T> {
    fn write(&mut self, epoch: u64, key: Option<&str>, id: EvidenceId, json: &[u8]) {
        (**self).write(epoch, key, id, json);
    }
    fn ready(&mut self) -> bool {
        (**self).ready()
    }
    fn close_epoch(&mut self, epoch: u64) {
        (**self).close_epoch(epoch);
    }
    fn finish(&mut self) {
        (**self).finish();
    }
}

/// What a tick brought, ready for the dataflow's inputs.
#[derive(Debug, Default)]
pub struct Pending {
    /// Records of windows.
    pub deltas: Vec<ComplianceDelta>,
    /// How far data partitions are.
    pub progress: Vec<PartitionProgress>,
    /// How far control partitions are.
    pub control_progress: Vec<PartitionProgress>,
    /// Decoded CDEvents.
    pub deployments: Vec<Deployment>,
    /// Decoded OpenLineage.
    pub lineage: Vec<LineageEvent>,
    /// Decoded OTLP.
    pub spans: Vec<ServiceSpan>,
}

/// Passing records of one partition that await their common evidence.
#[derive(Debug)]
struct OpenRange {
    dataset: Arc<DatasetEntry>,
    id: EvidenceId,
    offset_from: i64,
    offset_to: i64,
    count: u64,
    last_time: UnixMillis,
}

/// How a worker takes records in.
#[derive(Debug, Clone, Copy)]
pub struct IntakeOptions {
    /// Which passing records get evidence.
    pub pass: PassEvidence,
    /// Length of a window in milliseconds.
    pub window_ms: i64,
    /// Bounds of one lineage event.
    pub lineage: openlineage::Limits,
    /// Bounds of one span batch.
    pub spans: otlp::Limits,
}

/// One worker's intake.
pub struct WorkerIntake<E> {
    gates: Gates,
    evidence: E,
    options: IntakeOptions,
    metrics: Arc<IntakeMetrics>,
    counts: RecordCounts,
    epoch: u64,
    /// When evidence is made; `None` in a replay, where it is the record's own time.
    now: Option<UnixMillis>,
    tallies: FxHashMap<WindowKey, WindowTally>,
    producers: FxHashMap<Box<str>, Arc<str>>,
    topics: FxHashMap<Box<str>, Arc<str>>,
    progress: BTreeMap<TopicPartition, (i64, Option<UnixMillis>, bool)>,
    changed: Vec<TopicPartition>,
    ranges: BTreeMap<(Arc<str>, i32), OpenRange>,
    pending: Pending,
    json: Vec<u8>,
}

/// The most names of producers and topics that are kept interned; beyond it they are made anew each time.
const INTERNED: usize = 65_536;

fn intern(table: &mut FxHashMap<Box<str>, Arc<str>>, text: &str) -> Arc<str> {
    if let Some(known) = table.get(text) {
        return Arc::clone(known);
    }
    let shared: Arc<str> = text.into();
    if table.len() < INTERNED {
        table.insert(text.into(), Arc::clone(&shared));
    }
    shared
}

impl<E: EvidenceOutput> WorkerIntake<E> {
    /// An intake at epoch 0.
    pub fn new(gates: Gates, evidence: E, options: IntakeOptions, metrics: Arc<IntakeMetrics>) -> Self {
        Self {
            gates,
            evidence,
            options,
            metrics,
            counts: RecordCounts::default(),
            epoch: 0,
            now: None,
            tallies: FxHashMap::default(),
            producers: FxHashMap::default(),
            topics: FxHashMap::default(),
            progress: BTreeMap::new(),
            changed: Vec::new(),
            ranges: BTreeMap::new(),
            pending: Pending::default(),
            json: Vec::with_capacity(1024),
        }
    }

    /// The epoch that records now belong to.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The evidence output.
    pub fn evidence_mut(&mut self) -> &mut E {
        &mut self.evidence
    }

    /// Sets the wall clock by which evidence is stamped.
    pub fn set_now(&mut self, now: UnixMillis) {
        self.now = Some(now);
    }

    /// Ends the current epoch: hands over what it brought, and goes on with `next`.
    pub fn close_epoch(&mut self, next: u64) -> Pending {
        let ranges = std::mem::take(&mut self.ranges);
        for ((topic, partition), range) in ranges {
            self.write_range(&topic, partition, &range);
        }
        self.evidence.close_epoch(self.epoch);
        self.metrics.add(std::mem::take(&mut self.counts));
        self.epoch = next;
        let mut pending = std::mem::take(&mut self.pending);
        pending.deltas.extend(self.tallies.drain().map(|(key, tally)| ComplianceDelta { key, tally }));
        pending.deltas.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        for partition in self.changed.drain(..) {
            if let Some((offset, high_water, data)) = self.progress.get(&partition).copied() {
                let row = PartitionProgress { partition, offset, high_water };
                if data { &mut pending.progress } else { &mut pending.control_progress }.push(row);
            }
        }
        pending
    }

    /// Whether anything of the current epoch waits to be handed over.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.changed.is_empty()
    }

    fn write_range(&mut self, topic: &str, partition: i32, range: &OpenRange) {
        self.json.clear();
        RangeEvidence {
            id: range.id,
            timestamp: self.now.unwrap_or(range.last_time),
            dataset: &range.dataset.urn,
            from: RecordCoordinates { topic, partition, offset: range.offset_from },
            offset_to: range.offset_to,
            count: range.count,
            schema: range.dataset.schema.as_deref(),
            contract: range.dataset.contract.as_deref(),
        }
        .write_json(&mut self.json);
        self.evidence.write(self.epoch, Some(range.dataset.urn.as_str()), range.id, &self.json);
    }

    fn moved(&mut self, topic: &str, partition: i32, offset: i64, high_water: Option<UnixMillis>, data: bool) {
        let topic = intern(&mut self.topics, topic);
        let partition = TopicPartition { topic, partition };
        let entry = self.progress.entry(partition.clone()).or_insert((-1, None, data));
        entry.0 = entry.0.max(offset);
        entry.1 = entry.1.max(high_water);
        // A tick's records of one partition mostly come in one run.
        if self.changed.last() != Some(&partition) && !self.changed.contains(&partition) {
            self.changed.push(partition);
        }
    }
}

/// Adds one judged record to its window's tally.
fn count(
    tally: &mut WindowTally,
    judgement: &Judgement<'_>,
    producer: &Arc<str>,
    id: EvidenceId,
    topic: impl FnOnce() -> Arc<str>,
) {
    let verdict = match judgement.result {
        GateResult::Pass => Verdicts { pass: 1, ..Verdicts::default() },
        GateResult::Fail => Verdicts { fail: 1, ..Verdicts::default() },
        GateResult::Warn => Verdicts { warn: 1, ..Verdicts::default() },
    };
    tally.verdicts.add(verdict);
    // Bounded by the records of one tick; the window operator holds the bound of a window.
    match tally.by_producer.get_mut(producer) {
        Some(known) => known.add(verdict),
        None => {
            tally.by_producer.insert(Arc::clone(producer), verdict);
        }
    }
    if judgement.result == GateResult::Fail {
        let digest: &mut FailureDigest = tally.by_signature.entry(Signature::of(judgement.reason_codes)).or_default();
        digest.insert(id, || FailureSample {
            id,
            topic: topic(),
            producer: Arc::clone(producer),
            trace_id: judgement.trace_id,
            dag_run_id: judgement.dag_run_id.map(Into::into),
        });
    }
}

impl<E: EvidenceOutput> Intake for WorkerIntake<E> {
    fn data(&mut self, record: &RawRecord<'_>, event_time: UnixMillis, high_water: bool) {
        let at = record.at;
        let id = EvidenceId::of(at, record.timestamp.unwrap_or_default());
        let judgement = self.gates.judge(record);
        self.counts.judged(judgement.result, record.payload.map_or(0, <[u8]>::len));

        if let Some(dataset) = judgement.dataset {
            let key = WindowKey { dataset: dataset.urn.clone(), start: event_time.floor_to(self.options.window_ms) };
            let producer = intern(&mut self.producers, &judgement.producer.id);
            let topics = &mut self.topics;
            count(self.tallies.entry(key).or_default(), &judgement, &producer, id, || intern(topics, at.topic));
        }

        let of_its_own = match (judgement.result, judgement.dataset, self.options.pass) {
            (GateResult::Pass, _, PassEvidence::None) => false,
            (GateResult::Pass, Some(dataset), PassEvidence::Ranges) => {
                let topic = intern(&mut self.topics, at.topic);
                let range = self.ranges.entry((topic, at.partition)).or_insert_with(|| OpenRange {
                    dataset: Arc::clone(dataset),
                    id,
                    offset_from: at.offset,
                    offset_to: at.offset,
                    count: 0,
                    last_time: event_time,
                });
                range.offset_to = at.offset;
                range.count += 1;
                range.last_time = range.last_time.max(event_time);
                false
            }
            _ => true,
        };
        if of_its_own {
            self.json.clear();
            let own_time = record.timestamp.unwrap_or(event_time);
            let made = self.now.unwrap_or(own_time);
            judgement.evidence(id, at, own_time, made).write_json(&mut self.json);
            let key = judgement.dataset.map(|dataset| dataset.urn.as_str());
            self.evidence.write(self.epoch, key, id, &self.json);
        }
        self.moved(at.topic, at.partition, at.offset, high_water.then_some(event_time), true);
    }

    fn control(&mut self, role: TopicRole, record: &ControlRecord<'_>) {
        let names = Arc::clone(self.gates.catalog());
        let headers = decode::Headers(record.headers);
        // A null value in a control topic is a tombstone of log compaction; there is nothing to decode.
        if let Some(payload) = record.payload {
            let outcome = match role {
                TopicRole::Deployments => cdevents::decode(headers, payload, &*names).map(|deployment| {
                    self.pending.deployments.extend(deployment);
                }),
                TopicRole::Lineage => openlineage::decode(payload, &*names, self.options.lineage).map(|decoded| {
                    let openlineage::Omitted { inputs, outputs, columns, malformed } = decoded.omitted;
                    self.metrics.cut("lineage", (inputs + outputs + columns + malformed) as u64);
                    self.pending.lineage.extend(decoded.event);
                }),
                TopicRole::Spans => otlp::decode(headers, payload, &*names, self.options.spans).map(|decoded| {
                    let otlp::Omitted { unnamed, invalid, facts, links } = decoded.omitted;
                    self.metrics.cut("spans", (unnamed + invalid + facts + links) as u64);
                    self.pending.spans.extend(decoded.spans);
                }),
                TopicRole::Data | TopicRole::Own => Ok(()),
            };
            match outcome {
                Ok(()) => self.metrics.decoded(role),
                Err(error) => {
                    let place =
                        format_args!("{}[{}]@{}: {error}", record.at.topic, record.at.partition, record.at.offset);
                    self.rejected(rejection(role), &place);
                }
            }
        }
        self.moved(record.at.topic, record.at.partition, record.at.offset, None, false);
    }

    fn assigned(&mut self, topic: &Arc<str>, partition: i32) {
        self.moved(topic, partition, -1, None, true);
    }

    fn rejected(&mut self, reason: &'static str, detail: &dyn Display) {
        // The log must not grow with what a producer sends: the first, second, fourth, eighth … of a reason is told.
        let times = self.metrics.rejected(reason);
        if times.is_power_of_two() {
            tracing::warn!(reason, times, %detail, "input rejected");
        }
    }

    fn ready(&mut self) -> bool {
        self.evidence.ready()
    }
}

fn rejection(role: TopicRole) -> &'static str {
    match role {
        TopicRole::Deployments => "deployment_event",
        TopicRole::Lineage => "lineage_event",
        TopicRole::Spans => "span_batch",
        TopicRole::Data | TopicRole::Own => "record",
    }
}
