//! The state of signals in a DynamoDB table: one item per signal, its newest value.
//!
//! ```text
//! apply(changes) ─► item: the whole item, within DynamoDB's bounds     (pure)
//!                    ─► writing: rounds of conditional puts, pauses    (pure but for the clock)
//!                        ─► client: one request                        (I/O) ─► failure: what a refusal means (pure)
//! ```
//!
//! An item is the signal's JSON and its `epoch`; what it has not is absent. Every write replaces the whole item, and has the
//! condition that no newer epoch is stored. So the table converges to the newest value of each signal, however often,
//! in whatever order and by how many writers changes are applied.
//!
//! A signal that is no more (its dataset left the catalog) is *retired*, not removed: a removed item would leave nothing
//! for the condition to compare with, and a write that was delayed, or another writer's, would bring it back for good. The
//! item then holds nothing but the key, `state` `UNKNOWN`, the `epoch` and `ttl`, the second after which DynamoDB may
//! remove it. DynamoDB takes some days for that: who lists signals leaves out the items that have a `ttl`. A signal that
//! returns is written over it, without a `ttl`.

mod client;
mod failure;
mod item;
mod settings;
mod table;
mod writing;

use std::{fmt, num::NonZeroU32};

use self::{
    client::Client,
    item::Put,
    writing::{Pace, Settled},
};
pub use self::{
    failure::DynamoFailure,
    settings::{CredentialsFrom, DynamoSettings},
    table::{TableCreation, create_table},
};
use crate::{
    SinkError,
    retry::Jitter,
    runtime::OwnRuntime,
    store::{Applied, Outcome, StateStore, StoreChange, StoreKey},
};

/// The most that a probe takes, in milliseconds: with the pause between probes, less than the 5 s within which a failure
/// is to be told.
const PROBE_TIMEOUT_MS: u64 = 2_500;

/// What the client's runtime is for, in errors.
const PURPOSE: &str = "the client of DynamoDB";

/// A table that holds the state of signals.
pub struct DynamoStore {
    client: Client,
    pace: Pace,
    ttl_days: NonZeroU32,
    dice: Jitter,
    runtime: OwnRuntime,
}

impl DynamoStore {
    /// Prepares the client. The table is not asked for, so that it is no error here if DynamoDB is away, or the table not
    /// there yet.
    ///
    /// # Errors
    /// [`SinkError::DynamoDb`] where there is no region or there are no credentials, which takes up to 20 s to find out;
    /// [`SinkError::Thread`] where the client cannot be run.
    pub fn open(settings: &DynamoSettings) -> Result<Self, SinkError> {
        let runtime = OwnRuntime::new(PURPOSE)?;
        let client = runtime.wait(Client::open(settings))?;
        let &DynamoSettings { ttl_days, concurrency, retry, .. } = settings;
        let pace = Pace { concurrency: concurrency.get(), retry };
        Ok(Self { client, pace, ttl_days, dice: Jitter::new(), runtime })
    }
}

impl StateStore for DynamoStore {
    fn holds(key: &StoreKey) -> bool {
        matches!(key, StoreKey::Signal(..))
    }

    /// What is left without an error is left for want of time: the table takes changes, and there are more of them than
    /// fit into one call.
    fn apply(&mut self, changes: Vec<StoreChange>) -> Outcome {
        let (mut refused, mut puts) = (Applied::default(), Vec::with_capacity(changes.len()));
        for change in changes {
            let key = change.key();
            match Put::new(change, self.ttl_days) {
                Ok(put) => puts.push(put),
                Err(unfit) => writing::refuse(&mut refused, &key, &unfit),
            }
        }
        if puts.is_empty() {
            return Outcome { applied: refused, ..Outcome::default() };
        }
        let written = writing::write(&self.client, puts, self.pace, &mut self.dice);
        let Settled { mut applied, left, failure } = self.runtime.wait(written);
        applied.refused += refused.refused;
        Outcome { applied, left, error: failure.map(|failure| self.client.error("write to", failure)) }
    }

    fn probe(&mut self) -> Result<(), SinkError> {
        let mut retry = self.pace.retry;
        retry.total_timeout_ms = retry.total_timeout_ms.min(PROBE_TIMEOUT_MS);
        let (client, dice) = (&self.client, &mut self.dice);
        let probed = self.runtime.wait(client::repeat(&retry, dice, async || client.ask().await));
        probed.map_err(|failure| self.client.error("read", failure))
    }
}

impl fmt::Debug for DynamoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Client { table, place, sdk: _ } = &self.client;
        f.debug_struct("DynamoStore").field("table", table).field("place", place).finish_non_exhaustive()
    }
}
