//! The orders incident through everything that is real: records and events in Kafka, the schema in Glue's registry, the
//! state of signals in DynamoDB, the graph in a Gremlin server. What is stored is what a replay of the same records says,
//! and is read back by clients that nobody here wrote.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use faultline_tests::envelope::{Envelope, write_envelopes};
use faultline_tests::program::program;
use faultline_tests::replaying::{Outputs, Replaying};
use faultline_tests::scenario::orders;
use faultline_tests::servers::moto::CREDENTIALS;
use faultline_tests::servers::python::ask_clients;
use faultline_tests::servers::{DynamoServer, GremlinServer, KafkaServer, MotoServer, Storage, grpcurl};
use faultline_tests::service::{CONTROL_TOPICS, Service};
use serde_json::{Value, json};

const DATASET: &str = "urn:dp:orders:created";
const EVIDENCE: &str = "signal_factory.evidence";
/// No partition is taken for idle while the test looks, however slow the machine: live, that goes by the wall clock.
const IDLE_MS: u64 = 3_600_000;
const PATIENCE: Duration = Duration::from_secs(90);

/// Reads an item as anybody does.
const GET_ITEM: &str = r#"
item = resource.Table(arguments[0]).get_item(Key=dict(PK=arguments[1], SK=arguments[2])).get("Item")
say(item)
"#;

/// The orders capture as a fresh broker has it, and its replay.
fn capture() -> (Vec<Envelope>, Outputs) {
    let envelopes = orders::capture().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.jsonl");
    let mut lines = Vec::new();
    write_envelopes(&mut lines, &envelopes).unwrap();
    std::fs::write(&file, lines).unwrap();
    let mut replaying = Replaying::of(orders::folder(), [file]);
    replaying.config.windows.idle_timeout_ms = IDLE_MS;
    (envelopes, replaying.run().unwrap())
}

/// A catalog as that of the scenario, but with its schema in the registry alone.
fn catalog_without_schemas() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in ["catalog.yaml", "orders.created.odcs.yaml"] {
        std::fs::copy(orders::folder().join(file), dir.path().join(file)).unwrap();
    }
    dir
}

/// Glue with the schema of orders as its version 17, which the catalog names; the earlier ones say less and less.
fn registry() -> MotoServer {
    let moto = MotoServer::start().unwrap();
    let schema = std::fs::read_to_string(orders::folder().join("schemas/orders.created/17.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let version = |number: u32| {
        let mut schema = schema.clone();
        if number < 17 {
            schema["description"] = json!(format!("version {number}"));
        }
        schema.to_string()
    };
    moto.create_schema("orders", "orders.created", "JSON", &version(1)).unwrap();
    for number in 2..=17 {
        moto.register_version("orders", "orders.created", &version(number)).unwrap();
    }
    moto
}

/// Asks until the answer is there.
fn eventually<T>(what: &str, service: &Service, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}\n{}", service.log_tail());
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The last row of each key in a file of changes.
fn last_of(lines: Vec<Value>, key: impl Fn(&Value) -> String) -> BTreeMap<String, Value> {
    lines.into_iter().map(|line| (key(&line), line)).collect()
}

/// The ids of the vertices and of the edges that a replay ends with.
fn graph_of(replay: &Outputs) -> (BTreeSet<String>, BTreeSet<String>) {
    let (edges, vertices): (Vec<_>, Vec<_>) =
        replay.lines("graph.jsonl").unwrap().into_iter().partition(|line| line["type"] == "edge");
    let ids = |lines: Vec<Value>| lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    (ids(vertices), ids(edges))
}

#[test]
fn orders_through_all_stores_and_read_back_by_clients_of_others() {
    let (kafka, dynamo, gremlin, moto) = (
        KafkaServer::start().unwrap(),
        DynamoServer::start(Storage::Memory).unwrap(),
        GremlinServer::start().unwrap(),
        registry(),
    );
    kafka.create_topic("raw.orders.events", 6).unwrap();
    for topic in CONTROL_TOPICS {
        kafka.create_topic(topic, 1).unwrap();
    }
    let catalog = catalog_without_schemas();
    let configuration = format!(
        "catalog: {}\ndata_dir: data\nkafka: {{bootstrap: \"{}\"}}\nwindows: {{idle_timeout_ms: {IDLE_MS}}}\n\
         dynamodb: {{region: eu-west-1, endpoint: \"{}\", credentials: local}}\n\
         graph: {{endpoint: \"{}\"}}\n\
         registry: {{glue: {{registry_name: orders, region: eu-west-1, endpoint: \"{}\"}}}}\n",
        catalog.path().display(),
        kafka.bootstrap(),
        dynamo.endpoint(),
        gremlin.endpoint(),
        moto.url(),
    );
    let mut command = Command::new(program().unwrap());
    command.args(["--log", "info"]).envs(CREDENTIALS);
    for file in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        command.env(file, "/dev/null");
    }
    let service = Service::run(command, 2, &configuration).unwrap();
    service.wait_until_ready().unwrap();
    let (envelopes, replay) = capture();
    kafka.publish(&envelopes).unwrap();
    let offered = envelopes.iter().filter(|envelope| envelope.topic == "raw.orders.events").count();

    // kafka-console-consumer: evidence of each record, once, as the replay has it.
    let evidence: Vec<Value> = kafka
        .console_consumer(EVIDENCE, offered)
        .unwrap()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let without_time = |mut line: Value| {
        line.as_object_mut().unwrap().remove("timestamp");
        line.to_string()
    };
    let expected: BTreeSet<String> = replay.lines("evidence.jsonl").unwrap().into_iter().map(without_time).collect();
    assert_eq!(evidence.len(), offered);
    assert!(evidence.into_iter().map(without_time).collect::<BTreeSet<_>>() == expected, "other evidence");

    // boto3: the item of the signal.
    let signal = last_of(replay.lines("signals.jsonl").unwrap(), |line| {
        format!("{} {}", line["PK"].as_str().unwrap(), line["SK"].as_str().unwrap())
    });
    let expected = &signal[&format!("{DATASET} contract_compliance")];
    let by_the_clock = ["epoch", "detected_at"];
    let item = eventually("the signal's item", &service, || {
        let item = dynamo.boto3(GET_ITEM, &["signal_state", DATASET, "contract_compliance"]).unwrap();
        (item["fail"] == expected["fail"] && item["pass"] == expected["pass"]).then_some(item)
    });
    for (field, value) in expected.as_object().unwrap() {
        if !by_the_clock.contains(&field.as_str()) && !value.is_null() {
            assert_eq!(&item[field], value, "{field} in {item}");
        }
    }
    assert_eq!((&item["pass"], &item["fail"], &item["score"]), (&json!(127), &json!(1_120), &json!(0.102)));
    assert!(item["epoch"].is_u64() && item["detected_at"].is_string(), "{item}");

    // The graph: the vertices and edges of the replay, all and no others.
    let (vertices, edges) = graph_of(&replay);
    let (stored_vertices, stored_edges) = eventually("the whole graph", &service, || {
        let ids = |traversal: &str| -> BTreeSet<String> {
            gremlin.ask(traversal).unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
        };
        let found = (ids("g.V().id()"), ids("g.E().id()"));
        (found.0.len() == vertices.len() && found.1.len() == edges.len()).then_some(found)
    });
    assert_eq!(stored_vertices, vertices);
    assert_eq!(stored_edges, edges);

    // gremlinpython: from the deployment to the incident, and from the dataset to the dashboard.
    let incident = replay.lines("incidents.jsonl").unwrap().pop().unwrap();
    let incident = format!("incident:{}", incident["id"].as_str().unwrap());
    let paths = include_str!("gremlin_sink/paths.py");
    let seen = ask_clients(paths, &[&gremlin.endpoint(), &incident, DATASET]).unwrap();
    assert_eq!(
        seen["cause"],
        json!([
            "deployment:orders-svc:v3.17",
            "signature:urn:dp:orders:created:MISSING_FIELD:customer_id",
            "signal:urn:dp:orders:created:contract_compliance",
            incident,
        ])
    );
    assert_eq!(
        seen["reach"],
        json!([DATASET, "job:airflow/orders_daily_agg", "delta:orders_gold_daily", "dashboard:exec_orders"])
    );

    // grpcurl: the root cause.
    let request = json!({"incident_id": incident.trim_start_matches("incident:")}).to_string();
    let address = service.grpc().to_string();
    let answer = grpcurl(["-plaintext", "-d", &request, &address, "faultline.v1.Faultline/ExplainIncident"]).unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let explanation: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let first = &explanation["hypotheses"][0];
    assert_eq!(first["subject"], "deployment:orders-svc:v3.17", "{explanation:#}");
    assert!(first["score"].as_f64().unwrap() > 0.9, "{first}");

    let status = service.terminate().unwrap();
    assert_eq!(status.code(), Some(0), "{}", service.log_tail());
}
