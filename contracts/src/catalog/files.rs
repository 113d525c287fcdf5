//! The files of a catalog, in memory.

mod updates;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use xxhash_rust::xxh3::Xxh3;

pub use self::updates::{FileUpdates, UpdateError};
use self::walk::Readable;
use super::{SchemaRef, entries};
use crate::{
    diagnostic::{Diagnostic, Findings, Position},
    registry::SchemaText,
    yaml,
};

/// The most files that a catalog may have.
const MAX_FILES: usize = 10_000;
/// The most bytes that one of them may have.
const MAX_BYTES: usize = yaml::MAX_BYTES;
/// The most bytes that all of them may have together.
const MAX_TOTAL_BYTES: usize = 256 << 20;
/// What is read: contracts and schemas.
const EXTENSIONS: [&str; 5] = ["yaml", "yml", "json", "avsc", "proto"];

/// The files of a catalog by their path relative to its directory, with `/` on any system. Cheap to clone.
///
/// A registry client that fetched a schema adds it by [`CatalogFiles::insert_schema`]: it comes before any file.
#[derive(Debug, Clone, Default)]
pub struct CatalogFiles {
    root: PathBuf,
    files: BTreeMap<String, Arc<str>>,
    /// What a registry said, by [`SchemaRef`]'s text.
    schemas: BTreeMap<String, Arc<SchemaText>>,
}

/// What one look at a catalog's files has found.
#[derive(Debug, Clone, Default)]
pub struct CatalogReading {
    /// The files that could be read.
    pub files: CatalogFiles,
    /// One for each file or folder that could not.
    pub unread: Vec<Diagnostic>,
}

impl CatalogReading {
    /// A hash of all that was found: two readings that agree have the same.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&self.files.hash().to_le_bytes());
        for Diagnostic { file, message, .. } in &self.unread {
            add(&mut hash, file.as_os_str().as_encoded_bytes());
            add(&mut hash, message.as_bytes());
        }
        hash.digest()
    }
}

impl CatalogFiles {
    /// Files in memory; `root` is what diagnostics put before their paths.
    pub fn of<P: Into<String>, T: Into<Arc<str>>>(
        root: impl Into<PathBuf>,
        files: impl IntoIterator<Item = (P, T)>,
    ) -> Self {
        let files = files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        Self { root: root.into(), files, schemas: BTreeMap::new() }
    }

    /// Reads a directory and the folders in it. Hidden files are left out. Links are followed, unless they lead in a circle.
    #[must_use]
    pub fn read(root: &Path) -> CatalogReading {
        let mut texts = Texts { root, files: BTreeMap::new(), bytes: 0, unread: Vec::new() };
        walk::walk(root, &mut texts);
        let files = Self { root: root.to_owned(), files: texts.files, schemas: BTreeMap::new() };
        CatalogReading { files, unread: texts.unread }
    }

    /// A number that changes when a file of a directory is written, replaced, added or removed, as far as names, sizes,
    /// times and places on the disk tell. It costs a fraction of reading.
    #[must_use]
    pub fn stamp(root: &Path) -> u64 {
        walk::stamp(root)
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<String>, text: impl Into<Arc<str>>) {
        self.files.insert(path.into(), text.into());
    }

    /// Adds or replaces what a registry holds under a `glue:` or `confluent:` reference.
    pub fn insert_schema(&mut self, reference: &SchemaRef, schema: SchemaText) {
        self.schemas.insert(reference.to_string(), Arc::new(schema));
    }

    /// What a registry holds under a reference, as far as it was added.
    #[must_use]
    pub fn schema(&self, reference: &SchemaRef) -> Option<&SchemaText> {
        self.schemas.get(&reference.to_string()).map(|schema| &**schema)
    }

    /// What the datasets of `catalog.yaml` name as their schemas, each once, where it is named first. What is no reference is
    /// left out.
    #[must_use]
    pub fn schema_references(&self) -> Vec<(SchemaRef, Position)> {
        let file = self.locate(entries::FILE);
        // Whoever assembles the catalog hears what is wrong with it.
        let entries = entries::read(self, &mut Findings::about(&file));
        let (mut seen, mut references) = (BTreeSet::new(), Vec::new());
        for (text, at) in entries.datasets.into_iter().filter_map(|dataset| dataset.schema) {
            references.extend(SchemaRef::parse(&text).filter(|_| seen.insert(text)).map(|reference| (reference, at)));
        }
        references
    }

    /// The text of a file.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|text| &**text)
    }

    /// All files, in path order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), &**text))
    }

    /// A file's path for diagnostics.
    #[must_use]
    pub fn locate(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The path in this catalog of a file of a diagnostic; empty for the catalog's root, `None` for one elsewhere.
    #[must_use]
    pub fn path_of<'a>(&self, file: &'a Path) -> Option<&'a str> {
        file.strip_prefix(&self.root).ok()?.to_str()
    }

    /// The text of a file, shared.
    pub(super) fn text(&self, path: &str) -> Option<&Arc<str>> {
        self.files.get(path)
    }

    /// The files at a path and below it, in path order; all of them for the empty path.
    pub(super) fn below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a Arc<str>)> {
        let inside = move |of: &str| {
            let rest = of.strip_prefix(path);
            rest.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('/'))
        };
        self.files.iter().map(|(of, text)| (of.as_str(), text)).filter(move |(of, _)| inside(of))
    }

    /// A hash of all paths and texts, and of what registries said.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        for (path, text) in self.iter() {
            add(&mut hash, path.as_bytes());
            add(&mut hash, unified(text).as_bytes());
        }
        for (reference, schema) in &self.schemas {
            add(&mut hash, reference.as_bytes());
            add_schema(&mut hash, schema);
        }
        hash.digest()
    }
}

/// A hash of what a registry said of one schema.
pub(super) fn schema_hash(schema: &SchemaText) -> u64 {
    let mut hash = Xxh3::new();
    add_schema(&mut hash, schema);
    hash.digest()
}

fn add_schema(hash: &mut Xxh3, schema: &SchemaText) {
    let referenced = schema.references.iter().flat_map(|one| [one.name.as_str(), one.text.as_str()]);
    for part in [schema.format.as_str(), schema.text.as_str()].into_iter().chain(referenced) {
        add(hash, part.as_bytes());
    }
}

/// A hash of one text, line ends unified.
pub(super) fn text_hash(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(unified(text).as_bytes())
}

fn unified(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").into() } else { text.into() }
}

fn add(hash: &mut Xxh3, part: &[u8]) {
    hash.update(&(part.len() as u64).to_le_bytes());
    hash.update(part);
}

/// That a file cannot be read, as a diagnostic.
fn unreadable(file: &Path, message: String) -> Diagnostic {
    let mut findings = Findings::about(file);
    findings.error("catalog-unreadable", Position::default(), message).clone()
}

/// Whether a catalog has files of such a name.
fn is_wanted(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    !name.starts_with('.') && EXTENSIONS.iter().any(|wanted| wanted.eq_ignore_ascii_case(extension))
}

/// Reads what a walk comes by.
struct Texts<'a> {
    root: &'a Path,
    files: BTreeMap<String, Arc<str>>,
    bytes: usize,
    unread: Vec<Diagnostic>,
}

impl walk::Visit for Texts<'_> {
    fn file(&mut self, path: &str, file: Readable<'_>) {
        if let Err(message) = self.take(path, file) {
            self.unreadable(path, message);
        }
    }

    fn unreadable(&mut self, path: &str, message: String) {
        self.unread.push(unreadable(&self.root.join(path), message));
    }
}

impl Texts<'_> {
    fn take(&mut self, path: &str, file: Readable<'_>) -> Result<(), String> {
        if self.files.len() >= MAX_FILES {
            return Err(format!("not read: the catalog has more than {MAX_FILES} files"));
        }
        let text = file.text(MAX_BYTES)?;
        self.bytes += text.len();
        if self.bytes > MAX_TOTAL_BYTES {
            return Err(format!("not read: the catalog has more than {MAX_TOTAL_BYTES} bytes"));
        }
        self.files.insert(path.to_owned(), text.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_a_folder_is_what_is_in_it() {
        let files = CatalogFiles::of("c", ["a.yaml", "s/1.json", "s/2/3.json", "s.json"].map(|path| (path, "")));
        let below = |path| files.below(path).map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(below("s"), ["s/1.json", "s/2/3.json"]);
        assert_eq!((below("s.json"), below("").len(), below("x").len()), (vec!["s.json"], 4, 0));
    }

    #[test]
    fn files_of_diagnostics_lead_back_to_their_path() {
        let files = CatalogFiles::of("some/dir", [("s/1.json", "")]);
        assert_eq!(files.path_of(&files.locate("s/1.json")), Some("s/1.json"));
        assert_eq!(files.path_of(Path::new("some/dir")), Some(""));
        assert_eq!(files.path_of(Path::new("elsewhere/s/1.json")), None);
    }

    #[test]
    fn line_ends_make_no_difference() {
        let of = |text: &str| CatalogFiles::of("c", [("catalog.yaml", text)]).hash();
        assert_eq!(of("a:\r\n- b\r\n"), of("a:\n- b\n"));
        assert_ne!(of("a:\n- b\n"), of("a:\n- c\n"));
    }
}
