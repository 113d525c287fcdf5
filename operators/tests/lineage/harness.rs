//! Runs a fragment of dataflow over epochs of changes and tells what it held after each.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use differential_dataflow::{ExchangeData, VecCollection, input::InputSession};
use faultline_contracts::{
    ids::EntityId,
    lineage::{FlowEdge, FlowKind},
    time::UnixMillis,
};

/// What a collection holds.
pub type Contents<O> = BTreeMap<O, isize>;

/// Feeds `epochs`, spread over `workers`, to `build`; returns what its output held after each epoch.
pub fn run<I, O>(
    workers: usize,
    epochs: &[Vec<(I, isize)>],
    build: impl for<'s> Fn(VecCollection<'s, u64, I>) -> VecCollection<'s, u64, O> + Send + Sync + 'static,
) -> Vec<Contents<O>>
where
    I: ExchangeData + Sync,
    O: ExchangeData,
{
    let updates = Arc::new(Mutex::new(Vec::new()));
    let (told, fed) = (updates.clone(), epochs.to_vec());
    timely::execute(timely::Config::process(workers), move |worker| {
        let mut input = InputSession::new();
        let told = told.clone();
        let probe = worker.dataflow(|scope| {
            let outputs = build(input.to_collection(scope));
            outputs.inspect(move |update| told.lock().unwrap().push(update.clone())).probe().0
        });
        for (epoch, changes) in fed.iter().enumerate() {
            input.advance_to(epoch as u64);
            let mine = changes.iter().enumerate().filter(|(at, _)| at % worker.peers() == worker.index());
            for (_, (thing, diff)) in mine {
                input.update(thing.clone(), *diff);
            }
            input.advance_to(epoch as u64 + 1);
            input.flush();
            worker.step_while(|| probe.less_than(input.time()));
        }
    })
    .unwrap();
    let updates = updates.lock().unwrap();
    (0..epochs.len() as u64)
        .map(|epoch| {
            let mut contents = Contents::new();
            for (thing, _, diff) in updates.iter().filter(|(_, time, _)| *time <= epoch) {
                *contents.entry(thing.clone()).or_default() += diff;
            }
            contents.retain(|_, count| *count != 0);
            contents
        })
        .collect()
}

/// An edge of 1970.
pub fn edge(from: &str, to: &str, kind: FlowKind) -> FlowEdge {
    FlowEdge { from: EntityId::from(from), to: EntityId::from(to), kind, since: UnixMillis(0) }
}
