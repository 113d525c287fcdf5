//! The catalog of a command that ends: read once, its references looked up where the configuration says.

use std::{path::Path, sync::Arc};

use faultline_contracts::{
    catalog::{Catalog, CatalogFiles, LoadedCatalog},
    diagnostic::{Diagnostic, Severity},
};

use super::{Exit, Failure};
use crate::{config::Config, metrics::Metrics, registry::Registries};

/// The registries of a configuration; `None` where it has none.
pub(super) fn registries(config: &Config) -> Result<Option<Arc<Registries>>, Failure> {
    Registries::start(&config.registry, config.data_dir.as_deref(), Metrics::new())
        .map_err(|error| Failure::new(Exit::Usage, &error))
}

/// Reads a catalog, whatever is wrong with it.
pub(super) fn read(dir: &Path, registries: Option<&Arc<Registries>>) -> Result<LoadedCatalog, Failure> {
    if !dir.is_dir() {
        return Err(Failure::usage(format!(
            "{} is not a directory; a catalog is one with catalog.yaml",
            dir.display()
        )));
    }
    let mut reading = CatalogFiles::read(dir);
    let missing = registries.map(|registries| registries.fill(&mut reading.files).problems);
    let mut loaded = Catalog::from_reading(&reading);
    loaded.diagnostics.extend(missing.into_iter().flatten());
    Diagnostic::sort(&mut loaded.diagnostics);
    Ok(loaded)
}

/// Loads a catalog and shows what is wrong with it. What is right of it is used.
pub(super) fn loaded(dir: &Path, registries: Option<&Arc<Registries>>) -> Result<Arc<Catalog>, Failure> {
    let LoadedCatalog { catalog, diagnostics, .. } = read(dir, registries)?;
    for problem in diagnostics.iter().filter(|diagnostic| diagnostic.severity != Severity::Note) {
        eprintln!("{problem}");
    }
    Ok(Arc::new(catalog))
}
