use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    num::NonZeroU32,
};

use faultline_contracts::signal::SignalKind;
use proptest::prelude::*;

use super::*;
use crate::runtime::OwnRuntime;

/// A table in memory that answers as its script says: for each request, an answer other than the usual one, or none.
#[derive(Default)]
struct FakeTable {
    script: RefCell<std::vec::IntoIter<Option<DynamoFailure>>>,
    /// Datasets whose items are rejected.
    rejects: Vec<&'static str>,
    /// Whether it is a table of other keys.
    other: bool,
    /// How long each answer takes.
    latency: Duration,
    /// Whether an answer that takes longer than allowed is none.
    impatient: bool,
    epochs: RefCell<BTreeMap<StoreKey, u64>>,
    requests: Cell<usize>,
    flying: Cell<usize>,
    most_flying: Cell<usize>,
}

impl FakeTable {
    fn scripted(script: impl IntoIterator<Item = Option<DynamoFailure>>) -> Self {
        let script = script.into_iter().collect::<Vec<_>>().into_iter();
        Self { script: RefCell::new(script), ..Self::default() }
    }

    fn stored(&self) -> Vec<u64> {
        self.epochs.borrow().values().copied().collect()
    }
}

impl Table for FakeTable {
    async fn put(&self, put: &Put, allowance: Duration) -> Result<Stored, Failure> {
        self.requests.set(self.requests.get() + 1);
        self.flying.set(self.flying.get() + 1);
        self.most_flying.set(self.most_flying.get().max(self.flying.get()));
        tokio::time::sleep(self.latency).await;
        self.flying.set(self.flying.get() - 1);
        if self.impatient && self.latency > allowance {
            return Err(NoAnswer(allowance).into());
        }
        let scripted = self.script.borrow_mut().next();
        if let Some(Some(failure)) = scripted {
            return Err(Failure::new(failure, "as the script says"));
        }
        let rejected = self
            .rejects
            .iter()
            .any(|dataset| matches!(put.change.key(), StoreKey::Signal(id, _) if id.as_str() == *dataset));
        if self.other || rejected {
            return Err(Failure::new(DynamoFailure::Rejected, "that is none"));
        }
        let (key, epoch) = (put.change.key(), put.change.epoch());
        let mut epochs = self.epochs.borrow_mut();
        match epochs.get(&key) {
            Some(stored) if *stored > epoch => Ok(Stored::Stale),
            _ => Ok(Stored::Written { replaced: epochs.insert(key, epoch).is_some() }),
        }
    }

    async fn probe(&self, _allowance: Duration) -> Result<(), Failure> {
        if self.other { Err(Failure::new(DynamoFailure::OtherTable, "other keys")) } else { Ok(()) }
    }
}

const QUICK: RetrySettings =
    RetrySettings { first_pause_ms: 1, longest_pause_ms: 2, attempt_timeout_ms: 1_000, total_timeout_ms: 60_000 };

fn delete(dataset: &str, epoch: u64) -> Put {
    let key = StoreKey::Signal(dataset.into(), SignalKind::ContractCompliance);
    Put::new(StoreChange::Delete { epoch, key }, NonZeroU32::MIN).unwrap()
}

fn some(count: u64) -> Vec<Put> {
    (0..count).map(|n| delete(&format!("urn:dp:{n:04}"), n)).collect()
}

fn write_with(table: &FakeTable, puts: Vec<Put>, retry: RetrySettings) -> Settled {
    let runtime = OwnRuntime::new("a test").unwrap();
    runtime.wait(write(table, puts, Pace { concurrency: 4, retry }, &mut Jitter::seeded(1)))
}

fn write_to(table: &FakeTable, puts: Vec<Put>) -> Settled {
    write_with(table, puts, QUICK)
}

#[test]
fn no_more_requests_are_in_flight_than_allowed() {
    let table = FakeTable { latency: Duration::from_millis(1), ..FakeTable::default() };
    let settled = write_to(&table, some(100));
    assert_eq!((settled.applied.absent, table.requests.get(), table.most_flying.get()), (100, 100, 4));
    assert!(settled.left.is_empty() && settled.failure.is_none());
}

#[test]
fn what_is_throttled_is_sent_again_until_it_is_taken() {
    // The first round is throttled after two, and then nearly every put once.
    let script = [None, None].into_iter().chain([Some(DynamoFailure::Throttled); 20]);
    let table = FakeTable::scripted(script);
    let settled = write_to(&table, some(10));
    assert_eq!(settled.applied, Applied { absent: 10, ..Applied::default() });
    assert!(settled.left.is_empty() && settled.failure.is_none(), "{settled:?}");
    assert_eq!(table.requests.get(), 10 + 20);
    assert_eq!(table.stored(), (0..10).collect::<Vec<_>>());
}

#[test]
fn an_outage_leaves_everything_within_the_budget_and_without_trying_each() {
    let table = FakeTable {
        latency: Duration::from_millis(5),
        ..FakeTable::scripted([Some(DynamoFailure::Unavailable); 10_000])
    };
    let retry = RetrySettings { total_timeout_ms: 150, attempt_timeout_ms: 10, ..QUICK };
    let settled = write_with(&table, some(1_000), retry);
    assert_eq!(settled.failure.unwrap().kind, DynamoFailure::Unavailable);
    assert_eq!((settled.left.len(), settled.applied), (1_000, Applied::default()));
    // Four a round, and no more rounds than fit.
    assert!((4..=4 * 30).contains(&table.requests.get()), "{} requests", table.requests.get());
}

#[test]
fn an_outage_is_told_also_where_a_pause_outlasts_the_budget() {
    let retry = RetrySettings { total_timeout_ms: 50, attempt_timeout_ms: 1, first_pause_ms: 20, longest_pause_ms: 20 };
    let table = FakeTable::scripted([Some(DynamoFailure::Unavailable); 10_000]);
    // On the same thread, so that no pause ends while it is busy.
    let busy = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        std::thread::sleep(Duration::from_millis(100));
        std::future::pending::<()>().await;
    };
    let mut dice = Jitter::seeded(1);
    let settled = OwnRuntime::new("a test").unwrap().wait(async {
        tokio::select! {
            settled = write(&table, some(10), Pace { concurrency: 4, retry }, &mut dice) => settled,
            () = busy => unreachable!("it never ends"),
        }
    });
    assert_eq!((settled.left.len(), settled.failure.map(|f| f.kind)), (10, Some(DynamoFailure::Unavailable)));
}

#[test]
fn what_somebody_has_to_change_is_not_tried_again() {
    for failure in [DynamoFailure::NoTable, DynamoFailure::Denied, DynamoFailure::Credentials] {
        let table = FakeTable::scripted([None, Some(DynamoFailure::Throttled), Some(failure)]);
        let settled = write_to(&table, some(50));
        assert_eq!(settled.failure.unwrap().kind, failure);
        assert!(table.requests.get() < 8 && settled.left.len() as u64 + settled.applied.absent == 50);
    }
}

#[test]
fn an_item_that_is_rejected_does_not_hold_up_the_others() {
    let table = FakeTable { rejects: vec!["urn:dp:0003", "urn:dp:0011"], ..FakeTable::default() };
    let settled = write_to(&table, some(20));
    assert_eq!(settled.applied, Applied { absent: 18, refused: 2, ..Applied::default() });
    assert!(settled.left.is_empty() && settled.failure.is_none());
}

#[test]
fn nothing_is_dropped_for_a_table_that_is_the_wrong_one() {
    let table = FakeTable { other: true, ..FakeTable::default() };
    let settled = write_to(&table, some(20));
    assert_eq!(settled.failure.unwrap().kind, DynamoFailure::OtherTable);
    assert_eq!((settled.left.len(), settled.applied), (20, Applied::default()));
}

#[test]
fn without_time_the_rest_is_left_and_nothing_is_wrong() {
    let table = FakeTable { latency: Duration::from_millis(20), ..FakeTable::default() };
    let retry = RetrySettings { total_timeout_ms: 100, attempt_timeout_ms: 50, ..QUICK };
    let settled = write_with(&table, some(1_000), retry);
    assert!(settled.failure.is_none());
    assert!(settled.applied.absent >= 4 && settled.left.len() as u64 + settled.applied.absent == 1_000);
}

#[test]
fn a_slow_answer_at_the_end_of_the_budget_is_no_outage() {
    // As a client does that waits no longer than it may.
    let table = FakeTable { latency: Duration::from_millis(40), impatient: true, ..FakeTable::default() };
    let retry = RetrySettings { total_timeout_ms: 200, attempt_timeout_ms: 100, ..QUICK };
    let settled = write_with(&table, some(1_000), retry);
    assert!(settled.failure.is_none(), "{:?}", settled.failure);
    assert!(settled.applied.absent >= 4 && settled.left.len() as u64 + settled.applied.absent == 1_000);
}

proptest! {
    /// Whatever goes wrong in between: each change is settled or left, never both, and the table has the newest.
    #[test]
    fn every_change_is_accounted_for(
        script in prop::collection::vec(prop::option::weighted(0.3, prop_oneof![
            4 => Just(DynamoFailure::Throttled), 4 => Just(DynamoFailure::Unavailable), 1 => Just(DynamoFailure::Denied),
        ]), 0..60),
        before in prop::collection::vec((0_u64..30, 0_u64..50), 0..20),
        now in prop::collection::btree_map(0_u64..30, 0_u64..50, 0..30),
    ) {
        let table = FakeTable::scripted(script);
        for (dataset, epoch) in before {
            let key = StoreKey::Signal(dataset.to_string().into(), SignalKind::ContractCompliance);
            let mut epochs = table.epochs.borrow_mut();
            let stored = epochs.entry(key).or_insert(epoch);
            *stored = epoch.max(*stored);
        }
        let was = table.epochs.borrow().clone();
        let puts: Vec<_> = now.iter().map(|(dataset, epoch)| delete(&dataset.to_string(), *epoch)).collect();
        let settled = write_to(&table, puts.clone());
        prop_assert_eq!(settled.left.is_empty(), settled.failure.is_none());
        let Applied { written, stale, absent, refused } = settled.applied;
        prop_assert_eq!(written + stale + absent + refused, (puts.len() - settled.left.len()) as u64);
        for Put { change, .. } in puts {
            let (key, was) = (change.key(), was.get(&change.key()).copied());
            let expected = if settled.left.contains(&change) { was } else { was.max(Some(change.epoch())) };
            prop_assert_eq!(table.epochs.borrow().get(&key).copied(), expected);
        }
    }
}
