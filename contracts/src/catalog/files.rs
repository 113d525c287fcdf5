//! The files of a catalog, in memory.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

use crate::{
    diagnostic::{Diagnostic, Findings, Position},
    yaml,
};

/// The most files that a catalog may have.
const MAX_FILES: usize = 10_000;
/// The deepest folder that is read.
const MAX_DEPTH: usize = 16;
/// What is read: contracts and schemas.
const EXTENSIONS: [&str; 5] = ["yaml", "yml", "json", "avsc", "proto"];

/// The files of a catalog by their path relative to its directory, with `/` on any system.
///
/// A registry client that fetched a schema adds it under [`super::SchemaRef::paths`], where the catalog looks.
#[derive(Debug, Clone, Default)]
pub struct CatalogFiles {
    root: PathBuf,
    files: BTreeMap<String, String>,
}

impl CatalogFiles {
    /// Files in memory; `root` is what diagnostics put before their paths.
    pub fn of<P: Into<String>, T: Into<String>>(
        root: impl Into<PathBuf>,
        files: impl IntoIterator<Item = (P, T)>,
    ) -> Self {
        let files = files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        Self { root: root.into(), files }
    }

    /// Reads a directory and the folders in it. Hidden files are left out, and links to folders, because they may lead
    /// in circles. What cannot be read is a diagnostic.
    #[must_use]
    pub fn read(root: &Path) -> (Self, Vec<Diagnostic>) {
        let mut walk = Walk { root, files: BTreeMap::new(), diagnostics: Vec::new() };
        walk.folder(root, "", 0);
        (Self { root: root.to_owned(), files: walk.files }, walk.diagnostics)
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.files.insert(path.into(), text.into());
    }

    /// The text of a file.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// All files, in path order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// A file's path for diagnostics.
    #[must_use]
    pub fn locate(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A hash of all paths and texts.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        for (path, text) in self.iter() {
            let text = text.replace("\r\n", "\n");
            for part in [path.as_bytes(), text.as_bytes()] {
                hash.update(&(part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        hash.digest()
    }
}

struct Walk<'a> {
    root: &'a Path,
    files: BTreeMap<String, String>,
    diagnostics: Vec<Diagnostic>,
}

impl Walk<'_> {
    fn report(&mut self, path: &str, message: String) {
        let file = self.root.join(path);
        let mut findings = Findings::about(&file);
        findings.error("catalog-unreadable", Position::default(), message);
        self.diagnostics.append(&mut findings.into_diagnostics());
    }

    fn folder(&mut self, folder: &Path, path: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return self.report(path, format!("folders more than {MAX_DEPTH} deep are not read"));
        }
        let mut names: Vec<_> = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<_>>) {
            Ok(names) => names,
            Err(error) => return self.report(path, format!("cannot be read: {error}")),
        };
        names.sort_by_key(fs::DirEntry::file_name);
        for entry in names {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let inner = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.folder(&entry.path(), &inner, depth + 1),
                Ok(_) if is_wanted(&name) => self.file(&entry.path(), inner),
                Ok(_) => {}
                Err(error) => self.report(&inner, format!("cannot be read: {error}")),
            }
        }
    }

    fn file(&mut self, file: &Path, path: String) {
        // A link is followed: that is how configuration is mounted into containers.
        match fs::metadata(file) {
            Ok(data) if data.is_dir() => return,
            Ok(data) if data.len() > yaml::MAX_BYTES as u64 => {
                let message = format!("{} bytes, more than the limit of {}", data.len(), yaml::MAX_BYTES);
                return self.report(&path, message);
            }
            Ok(_) => {}
            Err(error) => return self.report(&path, format!("cannot be read: {error}")),
        }
        if self.files.len() >= MAX_FILES {
            return self.report(&path, format!("not read: the catalog has more than {MAX_FILES} files"));
        }
        match fs::read_to_string(file) {
            Ok(text) => {
                self.files.insert(path, text);
            }
            Err(error) => self.report(&path, format!("cannot be read: {error}")),
        }
    }
}

fn is_wanted(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    EXTENSIONS.iter().any(|wanted| wanted.eq_ignore_ascii_case(extension))
}
