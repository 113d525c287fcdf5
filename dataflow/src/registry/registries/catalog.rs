//! References of the catalog, looked up in the registries that are configured.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, mpsc},
};

use faultline_contracts::{
    catalog::{CatalogFiles, SchemaRef},
    diagnostic::{Diagnostic, Position, Severity},
    registry::SchemaText,
};

use super::{
    super::{error::RegistryError, table::Kind},
    Registries,
    fetcher::{Named, Request},
};
use crate::catalog::{References, Resolution};

/// What references led to that always lead there: those to a version by its number.
pub(super) type Memo = BTreeMap<String, SchemaText>;

/// The version of a reference that does not always lead to the same schema.
const LATEST: &str = "latest";
/// The file that references are in.
const CATALOG: &str = "catalog.yaml";

impl Registries {
    /// Adds to a catalog's files the schemas that its `glue:` and `confluent:` references lead to, as far as their registry
    /// is configured: as the registry says; while it is away, as it said last. Where both know nothing, the file in the
    /// catalog's directory stands in, and without one the dataset's gate 3 cannot decide.
    ///
    /// Blocks for as long as registries take to answer: the time-out of a look-up, as a rule.
    pub fn fill(&self, files: &mut CatalogFiles) -> Resolution {
        let mut filled = Resolution::default();
        let mut known = self.settled_references.lock().unwrap_or_else(PoisonError::into_inner);
        // What no catalog names any more is forgotten.
        let (mut memo, mut asked) = (Memo::new(), Vec::new());
        for (reference, at) in files.schema_references() {
            let Some(named) = named(&reference).filter(|named| self.configured.contains(&named.kind)) else { continue };
            let text = reference.to_string();
            if let Some(schema) = known.remove(&text) {
                files.insert_schema(&reference, schema.clone());
                memo.insert(text, schema);
                continue;
            }
            let (reply, answer) = mpsc::sync_channel(1);
            self.request(Request::Named(named.clone(), reply));
            asked.push((reference, at, named, answer));
        }
        for (reference, at, named, answer) in asked {
            let moves = named.version == LATEST;
            // Every request is answered in bounded time, or dropped with the thread.
            let answer = answer.recv().unwrap_or_else(|_| {
                let address = named.kind.as_str().to_owned();
                Err(RegistryError::Unreachable { address, reason: "its thread has ended".to_owned() })
            });
            if moves || answer.is_err() {
                filled.again_after = Some(self.refresh);
            }
            match answer {
                Ok(schema) => {
                    if !moves {
                        memo.insert(reference.to_string(), schema.clone());
                    }
                    files.insert_schema(&reference, schema);
                }
                Err(error) => filled.problems.push(problem(files, &reference, at, &error)),
            }
        }
        *known = memo;
        filled
    }
}

impl References for Arc<Registries> {
    fn resolve(&mut self, files: &mut CatalogFiles) -> Resolution {
        self.fill(files)
    }
}

fn named(reference: &SchemaRef) -> Option<Named> {
    let (kind, name, version) = match reference {
        SchemaRef::Glue { name, version } => (Kind::Glue, name, version),
        SchemaRef::Confluent { subject, version } => (Kind::Confluent, subject, version),
        SchemaRef::File(_) => return None,
    };
    Some(Named { kind, name: name.clone(), version: version.clone() })
}

fn problem(files: &CatalogFiles, reference: &SchemaRef, at: Position, error: &RegistryError) -> Diagnostic {
    let stand_in = reference.paths().into_iter().find(|path| files.get(path).is_some());
    let consequence = match stand_in {
        Some(path) => format!("{path} stands in for it"),
        None => "gate 3 gives WARN until it is found".to_owned(),
    };
    let Position { line, column } = at;
    Diagnostic {
        severity: Severity::Warning,
        code: "catalog-schema-not-registered",
        file: files.locate(CATALOG),
        line,
        column,
        message: format!("schema '{reference}' was not found in its registry: {error}; {consequence}"),
        help: None,
    }
}
