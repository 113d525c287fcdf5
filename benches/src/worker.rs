//! A dataflow worker on the bench's own thread.

use timely::{
    WorkerConfig,
    communication::{Allocator, allocator::thread::Thread},
    worker::Worker,
};

/// A worker as `timely::execute_directly` makes one, whose closure a `Criterion` cannot enter: it is not `Send`.
#[must_use]
pub fn worker() -> Worker {
    Worker::new(WorkerConfig::default(), Allocator::Thread(Thread::default()), Some(std::time::Instant::now()))
}
