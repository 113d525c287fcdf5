//! Records of a crowd: what puts datasets in breach, and what then comes at a steady rate.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use faultline_contracts::time::UnixMillis;

use crate::answers::{
    cadence::Cadence,
    error::{AnswersError, Result},
    rca::TIPPING,
    records::Records,
};

/// The generator's `linger.ms`.
const LINGER_MS: u64 = 5;

/// How many datasets there are of each kind, and how many records a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub datasets: usize,
    /// The first of them are in breach.
    pub incidents: usize,
    /// Those after them are tipped.
    pub probes: usize,
    pub rate: u64,
    /// How many are tipped a second.
    pub probe_rate: u64,
    /// Records that a dataset has in a row.
    pub burst: usize,
}

impl Plan {
    pub(super) fn validate(&self) -> Result<()> {
        let &Self { datasets, incidents, probes, rate, probe_rate, burst: _ } = self;
        if datasets < incidents + probes || incidents == 0 {
            let text = format!("{incidents} incidents and {probes} probes do not fit into {datasets} datasets");
            return Err(AnswersError::Sizes(text));
        }
        if probe_rate == 0 || rate < 2 * probe_rate {
            return Err(AnswersError::Sizes(format!("{probe_rate} probes do not fit into {rate} records a second")));
        }
        Ok(())
    }

    pub(super) fn probing(&self) -> Range<usize> {
        self.incidents..self.incidents + self.probes
    }

    /// How many datasets have records that are no probe's.
    fn steady(&self) -> usize {
        self.datasets - self.probes
    }

    /// That of their n-th record.
    fn steady_dataset(&self, n: usize) -> usize {
        let n = n / self.burst.max(1) % self.steady().max(1);
        if n < self.incidents { n } else { n + self.probes }
    }
}

/// Sends a crowd's records and remembers how many.
pub(super) struct Load {
    plan: Plan,
    records: Records,
    /// For probes, which wait for nothing.
    probes: Records,
    steady: usize,
    passing: u64,
    /// By dataset.
    failing: BTreeMap<usize, u64>,
    due: BTreeMap<usize, Instant>,
}

impl Load {
    /// Puts the first datasets in breach, and the probes as near to it as can be.
    pub(super) fn prime(bootstrap: &str, plan: Plan, window: UnixMillis) -> Result<Self> {
        let [records, probes] =
            [Records::connect(bootstrap, LINGER_MS, window)?, Records::connect(bootstrap, 0, window)?];
        let (failing, due) = (BTreeMap::new(), BTreeMap::new());
        let mut load = Self { plan, records, probes, steady: 0, passing: 0, failing, due };
        for dataset in 0..plan.incidents + plan.probes {
            let probe = plan.probing().contains(&dataset);
            for _ in 0..TIPPING - u64::from(probe) {
                load.fail(dataset)?;
            }
        }
        load.records.flush()?;
        Ok(load)
    }

    fn fail(&mut self, dataset: usize) -> Result<()> {
        *self.failing.entry(dataset).or_default() += 1;
        self.records.send(dataset, true)
    }

    /// The steady load for so many seconds, without probes: for the broker's compilers.
    pub(super) fn warm_up(&mut self, seconds: u64) -> Result<()> {
        let mut cadence = Cadence::new(self.plan.rate);
        for _ in 0..self.plan.rate * seconds {
            cadence.sleep();
            self.send_steady()?;
        }
        self.records.flush()
    }

    /// The steady load, until all probes are tipped. Says how far behind its time a record was sent, at most.
    pub(super) fn run(&mut self) -> Result<Duration> {
        let plan = self.plan;
        let (mut cadence, mut behind) = (Cadence::new(plan.rate), Duration::ZERO);
        let every = plan.rate / plan.probe_rate;
        for number in 0..every * plan.probes as u64 {
            let due = cadence.sleep();
            behind = behind.max(due.elapsed());
            // In the middle of its share of the records, so that load is there before and after.
            if number % every == every / 2 {
                let dataset = plan.incidents + (number / every) as usize;
                self.due.insert(dataset, due);
                *self.failing.entry(dataset).or_default() += 1;
                self.probes.send(dataset, true)?;
            } else {
                self.send_steady()?;
            }
        }
        self.probes.flush()?;
        self.records.flush()?;
        Ok(behind)
    }

    fn send_steady(&mut self) -> Result<()> {
        let dataset = self.plan.steady_dataset(self.steady);
        self.steady += 1;
        if dataset < self.plan.incidents {
            return self.fail(dataset);
        }
        self.passing += 1;
        self.records.send(dataset, false)
    }

    /// Passing and failing records that were sent so far.
    pub(super) fn sent(&self) -> [u64; 2] {
        [self.passing, self.failing.values().sum()]
    }

    /// Failing records of a dataset that were sent so far.
    pub(super) fn failing(&self, dataset: usize) -> u64 {
        self.failing.get(&dataset).copied().unwrap_or_default()
    }

    /// When each probe was tipped.
    pub(super) fn due(&self) -> &BTreeMap<usize, Instant> {
        &self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_load_passes_over_probes() {
        let plan = Plan { datasets: 7, incidents: 2, probes: 3, rate: 10, probe_rate: 1, burst: 2 };
        plan.validate().unwrap();
        assert_eq!((0..10).map(|n| plan.steady_dataset(n)).collect::<Vec<_>>(), [0, 0, 1, 1, 5, 5, 6, 6, 0, 0]);
        assert!(Plan { datasets: 4, ..plan }.validate().is_err() && Plan { probe_rate: 6, ..plan }.validate().is_err());
    }
}
