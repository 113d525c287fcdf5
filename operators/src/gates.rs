//! The four gates: what a record is, who made it, whether it keeps its schema, and whether it keeps its contract.
//!
//! ```text
//! topic ──G1──► dataset ──G2──► producer ──parse──► document ──G3 schema + G4 contract──► judgement
//! ```
//!
//! A record is read once, where it lies; a passing one costs no allocation. G3 and G4 are one walk over the parsed
//! document by the dataset's compiled [`Validator`](faultline_contracts::validator::Validator).

use std::{borrow::Cow, sync::Arc};

use faultline_contracts::{
    catalog::{Catalog, DatasetEntry, GateState},
    document::{Limits, ParseError, Parser},
    evidence::{Confidence, Gate, GateResult, GateSet, ProducerIdentity},
    policy::Rollout,
    reason::ReasonCode,
    record::RawRecord,
    trace::TraceId,
    validator::Findings,
};
use rustc_hash::FxHashMap;

/// The longest producer id or DAG run id that is kept of a header, in bytes.
pub const HEADER_BYTES: usize = 256;
/// How many topics are remembered with what they resolve to; others are looked up each time.
const TOPICS_REMEMBERED: usize = 65_536;

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

/// The gates of one worker under one catalog, with the buffers that they reuse from record to record.
#[derive(Debug)]
pub struct Gates {
    catalog: Arc<Catalog>,
    topics: FxHashMap<Box<str>, Option<Arc<DatasetEntry>>>,
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

impl Gates {
    /// Gates under a catalog. `max_reasons` bounds the reasons of one judgement.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, limits: Limits, max_reasons: usize) -> Self {
        Self {
            catalog,
            topics: FxHashMap::default(),
            parser: Parser::new(limits),
            findings: Findings::new(max_reasons),
            codes: Codes {
                unresolved_topic: ReasonCode::unresolved_topic(),
                unknown_producer: ReasonCode::unknown_producer(),
                unparseable: ReasonCode::unparseable(),
                too_large: ReasonCode::too_large(),
                too_deep: ReasonCode::too_deep(),
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
        let Self { catalog, topics, parser, findings, codes } = self;
        let catalog: &'a Catalog = catalog;
        let mut undecided = false;
        findings.clear();

        let dataset = resolve(catalog, topics, record.at.topic);
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
            (Some(_), None, false) => findings.add(Gate::Schema, codes.unparseable.clone()),
            (Some(dataset), Some(payload), _) => match parser.parse(payload) {
                Ok(document) => {
                    if let Some(validator) = &dataset.validator {
                        validator.check(&document, findings);
                    }
                    if dataset.schema_state == GateState::Broken {
                        undecided = true;
                        findings
                            .add_undecided(ReasonCode::unknown_schema(dataset.schema.as_deref().unwrap_or_default()));
                    }
                    if dataset.contract_state == GateState::Broken {
                        undecided = true;
                        findings.add_undecided(ReasonCode::unknown_contract(
                            dataset.contract.as_deref().unwrap_or_default(),
                        ));
                    }
                }
                Err(error) => {
                    let code = match &error {
                        ParseError::Unparseable { .. } => &codes.unparseable,
                        ParseError::TooLarge { .. } => &codes.too_large,
                        ParseError::TooDeep { .. } => &codes.too_deep,
                    };
                    findings.add(Gate::Schema, code.clone());
                    findings.add_detail(&error.to_string());
                }
            },
        }

        Judgement {
            dataset,
            producer,
            result: match (findings.is_empty(), undecided) {
                (false, _) => GateResult::Fail,
                (true, true) => GateResult::Warn,
                (true, false) => GateResult::Pass,
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
        if topics.len() >= TOPICS_REMEMBERED {
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
    let (id, confidence): (Cow<'a, str>, _) = match header.filter(|name| !name.is_empty()) {
        Some(name) => {
            let name = String::from_utf8_lossy(&name[..name.len().min(HEADER_BYTES)]);
            match catalog.producer(&name) {
                Some(producer) if owners.contains(&producer.id) => (Cow::Borrowed(&*producer.id), Confidence::High),
                Some(producer) => (Cow::Borrowed(&*producer.id), Confidence::Medium),
                None => (name, Confidence::Low),
            }
        }
        None => match owners {
            [only] => (Cow::Borrowed(&**only), Confidence::High),
            _ => (Cow::Borrowed("unknown"), Confidence::None),
        },
    };
    ProducerIdentity { id, confidence }
}

/// A header's text, cut at a character's border; `None` where it is empty or not UTF-8.
fn header_text(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let end = (0..=text.len().min(HEADER_BYTES)).rev().find(|&end| text.is_char_boundary(end))?;
    Some(&text[..end]).filter(|text| !text.is_empty())
}
