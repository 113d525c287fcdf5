//! Writes one file line by line and gives it its name at the end.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::SinkError;

/// Bytes gathered before a write to the file.
const BUFFER: usize = 256 * 1024;

/// Writes lines to `<path>.partial`, which [`JsonlWriter::finish`] syncs and renames to `<path>`: whoever finds the
/// file finds all of it. A writer that is dropped before removes the partial file and leaves an older one as it was.
#[derive(Debug)]
pub struct JsonlWriter {
    path: PathBuf,
    partial: PathBuf,
    /// `None` after the file has its name, or a write has failed.
    file: Option<BufWriter<File>>,
    line: Vec<u8>,
    lines: u64,
}

impl JsonlWriter {
    /// Starts the file.
    ///
    /// # Errors
    /// [`SinkError::File`] where the folder is missing or not writable.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, SinkError> {
        let path = path.into();
        let mut partial = OsString::from(path.as_os_str());
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(|source| file_error("create", &partial, source))?;
        Ok(Self { path, partial, file: Some(BufWriter::with_capacity(BUFFER, file)), line: Vec::new(), lines: 0 })
    }

    /// The name the file will have.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines written.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Appends a value as one line.
    ///
    /// # Errors
    /// [`SinkError::Json`] where it has no JSON form; the file stays as it was. [`SinkError::File`] where the file
    /// cannot be written.
    pub fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SinkError> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        // Into a buffer first: half a line must not reach the file.
        let written = serde_json::to_writer(&mut line, value)
            .map_err(|source| SinkError::Json { path: self.path.clone(), source })
            .and_then(|()| self.append(&line));
        self.line = line;
        written
    }

    /// Appends what is JSON already, without its line end.
    ///
    /// # Errors
    /// [`SinkError::LineEnd`] where it would be two lines, [`SinkError::File`] where the file cannot be written.
    pub fn write_raw(&mut self, line: &[u8]) -> Result<(), SinkError> {
        if line.contains(&b'\n') {
            return Err(SinkError::LineEnd { path: self.path.clone() });
        }
        self.append(line)
    }

    fn append(&mut self, line: &[u8]) -> Result<(), SinkError> {
        let file = self.file.as_mut().ok_or_else(|| failed_before(&self.partial))?;
        if let Err(source) = file.write_all(line).and_then(|()| file.write_all(b"\n")) {
            // It may end in half a line: such a file never gets its name.
            self.discard();
            return Err(file_error("write", &self.partial, source));
        }
        self.lines += 1;
        Ok(())
    }

    /// Writes what is buffered, waits until it is on the disk, and gives the file its name. Returns its number of lines.
    ///
    /// # Errors
    /// [`SinkError::File`], also where an earlier write failed; a file that had the name before is then as it was.
    pub fn finish(mut self) -> Result<u64, SinkError> {
        let file = self.file.as_mut().ok_or_else(|| failed_before(&self.partial))?;
        file.flush()
            .and_then(|()| file.get_ref().sync_all())
            .map_err(|source| file_error("write", &self.partial, source))?;
        fs::rename(&self.partial, &self.path).map_err(|source| file_error("create", &self.path, source))?;
        self.file = None;
        sync_folder(&self.path)?;
        Ok(self.lines)
    }

    fn discard(&mut self) {
        if let Some(file) = self.file.take() {
            // Without the flush that dropping it would try.
            drop(file.into_parts());
            let _ = fs::remove_file(&self.partial);
        }
    }
}

impl Drop for JsonlWriter {
    fn drop(&mut self) {
        self.discard();
    }
}

/// A rename is on the disk when the folder is.
fn sync_folder(path: &Path) -> Result<(), SinkError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| file_error("sync", folder, source))
}

pub(super) fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> SinkError {
    SinkError::File { action, path: path.to_owned(), source }
}

/// What is said of a file after a write to it has failed.
pub(super) fn failed_before(path: &Path) -> SinkError {
    file_error("write", path, std::io::Error::other("an earlier write failed"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_file_appears_when_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signals.jsonl");
        fs::write(&path, "of an earlier run\n").unwrap();
        let mut writer = JsonlWriter::create(&path).unwrap();
        writer.write(&serde_json::json!({"a": 1, "text": "two\nlines"})).unwrap();
        writer.write_raw(br#"{"b":2}"#).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "of an earlier run\n");
        assert_eq!(writer.finish().unwrap(), 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1,\"text\":\"two\\nlines\"}\n{\"b\":2}\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the partial file is gone");
    }

    #[test]
    fn an_unfinished_file_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signals.jsonl");
        let mut writer = JsonlWriter::create(&path).unwrap();
        writer.write_raw(b"{}").unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_one_json_line_is_refused_and_leaves_the_file_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let mut writer = JsonlWriter::create(&path).unwrap();
        let unwritable: BTreeMap<(u8, u8), u8> = [((1, 2), 3)].into();
        assert!(matches!(writer.write(&unwritable), Err(SinkError::Json { .. })));
        assert!(matches!(writer.write_raw(b"{}\n{}"), Err(SinkError::LineEnd { .. })));
        writer.write(&"after").unwrap();
        assert_eq!(writer.finish().unwrap(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), "\"after\"\n");
    }

    #[test]
    fn a_file_with_a_failed_write_never_gets_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        std::os::unix::fs::symlink("/dev/full", folder.path().join("x.jsonl.partial")).unwrap();
        let mut writer = JsonlWriter::create(&path).unwrap();
        writer.write_raw(b"{}").unwrap();
        let error = writer.write_raw(&vec![b' '; 2 * BUFFER]).unwrap_err();
        assert_eq!(error.hint(), Some("free space, or write to another volume"), "{error:?}");
        assert!(matches!(writer.write_raw(b"{}"), Err(SinkError::File { .. })));
        assert!(matches!(writer.finish(), Err(SinkError::File { .. })));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_error_names_the_file() {
        let error = JsonlWriter::create("/nonexistent/folder/x.jsonl").unwrap_err();
        assert_eq!(error.to_string(), "cannot create /nonexistent/folder/x.jsonl.partial");
        assert_eq!(error.hint(), Some("create the folder first"));
        assert!(!error.is_transient());
    }
}
