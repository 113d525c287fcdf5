//! Catalogs, records, and what the gates make of them.

use std::{path::Path, sync::Arc};

use faultline_contracts::{
    catalog::{Catalog, CatalogFiles},
    document::Limits,
    evidence::{Confidence, Gate, GateResult},
    ids::EvidenceId,
    record::{GateHeaders, RawRecord, RecordCoordinates},
    time::UnixMillis,
    validator::Findings,
};
use faultline_operators::gates::{Carried, Gates, Judgement};
use serde_json::{Value, json};

/// Of every record here.
pub const EVENT_TIME: UnixMillis = UnixMillis(1_698_400_681_950);

/// A catalog of `contracts/examples`.
pub fn example(name: &str) -> Arc<Catalog> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/examples").join(name);
    let loaded = Catalog::load(&dir);
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    Arc::new(loaded.catalog)
}

/// A catalog in memory, whatever is wrong with it.
pub fn catalog(files: &[(&str, &str)]) -> Arc<Catalog> {
    Arc::new(Catalog::from_files(&CatalogFiles::of("memory", files.iter().copied())).catalog)
}

/// Gates with the limits that hold unless told otherwise.
pub fn gates(catalog: &Arc<Catalog>) -> Gates {
    Gates::new(catalog.clone(), Limits::default(), Findings::MAX_REASONS)
}

/// A record with a key and without headers.
pub fn record<'a>(topic: &'a str, payload: &'a (impl AsRef<[u8]> + ?Sized)) -> RawRecord<'a> {
    RawRecord {
        at: RecordCoordinates { topic, partition: 4, offset: 9_918_273 },
        timestamp: Some(EVENT_TIME),
        headers: GateHeaders::default(),
        has_key: true,
        payload: Some(payload.as_ref()),
    }
}

/// The same record, said to be by this producer.
pub fn sent_by<'a>(record: RawRecord<'a>, producer: &'a (impl AsRef<[u8]> + ?Sized)) -> RawRecord<'a> {
    let headers = GateHeaders { producer_service: Some(producer.as_ref()), ..record.headers };
    RawRecord { headers, ..record }
}

/// A judgement that borrows nothing, and its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub dataset: Option<String>,
    pub producer: (String, Confidence),
    pub result: GateResult,
    pub failed_gates: Vec<Gate>,
    pub codes: Vec<String>,
    pub details: Vec<String>,
    pub trace_id: Option<String>,
    pub dag_run_id: Option<String>,
    pub json: Vec<u8>,
}

impl Verdict {
    /// Result, gates and codes, which most tests are about.
    pub fn told(&self) -> (GateResult, &[Gate], Vec<&str>) {
        (self.result, &self.failed_gates, self.codes.iter().map(String::as_str).collect())
    }

    pub fn evidence(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap()
    }
}

/// Judges a record, and holds the judgement and its evidence to what is promised of all of them.
pub fn judge(gates: &mut Gates, record: &RawRecord<'_>) -> Verdict {
    judge_by(gates, record, Carried::Unasked)
}

/// Judges a record of whose schema this is known.
pub fn judge_by(gates: &mut Gates, record: &RawRecord<'_>, carried: Carried<'_>) -> Verdict {
    let judgement = gates.judge_by(record, carried);
    let mut json = Vec::new();
    let id = EvidenceId::of(record.at, EVENT_TIME);
    judgement.evidence(id, record.at, EVENT_TIME, EVENT_TIME.plus(163)).write_json(&mut json);
    let verdict = owned(&judgement, json);
    holds_together(&judgement, &verdict);
    says_the_same(&verdict, record, id);
    verdict
}

fn owned(judgement: &Judgement<'_>, json: Vec<u8>) -> Verdict {
    Verdict {
        dataset: judgement.dataset.map(|dataset| dataset.urn.to_string()),
        producer: (judgement.producer.id.to_string(), judgement.producer.confidence),
        result: judgement.result,
        failed_gates: judgement.failed_gates.iter().collect(),
        codes: judgement.reason_codes.iter().map(ToString::to_string).collect(),
        details: judgement.details.to_vec(),
        trace_id: judgement.trace_id.map(|id| id.to_string()),
        dag_run_id: judgement.dag_run_id.map(ToOwned::to_owned),
        json,
    }
}

fn holds_together(judgement: &Judgement<'_>, verdict: &Verdict) {
    let Verdict { dataset, producer, result, failed_gates, codes, details, .. } = verdict;
    assert!(codes.is_sorted_by(|a, b| a < b), "sorted, without duplicates: {codes:?}");
    assert!(failed_gates.is_sorted_by(|a, b| a < b), "in gate order: {failed_gates:?}");
    assert_eq!(*result == GateResult::Fail, !failed_gates.is_empty(), "{verdict:?}");
    assert_eq!(*result == GateResult::Pass, codes.is_empty(), "{verdict:?}");
    assert_eq!(dataset.is_none(), judgement.failed_gates.contains(Gate::Resolution), "{verdict:?}");
    assert_eq!(producer.1 == Confidence::None, judgement.failed_gates.contains(Gate::Identity), "{verdict:?}");
    assert!(details.len() <= Findings::MAX_DETAILS + 1, "{details:?}");
    assert!(details.iter().all(|detail| detail.len() <= Findings::MAX_DETAIL_BYTES), "{details:?}");
    assert!(producer.0.len() <= 256 || producer.1 != Confidence::Low, "{producer:?}");
}

/// Evidence is JSON, and says what the judgement does, field by field and no others.
fn says_the_same(verdict: &Verdict, record: &RawRecord<'_>, id: EvidenceId) {
    let Verdict { dataset, producer, result, failed_gates, codes, details, trace_id, dag_run_id, .. } = verdict;
    let mut validation = json!({"result": result, "failed_gates": failed_gates, "reason_codes": codes});
    if !details.is_empty() {
        validation["details"] = json!(details);
    }
    let mut expected = json!({
        "evidence_id": id.to_string(),
        "timestamp": EVENT_TIME.plus(163),
        "dataset_urn": dataset,
        "producer": {"id": producer.0, "confidence": producer.1},
        "validation": validation,
        "source": {"topic": record.at.topic, "partition": record.at.partition, "offset": record.at.offset},
        "event_time": EVENT_TIME,
    });
    if let Some(trace_id) = trace_id {
        expected["otel"] = json!({"trace_id": trace_id});
    }
    if let Some(dag_run_id) = dag_run_id {
        expected["dag_run_id"] = json!(dag_run_id);
    }
    let mut found = verdict.evidence();
    // Which schema and contract judged is for the catalog or the record to say: `evidence.rs` and `registered.rs` look at
    // them.
    for optional in ["schema", "schema_drift", "contract", "contract_version"] {
        found.as_object_mut().unwrap().remove(optional);
    }
    assert_eq!(found, expected);
}
