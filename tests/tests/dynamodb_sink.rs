//! The DynamoDB store against DynamoDB Local, read back with boto3.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use faultline_contracts::ids::EvidenceId;
use faultline_contracts::signal::{HealthState, Signal, SignalKind};
use faultline_contracts::time::UnixMillis;
use faultline_contracts::window::Verdicts;
use faultline_sinks::SinkError;
use faultline_sinks::dynamodb::{
    CredentialsFrom, DynamoFailure, DynamoSettings, DynamoStore, TableCreation, create_table,
};
use faultline_sinks::store::{Applied, Outcome, StateStore, StoreChange, StoreItem, StoreKey};
use faultline_tests::servers::{DynamoServer, Storage};
use serde_json::{Value as Json, json};

/// 2023-10-27T10:00:00Z.
const TEN: UnixMillis = UnixMillis(1_698_400_800_000);
/// Until then everything is stored, however busy the machine.
const SETTLED: Duration = Duration::from_secs(120);
/// A call may take 4 s by default; beyond this it is not bounded at all.
const BOUNDED: Duration = Duration::from_secs(10);

fn shared() -> &'static DynamoServer {
    static SHARED: OnceLock<DynamoServer> = OnceLock::new();
    SHARED.get_or_init(|| DynamoServer::start(Storage::Memory).unwrap())
}

fn settings(server: &DynamoServer, table: &str) -> DynamoSettings {
    DynamoSettings {
        table: table.to_owned(),
        endpoint: Some(server.endpoint()),
        credentials: CredentialsFrom::Local,
        ..DynamoSettings::default()
    }
}

/// A store of its own table.
fn store(server: &DynamoServer, table: &str) -> DynamoStore {
    let settings = settings(server, table);
    create_table(&settings).unwrap();
    DynamoStore::open(&settings).unwrap()
}

fn signal(dataset: &str, fail: u64) -> Signal {
    Signal {
        dataset: dataset.into(),
        kind: SignalKind::ContractCompliance,
        state: HealthState::Critical,
        verdicts: Verdicts { pass: 127, fail, warn: 0 },
        window_start: TEN.plus(-300_000),
        window_end: TEN,
        breach_start: Some(TEN),
        failure_signature: Some("MISSING_FIELD:customer_id".into()),
        first_failure: Some(EvidenceId(7)),
        detected_at: Some(TEN.plus(-60_000)),
    }
}

/// What tells values apart is their number of failures.
fn upsert(dataset: &str, epoch: u64, fail: u64) -> StoreChange {
    StoreChange::Upsert { epoch, item: StoreItem::Signal(signal(dataset, fail)) }
}

fn delete(dataset: &str, epoch: u64) -> StoreChange {
    StoreChange::Delete { epoch, key: StoreKey::Signal(dataset.into(), SignalKind::ContractCompliance) }
}

/// Applies until nothing is left: a busy machine may need more than one call's time.
fn applied(store: &mut DynamoStore, changes: impl Into<Vec<StoreChange>>) -> Applied {
    let (begin, mut pending, mut sum) = (Instant::now(), changes.into(), Applied::default());
    loop {
        let Outcome { applied: Applied { written, stale, absent, refused }, left, error } = store.apply(pending);
        sum.written += written;
        sum.stale += stale;
        sum.absent += absent;
        sum.refused += refused;
        if left.is_empty() {
            assert!(error.is_none());
            return sum;
        }
        let (count, said) = (left.len(), error.as_ref().map(|error| chain(error)));
        assert!(error.is_none_or(|error| error.is_transient()), "{said:?}");
        assert!(begin.elapsed() < SETTLED, "{count} changes are left: {said:?}");
        pending = left;
    }
}

fn chain(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

fn written(written: u64) -> Applied {
    Applied { written, ..Applied::default() }
}

/// By dataset: epoch, and failures where it is not retired.
fn stored(server: &DynamoServer, table: &str) -> BTreeMap<String, (u64, Option<u64>)> {
    let items = server.items(table).unwrap();
    let of = |item: &Json| (item["epoch"].as_u64().unwrap(), item["fail"].as_u64());
    items.iter().map(|item| (item["PK"].as_str().unwrap().to_owned(), of(item))).collect()
}

fn send(signal: &str, server: &DynamoServer) {
    let pid = server.pid().unwrap().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

#[test]
fn a_table_is_made_once_however_many_ask() {
    let settings = settings(shared(), "made.by-several");
    let made: Vec<_> = std::thread::scope(|threads| {
        let threads: Vec<_> = (0..3).map(|_| threads.spawn(|| create_table(&settings).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|made| **made == TableCreation::Created).count(), 1, "{made:?}");
    assert_eq!(create_table(&settings).unwrap(), TableCreation::Existed);

    let script = "
table = client.describe_table(TableName=arguments[0])['Table']
ttl = client.describe_time_to_live(TableName=arguments[0])['TimeToLiveDescription']
say([table['TableStatus'], table['BillingModeSummary']['BillingMode'], table['KeySchema'],
     sorted((a['AttributeName'], a['AttributeType']) for a in table['AttributeDefinitions']),
     ttl['TimeToLiveStatus'], ttl['AttributeName']])";
    let described = shared().boto3(script, &["made.by-several"]).unwrap();
    let keys = [("PK", "HASH"), ("SK", "RANGE")].map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind}));
    assert_eq!(described, json!(["ACTIVE", "PAY_PER_REQUEST", keys, [["PK", "S"], ["SK", "S"]], "ENABLED", "ttl"]));
}

#[test]
fn boto3_reads_the_published_item() {
    let mut store = store(shared(), "orders");
    let breach = upsert("urn:dp:orders:created", 1_698_400_800_123, 1_120);
    assert_eq!(applied(&mut store, [breach]), written(1));
    let unjudged = Signal {
        state: HealthState::Unknown,
        verdicts: Verdicts::default(),
        breach_start: None,
        failure_signature: None,
        first_failure: None,
        detected_at: None,
        ..signal("urn:dp:payments:settled", 0)
    };
    let unjudged = StoreChange::Upsert { epoch: 3, item: StoreItem::Signal(unjudged) };
    assert_eq!(applied(&mut store, [unjudged]), written(1));
    let expected = [
        json!({
            "PK": "urn:dp:orders:created", "SK": "contract_compliance", "state": "CRITICAL", "score": 0.102,
            "breach_start": "2023-10-27T10:00:00.000Z", "failure_signature": "MISSING_FIELD:customer_id",
            "window_start": "2023-10-27T09:55:00.000Z", "window_end": "2023-10-27T10:00:00.000Z",
            "pass": 127, "fail": 1_120, "warn": 0, "first_failure": "evd-00000000000000000000000007",
            "detected_at": "2023-10-27T09:59:00.000Z", "epoch": 1_698_400_800_123_u64,
        }),
        json!({
            "PK": "urn:dp:payments:settled", "SK": "contract_compliance", "state": "UNKNOWN",
            "window_start": "2023-10-27T09:55:00.000Z", "window_end": "2023-10-27T10:00:00.000Z",
            "pass": 0, "fail": 0, "warn": 0, "epoch": 3,
        }),
    ];
    assert_eq!(shared().items("orders").unwrap(), expected);
}

#[test]
fn a_newer_epoch_wins_and_an_older_one_is_stale() {
    let mut store = store(shared(), "epochs");
    assert_eq!(applied(&mut store, [upsert("a", 5, 50), upsert("b", 5, 50)]), written(2));
    assert_eq!(applied(&mut store, [upsert("a", 5, 50), upsert("b", 6, 60)]), written(2), "again, and newer");
    let older = applied(&mut store, [upsert("a", 4, 40), upsert("b", 7, 70)]);
    assert_eq!(older, Applied { written: 1, stale: 1, ..Applied::default() });
    let expected = [("a", (5, Some(50))), ("b", (7, Some(70)))];
    assert_eq!(stored(shared(), "epochs"), expected.map(|(dataset, value)| (dataset.to_owned(), value)).into());
}

#[test]
fn a_retired_signal_is_marked_and_does_not_come_back_by_an_older_write() {
    let mut store = store(shared(), "retired");
    // Of this time: DynamoDB Local removes what has expired.
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    assert_eq!(applied(&mut store, [upsert("a", now, 1)]), written(1));
    assert_eq!(applied(&mut store, [delete("a", now + 2)]), written(1));
    let absent = Applied { absent: 1, ..Applied::default() };
    assert_eq!(applied(&mut store, [delete("b", now + 2)]), absent, "never written, and marked all the same");
    let mark = |dataset: &str| {
        let ttl = (now + 2) / 1_000 + 30 * 86_400;
        json!({"PK": dataset, "SK": "contract_compliance", "state": "UNKNOWN", "epoch": now + 2, "ttl": ttl})
    };
    assert_eq!(shared().items("retired").unwrap(), [mark("a"), mark("b")]);

    let late = applied(&mut store, [upsert("a", now + 1, 2), upsert("b", now + 1, 2)]);
    assert_eq!(late, Applied { stale: 2, ..Applied::default() });
    assert_eq!(applied(&mut store, [delete("a", now + 1)]), Applied { stale: 1, ..Applied::default() });
    assert_eq!(shared().items("retired").unwrap(), [mark("a"), mark("b")]);
    assert_eq!(applied(&mut store, [delete("a", now + 2)]), written(1), "once more");

    assert_eq!(applied(&mut store, [upsert("a", now + 3, 3)]), written(1), "it is back");
    let items = shared().items("retired").unwrap();
    assert_eq!((&items[0]["fail"], items[0].get("ttl")), (&json!(3), None));
}

#[test]
fn two_writers_converge_to_the_newest() {
    const DATASETS: u64 = 7;
    let (first, second) = (store(shared(), "writers"), store(shared(), "writers"));
    std::thread::scope(|threads| {
        for (mut store, offset) in [(first, 0), (second, 1)] {
            threads.spawn(move || {
                // Each writer's epochs go back and forth, and meet the other's in between.
                for step in 0..60_u64 {
                    let epoch = |dataset: u64| (step * 17 + dataset * 5) % 61 * 2 + offset;
                    let changes: Vec<_> = (0..DATASETS)
                        .map(|dataset| upsert(&dataset.to_string(), epoch(dataset), 1_000 + epoch(dataset)))
                        .collect();
                    let Applied { written, stale, .. } = applied(&mut store, changes);
                    assert_eq!(written + stale, DATASETS);
                }
            });
        }
    });
    let newest = |dataset: u64| (0..60).map(|step| (step * 17 + dataset * 5) % 61 * 2 + 1).max().unwrap();
    let expected = (0..DATASETS).map(|n| (n.to_string(), (newest(n), Some(1_000 + newest(n))))).collect();
    assert_eq!(stored(shared(), "writers"), expected);
}

#[test]
fn a_thousand_keys_in_one_call() {
    let mut store = store(shared(), "many");
    let changes: Vec<_> = (0..1_000).map(|n| upsert(&format!("urn:dp:{n:04}"), n, n)).collect();
    assert_eq!(applied(&mut store, changes), written(1_000));
    let expected = (0..1_000).map(|n| (format!("urn:dp:{n:04}"), (n, Some(n)))).collect();
    assert_eq!(stored(shared(), "many"), expected);
}

#[test]
fn what_dynamodb_cannot_hold_is_refused_and_the_rest_is_stored() {
    let mut store = store(shared(), "refusals");
    let long = "x".repeat(2_049);
    let outcome = applied(&mut store, [upsert("a", 1, 1), upsert(&long, 1, 1), upsert("", 1, 1), upsert("b", 1, 1)]);
    assert_eq!(outcome, Applied { written: 2, refused: 2, ..Applied::default() });

    // The largest item that passes here is one that DynamoDB takes.
    let largest = Signal { failure_signature: Some("x".repeat(500_000).as_str().into()), ..signal("c", 1) };
    let largest = StoreChange::Upsert { epoch: 1, item: StoreItem::Signal(largest) };
    assert_eq!(applied(&mut store, [largest]), written(1));
    let items = shared().items("refusals").unwrap();
    let names: Vec<_> = items.iter().map(|item| item["PK"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(items[2]["failure_signature"].as_str().unwrap().ends_with('…'));
}

/// All is left, and the error says what to do.
fn fails(store: &mut DynamoStore, changes: &[StoreChange], expected: DynamoFailure) -> Vec<StoreChange> {
    let begin = Instant::now();
    let Outcome { applied, left, error } = store.apply(changes.to_vec());
    assert!(begin.elapsed() < BOUNDED, "{:?}", begin.elapsed());
    let sorted = |changes: &[StoreChange]| {
        let mut keys: Vec<_> = changes.iter().map(|change| (change.key(), change.epoch())).collect();
        keys.sort();
        keys
    };
    assert_eq!((applied, sorted(&left)), (Applied::default(), sorted(changes)));
    let error = error.unwrap();
    assert!(matches!(error, SinkError::DynamoDb { failure, .. } if failure == expected), "{}", chain(&error));
    assert_eq!((error.is_transient(), error.hint()), (expected.is_transient(), Some(expected.hint())));

    let begin = Instant::now();
    let error = store.probe().unwrap_err();
    assert!(begin.elapsed() < BOUNDED, "{:?}", begin.elapsed());
    assert!(matches!(error, SinkError::DynamoDb { failure, .. } if failure == expected), "{}", chain(&error));
    left
}

#[test]
fn a_table_that_is_not_there_or_another_is_said_and_nothing_is_dropped() {
    let settings = settings(shared(), "not.there");
    let mut store = DynamoStore::open(&settings).unwrap();
    let changes: Vec<_> = (0..50).map(|n| upsert(&n.to_string(), n, n)).collect();
    let left = fails(&mut store, &changes, DynamoFailure::NoTable);
    create_table(&settings).unwrap();
    assert_eq!(applied(&mut store, left), written(50));

    let script = "
client.create_table(TableName=arguments[0], BillingMode='PAY_PER_REQUEST',
    AttributeDefinitions=[{'AttributeName': 'id', 'AttributeType': 'N'}],
    KeySchema=[{'AttributeName': 'id', 'KeyType': 'HASH'}])
say(None)";
    shared().boto3(script, &["somebody.elses"]).unwrap();
    let settings = DynamoSettings { table: "somebody.elses".to_owned(), ..settings };
    let mut store = DynamoStore::open(&settings).unwrap();
    fails(&mut store, &changes, DynamoFailure::OtherTable);
    let error = create_table(&settings).unwrap_err();
    assert!(chain(&error).contains("its keys are id (HASH, N), not PK "), "{}", chain(&error));
    assert_eq!(error.hint(), Some(DynamoFailure::OtherTable.hint()));
}

#[test]
fn a_name_that_no_table_can_have_is_said() {
    let settings = settings(shared(), "no table");
    let mut store = DynamoStore::open(&settings).unwrap();
    fails(&mut store, &[upsert("a", 1, 1)], DynamoFailure::OtherTable);
    assert!(matches!(create_table(&settings), Err(SinkError::DynamoDb { failure: DynamoFailure::Rejected, .. })));
}

#[test]
fn while_the_server_is_down_everything_is_left_and_then_stored() {
    let mut server = DynamoServer::start(Storage::Disk).unwrap();
    let mut store = store(&server, "outage");
    assert_eq!(applied(&mut store, [upsert("0", 7, 7), upsert("old", 7, 7)]), written(2));
    server.stop();
    let changes: Vec<_> = (0..100).map(|n| upsert(&n.to_string(), 10 + n, n)).collect();
    let left = fails(&mut store, &changes, DynamoFailure::Unavailable);
    server.start_again().unwrap();
    assert_eq!(applied(&mut store, left), written(100));
    let mut expected: BTreeMap<_, _> = (0..100).map(|n| (n.to_string(), (10 + n, Some(n)))).collect();
    expected.insert("old".to_owned(), (7, Some(7)));
    assert_eq!(stored(&server, "outage"), expected);
}

#[test]
fn while_the_server_is_frozen_everything_is_left_and_nothing_is_taken_back_afterwards() {
    let server = DynamoServer::start(Storage::Memory).unwrap();
    let mut store = store(&server, "frozen");
    assert_eq!(applied(&mut store, [upsert("0", 7, 7)]), written(1));
    send("-STOP", &server);
    let changes: Vec<_> = (0..500).map(|n| upsert(&n.to_string(), 10 + n, n)).collect();
    fails(&mut store, &changes, DynamoFailure::Unavailable);
    send("-CONT", &server);
    // What was sent before it froze may still arrive, now or later. Newer values are there first, or after.
    let newer: Vec<_> = (0..500).map(|n| upsert(&n.to_string(), 1_000 + n, 2 * n)).collect();
    assert_eq!(applied(&mut store, newer), written(500));
    assert_eq!(applied(&mut store, changes), Applied { stale: 500, ..Applied::default() });
    let expected = (0..500).map(|n| (n.to_string(), (1_000 + n, Some(2 * n)))).collect();
    assert_eq!(stored(&server, "frozen"), expected);
}
