//! One worker's intake: records go through the gates, their evidence to the evidence output, and what they amount to,
//! summed per tick, into the dataflow.
//!
//! ```text
//! record ──gates──► judgement ──┬─► evidence output (this worker's, in partition order)
//!                               └─► tally per (dataset, window) ──end of tick──► Pending ──► dataflow inputs
//! control record ──decode──► deployment, lineage event, span ──────────────────► Pending ──►
//! ```
//!
//! A record whose schema is still being looked up is held, and so are all that come behind it in its partition: nothing
//! overtakes, the partition's progress stays before it, and the worker goes on with others. [`WorkerIntake::settle`] takes
//! them up again.

use std::{collections::VecDeque, fmt::Display, sync::Arc};

use faultline_contracts::{
    catalog::Catalog,
    deployment::Deployment,
    evidence::GateResult,
    ids::EvidenceId,
    lineage::LineageEvent,
    record::{RawRecord, TopicPartition},
    time::UnixMillis,
    trace::ServiceSpan,
};
use faultline_operators::{
    compliance::ComplianceDelta,
    decode::{self, cdevents, openlineage, otlp},
    gates::{Carried, Gates},
    positions::PartitionBegin,
    watermark::PartitionProgress,
};
use rustc_hash::FxHashMap;

use self::{
    held::HeldRecord,
    lane::{Lanes, OpenRange},
    schemas::Schemas,
    tally::TickTallies,
};
use crate::{
    config::PassEvidence,
    metrics::{IntakeMetrics, RecordCounts},
    sources::{ControlRecord, Intake, TopicRole},
};

mod held;
mod lane;
pub mod schemas;
mod tally;
#[cfg(test)]
mod tests;

/// Where evidence goes from one worker.
pub trait EvidenceOutput {
    /// Takes one piece of evidence of epoch `epoch`, made at `made_at`. `key` is the dataset's URN. Never blocks and never
    /// refuses: a caller asks [`EvidenceOutput::ready`] between records.
    fn write(&mut self, epoch: u64, key: Option<&str>, id: EvidenceId, made_at: UnixMillis, json: &[u8]);

    /// Whether it can take more now.
    fn ready(&mut self) -> bool;

    /// All evidence of epochs up to `epoch` has been written.
    fn close_epoch(&mut self, epoch: u64);

    /// Whether it goes on where evidence of an earlier run ends, to the record. What it is not asked for otherwise:
    /// [`EvidenceOutput::written_before`] and [`EvidenceOutput::reached`].
    fn resumes() -> bool
    where
        Self: Sized,
    {
        false
    }

    /// The offset before which an earlier run has written all evidence of a partition, if it has written any. It is asked
    /// once, before the partition's first record.
    fn written_before(&mut self, partition: &TopicPartition) -> Option<i64> {
        let _ = partition;
        None
    }

    /// All evidence that there will be of a partition's records before the offset `next` has been written. To be told
    /// before an epoch is closed, of partitions that have moved in it.
    fn reached(&mut self, partition: &TopicPartition, next: i64) {
        let _ = (partition, next);
    }

    /// Why no evidence can be written any more, if so: the worker has to end.
    fn ended(&self) -> Option<String> {
        None
    }

    /// Of epochs before this one, all evidence that was written is where it was to go. `u64::MAX` while none is on its
    /// way.
    fn durable_before(&self) -> u64 {
        u64::MAX
    }

    /// No more evidence will come: everything is to be on its way, or told as lost.
    fn finish(&mut self);
}

impl<T: EvidenceOutput + ?Sized> EvidenceOutput for Box<T> {
    fn write(&mut self, epoch: u64, key: Option<&str>, id: EvidenceId, made_at: UnixMillis, json: &[u8]) {
        (**self).write(epoch, key, id, made_at, json);
    }
    fn ready(&mut self) -> bool {
        (**self).ready()
    }
    fn close_epoch(&mut self, epoch: u64) {
        (**self).close_epoch(epoch);
    }
    fn durable_before(&self) -> u64 {
        (**self).durable_before()
    }
    fn ended(&self) -> Option<String> {
        (**self).ended()
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
    /// Partitions that are read from somewhere on.
    pub begins: Vec<PartitionBegin>,
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
    /// Most bytes of records that wait for their schemas; beyond it nothing more is taken until some have settled.
    pub held_bytes: usize,
    /// Bounds of one lineage event.
    pub lineage: openlineage::Limits,
    /// Bounds of one span batch.
    pub spans: otlp::Limits,
}

/// Records that were held, and were judged in one epoch.
#[derive(Debug, Clone, Copy)]
struct Settled {
    /// The epoch in which the first of them came.
    since: u64,
    /// The epoch in which they were judged.
    epoch: u64,
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
    schemas: Schemas,
    /// The places of the lanes that hold records.
    holding: Vec<usize>,
    /// Of all records held.
    held_bytes: usize,
    settled: VecDeque<Settled>,
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
    /// An intake at epoch 0. `schemas` knows the schemas that records carry.
    pub fn new(
        gates: Gates,
        schemas: Schemas,
        evidence: E,
        options: IntakeOptions,
        metrics: Arc<IntakeMetrics>,
    ) -> Self {
        Self {
            gates,
            schemas,
            holding: Vec::new(),
            held_bytes: 0,
            settled: VecDeque::new(),
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

    /// All evidence of records that came in epochs before this one is where it was to go.
    #[must_use]
    pub fn durable_before(&self) -> u64 {
        let written = self.evidence.durable_before().min(self.epoch);
        // A record that was held has its evidence in a later epoch than the one in which it came.
        let settled = self.settled.iter().filter(|settled| written <= settled.epoch).map(|settled| settled.since);
        settled.chain(self.held_since()).fold(written, u64::min)
    }

    /// The evidence output.
    pub fn evidence_mut(&mut self) -> &mut E {
        &mut self.evidence
    }

    /// Puts another catalog in force for the epoch that was just opened: gates judge and decoders name by it from now on.
    /// What earlier records have left, such as ranges of passing ones, has gone out with the epoch before.
    pub fn set_catalog(&mut self, catalog: Arc<Catalog>) {
        debug_assert!(self.tallies.is_empty(), "a catalog changes between epochs");
        self.gates.set_catalog(catalog);
    }

    /// Sets the wall clock by which evidence is stamped.
    pub fn set_now(&mut self, now: UnixMillis) {
        self.now = Some(now);
    }

    /// Ends the current epoch: hands over what it brought, and goes on with `next`.
    pub fn close_epoch(&mut self, next: u64) -> Pending {
        let mut pending = std::mem::take(&mut self.pending);
        for &place in &self.holding {
            if let Some(lane) = self.lanes.at(place) {
                lane.hold_watermark();
            }
        }
        for lane in self.lanes.changed() {
            if let Some(range) = lane.range.take() {
                self.json.clear();
                let evidence = range.evidence(&lane.partition, self.now);
                evidence.write_json(&mut self.json);
                let key = Some(range.dataset.urn.as_str());
                self.evidence.write(self.epoch, key, range.id, evidence.timestamp, &self.json);
            }
            if E::resumes()
                && let Some(next) = lane.written_before()
            {
                self.evidence.reached(&lane.partition, next);
            }
            let rows = if lane.data { &mut pending.progress } else { &mut pending.control_progress };
            rows.push(lane.progress());
        }
        self.evidence.close_epoch(self.epoch);
        let written = self.evidence.durable_before().min(next);
        while self.settled.front().is_some_and(|settled| settled.epoch < written) {
            self.settled.pop_front();
        }
        self.metrics.add(std::mem::take(&mut self.counts));
        self.epoch = next;
        pending.deltas = self.tallies.drain();
        pending
    }
}

impl<E: EvidenceOutput> WorkerIntake<E> {
    /// Judges one record; `false`, and nothing done, where its schema is still being looked up.
    fn judge(&mut self, record: &RawRecord<'_>, event_time: UnixMillis, high_water: bool) -> bool {
        let Self { gates, schemas, evidence, options, counts, epoch, now, tallies, producers, lanes, json, .. } = self;
        let carried = match gates.schema_id(record) {
            Some(id) => schemas.of(id),
            None => Some(Carried::Unasked),
        };
        let Some(carried) = carried else { return false };
        let at = record.at;
        let lane = lanes.of(at.topic, at.partition, true);
        lane.reached(at.offset, high_water.then_some(event_time));
        let id = lane.evidence_id(record.timestamp.unwrap_or_default(), at.offset);
        let judgement = gates.judge_by(record, carried);
        counts.judged(judgement.result, record.payload.map_or(0, <[u8]>::len), judgement.schema_drifts);

        if let Some(dataset) = judgement.dataset {
            let start = event_time.floor_to(options.window_ms);
            let topic = &lane.partition.topic;
            tallies.count(dataset, start, &judgement, id, topic, |producer| intern(producers, producer));
        }
        if E::resumes() && at.offset < lane.evidence_from {
            // It has its evidence. No range begins before that offset, so that none reaches over it.
            return true;
        }
        if judgement.result == GateResult::Pass {
            match (options.pass, judgement.dataset) {
                (PassEvidence::None, _) => return true,
                (PassEvidence::Ranges, Some(dataset)) => {
                    if let Some(ended) = lane.range.take_if(|range| !range.admits(dataset, &judgement)) {
                        json.clear();
                        let certified = ended.evidence(&lane.partition, *now);
                        certified.write_json(json);
                        evidence.write(*epoch, Some(ended.dataset.urn.as_str()), ended.id, certified.timestamp, json);
                    }
                    lane.range
                        .get_or_insert_with(|| OpenRange::new(dataset, &judgement, id, at.offset))
                        .take(at.offset, event_time);
                    return true;
                }
                (PassEvidence::All, _) | (PassEvidence::Ranges, None) => {}
            }
        }
        json.clear();
        let own_time = record.timestamp.unwrap_or(event_time);
        let made_at = now.unwrap_or(own_time);
        judgement.evidence(id, at, own_time, made_at).write_json(json);
        let key = judgement.dataset.map(|dataset| dataset.urn.as_str());
        evidence.write(*epoch, key, id, made_at, json);
        true
    }

    /// Judges records that were held and whose schemas have settled, at most `budget` of them, and says how many. To be
    /// called between polls: a partition's held records come before its next ones.
    pub fn settle(&mut self, budget: usize) -> usize {
        let Some(since) = self.held_since() else { return 0 };
        let mut judged = 0;
        let mut holding = std::mem::take(&mut self.holding);
        holding.retain(|&place| {
            let Some(partition) = self.lanes.get(place).map(|lane| lane.partition.clone()) else { return false };
            while let Some(record) = self.lanes.at(place).and_then(|lane| lane.held.pop_front()) {
                let raw = record.as_raw(&partition.topic, partition.partition);
                let more = judged < budget && self.evidence.ready();
                if !more || !self.judge(&raw, record.event_time, record.high_water) {
                    if let Some(lane) = self.lanes.at(place) {
                        lane.held.push_front(record);
                    }
                    return true;
                }
                self.held_bytes = self.held_bytes.saturating_sub(record.bytes());
                self.metrics.held.dec();
                judged += 1;
            }
            false
        });
        self.holding = holding;
        if judged > 0 {
            match self.settled.back_mut().filter(|last| last.epoch == self.epoch) {
                Some(last) => last.since = last.since.min(since),
                None => self.settled.push_back(Settled { since, epoch: self.epoch }),
            }
        }
        judged
    }

    /// The epoch in which the first record came that is held now. Nothing from it on is as good as taken.
    #[must_use]
    pub fn held_since(&self) -> Option<u64> {
        self.holding.iter().filter_map(|&place| Some(self.lanes.get(place)?.held.front()?.epoch)).min()
    }

    /// Lets go of the records that are held when no more will be judged, and says how many: they count as not read.
    pub fn abandon_held(&mut self) -> usize {
        let mut records = 0;
        for place in std::mem::take(&mut self.holding) {
            records += self.lanes.at(place).map_or(0, |lane| std::mem::take(&mut lane.held).len());
        }
        self.held_bytes = 0;
        if records > 0 {
            self.metrics.held.dec_by(records as i64);
            tracing::warn!(
                records,
                "stopped before their schemas were known; they have no evidence, and are to be read again"
            );
        }
        records
    }
}

impl<E: EvidenceOutput> Intake for WorkerIntake<E> {
    fn data(&mut self, record: &RawRecord<'_>, event_time: UnixMillis, high_water: bool) {
        let at = record.at;
        let waits = !self.holding.is_empty() && !self.lanes.of(at.topic, at.partition, true).held.is_empty();
        if !waits && self.judge(record, event_time, high_water) {
            return;
        }
        if waits && let Some(id) = self.gates.schema_id(record) {
            // Its schema is looked up while it waits, or a partition of many new schemas would take one look-up after the other.
            let _ = self.schemas.of(id);
        }
        let held = HeldRecord::new(record, event_time, high_water, self.epoch);
        self.held_bytes += held.bytes();
        self.metrics.held.inc();
        let place = self.lanes.place_of(at.topic, at.partition);
        if !waits {
            self.holding.push(place);
        }
        if let Some(lane) = self.lanes.at(place) {
            lane.held.push_back(held);
        }
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

    fn begins(&mut self, role: TopicRole, mut begin: PartitionBegin) {
        let TopicPartition { topic, partition } = &begin.partition;
        let lane = self.lanes.of(topic, *partition, role == TopicRole::Data);
        // Those that are held have been read and not been judged: a restart is to read them again.
        let held = lane.held.front().map_or(i64::MAX, |record| record.offset());
        begin.position.next = begin.position.next.min(held);
        lane.begin(begin.position.next);
        self.pending.begins.push(begin);
    }

    fn reads_on(&mut self, partition: &TopicPartition, at: i64, end: i64, anew: bool) {
        if !E::resumes() {
            return;
        }
        let Self { lanes, evidence, .. } = self;
        let lane = lanes.of(&partition.topic, partition.partition, true);
        if !lane.begun {
            lane.resume(at, end, evidence.written_before(partition));
        } else if anew {
            lane.resume(at, end, None);
        }
    }

    fn rejected(&mut self, reason: &'static str, detail: &dyn Display) {
        // The log must not grow with what a producer sends: the first, second, fourth, eighth … of a reason is told.
        let times = self.metrics.rejected(reason);
        if times.is_power_of_two() {
            tracing::warn!(reason, times, %detail, "input rejected");
        }
    }

    fn ready(&mut self) -> bool {
        self.held_bytes < self.options.held_bytes && self.evidence.ready()
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
