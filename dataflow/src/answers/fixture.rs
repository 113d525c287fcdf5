//! A view by hand: the orders incident, and a smaller one of payments.

use std::sync::Arc;

use faultline_contracts::{
    asset::{Asset, AssetKind},
    catalog::{Catalog, CatalogFiles},
    evidence::FailureSample,
    explanation::{Claim, Explanation, Hypothesis, HypothesisKind, Layer, Score},
    ids::{EvidenceId, IncidentId},
    impact::Impact,
    incident::{Breach, Incident},
    lineage::{FlowEdge, FlowKind},
    reason::Signature,
    record::{RecordCoordinates, TopicPartition},
    signal::{HealthState, Signal, SignalKind},
    time::UnixMillis,
    trace::TraceId,
    window::{ComplianceWindow, FailureDigest, Verdicts, WindowKey, WindowStatus, WindowTally},
};
use faultline_operators::{
    blast_radius::QueryKey, impact::ImpactRow, incidents::incident, watermark::PartitionProgress,
};

use crate::view::{Change, EpochChanges, View};

pub const ORDERS: &str = "urn:dp:orders:created";
pub const PAYMENTS: &str = "urn:dp:payments:settled";
pub const OFFSET: i64 = 9_919_000;
/// 2023-10-27T09:55:00Z
const WINDOW: UnixMillis = UnixMillis(1_698_400_500_000);
const EPOCH: u64 = 1_698_400_800_123;

pub fn orders() -> IncidentId {
    IncidentId::of(&ORDERS.into(), "contract_compliance", WINDOW)
}

pub fn payments() -> IncidentId {
    IncidentId::of(&PAYMENTS.into(), "contract_compliance", WINDOW)
}

pub fn catalog() -> Catalog {
    let text = "\
datasets:
  - {urn: 'urn:dp:orders:created', topics: [raw.orders.events], producer: orders-svc, tier: 1, domain: orders, compliance_slo: 0.95}
  - {urn: 'urn:dp:payments:settled', topics: [raw.payments], producer: pay-svc, contract: 'dc:nowhere:1', tier: 2, domain: payments}
producers: [{id: orders-svc}, {id: pay-svc}]
assets:
  - {id: 'dashboard:exec_orders', kind: DASHBOARD, name: Exec Orders Dashboard, tier: 1, consumes: ['delta:orders_gold_daily']}
  - {id: 'delta:orders_gold_daily', kind: TABLE, tier: 1, aliases: ['s3://lake/gold/orders_daily']}
";
    Catalog::from_files(&CatalogFiles::of("demo", [("catalog.yaml", text)])).catalog
}

fn sample(topic: &str, offset: i64) -> FailureSample {
    let at = RecordCoordinates { topic, partition: 4, offset };
    let id = EvidenceId::of(at, WINDOW.plus(offset % 100_000));
    let trace_id = TraceId::from_bytes([0xab; 16]);
    FailureSample { id, topic: topic.into(), producer: "orders-svc".into(), trace_id, dag_run_id: None }
}

fn breach(dataset: &str, topic: &str, samples: &[i64], detected_at: UnixMillis) -> Breach {
    let earliest: Vec<_> = samples.iter().map(|&offset| sample(topic, offset)).collect();
    Breach {
        id: IncidentId::of(&dataset.into(), "contract_compliance", WINDOW),
        dataset: dataset.into(),
        kind: SignalKind::ContractCompliance,
        first_window: WINDOW,
        detected_at,
        recovering_since: None,
        resolved_at: None,
        verdicts: Verdicts { pass: 127, fail: 1_120, warn: 0 },
        signature: "MISSING_FIELD:customer_id".into(),
        signature_count: 1_120,
        signature_count_before: 0,
        last_failure: earliest[earliest.len() - 1].id,
        earliest: Arc::new(earliest),
    }
}

fn window(start: UnixMillis, status: WindowStatus, breach: Option<&Breach>) -> Change {
    let mut tally = WindowTally { verdicts: Verdicts { pass: 127, ..Verdicts::default() }, ..WindowTally::default() };
    if let Some(breach) = breach {
        tally.verdicts = breach.verdicts;
        let digest =
            FailureDigest { count: 1_120, last: Some(breach.last_failure), earliest: Arc::clone(&breach.earliest) };
        tally.by_signature = [(breach.signature.clone(), digest)].into_iter().collect();
    }
    let key = WindowKey { dataset: ORDERS.into(), start };
    Change::Window(ComplianceWindow { key, end: start.plus(300_000), status, tally: Arc::new(tally) })
}

fn hypothesis(subject: &str, score: u16, breach: &Breach) -> Hypothesis {
    Hypothesis {
        kind: HypothesisKind::Deployment,
        subject: subject.into(),
        score: Score(score),
        layer: Layer::RuntimeTrace,
        at: WINDOW.plus(165_000),
        claims: vec![Claim {
            text: "orders-svc v3.17 was deployed 13 seconds before the first failure".into(),
            evidence_ids: vec![breach.earliest[0].id],
            edge_ids: vec![],
        }],
        action: None,
        parent: None,
    }
}

/// The changes that make the view.
pub fn changes() -> EpochChanges {
    let failing = breach(ORDERS, "raw.orders.events", &[9_918_273, 9_918_274], WINDOW.plus(200_000));
    let other = breach(PAYMENTS, "raw.payments", &[3], WINDOW.plus(250_000));
    let flow = |from: &str, to: &str, kind| {
        Change::Flow(FlowEdge { from: from.into(), to: to.into(), kind, since: UnixMillis(0) })
    };
    let asset = |id: &str, kind, name: &str, tier| {
        Change::Asset(Asset { id: id.into(), kind, name: name.into(), tier, owner: Some("orders-core".into()) })
    };
    let hit = |node: &str, impact, since| {
        let query = QueryKey::of_incident(failing.id);
        Change::Impact(ImpactRow { query, node: node.into(), impact, since })
    };
    let hit_at = Some(WINDOW.plus(200_000));
    let progress = |partition, offset| {
        let partition = TopicPartition { topic: "raw.orders.events".into(), partition };
        Change::Progress(PartitionProgress { partition, offset, high_water: None })
    };
    let incidents: [Incident; 2] = [incident(&failing, 1, None), incident(&other, 2, None)];
    let explanation = Explanation {
        incident: failing.id,
        hypotheses: vec![
            hypothesis("deployment:orders-svc:v3.17", 930, &failing),
            hypothesis("deployment:orders-svc:v3.16", 310, &failing),
        ],
        recommended_action: Some("Roll back orders-svc to v3.16".into()),
        evidence_summary: vec![Claim {
            text: "1,120 of 1,247 events (89.8%) failed".into(),
            evidence_ids: failing.earliest.iter().map(|sample| sample.id).collect(),
            edge_ids: vec![],
        }],
        unknowns: vec![],
    };
    let signal = Signal {
        dataset: ORDERS.into(),
        kind: SignalKind::ContractCompliance,
        state: HealthState::Critical,
        verdicts: failing.verdicts,
        window_start: WINDOW,
        window_end: WINDOW.plus(300_000),
        breach_start: Some(WINDOW.plus(300_000)),
        failure_signature: Some(Signature::from("MISSING_FIELD:customer_id")),
        first_failure: Some(failing.earliest[0].id),
        detected_at: Some(failing.detected_at),
    };
    let [first, second] = incidents;
    let changes = [
        window(WINDOW.plus(-300_000), WindowStatus::Final, None),
        window(WINDOW, WindowStatus::Provisional, Some(&failing)),
        Change::Signal(signal),
        Change::Incident(first),
        Change::Incident(second),
        Change::Explanation(explanation),
        asset(ORDERS, AssetKind::Dataset, "orders:created", Some(1)),
        asset("dashboard:exec_orders", AssetKind::Dashboard, "Exec Orders Dashboard", Some(1)),
        asset("delta:orders_gold_daily", AssetKind::Table, "orders_gold_daily", Some(1)),
        flow(ORDERS, "job:airflow/orders_daily_agg", FlowKind::Feeds),
        flow("job:airflow/orders_daily_agg", "delta:orders_gold_daily", FlowKind::Writes),
        flow("delta:orders_gold_daily", "dashboard:exec_orders", FlowKind::ConsumedBy),
        flow("delta:orders_gold_daily", "job:airflow/finance", FlowKind::Feeds),
        hit("job:airflow/orders_daily_agg", Impact::Impacted, hit_at),
        hit("delta:orders_gold_daily", Impact::Impacted, hit_at),
        hit("dashboard:exec_orders", Impact::Impacted, hit_at),
        hit("job:airflow/finance", Impact::AtRisk, None),
        progress(4, OFFSET),
        progress(5, -1),
        Change::Watermark(WINDOW.plus(290_000)),
        Change::Breach(failing.clone()),
        Change::Breach(other),
    ];
    EpochChanges { epoch: EPOCH, changes: changes.into_iter().map(|change| (change, 1)).collect() }
}

pub fn view() -> View {
    let mut view = View::default();
    view.apply(&changes());
    view
}
