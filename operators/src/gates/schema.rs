//! Gates 3 and 4 of a record that says by which schema it was written.

use std::sync::Arc;

use faultline_contracts::{
    catalog::{DatasetEntry, GateState},
    evidence::Gate,
    reason::ReasonCode,
    registry::{AvroSchema, Encoding, RegisteredSchema, RegisteredSchemaError, SchemaFormat, SchemaId, SchemaModel},
    validator::{Findings, Validator},
};
use rustc_hash::FxHashMap;

/// How many pairs of dataset and schema are remembered with what judges them.
const PLANS_REMEMBERED: usize = 4_096;

/// What is known of the schema that a record says it was written by.
#[derive(Debug, Clone, Copy)]
pub enum Carried<'a> {
    /// Nobody was asked, because no registry is configured: the catalog's schema stands in for it.
    Unasked,
    /// It.
    Known(&'a Arc<RegisteredSchema>),
    /// It is there, and no record can be judged by it.
    Broken(&'a Arc<RegisteredSchemaError>),
    /// The registry has no schema of this id.
    Unknown,
    /// The registry did not answer.
    Unavailable,
}

/// What judges the records of one dataset that were written by one schema.
#[derive(Debug)]
pub(super) struct Plan {
    /// Keeps the address that the plan is found by its own.
    dataset: Arc<DatasetEntry>,
    /// An Avro schema as the dataset's contract wants its times.
    avro: Option<AvroSchema>,
    validator: Option<Validator>,
    /// Whether it is another schema than the catalog's.
    differs: bool,
}

/// The plans of one worker under one catalog.
#[derive(Debug, Default)]
pub(super) struct Plans {
    /// By the dataset's place in memory and the schema; without one, by the contract alone.
    plans: FxHashMap<(usize, Option<SchemaId>), Plan>,
}

impl Plans {
    pub(super) fn clear(&mut self) {
        self.plans.clear();
    }

    /// The plan for a dataset's records of a schema.
    fn of(&mut self, dataset: &Arc<DatasetEntry>, schema: Option<&RegisteredSchema>) -> &Plan {
        let key = (Arc::as_ptr(dataset).addr(), schema.map(RegisteredSchema::id));
        if self.plans.len() >= PLANS_REMEMBERED && !self.plans.contains_key(&key) {
            self.plans.clear();
        }
        self.plans.entry(key).or_insert_with(|| Plan::new(dataset, schema))
    }
}

impl Plan {
    fn new(dataset: &Arc<DatasetEntry>, schema: Option<&RegisteredSchema>) -> Self {
        let contract = dataset.contract_rule.as_deref();
        let (rule, avro) = match schema.map(RegisteredSchema::model) {
            Some(SchemaModel::Json(schema)) => (Some(&schema.rule), None),
            Some(SchemaModel::Avro(schema)) => (None, contract.and_then(|contract| schema.specialised(contract))),
            Some(SchemaModel::Protobuf(_)) | None => (None, None),
        };
        let validator = (rule.is_some() || contract.is_some()).then(|| Validator::compile(rule, contract));
        let catalogs = dataset.schema.as_deref();
        let differs = schema.zip(catalogs).is_some_and(|(schema, catalogs)| schema.differs_from(catalogs));
        Self { dataset: Arc::clone(dataset), avro, validator, differs }
    }
}

/// What a framed record is read and judged by.
pub(super) struct Reading<'a> {
    pub(super) encoding: Encoding<'a>,
    pub(super) validator: Option<&'a Validator>,
    pub(super) doubt: Doubt,
}

/// Why nobody knows a record's format, so that bytes that are no JSON are nothing against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is known.
    None,
    /// The catalog's schema is not there or is broken, which has been told.
    BrokenSchema,
    /// The record's schema could be known by a registry alone, and none is configured.
    NoRegistry,
}

/// What stands in the evidence of the schema that a record carries.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told<'a> {
    /// Its name; `None` where the catalog's stands.
    pub(super) reference: Option<&'a Arc<str>>,
    pub(super) differs: bool,
}

/// Decides by what a framed record is judged. `None` where nothing can or need be: `findings` say why.
pub(super) fn reading<'a>(
    plans: &'a mut Plans,
    dataset: &'a Arc<DatasetEntry>,
    id: SchemaId,
    carried: Carried<'a>,
    findings: &mut Findings,
) -> (Option<Reading<'a>>, Told<'a>) {
    match carried {
        Carried::Unasked => {
            undecided(dataset).for_each(|code| findings.add_undecided(code));
            let encoding = dataset.model.as_ref().map_or(Encoding::Json, |model| model.encoding());
            let doubt = match dataset.schema_state {
                GateState::Ok => Doubt::None,
                GateState::Broken => Doubt::BrokenSchema,
                GateState::None => Doubt::NoRegistry,
            };
            let reading = Reading { encoding, validator: dataset.validator.as_deref(), doubt };
            (Some(reading), Told::default())
        }
        Carried::Known(schema) => {
            undecided_contract(dataset).into_iter().for_each(|code| findings.add_undecided(code));
            let plan = plans.of(dataset, Some(schema));
            let encoding = plan.avro.as_ref().map_or_else(|| schema.model().encoding(), Encoding::Avro);
            let reading = Reading { encoding, validator: plan.validator.as_ref(), doubt: Doubt::None };
            debug_assert!(Arc::ptr_eq(&plan.dataset, dataset));
            (Some(reading), Told { reference: Some(schema.shared_reference()), differs: plan.differs })
        }
        Carried::Broken(error) => {
            findings.add_undecided(ReasonCode::unknown_schema(&error.reference));
            undecided_contract(dataset).into_iter().for_each(|code| findings.add_undecided(code));
            // The contract is about the document, which can be read all the same where it is JSON.
            let reading = (error.format == SchemaFormat::Json).then(|| {
                let validator = plans.of(dataset, None).validator.as_ref();
                Reading { encoding: Encoding::Json, validator, doubt: Doubt::None }
            });
            let differs = dataset.schema.as_deref().is_some_and(|catalogs| error.differs_from(catalogs));
            (reading, Told { reference: Some(&error.reference), differs })
        }
        Carried::Unknown => {
            findings.add(Gate::Schema, ReasonCode::unknown_schema(&id.to_string()));
            (None, Told::default())
        }
        Carried::Unavailable => {
            findings.add_undecided(ReasonCode::registry_unavailable());
            (None, Told::default())
        }
    }
}

/// Why gates 3 and 4 cannot decide about a dataset's records, where they cannot.
pub(super) fn undecided(dataset: &DatasetEntry) -> impl Iterator<Item = ReasonCode> {
    let schema = (dataset.schema_state == GateState::Broken)
        .then(|| ReasonCode::unknown_schema(dataset.schema.as_deref().unwrap_or_default()));
    schema.into_iter().chain(undecided_contract(dataset))
}

fn undecided_contract(dataset: &DatasetEntry) -> Option<ReasonCode> {
    (dataset.contract_state == GateState::Broken)
        .then(|| ReasonCode::unknown_contract(dataset.contract.as_deref().unwrap_or_default()))
}
