//! Records behind wire headers, a real broker, two registries, and what becomes of the records when a registry is away.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faultline_contracts::registry::SchemaId;
use faultline_tests::envelope::{Envelope, write_envelopes};
use faultline_tests::framing::{Payment, confluent, confluent_header, confluent_protobuf, glue, glue_deflated, uuid};
use faultline_tests::program::{faultline, program};
use faultline_tests::servers::moto::CREDENTIALS;
use faultline_tests::servers::process::{freeze, thaw};
use faultline_tests::servers::{Bytes, ConfluentRegistry, KafkaServer, MotoServer};
use faultline_tests::service::{CONTROL_TOPICS, Service};
use serde_json::Value;

const EVIDENCE: &str = "signal_factory.evidence";
const CONFLUENT: &str = "raw.payments.confluent";
const GLUE: &str = "raw.payments.glue";
/// Topics of the same datasets for a steady load.
const CONFLUENT_LOAD: &str = "load.payments.confluent";
const GLUE_LOAD: &str = "load.payments.glue";
const REGISTRY: &str = "payments";
/// The schemas that the catalog names.
const CONFLUENT_SCHEMA: &str = "confluent:raw.payments.confluent-value:1";
const GLUE_SCHEMA: &str = "glue:payment:1";
const PATIENCE: Duration = Duration::from_secs(60);
/// Health and metrics show within 5 s that a dependency is away. Machines that run tests are busy, so this is a bound that
/// only a defect breaks; what it took is printed.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

const CATALOG: &str = r"
datasets:
  - {urn: 'urn:dp:payments:confluent', topics: [raw.payments.confluent, load.payments.confluent], producer: payments-svc,
     schema: 'confluent:raw.payments.confluent-value:1', contract: 'dc:payments:1'}
  - {urn: 'urn:dp:payments:glue', topics: [raw.payments.glue, load.payments.glue], producer: payments-svc,
     schema: 'glue:payment:1', contract: 'dc:payments:1'}
producers: [{id: payments-svc}]
";

const CONTRACT: &str = r"
apiVersion: v3.1.0
kind: DataContract
id: payments
version: 1.0.0
status: active
schema:
  - name: payments
    logicalType: object
    properties:
      - {name: id, logicalType: string, required: true}
      - {name: amount, logicalType: number, required: true, logicalTypeOptions: {minimum: 0}}
      - {name: currency, logicalType: string, required: true, logicalTypeOptions: {pattern: '^[A-Z]{3}$'}}
";

const AVRO_CURRENCY: &str = r#"{"type": "enum", "name": "Currency", "namespace": "money", "symbols": ["EUR", "USD"]}"#;
const AVRO_PAYMENT: &str = r#"{"type": "record", "name": "Payment", "namespace": "pay", "fields": [
    {"name": "id", "type": "string"}, {"name": "amount", "type": "double"}, {"name": "currency", "type": "money.Currency"}]}"#;
/// Without a reference, which Glue does not have.
const AVRO_WHOLE: &str = r#"{"type": "record", "name": "Payment", "namespace": "pay", "fields": [
    {"name": "id", "type": "string"}, {"name": "amount", "type": "double"}, {"name": "currency", "type":
    {"type": "enum", "name": "Currency", "symbols": ["EUR", "USD"]}}]}"#;
/// As version 1, with a word more of documentation.
const AVRO_NEXT: &str = r#"{"type": "record", "name": "Payment", "namespace": "pay", "doc": "A payment.", "fields": [
    {"name": "id", "type": "string"}, {"name": "amount", "type": "double"}, {"name": "currency", "type":
    {"type": "enum", "name": "Currency", "symbols": ["EUR", "USD"]}}]}"#;
const PROTO_CURRENCY: &str = r#"syntax = "proto3"; package money; enum Currency { EUR = 0; USD = 1; }"#;
const PROTO_PAYMENT: &str = r#"syntax = "proto3"; package pay; import "currency.proto";
    message Payment { string id = 1; double amount = 2; money.Currency currency = 3; }"#;
const PROTO_WHOLE: &str = r#"syntax = "proto3"; package pay; enum Currency { EUR = 0; USD = 1; }
    message Payment { string id = 1; double amount = 2; Currency currency = 3; }"#;
const JSON_PAYMENT: &str = r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
    "required": ["id", "amount"], "properties": {"id": {"type": "string"}, "amount": {"type": "number"}}}"#;

const GOOD: Payment<'_> = Payment { id: "p-1", amount: 12.5, currency: "USD" };
const NEGATIVE: Payment<'_> = Payment { id: "p-2", amount: -1.0, currency: "USD" };

/// What a record is expected to come to: result, reasons, and the schema that it was judged by.
type Expected<'a> = (&'a str, &'a [&'a str], &'a str);

struct Bench {
    kafka: KafkaServer,
    catalog: tempfile::TempDir,
    cache: tempfile::TempDir,
    published: BTreeMap<&'static str, i64>,
}

impl Bench {
    fn start() -> Self {
        let kafka = KafkaServer::start().unwrap();
        for topic in CONTROL_TOPICS.into_iter().chain([CONFLUENT, GLUE, CONFLUENT_LOAD, GLUE_LOAD]) {
            kafka.create_topic(topic, 1).unwrap();
        }
        let (catalog, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(catalog.path().join("catalog.yaml"), CATALOG).unwrap();
        std::fs::write(catalog.path().join("payments.odcs.yaml"), CONTRACT).unwrap();
        Self { kafka, catalog, cache, published: BTreeMap::new() }
    }

    /// A service that asks these registries.
    fn serve(&self, registries: &str) -> Service {
        let mut program = Command::new(program().unwrap());
        program.args(["--log", "info"]).envs(CREDENTIALS);
        // No file of the machine's user is to say who we are.
        for file in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
            program.env(file, "/dev/null");
        }
        let configuration = format!(
            "catalog: {}\nkafka: {{bootstrap: \"{}\", group: g{}}}\nregistry:\n  cache_dir: {}\n  unknown_ttl_ms: 500\n\
             \x20 outage_ttl_ms: 500\n{registries}",
            self.catalog.path().display(),
            self.kafka.bootstrap(),
            std::process::id(),
            self.cache.path().display(),
        );
        let service = Service::run(program, 2, &configuration).unwrap();
        service.wait_until_ready().unwrap();
        service
    }

    /// Publishes records and waits for their evidence, which is to be as expected.
    fn judge(&mut self, service: &Service, topic: &'static str, records: &[(Bytes, Expected<'_>)]) {
        let bytes: Vec<Bytes> = records.iter().map(|(bytes, _)| bytes.clone()).collect();
        let first = *self.published.entry(topic).or_default();
        *self.published.get_mut(topic).unwrap() += records.len() as i64;
        self.kafka.publish_bytes(topic, &bytes).unwrap();
        let begin = Instant::now();
        let found = loop {
            let found = self.evidence(topic);
            if (first..).take(records.len()).all(|offset| found.contains_key(&offset)) {
                break found;
            }
            assert!(begin.elapsed() < PATIENCE, "{} of {topic}: {}", found.len(), service.log_tail());
            std::thread::sleep(Duration::from_millis(100));
        };
        for (offset, (_, (result, reasons, schema))) in (first..).zip(records) {
            let line = found[&offset].first().unwrap();
            let reason_codes: Vec<&str> = line["validation"]["reason_codes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|code| code.as_str().unwrap())
                .collect();
            assert_eq!(line["validation"]["result"], *result, "{topic}@{offset}: {line}; {}", service.log_tail());
            assert_eq!(reason_codes, *reasons, "{topic}@{offset}: {line}");
            assert_eq!(line["schema"], *schema, "{topic}@{offset}: {line}");
            let catalogs = if topic == GLUE { GLUE_SCHEMA } else { CONFLUENT_SCHEMA };
            // Of a schema that nobody could look up nobody knows whether it is the catalog's.
            let known =
                !reasons.iter().any(|code| code.starts_with("UNKNOWN_SCHEMA") || *code == "REGISTRY_UNAVAILABLE");
            let drift = serde_json::json!({"catalog": catalogs, "record": schema});
            let expected = if known && *schema != catalogs { drift } else { Value::Null };
            assert_eq!(line["schema_drift"], expected, "{topic}@{offset}: {line}");
        }
    }

    /// Publishes this record a hundred times a second, until the load is dropped.
    fn load(&self, topic: &'static str, record: &Bytes) -> Load {
        let ended = Arc::new(AtomicBool::new(false));
        let (publisher, end) = (self.kafka.publisher(), Arc::clone(&ended));
        let mut envelope = Envelope::text(topic, 1_700_000_000_000, None, String::new());
        (envelope.payload, envelope.payload_base64) = (None, Some(STANDARD.encode(&record.value)));
        let second = vec![envelope; 100];
        let thread = std::thread::spawn(move || {
            let mut published = 0;
            while !end.load(Ordering::Relaxed) {
                publisher.publish_over(&second, Duration::from_secs(1)).unwrap();
                published += 100;
            }
            published
        });
        Load { topic, ended, thread }
    }

    /// Ends a load. Each of its records is there once, and kept its contract whatever happened meanwhile.
    fn end(&mut self, load: Load, service: &Service) {
        load.ended.store(true, Ordering::Relaxed);
        let published = load.thread.join().unwrap();
        self.published.insert(load.topic, published);
        let begin = Instant::now();
        let evidence = loop {
            let evidence = self.evidence(load.topic);
            if evidence.len() as i64 >= published {
                break evidence;
            }
            assert!(begin.elapsed() < PATIENCE, "{} of {published}: {}", evidence.len(), service.log_tail());
            std::thread::sleep(Duration::from_millis(200));
        };
        let failing = evidence.values().flatten().find(|line| line["validation"]["result"] != "PASS");
        assert_eq!(failing, None);
    }

    /// The evidence about a topic's records, by offset.
    fn evidence(&self, topic: &str) -> BTreeMap<i64, Vec<Value>> {
        let mut found = BTreeMap::<_, Vec<Value>>::new();
        for message in self.kafka.read_all(EVIDENCE).unwrap() {
            let line: Value = serde_json::from_slice(&message.payload.unwrap()).unwrap();
            if line["source"]["topic"] == topic {
                found.entry(line["source"]["offset"].as_i64().unwrap()).or_default().push(line);
            }
        }
        found
    }

    /// Nothing was judged twice.
    fn judged_once(&self) {
        for (topic, count) in &self.published {
            let evidence = self.evidence(topic);
            let found: usize = evidence.values().map(Vec::len).sum();
            println!(
                "{topic}: offered {count}, evidence {found}, duplicates {}, lost {}",
                found - evidence.len(),
                *count - evidence.len() as i64
            );
            assert_eq!(evidence.len() as i64, *count, "{topic}");
            assert!(evidence.values().all(|lines| lines.len() == 1), "{topic}: {evidence:#?}");
        }
    }
}

/// Records that are published while other things happen.
struct Load {
    topic: &'static str,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<i64>,
}

/// Waits until a line is among the service's metrics, and says how long that took.
fn wait_for(service: &Service, line: &str) -> Duration {
    let begin = Instant::now();
    while !service.get("/metrics").unwrap().lines().any(|found| found == line) {
        assert!(begin.elapsed() < PATIENCE, "{line}: {}", service.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
    begin.elapsed()
}

fn wait_for_health(service: &Service, up: bool) -> Duration {
    wait_for(service, &format!("faultline_up{{dependency=\"Registry\"}} {}", u8::from(up)))
}

fn told_in_time(service: &Service, how: &str) {
    let took = wait_for_health(service, false);
    println!("{how}: degraded after {took:?}");
    assert!(took < TOLD_WITHIN, "{how}: {took:?}");
}

#[test]
fn confluent_records_are_judged_and_an_outage_is_only_that() {
    let mut bench = Bench::start();
    let mut registry = ConfluentRegistry::start_for("Bearer secret").unwrap();
    registry.register("money.Currency-value", "AVRO", AVRO_CURRENCY, &[]).unwrap();
    let subject = "raw.payments.confluent-value";
    let avro_reference: &[(&str, &str, u64)] = &[("money.Currency", "money.Currency-value", 1)];
    let avro = registry.register(subject, "AVRO", AVRO_PAYMENT, avro_reference).unwrap();
    registry.register("currency.proto", "PROTOBUF", PROTO_CURRENCY, &[]).unwrap();
    let proto_reference: &[(&str, &str, u64)] = &[("currency.proto", "currency.proto", 1)];
    let proto = registry.register("payment-proto", "PROTOBUF", PROTO_PAYMENT, proto_reference).unwrap();
    let json = registry.register("payment-json", "JSON", JSON_PAYMENT, &[]).unwrap();
    let next = registry.register(subject, "AVRO", AVRO_NEXT, &[]).unwrap();
    let settings = format!("  confluent: {{urls: [\"{}\"], token: secret}}\n", registry.url());
    let service = bench.serve(&settings);
    assert_eq!((avro.version, next.version), (1, 2));

    let (avro_name, next_name) =
        ("confluent:raw.payments.confluent-value:1", "confluent:raw.payments.confluent-value:2");
    let (proto_name, json_name) = ("confluent:payment-proto:1", "confluent:payment-json:1");
    let good = GOOD.avro(&[AVRO_CURRENCY, AVRO_PAYMENT]).unwrap();
    let negative = NEGATIVE.avro(&[AVRO_CURRENCY, AVRO_PAYMENT]).unwrap();
    let out_of_range: &[&str] = &["OUT_OF_RANGE:amount"];
    let guid = uuid(&json.guid).unwrap();
    bench.judge(
        &service,
        CONFLUENT,
        &[
            (confluent(avro.id, &good), ("PASS", &[], avro_name)),
            (confluent(avro.id, &negative), ("FAIL", out_of_range, avro_name)),
            (confluent(avro.id, &good[..3]), ("FAIL", &["UNPARSEABLE"], avro_name)),
            (confluent_protobuf(proto.id, &GOOD.protobuf()), ("PASS", &[], proto_name)),
            (confluent_protobuf(proto.id, &NEGATIVE.protobuf()), ("FAIL", out_of_range, proto_name)),
            (confluent(json.id, &GOOD.json()), ("PASS", &[], json_name)),
            (confluent_header(guid, &GOOD.json()), ("PASS", &[], json_name)),
            (confluent(999, &good), ("FAIL", &["UNKNOWN_SCHEMA:confluent:999"], "confluent:999")),
            (
                confluent_header(guid, br#"{"id": 1, "amount": 2, "currency": "EUR"}"#),
                ("FAIL", &["TYPE_MISMATCH:id"], json_name),
            ),
        ],
    );

    // Silent, then back: what is known goes on, what is not cannot be decided, and later can.
    let known: &[(Bytes, Expected<'_>)] = &[
        (confluent(avro.id, &good), ("PASS", &[], avro_name)),
        (confluent(avro.id, &negative), ("FAIL", out_of_range, avro_name)),
    ];
    let next_good = GOOD.avro(&[AVRO_NEXT]).unwrap();
    let load = bench.load(CONFLUENT_LOAD, &confluent(avro.id, &good));
    freeze(registry.process().unwrap().pid()).unwrap();
    told_in_time(&service, "frozen");
    bench.judge(&service, CONFLUENT, known);
    let undecided: Expected<'_> = ("WARN", &["REGISTRY_UNAVAILABLE"], &format!("confluent:{}", next.id));
    bench.judge(&service, CONFLUENT, &[(confluent(next.id, &next_good), undecided)]);
    thaw(registry.process().unwrap().pid()).unwrap();
    wait_for_health(&service, true);
    bench.judge(&service, CONFLUENT, &[(confluent(next.id, &next_good), ("PASS", &[], next_name))]);

    registry.stop();
    told_in_time(&service, "stopped");
    bench.judge(&service, CONFLUENT, known);
    bench.end(load, &service);
    bench.judged_once();

    // A restart in the middle of the outage knows what was known.
    assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
    let before = bench.evidence(CONFLUENT);
    let service = bench.serve(&settings);
    bench.judge(&service, CONFLUENT, &[(confluent(next.id, &next_good), ("PASS", &[], next_name))]);
    bench.judge(&service, CONFLUENT, known);
    let after = bench.evidence(CONFLUENT);
    assert!(before.keys().all(|offset| after.contains_key(offset)));

    registry.start_again().unwrap();
    wait_for_health(&service, true);
}

#[test]
fn glue_records_are_judged_and_a_slow_registry_is_waited_for() {
    let mut bench = Bench::start();
    let moto = MotoServer::start().unwrap();
    let avro = moto.create_schema(REGISTRY, "payment", "AVRO", AVRO_WHOLE).unwrap();
    let next = moto.register_version(REGISTRY, "payment", AVRO_NEXT).unwrap();
    let proto = moto.create_schema(REGISTRY, "payment-proto", "PROTOBUF", PROTO_WHOLE).unwrap();
    let json = moto.create_schema(REGISTRY, "payment-json", "JSON", JSON_PAYMENT).unwrap();
    let late = moto.create_schema("elsewhere", "payment", "JSON", JSON_PAYMENT).unwrap();
    let [avro, next, proto, json, late] = [&avro, &next, &proto, &json, &late].map(|id| uuid(id).unwrap());
    let service = bench
        .serve(&format!("  glue: {{endpoint: \"{}\", registry_name: {REGISTRY}}}\n  timeout_ms: 4000\n", moto.url()));
    wait_for_health(&service, true);

    let good = GOOD.avro(&[AVRO_WHOLE]).unwrap();
    let out_of_range: &[&str] = &["OUT_OF_RANGE:amount"];
    // Behind Glue's header a Protobuf message is told by a plain number: 0 is the first by name.
    let protobuf = |payment: Payment<'_>| [&[0], payment.protobuf().as_slice()].concat();
    let known: &[(Bytes, Expected<'_>)] = &[
        (glue(avro, &good), ("PASS", &[], "glue:payment:1")),
        (
            glue_deflated(avro, &NEGATIVE.avro(&[AVRO_WHOLE]).unwrap()).unwrap(),
            ("FAIL", out_of_range, "glue:payment:1"),
        ),
        (glue(proto, &protobuf(GOOD)), ("PASS", &[], "glue:payment-proto:1")),
        (glue(proto, &protobuf(NEGATIVE)), ("FAIL", out_of_range, "glue:payment-proto:1")),
        (glue(json, &GOOD.json()), ("PASS", &[], "glue:payment-json:1")),
        (
            glue_deflated(json, br#"{"id": "p", "currency": "EUR"}"#).unwrap(),
            ("FAIL", &["MISSING_FIELD:amount"], "glue:payment-json:1"),
        ),
    ];
    bench.judge(&service, GLUE, known);

    let load = bench.load(GLUE_LOAD, &glue(avro, &good));
    // Slow, and answering before the time-out: its records are judged as ever, a moment later.
    let server = moto.process().unwrap().pid();
    freeze(server).unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            std::thread::sleep(Duration::from_millis(700));
            thaw(server).unwrap();
        });
        bench.judge(&service, GLUE, &[(glue(late, &GOOD.json()), ("PASS", &[], "glue:elsewhere/payment:1"))]);
    });

    freeze(server).unwrap();
    told_in_time(&service, "frozen");
    bench.judge(&service, GLUE, known);
    let id = SchemaId::Glue(next).to_string();
    let undecided: Expected<'_> = ("WARN", &["REGISTRY_UNAVAILABLE"], &id);
    bench.judge(&service, GLUE, &[(glue(next, &GOOD.avro(&[AVRO_NEXT]).unwrap()), undecided)]);
    thaw(server).unwrap();
    wait_for_health(&service, true);
    let judged: Expected<'_> = ("PASS", &[], "glue:payment:2");
    bench.judge(&service, GLUE, &[(glue(next, &GOOD.avro(&[AVRO_NEXT]).unwrap()), judged)]);
    bench.end(load, &service);
    bench.judged_once();
}

#[test]
fn references_of_the_catalog_are_looked_up_again_until_they_are_there() {
    let mut bench = Bench::start();
    let mut registry = ConfluentRegistry::start().unwrap();
    registry.register("money.Currency-value", "AVRO", AVRO_CURRENCY, &[]).unwrap();
    let references: &[(&str, &str, u64)] = &[("money.Currency", "money.Currency-value", 1)];
    let avro = registry.register("raw.payments.confluent-value", "AVRO", AVRO_PAYMENT, references).unwrap();
    registry.stop();
    let service = bench.serve(&format!("  confluent: {{urls: [\"{}\"]}}\n  refresh_ms: 500\n", registry.url()));
    told_in_time(&service, "away from the start");
    let log = std::fs::read_to_string(service.dir().join("faultline.log")).unwrap();
    assert!(log.contains(CONFLUENT_SCHEMA) && log.contains("gate 3 gives WARN until it is found"), "{log}");
    let bare = Bytes { value: GOOD.json(), ..Bytes::default() };
    let unknown: Expected<'_> =
        ("WARN", &["UNKNOWN_SCHEMA:confluent:raw.payments.confluent-value:1"], CONFLUENT_SCHEMA);
    bench.judge(&service, CONFLUENT, &[(bare.clone(), unknown)]);

    registry.start_again().unwrap();
    // That of Glue, of which there is no registry, stays missing.
    wait_for(&service, "faultline_catalog_problems 1");
    let good = GOOD.avro(&[AVRO_CURRENCY, AVRO_PAYMENT]).unwrap();
    bench.judge(
        &service,
        CONFLUENT,
        &[
            (confluent(avro.id, &good), ("PASS", &[], CONFLUENT_SCHEMA)),
            // Now it is known that such records are no JSON.
            (bare, ("FAIL", &["UNPARSEABLE"], CONFLUENT_SCHEMA)),
        ],
    );
    bench.judged_once();
}

#[test]
fn commands_look_schemas_up_where_the_configuration_says() {
    let mut registry = ConfluentRegistry::start().unwrap();
    let avro = registry.register("raw.payments.confluent-value", "AVRO", AVRO_WHOLE, &[]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let catalog = dir.path().join("catalog");
    std::fs::create_dir(&catalog).unwrap();
    let of_confluent: String =
        CATALOG.lines().filter(|line| !line.contains("glue")).map(|line| format!("{line}\n")).collect();
    std::fs::write(catalog.join("catalog.yaml"), of_confluent).unwrap();
    std::fs::write(catalog.join("payments.odcs.yaml"), CONTRACT).unwrap();
    let config = dir.path().join("faultline.yaml");
    std::fs::write(&config, format!("registry: {{confluent: {{urls: [\"{}\"]}}}}\n", registry.url())).unwrap();
    let (catalog, config) = (catalog.to_str().unwrap(), config.to_str().unwrap());

    let alone = faultline(["check", catalog], b"").unwrap();
    assert_eq!(alone.status.code(), Some(1), "{}", String::from_utf8_lossy(&alone.stdout));
    let asked = faultline(["check", "--config", config, catalog], b"").unwrap();
    assert_eq!(asked.status.code(), Some(0), "{}", String::from_utf8_lossy(&asked.stdout));

    let mut lines = Vec::new();
    let records = [GOOD, NEGATIVE].map(|payment| confluent(avro.id, &payment.avro(&[AVRO_WHOLE]).unwrap()).value);
    let envelopes = records.map(|value| {
        let mut envelope = Envelope::text(CONFLUENT, 1_700_000_000_000, None, String::new());
        (envelope.payload, envelope.payload_base64) = (None, Some(STANDARD.encode(value)));
        envelope
    });
    write_envelopes(&mut lines, &envelopes).unwrap();
    let validated = faultline(["validate", "--catalog", catalog, "--config", config], &lines).unwrap();
    let output = String::from_utf8(validated.stdout).unwrap();
    let results: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let results: Vec<_> = results.iter().map(|line| &line["validation"]["result"]).collect();
    assert_eq!(results, ["PASS", "FAIL"], "{output}");
}
