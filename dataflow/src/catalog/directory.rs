//! A catalog in a directory.
//!
//! It is looked at every now and then, and not watched by the kernel's notifications: those do not come over network file
//! systems nor for what another container writes, tell of links' targets and not of links when a ConfigMap is swapped, have
//! a limit that other programs use up, and would need a look at the directory anyway after each overflow of their queue.
//! A look is one `stat` a file while nothing changes.

use std::path::{Path, PathBuf};

use faultline_contracts::catalog::{CatalogFiles, CatalogReading};

use super::{
    settling::Settling,
    source::{CatalogError, Source},
};

/// A directory, and how it looked.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    /// What the file system said of the files that were given last.
    given: Option<u64>,
    settling: Settling<(u64, u64)>,
}

impl Directory {
    /// Reads a directory for the first time, as it is.
    pub(super) fn open(root: &Path) -> Result<(Self, CatalogReading), CatalogError> {
        if !root.is_dir() {
            return Err(CatalogError::NoDirectory(root.to_owned()));
        }
        let directory = Self { root: root.to_owned(), given: None, settling: Settling::new() };
        Ok((directory, CatalogFiles::read(root)))
    }
}

impl Source for Directory {
    fn look(&mut self) -> Result<Option<CatalogReading>, String> {
        // Taken before reading: what is written while it is read changes the stamp of the next look.
        let stamp = CatalogFiles::stamp(&self.root);
        if self.given == Some(stamp) {
            return Ok(None);
        }
        let reading = CatalogFiles::read(&self.root);
        if !self.settling.settled((stamp, reading.hash())) {
            return Ok(None);
        }
        self.given = Some(stamp);
        Ok(Some(reading))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_given_once_when_two_looks_agree() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("catalog.yaml");
        std::fs::write(&file, "datasets: []").unwrap();
        let (mut directory, first) = Directory::open(dir.path()).unwrap();
        assert_eq!(first.files.get("catalog.yaml"), Some("datasets: []"));
        let mut look = || directory.look().unwrap().map(|reading| reading.files.get("catalog.yaml").map(str::to_owned));
        assert_eq!([look(), look(), look()], [None, Some(Some("datasets: []".into())), None]);

        std::fs::write(&file, "datasets: [{").unwrap();
        assert_eq!(look(), None);
        std::fs::write(&file, "datasets: [{urn: x}]").unwrap();
        assert_eq!([look(), look(), look()], [None, Some(Some("datasets: [{urn: x}]".into())), None]);

        std::fs::remove_file(&file).unwrap();
        assert_eq!([look(), look(), look()], [None, Some(None), None]);
    }

    #[test]
    fn a_directory_that_goes_and_comes_back_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("contracts");
        assert!(matches!(Directory::open(&root), Err(CatalogError::NoDirectory(_))));
        std::fs::create_dir(&root).unwrap();
        let (mut directory, _) = Directory::open(&root).unwrap();
        std::fs::remove_dir(&root).unwrap();
        assert!(directory.look().unwrap().is_none());
        assert_eq!(directory.look().unwrap().unwrap().unread.len(), 1);
        std::fs::create_dir(&root).unwrap();
        assert!(directory.look().unwrap().is_none());
        assert!(directory.look().unwrap().unwrap().unread.is_empty());
    }
}
