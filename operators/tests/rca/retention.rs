use std::collections::BTreeSet;

use differential_dataflow::{AsCollection, VecCollection};
use faultline_contracts::time::UnixMillis;
use faultline_operators::retention::{Dropped, Retained, Retention, retain};
use faultline_operators::state::{Section, StatePorts};
use proptest::prelude::*;
use timely::dataflow::{channels::pact::Pipeline, operators::generic::Operator};

use crate::dataflow::{Round, rows, states};

/// Time and name.
type Fact = (i64, u8);

fn retained<'s>(facts: VecCollection<'s, u64, Fact>, limits: Retention) -> VecCollection<'s, u64, Fact> {
    kept(facts, limits).facts
}

fn kept<'s>(facts: VecCollection<'s, u64, Fact>, limits: Retention) -> Retained<'s, Fact> {
    let state = StatePorts::closed(facts.inner.scope());
    retain(rows(facts), Section::Spans, |fact| u64::from(fact.1), |fact| UnixMillis(fact.0), limits, &state)
}

/// What was dropped, with the epoch in which it was.
fn dropped<'s>(facts: VecCollection<'s, u64, Fact>, limits: Retention) -> VecCollection<'s, u64, (u64, Dropped)> {
    let kept = kept(facts, limits);
    kept.dropped
        .unary(Pipeline, "Stamp", |_, _| {
            |input, output| {
                input.for_each_stamp(|capability, batches| {
                    let epoch = *capability.least().unwrap();
                    let counts = batches.flat_map(|batch| batch.drain(..)).map(|count| ((epoch, count), epoch, 1));
                    output.session(&capability).give_iterator(counts);
                });
            }
        })
        .container::<Vec<_>>()
        .as_collection()
}

fn rounds(facts: &[Vec<Fact>]) -> Vec<Round<Fact>> {
    facts.iter().map(|round| round.iter().map(|fact| (*fact, 1)).collect()).collect()
}

#[test]
fn a_fact_is_held_once_until_newer_facts_leave_it_behind() {
    let limits = Retention { keep_ms: 10, capacity: 100, shards: 4 };
    let facts = [vec![(0, 1), (0, 1), (5, 2)], vec![(0, 1)], vec![(10, 3)], vec![(16, 3)], vec![(5, 2), (7, 9)]];
    let held = states(2, &rounds(&facts), move |facts| retained(facts, limits));
    assert_eq!(held[0], [(0, 1), (5, 2)]);
    assert_eq!(held[1], held[0], "a second copy changes nothing");
    assert_eq!(held[2], [(0, 1), (5, 2), (10, 3)], "exactly as old as is kept");
    assert_eq!(held[3], [(10, 3), (16, 3)], "the newest fact of one shard ages those of all");
    assert_eq!(held[4], [(7, 9), (10, 3), (16, 3)], "late, but not too late");
    let counts = states(2, &rounds(&facts), move |facts| dropped(facts, limits));
    assert_eq!(counts[4], [(4, Dropped { late: 1, over_capacity: 0 })]);
}

#[test]
fn no_room_is_no_panic() {
    let limits = Retention { keep_ms: i64::MIN, capacity: 0, shards: 0 };
    let facts = [vec![(i64::MIN, 1), (i64::MAX, 2)]];
    assert_eq!(states(1, &rounds(&facts), move |facts| retained(facts, limits)), [[]]);
    let counts = states(1, &rounds(&facts), move |facts| dropped(facts, limits));
    let lost: u64 = counts[0].iter().map(|(_, dropped)| dropped.late + dropped.over_capacity).sum();
    assert_eq!(lost, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_newest_facts_that_fit_are_held(
        facts in prop::collection::vec(prop::collection::vec((0_i64..60, 0_u8..6), 0..12), 1..6),
        capacity in 1_usize..12,
        shards in 1_usize..4,
    ) {
        let limits = Retention { keep_ms: 20, capacity, shards };
        let one = states(1, &rounds(&facts), move |facts| retained(facts, limits));
        let three = states(3, &rounds(&facts), move |facts| retained(facts, limits));
        prop_assert_eq!(&one, &three);
        prop_assert!(one.iter().all(|held| held.len() <= capacity));
        if shards == 1 {
            let (mut held, mut newest) = (BTreeSet::new(), i64::MIN);
            let expected: Vec<Vec<Fact>> = facts.iter().map(|round| {
                held.extend(round.iter().copied());
                newest = round.iter().map(|fact| fact.0).max().unwrap_or(newest).max(newest);
                held.retain(|fact| fact.0 >= newest.saturating_sub(20));
                while held.len() > capacity { held.pop_first(); }
                held.iter().copied().collect()
            }).collect();
            prop_assert_eq!(one, expected);
        }
    }
}
