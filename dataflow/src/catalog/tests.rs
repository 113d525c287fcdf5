//! Catalogs that change under a running engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Write,
    sync::{Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use faultline_contracts::{
    catalog::{Catalog, CatalogFiles},
    ids::EvidenceId,
    time::UnixMillis,
};
use serde_json::Value;

use super::*;
use crate::{
    config::Config,
    engine::{Engine, EngineParts, Feed, wall_clock},
    intake::EvidenceOutput,
    metrics::Metrics,
    topology::{CatalogRows, Publish},
    view::{Change, EpochChanges},
};

const WORKERS: usize = 4;
const SWITCHES: usize = 6;

type Arc<T> = std::sync::Arc<T>;

/// Evidence with the epoch of its record, by worker.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<(usize, u64, Value)>>>);

impl Written {
    fn take<T>(&self, with: impl FnOnce(&mut Vec<(usize, u64, Value)>) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Output(usize, Written);

impl EvidenceOutput for Output {
    fn write(&mut self, epoch: u64, _key: Option<&str>, _id: EvidenceId, _made_at: UnixMillis, json: &[u8]) {
        let json = serde_json::from_slice(json).unwrap();
        self.1.take(|written| written.push((self.0, epoch, json)));
    }
    fn ready(&mut self) -> bool {
        true
    }
    fn close_epoch(&mut self, _epoch: u64) {}
    fn finish(&mut self) {}
}

/// The epochs at which the dataset's title changed.
#[derive(Clone, Default)]
struct Titles(Arc<Mutex<Vec<(u64, String, isize)>>>);

impl Publish for Titles {
    fn publish(&mut self, EpochChanges { epoch, changes }: EpochChanges) {
        let titles = changes.into_iter().filter_map(|(change, diff)| match change {
            Change::Asset(asset) => Some((epoch, asset.name.to_string(), diff)),
            _ => None,
        });
        self.0.lock().unwrap().extend(titles);
    }
    fn close(&mut self, _epoch: u64) {}
}

/// Whose contract's version, and whose rule, are the number `n`: a record passes under one catalog alone.
fn catalog(n: usize) -> Arc<Catalog> {
    let catalog = format!("datasets: [{{urn: 'urn:dp:a', title: 'v{n}', topics: [raw.a], contract: 'dc:a:1'}}]");
    let contract = format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: a\nversion: 1.{n}.0\nstatus: active\nschema:\n\
         \x20 - name: raw.a\n\x20   properties:\n\x20     - {{name: 'f{n}', required: true}}\n"
    );
    let files = [("catalog.yaml", &catalog), ("a.yaml", &contract)];
    Arc::new(Catalog::from_files(&CatalogFiles::of("c", files.map(|(path, text)| (path, text.as_str())))).catalog)
}

fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !reached() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Appends records to the file of each worker, of which every worker but the last is fed all the time.
struct Feeder {
    files: Vec<File>,
    offset: i64,
}

impl Feeder {
    fn feed(&mut self, workers: std::ops::Range<usize>) {
        for partition in workers {
            let line = serde_json::json!({
                "topic": "raw.a", "partition": partition, "offset": self.offset, "tstype": "create",
                "ts": 1_700_000_000_000_i64 + self.offset, "headers": ["x-obs-producer-service", "p"], "key": "k",
                "payload": "{}",
            });
            writeln!(self.files[partition], "{line}").unwrap();
        }
        self.offset += 1;
    }
}

/// Busy workers and an idle one, and a catalog that changes under them.
#[test]
fn every_record_is_judged_by_the_catalog_of_its_epoch_on_every_worker() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..WORKERS).map(|worker| dir.path().join(format!("{worker}.jsonl"))).collect();
    let files = paths.iter().map(|path| File::create(path).unwrap()).collect();
    let mut feeder = Feeder { files, offset: 0 };
    let config = Config { workers: WORKERS, files: paths, tick_ms: 5, ..Config::default() };
    let (written, titles) = (Written::default(), Titles::default());
    let (first, outputs) = (catalog(0), written.clone());
    let in_force = CatalogInForce::fixed(Arc::clone(&first));
    let engine = Engine::start(EngineParts {
        snapshots: None,
        cluster: None,
        config: Arc::new(config),
        rows: CatalogRows::of(&first),
        catalog: Arc::clone(&in_force),
        feed: Feed::Files,
        schemas: None,
        metrics: Metrics::new(),
        publish: titles.clone(),
        evidence: move |worker| Ok::<_, String>(Output(worker, outputs.clone())),
    })
    .unwrap();

    let switches = engine.catalog_switches();
    let (mut before, mut epochs) = (first, vec![0]);
    for n in 1..=SWITCHES {
        for _ in 0..20 {
            feeder.feed(0..WORKERS - 1);
            std::thread::sleep(Duration::from_millis(1));
        }
        feeder.feed(WORKERS - 1..WORKERS);
        let after = catalog(n);
        let rows = |catalog: &Catalog| CatalogRows::of(catalog);
        let epoch =
            switches.switch(Arc::clone(&after), &mut |_| CatalogRowChanges::between(&rows(&before), &rows(&after)));
        epochs.push(epoch);
        // The second half changes faster than workers take it.
        if n <= SWITCHES / 2 {
            wait_until("all workers take the switch", || in_force.read().catalog.version() == after.version());
            assert_eq!(in_force.read().since.map(|since| since.0 as u64), Some(epoch));
        }
        before = after;
    }
    wait_until("all workers take the last switch", || in_force.read().catalog.version() == before.version());
    feeder.feed(0..WORKERS);
    let fed = feeder.offset as usize;
    wait_until("the last records are judged", || {
        written.take(|all| {
            (0..WORKERS)
                .all(|worker| all.iter().any(|(by, _, json)| *by == worker && json["source"]["offset"] == fed - 1))
        })
    });
    let last = *epochs.last().unwrap();
    wait_until("the last title is told", || {
        titles.0.lock().unwrap().iter().any(|(_, title, _)| *title == format!("v{SWITCHES}"))
    });
    engine.stopper()();
    engine.join().unwrap();

    let mut versions = BTreeMap::<(usize, i64), usize>::new();
    let mut by_catalog = BTreeSet::new();
    for (worker, epoch, json) in written.take(std::mem::take) {
        // The last of several switches at one epoch counts.
        let expected = epochs.iter().rposition(|&switched| switched <= epoch).unwrap();
        assert_eq!(json["contract_version"], format!("1.{expected}.0"), "epoch {epoch} of worker {worker}, {epochs:?}");
        assert_eq!(
            json["validation"]["reason_codes"],
            serde_json::json!([format!("MISSING_FIELD:f{expected}")]),
            "{json}"
        );
        let place = (worker, json["source"]["offset"].as_i64().unwrap());
        assert!(versions.insert(place, expected).is_none(), "judged once: {place:?}");
        by_catalog.insert(expected);
    }
    assert_eq!(versions.len(), fed * (WORKERS - 1) - SWITCHES * (WORKERS - 1) + SWITCHES + 1, "every record is judged");
    assert!(by_catalog.len() > SWITCHES / 2, "{by_catalog:?}");
    for worker in 0..WORKERS {
        let of_worker: Vec<_> = versions.range((worker, 0)..(worker + 1, 0)).map(|(_, version)| *version).collect();
        assert!(of_worker.is_sorted(), "a partition never goes back: {of_worker:?}");
    }
    // The dataflow's rows change at the same epochs.
    let mut told: Vec<_> = titles
        .0
        .lock()
        .unwrap()
        .iter()
        .filter(|(_, _, diff)| *diff > 0)
        .map(|(epoch, title, _)| (*epoch, title.clone()))
        .collect();
    told.sort();
    let mut expected: Vec<_> = (0..=SWITCHES).map(|n| (epochs[n], format!("v{n}"))).collect();
    let ends: Vec<u64> = expected.iter().map(|(epoch, _)| *epoch).collect();
    let mut place = 0;
    expected.retain(|(epoch, _)| {
        place += 1;
        ends.get(place).is_none_or(|next| next != epoch)
    });
    assert_eq!(told, expected);
    assert_eq!(last, expected.last().unwrap().0);
}

/// Workers may take a while to open their first epoch, as while brokers do not answer.
#[test]
fn a_change_before_workers_have_begun_is_one_of_now() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let in_force = CatalogInForce::fixed(catalog(0));
    let begin = wall_clock();
    let engine = Engine::start(EngineParts {
        snapshots: None,
        cluster: None,
        config: Arc::new(Config { workers: 1, tick_ms: 5, ..Config::default() }),
        rows: CatalogRows::of(&catalog(0)),
        catalog: Arc::clone(&in_force),
        feed: Feed::Files,
        schemas: None,
        metrics: Metrics::new(),
        publish: Titles::default(),
        evidence: move |worker| {
            let begun = gone.lock().unwrap().recv_timeout(Duration::from_secs(60));
            begun.map(|()| Output(worker, Written::default())).map_err(|error| error.to_string())
        },
    })
    .unwrap();
    let after = catalog(1);
    let epoch = engine.catalog_switches().switch(Arc::clone(&after), &mut |epoch| {
        assert!(epoch + 5 > begin.0 as u64, "{epoch} is before {begin}");
        CatalogRowChanges::between(&CatalogRows::of(&catalog(0)), &CatalogRows::of(&after))
    });
    assert!(epoch <= wall_clock().0 as u64 + 1, "{epoch} is still to come");
    go.send(()).unwrap();
    wait_until("the worker takes the switch", || in_force.read().catalog.version() == after.version());
    assert_eq!(in_force.read().since, Some(UnixMillis(epoch as i64)));
    engine.stopper()();
    engine.join().unwrap();
}
