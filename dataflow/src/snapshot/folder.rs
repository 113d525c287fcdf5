//! A folder of snapshots, one file each, named by epoch.
//!
//! A file appears whole or not at all: it is written under another name, synced and renamed, and so is the folder. Another
//! process that looks into the folder meanwhile sees what was there before.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use super::{Header, Snapshot, SnapshotError, format::split_header};

const SUFFIX: &str = ".snapshot";
const PARTIAL: &str = ".partial";
/// Enough for any header.
const HEAD: u64 = 2 << 20;

/// A folder of snapshots.
#[derive(Debug, Clone)]
pub struct Folder {
    dir: PathBuf,
    keep: usize,
}

/// A snapshot in a folder.
#[derive(Debug)]
pub struct Entry {
    /// Its file.
    pub path: PathBuf,
    /// Its epoch, by its name.
    pub epoch: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SnapshotError {
    let path = path.to_owned();
    move |source| SnapshotError::File { action, path, source }
}

impl Folder {
    /// The folder, of which so many snapshots are kept: at least one.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, keep: usize) -> Self {
        Self { dir: dir.into(), keep: keep.max(1) }
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the folder where it is not there, and removes what a process has left half-written.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn open(&self) -> Result<(), SnapshotError> {
        fs::create_dir_all(&self.dir).map_err(failed("create", &self.dir))?;
        for file in fs::read_dir(&self.dir).map_err(failed("read", &self.dir))? {
            let path = file.map_err(failed("read", &self.dir))?.path();
            if path.to_string_lossy().ends_with(PARTIAL) {
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    /// The snapshots, newest first. A folder that is not there has none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, SnapshotError> {
        let files = match fs::read_dir(&self.dir) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &self.dir)(error)),
        };
        let mut entries = Vec::new();
        for file in files {
            let file = file.map_err(failed("read", &self.dir))?;
            let name = file.file_name();
            let epoch = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|name| name.parse().ok());
            let Some(epoch) = epoch else { continue };
            let path = file.path();
            let bytes = file.metadata().map_err(failed("read", &path))?.len();
            entries.push(Entry { path, epoch, bytes });
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.epoch));
        Ok(entries)
    }

    /// Writes a snapshot, and removes those that are too many then. Returns its length in bytes.
    ///
    /// # Errors
    /// It is not there then, or others could not be removed.
    pub fn write(&self, snapshot: &Snapshot) -> Result<u64, SnapshotError> {
        let path = self.dir.join(format!("{:020}{SUFFIX}", snapshot.header.epoch));
        let partial = path.with_extension("snapshot.partial");
        let bytes = self.write_partial(snapshot, &partial).inspect_err(|_| {
            // A full disk is not to be kept full by what is of no use.
            let _ = fs::remove_file(&partial);
        })?;
        fs::rename(&partial, &path).map_err(failed("rename", &partial))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", &self.dir))?;
        for old in self.entries()?.into_iter().skip(self.keep) {
            fs::remove_file(&old.path).map_err(failed("remove", &old.path))?;
        }
        Ok(bytes)
    }

    fn write_partial(&self, snapshot: &Snapshot, partial: &Path) -> Result<u64, SnapshotError> {
        let file = File::create(partial).map_err(failed("create", partial))?;
        let mut file = std::io::BufWriter::with_capacity(1 << 20, file);
        let mut length = 0;
        snapshot
            .write(|bytes| {
                length += bytes.len() as u64;
                file.write_all(bytes)
            })
            .and_then(|()| file.flush())
            .map_err(failed("write", partial))?;
        file.get_ref().sync_all().map_err(failed("sync", partial))?;
        Ok(length)
    }

    /// Reads and checks a snapshot.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or of another format.
    pub fn read(&self, entry: &Entry) -> Result<Snapshot, SnapshotError> {
        let bytes = fs::read(&entry.path).map_err(failed("read", &entry.path))?;
        Snapshot::read(&bytes, &entry.path)
    }

    /// The header of a snapshot, without its rows.
    ///
    /// # Errors
    /// As for [`Folder::read`].
    pub fn header(&self, entry: &Entry) -> Result<Header, SnapshotError> {
        use std::io::Read;
        let mut head = Vec::new();
        let file = File::open(&entry.path).map_err(failed("read", &entry.path))?;
        file.take(HEAD).read_to_end(&mut head).map_err(failed("read", &entry.path))?;
        split_header(&head, &entry.path).map(|(header, _)| header)
    }

    /// The newest snapshot that is whole. Those that are damaged are passed over, loudly.
    ///
    /// # Errors
    /// The folder cannot be read, or the newest that is whole is of another format.
    pub fn latest(&self) -> Result<Option<Snapshot>, SnapshotError> {
        for entry in self.entries()? {
            match self.read(&entry) {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(error @ SnapshotError::Format { .. }) => return Err(error),
                Err(error) => tracing::error!(%error, "a snapshot is of no use; the one before it is taken"),
            }
        }
        Ok(None)
    }
}
