//! Acting on closed epochs: what makes a hand-written operator's output a function of its input.

use std::collections::BTreeMap;

use differential_dataflow::ExchangeData;
use timely::dataflow::{StreamVec, channels::pact::Exchange, operators::generic::Operator};

/// Sends each fact to the worker that `route` names (modulo the number of workers), holds it until no more of its
/// epoch can come, and then calls `logic` once with the epoch and all its facts on that worker, sorted. What `logic`
/// appends to its last argument is sent at that epoch. Epochs come in order.
pub fn by_closed_epoch<'s, D, O>(
    facts: StreamVec<'s, u64, D>,
    name: &str,
    route: impl Fn(&D) -> u64 + 'static,
    mut logic: impl FnMut(u64, Vec<D>, &mut Vec<O>) + 'static,
) -> StreamVec<'s, u64, O>
where
    D: ExchangeData,
    O: Clone + 'static,
{
    facts
        .unary_frontier(Exchange::new(move |fact: &D| route(fact)), name, move |_capability, _info| {
            let mut open = BTreeMap::new();
            move |(input, frontier), output| {
                input.for_each_stamp(|capability, batches| {
                    if let Some(capability) = capability.retain_least(output.output_index()) {
                        let (_, facts) = open.entry(*capability.time()).or_insert_with(|| (capability, Vec::new()));
                        facts.extend(batches.flat_map(|batch| batch.drain(..)));
                    }
                });
                while let Some(entry) = open.first_entry().filter(|entry| !frontier.less_equal(entry.key())) {
                    let (epoch, (capability, mut facts)) = entry.remove_entry();
                    facts.sort();
                    let mut sent = Vec::new();
                    logic(epoch, facts, &mut sent);
                    output.session(&capability).give_iterator(sent.into_iter());
                }
            }
        })
        .container::<Vec<_>>()
}
