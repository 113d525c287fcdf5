//! The catalog in force, and what follows it when its files change: a file that is broken leaves its last good text in
//! force.
//!
//! ```text
//! standing catalog ─┐                              ┌─► standing catalog (its files may be older than those read)
//!                   ├─► read, restore, read again ─┤
//! files just read ──┘                              └─► held: what keeps the rest of the change out of force
//! ```
//! What is broken is decided by comparison. An error that the standing catalog has as well is nobody's new mistake, and
//! holds nothing back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Catalog, CatalogFiles, CatalogReading, GateState, LoadedCatalog, entries::FILE};
use crate::diagnostic::{Diagnostic, Severity};

/// A catalog in force, with the files that it was read from. Cheap to clone but for its diagnostics.
#[derive(Debug, Clone)]
pub struct StandingCatalog {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// What is wrong with its files, and in force all the same; sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// What the gates cannot judge under it, sorted by place.
    pub coverage: Vec<Diagnostic>,
    files: CatalogFiles,
}

/// What follows a standing catalog.
#[derive(Debug, Clone)]
pub struct Succession {
    /// The catalog that is in force from now on: another one if its [`Catalog::version`] is.
    pub standing: StandingCatalog,
    /// The errors that keep files, or all that has changed, out of force; sorted by place. None means that what was read
    /// is what is in force.
    pub held: Vec<Diagnostic>,
}

impl StandingCatalog {
    /// The first catalog. Nothing good is there to keep, so a mistake costs what it is in and no more.
    #[must_use]
    pub fn first(reading: CatalogReading) -> Self {
        let loaded = Catalog::from_reading(&reading);
        Self::of(reading.files, loaded)
    }

    /// The catalog after another reading of the files.
    ///
    /// - A file with an error that it did not have, or that can no longer be read, counts with its last good text. A file
    ///   that is gone is a change like any other.
    /// - If `catalog.yaml`, which ties the files together, has such an error then, or one comes from a file that has not
    ///   changed, everything stays as it is.
    /// - A broken file without a good text before it, old or new, costs what it is in, unless a gate that could judge a
    ///   dataset no longer could: then everything stays as it is.
    #[must_use]
    pub fn succeeded_by(&self, reading: CatalogReading) -> Succession {
        if self.files.get(FILE).is_none() {
            return Succession { standing: Self::first(reading), held: Vec::new() };
        }
        let CatalogReading { mut files, unread } = reading;
        let (mut held, mut lost) = (Vec::new(), Vec::new());
        for problem in unread {
            let restored = self.restore_below(&problem, &mut files);
            (if restored { &mut held } else { &mut lost }).push(problem);
        }
        // Each turn restores a file or is the last.
        loop {
            let loaded = Catalog::from_files(&files);
            let errors = self.new_errors(&loaded);
            let broken: BTreeSet<&str> = errors.iter().filter_map(|error| files.path_of(&error.file)).collect();
            let restored: BTreeMap<String, Arc<str>> =
                broken.iter().filter_map(|path| Some((String::from(*path), self.good(path, &files)?))).collect();
            if restored.is_empty() {
                let lost_gates = self.lost_gates(&loaded.catalog, &files);
                if lost_gates.is_empty() && self.tolerates(&broken) {
                    let mut standing = Self::of(files, loaded);
                    standing.diagnostics.append(&mut lost);
                    Diagnostic::sort(&mut standing.diagnostics);
                    Diagnostic::sort(&mut held);
                    return Succession { standing, held };
                }
                // With nothing new to blame, what was broken all along is relied on only now.
                held.extend(if errors.is_empty() { lost_gates } else { errors.into_iter().cloned().collect() });
                held.append(&mut lost);
                Diagnostic::sort(&mut held);
                return Succession { standing: self.clone(), held };
            }
            let of_restored =
                |error: &&&Diagnostic| files.path_of(&error.file).is_some_and(|path| restored.contains_key(path));
            held.extend(errors.iter().filter(of_restored).map(|&error| error.clone()));
            for (path, text) in restored {
                files.insert(path, text);
            }
        }
    }

    fn of(files: CatalogFiles, loaded: LoadedCatalog) -> Self {
        let LoadedCatalog { catalog, diagnostics, coverage } = loaded;
        Self { catalog: Arc::new(catalog), diagnostics, coverage, files }
    }

    fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Puts back what was read before of a file that cannot be read now, or of a folder.
    fn restore_below(&self, problem: &Diagnostic, files: &mut CatalogFiles) -> bool {
        let Some(path) = files.path_of(&problem.file).map(str::to_owned) else { return false };
        let mut restored = false;
        for (path, text) in self.files.below(&path) {
            if files.get(path).is_none() {
                files.insert(path, text.clone());
                restored = true;
            }
        }
        restored
    }

    /// The errors that this catalog does not have. Lines above an error come and go, so its place tells nothing.
    fn new_errors<'a>(&self, loaded: &'a LoadedCatalog) -> Vec<&'a Diagnostic> {
        let same = |a: &Diagnostic, b: &Diagnostic| (&a.file, a.code, &a.message) == (&b.file, b.code, &b.message);
        let errors = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        errors.filter(|error| !self.errors().any(|known| same(known, error))).collect()
    }

    /// The good text of a file that has another now. That of `catalog.yaml` alone would go with files that it does not
    /// know: it is never put back by itself.
    fn good(&self, path: &str, files: &CatalogFiles) -> Option<Arc<str>> {
        let text = self.files.text(path).filter(|text| path != FILE && files.text(path) != Some(text))?;
        self.was_good(path).then(|| text.clone())
    }

    fn was_good(&self, path: &str) -> bool {
        self.files.get(path).is_some() && !self.errors().any(|error| self.files.path_of(&error.file) == Some(path))
    }

    /// Whether a catalog can come into force although these files of it are broken.
    fn tolerates(&self, broken: &BTreeSet<&str>) -> bool {
        // One that was good has its good text by now, so what is wrong with it comes from another.
        !broken.iter().any(|path| *path == FILE || self.was_good(path))
    }

    /// The gates that can judge a dataset's records now, and could not do so under `next`.
    fn lost_gates(&self, next: &Catalog, files: &CatalogFiles) -> Vec<Diagnostic> {
        let mut lost = Vec::new();
        for before in self.catalog.datasets() {
            let Some(after) = next.dataset(before.urn.as_str()) else { continue };
            for (gate, was, is, reference) in [
                ("schema", before.schema_state, after.schema_state, &after.schema),
                ("contract", before.contract_state, after.contract_state, &after.contract),
            ] {
                if was != GateState::Broken && is == GateState::Broken {
                    let reference = reference.as_deref().unwrap_or("which is named");
                    lost.push(Diagnostic {
                        severity: Severity::Error,
                        code: "catalog-gate-lost",
                        file: files.locate(FILE),
                        line: 0,
                        column: 0,
                        message: format!("the {gate} '{reference}' of dataset '{}' is broken", after.urn),
                        help: Some(format!("mend it, or name a {gate} that is not; until then all stays as it was")),
                    });
                }
            }
        }
        lost
    }
}
