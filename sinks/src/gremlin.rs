//! The graph sink: vertices and edges in Neptune, or any server that speaks Gremlin over WebSockets.
//!
//! ```text
//!  changes ─► apply: vertices, then edges, then removals ─► request: statements in batches, then what is stored of them
//!                │                                             │
//!                │  statement: one element each, literal       ▼
//!                ◄───────── settled by epoch ─────────────── client: one connection, bounded in time
//! ```
//!
//! Every element has the `epoch` it was written at, and no write takes one back to an older epoch: its traversal goes on
//! only where no newer one is stored. Vertices have the properties that they come with, edges `since` and, where they are
//! causal, `confidence`. All properties of these elements are Faultline's and are replaced as a whole; whoever has more
//! to say links vertices of their own.
//!
//! An edge needs both ends. One whose end is not there yet gets a vertex without properties or epoch there, which the
//! vertex fills when it comes.
//!
//! An element is given up only if the server rejects it alone, stores a vertex made for that, and rejects it once more: a
//! storage that fails answers as it answers what can never be stored.
//!
//! A removed element leaves nothing behind to compare with: a replay may write it once more, and removes it again. A server
//! that loses its graph gets it again when the service starts anew.

mod apply;
mod attempt;
mod client;
mod ends;
mod failure;
mod literal;
mod relabel;
mod request;
mod settings;
mod statement;

use std::time::{Duration, Instant};

use self::{client::Client, request::Limits};
use crate::{
    SinkError,
    retry::Jitter,
    store::{Outcome, StateStore, StoreChange, StoreKey},
};

pub use self::{
    failure::{Failure, Meaning},
    literal::literal,
    settings::{Flavor, GremlinSettings, UpsertForm},
};

/// A store of vertices and edges.
pub struct GremlinStore {
    settings: GremlinSettings,
    client: Client,
    limits: Limits,
    dice: Jitter,
}

impl GremlinStore {
    /// A store at the endpoint of the settings. It is connected to by the first call, so that a server that is down does
    /// not keep the program from starting.
    ///
    /// # Errors
    /// [`SinkError::Gremlin`] where the settings cannot be used.
    pub fn new(settings: GremlinSettings) -> Result<Self, SinkError> {
        let client = Client::new(settings.clone()).map_err(|failure| error("use", &settings, failure))?;
        Ok(Self { client, limits: Limits::of(&settings), dice: Jitter::new(), settings })
    }

    fn error(&self, action: &'static str, failure: Failure) -> SinkError {
        error(action, &self.settings, failure)
    }
}

fn error(action: &'static str, settings: &GremlinSettings, failure: Failure) -> SinkError {
    SinkError::Gremlin { action, endpoint: settings::without_user(&settings.endpoint), source: Box::new(failure) }
}

impl StateStore for GremlinStore {
    fn holds(key: &StoreKey) -> bool {
        matches!(key, StoreKey::Vertex(_) | StoreKey::Edge(_))
    }

    /// What is left without an error is left for want of time: the graph takes changes, and there are more of them than
    /// fit into one call.
    fn apply(&mut self, changes: Vec<StoreChange>) -> Outcome {
        apply::apply(self, changes)
    }

    /// Takes no longer than one attempt, so that a server that stopped is told of within 5 s of silence.
    fn probe(&mut self) -> Result<(), SinkError> {
        let allowance =
            Duration::from_millis(self.settings.retry.attempt_timeout_ms.min(self.settings.retry.total_timeout_ms));
        let begun = Instant::now();
        let mut outcome = self.client.ping(allowance);
        // A connection that the server closed while nobody looked fails at once; another shows what the server is like.
        if outcome.as_ref().is_err_and(Failure::breaks_connection) {
            let left = allowance.saturating_sub(begun.elapsed());
            if !left.is_zero() {
                outcome = self.client.ping(left);
            }
        }
        outcome.map_err(|failure| self.error("reach", failure))
    }
}
