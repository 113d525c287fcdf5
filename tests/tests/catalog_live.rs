//! A catalog that changes while the service runs beside a real broker: in a directory, and in a topic.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faultline_contracts::time::UnixMillis;
use faultline_proto::v1;
use faultline_tests::envelope::Envelope;
use faultline_tests::program::program;
use faultline_tests::servers::{KafkaServer, unix_millis};
use faultline_tests::service::{CONTROL_TOPICS, Service};
use serde_json::Value;

const EVIDENCE: &str = "signal_factory.evidence";
const CATALOG: &str = "signal_factory.catalog";
const PARTITIONS: u32 = 4;
const WORKERS: usize = 4;
/// Looks often, so that tests wait little.
const SETTINGS: &str = "catalog_poll_ms: 200\n";

fn entry(dataset: &str, topic: &str, more: &str) -> String {
    format!("  - {{urn: 'urn:dp:{dataset}', topics: [{topic}], contract: 'dc:{dataset}:1', producer: p{more}}}\n")
}

fn catalog(entries: &[String]) -> String {
    format!("datasets:\n{}producers: [{{id: p}}]\n", entries.concat())
}

/// A contract that asks for one field.
fn contract(dataset: &str, version: &str, field: &str) -> String {
    format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: {dataset}\nversion: {version}\nstatus: active\nschema:\n\
         \x20 - name: records\n\x20   properties:\n\x20     - {{name: {field}, required: true}}\n"
    )
}

/// Puts a file in another's place at once, as editors and deployment tools do.
fn replace(dir: &Path, file: &str, text: &str) {
    let next = dir.join(format!(".{file}.next"));
    fs::write(&next, text).unwrap();
    fs::rename(next, dir.join(file)).unwrap();
}

fn records(topic: &str, count: usize, payload: &str) -> Vec<Envelope> {
    let record = |n: usize| {
        let partition = (n % PARTITIONS as usize) as i32;
        Envelope { partition, ..Envelope::text(topic, unix_millis(), Some(format!("k{n}")), payload.to_owned()) }
    };
    (0..count).map(record).collect()
}

fn file(path: &str, text: Option<&str>) -> Envelope {
    let mut record = Envelope::text(CATALOG, unix_millis(), Some(path.to_owned()), String::new());
    record.payload = text.map(str::to_owned);
    record
}

fn broker(topics: &[&str]) -> KafkaServer {
    let kafka = KafkaServer::start().unwrap();
    kafka.create_topics(topics, PARTITIONS).unwrap();
    kafka.create_topics(&CONTROL_TOPICS, 1).unwrap();
    kafka
}

/// The service with a way to ask it.
struct Asked<'a> {
    kafka: &'a KafkaServer,
    service: Service,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Asked<'a> {
    fn of(kafka: &'a KafkaServer, service: Service) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { kafka, service, runtime }
    }

    fn wait_until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begin.elapsed() < Duration::from_secs(90), "{what}; {}", self.service.log_tail());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn status(&self) -> v1::GetStatusResponse {
        self.runtime.block_on(async {
            let mut client = self.service.client().await.unwrap();
            client.get_status(v1::GetStatusRequest::default()).await.unwrap().into_inner()
        })
    }

    fn catalog(&self) -> v1::CatalogStatus {
        self.status().catalog.unwrap()
    }

    /// Waits until another catalog than this is in force, and nothing is held back.
    fn wait_for_another(&self, before: &v1::CatalogStatus) -> v1::CatalogStatus {
        self.wait_until("another catalog comes into force", || {
            Some(self.catalog()).filter(|now| now.version != before.version && now.held == 0)
        })
    }

    /// Waits until something is held back, and checks that everybody is told. `place` is how the problem begins.
    fn wait_for_held(&self, before: &v1::CatalogStatus, place: &str) {
        let held = self.wait_until(place, || {
            Some(self.catalog()).filter(|now| now.problems.first().is_some_and(|problem| problem.starts_with(place)))
        });
        assert!(held.held > 0 && held.version == before.version, "what was good stays in force");
        let status = self.status();
        let dependency = status.dependencies.iter().find(|dependency| dependency.name == "catalog").unwrap();
        assert_eq!(dependency.state(), v1::dependency::State::Degraded);
        assert!(self.service.log_tail().contains(place), "{}", self.service.log_tail());
        assert_ne!(self.metric("faultline_catalog_held"), "0");
        assert_ne!(self.metric("faultline_catalog_problems"), "0");
        assert_eq!(self.metric("faultline_up{dependency=\"Catalog\"}"), "0");
    }

    fn metric(&self, name: &str) -> String {
        let text = self.service.get("/metrics").unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.rsplit(' ').next().unwrap().to_owned()
    }

    fn publish(&self, topic: &str, count: usize, payload: &str) {
        self.kafka.publish(&records(topic, count, payload)).unwrap();
    }

    /// Waits until a topic's records have so many pieces of evidence, and gives them by partition in the order of offsets.
    fn evidence(&self, topic: &str, count: usize) -> BTreeMap<i64, Vec<Value>> {
        let found = self.wait_until(&format!("{count} pieces of evidence of {topic}"), || {
            let all = self.kafka.read_all(EVIDENCE).unwrap();
            let all = all.iter().map(|message| serde_json::from_slice::<Value>(message.payload.as_deref()?).ok());
            let of_topic: Vec<Value> =
                all.map(Option::unwrap).filter(|json| json["source"]["topic"] == topic).collect();
            (of_topic.len() >= count).then_some(of_topic)
        });
        assert_eq!(found.len(), count, "{topic}");
        let mut by_partition = BTreeMap::<i64, Vec<Value>>::new();
        for json in found {
            by_partition.entry(json["source"]["partition"].as_i64().unwrap()).or_default().push(json);
        }
        for (partition, records) in &mut by_partition {
            records.sort_by_key(|json| json["source"]["offset"].as_i64());
            let offsets = records.iter().map(|json| json["source"]["offset"].as_i64().unwrap());
            assert!(offsets.eq(0..records.len() as i64), "each record once: {topic}[{partition}]");
        }
        by_partition
    }

    /// The versions of a topic's evidence, oldest first.
    fn versions(&self, topic: &str, count: usize) -> Vec<String> {
        let mut versions = Vec::<String>::new();
        for json in self.evidence(topic, count).into_values().flatten() {
            let version = json["contract_version"].as_str().unwrap_or("none").to_owned();
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        versions.sort();
        versions
    }
}

/// A stream of records that each catalog judges otherwise, while the catalog changes: first to another, then to a broken
/// one, then to one that is mended.
#[test]
fn another_contract_judges_from_one_moment_on_and_a_broken_one_not_at_all() {
    let kafka = broker(&["raw.a", "raw.b"]);
    let dir = tempfile::tempdir().unwrap();
    let entries = [entry("a", "raw.a", ""), entry("b", "raw.b", ", tier: 1")];
    replace(dir.path(), "catalog.yaml", &catalog(&entries));
    for dataset in ["a", "b"] {
        replace(dir.path(), &format!("{dataset}.odcs.yaml"), &contract(dataset, "1.0.0", "one"));
    }
    let asked = Asked::of(&kafka, Service::start(&kafka, dir.path(), WORKERS, SETTINGS).unwrap());
    let first = asked.catalog();
    assert_eq!((first.datasets, first.problems.len(), first.since), (2, 0, None));
    assert_eq!(first.source, dir.path().display().to_string());

    let (stop, published) = (AtomicBool::new(false), std::sync::Mutex::new(0));
    let second = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                kafka.publish(&records("raw.a", 40, r#"{"one": 1}"#)).unwrap();
                *published.lock().unwrap() += 40;
            }
        });
        asked.wait_until("evidence of the first", || (!kafka.read_all(EVIDENCE).unwrap().is_empty()).then_some(()));
        for dataset in ["a", "b"] {
            replace(dir.path(), &format!("{dataset}.odcs.yaml"), &contract(dataset, "1.1.0", "two"));
        }
        let second = asked.wait_for_another(&first);
        std::thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        second
    });
    let count = *published.lock().unwrap();
    let since = second.since.unwrap();
    let since = UnixMillis(since.seconds * 1_000 + i64::from(since.nanos) / 1_000_000);
    let mut both = 0;
    for (partition, records) in asked.evidence("raw.a", count) {
        let versions: Vec<&str> = records.iter().map(|json| json["contract_version"].as_str().unwrap()).collect();
        assert!(versions.is_sorted(), "the old, then the new: partition {partition}");
        both += usize::from(versions.contains(&"1.0.0") && versions.contains(&"1.1.0"));
        for json in &records {
            let made: UnixMillis = json["timestamp"].as_str().unwrap().parse().unwrap();
            assert_eq!(json["contract"], "dc:a:1");
            match json["contract_version"].as_str().unwrap() {
                "1.0.0" => assert_eq!(json["validation"]["result"], "PASS"),
                _ => {
                    assert_eq!(json["validation"]["reason_codes"], serde_json::json!(["MISSING_FIELD:two"]));
                    assert!(made >= since, "{json} before {since}");
                }
            }
        }
    }
    assert_eq!(both, PARTITIONS as usize, "every partition has seen both");
    println!("{count} records while the contract changed");

    // Records that fail for the new contract alone: it is the cause.
    asked.publish("raw.b", 400, r#"{"one": 1}"#);
    asked.evidence("raw.b", 400);
    let hypothesis = asked.wait_until("the new contract is named as a cause", || {
        asked.runtime.block_on(async {
            let mut client = asked.service.client().await.unwrap();
            let incidents = client.list_incidents(v1::ListIncidentsRequest::default()).await.unwrap().into_inner();
            let incident = incidents.incidents.into_iter().find(|incident| incident.dataset_urn == "urn:dp:b")?;
            let request = v1::ExplainIncidentRequest { incident_id: incident.id, ..Default::default() };
            let explanation = client.explain_incident(request).await.unwrap().into_inner();
            explanation.hypotheses.into_iter().find(|hypothesis| hypothesis.subject == "dc:b:1.1.0")
        })
    });
    assert_eq!(hypothesis.kind(), v1::hypothesis::Kind::ContractChange);

    // Broken, half of a file that is still being written as it were.
    let mended = contract("a", "1.2.0", "one");
    replace(dir.path(), "a.odcs.yaml", &mended.replace("required: true}", "required: ["));
    asked.wait_for_held(&second, &format!("{}:", dir.path().join("a.odcs.yaml").display()));
    asked.publish("raw.a", 4, r#"{"one": 1}"#);
    assert_eq!(asked.versions("raw.a", count + 4), ["1.0.0", "1.1.0"]);

    replace(dir.path(), "a.odcs.yaml", &mended);
    let third = asked.wait_for_another(&second);
    assert!(third.problems.is_empty(), "{:?}", third.problems);
    assert_eq!(asked.metric("faultline_up{dependency=\"Catalog\"}"), "1");
    assert_eq!(asked.metric(&format!("faultline_catalog_info{{version=\"{}\"}}", third.version)), "1");
    asked.publish("raw.a", 4, r#"{"one": 1}"#);
    assert_eq!(asked.versions("raw.a", count + 8), ["1.0.0", "1.1.0", "1.2.0"]);
    assert_eq!(asked.service.terminate().unwrap().code(), Some(0), "{}", asked.service.log_tail());
}

#[test]
fn a_dataset_and_its_topic_come_go_and_come_back_without_a_restart() {
    let kafka = broker(&["raw.a", "payments"]);
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (entry("a", "raw.a", ""), entry("b", "payments", ""));
    replace(dir.path(), "catalog.yaml", &catalog(std::slice::from_ref(&a)));
    replace(dir.path(), "a.odcs.yaml", &contract("a", "1.0.0", "one"));
    // Were it for discovery alone, the topic would not be found while this test runs.
    let configuration = format!(
        "catalog: {}\ndata_dir: data\nkafka: {{bootstrap: \"{}\", discovery_ms: 3600000}}\n{SETTINGS}",
        dir.path().display(),
        kafka.bootstrap(),
    );
    let mut command = Command::new(program().unwrap());
    command.args(["--log", "info"]);
    let service = Service::run(command, WORKERS, &configuration).unwrap();
    service.wait_until_ready().unwrap();
    let asked = Asked::of(&kafka, service);

    // Published before anybody knows the topic, and judged once it is known.
    asked.publish("payments", 100, "{}");
    asked.publish("raw.a", 4, r#"{"one": 1}"#);
    asked.evidence("raw.a", 4);
    asked.evidence("payments", 0);
    let before = asked.catalog();
    replace(dir.path(), "b.odcs.yaml", &contract("b", "1.0.0", "one"));
    replace(dir.path(), "catalog.yaml", &catalog(&[a.clone(), b.clone()]));
    let mut now = asked.wait_for_another(&before);
    if now.datasets == 1 {
        // The contract was seen before the catalog.yaml that names it.
        now = asked.wait_for_another(&now);
    }
    let of_b = asked.evidence("payments", 100);
    assert!(of_b.values().flatten().all(|json| json["dataset_urn"] == "urn:dp:b"));
    let signal = |asked: &Asked<'_>| {
        asked.runtime.block_on(async {
            let mut client = asked.service.client().await.unwrap();
            let signals = client.list_signals(v1::ListSignalsRequest::default()).await.unwrap().into_inner().signals;
            signals.into_iter().find(|signal| signal.dataset_urn == "urn:dp:b")
        })
    };
    asked.wait_until("the new dataset has a signal", || signal(&asked));

    // Turned off: its topic is left, and nothing of it stands.
    replace(dir.path(), "catalog.yaml", &catalog(&[a.clone(), b.replace('}', ", enabled: false}")]));
    let off = asked.wait_for_another(&now);
    asked.wait_until("its signal is retracted", || signal(&asked).is_none().then_some(()));
    asked.publish("payments", 40, "{}");
    asked.publish("raw.a", 4, r#"{"one": 1}"#);
    asked.evidence("raw.a", 8);
    std::thread::sleep(Duration::from_secs(1));
    asked.evidence("payments", 100);
    let told = kafka.read_all("signal_factory.signals").unwrap();
    let last = told.iter().rfind(|message| message.key.as_deref() == Some(b"urn:dp:b")).unwrap();
    let last: Value = serde_json::from_slice(last.payload.as_deref().unwrap()).unwrap();
    assert_eq!((&last["retracted"], &last["state"]), (&true.into(), &"UNKNOWN".into()), "{last}");

    // Back: it goes on where it was left.
    replace(dir.path(), "catalog.yaml", &catalog(&[a, b]));
    asked.wait_for_another(&off);
    let of_b = asked.evidence("payments", 140);
    assert!(of_b.values().flatten().all(|json| json["dataset_urn"] == "urn:dp:b"), "nothing was judged as nobody's");
    asked.wait_until("it has a signal again", || signal(&asked));
    assert_eq!(asked.service.terminate().unwrap().code(), Some(0), "{}", asked.service.log_tail());
}

#[test]
fn a_topic_of_files_is_a_catalog() {
    let kafka = broker(&["raw.a", "raw.b"]);
    kafka.create_topic_with(CATALOG, 2, &[("cleanup.policy", "compact")]).unwrap();
    let both = catalog(&[entry("a", "raw.a", ", schema: 'glue:a:1'"), entry("b", "raw.b", "")]);
    let old = contract("a", "0.9.0", "nothing");
    kafka
        .publish(&[
            file("a.odcs.yaml", Some(&old)),
            file("catalog.yaml", Some(&both)),
            file("a.odcs.yaml", Some(&contract("a", "1.0.0", "one"))),
            file("b.odcs.yaml", Some(&contract("b", "1.0.0", "one"))),
            file("schemas/a/1.json", Some(r#"{"type": "object"}"#)),
            file("notes.txt", Some("no file of a catalog")),
        ])
        .unwrap();
    let configuration = format!(
        "data_dir: data\nkafka: {{bootstrap: \"{}\", discovery_ms: 1000, catalog_topic: true}}\n{SETTINGS}",
        kafka.bootstrap(),
    );
    let mut command = Command::new(program().unwrap());
    command.args(["--log", "info"]);
    let service = Service::run(command, 2, &configuration).unwrap();
    service.wait_until_ready().unwrap();
    let asked = Asked::of(&kafka, service);
    let first = asked.catalog();
    assert_eq!((first.datasets, first.problems.len(), first.source.as_str()), (2, 0, "topic signal_factory.catalog"));
    assert_eq!(asked.metric("faultline_rejected_total{reason=\"catalog_record\"}"), "1");
    asked.publish("raw.a", 4, r#"{"one": 1}"#);
    assert_eq!(asked.versions("raw.a", 4), ["1.0.0"]);

    kafka.publish(&[file("a.odcs.yaml", Some(&contract("a", "1.1.0", "one")))]).unwrap();
    let second = asked.wait_for_another(&first);
    asked.publish("raw.a", 4, r#"{"one": 1}"#);
    assert_eq!(asked.versions("raw.a", 8), ["1.0.0", "1.1.0"]);

    // Deleted although catalog.yaml names it.
    kafka.publish(&[file("b.odcs.yaml", None)]).unwrap();
    asked.wait_for_held(&second, "signal_factory.catalog/catalog.yaml:3:");
    asked.publish("raw.b", 4, r#"{"one": 1}"#);
    assert_eq!(asked.versions("raw.b", 4), ["1.0.0"], "what was last good stays in force");

    // And now with its dataset.
    kafka.publish(&[file("catalog.yaml", Some(&catalog(&[entry("a", "raw.a", "")])))]).unwrap();
    let third = asked.wait_for_another(&second);
    assert_eq!((third.datasets, third.problems.len()), (1, 0));
    let gone = asked.runtime.block_on(async {
        let mut client = asked.service.client().await.unwrap();
        client.get_dataset(v1::GetDatasetRequest { urn: "urn:dp:b".to_owned(), min_as_of: None }).await
    });
    assert_eq!(gone.unwrap_err().code(), tonic::Code::NotFound);
    assert_eq!(asked.service.terminate().unwrap().code(), Some(0), "{}", asked.service.log_tail());
}

/// The new topic has as many records in each partition as the old one had, so no offset tells it from the other.
#[test]
fn a_topic_of_files_that_was_made_anew_is_another_catalog() {
    let kafka = broker(&["raw.a"]);
    let compact = [("cleanup.policy", "compact")];
    let make = || kafka.create_topic_with(CATALOG, 2, &compact);
    let entries = [entry("a", "raw.a", ""), entry("b", "raw.b", "")];
    let publish = |version: &str, names: &[String]| {
        let file_of = |dataset: &str| file(&format!("{dataset}.odcs.yaml"), Some(&contract(dataset, version, "one")));
        kafka.publish(&[file_of("a"), file_of("b"), file("catalog.yaml", Some(&catalog(names)))]).unwrap();
    };
    make().unwrap();
    publish("1.0.0", &entries);
    let configuration = format!(
        "data_dir: data\nkafka: {{bootstrap: \"{}\", discovery_ms: 1000, catalog_topic: true}}\n{SETTINGS}",
        kafka.bootstrap(),
    );
    let mut command = Command::new(program().unwrap());
    command.args(["--log", "info"]);
    let service = Service::run(command, 2, &configuration).unwrap();
    service.wait_until_ready().unwrap();
    let asked = Asked::of(&kafka, service);
    let first = asked.catalog();
    assert_eq!((first.datasets, first.problems.len()), (2, 0), "{:?}", first.problems);

    // Deleted for long enough to be noticed: what was read of it stays in force.
    kafka.delete_topic(CATALOG).unwrap();
    asked.wait_for_held(&first, "topic signal_factory.catalog: cannot be read:");
    make().unwrap();
    publish("1.1.0", &entries);
    let second = asked.wait_until("the second catalog comes into force", || {
        Some(asked.catalog()).filter(|now| now.version != first.version && now.problems.is_empty())
    });
    assert_eq!((second.datasets, second.problems.len()), (2, 0), "{:?}", second.problems);
    asked.publish("raw.a", 4, r#"{"one": 1}"#);
    assert_eq!(asked.versions("raw.a", 4), ["1.1.0"]);

    // And made anew at once.
    kafka.delete_topic(CATALOG).unwrap();
    asked.wait_until("the topic can be made again", || make().ok());
    publish("1.2.0", &entries[..1]);
    let third = asked.wait_until("the third catalog comes into force", || {
        Some(asked.catalog()).filter(|now| now.version != second.version && now.problems.is_empty())
    });
    assert_eq!(third.datasets, 1);
    asked.publish("raw.a", 4, r#"{"one": 1}"#);
    assert_eq!(asked.versions("raw.a", 8), ["1.1.0", "1.2.0"]);
    assert_eq!(asked.service.terminate().unwrap().code(), Some(0), "{}", asked.service.log_tail());
}
