//! The run that all others are held against, and what is compared.

use std::collections::BTreeSet;

use faultline_operators::{
    positions::positions_of,
    state::{Section, StateChunk},
};

use crate::{
    dataflow::run,
    input::Scenario,
    leg::{Leg, Options, Ran, Restored},
    source::Source,
};

/// Rows of state, whatever chunks they are in and whoever handed them out.
pub type Rows = Vec<(Section, Vec<u8>)>;

pub fn rows_of(chunks: &[StateChunk]) -> Rows {
    let mut rows = Rows::new();
    for chunk in chunks {
        let mut rest = chunk.bytes();
        while !rest.is_empty() {
            let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
            let (row, after) = rest.split_at(12 + length);
            rows.push((chunk.section(), row.to_vec()));
            rest = after;
        }
    }
    rows.sort();
    rows
}

/// A scenario, and what comes of it when nobody disturbs it.
pub struct Undisturbed<'a> {
    pub scenario: &'a Scenario,
    options: Options,
    pub ran: Ran,
}

impl<'a> Undisturbed<'a> {
    pub fn of(scenario: &'a Scenario) -> Self {
        Self::with(scenario, Options::default())
    }

    pub fn with(scenario: &'a Scenario, options: Options) -> Self {
        let undisturbed = Self { scenario, options, ran: Ran::default() };
        let ran = run(&undisturbed.leg(1, None, u64::MAX, []));
        Self { ran, ..undisturbed }
    }

    /// The run from where another was cut to an epoch, which is the last that it has input for.
    pub fn leg(
        &self,
        workers: usize,
        restored: Option<Restored>,
        last: u64,
        cuts: impl IntoIterator<Item = u64>,
    ) -> Leg {
        let positions = restored.as_ref().map(|from| positions_of(&from.chunks).unwrap()).unwrap_or_default();
        let policies = restored.as_ref().map(|from| self.scenario.policies_at(from.epoch)).unwrap_or_default();
        let mut source = Source::new(positions, policies);
        let mut leg = Leg { workers, cuts: cuts.into_iter().collect(), options: self.options, ..Leg::default() };
        for tick in self.scenario.ticks.iter().filter(|tick| tick.epoch <= last) {
            match &restored {
                Some(from) if tick.epoch <= from.epoch => source.skip(tick),
                _ => drop(leg.sent.insert(tick.epoch, source.take(tick))),
            }
        }
        leg.restored = restored;
        leg
    }

    /// State that was cut at an epoch, to be restored there with the policies of then.
    pub fn restored(&self, epoch: u64, chunks: &[StateChunk]) -> Restored {
        let policies = self.scenario.policies_at(epoch).into_values().collect();
        Restored { epoch, chunks: chunks.to_vec(), policies }
    }

    /// A run told, of the epochs after the one that it was restored at and up to the last, what this one did; and held,
    /// when it was restored, what this one did then, and nothing happened to it.
    pub fn agrees(&self, ran: &Ran, restored: Option<u64>, last: u64) {
        assert!(ran.unreadable.is_empty());
        if let Some(epoch) = restored {
            assert_eq!(ran.changes.range(..epoch).next(), None, "before {epoch}, when it was restored");
            assert!(ran.at(epoch).keys().all(|output| !output.happens()), "happened again: {:#?}", ran.at(epoch));
            let (was, is) = (self.ran.held(epoch), ran.held(epoch));
            let (lost, extra): (Vec<_>, Vec<_>) = (
                was.keys().filter(|it| !is.contains_key(it)).collect(),
                is.keys().filter(|it| !was.contains_key(it)).collect(),
            );
            assert!(lost.is_empty() && extra.is_empty(), "at {epoch}: lost {lost:#?}, and not held before {extra:#?}");
        }
        let first = restored.map_or(0, |epoch| epoch + 1);
        let epochs = self.ran.changes.range(first..).chain(ran.changes.range(first..)).map(|(epoch, _)| *epoch);
        for epoch in epochs.filter(|&epoch| epoch <= last).collect::<BTreeSet<_>>() {
            assert_eq!(ran.at(epoch), self.ran.at(epoch), "at {epoch}");
        }
        let reports = self.scenario.ticks.iter().filter(|tick| tick.reports_progress()).map(|tick| tick.epoch);
        for epoch in reports.filter(|epoch| (first..=last).contains(epoch)) {
            for worker in 0..ran.workers {
                let expected = self.ran.watermarks.get(&(0, epoch));
                assert_eq!(ran.watermarks.get(&(worker, epoch)), expected, "watermark at {epoch}");
            }
        }
    }

    /// What was cut at an epoch is whole, and says how far partitions were read.
    pub fn positions_agree(&self, epoch: u64, chunks: &[StateChunk]) {
        for section in Section::ALL {
            assert!(chunks.iter().any(|chunk| chunk.section() == section), "{section:?} is cut");
        }
        assert_eq!(positions_of(chunks).unwrap(), self.scenario.positions_at(epoch), "positions at {epoch}");
    }
}
