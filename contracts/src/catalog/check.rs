//! Linting a catalog.

use std::path::Path;

use super::{Catalog, LoadedCatalog};
use crate::diagnostic::Diagnostic;

/// All that there is to say about the catalog in a directory: mistakes, and what the gates cannot judge; sorted by place.
#[must_use]
pub fn check(dir: &Path) -> Vec<Diagnostic> {
    let LoadedCatalog { catalog: _, mut diagnostics, mut coverage } = Catalog::load(dir);
    diagnostics.append(&mut coverage);
    Diagnostic::sort(&mut diagnostics);
    diagnostics
}
