//! Schemas on the disk, so that they are there after a restart while a registry is down.
//!
//! ```text
//! <dir>/<registry>-<hash of its address>/<id>.json           by id
//!                                       /named-<hash>.json   by name and version
//! ```
//! Each file is whole or not there: it is written beside its place and moved there. A file that is damaged all the same is
//! ignored, logged, and written anew when the registry has answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use faultline_contracts::registry::{SchemaId, SchemaText};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The form of the files. Others are ignored, as damaged ones are.
const FORM: u32 = 1;
const EXTENSION: &str = ".json";

/// By what a schema is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CacheKey {
    /// Its id.
    Id(SchemaId),
    /// A reference of the catalog: `glue:orders.created:17`.
    Named(String),
}

impl CacheKey {
    fn text(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Named(reference) => reference.clone(),
        }
    }

    /// Names may be longer than a file's name, and hold anything.
    fn file_name(&self) -> String {
        match self {
            Self::Id(id) => id.to_string().replace(':', "-") + EXTENSION,
            Self::Named(reference) => format!("named-{:032x}{EXTENSION}", xxh3_128(reference.as_bytes())),
        }
    }
}

/// The id of a file's schema, by the file's name.
fn id_of(file_name: &str) -> Option<SchemaId> {
    let (registry, id) = file_name.strip_suffix(EXTENSION)?.split_once('-')?;
    format!("{registry}:{id}").parse().ok()
}

#[derive(Serialize, Deserialize)]
struct Stored {
    form: u32,
    key: String,
    checksum: String,
    schema: SchemaText,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum Damage {
    #[error("no file of the cache: {0}")]
    Json(#[from] serde_json::Error),
    #[error("of form {0}, not {FORM}")]
    Form(u32),
    #[error("of another schema: {0}")]
    Key(String),
    #[error("its checksum is another")]
    Checksum,
}

fn checksum(schema: &SchemaText) -> Result<String, serde_json::Error> {
    Ok(format!("{:016x}", xxh3_64(&serde_json::to_vec(schema)?)))
}

fn encode(key: &CacheKey, schema: SchemaText) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Stored { form: FORM, key: key.text(), checksum: checksum(&schema)?, schema })
}

fn decode(key: &CacheKey, bytes: &[u8]) -> Result<SchemaText, Damage> {
    let Stored { form, key: stored, checksum: written, schema } = serde_json::from_slice(bytes)?;
    if form != FORM {
        return Err(Damage::Form(form));
    }
    if stored != key.text() {
        return Err(Damage::Key(stored));
    }
    if checksum(&schema)? != written {
        return Err(Damage::Checksum);
    }
    Ok(schema)
}

/// The schemas of one registry in a folder. Blocks on the disk.
#[derive(Debug)]
pub(super) struct DiskCache {
    dir: PathBuf,
    limit: usize,
    /// When each file was last of use.
    files: Mutex<BTreeMap<String, SystemTime>>,
}

impl DiskCache {
    /// The cache below `dir` of the registry that `scope` tells from others, with at most `limit` schemas.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub(super) fn open(dir: &Path, scope: &str, limit: usize) -> io::Result<Self> {
        let kind = scope.split(' ').next().unwrap_or_default();
        let dir = dir.join(format!("{kind}-{:016x}", xxh3_64(scope.as_bytes())));
        fs::create_dir_all(&dir)?;
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(EXTENSION) {
                files.insert(name, entry.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH));
            } else if name.ends_with(PARTIAL) {
                // Left by a process that ended while it wrote.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Self { dir, limit, files: Mutex::new(files) })
    }

    /// The ids of the schemas that are there.
    pub(super) fn ids(&self) -> BTreeSet<SchemaId> {
        self.files().keys().filter_map(|name| id_of(name)).collect()
    }

    /// What is kept under a key. What is damaged is logged, and as if it were not there.
    pub(super) fn read(&self, key: &CacheKey) -> Option<SchemaText> {
        let name = key.file_name();
        if !self.files().contains_key(&name) {
            return None;
        }
        let path = self.dir.join(&name);
        let read = fs::read(&path).map_err(|error| error.to_string());
        match read.and_then(|bytes| decode(key, &bytes).map_err(|damage| damage.to_string())) {
            Ok(schema) => {
                // What is of use stays longest; by its file's time, so that a restart knows.
                let now = SystemTime::now();
                let _ = File::options().append(true).open(&path).and_then(|file| file.set_modified(now));
                self.files().insert(name, now);
                Some(schema)
            }
            Err(reason) => {
                tracing::warn!(file = %path.display(), reason, "damaged file of the schema cache ignored");
                self.files().remove(&name);
                None
            }
        }
    }

    /// Keeps a schema. Says which ids had to go for it.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn write(&self, key: &CacheKey, schema: SchemaText) -> io::Result<Vec<SchemaId>> {
        let (name, bytes) = (key.file_name(), encode(key, schema)?);
        let partial = self.dir.join(format!("{name}{PARTIAL}"));
        let mut file = File::create(&partial)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&partial, self.dir.join(&name))?;
        let mut files = self.files();
        files.insert(name, SystemTime::now());
        let mut gone = Vec::new();
        while files.len() > self.limit {
            let Some(oldest) = files.iter().min_by_key(|(_, used)| **used).map(|(name, _)| name.clone()) else { break };
            files.remove(&oldest);
            fs::remove_file(self.dir.join(&oldest))?;
            gone.extend(id_of(&oldest));
        }
        Ok(gone)
    }

    fn files(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, SystemTime>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const PARTIAL: &str = ".partial";

#[cfg(test)]
mod tests {
    use faultline_contracts::registry::{ReferencedSchema, SchemaFormat};

    use super::*;

    fn schema(text: &str) -> SchemaText {
        SchemaText {
            format: SchemaFormat::Avro,
            name: "orders".to_owned(),
            version: Some("3".to_owned()),
            text: text.to_owned(),
            other_names: vec!["confluent:other:1".to_owned()],
            references: vec![ReferencedSchema { name: "a.B".to_owned(), text: "{}".to_owned() }],
        }
    }

    fn keys() -> [CacheKey; 4] {
        [
            CacheKey::Id(SchemaId::Confluent(7)),
            CacheKey::Id(SchemaId::ConfluentGuid([7; 16])),
            CacheKey::Id(SchemaId::Glue([7; 16])),
            CacheKey::Named(format!("confluent:{}:latest", "../é ".repeat(200))),
        ]
    }

    fn file(dir: &Path, key: &CacheKey) -> PathBuf {
        let folder = fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
        folder.join(key.file_name())
    }

    #[test]
    fn schemas_outlive_the_process_and_registries_keep_apart() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(dir.path(), "confluent http://one", 10).unwrap();
        for (number, key) in keys().into_iter().enumerate() {
            assert_eq!(cache.read(&key), None);
            cache.write(&key, schema(&number.to_string())).unwrap();
        }
        let cache = DiskCache::open(dir.path(), "confluent http://one", 10).unwrap();
        for (number, key) in keys().into_iter().enumerate() {
            assert_eq!(cache.read(&key), Some(schema(&number.to_string())));
        }
        let ids: BTreeSet<_> = keys()
            .into_iter()
            .filter_map(|key| match key {
                CacheKey::Id(id) => Some(id),
                CacheKey::Named(_) => None,
            })
            .collect();
        assert_eq!(cache.ids(), ids);
        let other = DiskCache::open(dir.path(), "confluent http://two", 10).unwrap();
        assert!(other.ids().is_empty() && other.read(&keys()[0]).is_none());
    }

    #[test]
    fn damage_of_any_kind_is_as_if_nothing_were_there() {
        let dir = tempfile::tempdir().unwrap();
        let (key, other) = (&keys()[0], &keys()[1]);
        let whole = encode(key, schema("text")).unwrap();
        let text = String::from_utf8(whole.clone()).unwrap();
        let changed = text.replace("orders", "ordres");
        let form = text.replace("\"form\":1", "\"form\":2");
        for damaged in [
            whole[..whole.len() / 2].to_vec(),
            Vec::new(),
            b"null".to_vec(),
            changed.into_bytes(),
            form.into_bytes(),
            encode(other, schema("text")).unwrap(),
        ] {
            let cache = DiskCache::open(dir.path(), "c", 10).unwrap();
            cache.write(key, schema("text")).unwrap();
            fs::write(file(dir.path(), key), damaged).unwrap();
            assert_eq!(cache.read(key), None);
            assert!(cache.ids().is_empty(), "it is to be fetched anew");
            cache.write(key, schema("again")).unwrap();
            assert_eq!(cache.read(key), Some(schema("again")));
        }
        assert_eq!(decode(key, &whole).unwrap(), schema("text"));
    }

    #[test]
    fn the_least_used_go_and_unfinished_files_are_cleared_away() {
        let dir = tempfile::tempdir().unwrap();
        let key = |id| CacheKey::Id(SchemaId::Confluent(id));
        let cache = DiskCache::open(dir.path(), "c", 3).unwrap();
        for id in 1..=3 {
            assert!(cache.write(&key(id), schema("x")).unwrap().is_empty());
            // Times of files may be coarse.
            let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(id.into());
            cache.files().insert(key(id).file_name(), long_ago);
        }
        cache.read(&key(1)).unwrap();
        assert_eq!(cache.write(&key(4), schema("x")).unwrap(), [SchemaId::Confluent(2)]);
        assert_eq!(cache.ids(), [1, 3, 4].map(SchemaId::Confluent).into());
        let partial = file(dir.path(), &key(9)).with_extension("json.partial");
        fs::write(&partial, "{").unwrap();
        assert_eq!(DiskCache::open(dir.path(), "c", 3).unwrap().ids().len(), 3);
        assert!(!partial.exists());
    }
}
