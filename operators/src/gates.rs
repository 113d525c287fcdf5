//! The four gates: what a record is, who made it, whether it keeps its schema, and whether it keeps its contract.
//!
//! ```text
//! topic ──G1──► dataset ──G2──► producer ──decode──► document ──G3 schema + G4 contract──► judgement
//! ```
//!
//! A record is read once, where it lies; a passing one whose topic and schema were seen before costs no allocation. G3 and
//! G4 are one walk over the parsed document by a compiled [`Validator`](faultline_contracts::validator::Validator): the
//! dataset's, or for a record that says by which schema it was written, one of that schema and the dataset's contract.
//! Records in Avro or Protobuf keep their schema when they can be read by it, and are JSON text to the contract.

mod schema;

use std::{borrow::Cow, sync::Arc};

use faultline_contracts::{
    catalog::{Catalog, DatasetEntry, GateState},
    document::{Limits, ParseError, Parser},
    evidence::{Confidence, Evidence, Gate, GateResult, GateSet, ProducerIdentity, SchemaDrift, UNKNOWN_PRODUCER},
    ids::EvidenceId,
    policy::Rollout,
    reason::ReasonCode,
    record::{RawRecord, RecordCoordinates},
    registry::{
        BodyReader, DecodeLimits, Encoding, SchemaId,
        wire::{self, Framed},
    },
    time::UnixMillis,
    trace::TraceId,
    validator::Findings,
};
use rustc_hash::FxHashMap;

pub use schema::Carried;
use schema::{Doubt, Plans, Reading, Told, undecided};

/// The longest producer id or DAG run id that is kept of a header, in bytes.
pub const HEADER_BYTES: usize = 256;
/// How many topics are remembered with what they resolve to; others are looked up each time.
const TOPICS_REMEMBERED: usize = 65_536;
/// The longest topic that is remembered, in bytes: Kafka's limit, which files of captured records need not keep.
const TOPIC_BYTES_REMEMBERED: usize = 249;
/// Most bytes of JSON text that an Avro or Protobuf record may become, unless told otherwise.
pub const DECODED_BYTES: usize = 16 << 20;

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
    /// The schema that judged it: the one that it carries, else the catalog's.
    pub schema: Option<&'a Arc<str>>,
    /// Whether that is another schema than the catalog names.
    pub schema_drifts: bool,
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
            schema: self.schema.map(|schema| &**schema),
            schema_drift: self.schema_drift(),
            contract: self.dataset.and_then(|dataset| dataset.contract.as_deref()),
            contract_version: self.dataset.and_then(|dataset| dataset.contract_version.as_deref()),
            details: self.details,
        }
    }

    /// The schema that it carries beside the one that the catalog names, where they differ.
    #[must_use]
    pub fn schema_drift(&self) -> Option<SchemaDrift<'a>> {
        let (record, catalog) = self.schema.zip(self.dataset?.schema.as_deref())?;
        self.schema_drifts.then_some(SchemaDrift { catalog, record })
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
    /// Of the texts that records in other formats become, which may be longer than the records.
    texts: Parser,
    bodies: BodyReader,
    plans: Plans,
    findings: Findings,
    codes: Codes,
    /// The id of a record's schema that has no other name.
    id: Arc<str>,
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
    /// The code of a payload that is no document; `None` where that is nothing against the record, because nobody knows
    /// its format.
    fn of(&self, error: &ParseError, format_known: bool) -> Option<&ReasonCode> {
        match error {
            ParseError::Unparseable { .. } => format_known.then_some(&self.unparseable),
            ParseError::TooLarge { .. } => Some(&self.too_large),
            ParseError::TooDeep { .. } => Some(&self.too_deep),
        }
    }
}

impl Gates {
    /// Gates under a catalog. `max_reasons` bounds the reasons of one judgement.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, limits: Limits, max_reasons: usize) -> Self {
        let parser = Parser::new(limits);
        let Limits { max_bytes, max_depth } = parser.limits();
        let decoding = DecodeLimits { max_text: DECODED_BYTES, max_depth };
        Self {
            catalog,
            topics: FxHashMap::default(),
            bench: Bench {
                parser,
                texts: Parser::new(Limits { max_bytes: DECODED_BYTES, max_depth }),
                bodies: BodyReader::new(max_bytes, decoding),
                plans: Plans::default(),
                findings: Findings::new(max_reasons),
                id: Arc::default(),
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

    /// The same gates, in which an Avro or Protobuf record may become at most so many bytes of JSON text.
    #[must_use]
    pub fn with_decoded_bytes(mut self, most: usize) -> Self {
        let most = most.min(Limits::MOST_BYTES);
        let max_depth = self.bench.texts.limits().max_depth;
        self.bench.texts = Parser::new(Limits { max_bytes: most, max_depth });
        self.bench.bodies.set_max_text(most);
        self
    }

    /// Goes on under another catalog. What was remembered of the old one is forgotten.
    pub fn set_catalog(&mut self, catalog: Arc<Catalog>) {
        self.catalog = catalog;
        self.topics.clear();
        self.bench.plans.clear();
    }

    /// The catalog in force.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The id of the schema that a record was written by, where that has a part in judging it: it has a value behind a
    /// wire header, in a topic that carries a dataset.
    pub fn schema_id(&mut self, record: &RawRecord<'_>) -> Option<SchemaId> {
        let id = wire::read(&record.headers, record.payload?).ok()??.id;
        resolve(&self.catalog, &mut self.topics, record.at.topic).map(|_| id)
    }

    /// Judges one record without a registry: where it says by which schema it was written, the catalog's stands in.
    pub fn judge<'a>(&'a mut self, record: &RawRecord<'a>) -> Judgement<'a> {
        self.judge_by(record, Carried::Unasked)
    }

    /// Judges one record. `carried` is what is known of the schema of [`Gates::schema_id`]; it has no part in judging
    /// records without one.
    pub fn judge_by<'a>(&'a mut self, record: &RawRecord<'a>, carried: Carried<'a>) -> Judgement<'a> {
        let Self { catalog, topics, bench } = self;
        let dataset = resolve(catalog, topics, record.at.topic);
        bench.judge(catalog, dataset, record, carried)
    }

    /// Judges one record as the dataset's, whatever its topic and the dataset's rollout.
    pub fn judge_as<'a>(&'a mut self, dataset: &'a Arc<DatasetEntry>, record: &RawRecord<'a>) -> Judgement<'a> {
        self.bench.judge(&self.catalog, Some(dataset), record, Carried::Unasked)
    }
}

impl Bench {
    fn judge<'a>(
        &'a mut self,
        catalog: &'a Catalog,
        dataset: Option<&'a Arc<DatasetEntry>>,
        record: &RawRecord<'a>,
        carried: Carried<'a>,
    ) -> Judgement<'a> {
        let Self { parser, texts, bodies, plans, findings, codes, id } = self;
        findings.clear();
        if dataset.is_none() {
            findings.add(Gate::Resolution, codes.unresolved_topic.clone());
        }

        let producer = identify(catalog, record.headers.producer_service, dataset);
        if producer.confidence == Confidence::None {
            findings.add(Gate::Identity, codes.unknown_producer.clone());
        }

        let mut told = Told::default();
        match (dataset, record.payload, record.has_key) {
            // A null value behind a key is a tombstone: the deletion of a key, which no contract is about.
            (None, ..) | (Some(_), None, true) => {}
            (Some(_), None, false) => {
                findings.add(Gate::Schema, codes.unparseable.clone());
                findings.add_detail("neither key nor value");
            }
            (Some(dataset), Some(payload), _) => match wire::read(&record.headers, payload) {
                Ok(None) => bare(dataset, payload, parser, findings, codes),
                Ok(Some(framed)) => {
                    let (reading, of_it) = schema::reading(plans, dataset, framed.id, carried, findings);
                    told = of_it;
                    if matches!(carried, Carried::Unknown | Carried::Unavailable) {
                        *id = framed.id.to_string().into();
                        told.reference = Some(id);
                    }
                    if let Some(reading) = reading {
                        let parser = if matches!(reading.encoding, Encoding::Json) { parser } else { texts };
                        behind_a_header(&framed, &reading, bodies, parser, findings, codes);
                    }
                }
                Err(error) => {
                    let error = ParseError::Unparseable { message: error.to_string() };
                    undecided(dataset).for_each(|code| findings.add_undecided(code));
                    refuse(&error, dataset.schema_state != GateState::Broken, findings, codes);
                }
            },
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
            schema: told.reference.or_else(|| dataset?.schema.as_ref()),
            schema_drifts: told.differs,
            trace_id: record.headers.traceparent.and_then(TraceId::from_traceparent),
            dag_run_id: record.headers.dag_run_id.and_then(header_text),
        }
    }
}

/// Gates 3 and 4 of a record without a wire header.
fn bare(dataset: &DatasetEntry, payload: &[u8], parser: &mut Parser, findings: &mut Findings, codes: &Codes) {
    undecided(dataset).for_each(|code| findings.add_undecided(code));
    if let Some(model) = &dataset.model {
        findings.add(Gate::Schema, codes.unparseable.clone());
        findings
            .add_detail(&format!("{} records have a Glue or Confluent wire header, and this has none", model.format()));
        return;
    }
    match parser.parse(payload) {
        Ok(document) => {
            if let Some(validator) = &dataset.validator {
                validator.check(&document, findings);
            }
        }
        // Without its schema nobody knows the format: it may be Avro or Protobuf, and sound.
        Err(error) => refuse(&error, dataset.schema_state != GateState::Broken, findings, codes),
    }
}

/// Gates 3 and 4 of a record behind a wire header.
fn behind_a_header<'a>(
    framed: &Framed<'a>,
    reading: &Reading<'_>,
    bodies: &'a mut BodyReader,
    parser: &'a mut Parser,
    findings: &mut Findings,
    codes: &Codes,
) {
    let document = bodies.json(framed, reading.encoding).and_then(|text| parser.parse(text));
    match document {
        Ok(document) => {
            if let Some(validator) = reading.validator {
                validator.check(&document, findings);
            }
        }
        Err(ParseError::Unparseable { .. }) if reading.doubt == Doubt::NoRegistry => {
            findings.add_undecided(ReasonCode::registry_unavailable());
            findings.add_detail("no registry is configured that would know the format of the record");
        }
        Err(error) => refuse(&error, reading.doubt == Doubt::None, findings, codes),
    }
}

/// Notes that bytes are no document.
fn refuse(error: &ParseError, format_known: bool, findings: &mut Findings, codes: &Codes) {
    if let Some(code) = codes.of(error, format_known) {
        findings.add(Gate::Schema, code.clone());
    }
    findings.add_detail(&error.to_string());
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
