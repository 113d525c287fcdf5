//! Facts without an end (spans, events) as a collection of bounded size.

use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
};

use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use faultline_contracts::time::UnixMillis;
use serde::{Deserialize, Serialize};
use timely::dataflow::{
    StreamVec,
    channels::pact::Pipeline,
    operators::{OkErr, generic::Operator},
};

use crate::state::{Section, StateChunk, StatePorts, Stateful, by_closed_epoch};

/// How long and how many facts are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds of event time behind the newest fact of all.
    pub keep_ms: i64,
    /// The most facts held, over all shards and workers. Every shard holds at most its equal part.
    pub capacity: usize,
    /// Into how many parts the facts are divided, whatever the number of workers. More shards spread the work; with
    /// one, exactly the oldest facts of all go first when there are too many.
    pub shards: usize,
}

/// Facts that one shard dropped in one epoch. Facts that grow old are not among them: that is what retention is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Dropped {
    /// Already too old when they came.
    pub late: u64,
    /// Driven out by newer ones before their time.
    pub over_capacity: u64,
}

/// What [`retain`] makes of a stream.
pub struct Retained<'s, D: Clone + 'static> {
    /// Each distinct fact once, while it is held.
    pub facts: VecCollection<'s, u64, D>,
    /// What was dropped: at most one count for each shard and epoch, and none where nothing was.
    pub dropped: StreamVec<'s, u64, Dropped>,
}

/// A fact, or the time of the newest one of a batch, which every shard hears of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Routed<D> {
    Newest(UnixMillis),
    Fact(UnixMillis, D),
}

/// Holds each distinct fact once, for `keep_ms` of event time behind the newest fact seen anywhere, and at most
/// `capacity` facts: the oldest by `(time, fact)` go first. No clock is read: without new facts nothing expires.
///
/// `key` divides the facts into shards; equal facts must have equal keys, and it must not depend on the machine.
pub fn retain<'s, D: ExchangeData>(
    facts: StreamVec<'s, u64, D>,
    section: Section,
    key: impl Fn(&D) -> u64 + 'static,
    at: impl Fn(&D) -> UnixMillis + 'static,
    limits: Retention,
    state: &StatePorts<'s>,
) -> Retained<'s, D> {
    let shards = limits.shards.clamp(1, limits.capacity.max(1)) as u64;
    let per_shard = limits.capacity / shards as usize;
    let routed = facts
        .unary(Pipeline, &format!("{}: route", section.as_str()), move |_capability, _info| {
            move |input, output| {
                input.for_each_stamp(|capability, batches| {
                    let mut session = output.session(&capability);
                    let mut newest = None;
                    for fact in batches.flat_map(|batch| batch.drain(..)) {
                        let at = at(&fact);
                        newest = newest.max(Some(at));
                        session.give((key(&fact) % shards, Routed::Fact(at, fact)));
                    }
                    if let Some(newest) = newest {
                        session.give_iterator((0..shards).map(|shard| (shard, Routed::Newest(newest))));
                    }
                });
            }
        })
        .container::<Vec<_>>();

    let held = Shards::<D>((0..shards).map(|_| Shard { newest: None, facts: BTreeSet::new() }).collect());
    let updates = by_closed_epoch(
        routed,
        state,
        section,
        |(shard, _)| *shard,
        held,
        |held, epoch, out| {
            let facts = held.0.iter().flat_map(|shard| &shard.facts);
            out.extend(facts.map(|(_, fact)| Ok((fact.clone(), epoch, 1))));
        },
        move |held, epoch, arrivals, out: &mut Vec<Result<(D, u64, isize), Dropped>>| {
            let mut arrivals = arrivals.into_iter().peekable();
            while let Some(&(shard, _)) = arrivals.peek() {
                let news =
                    std::iter::from_fn(|| arrivals.next_if(|(next, _)| *next == shard)).map(|(_, routed)| routed);
                // Only shards below the modulus are ever sent.
                if let Some(state) = held.0.get_mut(shard as usize) {
                    state.close_epoch(epoch, news, limits.keep_ms, per_shard, out);
                } else {
                    news.for_each(drop);
                }
            }
        },
    );
    let (updates, dropped) = updates.ok_err(|update| update);
    Retained { facts: updates.as_collection(), dropped }
}

/// The shards, of which a worker has its own and the others are empty.
struct Shards<D>(Vec<Shard<D>>);

impl<D: ExchangeData> Stateful for Shards<D> {
    /// A shard's number, and a fact of it, or the time of the newest one that it has heard of.
    type Row = (u64, Routed<D>);
    type Cursor = (usize, Option<(UnixMillis, D)>);

    fn cut(&self, after: Option<Self::Cursor>, chunk: &mut StateChunk) -> Option<Self::Cursor> {
        let (first, mut after) = after.unwrap_or((0, None));
        for (number, shard) in self.0.iter().enumerate().skip(first) {
            let route = number as u64;
            if after.is_none()
                && let Some(newest) = shard.newest
            {
                chunk.push(route, &(route, Routed::<D>::Newest(newest)));
            }
            for fact in shard.facts.range((after.take().map_or(Unbounded, Excluded), Unbounded)) {
                chunk.push(route, &(route, Routed::Fact(fact.0, &fact.1)));
                if chunk.is_full() {
                    return Some((number, Some(fact.clone())));
                }
            }
        }
        None
    }

    fn restore(&mut self, (shard, row): Self::Row, _: u64) {
        // Another number of shards is another format of snapshots.
        let Some(shard) = self.0.get_mut(shard as usize) else { return };
        match row {
            Routed::Newest(at) => shard.newest = shard.newest.max(Some(at)),
            Routed::Fact(at, fact) => {
                shard.facts.insert((at, fact));
            }
        }
    }
}

struct Shard<D> {
    newest: Option<UnixMillis>,
    facts: BTreeSet<(UnixMillis, D)>,
}

impl<D: Ord + Clone> Shard<D> {
    fn close_epoch(
        &mut self,
        epoch: u64,
        news: impl Iterator<Item = Routed<D>>,
        keep_ms: i64,
        capacity: usize,
        out: &mut Vec<Result<(D, u64, isize), Dropped>>,
    ) {
        // Facts not held before this epoch: only they need an addition, and only others a retraction.
        let mut fresh = BTreeSet::new();
        for routed in news {
            match routed {
                Routed::Newest(at) => self.newest = self.newest.max(Some(at)),
                Routed::Fact(at, fact) => {
                    if !self.facts.contains(&(at, fact.clone())) {
                        fresh.insert((at, fact));
                    }
                }
            }
        }
        let mut dropped = Dropped::default();
        let oldest_kept = self.newest.map_or(UnixMillis(i64::MIN), |newest| newest.plus(keep_ms.saturating_neg()));
        fresh.retain(|(at, _)| {
            let kept = *at >= oldest_kept;
            dropped.late += u64::from(!kept);
            kept
        });
        while self.facts.first().is_some_and(|(at, _)| *at < oldest_kept) {
            out.extend(self.facts.pop_first().map(|(_, fact)| Ok((fact, epoch, -1))));
        }
        while self.facts.len() + fresh.len() > capacity {
            dropped.over_capacity += 1;
            let old_goes = match (self.facts.first(), fresh.first()) {
                (Some(old), Some(new)) => old < new,
                (old, _) => old.is_some(),
            };
            if old_goes {
                out.extend(self.facts.pop_first().map(|(_, fact)| Ok((fact, epoch, -1))));
            } else {
                fresh.pop_first();
            }
        }
        out.extend(fresh.iter().map(|(_, fact)| Ok((fact.clone(), epoch, 1))));
        self.facts.append(&mut fresh);
        if dropped != Dropped::default() {
            out.push(Err(dropped));
        }
    }
}
