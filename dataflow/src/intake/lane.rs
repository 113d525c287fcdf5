//! What an intake keeps of each partition that it reads.

use std::{collections::VecDeque, sync::Arc};

use faultline_contracts::{
    catalog::DatasetEntry,
    evidence::{RangeEvidence, SchemaDrift},
    ids::EvidenceId,
    record::{RecordCoordinates, TopicPartition},
    time::UnixMillis,
};
use faultline_operators::{gates::Judgement, watermark::PartitionProgress};
use rustc_hash::FxHashMap;

use super::held::HeldRecord;

/// One partition.
#[derive(Debug)]
pub(super) struct Lane {
    /// Which.
    pub(super) partition: TopicPartition,
    /// Whether its records are data.
    pub(super) data: bool,
    /// Passing records that await their common evidence.
    pub(super) range: Option<OpenRange>,
    /// Records that wait for the schema of the first of them, in offset order.
    pub(super) held: VecDeque<HeldRecord>,
    /// Where evidence resumes: records before this offset have theirs from an earlier run.
    pub(super) evidence_from: i64,
    /// Whether it is known where evidence resumes.
    pub(super) begun: bool,
    topic_hash: u32,
    offset: i64,
    high_water: Option<UnixMillis>,
    changed: bool,
}

impl Lane {
    fn new(topic: Arc<str>, partition: i32, data: bool) -> Self {
        let topic_hash = EvidenceId::topic_hash(&topic);
        let partition = TopicPartition { topic, partition };
        Self {
            partition,
            data,
            range: None,
            held: VecDeque::new(),
            evidence_from: 0,
            begun: false,
            topic_hash,
            offset: -1,
            high_water: None,
            changed: false,
        }
    }

    /// Notes a record, or with offset −1 that the partition is read.
    pub(super) fn reached(&mut self, offset: i64, high_water: Option<UnixMillis>) {
        self.offset = self.offset.max(offset);
        self.high_water = self.high_water.max(high_water);
        self.changed = true;
    }

    /// Notes that it is read from this offset on, which may be before what was read: its topic was made anew then.
    pub(super) fn begin(&mut self, next: i64) {
        self.offset = next.saturating_sub(1);
        self.changed = true;
    }

    /// Its log, of which `at` is read next, ends at `end`. Evidence of records before `written` is there, unless the log is
    /// another by now, or shorter than it was; without it, no record from `at` on has any.
    pub(super) fn resume(&mut self, at: i64, end: i64, written: Option<i64>) {
        self.begun = true;
        self.evidence_from = written.map_or(at, |written| written.min(end));
    }

    /// The offset before which all records have their evidence, or will not get any; `None` where there is none.
    pub(super) fn written_before(&self) -> Option<i64> {
        let first_held = self.held.front().map(HeldRecord::offset);
        let next = first_held.map_or(self.offset + 1, |held| held.min(self.offset + 1));
        (self.data && self.begun && next > 0).then(|| self.evidence_from.max(next))
    }

    /// The id of the evidence about one of its records.
    pub(super) fn evidence_id(&self, timestamp: UnixMillis, offset: i64) -> EvidenceId {
        EvidenceId::from_parts(timestamp, self.topic_hash, self.partition.partition, offset)
    }

    /// Has its progress told again at the end of this epoch, whether or not there is any: it holds the watermark so.
    pub(super) fn hold_watermark(&mut self) {
        self.changed = true;
    }

    /// How far it is read.
    pub(super) fn progress(&self) -> PartitionProgress {
        PartitionProgress { partition: self.partition.clone(), offset: self.offset, high_water: self.high_water }
    }
}

/// All partitions of a worker. Records come in runs of one partition, so the latest is looked at first.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    index: FxHashMap<Arc<str>, FxHashMap<i32, usize>>,
    latest: usize,
}

impl Lanes {
    /// The lane of a partition; a new one where it was not seen before. `data` says what its records are.
    pub(super) fn of(&mut self, topic: &str, partition: i32, data: bool) -> &mut Lane {
        let is_it = |lane: &Lane| lane.partition.partition == partition && *lane.partition.topic == *topic;
        if !self.lanes.get(self.latest).is_some_and(is_it) {
            self.latest = match self.index.get(topic).and_then(|them| them.get(&partition)) {
                Some(&known) => known,
                None => self.add(topic, partition, data),
            };
        }
        &mut self.lanes[self.latest]
    }

    /// The lanes that records came to since this was last asked.
    pub(super) fn changed(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.lanes.iter_mut().filter_map(|lane| std::mem::take(&mut lane.changed).then_some(lane))
    }

    /// The place of the lane of a partition, by which [`Lanes::at`] finds it.
    pub(super) fn place_of(&mut self, topic: &str, partition: i32) -> usize {
        self.of(topic, partition, true);
        self.latest
    }

    /// The lane at a place, to be looked at.
    pub(super) fn get(&self, place: usize) -> Option<&Lane> {
        self.lanes.get(place)
    }

    /// The lane at a place.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Lane> {
        self.lanes.get_mut(place)
    }

    fn add(&mut self, topic: &str, partition: i32, data: bool) -> usize {
        let name = self.index.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| Arc::clone(name));
        self.lanes.push(Lane::new(Arc::clone(&name), partition, data));
        self.index.entry(name).or_default().insert(partition, self.lanes.len() - 1);
        self.lanes.len() - 1
    }
}

/// A run of passing records of one partition, judged by one schema.
#[derive(Debug)]
pub(super) struct OpenRange {
    /// Their dataset.
    pub(super) dataset: Arc<DatasetEntry>,
    schema: Option<Arc<str>>,
    schema_drifts: bool,
    /// The evidence id of the first.
    pub(super) id: EvidenceId,
    from: i64,
    to: i64,
    count: u64,
    last_time: UnixMillis,
}

impl OpenRange {
    /// A range that begins with the record at `offset`, judged as here, without it.
    pub(super) fn new(dataset: &Arc<DatasetEntry>, judgement: &Judgement<'_>, id: EvidenceId, offset: i64) -> Self {
        Self {
            dataset: Arc::clone(dataset),
            schema: judgement.schema.cloned(),
            schema_drifts: judgement.schema_drifts,
            id,
            from: offset,
            to: offset,
            count: 0,
            last_time: UnixMillis(i64::MIN),
        }
    }

    /// Whether a record that was judged so can be one of it.
    pub(super) fn admits(&self, dataset: &Arc<DatasetEntry>, judgement: &Judgement<'_>) -> bool {
        // Names are shared: the same one mostly is the same place in memory.
        let same_schema = match (&self.schema, judgement.schema) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs) || ours == theirs,
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        same_schema && Arc::ptr_eq(&self.dataset, dataset)
    }

    /// Takes a record in.
    pub(super) fn take(&mut self, offset: i64, event_time: UnixMillis) {
        self.to = offset;
        self.count += 1;
        self.last_time = self.last_time.max(event_time);
    }

    /// Its evidence, made at `now`, or in a replay at the time of its last record.
    pub(super) fn evidence<'a>(&'a self, partition: &'a TopicPartition, now: Option<UnixMillis>) -> RangeEvidence<'a> {
        RangeEvidence {
            id: self.id,
            timestamp: now.unwrap_or(self.last_time),
            dataset: &self.dataset.urn,
            from: RecordCoordinates { topic: &partition.topic, partition: partition.partition, offset: self.from },
            offset_to: self.to,
            count: self.count,
            schema: self.schema.as_deref(),
            schema_drift: self.schema_drift(),
            contract: self.dataset.contract.as_deref(),
            contract_version: self.dataset.contract_version.as_deref(),
        }
    }
    fn schema_drift(&self) -> Option<SchemaDrift<'_>> {
        let (record, catalog) = self.schema.as_deref().zip(self.dataset.schema.as_deref())?;
        self.schema_drifts.then_some(SchemaDrift { catalog, record })
    }
}
