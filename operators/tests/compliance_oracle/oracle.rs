//! The same from scratch: one millisecond of epochs after the other, from the definitions alone.

use std::{collections::BTreeMap, sync::Arc};

use faultline_contracts::{
    ids::EntityId,
    time::UnixMillis,
    window::{ComplianceWindow, Verdicts, WindowKey, WindowStatus, WindowTally},
};
use faultline_operators::{
    compliance::LateRecords,
    signals::{Frozen, JudgedWindow, Outcome, SignalOptions, Verdict, fold, wilson_lower_bound},
};

use crate::scenario::{Judged, Scenario, Updates, policy};

type State = BTreeMap<WindowKey, ComplianceWindow>;

pub struct Expected {
    pub windows: Updates<ComplianceWindow>,
    pub late: Updates<LateRecords>,
    pub outcomes: BTreeMap<EntityId, Outcome>,
}

/// `watermark(epoch)` for each epoch from the first to the last, by its definition.
fn watermarks(scenario: &Scenario) -> BTreeMap<u64, Option<i64>> {
    let (lateness, idle) = (scenario.windows.allowed_lateness_ms as i64, scenario.windows.idle_timeout_ms);
    let reports: BTreeMap<u64, _> = scenario.progress().into_iter().collect();
    let mut partitions: BTreeMap<i32, (Option<i64>, u64)> = BTreeMap::new();
    let mut reached = None;
    let mut by_epoch = BTreeMap::new();
    let (first, last) = (scenario.ticks[0].epoch, scenario.ticks[scenario.ticks.len() - 1].epoch);
    for epoch in first..=last {
        for report in reports.get(&epoch).into_iter().flatten() {
            let seen = partitions.entry(report.partition.partition).or_insert((None, epoch));
            *seen = (seen.0.max(report.high_water.map(|time| time.0)), epoch);
        }
        let active: Vec<_> = partitions.values().filter(|(_, last)| epoch - last <= idle).collect();
        let high_water = if active.is_empty() {
            let last = partitions.values().map(|(_, last)| *last).max();
            let highest = partitions.values().filter_map(|(time, _)| *time).max();
            highest.map(|highest| highest + (epoch - last.unwrap()) as i64)
        } else if active.iter().any(|(time, _)| time.is_none()) {
            None
        } else {
            active.iter().filter_map(|(time, _)| *time).min()
        };
        reached = reached.max(high_water.map(|time| time - lateness));
        by_epoch.insert(epoch, reached);
    }
    by_epoch
}

pub fn expected(scenario: &Scenario) -> Expected {
    let (width, grace) = (scenario.windows.width_ms as i64, scenario.windows.grace_ms as i64);
    let watermarks = watermarks(scenario);
    let mut counted: BTreeMap<WindowKey, (Vec<Judged>, Arc<WindowTally>)> = BTreeMap::new();
    let mut late_now: BTreeMap<(u64, EntityId), Verdicts> = BTreeMap::new();
    let (mut windows, mut state) = (Updates::new(), State::new());
    let mut verdicts: BTreeMap<EntityId, BTreeMap<UnixMillis, JudgedWindow>> = BTreeMap::new();
    let mut before = None;
    for (&epoch, &now) in &watermarks {
        for record in scenario.ticks.iter().filter(|tick| tick.epoch == epoch).flat_map(|tick| &tick.records) {
            let start = UnixMillis(record.event_time.div_euclid(width) * width);
            if now.is_some_and(|now| now >= start.0 + width + grace) {
                let mut one = WindowTally::default();
                record.count_into(&mut one);
                late_now.entry((epoch, record.dataset_id())).or_default().add(one.verdicts);
            } else {
                let key = WindowKey { dataset: record.dataset_id(), start };
                let (records, tally) = counted.entry(key).or_default();
                records.push(record.clone());
                let mut anew = WindowTally::default();
                records.iter().for_each(|record| record.count_into(&mut anew));
                *tally = anew.into();
            }
        }
        // Forgotten once out of grace, if final before.
        counted.retain(|key, _| {
            let end = key.start.0 + width;
            !(now.is_some_and(|now| now >= end + grace) && before.is_some_and(|before| before >= end))
        });
        let next: State = counted
            .iter()
            .map(|(key, (_, tally))| {
                let end = key.start.plus(width);
                let ended = now.is_some_and(|now| now >= end.0);
                let status = if ended { WindowStatus::Final } else { WindowStatus::Provisional };
                (key.clone(), ComplianceWindow { key: key.clone(), end, status, tally: Arc::clone(tally) })
            })
            .collect();
        for (key, window) in &state {
            if next.get(key) != Some(window) {
                windows.insert((epoch, window.clone()), -1);
            }
        }
        for (key, window) in &next {
            if state.get(key) != Some(window) {
                windows.insert((epoch, window.clone()), 1);
                let judged = verdicts.entry(key.dataset.clone()).or_default();
                let old = judged.get(&key.start);
                let verdict = judge(window, old, &scenario.signals);
                let since = old.filter(|old| old.verdict == verdict).map_or(epoch, |old| old.since);
                let (end, status, tally) = (window.end, window.status, window.tally.clone());
                judged.insert(key.start, JudgedWindow { end, status, tally, verdict, since });
            }
        }
        state = next;
        before = now;
    }
    let last = *watermarks.keys().next_back().unwrap();
    let outcomes = verdicts.into_iter().map(|(dataset, windows)| {
        let policy = faultline_contracts::policy::DatasetPolicy { dataset: dataset.clone(), ..policy(0) };
        (dataset, fold(&Frozen::default(), &windows, &policy, &scenario.signals, last))
    });
    let late = late_now.into_iter().map(|((epoch, dataset), verdicts)| ((epoch, LateRecords { dataset, verdicts }), 1));
    Expected { windows, late: late.collect(), outcomes: outcomes.collect() }
}

/// The rule of breaches for an objective of 95 %.
fn judge(window: &ComplianceWindow, old: Option<&JudgedWindow>, options: &SignalOptions) -> Verdict {
    let Verdicts { pass, fail, .. } = window.tally.verdicts;
    if window.status == WindowStatus::Final {
        return match (pass + fail, fail * 20 > pass + fail) {
            (0, _) => Verdict::Unjudged,
            (_, true) => Verdict::Breached,
            (_, false) => Verdict::Kept,
        };
    }
    let sticky = old.is_some_and(|old| old.status == WindowStatus::Provisional && old.verdict == Verdict::Breached);
    let doubtless = pass + fail >= options.min_volume && wilson_lower_bound(fail, pass + fail) > 0.05;
    match pass + fail {
        _ if sticky || doubtless => Verdict::Breached,
        0 => Verdict::Unjudged,
        _ => Verdict::Open,
    }
}
