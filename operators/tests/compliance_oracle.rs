//! Windows and signals against a recomputation from scratch, with any number of workers.
#![allow(clippy::unwrap_used)]

#[path = "compliance_oracle/oracle.rs"]
mod oracle;
#[path = "compliance_oracle/scenario.rs"]
mod scenario;
#[path = "compliance_oracle/scenes.rs"]
mod scenes;

use std::collections::BTreeMap;

use differential_dataflow::input::Input;
use faultline_contracts::{
    signal::HealthState,
    window::{WindowStatus, WindowTally},
};
use faultline_operators::{compliance::WindowOptions, signals::SignalOptions};
use proptest::prelude::*;
use timely::dataflow::operators::{Capture, capture::Extract};

use crate::{
    oracle::expected,
    scenario::{Judged, Scenario, Tick, accumulate, policy},
};

const PARTITIONS: i32 = 4;
const DATASETS: usize = 3;
const START: u64 = 10_000;

fn small_options() -> (WindowOptions, SignalOptions) {
    (
        WindowOptions { width_ms: 100, allowed_lateness_ms: 20, grace_ms: 300, idle_timeout_ms: 50 },
        SignalOptions { min_volume: 8, tick_ms: 10, refresh_ms: 40, ..SignalOptions::default() },
    )
}

prop_compose! {
    fn record()(
        partition in 0..PARTITIONS,
        dataset in 0..DATASETS,
        // Mostly near the present, some out of order, some far too late, some ahead.
        lag in prop_oneof![8 => -10..60_i64, 2 => 60..500_i64, 1 => 500..2_000_i64],
        result in prop_oneof![5 => Just(Ok(())), 3 => (0..3_usize).prop_map(|n| Err(Some(n))), 1 => Just(Err(None))],
    ) -> (i32, usize, i64, Result<(), Option<usize>>) {
        (partition, dataset, lag, result)
    }
}

prop_compose! {
    fn scenarios()(
        ticks in prop::collection::vec(
            (
                prop_oneof![6 => 1..60_u64, 1 => 60..900_u64],
                prop::collection::vec(record(), 0..25),
                prop::collection::vec(0..PARTITIONS, 0..2),
                any::<bool>(),
            ),
            1..25,
        ),
    ) -> Scenario {
        let (windows, signals) = small_options();
        let mut scenario = Scenario { windows, signals, ticks: Vec::new() };
        let (mut epoch, mut offset) = (START, 0);
        for (pause, records, assigned, step) in ticks {
            epoch += pause;
            let records = records.into_iter().map(|(partition, dataset, lag, result)| {
                offset += 1;
                Judged { partition, dataset, event_time: epoch as i64 - lag, result, offset }
            }).collect();
            scenario.ticks.push(Tick { epoch, records, assigned, policies: Vec::new(), step });
        }
        scenario.ticks[0].policies = (0..DATASETS).map(|n| (policy(n), 1)).collect();
        // A source does not move epochs on past its last report before it ends.
        if let Some(last) = scenario.ticks.last_mut() {
            last.assigned.push(0);
        }
        scenario
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_number_of_workers_gives_what_a_recomputation_gives(scenario in scenarios()) {
        let expected = expected(&scenario);
        let alone = scenario.run(1);
        prop_assert_eq!(&alone.windows, &expected.windows);
        prop_assert_eq!(&alone.late, &expected.late);
        for workers in [2, 4] {
            let together = scenario.run(workers);
            prop_assert_eq!(&together.windows, &alone.windows);
            prop_assert_eq!(&together.late, &alone.late);
            prop_assert_eq!(&together.signals, &alone.signals);
            prop_assert_eq!(&together.breaches, &alone.breaches);
        }

        let signals = accumulate(&alone.signals);
        prop_assert_eq!(signals.len(), expected.outcomes.len());
        let mut breaches = BTreeMap::new();
        for breach in accumulate(&alone.breaches) {
            breaches.entry(breach.dataset.clone()).or_insert_with(Vec::new).push(breach);
        }
        for signal in signals {
            let outcome = &expected.outcomes[&signal.dataset];
            let mut told = breaches.remove(&signal.dataset).unwrap_or_default();
            told.sort_by_key(|breach| breach.first_window);
            prop_assert_eq!(&told, &outcome.breaches);
            let computed = outcome.signal.as_ref().unwrap();
            let judged = |status| accumulate(&alone.windows).into_iter().any(|window| {
                window.key.dataset == signal.dataset && window.key.start == signal.window_start && window.status == status
            });
            if matches!(signal.state, HealthState::Critical | HealthState::Warning) || judged(WindowStatus::Final) {
                prop_assert_eq!(&signal, computed);
            } else {
                // Numbers of provisional windows that keep the objective are not told.
                prop_assert_eq!(signal.state, computed.state);
            }
        }
        prop_assert!(breaches.is_empty());
    }

    /// As long as grace lasts, windows are what differential dataflow counts.
    #[test]
    fn windows_hold_what_differential_counts(mut scenario in scenarios()) {
        scenario.windows.grace_ms = 1_000_000;
        let width = scenario.windows.width_ms as i64;
        let label = |record: &Judged| match record.result {
            Ok(()) => "PASS".to_owned(),
            Err(None) => "WARN".to_owned(),
            Err(Some(n)) => format!("MISSING_FIELD:f{n}"),
        };
        let rows: Vec<_> = scenario.ticks.iter().flat_map(|tick| &tick.records).map(|record| {
            (record.dataset_id(), record.event_time.div_euclid(width) * width, label(record))
        }).collect();
        let counted = timely::example(|scope| {
            scope.new_collection_from(rows).1.count().inner.capture()
        }).extract();
        let counted: BTreeMap<_, _> = counted.into_iter().flat_map(|(_, rows)| rows).map(|(row, _, _)| row).collect();

        let mut held = BTreeMap::new();
        for window in accumulate(&scenario.run(2).windows) {
            let WindowTally { verdicts, by_signature, .. } = &*window.tally;
            let by_signature = by_signature.iter().map(|(signature, digest)| (signature.to_string(), digest.count));
            let by_verdict = [("PASS".to_owned(), verdicts.pass), ("WARN".to_owned(), verdicts.warn)];
            for (label, count) in by_signature.chain(by_verdict).filter(|(_, count)| *count > 0) {
                held.insert((window.key.dataset.clone(), window.key.start.0, label), count as isize);
            }
        }
        prop_assert_eq!(held, counted);
    }
}

/// More signatures than a window tells apart, spread over partitions: which ones it keeps depends on records alone.
#[test]
fn the_signatures_kept_do_not_depend_on_workers() {
    let (windows, signals) = small_options();
    let ticks = (0..6).map(|tick| {
        let records = (0..60).map(|n| Judged {
            partition: (n * 7 + tick) % PARTITIONS,
            dataset: 0,
            event_time: START as i64 + i64::from(n * 31 % 50),
            result: Err(Some((n * 17 + tick * 5) as usize % 150)),
            offset: i64::from(tick * 100 + n),
        });
        let epoch = START + 10 * tick as u64;
        let assigned = (0..PARTITIONS).collect();
        Tick { epoch, records: records.collect(), assigned, step: tick % 2 == 0, ..Tick::default() }
    });
    let scenario = Scenario { windows, signals, ticks: ticks.collect() };
    let alone = scenario.run(1);
    let held = accumulate(&alone.windows);
    assert_eq!(held[0].tally.by_signature.len(), WindowTally::SIGNATURES + 1);
    for workers in [2, 4] {
        assert_eq!(scenario.run(workers).windows, alone.windows);
    }
}
