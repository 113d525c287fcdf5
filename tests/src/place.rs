//! A broker at which the orders incident happens, and the folders of services that follow each other there.

#![allow(clippy::unwrap_used)] // What tests share stops the test, as tests do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::contents::Contents;
use crate::program::program;
use crate::scenario::orders;
use crate::servers::KafkaServer;
use crate::servers::ports::free_ports;
use crate::service::{CONTROL_TOPICS, Service};

/// The incident's data topic.
pub const DATA: &str = "raw.orders.events";
const EVIDENCE: &str = "signal_factory.evidence";
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Counts of an ongoing breach are refreshed each 5 s.
const AT_REST_AFTER: Duration = Duration::from_secs(8);

/// A broker, and a folder for the data of services.
pub struct Place {
    /// The broker.
    pub kafka: KafkaServer,
    data: tempfile::TempDir,
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// A broker with all topics, and an empty folder.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn new() -> Self {
        let kafka = KafkaServer::start().unwrap();
        kafka.create_topic(DATA, 6).unwrap();
        for topic in CONTROL_TOPICS {
            kafka.create_topic(topic, 1).unwrap();
        }
        Self { kafka, data: tempfile::tempdir().unwrap() }
    }

    fn configuration(&self, process: usize, more: &str) -> String {
        format!(
            "catalog: {}\ndata_dir: {}\nkafka: {{bootstrap: \"{}\"}}\nwindows: {{idle_timeout_ms: 3600000}}\n\
             snapshots: {{every_ms: 700}}\n{more}",
            orders::folder().display(),
            self.data.path().join(process.to_string()).display(),
            self.kafka.bootstrap(),
        )
    }

    /// A service of one process, once it is ready.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn serve(&self, workers: usize) -> Service {
        let mut program = Command::new(program().unwrap());
        program.args(["--log", "info"]);
        let service = Service::run(program, workers, &self.configuration(0, "")).unwrap();
        service.wait_until_ready().unwrap();
        service
    }

    /// The hosts of a cluster of so many processes on this machine.
    ///
    /// # Panics
    /// There are no free ports.
    #[must_use]
    pub fn hosts<const N: usize>(&self) -> Hosts {
        let ports = free_ports::<N>().unwrap();
        let path = self.data.path().join(format!("hosts-{}", ports[0]));
        let lines: String = ports.iter().map(|port| format!("127.0.0.1:{port}\n")).collect();
        std::fs::write(&path, lines).unwrap();
        Hosts { path, processes: N }
    }

    /// One process of a cluster, which may not be ready: it waits for the others. `more` is YAML that is added to its
    /// configuration.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn serve_process(&self, hosts: &Hosts, process: usize, workers: usize, more: &str) -> Service {
        self.process(hosts, process, workers, more, &["run"])
    }

    /// [`Place::serve_process`], under a supervisor.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn supervise_process(&self, hosts: &Hosts, process: usize, workers: usize) -> Service {
        self.process(hosts, process, workers, "", &["supervise", "--"])
    }

    fn process(&self, hosts: &Hosts, process: usize, workers: usize, more: &str, command: &[&str]) -> Service {
        let mut program = Command::new(program().unwrap());
        program.args(["--log", "info"]);
        let args = [
            "--processes".to_owned(),
            hosts.processes.to_string(),
            "--process".to_owned(),
            process.to_string(),
            "--hosts".to_owned(),
            hosts.path.display().to_string(),
        ];
        Service::run_with(program, command, workers, &self.configuration(process, more), &args).unwrap()
    }

    /// All processes of a cluster, once they are ready.
    ///
    /// # Panics
    /// They do not start.
    #[must_use]
    pub fn serve_cluster<const N: usize>(&self, workers: usize) -> Vec<Service> {
        let hosts = self.hosts::<N>();
        let services: Vec<_> = (0..N).map(|process| self.serve_process(&hosts, process, workers, "")).collect();
        services.iter().for_each(|service| service.wait_until_ready().unwrap());
        services
    }

    /// The folder of snapshots.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.data.path().join("0/snapshots")
    }

    fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        contents.add_sqlite(&self.data.path().join("0/faultline.db"));
        contents
    }

    /// What the tables hold once that is `expected`, or as long as one waits for it; without it, once nothing changes.
    ///
    /// # Panics
    /// They cannot be read.
    #[must_use]
    pub fn settled(&self, expected: Option<&Contents>) -> Contents {
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
    ///
    /// # Panics
    /// The broker does not answer.
    #[must_use]
    pub fn evidence(&self) -> (usize, usize) {
        let id = |payload: Option<Vec<u8>>| {
            let evidence: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
            evidence["evidence_id"].as_str().unwrap().to_owned()
        };
        let ids: Vec<_> =
            self.kafka.read_all(EVIDENCE).unwrap().into_iter().map(|message| id(message.payload)).collect();
        (ids.len(), ids.iter().collect::<BTreeSet<_>>().len())
    }
}

/// The hosts of a cluster.
pub struct Hosts {
    path: PathBuf,
    processes: usize,
}

/// Waits until something is so.
///
/// # Panics
/// It is not within a minute.
pub fn wait_until(what: &str, service: &Service, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < SETTLED_WITHIN, "waited in vain until {what}: {}", service.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How many snapshots a service has kept.
#[must_use]
pub fn snapshots_kept(service: &Service) -> u64 {
    let text = service.get("/metrics").unwrap_or_default();
    let kept = text.lines().find_map(|line| line.strip_prefix("faultline_snapshots_total{outcome=\"kept\"} "));
    kept.and_then(|count| count.parse().ok()).unwrap_or(0)
}
