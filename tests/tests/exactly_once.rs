//! Evidence exactly once, beside a real broker: a service that is killed again and again, one that is overtaken while it
//! stands still, and one that comes back with fewer workers. A reader of committed records finds the evidence of each
//! record once.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // Functions that tests share stop the test and print, as tests do.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::process::Command;
use std::time::{Duration, Instant};

use faultline_tests::servers::process::{freeze, thaw};
use faultline_tests::servers::{KafkaOptions, KafkaServer, Paced};
use faultline_tests::service::Service;
use serde_json::Value;
use tempfile::TempDir;

const PARTITIONS: i32 = 4;
/// One of so many offsets has a record that breaks its contract.
const BROKEN: i64 = 7;
/// Records a second.
const RATE: u64 = 1_000;
/// How long a transaction may be open.
const TIMEOUT_MS: u64 = 4_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A topic with its catalog, and the service that watches it.
struct Scene<K = &'static KafkaServer> {
    kafka: K,
    catalog: TempDir,
    name: &'static str,
    /// `evidence.pass` and `topics.envelope`.
    settings: (&'static str, &'static str),
}

/// What became of the records.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    offered: u64,
    evidence: u64,
    duplicates: u64,
    lost: u64,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offered, evidence, duplicates, lost } = self;
        write!(f, "offered {offered}, evidence {evidence}, duplicates {duplicates}, lost {lost}")
    }
}

impl Scene {
    fn set(name: &'static str, pass: &'static str, envelope: &'static str) -> Self {
        Self::beside(KafkaServer::shared().unwrap(), name, pass, envelope)
    }
}

impl<K: Borrow<KafkaServer>> Scene<K> {
    fn beside(kafka: K, name: &'static str, pass: &'static str, envelope: &'static str) -> Self {
        // Before any load: it may have to be built.
        faultline_tests::program::program().unwrap();
        let catalog = tempfile::tempdir().unwrap();
        let text = format!(
            "datasets:\n  - {{urn: 'urn:dp:{name}', topics: [raw.{name}], producer: a-svc, schema: 'file:a.json'}}\n\
             producers:\n  - {{id: a-svc, team: a}}\n"
        );
        fs::write(catalog.path().join("catalog.yaml"), text).unwrap();
        fs::write(catalog.path().join("a.json"), r#"{"type": "object", "required": ["id"]}"#).unwrap();
        let scene = Self { kafka, catalog, name, settings: (pass, envelope) };
        scene.kafka().create_topic(&scene.data(), PARTITIONS as u32).unwrap();
        scene.kafka().create_topic(&scene.topic(), 2).unwrap();
        scene
    }

    fn kafka(&self) -> &KafkaServer {
        self.kafka.borrow()
    }

    fn data(&self) -> String {
        format!("raw.{}", self.name)
    }

    fn topic(&self) -> String {
        format!("{}.evidence", self.name)
    }

    fn start(&self, workers: usize) -> Service {
        let (name, (pass, envelope)) = (self.name, self.settings);
        let configuration = format!(
            "catalog: {}\nevidence: {{pass: {pass}}}\n\
             topics: {{data: [raw.{name}], evidence: {}, envelope: {envelope}, signals: {name}.signals, \
             incidents: {name}.incidents}}\n\
             kafka: {{bootstrap: \"{}\", group: {name}, start: committed, exactly_once: true, discovery_ms: 1000, \
             settings: {{transaction.timeout.ms: {TIMEOUT_MS}}}}}\n",
            self.catalog.path().display(),
            self.topic(),
            self.kafka().bootstrap(),
        );
        let mut program = Command::new(faultline_tests::program::program().unwrap());
        program.args(["--log", "info"]);
        Service::run(program, workers, &configuration).unwrap()
    }

    /// Publishes at a steady rate.
    fn publish(&self, length: Duration) -> u64 {
        self.publish_from(0, length)
    }

    /// The same, after so many.
    fn publish_from(&self, first: u64, length: Duration) -> u64 {
        let record = |number: u64| {
            let number = first + number;
            let (partition, offset) = (number as i32 % PARTITIONS, number as i64 / i64::from(PARTITIONS));
            let payload = if offset % BROKEN == 0 { "{}".to_owned() } else { format!("{{\"id\":{number}}}") };
            Paced { partition, payload }
        };
        self.kafka().publish_at_pace(&self.data(), RATE, length, record).unwrap()
    }

    /// How often the evidence of committed transactions speaks of each record.
    fn spoken_of(&self) -> BTreeMap<(u64, u64), u64> {
        let mut found = BTreeMap::new();
        for message in self.kafka().read_all(&self.topic()).unwrap() {
            let json: Value = serde_json::from_slice(message.payload.as_deref().unwrap()).unwrap();
            let json = if self.settings.1 == "cloudevents_structured" { &json["data"] } else { &json };
            let source = &json["source"];
            let of = |field: &str| source[field].as_u64();
            let (from, to) = match of("offset") {
                Some(offset) => (offset, offset),
                None => (of("offset_from").unwrap(), of("offset_to").unwrap()),
            };
            let range = json["kind"] == "range";
            let offsets: Vec<u64> = (from..=to).filter(|offset| !range || offset % BROKEN as u64 != 0).collect();
            assert_eq!(offsets.len() as u64, json["count"].as_u64().unwrap_or(1), "{json}");
            for offset in offsets {
                *found.entry((of("partition").unwrap(), offset)).or_default() += 1;
            }
        }
        found
    }

    fn account(&self, offered: u64) -> Account {
        let found = self.spoken_of();
        let evidence = found.values().sum();
        Account { offered, evidence, duplicates: evidence - found.len() as u64, lost: offered - found.len() as u64 }
    }

    /// Waits until there is evidence of all records, and a little longer for what should not come; checks that there is no more.
    fn is_whole(&self, service: &Service, offered: u64, what: &str) {
        let begin = Instant::now();
        while self.account(offered).lost > 0 && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(200));
        }
        std::thread::sleep(Duration::from_millis(500));
        let account = self.account(offered);
        println!("{what}: {account}");
        assert_eq!((account.lost, account.duplicates), (0, 0), "{what}: {account}\n{}", service.log_tail());
    }
}

/// A length between these.
fn between(from: Duration, to: Duration) -> Duration {
    let drawn = RandomState::new().hash_one(Instant::now()) % 1_000;
    from + (to - from) * drawn as u32 / 1_000
}

fn transactions(service: &Service, outcome: &str) -> u64 {
    let (text, name) =
        (service.get("/metrics").unwrap(), format!("faultline_transactions_total{{outcome=\"{outcome}\"}}"));
    let line = text.lines().find(|line| line.starts_with(&name));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn evidence_is_there_once_however_often_the_service_is_killed() {
    let scene = Scene::set("killed", "all", "plain");
    let mut moments = Vec::new();
    let (offered, service) = std::thread::scope(|threads| {
        let load = threads.spawn(|| scene.publish(Duration::from_secs(14)));
        while moments.len() < 6 {
            let service = scene.start(2);
            // The start itself takes about a second: some are killed in it.
            let moment = between(Duration::from_millis(500), Duration::from_millis(3_000));
            std::thread::sleep(moment);
            drop(service);
            moments.push(moment);
        }
        let service = scene.start(2);
        (load.join().unwrap(), service)
    });
    scene.is_whole(&service, offered, &format!("killed after {moments:?}"));
    assert!(transactions(&service, "committed") > 0);
    assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
}

#[test]
fn a_service_that_stood_still_is_fenced_by_its_successor_and_says_so() {
    let scene = Scene::set("overtaken", "all", "cloudevents_structured");
    let (offered, old, new) = std::thread::scope(|threads| {
        let load = threads.spawn(|| scene.publish(Duration::from_secs(12)));
        let old = scene.start(4);
        old.wait_until_ready().unwrap();
        std::thread::sleep(between(Duration::from_millis(1_000), Duration::from_millis(2_000)));
        freeze(old.pid()).unwrap();
        // Fewer workers: those of the old service that it has no ids for are fenced as well.
        let new = scene.start(2);
        new.wait_until_ready().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        thaw(old.pid()).unwrap();
        (load.join().unwrap(), old, new)
    });
    let status = old.wait_for_end().unwrap();
    assert_eq!(status.code(), Some(2), "{}", old.log_tail());
    let log = old.log_tail();
    assert!(log.contains("another instance of the service has taken over the group overtaken"), "{log}");
    scene.is_whole(&new, offered, "overtaken");
    assert_eq!(new.terminate().unwrap().code(), Some(0), "{}", new.log_tail());
}

#[test]
fn a_transaction_that_timed_out_or_lost_its_broker_is_sent_again_once() {
    let mut options = KafkaOptions::default();
    let look_every = "transaction.abort.timed.out.transaction.cleanup.interval.ms";
    options.properties.insert(look_every.to_owned(), "500".to_owned());
    let mut scene = Scene::beside(KafkaServer::start_with(&options).unwrap(), "interrupted", "all", "plain");
    let service = scene.start(2);
    service.wait_until_ready().unwrap();
    let mut offered = std::thread::scope(|threads| {
        let load = threads.spawn(|| scene.publish(Duration::from_secs(7)));
        std::thread::sleep(between(Duration::from_millis(1_000), Duration::from_millis(1_500)));
        freeze(service.pid()).unwrap();
        std::thread::sleep(Duration::from_millis(TIMEOUT_MS + 1_500));
        thaw(service.pid()).unwrap();
        load.join().unwrap()
    });
    scene.is_whole(&service, offered, "stood still");
    println!("after it stood still: {} transactions aborted", transactions(&service, "aborted"));

    offered += scene.publish_from(offered, Duration::from_secs(2));
    scene.kafka.stop();
    let away = Instant::now();
    while !service.get("/healthz").is_ok_and(|health| health.contains("kafka_sink: ")) {
        assert!(away.elapsed() < PATIENCE, "an outage is not told of: {}", service.log_tail());
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_millis(TIMEOUT_MS + 1_000));
    scene.kafka.start_again().unwrap();
    offered += scene.publish_from(offered, Duration::from_secs(1));
    scene.is_whole(&service, offered, "without a broker");
    println!("after the broker was away: {} transactions aborted", transactions(&service, "aborted"));
    assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
}

#[test]
fn ranges_are_whole_when_fewer_workers_go_on() {
    let scene = Scene::set("shrunk", "ranges", "cloudevents_binary");
    let (offered, service) = std::thread::scope(|threads| {
        let load = threads.spawn(|| scene.publish(Duration::from_secs(10)));
        for _ in 0..2 {
            let service = scene.start(4);
            service.wait_until_ready().unwrap();
            std::thread::sleep(between(Duration::from_millis(500), Duration::from_millis(2_000)));
            drop(service);
        }
        let service = scene.start(2);
        (load.join().unwrap(), service)
    });
    scene.is_whole(&service, offered, "4 workers, then 2");
    assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
}
