//! The catalog: which topic carries which dataset, who owns it, and what its records must keep.
//!
//! ```text
//! directory or topic ─► CatalogFiles ─► catalog.yaml ─► entries ──┐
//!                                    ├► contracts (ODCS) ─────────┼─► Catalog + diagnostics + coverage
//!                                    └► schemas/<name>/<version> ─┘
//! ```
//! A mistake costs what it is in and no more: a bad entry leaves the other entries, a broken contract leaves its dataset
//! resolved and says that gate 4 cannot decide. Where a good catalog is in force already, a mistake takes nothing from it
//! ([`StandingCatalog`]).

mod assemble;
mod check;
mod contracts;
mod entries;
mod files;
mod schemas;
mod succession;
mod topics;

use std::{collections::BTreeMap, path::Path, sync::Arc};

pub use self::{
    check::check,
    files::{CatalogFiles, CatalogReading, FileUpdates, UpdateError},
    schemas::SchemaRef,
    succession::{StandingCatalog, Succession},
    topics::{TopicName, TopicPattern},
};
use crate::{
    asset::AssetKind,
    diagnostic::Diagnostic,
    ids::EntityId,
    names::EntityNames,
    odcs::SlaProperty,
    policy::{DatasetPolicy, Rollout},
    registry::SchemaModel,
    time::UnixMillis,
    validator::{Validator, rule::ValueRule},
};

/// Everything that the catalog says, with its names indexed. Immutable: a changed directory is a new catalog.
#[derive(Debug, Default)]
pub struct Catalog {
    /// In URN order.
    datasets: Vec<Arc<DatasetEntry>>,
    /// In id order.
    producers: Vec<ProducerEntry>,
    /// In id order.
    assets: Vec<AssetEntry>,
    topics: topics::TopicIndex,
    /// Producer ids and aliases.
    producer_names: BTreeMap<Arc<str>, Arc<str>>,
    aliases: BTreeMap<Arc<str>, EntityId>,
    version: u64,
}

/// A catalog and what was found while reading it.
#[derive(Debug, Default)]
pub struct LoadedCatalog {
    /// What could be read.
    pub catalog: Catalog,
    /// Mistakes, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// What the gates cannot judge, sorted by place: rules that no single record can show, parts of schemas and contracts
    /// that this build does not read, datasets whose records may come from anybody.
    pub coverage: Vec<Diagnostic>,
}

/// A dataset: a topic, or several, under contract.
#[derive(Debug)]
pub struct DatasetEntry {
    /// Its URN.
    pub urn: EntityId,
    /// What people call it: `title`, else the URN without `urn:<namespace>:`.
    pub title: Arc<str>,
    /// The topics that carry it.
    pub topics: Vec<TopicName>,
    /// The producers that own it, sorted: registered ids, and names that nobody registered as they are written.
    pub producers: Vec<Arc<str>>,
    /// The schema of its records: `glue:orders.created:17`.
    pub schema: Option<Arc<str>>,
    /// The contract of its records: `dc:orders.created:3`.
    pub contract: Option<Arc<str>>,
    /// The whole version of that contract, as its file has it: `3.2.0`.
    pub contract_version: Option<Arc<str>>,
    /// Since when that version of the contract is in force, if the contract says.
    pub contract_created: Option<UnixMillis>,
    /// A hash of the contract's text, 0 without one: a contract may change and keep its version.
    pub contract_hash: u64,
    /// A hash of the schema's text, 0 without one.
    pub schema_hash: u64,
    /// What gates 3 and 4 hold the JSON text of its records to; `None` when there is neither a usable JSON Schema nor a
    /// usable contract.
    pub validator: Option<Arc<Validator>>,
    /// How its records are read, where its schema is of another format than JSON.
    pub model: Option<Arc<SchemaModel>>,
    /// The contract's rule, to be laid over the schemas that records carry.
    pub contract_rule: Option<Arc<ValueRule>>,
    /// Whether gate 3 can decide.
    pub schema_state: GateState,
    /// Whether gate 4 can decide.
    pub contract_state: GateState,
    /// 1 revenue-critical … 4: the catalog's, else the contract's, else 3.
    pub tier: u8,
    /// Its domain: the catalog's, else the contract's.
    pub domain: Option<Arc<str>>,
    /// Share of records that must keep the contract, in millionths; 990,000 where nobody says.
    pub slo_millionths: u32,
    /// How far its rollout has come: the lesser of its own and its domain's.
    pub rollout: Rollout,
    /// Who answers for it: the contract's owner, else its producer's team.
    pub owner: Option<Arc<str>>,
    /// What the contract promises of the data as a whole.
    pub sla: Vec<SlaProperty>,
    /// Names in lineage events that stand for it.
    pub aliases: Vec<Arc<str>>,
}

/// Whether a gate has what it needs to judge a dataset's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GateState {
    /// It has.
    Ok,
    /// The catalog asks nothing of it: it passes.
    None,
    /// The catalog names a schema or contract that is not there or is broken: the gate cannot decide, and says WARN.
    Broken,
}

/// Who writes datasets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Its id.
    pub id: Arc<str>,
    /// Other names of it, sorted.
    pub aliases: Vec<Arc<str>>,
    /// The team behind it.
    pub team: Option<Arc<str>>,
}

/// Something downstream that lineage events do not describe, or not fully.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetEntry {
    /// Its id.
    pub id: EntityId,
    /// What it is.
    pub kind: AssetKind,
    /// What people call it; its id where nobody says.
    pub name: Arc<str>,
    /// 1 revenue-critical … 4.
    pub tier: Option<u8>,
    /// Who answers for it.
    pub owner: Option<Arc<str>>,
    /// What it reads, sorted; aliases are resolved.
    pub consumes: Vec<EntityId>,
    /// Names in lineage events that stand for it.
    pub aliases: Vec<Arc<str>>,
}

impl Catalog {
    /// Reads the catalog in a directory. It never fails: what cannot be read is a diagnostic.
    #[must_use]
    pub fn load(dir: &Path) -> LoadedCatalog {
        Self::from_reading(&CatalogFiles::read(dir))
    }

    /// Reads the catalog in files that are in memory already, such as those bundled with a program.
    ///
    /// ```
    /// use faultline_contracts::catalog::{Catalog, CatalogFiles};
    /// let text = "datasets: [{urn: 'urn:dp:orders:created', topics: [raw.orders], producer: orders-svc}]\n\
    ///             producers: [{id: orders-svc, aliases: [orders]}]";
    /// let loaded = Catalog::from_files(&CatalogFiles::of("demo", [("catalog.yaml", text)]));
    /// assert!(loaded.diagnostics.is_empty());
    /// let dataset = loaded.catalog.dataset_of_topic("raw.orders").unwrap();
    /// assert_eq!((dataset.urn.as_str(), &*dataset.title), ("urn:dp:orders:created", "orders:created"));
    /// ```
    #[must_use]
    pub fn from_files(files: &CatalogFiles) -> LoadedCatalog {
        assemble::assemble(files)
    }

    /// Reads the catalog in files that were read from somewhere; those that could not be are among the diagnostics.
    #[must_use]
    pub fn from_reading(reading: &CatalogReading) -> LoadedCatalog {
        let CatalogReading { files, unread } = reading;
        let mut loaded = Self::from_files(files);
        loaded.diagnostics.extend_from_slice(unread);
        Diagnostic::sort(&mut loaded.diagnostics);
        loaded
    }

    /// The dataset that a topic carries: an exact name before a pattern, and of several patterns that of the first URN.
    /// A dataset whose rollout is off is found like any other.
    #[must_use]
    pub fn dataset_of_topic(&self, topic: &str) -> Option<&Arc<DatasetEntry>> {
        self.datasets.get(self.topics.find(topic)?)
    }

    /// All datasets, in URN order.
    #[must_use]
    pub fn datasets(&self) -> &[Arc<DatasetEntry>] {
        &self.datasets
    }

    /// The dataset of this URN.
    #[must_use]
    pub fn dataset(&self, urn: &str) -> Option<&Arc<DatasetEntry>> {
        let index = self.datasets.binary_search_by(|dataset| dataset.urn.as_str().cmp(urn)).ok()?;
        self.datasets.get(index)
    }

    /// All producers, in id order.
    #[must_use]
    pub fn producers(&self) -> &[ProducerEntry] {
        &self.producers
    }

    /// The producer registered under this id or alias.
    #[must_use]
    pub fn producer(&self, name: &str) -> Option<&ProducerEntry> {
        let id = self.producer_names.get(name)?;
        let index = self.producers.binary_search_by(|producer| producer.id.cmp(id)).ok()?;
        self.producers.get(index)
    }

    /// The producers that own a dataset, sorted; none for a URN that is not in the catalog.
    #[must_use]
    pub fn owners(&self, urn: &str) -> &[Arc<str>] {
        self.dataset(urn).map_or(&[], |dataset| &dataset.producers)
    }

    /// All assets, in id order.
    #[must_use]
    pub fn assets(&self) -> &[AssetEntry] {
        &self.assets
    }

    /// What signals and incidents hold each dataset to, in URN order.
    #[must_use]
    pub fn policies(&self) -> Vec<DatasetPolicy> {
        let policy = |dataset: &Arc<DatasetEntry>| DatasetPolicy {
            dataset: dataset.urn.clone(),
            slo_millionths: dataset.slo_millionths,
            tier: dataset.tier,
            rollout: dataset.rollout,
            owners: dataset.producers.clone(),
            schema: dataset.schema.clone(),
            contract: dataset.contract.clone(),
        };
        self.datasets.iter().map(policy).collect()
    }

    /// A hash of the files that it was read from: xxh3 over each path and text in path order, line ends unified.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl EntityNames for Catalog {
    fn producer(&self, name: &str) -> Option<Arc<str>> {
        self.producer_names.get(name).cloned()
    }

    fn dataset_of_topic(&self, topic: &str) -> Option<EntityId> {
        self.dataset_of_topic(topic).map(|dataset| dataset.urn.clone())
    }

    fn alias(&self, alias: &str) -> Option<EntityId> {
        self.aliases.get(alias).cloned()
    }
}
