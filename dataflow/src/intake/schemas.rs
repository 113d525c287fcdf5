//! What one worker knows of the schemas that records carry.

use std::{fmt, sync::Arc};

use faultline_contracts::registry::{RegisteredSchema, RegisteredSchemaError, SchemaId};
use faultline_operators::gates::Carried;
use rustc_hash::FxHashMap;

use crate::registry::{Lookup, SchemaSource};

/// How many schemas a worker keeps for itself; beyond it all are asked for anew.
const KEPT: usize = 4_096;

/// The schemas that a worker has met, before the registries that know the others. What an id stands for does not change,
/// so a record with a known schema takes no lock.
#[derive(Default)]
pub struct Schemas {
    source: Option<Arc<dyn SchemaSource>>,
    /// Whether to wait for an answer, which makes it a function of the input.
    wait: bool,
    kept: FxHashMap<SchemaId, Kept>,
}

enum Kept {
    Known(Arc<RegisteredSchema>),
    Broken(Arc<RegisteredSchemaError>),
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schemas").field("wait", &self.wait).field("kept", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Schemas {
    /// For a worker that must not wait. Without a source, the catalog's schemas stand in for those that records carry.
    #[must_use]
    pub fn live(source: Option<Arc<dyn SchemaSource>>) -> Self {
        Self { source, wait: false, kept: FxHashMap::default() }
    }

    /// For a reader of captured records, which waits for each answer.
    #[must_use]
    pub fn captured(source: Option<Arc<dyn SchemaSource>>) -> Self {
        Self { wait: true, ..Self::live(source) }
    }

    /// What is known of an id; `None` while it is being looked up.
    pub fn of(&mut self, id: SchemaId) -> Option<Carried<'_>> {
        let Some(source) = &self.source else { return Some(Carried::Unasked) };
        if !self.kept.contains_key(&id) {
            let found = if self.wait { source.wait(id) } else { source.lookup(id) };
            let keep = match found {
                Lookup::Known(schema) => Kept::Known(schema),
                Lookup::Broken(error) => Kept::Broken(error),
                Lookup::Pending => return None,
                Lookup::Unknown => return Some(Carried::Unknown),
                Lookup::Unavailable => return Some(Carried::Unavailable),
            };
            if self.kept.len() >= KEPT {
                self.kept.clear();
            }
            self.kept.insert(id, keep);
        }
        match self.kept.get(&id)? {
            Kept::Known(schema) => Some(Carried::Known(schema)),
            Kept::Broken(error) => Some(Carried::Broken(error)),
        }
    }
}
