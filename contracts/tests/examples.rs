//! The example catalogs are real ones: they load without a finding, and judge records as their authors mean.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use faultline_contracts::{
    asset::AssetKind,
    catalog::{Catalog, GateState, LoadedCatalog, check},
    diagnostic::{Diagnostic, Severity},
    document::{Limits, Parser},
    names::EntityNames,
    policy::Rollout,
    validator::Findings,
};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn load(name: &str) -> Catalog {
    let LoadedCatalog { catalog, diagnostics, .. } = Catalog::load(&example(name));
    let texts: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    assert!(texts.is_empty(), "{}", texts.join("\n"));
    catalog
}

/// The reason codes of a record on a topic.
fn judge(catalog: &Catalog, topic: &str, record: &str) -> Vec<String> {
    let dataset = catalog.dataset_of_topic(topic).unwrap();
    let (mut parser, mut findings) = (Parser::new(Limits::default()), Findings::default());
    dataset.validator.as_ref().unwrap().check(&parser.parse(record.as_bytes()).unwrap(), &mut findings);
    findings.reason_codes().iter().map(ToString::to_string).collect()
}

#[test]
fn all_examples_load_without_a_finding() {
    for name in ["orders", "payments", "logistics", "clickstream"] {
        let catalog = load(name);
        assert!(!catalog.datasets().is_empty(), "{name}");
        for dataset in catalog.datasets() {
            assert_eq!(dataset.contract_state, GateState::Ok, "{}", dataset.urn);
            assert_ne!(dataset.schema_state, GateState::Broken, "{}", dataset.urn);
            assert!(dataset.owner.is_some() && dataset.validator.is_some(), "{}", dataset.urn);
        }
        assert_eq!(catalog.version(), load(name).version());
    }
}

#[test]
fn orders_is_the_catalog_of_the_incident() {
    let catalog = load("orders");
    let orders = catalog.dataset("urn:dp:orders:created").unwrap();
    assert_eq!((&*orders.title, orders.tier, orders.slo_millionths), ("orders:created", 1, 950_000));
    assert_eq!((orders.domain.as_deref(), orders.owner.as_deref()), (Some("orders"), Some("orders-core")));
    assert_eq!(orders.rollout, Rollout::On);
    assert_eq!(
        (orders.schema.as_deref(), orders.contract.as_deref()),
        (Some("glue:orders.created:17"), Some("dc:orders.created:3"))
    );
    for name in ["orders", "orders-service", "orders-svc"] {
        assert_eq!(catalog.producer(name).unwrap().id.as_ref(), "orders-svc");
    }
    assert_eq!(catalog.owners("urn:dp:orders:created"), ["orders-svc".into()]);
    assert_eq!(catalog.alias("s3://lake/gold/orders_daily").unwrap().as_str(), "delta:orders_gold_daily");
    assert_eq!(catalog.lineage_dataset("kafka://b:9092", "raw.orders.events").as_str(), "urn:dp:orders:created");
    assert_eq!(catalog.lineage_dataset("s3://lake", "finance/daily_snapshot").as_str(), "delta:finance_daily_snapshot");
    let assets: Vec<_> = catalog.assets().iter().map(|a| (a.id.as_str(), a.kind, &*a.name, a.tier)).collect();
    assert_eq!(
        assets,
        [
            ("dashboard:exec_orders", AssetKind::Dashboard, "Exec Orders Dashboard", Some(1)),
            ("delta:finance_daily_snapshot", AssetKind::Table, "finance_daily_snapshot", Some(1)),
            ("delta:orders_gold_daily", AssetKind::Table, "delta:orders_gold_daily", Some(1)),
        ]
    );
    assert_eq!(catalog.assets()[0].consumes, ["delta:orders_gold_daily".into()]);
    assert_eq!(catalog.policies().len(), 1);
}

#[test]
fn orders_fail_for_what_is_wrong_with_them() {
    let catalog = load("orders");
    let judge = |record: &str| judge(&catalog, "raw.orders.events", record);
    let bad = r#"{"order_id": "O-99123", "total_amount": 149.99, "currency": "USD"}"#;
    assert_eq!(judge(bad), ["MISSING_FIELD:customer_id"], "the hotfix of the incident");
    let good = r#"{"order_id":"O-1","customer_id":"C-1","total_amount":0,"currency":"EUR","created_at":"2023-10-27T09:58:01Z",
                   "items":[{"sku":"A","qty":1,"price":2.5}]}"#;
    assert!(judge(good).is_empty());
    let null =
        r#"{"order_id":"O-1","customer_id":null,"total_amount":1,"currency":"EUR","created_at":null,"items":null}"#;
    assert_eq!(judge(null), ["NULL_FIELD:customer_id"]);
    let worse = r#"{"order_id":"1","customer_id":"C","total_amount":-1,"currency":"XXX","items":[{"sku":"A","qty":0,"price":1}]}"#;
    assert_eq!(
        judge(worse),
        [
            "ENUM_VIOLATION:currency",
            "OUT_OF_RANGE:items[].qty",
            "OUT_OF_RANGE:total_amount",
            "PATTERN_MISMATCH:order_id"
        ]
    );
}

#[test]
fn payments_nest_and_close() {
    let catalog = load("payments");
    let authorized = catalog.dataset("urn:dp:payments:authorized").unwrap();
    assert_eq!((authorized.owner.as_deref(), authorized.tier), (Some("jwright"), 1), "who left owns nothing");
    let settled = catalog.dataset("urn:dp:payments:settled").unwrap();
    assert_eq!((settled.owner.as_deref(), settled.tier), (Some("npetrov"), 2), "the contract's tier");
    let record = r#"{"settlement_id":"s","payment_id":"0b5a7ad1-6b0e-4a8f-9d9b-1f6e2c3d4e5f","acquirer":"stripe","gross":0,
                     "value_date":"2024-02-30","surprise":1}"#;
    assert_eq!(
        judge(&catalog, "payments.settlements", record),
        ["ENUM_VIOLATION:acquirer", "FORMAT_MISMATCH:value_date", "OUT_OF_RANGE:gross", "UNDECLARED_FIELD"]
    );
}

#[test]
fn logistics_is_found_by_pattern_and_partly_observed() {
    let catalog = load("logistics");
    let shipments = catalog.dataset_of_topic("logistics.eu.shipment-status").unwrap();
    assert_eq!(shipments.urn.as_str(), "urn:dp:logistics:shipment_status");
    assert!(catalog.dataset_of_topic("logistics.eu.shipment-status.dlq").is_none(), "patterns are anchored");
    let rollouts: Vec<_> = catalog.policies().iter().map(|p| p.rollout).collect();
    assert_eq!(rollouts, [Rollout::On, Rollout::Observe]);
    let stock = |record: &str| judge(&catalog, "logistics.stock-levels", record);
    assert!(stock(r#"{"warehouse":"BER01","sku":"A","on_hand":3,"counted_at":1700000000000}"#).is_empty());
    assert_eq!(
        stock(r#"{"warehouse":"BER01","sku":"A","on_hand":3,"reserved":null,"counted_at":"2024-01-01T00:00:00Z"}"#),
        ["NULL_FIELD:reserved", "TYPE_MISMATCH:counted_at"]
    );
    let delivered = r#"{"shipment_id":"SHP-AAAAAAAAAA","status":"DELIVERED","scanned_at":"2024-01-01T00:00:00Z",
                        "parcels":[{"parcel_no":1,"dimensions_cm":[1,2]}]}"#;
    let codes = judge(&catalog, "logistics.us.shipment-status", delivered);
    assert!(codes.contains(&"ITEMS_VIOLATION:parcels[].dimensions_cm".to_owned()), "{codes:?}");
    assert!(codes.contains(&"MISSING_FIELD:position".to_owned()), "the schema's if/then: {codes:?}");
}

#[test]
fn a_domain_that_observes_holds_its_datasets_back() {
    let catalog = load("clickstream");
    assert_eq!(catalog.dataset("urn:dp:web:events").unwrap().rollout, Rollout::On);
    assert_eq!(catalog.dataset("urn:dp:web:experiments").unwrap().rollout, Rollout::Observe);
    assert_eq!(catalog.dataset_of_topic("web.events.de").unwrap().title.as_ref(), "Web events");
}

#[test]
fn checking_tells_what_no_record_can_show() {
    let found = check(&example("orders"));
    assert!(found.iter().all(|d| d.severity == Severity::Note));
    assert!(found.is_sorted_by_key(|d: &Diagnostic| (d.file.clone(), d.line)));
    let texts: Vec<String> = found
        .iter()
        .map(|d| format!("{}:{} {} {}", d.file.file_name().unwrap().display(), d.line, d.code, d.message))
        .collect();
    assert_eq!(
        texts,
        [
            "orders.created.odcs.yaml:18 odcs-window-rule 'unique' of 'order_id' is not judged for each record: \
             it compares records with each other",
            "orders.created.odcs.yaml:68 odcs-window-rule 'sla.latency' of 'orders_created.created_at' is not judged for \
             each record: it is about records over time",
            "orders.created.odcs.yaml:72 odcs-unsupported-rule 'sla.retention' is not judged: \
             it is about the calendar or the broker's settings",
        ]
    );
}
