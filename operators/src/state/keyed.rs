//! Acting on closed epochs, with state: what makes a hand-written operator's output a function of its input.

use std::collections::BTreeMap;

use differential_dataflow::ExchangeData;
use timely::dataflow::{
    StreamVec,
    channels::pact::{Exchange, Pipeline},
    operators::{
        Capability,
        generic::{OutputBuilder, builder_rc::OperatorBuilder},
    },
};

use super::{Cutting, Section, StateChunk, StatePorts, Stateful};
use crate::compliance::Closed;

/// Sends each fact to the worker that `route` names (modulo the number of workers), holds it until no more of its
/// epoch can come, and then calls `logic` once with the state, the epoch and all its facts on that worker, sorted. What
/// `logic` appends to its last argument is sent at that epoch. Epochs come in order.
///
/// The state is cut and restored by `ports`. `resumed` is called once when rows have been taken in, before `logic` is with
/// the facts of the same epoch, to tell what follows from them.
pub(crate) fn by_closed_epoch<'s, D, O, S>(
    facts: StreamVec<'s, u64, D>,
    ports: &StatePorts<'s>,
    section: Section,
    route: impl Fn(&D) -> u64 + 'static,
    mut state: S,
    mut resumed: impl FnMut(&mut S, u64, &mut Vec<O>) + 'static,
    mut logic: impl FnMut(&mut S, u64, Vec<D>, &mut Vec<O>) + 'static,
) -> StreamVec<'s, u64, O>
where
    D: ExchangeData,
    O: Clone + 'static,
    S: Stateful + 'static,
{
    let scope = facts.scope();
    let mut builder = OperatorBuilder::new(section.as_str().to_owned(), scope);
    let mut facts = builder.new_input(facts, Exchange::new(move |fact: &D| route(fact)));
    let mut cuts = builder.new_input(ports.cuts(), Pipeline);
    let mut restored = builder.new_input(ports.restored(section), Pipeline);
    let (out, outputs) = builder.new_output::<Vec<_>>();
    let (state_out, leaving) = builder.new_output::<Vec<_>>();
    let mut out = OutputBuilder::from(out);
    let mut state_out = OutputBuilder::from(state_out);
    let again = scope.activator_for(builder.operator_info().address);

    builder.build(move |capabilities| {
        let mut capabilities = <[Capability<u64>; 2]>::try_from(capabilities).ok();
        let mut open = BTreeMap::<u64, (Vec<StateChunk>, Vec<D>)>::new();
        let mut cutting = Cutting::default();
        move |frontiers| {
            facts.for_each(|capability, data| {
                if let Some(&epoch) = capability.least() {
                    open.entry(epoch).or_default().1.append(data);
                }
            });
            cuts.for_each(|capability, _| {
                if let Some(&epoch) = capability.least() {
                    cutting.at(epoch);
                }
            });
            restored.for_each(|capability, chunks| {
                if let Some(&epoch) = capability.least() {
                    open.entry(epoch).or_default().0.append(chunks);
                }
            });
            let closed = Closed::on(frontiers);
            let Some([of_out, of_state]) = &mut capabilities else { return };
            let leave = cutting.leave(closed);
            while let Some(entry) = open.first_entry().filter(|entry| leave.act.contains(*entry.key())) {
                let (epoch, (chunks, mut facts)) = entry.remove_entry();
                let mut sent = Vec::new();
                if !chunks.is_empty() {
                    if let Some(unreadable) = state.take_in(chunks, epoch) {
                        state_out.activate().session(&of_state.delayed(&epoch)).give(unreadable);
                    }
                    resumed(&mut state, epoch, &mut sent);
                }
                if !facts.is_empty() {
                    facts.sort();
                    logic(&mut state, epoch, facts, &mut sent);
                }
                if !sent.is_empty() {
                    out.activate().session(&of_out.delayed(&epoch)).give_iterator(sent.into_iter());
                }
            }
            if let Some(cut) = cutting.pending().filter(|_| leave.cut) {
                let (chunk, done) = cutting.slice(section, &state);
                state_out.activate().session(&of_state.delayed(&cut)).give(chunk);
                // There may be more to be cut, or more epochs closed meanwhile.
                again.activate();
                of_out.downgrade(&cut.saturating_add(1));
                of_state.downgrade(&if done { cut.saturating_add(1) } else { cut });
                return;
            }
            match closed {
                Closed::Before(open) => {
                    of_out.downgrade(&open);
                    of_state.downgrade(&open);
                }
                Closed::All => capabilities = None,
            }
        }
    });
    ports.leaves(leaving);
    outputs
}
