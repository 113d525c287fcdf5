//! Evidence: what the gates found out about one record, or about a range of passing ones.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{EntityId, EvidenceId},
    reason::ReasonCode,
    record::RecordCoordinates,
    time::UnixMillis,
    trace::TraceId,
};

/// What the gates made of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum GateResult {
    /// Every gate passed.
    Pass,
    /// At least one gate failed.
    Fail,
    /// None failed, and at least one could not decide.
    Warn,
}

impl GateResult {
    /// The name in evidence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Warn => "WARN",
        }
    }
}

/// The four gates, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Gate {
    /// G1: topic → dataset.
    Resolution,
    /// G2: who produced it.
    Identity,
    /// G3: does it keep the schema.
    Schema,
    /// G4: does it keep the contract.
    Contract,
}

impl Gate {
    /// All gates, in their order.
    pub const ALL: [Self; 4] = [Self::Resolution, Self::Identity, Self::Schema, Self::Contract];

    /// The name in evidence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolution => "RESOLUTION",
            Self::Identity => "IDENTITY",
            Self::Schema => "SCHEMA",
            Self::Contract => "CONTRACT",
        }
    }
}

/// A set of gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Gate>", into = "Vec<Gate>")]
pub struct GateSet(u8);

impl GateSet {
    /// Adds a gate.
    pub fn insert(&mut self, gate: Gate) {
        self.0 |= 1 << gate as u8;
    }

    /// Whether the gate is in the set.
    #[must_use]
    pub fn contains(self, gate: Gate) -> bool {
        self.0 >> gate as u8 & 1 == 1
    }

    /// Whether no gate is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its gates, in gate order.
    pub fn iter(self) -> impl Iterator<Item = Gate> {
        Gate::ALL.into_iter().filter(move |&gate| self.contains(gate))
    }
}

impl From<Vec<Gate>> for GateSet {
    fn from(gates: Vec<Gate>) -> Self {
        gates.into_iter().fold(Self::default(), |mut set, gate| {
            set.insert(gate);
            set
        })
    }
}

impl From<GateSet> for Vec<Gate> {
    fn from(set: GateSet) -> Self {
        set.iter().collect()
    }
}

/// How sure gate 2 is of the producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Confidence {
    /// The header names an owner of the dataset, or there is no header and the catalog names one producer.
    High,
    /// The header names a registered producer that does not own the dataset.
    Medium,
    /// The header names nobody registered.
    Low,
    /// Nobody is named.
    None,
}

impl Confidence {
    /// The name in evidence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
            Self::None => "NONE",
        }
    }
}

/// The id of a producer that nothing names.
pub const UNKNOWN_PRODUCER: &str = "unknown";

/// Who produced a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProducerIdentity<'a> {
    /// The registered id, the header as sent where it is nobody's, or [`UNKNOWN_PRODUCER`].
    pub id: Cow<'a, str>,
    /// How sure that is.
    pub confidence: Confidence,
}

/// A record's schema that is not the catalog's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaDrift<'a> {
    /// The schema that the catalog names.
    pub catalog: &'a str,
    /// The schema that the record carries.
    pub record: &'a str,
}

/// The evidence about one record. Borrows from the record and the catalog, so that writing it copies nothing twice.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Its id.
    pub id: EvidenceId,
    /// When it was made; in a replay, the record's time.
    pub timestamp: UnixMillis,
    /// The dataset; `None` when gate 1 failed.
    pub dataset: Option<&'a EntityId>,
    /// The producer.
    pub producer: &'a ProducerIdentity<'a>,
    /// The verdict.
    pub result: GateResult,
    /// The gates that failed.
    pub failed_gates: GateSet,
    /// Why: sorted, without duplicates.
    pub reason_codes: &'a [ReasonCode],
    /// The record's place.
    pub source: RecordCoordinates<'a>,
    /// From `traceparent`.
    pub trace_id: Option<TraceId>,
    /// From `x-obs-dag-run-id`.
    pub dag_run_id: Option<&'a str>,
    /// The record's own time.
    pub event_time: UnixMillis,
    /// The schema that judged it: the one that it carries, else the catalog's.
    pub schema: Option<&'a str>,
    /// Where it carries another schema than the catalog names.
    pub schema_drift: Option<SchemaDrift<'a>>,
    /// The contract that judged it, as the catalog refers to it.
    pub contract: Option<&'a str>,
    /// The whole version of that contract, where the reference may name its major alone.
    pub contract_version: Option<&'a str>,
    /// What reason codes do not carry: names of undeclared fields, parser messages. Bounded.
    pub details: &'a [String],
}

/// Evidence that a run of passing records of one partition, dataset and contract passed (`evidence.pass: ranges`).
#[derive(Debug, Clone, Copy)]
pub struct RangeEvidence<'a> {
    /// The id of its first record.
    pub id: EvidenceId,
    /// When it was made; in a replay, the last record's time.
    pub timestamp: UnixMillis,
    /// The dataset.
    pub dataset: &'a EntityId,
    /// Topic, partition and first offset.
    pub from: RecordCoordinates<'a>,
    /// Last offset.
    pub offset_to: i64,
    /// How many records: fewer than the offsets between where others failed or are gone from the log.
    pub count: u64,
    /// The schema that judged them: the one that they carry, else the catalog's.
    pub schema: Option<&'a str>,
    /// Where they carry another schema than the catalog names.
    pub schema_drift: Option<SchemaDrift<'a>>,
    /// The contract that judged them, as the catalog refers to it.
    pub contract: Option<&'a str>,
    /// The whole version of that contract.
    pub contract_version: Option<&'a str>,
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut clean = 0;
    // Most of what is written are names, of which nothing has to be escaped.
    let escaped = if all_plain(bytes) { &[] } else { bytes };
    for (place, &byte) in escaped.iter().enumerate() {
        if is_plain(byte) {
            continue;
        }
        out.extend_from_slice(&bytes[clean..place]);
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(b'0' + (byte >> 4));
                out.push(b"0123456789abcdef"[(byte & 15) as usize]);
            }
        }
        clean = place + 1;
    }
    out.extend_from_slice(&bytes[clean..]);
    out.push(b'"');
}

/// Whether a byte stands for itself in a JSON string.
fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// Whether all of a text does.
fn all_plain(text: &[u8]) -> bool {
    // Without a way out of the loop it becomes a few vector instructions.
    let plain = |bytes: &[u8]| bytes.iter().fold(true, |plain, &byte| plain & is_plain(byte));
    let (chunks, rest) = text.as_chunks::<16>();
    chunks.iter().all(|chunk| plain(chunk)) && plain(rest)
}

fn write_time(label: &str, time: UnixMillis, out: &mut Vec<u8>) {
    out.extend_from_slice(label.as_bytes());
    time.write_to(out);
    out.push(b'"');
}

fn write_optional(label: &str, text: Option<&str>, out: &mut Vec<u8>) {
    if let Some(text) = text {
        out.extend_from_slice(label.as_bytes());
        write_json_string(text, out);
    }
}

fn write_drift(drift: Option<SchemaDrift<'_>>, out: &mut Vec<u8>) {
    if let Some(SchemaDrift { catalog, record }) = drift {
        out.extend_from_slice(b",\"schema_drift\":{\"catalog\":");
        write_json_string(catalog, out);
        out.extend_from_slice(b",\"record\":");
        write_json_string(record, out);
        out.push(b'}');
    }
}

fn write_integer(integer: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
}

impl Evidence<'_> {
    /// Appends the evidence as one JSON object without a line end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"evidence_id\":\"");
        self.id.write_to(out);
        write_time("\",\"timestamp\":\"", self.timestamp, out);
        out.extend_from_slice(b",\"dataset_urn\":");
        match self.dataset {
            Some(urn) => write_json_string(urn.as_str(), out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"producer\":{\"id\":");
        write_json_string(&self.producer.id, out);
        out.extend_from_slice(b",\"confidence\":\"");
        out.extend_from_slice(self.producer.confidence.as_str().as_bytes());
        out.extend_from_slice(b"\"},\"validation\":{\"result\":\"");
        out.extend_from_slice(self.result.as_str().as_bytes());
        out.extend_from_slice(b"\",\"failed_gates\":[");
        for (place, gate) in self.failed_gates.iter().enumerate() {
            out.extend_from_slice(if place == 0 { b"\"" } else { b",\"" });
            out.extend_from_slice(gate.as_str().as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b"],\"reason_codes\":[");
        for (place, code) in self.reason_codes.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write_json_string(code.as_str(), out);
        }
        out.extend_from_slice(b"]");
        if !self.details.is_empty() {
            out.extend_from_slice(b",\"details\":[");
            for (place, detail) in self.details.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_json_string(detail, out);
            }
            out.push(b']');
        }
        out.extend_from_slice(b"},\"source\":{\"topic\":");
        write_json_string(self.source.topic, out);
        out.extend_from_slice(b",\"partition\":");
        write_integer(self.source.partition, out);
        out.extend_from_slice(b",\"offset\":");
        write_integer(self.source.offset, out);
        out.push(b'}');
        if let Some(trace_id) = self.trace_id {
            out.extend_from_slice(b",\"otel\":{\"trace_id\":\"");
            trace_id.write_to(out);
            out.extend_from_slice(b"\"}");
        }
        write_optional(",\"dag_run_id\":", self.dag_run_id, out);
        write_time(",\"event_time\":\"", self.event_time, out);
        write_optional(",\"schema\":", self.schema, out);
        write_drift(self.schema_drift, out);
        write_optional(",\"contract\":", self.contract, out);
        write_optional(",\"contract_version\":", self.contract_version, out);
        out.push(b'}');
    }
}

impl RangeEvidence<'_> {
    /// Appends the evidence as one JSON object without a line end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"evidence_id\":\"");
        self.id.write_to(out);
        write_time("\",\"kind\":\"range\",\"timestamp\":\"", self.timestamp, out);
        out.extend_from_slice(b",\"dataset_urn\":");
        write_json_string(self.dataset.as_str(), out);
        out.extend_from_slice(
            b",\"validation\":{\"result\":\"PASS\",\"failed_gates\":[],\"reason_codes\":[]},\"source\":{\"topic\":",
        );
        write_json_string(self.from.topic, out);
        out.extend_from_slice(b",\"partition\":");
        write_integer(self.from.partition, out);
        out.extend_from_slice(b",\"offset_from\":");
        write_integer(self.from.offset, out);
        out.extend_from_slice(b",\"offset_to\":");
        write_integer(self.offset_to, out);
        out.extend_from_slice(b"},\"count\":");
        write_integer(self.count, out);
        write_optional(",\"schema\":", self.schema, out);
        write_drift(self.schema_drift, out);
        write_optional(",\"contract\":", self.contract, out);
        write_optional(",\"contract_version\":", self.contract_version, out);
        out.push(b'}');
    }
}

/// What is kept of a failing record in memory, for `ListEvidence` and for the first pages of an incident.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FailureSample {
    /// The evidence.
    pub id: EvidenceId,
    /// The topic, whose hash alone is in the id.
    pub topic: Arc<str>,
    /// The producer's id.
    pub producer: Arc<str>,
    /// From `traceparent`.
    pub trace_id: Option<TraceId>,
    /// From `x-obs-dag-run-id`, cut to 256 bytes.
    pub dag_run_id: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_evidence_event() {
        let source = RecordCoordinates { topic: "raw.orders.events", partition: 4, offset: 9_918_273 };
        let event_time: UnixMillis = "2023-10-27T09:58:01.950Z".parse().unwrap();
        let mut failed_gates = GateSet::default();
        failed_gates.insert(Gate::Contract);
        let mut out = Vec::new();
        Evidence {
            id: EvidenceId::of(source, event_time),
            timestamp: "2023-10-27T09:58:02.113Z".parse().unwrap(),
            dataset: Some(&"urn:dp:orders:created".into()),
            producer: &ProducerIdentity { id: "orders-svc".into(), confidence: Confidence::High },
            result: GateResult::Fail,
            failed_gates,
            reason_codes: &[ReasonCode::missing_field("customer_id")],
            source,
            trace_id: TraceId::from_bytes([0xab; 16]),
            dag_run_id: None,
            event_time,
            schema: Some("glue:orders.created:17"),
            schema_drift: Some(SchemaDrift { catalog: "glue:orders.created:16", record: "glue:orders.created:17" }),
            contract: Some("dc:orders.created:3"),
            contract_version: Some("3.2.0"),
            details: &["a \"quoted\"\n\u{1}name".to_owned()],
        }
        .write_json(&mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["validation"]["failed_gates"], serde_json::json!(["CONTRACT"]));
        assert_eq!(json["validation"]["reason_codes"], serde_json::json!(["MISSING_FIELD:customer_id"]));
        assert_eq!(json["validation"]["details"], serde_json::json!(["a \"quoted\"\n\u{1}name"]));
        assert_eq!(
            json["source"],
            serde_json::json!({"topic": "raw.orders.events", "partition": 4, "offset": 9_918_273})
        );
        assert_eq!(json["producer"], serde_json::json!({"id": "orders-svc", "confidence": "HIGH"}));
        assert_eq!(json["otel"]["trace_id"], "ab".repeat(16));
        assert_eq!(
            json["schema_drift"],
            serde_json::json!({"catalog": "glue:orders.created:16", "record": "glue:orders.created:17"})
        );
        assert_eq!(json["event_time"], "2023-10-27T09:58:01.950Z");
        assert_eq!((&json["contract"], &json["contract_version"]), (&"dc:orders.created:3".into(), &"3.2.0".into()));
    }
}
