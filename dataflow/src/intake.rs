//! One worker's intake: records go through the gates, their evidence to the evidence output, and what they amount to,
//! summed per tick, into the dataflow.
//!
//! ```text
//! record ──gates──► judgement ──┬─► evidence output (this worker's, in partition order)
//!                               └─► tally per (dataset, window) ──end of tick──► Pending ──► dataflow inputs
//! control record ──decode──► deployment, lineage event, span ──────────────────► Pending ──►
//! ```

use std::{fmt::Display, sync::Arc};

use faultline_contracts::{
    deployment::Deployment, evidence::GateResult, ids::EvidenceId, lineage::LineageEvent, record::RawRecord,
    time::UnixMillis, trace::ServiceSpan,
};
use faultline_operators::{
    compliance::ComplianceDelta,
    decode::{self, cdevents, openlineage, otlp},
    gates::Gates,
    watermark::PartitionProgress,
};
use rustc_hash::FxHashMap;

use self::{
    lane::{Lanes, OpenRange},
    tally::TickTallies,
};
use crate::{
    config::PassEvidence,
    metrics::{IntakeMetrics, RecordCounts},
    sources::{ControlRecord, Intake, TopicRole},
};

mod lane;
mod tally;
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
    tallies: TickTallies,
    producers: FxHashMap<Box<str>, Arc<str>>,
    lanes: Lanes,
    pending: Pending,
    json: Vec<u8>,
}

/// The most names of producers that are kept interned; beyond it they are made anew each time.
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
            tallies: TickTallies::default(),
            producers: FxHashMap::default(),
            lanes: Lanes::default(),
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
        let mut pending = std::mem::take(&mut self.pending);
        for lane in self.lanes.changed() {
            if let Some(range) = lane.range.take() {
                self.json.clear();
                range.evidence(&lane.partition, self.now).write_json(&mut self.json);
                self.evidence.write(self.epoch, Some(range.dataset.urn.as_str()), range.id, &self.json);
            }
            let rows = if lane.data { &mut pending.progress } else { &mut pending.control_progress };
            rows.push(lane.progress());
        }
        self.evidence.close_epoch(self.epoch);
        self.metrics.add(std::mem::take(&mut self.counts));
        self.epoch = next;
        pending.deltas = self.tallies.drain();
        pending
    }
}

impl<E: EvidenceOutput> Intake for WorkerIntake<E> {
    fn data(&mut self, record: &RawRecord<'_>, event_time: UnixMillis, high_water: bool) {
        let Self { gates, evidence, options, counts, epoch, now, tallies, producers, lanes, json, .. } = self;
        let at = record.at;
        let lane = lanes.of(at.topic, at.partition, true);
        lane.reached(at.offset, high_water.then_some(event_time));
        let id = lane.evidence_id(record.timestamp.unwrap_or_default(), at.offset);
        let judgement = gates.judge(record);
        counts.judged(judgement.result, record.payload.map_or(0, <[u8]>::len));

        if let Some(dataset) = judgement.dataset {
            let start = event_time.floor_to(options.window_ms);
            let topic = &lane.partition.topic;
            tallies.count(dataset, start, &judgement, id, topic, |producer| intern(producers, producer));
        }
        if judgement.result == GateResult::Pass {
            match (options.pass, judgement.dataset) {
                (PassEvidence::None, _) => return,
                (PassEvidence::Ranges, Some(dataset)) => {
                    lane.range
                        .get_or_insert_with(|| OpenRange::new(dataset, id, at.offset))
                        .take(at.offset, event_time);
                    return;
                }
                (PassEvidence::All, _) | (PassEvidence::Ranges, None) => {}
            }
        }
        json.clear();
        let own_time = record.timestamp.unwrap_or(event_time);
        judgement.evidence(id, at, own_time, now.unwrap_or(own_time)).write_json(json);
        let key = judgement.dataset.map(|dataset| dataset.urn.as_str());
        evidence.write(*epoch, key, id, json);
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
        self.lanes.of(record.at.topic, record.at.partition, false).reached(record.at.offset, None);
    }

    fn assigned(&mut self, topic: &Arc<str>, partition: i32) {
        self.lanes.of(topic, partition, true).reached(-1, None);
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
