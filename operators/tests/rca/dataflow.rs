//! Runs an operator over rounds of changes, one epoch each.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use differential_dataflow::{ExchangeData, VecCollection, input::InputSession};
use timely::dataflow::{StreamVec, operators::vec::Map};

/// Changes of one epoch.
pub type Round<I> = Vec<(I, isize)>;

/// The output's contents after each round. Changes are dealt to the workers in turn. Panics where a row has not
/// multiplicity 1: every output of these operators is a set.
pub fn states<I, O, B>(workers: usize, rounds: &[Round<I>], build: B) -> Vec<Vec<O>>
where
    I: ExchangeData + Sync,
    O: ExchangeData,
    B: for<'s> Fn(VecCollection<'s, u64, I>) -> VecCollection<'s, u64, O> + Send + Sync + 'static,
{
    let updates = Arc::new(Mutex::new(Vec::new()));
    let (sink, fed) = (Arc::clone(&updates), rounds.to_vec());
    timely::execute(timely::Config::process(workers), move |worker| {
        let mut input = InputSession::<u64, I, isize>::new();
        let sink = Arc::clone(&sink);
        let probe = worker.dataflow(|scope| {
            let output = build(input.to_collection(scope));
            output.inspect(move |update| sink.lock().unwrap().push(update.clone())).probe().0
        });
        for (epoch, round) in (0_u64..).zip(&fed) {
            for (_, (row, change)) in round.iter().enumerate().filter(|(n, _)| n % worker.peers() == worker.index()) {
                input.update(row.clone(), *change);
            }
            input.advance_to(epoch + 1);
            input.flush();
            worker.step_while(|| probe.less_than(input.time()));
        }
    })
    .unwrap()
    .join()
    .into_iter()
    .for_each(|worker| worker.unwrap());

    let mut updates = std::mem::take(&mut *updates.lock().unwrap());
    updates.sort_by_key(|(_, epoch, _)| *epoch);
    let mut updates = updates.into_iter().peekable();
    let mut rows: BTreeMap<O, isize> = BTreeMap::new();
    (0..rounds.len() as u64)
        .map(|epoch| {
            while let Some((row, _, change)) = updates.next_if(|(_, time, _)| *time <= epoch) {
                *rows.entry(row).or_default() += change;
            }
            rows.retain(|_, count| *count != 0);
            assert!(rows.values().all(|count| *count == 1), "not a set at epoch {epoch}: {rows:?}");
            rows.keys().cloned().collect()
        })
        .collect()
}

/// The rows of a collection, for operators that read streams.
pub fn rows<'s, I: ExchangeData>(collection: VecCollection<'s, u64, I>) -> StreamVec<'s, u64, I> {
    collection.inner.map(|(row, _, _)| row)
}
