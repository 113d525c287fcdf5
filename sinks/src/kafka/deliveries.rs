//! Which epochs' records are acknowledged.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How long records may wait without any being acknowledged before that is trouble. Brokers that are gone are told of by
/// the client at once; those that hang are not until a request of theirs times out, which takes a minute.
const STALLED_AFTER: Duration = Duration::from_secs(3);

/// Counts of a writer since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryStats {
    /// Records that the queue took.
    pub sent: u64,
    /// Records that the brokers acknowledged.
    pub delivered: u64,
    /// Records that were given up.
    pub failed: u64,
}

impl DeliveryStats {
    /// Records that are queued or on their way.
    #[must_use]
    pub fn in_flight(self) -> u64 {
        self.sent.saturating_sub(self.delivered + self.failed)
    }
}

/// Records by epoch, the epochs ascending. Epochs come almost in order, so that an addition mostly meets the last one.
#[derive(Debug, Default)]
struct EpochCounts {
    epochs: VecDeque<(u64, u64)>,
    /// Of all epochs since the start.
    total: u64,
}

impl EpochCounts {
    fn add(&mut self, epoch: u64, count: u64) {
        *self.of(epoch) += count;
        self.total += count;
    }

    /// The count of an epoch; a new one is 0.
    fn of(&mut self, epoch: u64) -> &mut u64 {
        let mut place = match self.epochs.back() {
            Some(&(last, _)) if last == epoch => self.epochs.len() - 1,
            Some(&(last, _)) if last < epoch => self.epochs.len(),
            _ => self.epochs.partition_point(|&(known, _)| known < epoch),
        };
        if self.epochs.get(place).is_none_or(|&(known, _)| known != epoch) {
            place = place.min(self.epochs.len());
            self.epochs.insert(place, (epoch, 0));
        }
        &mut self.epochs[place].1
    }
}

/// The account of one writer. Senders write one ledger and the producer's thread the other, so that neither waits for
/// the other on each record. Where a sender adds up an epoch's records before it says how many there were
/// ([`Deliveries::sent`]), their reports may be here first: an epoch is settled when both ledgers agree.
#[derive(Debug)]
pub(super) struct Deliveries {
    sent: Mutex<EpochCounts>,
    done: Mutex<EpochCounts>,
    /// The lowest epoch of which a record was given up.
    lost: AtomicU64,
    failed: AtomicU64,
    /// Why the first record was given up. Stays: its epoch never becomes durable.
    loss: Mutex<Option<String>>,
    /// The last error since the last delivery.
    trouble: Mutex<Option<String>>,
    troubled: AtomicBool,
    progress: Mutex<Progress>,
}

/// How far deliveries were when they were last looked at, and since when they are no further.
#[derive(Debug)]
struct Progress {
    done: u64,
    since: Instant,
}

impl Deliveries {
    pub(super) fn new() -> Self {
        Self {
            sent: Mutex::default(),
            done: Mutex::default(),
            lost: AtomicU64::new(u64::MAX),
            failed: AtomicU64::new(0),
            loss: Mutex::default(),
            trouble: Mutex::default(),
            troubled: AtomicBool::new(false),
            progress: Mutex::new(Progress { done: 0, since: Instant::now() }),
        }
    }

    /// So many records of an epoch are queued, or about to be, since this was last said.
    pub(super) fn sent(&self, epoch: u64, count: u64) {
        let mut sent = lock(&self.sent);
        if sent.epochs.back().is_none_or(|&(last, _)| last < epoch) {
            // Once an epoch, so that the ledgers stay short if nobody asks.
            settle(&mut sent, &mut lock(&self.done));
        }
        sent.add(epoch, count);
    }

    /// The queue did not take it.
    pub(super) fn not_sent(&self, epoch: u64) {
        let mut sent = lock(&self.sent);
        *sent.of(epoch) -= 1;
        sent.total -= 1;
    }

    /// The brokers acknowledged a record.
    pub(super) fn delivered(&self, epoch: u64) {
        lock(&self.done).add(epoch, 1);
        if self.troubled.load(Relaxed) {
            self.recovered();
        }
    }

    /// A record was given up: nothing from its epoch on is durable any more. Returns whether it is the first.
    pub(super) fn failed(&self, epoch: u64, error: String) -> bool {
        // Before the record is done: whoever finds it done finds its epoch lost.
        self.lost.fetch_min(epoch, Relaxed);
        lock(&self.done).add(epoch, 1);
        let first = self.failed.fetch_add(1, Relaxed) == 0;
        if first {
            *lock(&self.loss) = Some(error);
        }
        first
    }

    /// Something is wrong that the client goes on in spite of. Says whether that is news.
    pub(super) fn trouble(&self, error: String) -> bool {
        let mut trouble = lock(&self.trouble);
        self.troubled.store(true, Relaxed);
        let news = trouble.as_ref() != Some(&error);
        *trouble = Some(error);
        news
    }

    /// No broker is connected: trouble that says less than any that is known already.
    pub(super) fn disconnected(&self, error: String) -> bool {
        let mut trouble = lock(&self.trouble);
        self.troubled.store(true, Relaxed);
        let news = trouble.is_none();
        trouble.get_or_insert(error);
        news
    }

    /// Whether something is wrong that only a delivery would end, and none is on its way.
    pub(super) fn waits_for_nothing(&self) -> bool {
        self.troubled.load(Relaxed) && self.stats().in_flight() == 0
    }

    /// What was wrong is not any more.
    pub(super) fn recovered(&self) {
        self.troubled.store(false, Relaxed);
        *lock(&self.trouble) = None;
    }

    /// The last error, if nothing was delivered since; else why a record was given up; else that nothing is
    /// acknowledged at `now` though records wait.
    pub(super) fn last_error(&self, now: Instant) -> Option<String> {
        let stalled = self.stalled(now);
        let trouble = lock(&self.trouble).clone();
        trouble.or_else(|| lock(&self.loss).clone()).or(stalled)
    }

    /// Says so if records wait and none has been acknowledged for too long.
    fn stalled(&self, now: Instant) -> Option<String> {
        let DeliveryStats { sent, delivered, failed } = self.stats();
        let (done, waiting) = (delivered + failed, sent.saturating_sub(delivered + failed));
        let mut progress = lock(&self.progress);
        if done != progress.done || waiting == 0 {
            *progress = Progress { done, since: now };
        }
        let length = now.saturating_duration_since(progress.since);
        (length >= STALLED_AFTER)
            .then(|| format!("{waiting} records wait, and none was acknowledged for {} s", length.as_secs()))
    }

    /// See [`super::KafkaWriter::durable_before`].
    pub(super) fn durable_before(&self) -> u64 {
        let mut sent = lock(&self.sent);
        settle(&mut sent, &mut lock(&self.done));
        let oldest = sent.epochs.front().map_or(u64::MAX, |&(epoch, _)| epoch);
        oldest.min(self.lost.load(Relaxed))
    }

    pub(super) fn stats(&self) -> DeliveryStats {
        let (sent, failed) = (lock(&self.sent).total, self.failed.load(Relaxed));
        DeliveryStats { sent, delivered: lock(&self.done).total.saturating_sub(failed), failed }
    }
}

/// Removes the epochs before the first that is not done.
fn settle(sent: &mut EpochCounts, done: &mut EpochCounts) {
    while let Some(&(epoch, count)) = sent.epochs.front() {
        let matching = done.epochs.front().filter(|&&(known, _)| known == epoch);
        if matching.map_or(0, |&(_, count)| count) != count {
            break;
        }
        if matching.is_some() {
            done.epochs.pop_front();
        }
        sent.epochs.pop_front();
    }
}

/// The ledgers are whole between any two operations, so that a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_epoch_is_durable_when_all_of_its_records_are() {
        let deliveries = Deliveries::new();
        assert_eq!(deliveries.durable_before(), u64::MAX);
        for epoch in [0, 10, 10, 20] {
            deliveries.sent(epoch, 1);
        }
        assert_eq!(deliveries.durable_before(), 0);
        deliveries.delivered(10);
        deliveries.delivered(0);
        assert_eq!(deliveries.durable_before(), 10, "one of 10 is missing");
        deliveries.delivered(20);
        assert_eq!(deliveries.durable_before(), 10);
        deliveries.delivered(10);
        assert_eq!(deliveries.durable_before(), u64::MAX);
        assert_eq!(deliveries.stats(), DeliveryStats { sent: 4, delivered: 4, failed: 0 });
    }

    #[test]
    fn what_is_lost_holds_its_epoch_for_good() {
        let deliveries = Deliveries::new();
        for epoch in 1..=3 {
            deliveries.sent(epoch, 1);
        }
        assert!(deliveries.failed(2, "too large".into()));
        assert!(deliveries.trouble("all brokers down".into()));
        assert_eq!(deliveries.last_error(Instant::now()).as_deref(), Some("all brokers down"));
        deliveries.delivered(1);
        deliveries.delivered(3);
        assert_eq!(deliveries.durable_before(), 2);
        assert_eq!(
            deliveries.last_error(Instant::now()).as_deref(),
            Some("too large"),
            "brokers came back, the record did not"
        );
        assert_eq!(deliveries.stats().in_flight(), 0);
    }

    #[test]
    fn records_that_wait_too_long_are_trouble_until_one_is_acknowledged() {
        let (deliveries, start) = (Deliveries::new(), Instant::now());
        let after = |seconds| deliveries.last_error(start + Duration::from_secs(seconds));
        assert_eq!(after(60), None, "nothing waits");
        deliveries.sent(1, 3);
        assert_eq!((after(60), after(62)), (None, None));
        assert_eq!(after(63).as_deref(), Some("3 records wait, and none was acknowledged for 3 s"));
        deliveries.delivered(1);
        assert_eq!((after(64), after(66)), (None, None), "it moves again");
        assert_eq!(after(67).as_deref(), Some("2 records wait, and none was acknowledged for 3 s"));
        deliveries.delivered(1);
        deliveries.delivered(1);
        assert_eq!((after(100), after(200)), (None, None));
    }

    #[test]
    fn why_brokers_are_gone_says_more_than_that_they_are() {
        let deliveries = Deliveries::new();
        assert!(deliveries.disconnected("1/1 brokers are down".into()));
        assert!(deliveries.trouble("wrong password".into()));
        assert!(
            !deliveries.disconnected("1/1 brokers are down".into()) && !deliveries.trouble("wrong password".into())
        );
        assert_eq!(deliveries.last_error(Instant::now()).as_deref(), Some("wrong password"));
    }

    #[test]
    fn trouble_while_nothing_waits_is_over_when_brokers_answer() {
        let deliveries = Deliveries::new();
        assert!(!deliveries.waits_for_nothing());
        assert!(deliveries.trouble("all brokers down".into()));
        assert!(deliveries.waits_for_nothing());
        deliveries.sent(1, 1);
        assert!(!deliveries.waits_for_nothing(), "the delivery will tell");
        deliveries.failed(1, "too large".into());
        assert!(deliveries.waits_for_nothing());
        deliveries.recovered();
        assert_eq!(deliveries.last_error(Instant::now()).as_deref(), Some("too large"));
    }

    #[test]
    fn reports_may_come_before_their_records_are_counted() {
        let deliveries = Deliveries::new();
        deliveries.sent(10, 1);
        for epoch in [10, 20, 20] {
            deliveries.delivered(epoch);
        }
        assert_eq!(deliveries.durable_before(), u64::MAX, "what is not counted is the sender's to know");
        assert_eq!(deliveries.stats().in_flight(), 0);
        deliveries.sent(20, 3);
        assert_eq!(deliveries.durable_before(), 20, "one of three");
        deliveries.delivered(20);
        assert_eq!(deliveries.durable_before(), u64::MAX);
        assert_eq!(deliveries.stats(), DeliveryStats { sent: 4, delivered: 4, failed: 0 });
    }

    #[test]
    fn the_ledgers_stay_short_if_nobody_asks() {
        let deliveries = Deliveries::new();
        for epoch in 0..1_000 {
            deliveries.sent(epoch, 1);
            deliveries.delivered(epoch);
        }
        assert!(lock(&deliveries.sent).epochs.len() <= 2 && lock(&deliveries.done).epochs.len() <= 2);
    }

    proptest! {
        /// Against a map of what is outstanding, with epochs in any order and queues that refuse.
        #[test]
        fn durable_before_is_the_oldest_outstanding_epoch(steps in prop::collection::vec((0_u64..6, 0_u8..4), 0..80)) {
            let deliveries = Deliveries::new();
            let mut outstanding = BTreeMap::<u64, u64>::new();
            for (epoch, step) in steps {
                match step {
                    0 => {
                        deliveries.sent(epoch, 1);
                        deliveries.not_sent(epoch);
                    }
                    1 | 2 => {
                        deliveries.sent(epoch, 1);
                        *outstanding.entry(epoch).or_default() += 1;
                    }
                    _ => {
                        let Some(count) = outstanding.get_mut(&epoch) else { continue };
                        deliveries.delivered(epoch);
                        *count -= 1;
                        if *count == 0 {
                            outstanding.remove(&epoch);
                        }
                    }
                }
                let expected = outstanding.keys().next().copied().unwrap_or(u64::MAX);
                prop_assert_eq!(deliveries.durable_before(), expected);
                prop_assert_eq!(deliveries.stats().in_flight(), outstanding.values().sum::<u64>());
            }
        }
    }
}
