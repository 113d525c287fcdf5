//! Random input, cut anywhere.

use std::collections::BTreeSet;

use faultline_contracts::{
    deployment::{Deployment, DeploymentKind},
    ids::EntityId,
    lineage::{ColumnLineage, LineageEvent, RunObservation, RunState},
    policy::{DatasetPolicy, Rollout},
    time::UnixMillis,
    trace::{ServiceSpan, TraceId},
};
use proptest::{prelude::*, sample::Index};

use crate::{
    dataflow::run,
    input::{Judged, Scenario, Tick, policy},
    journey::{Stop, travel},
    undisturbed::{Undisturbed, rows_of},
};

pub const PARTITIONS: i32 = 4;
pub const DATASETS: usize = 3;
const START: u64 = 10_000;

// Times are lags behind the epoch until that is known ([`scenarios`]).

fn record() -> impl Strategy<Value = Judged> {
    // Mostly near the present, some out of order, some far too late, some far ahead.
    let lag = prop_oneof![8 => -10..60_i64, 2 => 60..500_i64, 1 => 500..2_000_i64, 1 => -700..-10_i64];
    let result = prop_oneof![5 => Just(Ok(())), 3 => (0..3_usize).prop_map(|n| Err(Some(n))), 1 => Just(Err(None))];
    (0..PARTITIONS, 0..DATASETS, lag, result).prop_map(|(partition, dataset, event_time, result)| Judged {
        partition,
        dataset,
        event_time,
        result,
        offset: 0,
    })
}

fn deployment() -> impl Strategy<Value = Deployment> {
    use DeploymentKind::{Deployed, Removed, RolledBack, Upgraded};
    let kind = prop::sample::select(vec![Deployed, Upgraded, RolledBack, Removed]);
    (0..3_usize, 0..150_i64, 0..3_usize, kind, 0..8_usize).prop_map(|(service, lag, version, kind, event)| Deployment {
        service: format!("service-{service}").into(),
        at: UnixMillis(lag),
        version: format!("v{version}").into(),
        kind,
        environment: None,
        event: format!("event-{service}-{event}").into(),
    })
}

fn span() -> impl Strategy<Value = ServiceSpan> {
    (1..60_u128, 0..2_usize, 0..250_i64).prop_map(|(trace, service, lag)| ServiceSpan {
        trace_id: TraceId::from_bytes(trace.to_be_bytes()).unwrap(),
        service: format!("service-{service}").into(),
        version: None,
        topic: None,
        at: UnixMillis(lag),
    })
}

fn lineage() -> impl Strategy<Value = LineageEvent> {
    use RunState::{Complete, Fail, Running, Start};
    let state = prop::sample::select(vec![Start, Running, Complete, Fail]);
    let run = (0..4_usize, state, any::<bool>()).prop_map(|(id, state, streaming)| RunObservation {
        id: format!("run-{id}").into(),
        state,
        dag_run_id: None,
        parent_job: None,
        streaming,
        error: (state == Fail).then(|| "out of memory".into()),
    });
    let names = || prop::collection::vec((0..4_usize).prop_map(|n| EntityId::from(format!("t{n}"))), 0..3);
    let column = (0..3_usize).prop_map(|n| ColumnLineage {
        output: "t0".into(),
        output_field: "c".into(),
        input: "t1".into(),
        input_field: format!("c{n}").into(),
    });
    let run = prop::option::weighted(0.7, run);
    // A few have a history; of the many, some share the place of one.
    let job = prop_oneof![2 => 0..3_usize, 1 => 3..60_usize];
    (job, 0..150_i64, run, names(), names(), prop::collection::vec(column, 0..2)).prop_map(
        |(job, lag, run, inputs, outputs, columns)| LineageEvent {
            job: EntityId::job("ns", &job.to_string()),
            at: UnixMillis(lag),
            run,
            inputs,
            outputs,
            columns,
        },
    )
}

pub fn changed_policy() -> impl Strategy<Value = Option<(usize, Option<DatasetPolicy>)>> {
    let of = |n, kind| match kind {
        0 => None,
        1 => Some(DatasetPolicy { rollout: Rollout::Off, ..policy(n, 950_000) }),
        2 => Some(policy(n, 500_000)),
        _ => Some(policy(n, 990_000)),
    };
    prop::option::weighted(0.2, (0..DATASETS, 0..4).prop_map(move |(n, kind)| (n, of(n, kind))))
}

fn tick() -> impl Strategy<Value = (u64, Tick)> {
    let pause = prop_oneof![6 => 1..60_u64, 1 => 60..900_u64];
    let anew = prop_oneof![9 => Just(None), 1 => (0..PARTITIONS).prop_map(Some)];
    let judged = (prop::collection::vec(record(), 0..20), prop::collection::vec(0..PARTITIONS, 0..2), anew);
    let events = (
        prop::collection::vec(deployment(), 0..2),
        prop::collection::vec(span(), 0..4),
        prop::collection::vec(lineage(), 0..3),
    );
    (pause, judged, changed_policy(), events, any::<bool>()).prop_map(
        |(pause, (records, assigned, anew), changed, (deployments, spans, lineage), step)| {
            let (anew, policies) = (anew.into_iter().collect(), changed.into_iter().collect());
            (pause, Tick { epoch: 0, anew, records, assigned, policies, deployments, spans, lineage, step })
        },
    )
}

prop_compose! {
    pub fn scenarios()(ticks in prop::collection::vec(tick(), 2..22)) -> Scenario {
        let mut epoch = START;
        let mut ticks: Vec<Tick> = ticks.into_iter().map(|(pause, mut tick)| {
            epoch += pause;
            tick.epoch = epoch;
            let ago = |lag: i64| epoch as i64 - lag;
            tick.records.iter_mut().for_each(|record| record.event_time = ago(record.event_time));
            tick.deployments.iter_mut().for_each(|event| event.at = UnixMillis(ago(event.at.0)));
            tick.spans.iter_mut().for_each(|span| span.at = UnixMillis(ago(span.at.0)));
            tick.lineage.iter_mut().for_each(|event| event.at = UnixMillis(ago(event.at.0)));
            tick
        }).collect();
        // The last dataset has no policy at first.
        ticks[0].policies = (0..DATASETS - 1).map(|n| (n, Some(policy(n, 950_000)))).collect();
        Scenario::new(ticks)
    }
}

/// An epoch by what is there.
#[derive(Debug, Clone)]
pub enum Place {
    /// One with input.
    Tick(Index),
    /// One at which something is put out, often without input.
    Change(Index),
    /// Any.
    Any(Index),
    /// The one after the stop before; or the same.
    Soon(u64),
    Last,
}

pub fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        3 => any::<Index>().prop_map(Place::Tick),
        3 => any::<Index>().prop_map(Place::Change),
        2 => any::<Index>().prop_map(Place::Any),
        2 => (0..3_u64).prop_map(Place::Soon),
        1 => Just(Place::Last),
    ]
}

/// The epochs of places, in their order; more than once what is named more than once.
pub fn epochs(places: &[Place], undisturbed: &Undisturbed<'_>) -> Vec<u64> {
    let scenario = undisturbed.scenario;
    let (first, last) = (scenario.first_epoch(), scenario.last_epoch());
    let changes: Vec<u64> = undisturbed.ran.changes.range(first..=last).map(|(epoch, _)| *epoch).collect();
    let mut before = first;
    let mut epochs: Vec<u64> = places
        .iter()
        .map(|place| {
            before = match place {
                Place::Tick(at) => at.get(&scenario.ticks).epoch,
                Place::Change(_) if changes.is_empty() => last,
                Place::Change(at) => *at.get(&changes),
                Place::Any(at) => first + at.index((last - first + 1) as usize) as u64,
                Place::Soon(after) => last.min(before + after),
                Place::Last => last,
            };
            before
        })
        .collect();
    epochs.sort_unstable();
    epochs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_that_goes_on_elsewhere_tells_what_an_undisturbed_one_tells(
        scenario in scenarios(),
        places in prop::collection::vec(place(), 1..=4),
        overruns: [bool; 4],
    ) {
        let undisturbed = Undisturbed::of(&scenario);
        let epochs = epochs(&places, &undisturbed);
        let stops = epochs.iter().zip([2, 4, 3, 1]).zip(overruns);
        let stops: Vec<_> = stops.map(|((&epoch, workers), overrun)| Stop { epoch, workers, overrun }).collect();
        let states = travel(&undisturbed, 1, &stops);
        // What one had that was never disturbed is what it is in the end.
        let cut = run(&undisturbed.leg(1, None, u64::MAX, epochs.iter().copied()));
        for (epoch, state) in epochs.iter().zip(&states) {
            prop_assert!(rows_of(&cut.cuts[epoch]) == *state, "state at {}", epoch);
        }
    }

    #[test]
    fn a_run_does_not_notice_that_it_is_cut(
        scenario in scenarios(),
        places in prop::collection::vec(place(), 1..8),
        workers in 2..=3_usize,
    ) {
        let undisturbed = Undisturbed::of(&scenario);
        let epochs: BTreeSet<_> = epochs(&places, &undisturbed).into_iter().collect();
        let [one, many] = [1, workers].map(|workers| run(&undisturbed.leg(workers, None, u64::MAX, epochs.clone())));
        undisturbed.agrees(&one, None, u64::MAX);
        undisturbed.agrees(&many, None, u64::MAX);
        for epoch in epochs {
            undisturbed.positions_agree(epoch, &many.cuts[&epoch]);
            let [one, many] = [&one, &many].map(|ran| rows_of(&ran.cuts[&epoch]));
            prop_assert!(one == many, "state at {}", epoch);
        }
    }
}
