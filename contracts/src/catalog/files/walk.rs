//! From folder to folder of a catalog's directory.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use xxhash_rust::xxh3::Xxh3;

use super::{add, is_wanted};

/// The deepest folder that is read.
const MAX_DEPTH: usize = 16;
/// The most folders that are read. Links may lead to one folder many times.
const MAX_FOLDERS: usize = 10_000;

/// What is done with what a walk comes by.
pub(super) trait Visit {
    /// A file of a wanted name.
    fn file(&mut self, path: &str, file: Readable<'_>);
    /// A file or folder that cannot be read.
    fn unreadable(&mut self, path: &str, message: String);
}

/// A file that is there.
pub(super) struct Readable<'a> {
    file: &'a Path,
    metadata: fs::Metadata,
}

impl Readable<'_> {
    /// Its text, of at most `limit` bytes.
    pub(super) fn text(&self, limit: usize) -> Result<String, String> {
        let too_long = |length: u64| Err(format!("{length} bytes, more than the limit of {limit}"));
        if !self.metadata.is_file() {
            return Err("cannot be read: it is no file".to_owned());
        }
        if self.metadata.len() > limit as u64 {
            return too_long(self.metadata.len());
        }
        let read = || {
            // It may grow while it is read.
            let mut text = String::new();
            fs::File::open(self.file)?.take(limit as u64 + 1).read_to_string(&mut text)?;
            Ok(text)
        };
        match read() {
            Ok(text) if text.len() > limit => too_long(text.len() as u64),
            Ok(text) => Ok(text),
            Err(error) => Err(cannot_read(&error)),
        }
    }
}

fn cannot_read(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

/// Visits the wanted files of a directory in the order of their paths, folder by folder.
pub(super) fn walk(root: &Path, visit: &mut impl Visit) {
    Walk { visit, inside: Vec::new(), folders: 0 }.folder(root, "", 0);
}

/// A number that changes with a directory's files, without reading them.
pub(super) fn stamp(root: &Path) -> u64 {
    let mut stamp = Stamp(Xxh3::new());
    walk(root, &mut stamp);
    stamp.0.digest()
}

struct Walk<'a, V> {
    visit: &'a mut V,
    /// The folders that the walk is in, links resolved.
    inside: Vec<PathBuf>,
    folders: usize,
}

impl<V: Visit> Walk<'_, V> {
    fn folder(&mut self, folder: &Path, path: &str, depth: usize) {
        self.folders += 1;
        if depth > MAX_DEPTH {
            return self.visit.unreadable(path, format!("folders more than {MAX_DEPTH} deep are not read"));
        }
        if self.folders > MAX_FOLDERS {
            return self.visit.unreadable(path, format!("not read: the catalog has more than {MAX_FOLDERS} folders"));
        }
        let place = match folder.canonicalize() {
            Ok(place) if self.inside.contains(&place) => return, // A link that leads back to where the walk is.
            Ok(place) => place,
            Err(error) => return self.visit.unreadable(path, cannot_read(&error)),
        };
        let mut names: Vec<_> = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<_>>) {
            Ok(names) => names,
            Err(error) => return self.visit.unreadable(path, cannot_read(&error)),
        };
        names.sort_by_key(fs::DirEntry::file_name);
        self.inside.push(place);
        for entry in names {
            let name = entry.file_name().to_string_lossy().into_owned();
            // In a mounted ConfigMap hidden folders hold the files, and what is not hidden links to them.
            if name.starts_with('.') {
                continue;
            }
            let inner = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let file = entry.path();
            match fs::metadata(&file) {
                Ok(metadata) if metadata.is_dir() => self.folder(&file, &inner, depth + 1),
                Ok(metadata) if is_wanted(&name) => self.visit.file(&inner, Readable { file: &file, metadata }),
                Err(error) if is_wanted(&name) => self.visit.unreadable(&inner, cannot_read(&error)),
                Ok(_) | Err(_) => {}
            }
        }
        self.inside.pop();
    }
}

/// Takes in what the file system says of files.
struct Stamp(Xxh3);

impl Visit for Stamp {
    fn file(&mut self, path: &str, Readable { file: _, metadata }: Readable<'_>) {
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        add(&mut self.0, path.as_bytes());
        for number in [u128::from(metadata.len()), modified.as_nanos(), u128::from(place(&metadata))] {
            self.0.update(&number.to_le_bytes());
        }
    }

    fn unreadable(&mut self, path: &str, message: String) {
        add(&mut self.0, path.as_bytes());
        add(&mut self.0, message.as_bytes());
    }
}

/// What tells a file from one that was put in its place.
#[cfg(unix)]
fn place(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn place(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use crate::catalog::CatalogFiles;

    /// As the kubelet mounts a ConfigMap: data in a hidden folder, one link to it, and links through that link.
    #[test]
    fn a_mounted_config_map_is_read_through_its_links_and_swapped_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let write = |version: &str, text: &str| {
            let data = root.join(version);
            std::fs::create_dir_all(data.join("schemas/orders")).unwrap();
            std::fs::write(data.join("catalog.yaml"), text).unwrap();
            std::fs::write(data.join("schemas/orders/1.json"), text).unwrap();
        };
        write("..1", "one");
        symlink("..1", root.join("..data")).unwrap();
        symlink("..data/catalog.yaml", root.join("catalog.yaml")).unwrap();
        symlink("..data/schemas", root.join("schemas")).unwrap();
        let (first, stamp) = (CatalogFiles::read(root), CatalogFiles::stamp(root));
        assert!(first.unread.is_empty(), "{:?}", first.unread);
        let texts: Vec<_> = first.files.iter().collect();
        assert_eq!(texts, [("catalog.yaml", "one"), ("schemas/orders/1.json", "one")]);
        assert_eq!(CatalogFiles::stamp(root), stamp, "nothing has changed");

        write("..2", "two");
        symlink("..2", root.join("..next")).unwrap();
        std::fs::rename(root.join("..next"), root.join("..data")).unwrap();
        assert_ne!(CatalogFiles::stamp(root), stamp);
        let second = CatalogFiles::read(root);
        assert!(second.files.iter().all(|(_, text)| text == "two"));
        assert_ne!(second.hash(), first.hash());
    }

    #[test]
    fn links_in_circles_and_to_nowhere_end() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir(root.join("a")).unwrap();
        std::fs::write(root.join("a/x.yaml"), "x").unwrap();
        symlink("..", root.join("a/up")).unwrap();
        symlink("a", root.join("b")).unwrap();
        symlink("nowhere", root.join("gone.yaml")).unwrap();
        symlink("nowhere", root.join("gone.txt")).unwrap();
        let reading = CatalogFiles::read(root);
        let paths: Vec<_> = reading.files.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a/x.yaml", "b/x.yaml"]);
        let unread: Vec<_> = reading.unread.iter().map(|d| reading.files.path_of(&d.file).unwrap()).collect();
        assert_eq!(unread, ["gone.yaml"]);
    }

    #[test]
    fn a_file_put_in_anothers_place_changes_the_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.yaml");
        std::fs::write(&path, "one").unwrap();
        let times = std::fs::FileTimes::new().set_modified(std::fs::metadata(&path).unwrap().modified().unwrap());
        let stamp = CatalogFiles::stamp(dir.path());
        // Of the same length, and with the same time.
        let next = dir.path().join("next");
        std::fs::write(&next, "two").unwrap();
        std::fs::File::options().write(true).open(&next).unwrap().set_times(times).unwrap();
        std::fs::rename(&next, &path).unwrap();
        assert_ne!(CatalogFiles::stamp(dir.path()), stamp);
    }
}
