//! The four gates: what a record is, who made it, whether it keeps its schema, and whether it keeps its contract.
//!
//! ```text
//! topic ──G1──► dataset ──G2──► producer ──parse──► document ──G3 schema + G4 contract──► judgement
//! ```
//!
//! A record is read once, where it lies; a passing one whose topic was seen before costs no allocation. G3 and G4 are one walk over the parsed
//! document by the dataset's compiled [`Validator`](faultline_contracts::validator::Validator).

use std::{borrow::Cow, sync::Arc};

use faultline_contracts::{
    catalog::{Catalog, DatasetEntry, GateState},
    document::{Limits, ParseError, Parser},
    evidence::{Confidence, Evidence, Gate, GateResult, GateSet, ProducerIdentity, UNKNOWN_PRODUCER},
    ids::EvidenceId,
    policy::Rollout,
    reason::ReasonCode,
    record::{RawRecord, RecordCoordinates},
    time::UnixMillis,
    trace::TraceId,
    validator::Findings,
};
use rustc_hash::FxHashMap;

/// The longest producer id or DAG run id that is kept of a header, in bytes.
pub const HEADER_BYTES: usize = 256;
/// How many topics are remembered with what they resolve to; others are looked up each time.
const TOPICS_REMEMBERED: usize = 65_536;
/// The longest topic that is remembered, in bytes: Kafka's limit, which files of captured records need not keep.
const TOPIC_BYTES_REMEMBERED: usize = 249;

/// What the gates made of one record. Borrows from the record and from the gates.
#[derive(Debug)]
pub struct Judgement<'a> {
    /// The dataset; `None` when gate 1 failed.
    pub dataset: Option<&'a Arc<DatasetEntry>>,
    /// The producer.
    pub producer: ProducerIdentity<'a>,
    /// The verdict.
    pub result: GateResult,
    /// The gates that failed.
    pub failed_gates: GateSet,
    /// Why: sorted, without duplicates.
    pub reason_codes: &'a [ReasonCode],
    /// What reason codes do not carry. Bounded.
    pub details: &'a [String],
    /// From `traceparent`.
    pub trace_id: Option<TraceId>,
    /// From `x-obs-dag-run-id`, at most [`HEADER_BYTES`] of it.
    pub dag_run_id: Option<&'a str>,
}

impl<'a> Judgement<'a> {
    /// The evidence of this judgement: about the record at `source`, made at `timestamp`.
    #[must_use]
    pub fn evidence(
        &'a self,
        id: EvidenceId,
        source: RecordCoordinates<'a>,
        event_time: UnixMillis,
        timestamp: UnixMillis,
    ) -> Evidence<'a> {
        Evidence {
            id,
            timestamp,
            dataset: self.dataset.map(|dataset| &dataset.urn),
            producer: &self.producer,
            result: self.result,
            failed_gates: self.failed_gates,
            reason_codes: self.reason_codes,
            source,
            trace_id: self.trace_id,
            dag_run_id: self.dag_run_id,
            event_time,
            schema: self.dataset.and_then(|dataset| dataset.schema.as_deref()),
            contract: self.dataset.and_then(|dataset| dataset.contract.as_deref()),
            details: self.details,
        }
    }
}

/// The gates of one worker under one catalog, with the buffers that they reuse from record to record.
#[derive(Debug)]
pub struct Gates {
    catalog: Arc<Catalog>,
    topics: FxHashMap<Box<str>, Option<Arc<DatasetEntry>>>,
    bench: Bench,
}

/// What records are judged with, used again for each.
#[derive(Debug)]
struct Bench {
    parser: Parser,
    findings: Findings,
    codes: Codes,
}

/// The codes that are not a validator's.
#[derive(Debug)]
struct Codes {
    unresolved_topic: ReasonCode,
    unknown_producer: ReasonCode,
    unparseable: ReasonCode,
    too_large: ReasonCode,
    too_deep: ReasonCode,
}

impl Codes {
    /// The code of a payload that is no document; `None` where that is nothing against the record.
    fn of(&self, error: &ParseError, dataset: &DatasetEntry) -> Option<&ReasonCode> {
        match error {
            // Without its schema nobody knows the format: it may be Avro or Protobuf, and sound.
            ParseError::Unparseable { .. } if dataset.schema_state == GateState::Broken => None,
            ParseError::Unparseable { .. } => Some(&self.unparseable),
            ParseError::TooLarge { .. } => Some(&self.too_large),
            ParseError::TooDeep { .. } => Some(&self.too_deep),
        }
    }
}

impl Gates {
    /// Gates under a catalog. `max_reasons` bounds the reasons of one judgement.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, limits: Limits, max_reasons: usize) -> Self {
        Self {
            catalog,
            topics: FxHashMap::default(),
            bench: Bench {
                parser: Parser::new(limits),
                findings: Findings::new(max_reasons),
                codes: Codes {
                    unresolved_topic: ReasonCode::unresolved_topic(),
                    unknown_producer: ReasonCode::unknown_producer(),
                    unparseable: ReasonCode::unparseable(),
                    too_large: ReasonCode::too_large(),
                    too_deep: ReasonCode::too_deep(),
                },
            },
        }
    }

    /// The catalog in force.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Judges one record.
    pub fn judge<'a>(&'a mut self, record: &RawRecord<'a>) -> Judgement<'a> {
        let Self { catalog, topics, bench } = self;
        let dataset = resolve(catalog, topics, record.at.topic);
        bench.judge(catalog, dataset, record)
    }

    /// Judges one record as the dataset's, whatever its topic and the dataset's rollout.
    pub fn judge_as<'a>(&'a mut self, dataset: &'a Arc<DatasetEntry>, record: &RawRecord<'a>) -> Judgement<'a> {
        self.bench.judge(&self.catalog, Some(dataset), record)
    }
}

impl Bench {
    fn judge<'a>(
        &'a mut self,
        catalog: &'a Catalog,
        dataset: Option<&'a Arc<DatasetEntry>>,
        record: &RawRecord<'a>,
    ) -> Judgement<'a> {
        let Self { parser, findings, codes } = self;
        findings.clear();
        if dataset.is_none() {
            findings.add(Gate::Resolution, codes.unresolved_topic.clone());
        }

        let producer = identify(catalog, record.headers.producer_service, dataset);
        if producer.confidence == Confidence::None {
            findings.add(Gate::Identity, codes.unknown_producer.clone());
        }

        match (dataset, record.payload, record.has_key) {
            // A null value behind a key is a tombstone: the deletion of a key, which no contract is about.
            (None, ..) | (Some(_), None, true) => {}
            (Some(_), None, false) => {
                findings.add(Gate::Schema, codes.unparseable.clone());
                findings.add_detail("neither key nor value");
            }
            (Some(dataset), Some(payload), _) => {
                undecided(dataset).for_each(|code| findings.add_undecided(code));
                match parser.parse(payload) {
                    Ok(document) => {
                        if let Some(validator) = &dataset.validator {
                            validator.check(&document, findings);
                        }
                    }
                    Err(error) => {
                        if let Some(code) = codes.of(&error, dataset) {
                            findings.add(Gate::Schema, code.clone());
                        }
                        findings.add_detail(&error.to_string());
                    }
                }
            }
        }

        Judgement {
            dataset,
            producer,
            result: if !findings.is_empty() {
                GateResult::Fail
            } else if !findings.reason_codes().is_empty() {
                // Reasons, and no gate that failed by them.
                GateResult::Warn
            } else {
                GateResult::Pass
            },
            failed_gates: findings.failed_gates(),
            reason_codes: findings.reason_codes(),
            details: findings.details(),
            trace_id: record.headers.traceparent.and_then(TraceId::from_traceparent),
            dag_run_id: record.headers.dag_run_id.and_then(header_text),
        }
    }
}

/// Gate 1: the dataset of a topic whose rollout is not off.
fn resolve<'a>(
    catalog: &'a Catalog,
    topics: &'a mut FxHashMap<Box<str>, Option<Arc<DatasetEntry>>>,
    topic: &str,
) -> Option<&'a Arc<DatasetEntry>> {
    if !topics.contains_key(topic) {
        let found = catalog.dataset_of_topic(topic).filter(|dataset| dataset.rollout != Rollout::Off);
        if topics.len() >= TOPICS_REMEMBERED || topic.len() > TOPIC_BYTES_REMEMBERED {
            return found;
        }
        topics.insert(topic.into(), found.cloned());
    }
    topics.get(topic)?.as_ref()
}

/// Gate 2: who produced a record, by its header, else by the catalog.
fn identify<'a>(
    catalog: &'a Catalog,
    header: Option<&'a [u8]>,
    dataset: Option<&'a Arc<DatasetEntry>>,
) -> ProducerIdentity<'a> {
    let owners = dataset.map_or(&[][..], |dataset| &dataset.producers[..]);
    let Some(name) = header.filter(|name| !name.is_empty()) else {
        return match owners {
            [only] => ProducerIdentity { id: Cow::Borrowed(only), confidence: Confidence::High },
            _ => ProducerIdentity { id: Cow::Borrowed(UNKNOWN_PRODUCER), confidence: Confidence::None },
        };
    };
    match std::str::from_utf8(name).ok().and_then(|name| catalog.producer(name)) {
        Some(producer) => {
            let owns = owners.contains(&producer.id);
            let confidence = if owns { Confidence::High } else { Confidence::Medium };
            ProducerIdentity { id: Cow::Borrowed(&producer.id), confidence }
        }
        None => ProducerIdentity { id: name_as_sent(name), confidence: Confidence::Low },
    }
}

/// Why gates 3 and 4 cannot decide about a dataset's records, where they cannot.
fn undecided(dataset: &DatasetEntry) -> impl Iterator<Item = ReasonCode> {
    let schema = (dataset.schema_state == GateState::Broken)
        .then(|| ReasonCode::unknown_schema(dataset.schema.as_deref().unwrap_or_default()));
    let contract = (dataset.contract_state == GateState::Broken)
        .then(|| ReasonCode::unknown_contract(dataset.contract.as_deref().unwrap_or_default()));
    schema.into_iter().chain(contract)
}

/// What is kept of a name that is nobody's: at most [`HEADER_BYTES`], with U+FFFD for what is not UTF-8.
fn name_as_sent(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(name) => Cow::Borrowed(cut(name)),
        Err(_) => {
            let start = &name[..name.len().min(HEADER_BYTES)];
            Cow::Owned(cut(&String::from_utf8_lossy(start)).to_owned())
        }
    }
}

/// A header's text; `None` where it is empty or not UTF-8.
fn header_text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(cut).filter(|text| !text.is_empty())
}

/// At most [`HEADER_BYTES`] of a text, up to a character's end.
fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(HEADER_BYTES)).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}
