//! How far all that was made of records is where it was to go.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::outputs::mailbox::Mailbox;

/// What workers and stores of a process have acknowledged.
#[derive(Debug)]
pub struct Acknowledged {
    /// Of each worker, the first epoch of which evidence may be on its way.
    evidence: Vec<AtomicU64>,
    stores: Vec<Arc<Mailbox>>,
}

impl Acknowledged {
    /// Nothing yet, of so many workers and these stores.
    #[must_use]
    pub fn new(workers: usize, stores: Vec<Arc<Mailbox>>) -> Self {
        Self { evidence: (0..workers).map(|_| AtomicU64::new(0)).collect(), stores }
    }

    /// A worker's evidence of epochs before this one is where it was to go.
    pub fn evidence_before(&self, worker: usize, epoch: u64) {
        if let Some(before) = self.evidence.get(worker) {
            before.store(epoch, Ordering::Release);
        }
    }

    /// The first epoch of which anything may be on its way.
    #[must_use]
    pub fn before(&self) -> u64 {
        let evidence = self.evidence.iter().map(|before| before.load(Ordering::Acquire));
        evidence.chain(self.stores.iter().map(|store| store.settled_before())).min().unwrap_or(u64::MAX)
    }
}
