//! The hand-written operators, wired as the engine wires them, from one cut to another.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use differential_dataflow::{VecCollection, input::InputSession};
use faultline_contracts::{lineage::FlowEdge, policy::DatasetPolicy, trace::ServiceSpan};
use faultline_operators::{
    compliance::compliance_windows,
    deployments::{DeploymentHistory, deployments},
    lineage::{LineageOptions, lineage, with_declared},
    positions::positions,
    retention::{Retention, retain},
    signals::signals,
    state::{Cut, Section, StateChunk, StatePorts},
};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        InputHandle, ProbeHandle, StreamVec,
        channels::pact::Pipeline,
        operators::{Concatenate, Inspect, Operator, Probe, vec::Map},
    },
    worker::Worker,
};

use crate::{
    input::declared,
    leg::{Leg, Output, Ran, window_options},
};

type Updates<'s> = StreamVec<'s, u64, (Output, u64, isize)>;

fn rows<'s, D: Clone>(collection: VecCollection<'s, u64, D>, output: fn(D) -> Output) -> Updates<'s> {
    collection.inner.map(move |(row, epoch, diff)| (output(row), epoch, diff))
}

/// Gives what a stream brings the epoch of its message.
pub fn dated<'s, D: Clone + 'static>(stream: StreamVec<'s, u64, D>) -> StreamVec<'s, u64, (u64, D)> {
    stream
        .unary(Pipeline, "Dated", |_, _| {
            |input, output| {
                input.for_each_stamp(|capability, batches| {
                    let epoch = *capability.least().unwrap();
                    let facts = batches.flat_map(|batch| batch.drain(..)).map(|fact| (epoch, fact));
                    output.session(&capability).give_iterator(facts);
                });
            }
        })
        .container::<Vec<_>>()
}

fn facts<'s, D: Clone + 'static>(
    stream: StreamVec<'s, u64, D>,
    output: impl Fn(D) -> (Output, u64) + 'static,
) -> Updates<'s> {
    dated(stream).map(move |(epoch, fact)| {
        let (output, count) = output(fact);
        (output, epoch, count as isize)
    })
}

pub type StreamInput<D> = InputHandle<u64, CapacityContainerBuilder<Vec<D>>>;

/// Has the other workers stop when one of them fails, which they would wait for otherwise.
struct Alarm(Arc<AtomicBool>);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.fetch_or(std::thread::panicking(), Ordering::Relaxed);
    }
}

/// Runs a leg to its end.
pub fn run(leg: &Leg) -> Ran {
    let ran = Arc::new(Mutex::new(Ran::default()));
    let workers = leg.workers;
    let (told, failed, leg) = (Arc::clone(&ran), Arc::new(AtomicBool::new(false)), leg.clone());
    timely::execute(timely::Config::process(workers), move |worker| {
        let mut deltas = StreamInput::new_with_builder();
        let mut progress = StreamInput::new_with_builder();
        let mut begins = StreamInput::new_with_builder();
        let mut deployment_events = StreamInput::new_with_builder();
        let mut spans = StreamInput::new_with_builder();
        let mut lineage_events = StreamInput::new_with_builder();
        let mut cuts = StreamInput::<Cut>::new_with_builder();
        let mut restored = StreamInput::<StateChunk>::new_with_builder();
        let mut policies = InputSession::<u64, DatasetPolicy, isize>::new();
        let mut declared_flows = InputSession::<u64, FlowEdge, isize>::new();
        let (index, peers) = (worker.index(), worker.peers());
        let alarm = Alarm(Arc::clone(&failed));
        let step = |worker: &mut Worker| {
            assert!(!alarm.0.load(Ordering::Relaxed), "another worker has failed");
            worker.step_or_park(Some(Duration::from_millis(1)));
        };
        let probe = ProbeHandle::new();

        worker.dataflow::<u64, _, _>(|scope| {
            let state = StatePorts::new(cuts.to_stream(scope), restored.to_stream(scope));
            let progress = progress.to_stream(scope);
            positions(begins.to_stream(scope), progress.clone(), &state);
            let windows = compliance_windows(deltas.to_stream(scope), progress, &window_options(), &state);
            let judged = signals(
                windows.windows.clone(),
                policies.to_collection(scope),
                windows.watermark.clone(),
                &leg.options.signals,
                &state,
            );
            let history = DeploymentHistory { retention_ms: 200, per_service: 3 };
            let deployed = deployments(deployment_events.to_stream(scope), history, &state);
            let traced = retain(
                spans.to_stream(scope),
                Section::Spans,
                |span: &ServiceSpan| span.trace_id.hash(),
                |span| span.at,
                Retention { keep_ms: 150, capacity: 8, shards: 4 },
                &state,
            );
            let bounds = LineageOptions {
                runs_per_job: 2,
                edge_retention_ms: 150,
                max_edges_per_job: 3,
                max_columns_per_job: 2,
                max_jobs: leg.options.max_jobs,
                ..LineageOptions::default()
            };
            let folded = lineage(lineage_events.to_stream(scope), bounds, &state);
            let flows = with_declared(folded.edges, declared_flows.to_collection(scope));

            let outputs = scope.concatenate([
                rows(windows.windows, Output::Window),
                rows(judged.signals, Output::Signal),
                rows(judged.breaches, Output::Breach),
                rows(deployed.in_force, Output::Deployment),
                rows(traced.facts, Output::Span),
                rows(folded.runs, Output::Run),
                rows(flows, Output::Edge),
                rows(folded.columns, Output::Column),
                facts(windows.late, |late| (Output::Late(late), 1)),
                facts(deployed.dropped, |(service, count)| (Output::Dropped(service.to_string()), count)),
                facts(traced.dropped.clone(), |spans| (Output::Dropped("late span".into()), spans.late)),
                facts(traced.dropped, |spans| (Output::Dropped("span".into()), spans.over_capacity)),
                facts(folded.dropped, |(reason, n)| (Output::Dropped(reason.as_str().into()), n)),
            ]);
            let ran = Arc::clone(&told);
            let outputs = outputs.inspect(move |(output, epoch, diff)| {
                let mut ran = ran.lock().unwrap();
                let changes = ran.changes.entry(*epoch).or_default();
                *changes.entry(output.clone()).or_default() += diff;
            });
            outputs.probe_with(&probe);
            let ran = Arc::clone(&told);
            let watermarks = dated(windows.watermark).inspect(move |(epoch, watermark)| {
                ran.lock().unwrap().watermarks.insert((index, *epoch), *watermark);
            });
            watermarks.probe_with(&probe);
            let ran = Arc::clone(&told);
            let leaving = dated(state.leaving(scope)).inspect(move |(epoch, chunk)| {
                let mut ran = ran.lock().unwrap();
                if chunk.unreadable() > 0 {
                    *ran.unreadable.entry(chunk.section()).or_default() += chunk.unreadable();
                } else {
                    assert_eq!(chunk.unwritable(), 0);
                    ran.cuts.entry(*epoch).or_default().push(chunk.clone());
                }
            });
            leaving.probe_with(&probe);
        });

        let begins_at = leg.restored.as_ref().map(|restored| restored.epoch);
        // The catalog comes from one worker, and so does what is restored.
        let declares_at = begins_at.unwrap_or(0);
        let last = leg.sent.keys().chain(&leg.cuts).chain(&begins_at).max().copied().unwrap_or(0);
        let moments: BTreeSet<u64> = leg.sent.keys().chain(&leg.cuts).copied().chain([declares_at, last + 1]).collect();
        for epoch in moments {
            deltas.advance_to(epoch);
            progress.advance_to(epoch);
            begins.advance_to(epoch);
            deployment_events.advance_to(epoch);
            spans.advance_to(epoch);
            lineage_events.advance_to(epoch);
            cuts.advance_to(epoch);
            restored.advance_to(epoch);
            policies.advance_to(epoch);
            policies.flush();
            declared_flows.advance_to(epoch);
            declared_flows.flush();
            let sent = leg.sent.get(&epoch).cloned().unwrap_or_default();
            while sent.step && probe.less_than(&epoch) {
                step(worker);
            }
            if index == 0 && epoch == declares_at {
                declared().into_iter().for_each(|flow| declared_flows.insert(flow));
            }
            if let Some(back) = leg.restored.as_ref().filter(|back| index == peers - 1 && back.epoch == epoch) {
                for chunk in &back.chunks {
                    // As it is when it has been read from a file.
                    let chunk = StateChunk::from_bytes(chunk.section(), chunk.rows(), chunk.bytes().to_vec());
                    chunk.divided(peers).unwrap().into_iter().for_each(|chunk| restored.send(chunk));
                }
                back.policies.iter().for_each(|policy| policies.insert(policy.clone()));
            }
            if index == 0 && leg.cuts.contains(&epoch) {
                cuts.send(Cut);
            }
            if index == 0 {
                sent.policies.into_iter().for_each(|(policy, diff)| policies.update(policy, diff));
            }
            let mine = |number: &i32| *number as usize % peers == index;
            sent.deltas.into_iter().filter(|(p, _)| mine(p)).for_each(|(_, delta)| deltas.send(delta));
            sent.progress.into_iter().filter(|(p, _)| mine(p)).for_each(|(_, report)| progress.send(report));
            sent.begins.into_iter().filter(|(p, _)| mine(p)).for_each(|(_, begin)| begins.send(begin));
            let mine = |n: usize| n % peers == index;
            let of_index = sent.deployments.into_iter().enumerate().filter(|(n, _)| mine(*n));
            of_index.for_each(|(_, event)| deployment_events.send(event));
            sent.spans.into_iter().enumerate().filter(|(n, _)| mine(*n)).for_each(|(_, span)| spans.send(span));
            let of_index = sent.lineage.into_iter().enumerate().filter(|(n, _)| mine(*n));
            of_index.for_each(|(_, event)| lineage_events.send(event));
        }
        drop((deltas, progress, begins, deployment_events, spans, lineage_events, cuts, restored));
        drop((policies, declared_flows));
        while worker.has_dataflows() {
            step(worker);
        }
    })
    .unwrap()
    .join()
    .into_iter()
    .for_each(|worker| worker.unwrap());
    let mut ran = Ran { workers, ..std::mem::take(&mut *ran.lock().unwrap()) };
    ran.changes.retain(|_, changes| {
        changes.retain(|_, diff| *diff != 0);
        !changes.is_empty()
    });
    ran
}
