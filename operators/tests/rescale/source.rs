//! What a source makes of the input: it begins partitions, and tells how far they are from what it has read itself.

use std::collections::{BTreeMap, BTreeSet};

use faultline_contracts::{
    deployment::Deployment,
    lineage::LineageEvent,
    policy::DatasetPolicy,
    record::TopicPartition,
    time::UnixMillis,
    trace::ServiceSpan,
    window::{WindowKey, WindowTally},
};
use faultline_operators::{
    compliance::ComplianceDelta,
    positions::{PartitionBegin, Position},
    watermark::PartitionProgress,
};

use crate::{
    input::{Tick, dataset, partition, topic_id},
    leg::window_options,
};

/// What is sent at one epoch. Rows of partitions come with their partitions.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    pub deltas: Vec<(i32, ComplianceDelta)>,
    pub progress: Vec<(i32, PartitionProgress)>,
    pub begins: Vec<(i32, PartitionBegin)>,
    pub deployments: Vec<Deployment>,
    pub spans: Vec<ServiceSpan>,
    pub lineage: Vec<LineageEvent>,
    pub policies: Vec<(DatasetPolicy, isize)>,
    /// Whether the dataflow runs before this is sent.
    pub step: bool,
}

/// One partition as the source of one run knows it. Like the engine's, it says offset −1 until it has found where
/// to begin, and knows no event time of before.
struct Lane {
    offset: i64,
    high_water: Option<UnixMillis>,
    begun: bool,
}

/// The source of one run.
pub struct Source {
    lanes: BTreeMap<i32, Lane>,
    /// Where an earlier run had come to.
    positions: BTreeMap<TopicPartition, Position>,
    policies: BTreeMap<usize, DatasetPolicy>,
    anew: BTreeMap<i32, usize>,
}

impl Source {
    pub fn new(positions: BTreeMap<TopicPartition, Position>, policies: BTreeMap<usize, DatasetPolicy>) -> Self {
        Self { lanes: BTreeMap::new(), positions, policies, anew: BTreeMap::new() }
    }

    /// Notes a tick that an earlier run has taken.
    pub fn skip(&mut self, tick: &Tick) {
        for &number in &tick.anew {
            *self.anew.entry(number).or_default() += 1;
        }
    }

    pub fn take(&mut self, tick: &Tick) -> Sent {
        let Tick { epoch: _, anew, records, assigned, policies, deployments, spans, lineage, step } = tick;
        self.skip(tick);
        let mut sent = Sent { step: *step, ..Sent::default() };
        (sent.deployments, sent.spans, sent.lineage) = (deployments.clone(), spans.clone(), lineage.clone());
        for &number in anew {
            self.begin(number, 0, &mut sent);
        }
        let mut tallies = BTreeMap::<(i32, WindowKey), WindowTally>::new();
        for record in records {
            if !self.lane(record.partition).begun {
                self.begin(record.partition, record.offset, &mut sent);
            }
            let lane = self.lane(record.partition);
            lane.offset = lane.offset.max(record.offset);
            lane.high_water = lane.high_water.max(Some(UnixMillis(record.event_time)));
            let start = UnixMillis(record.event_time).floor_to(window_options().width_ms as i64);
            let key = WindowKey { dataset: dataset(record.dataset), start };
            record.count_into(tallies.entry((record.partition, key)).or_default());
        }
        let delta = |((number, key), tally)| (number, ComplianceDelta { key, tally });
        sent.deltas = tallies.into_iter().map(delta).collect();
        let heard_of: BTreeSet<_> =
            anew.iter().chain(assigned).copied().chain(records.iter().map(|record| record.partition)).collect();
        for number in heard_of {
            let Lane { offset, high_water, .. } = *self.lane(number);
            sent.progress.push((number, PartitionProgress { partition: partition(number), offset, high_water }));
        }
        for (&dataset, policy) in policies {
            let old = match policy {
                Some(policy) => self.policies.insert(dataset, policy.clone()),
                None => self.policies.remove(&dataset),
            };
            sent.policies.extend(old.map(|old| (old, -1)));
            sent.policies.extend(policy.clone().map(|new| (new, 1)));
        }
        sent
    }

    fn lane(&mut self, number: i32) -> &mut Lane {
        self.lanes.entry(number).or_insert(Lane { offset: -1, high_water: None, begun: false })
    }

    fn begin(&mut self, number: i32, next: i64, sent: &mut Sent) {
        let position = Position { next, topic_id: topic_id(self.anew.get(&number).copied().unwrap_or(0)) };
        let known = self.positions.remove(&partition(number));
        if let Some(known) = known.filter(|known| known.topic_id == position.topic_id) {
            assert_eq!(known, position, "nothing is left out, and nothing is read twice");
        }
        let lane = self.lane(number);
        (lane.offset, lane.begun) = (next - 1, true);
        sent.begins.push((number, PartitionBegin { partition: partition(number), position }));
    }
}
