//! The thread that keeps a store up to date.
//!
//! ```text
//! Mailbox ──take──► StateStore::apply ──► settled
//!    ▲                    │
//!    └──── put back ◄─ left, after a pause that grows
//! ```

use std::{sync::Arc, thread::JoinHandle};

use faultline_sinks::{
    SinkError,
    retry::{Jitter, RetrySettings},
    store::{Applied, PROBE_EVERY, StateStore, StoreChange},
};

use super::mailbox::{Mailbox, Taken};
use crate::{
    causes::WithCauses,
    health::{Dependency, Reporter},
    metrics::Metrics,
};

/// How many changes a store is given at once: few enough to be settled well within its budget of time.
const BATCH: usize = 1_000;
/// The pauses between two calls to a store that fails. Each call has retries of its own.
const BETWEEN_CALLS: RetrySettings =
    RetrySettings { first_pause_ms: 100, longest_pause_ms: 2_000, attempt_timeout_ms: 0, total_timeout_ms: 0 };

/// A store, its mailbox, and the thread between them.
pub struct StoreWriter {
    mailbox: Arc<Mailbox>,
    dependency: Dependency,
    thread: Option<JoinHandle<()>>,
}

impl StoreWriter {
    /// Starts the thread. `capacity` is how many keys may wait for the store.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start<S: StateStore + 'static>(
        store: S,
        dependency: Dependency,
        capacity: usize,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let mailbox = Arc::new(Mailbox::new(S::holds, capacity));
        let writer = Writer {
            store,
            mailbox: Arc::clone(&mailbox),
            health: metrics.health.reporter(dependency),
            name: dependency.as_str(),
            metrics,
        };
        let thread = std::thread::Builder::new().name(dependency.as_str().to_owned()).spawn(move || writer.run())?;
        Ok(Self { mailbox, dependency, thread: Some(thread) })
    }

    /// What it writes to.
    #[must_use]
    pub fn dependency(&self) -> Dependency {
        self.dependency
    }

    /// Where changes are put.
    #[must_use]
    pub fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(&self.mailbox)
    }
}

impl Drop for StoreWriter {
    /// Waits until all is written, or until the store fails once more.
    fn drop(&mut self) {
        self.mailbox.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer<S> {
    store: S,
    mailbox: Arc<Mailbox>,
    health: Reporter,
    name: &'static str,
    metrics: Arc<Metrics>,
}

impl<S: StateStore> Writer<S> {
    fn run(mut self) {
        let (mut dice, mut failures) = (Jitter::new(), 0);
        loop {
            let failed = match self.mailbox.take(BATCH, PROBE_EVERY) {
                Taken::Closed => return,
                Taken::Nothing => self.probe(),
                Taken::Changes(changes) => self.apply(changes),
            };
            self.metrics.store_waiting(self.name, self.mailbox.len());
            failures = if failed { failures + 1 } else { 0 };
            if failed && self.mailbox.closed_within(BETWEEN_CALLS.pause(failures, &mut dice)) {
                let unwritten = self.mailbox.len();
                if unwritten > 0 {
                    tracing::error!(
                        store = self.name,
                        unwritten,
                        "the store was not brought up to date before the end"
                    );
                }
                return;
            }
        }
    }

    /// Gives changes to the store and puts back what is left; says whether it failed.
    fn apply(&mut self, changes: Vec<StoreChange>) -> bool {
        let outcome = self.store.apply(changes);
        let Applied { written, stale, absent, refused } = outcome.applied;
        for (result, count) in [("written", written), ("stale", stale), ("absent", absent), ("refused", refused)] {
            self.metrics.stored(self.name, result, count);
        }
        self.metrics.stored(self.name, "retried", outcome.left.len() as u64);
        self.mailbox.settle(outcome.left);
        let Some(error) = outcome.error else {
            self.health.up();
            return false;
        };
        self.metrics.sink_error(self.name);
        tracing::debug!(store = self.name, error = &error as &dyn std::error::Error, "changes not stored");
        self.health.degraded(&told(&error));
        true
    }

    fn probe(&mut self) -> bool {
        match self.store.probe() {
            Ok(()) => {
                self.health.up();
                false
            }
            Err(error) => {
                self.health.degraded(&told(&error));
                true
            }
        }
    }
}

/// What is wrong, with its causes and what to do about it, on one line.
fn told(error: &SinkError) -> String {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{}{hint}", WithCauses(error))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{Mutex, PoisonError},
        time::Duration,
    };

    use faultline_contracts::ids::EntityId;
    use faultline_sinks::store::{Outcome, StoreKey};

    use super::*;

    /// A store in memory that is away for so many calls, and takes one change a call thereafter.
    struct Flaky {
        away: u32,
        stored: Arc<Mutex<BTreeMap<StoreKey, StoreChange>>>,
    }

    fn away() -> SinkError {
        SinkError::NotAcknowledged { in_flight: 1, servers: "nowhere".to_owned() }
    }

    impl StateStore for Flaky {
        fn holds(key: &StoreKey) -> bool {
            matches!(key, StoreKey::Vertex(_))
        }

        fn apply(&mut self, mut changes: Vec<StoreChange>) -> Outcome {
            if self.away > 0 {
                self.away -= 1;
                return Outcome { left: changes, error: Some(away()), ..Outcome::default() };
            }
            let first = changes.remove(0);
            self.stored.lock().unwrap_or_else(PoisonError::into_inner).insert(first.key(), first);
            let error = (!changes.is_empty()).then(away);
            Outcome { applied: Applied { written: 1, ..Applied::default() }, left: changes, error }
        }

        fn probe(&mut self) -> Result<(), SinkError> {
            Ok(())
        }
    }

    fn change(id: &str, epoch: u64) -> StoreChange {
        StoreChange::Delete { epoch, key: StoreKey::Vertex(EntityId::from(id)) }
    }

    #[test]
    fn what_a_failing_store_left_is_brought_again_until_it_has_the_newest_of_all() {
        let (metrics, stored) = (Metrics::new(), Arc::<Mutex<BTreeMap<_, _>>>::default());
        let store = Flaky { away: 2, stored: Arc::clone(&stored) };
        let writer = StoreWriter::start(store, Dependency::Graph, 10, Arc::clone(&metrics)).unwrap();
        let mailbox = writer.mailbox();
        mailbox.put(&[change("a", 1), change("b", 1), change("c", 1)]);
        mailbox.put(&[change("b", 2)]);
        let settled = || {
            let stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
            stored.values().cloned().collect::<Vec<_>>() == [change("a", 1), change("b", 2), change("c", 1)]
        };
        let begin = std::time::Instant::now();
        while !settled() && begin.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(writer);
        assert!(settled(), "{stored:?}");
        let text = metrics.text();
        assert!(text.contains("faultline_store_changes_total{store=\"graph\",outcome=\"written\"}"), "{text}");
        assert!(text.contains("faultline_up{dependency=\"Graph\"} 1"), "{text}");
    }

    #[test]
    fn an_end_does_not_wait_for_a_store_that_is_away() {
        let store = Flaky { away: u32::MAX, stored: Arc::default() };
        let metrics = Metrics::new();
        let writer = StoreWriter::start(store, Dependency::Graph, 10, Arc::clone(&metrics)).unwrap();
        writer.mailbox().put(&[change("a", 1)]);
        drop(writer);
        assert!(metrics.text().contains("faultline_up{dependency=\"Graph\"} 0"));
    }
}
