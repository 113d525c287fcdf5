//! Runs and edges are a function of the set of events, and every bound holds and is told.

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::{AsCollection, VecCollection};
use faultline_contracts::{
    ids::EntityId,
    lineage::{ColumnLineage, FlowEdge, FlowKind, LineageEvent, Run, RunObservation, RunState},
    time::UnixMillis,
};
use faultline_operators::lineage::{DropReason, LineageOptions, lineage, with_declared};
use faultline_operators::state::StatePorts;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;

use crate::harness::{self, Contents};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Output {
    Run(Run),
    Edge(FlowEdge),
    Column(ColumnLineage),
    Dropped(DropReason, u64),
}

fn folded(workers: usize, epochs: &[Vec<LineageEvent>], options: &LineageOptions) -> Vec<Contents<Output>> {
    let epochs: Vec<Vec<_>> =
        epochs.iter().map(|epoch| epoch.iter().map(|event| (event.clone(), 1)).collect()).collect();
    let options = options.clone();
    harness::run(workers, &epochs, move |events: VecCollection<'_, u64, LineageEvent>| {
        let state = StatePorts::closed(events.inner.scope());
        let folded = lineage(events.inner.map(|(event, ..)| event), options.clone(), &state);
        // Counts of several workers in one epoch add up; the epoch itself does not matter here.
        let dropped = folded.dropped.map(|(reason, n)| ((reason, n), 0, 1)).as_collection();
        (folded.runs.map(Output::Run))
            .concat(folded.edges.map(Output::Edge))
            .concat(folded.columns.map(Output::Column))
            .concat(dropped.map(|(reason, n)| Output::Dropped(reason, n)))
    })
}

/// What is held at the end, without what was dropped.
fn held(workers: usize, epochs: &[Vec<LineageEvent>]) -> BTreeSet<Output> {
    let contents = folded(workers, epochs, &LineageOptions::default()).pop().unwrap_or_default();
    assert!(contents.iter().all(|(output, count)| *count == 1 && !matches!(output, Output::Dropped(..))));
    contents.into_keys().collect()
}

/// All runs and edges from the whole set of events at once.
fn oracle(events: &[LineageEvent]) -> BTreeSet<Output> {
    let mut outputs = BTreeSet::new();
    let by_job = |job: &EntityId| events.iter().filter(|event| event.job == *job).collect::<Vec<_>>();
    for job in events.iter().map(|event| &event.job).collect::<BTreeSet<_>>() {
        let events = by_job(job);
        let mut runs = BTreeMap::<_, Vec<_>>::new();
        for event in &events {
            outputs.extend(event.columns.iter().cloned().map(Output::Column));
            runs.entry(event.run.as_ref().map(|run| run.id.clone())).or_default().push(*event);
        }
        let designs = runs.remove(&None).unwrap_or_default();
        let design = designs.iter().max_by_key(|event| (event.at, flows(event)));
        let mut live: BTreeSet<_> = design.map(|event| flows(event)).unwrap_or_default();
        for (id, events) in runs.into_iter().filter_map(|(id, events)| Some((id?, events))) {
            live.extend(events.iter().flat_map(|event| flows(event)));
            let seen: Vec<_> =
                events.iter().filter_map(|event| event.run.as_ref().map(|run| (event.at, run))).collect();
            let last = |terminal: bool| {
                seen.iter()
                    .filter(|(_, run)| run.state.is_terminal() == terminal)
                    .map(|(at, run)| (*at, run.state))
                    .max()
            };
            let (state_at, state) = last(true).or(last(false)).unwrap();
            let running = seen.iter().filter(|(_, run)| run.state == RunState::Running).map(|(at, _)| *at).max();
            let streaming = seen.iter().any(|(_, run)| run.streaming);
            let latest = |text: fn(&RunObservation) -> Option<String>| {
                seen.iter().filter_map(|(at, run)| Some((*at, text(run)?))).max().map(|(_, text)| text)
            };
            let union = |ids: fn(&LineageEvent) -> &Vec<EntityId>| {
                events.iter().flat_map(|event| ids(event).clone()).collect::<BTreeSet<_>>().into_iter().collect()
            };
            outputs.insert(Output::Run(Run {
                id,
                job: job.clone(),
                state,
                started_at: seen.iter().map(|(at, _)| *at).min().unwrap(),
                updated_at: seen.iter().map(|(at, _)| *at).max().unwrap(),
                wrote_at: if state == RunState::Complete { Some(state_at) } else { running.filter(|_| streaming) },
                inputs: union(|event| &event.inputs),
                outputs: union(|event| &event.outputs),
                dag_run_id: latest(|run| run.dag_run_id.as_ref().map(ToString::to_string)).map(Into::into),
                parent_job: latest(|run| run.parent_job.as_ref().map(ToString::to_string)).map(Into::into),
                error: latest(|run| run.error.as_ref().map(ToString::to_string))
                    .filter(|_| state != RunState::Complete)
                    .map(Into::into),
            }));
        }
        outputs.extend(live.into_iter().map(|(kind, dataset)| {
            let naming = events.iter().filter(|event| flows(event).contains(&(kind, dataset.clone())));
            let since = naming.map(|event| event.at).min().unwrap();
            Output::Edge(match kind {
                FlowKind::Feeds => FlowEdge { from: dataset, to: job.clone(), kind, since },
                _ => FlowEdge { from: job.clone(), to: dataset, kind, since },
            })
        }));
    }
    outputs
}

fn flows(event: &LineageEvent) -> BTreeSet<(FlowKind, EntityId)> {
    let inputs = event.inputs.iter().map(|id| (FlowKind::Feeds, id.clone()));
    inputs.chain(event.outputs.iter().map(|id| (FlowKind::Writes, id.clone()))).collect()
}

fn events() -> impl Strategy<Value = LineageEvent> {
    use RunState::{Abort, Complete, Fail, Other, Running, Start};
    let names = || prop::collection::vec((0..5_u8).prop_map(|n| EntityId::from(format!("t{n}"))), 0..3);
    let text = |prefix: &'static str| prop::option::of((0..3_u8).prop_map(move |n| format!("{prefix}{n}")));
    let state = prop::sample::select(vec![Other, Start, Running, Complete, Fail, Abort]);
    let run = (0..3_u8, state, text("dag"), text("job:dag/"), any::<bool>(), text("error")).prop_map(
        |(id, state, dag_run_id, parent_job, streaming, error)| RunObservation {
            id: format!("run{id}").into(),
            state,
            dag_run_id: dag_run_id.map(Into::into),
            parent_job: parent_job.map(Into::into),
            streaming,
            error: error.map(Into::into),
        },
    );
    let column = (0..2_u8, 0..2_u8).prop_map(|(from, to)| ColumnLineage {
        output: "t0".into(),
        output_field: format!("c{to}").into(),
        input: "t1".into(),
        input_field: format!("c{from}").into(),
    });
    let columns = prop::collection::vec(column, 0..2);
    (0..3_u8, 0..8_i64, prop::option::weighted(0.7, run), names(), names(), columns).prop_map(
        |(job, at, run, inputs, outputs, columns)| LineageEvent {
            job: EntityId::job("ns", &job.to_string()),
            at: UnixMillis(at),
            run,
            inputs,
            outputs,
            columns,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_result_is_a_function_of_the_set_of_events(
        arrivals in prop::collection::vec((events(), any::<u16>(), 0..4_usize, 1..3_usize), 0..24),
    ) {
        let set: Vec<_> = arrivals.iter().map(|(event, ..)| event.clone()).collect();
        let mut arrivals = arrivals;
        arrivals.sort_by_key(|(_, order, ..)| *order);
        let mut epochs = vec![Vec::new(); 4];
        for (event, _, epoch, times) in arrivals {
            epochs[epoch].extend(std::iter::repeat_n(event, times));
        }
        let expected = oracle(&set);
        prop_assert_eq!(&held(1, &[set]), &expected);
        prop_assert_eq!(&held(1, &epochs), &expected);
        prop_assert_eq!(&held(2, &epochs), &expected);
    }
}

fn event(job: &str, at: i64, run: Option<(&str, RunState)>, inputs: &[&str], outputs: &[&str]) -> LineageEvent {
    let ids = |names: &[&str]| names.iter().map(|name| EntityId::from(*name)).collect();
    let run = run.map(|(id, state)| RunObservation {
        id: id.into(),
        state,
        dag_run_id: None,
        parent_job: None,
        streaming: false,
        error: None,
    });
    LineageEvent {
        job: job.into(),
        at: UnixMillis(at),
        run,
        inputs: ids(inputs),
        outputs: ids(outputs),
        columns: vec![],
    }
}

fn edges(contents: &Contents<Output>) -> Vec<(&str, &str, i64)> {
    let edge = |output| match output {
        &Output::Edge(FlowEdge { ref from, ref to, since, .. }) => Some((from.as_str(), to.as_str(), since.0)),
        _ => None,
    };
    contents.keys().filter_map(edge).collect()
}

fn dropped(contents: &Contents<Output>) -> BTreeMap<DropReason, u64> {
    let mut sums = BTreeMap::new();
    for (output, times) in contents {
        if let Output::Dropped(reason, n) = output {
            *sums.entry(*reason).or_default() += n * *times as u64;
        }
    }
    sums
}

#[test]
fn an_empty_terminal_event_keeps_the_edges_in_use_and_the_unseen_retire() {
    use RunState::{Complete, Start};
    let options = LineageOptions { edge_retention_ms: 100, ..LineageOptions::default() };
    let epochs = [
        vec![event("j", 0, Some(("long", Start)), &["a"], &[]), event("j", 5, Some(("short", Start)), &["b"], &[])],
        vec![event("j", 90, Some(("long", Complete)), &[], &[])],
        vec![event("j", 150, None, &["design"], &[])],
        vec![event("j", 150 + 100, None, &[], &["new"]), event("j", 200, Some(("late", Start)), &["c"], &[])],
        // A clock that is years ahead ages nothing, and what is older than the horizon is not let in.
        vec![
            event("j", 1 << 50, Some(("mad", Start)), &["mad"], &[]),
            event("j", 149, Some(("older", Start)), &["old"], &[]),
        ],
    ];
    for workers in [1, 2] {
        let after = folded(workers, &epochs, &options);
        assert_eq!(edges(&after[0]), [("a", "j", 0), ("b", "j", 5)]);
        assert_eq!(edges(&after[1]), [("a", "j", 0), ("b", "j", 5)]);
        assert_eq!(edges(&after[2]), [("a", "j", 0), ("design", "j", 150)]);
        assert_eq!(edges(&after[3]), [("c", "j", 200), ("j", "new", 250)]);
        assert_eq!(edges(&after[4]), [("c", "j", 200), ("j", "new", 250), ("mad", "j", 1 << 50)]);
        assert_eq!(dropped(&after[4]), BTreeMap::from([(DropReason::Edge, 3)]));
    }
}

#[test]
fn bounds_keep_the_most_recent_and_count_the_rest() {
    use RunState::Complete;
    let options = LineageOptions { runs_per_job: 2, max_edges_per_job: 2, max_jobs: 64, ..LineageOptions::default() };
    let runs = ["r1", "r2", "r3"].iter().zip(1..);
    let mut epoch: Vec<_> = runs.map(|(id, at)| event("j", at, Some((id, Complete)), &[id], &[])).collect();
    epoch.push(event("j", 4, Some(("r3", Complete)), &["x", "y", "z"], &[]));
    let after = folded(2, &[epoch], &options).remove(0);
    let runs: Vec<_> =
        after.keys().filter_map(|row| if let Output::Run(run) = row { Some(run) } else { None }).collect();
    assert_eq!(runs.iter().map(|run| (&*run.id, run.inputs.len())).collect::<Vec<_>>(), [("r2", 1), ("r3", 2)]);
    assert_eq!(edges(&after).len(), 2);
    assert_eq!(
        dropped(&after),
        BTreeMap::from([(DropReason::Run, 1), (DropReason::Edge, 4), (DropReason::RunDataset, 2)])
    );

    let jobs: Vec<_> = (0..400).map(|n| event(&format!("j{n}"), n, None, &["t"], &[])).collect();
    let [one, two] = [1, 2].map(|workers| folded(workers, std::slice::from_ref(&jobs), &options).remove(0));
    assert_eq!(edges(&one), edges(&two), "which jobs stay does not depend on the number of workers");
    let kept = edges(&one).len() as u64;
    assert!((1..=64).contains(&kept));
    assert_eq!(dropped(&one)[&DropReason::Job], 400 - kept);
    assert_eq!(dropped(&two)[&DropReason::Job], 400 - kept);
}

#[test]
fn an_edge_that_is_also_declared_is_one_edge() {
    let edge = |since| FlowEdge { since: UnixMillis(since), ..harness::edge("a", "b", FlowKind::ConsumedBy) };
    let epochs = [vec![((edge(7), false), 1)], vec![((edge(0), true), 1)], vec![((edge(0), true), -1)]];
    let after = harness::run(2, &epochs, |edges| {
        let observed = edges.clone().filter(|(_, declared)| !declared).map(|(edge, _)| edge);
        with_declared(observed, edges.filter(|(_, declared)| *declared).map(|(edge, _)| edge))
    });
    assert_eq!(after, [7, 0, 7].map(|since| Contents::from([(edge(since), 1)])));
}
