//! How an asynchronous client is used by a thread that waits.

use tokio::runtime::{Builder, Runtime};

use crate::SinkError;

/// A runtime of one's own, on the thread that waits: it makes no threads but for looking up names.
#[derive(Debug)]
pub(crate) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    /// `purpose` is for errors: what cannot be done without.
    pub fn new(purpose: &'static str) -> Result<Self, SinkError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self(Some(runtime.map_err(|source| SinkError::Thread { purpose, source })?)))
    }

    /// Runs it to its end. Not to be called inside of another runtime.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        match &self.0 {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("only dropping it takes the runtime away"),
        }
    }
}

impl Drop for OwnRuntime {
    /// Without waiting for a name server that does not answer.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
