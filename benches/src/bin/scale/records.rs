//! Judged records over the windows alive, as they come from the gates.

use std::sync::Arc;

use faultline_benches::random::SplitMix64;
use faultline_contracts::{
    evidence::FailureSample,
    ids::{EntityId, EvidenceId},
    reason::Signature,
    time::UnixMillis,
    window::{Verdicts, WindowKey, WindowTally},
};
use faultline_operators::compliance::ComplianceDelta;
use rustc_hash::FxHashMap;

/// One record in this many fails.
const FAILING: u64 = 5;

/// What the gates found out about one record.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    dataset: u32,
    start: UnixMillis,
    reason: Option<u8>,
    id: EvidenceId,
}

/// Makes records: datasets, live windows and reasons are equally likely.
pub struct Records {
    random: SplitMix64,
    datasets: Vec<EntityId>,
    reasons: Vec<Signature>,
    topic: Arc<str>,
    topic_hash: u32,
    producer: Arc<str>,
    offset: i64,
}

impl Records {
    /// Records of this many datasets and ways to fail.
    pub fn new(datasets: u32, reasons: u8) -> Self {
        Self {
            random: SplitMix64(17),
            datasets: (0..datasets).map(|n| format!("urn:dp:domain{}:dataset{n}", n % 50).into()).collect(),
            reasons: (0..reasons).map(|n| format!("MISSING_FIELD:field{n}").as_str().into()).collect(),
            topic: "raw.events".into(),
            topic_hash: EvidenceId::topic_hash("raw.events"),
            producer: "svc".into(),
            offset: 0,
        }
    }

    /// An epoch's records, of the windows of `width` ms that start at one of `starts`.
    pub fn epoch(&mut self, count: u64, starts: &[UnixMillis], width: i64) -> Vec<Judged> {
        let one = |_| {
            self.offset += 1;
            let start = self.random.of(starts);
            let at = start.plus(self.offset % width);
            Judged {
                dataset: self.random.below(self.datasets.len() as u64) as u32,
                start,
                reason: (self.random.below(FAILING) == 0).then(|| self.random.below(self.reasons.len() as u64) as u8),
                id: EvidenceId::from_parts(at, self.topic_hash, 0, self.offset),
            }
        };
        (0..count).map(one).collect()
    }

    /// A passing record of each dataset, in the window that starts then.
    pub fn each(&mut self, start: UnixMillis) -> Vec<ComplianceDelta> {
        let one = |dataset| {
            self.offset += 1;
            let id = EvidenceId::from_parts(start, self.topic_hash, 0, self.offset);
            Judged { dataset, start, reason: None, id }
        };
        let records: Vec<_> = (0..self.datasets.len() as u32).map(one).collect();
        self.apart(&records)
    }

    /// Each record as a delta of its own.
    pub fn apart(&self, records: &[Judged]) -> Vec<ComplianceDelta> {
        let delta = |record: &Judged| {
            let mut tally = WindowTally::default();
            self.count(&mut tally, record);
            ComplianceDelta { key: self.key(record), tally }
        };
        records.iter().map(delta).collect()
    }

    /// The records summed per dataset and window, as a worker's intake does it in a tick.
    pub fn tallied(&self, records: &[Judged]) -> Vec<ComplianceDelta> {
        let mut tallies = FxHashMap::<WindowKey, WindowTally>::default();
        for record in records {
            self.count(tallies.entry(self.key(record)).or_default(), record);
        }
        let mut deltas: Vec<_> = tallies.into_iter().map(|(key, tally)| ComplianceDelta { key, tally }).collect();
        deltas.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        deltas
    }

    fn key(&self, record: &Judged) -> WindowKey {
        WindowKey { dataset: self.datasets[record.dataset as usize].clone(), start: record.start }
    }

    fn count(&self, tally: &mut WindowTally, record: &Judged) {
        let one = match record.reason {
            None => Verdicts { pass: 1, ..Verdicts::default() },
            Some(_) => Verdicts { fail: 1, ..Verdicts::default() },
        };
        tally.verdicts.add(one);
        tally.by_producer.get_or_default(Arc::clone(&self.producer)).add(one);
        if let Some(reason) = record.reason {
            let digest = tally.by_signature.get_or_default(self.reasons[usize::from(reason)].clone());
            digest.insert(record.id, || FailureSample {
                id: record.id,
                topic: Arc::clone(&self.topic),
                producer: Arc::clone(&self.producer),
                trace_id: None,
                dag_run_id: None,
            });
        }
    }
}
