//! One request: tried while the call's time lasts, and how a refusal is told from a graph that stores nothing.

use std::time::Duration;

use faultline_contracts::ids::EntityId;
use gremlin_client::GValue;

use super::{
    GremlinStore,
    apply::Call,
    client::Client,
    failure::{Failure, Meaning},
    request::{Kind, Request, stored},
    statement::{Form, Statement, Write},
};
use crate::retry::RetrySettings;

/// The vertex that is made and removed to see whether the graph stores anything. One that a crash left behind is removed
/// by the next who asks.
const PROBE: &str = "faultline:probe";
const PROBE_LABEL: &str = "Probe";

/// Why a request has no result in this call.
#[derive(Debug)]
pub(super) enum Stop {
    /// For this reason.
    Failed(Failure),
    /// There is not enough time for it, while the graph takes what it is given.
    OutOfTime,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// How long the next attempt may take. Once the graph has taken something in this call, a whole attempt or nothing: to
/// hurry it then would make an outage of a slow answer.
fn allowance(retry: &RetrySettings, spent: Duration, progress: bool) -> Option<Duration> {
    retry.attempt(spent).filter(|allowance| !progress || *allowance >= retry.attempt_timeout())
}

impl Call<'_> {
    /// A request's results, tried again while the call's time lasts and another try may help.
    pub(super) fn run(&mut self, request: &Request, form: Form) -> Result<Vec<GValue>, Stop> {
        self.attempt(|client, allowance| client.run(request, form, allowance))
    }

    /// The same for a request about one element. If it is rejected then, it is rejected for good: the graph has stored
    /// something else in between.
    pub(super) fn run_single(&mut self, request: &Request, form: Form) -> Result<Vec<GValue>, Stop> {
        match self.run(request, form) {
            Err(Stop::Failed(failure)) if failure.is_rejection() => {
                self.confirm_storage(form)?;
                self.run(request, form)
            }
            outcome => outcome,
        }
    }

    /// Whether the graph stores anything at all: a storage that fails, or may only be read, answers a write as it
    /// answers one that can never be stored. Two requests, since a vertex that is made and removed within a transaction
    /// need not reach the storage.
    fn confirm_storage(&mut self, form: Form) -> Result<(), Stop> {
        let (id, flavor) = (EntityId::from(PROBE), self.flavor());
        for write in [Write::End(&id, PROBE_LABEL), Write::Forget(&id)] {
            let statement = Statement::of(write, form, flavor);
            let request = Request::new(Kind::Vertices, [&statement], &[PROBE], flavor);
            match self.run(&request, form).and_then(|results| Ok(stored(results)?)) {
                Ok(stored) if matches!(write, Write::End(..)) && stored.is_empty() => {
                    return Err(Failure::Undone(1).into());
                }
                Ok(_) => {}
                Err(Stop::Failed(failure)) if failure.is_rejection() => {
                    // A server that lost its graph is told of as such.
                    self.attempt(Client::ping)?;
                    // What form it takes is found out anew when it stores again.
                    self.store.client.disconnect();
                    return Err(Failure::Unwritable(Box::new(failure)).into());
                }
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }

    pub(super) fn attempt<T>(
        &mut self,
        mut ask: impl FnMut(&mut Client, Duration) -> Result<T, Failure>,
    ) -> Result<T, Stop> {
        let GremlinStore { settings, client, dice, .. } = &mut *self.store;
        let retry = &settings.retry;
        let mut last = None;
        loop {
            let Some(allowance) = allowance(retry, self.begun.elapsed(), self.progress) else {
                return Err(match last {
                    Some(failure) => Stop::Failed(failure),
                    None if self.progress => Stop::OutOfTime,
                    None => Stop::Failed(Failure::NoAnswer(self.begun.elapsed())),
                });
            };
            let failure = match ask(client, allowance) {
                Ok(answer) => {
                    self.failures = 0;
                    return Ok(answer);
                }
                // Smaller requests are a better answer to a slow server than the same again.
                Err(failure @ Failure::Status { meaning: Meaning::Slow, .. }) => return Err(failure.into()),
                Err(failure) if failure.is_transient() => failure,
                Err(failure) => return Err(failure.into()),
            };
            self.failures += 1;
            let pause = retry.pause(self.failures, dice);
            if self::allowance(retry, self.begun.elapsed().saturating_add(pause), self.progress).is_none() {
                return Err(failure.into());
            }
            tracing::debug!(%failure, ?pause, "the graph is tried again");
            std::thread::sleep(pause);
            last = Some(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_that_takes_what_it_is_given_is_not_hurried() {
        let retry = RetrySettings { attempt_timeout_ms: 1_500, total_timeout_ms: 4_000, ..RetrySettings::default() };
        let ms = Duration::from_millis;
        for (spent, at_first, after_progress) in [
            (0, Some(1_500), Some(1_500)),
            (2_500, Some(1_500), Some(1_500)),
            (2_501, Some(1_499), None),
            (3_900, Some(100), None),
            (3_950, None, None),
            (9_000, None, None),
        ] {
            assert_eq!(allowance(&retry, ms(spent), false), at_first.map(ms), "{spent}");
            assert_eq!(allowance(&retry, ms(spent), true), after_progress.map(ms), "{spent}");
        }
    }
}
