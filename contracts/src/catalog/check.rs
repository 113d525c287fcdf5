//! Linting a catalog.

use std::path::Path;

use super::{Catalog, LoadedCatalog};
use crate::diagnostic::Diagnostic;

impl LoadedCatalog {
    /// All that there is to say about it: mistakes, and what the gates cannot judge; sorted by place.
    #[must_use]
    pub fn findings(self) -> Vec<Diagnostic> {
        let Self { catalog: _, mut diagnostics, mut coverage } = self;
        diagnostics.append(&mut coverage);
        Diagnostic::sort(&mut diagnostics);
        diagnostics
    }
}

/// All that there is to say about the catalog in a directory.
#[must_use]
pub fn check(dir: &Path) -> Vec<Diagnostic> {
    Catalog::load(dir).findings()
}
