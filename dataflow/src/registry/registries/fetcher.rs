//! The registries' thread: looks ids and references up, and asks registries that are silent whether they answer.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use faultline_contracts::registry::{RegisteredSchema, RegisteredSchemaError, SchemaId, SchemaText};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::{JoinSet, spawn_blocking},
    time::{sleep, sleep_until, timeout_at},
};

use super::{
    super::{
        cache::{CacheKey, DiskCache},
        confluent::ConfluentClient,
        error::RegistryError,
        glue::GlueClient,
        table::{Kind, Settled},
    },
    Shared,
};
use crate::config::RegistryConfig;

/// How many ids are looked up at a time.
const ID_SLOTS: usize = 32;
/// How many references of a catalog are looked up at a time.
const NAMED_SLOTS: usize = 8;
/// The most threads for the disk, the compiler and the resolver of host names, which may hang. They are made as needed.
const BLOCKING_THREADS: usize = 64;
/// The longest that a registry may take to say that it is there: with the pause between two such questions, its silence is
/// told within 5 s.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// The least time between two such questions.
const PROBE_GAP: Duration = Duration::from_millis(250);

/// What is asked of the thread.
#[derive(Debug)]
pub(super) enum Request {
    /// An id, whose answer goes to the table.
    Id(SchemaId),
    /// A reference of the catalog.
    Named(Named, std::sync::mpsc::SyncSender<Result<SchemaText, RegistryError>>),
}

/// A reference of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) version: String,
}

impl Named {
    fn key(&self) -> CacheKey {
        CacheKey::Named(format!("{}:{}:{}", self.kind.as_str(), self.name, self.version))
    }
}

enum Wanted<'a> {
    Id(SchemaId),
    Named(&'a Named),
}

/// One registry, asked from here.
struct Line {
    /// When it answered last, in milliseconds since the start; 0 where it never did.
    answered: AtomicU64,
    /// It refused something: is that about more than the one request?
    doubted: Notify,
    cache: Option<Arc<DiskCache>>,
}

/// What the thread works with.
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    glue: Option<GlueClient>,
    confluent: Option<ConfluentClient>,
    lines: [Line; 2],
    id_slots: Semaphore,
    named_slots: Semaphore,
    timeout: Duration,
    probe_every: Duration,
    start: Instant,
}

impl Fetcher {
    pub(super) fn new(
        shared: Arc<Shared>,
        glue: Option<GlueClient>,
        confluent: Option<ConfluentClient>,
        caches: [Option<Arc<DiskCache>>; 2],
        config: &RegistryConfig,
    ) -> Self {
        let line = |cache| Line { answered: AtomicU64::new(0), doubted: Notify::new(), cache };
        Self {
            shared,
            glue,
            confluent,
            lines: caches.map(line),
            id_slots: Semaphore::new(ID_SLOTS),
            named_slots: Semaphore::new(NAMED_SLOTS),
            timeout: config.timeout(),
            probe_every: Duration::from_millis(config.probe_ms),
            start: Instant::now(),
        }
    }

    /// Starts the thread. It ends when nobody can ask any more.
    pub(super) fn start(self, requests: mpsc::UnboundedReceiver<Request>) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        std::thread::Builder::new().name("registry".to_owned()).spawn(move || {
            runtime.block_on(Arc::new(self).serve(requests));
            // What is still under way is for nobody.
            runtime.shutdown_background();
        })
    }

    async fn serve(self: Arc<Self>, mut requests: mpsc::UnboundedReceiver<Request>) {
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            if self.is_configured(kind) {
                tasks.spawn(Arc::clone(&self).watch(kind));
            }
        }
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Id(id)) => drop(tasks.spawn(Arc::clone(&self).look_up(id))),
                    Some(Request::Named(named, reply)) => {
                        let fetcher = Arc::clone(&self);
                        tasks.spawn(async move {
                            // Whoever asked may have given up.
                            let _ = reply.send(fetcher.resolve(&named).await);
                        });
                    }
                    None => return,
                },
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a look-up of a schema failed; this is a defect");
                    }
                }
            }
        }
    }

    fn is_configured(&self, kind: Kind) -> bool {
        match kind {
            Kind::Glue => self.glue.is_some(),
            Kind::Confluent => self.confluent.is_some(),
        }
    }

    fn line(&self, kind: Kind) -> &Line {
        &self.lines[kind as usize]
    }

    /// Looks an id up: on the disk, then in its registry. The table is told in any case.
    async fn look_up(self: Arc<Self>, id: SchemaId) {
        let kind = Kind::of(id);
        let mut promise = Promise { shared: &self.shared, id, kept: false };
        let (text, outcome) = match self.read(kind, CacheKey::Id(id)).await {
            Some(text) => (Ok(text), "cached"),
            None => {
                self.shared.change(|table| table.not_stored(id));
                (self.ask(kind, &Wanted::Id(id)).await, "found")
            }
        };
        let (settled, outcome) = match text {
            Ok(text) => {
                let fetched = (outcome == "found").then(|| text.clone());
                let settled = compile(id, text).await;
                let outcome = if matches!(settled, Settled::Broken(_)) { "broken" } else { outcome };
                promise.keep(settled, outcome);
                if let Some(text) = fetched {
                    self.store(kind, CacheKey::Id(id), text).await;
                }
                return;
            }
            Err(RegistryError::Unknown(reason)) => {
                tracing::debug!(%id, reason, "unknown schema id");
                (Settled::Unknown, "unknown")
            }
            Err(RegistryError::Unusable { reference, format: Some(format), message }) => {
                (broken(RegisteredSchemaError { id, reference: reference.into(), format, message }), "broken")
            }
            Err(error) => {
                tracing::debug!(%id, %error, "schema not looked up");
                (Settled::Unavailable, "unavailable")
            }
        };
        promise.keep(settled, outcome);
    }

    /// Resolves a reference of the catalog: by its registry, and where that is away by the disk.
    async fn resolve(&self, named: &Named) -> Result<SchemaText, RegistryError> {
        let kind = named.kind;
        match self.ask(kind, &Wanted::Named(named)).await {
            Ok(text) => {
                self.store(kind, named.key(), text.clone()).await;
                self.shared.metrics.registry_lookup(kind.as_str(), "found");
                Ok(text)
            }
            Err(error) if error.is_answer() => Err(error),
            Err(error) => match self.read(kind, named.key()).await {
                Some(text) => {
                    self.shared.metrics.registry_lookup(kind.as_str(), "cached");
                    Ok(text)
                }
                None => {
                    self.shared.metrics.registry_lookup(kind.as_str(), "unavailable");
                    Err(error)
                }
            },
        }
    }

    /// Asks a registry, again where that may help, within the time of one look-up.
    async fn ask(&self, kind: Kind, wanted: &Wanted<'_>) -> Result<SchemaText, RegistryError> {
        let silence = |reason: String| RegistryError::Unreachable { address: kind.as_str().to_owned(), reason };
        let mut deadline = tokio::time::Instant::now() + self.timeout;
        let slot = match wanted {
            Wanted::Id(_) => timeout_at(deadline, self.id_slots.acquire()).await.ok(),
            // References come in thousands, and nobody waits for the single one.
            Wanted::Named(_) => Some(self.named_slots.acquire().await),
        };
        let Some(Ok(_slot)) = slot else {
            // That is nothing against the registry.
            return Err(silence("too many look-ups are under way".to_owned()));
        };
        if matches!(wanted, Wanted::Named(_)) {
            // They need not meet the same silence one after the other.
            if !self.shared.table(|table| table.is_up(kind)) {
                return Err(silence("it did not answer just now".to_owned()));
            }
            deadline = tokio::time::Instant::now() + self.timeout;
        }
        let found = timeout_at(deadline, self.ask_patiently(kind, wanted)).await;
        let found = found.unwrap_or_else(|_| Err(silence(format!("nothing within {} ms", self.timeout.as_millis()))));
        match &found {
            Err(error @ RegistryError::Unreachable { .. }) => self.shared.set_up(kind, Err(error)),
            Err(RegistryError::Refused { .. }) => self.line(kind).doubted.notify_one(),
            Err(RegistryError::Unknown(_) | RegistryError::Unusable { .. }) | Ok(_) => self.answered(kind),
        }
        found
    }

    async fn ask_patiently(&self, kind: Kind, wanted: &Wanted<'_>) -> Result<SchemaText, RegistryError> {
        let mut attempts = 1;
        loop {
            let found = self.ask_once(kind, wanted).await;
            let salt = self.start.elapsed().as_nanos() as u64;
            match found.as_ref().err().and_then(|error| error.retry_after(attempts, salt)) {
                Some(pause) => sleep(pause).await,
                None => return found,
            }
            attempts += 1;
        }
    }

    async fn ask_once(&self, kind: Kind, wanted: &Wanted<'_>) -> Result<SchemaText, RegistryError> {
        match (kind, wanted) {
            (Kind::Glue, wanted) => match (&self.glue, wanted) {
                (Some(glue), Wanted::Id(id)) => glue.by_id(*id).await,
                (Some(glue), Wanted::Named(named)) => glue.by_name(&named.name, &named.version).await,
                (None, _) => Err(not_configured()),
            },
            (Kind::Confluent, wanted) => match (&self.confluent, wanted) {
                (Some(confluent), Wanted::Id(id)) => confluent.by_id(*id).await,
                (Some(confluent), Wanted::Named(named)) => confluent.by_name(&named.name, &named.version).await,
                (None, _) => Err(not_configured()),
            },
        }
    }

    async fn probe(&self, kind: Kind) -> Result<(), RegistryError> {
        match (kind, &self.glue, &self.confluent) {
            (Kind::Glue, Some(glue), _) => glue.probe().await,
            (Kind::Confluent, _, Some(confluent)) => confluent.probe().await,
            _ => Err(not_configured()),
        }
    }

    /// Asks a registry whether it is there, whenever nothing else was asked of it for a while, or it refused something.
    async fn watch(self: Arc<Self>, kind: Kind) {
        let limit = self.timeout.min(PROBE_TIMEOUT);
        // At once: health says the truth from the start.
        let mut next = tokio::time::Instant::now();
        loop {
            let doubted = tokio::select! {
                () = sleep_until(next) => false,
                () = self.line(kind).doubted.notified() => true,
            };
            let silence = self.silence(kind).filter(|_| self.shared.table(|table| table.is_up(kind)));
            if let Some(left) = silence.and_then(|silence| self.probe_every.checked_sub(silence))
                && !doubted
                && !left.is_zero()
            {
                next = tokio::time::Instant::now() + left;
                continue;
            }
            let begin = tokio::time::Instant::now();
            match timeout_at(begin + limit, self.probe(kind)).await {
                Ok(Ok(())) => self.answered(kind),
                Ok(Err(error)) => self.shared.set_up(kind, Err(&error)),
                Err(_) => {
                    let reason = format!("nothing within {} ms", limit.as_millis());
                    let address = kind.as_str().to_owned();
                    self.shared.set_up(kind, Err(&RegistryError::Unreachable { address, reason }));
                }
            }
            next = begin + self.probe_every;
            sleep(PROBE_GAP).await;
        }
    }

    fn answered(&self, kind: Kind) {
        // Never 0, which says that it never did.
        let now = self.start.elapsed().as_millis().max(1) as u64;
        self.line(kind).answered.store(now, Ordering::Relaxed);
        self.shared.set_up(kind, Ok(()));
    }

    /// How long ago it answered, if it ever did.
    fn silence(&self, kind: Kind) -> Option<Duration> {
        let answered = self.line(kind).answered.load(Ordering::Relaxed);
        (answered > 0).then(|| self.start.elapsed().saturating_sub(Duration::from_millis(answered)))
    }

    async fn read(&self, kind: Kind, key: CacheKey) -> Option<SchemaText> {
        let cache = self.line(kind).cache.clone()?;
        spawn_blocking(move || cache.read(&key)).await.ok().flatten()
    }

    async fn store(&self, kind: Kind, key: CacheKey, text: SchemaText) {
        let Some(cache) = self.line(kind).cache.clone() else { return };
        let id = match &key {
            CacheKey::Id(id) => Some(*id),
            CacheKey::Named(_) => None,
        };
        match spawn_blocking(move || cache.write(&key, text)).await {
            Ok(Ok(gone)) => self.shared.change(|table| table.stored(id, &gone)),
            Ok(Err(error)) => {
                let times = self.shared.metrics.registry_lookup(kind.as_str(), "not_stored");
                if times.is_power_of_two() {
                    tracing::warn!(registry = kind.as_str(), times, %error, "cannot keep a schema on the disk");
                }
            }
            Err(error) => tracing::error!(%error, "the schema cache failed; this is a defect"),
        }
    }
}

fn not_configured() -> RegistryError {
    let (reference, message) = (String::new(), "no such registry is configured".to_owned());
    RegistryError::Unusable { reference, format: None, message }
}

/// Compiles a schema where that holds nobody up.
async fn compile(id: SchemaId, text: SchemaText) -> Settled {
    match spawn_blocking(move || RegisteredSchema::compile(id, text)).await {
        Ok(Ok(schema)) => Settled::Known(Arc::new(schema)),
        Ok(Err(error)) => broken(error),
        Err(error) => {
            tracing::error!(%id, %error, "the compiler of schemas failed; this is a defect");
            Settled::Unavailable
        }
    }
}

fn broken(error: RegisteredSchemaError) -> Settled {
    tracing::warn!(%error, "records of this schema are WARN");
    Settled::Broken(Arc::new(error))
}

/// That a look-up settles, whatever becomes of it: records wait for that.
struct Promise<'a> {
    shared: &'a Shared,
    id: SchemaId,
    kept: bool,
}

impl Promise<'_> {
    fn keep(&mut self, settled: Settled, outcome: &'static str) {
        self.kept = true;
        self.shared.metrics.registry_lookup(Kind::of(self.id).as_str(), outcome);
        self.shared.settle(self.id, settled);
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.keep(Settled::Unavailable, "unavailable");
        }
    }
}
