//! How many changes are written: some at a time, in rounds, until all are settled or the time is over.
//!
//! ```text
//!  puts ─► round: up to `concurrency` at a time ──┬─► written, absent, stale
//!    ▲      first trouble: no more are begun      ├─► rejected ─ probe: is it the table? ─ no ─► refused
//!    │                                            └─► left
//!    └──────────── pause, growing ◄─────────────────────┘ else, or out of time: to the caller
//! ```
//!
//! One put a request, because what decides is a condition on each item: `BatchWriteItem` takes none and would let an old
//! epoch overwrite a newer one, and `TransactWriteItems` cancels all of its up to 100 for one that is stale or contended,
//! at twice the price. So a batch here is the puts in flight together, and what DynamoDB throttled or did not answer of
//! it is the next round's, as the unprocessed items of a batch would be.

use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::{
    failure::{DynamoFailure, Failure, NoAnswer},
    item::Put,
};
use crate::{
    retry::{Jitter, RetrySettings},
    store::{Applied, StoreChange, StoreKey},
};

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is stored.
    Written {
        /// Over another item; only told of deletes.
        replaced: bool,
    },
    /// The table has a newer epoch.
    Stale,
}

/// A table that is written to.
pub(super) trait Table {
    /// Writes an item under its condition. Ends within the allowance.
    async fn put(&self, put: &Put, allowance: Duration) -> Result<Stored, Failure>;

    /// Asks whether the table is there and is one for signals. Ends within the allowance.
    async fn probe(&self, allowance: Duration) -> Result<(), Failure>;
}

/// At which pace a table is written to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The most requests at a time.
    pub concurrency: usize,
    /// Pauses and limits of time.
    pub retry: RetrySettings,
}

/// What became of all puts.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub applied: Applied,
    /// What is not settled.
    pub left: Vec<StoreChange>,
    /// Why. `None` where there was no more time for them while the table took what it was given.
    pub failure: Option<Failure>,
}

/// Writes the puts, whose keys all differ.
pub(super) async fn write<T: Table>(table: &T, puts: Vec<Put>, pace: Pace, dice: &mut Jitter) -> Settled {
    let begin = Instant::now();
    let (mut applied, mut pending, mut failures, mut last) = (Applied::default(), puts, 0, None);
    let failure = loop {
        let mut round = Round::default();
        round.run(table, pending, pace, begin).await;
        round.judge(table, pace.retry.attempt(begin.elapsed())).await;
        let Round { applied: settled, left, rejected: _, trouble } = round;
        pending = left;
        let progress = settled != Applied::default();
        // A table that takes some of what it is given is asked again sooner than one that takes nothing.
        failures = if progress { 1 } else { failures + 1 };
        add(&mut applied, settled);
        match trouble {
            Some(failure) if failure.kind.is_transient() && !pending.is_empty() => {
                match pace.retry.again(failures, begin.elapsed(), Duration::ZERO, dice) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => break Some(failure),
                }
                last = Some(failure);
            }
            // A pause took longer than it should, and there was no time to send anything after it.
            None if !progress && !pending.is_empty() => {
                break last.or_else(|| Some(NoAnswer(begin.elapsed()).into()));
            }
            trouble => break trouble,
        }
    };
    Settled { applied, left: pending.into_iter().map(|put| put.change).collect(), failure }
}

fn add(sum: &mut Applied, Applied { written, stale, absent, refused }: Applied) {
    sum.written += written;
    sum.stale += stale;
    sum.absent += absent;
    sum.refused += refused;
}

#[derive(Default)]
struct Round {
    applied: Applied,
    left: Vec<Put>,
    /// Puts that were refused as they are, and why.
    rejected: Vec<(Put, Failure)>,
    /// The gravest reason why some are left.
    trouble: Option<Failure>,
}

impl Round {
    /// Sends puts until one meets trouble, or the time is over; those in flight then are awaited.
    async fn run<T: Table>(&mut self, table: &T, puts: Vec<Put>, pace: Pace, begin: Instant) {
        let mut waiting = puts.into_iter();
        let mut flying = FuturesUnordered::new();
        let send = async |put: Put, allowance| {
            let answer = table.put(&put, allowance).await;
            (put, answer)
        };
        loop {
            while self.trouble.is_none() && flying.len() < pace.concurrency {
                let Some(allowance) = pace.retry.attempt(begin.elapsed()) else { break };
                if self.applied != Applied::default() && allowance < pace.retry.attempt_timeout() {
                    // The table answers. To hurry it now would make an outage of a slow answer.
                    break;
                }
                let Some(put) = waiting.next() else { break };
                flying.push(send(put, allowance));
            }
            let Some((put, answer)) = flying.next().await else { break };
            self.settle(put, answer);
        }
        self.left.extend(waiting);
    }

    fn settle(&mut self, put: Put, answer: Result<Stored, Failure>) {
        match answer {
            Ok(Stored::Written { replaced: false }) if matches!(put.change, StoreChange::Delete { .. }) => {
                self.applied.absent += 1;
            }
            Ok(Stored::Written { .. }) => self.applied.written += 1,
            Ok(Stored::Stale) => self.applied.stale += 1,
            Err(failure) if failure.kind == DynamoFailure::Rejected => self.rejected.push((put, failure)),
            Err(failure) => {
                self.left.push(put);
                self.trouble(failure);
            }
        }
    }

    /// A put that DynamoDB rejects is one that no table can hold, unless it is the table that is wrong: with other keys it
    /// rejects each and every one, and nothing may be dropped for that.
    async fn judge<T: Table>(&mut self, table: &T, allowance: Option<Duration>) {
        if self.rejected.is_empty() {
            return;
        }
        let probed = match allowance {
            Some(allowance) => table.probe(allowance).await,
            None => Err(NoAnswer(Duration::ZERO).into()),
        };
        match probed {
            Ok(()) => {
                for (put, failure) in self.rejected.drain(..) {
                    refuse(&mut self.applied, &put.change.key(), &*failure.source);
                }
            }
            Err(failure) => {
                self.left.extend(self.rejected.drain(..).map(|(put, _)| put));
                self.trouble(failure);
            }
        }
    }

    /// What somebody has to do something about outweighs what passes.
    fn trouble(&mut self, failure: Failure) {
        if self.trouble.as_ref().is_none_or(|known| known.kind.is_transient() && !failure.kind.is_transient()) {
            self.trouble = Some(failure);
        }
    }
}

/// Counts and tells of a change that is dropped.
pub(super) fn refuse(applied: &mut Applied, key: &StoreKey, reason: &(dyn std::error::Error + 'static)) {
    applied.refused += 1;
    tracing::error!(?key, reason, "a signal's state cannot be held by DynamoDB and is dropped");
}

#[cfg(test)]
mod tests;
