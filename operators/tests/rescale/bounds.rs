//! Large state leaves in slices while others work, and damaged state is told and does no other harm.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use faultline_contracts::{
    deployment::{Deployment, DeploymentKind},
    ids::EntityId,
    lineage::LineageEvent,
    time::UnixMillis,
    trace::{ServiceSpan, TraceId},
};
use faultline_operators::{
    retention::{Retention, retain},
    state::{Cut, Section, StateChunk, StatePorts},
};
use timely::dataflow::{
    ProbeHandle,
    operators::{Inspect, Probe, generic::operator::empty},
};

use crate::{
    dataflow::{StreamInput, dated, run},
    input::{Judged, Scenario, Tick, policy},
    leg::{Changes, Options, Output},
    undisturbed::{Undisturbed, rows_of},
};

/// The most rows that leave at once.
const FULL: usize = 4_096;
const MANY: usize = 3 * FULL + 100;

fn span(n: usize) -> ServiceSpan {
    let trace_id = TraceId::from_bytes((n as u128 + 1).to_be_bytes()).unwrap();
    ServiceSpan { trace_id, service: "s".into(), version: None, topic: None, at: UnixMillis(n as i64 % 1_000) }
}

/// What has come out by now, and of which epoch.
type Told<D> = Rc<RefCell<Vec<(u64, D)>>>;

#[test]
fn large_state_leaves_a_slice_an_activation_and_nothing_of_later_epochs_goes_with_it() {
    timely::execute_directly(|worker| {
        let mut spans = StreamInput::<ServiceSpan>::new_with_builder();
        let mut cuts = StreamInput::<Cut>::new_with_builder();
        let mut ticks = StreamInput::<()>::new_with_builder();
        let (facts, chunks) = (Told::<ServiceSpan>::default(), Told::<StateChunk>::default());
        let (told, leaving) = (Rc::clone(&facts), Rc::clone(&chunks));
        let probe = worker.dataflow::<u64, _, _>(|scope| {
            let state = StatePorts::new(cuts.to_stream(scope), empty(scope));
            let limits = Retention { keep_ms: 1_000_000, capacity: 100_000, shards: 16 };
            let key = |span: &ServiceSpan| span.trace_id.hash();
            let retained = retain(spans.to_stream(scope), Section::Spans, key, |span| span.at, limits, &state);
            retained.facts.inspect(move |(span, epoch, _)| told.borrow_mut().push((*epoch, span.clone())));
            dated(state.leaving(scope)).inspect(move |chunk| leaving.borrow_mut().push(chunk.clone())).probe().0
        });
        let others: ProbeHandle<u64> = worker.dataflow::<u64, _, _>(|scope| ticks.to_stream(scope).probe().0);

        spans.advance_to(1);
        cuts.advance_to(1);
        (0..MANY).for_each(|n| spans.send(span(n)));
        cuts.send(Cut);
        // There is input after the cut, and a cut right after the first one.
        spans.advance_to(2);
        cuts.advance_to(2);
        (MANY..MANY + 10).for_each(|n| spans.send(span(n)));
        cuts.send(Cut);
        spans.advance_to(3);
        cuts.advance_to(3);

        let (mut slices, mut worked_meanwhile) = (Vec::new(), 0);
        while probe.less_than(&3) {
            let (before, tick) = (chunks.borrow().len(), *ticks.time());
            ticks.advance_to(tick + 1);
            worker.step();
            slices.push(chunks.borrow().len() - before);
            let cutting = (1..=4).contains(&chunks.borrow().len());
            worked_meanwhile += usize::from(cutting && !others.less_than(&tick));
            let later = facts.borrow().iter().any(|(epoch, _)| *epoch > 1);
            assert!(
                !later || chunks.borrow().iter().filter(|(epoch, _)| *epoch == 1).count() >= 4,
                "taken up too early"
            );
        }
        assert!(slices.iter().all(|&slices| slices <= 1), "one operator, one slice an activation: {slices:?}");
        assert!(worked_meanwhile >= 3, "another dataflow of this worker went on");
        let of =
            |cut| chunks.borrow().iter().filter(|(epoch, _)| *epoch == cut).map(|(_, chunk)| chunk.clone()).collect();
        let [first, second]: [Vec<StateChunk>; 2] = [1, 2].map(of);
        for (chunks, facts) in [(&first, MANY), (&second, MANY + 10)] {
            assert!(chunks.len() > 3, "{} chunks", chunks.len());
            // In front of a shard's facts is the time of its newest.
            assert!(chunks.iter().all(|chunk| chunk.rows() as usize <= FULL + 16));
            assert_eq!(rows_of(chunks).len(), facts + 16);
            assert_eq!(rows_of(chunks).into_iter().collect::<BTreeSet<_>>().len(), facts + 16, "each row once");
        }
        assert_eq!(facts.borrow().len(), MANY + 10);
    });
}

/// Many rows of all operators that have as many as their input has keys, cut by one worker and brought back to three.
#[test]
fn large_state_comes_back_whole() {
    let judged = |n: usize| Judged { partition: n as i32, dataset: n, event_time: 10_000, result: Ok(()), offset: 0 };
    let deployment = |n: usize| Deployment {
        service: format!("service-{n}").into(),
        at: UnixMillis(10_000),
        version: "v1".into(),
        kind: DeploymentKind::Deployed,
        environment: None,
        event: "event".into(),
    };
    let design = |n: usize| LineageEvent {
        job: EntityId::job("ns", &n.to_string()),
        at: UnixMillis(10_000),
        run: None,
        inputs: vec!["t".into()],
        outputs: Vec::new(),
        columns: Vec::new(),
    };
    let tick = |epoch, n: usize| Tick {
        epoch,
        records: (0..n).map(judged).collect(),
        deployments: (0..n).map(deployment).collect(),
        lineage: (0..n).map(design).collect(),
        ..Tick::default()
    };
    let mut first = tick(10_000, MANY);
    first.policies = (0..10).map(|n| (n, Some(policy(n, 950_000)))).collect();
    let scenario = Scenario::new(vec![first, tick(10_010, 100), tick(10_200, 1)]);
    let options = Options { max_jobs: 1_000_000, ..Options::default() };
    let undisturbed = Undisturbed::with(&scenario, options);
    let ran = run(&undisturbed.leg(1, None, u64::MAX, [10_005, 10_006]));
    undisturbed.agrees(&ran, None, u64::MAX);
    let [cut, again] = [10_005, 10_006].map(|epoch| &ran.cuts[&epoch]);
    undisturbed.positions_agree(10_005, cut);
    for section in Section::ALL.into_iter().filter(|section| *section != Section::Spans) {
        let slices: Vec<_> = cut.iter().filter(|chunk| chunk.section() == section).cloned().collect();
        assert!(slices.len() > 3, "{section:?} in {}", slices.len());
        let rows = rows_of(&slices);
        assert_eq!(rows.len(), MANY + usize::from(section == Section::Windows), "and the watermark");
        let again: Vec<_> = again.iter().filter(|chunk| chunk.section() == section).cloned().collect();
        // One epoch later, only the ages of partitions are others.
        assert!(rows_of(&again) == rows || section == Section::Windows, "{section:?}");
    }
    let restored = undisturbed.restored(10_005, cut);
    let ran = run(&undisturbed.leg(3, Some(restored), u64::MAX, [10_006]));
    undisturbed.agrees(&ran, Some(10_005), u64::MAX);
    assert!(rows_of(&ran.cuts[&10_006]) == rows_of(again), "cut again elsewhere, one epoch later");
}

#[test]
fn rows_that_cannot_be_read_are_counted_and_the_others_are_taken_in() {
    let records =
        (0..4).map(|n| Judged { partition: n, dataset: n as usize, event_time: 10_000, result: Ok(()), offset: 0 });
    let mut first = Tick { epoch: 10_000, records: records.collect(), ..Tick::default() };
    first.policies = (0..4).map(|n| (n, Some(policy(n, 950_000)))).collect();
    first.spans = (0..4).map(span).collect();
    let scenario = Scenario::new(vec![first]);
    let undisturbed = Undisturbed::of(&scenario);
    let ran = run(&undisturbed.leg(1, None, u64::MAX, [10_000]));
    let mut restored = undisturbed.restored(10_000, &ran.cuts[&10_000]);
    for chunk in restored.chunks.iter_mut().filter(|chunk| chunk.rows() > 0) {
        let mut bytes = chunk.bytes().to_vec();
        // The last row, in which no number and no text ends.
        let rows = rows_of(std::slice::from_ref(chunk));
        let last = rows.iter().map(|(_, row)| row).find(|row| bytes.ends_with(row)).unwrap().len() - 12;
        let start = bytes.len() - last;
        bytes[start..].fill(0xff);
        *chunk = StateChunk::from_bytes(chunk.section(), chunk.rows(), bytes);
    }
    let ran = run(&undisturbed.leg(2, None, 0, []).with(restored));
    let damaged = [Section::Positions, Section::Windows, Section::Signals, Section::Spans];
    assert_eq!(ran.unreadable, damaged.map(|section| (section, 1)).into());
    let held: Changes = ran.held(10_000);
    assert_eq!(held.keys().filter(|output| matches!(output, Output::Window(_))).count(), 3);
    assert_eq!(held.keys().filter(|output| matches!(output, Output::Span(_))).count(), 3);
}
