use std::sync::Arc;

use faultline_contracts::{
    graph::{Edge, EdgeLabel, Vertex},
    ids::{EntityId, EvidenceId, IncidentId},
    incident::{Incident, IncidentStatus, Severity},
    reason::{ReasonCode, Signature},
    signal::{HealthState, Signal, SignalKind},
    time::UnixMillis,
    window::{ComplianceWindow, FailureDigest, Verdicts, WindowKey, WindowStatus, WindowTally},
};
use serde_json::Value as Json;

use super::*;
use crate::store::{StoreItem, StoreKey};

const DATASET: &str = "urn:dp:orders:created";
const TEN: UnixMillis = UnixMillis(1_698_400_800_000);

fn signature() -> Signature {
    Signature::of(&[ReasonCode::missing_field("customer_id")])
}

fn signal(state: HealthState) -> StoreItem {
    StoreItem::Signal(Signal {
        dataset: DATASET.into(),
        kind: SignalKind::ContractCompliance,
        state,
        verdicts: Verdicts { pass: 127, fail: 1_120, warn: 0 },
        window_start: TEN.plus(-300_000),
        window_end: TEN,
        breach_start: Some(TEN),
        failure_signature: Some(signature()),
        first_failure: Some(EvidenceId(7)),
        detected_at: None,
    })
}

fn incident() -> Incident {
    Incident {
        id: IncidentId(5),
        severity: Severity::Sev1,
        title: "Contract Violation - orders:created".into(),
        status: IncidentStatus::Open,
        dataset_urn: DATASET.into(),
        signal: SignalKind::ContractCompliance,
        opened_at: TEN,
        resolved_at: None,
        primary_trace_id: None,
        failure_signature: signature(),
        evidence_ids: vec![EvidenceId(7)],
        evidence_count: 1_120,
        parent_incident_id: None,
    }
}

fn window() -> StoreItem {
    let mut tally = WindowTally { verdicts: Verdicts { pass: 1, fail: 2, warn: 3 }, ..WindowTally::default() };
    tally.by_signature = [(signature(), FailureDigest { count: 2, ..FailureDigest::default() })].into_iter().collect();
    tally.by_producer = [("orders-svc".into(), tally.verdicts)].into_iter().collect();
    StoreItem::Window(ComplianceWindow {
        key: WindowKey { dataset: DATASET.into(), start: TEN },
        end: TEN.plus(300_000),
        status: WindowStatus::Final,
        tally: Arc::new(tally),
    })
}

fn edge() -> Edge {
    Edge {
        from: EntityId::deployment("orders-svc", "v3.17"),
        label: EdgeLabel::Introduced,
        to: "signature:it's \"quoted\"".into(),
        since: TEN,
        confidence: Some(920),
    }
}

fn one_of_each() -> Vec<StoreItem> {
    let vertex = Vertex {
        id: DATASET.into(),
        label: "Dataset".into(),
        properties: vec![("name".into(), "created".into()), ("tier".into(), "1".into())],
    };
    vec![
        signal(HealthState::Critical),
        StoreItem::Incident(incident()),
        window(),
        StoreItem::Vertex(vertex),
        StoreItem::Edge(edge()),
        StoreItem::Explanation { incident: IncidentId(5), json: r#"{"hypotheses":[]}"#.into() },
    ]
}

fn upserts(epoch: u64, items: Vec<StoreItem>) -> Vec<StoreChange> {
    items.into_iter().map(|item| StoreChange::Upsert { epoch, item }).collect()
}

fn deletes(epoch: u64, items: &[StoreItem]) -> Vec<StoreChange> {
    items.iter().map(|item| StoreChange::Delete { epoch, key: item.key() }).collect()
}

struct Fixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
    store: SqliteStore,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faultline.db");
    let store = SqliteStore::open(&path).unwrap();
    Fixture { _folder: folder, path, store }
}

impl Fixture {
    /// All rows of a table as JSON objects, as another program reads them.
    fn rows(&self, table: &str) -> Vec<Json> {
        let connection = Connection::open(&self.path).unwrap();
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let names: Vec<String> = statement.column_names().map(ToOwned::to_owned).collect();
        let rows = statement.query_map((), |row| {
            let mut object = Json::Object(Default::default());
            for (place, name) in names.iter().enumerate() {
                object[name] = match row.get(place)? {
                    Value::Null => Json::Null,
                    Value::Integer(integer) => integer.into(),
                    Value::Real(real) => real.into(),
                    Value::Text(text) => text.into(),
                    Value::Blob(_) => unreachable!("no column holds bytes"),
                };
            }
            Ok(object)
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}

#[test]
fn rows_have_the_columns_of_the_interfaces() {
    let mut fixture = fixture();
    let applied = fixture.store.apply(&upserts(1_698_400_800_123, one_of_each())).unwrap();
    assert_eq!(applied, Applied { written: 6, ..Applied::default() });

    let state = serde_json::json!({
        "PK": DATASET, "SK": "contract_compliance", "state": "CRITICAL", "score": 0.102,
        "breach_start": "2023-10-27T10:00:00.000Z", "failure_signature": "MISSING_FIELD:customer_id",
        "window_start": "2023-10-27T09:55:00.000Z", "window_end": "2023-10-27T10:00:00.000Z",
        "pass": 127, "fail": 1_120, "warn": 0, "first_failure": EvidenceId(7).to_string(), "detected_at": null,
        "epoch": 1_698_400_800_123_i64,
    });
    assert_eq!(fixture.rows("signal_state"), [state]);

    let [row] = &fixture.rows("incidents")[..] else { panic!("one incident") };
    assert_eq!((&row["severity"], &row["status"]), (&"SEV-1".into(), &"OPEN".into()));
    let whole: Incident = serde_json::from_str(row["json"].as_str().unwrap()).unwrap();
    assert_eq!(whole, incident());

    let [row] = &fixture.rows("compliance_windows")[..] else { panic!("one window") };
    assert_eq!(row["by_signature"], r#"{"MISSING_FIELD:customer_id":2}"#);
    assert_eq!(row["by_producer"], r#"{"orders-svc":{"fail":2,"pass":1,"warn":3}}"#);
    assert_eq!((&row["status"], &row["warn"]), (&"FINAL".into(), &3.into()));

    assert_eq!(fixture.rows("vertices")[0]["properties"], r#"{"name":"created","tier":"1"}"#);
    let [row] = &fixture.rows("edges")[..] else { panic!("one edge") };
    assert_eq!(row["id"], edge().id().as_str());
    assert_eq!((&row["to_id"], &row["label"]), (&"signature:it's \"quoted\"".into(), &"INTRODUCED".into()));
    assert_eq!((&row["confidence"], &row["since"]), (&0.92.into(), &"2023-10-27T10:00:00.000Z".into()));
    assert_eq!(fixture.rows("explanations")[0]["json"], r#"{"hypotheses":[]}"#);
}

#[test]
fn repeating_a_batch_changes_nothing() {
    let mut fixture = fixture();
    let batch = upserts(9, one_of_each());
    fixture.store.apply(&batch).unwrap();
    let before = fixture.rows("signal_state");
    assert_eq!(fixture.store.apply(&batch).unwrap().written, 6);
    assert_eq!(fixture.rows("signal_state"), before);
    assert_eq!(fixture.rows("edges").len(), 1);
}

#[test]
fn a_newer_epoch_replaces_and_an_older_one_is_refused() {
    let mut fixture = fixture();
    fixture.store.apply(&upserts(10, one_of_each())).unwrap();
    fixture.store.apply(&upserts(11, vec![signal(HealthState::Ok)])).unwrap();
    assert_eq!(fixture.rows("signal_state")[0]["state"], "OK");
    let applied = fixture.store.apply(&upserts(9, one_of_each())).unwrap();
    assert_eq!(applied, Applied { stale: 6, ..Applied::default() });
    assert_eq!(fixture.rows("signal_state")[0]["state"], "OK");
    assert_eq!(fixture.rows("signal_state")[0]["epoch"], 11);
}

#[test]
fn deletes_keep_the_order_of_epochs_too() {
    let mut fixture = fixture();
    let items = one_of_each();
    fixture.store.apply(&upserts(10, items.clone())).unwrap();
    let refused = fixture.store.apply(&deletes(9, &items)).unwrap();
    assert_eq!(refused, Applied { stale: 6, ..Applied::default() });
    let done = fixture.store.apply(&deletes(10, &items)).unwrap();
    assert_eq!(done, Applied { written: 6, ..Applied::default() });
    let again = fixture.store.apply(&deletes(10, &items)).unwrap();
    assert_eq!(again, Applied { absent: 6, ..Applied::default() });
    for table in ["signal_state", "incidents", "compliance_windows", "vertices", "edges", "explanations"] {
        assert!(fixture.rows(table).is_empty(), "{table}");
    }
}

#[test]
fn changes_of_a_batch_apply_in_their_order() {
    let mut fixture = fixture();
    let item = signal(HealthState::Critical);
    let mut batch = deletes(5, std::slice::from_ref(&item));
    batch.extend(upserts(5, vec![item]));
    let applied = fixture.store.apply(&batch).unwrap();
    assert_eq!(applied, Applied { written: 1, absent: 1, ..Applied::default() });
    assert_eq!(fixture.rows("signal_state").len(), 1);
}

#[test]
fn a_batch_that_fails_leaves_the_store_as_it_was() {
    let mut fixture = fixture();
    let mut batch = upserts(5, one_of_each());
    batch.push(StoreChange::Delete { epoch: u64::MAX, key: StoreKey::Vertex(DATASET.into()) });
    let error = fixture.store.apply(&batch).unwrap_err();
    assert!(matches!(error, SinkError::Range { number: u64::MAX, .. }), "{error}");
    assert!(fixture.rows("signal_state").is_empty());
    assert_eq!(fixture.store.apply(&upserts(5, one_of_each())).unwrap().written, 6, "and works on");
}

#[test]
fn a_store_is_found_again() {
    let Fixture { _folder, path, mut store } = fixture();
    store.apply(&upserts(10, one_of_each())).unwrap();
    drop(store);
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.apply(&upserts(9, one_of_each())).unwrap().stale, 6);
}

#[test]
fn other_databases_and_versions_are_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE shopping (item TEXT)").unwrap();
    let before = std::fs::read(&foreign).unwrap();
    let error = SqliteStore::open(&foreign).unwrap_err();
    assert!(error.to_string().ends_with("it is a database of another application"), "{error}");
    assert_eq!(std::fs::read(&foreign).unwrap(), before);

    let Fixture { _folder, path, store } = fixture();
    drop(store);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(error.to_string().ends_with("of version 99, this program's of version 1"), "{error}");
    assert!(error.hint().is_some());

    let text = folder.path().join("text.db");
    std::fs::write(&text, "no database at all, but long enough to be taken for one".repeat(10)).unwrap();
    let error = SqliteStore::open(&text).unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("move the file away")), "{error:?}");
}

#[test]
fn a_locked_database_is_worth_another_try() {
    let mut fixture = fixture();
    fixture.store.connection.busy_timeout(Duration::from_millis(1)).unwrap();
    let other = Connection::open(&fixture.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = fixture.store.apply(&upserts(1, one_of_each())).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(fixture.store.apply(&upserts(1, one_of_each())).unwrap().written, 6);
}
