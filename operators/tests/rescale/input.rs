//! What happens outside: records of partitions, events, policies, tick by tick.

use std::{collections::BTreeMap, sync::Arc};

use faultline_contracts::{
    deployment::Deployment,
    evidence::FailureSample,
    ids::{EntityId, EvidenceId},
    lineage::{FlowEdge, FlowKind, LineageEvent},
    policy::{DatasetPolicy, Rollout},
    record::{RecordCoordinates, TopicPartition},
    time::UnixMillis,
    trace::ServiceSpan,
    window::{Verdicts, WindowTally},
};
use faultline_operators::positions::Position;

/// A record as the gates have judged it.
#[derive(Debug, Clone)]
pub struct Judged {
    pub partition: i32,
    pub dataset: usize,
    pub event_time: i64,
    /// `Ok` passes, `Err(Some(n))` fails with the n-th signature, `Err(None)` is a warning.
    pub result: Result<(), Option<usize>>,
    /// Of the partition's present topic. The first tick that has the record decides ([`Scenario::new`]).
    pub offset: i64,
}

impl Judged {
    pub fn count_into(&self, tally: &mut WindowTally) {
        let (verdicts, signature) = match self.result {
            Ok(()) => (Verdicts { pass: 1, ..Verdicts::default() }, None),
            Err(None) => (Verdicts { warn: 1, ..Verdicts::default() }, None),
            Err(Some(n)) => (Verdicts { fail: 1, ..Verdicts::default() }, Some(n)),
        };
        tally.verdicts.add(verdicts);
        tally.by_producer.get_or_default("orders-svc".into()).add(verdicts);
        if let Some(n) = signature {
            let at = RecordCoordinates { topic: "t", partition: self.partition, offset: self.offset };
            let id = EvidenceId::of(at, UnixMillis(self.event_time));
            let (topic, producer) = ("t".into(), "orders-svc".into());
            let sample = || FailureSample { id, topic, producer, trace_id: None, dag_run_id: None };
            tally.by_signature.get_or_default(format!("MISSING_FIELD:f{n}").as_str().into()).insert(id, sample);
        }
    }
}

pub fn dataset(n: usize) -> EntityId {
    format!("urn:dp:d{n}").into()
}

pub fn policy(n: usize, slo_millionths: u32) -> DatasetPolicy {
    DatasetPolicy {
        dataset: dataset(n),
        slo_millionths,
        tier: 1,
        rollout: Rollout::On,
        owners: Vec::new(),
        schema: None,
        contract: None,
    }
}

pub fn partition(number: i32) -> TopicPartition {
    TopicPartition { topic: "t".into(), partition: number }
}

/// What comes at one epoch.
#[derive(Debug, Clone, Default)]
pub struct Tick {
    pub epoch: u64,
    /// Partitions whose topic has been made anew: before this tick's records.
    pub anew: Vec<i32>,
    pub records: Vec<Judged>,
    /// Partitions that report whether or not they have been read.
    pub assigned: Vec<i32>,
    /// Datasets and the policies that they have from now on.
    pub policies: BTreeMap<usize, Option<DatasetPolicy>>,
    pub deployments: Vec<Deployment>,
    pub spans: Vec<ServiceSpan>,
    pub lineage: Vec<LineageEvent>,
    /// Whether the dataflow runs before this tick.
    pub step: bool,
}

impl Tick {
    pub fn reports_progress(&self) -> bool {
        !(self.anew.is_empty() && self.records.is_empty() && self.assigned.is_empty())
    }
}

/// The whole of it, in the order of epochs, each of which has at most one tick.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub ticks: Vec<Tick>,
}

impl Scenario {
    /// Gives records their offsets.
    pub fn new(mut ticks: Vec<Tick>) -> Self {
        let mut next = BTreeMap::<i32, i64>::new();
        for tick in &mut ticks {
            for partition in &tick.anew {
                next.insert(*partition, 0);
            }
            for record in &mut tick.records {
                // A topic has been there for longer than it is read.
                let next = next.entry(record.partition).or_insert(700);
                record.offset = *next;
                *next += 1;
            }
        }
        // A source does not move epochs on past its last report before it ends.
        if let Some(last) = ticks.last_mut() {
            last.assigned.push(0);
        }
        Self { ticks }
    }

    pub fn first_epoch(&self) -> u64 {
        self.ticks[0].epoch
    }

    pub fn last_epoch(&self) -> u64 {
        self.ticks[self.ticks.len() - 1].epoch
    }

    /// The policies after an epoch.
    pub fn policies_at(&self, epoch: u64) -> BTreeMap<usize, DatasetPolicy> {
        let mut policies = BTreeMap::new();
        for (&dataset, policy) in self.up_to(epoch).flat_map(|tick| &tick.policies) {
            match policy {
                Some(policy) => policies.insert(dataset, policy.clone()),
                None => policies.remove(&dataset),
            };
        }
        policies
    }

    /// How far partitions are read after an epoch, by the input alone: those of which something has been read, or
    /// that have begun anew.
    pub fn positions_at(&self, epoch: u64) -> BTreeMap<TopicPartition, Position> {
        let (mut next, mut anew) = (BTreeMap::<i32, i64>::new(), BTreeMap::<i32, usize>::new());
        for tick in self.up_to(epoch) {
            for &number in &tick.anew {
                next.insert(number, 0);
                *anew.entry(number).or_default() += 1;
            }
            for record in &tick.records {
                next.insert(record.partition, record.offset + 1);
            }
        }
        let position = |(number, next)| {
            let topic_id = topic_id(anew.get(&number).copied().unwrap_or(0));
            (partition(number), Position { next, topic_id })
        };
        next.into_iter().map(position).collect()
    }

    fn up_to(&self, epoch: u64) -> impl Iterator<Item = &Tick> {
        self.ticks.iter().take_while(move |tick| tick.epoch <= epoch)
    }
}

/// The id of a topic that was made anew so many times.
pub fn topic_id(anew: usize) -> Option<Arc<str>> {
    Some(format!("topic-{anew}").into())
}

/// What the catalog says of flows, all the time.
pub fn declared() -> Vec<FlowEdge> {
    let edge = |from: &str, to: &str, kind, since| FlowEdge {
        from: from.into(),
        to: to.into(),
        kind,
        since: UnixMillis(since),
    };
    vec![
        edge("t0", "dashboard", FlowKind::ConsumedBy, 0),
        edge("t1", EntityId::job("ns", "0").as_str(), FlowKind::Feeds, 10_050),
    ]
}
