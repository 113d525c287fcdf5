//! Following the catalog: what was found, what follows from it, and who is told.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use faultline_contracts::{
    catalog::{Catalog, CatalogReading, StandingCatalog, Succession},
    diagnostic::{Diagnostic, Severity},
    time::UnixMillis,
};

use faultline_sinks::kafka::KafkaSettings;

use super::{
    CatalogInForce, CatalogRowChanges, CatalogState,
    directory::Directory,
    source::{CatalogError, References, Resolution, Source},
    topic::Topic,
};
use crate::{
    config::Config,
    engine::CatalogSwitches,
    health::{Dependency, Reporter},
    metrics::Metrics,
    topology::CatalogRows,
};

/// Opens the catalog that the configuration names, and reads it once; `kafka` is how clients are made. What is wrong with
/// it is told, and costs what it is in.
///
/// # Errors
/// There is no catalog to read: no directory, or no topic that can be read to its end.
pub fn open(
    config: &Config,
    kafka: Option<&KafkaSettings>,
    references: Box<dyn References>,
    metrics: &Arc<Metrics>,
) -> Result<OpenCatalog, CatalogError> {
    let topic = config.kafka.as_ref().filter(|kafka| kafka.catalog_topic).zip(kafka);
    let (source, reading, name): (Box<dyn Source>, _, _) = match topic {
        Some((kafka, settings)) => {
            let (topic, reading) = Topic::open(settings, kafka, &config.topics.catalog, metrics)?;
            (Box::new(topic), reading, format!("topic {}", config.topics.catalog))
        }
        None => {
            let (directory, reading) = Directory::open(&config.catalog)?;
            (Box::new(directory), reading, config.catalog.display().to_string())
        }
    };
    Ok(OpenCatalog::new(source, reading, name, references, Arc::clone(metrics)))
}

/// A catalog that was read once.
pub struct OpenCatalog {
    source: Box<dyn Source>,
    references: Box<dyn References>,
    /// What was found last, without what it refers to.
    reading: CatalogReading,
    /// When to resolve references again although nothing has changed.
    again_at: Option<Instant>,
    /// The hash of what was compiled last, with what it refers to.
    compiled: u64,
    standing: StandingCatalog,
    rows: CatalogRows,
    held: Vec<Diagnostic>,
    unresolved: Vec<Diagnostic>,
    /// Why the source cannot be looked at.
    unreachable: Option<String>,
    in_force: Arc<CatalogInForce>,
    health: Reporter,
    metrics: Arc<Metrics>,
    told: BTreeSet<String>,
    name: String,
}

impl fmt::Debug for OpenCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenCatalog").field("source", &self.name).finish_non_exhaustive()
    }
}

impl OpenCatalog {
    pub(super) fn new(
        source: Box<dyn Source>,
        reading: CatalogReading,
        name: String,
        mut references: Box<dyn References>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let mut complete = reading.clone();
        let Resolution { problems, again_after } = references.resolve(&mut complete.files);
        let compiled = complete.hash();
        let standing = StandingCatalog::first(complete);
        let catalog = Arc::clone(&standing.catalog);
        let state = CatalogState { catalog: Arc::clone(&catalog), source: name.clone(), ..CatalogState::default() };
        metrics.catalog.started(catalog.version());
        let mut open = Self {
            source,
            references,
            reading,
            again_at: again_after.map(|after| Instant::now() + after),
            compiled,
            rows: CatalogRows::of(&catalog),
            standing,
            held: Vec::new(),
            unresolved: problems,
            unreachable: None,
            in_force: CatalogInForce::new(state),
            health: metrics.health.reporter(Dependency::Catalog),
            metrics,
            told: BTreeSet::new(),
            name,
        };
        open.tell();
        open
    }

    /// The catalog in force, for all who read it.
    #[must_use]
    pub fn in_force(&self) -> &Arc<CatalogInForce> {
        &self.in_force
    }

    /// Its rows.
    #[must_use]
    pub fn rows(&self) -> &CatalogRows {
        &self.rows
    }

    /// Follows it from now on with a thread of its own, looking every so often.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn watch(mut self, every: Duration, switches: CatalogSwitches) -> Result<CatalogWatch, CatalogError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("catalog".to_owned()).spawn(move || {
            while stopped.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
                self.look(|catalog, rows| switches.switch(catalog, rows));
            }
        })?;
        Ok(CatalogWatch { stop: Some(stop), thread: Some(thread) })
    }

    /// Looks once. `switch` has another catalog come into force and says at which epoch; it asks for the rows at that epoch.
    pub(super) fn look(&mut self, switch: impl FnOnce(Arc<Catalog>, &mut dyn FnMut(u64) -> CatalogRowChanges) -> u64) {
        let found = self.source.look();
        self.unreachable = found.as_ref().err().cloned();
        let due = self.again_at.is_some_and(|at| at <= Instant::now());
        match found {
            Ok(Some(reading)) => self.reading = reading,
            Ok(None) if due => {}
            Ok(None) | Err(_) => return self.tell(),
        }
        let mut reading = self.reading.clone();
        let Resolution { problems, again_after } = self.references.resolve(&mut reading.files);
        self.unresolved = problems;
        self.again_at = again_after.map(|after| Instant::now() + after);
        let hash = reading.hash();
        if hash == self.compiled {
            return self.tell();
        }
        self.compiled = hash;
        let Succession { standing, held } = self.standing.succeeded_by(reading);
        self.held = held;
        let before = std::mem::replace(&mut self.standing, standing).catalog;
        let after = Arc::clone(&self.standing.catalog);
        if after.version() != before.version() {
            let mut next = None;
            let epoch = switch(Arc::clone(&after), &mut |epoch| {
                let at = UnixMillis(i64::try_from(epoch).unwrap_or(i64::MAX));
                let rows = self.rows.succeeded_by(&before, &after, at);
                let changes = CatalogRowChanges::between(&self.rows, &rows);
                next = Some(rows);
                changes
            });
            self.rows = next.unwrap_or_else(|| CatalogRows::of(&after));
            self.metrics.catalog.switched(after.version(), epoch);
            tracing::info!(
                before = format_args!("{:016x}", before.version()),
                after = format_args!("{:016x}", after.version()),
                epoch,
                datasets = after.datasets().len(),
                "another catalog comes into force"
            );
        } else {
            // All others hold this one: a second one with the same text would only cost its memory.
            self.standing.catalog = before;
        }
        self.tell();
    }

    /// Tells status, metrics and log what is wrong.
    fn tell(&mut self) {
        let held = self.held.iter().map(|error| format!("{error}\n  note: what was last good stays in force"));
        let unreachable = self.unreachable.iter().map(|why| format!("{}: cannot be read: {why}", self.name));
        let held: Vec<String> = unreachable.chain(held).collect();
        let in_force = self.unresolved.iter().chain(&self.standing.diagnostics);
        let others = in_force.filter(|problem| problem.severity != Severity::Note).map(ToString::to_string);
        let (count, problems): (_, Vec<String>) = (held.len(), held.into_iter().chain(others).collect());

        for (place, problem) in problems.iter().enumerate().filter(|(_, problem)| !self.told.contains(*problem)) {
            if place < count {
                tracing::error!(%problem, "a change of the catalog is held back");
            } else {
                tracing::warn!(%problem, "catalog");
            }
        }
        if count == 0 && self.in_force.read().held > 0 {
            tracing::info!("nothing of the catalog is held back any more");
        }
        self.metrics.catalog.found(problems.len(), count);
        match problems.first().filter(|_| count > 0) {
            Some(first) => self.health.degraded(first),
            None => self.health.up(),
        }
        self.told = problems.iter().cloned().collect();
        self.in_force.found(problems, count);
    }
}

/// A catalog that is followed until this is dropped.
#[derive(Debug)]
pub struct CatalogWatch {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for CatalogWatch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // One that has panicked has said so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{
            Mutex,
            atomic::{AtomicBool, Ordering},
        },
    };

    use faultline_contracts::catalog::CatalogFiles;

    use super::*;

    type Found = Result<Option<CatalogReading>, String>;

    /// Gives what a test has put there.
    #[derive(Clone, Default)]
    struct Script(Arc<Mutex<VecDeque<Found>>>);

    impl Source for Script {
        fn look(&mut self) -> Found {
            self.0.lock().unwrap().pop_front().unwrap_or(Ok(None))
        }
    }

    fn reading(catalog: &str) -> CatalogReading {
        CatalogReading { files: CatalogFiles::of("c", [("catalog.yaml", catalog)]), unread: Vec::new() }
    }

    struct Watched {
        script: Script,
        open: OpenCatalog,
        epochs: Vec<u64>,
        metrics: Arc<Metrics>,
    }

    impl Watched {
        fn start(references: Box<dyn References>, catalog: &str) -> Self {
            let (script, metrics) = (Script::default(), Metrics::new());
            let source = Box::new(script.clone());
            let open = OpenCatalog::new(source, reading(catalog), "c".into(), references, Arc::clone(&metrics));
            Self { script, open, epochs: Vec::new(), metrics }
        }

        fn look(&mut self, found: Found) -> Arc<CatalogState> {
            self.script.0.lock().unwrap().push_back(found);
            let in_force = Arc::clone(self.open.in_force());
            let epochs = &mut self.epochs;
            self.open.look(|catalog, rows| {
                let epoch = 1_000 + epochs.len() as u64;
                rows(epoch);
                epochs.push(epoch);
                in_force.switched(catalog, UnixMillis(epoch as i64));
                epoch
            });
            in_force.read()
        }

        fn metric(&self, name: &str) -> String {
            let text = self.metrics.text();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
            line.rsplit(' ').next().unwrap().to_owned()
        }
    }

    const GOOD: &str = "datasets: [{urn: 'urn:dp:a', topics: [a], producer: p}]\nproducers: [{id: p}]\n";

    #[test]
    fn a_broken_file_is_told_with_its_place_and_taken_back_when_it_is_mended() {
        let mut watched = Watched::start(Box::new(super::super::NoReferences), GOOD);
        let start = watched.open.in_force().read();
        assert_eq!((start.held, start.problems.len(), start.since), (0, 0, None));
        assert_eq!(watched.metric("faultline_up{dependency=\"Catalog\"}"), "1");

        let broken = watched.look(Ok(Some(reading(&GOOD.replace("producer: p", "producer: ghost")))));
        assert_eq!((broken.held, broken.catalog.version()), (1, start.catalog.version()));
        assert!(broken.problems[0].starts_with("c/catalog.yaml:1:"), "{:?}", broken.problems);
        assert!(broken.problems[0].ends_with("what was last good stays in force"), "{:?}", broken.problems);
        assert_eq!(watched.metric("faultline_up{dependency=\"Catalog\"}"), "0");
        assert_eq!(
            (watched.metric("faultline_catalog_problems"), watched.metric("faultline_catalog_held")),
            ("1".into(), "1".into())
        );
        assert_eq!(watched.look(Ok(None)).held, 1, "it is as broken as it was");

        let mended = watched.look(Ok(Some(reading(&GOOD.replace("[a]", "[b]")))));
        assert_eq!((mended.held, mended.since, watched.epochs.len()), (0, Some(UnixMillis(1_000)), 1));
        assert!(mended.catalog.dataset_of_topic("b").is_some());
        assert_eq!(watched.metric("faultline_up{dependency=\"Catalog\"}"), "1");
        assert_eq!(watched.metric("faultline_catalog_epoch_milliseconds"), "1000");
        let version = format!("faultline_catalog_info{{version=\"{:016x}\"}}", mended.catalog.version());
        assert_eq!(watched.metric(&version), "1");
        assert_eq!(watched.metrics.text().matches("faultline_catalog_info{").count(), 1, "one version at a time");
    }

    #[test]
    fn a_source_that_cannot_be_looked_at_leaves_the_catalog_in_force() {
        let mut watched = Watched::start(Box::new(super::super::NoReferences), GOOD);
        let down = watched.look(Err("no broker".into()));
        assert_eq!((down.held, down.problems[0].as_str()), (1, "c: cannot be read: no broker"));
        assert_eq!(watched.metric("faultline_up{dependency=\"Catalog\"}"), "0");
        let up = watched.look(Ok(None));
        assert_eq!((up.held, up.problems.len(), watched.epochs.len()), (0, 0, 0));
    }

    /// A registry that is down until it is up.
    struct Registry(Arc<AtomicBool>);

    impl References for Registry {
        fn resolve(&mut self, files: &mut CatalogFiles) -> Resolution {
            if !self.0.load(Ordering::Relaxed) {
                return Resolution { problems: Vec::new(), again_after: Some(Duration::ZERO) };
            }
            files.insert("schemas/a/1.json", "{}");
            Resolution::default()
        }
    }

    #[test]
    fn references_are_resolved_again_until_they_are_there() {
        let up = Arc::new(AtomicBool::new(false));
        let catalog = GOOD.replace("producer: p", "producer: p, schema: 'glue:a:1'");
        let mut watched = Watched::start(Box::new(Registry(Arc::clone(&up))), &catalog);
        assert!(watched.look(Ok(None)).problems[0].contains("catalog-schema-not-found"));
        up.store(true, Ordering::Relaxed);
        let resolved = watched.look(Ok(None));
        assert_eq!((resolved.problems.len(), watched.epochs.len()), (0, 1), "{:?}", resolved.problems);
        assert!(resolved.catalog.datasets()[0].validator.is_some());
    }

    /// A registry that is asked again at every look, and says what it is told to.
    struct Latest(Arc<Mutex<(String, Vec<Diagnostic>)>>);

    impl References for Latest {
        fn resolve(&mut self, files: &mut CatalogFiles) -> Resolution {
            let (schema, problems) = self.0.lock().unwrap().clone();
            files.insert("schemas/a/1.json", schema);
            Resolution { problems, again_after: Some(Duration::ZERO) }
        }
    }

    #[test]
    fn what_is_asked_for_again_and_is_the_same_is_not_compiled_again() {
        let said = Arc::new(Mutex::new(("{}".to_owned(), Vec::new())));
        let catalog = GOOD.replace("producer: p", "producer: p, schema: 'glue:a:1'");
        let mut watched = Watched::start(Box::new(Latest(Arc::clone(&said))), &catalog);
        let first = Arc::clone(&watched.open.standing.catalog);
        watched.look(Ok(None));
        // A reading that is new and says the same, as of a file that is written again.
        watched.look(Ok(Some(reading(&catalog))));
        assert!(Arc::ptr_eq(&first, &watched.open.standing.catalog), "nothing has changed");
        assert_eq!(watched.look(Err("no broker".into())).held, 1);
        assert_eq!(watched.look(Ok(None)).held, 0, "what is told is of now all the same");

        said.lock().unwrap().1.push(Diagnostic {
            severity: Severity::Warning,
            code: "schema-stale",
            file: "glue:a:1".into(),
            line: 0,
            column: 0,
            message: "not answered since yesterday".to_owned(),
            help: None,
        });
        assert_eq!(watched.look(Ok(None)).problems.len(), 1);
        said.lock().unwrap().1.clear();
        assert_eq!(watched.look(Ok(None)).problems.len(), 0);
        assert!(Arc::ptr_eq(&first, &watched.open.standing.catalog) && watched.epochs.is_empty());

        said.lock().unwrap().0 = r#"{"type": "object"}"#.to_owned();
        let changed = watched.look(Ok(None));
        assert_eq!((changed.problems.len(), watched.epochs.len()), (0, 1), "{:?}", changed.problems);
        assert_ne!(changed.catalog.version(), first.version());
        assert!(Arc::ptr_eq(&changed.catalog, &watched.open.standing.catalog));
    }

    #[test]
    fn what_is_held_back_leaves_one_catalog_in_memory() {
        let mut watched = Watched::start(Box::new(super::super::NoReferences), GOOD);
        let broken = GOOD.replace("producer: p", "producer: ghost");
        for found in [reading(&broken), reading(GOOD), reading(&broken)] {
            let state = watched.look(Ok(Some(found)));
            assert!(Arc::ptr_eq(&state.catalog, &watched.open.standing.catalog));
        }
        assert!(watched.epochs.is_empty());
    }
}
