//! Restarts in the middle of the orders incident: killed, stopped in good order, with another number of workers each time.
//! In the end every table holds what an undisturbed run leaves in it, and each record has its evidence.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

#[path = "failures/contents.rs"]
#[allow(dead_code)] // The stores of failures.rs are more than these.
mod contents;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use faultline_tests::program::{faultline, program};
use faultline_tests::scenario::orders;
use faultline_tests::servers::KafkaServer;
use faultline_tests::service::{CONTROL_TOPICS, Service};
use serde_json::Value;

use contents::Contents;

const DATA: &str = "raw.orders.events";
const EVIDENCE: &str = "signal_factory.evidence";
/// Over how long the incident's records are published.
const LOAD: Duration = Duration::from_secs(8);
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Counts of an ongoing breach are refreshed each 5 s.
const AT_REST_AFTER: Duration = Duration::from_secs(8);

/// A broker, and the folder of services that follow each other.
struct Place {
    kafka: KafkaServer,
    data: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let kafka = KafkaServer::start().unwrap();
        kafka.create_topic(DATA, 6).unwrap();
        for topic in CONTROL_TOPICS {
            kafka.create_topic(topic, 1).unwrap();
        }
        Self { kafka, data: tempfile::tempdir().unwrap() }
    }

    fn serve(&self, workers: usize) -> Service {
        let configuration = format!(
            "catalog: {}\ndata_dir: {}\nkafka: {{bootstrap: \"{}\"}}\nwindows: {{idle_timeout_ms: 3600000}}\n\
             snapshots: {{every_ms: 700}}\n",
            orders::folder().display(),
            self.data.path().display(),
            self.kafka.bootstrap(),
        );
        let mut program = Command::new(program().unwrap());
        program.args(["--log", "info"]);
        let service = Service::run(program, workers, &configuration).unwrap();
        service.wait_until_ready().unwrap();
        service
    }

    fn snapshots(&self) -> std::path::PathBuf {
        self.data.path().join("snapshots")
    }

    fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        contents.add_sqlite(&self.data.path().join("faultline.db"));
        contents
    }

    /// What the tables hold once that is `expected`, or as long as one waits for it; without it, once nothing changes.
    fn settled(&self, expected: Option<&Contents>) -> Contents {
        let begin = Instant::now();
        let (mut contents, mut since) = (self.contents(), Instant::now());
        loop {
            let settled = match expected {
                Some(expected) => contents == *expected,
                None => contents.is_whole() && since.elapsed() > AT_REST_AFTER,
            };
            if settled || begin.elapsed() > SETTLED_WITHIN {
                return contents;
            }
            std::thread::sleep(Duration::from_millis(500));
            let now = self.contents();
            if now != contents {
                (contents, since) = (now, Instant::now());
            }
        }
    }

    /// How many pieces of evidence there are, and of how many records.
    fn evidence(&self) -> (usize, usize) {
        let id = |payload: Option<Vec<u8>>| {
            let evidence: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
            evidence["evidence_id"].as_str().unwrap().to_owned()
        };
        let ids: Vec<_> =
            self.kafka.read_all(EVIDENCE).unwrap().into_iter().map(|message| id(message.payload)).collect();
        (ids.len(), ids.iter().collect::<BTreeSet<_>>().len())
    }
}

fn wait_until(what: &str, service: &Service, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < SETTLED_WITHIN, "waited in vain until {what}: {}", service.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn snapshots_kept(service: &Service) -> u64 {
    let text = service.get("/metrics").unwrap_or_default();
    let kept = text.lines().find_map(|line| line.strip_prefix("faultline_snapshots_total{outcome=\"kept\"} "));
    kept.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn newest(snapshots: &Path) -> Option<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(snapshots).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "snapshot"));
    files.into_iter().max()
}

#[test]
fn a_restart_with_any_number_of_workers_goes_on_where_it_was() {
    let envelopes = &orders::capture().unwrap();
    let offered = envelopes.iter().filter(|envelope| envelope.topic == DATA).count();

    let undisturbed = Place::new();
    let service = undisturbed.serve(2);
    undisturbed.kafka.publisher().publish_over(envelopes, LOAD / 4).unwrap();
    let expected = undisturbed.settled(None);
    assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
    assert_eq!(undisturbed.evidence(), (offered, offered));

    let place = Place::new();
    let publisher = place.kafka.publisher();
    std::thread::scope(|threads| {
        let load = threads.spawn(|| publisher.publish_over(envelopes, LOAD).unwrap());
        // Killed between two snapshots.
        let service = place.serve(2);
        wait_until("a snapshot is kept under load", &service, || snapshots_kept(&service) >= 3);
        drop(service);
        let (before, _) = place.evidence();

        let service = place.serve(4);
        wait_until("a snapshot is kept", &service, || snapshots_kept(&service) >= 2);
        assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
        let log = std::fs::read_to_string(service.dir().join("faultline.log")).unwrap();
        assert!(log.contains("going on from a snapshot"), "{log}");
        let (all, different) = place.evidence();
        println!("killed at {before} pieces of evidence: {} made again", all - different);

        // In good order, nothing is read twice.
        let service = place.serve(1);
        wait_until("a snapshot is kept", &service, || snapshots_kept(&service) >= 1);
        let twice = all - different;
        load.join().unwrap();
        wait_until("all evidence is there", &service, || place.evidence().1 >= offered);
        let contents = place.settled(Some(&expected));
        expected.assert_same(&contents, "restarted");
        let (all, different) = place.evidence();
        println!(
            "offered {offered}, evidence {different}, duplicates {}, lost {}",
            all - different,
            offered - different
        );
        assert_eq!((different, all - different), (offered, twice), "a stop in good order doubles nothing");
        assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
    });

    // What operators see of it, and a damaged one is passed over.
    let dir = place.snapshots();
    let dir = dir.to_str().unwrap();
    let listed = faultline(["snapshot", "ls", "--dir", dir], b"").unwrap();
    assert_eq!(listed.status.code(), Some(0));
    assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), 4, "a header and three snapshots");
    let inspected = faultline(["snapshot", "inspect", "--dir", dir], b"").unwrap();
    let text = String::from_utf8(inspected.stdout).unwrap();
    assert!(text.contains("raw.orders.events") && text.contains("workers  1"), "{text}");
    assert_eq!(faultline(["snapshot", "verify", "--dir", dir], b"").unwrap().status.code(), Some(0));

    let damaged = newest(&place.snapshots()).unwrap();
    let mut bytes = std::fs::read(&damaged).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let verified = faultline(["snapshot", "verify", "--dir", dir], b"").unwrap();
    assert_eq!(verified.status.code(), Some(1));
    let service = place.serve(2);
    let log = std::fs::read_to_string(service.dir().join("faultline.log")).unwrap();
    assert!(log.contains("the one before it is taken") && log.contains("going on from a snapshot"), "{log}");
    let contents = place.settled(Some(&expected));
    expected.assert_same(&contents, "after a damaged snapshot");
}
