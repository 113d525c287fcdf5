//! State that comes back at a later epoch than it was cut at: in between, nobody has read anything.

use std::collections::BTreeMap;

use faultline_contracts::{incident::Breach, signal::Signal, time::UnixMillis};
use faultline_operators::signals::SignalOptions;
use proptest::prelude::*;

use crate::{
    dataflow::run,
    input::{Judged, Scenario, Tick, policy},
    leg::{Changes, Options, Output, Ran},
    random::{epochs, place, scenarios},
    undisturbed::Undisturbed,
};

/// What a run tells from after a downtime, as if there had been none. Only when a breach was detected says when it was.
fn shifted_back(ran: Ran, cut: u64, downtime: u64, tick_ms: u64) -> Ran {
    let back = |at: UnixMillis| if at.0 as u64 > cut + tick_ms { at.plus(-(downtime as i64)) } else { at };
    let output = |output| match output {
        Output::Signal(signal) => Output::Signal(Signal { detected_at: signal.detected_at.map(back), ..signal }),
        Output::Breach(breach) => Output::Breach(Breach { detected_at: back(breach.detected_at), ..breach }),
        other => other,
    };
    let changes = |changes: Changes| changes.into_iter().map(|(it, diff)| (output(it), diff)).collect();
    let watermarks = ran.watermarks.into_iter().map(|((worker, epoch), at)| ((worker, epoch - downtime), at));
    Ran {
        changes: ran.changes.into_iter().map(|(epoch, all)| (epoch - downtime, changes(all))).collect(),
        watermarks: watermarks.collect(),
        ..ran
    }
}

/// The leg that goes on after a downtime from where a run of two workers was cut.
fn after_downtime(undisturbed: &Undisturbed<'_>, cut: u64, downtime: u64, workers: usize) -> Ran {
    let first = run(&undisturbed.leg(2, None, cut, [cut]));
    let mut leg = undisturbed.leg(workers, Some(undisturbed.restored(cut, &first.cuts[&cut])), u64::MAX, []);
    leg.sent = leg.sent.into_iter().map(|(epoch, sent)| (epoch + downtime, sent)).collect();
    leg.restored.as_mut().unwrap().epoch += downtime;
    run(&leg)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// With all that comes later moved by the downtime, every change is: windows become final, are retired and refuse
    /// records so much later, because partitions go idle so much later and event time at the pace of epochs stood still.
    #[test]
    fn a_downtime_moves_everything_that_comes_after_it_and_changes_nothing(
        scenario in scenarios(),
        place in place(),
        downtime in prop_oneof![1..100_u64, 1..5_000_000_u64],
        workers in 1..=3_usize,
    ) {
        // What is told after so much time on the clock is the subject of other tests.
        let never = 1 << 40;
        let Options { signals, max_jobs } = Options::default();
        let signals = SignalOptions { refresh_ms: never, breach_retention_ms: never, ..signals };
        let undisturbed = Undisturbed::with(&scenario, Options { signals, max_jobs });
        let cut = epochs(&[place], &undisturbed)[0];
        let ran = after_downtime(&undisturbed, cut, downtime, workers);
        let ran = shifted_back(ran, cut, downtime, signals.tick_ms);
        undisturbed.agrees(&ran, Some(cut), scenario.last_epoch());
    }

    /// What falls due on the clock in a downtime is done at its end: never before, and never twice.
    #[test]
    fn nothing_is_told_of_epochs_before_the_end_of_a_downtime(
        scenario in scenarios(),
        place in place(),
        downtime in 1..600_u64,
    ) {
        let undisturbed = Undisturbed::of(&scenario);
        let cut = epochs(&[place], &undisturbed)[0];
        let ran = after_downtime(&undisturbed, cut, downtime, 2);
        prop_assert_eq!(ran.changes.range(..cut + downtime).next(), None);
        for epoch in ran.changes.keys() {
            // Each at most once: at most one signal of a dataset, and one version of a breach.
            let held = ran.held(*epoch);
            let signals = held.keys().filter_map(|it| if let Output::Signal(it) = it { Some(&it.dataset) } else { None });
            let breaches = held.keys().filter_map(|it| if let Output::Breach(it) = it { Some(it.id) } else { None });
            let (signals, breaches): (Vec<_>, Vec<_>) = (signals.collect(), breaches.collect());
            prop_assert!(signals.is_sorted_by(|a, b| a < b), "{:?}", signals);
            prop_assert!(breaches.is_sorted_by(|a, b| a < b), "{:?}", breaches);
        }
    }
}

const START: i64 = 10_000;

fn record(partition: i32, event_time: i64, passes: bool) -> Judged {
    let result = if passes { Ok(()) } else { Err(Some(0)) };
    Judged { partition, dataset: 0, event_time, result, offset: 0 }
}

fn tick(after: u64, records: Vec<Judged>) -> Tick {
    Tick { epoch: START as u64 + after, records, step: true, ..Tick::default() }
}

fn told(held: &Changes) -> BTreeMap<&'static str, Vec<&Output>> {
    let mut told = BTreeMap::<_, Vec<_>>::new();
    for output in held.keys() {
        match output {
            Output::Signal(_) => told.entry("signals").or_default().push(output),
            Output::Breach(_) => told.entry("breaches").or_default().push(output),
            _ => {}
        }
    }
    told
}

#[test]
fn numbers_that_were_to_be_told_in_a_downtime_are_told_at_its_end() {
    let fail = |n: usize| vec![record(0, START + 5, false); n];
    let mut ticks = vec![tick(0, fail(10)), tick(10, fail(3)), tick(90, vec![record(0, START + 6, true)])];
    ticks[0].policies = [(0, Some(policy(0, 950_000)))].into();
    let scenario = Scenario::new(ticks);
    let undisturbed = Undisturbed::of(&scenario);
    let (cut, due) = (START as u64 + 20, START as u64 + 40);
    assert_ne!(told(&undisturbed.ran.held(cut)), told(&undisturbed.ran.held(due)), "13 failures are told later");
    for downtime in [19, 20, 21, 100_000] {
        let ran = after_downtime(&undisturbed, cut, downtime, 2);
        let back = cut + downtime;
        let expected = if back < due { cut } else { due };
        assert_eq!(told(&ran.held(back)), told(&undisturbed.ran.held(expected)), "after {downtime} ms");
        assert_eq!(told(&ran.held(back.max(due))), told(&undisturbed.ran.held(due)), "after {downtime} ms");
    }
}

#[test]
fn a_breach_that_has_been_over_for_long_enough_is_gone_after_a_downtime() {
    let window = |n: i64, fails: bool| vec![record(0, START + 100 * n + 50, !fails); 10];
    let mut ticks: Vec<_> = (0..4).map(|n| tick(100 * n + 50, window(n as i64, n == 0))).collect();
    ticks[0].policies = [(0, Some(policy(0, 950_000)))].into();
    ticks.push(tick(600, vec![record(0, START + 450, true)]));
    let scenario = Scenario::new(ticks);
    let undisturbed = Undisturbed::of(&scenario);
    // Known to be over at 320, when the third window ends with nothing read since 250, and shown for 250.
    let (cut, gone) = (START as u64 + 360, START as u64 + 570);
    let breaches = |held: &Changes| held.keys().filter(|it| matches!(it, Output::Breach(_))).count();
    assert_eq!((breaches(&undisturbed.ran.held(gone - 1)), breaches(&undisturbed.ran.held(gone))), (1, 0));
    for downtime in [209, 210, 211, 100_000] {
        let ran = after_downtime(&undisturbed, cut, downtime, 2);
        let back = cut + downtime;
        assert_eq!(breaches(&ran.held(back)), usize::from(back < gone), "after {downtime} ms");
        assert_eq!(breaches(&ran.held(back.max(gone))), 0, "after {downtime} ms");
    }
}

/// A partition holds the watermark for as long as its idle time-out had left to run when the state was cut.
#[test]
fn an_idle_partition_is_as_old_after_a_downtime_as_before() {
    let mut ticks = vec![tick(0, vec![record(0, START, true), record(1, START + 500, true)])];
    ticks.extend([30, 45, 50, 51, 60].map(|after| tick(after, vec![record(1, START + 500, true)])));
    let scenario = Scenario::new(ticks);
    let undisturbed = Undisturbed::of(&scenario);
    let cut = START as u64 + 40;
    for downtime in [0, 1, 10, 11, 3_600_000] {
        let ran = after_downtime(&undisturbed, cut, downtime, 2);
        let at = |after: u64| ran.watermarks[&(1, START as u64 + downtime + after)].0 - START;
        assert_eq!([40, 45, 50, 51, 60].map(at), [-20, -20, -20, 480, 480], "after {downtime} ms");
    }
}
