//! What random input seldom comes to.

use faultline_operators::positions::positions_of;

use crate::{
    dataflow::run,
    input::{Judged, Scenario, Tick, partition, policy, topic_id},
    journey::{Stop, travel},
    leg::Output,
    undisturbed::Undisturbed,
};

const START: i64 = 10_000;

fn records(partition: i32, event_time: i64, pass: usize, fail: usize) -> Vec<Judged> {
    let results = std::iter::repeat_n(Ok(()), pass).chain(std::iter::repeat_n(Err(Some(0)), fail));
    results.map(|result| Judged { partition, dataset: 0, event_time, result, offset: 0 }).collect()
}

fn tick(after: i64, records: Vec<Judged>) -> Tick {
    Tick { epoch: (START + after) as u64, records, step: true, ..Tick::default() }
}

/// Goes through all these stops, with other numbers of workers each time.
fn travel_by(scenario: &Scenario, stops: &[i64]) {
    let undisturbed = Undisturbed::of(scenario);
    for overrun in [false, true] {
        let stop = |(&after, workers)| Stop { epoch: (START + after) as u64, workers, overrun };
        let stops: Vec<_> = stops.iter().zip([2, 1, 3, 2, 1, 2]).map(stop).collect();
        travel(&undisturbed, 1, &stops);
    }
}

/// The watermark passes a window's end and grace in one step: the window is final for one epoch, and the cut is there.
#[test]
fn a_window_that_is_to_be_retired_next_comes_back_first() {
    let mut first = tick(0, records(0, START + 50, 1, 9));
    first.records.extend(records(1, START + 1_000, 1, 0));
    first.policies = [(0, Some(policy(0, 950_000)))].into();
    let scenario = Scenario::new(vec![
        first,
        tick(40, records(1, START + 1_000, 1, 0)),
        tick(80, records(1, START + 1_010, 1, 0)),
        tick(90, records(0, START + 1_020, 0, 1)),
    ]);
    let undisturbed = Undisturbed::of(&scenario);
    let windows = |after: i64| {
        let held = undisturbed.ran.held((START + after) as u64);
        held.keys().filter(|it| matches!(it, Output::Window(_))).count()
    };
    assert_eq!([50, 51, 52].map(windows), [2, 2, 1], "idle after 50 ms, and gone one epoch later");
    travel_by(&scenario, &[50]);
    travel_by(&scenario, &[51]);
    travel_by(&scenario, &[50, 51, 52, 53]);
    travel_by(&scenario, &[51, 51, 51]);
}

#[test]
fn a_cut_may_be_before_all_input_and_after_it_and_at_any_epoch_between() {
    let mut ticks = vec![tick(0, records(0, START, 5, 5)), tick(2, records(1, START + 120, 3, 0))];
    ticks[0].policies = [(0, Some(policy(0, 950_000)))].into();
    ticks.push(tick(4, records(0, START + 150, 0, 8)));
    let scenario = Scenario::new(ticks);
    travel_by(&scenario, &[-1, 0, 1, 2, 3, 4]);
    travel_by(&scenario, &[-5, -5, 4, 4]);
}

#[test]
fn an_empty_run_can_be_cut_and_gone_on_from() {
    let mut only = tick(10, Vec::new());
    only.policies = [(0, Some(policy(0, 950_000)))].into();
    let scenario = Scenario::new(vec![only]);
    travel_by(&scenario, &[0, 10]);
}

#[test]
fn a_topic_made_anew_is_read_from_where_it_was_come_to() {
    let ticks = [0, 10, 20, 30, 40].map(|after| {
        let mut tick = tick(after, records(0, START + after, 3, 1));
        // Of two partitions of the topic, one has no records yet.
        tick.anew = if after == 20 { vec![0, 1] } else { Vec::new() };
        tick
    });
    let scenario = Scenario::new(ticks.to_vec());
    for stops in [[10, 15], [19, 20], [20, 21], [20, 30], [10, 30]] {
        travel_by(&scenario, &stops);
    }
    let undisturbed = Undisturbed::of(&scenario);
    let cut = (START + 20) as u64;
    let positions = positions_of(&run(&undisturbed.leg(1, None, cut, [cut])).cuts[&cut]).unwrap();
    let of = |number| (positions[&partition(number)].next, positions[&partition(number)].topic_id.clone());
    assert_eq!((of(0), of(1)), ((4, topic_id(1)), (0, topic_id(1))));
}

/// A source says offset −1 of a partition that it has been given, until it has found where to go on.
#[test]
fn a_partition_that_is_assigned_and_not_begun_keeps_its_position() {
    let assigned = |after| Tick { assigned: vec![0], ..tick(after, Vec::new()) };
    let ticks = vec![tick(0, records(0, START, 5, 0)), assigned(10), assigned(20), tick(30, records(0, START, 1, 0))];
    let scenario = Scenario::new(ticks);
    assert_eq!(scenario.positions_at((START + 20) as u64)[&partition(0)].next, 705);
    travel_by(&scenario, &[0, 10, 20]);
}

/// Only objectives are: tiers and owners are no business of signals.
#[test]
fn a_policy_that_differs_in_its_owner_alone_judges_nothing_anew() {
    let mut ticks = vec![tick(0, records(0, START, 1, 9)), tick(10, records(0, START, 0, 9)), tick(90, Vec::new())];
    ticks[0].policies = [(0, Some(policy(0, 950_000)))].into();
    let scenario = Scenario::new(ticks);
    let undisturbed = Undisturbed::of(&scenario);
    let cut = (START + 15) as u64;
    let first = run(&undisturbed.leg(1, None, cut, [cut]));
    let mut restored = undisturbed.restored(cut, &first.cuts[&cut]);
    restored.policies[0].owners = vec!["someone else".into()];
    undisturbed.agrees(&run(&undisturbed.leg(2, Some(restored), u64::MAX, [])), Some(cut), u64::MAX);
}
