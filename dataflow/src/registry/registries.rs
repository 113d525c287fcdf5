//! The configured registries as one source of schemas.
//!
//! ```text
//! workers ──lookup──► table (memory) ──not known──► thread "registry": disk cache ─► HTTP ─► compile ─► table, wake-up
//! catalog ──fill────► thread "registry": HTTP ─► disk cache                        probe every 2 s ─► health
//! ```
//! Workers never wait for a registry: they ask the table, which is a lock and a hash, and are woken when a look-up has
//! settled.

mod catalog;
mod fetcher;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError, RwLock},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use faultline_contracts::registry::SchemaId;
use tokio::sync::mpsc;

use self::fetcher::{Fetcher, Request};
use super::{
    Lookup, SchemaSource,
    cache::DiskCache,
    confluent::ConfluentClient,
    error::RegistryError,
    glue::GlueClient,
    table::{Ask, Declined, Kind, Settled, Table, TableLimits},
};
use crate::{
    config::RegistryConfig,
    health::{Dependency, Reporter},
    metrics::Metrics,
};

/// How much longer than a look-up a caller that waits for it waits, for the disk and the compiler.
const WAIT_SLACK: Duration = Duration::from_secs(1);
/// How long a caller that waits pauses where too many look-ups are under way.
const LIMITED_PAUSE: Duration = Duration::from_millis(20);

/// Registries that cannot be used as they are configured.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesError {
    /// A client cannot be made.
    #[error("{0}")]
    Client(String),
    /// The folder of the cache cannot be used.
    #[error(
        "cannot use {path} for the cache of schemas: {source}; set registry.cache_dir to a folder that can be written"
    )]
    Cache {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A thread or runtime cannot be started.
    #[error("cannot start the registry's thread: {0}")]
    Thread(#[from] io::Error),
}

type Wake = Arc<dyn Fn() + Send + Sync>;

/// What the callers and the registries' thread share.
struct Shared {
    table: RwLock<Table>,
    /// How many look-ups have settled.
    settled: Mutex<u64>,
    settlement: Condvar,
    wakes: Mutex<Vec<Wake>>,
    health: [Option<Reporter>; 2],
    metrics: Arc<Metrics>,
}

impl Shared {
    fn table<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        read(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        change(&mut self.table.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn settle(&self, id: SchemaId, settled: Settled) {
        let schemas = self.change(|table| {
            table.settle(id, settled, Instant::now());
            table.schemas()
        });
        self.metrics.registry_schemas.set(schemas as i64);
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.settlement.notify_all();
        let wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wakes.iter().for_each(|wake| wake());
    }

    /// Notes whether a registry answers.
    fn set_up(&self, kind: Kind, outcome: Result<(), &RegistryError>) {
        self.change(|table| table.set_up(kind, outcome.is_ok()));
        let Some(health) = &self.health[kind as usize] else { return };
        match outcome {
            Ok(()) => health.up(),
            Err(error) => health.degraded(&format_args!(
                "{}: {error} (known schemas go on, records of others are WARN)",
                kind.as_str()
            )),
        }
    }
}

/// The configured registries. Dropping it ends its thread.
pub struct Registries {
    shared: Arc<Shared>,
    requests: Option<mpsc::UnboundedSender<Request>>,
    thread: Option<JoinHandle<()>>,
    timeout: Duration,
    refresh: Duration,
    configured: Vec<Kind>,
    /// What references of the catalog led to that always lead there.
    settled_references: Mutex<catalog::Memo>,
}

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registries").field("configured", &self.configured).finish_non_exhaustive()
    }
}

impl Registries {
    /// Starts the registries that are configured; `None` where there are none. Nothing is asked of them in here, so that a
    /// registry that is away keeps nobody from starting.
    ///
    /// # Errors
    /// The folder of the cache or a file of certificates cannot be used.
    pub fn start(
        config: &RegistryConfig,
        data_dir: Option<&Path>,
        metrics: Arc<Metrics>,
    ) -> Result<Option<Arc<Self>>, RegistriesError> {
        let mut configured = Vec::new();
        let glue = config.glue.as_ref().map(|glue| GlueClient::new(glue, config.max_schema_bytes));
        let confluent = config.confluent.as_ref().map(|confluent| {
            let RegistryConfig { max_schema_bytes, max_references, .. } = *config;
            ConfluentClient::new(confluent, config.timeout(), max_schema_bytes, max_references)
        });
        let (glue, confluent) = (
            glue.transpose().map_err(RegistriesError::Client)?,
            confluent.transpose().map_err(RegistriesError::Client)?,
        );
        configured.extend(glue.is_some().then_some(Kind::Glue));
        configured.extend(confluent.is_some().then_some(Kind::Confluent));
        if configured.is_empty() {
            return Ok(None);
        }

        let dir = config.cache_dir(data_dir);
        if dir.is_none() {
            tracing::warn!(
                "schemas are not kept on the disk: set data_dir or registry.cache_dir, so that a restart while the \
                 registry is down knows them"
            );
        }
        let open = |scope: String| match &dir {
            Some(dir) => DiskCache::open(dir, &scope, config.max_schemas)
                .map(|cache| Some(Arc::new(cache)))
                .map_err(|source| RegistriesError::Cache { path: dir.clone(), source }),
            None => Ok(None),
        };
        let caches = [
            config.glue.as_ref().map(GlueClient::scope).map(open).transpose()?.flatten(),
            config.confluent.as_ref().map(ConfluentClient::scope).map(open).transpose()?.flatten(),
        ];
        let stored = caches.iter().flatten().flat_map(|cache| cache.ids()).collect();

        let shared = Arc::new(Shared {
            table: RwLock::new(Table::new(limits(config), &configured, stored, Instant::now())),
            settled: Mutex::new(0),
            settlement: Condvar::new(),
            wakes: Mutex::default(),
            health: Kind::ALL
                .map(|kind| configured.contains(&kind).then(|| metrics.health.reporter(Dependency::Registry))),
            metrics,
        });
        let (requests, receiver) = mpsc::unbounded_channel();
        let fetcher = Fetcher::new(Arc::clone(&shared), glue, confluent, caches, config);
        let thread = fetcher.start(receiver)?;
        Ok(Some(Arc::new(Self {
            shared,
            requests: Some(requests),
            thread: Some(thread),
            timeout: config.timeout(),
            refresh: Duration::from_millis(config.refresh_ms),
            configured,
            settled_references: Mutex::default(),
        })))
    }

    /// Has something looked up; `false` where the thread has ended.
    fn request(&self, request: Request) -> bool {
        self.requests.as_ref().is_some_and(|requests| requests.send(request).is_ok())
    }

    /// [`SchemaSource::lookup`], and why it was not begun where it was not.
    fn find(&self, id: SchemaId) -> Result<Lookup, Declined> {
        let now = Instant::now();
        if let Some(known) = self.shared.table(|table| table.find(id, now)) {
            return Ok(known);
        }
        match self.shared.change(|table| table.ask(id, now)) {
            Ask::Answer(answer) => Ok(answer),
            Ask::Decline(declined) => Err(declined),
            Ask::Start if self.request(Request::Id(id)) => Ok(Lookup::Pending),
            Ask::Start => {
                self.shared.settle(id, Settled::Unavailable);
                Ok(Lookup::Unavailable)
            }
        }
    }

    fn declined(&self, id: SchemaId, declined: Declined) -> Lookup {
        let outcome = match declined {
            Declined::NotConfigured => "not_configured",
            Declined::Down => "down",
            Declined::Limited => "limited",
        };
        self.shared.metrics.registry_lookup(Kind::of(id).as_str(), outcome);
        Lookup::Unavailable
    }
}

impl SchemaSource for Registries {
    fn lookup(&self, id: SchemaId) -> Lookup {
        self.find(id).unwrap_or_else(|declined| self.declined(id, declined))
    }

    fn wait(&self, id: SchemaId) -> Lookup {
        let deadline = Instant::now() + self.timeout + WAIT_SLACK;
        loop {
            // Read before the question, so that a look-up that settles in between is not missed.
            let seen = *self.shared.settled.lock().unwrap_or_else(PoisonError::into_inner);
            let left = deadline.saturating_duration_since(Instant::now());
            let pause = match self.find(id) {
                _ if left.is_zero() => return Lookup::Unavailable,
                Ok(Lookup::Pending) => left,
                // Whoever waits has time for the rate to allow it.
                Err(Declined::Limited) => left.min(LIMITED_PAUSE),
                Ok(found) => return found,
                Err(declined) => return self.declined(id, declined),
            };
            let settled = self.shared.settled.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.shared.settlement.wait_timeout_while(settled, pause, |settled| *settled == seen);
            drop(waited);
        }
    }

    fn subscribe(&self, wake: Wake) {
        self.shared.wakes.lock().unwrap_or_else(PoisonError::into_inner).push(wake);
    }
}

impl Drop for Registries {
    fn drop(&mut self) {
        // The thread ends when nobody can ask any more.
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn limits(config: &RegistryConfig) -> TableLimits {
    let millis = Duration::from_millis;
    TableLimits {
        known: config.max_schemas,
        negative: config.max_unknown,
        pending: config.max_pending,
        unknown_ttl: millis(config.unknown_ttl_ms),
        outage_ttl: millis(config.outage_ttl_ms),
        rate: config.max_lookups_per_second,
        burst: config.lookup_burst,
    }
}

#[cfg(test)]
mod tests;
