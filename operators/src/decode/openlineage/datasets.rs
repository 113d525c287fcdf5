//! The datasets of an event, by the names that the graph has for them.

use std::collections::{BTreeMap, BTreeSet};

use faultline_contracts::{ids::EntityId, lineage::ColumnLineage, names::EntityNames};
use serde_json::Value;

use super::{Limits, Omitted, name, usable};
use crate::decode::MAX_NAME_BYTES;

/// A dataset as OpenLineage names it: namespace and name.
type Name<'a> = (&'a str, &'a str);

/// What an event reads and writes.
#[derive(Default)]
pub(super) struct Datasets {
    pub(super) inputs: BTreeSet<EntityId>,
    pub(super) outputs: BTreeSet<EntityId>,
    pub(super) columns: BTreeSet<ColumnLineage>,
    pub(super) omitted: Omitted,
}

impl Datasets {
    pub(super) fn of(event: &Value, names: &dyn EntityNames, limits: Limits) -> Self {
        let mut datasets = Self::default();
        let inputs = datasets.list(event, "inputs");
        let outputs = datasets.list(event, "outputs");
        let mut resolver = Resolver { names, resolved: BTreeMap::new() };
        inputs.iter().chain(outputs).for_each(|dataset| resolver.learn(dataset));

        for input in inputs {
            match dataset_name(input) {
                Some(name) => {
                    datasets.omitted.inputs += insert(&mut datasets.inputs, resolver.id(name), limits.inputs);
                }
                None => datasets.omitted.malformed += 1,
            }
        }
        for output in outputs {
            let Some(name) = dataset_name(output) else {
                datasets.omitted.malformed += 1;
                continue;
            };
            let id = resolver.id(name);
            match insert(&mut datasets.outputs, id.clone(), limits.outputs) {
                0 => datasets.take_columns(output, &id, &mut resolver, limits),
                beyond => datasets.omitted.outputs += beyond,
            }
        }
        datasets
    }

    /// The members of a list that may be absent.
    fn list<'a>(&mut self, object: &'a Value, field: &str) -> &'a [Value] {
        match object.get(field) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(members)) => members,
            Some(_) => {
                self.omitted.malformed += 1;
                &[]
            }
        }
    }

    /// `columnLineage.fields`: an output's column to the columns that it is made from. What the facet says of whole
    /// datasets (`columnLineage.dataset`) names no column.
    fn take_columns<'a>(&mut self, output: &'a Value, id: &EntityId, resolver: &mut Resolver<'a>, limits: Limits) {
        let Some(fields) = output.pointer("/facets/columnLineage/fields").and_then(Value::as_object) else { return };
        for (output_field, sources) in fields {
            for source in self.list(sources, "inputFields") {
                let parts = (dataset_name(source), name(source, "field"));
                let (Some(input), Some(input_field)) = parts else {
                    self.omitted.malformed += 1;
                    continue;
                };
                if output_field.len() > MAX_NAME_BYTES {
                    self.omitted.malformed += 1;
                    continue;
                }
                let column = ColumnLineage {
                    output: id.clone(),
                    output_field: output_field.as_str().into(),
                    input: resolver.id(input),
                    input_field: input_field.into(),
                };
                self.omitted.columns += insert(&mut self.columns, column, limits.columns);
            }
        }
    }
}

/// Asks the catalog once for each name of an event.
struct Resolver<'a> {
    names: &'a dyn EntityNames,
    resolved: BTreeMap<Name<'a>, EntityId>,
}

impl<'a> Resolver<'a> {
    /// Takes note of a dataset that the catalog knows by its own name or by one of its symlinks, so that it is the same
    /// dataset wherever the event names it, with its facets or without.
    fn learn(&mut self, dataset: &'a Value) {
        let Some(own) = dataset_name(dataset) else { return };
        let symlinks = dataset.pointer("/facets/symlinks/identifiers").and_then(Value::as_array);
        let mut candidates = std::iter::once(own).chain(symlinks.into_iter().flatten().filter_map(dataset_name));
        if let Some(id) = candidates.find_map(|candidate| known(self.names, candidate)) {
            self.resolved.entry(own).or_insert(id);
        }
    }

    fn id(&mut self, name: Name<'a>) -> EntityId {
        let names = self.names;
        let unknown = || format!("{}/{}", name.0, name.1).into();
        self.resolved.entry(name).or_insert_with(|| known(names, name).unwrap_or_else(unknown)).clone()
    }
}

/// What the catalog calls a dataset, if it knows it.
fn known(names: &dyn EntityNames, (namespace, name): Name<'_>) -> Option<EntityId> {
    let id = names.lineage_dataset(namespace, name);
    let plain = id.as_str().strip_prefix(namespace).and_then(|rest| rest.strip_prefix('/')) == Some(name);
    if !plain {
        return Some(id);
    }
    is_broker_list(namespace).then(|| names.dataset_of_topic(name)).flatten()
}

/// Integrations build the namespace of a topic from `bootstrap.servers`, which may start with the listener's security
/// protocol instead of `kafka` (`SASL_SSL://b-1.example:9096`).
fn is_broker_list(namespace: &str) -> bool {
    let scheme = namespace.split("://").next().filter(|scheme| scheme.len() < namespace.len());
    let schemes = ["kafka", "plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
    scheme.is_some_and(|scheme| schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known)))
}

fn dataset_name(dataset: &Value) -> Option<Name<'_>> {
    Some((usable(dataset.get("namespace")?)?, usable(dataset.get("name")?)?))
}

/// Adds a member to a set of limited size; 1 if there is no room for it.
fn insert<T: Ord>(set: &mut BTreeSet<T>, member: T, limit: usize) -> usize {
    if set.len() < limit || set.contains(&member) {
        set.insert(member);
        0
    } else {
        1
    }
}
