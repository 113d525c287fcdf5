//! Files that come one by one, as records of a compacted topic: the latest text of each path.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{CatalogFiles, CatalogReading, MAX_BYTES, MAX_FILES, MAX_TOTAL_BYTES, is_wanted, unreadable};
use crate::yaml::clip;

/// The longest path, in bytes.
const MAX_PATH: usize = 1_024;

/// A record that is no file of a catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// Its key is no path.
    #[error("the key is no path: write the file's path relative to the catalog's root, such as orders.odcs.yaml")]
    NoPath,
    /// Its key leads out of the catalog, or to a hidden file.
    #[error("{0:?} is not a path inside the catalog")]
    Outside(String),
    /// A catalog has no files of such a name.
    #[error("{0:?} is neither a contract nor a schema: names end in .yaml, .yml, .json, .avsc or .proto")]
    Unwanted(String),
    /// There is no room for another.
    #[error("{0:?} is not taken: a catalog has at most {MAX_FILES} files")]
    TooMany(String),
}

/// The latest text of each file. Bounded in files and bytes.
#[derive(Debug, Clone, Default)]
pub struct FileUpdates {
    root: PathBuf,
    files: BTreeMap<String, Result<Arc<str>, String>>,
    bytes: usize,
}

impl FileUpdates {
    /// No files yet; `root` is what diagnostics put before their paths.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), ..Self::default() }
    }

    /// Takes a record: `path` relative to the catalog's root, `text` `None` where the file is deleted. A text that cannot
    /// be taken makes its file unreadable until the next.
    ///
    /// # Errors
    /// The record is about no file of a catalog, and changes nothing.
    pub fn apply(&mut self, path: Option<&[u8]>, text: Option<&[u8]>) -> Result<(), UpdateError> {
        let path = path.and_then(|path| std::str::from_utf8(path).ok()).filter(|path| !path.is_empty());
        let path = path.filter(|path| path.len() <= MAX_PATH).ok_or(UpdateError::NoPath)?;
        let path = path.strip_prefix("./").unwrap_or(path);
        let sound = |segment: &str| !segment.is_empty() && !segment.starts_with('.') && !segment.contains('\\');
        if !path.split('/').all(sound) || path.chars().any(char::is_control) {
            return Err(UpdateError::Outside(clip(path)));
        }
        if !is_wanted(path.rsplit('/').next().unwrap_or(path)) {
            return Err(UpdateError::Unwanted(clip(path)));
        }
        let Some(text) = text else {
            self.remove(path);
            return Ok(());
        };
        if self.files.len() >= MAX_FILES && !self.files.contains_key(path) {
            return Err(UpdateError::TooMany(clip(path)));
        }
        self.remove(path);
        let taken = self.take(text);
        self.bytes += taken.as_ref().map_or(0, |text| text.len());
        self.files.insert(path.to_owned(), taken);
        Ok(())
    }

    fn remove(&mut self, path: &str) {
        if let Some(Ok(text)) = self.files.remove(path) {
            self.bytes -= text.len();
        }
    }

    fn take(&self, text: &[u8]) -> Result<Arc<str>, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("{} bytes, more than the limit of {MAX_BYTES}", text.len()));
        }
        if self.bytes + text.len() > MAX_TOTAL_BYTES {
            return Err(format!("not read: the catalog has more than {MAX_TOTAL_BYTES} bytes"));
        }
        std::str::from_utf8(text).map(Into::into).map_err(|error| format!("cannot be read: {error}"))
    }

    /// The files as they are now.
    #[must_use]
    pub fn reading(&self) -> CatalogReading {
        let texts = self.files.iter().filter_map(|(path, text)| Some((path.clone(), text.as_ref().ok()?.clone())));
        let files = CatalogFiles::of(&self.root, texts);
        let unread = self.files.iter().filter_map(|(path, text)| Some((path, text.as_ref().err()?)));
        let unread = unread.map(|(path, message)| unreadable(&files.locate(path), message.clone())).collect();
        CatalogReading { files, unread }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(updates: &mut FileUpdates, path: &str, text: Option<&[u8]>) -> Result<(), UpdateError> {
        updates.apply(Some(path.as_bytes()), text)
    }

    #[test]
    fn the_latest_text_of_each_path_counts() {
        let mut updates = FileUpdates::new("signal_factory.catalog");
        apply(&mut updates, "catalog.yaml", Some(b"one")).unwrap();
        apply(&mut updates, "schemas/orders.created/17.json", Some(b"{}")).unwrap();
        apply(&mut updates, "./catalog.yaml", Some(b"two")).unwrap();
        apply(&mut updates, "gone.yaml", Some(b"x")).unwrap();
        apply(&mut updates, "gone.yaml", None).unwrap();
        apply(&mut updates, "never.yaml", None).unwrap();
        let reading = updates.reading();
        let files: Vec<_> = reading.files.iter().collect();
        assert_eq!(files, [("catalog.yaml", "two"), ("schemas/orders.created/17.json", "{}")]);
        assert_eq!(updates.bytes, 5);
        assert_eq!(reading.files.locate("catalog.yaml").to_str(), Some("signal_factory.catalog/catalog.yaml"));
    }

    #[test]
    fn keys_stay_inside_the_catalog() {
        let mut updates = FileUpdates::default();
        for bad in ["/etc/x.yaml", "../x.yaml", "a/../x.yaml", "a//x.yaml", ".hidden.yaml", "a\\x.yaml", "a\nx.yaml"] {
            let refused = apply(&mut updates, bad, Some(b"")).unwrap_err();
            assert!(matches!(refused, UpdateError::Outside(_)), "{bad}: {refused}");
        }
        assert!(matches!(apply(&mut updates, "notes.txt", Some(b"")), Err(UpdateError::Unwanted(_))));
        assert_eq!(updates.apply(None, Some(b"")), Err(UpdateError::NoPath));
        assert_eq!(updates.apply(Some(b"\xff.yaml"), Some(b"")), Err(UpdateError::NoPath));
        assert_eq!(updates.apply(Some(b""), None), Err(UpdateError::NoPath));
        assert!(updates.reading().files.iter().next().is_none());
    }

    #[test]
    fn a_text_that_cannot_be_taken_is_a_diagnostic_until_the_next() {
        let mut updates = FileUpdates::new("t");
        apply(&mut updates, "a.yaml", Some(b"good")).unwrap();
        let good = updates.reading().hash();
        for bad in [&b"\xff\xfe"[..], &vec![b' '; MAX_BYTES + 1]] {
            apply(&mut updates, "a.yaml", Some(bad)).unwrap();
            let reading = updates.reading();
            assert_eq!((reading.files.iter().count(), reading.unread.len(), updates.bytes), (0, 1, 0));
            assert_eq!(reading.unread[0].file.to_str(), Some("t/a.yaml"));
            assert_ne!(reading.hash(), good);
        }
        apply(&mut updates, "a.yaml", Some(b"good")).unwrap();
        assert_eq!(updates.reading().hash(), good);
    }
}
