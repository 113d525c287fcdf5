//! Linking the entries of `catalog.yaml` to each other and to contracts and schemas.

mod names;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{
    AssetEntry, Catalog, CatalogFiles, DatasetEntry, GateState, LoadedCatalog, ProducerEntry, TopicName,
    contracts::{self, ContractFile, Contracts},
    entries::{self, Entries, Located, RawAsset, RawDataset},
    schemas,
    topics::TopicIndex,
};
use crate::{
    diagnostic::{Diagnostic, Findings},
    ids::EntityId,
    odcs::{self, Contract, SchemaObject},
    policy::Rollout,
    registry::SchemaModel,
    validator::{Validator, rule::ValueRule},
    yaml::clip,
};

const DEFAULT_TIER: u8 = 3;
const DEFAULT_SLO_MILLIONTHS: u32 = 990_000;

pub(super) fn assemble(files: &CatalogFiles) -> LoadedCatalog {
    let file = files.locate(entries::FILE);
    let mut findings = Findings::about(&file);
    let (mut diagnostics, mut coverage) = (Vec::new(), Vec::new());
    let contracts = Contracts::read(files, &mut diagnostics, &mut coverage);
    let Entries { datasets, producers, assets, domains } = entries::read(files, &mut findings);

    let (producers, producer_names) = names::producers(producers, &mut findings);
    let (datasets, assets) = names::unique_ids(datasets, assets, &mut findings);
    let aliases = names::aliases(&datasets, &assets, &mut findings);
    let assets = assets.into_iter().map(|raw| asset(raw, &aliases, &mut findings)).collect();
    let assets = names::known_consumes(assets, &datasets, &aliases, &mut findings);
    let domains = rollouts(domains, &mut findings);

    let mut linker = Linker {
        file: &file,
        files,
        contracts: &contracts,
        producers: &producers,
        producer_names: &producer_names,
        domains: &domains,
        findings,
        diagnostics,
        coverage,
    };
    let (mut topics, mut entries) = (TopicIndex::default(), Vec::<Arc<DatasetEntry>>::with_capacity(datasets.len()));
    for (index, raw) in datasets.into_iter().enumerate() {
        for (topic, at) in &raw.topics {
            if let Some(holder) = topics.add(topic, index) {
                let holder = entries.get(holder).map_or("", |entry| entry.urn.as_str());
                let message = format!("topic '{topic}' is claimed by '{}' already", clip(holder));
                linker.findings.error("catalog-topic-claimed", *at, message);
            }
        }
        entries.push(Arc::new(linker.dataset(raw)));
    }

    let Linker { findings, mut diagnostics, mut coverage, .. } = linker;
    diagnostics.append(&mut findings.into_diagnostics());
    Diagnostic::sort(&mut diagnostics);
    Diagnostic::sort(&mut coverage);
    let version = files.hash();
    let catalog = Catalog { datasets: entries, producers, assets, topics, producer_names, aliases, version };
    LoadedCatalog { catalog, diagnostics, coverage }
}

fn rollouts(domains: Vec<(Located, Rollout)>, findings: &mut Findings<'_>) -> BTreeMap<Arc<str>, Rollout> {
    let mut rollouts = BTreeMap::new();
    for ((domain, at), rollout) in domains {
        if rollouts.insert(domain.clone(), rollout).is_some() {
            findings.error("catalog-duplicate-id", at, format!("domain '{}' is there twice", clip(&domain)));
        }
    }
    rollouts
}

fn asset(
    raw: RawAsset,
    aliases: &BTreeMap<Arc<str>, EntityId>,
    findings: &mut Findings<'_>,
) -> (AssetEntry, Vec<Located>) {
    let RawAsset { id, kind, name, tier, owner, consumes, aliases: own } = raw;
    let mut resolved = Vec::with_capacity(consumes.len());
    for (text, at) in &consumes {
        let target = aliases.get(text).cloned().unwrap_or_else(|| EntityId::from(&**text));
        if target.as_str() == &*id.0 {
            findings.error("catalog-consumes-itself", *at, format!("asset '{}' consumes itself", clip(&id.0)));
        } else {
            resolved.push(target);
        }
    }
    resolved.sort();
    resolved.dedup();
    let entry = AssetEntry {
        id: EntityId::from(&*id.0),
        kind,
        name: name.unwrap_or(id.0),
        tier,
        owner,
        consumes: resolved,
        aliases: names::texts(own),
    };
    (entry, consumes)
}

struct Linker<'a> {
    /// Where `catalog.yaml` is.
    file: &'a Path,
    files: &'a CatalogFiles,
    contracts: &'a Contracts,
    producers: &'a [ProducerEntry],
    producer_names: &'a BTreeMap<Arc<str>, Arc<str>>,
    domains: &'a BTreeMap<Arc<str>, Rollout>,
    findings: Findings<'a>,
    diagnostics: Vec<Diagnostic>,
    coverage: Vec<Diagnostic>,
}

impl<'a> Linker<'a> {
    fn dataset(&mut self, raw: RawDataset) -> DatasetEntry {
        let RawDataset {
            urn,
            title,
            topics,
            producers,
            schema,
            contract,
            tier,
            domain,
            slo_millionths,
            rollout,
            aliases,
        } = raw;
        let topics: Vec<TopicName> = topics.into_iter().map(|(topic, _)| topic).collect();
        if producers.is_empty() {
            let message =
                format!("dataset '{}' has no producer: gate 2 fails each record that names none", clip(&urn.0));
            let mut notes = Findings::about(self.file);
            notes.warning("catalog-no-producer", urn.1, message).help("add 'producer'");
            self.coverage.append(&mut notes.into_diagnostics());
        }
        let producers = self.owners(&urn.0, producers);
        let (found, schema_state) = self.schema(schema.as_ref());
        let schema_hash = schema.as_ref().map_or(0, |(reference, _)| schemas::hash(self.files, reference));
        let (file, contract_rule, contract_state) = self.contract(contract.as_ref(), &topics);
        let terms = file.and_then(|file| file.contract.as_ref());
        let (schema_rule, model) = match found {
            Some(SchemaModel::Json(schema)) => (Some(schema.rule), None),
            Some(SchemaModel::Avro(schema)) => {
                let specialised = contract_rule.as_ref().and_then(|contract| schema.specialised(contract));
                (None, Some(Arc::new(SchemaModel::Avro(specialised.unwrap_or(schema)))))
            }
            other => (None, other.map(Arc::new)),
        };
        let validator = (schema_rule.is_some() || contract_rule.is_some())
            .then(|| Arc::new(Validator::compile(schema_rule.as_ref(), contract_rule.as_ref())));
        let domain = domain.or_else(|| terms?.domain.clone());
        let domain_rollout = domain.as_ref().and_then(|domain| self.domains.get(domain)).copied();
        let team = |id: &Arc<str>| self.producers.iter().find(|producer| producer.id == *id)?.team.clone();
        DatasetEntry {
            title: title.unwrap_or_else(|| short_title(&urn.0).into()),
            topics,
            schema: schema.map(|(text, _)| text),
            contract: contract.map(|(text, _)| text),
            contract_version: file.map(|file| file.version.as_str().into()),
            contract_hash: file.map_or(0, |file| file.hash),
            schema_hash,
            contract_created: terms.and_then(|contract| contract.created),
            validator,
            model,
            contract_rule: contract_rule.map(Arc::new),
            schema_state,
            contract_state,
            tier: tier.or_else(|| terms?.tier).unwrap_or(DEFAULT_TIER),
            domain,
            slo_millionths: slo_millionths.unwrap_or(DEFAULT_SLO_MILLIONTHS),
            rollout: domain_rollout.map_or(rollout, |of_domain| rollout.min(of_domain)),
            owner: terms.and_then(|contract| contract.owner().cloned()).or_else(|| producers.iter().find_map(team)),
            producers,
            sla: terms.map(|contract| contract.sla.clone()).unwrap_or_default(),
            aliases: names::texts(aliases),
            urn: EntityId::from(&*urn.0),
        }
    }

    fn owners(&mut self, urn: &str, producers: Vec<Located>) -> Vec<Arc<str>> {
        let mut owners = Vec::with_capacity(producers.len());
        for (name, at) in producers {
            match self.producer_names.get(&name) {
                Some(id) => owners.push(id.clone()),
                None => {
                    let message = format!("producer '{}' of dataset '{}' is not registered", clip(&name), clip(urn));
                    let finding = self.findings.error("catalog-unknown-producer", at, message);
                    finding.help("add it under 'producers'");
                    owners.push(name);
                }
            }
        }
        owners.sort();
        owners.dedup();
        owners
    }

    fn schema(&mut self, reference: Option<&Located>) -> (Option<SchemaModel>, GateState) {
        let Some((text, at)) = reference else { return (None, GateState::None) };
        match schemas::find(self.files, text, &mut self.diagnostics, &mut self.coverage) {
            schemas::Found::Schema(schema) => return (Some(schema), GateState::Ok),
            schemas::Found::Broken => {
                let message = format!("schema '{}' is broken, so gate 3 gives WARN", clip(text));
                self.findings.warning("catalog-broken-schema", *at, message);
            }
            schemas::Found::NotAReference => {
                let message = format!("'{}' names no schema", clip(text));
                let finding = self.findings.error("catalog-bad-reference", *at, message);
                finding.help("write glue:<name>:<version>, confluent:<subject>:<version> or file:<path>");
            }
            schemas::Found::Missing(schema) => {
                let message = format!("schema '{}' is not in the catalog's directory", clip(text));
                let finding = self.findings.error("catalog-schema-not-found", *at, message);
                finding.help(format!("it would be {}", schema.paths().join(" or ")));
            }
        }
        (None, GateState::Broken)
    }

    fn contract(
        &mut self,
        reference: Option<&Located>,
        topics: &[TopicName],
    ) -> (Option<&'a ContractFile>, Option<ValueRule>, GateState) {
        let Some((text, at)) = reference else { return (None, None, GateState::None) };
        let broken = (None, None, GateState::Broken);
        let file = match self.contracts.find(text) {
            contracts::Found::Contract(file) => file,
            contracts::Found::NotAReference => {
                let message = format!("'{}' names no contract", clip(text));
                self.findings.error("catalog-bad-reference", *at, message).help("write dc:<id>:<version>");
                return broken;
            }
            contracts::Found::Missing { versions } => {
                let message = format!("contract '{}' is not in the catalog's directory", clip(text));
                let finding = self.findings.error("catalog-contract-not-found", *at, message);
                if !versions.is_empty() {
                    finding.help(format!("these versions are: {}", versions.join(", ")));
                }
                return broken;
            }
        };
        let Some(contract) = &file.contract else {
            let message =
                format!("contract '{}' in {} has errors, so gate 4 gives WARN", clip(text), file.file.display());
            self.findings.warning("catalog-broken-contract", *at, message);
            return (Some(file), None, GateState::Broken);
        };
        if contract.objects.is_empty() {
            return (Some(file), None, GateState::Ok);
        }
        let Some(object) = object_of(contract, topics) else {
            let message =
                format!("none of the schema objects of contract '{}' is about a topic of this dataset", clip(text));
            let finding = self.findings.error("catalog-no-schema-object", *at, message);
            finding.help("give one a physicalName that is the topic's");
            return (Some(file), None, GateState::Broken);
        };
        let (rule, _) = odcs::compile(object);
        let validator = Validator::compile(None, Some(&rule));
        let mut notes = Findings::about(&file.file);
        for part in validator.unsupported() {
            let message = format!("'{}' of '{}' is not judged: {}", part.keyword, part.path, part.reason);
            notes.note("odcs-unsupported-rule", object.at, message);
        }
        self.coverage.append(&mut notes.into_diagnostics());
        (Some(file), Some(rule), GateState::Ok)
    }
}

/// The schema object that is about a dataset's topics: the only one there is, or the first that names one of them.
fn object_of<'a>(contract: &'a Contract, topics: &[TopicName]) -> Option<&'a SchemaObject> {
    if let [only] = contract.objects.as_slice() {
        return Some(only);
    }
    contract.objects.iter().find(|object| topics.iter().any(|topic| topic.matches(object.topic())))
}

/// `orders:created` of `urn:dp:orders:created`.
fn short_title(urn: &str) -> &str {
    let rest = urn.strip_prefix("urn:").and_then(|rest| rest.split_once(':')).map(|(_, rest)| rest);
    rest.filter(|rest| !rest.is_empty()).unwrap_or(urn)
}
