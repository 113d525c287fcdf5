//! What one tick's records amount to, by dataset and window.
//!
//! Records come in runs: of one partition, mostly of one window, by few producers, failing for few reasons. So each level
//! is looked for among the few that were met lately, without hashing texts, and only what is beyond them goes to an
//! ordered map.

use std::{collections::BTreeMap, sync::Arc};

use faultline_contracts::{
    catalog::DatasetEntry,
    evidence::{FailureSample, GateResult},
    ids::EvidenceId,
    reason::{ReasonCode, Signature},
    time::UnixMillis,
    window::{FailureDigest, Verdicts, WindowKey, WindowTally},
};
use faultline_operators::{compliance::ComplianceDelta, gates::Judgement};
use rustc_hash::FxHashMap;

/// How many producers and signatures of a window are kept where they are found soonest.
const NEAR: usize = 8;

/// The tallies of a tick.
#[derive(Debug, Default)]
pub(super) struct TickTallies {
    windows: Vec<OpenTally>,
    /// The index of a window by its dataset's place in memory, which the tally keeps, and its start.
    index: FxHashMap<(usize, UnixMillis), usize>,
    latest: usize,
}

/// The records of one dataset and window.
#[derive(Debug)]
struct OpenTally {
    dataset: Arc<DatasetEntry>,
    start: UnixMillis,
    producers: Vec<(Arc<str>, Verdicts)>,
    signatures: Vec<(Box<[ReasonCode]>, FailureDigest)>,
    /// Beyond the near ones. Bounded by the records of one tick; the window operator holds the bound of a window.
    more_producers: BTreeMap<Arc<str>, Verdicts>,
    more_signatures: BTreeMap<Signature, FailureDigest>,
}

impl TickTallies {
    /// Counts one judged record of a dataset's window. `shared` gives a text that is kept, `topic` the record's topic.
    pub(super) fn count(
        &mut self,
        dataset: &Arc<DatasetEntry>,
        start: UnixMillis,
        judgement: &Judgement<'_>,
        id: EvidenceId,
        topic: &Arc<str>,
        mut shared: impl FnMut(&str) -> Arc<str>,
    ) {
        let tally = self.window(dataset, start);
        let verdict = match judgement.result {
            GateResult::Pass => Verdicts { pass: 1, ..Verdicts::default() },
            GateResult::Fail => Verdicts { fail: 1, ..Verdicts::default() },
            GateResult::Warn => Verdicts { warn: 1, ..Verdicts::default() },
        };
        tally.verdicts_of(&judgement.producer.id, &mut shared).add(verdict);
        if judgement.result == GateResult::Fail {
            tally.failures_of(judgement.reason_codes).insert(id, || FailureSample {
                id,
                topic: Arc::clone(topic),
                producer: shared(&judgement.producer.id),
                trace_id: judgement.trace_id,
                dag_run_id: judgement.dag_run_id.map(Into::into),
            });
        }
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Hands over the tallies, in the order of their keys.
    pub(super) fn drain(&mut self) -> Vec<ComplianceDelta> {
        self.index.clear();
        self.latest = 0;
        let mut deltas: Vec<_> = self.windows.drain(..).map(OpenTally::delta).collect();
        deltas.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        deltas
    }

    fn window(&mut self, dataset: &Arc<DatasetEntry>, start: UnixMillis) -> &mut OpenTally {
        let is_it = |tally: &OpenTally| tally.start == start && Arc::ptr_eq(&tally.dataset, dataset);
        if !self.windows.get(self.latest).is_some_and(is_it) {
            self.latest = *self.index.entry((Arc::as_ptr(dataset).addr(), start)).or_insert_with(|| {
                self.windows.push(OpenTally {
                    dataset: Arc::clone(dataset),
                    start,
                    producers: Vec::new(),
                    signatures: Vec::new(),
                    more_producers: BTreeMap::new(),
                    more_signatures: BTreeMap::new(),
                });
                self.windows.len() - 1
            });
        }
        &mut self.windows[self.latest]
    }
}

impl OpenTally {
    fn verdicts_of(&mut self, producer: &str, shared: impl FnOnce(&str) -> Arc<str>) -> &mut Verdicts {
        match self.producers.iter().position(|(known, _)| **known == *producer) {
            Some(place) => &mut self.producers[place].1,
            None if self.producers.len() < NEAR => {
                self.producers.push((shared(producer), Verdicts::default()));
                let last = self.producers.len() - 1;
                &mut self.producers[last].1
            }
            None => self.more_producers.entry(shared(producer)).or_default(),
        }
    }

    fn failures_of(&mut self, codes: &[ReasonCode]) -> &mut FailureDigest {
        match self.signatures.iter().position(|(known, _)| **known == *codes) {
            Some(place) => &mut self.signatures[place].1,
            None if self.signatures.len() < NEAR => {
                self.signatures.push((codes.into(), FailureDigest::default()));
                let last = self.signatures.len() - 1;
                &mut self.signatures[last].1
            }
            None => self.more_signatures.entry(Signature::of(codes)).or_default(),
        }
    }

    fn delta(self) -> ComplianceDelta {
        let Self { dataset, start, producers, signatures, more_producers, more_signatures } = self;
        let signatures = signatures.into_iter().map(|(codes, digest)| (Signature::of(&codes), digest));
        let mut tally = WindowTally {
            verdicts: Verdicts::default(),
            by_signature: more_signatures.into_iter().chain(signatures).collect(),
            by_producer: more_producers.into_iter().chain(producers).collect(),
        };
        for verdicts in tally.by_producer.values() {
            tally.verdicts.add(*verdicts);
        }
        ComplianceDelta { key: WindowKey { dataset: dataset.urn.clone(), start }, tally }
    }
}
