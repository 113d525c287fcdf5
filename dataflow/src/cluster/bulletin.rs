//! What workers tell all workers besides data: each reads what any has posted, in an order that is each poster's.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use faultline_contracts::record::TopicPartition;
use faultline_operators::positions::Position;
use serde::{Deserialize, Serialize};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        channels::pact::Pipeline,
        operators::{generic::Operator, vec::Broadcast},
    },
    worker::Worker,
};

/// A word to all workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// Reading begins: at this epoch, and after a restart at these positions.
    Begin {
        /// The first epoch of records.
        epoch: u64,
        /// Where partitions are read from; of no partition on a first start.
        positions: Vec<(TopicPartition, Position)>,
    },
    /// A worker's evidence of epochs before this one is where it was to go.
    Evidence {
        /// Which.
        worker: usize,
        /// The first epoch of which some may be on its way.
        before: u64,
    },
    /// A snapshot of this epoch is kept.
    Covered(u64),
    /// All are to come to their end.
    Stop,
    /// A worker takes no records any more. It is at this epoch.
    Ended {
        /// Which.
        worker: usize,
        /// The epoch.
        epoch: u64,
    },
}

type Posts = timely::dataflow::InputHandle<u64, CapacityContainerBuilder<Vec<Notice>>>;

/// One worker's end of it.
pub struct Bulletin {
    posts: Posts,
    unread: Rc<RefCell<VecDeque<Notice>>>,
}

impl Bulletin {
    /// Puts it up. All workers do so in the same order with their other dataflows.
    pub fn put_up(worker: &mut Worker) -> Self {
        let unread = Rc::<RefCell<VecDeque<Notice>>>::default();
        let mut posts = Posts::new_with_builder();
        worker.dataflow_named("Bulletin", |scope| {
            let unread = Rc::clone(&unread);
            posts.to_stream(scope).broadcast().unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
                Pipeline,
                "Read",
                move |_, _| {
                    move |input, _| {
                        input.for_each_stamp(|_, batches| {
                            unread.borrow_mut().extend(batches.flat_map(|batch| batch.drain(..)));
                        });
                    }
                },
            );
        });
        Self { posts, unread }
    }

    /// Tells all workers, this one included.
    pub fn post(&mut self, notice: Notice) {
        self.posts.send(notice);
        self.posts.flush();
    }

    /// The next that has not been read.
    pub fn read(&self) -> Option<Notice> {
        self.unread.borrow_mut().pop_front()
    }
}
