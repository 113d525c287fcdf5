//! Changes of state that wait to be stored.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use faultline_sinks::store::{StoreChange, StoreKey};

/// The newest change of each key, until a store has it. Bounded: what would be one key too many is refused, and the keys
/// that wait already still take what is newer.
#[derive(Debug)]
pub struct Mailbox {
    holds: fn(&StoreKey) -> bool,
    capacity: usize,
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: BTreeMap<StoreKey, StoreChange>,
    /// The earliest epoch of the changes that the store has been given and has not settled.
    given: Option<u64>,
    /// All changes of epochs before this one have been put in.
    put_before: u64,
    closed: bool,
}

/// What a store's thread finds in its mailbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Changes, all of different keys.
    Changes(Vec<StoreChange>),
    /// Nothing came for as long as the thread waited.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

impl Mailbox {
    /// A mailbox for changes of the keys that a store `holds`, at most `capacity` of them.
    #[must_use]
    pub fn new(holds: fn(&StoreKey) -> bool, capacity: usize) -> Self {
        Self { holds, capacity, waiting: Mutex::default(), arrived: Condvar::new() }
    }

    /// Adds changes; a later one of the same key takes the earlier one's place. Returns how many there was no room for.
    pub fn put<'a>(&self, changes: impl IntoIterator<Item = &'a StoreChange>) -> u64 {
        let mut waiting = self.lock();
        let mut refused = 0;
        for change in changes {
            let key = change.key();
            if !(self.holds)(&key) {
                continue;
            }
            if waiting.changes.len() < self.capacity || waiting.changes.contains_key(&key) {
                waiting.changes.insert(key, change.clone());
            } else {
                refused += 1;
            }
        }
        self.arrived.notify_one();
        refused
    }

    /// Adds all that there is when it goes on from a snapshot, however much: it is bounded by what is alive.
    pub fn put_restored<'a>(&self, changes: impl IntoIterator<Item = &'a StoreChange>) {
        let mut waiting = self.lock();
        let held = changes.into_iter().map(|change| (change.key(), change)).filter(|(key, _)| (self.holds)(key));
        waiting.changes.extend(held.map(|(key, change)| (key, change.clone())));
        self.arrived.notify_one();
    }

    /// Notes that all changes of epochs up to this one have been put in.
    pub fn close(&self, epoch: u64) {
        self.lock().put_before = epoch.saturating_add(1);
    }

    /// The first epoch of which the store may not have all.
    #[must_use]
    pub fn settled_before(&self) -> u64 {
        let waiting = self.lock();
        let changes = waiting.changes.values().map(StoreChange::epoch);
        changes.chain(waiting.given).fold(waiting.put_before, u64::min)
    }

    /// How many keys wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().changes.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the store's thread once all is written.
    pub(super) fn end(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Takes at most `most` changes, and waits up to `patience` for the first.
    pub(super) fn take(&self, most: usize, patience: Duration) -> Taken {
        let idle = |waiting: &mut Waiting| waiting.changes.is_empty() && !waiting.closed;
        let (mut waiting, _) =
            self.arrived.wait_timeout_while(self.lock(), patience, idle).unwrap_or_else(PoisonError::into_inner);
        if waiting.changes.is_empty() {
            return if waiting.closed { Taken::Closed } else { Taken::Nothing };
        }
        let rest = waiting.changes.keys().nth(most).cloned().map(|first| waiting.changes.split_off(&first));
        let taken = std::mem::replace(&mut waiting.changes, rest.unwrap_or_default());
        waiting.given = taken.values().map(StoreChange::epoch).min();
        Taken::Changes(taken.into_values().collect())
    }

    /// Settles what was taken: puts back what could not be written, where nothing newer has come since.
    pub(super) fn settle(&self, changes: Vec<StoreChange>) {
        let mut waiting = self.lock();
        waiting.given = None;
        for change in changes {
            waiting.changes.entry(change.key()).or_insert(change);
        }
    }

    /// Waits until `pause` is over or the box is closed; says whether it is.
    pub(super) fn closed_within(&self, pause: Duration) -> bool {
        let open = |waiting: &mut Waiting| !waiting.closed;
        let (waiting, _) =
            self.arrived.wait_timeout_while(self.lock(), pause, open).unwrap_or_else(PoisonError::into_inner);
        waiting.closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use faultline_contracts::ids::EntityId;

    use super::*;

    fn deleted(id: &str, epoch: u64) -> StoreChange {
        StoreChange::Delete { epoch, key: StoreKey::Vertex(EntityId::from(id)) }
    }

    fn vertices(key: &StoreKey) -> bool {
        matches!(key, StoreKey::Vertex(_))
    }

    #[test]
    fn the_newest_of_a_key_waits_and_what_comes_back_does_not_undo_it() {
        let mailbox = Mailbox::new(vertices, 10);
        mailbox.put(&[deleted("a", 1), deleted("b", 1)]);
        let Taken::Changes(taken) = mailbox.take(10, Duration::ZERO) else { panic!("changes") };
        assert_eq!(taken, [deleted("a", 1), deleted("b", 1)]);
        mailbox.put(&[deleted("a", 2)]);
        mailbox.settle(taken);
        assert_eq!(mailbox.take(10, Duration::ZERO), Taken::Changes(vec![deleted("a", 2), deleted("b", 1)]));
        assert_eq!(mailbox.take(10, Duration::ZERO), Taken::Nothing);
    }

    #[test]
    fn a_full_box_takes_what_is_newer_and_refuses_what_is_new() {
        let mailbox = Mailbox::new(vertices, 2);
        assert_eq!(mailbox.put(&[deleted("a", 1), deleted("b", 1), deleted("c", 1), deleted("a", 2)]), 1);
        assert_eq!(mailbox.take(1, Duration::ZERO), Taken::Changes(vec![deleted("a", 2)]));
        assert_eq!(mailbox.take(1, Duration::ZERO), Taken::Changes(vec![deleted("b", 1)]));
    }

    #[test]
    fn what_the_store_does_not_hold_does_not_wait() {
        let mailbox = Mailbox::new(vertices, 2);
        let edge = StoreChange::Delete { epoch: 1, key: StoreKey::Edge(EntityId::from("e")) };
        assert_eq!((mailbox.put(&[edge]), mailbox.len()), (0, 0));
    }

    #[test]
    fn a_closed_box_is_emptied_first() {
        let mailbox = Mailbox::new(vertices, 2);
        mailbox.put(&[deleted("a", 1)]);
        assert!(!mailbox.closed_within(Duration::ZERO));
        mailbox.end();
        assert!(mailbox.closed_within(Duration::from_secs(60)));
        assert_eq!(mailbox.take(9, Duration::from_secs(60)), Taken::Changes(vec![deleted("a", 1)]));
        assert_eq!(mailbox.take(9, Duration::from_secs(60)), Taken::Closed);
    }
}
