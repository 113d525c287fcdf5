//! What happens, scene by scene.

use std::collections::BTreeMap;

use faultline_contracts::{
    incident::Breach,
    policy::{DatasetPolicy, Rollout},
    signal::{HealthState, Signal},
    time::UnixMillis,
    window::{Verdicts, WindowStatus},
};
use faultline_operators::{compliance::WindowOptions, signals::SignalOptions};

use crate::scenario::{Judged, Output, Scenario, Tick, accumulate, policy};

const MINUTE: i64 = 60_000;
const TEN_O_CLOCK: i64 = 1_698_400_800_000;

/// Writes a scenario: epochs are event time, and all records are of one partition and dataset.
struct Script {
    scenario: Scenario,
    offset: i64,
}

impl Script {
    fn new() -> Self {
        let (windows, signals) = (WindowOptions::default(), SignalOptions::default());
        Self { scenario: Scenario { windows, signals, ticks: Vec::new() }, offset: 0 }
    }

    fn at(&mut self, epoch: i64) -> &mut Tick {
        let epoch = epoch as u64;
        if self.scenario.ticks.last().is_none_or(|last| last.epoch < epoch) {
            self.scenario.ticks.push(Tick { epoch, step: true, ..Tick::default() });
        }
        let first = self.scenario.ticks.len() == 1;
        let tick = self.scenario.ticks.last_mut().unwrap();
        assert_eq!(tick.epoch, epoch, "in order");
        if first && tick.policies.is_empty() {
            tick.policies.push((policy(0), 1));
        }
        tick
    }

    /// Records of `time`, read at `epoch`.
    fn read(&mut self, epoch: i64, time: i64, pass: u64, fail: u64) {
        let results = (0..pass).map(|_| Ok(())).chain((0..fail).map(|_| Err(Some(0))));
        let mut offset = self.offset;
        let records = results.map(|result| {
            offset += 1;
            Judged { partition: 0, dataset: 0, event_time: time, result, offset }
        });
        let records: Vec<_> = records.collect();
        self.offset = offset;
        self.at(epoch).records.extend(records);
    }

    /// Records of a window, as they come, a minute before it ends.
    fn window(&mut self, n: i64, pass: u64, fail: u64) {
        let time = TEN_O_CLOCK + (n * 5 + 4) * MINUTE;
        self.read(time, time, pass, fail);
    }

    /// A partition is heard of, and has nothing new.
    fn heartbeat(&mut self, epoch: i64) {
        self.at(epoch).assigned.push(0);
    }

    fn run(&self) -> Output {
        self.scenario.run(1)
    }
}

fn end_of(n: i64) -> UnixMillis {
    UnixMillis(TEN_O_CLOCK + (n + 1) * 5 * MINUTE)
}

fn one_signal(output: &Output) -> Signal {
    let signals = accumulate(&output.signals);
    assert_eq!(signals.len(), 1);
    signals.into_iter().next().unwrap()
}

fn breaches(output: &Output) -> Vec<Breach> {
    let mut breaches = accumulate(&output.breaches);
    breaches.sort_by_key(|breach| breach.first_window);
    breaches
}

#[test]
fn the_orders_incident() {
    let mut script = Script::new();
    // The window from 09:55 to 10:00; the first failure at 09:57:45.
    script.read(TEN_O_CLOCK - 4 * MINUTE, TEN_O_CLOCK - 4 * MINUTE, 127, 0);
    script.read(TEN_O_CLOCK - 135_000, TEN_O_CLOCK - 135_000, 0, 20);
    script.read(TEN_O_CLOCK - 60_000, TEN_O_CLOCK - 60_000, 0, 1_100);
    script.read(TEN_O_CLOCK + 10_000, TEN_O_CLOCK + 10_000, 1, 0);
    let output = script.run();

    let signal = one_signal(&output);
    assert_eq!(signal.verdicts, Verdicts { pass: 127, fail: 1_120, warn: 0 });
    assert_eq!(signal.score(), Some(0.102));
    assert_eq!(signal.state, HealthState::Critical);
    assert_eq!(signal.breach_start, Some("2023-10-27T10:00:00Z".parse().unwrap()));
    assert_eq!(signal.failure_signature.as_ref().unwrap().as_str(), "MISSING_FIELD:f0");
    assert_eq!(signal.first_failure.unwrap().timestamp().to_string(), "2023-10-27T09:57:45.000Z");
    // 20 of 147 are beyond doubt: its Wilson bound is 0.073.
    assert_eq!(signal.detected_at.unwrap().to_string(), "2023-10-27T09:57:45.020Z");

    let breaches = breaches(&output);
    assert_eq!(breaches.len(), 1);
    assert_eq!(breaches[0].verdicts, signal.verdicts);
    assert_eq!((breaches[0].signature_count, breaches[0].signature_count_before), (1_120, 0));
    assert_eq!(breaches[0].earliest.len(), 100);
    assert_eq!(breaches[0].first_failure_at().to_string(), "2023-10-27T09:57:45.000Z");
    assert_eq!(breaches[0].last_failure.timestamp(), UnixMillis(TEN_O_CLOCK - 60_000));
    assert_eq!(breaches[0].resolved_at, None);
}

#[test]
fn one_breach_goes_on_over_a_relapse_and_ends_after_two_good_windows() {
    let mut script = Script::new();
    script.window(0, 100, 2); // before: kept, with failures of the same kind
    script.window(1, 10, 90);
    script.window(2, 100, 0); // recovering …
    script.window(3, 10, 90); // … not yet
    script.window(4, 100, 0);
    let warning = script.run();
    assert_eq!(one_signal(&warning).state, HealthState::Critical, "the last window is not final yet");
    script.window(5, 0, 0); // nothing was judged: does not count
    script.heartbeat(end_of(5).0 + 11_000);
    let warning = script.run();
    assert_eq!(one_signal(&warning).state, HealthState::Warning);
    assert_eq!(breaches(&warning)[0].recovering_since, Some(end_of(4)));
    script.window(6, 100, 0);
    script.window(7, 100, 0);
    script.window(8, 10, 90);
    let output = script.run();

    let all = breaches(&output);
    assert_eq!(all.len(), 2, "the second one has begun: {all:#?}");
    assert_eq!(all[0].first_window, UnixMillis(TEN_O_CLOCK + 5 * MINUTE));
    assert_eq!(all[0].recovering_since, Some(end_of(4)));
    assert_eq!(all[0].resolved_at, Some(end_of(6)));
    assert_eq!(all[0].verdicts, Verdicts { pass: 20, fail: 180, warn: 0 });
    assert_eq!(all[0].signature_count_before, 2);
    assert_eq!(all[1].signature_count_before, 182);
    assert_eq!(one_signal(&output).state, HealthState::Critical);

    // Each breach is one incident: its id appears at once, and is never retracted for good.
    let ids: BTreeMap<_, Vec<_>> = output.breaches.keys().fold(BTreeMap::new(), |mut ids, (epoch, breach)| {
        ids.entry(breach.id).or_insert_with(Vec::new).push(*epoch);
        ids
    });
    assert_eq!(ids.len(), 2);
}

#[test]
fn a_good_end_retracts_a_breach_announced_early() {
    let mut script = Script::new();
    let start = TEN_O_CLOCK;
    script.read(start + 1_000, start + 1_000, 0, 60);
    script.read(start + 2 * MINUTE, start + 2 * MINUTE, 10_000, 0);
    let announced = script.run();
    assert_eq!(one_signal(&announced).state, HealthState::Critical, "it stays until the window ends");
    assert_eq!(breaches(&announced).len(), 1);
    script.heartbeat(end_of(0).0 + 10_000);
    script.read(end_of(0).0 + 11_000, end_of(0).0 + 11_000, 1, 0);
    let output = script.run();
    assert_eq!(one_signal(&output).state, HealthState::Ok);
    assert_eq!(breaches(&output), []);
}

#[test]
fn a_late_correction_retracts_a_breach_and_all_that_followed() {
    let mut script = Script::new();
    script.window(0, 10, 10);
    script.window(1, 100, 0);
    script.window(2, 100, 0);
    script.window(3, 100, 0);
    let before = script.run();
    assert_eq!(breaches(&before)[0].resolved_at, Some(end_of(2)));
    script.read(end_of(3).0 - 30_000, TEN_O_CLOCK, 1_000, 0);
    let after = script.run();
    assert_eq!(breaches(&after), []);
    assert_eq!(one_signal(&after).state, HealthState::Ok);
    assert_eq!(one_signal(&after).window_start, UnixMillis(TEN_O_CLOCK + 10 * MINUTE));
}

#[test]
fn numbers_of_a_breach_are_told_every_five_seconds_and_at_the_end() {
    let mut script = Script::new();
    for second in 0..120_i64 {
        for part in 0..10 {
            let at = TEN_O_CLOCK + second * 1_000 + part * 100;
            script.read(at, at, 0, 10);
        }
    }
    let output = script.run();
    let told: Vec<u64> = output
        .signals
        .iter()
        .filter(|(_, diff)| **diff > 0)
        .map(|((epoch, _), _)| *epoch - TEN_O_CLOCK as u64)
        .collect();
    assert_eq!(told[..3], [0, 400, 5_400], "first OK, in breach at 50 records, then by the clock");
    assert_eq!(told.len(), 2 + 24);
    assert_eq!(one_signal(&output).verdicts.fail, 12_000, "all of them in the end");
    assert_eq!(breaches(&output)[0].verdicts.fail, 12_000);
}

#[test]
fn windows_end_and_retire_while_nothing_comes_and_the_signal_stays() {
    let mut script = Script::new();
    script.window(0, 10, 90);
    // Epochs go on, far beyond grace; the only partition is idle.
    script.at(TEN_O_CLOCK + 70 * MINUTE);
    script.at(TEN_O_CLOCK + 71 * MINUTE);
    script.heartbeat(TEN_O_CLOCK + 80 * MINUTE);
    let output = script.run();
    assert_eq!(accumulate(&output.windows), []);
    let statuses: Vec<_> = output
        .windows
        .iter()
        .map(|((epoch, window), diff)| (*epoch as i64 - TEN_O_CLOCK, window.status, *diff))
        .collect();
    let (provisional, last) = (WindowStatus::Provisional, WindowStatus::Final);
    let (read, ended, retired) = (4 * MINUTE, 5 * MINUTE + 10_000, 65 * MINUTE + 10_000);
    assert_eq!(
        statuses,
        [(read, provisional, 1), (ended, provisional, -1), (ended, last, 1), (retired, last, -1)],
        "at the very epochs at which the watermark gets there"
    );
    assert_eq!(one_signal(&output).state, HealthState::Critical);
    assert_eq!(breaches(&output).len(), 1);
    assert_eq!(output.census.last().unwrap().1.live, 0);
    assert_eq!(output.signal_census.last().unwrap().1.windows, 0);
}

#[test]
fn memory_is_bounded_by_live_windows() {
    let mut script = Script::new();
    for n in 0..1_000 {
        // A breach of one window every tenth.
        script.window(n, 20, if n % 10 == 0 { 20 } else { 0 });
    }
    let output = script.run();
    let most = output.census.iter().map(|(_, census)| census.live).max().unwrap();
    // Twelve in an hour of grace, and the one that is open.
    assert_eq!(most, 13);
    let most = output.signal_census.iter().map(|(_, census)| census.windows).max().unwrap();
    assert_eq!(most, 13);
    assert_eq!(accumulate(&output.windows).len(), 13);
    assert_eq!(breaches(&output).len(), SignalOptions::RESOLVED_BREACHES);
    let all: std::collections::BTreeSet<_> = output.breaches.keys().map(|(_, breach)| breach.id).collect();
    assert_eq!(all.len(), 100);
}

#[test]
fn resolved_breaches_are_shown_for_a_day() {
    let mut script = Script::new();
    script.window(0, 20, 20);
    script.window(1, 20, 0);
    script.window(2, 20, 0);
    script.heartbeat(end_of(2).0 + 10_000);
    script.read(end_of(2).0 + 20_000, end_of(2).0 + 20_000, 1, 0);
    assert_eq!(breaches(&script.run())[0].resolved_at, Some(end_of(2)));
    script.heartbeat(end_of(2).0 + 24 * 60 * MINUTE);
    assert_eq!(breaches(&script.run()).len(), 1);
    script.heartbeat(end_of(2).0 + 25 * 60 * MINUTE);
    let output = script.run();
    assert_eq!(breaches(&output), []);
    let retracted = output.breaches.iter().rfind(|(_, diff)| **diff < 0).unwrap();
    assert_eq!(retracted.0.0 as i64, end_of(2).0 + 20_000 + 24 * 60 * MINUTE, "a day after it was known to be over");
    assert_eq!(one_signal(&output).state, HealthState::Ok);
}

#[test]
fn without_a_policy_nothing_is_said_until_one_arrives() {
    let mut script = Script::new();
    let epoch = TEN_O_CLOCK;
    script.at(epoch).policies = vec![(DatasetPolicy { rollout: Rollout::Off, ..policy(0) }, 1)];
    script.window(0, 10, 90);
    script.window(1, 10, 90);
    assert!(script.run().signals.is_empty());
    let arrival = TEN_O_CLOCK + 11 * MINUTE;
    script.at(arrival).policies = vec![(DatasetPolicy { rollout: Rollout::Off, ..policy(0) }, -1), (policy(0), 1)];
    script.heartbeat(arrival);
    let output = script.run();
    let signal = one_signal(&output);
    assert_eq!(signal.state, HealthState::Critical);
    assert_eq!(signal.detected_at, Some(UnixMillis(arrival + 20)));
    assert_eq!(breaches(&output)[0].verdicts.fail, 180);

    // A laxer objective clears it, and no policy takes all back.
    let lax = DatasetPolicy { slo_millionths: 50_000, ..policy(0) };
    script.at(arrival + 1_000).policies = vec![(policy(0), -1), (lax.clone(), 1)];
    script.heartbeat(arrival + 1_000);
    let output = script.run();
    assert_eq!((one_signal(&output).state, breaches(&output)), (HealthState::Ok, vec![]));
    script.at(arrival + 2_000).policies = vec![(lax, -1)];
    script.heartbeat(arrival + 2_000);
    assert_eq!(accumulate(&script.run().signals), []);
}

#[test]
fn records_that_nobody_could_judge_leave_the_state_unknown() {
    let mut script = Script::new();
    let warning = Judged { partition: 0, dataset: 0, event_time: TEN_O_CLOCK, result: Err(None), offset: 0 };
    script.at(TEN_O_CLOCK).records = vec![warning; 80];
    assert_eq!(one_signal(&script.run()).state, HealthState::Unknown);
    script.read(end_of(0).0 + 10_000, end_of(0).0 + 10_000, 1, 0);
    let signal = one_signal(&script.run());
    assert_eq!((signal.state, signal.verdicts.warn, signal.score()), (HealthState::Unknown, 80, None));
}
